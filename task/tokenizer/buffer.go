package tokenizer

import "unicode/utf8"

// span is a range of bytes.
type span struct{ start, end int32 }

// word is a range of the buffer that the pre-tokenizer cut. Where id is not noID it is an added token, which no
// further step touches.
type word struct {
	start, end int32
	id         int32
}

// noID stands for no token.
const noID = -1

// change is a character of a normalised text. A delta of 0 says that it replaces a character of the text before, of 1
// that it is inserted, of −n that it replaces one and the n that follow. Alignments follow from these, as in the
// library, even where characters were reordered.
type change struct {
	r     rune
	class uint8
	delta int32
}

// buffer is a text on its way from what was given to what the model reads. Where track is set it holds for each byte
// the bytes of the given text from which that came. A step reads text, writes next and then calls swap.
type buffer struct {
	text, next         []byte
	from, nextFrom     []span
	track              bool
	origin             int32 // where the text begins in what was given
	words, nextWords   []word
	matches            []match
	changes, composing []change
	pair, joined       []byte
}

// load starts with a piece of the given text, which begins there at origin. Bytes that are not UTF-8 become U+FFFD.
func (b *buffer) load(piece []byte, origin int) {
	b.origin = int32(origin)
	b.text, b.from = b.text[:0], b.from[:0]
	valid := utf8.Valid(piece)
	if valid {
		b.text = append(b.text, piece...)
		if !b.track {
			return
		}
	}
	for i := 0; i < len(piece); {
		r, n := utf8.DecodeRune(piece[i:])
		written := n
		if !valid {
			before := len(b.text)
			b.text = utf8.AppendRune(b.text, r)
			written = len(b.text) - before
		}
		if b.track {
			for range written {
				b.from = append(b.from, span{b.origin + int32(i), b.origin + int32(i+n)})
			}
		}
		i += n
	}
}

// begin empties what a step writes.
func (b *buffer) begin() { b.next, b.nextFrom = b.next[:0], b.nextFrom[:0] }

// keep copies bytes of the text.
func (b *buffer) keep(start, end int) {
	b.next = append(b.next, b.text[start:end]...)
	if b.track {
		b.nextFrom = append(b.nextFrom, b.from[start:end]...)
	}
}

// put writes a character that comes from where the byte at came from; −1 is the beginning.
func (b *buffer) put(r rune, at int) {
	before := len(b.next)
	b.next = utf8.AppendRune(b.next, r)
	if b.track {
		s := b.at(at)
		for range len(b.next) - before {
			b.nextFrom = append(b.nextFrom, s)
		}
	}
}

// putString writes text that comes from where the byte at came from.
func (b *buffer) putString(text string, at int) {
	b.next = append(b.next, text...)
	if b.track {
		s := b.at(at)
		for range len(text) {
			b.nextFrom = append(b.nextFrom, s)
		}
	}
}

func (b *buffer) at(i int) span {
	switch {
	case i >= 0 && i < len(b.from):
		return b.from[i]
	case len(b.from) > 0 && i > 0:
		return b.from[len(b.from)-1]
	}
	return span{b.origin, b.origin}
}

// swap makes what was written the text.
func (b *buffer) swap() {
	b.text, b.next = b.next, b.text
	b.from, b.nextFrom = b.nextFrom, b.from
}

// source is where the bytes [start, end) of the text came from.
func (b *buffer) source(start, end int32) span {
	if start >= end || int(end) > len(b.from) {
		at := b.at(int(start))
		return span{at.start, at.start}
	}
	first := b.from[start].start
	return span{first, max(first, b.from[end-1].end)}
}

// startOf is where the byte at i of the text came from. Without track it holds only for a text that was not normalised.
func (b *buffer) startOf(i int32) int32 {
	if b.track {
		return b.at(int(i)).start
	}
	return b.origin + i
}

// apply replaces the text by b.changes, the first `skipped` characters being removed.
func (b *buffer) apply(skipped int) {
	b.begin()
	if !b.track {
		for _, c := range b.changes {
			b.next = utf8.AppendRune(b.next, c.r)
		}
		b.swap()
		return
	}
	at := b.skip(0, skipped)
	for _, c := range b.changes {
		if c.delta > 0 {
			b.put(c.r, at-1)
			continue
		}
		b.put(c.r, at)
		at = b.skip(at, 1-int(c.delta))
	}
	b.swap()
}

// skip returns the place n characters after i.
func (b *buffer) skip(i, n int) int {
	for ; n > 0 && i < len(b.text); n-- {
		_, size := utf8.DecodeRune(b.text[i:])
		i += size
	}
	return i
}

// cut shortens a text that a step made longer than maxNormalized, between two characters.
func (b *buffer) cut() {
	if len(b.text) <= maxNormalized {
		return
	}
	end := maxNormalized
	for end > 0 && !utf8.RuneStart(b.text[end]) {
		end--
	}
	b.text = b.text[:end]
	if b.track {
		b.from = b.from[:end]
	}
}

// isASCII reports whether a text has only bytes below 128.
func isASCII(text []byte) bool {
	for len(text) >= 8 {
		if (text[0]|text[1]|text[2]|text[3]|text[4]|text[5]|text[6]|text[7])&0x80 != 0 {
			return false
		}
		text = text[8:]
	}
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
