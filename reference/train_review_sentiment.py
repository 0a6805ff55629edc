"""Trains models/review-sentiment: does a sentence of a review praise or complain?

    python -P reference/train_review_sentiment.py --data DATA [--out models/review-sentiment]

-P keeps reference/tokenizer_cases.py from hiding the library of that name.

DATA holds text/uci-sentences/train.csv.gz and text/nltk-lexica/opinion_lexicon.zip. A fifth of the sentences is held
out, by source, label and seed; the settings are chosen by cross-validation on the others, and the held-out sentences
are scored once, at the end.

The model adds up weights: one for each word, another for a word that a negation reaches, one for each pair of
neighbours. It is logistic regression with the features scaled by what naive Bayes makes of them (Wang and Manning,
2012). Words of the opinion lexicon share weights besides their own, so that they count even if training has none.
Negation reaches some tokens, or to the end of the clause.
"""

import argparse
import csv
import gzip
import itertools
import json
import pathlib
import zipfile
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

SEED = 0
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
PAIRS = 1 << 17  # slots for pairs of neighbours; pairs that fall together share a weight
STEP = 1 / 4096  # weights are whole multiples of it: their sum is exact, and does not depend on the order or on padding
NEGATIONS = """not no never t dont didnt doesnt cant cannot wont isnt wasnt arent werent couldnt wouldnt shouldnt havent
hasnt hadnt aint neither nor nothing none nobody without hardly barely lack lacks lacked""".split()
STOPS = ". , ; : ! ? ( ) but".split()  # what ends a clause, and with it the reach of a negation
TURN = -0.5  # the part of a lexicon word's own weight that it has when negated, before training adds to it
PHRASES = 100  # words of each polarity that are negated for training: the most frequent
TEMPLATES = ["not {}", "not {} at all", "it was never {}.", "it is not {}."]
PHRASE_WEIGHT = 0.1  # what such a phrase counts, beside 1 for a sentence
ENDINGS = "s es d ed ing ly er est ness ful able ment ments y".split()  # an unknown word is known without its ending
CHECKS = {  # what the model must get right, whatever its accuracy
    "not bad at all": 1,
    "not good": 0,
    "I love it": 1,
    "I don't like it": 0,
    "This is not a good phone.": 0,
    "The food was never bad.": 1,
    "Absolutely terrible, a waste of money!": 0,
    "Wonderful acting and a great story.": 1,
    "not great at all": 0,
    "It is not a bad movie": 1,
    "never disappointed": 1,
    "I was not impressed": 0,
    "no problems at all": 1,
}


def read_sentences(folder):
    """Sources, sentences and labels; of sentences that occur twice, the first."""
    with gzip.open(folder / "text/uci-sentences/train.csv.gz", "rt", encoding="utf-8", newline="") as file:
        unique = {row["text"].strip().lower(): row for row in reversed(list(csv.DictReader(file)))}
    rows = list(reversed(unique.values()))
    return [row["source"] for row in rows], [row["text"] for row in rows], np.array([int(row["label"]) for row in rows])


def read_lexicon(folder):
    """Word to polarity: 1 or -1."""
    polarity = {}
    with zipfile.ZipFile(folder / "text/nltk-lexica/opinion_lexicon.zip") as archive:
        for name, value in ("positive", 1), ("negative", -1):
            lines = archive.read(f"opinion_lexicon/{name}-words.txt").decode("latin-1").split("\n")
            words = [line.strip() for line in lines if not line.startswith(";")]
            polarity |= {word: value for word in words if word}
    return polarity


def split(groups, parts, seed):
    """Parts of the places 0, 1, …, drawn by seed; each has an equal share of every group."""
    order = np.random.default_rng(seed).permutation(len(groups))
    order = order[np.argsort(np.array(groups)[order], kind="stable")]
    return [np.sort(order[part::parts]) for part in range(parts)]


