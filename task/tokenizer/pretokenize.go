package tokenizer

import "bytes"

// A preTokenizer cuts the words of a buffer into smaller ones.
type preTokenizer interface{ split(b *buffer) }

// preTokenizers run one after another.
type preTokenizers []preTokenizer

func (p preTokenizers) split(b *buffer) {
	for _, one := range p {
		if len(b.text) > maxNormalized {
			return
		}
		one.split(b)
	}
}

// cutter cuts a stretch of text, of which no part is rewritten, into b.nextWords.
type cutter interface {
	cut(b *buffer, start, end int32)
}

// cutting makes a preTokenizer of a cutter.
type cutting struct{ cutter }

func (c cutting) split(b *buffer) {
	b.nextWords = b.nextWords[:0]
	for _, w := range b.words {
		if w.id != noID {
			b.nextWords = append(b.nextWords, w)
			continue
		}
		c.cut(b, w.start, w.end)
	}
	b.words, b.nextWords = b.nextWords, b.words
}

// word appends a word unless it is empty.
func (b *buffer) word(start, end int32) {
	if start < end {
		b.nextWords = append(b.nextWords, word{start, end, noID})
	}
}

// bertCutter cuts at white space and makes a word of each punctuation mark.
type bertCutter struct{}

func (bertCutter) cut(b *buffer, start, end int32) {
	from := start
	for i := start; i < end; {
		c := b.text[i]
		size := int32(1)
		var class byte
		if c < 0x80 {
			class = asciiClass[c]
		} else {
			r, n := decode(b.text[i:])
			size = int32(n)
			switch {
			case isSpace(r):
				class = space
			case isPunctuation(r):
				class = punctuation
			}
		}
		if class&(space|punctuation) != 0 {
			b.word(from, i)
			if class == punctuation {
				b.word(i, i+size)
			}
			from = i + size
		}
		i += size
	}
	b.word(from, end)
}

// runeCutter cuts where characters have a property; each one alone is a match.
type runeCutter struct {
	is       func(rune) bool
	behavior behavior
}

func (c runeCutter) cut(b *buffer, start, end int32) {
	b.matches = b.matches[:0]
	from := start
	for i := start; i < end; {
		r, n := decode(b.text[i:end])
		to := i + int32(n)
		if c.is(r) {
			if from < i {
				b.matches = append(b.matches, match{from, i, false})
			}
			b.matches = append(b.matches, match{i, to, true})
			from = to
		}
		i = to
	}
	if from < end {
		b.matches = append(b.matches, match{from, end, false})
	}
	c.behavior.apply(b)
}

// spaceCutter cuts at white space, which it leaves out.
type spaceCutter struct{}

func (spaceCutter) cut(b *buffer, start, end int32) {
	from := start
	for i := start; i < end; {
		r, n := decode(b.text[i:end])
		if isSpace(r) {
			b.word(from, i)
			from = i + int32(n)
		}
		i += int32(n)
	}
	b.word(from, end)
}

// wordCutter keeps what matches \w+|[^\w\s]+.
type wordCutter struct{}

func (wordCutter) cut(b *buffer, start, end int32) {
	const nothing, wordy, other = 0, 1, 2
	from, was := start, nothing
	for i := start; i < end; {
		r, n := decode(b.text[i:end])
		is := other
		switch {
		case isSpace(r):
			is = nothing
		case isWord(r):
			is = wordy
		}
		if is != was {
			if was != nothing {
				b.word(from, i)
			}
			from, was = i, is
		}
		i += int32(n)
	}
	if was != nothing {
		b.word(from, end)
	}
}

// patternCutter cuts at the matches of a pattern.
type patternCutter struct {
	pattern  pattern
	behavior behavior
	invert   bool
}

func (c patternCutter) cut(b *buffer, start, end int32) {
	b.matches = c.pattern.find(b.text[start:end], b.matches[:0])
	for i := range b.matches {
		m := &b.matches[i]
		m.start += start
		m.end += start
		m.matched = m.matched != c.invert
	}
	c.behavior.apply(b)
}

// When a preTokenizer puts its sign before a text.
const (
	always = "always"
	first  = "first" // only where the given text begins
	never  = "never"
)

// metaspace writes a sign for each space, puts one in front, and cuts before each.
type metaspace struct {
	sign   string
	scheme string
	cut    bool
}

func (m metaspace) split(b *buffer) {
	b.begin()
	b.nextWords = b.nextWords[:0]
	for _, w := range b.words {
		start := int32(len(b.next))
		if w.id != noID {
			b.keep(int(w.start), int(w.end))
			b.nextWords = append(b.nextWords, word{start, int32(len(b.next)), w.id})
			continue
		}
		text := b.text[w.start:w.end]
		if m.scheme == always || m.scheme == first && b.startOf(w.start) == 0 {
			if text[0] != ' ' && !bytes.HasPrefix(text, []byte(m.sign)) {
				b.putString(m.sign, int(w.start))
			}
		}
		from := 0
		for i, c := range text {
			if c == ' ' {
				b.keep(int(w.start)+from, int(w.start)+i)
				b.putString(m.sign, int(w.start)+i)
				from = i + 1
			}
		}
		b.keep(int(w.start)+from, int(w.end))
		m.words(b, start, int32(len(b.next)))
	}
	b.words, b.nextWords = b.nextWords, b.words
	b.swap()
}

// words cuts what was written before each sign; a sign alone goes to the one that follows where there are several, as
// MergedWithNext has it.
func (m metaspace) words(b *buffer, start, end int32) {
	if !m.cut {
		b.word(start, end)
		return
	}
	text := b.next[start:end]
	from := 0
	for at := 0; at < len(text); {
		i := bytes.Index(text[at:], []byte(m.sign))
		if i < 0 {
			break
		}
		b.word(start+int32(from), start+int32(at+i))
		from = at + i
		at = from + len(m.sign)
	}
	b.word(start+int32(from), end)
}

// byteLevel is GPT-2's: it cuts by its pattern, and writes bytes as characters unless the model reads bytes.
type byteLevel struct {
	prefix bool // a space goes before each text without one
	cut    bool
	raw    bool
}

func (p byteLevel) split(b *buffer) {
	if p.prefix {
		p.addPrefix(b)
	}
	if p.cut {
		cutting{scanCutter(scanGPT2)}.split(b)
	}
	if p.raw {
		return
	}
	b.begin()
	for i := range b.words {
		w := &b.words[i]
		start := int32(len(b.next))
		if w.id != noID {
			b.keep(int(w.start), int(w.end))
		} else {
			for at := w.start; at < w.end; at++ {
				b.put(byteRunes[b.text[at]], int(at))
			}
		}
		w.start, w.end = start, int32(len(b.next))
	}
	b.swap()
}

func (p byteLevel) addPrefix(b *buffer) {
	b.begin()
	for i := range b.words {
		w := &b.words[i]
		start := int32(len(b.next))
		if w.id == noID && b.text[w.start] != ' ' {
			b.put(' ', int(w.start))
		}
		b.keep(int(w.start), int(w.end))
		w.start, w.end = start, int32(len(b.next))
	}
	b.swap()
}
