"""Prints the rows of Avro and Parquet files, as fastavro and pyarrow read them: a JSON list each. The tests run it."""

import json
import sys

import fastavro
import pyarrow.parquet as pq

for path in sys.argv[1:]:
    if path.endswith(".avro"):
        with open(path, "rb") as f:
            rows = [list(row.values()) for row in fastavro.reader(f)]
    else:
        rows = [list(row.values()) for row in pq.ParquetFile(path).read().to_pylist()]
    for row in rows:
        print(json.dumps(["<nil>" if v is None else v for v in row]))
