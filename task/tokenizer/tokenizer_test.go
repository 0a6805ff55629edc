package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const smallVocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n##s\nÉt\nÉ\n##t\n##é\net\n中\n文\nThe\n"

func TestFromVocab(t *testing.T) {
	for _, c := range []struct {
		config, text string
		want         []int64
	}{
		{"", "The CATS été!", []int64{2, 5, 6, 7, 1, 1, 3}},
		{`{"do_lower_case": false}`, "The cats Été", []int64{2, 15, 6, 7, 8, 11, 3}},
		{`{"do_lower_case": true}`, "中文 the", []int64{2, 13, 14, 5, 3}},
		{`{"tokenize_chinese_chars": false}`, "中文", []int64{2, 1, 3}},
		{`{"unk_token": {"content": "[MASK]"}}`, "dog", []int64{2, 4, 3}},
		{"", "[MASK] cat", []int64{2, 4, 6, 3}},
	} {
		var config []byte
		if c.config != "" {
			config = []byte(c.config)
		}
		k, err := FromVocab([]byte(smallVocab), config)
		if err != nil {
			t.Fatalf("%s: %v", c.config, err)
		}
		if got := k.AppendIDs(nil, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q: got %v, want %v", c.config, c.text, got, c.want)
		}
	}
}

func TestFromVocabErrors(t *testing.T) {
	for _, c := range []struct{ vocab, config, want string }{
		{"the\n", "", `vocab.txt: wanted lines "[CLS]" and "[SEP]"`},
		{smallVocab, "{", "tokenizer_config.json: "},
		{smallVocab, `{"cls_token": 3}`, "tokenizer_config.json: "},
	} {
		var config []byte
		if c.config != "" {
			config = []byte(c.config)
		}
		if _, err := FromVocab([]byte(c.vocab), config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %q: got %v, want %q", c.vocab, c.config, err, c.want)
		}
	}
}

