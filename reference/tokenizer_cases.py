"""Trains small tokenizers of each family with Hugging Face's library and records what they answer.

Usage: python -I reference/tokenizer_cases.py task/tokenizer/testdata

Writes texts.json, the hard texts, and for each family NAME.json.gz: the tokenizer.json, and ids, type ids and offsets
for all texts, for pairs, truncated, and in windows; offsets are in bytes. properties.gz (JSON) has the classes of all
characters. (-I: this file has the library's name.)
"""

import gzip
import io
import json
import random
import sys

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = """
The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs! How vexingly quick daft zebras jump?
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.
A pipeline is one file, in a language that exists, and one program runs it. We've seen that they'll do what he'd done; I'm sure it's fine.
The film was unbelievably boring, though the actors' performances were surprisingly good: 7 out of 10, or 3.5 stars.
In 1984 the price rose by 12.75 % to $1,234,567.89; see https://example.org/path?query=1&other=two#top or write to someone@example.com.
Das Mädchen aß größere Äpfel, während der Bär über die Straße lief. Fünf Füße, süße Grüße aus Köln.
L'été dernier, nous étions à la plage où les élèves jouaient; garçon, naïve, œuvre, cœur, Noël, déjà vu.
El niño comió piñas mañana en España. ¿Qué pasó? ¡Increíble! Ação e coração em São Paulo.
Быстрая коричневая лиса прыгает через ленивую собаку. Съешь же ещё этих мягких французских булок, да выпей чаю.
Η γρήγορη καφέ αλεπού πηδάει πάνω από το σκυλί. Καλημέρα κόσμε, όλα καλά.
我们在北京学习机器学习。今天天气很好,你好世界!数据流和模型。
日本語のテキストを分割します。カタカナとひらがな、漢字もあります。東京タワー。
한국어 문장을 토큰으로 나눕니다. 안녕하세요 세계, 오늘은 날씨가 좋습니다.
مرحبا بالعالم، هذا نص عربي للتجربة. שלום עולם, זה טקסט בעברית.
नमस्ते दुनिया, यह एक परीक्षण है। สวัสดีชาวโลก นี่คือการทดสอบ
İstanbul'da ışık ve Iğdır; ÇOĞU ŞEY güzel. Tiếng Việt có nhiều dấu: được, những, người, đường.
def main(argv: list[str]) -> int:\n    for i in range(10):\n        print(f"{i:>3}", end="\\t")\n    return 0
😀 😃 ❤️ 👍🏽 👩‍👩‍👧‍👦 🇩🇪 café CAFÉ naïve NAÏVE ﬁne oﬃce ½ ² ① ℃ Ａｂｃ １２３
""".strip().split("\n")

