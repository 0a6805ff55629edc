package tokenizer

import (
	"encoding/json"
	"fmt"
)

func (b *builder) readNormalizer(text json.RawMessage) (err error) {
	b.normalizer, err = parseNormalizer(text, 0)
	return err
}

// parseNormalizer reads a normaliser and those within it.
func parseNormalizer(text json.RawMessage, depth int) (normalizer, error) {
	if depth > maxNesting {
		return nil, errNesting
	}
	kind, err := typeOf(text)
	if err != nil {
		return nil, err
	}
	o := struct {
		Clean       *bool             `json:"clean_text"`
		Chinese     *bool             `json:"handle_chinese_chars"`
		Accents     *bool             `json:"strip_accents"`
		Lower       *bool             `json:"lowercase"`
		Left        *bool             `json:"strip_left"`
		Right       *bool             `json:"strip_right"`
		Prepend     string            `json:"prepend"`
		Pattern     json.RawMessage   `json:"pattern"`
		Content     string            `json:"content"`
		Charsmap    []byte            `json:"precompiled_charsmap"`
		Normalizers []json.RawMessage `json:"normalizers"`
	}{}
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	switch kind {
	case "BertNormalizer":
		lower := orTrue(o.Lower)
		accents := lower
		if o.Accents != nil {
			accents = *o.Accents
		}
		return newBertNormalizer(orTrue(o.Clean), orTrue(o.Chinese), accents, lower), nil
	case "NFC", "NFKC":
		return composed(kind == "NFKC"), nil
	case "NFD", "NFKD":
		return decomposed(kind == "NFKD"), nil
	case "Lowercase":
		return lowercase{}, nil
	case "Strip":
		return strip{orTrue(o.Left), orTrue(o.Right)}, nil
	case "StripAccents":
		return stripAccents{}, nil
	case "Prepend":
		return prepend(o.Prepend), nil
	case "Nmt":
		return nmt{}, nil
	case "ByteLevel":
		return byteNormalizer{}, nil
	case "Replace":
		p, err := parsePattern(o.Pattern)
		return replace{p, o.Content}, within(kind, err)
	case "Precompiled":
		n, err := newPrecompiled(o.Charsmap)
		return n, within(kind, err)
	case "Sequence":
		var all normalizers
		for i, one := range o.Normalizers {
			n, err := parseNormalizer(one, depth+1)
			if err != nil {
				return nil, fmt.Errorf("normalizers[%d]: %w", i, err)
			}
			all = append(all, n)
		}
		return all, nil
	}
	return nil, fmt.Errorf("wanted BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip or StripAccents, found type %q", kind)
}

// within says in which part an error is.
func within(kind string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", kind, err)
	}
	return err
}

func orTrue(p *bool) bool { return p == nil || *p }

// parsePattern reads {"String": …} or {"Regex": …}.
func parsePattern(text json.RawMessage) (pattern, error) {
	var p struct{ String, Regex *string }
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	switch {
	case p.String != nil:
		return literal(*p.String), nil
	case p.Regex != nil:
		e, err := newExpression(*p.Regex)
		if err != nil {
			return nil, fmt.Errorf("pattern: %w", err)
		}
		return e, nil
	}
	return nil, fmt.Errorf("pattern: wanted an object with String or Regex, found %.40q", text)
}

func (b *builder) readPreTokenizer(text json.RawMessage) (err error) {
	b.pre, err = b.parsePreTokenizer(text, 0)
	return err
}

// preTokenizerOptions are the fields of all pre-tokenizers.
type preTokenizerOptions struct {
	PrefixSpace   *bool             `json:"add_prefix_space"`
	UseRegex      *bool             `json:"use_regex"`
	Replacement   string            `json:"replacement"`
	Scheme        string            `json:"prepend_scheme"`
	Split         *bool             `json:"split"`
	Behavior      json.RawMessage   `json:"behavior"`
	Individual    bool              `json:"individual_digits"`
	Pattern       json.RawMessage   `json:"pattern"`
	Invert        bool              `json:"invert"`
	Delimiter     string            `json:"delimiter"`
	PreTokenizers []json.RawMessage `json:"pretokenizers"`
}

