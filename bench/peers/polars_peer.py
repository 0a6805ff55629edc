"""Q-A and Q-B on Polars. Usage: polars_peer.py qa|qb|keys INPUT OUTPUT   (pip install -r requirements.txt)"""
import sys
import polars as pl

work, source, target = sys.argv[1:]
events = pl.scan_ndjson(source, schema={"device": pl.String, "ts": pl.Int64, "temp": pl.Float64,
                                        "hum": pl.Float64, "msg": pl.String})
if work == "qa":
    result = events.filter(pl.col("temp") > 20).select("device", "ts", "temp")
else:
    keys = ["device"] + ([(pl.col("ts") // 10000 * 10).alias("window_start")] if work == "qb" else [])
    result = events.group_by(keys).agg(
        pl.len().alias("events"), pl.col("temp").mean().alias("mean_temp"), pl.col("hum").max().alias("max_hum"))
result.sink_ndjson(target)