HARD = [
    "", " ", "   ", "\n", "\t", "\r\n", "\n\n\n", " \n ", "\u00a0", "\u3000", "\u200b", "\u2028x\u2029y", "a", "A", " a", "a ", "  a  b  ",
    "Hello, world!", "hello world", "HELLO WORLD", "Hello   world", "Hello\tworld\nagain\r\nand again", "unbelievable", "unbelievably",
    "it's we've they'll he'd I'm don't", "IT'S WE'VE THEY'LL HE'D I'M DON'T", "'s't're've'm'll'd", "'ſ 'S ''s", "it’s", "rock'n'roll",
    "The quick brown fox jumps over the lazy dog.", "7 out of 10", "1234567890", "12 345 6789 3.14159 1,234,567.89", "²³½①Ⅷ௧२३٤٥", "a1b2c3", "x=1;y=22;z=333",
    "https://example.org/path?query=1&other=two#top", "someone@example.com", "C:\\Users\\me\\file.txt", "#hashtag @mention $TICKER", "snake_case_name camelCaseName",
    "café", "cafe\u0301", "CAFÉ", "CAFE\u0301", "e\u0301\u0323", "e\u0323\u0301", "\u1ec7", "\u0301", "\u0301a", "a\u0301\u0302\u0303\u0304\u0305", "Å Å A\u030a \u212b",
    "naïve Noël œuvre", "Äpfel größer Straße", "ẞ ß SS ss", "İstanbul ISTANBUL ıspanak İİ i\u0307", "ǅ ǆ Ǆ ŉ ΐ ﬃ ﬁ ﬂ ſt", "ΑΣ ΣΑΣ ς σ", "Ω Ω ℃ K Å", "Ⱥ ⱥ Ⴀ ⴀ ᏸ Ꮀ ꭰ",
    "我们在北京", "我 们", "北京abc北京", "日本語のテキスト", "カタカナ ｶﾀｶﾅ ガ ｶﾞ が か\u3099", "한국어 문장", "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165", "각 가\u11a8 \u1100\u1161", "한ㄱㅏ", "𠀀𠮷𪚥 㐀 豈 﨑",
    "مرحبا بالعالم", "שלום עולם", "שָׁלוֹם", "السَّلَامُ", "\u202bשלום\u202c", "नमस्ते दुनिया", "क्षि", "สวัสดี", "กำ", "ਪੰਜਾਬੀ தமிழ் తెలుగు", "မြန်မာ ខ្មែរ", "བོད་ཡིག", "Tiếng Việt", "Tiê\u0301ng Viê\u0323t",
    "😀", "😀😃", "❤️", "❤", "👍🏽", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "1️⃣ #️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "a😀b", "😀 a", "e\u200dx", "👨‍💻 codes", "\u200d", "\ufe0f",
    "a\u200bb", "a\u200cb\u200dc", "a\ufeffb", "\ufeffstart", "soft\u00adhyphen", "a\u2060b", "word\u180ejoin", "zero\u200b \u200bwidth",
    "\x00", "a\x00b", "\x01\x02\x03", "a\x07b\x08c", "\x7f", "a\x80b\x85c\x9fd", "\x1b[31mred\x1b[0m", "bell\x07", "\x0b\x0c", "a\x1cb\x1dc\x1ed\x1fe", "\x8f\x90", "\ufffd", "a\ufffdb", "\ue000 private", "\U000f0000", "\uffff", "\ufdd0x", "\U0010ffff",
    "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "The capital of France is [MASK].", "[MASK][MASK] [MASK]", "a[MASK]b", "[mask]", "[MASK", "MASK]", "[CLS] text [SEP] text [SEP]", "  [MASK]  ", "é[MASK]é",
    "<s>", "</s>", "<mask>", "<unk>", "<pad>", "<s>text</s>", "a <mask> b", "a<mask>b", "  <mask>  ", "<mask><mask>", "x\u00a0<mask>\u2003y", "<|endoftext|>", "a<|endoftext|>b", "<|begin_of_text|>hi<|eot_id|>", "<extra_id_0> x <extra_id_1>", "<0x41>", "<0xE2>", "##ing", "ing ##ing",
    "Monday", "a Monday b", "aMonday", "Monday's", "MONDAY monday", "Mondays", " Monday ", "new york", "New York", "NEW YORK!", "newyork", "in new york,new york", "stripped", "  stripped  ", "a stripped b",
    "▁", "▁▁a", "a▁b", "▁ a", " ▁a", "Ġ", "aĠb", "Ċ", "hello▁world Ġhello",
    ".", "...", "…", "!?!?", "-- – — ―", "“quoted” ‘single’ «guillemets»", "(a)[b]{c}", "a.b,c;d:e", "¿Qué? ¡Sí!", "。、「」", "؟ ، ؛", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "^`~$+=<>|", "§¶†‡•", "‰ € £ ¥ ¢ ₹", "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋", "←↑→↓", "¼½¾", "™®©", "〈〉《》", "ー〜・", "‿⁀_", "„low“", "՛՜", "᐀a", "⸺", "᠆a",
    "a" * 99, "a" * 100, "a" * 101, "é" * 100, "é" * 101, "ab" * 150, "supercalifragilisticexpialidocious" * 4, "x" * 65, "the" * 22, "1" * 200, "😀" * 40, "é" * 70, "中" * 120, "-" * 130, " " * 70 + "a", "\n" * 20, "a" + " " * 20 + "b",
    "def main():\n    return 0\n", "\tif x:\n\t\ty = [1, 2]\n\n\n  # end", "if (a && b) { c->d(); } // é", "a \n b", "a\n\n b", "a  \n\n  b", " \r\n\r\n x", "end \n", "x\r", "\r\n\r\nx", "!\n\n?", "... \n\n", "x\u00a0\u00a0y", "\u3000中 文\u3000", "a\u2003\u2003b", "\u1680x", "a\u0085b", "\u2000\u2001\u2002",
    "Ａｂｃ １２３ ！", "ﬁne oﬃce", "㎏ ㍿ ㈱ ㊙", "x² H₂O", "ｱｲｳ ﾊﾟ", "ﷺ", "ŀ Ŀ ĳ Ĳ", "…‥․", "ﾞ", "\u2126 \u212a", "゛゜", "\u0345", "\u0344", "\u0958\u0959", "\u2adc", "\U0001d15e", "\u0f73\u0f75", "\U000110ab \U00011131", "\u0340\u0341\u0343\u0374\u037e\u0387", "\u1e9b\u0323", "\u0112\u0300", "\u0cc6\u0cc2\u0cd5", "q\u0307\u0323", "\u3131\u314f", "\u320e \u3260", "ℌ ℑ 𝓐𝔅𝕮 𝟘𝟙", "µ μ",
    "𝒳 math 𝓗𝓮𝓵𝓵𝓸", "𐍈𐌰 gothic", "𞤀𞤁 adlam", "𐐀𐐨 deseret", "ა Ა", "ꟊ Ɤ ꟃ", "𑄀 𑐵 chakma", "᪰᪱ ᷀", "꣠ ꫬ", "\u0e33 \u0eb3", "\u0d4e a", "\u0600 1", "\u0600\u06dd2", "\U000110bd3", "e\u0301\r\n", "\r\u0301\n", "a\u0308", "o\u0308u\u0308", "\u1100\u0301", "\u0915\u094d\u0937", "\u0e01\u0e33",
    "Ḁ̈", "ḍ̇ ḍ̇", "ö̲", "Å̧", "x̧́", "ⅷ Ⅷ ⓐ Ⓐ", "ͅΑ ᾼ ᾳ ᾼ", "\u0130\u0307", "\u01f0 J\u030c", "\u0149", "\u1f88 \u1f80", "ᲀ ᲈ", "Ꙋ ꙋ", "ⴧ Ⴧ", "ⱻ", "𑢠 𑣀", "Ꞌ ɥ", "ẛ", "ỿ",
    "line one\nline two\n\nline four", "trailing spaces   ", "   leading spaces", "tabs\t\tand  spaces", "mixed \t \n \t end", "a,b", "a ,b", "a, b", "( a )", "end.", "end .", "U.S.A.", "e.g. i.e.", "10:30 a.m.", "5'10\"", "$5.00", "50%", "C++ C# F#", "AT&T", "1/2", "+49 (0)30 123456", "2026-11-23T02:00:00Z", "v1.2.3-rc.4", "0xDEADBEEF", "1e-10", "π≈3.14159",
    "Съешь же ещё этих мягких французских булок", "ЁЖИК ёжик Й и\u0306", "Καλημέρα ΚΑΛΗΜΈΡΑ", "ѐ ѝ ї Ї", "Ђ ђ", "Ӂ ӂ", "ґ Ґ",
]