func TestVocabulary(t *testing.T) {
	k, err := FromVocab([]byte(smallVocab), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := k.VocabSize(); n != 16 {
		t.Errorf("VocabSize: got %d, want 16", n)
	}
	if id, ok := k.ID("##s"); id != 7 || !ok {
		t.Errorf("ID: got %d %v, want 7", id, ok)
	}
	if _, ok := k.ID("dog"); ok {
		t.Error("ID: found dog")
	}
	if token, ok := k.Token(7); token != "##s" || !ok {
		t.Errorf("Token: got %q %v, want ##s", token, ok)
	}
	for _, id := range []int64{-1, 16, 1 << 40} {
		if _, ok := k.Token(id); ok {
			t.Errorf("Token: found %d", id)
		}
	}
}

const wordLevelModel = `"model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1}, "unk_token": "<unk>"}`

func TestNewErrors(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{``, "tokenizer.json: wanted the JSON that Hugging Face tokenizers save"},
		{`[]`, "tokenizer.json: wanted the JSON"},
		{`{}`, "tokenizer.json: model: wanted a model, found none"},
		{`{"model": {"type": "Magic", "vocab": {}}}`, `model: wanted BPE, Unigram, WordLevel or WordPiece, found type "Magic"`},
		{`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}`, `model: BPE: merges[0]: wanted tokens of the vocabulary, found "b"`},
		{`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["ab"]}}`, `merges[0]: wanted two tokens with a space between, found "ab"`},
		{`{"model": {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 1}}`, "model: Unigram: unk_id: wanted an id of the vocabulary, below 1, found 1"},
		{`{"model": {"type": "Unigram", "vocab": [["a"]], "unk_id": 0}}`, "model: Unigram: vocab: wanted a token and its score"},
		{`{"model": {"type": "WordLevel", "vocab": {"a": -1}}}`, `model: vocab: wanted an id from 0 to`},
		{`{"model": {"type": "WordLevel", "vocab": {"a": [1, 2]}}}`, `model: vocab: wanted an id for "a", found [1`},
		{`{"model": {"type": "WordLevel", "vocab": {"a": "b"}}}`, `model: vocab: wanted an id for "a", found "b"`},
		{`{"model": {"type": "WordLevel", "vocab": {"a": 1.5}}}`, `model: vocab: wanted an id for "a", found 1.5`},
		{`{"model": {"type": "WordLevel", "vocab": 7}}`, `model: vocab: wanted an object of tokens and ids, found 7`},
		{`{"normalizer": {"type": "Magic"}, ` + wordLevelModel + `}`, `tokenizer.json: normalizer: wanted BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip or StripAccents, found type "Magic"`},
		{`{"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Magic"}]}, ` + wordLevelModel + `}`, `normalizer: normalizers[1]: wanted`},
		{`{"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}, ` + wordLevelModel + `}`, `normalizer: Replace: pattern: wanted a regular expression`},
		{`{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, ` + wordLevelModel + `}`, `normalizer: Precompiled: precompiled_charsmap: wanted at least 4 bytes, found 3`},
		{`{"pre_tokenizer": {"type": "Magic"}, ` + wordLevelModel + `}`, `tokenizer.json: pre_tokenizer: wanted BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, Metaspace, Punctuation, Sequence, Split, Whitespace or WhitespaceSplit, found type "Magic"`},
		{`{"pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Magic"}, ` + wordLevelModel + `}`, `pre_tokenizer: Split: behavior: wanted Removed,`},
		{`{"pre_tokenizer": {"type": "Metaspace", "replacement": ""}, ` + wordLevelModel + `}`, `pre_tokenizer: Metaspace: replacement: wanted one character, found ""`},
		{`{"post_processor": {"type": "Magic"}, ` + wordLevelModel + `}`, `tokenizer.json: post_processor: wanted BertProcessing, ByteLevel, RobertaProcessing, Sequence or TemplateProcessing, found type "Magic"`},
		{`{"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [], "special_tokens": {}}, ` + wordLevelModel + `}`, `post_processor: TemplateProcessing: single: [0]: wanted one of special_tokens, found "x"`},
		{`{"padding": {"strategy": "Magic"}, ` + wordLevelModel + `}`, `padding: strategy: wanted BatchLongest or Fixed`},
		{`{"truncation": {"max_length": -1}, ` + wordLevelModel + `}`, `truncation: wanted max_length and stride of 0 or more`},
		{`{"pre_tokenizer": ` + strings.Repeat(`{"type": "Sequence", "pretokenizers": [`, 20) + `{"type": "Digits"}` + strings.Repeat(`]}`, 20) + `, ` + wordLevelModel + `}`, "wanted at most 16 Sequences within one another"},
	} {
		if _, err := New([]byte(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: got %v, want %q", c.file, err, c.want)
		}
	}
}

func TestParseVocab(t *testing.T) {
	for _, c := range []struct {
		text string
		want map[string]int32
	}{
		{`null`, nil},
		{`{}`, map[string]int32{}},
		{` { "a" : 1 ,"b":2}`, map[string]int32{"a": 1, "b": 2}},
		{`{"\"": 0, "\\": 1, "\u00e9": 2, "é:,}": 3, "": 4, "a": 5, "a": 6}`, map[string]int32{`"`: 0, `\`: 1, "é": 2, "é:,}": 3, "": 4, "a": 6}},
	} {
		if got, err := parseVocab([]byte(c.text)); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: got %v %v, want %v", c.text, got, err, c.want)
		}
	}
}

func TestStoredWishes(t *testing.T) {
	k, err := New([]byte(`{"truncation": {"max_length": 128, "stride": 5, "strategy": "LongestFirst", "direction": "Left"},
		"padding": {"strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": 8, "pad_id": 3, "pad_type_id": 1, "pad_token": "<p>"}, ` + wordLevelModel + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if size, stride, left, ok := k.Truncation(); size != 128 || stride != 5 || !left || !ok {
		t.Errorf("Truncation: got %d %d %v %v", size, stride, left, ok)
	}
	if got, ok := k.Padding(); !ok || got != (PaddingRule{ID: 3, TypeID: 1, Token: "<p>", Left: true, MultipleOf: 8, Fixed: 64}) {
		t.Errorf("Padding: got %+v %v", got, ok)
	}
	k, err = New([]byte(`{` + wordLevelModel + `}`))
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, truncates := k.Truncation()
	if _, pads := k.Padding(); truncates || pads {
		t.Errorf("without wishes: got %v %v", truncates, pads)
	}
}

// TestInvalidUTF8 takes each byte that is not UTF-8 for U+FFFD, and says where it was.
func TestInvalidUTF8(t *testing.T) {
	r := readRecorded(t, "testdata/normalizer-prepend.json.gz")
	k, err := New([]byte(r.Tokenizer))
	if err != nil {
		t.Fatal(err)
	}
	text := "é\xffz\xe4\xb8"
	e := k.Encode(text)
	if got, want := k.AppendIDs(nil, text), k.AppendIDs(nil, "é\ufffdz\ufffd\ufffd"); !slices.Equal(got, want) || !slices.Equal(e.IDs, want) {
		t.Errorf("got %v and %v, want %v", got, e.IDs, want)
	}
	want := []Span{{0, 2}, {0, 2}, {0, 2}, {0, 2}, {2, 3}, {2, 3}, {2, 3}, {3, 4}, {4, 5}, {4, 5}, {4, 5}, {5, 6}, {5, 6}, {5, 6}}
	if !slices.Equal(e.Offsets, want) {
		t.Errorf("offsets: got %v, want %v", e.Offsets, want)
	}
}

// TestLimits cuts a text that is too long between two characters, and one that a normaliser makes too long.
func TestLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine and millions of characters: nothing for the race detector")
	}
	k, err := New([]byte(`{"pre_tokenizer": {"type": "WhitespaceSplit"}, ` + wordLevelModel + `}`))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", MaxText-1) + "é a"
	if e := k.Encode(text); len(e.IDs) != 1 || e.Offsets[0] != (Span{0, MaxText - 1}) {
		t.Errorf("got %v %v", e.IDs, e.Offsets)
	}
	grow := `{"type": "Replace", "pattern": {"String": "a"}, "content": "` + strings.Repeat("a", 1<<14) + `"}`
	k, err = New([]byte(`{"normalizer": {"type": "Sequence", "normalizers": [` + grow + "," + grow + `]}, ` + wordLevelModel + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := k.AppendIDs(nil, "a"); !slices.Equal(got, []int64{0}) {
		t.Errorf("got %v, want [0]", got)
	}
}

func TestTruncateEdges(t *testing.T) {
	k, err := FromVocab([]byte(smallVocab), nil)
	if err != nil {
		t.Fatal(err)
	}
	for size := -1; size <= 2; size++ {
		if e := k.Truncate(k.Encode("the cats"), size, false); !slices.Equal(e.IDs, []int64{2, 3}) {
			t.Errorf("Truncate to %d: got %v, want the special tokens", size, e.IDs)
		}
		if w := k.Windows("the cats", size, 7); len(w) != 3 || !slices.Equal(w[2].IDs, []int64{2, 7, 3}) {
			t.Errorf("Windows of %d: got %v, want one token each", size, w)
		}
	}
	byHand := Encoding{IDs: []int64{2, 5, 6, 3}, TypeIDs: make([]int64, 4), Offsets: make([]Span, 4), Special: []bool{true, false, false, true}}
	if e := k.Truncate(byHand, 3, true); !slices.Equal(e.IDs, []int64{2, 6, 3}) {
		t.Errorf("Truncate of one made by hand: got %v", e.IDs)
	}
}

// TestMergesAsLines reads merges in the form of older files.
func TestMergesAsLines(t *testing.T) {
	r := readRecorded(t, "testdata/roberta.json.gz")
	var file map[string]any
	if err := json.Unmarshal([]byte(r.Tokenizer), &file); err != nil {
		t.Fatal(err)
	}
	model := file["model"].(map[string]any)
	var lines []string
	for _, pair := range model["merges"].([]any) {
		lines = append(lines, pair.([]any)[0].(string)+" "+pair.([]any)[1].(string))
	}
	model["merges"] = lines
	delete(model, "type") // which older files do not have either
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(text)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range readTexts(t) {
		if got := k.AppendIDs(nil, text); !slices.Equal(got, r.Single[i].IDs) {
			t.Errorf("%.80q: got %v, want %v", text, got, r.Single[i].IDs)
		}
	}
}

// TestConcurrent shares a tokenizer and its cache between goroutines.
func TestConcurrent(t *testing.T) {
	texts := readTexts(t)
	r := readRecorded(t, "testdata/xlmr.json.gz")
	k, err := New([]byte(r.Tokenizer))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var ids []int64
			for n := range texts {
				i := (n + g*31) % len(texts)
				if ids = k.AppendIDs(ids[:0], texts[i]); !slices.Equal(ids, r.Single[i].IDs) {
					t.Errorf("goroutine %d: %.80q: got %v, want %v", g, texts[i], ids, r.Single[i].IDs)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzNew(f *testing.F) {
	f.Add([]byte(`{`+wordLevelModel+`}`), "a b")
	f.Add([]byte(`{"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Prepend", "prepend": "x"}]}, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}, "model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["a", -1.5], ["▁a", -2]], "unk_id": 0, "byte_fallback": true}}`), "a b")
	f.Add([]byte(`{"added_tokens": [{"id": 5, "content": "a b", "lstrip": true, "rstrip": true, "single_word": true, "normalized": true}], "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true}, "post_processor": {"type": "RobertaProcessing", "sep": ["x", 1], "cls": ["y", 2]}, "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}}`), "ab a b")
	f.Add([]byte(`{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "CAAAAAAAAAAAAAAAYQA="}, "model": {"vocab": {"a": 0, "##b": 1}, "max_input_chars_per_word": 5, "unk_token": "a"}}`), "ab é")
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		k, err := New(file)
		if err != nil || strings.Contains(string(file), "Regex") { // which may take for ever by their nature
			return
		}
		checkOffsets(t, k.EncodePair(text, text), text)
		k.Windows(text, 5, 2)
	})
}

// checkOffsets fails where a place is outside of the text.
func checkOffsets(t *testing.T, e Encoding, text string) {
	t.Helper()
	if n := len(e.IDs); len(e.TypeIDs) != n || len(e.Offsets) != n || len(e.Special) != n {
		t.Errorf("%q: lengths differ: %d %d %d %d", text, n, len(e.TypeIDs), len(e.Offsets), len(e.Special))
	}
	for _, s := range e.Offsets {
		if s.Start < 0 || s.Start > s.End || s.End > len(text) {
			t.Errorf("%q: found place %v outside of %d bytes", text, s, len(text))
		}
	}
}

func FuzzEncode(f *testing.F) {
	for _, text := range []string{"", "a", " Hello, wörld! \n", "<mask> a <s>", "e\u0301\u0323 ﬁ İ 한 \xff", "👩‍👩‍👧‍👦\r\n"} {
		f.Add(text, 7)
	}
	var all []*Tokenizer
	paths, _ := filepath.Glob("testdata/*.json.gz")
	for _, path := range paths {
		k, err := New([]byte(readRecorded(f, path).Tokenizer))
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, k)
	}
	f.Fuzz(func(t *testing.T, text string, size int) {
		for i, k := range all {
			e := k.Encode(text)
			checkOffsets(t, e, text)
			if ids := k.AppendIDs(nil, text); !slices.Equal(ids, e.IDs) {
				t.Errorf("%s: %q: AppendIDs gives %v, Encode %v", paths[i], text, ids, e.IDs)
			}
			checkOffsets(t, k.Truncate(e, size, size%2 == 0), text)
			if size > 4 {
				for _, w := range k.Windows(text, size, 1) {
					checkOffsets(t, w, text)
				}
			}
		}
	})
}

// sentences are SST-2's, which are no part of the repository.
func sentences(b *testing.B) []string {
	shared := os.Getenv("LEAT_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	text, err := readGzip(filepath.Join(shared, "data/text/sst2/train.csv.gz"))
	if err != nil {
		b.Skipf("SKIPPED: no sentences: %v; set LEAT_SHARED to the folder that has data/text/sst2", err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		line = line[:max(strings.LastIndexByte(line, ','), 0)]
		out = append(out, strings.Trim(line, `"`))
	}
	return out[1:]
}

// BenchmarkAppendIDs tokenizes the 6,920 sentences of SST-2, again and again, so that the cache is warm.
func BenchmarkAppendIDs(b *testing.B) {
	all := sentences(b)
	for _, name := range []string{"bert-uncased", "roberta", "llama3", "t5", "llama2"} {
		k, err := New([]byte(readRecorded(b, fmt.Sprintf("testdata/%s.json.gz", name)).Tokenizer))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var ids []int64
			for b.Loop() {
				for _, text := range all {
					ids = k.AppendIDs(ids[:0], text)
				}
			}
			b.ReportMetric(float64(len(all))*float64(b.N)/b.Elapsed().Seconds(), "sentences/s")
		})
	}
}
