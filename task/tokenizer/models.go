package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// defaultMaxWord is the number of characters from which on WordPiece takes a word for unknown.
const defaultMaxWord = 100

// modelOptions are the fields of all models but vocab.
type modelOptions struct {
	Type         string          `json:"type"`
	Vocab        json.RawMessage `json:"vocab"`
	Unknown      *string         `json:"unk_token"`
	UnknownID    *int64          `json:"unk_id"`
	MaxWord      *int            `json:"max_input_chars_per_word"`
	Prefix       *string         `json:"continuing_subword_prefix"`
	Suffix       *string         `json:"end_of_word_suffix"`
	Merges       json.RawMessage `json:"merges"`
	FuseUnknown  bool            `json:"fuse_unk"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
}

// kind is the type; old files do not tell.
func (o *modelOptions) kind() string {
	switch {
	case o.Type != "":
		return o.Type
	case !isNull(o.Merges):
		return "BPE"
	case strings.HasPrefix(string(o.Vocab), "["):
		return "Unigram"
	case o.MaxWord != nil:
		return "WordPiece"
	}
	return "WordLevel"
}

func (b *builder) readModel(text json.RawMessage) error {
	var o modelOptions
	if isNull(text) {
		return errors.New("wanted a model, found none")
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	kind := o.kind()
	if kind == "Unigram" {
		if err := b.readUnigram(&o); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		return b.addTokens()
	}
	ids, err := parseVocab(o.Vocab)
	if err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	if b.vocab, err = newVocabulary(ids); err != nil {
		return err
	}
	switch kind {
	case "WordPiece":
		longest := defaultMaxWord
		if o.MaxWord != nil {
			longest = *o.MaxWord
		}
		prefix := "##"
		if o.Prefix != nil {
			prefix = *o.Prefix
		}
		b.model = newWordPiece(b.vocab, deref(o.Unknown, "[UNK]"), prefix, longest)
	case "WordLevel":
		b.model = &wordLevel{b.vocab.copyIDs(), b.vocab.find(deref(o.Unknown, "<unk>"))}
	case "BPE":
		err = b.readBPE(&o)
	default:
		return fmt.Errorf("wanted BPE, Unigram, WordLevel or WordPiece, found type %q", kind)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return b.addTokens()
}

func deref(p *string, otherwise string) string {
	if p == nil {
		return otherwise
	}
	return *p
}

func newWordPiece(v *vocabulary, unknown, prefix string, longest int) *wordPiece {
	t := v.trie()
	return &wordPiece{trie: t, inner: t.walk(prefix), unknown: v.find(unknown), max: longest}
}

// readUnigram reads a vocabulary of pairs, token and score.
func (b *builder) readUnigram(o *modelOptions) error {
	var pairs []scored
	if err := json.Unmarshal(o.Vocab, &pairs); err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	if len(pairs) > maxID {
		return fmt.Errorf("vocab: wanted at most %d tokens, found %d", maxID, len(pairs))
	}
	v := &vocabulary{ids: make(map[string]int32, len(pairs)), size: int32(len(pairs))}
	scores := make([]float64, len(pairs))
	for i, p := range pairs {
		v.ids[p.token] = int32(i)
		v.tokens = append(v.tokens, p.token)
		scores[i] = p.score
	}
	unknown := int32(noID)
	if o.UnknownID != nil {
		if *o.UnknownID < 0 || *o.UnknownID >= int64(len(pairs)) {
			return fmt.Errorf("unk_id: wanted an id of the vocabulary, below %d, found %d", len(pairs), *o.UnknownID)
		}
		unknown = int32(*o.UnknownID)
	}
	b.vocab = v
	m := newUnigram(v, scores, unknown)
	if o.ByteFallback {
		m.bytes = v.byteTokens()
	}
	b.model = m
	return nil
}

// scored is a token with its score, as a list of two in the file.
type scored struct {
	token string
	score float64
}

// UnmarshalJSON reads the list.
func (s *scored) UnmarshalJSON(text []byte) error {
	pair := []any{&s.token, &s.score}
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("wanted a token and its score, found %.40s", text)
	}
	return nil
}

// readBPE reads the merges, each "left right" or ["left", "right"].
func (b *builder) readBPE(o *modelOptions) error {
	m := &bpe{fuse: o.FuseUnknown, ignoreMerges: o.IgnoreMerges, prefix: deref(o.Prefix, ""), suffix: deref(o.Suffix, ""), unknown: noID}
	m.ids = b.vocab.copyIDs()
	for c := range m.ascii {
		m.ascii[c] = b.vocab.find(string(rune(c)))
	}
	if o.Unknown != nil {
		m.unknown = b.vocab.find(*o.Unknown)
	}
	if o.ByteFallback {
		m.fallback = b.vocab.byteTokens()
	}
	pairs, err := parseMerges(o.Merges)
	if err != nil {
		return err
	}
	m.merges = newMergeTable(len(pairs))
	for i, p := range pairs {
		if len(p[1]) < len(m.prefix) {
			return fmt.Errorf("merges[%d]: wanted %q to begin with the prefix %q", i, p[1], m.prefix)
		}
		var ids [3]int32
		for k, token := range []string{p[0], p[1], p[0] + p[1][len(m.prefix):]} {
			if ids[k] = b.vocab.find(token); ids[k] == noID {
				return fmt.Errorf("merges[%d]: wanted tokens of the vocabulary, found %q", i, token)
			}
		}
		m.merges.set(pairKey(ids[0], ids[1]), merge{int32(i), ids[2]})
	}
	if last := b.lastByteLevel(); last != nil && m.prefix == "" && m.suffix == "" && m.fallback == nil {
		m.readBytes()
		last.raw = true
	}
	b.model = m
	return nil
}

// parseMerges reads merges in either form.
func parseMerges(text json.RawMessage) ([][2]string, error) {
	if isNull(text) {
		return nil, nil
	}
	var pairs [][2]string
	if first := bytes.TrimLeft(text[1:], " \t\r\n"); len(first) > 0 && first[0] == '[' {
		if err := json.Unmarshal(text, &pairs); err != nil {
			return nil, fmt.Errorf("merges: wanted pairs of strings: %w", err)
		}
		return pairs, nil
	}
	var lines []string
	if err := json.Unmarshal(text, &lines); err != nil {
		return nil, fmt.Errorf("merges: wanted strings or pairs of strings: %w", err)
	}
	for i, line := range lines {
		left, right, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(right, " ") {
			return nil, fmt.Errorf("merges[%d]: wanted two tokens with a space between, found %q", i, line)
		}
		pairs = append(pairs, [2]string{left, right})
	}
	return pairs, nil
}

// lastByteLevel returns the ByteLevel that writes what the model reads, if there is one.
func (b *builder) lastByteLevel() *byteLevel {
	pre := b.pre
	for {
		switch p := pre.(type) {
		case *byteLevel:
			return p
		case preTokenizers:
			if len(p) == 0 {
				return nil
			}
			pre = p[len(p)-1]
		default:
			return nil
		}
	}
}

// readBytes makes the model read bytes where it read GPT-2's characters for them.
func (m *bpe) readBytes() {
	m.raw = &[256]int32{}
	for c := range m.raw {
		m.raw[c] = noID
		if id, ok := m.ids[string(byteRunes[c])]; ok {
			m.raw[c] = id
		}
	}
	ids := map[string]int32{}
	if m.ignoreMerges {
		for token, id := range m.ids {
			if text, ok := rawText(token); ok {
				ids[text] = id
			}
		}
	}
	m.ids = ids
}

// copyIDs returns the ids without the added tokens that come later.
func (v *vocabulary) copyIDs() map[string]int32 {
	ids := make(map[string]int32, len(v.ids))
	for token, id := range v.ids {
		ids[token] = id
	}
	return ids
}

// readPostProcessor reads what goes around a text.
func (b *builder) readPostProcessor(text json.RawMessage) error {
	surrounded := false
	return b.parsePostProcessor(text, 0, &surrounded)
}

func (b *builder) parsePostProcessor(text json.RawMessage, depth int, surroundedBefore *bool) error {
	if depth > maxNesting {
		return errNesting
	}
	kind, err := typeOf(text)
	if err != nil {
		return err
	}
	o := struct {
		Single     []json.RawMessage      `json:"single"`
		Pair       []json.RawMessage      `json:"pair"`
		Tokens     map[string]specialPart `json:"special_tokens"`
		Sep        tokenAndID             `json:"sep"`
		Class      tokenAndID             `json:"cls"`
		Trim       *bool                  `json:"trim_offsets"`
		Prefixed   *bool                  `json:"add_prefix_space"`
		Processors []json.RawMessage      `json:"processors"`
	}{}
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	if slices.Contains([]string{"TemplateProcessing", "BertProcessing", "RobertaProcessing"}, kind) {
		if *surroundedBefore {
			return fmt.Errorf("wanted one processor that adds special tokens, found %s after another", kind)
		}
		*surroundedBefore = true
	}
	trim, prefixed := b.post.trim, b.post.prefixed
	switch kind {
	case "TemplateProcessing":
		if b.post.single, err = parseTemplate(o.Single, o.Tokens); err != nil {
			return fmt.Errorf("%s: single: %w", kind, err)
		}
		if b.post.pair, err = parseTemplate(o.Pair, o.Tokens); err != nil {
			return fmt.Errorf("%s: pair: %w", kind, err)
		}
	case "BertProcessing":
		b.post = surrounded(o.Class.id, o.Sep.id, 1)
		b.post.trim, b.post.prefixed = trim, prefixed
	case "RobertaProcessing":
		b.post = surrounded(o.Class.id, o.Sep.id, 0)
		b.post.trim, b.post.prefixed = trim || orTrue(o.Trim), orTrue(o.Prefixed)
	case "ByteLevel":
		b.post.trim, b.post.prefixed = trim || orTrue(o.Trim), orTrue(o.Prefixed)
	case "Sequence":
		for i, one := range o.Processors {
			if err := b.parsePostProcessor(one, depth+1, surroundedBefore); err != nil {
				return fmt.Errorf("processors[%d]: %w", i, err)
			}
		}
	default:
		return fmt.Errorf("wanted BertProcessing, ByteLevel, RobertaProcessing, Sequence or TemplateProcessing, found type %q", kind)
	}
	return nil
}

// surrounded is BERT's template, [CLS] A [SEP] B [SEP], or RoBERTa's, <s> A </s></s> B </s>, in which the second text
// has the same type.
func surrounded(class, sep, secondType int64) postProcessor {
	p := postProcessor{single: []part{{text: noText, id: class}, {text: 0}, {text: noText, id: sep}}}
	p.pair = slices.Clone(p.single)
	if secondType == 0 {
		p.pair = append(p.pair, part{text: noText, id: sep})
	}
	p.pair = append(p.pair, part{text: 1, typeID: secondType}, part{text: noText, id: sep, typeID: secondType})
	return p
}

// specialPart is a special token of a template.
type specialPart struct {
	IDs []int64 `json:"ids"`
}

// tokenAndID is a list of both in the file.
type tokenAndID struct{ id int64 }

// UnmarshalJSON reads the list.
func (t *tokenAndID) UnmarshalJSON(text []byte) error {
	var token string
	pair := []any{&token, &t.id}
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("wanted a token and its id, found %.40s", text)
	}
	return nil
}

// parseTemplate reads the parts of a template.
func parseTemplate(parts []json.RawMessage, tokens map[string]specialPart) ([]part, error) {
	var out []part
	for i, text := range parts {
		var p struct {
			Special *struct {
				ID   string `json:"id"`
				Type int64  `json:"type_id"`
			} `json:"SpecialToken"`
			Sequence *struct {
				ID   string `json:"id"`
				Type int64  `json:"type_id"`
			} `json:"Sequence"`
		}
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		switch {
		case p.Special != nil:
			token, ok := tokens[p.Special.ID]
			if !ok {
				return nil, fmt.Errorf("[%d]: wanted one of special_tokens, found %q", i, p.Special.ID)
			}
			for _, id := range token.IDs {
				out = append(out, part{noText, id, p.Special.Type})
			}
		case p.Sequence != nil && p.Sequence.ID == "A":
			out = append(out, part{0, 0, p.Sequence.Type})
		case p.Sequence != nil && p.Sequence.ID == "B":
			out = append(out, part{1, 0, p.Sequence.Type})
		default:
			return nil, fmt.Errorf("[%d]: wanted a SpecialToken, or Sequence A or B, found %.60s", i, text)
		}
	}
	return out, nil
}
