package tokenizer

import (
	"slices"
	"sync"
	"unicode/utf8"
)

// The limits of what is read. A text that is longer than MaxText bytes is cut there, between two characters; a file
// that is longer than MaxFile bytes is an error.
const (
	MaxText = 8 << 20
	MaxFile = 256 << 20
)

// maxNormalized bounds what normalisers and pre-tokenizers may make of a text, in bytes, so that a file that replaces a
// letter by a book does not take all memory. What is beyond is left out.
const maxNormalized = 4 * MaxText

// Tokenizer turns texts into ids. It does not change and may be used by many goroutines at once.
type Tokenizer struct {
	normalizer    normalizer   // nil: none
	pre           preTokenizer // nil: none
	model         model
	post          postProcessor
	raw           *addedTokens // looked for in the text as given
	normalized    *addedTokens // looked for in the normalised text
	ids           map[string]int32
	tokens        []string // by id
	vocabSize     int
	needsTracking bool // ids depend on where a word came from
	truncation    *truncation
	padding       *PaddingRule
	cache         *cache
	scratch       sync.Pool
}

// Span is a range of bytes of a text.
type Span struct{ Start, End int }

// Encoding is what a text became: the tokens' ids, types, places in the text, and whether the post-processor added
// them. All are equally long. Special tokens have no place: 0, 0. The places of a second text are its own.
type Encoding struct {
	IDs, TypeIDs []int64
	Offsets      []Span
	Special      []bool

	texts []content // without special tokens: one, or two of a pair
}

// content is what a text becomes before the post-processor.
type content struct {
	ids     []int64
	offsets []Span
	blanks  []blank // where the post-processor trims offsets
}

// scratch is the memory that a call needs and gives back.
type scratch struct {
	buffer
	given   []byte
	outer   []word
	pieces  []piece
	offsets []Span
	blanks  []blank
	symbols []symbol
	merges  []merge
	queue   candidates
	part    []byte
	paths   []path
	steps   []piece
}

// ID returns the id of a token.
func (t *Tokenizer) ID(token string) (int64, bool) {
	id, ok := t.ids[token]
	return int64(id), ok
}

// Token returns the token of an id, as the vocabulary writes it.
func (t *Tokenizer) Token(id int64) (string, bool) {
	if id < 0 || id >= int64(len(t.tokens)) {
		return "", false
	}
	token := t.tokens[id]
	known, ok := t.ids[token]
	return token, ok && int64(known) == id
}

// VocabSize is the number of tokens, added ones included.
func (t *Tokenizer) VocabSize() int { return t.vocabSize }

// Encode tokenizes a text and puts the special tokens around it. It neither truncates nor pads.
func (t *Tokenizer) Encode(text string) Encoding {
	return t.post.assemble([]content{t.content(text)})
}

// EncodePair tokenizes two texts that go into the model together.
func (t *Tokenizer) EncodePair(a, b string) Encoding {
	return t.post.assemble([]content{t.content(a), t.content(b)})
}

// AppendIDs appends the ids that Encode gives. It is the fastest way, and allocates nothing but room in dst and, for a
// word that it has not met lately, a place in the cache of words.
func (t *Tokenizer) AppendIDs(dst []int64, text string) []int64 {
	s := t.scratchOf(t.needsTracking)
	for _, p := range t.post.single {
		if p.text == noText {
			dst = append(dst, p.id)
		} else {
			dst = t.tokenize(dst, text, s)
		}
	}
	t.scratch.Put(s)
	return dst
}

// content tokenizes a text, with places.
func (t *Tokenizer) content(text string) content {
	s := t.scratchOf(true)
	c := content{ids: t.tokenize(nil, text, s)}
	c.offsets, c.blanks = slices.Clone(s.offsets), slices.Clone(s.blanks)
	t.scratch.Put(s)
	return c
}

func (t *Tokenizer) scratchOf(track bool) *scratch {
	s, _ := t.scratch.Get().(*scratch)
	if s == nil {
		s = &scratch{}
	}
	s.track = track
	s.offsets, s.blanks = s.offsets[:0], s.blanks[:0]
	return s
}

// tokenize appends the ids of a text and, where s tracks, their places to s.offsets.
func (t *Tokenizer) tokenize(dst []int64, text string, s *scratch) []int64 {
	if len(text) > MaxText {
		end := MaxText
		for end > MaxText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	s.given = append(s.given[:0], text...)
	s.outer = t.raw.split(s.given, s.outer[:0])
	for _, w := range s.outer {
		if w.id != noID {
			dst = append(dst, int64(w.id))
			if s.track {
				t.place(s, span{w.start, w.end}, text[w.start:w.end])
			}
			continue
		}
		dst = t.tokenizePiece(dst, s.given[w.start:w.end], int(w.start), s)
	}
	return dst
}

// tokenizePiece tokenizes what lies between added tokens.
func (t *Tokenizer) tokenizePiece(dst []int64, piece []byte, origin int, s *scratch) []int64 {
	s.load(piece, origin)
	if t.normalizer != nil {
		t.normalizer.normalize(&s.buffer)
		s.cut()
	}
	if len(s.text) == 0 {
		return dst
	}
	s.words = t.normalized.split(s.text, s.words[:0])
	if t.pre != nil {
		t.pre.split(&s.buffer)
	}
	for _, w := range s.words {
		if w.id == noID {
			dst = t.tokenizeWord(dst, w, s)
			continue
		}
		dst = append(dst, int64(w.id))
		if s.track {
			t.place(s, s.source(w.start, w.end), string(s.text[w.start:w.end]))
		}
	}
	return dst
}

// place notes where a token lies in the given text.
func (t *Tokenizer) place(s *scratch, at span, token string) {
	place := Span{int(at.start), int(at.end)}
	s.offsets = append(s.offsets, place)
	if t.post.trim {
		leading, trailing := blanksOf(token)
		s.blanks = append(s.blanks, measure(s.given, place, leading, trailing))
	}
}

func (t *Tokenizer) tokenizeWord(dst []int64, w word, s *scratch) []int64 {
	text := s.text[w.start:w.end]
	var pieces []piece
	if len(text) <= maxCachedWord {
		known, slot := t.cache.find(text)
		if known == nil {
			s.pieces = t.model.tokenize(s.pieces[:0], text, s)
			known = &cached{string(text), slices.Clone(s.pieces)}
			slot.Store(known)
		}
		pieces = known.pieces
	} else {
		s.pieces = t.model.tokenize(s.pieces[:0], text, s)
		pieces = s.pieces
	}
	for i := range pieces {
		dst = append(dst, int64(pieces[i].id))
	}
	if s.track {
		for _, p := range pieces {
			t.place(s, s.source(w.start+p.start, w.start+p.end), t.tokens[p.id])
		}
	}
	return dst
}
