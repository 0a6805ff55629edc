package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxID bounds the ids of a vocabulary; the largest that are in use have some 300,000.
const maxID = 1 << 22

// vocabulary is a model's tokens, and then the added ones.
type vocabulary struct {
	ids    map[string]int32
	tokens []string // by id; "" where there is none
	size   int32    // tokens of the model
}

func newVocabulary(ids map[string]int32) (*vocabulary, error) {
	v := &vocabulary{ids: ids, size: int32(len(ids))}
	if ids == nil {
		v.ids = map[string]int32{}
	}
	last := int32(-1)
	for token, id := range ids {
		if id < 0 || id > maxID {
			return nil, fmt.Errorf("vocab: wanted an id from 0 to %d for %q, found %d", maxID, token, id)
		}
		last = max(last, id)
	}
	v.tokens = make([]string, last+1)
	for token, id := range ids {
		v.tokens[id] = token
	}
	return v, nil
}

// parseVocab reads a JSON object of tokens and ids, which is valid JSON: several times faster than encoding/json, in
// which large vocabularies would take most of the time of New.
func parseVocab(text []byte) (map[string]int32, error) {
	text = bytes.TrimSpace(text)
	if isNull(text) {
		return nil, nil
	}
	if text[0] != '{' {
		return nil, fmt.Errorf("wanted an object of tokens and ids, found %.40s", text)
	}
	ids := make(map[string]int32, len(text)/16) // a token and its id take some 16 bytes
	for {
		quote := bytes.IndexByte(text, '"')
		if quote < 0 {
			return ids, nil
		}
		text = text[quote:]
		end := stringEnd(text)
		token := string(text[1 : end-1])
		if strings.IndexByte(token, '\\') >= 0 || !utf8.ValidString(token) {
			if err := json.Unmarshal(text[:end], &token); err != nil {
				return nil, err
			}
		}
		text = bytes.TrimLeft(text[end:], ": \t\r\n")
		end = bytes.IndexAny(text, ",} \t\r\n")
		id, err := strconv.ParseInt(string(text[:end]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("wanted an id for %q, found %.40s", token, text[:end])
		}
		ids[token] = int32(id)
		text = text[end:]
	}
}

// stringEnd returns where the JSON string ends that a text begins with.
func stringEnd(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// add adds a token that the model does not have.
func (v *vocabulary) add(token string, id int32) error {
	if id > maxID {
		return fmt.Errorf("added_tokens: wanted at most %d ids, found %d for %q", maxID, id, token)
	}
	v.ids[token] = id
	for int(id) >= len(v.tokens) {
		v.tokens = append(v.tokens, "")
	}
	v.tokens[id] = token
	return nil
}

// trie holds all tokens.
func (v *vocabulary) trie() *trie {
	keys, values := make([]string, 0, len(v.tokens)), make([]int32, 0, len(v.tokens))
	for id, token := range v.tokens {
		if token != "" {
			keys, values = append(keys, token), append(values, int32(id))
		}
	}
	return newTrie(keys, values)
}

// find returns the id of a token; noID where there is none.
func (v *vocabulary) find(token string) int32 {
	if id, ok := v.ids[token]; ok {
		return id
	}
	return noID
}

// byteTokens returns the tokens <0x00> to <0xFF>.
func (v *vocabulary) byteTokens() *[256]int32 {
	var ids [256]int32
	for c := range ids {
		ids[c] = v.find(fmt.Sprintf("<0x%02X>", c))
	}
	return &ids
}

// vocabConfig is what tokenizer_config.json says to BERT.
type vocabConfig struct {
	Lower   *bool        `json:"do_lower_case"`
	Strip   *bool        `json:"strip_accents"`
	Chinese *bool        `json:"tokenize_chinese_chars"`
	Unknown specialToken `json:"unk_token"`
	Class   specialToken `json:"cls_token"`
	Sep     specialToken `json:"sep_token"`
	Pad     specialToken `json:"pad_token"`
	Mask    specialToken `json:"mask_token"`
}

// specialToken is a token's content, or an object that has it.
type specialToken string

// UnmarshalJSON reads either form.
func (s *specialToken) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, (*string)(s)) == nil {
		return nil
	}
	var object struct {
		Content string `json:"content"`
	}
	err := json.Unmarshal(text, &object)
	*s = specialToken(object.Content)
	return err
}

// FromVocab reads BERT's vocab.txt, a token on each line, and tokenizer_config.json, which may be nil: lower case,
// accents removed, [UNK], [CLS], [SEP], [PAD] and [MASK].
func FromVocab(vocab, tokenizerConfig []byte) (*Tokenizer, error) {
	if len(vocab) > MaxFile {
		return nil, fmt.Errorf("vocab.txt: wanted at most %d bytes, found %d", MaxFile, len(vocab))
	}
	c := vocabConfig{Unknown: "[UNK]", Class: "[CLS]", Sep: "[SEP]", Pad: "[PAD]", Mask: "[MASK]"}
	if tokenizerConfig != nil {
		if err := json.Unmarshal(tokenizerConfig, &c); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	ids := map[string]int32{}
	lines := bufio.NewScanner(bytes.NewReader(vocab))
	lines.Buffer(nil, MaxFile)
	for n := int32(0); lines.Scan(); n++ {
		ids[strings.TrimRight(lines.Text(), "\r")] = n
	}
	b := builder{}
	var err error
	if b.vocab, err = newVocabulary(ids); err != nil {
		return nil, fmt.Errorf("vocab.txt: %w", err)
	}
	yes := func(p *bool, otherwise bool) bool {
		if p == nil {
			return otherwise
		}
		return *p
	}
	lower := yes(c.Lower, true)
	b.normalizer = newBertNormalizer(true, yes(c.Chinese, true), yes(c.Strip, lower), lower)
	b.pre = cutting{bertCutter{}}
	b.model = newWordPiece(b.vocab, string(c.Unknown), "##", defaultMaxWord)
	for _, token := range []specialToken{c.Pad, c.Unknown, c.Class, c.Sep, c.Mask} {
		b.added = append(b.added, addedToken{Content: string(token), Special: true})
	}
	class, sep := b.vocab.find(string(c.Class)), b.vocab.find(string(c.Sep))
	if class < 0 || sep < 0 {
		return nil, fmt.Errorf("vocab.txt: wanted lines %q and %q, found none: is this the vocabulary of BERT?", c.Class, c.Sep)
	}
	b.post = surrounded(int64(class), int64(sep), 1)
	if err := b.addTokens(); err != nil {
		return nil, fmt.Errorf("vocab.txt: %w", err)
	}
	return b.build()
}
