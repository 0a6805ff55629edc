package tokenizer

import (
	"encoding/json"
	"fmt"
)

// file is tokenizer.json. Its sections are read one by one, by their types.
type file struct {
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Model         json.RawMessage `json:"model"`
}

// New reads the contents of a tokenizer.json. Its errors name the section and what was wanted there. For a vocabulary
// of 30,000 tokens it takes some 30 ms.
func New(tokenizerJSON []byte) (*Tokenizer, error) {
	t, err := read(tokenizerJSON)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

func read(text []byte) (*Tokenizer, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("wanted at most %d bytes, found %d", MaxFile, len(text))
	}
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("wanted the JSON that Hugging Face tokenizers save: %w", err)
	}
	b := builder{added: f.AddedTokens, post: plain()}
	// The order matters: the model depends on the pre-tokenizer, the post-processor on the ids.
	for _, section := range []struct {
		name string
		text json.RawMessage
		read func(json.RawMessage) error
	}{
		{"normalizer", f.Normalizer, b.readNormalizer},
		{"pre_tokenizer", f.PreTokenizer, b.readPreTokenizer},
		{"model", f.Model, b.readModel},
		{"post_processor", f.PostProcessor, b.readPostProcessor},
		{"truncation", f.Truncation, b.readTruncation},
		{"padding", f.Padding, b.readPadding},
	} {
		if isNull(section.text) && section.name != "model" {
			continue
		}
		if err := section.read(section.text); err != nil {
			return nil, fmt.Errorf("%s: %w", section.name, err)
		}
	}
	return b.build()
}

func isNull(text json.RawMessage) bool { return len(text) == 0 || string(text) == "null" }

// builder gathers the parts of a tokenizer.
type builder struct {
	normalizer normalizer
	pre        preTokenizer
	vocab      *vocabulary
	model      model
	added      []addedToken
	post       postProcessor
	truncation *truncation
	padding    *PaddingRule
	first      bool // a pre-tokenizer asks where the text begins
}

// typeOf returns the type of a section.
func typeOf(text json.RawMessage) (string, error) {
	var section struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(text, &section); err != nil {
		return "", fmt.Errorf("wanted an object with a type: %w", err)
	}
	return section.Type, nil
}

// maxNesting bounds how deeply Sequences may contain one another.
const maxNesting = 16

var errNesting = fmt.Errorf("wanted at most %d Sequences within one another", maxNesting)

// build makes the tokenizer of the parts.
func (b *builder) build() (*Tokenizer, error) {
	t := &Tokenizer{normalizer: b.normalizer, pre: b.pre, model: b.model, post: b.post, ids: b.vocab.ids, tokens: b.vocab.tokens,
		truncation: b.truncation, padding: b.padding, cache: newCache(), vocabSize: len(b.vocab.ids)}
	t.needsTracking = b.first && b.normalizer != nil
	var kinds [2][]addedToken // as given, normalised
	var contents [2][]string
	for _, token := range b.added {
		k := 0
		content := token.Content
		if token.Normalized {
			k = 1
			if content = normalized(b.normalizer, content); content == "" {
				continue
			}
		}
		kinds[k] = append(kinds[k], token)
		contents[k] = append(contents[k], content)
	}
	t.raw = newAddedTokens(kinds[0], contents[0])
	t.normalized = newAddedTokens(kinds[1], contents[1])
	return t, nil
}

// normalized is what a normaliser makes of a text.
func normalized(n normalizer, text string) string {
	if n == nil {
		return text
	}
	b := &buffer{}
	b.load([]byte(text), 0)
	n.normalize(b)
	return string(b.text)
}

// addTokens gives the added tokens their ids: the vocabulary's, or the next ones.
func (b *builder) addTokens() error {
	kept := b.added[:0]
	last := int32(noID) // the largest id of an added token
	for _, token := range b.added {
		if token.Content == "" {
			continue
		}
		id, ok := b.vocab.ids[token.Content]
		if !ok {
			if id = max(last+1, b.vocab.size); last < 0 {
				id = b.vocab.size
			}
			if err := b.vocab.add(token.Content, id); err != nil {
				return err
			}
		}
		last = max(last, id)
		token.ID = id
		replaced := false
		for i := range kept {
			if kept[i].ID == id {
				kept[i], replaced = token, true
			}
		}
		if !replaced {
			kept = append(kept, token)
		}
	}
	b.added = kept
	return nil
}