def bert_words():
    """Splits as BERT does: lower case, no accents, punctuation apart."""
    normalizer, pre = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    return lambda text: [word for word, _ in pre.pre_tokenize_str(normalizer.normalize_str(text))]


def make_tokenizer(texts, polarity):
    """A tokenizer that knows the words of texts and of the lexicon, and their endings."""
    words = bert_words()
    counts = Counter(word for text in texts for word in words(text))
    known = sorted({*counts, *(word for word in polarity if words(word) == [word]), *NEGATIONS, *STOPS})
    pieces = SPECIAL + known + ["##" + ending for ending in ENDINGS]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def encode(tokenizer, texts):
    """Ids and mask of texts, padded to the longest."""
    ids = [tokenizer.encode(text).ids for text in texts]
    width = max(map(len, ids))
    padded = np.array([row + [0] * (width - len(row)) for row in ids], np.int64)
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in ids], np.int64)
    return torch.from_numpy(padded), torch.from_numpy(mask)


def before(x, count):
    """What stands count places before, and zeros at the beginning."""
    return nn.functional.pad(x, (count, 0))[:, :-count]


class Scorer(nn.Module):
    """Adds up the weights. This is what is exported."""

    def __init__(self, weights, pairs, bias, negation, stop, reach):
        super().__init__()
        self.reach = reach  # tokens after a negation that it negates
        self.weights = nn.Parameter(weights)  # [token, 2]: as it stands, and negated
        self.pairs = nn.Parameter(pairs)
        self.bias = nn.Parameter(bias)
        self.register_buffer("negation", negation)
        self.register_buffer("stop", stop)

    def reached(self, ids, mask):
        """1 where a negation reaches a token, 0 elsewhere."""
        negation = self.negation[ids] * mask
        going = 1 - self.stop[ids]
        reached, path = before(negation, 1), torch.ones_like(negation)
        for distance in range(2, self.reach + 1):
            path = path * before(going, distance - 1)
            reached = torch.maximum(reached, before(negation, distance) * path)
        return reached

    def forward(self, ids, mask):
        mask = mask.float()
        reached = self.reached(ids, mask)
        plain, negated = self.weights[ids].unbind(2)
        slot = (before(ids, 1) * 40503 + ids) % PAIRS
        words = torch.where(reached > 0, negated, plain) * mask
        pairs = self.pairs[slot] * mask * before(mask, 1)
        half = ((words + pairs).sum(1) + self.bias) / 2
        return torch.stack([-half, half], 1)