// parsePreTokenizer reads a pre-tokenizer and those within it.
func (b *builder) parsePreTokenizer(text json.RawMessage, depth int) (preTokenizer, error) {
	if depth > maxNesting {
		return nil, errNesting
	}
	kind, err := typeOf(text)
	if err != nil {
		return nil, err
	}
	var o preTokenizerOptions
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	switch kind {
	case "BertPreTokenizer":
		return cutting{bertCutter{}}, nil
	case "ByteLevel":
		return &byteLevel{prefix: orTrue(o.PrefixSpace), cut: orTrue(o.UseRegex)}, nil
	case "Whitespace":
		return cutting{wordCutter{}}, nil
	case "WhitespaceSplit":
		return cutting{spaceCutter{}}, nil
	case "Metaspace":
		p, err := b.parseMetaspace(o)
		return p, within(kind, err)
	case "Punctuation":
		v, err := parseBehavior(o.Behavior, isolated)
		return cutting{runeCutter{isPunctuation, v}}, within(kind, err)
	case "Digits":
		if o.Individual {
			return cutting{runeCutter{isNumeric, isolated}}, nil
		}
		return cutting{runeCutter{isNumeric, contiguous}}, nil
	case "CharDelimiterSplit":
		runes := []rune(o.Delimiter)
		if len(runes) != 1 {
			return nil, fmt.Errorf("%s: delimiter: wanted one character, found %q", kind, o.Delimiter)
		}
		return cutting{runeCutter{func(r rune) bool { return r == runes[0] }, removed}}, nil
	case "Split":
		p, err := parseSplit(o)
		return p, within(kind, err)
	case "Sequence":
		var all preTokenizers
		for i, one := range o.PreTokenizers {
			p, err := b.parsePreTokenizer(one, depth+1)
			if err != nil {
				return nil, fmt.Errorf("pretokenizers[%d]: %w", i, err)
			}
			all = append(all, p)
		}
		return all, nil
	}
	return nil, fmt.Errorf("wanted BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits, Metaspace, Punctuation, Sequence, Split, Whitespace or WhitespaceSplit, found type %q", kind)
}

func parseSplit(o preTokenizerOptions) (preTokenizer, error) {
	p, err := parsePattern(o.Pattern)
	if err != nil {
		return nil, err
	}
	v, err := parseBehavior(o.Behavior, "")
	if err != nil {
		return nil, err
	}
	if scan, ok := p.(scanner); ok && (v == isolated || v == removed && o.Invert) { // all is matched
		return cutting{scanCutter(scan)}, nil
	}
	return cutting{patternCutter{p, v, o.Invert}}, nil
}

func (b *builder) parseMetaspace(o preTokenizerOptions) (preTokenizer, error) {
	m := metaspace{sign: o.Replacement, scheme: o.Scheme, cut: orTrue(o.Split)}
	if len([]rune(m.sign)) != 1 {
		return nil, fmt.Errorf("replacement: wanted one character, found %q", m.sign)
	}
	if m.scheme == "" {
		m.scheme = always
	}
	if o.PrefixSpace != nil && !*o.PrefixSpace {
		m.scheme = never
	}
	switch m.scheme {
	case first:
		b.first = true
	case always, never:
	default:
		return nil, fmt.Errorf("prepend_scheme: wanted always, first or never, found %q", m.scheme)
	}
	return m, nil
}

// parseBehavior reads the name of a behaviour.
func parseBehavior(text json.RawMessage, otherwise behavior) (behavior, error) {
	if isNull(text) && otherwise != "" {
		return otherwise, nil
	}
	var v behavior
	if err := json.Unmarshal(text, &v); err == nil {
		switch v {
		case removed, isolated, mergedWithPrevious, mergedWithNext, contiguous:
			return v, nil
		}
	}
	return "", fmt.Errorf("behavior: wanted Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, found %.40s", text)
}
