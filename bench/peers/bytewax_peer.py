"""Filter and project on Bytewax, Kafka to Kafka. Arguments: brokers, topic read, topic written. It ends with what is there."""

import sys

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSink
from bytewax.dataflow import Dataflow
from bytewax.testing import cluster_main

brokers, source, target = sys.argv[1:4]


def work(record):
    event = orjson.loads(record.value)
    if event["temp"] <= 20:
        return None
    return KafkaSinkMessage(None, orjson.dumps({"device": event["device"], "ts": event["ts"], "temp": event["temp"]}))


flow = Dataflow("bench")
records = op.input("in", flow, KafkaSource([brokers], [source], tail=False, batch_size=1000))
kept = op.filter_map("work", records, work)
op.output("out", kept, KafkaSink([brokers], target))
cluster_main(flow, [], 0, worker_count_per_proc=1)