class Trained:
    """The parameters behind a Scorer's weights, and how they make it."""

    def __init__(self, tokenizer, polarity, reach):
        self.reach = reach
        size = tokenizer.get_vocab_size()
        pieces = [tokenizer.id_to_token(place) for place in range(size)]
        self.negation = torch.tensor([float(piece in NEGATIONS) for piece in pieces])
        self.stop = torch.tensor([float(piece in STOPS) for piece in pieces])
        tone = torch.tensor([float(polarity.get(piece, 0)) for piece in pieces]) * (1 - self.negation)
        self.tone = torch.stack([tone > 0, tone < 0, self.negation > 0], 1).float()
        self.words = torch.zeros(size, 2)  # as a token stands, and what a negation adds
        self.pairs = torch.zeros(PAIRS)
        self.turn = torch.where(tone != 0, TURN, 1.0)
        self.shared = torch.zeros(3, 2)  # of positive words, negative words, negations
        self.bias = torch.zeros(1)
        self.scales = [torch.ones(())] * 4

    def parameters(self):
        return [self.words, self.pairs, self.shared, self.bias]

    def tables(self):
        """The weights, pairs and bias of the Scorer."""
        words, pairs, shared, bias = (value * scale for value, scale in zip(self.parameters(), self.scales))
        plain, extra = words.unbind(1)
        negated = plain * self.turn + extra
        return torch.stack([plain, negated], 1) + self.tone @ shared, pairs, bias

    def scorer(self):
        with torch.no_grad():
            tables = [torch.round(table / STEP) * STEP for table in self.tables()]
        return Scorer(*tables, self.negation, self.stop, self.reach)

    def score(self, ids, mask):
        weights, pairs, bias = self.tables()
        scorer = Scorer(weights.detach(), pairs.detach(), bias.detach(), self.negation, self.stop, self.reach)
        tables = {"weights": weights, "pairs": pairs, "bias": bias}
        return torch.func.functional_call(scorer, tables, (ids, mask))[:, 1] * 2

    def scale(self, ids, mask, y, share, pair):
        """Scales words and pairs by how much each tells by naive Bayes: share of that, and 1 - share of 1.

        How often a feature occurs is the gradient of the sum of the scores.
        """
        counts = []
        turn, self.turn = self.turn, torch.zeros_like(self.turn)  # a negated word counts as negated only
        for label in 1, 0:
            some = y == label
            total = self.score(ids[some], mask[some]).sum()
            counts.append([1 + count for count in torch.autograd.grad(total, [self.words, self.pairs])])
        self.turn = turn
        for place, (positive, negative) in enumerate(zip(*counts)):
            ratio = torch.log(positive / positive.sum()) - torch.log(negative / negative.sum())
            self.scales[place] = (share * ratio.abs() + 1 - share) * (pair if place else 1)

    def fit(self, ids, mask, y, real, share, pair, strength):
        """Logistic regression with a penalty of half the squared parameters over strength.

        The first rows are the real ones; the others are phrases, and count less.
        """
        for parameter in self.parameters():
            parameter.requires_grad_()
        self.scale(ids[:real], mask[:real], y[:real], share, pair)
        weight = torch.ones(len(y))
        weight[real:] = PHRASE_WEIGHT
        optimiser = torch.optim.LBFGS(self.parameters(), max_iter=200, line_search_fn="strong_wolfe")
        target = y.float()

        def closure():
            optimiser.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(self.score(ids, mask), target, weight, reduction="sum")
            loss = loss + sum((value**2).sum() for value in self.parameters()[:3]) / (2 * strength)
            loss.backward()
            return loss

        optimiser.step(closure)
        return self


SETTINGS = [  # what cross-validation chooses from
    {"reach": reach, "share": share, "pair": pair, "strength": strength}
    for reach, share, pair, strength in itertools.product([3, 4, 5], [0.5, 1.0], [0.5], [2.0, 4.0])
]


def phrases(seen, polarity):
    """Negated words of the lexicon, with labels: the sentences have too few to tell what negation does.

    The words are those that occur most often in the sentences.
    """
    words = bert_words()
    counts = Counter(word for text in seen for word in words(text) if word not in NEGATIONS)
    texts, labels = [], []
    for value in 1, -1:
        common = [word for word, _ in counts.most_common() if polarity.get(word) == value][:PHRASES]
        texts += [template.format(word) for word in common for template in TEMPLATES]
        labels += [int(value < 0)] * (len(common) * len(TEMPLATES))
    return texts, np.array(labels, np.int64)


def learn(texts, y, polarity, settings):
    settings = dict(settings)
    tokenizer = make_tokenizer(texts, polarity)
    made, labels = phrases(texts, polarity)
    model = Trained(tokenizer, polarity, settings.pop("reach"))
    model.fit(*encode(tokenizer, texts + made), torch.from_numpy(np.append(y, labels)), len(texts), **settings)
    return tokenizer, model.scorer()


def accuracy(tokenizer, scorer, texts, y):
    with torch.no_grad():
        return float((scorer(*encode(tokenizer, texts)).argmax(1).numpy() == y).mean())


