"""Makes small models of texts and records what Hugging Face's pipelines and sentence-transformers answer.

Usage: python reference/models_text.py task/testdata

Writes text/texts.json, the hard texts, and for each model a folder in Hugging Face layout (seeded random weights, a vocabulary
out of a few lines) with cases.json: the token ids of every text, and runs of the pipeline, each with its settings and an
answer for every text. Answers of fp32 graphs are those of PyTorch, and ONNX Runtime has to agree within 1e-5; graphs in fp16 and
int8 have no counterpart there, so that the pipeline runs the graph itself.
"""

import collections
import json
import logging
import math
import pathlib
import random
import shutil
import sys
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic
from sentence_transformers import SentenceTransformer
from sentence_transformers import __version__ as sentence_transformers_version
from sentence_transformers.sentence_transformer import modules
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, pipeline

SEED = 4
LENGTH = 64  # tokens that the models take
WITHIN = 1e-5  # how far ONNX Runtime may be from PyTorch

CORPUS = """
The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs! How vexingly quick daft zebras jump?
A pump that hums at night and trembles in the morning wants a new bearing; the machine that was repaired on Monday works again.
I love this film: the actors are wonderful, the music is lovely and the story is the best of the year. Not bad at all.
What a terrible waste of time and money. The service was slow, the food was cold, and they'd never apologise, don't you think?
The price rose by 12.75 % to $1,234,567.89 in 1984; see https://example.org/path?query=1 or write to someone@example.com.
Das Mädchen aß größere Äpfel, während der Bär über die Straße lief. L'été dernier, les élèves jouaient; garçon, naïve, œuvre.
El niño comió piñas mañana en España. ¿Qué pasó? Быстрая коричневая лиса прыгает через ленивую собаку. Καλημέρα κόσμε.
我们在北京学习机器学习。今天天气很好,你好世界! 日本語のテキストを分割します。カタカナ。 한국어 문장을 나눕니다. مرحبا بالعالم שלום עולם नमस्ते
😀 😃 ❤️ 👍🏽 café CAFÉ fine office Tiếng Việt được İstanbul ışık
""".strip().split("\n")

HARD = [
    "", " ", "\n", "\t \r\n", "\u00a0", "\u200b", "a", "A", "!", "...", "?!?!?!", "I love this film.", "What a terrible waste of time!", "not bad at all",
    "NOT BAD AT ALL", "  leading and trailing   ", "\u3000\u2003wide spaces\u00a0", "\x1cseparators\x1f", "line one\nline two\n\nline four\r\nend", "tabs\t\tand  spaces", "it's we've they'll he'd I'm don't",
    "caf\u00e9 na\u00efve No\u00ebl", "cafe\u0301 nai\u0308ve Noe\u0308l", "CAF\u00c9 \u00c9T\u00c9", "Stra\u00dfe STRASSE \u1e9e", "\u0130stanbul ISTANBUL \u0131\u015f\u0131k", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u039a\u03a3", "\ufb01ne o\ufb03ce \u00bd \u00b2 \u2460 \u2103 \uff21\uff42\uff43",
    "我们在北京学习机器学习。", "北京abc北京 你好world", "日本語のテキスト、カタカナ。ｶﾀｶﾅ", "한국어 문장을 나눕니다", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "مرحبا بالعالم", "שָׁלוֹם עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "Tiê\u0301ng Việt được", "Быстрая лиса прыгает", "Καλημέρα κόσμε", "𠀀𠮷 rare",
    "😀", "😀😃👍🏽", "❤️ love ❤", "👩\u200d👩\u200d👧\u200d👦 family", "🇩🇪🇫🇷", "text with 😀 inside", "1️⃣ #️⃣", "𝓗𝓮𝓵𝓵𝓸 𝟙𝟚",
    "a\u200bb\u200cc\u200dd", "\ufeffbyte order mark", "soft\u00adhyphen", "\u202eright to left\u202c", "zero\x00byte", "control\x07\x08\x1b[31m", "\ufffd replacement", "\ue000 private \U0010ffff",
    "[MASK]", "The capital of France is [MASK].", "a[MASK]b", "[CLS] [SEP] [PAD] [UNK]", "<s> </s> <pad> <mask> <unk>", "a <mask> b", "  <mask>  ", "##ing", "[mask] MASK]",
    "1234567890", "12 345.678,90", "$1,234,567.89 or 12.75 %", "2026-11-23T02:00:00Z", "https://example.org/path?query=1&other=two#top", "someone@example.com", "C:\\Users\\me\\file.txt", "#hashtag @mention", "snake_case camelCase", "{\"json\": [1, 2.5, null]}", "<p>html &amp; more</p>",
    "xqzjv kwpfq zzxxyy", "supercalifragilisticexpialidocious" * 4, "a" * 100, "a" * 101, "word" * 300, "中" * 120, "😀" * 90, "-" * 130, "e\u0301" * 100,
]

