"""The work on DuckDB, two threads. Usage: duckdb_peer.py WORK INPUT OUTPUT   (pip install -r requirements.txt)"""
import sys
import duckdb

work, source, target = sys.argv[1:]
con = duckdb.connect()
con.execute("SET threads = 2")
events = (f"read_json('{source}', format='newline_delimited', columns={{device: 'VARCHAR', ts: 'BIGINT', "
          "temp: 'DOUBLE', hum: 'DOUBLE', msg: 'VARCHAR'})")
sql = {
    "qa": f"SELECT device, ts, temp FROM {events} WHERE temp > 20",
    "qb": f"SELECT device, ts // 10000 * 10 AS window_start, count(*) AS events, avg(temp) AS mean_temp, "
          f"max(hum) AS max_hum FROM {events} GROUP BY ALL",
    "keys": f"SELECT device, count(*) AS events, avg(temp) AS mean_temp, max(hum) AS max_hum FROM {events} GROUP BY device",
    "agg": f"SELECT device, region, count(*) AS n, avg(temp) AS mean_temp, max(hum) AS max_hum FROM read_csv('{source}') "
           "WHERE temp > 20 AND status = 'ok' GROUP BY device, region",
    "map": f"SELECT id, ts, device, region, temp, hum, temp * 9 / 5 + 32 AS temp_f, device || '/' || region AS label "
           f"FROM read_csv('{source}')",
    "window": f"SELECT ts // 60 * 60 || ',' || region || ',' || count(*) || ',' || printf('%.4f', favg(temp)) AS line "
              f"FROM read_csv('{source}') GROUP BY ts // 60, region",
}[work]
form = {"map": "FORMAT csv, HEADER", "window": "FORMAT csv, HEADER false, QUOTE '', DELIMITER '\t'"}.get(work, "FORMAT json")
con.execute(f"COPY ({sql}) TO '{target}' ({form})")
