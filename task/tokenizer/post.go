package tokenizer

import "unicode/utf8"

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
}

// blank is the white space at the ends of a token: how many bytes of the text it is.
type blank struct {
	leading, trailing int
	single            bool // the token begins with one such character
}

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
				span = p.trimmed(span, c.blanks[i], i == 0)
			}
			e.Offsets = append(e.Offsets, span)
		}
	}
	return e
}

// trimmed leaves white space at the ends of a token out of its place. A single space before the first token stays: it
// may be the one that the pre-tokenizer put there.
func (p *postProcessor) trimmed(s Span, b blank, first bool) Span {
	if b.leading > 0 && !(p.prefixed && b.single && (first || s.Start == 0)) {
		s.Start = min(s.Start+b.leading, s.End)
	}
	if b.trailing > 0 {
		s.End = max(s.End-b.trailing, s.Start)
	}
	return s
}

// blanksOf counts the characters of white space around a token, in which a space may be written as GPT-2 does.
func blanksOf(token string) (leading, trailing int) {
	isBlank := func(r rune) bool { return r == byteRunes[' '] || isSpace(r) }
	for _, r := range token {
		if !isBlank(r) {
			break
		}
		leading++
	}
	for len(token) > 0 {
		r, size := utf8.DecodeLastRuneInString(token)
		if !isBlank(r) {
			break
		}
		trailing++
		token = token[:len(token)-size]
	}
	return leading, trailing
}

// measure turns counts of characters into bytes of the text around a token's place.
func measure(text []byte, at Span, leading, trailing int) blank {
	b := blank{single: leading == 1}
	for range leading {
		_, size := utf8.DecodeRune(text[at.Start+b.leading:])
		b.leading += size
	}
	for range trailing {
		if b.trailing == at.End { // more than the text has: none
			b.trailing = 0
			break
		}
		_, size := utf8.DecodeLastRune(text[:at.End-b.trailing])
		b.trailing += size
	}
	return b
}