RUNS = [{}, {"top_k": None}, {"top_k": 2}, {"top_k": None, "function_to_apply": "softmax"}, {"top_k": None, "function_to_apply": "sigmoid"}, {"top_k": None, "function_to_apply": "none"}]


def texts():
    """The hard texts, sentences of the corpus, texts about as long as a model takes, and one of 3,000 words."""
    rng = random.Random(SEED)
    words = " ".join(CORPUS[:5]).split()
    out = HARD + CORPUS
    out += [" ".join(rng.choice(words) for _ in range(n)) for n in (5, 11, 17, 23, 30, 34, 38, 42, 46, 50, 60, 80, 200, 3000)]
    return out


# Tokenizers.


def parts(normalizer, pre):
    """How often each part of a word stands in the corpus, by whether it begins the word. The library's trainers break ties at random."""
    first, later = collections.Counter(), collections.Counter()
    for line in CORPUS:
        for word, _ in pre.pre_tokenize_str(normalizer.normalize_str(line)):
            first.update(word[:k] for k in range(1, min(len(word), 12) + 1))
            later.update(word[i:k] for i in range(1, len(word)) for k in range(i + 1, min(len(word), i + 6) + 1))
    return first, later


def most(counts, n):
    """All single characters, those of ASCII among them, and the n longer parts that cover the most."""
    single = sorted({p for p in counts if len(p) == 1} | {chr(c) for c in range(33, 127)})
    return single + sorted((p for p in counts if len(p) > 1), key=lambda p: (-counts[p] * (len(p) - 1), p))[:n]


