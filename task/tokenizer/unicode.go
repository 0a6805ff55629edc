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
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)
}

// isPunctuation is what BERT splits at.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return asciiClass[r]&punctuation != 0
	}
	return unicode.IsPunct(r)
}

// isChinese reports the CJK ideographs that BERT puts spaces around.
func isChinese(r rune) bool {
	switch {
	case r < 0x3400:
		return false
	case r <= 0x4dbf, r >= 0x4e00 && r <= 0x9fff, r >= 0xf900 && r <= 0xfaff, r >= 0x20000 && r <= 0x2a6df,
		r >= 0x2a700 && r <= 0x2ceaf, r >= 0x2f800 && r <= 0x2fa1f:
		return true
	}
	return false
}

// toLower is the small letter of a character, where that is one character.
func toLower(r rune) rune { return unicode.ToLower(r) }

// isWord is \w: letters, marks, decimal digits, connectors and joiners.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return asciiClass[r]&(letter|digit) != 0 || r == '_'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
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
func isNumeric(r rune) bool { return unicode.IsNumber(r) }
