package tokenizer

import (
	"bytes"
	"unicode/utf8"
)

// match is a stretch of a text; matched says whether the pattern matched it or it lies between matches.
type match struct {
	start, end int32
	matched    bool
}

// A pattern parts a text into matches and what lies between them.
type pattern interface {
	find(text []byte, dst []match) []match
}

// behavior says what becomes of the matches at which a text is cut.
type behavior string

// The behaviours, by their names in the file.
const (
	removed            behavior = "Removed"
	isolated           behavior = "Isolated"
	mergedWithPrevious behavior = "MergedWithPrevious"
	mergedWithNext     behavior = "MergedWithNext"
	contiguous         behavior = "Contiguous"
)

// apply makes words of b.matches.
func (v behavior) apply(b *buffer) {
	before := false // whether the one before was a match
	at := len(b.nextWords)
	switch v {
	case removed:
		for _, m := range b.matches {
			if !m.matched {
				b.word(m.start, m.end)
			}
		}
	case isolated:
		for _, m := range b.matches {
			b.word(m.start, m.end)
		}
	case contiguous, mergedWithPrevious:
		for _, m := range b.matches {
			join := m.matched == before
			if v == mergedWithPrevious {
				join = m.matched && !before
			}
			if n := len(b.nextWords); join && n > at {
				b.nextWords[n-1].end = m.end
			} else {
				b.word(m.start, m.end)
			}
			before = m.matched
		}
	case mergedWithNext:
		for i, m := range b.matches {
			if n := len(b.nextWords); i > 0 && n > at && b.matches[i-1].matched && !m.matched {
				b.nextWords[n-1].end = m.end
			} else {
				b.word(m.start, m.end)
			}
		}
	}
}

// literal is a pattern that matches itself.
type literal string

func (p literal) find(text []byte, dst []match) []match {
	at := 0
	for p != "" {
		i := bytes.Index(text[at:], []byte(p))
		if i < 0 {
			break
		}
		if i > 0 {
			dst = append(dst, match{int32(at), int32(at + i), false})
		}
		dst = append(dst, match{int32(at + i), int32(at + i + len(p)), true})
		at += i + len(p)
	}
	if at < len(text) {
		dst = append(dst, match{int32(at), int32(len(text)), false})
	}
	return dst
}

// scanner returns where the match ends that begins at i. Its pattern matches at every place.
type scanner func(text []byte, i int) int

func (s scanner) find(text []byte, dst []match) []match {
	for i := 0; i < len(text); {
		end := s(text, i)
		dst = append(dst, match{int32(i), int32(end), true})
		i = end
	}
	return dst
}

// scanCutter makes a word of each match.
type scanCutter scanner

func (s scanCutter) cut(b *buffer, start, end int32) {
	text := b.text[start:end]
	for i := 0; i < len(text); {
		to := s(text, i)
		b.nextWords = append(b.nextWords, word{start + int32(i), start + int32(to), noID})
		i = to
	}
}

// The patterns of well-known models, which are scanned by hand.
const (
	gpt2Pattern   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// Kinds of characters in the patterns.
const (
	kindOther = iota
	kindLetter
	kindNumber
	kindSpace
)

// kindAt returns the kind of the character at i and its size; −1 at the end.
func kindAt(text []byte, i int) (kind, size int) {
	if i >= len(text) {
		return -1, 0
	}
	if c := text[i]; c < utf8.RuneSelf {
		switch asciiClass[c] {
		case letter:
			return kindLetter, 1
		case digit:
			return kindNumber, 1
		case space:
			return kindSpace, 1
		}
		return kindOther, 1
	}
	r, size := utf8.DecodeRune(text[i:])
	switch {
	case isLetter(r):
		return kindLetter, size
	case isNumber(r):
		return kindNumber, size
	case isSpace(r):
		return kindSpace, size
	}
	return kindOther, size
}

// run returns the end of a run of one kind.
func run(text []byte, i, kind int) int {
	for {
		k, size := kindAt(text, i)
		if k != kind {
			return i
		}
		i += size
	}
}

func scanGPT2(text []byte, i int) int {
	if text[i] == '\'' {
		if n := contraction(text[i:], false); n > 0 {
			return i + n
		}
	}
	at := i
	if text[i] == ' ' {
		at++
	}
	switch kind, size := kindAt(text, at); kind {
	case kindLetter, kindNumber, kindOther:
		return run(text, at+size, kind)
	}
	return scanSpace(text, i)
}

// scanSpace is \s+(?!\S)|\s+: a run of white space, less its last character where something follows.
func scanSpace(text []byte, i int) int {
	last, end := i, i
	for {
		kind, size := kindAt(text, end)
		if kind != kindSpace {
			break
		}
		last, end = end, end+size
	}
	if end < len(text) && last > i {
		return last
	}
	return end
}

func scanLlama3(text []byte, i int) int { return scanGPT4(text, i, 3) }

func scanQwen2(text []byte, i int) int { return scanGPT4(text, i, 1) }

// scanGPT4 is the pattern of GPT-4 and those after it, with up to so many digits in a number.
func scanGPT4(text []byte, i, digits int) int {
	if text[i] == '\'' {
		if n := contraction(text[i:], true); n > 0 {
			return i + n
		}
	}
	kind, size := kindAt(text, i)
	at := i + size
	switch {
	case kind == kindLetter:
		return run(text, at, kindLetter)
	case kind == kindNumber:
		for range digits - 1 {
			kind, size := kindAt(text, at)
			if kind != kindNumber {
				break
			}
			at += size
		}
		return at
	}
	next, size := kindAt(text, at)
	if next == kindLetter && text[i] != '\r' && text[i] != '\n' {
		return run(text, at+size, kindLetter)
	}
	if kind == kindOther || text[i] == ' ' && next == kindOther {
		return lineEnds(text, run(text, at, kindOther))
	}
	end := run(text, at, kindSpace)
	if newline := bytes.LastIndexAny(text[i:end], "\r\n"); newline >= 0 {
		return i + newline + 1
	}
	return scanSpace(text, i)
}

// lineEnds is [\r\n]*.
func lineEnds(text []byte, i int) int {
	for i < len(text) && (text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// contraction returns the length of 's, 't, 're, 've, 'm, 'll or 'd at the start of a text; 0 where there is none.
func contraction(text []byte, anyCase bool) int {
	lower := func(i int) byte {
		if i >= len(text) {
			return 0
		}
		if c := text[i]; anyCase && c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return text[i]
	}
	x, y := lower(1), lower(2)
	switch {
	case x == 's', x == 't', x == 'm', x == 'd':
		return 2
	case x == 'r' && y == 'e', x == 'v' && y == 'e', x == 'l' && y == 'l':
		return 3
	case anyCase && bytes.HasPrefix(text[1:], []byte("ſ")): // the long s is an s too
		return 1 + len("ſ")
	}
	return 0
}
