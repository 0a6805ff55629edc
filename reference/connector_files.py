"""Makes the files under connector/avro/testdata and connector/parquet/testdata with other implementations.

Run from the root of the repository, with fastavro and pyarrow installed:

    python3 reference/connector_files.py
"""

import datetime
import decimal

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

AVRO = "connector/avro/testdata/"
PARQUET = "connector/parquet/testdata/"
UTC = datetime.timezone.utc
D = decimal.Decimal


def avro():
    schema = {
        "type": "record", "name": "All", "fields": [
            {"name": "b", "type": "boolean"},
            {"name": "i", "type": "int"},
            {"name": "l", "type": ["null", "long"]},
            {"name": "f", "type": "float"},
            {"name": "d", "type": ["double", "null"]},
            {"name": "s", "type": "string"},
            {"name": "y", "type": "bytes"},
            {"name": "x", "type": {"type": "fixed", "name": "Two", "size": 2}},
            {"name": "e", "type": {"type": "enum", "name": "Colour", "symbols": ["RED", "GREEN"]}},
            {"name": "a", "type": {"type": "array", "items": ["null", "long"]}},
            {"name": "m", "type": {"type": "map", "values": "string"}},
            {"name": "r", "type": ["null", {"type": "record", "name": "In", "fields": [{"name": "p", "type": "string"}, {"name": "q", "type": ["null", "int"]}]}]},
            {"name": "rs", "type": {"type": "array", "items": "In"}},
            {"name": "u", "type": ["null", "long", "string", {"type": "array", "items": "int"}]},
            {"name": "ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "us", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
            {"name": "money", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
            {"name": "big", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 3}},
            {"name": "tree", "type": {"type": "record", "name": "Tree", "fields": [{"name": "v", "type": "int"}, {"name": "kids", "type": {"type": "array", "items": "Tree"}}]}},
        ]}
    t = datetime.datetime(1969, 12, 31, 23, 59, 59, 999500, tzinfo=UTC)
    rows = [
        {"b": True, "i": -7, "l": 2**62, "f": 1.5, "d": 0.1, "s": "grün", "y": b"\x00\xff", "x": b"ab", "e": "GREEN", "a": [1, None, 3],
         "m": {"k": "v"}, "r": {"p": "in", "q": None}, "rs": [{"p": "a", "q": 1}, {"p": "b", "q": None}], "u": [1, 2], "ms": t, "us": t,
         "day": datetime.date(2024, 2, 29), "clock": datetime.time(13, 14, 15, 16), "money": D("-12.34"), "big": D("123456789012345678901234.567"),
         "tree": {"v": 1, "kids": [{"v": 2, "kids": []}]}},
        {"b": False, "i": 0, "l": None, "f": -0.0, "d": None, "s": "", "y": b"", "x": b"cd", "e": "RED", "a": [], "m": {}, "r": None, "rs": [],
         "u": None, "ms": datetime.datetime(2024, 1, 1, tzinfo=UTC), "us": None, "day": datetime.date(1969, 12, 31), "clock": datetime.time(0, 0),
         "money": D("0.05"), "big": D("-0.001"), "tree": {"v": 3, "kids": []}},
    ]
    for codec in ["null", "deflate"]:
        with open(AVRO + "all-" + codec + ".avro", "wb") as f:
            fastavro.writer(f, schema, rows, codec=codec, sync_marker=b"0123456789abcdef")


def parquet():
    t = datetime.datetime(1969, 12, 31, 23, 59, 59, 999500)
    table = pa.table({
        "b": pa.array([True, None, False]),
        "i8": pa.array([-1, 2, None], pa.int8()),
        "u32": pa.array([2**32 - 1, 0, None], pa.uint32()),
        "i64": pa.array([2**62, -1, 0], pa.int64()),
        "f32": pa.array([1.5, None, -0.0], pa.float32()),
        "f64": pa.array([0.1, float("inf"), None], pa.float64()),
        "s": pa.array(["grün", "", None]),
        "y": pa.array([b"\x00\xff", None, b""], pa.binary()),
        "x": pa.array([b"ab", b"cd", None], pa.binary(2)),
        "dict": pa.array(["one", "two", "one"]).dictionary_encode(),
        "ms": pa.array([t, None, t], pa.timestamp("ms")),
        "us": pa.array([t, None, t], pa.timestamp("us", tz="UTC")),
        "ns": pa.array([-1, 1_000_000, None], pa.timestamp("ns")),
        "day": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1969, 12, 31)]),
        "clock": pa.array([datetime.time(13, 14, 15, 16), None, datetime.time(0)], pa.time64("us")),
        "money": pa.array([D("-12.34"), None, D("0.05")], pa.decimal128(9, 2)),
        "big": pa.array([D("123456789012345678901234.567"), None, D("-0.001")], pa.decimal128(30, 3)),
        "l": pa.array([[1, None, 3], [], None], pa.list_(pa.int64())),
        "ll": pa.array([[[1], [], None], None, [[2, 3]]], pa.list_(pa.list_(pa.int32()))),
        "ls": pa.array([["a", "b"], ["c"], []], pa.list_(pa.string())),
        "m": pa.array([[("k", 1.5), ("n", None)], [], None], pa.map_(pa.string(), pa.float64())),
        "r": pa.array([{"p": "in", "q": {"z": 1}}, {"p": None, "q": None}, None],
                      pa.struct([("p", pa.string()), ("q", pa.struct([("z", pa.int32())]))])),
        "lr": pa.array([[{"a": 1, "b": ["x"]}, {"a": None, "b": []}], None, [None]],
                       pa.list_(pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]))),
        "none": pa.array([None, None, None], pa.null()),
    })
    pq.write_table(table, PARQUET + "all-v1-snappy.parquet", data_page_version="1.0", compression="snappy", row_group_size=2)
    pq.write_table(table, PARQUET + "all-v2-zstd.parquet", data_page_version="2.0", compression="zstd", use_dictionary=False)
    pq.write_table(pa.table({"t": pa.array([t, None], pa.timestamp("ns"))}), PARQUET + "int96.parquet", use_deprecated_int96_timestamps=True)
    pq.write_table(pa.table({"u": pa.array([1, 2**63, 3], pa.uint64())}), PARQUET + "uint64.parquet")
    many = pa.table({
        "n": pa.array(range(20_000), pa.int64()),
        "s": pa.array([None if i % 7 == 0 else f"v{i % 50}" for i in range(20_000)]),
        "l": pa.array([[j for j in range(i % 4)] for i in range(20_000)], pa.list_(pa.int64())),
    })
    pq.write_table(many, PARQUET + "many.parquet", compression="zstd", data_page_size=4096, row_group_size=7_000)


avro()
parquet()
