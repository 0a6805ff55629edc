package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// isSpace is Unicode's property White_Space.
func isSpace(r rune) bool {
	if r < utf8.RuneSelf {
		return r == ' ' || r >= '\t' && r <= '\r'
	}
	return unicode.IsSpace(r)
}

// isControl is what BERT takes out: categories Cc, Cf and Co, but for tabs and ends of lines.
func isControl(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) && !unicode.Is(controlBefore, r)
}

// isPunctuation is what BERT splits at.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return asciiClass[r]&punctuation != 0
	}
	return unicode.IsPunct(r) && !unicode.Is(punctuationBefore, r) || unicode.Is(punctuationAlso, r)
}

// isChinese reports the CJK ideographs that BERT puts spaces around.
func isChinese(r rune) bool {
	switch {
	case r < 0x3400:
		return false
	case r <= 0x4dbf, r >= 0x4e00 && r <= 0x9fff, r >= 0xf900 && r <= 0xfaff, r >= 0x20000 && r <= 0x2a6df,
		r >= 0x2a700 && r <= 0x2b81f, r >= 0x2b920 && r <= 0x2ceaf, r >= 0x2f800 && r <= 0x2fa1f:
		return true
	}
	return false
}

// newerCapitals are capitals that Go does not know yet, with the way to their small letters.
var newerCapitals = []struct{ first, last, step, delta rune }{
	{0x1c89, 0x1c89, 1, 1}, {0xa7cb, 0xa7cb, 1, 0x264 - 0xa7cb}, {0xa7cc, 0xa7ce, 2, 1}, {0xa7d2, 0xa7d4, 2, 1}, {0xa7da, 0xa7da, 1, 1},
	{0xa7dc, 0xa7dc, 1, 0x19b - 0xa7dc}, {0x10d50, 0x10d65, 1, 0x20}, {0x16ea0, 0x16eb8, 1, 0x1b},
}

// toLower is the small letter of a character, where that is one character.
func toLower(r rune) rune {
	for _, c := range newerCapitals {
		if r >= c.first && r <= c.last && (r-c.first)%c.step == 0 {
			return r + c.delta
		}
	}
	return unicode.ToLower(r)
}

// isWord is \w: letters, marks, decimal digits, connectors and joiners.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return asciiClass[r]&(letter|digit) != 0 || r == '_'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control, wordAlso)
}

// Classes of ASCII characters.
const (
	letter = 1 << iota
	digit
	space
	punctuation
)

// asciiClass has the classes of ASCII characters as bits.
var asciiClass = func() (class [256]byte) {
	for c := range utf8.RuneSelf {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			class[c] = letter
		case c >= '0' && c <= '9':
			class[c] = digit
		case c == ' ' || c >= '\t' && c <= '\r':
			class[c] = space
		case c > ' ' && c < 0x7f:
			class[c] = punctuation
		}
	}
	return class
}()

// byteRunes are the characters that stand for bytes in GPT-2's vocabularies: bytes that can be seen stand for
// themselves, the others for characters from U+0100 on.
var byteRunes = func() (runes [256]rune) {
	next := rune(256)
	for c := range rune(256) {
		if c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae {
			runes[c] = c
			continue
		}
		runes[c] = next
		next++
	}
	return runes
}()

// runeBytes is the inverse of byteRunes, for characters below 324; −1 elsewhere.
var runeBytes = func() (bytes [324]int16) {
	for i := range bytes {
		bytes[i] = -1
	}
	for c, r := range byteRunes {
		bytes[r] = int16(c)
	}
	return bytes
}()

// isNumeric reports numbers of any kind.
func isNumeric(r rune) bool { return unicode.IsNumber(r) || unicode.Is(numericAlso, r) }

// isAccent is what BERT strips, isMark what StripAccents does.
func isAccent(r rune) bool {
	return r >= firstMark && (unicode.Is(unicode.Mn, r) && !unicode.Is(accentBefore, r) || unicode.Is(accentAlso, r))
}

func isMark(r rune) bool {
	return r >= firstMark && (unicode.Is(unicode.M, r) && !unicode.Is(markBefore, r) || unicode.Is(markAlso, r))
}

// firstMark is the first combining character.
const firstMark = 0x300

// isLetter and isNumber are \p{L} and \p{N} of Oniguruma.
func isLetter(r rune) bool {
	return unicode.IsLetter(r) || r >= unicode.MaxLatin1 && unicode.Is(letterAlso, r)
}

func isNumber(r rune) bool {
	return unicode.IsNumber(r) || r >= unicode.MaxLatin1 && unicode.Is(numberAlso, r)
}