def cross_validate(texts, y, polarity, settings, rounds=2):
    """The mean accuracy over five folds, drawn anew in every round."""
    scores = []
    for seed in range(1, rounds + 1):
        for out in split(y, 5, SEED + seed):
            rest = np.setdiff1d(np.arange(len(y)), out)
            tokenizer, scorer = learn([texts[i] for i in rest], y[rest], polarity, settings)
            scores.append(accuracy(tokenizer, scorer, [texts[i] for i in out], y[out]))
    return float(np.mean(scores))


def by_lexicon(texts, polarity):
    """The baseline: positive unless more words of the lexicon are negative than positive."""
    words = bert_words()
    return np.array([int(sum(polarity.get(word, 0) for word in words(text)) >= 0) for text in texts])


def export(scorer, path):
    torch.onnx.export(
        scorer.eval(),
        (torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64)),
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={
            "input_ids": {0: "batch", 1: "sequence"},
            "attention_mask": {0: "batch", 1: "sequence"},
            "logits": {0: "batch"},
        },
        opset_version=17,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def verify(path, tokenizer, scorer, texts):
    """Checks the exported graph against torch, batches against single texts, and returns the labels it gives."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(some):
        ids, mask = encode(tokenizer, some)
        return session.run(["logits"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]

    logits = run(texts)
    with torch.no_grad():
        assert np.array_equal(logits, scorer(*encode(tokenizer, texts)).numpy()), "ONNX Runtime and torch differ"
    alone = np.concatenate([run([text]) for text in texts])
    assert np.array_equal(logits, alone), "a text scored alone and in a batch differs"
    for text, want in CHECKS.items():
        row = run([text])[0]
        print(f"{LABELS[row.argmax()]} {1 / (1 + np.exp(-np.ptp(row))):.3f} {text}")
        assert row.argmax() == want, text
    return logits.argmax(1)


def write_configs(folder, tokenizer):
    configs = {
        "config.json": {
            "leat": {"task": "text-classification", "providers": ["cpu"]},
            "problem_type": "single_label_classification",
            "id2label": {str(place): label for place, label in LABELS.items()},
            "label2id": {label: place for place, label in LABELS.items()},
            "vocab_size": tokenizer.get_vocab_size(),
            "pad_token_id": tokenizer.token_to_id("[PAD]"),
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 512,
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
        },
    }
    for name, content in configs.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


CARD = """\
---
license: cc-by-4.0
language: en
pipeline_tag: text-classification
tags: [onnx, sentiment-analysis]
metrics: [accuracy]
---

# review-sentiment

Says whether a sentence of an English review praises (`POSITIVE`) or complains (`NEGATIVE`). Comes with leat.

The model adds up weights: one for each word, another for a word that a negation reaches, one for each pair of
neighbours. It is logistic regression with the features scaled by naive Bayes (Wang and Manning, 2012): {words:,} tokens
and {pairs:,} slots for pairs. The words of a lexicon share weights besides their own, so that they count even if
training has none. A negation reaches {reach} tokens, or to the end of the clause. An unknown word is taken without its
ending, if that makes it a known one.

The inputs are `input_ids` and `attention_mask` [batch, sequence], the output is `logits` [batch, 2]. Padding does not
change the output, bit for bit: all weights are whole multiples of 1/4096, so that their sum is exact.

## Data

- Sentiment Labelled Sentences, UCI Machine Learning Repository, <https://doi.org/10.24432/C57604>, licence CC BY 4.0:
  sentences of reviews at Amazon (telephones and accessories), IMDb and Yelp (restaurants). {all:,} different ones were
  at hand; {train:,} were trained on.
- {phrases} phrases such as "not good at all", made from frequent words of the lexicon. They teach negation, which the
  sentences have too little of, and count a tenth of a sentence each.
- Opinion Lexicon, <https://www.cs.uic.edu/~liub/FBS/sentiment-analysis.html>, licence CC BY 4.0: {lexicon:,} words.

> D. Kotzias, M. Denil, N. de Freitas, P. Smyth. From Group to Individual Labels using Deep Features. KDD 2015.
>
> M. Hu, B. Liu. Mining and Summarizing Customer Reviews. KDD 2004.