def word_piece(lower=True, names=("input_ids", "token_type_ids", "attention_mask")):
    normalizer, pre = normalizers.BertNormalizer(lowercase=lower), pre_tokenizers.BertPreTokenizer()
    first, later = parts(normalizer, pre)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + most(first, 260) + ["##" + p for p in most(later, 120)]
    t = Tokenizer(models.WordPiece({p: i for i, p in enumerate(vocabulary)}, unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer = normalizer, pre
    t.add_special_tokens(vocabulary[:5])
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return wrap(t, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", names=names)


def byte_bpe():
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    t.train_from_iterator(CORPUS * 3, trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return roberta_wrap(t)


def unigram():
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    pre = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    first, later = parts(normalizer, pre)
    counts = first + later
    scores = [(p, round(math.log(max(counts[p], 0.1) / counts.total()), 6)) for p in most(counts, 350)]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    t = Tokenizer(models.Unigram([(s, 0.0) for s in special] + scores, unk_id=3))
    t.normalizer, t.pre_tokenizer = normalizer, pre
    t.add_special_tokens(special + [AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return roberta_wrap(t)


def roberta_wrap(t):
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    return wrap(t, names=["input_ids", "attention_mask"], **special)


def wrap(t, names=("input_ids", "token_type_ids", "attention_mask"), **special):
    return PreTrainedTokenizerFast(tokenizer_object=t, model_max_length=LENGTH, model_input_names=list(names), **special)


# Models.


def model(kind, head, tokenizer, labels=(), **more):
    """A model of two layers with weights spread wide enough that its answers differ."""
    config = {
        "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "attn_implementation": "eager",
        "id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}, **more,
    }
    if kind == "DistilBert":
        config |= {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": LENGTH}
    else:
        offset = 2 if "Rob" in kind else 0  # RoBERTa's positions begin behind that of the padding
        config |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": LENGTH + offset, "type_vocab_size": 1 if offset else 2}
    attention = config.pop("attn_implementation")
    config = getattr(transformers, kind + "Config")(**config)
    m = getattr(transformers, kind + head)._from_config(config, attn_implementation=attention).eval()
    rng = torch.Generator().manual_seed(SEED + len(labels))
    with torch.no_grad():
        for name, p in m.named_parameters():
            wide = 1.0 if "embeddings" in name else 0.6 if name.startswith("classifier") else 0.2
            p.copy_(torch.randn(p.shape, generator=rng) * wide + (1 if "LayerNorm.weight" in name or "layer_norm.weight" in name else 0))
    return m


def spread(m, tokenizer, all_texts):
    """Shifts and scales the last layer, so that every class is the best one for some texts."""
    last = getattr(m.classifier, "out_proj", m.classifier)
    with torch.no_grad():
        given = tokenizer(all_texts, truncation=True, padding=True, return_tensors="pt")
        logits = m(**given).logits
        scale = 0.7 / logits.std(0)
        last.weight.mul_(scale[:, None])
        last.bias.sub_(logits.mean(0)).mul_(scale)


class Graph(torch.nn.Module):
    """What is exported: named inputs to one output."""

    def __init__(self, m, names):
        super().__init__()
        self.m, self.names = m, names

    def forward(self, *inputs):
        return self.m(**dict(zip(self.names, inputs)), return_dict=True)[0]


def export(m, tokenizer, path):
    names = [n for n in ("input_ids", "attention_mask", "token_type_ids") if n in tokenizer.model_input_names]
    output = "logits" if hasattr(m, "classifier") else "last_hidden_state"
    given = tokenizer(["I love this film.", "not bad"], padding=True, return_tensors="pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {n: {0: "batch_size", 1: "sequence_length"} for n in names} | {output: {0: "batch_size"} | ({} if output == "logits" else {1: "sequence_length"})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Graph(m, names).eval(), tuple(given[n] for n in names), str(path), input_names=names, output_names=[output], dynamic_axes=axes, opset_version=17, dynamo=False)
    onnx.checker.check_model(str(path))


class Runtime:
    """Stands in for a model's forward: ONNX Runtime runs the graph."""

    def __init__(self, path):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.names = [i.name for i in self.session.get_inputs()]

    def forward(self, **given):
        out = self.session.run(None, {n: given[n].numpy() for n in self.names})[0]
        return transformers.modeling_outputs.SequenceClassifierOutput(logits=torch.from_numpy(out.astype(np.float32)))


# Records.


def number(x):
    return float(f"{x:.7g}")


def classify(m, tokenizer, all_texts, settings):
    p = pipeline("text-classification", model=m, tokenizer=tokenizer, device="cpu", **settings)
    return [a if isinstance(a, list) else [a] for a in p(all_texts, truncation=True)]


def pairs(answers):
    return [[[a["label"], number(a["score"])] for a in answer] for answer in answers]


def ids(tokenizer, all_texts, length=LENGTH):
    return tokenizer(all_texts, truncation=True, max_length=length)["input_ids"]


def lines(answers, indent):
    """A list in JSON, an answer a line."""
    return "[\n" + ",\n".join(indent + json.dumps(a, ensure_ascii=False, separators=(",", ":")) for a in answers) + "\n" + indent[1:] + "]"


def write(path, head, token_ids, runs):
    """Writes cases.json, one answer a line."""
    out = json.dumps(head, ensure_ascii=False)[:-1] + ',\n "ids": ' + lines(token_ids, "  ") + ',\n "runs": ['
    for i, run in enumerate(runs):
        answers = run.pop("answers")
        out += (",\n" if i else "\n") + "  " + json.dumps(run, ensure_ascii=False)[:-1] + ', "answers": ' + lines(answers, "   ") + "}"
    path.write_text(out + "\n ]}\n")
    json.loads(path.read_text())


VERSIONS = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "onnxruntime": ort.__version__, "sentence-transformers": sentence_transformers_version}


def save(m, tokenizer, folder, stored=0):
    """Writes the settings and the tokenizer. stored is the length that tokenizer.json cuts and fills texts to, which the references override."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    if stored:
        tokenizer.backend_tokenizer.enable_truncation(stored)
        tokenizer.backend_tokenizer.enable_padding(length=stored)
    folder.mkdir(parents=True, exist_ok=True)
    m.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    path = folder / "tokenizer.json"  # without indentation, it is half as large
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")


def classifier(folder, all_texts, tokenizer, m, fp16=False, quantized=False):
    spread(m, tokenizer, all_texts)
    save(m, tokenizer, folder)
    graph = folder / "onnx/model.onnx"
    export(m, tokenizer, graph)
    answers = [classify(m, tokenizer, all_texts, settings) for settings in RUNS]
    runs = [{"config": settings, "answers": pairs(a)} for settings, a in zip(RUNS, answers)]

    theirs, everything = m.forward, {"top_k": None}
    m.forward = Runtime(graph).forward
    worst = furthest(answers[-1], classify(m, tokenizer, all_texts, RUNS[-1]))
    assert worst < WITHIN, f"{folder.name}: ONNX Runtime is {worst} from PyTorch"
    if fp16:
        half = folder / "onnx/model_fp16.onnx"
        m.forward = theirs
        export(m.half(), tokenizer, half)
        m.float().forward = Runtime(half).forward
        runs.append({"config": everything, "file": "onnx/model_fp16.onnx", "answers": pairs(classify(m, tokenizer, all_texts, everything))})
    if quantized:
        small = folder / "onnx/model_quantized.onnx"
        quantize_dynamic(graph, small, weight_type=QuantType.QInt8)
        m.forward = Runtime(small).forward
        runs.append({"config": everything, "file": "onnx/model_quantized.onnx", "answers": pairs(classify(m, tokenizer, all_texts, everything))})
    write(folder / "cases.json", {"task": "text-classification", "texts": "../texts.json", "versions": VERSIONS}, ids(tokenizer, all_texts), runs)

    best = collections.Counter(a[0]["label"] for a in answers[1])
    close = sum(len(a) > 1 and a[0]["score"] - a[1]["score"] < 1e-3 for a in answers[1])
    print(f"{folder.name}: {dict(best)}, {close} with a margin below 1e-3; ONNX within {worst:.1e}; {size(folder)} bytes", flush=True)


def furthest(expected, found):
    """The greatest difference between the scores of one label."""
    return max(abs({x["label"]: x["score"] for x in f}[x["label"]] - x["score"]) for e, f in zip(expected, found) for x in e)


def size(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def extractor(folder, all_texts, tokenizer, m):
    """A model without pooling: the pipeline answers with the vectors of tokens, here those of some texts."""
    save(m, tokenizer, folder)
    graph = folder / "onnx/model.onnx"
    export(m, tokenizer, graph)
    chosen = [i for i, t in enumerate(all_texts) if i % 6 == 0 and len(t) < 60] + [len(all_texts) - 1]
    p = pipeline("feature-extraction", model=m, tokenizer=tokenizer, device="cpu", tokenize_kwargs={"truncation": True})
    answers = [p(all_texts[i])[0] for i in chosen]
    session = Runtime(graph)
    worst = 0
    for i, a in zip(chosen, answers):
        given = tokenizer([all_texts[i]], truncation=True, return_tensors="np")
        ours = session.session.run(None, {n: given[n] for n in session.names})[0][0]
        worst = max(worst, np.abs(ours - np.array(a)).max())
    assert worst < WITHIN, f"{folder.name}: ONNX Runtime is {worst} from PyTorch"
    write(folder / "cases.json", {"task": "feature-extraction", "texts": "../texts.json", "versions": VERSIONS, "chosen": chosen}, ids(tokenizer, all_texts),
          [{"config": {}, "answers": [[[number(x) for x in token] for token in a] for a in answers]}])
    print(f"{folder.name}: {len(chosen)} texts; ONNX within {worst:.1e}; {size(folder)} bytes", flush=True)


def sentences(folder, all_texts, tokenizer, m, pooling, normalize, length, classic=None, stored=0):
    """A package of sentence-transformers: one vector for a text. classic is sentence_bert_config.json as older versions wrote it."""
    save(m, tokenizer, folder, stored)
    m.save_pretrained(folder)
    if classic:
        package(folder, pooling, normalize, classic)
    else:
        encoder = modules.Transformer(str(folder), max_seq_length=length)
        parts = [encoder, modules.Pooling(32, pooling_mode=pooling)] + ([modules.Normalize()] if normalize else [])
        SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)
    st = SentenceTransformer(str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"})
    assert st.max_seq_length == length, st.max_seq_length
    save(m, tokenizer, folder, stored)
    (folder / "model.safetensors").unlink()
    graph = folder / "onnx/model.onnx"
    export(m, tokenizer, graph)
    answers = st.encode(all_texts)
    token_ids = [[int(x) for x in st.preprocess([t])["input_ids"][0]] for t in all_texts]

    session, worst = Runtime(graph), 0
    for given, a in zip(token_ids, answers):
        feed = {"input_ids": np.array([given]), "attention_mask": np.ones((1, len(given)), np.int64), "token_type_ids": np.zeros((1, len(given)), np.int64)}
        tokens = session.session.run(None, {n: feed[n] for n in session.names})[0][0]
        ours = {"mean": tokens.mean(0), "cls": tokens[0], "max": tokens.max(0)}[pooling]
        worst = max(worst, np.abs((ours / np.linalg.norm(ours) if normalize else ours) - a).max())
    assert worst < WITHIN, f"{folder.name}: ONNX Runtime is {worst} from sentence-transformers"
    write(folder / "cases.json", {"task": "feature-extraction", "texts": "../texts.json", "versions": VERSIONS}, token_ids, [{"config": {}, "answers": [[number(x) for x in a] for a in answers]}])
    print(f"{folder.name}: ONNX within {worst:.1e}; {size(folder)} bytes", flush=True)


def package(folder, pooling, normalize, classic):
    """The files of a package as most of the Hub's have them."""
    kinds = {"": "Transformer", "1_Pooling": "Pooling"} | ({"2_Normalize": "Normalize"} if normalize else {})
    files = {
        "modules.json": [{"idx": i, "name": str(i), "path": path, "type": "sentence_transformers.models." + kind} for i, (path, kind) in enumerate(kinds.items())],
        "sentence_bert_config.json": classic,
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean",
                                  "pooling_mode_max_tokens": pooling == "max", "pooling_mode_mean_sqrt_len_tokens": False},
    }
    for path in kinds:
        (folder / path).mkdir(exist_ok=True)
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, indent=2) + "\n")


def main(folder):
    logging.getLogger().setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    root = pathlib.Path(folder) / "text"
    root.mkdir(parents=True, exist_ok=True)
    all_texts = texts()
    (root / "texts.json").write_text(json.dumps(all_texts, ensure_ascii=False, indent=0) + "\n")
    wanted = sys.argv[2:]

    def make(name, build, tokenizer, *args, **more):
        if not wanted or name in wanted:
            shutil.rmtree(root / name, ignore_errors=True)
            build(root / name, all_texts, tokenizer, *args, **more)

    head = "ForSequenceClassification"
    t, bpe, xlmr = word_piece(), byte_bpe(), unigram()
    make("bert", classifier, t, model("Bert", head, t, ["negative", "neutral", "positive"]), fp16=True, quantized=True)
    make("distilbert", classifier, (d := word_piece(names=["input_ids", "attention_mask"])), model("DistilBert", head, d, ["NEGATIVE", "POSITIVE"]))
    make("roberta", classifier, bpe, model("Roberta", head, bpe, ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]))
    make("xlm-roberta", classifier, xlmr, model("XLMRoberta", head, xlmr, ["contradiction", "entailment", "neutral"]))
    make("multi-label", classifier, t, model("Bert", head, t, ["toxic", "obscene", "threat", "insult", "identity hate"], problem_type="multi_label_classification"))
    make("one-output", classifier, t, model("Bert", head, t, ["LABEL_0"]))
    make("bert-tokens", extractor, t, model("Bert", "Model", t))
    make("sentence-mean", sentences, t, model("Bert", "Model", t), "mean", True, 48, {"max_seq_length": 48, "do_lower_case": False}, stored=32)
    make("sentence-cls", sentences, (c := word_piece(lower=False)), model("Bert", "Model", c), "cls", False, LENGTH, {"max_seq_length": LENGTH, "do_lower_case": True})
    make("sentence-max", sentences, bpe, model("Roberta", "Model", bpe), "max", True, LENGTH)


if __name__ == "__main__":
    main(sys.argv[1])