MORE = "the of times unbelievable jumps Straße été niño лиса κόσμε 北京 日本語 한국어 مرحبا שלום नमस्ते İstanbul được 😀 👍🏽 e\u0301 ﬁ ½ 123 4567 3.14 it's we've [MASK] <mask> <s> </s> [SEP] Monday stripped , . ! ? ; : - ( ) \" ' \n \t \u00a0 \u200b \u0301 \ufeff Ａｂ ｶﾞ ▁ Ġ def return".split(" ")


def texts():
    """The hard texts: those above, a long one, and random mixtures."""
    rng = random.Random(20261123)
    out = list(HARD)
    for n in range(60):
        out.append("".join(rng.choice(MORE) + rng.choice(["", " ", " ", " ", "  ", "\n"]) for _ in range(rng.randint(2, 24))))
    long = " ".join(rng.choice(CORPUS) for _ in range(60))
    out.append(long[:5000])
    ranges = [(0x20, 0x250), (0x250, 0x2000), (0x2000, 0x3100), (0xa000, 0xd7ff), (0xf900, 0xffff), (0x10000, 0x1ffff)]
    for n in range(40):
        lo, hi = ranges[n % len(ranges)]
        out.append("".join(chr(rng.randint(lo, hi)) if rng.random() < 0.7 else rng.choice(" aeiou") for _ in range(30)))
    return out


BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
ALPHABET = pre_tokenizers.ByteLevel.alphabet()
MASK = AddedToken("<mask>", lstrip=True, normalized=False, special=True)


def trained(model, trainer, normalizer=None, pre=None, post=None, added=()):
    t = Tokenizer(model)
    if normalizer is not None:
        t.normalizer = normalizer
    if pre is not None:
        t.pre_tokenizer = pre
    t.train_from_iterator(CORPUS * 3, trainer)
    for token in added:
        (t.add_special_tokens if isinstance(token, AddedToken) and token.special else t.add_tokens)([token])
    if post is not None:
        t.post_processor = post(t)
    return t


def template(t, single, pair, names):
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(n, t.token_to_id(n)) for n in names])


def bert(lower, strip, post):
    return trained(
        models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=1200, special_tokens=BERT_SPECIAL, show_progress=False),
        normalizers.BertNormalizer(lowercase=lower, strip_accents=strip), pre_tokenizers.BertPreTokenizer(), post,
        [AddedToken("Monday", single_word=True, normalized=True), AddedToken("New York", normalized=True), AddedToken("stripped", lstrip=True, rstrip=True, normalized=False)])


def bert_template(t):
    return template(t, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])


def bert_processing(t):
    return processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]")))


def roberta(prefix, trim):
    return trained(
        models.BPE(unk_token="<unk>"), trainers.BpeTrainer(vocab_size=900, special_tokens=ROBERTA_SPECIAL, initial_alphabet=ALPHABET, show_progress=False),
        None, pre_tokenizers.ByteLevel(add_prefix_space=prefix),
        lambda t: processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")), trim_offsets=trim, add_prefix_space=prefix), [MASK])


def gpt2():
    return trained(
        models.BPE(), trainers.BpeTrainer(vocab_size=800, special_tokens=["<|endoftext|>"], initial_alphabet=ALPHABET, show_progress=False),
        None, pre_tokenizers.ByteLevel(add_prefix_space=False), lambda t: processors.ByteLevel(trim_offsets=False))


def llama2(fuse):
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    t = trained(
        models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=True),
        trainers.BpeTrainer(vocab_size=1000, special_tokens=["<unk>", "<s>", "</s>"] + bytes_, limit_alphabet=90, show_progress=False),
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), pre_tokenizers.Metaspace(prepend_scheme="never"), None)
    data = json.loads(t.to_str())
    data["pre_tokenizer"] = None
    data["added_tokens"] = [a for a in data["added_tokens"] if not a["content"].startswith("<0x")]
    if not fuse:  # without the bytes, so that unknown characters are unknown
        data["model"]["byte_fallback"] = False
        data["normalizer"] = None
        data["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    t = Tokenizer.from_str(json.dumps(data))
    t.post_processor = template(t, "<s> $A", "<s> $A <s>:1 $B:1", ["<s>"])
    return t


def split_bpe(pattern, normalizer, ignore_merges, post):
    return trained(
        models.BPE(ignore_merges=ignore_merges), trainers.BpeTrainer(vocab_size=900, special_tokens=["<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>"], initial_alphabet=ALPHABET, show_progress=False),
        normalizer, pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), post)


def llama3_post(t):
    return processors.Sequence([processors.ByteLevel(trim_offsets=True), template(t, "<|begin_of_text|> $A", "<|begin_of_text|> $A <|begin_of_text|>:1 $B:1", ["<|begin_of_text|>"])])