## Figures

Training never saw {held:,} sentences: a fifth, drawn with seed {seed}, with an equal share of each source and label.
Neither the weights nor the vocabulary come from them. They were scored once. The settings were chosen by two rounds of
five-fold cross-validation on the other sentences, where the best had {cross:.1%}. What kinds of features to use was
first explored by cross-validation on another split, which had some of the held-out sentences in it.

| On the held-out sentences | Accuracy |
|---|---|
| This model | {ours:.1%} |
| More positive than negative words of the lexicon | {theirs:.1%} |
| Always the label that is more frequent | {most:.1%} |

| Source | Accuracy |
|---|---|
{sources}

With {held} sentences, chance alone moves the accuracy by {error:.1%} (one standard error).

## Limits

- Short English sentences that take a side. There is no neutral label, and none of the data were neutral.
- It knows words and pairs of words, not meaning: irony, comparisons, questions and what goes beyond a clause mislead
  it. A long text is added up word by word, and the score becomes too sure of itself.
- Telephones, films and restaurants around 2010. Words of other fields count only if they are in the lexicon.
- The texts are written by people who chose to write, and the lexicon carries the views of those who made it: words for
  groups of people may count as bad.
- The probabilities are not calibrated.
- It runs on the provider cpu alone: pairs of words are numbered by integers of 64 bits, which OpenVINO narrows to 32.

## Use

For trying leat and for tests. Not for judging people.

Made by `reference/train_review_sentiment.py`.
"""


def card(settings, cross, scorer, polarity, rest, sources, y, said, lexicon):
    ours = (said == y).mean()
    kinds = sorted(set(sources))
    return CARD.format(
        words=len(scorer.weights),
        pairs=len(scorer.pairs),
        phrases=2 * PHRASES * len(TEMPLATES),
        reach=settings["reach"],
        all=len(rest) + len(y),
        train=len(rest),
        lexicon=len(polarity),
        held=len(y),
        seed=SEED,
        cross=cross,
        ours=ours,
        theirs=(lexicon == y).mean(),
        most=max(y.mean(), 1 - y.mean()),
        sources="\n".join(f"| {kind} | {(said == y)[np.array(sources) == kind].mean():.1%} |" for kind in kinds),
        error=np.sqrt(ours * (1 - ours) / len(y)),
    )


def choose(texts, y, polarity):
    """The best settings in cross-validation, and their accuracy."""
    scores = []
    for settings in SETTINGS:
        scores.append(cross_validate(texts, y, polarity, settings))
        print(f"{scores[-1]:.4f}  {settings}", flush=True)
    best = int(np.argmax(scores))
    return SETTINGS[best], scores[best]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("models/review-sentiment"))
    args = parser.parse_args()

    torch.set_num_threads(1)  # so that sums are the same everywhere
    sources, texts, y = read_sentences(args.data)
    polarity = read_lexicon(args.data)
    held = split([f"{source} {label}" for source, label in zip(sources, y)], 5, SEED)[0]
    rest = np.setdiff1d(np.arange(len(y)), held)
    seen, unseen = [texts[i] for i in rest], [texts[i] for i in held]

    settings, cross = choose(seen, y[rest], polarity)
    tokenizer, scorer = learn(seen, y[rest], polarity, settings)

    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "model.onnx"
    export(scorer, path)
    write_configs(args.out, tokenizer)
    said = verify(path, Tokenizer.from_file(str(args.out / "tokenizer.json")), scorer, unseen)

    lexicon = by_lexicon(unseen, polarity)
    print("held out:", (said == y[held]).mean(), "lexicon:", (lexicon == y[held]).mean())
    kinds = [sources[i] for i in held]
    (args.out / "README.md").write_text(card(settings, cross, scorer, polarity, rest, kinds, y[held], said, lexicon))


if __name__ == "__main__":
    main()
