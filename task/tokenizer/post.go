package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// noText marks a part of a template that is a special token.
const noText = -1

// part is a place of a template: a special token, or the first or second text (0, 1).
type part struct {
	text   int
	id     int64
	typeID int64
}

// postProcessor puts special tokens around one text or a pair.
type postProcessor struct {
	single, pair []part
	trim         bool // white space at the ends of a token is no part of its place
	prefixed     bool // but for the one that the pre-tokenizer put before the text
	spaces       []trimming
}

// trimming is the white space that a token begins and ends with: characters, and where they are not from ByteLevel,
// bytes.
type trimming struct{ leading, trailing int }

// plain is what a file without a post-processor means.
func plain() postProcessor {
	return postProcessor{single: []part{{text: 0}}, pair: []part{{text: 0}, {text: 1, typeID: 1}}}
}

// template returns the parts for so many texts.
func (p *postProcessor) template(texts int) []part {
	if texts > 1 {
		return p.pair
	}
	return p.single
}

// added is the number of special tokens around so many texts.
func (p *postProcessor) added(texts int) int {
	n := 0
	for _, part := range p.template(texts) {
		if part.text == noText {
			n++
		}
	}
	return n
}

// assemble joins texts and special tokens.
func (p *postProcessor) assemble(texts []content) Encoding {
	template := p.template(len(texts))
	size := 0
	for _, part := range template {
		if part.text == noText {
			size++
		} else {
			size += len(texts[part.text].ids)
		}
	}
	e := Encoding{IDs: make([]int64, 0, size), TypeIDs: make([]int64, 0, size), Offsets: make([]Span, 0, size), Special: make([]bool, 0, size), texts: texts}
	for _, part := range template {
		if part.text == noText {
			e.IDs = append(e.IDs, part.id)
			e.TypeIDs = append(e.TypeIDs, part.typeID)
			e.Offsets = append(e.Offsets, Span{})
			e.Special = append(e.Special, true)
			continue
		}
		c := texts[part.text]
		e.IDs = append(e.IDs, c.ids...)
		for i, span := range c.offsets {
			e.TypeIDs = append(e.TypeIDs, part.typeID)
			e.Special = append(e.Special, false)
			if p.trim {
				span = p.trimmed(c.ids[i], span, i == 0)
			}
			e.Offsets = append(e.Offsets, span)
		}
	}
	return e
}

// trimmed leaves white space at the ends of a token out of its place.
func (p *postProcessor) trimmed(id int64, s Span, first bool) Span {
	if id >= int64(len(p.spaces)) {
		return s
	}
	w := p.spaces[id]
	if w.leading > 0 && !(p.prefixed && (first || s.Start == 0)) {
		s.Start = min(s.Start+w.leading, s.End)
	}
	if w.trailing > 0 && s.End >= w.trailing {
		s.End = max(s.End-w.trailing, s.Start)
	}
	return s
}

// trimmings measures the white space of all tokens.
func trimmings(tokens []string) []trimming {
	out := make([]trimming, len(tokens))
	isBlank := func(r rune) bool { return r == byteRunes[' '] || unicode.IsSpace(r) }
	width := func(r rune) int {
		if r == byteRunes[' '] {
			return 1
		}
		return utf8.RuneLen(r)
	}
	for i, token := range tokens {
		for _, r := range token {
			if !isBlank(r) {
				break
			}
			out[i].leading += width(r)
		}
		for len(token) > 0 {
			r, size := utf8.DecodeLastRuneInString(token)
			if !isBlank(r) {
				break
			}
			out[i].trailing += width(r)
			token = token[:len(token)-size]
		}
	}
	return out
}
