package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// A normalizer rewrites the text of a buffer.
type normalizer interface{ normalize(b *buffer) }

// normalizers run one after another.
type normalizers []normalizer

func (n normalizers) normalize(b *buffer) {
	for _, one := range n {
		one.normalize(b)
		b.cut()
	}
}

// bertNormalizer is the normaliser of BERT.
type bertNormalizer struct {
	clean, chinese, strip, lower bool
	ascii                        [utf8.RuneSelf]byte // what an ASCII byte becomes; 0: nothing
}

func newBertNormalizer(clean, chinese, strip, lower bool) *bertNormalizer {
	n := &bertNormalizer{clean: clean, chinese: chinese, strip: strip, lower: lower}
	for i := range n.ascii {
		c := byte(i)
		if lower && c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		switch {
		case clean && isControl(rune(i)): // before space: some are both
			c = 0
		case clean && isSpace(rune(i)):
			c = ' '
		}
		n.ascii[i] = c
	}
	return n
}

func (n *bertNormalizer) normalize(b *buffer) {
	if isASCII(b.text) && (n.clean || !strings.Contains(string(b.text), "\x00")) {
		n.normalizeASCII(b)
		return
	}
	if n.clean || n.chinese {
		b.begin()
		for i := 0; i < len(b.text); {
			r, size := decode(b.text[i:])
			switch {
			case n.clean && (r == 0 || r == utf8.RuneError || isControl(r)):
			case n.clean && isSpace(r):
				b.put(' ', i)
			case n.chinese && isChinese(r):
				b.put(' ', i)
				b.keep(i, i+size)
				b.put(' ', i)
			default:
				b.keep(i, i+size)
			}
			i += size
		}
		b.swap()
	}
	if n.strip {
		decomposed(false).normalize(b)
		b.filter(func(r rune) bool { return !isAccent(r) })
	}
	if n.lower {
		lowercase{}.normalize(b)
	}
}

// normalizeASCII works in place, since no character grows.
func (n *bertNormalizer) normalizeASCII(b *buffer) {
	kept := 0
	for i, c := range b.text {
		if m := n.ascii[c&0x7f]; m != 0 {
			b.text[kept] = m
			if b.track {
				b.from[kept] = b.from[i]
			}
			kept++
		}
	}
	b.text = b.text[:kept]
	if b.track {
		b.from = b.from[:kept]
	}
}

// decode is utf8.DecodeRune with a short way for ASCII.
func decode(text []byte) (rune, int) {
	if text[0] < utf8.RuneSelf {
		return rune(text[0]), 1
	}
	return utf8.DecodeRune(text)
}

// filter leaves out characters.
func (b *buffer) filter(keep func(rune) bool) {
	b.begin()
	start := 0
	for i := 0; i < len(b.text); {
		r, size := decode(b.text[i:])
		if !keep(r) {
			b.keep(start, i)
			start = i + size
		}
		i += size
	}
	b.keep(start, len(b.text))
	b.swap()
}

// mapped replaces characters one by one.
func (b *buffer) mapped(to func(rune) rune) {
	b.begin()
	for i := 0; i < len(b.text); {
		r, size := decode(b.text[i:])
		b.put(to(r), i)
		i += size
	}
	b.swap()
}

// lowercase makes small letters, character by character.
type lowercase struct{}

func (lowercase) normalize(b *buffer) {
	if isASCII(b.text) {
		for i, c := range b.text {
			if c >= 'A' && c <= 'Z' {
				b.text[i] = c + 'a' - 'A'
			}
		}
		return
	}
	b.begin()
	for i := 0; i < len(b.text); {
		r, size := decode(b.text[i:])
		if r == 'İ' { // the one character with a small form of two
			b.putString("i̇", i)
		} else {
			b.put(toLower(r), i)
		}
		i += size
	}
	b.swap()
}

// strip removes white space at the ends.
type strip struct{ left, right bool }

func (s strip) normalize(b *buffer) {
	start, end := 0, len(b.text)
	for s.left && start < end {
		r, size := decode(b.text[start:])
		if !isSpace(r) {
			break
		}
		start += size
	}
	for s.right && start < end {
		r, size := utf8.DecodeLastRune(b.text[:end])
		if !isSpace(r) {
			break
		}
		end -= size
	}
	b.begin()
	b.keep(start, end)
	b.swap()
}

// stripAccents removes all marks.
type stripAccents struct{}

func (stripAccents) normalize(b *buffer) {
	if !isASCII(b.text) {
		b.filter(func(r rune) bool { return !isMark(r) })
	}
}

// prepend puts text before a text that is not empty.
type prepend string

func (p prepend) normalize(b *buffer) {
	if len(b.text) == 0 {
		return
	}
	b.begin()
	b.putString(string(p), 0)
	b.keep(0, len(b.text))
	b.swap()
}

// replace puts content in the place of each match.
type replace struct {
	pattern pattern
	content string
}

func (n replace) normalize(b *buffer) {
	b.matches = n.pattern.find(b.text, b.matches[:0])
	b.begin()
	for _, m := range b.matches {
		if len(b.next) > maxNormalized {
			break
		}
		if m.matched {
			b.putString(n.content, int(m.end)-1)
		} else {
			b.keep(int(m.start), int(m.end))
		}
	}
	b.swap()
}

// nmt is the normaliser of SentencePiece's nmt rules.
type nmt struct{}

func (nmt) normalize(b *buffer) {
	b.filter(func(r rune) bool {
		return !(r >= 1 && r <= 8 || r == 0xb || r >= 0xe && r <= 0x1f || r == 0x7f || r == 0x8f || r == 0x9f)
	})
	b.mapped(func(r rune) rune {
		switch {
		case r == 9 || r == 0xa || r == 0xc || r == 0xd || r == 0x1680 || r >= 0x200b && r <= 0x200f, r == 0x2028, r == 0x2029,
			r == 0x2581, r == 0xfeff, r == 0xfffd:
			return ' '
		}
		return r
	})
}

// byteNormalizer writes each byte as a character that can be seen, as GPT-2 does.
type byteNormalizer struct{}

func (byteNormalizer) normalize(b *buffer) {
	b.begin()
	for i, c := range b.text {
		b.put(byteRunes[c], i)
	}
	b.swap()
}