def clip():
    return trained(
        models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"),
        trainers.BpeTrainer(vocab_size=900, special_tokens=["<|startoftext|>", "<|endoftext|>"], initial_alphabet=ALPHABET, end_of_word_suffix="</w>", show_progress=False),
        normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
        lambda t: processors.RobertaProcessing(("<|endoftext|>", t.token_to_id("<|endoftext|>")), ("<|startoftext|>", t.token_to_id("<|startoftext|>")), trim_offsets=False, add_prefix_space=False))


def prefix_bpe():
    return trained(
        models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", fuse_unk=True), trainers.BpeTrainer(vocab_size=700, special_tokens=["[UNK]"], continuing_subword_prefix="##", limit_alphabet=80, show_progress=False),
        normalizers.NFKC(), pre_tokenizers.Whitespace(), None)


def charsmap():
    """SentencePiece's own nmt_nfkc rules, as T5 and XLM-R have them."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS * 20), model_writer=model, vocab_size=600, hard_vocab_limit=False, minloglevel=2, normalization_rule_name="nmt_nfkc")
    from sentencepiece import sentencepiece_model_pb2 as proto
    m = proto.ModelProto()
    m.ParseFromString(model.getvalue())
    return m.normalizer_spec.precompiled_charsmap


def unigram(normalizer, pre, special, post, byte_fallback=False, added=()):
    t = trained(
        models.Unigram(), trainers.UnigramTrainer(vocab_size=900, special_tokens=special, unk_token="<unk>", show_progress=False), normalizer, pre, None, added)
    if byte_fallback:
        data = json.loads(t.to_str())
        data["model"]["byte_fallback"] = True
        data["model"]["vocab"] = [v for v in data["model"]["vocab"] if ord(v[0][-1]) < 0x2600] + [[f"<0x{b:02X}>", -30.0] for b in range(256)]
        t = Tokenizer.from_str(json.dumps(data))
    t.post_processor = post(t)
    return t


def t5_post(t):
    return template(t, "$A </s>", "$A </s> $B </s>", ["</s>"])


def xlmr_post(t):
    return template(t, "<s> $A </s>", "<s> $A </s> </s> $B </s>", ["<s>", "</s>"])


def word_level(pre, normalizer=None):
    """Each word is one unknown token, so that the offsets show how the text was cut."""
    t = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "a": 2}, unk_token="<unk>"))
    t.pre_tokenizer = pre
    if normalizer is not None:
        t.normalizer = normalizer
    return t


def byte_bpe(normalizer):
    """Each byte is a token, so that the ids show the normalised text and the offsets its alignment."""
    t = Tokenizer(models.BPE({f"<0x{b:02X}>": b for b in range(256)}, [], byte_fallback=True))
    t.normalizer = normalizer
    return t


def families():
    split = pre_tokenizers.Split
    rules = charsmap()
    yield "bert-uncased", lambda: bert(True, None, bert_template)
    yield "bert-cased", lambda: bert(False, None, bert_processing)
    yield "bert-accents", lambda: bert(True, False, bert_template)
    yield "roberta", lambda: roberta(False, True)
    yield "roberta-prefix", lambda: roberta(True, True)
    yield "gpt2", gpt2
    yield "llama2", lambda: llama2(True)
    yield "llama2-unknown", lambda: llama2(False)
    yield "llama3", lambda: split_bpe(LLAMA3, None, True, llama3_post)
    yield "qwen2", lambda: split_bpe(QWEN2, normalizers.NFC(), False, lambda t: processors.ByteLevel(trim_offsets=False))
    yield "clip", clip
    yield "bpe-prefix", prefix_bpe
    yield "t5", lambda: unigram(normalizers.Precompiled(rules), pre_tokenizers.Metaspace(), ["<pad>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_1>"], t5_post)
    yield "xlmr", lambda: unigram(
        normalizers.Sequence([normalizers.Precompiled(rules), normalizers.Replace(Regex(" {2,}"), " ")]), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
        ["<s>", "<pad>", "</s>", "<unk>"], xlmr_post, byte_fallback=True, added=[MASK])
    yield "albert", lambda: unigram(
        normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Nmt(), normalizers.Strip()]),
        pre_tokenizers.Metaspace(prepend_scheme="first"), ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"], bert_template)
    for name, n in {
        "bert": normalizers.BertNormalizer(), "nfc": normalizers.NFC(), "nfd": normalizers.NFD(), "nfkc": normalizers.NFKC(), "nfkd": normalizers.NFKD(), "lowercase": normalizers.Lowercase(),
        "strip": normalizers.Strip(), "strip-left": normalizers.Strip(right=False), "strip-accents": normalizers.StripAccents(), "nmt": normalizers.Nmt(), "byte-level": normalizers.ByteLevel(),
        "prepend": normalizers.Prepend("ab"), "precompiled": normalizers.Precompiled(rules), "replace": normalizers.Replace("a", "xyz"), "replace-regex": normalizers.Replace(Regex(r"[aeiou]+\s?"), "é-"),
        "bert-strip": normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
        "sequence": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Replace(" ", "__"), normalizers.NFC(), normalizers.Lowercase(), normalizers.Prepend("_"), normalizers.Strip()]),
    }.items():
        yield "normalizer-" + name, lambda n=n: byte_bpe(n)
    for name, p in {
        "bert": pre_tokenizers.BertPreTokenizer(), "whitespace": pre_tokenizers.Whitespace(), "whitespace-split": pre_tokenizers.WhitespaceSplit(), "digits": pre_tokenizers.Digits(), "digits-each": pre_tokenizers.Digits(True),
        "delimiter": pre_tokenizers.CharDelimiterSplit("a"), "punctuation": pre_tokenizers.Punctuation(), "punctuation-contiguous": pre_tokenizers.Punctuation("contiguous"),
        "punctuation-previous": pre_tokenizers.Punctuation("merged_with_previous"), "punctuation-next": pre_tokenizers.Punctuation("merged_with_next"), "punctuation-removed": pre_tokenizers.Punctuation("removed"),
        "metaspace": pre_tokenizers.Metaspace(), "metaspace-first": pre_tokenizers.Metaspace(prepend_scheme="first"), "metaspace-never": pre_tokenizers.Metaspace(replacement="_", prepend_scheme="never"), "metaspace-whole": pre_tokenizers.Metaspace(split=False),
        "byte-level": pre_tokenizers.ByteLevel(add_prefix_space=False), "byte-level-prefix": pre_tokenizers.ByteLevel(add_prefix_space=True), "llama3": split(Regex(LLAMA3), "isolated"), "qwen2": split(Regex(QWEN2), "removed", invert=True),
        "split-previous": split(" ", "merged_with_previous"), "split-next": split(" ", "merged_with_next"), "split-contiguous": split(Regex("[a-z]"), "contiguous"), "split-invert": split(Regex("[a-z ]+"), "isolated", invert=True), "split-removed": split("e", "removed"),
        "split-lookahead": split(Regex(r"\p{L}(?=\p{L})|\s+(?!\S)"), "merged_with_next"),
        "sequence": pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=True), pre_tokenizers.Punctuation()]),
    }.items():
        yield "pre-tokenizer-" + name, lambda p=p: word_level(p)


def answer(e, texts):
    """An encoding with its offsets in bytes, flat; types only where they are not all 0."""
    out = {"ids": e.ids, "offsets": []}
    for (start, end), sequence, special in zip(e.offsets, e.sequence_ids, e.special_tokens_mask):
        text = texts[sequence or 0]
        out["offsets"] += [len(text[:start].encode()), len(text[:end].encode())] if not special else [0, 0]
    if any(e.type_ids):
        out["types"] = e.type_ids
    if any(e.special_tokens_mask):
        out["special"] = [i for i, s in enumerate(e.special_tokens_mask) if s]
    return out


def record(t, all_texts, whole):
    out = {"tokenizer": t.to_str(), "single": [answer(t.encode(x), [x]) for x in all_texts], "pairs": [], "truncated": [], "windows": []}
    if not whole:
        return out
    rng = random.Random(1)
    for _ in range(40):
        a, b = rng.randrange(len(all_texts)), rng.randrange(len(all_texts))
        out["pairs"].append({"a": a, "b": b, **answer(t.encode(all_texts[a], all_texts[b]), [all_texts[a], all_texts[b]])})
    for _ in range(60):
        a, b, size, left = rng.randrange(len(all_texts)), rng.choice([-1, rng.randrange(len(all_texts))]), rng.choice([5, 6, 8, 16, 33, 128]), rng.random() < 0.5
        t.enable_truncation(size, direction="left" if left else "right")
        given = [all_texts[a]] + ([all_texts[b]] if b >= 0 else [])
        out["truncated"].append({"a": a, "b": b, "size": size, "left": left, **answer(t.encode(*given), given)})
    for a in rng.sample(range(len(all_texts)), 30) + [i for i, x in enumerate(all_texts) if len(x) > 300]:
        size, stride = rng.choice([(6, 0), (8, 2), (16, 5), (33, 8), (128, 32)])
        t.enable_truncation(size, stride=stride)
        e = t.encode(all_texts[a])
        out["windows"].append({"a": a, "size": size, "stride": stride, "windows": [answer(w, [all_texts[a]]) for w in [e] + e.overflowing]})
    t.no_truncation()
    return out


def ranges(test):
    """The code points that pass a test, as flat pairs: first, last."""
    out = []
    for c in range(0x110000):
        if not 0xD800 <= c <= 0xDFFF and test(chr(c)):
            if out and out[-1] == c - 1:
                out[-1] = c
            else:
                out += [c, c]
    return out


def properties():
    """What each step takes every character for: its libraries follow different versions of Unicode."""

    def bert(**options):
        return normalizers.BertNormalizer(**{"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False, **options}).normalize_str

    def removed(p):
        return lambda c: not p.pre_tokenize_str(c)

    def maps(n):
        return {ord(c): n.normalize_str(c) for c in map(chr, [*range(0xD800), *range(0xE000, 0x110000)]) if n.normalize_str(c) != c}

    clean, accents, chinese, nfd = bert(clean_text=True), bert(strip_accents=True), bert(handle_chinese_chars=True), normalizers.NFD()
    marks, words = normalizers.StripAccents(), pre_tokenizers.Whitespace()
    return {
        "dropped": ranges(lambda c: clean(c) == ""),
        "blank": ranges(lambda c: clean(c) == " "),
        "accent": ranges(lambda c: accents(c) == ""),
        "mark": ranges(lambda c: marks.normalize_str(c) == ""),
        "chinese": ranges(lambda c: chinese(c) != c),
        "moved": ranges(lambda c: nfd.normalize_str("a" + c + "\u0334") == "a\u0334" + c),
        "punctuation": ranges(removed(pre_tokenizers.Punctuation("removed"))),
        "numeric": ranges(lambda c: len(pre_tokenizers.Digits(True).pre_tokenize_str(c + c)) == 2),
        "space": ranges(removed(pre_tokenizers.WhitespaceSplit())),
        "word": ranges(lambda c: (w := words.pre_tokenize_str("a" + c)) and len(w) == 1 and w[0][1][1] == 2),
        "letter": ranges(removed(pre_tokenizers.Split(Regex(r"\p{L}"), "removed"))),
        "number": ranges(removed(pre_tokenizers.Split(Regex(r"\p{N}"), "removed"))),
        "maps": {"Lowercase": maps(normalizers.Lowercase()), "NFD": maps(nfd), "NFKD": maps(normalizers.NFKD()), "NFC": maps(normalizers.NFC()), "NFKC": maps(normalizers.NFKC())},
    }


def write(path, value):
    with open(path, "wb") as f:
        f.write(gzip.compress(json.dumps(value, separators=(",", ":")).encode(), 9, mtime=0))


def main(folder):
    write(folder + "/properties.gz", properties())
    all_texts = texts()
    with open(folder + "/texts.json", "w") as f:
        json.dump(all_texts, f, indent=0)
        f.write("\n")
    for name, make in families():
        t = make()
        write(f"{folder}/{name}.json.gz", record(t, all_texts, not name.startswith(("normalizer-", "pre-tokenizer-"))))
        print(name, t.get_vocab_size())


if __name__ == "__main__":
    main(sys.argv[1])
