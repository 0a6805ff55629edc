package connector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// jsonScanner walks over one morsel of JSON. Every method takes the position where its construct begins and returns the
// position after it; -1 means that the record is bad and err says why. The text ends with a newline, so that no loop
// runs over its end: a newline belongs to no JSON value.
type jsonScanner struct {
	text []byte
	err  error
	buf  []byte // a string without its escapes
}

// maxJSONDepth is how deep arrays and objects may nest.
const maxJSONDepth = 200

var (
	errJSONDepth   = fmt.Errorf("arrays and objects nest deeper than %d, the most that is read", maxJSONDepth)
	errJSONControl = errors.New("a control character in a string: it has to be escaped")
	errJSONEnd     = errors.New("the record ends in the middle of a value")
)

func (s *jsonScanner) fail(err error) int {
	if s.err == nil {
		s.err = err
	}
	return -1
}

// unexpected is the failure of finding something else than what was wanted at p.
func (s *jsonScanner) unexpected(p int, wanted string) int {
	if s.text[p] == '\n' {
		return s.fail(errJSONEnd)
	}
	r, _ := utf8.DecodeRune(s.text[p:])
	return s.fail(fmt.Errorf("wanted %s, found %q", wanted, r))
}

// space skips white space, which a newline ends.
func (s *jsonScanner) space(p int) int {
	for s.text[p] == ' ' || s.text[p] == '\t' || s.text[p] == '\r' {
		p++
	}
	return p
}

// special returns a word with the high bit of each byte set that is a quote, a backslash or a control character. Bits
// above the lowest that is set may be wrong.
func special(w uint64) uint64 {
	quote := w ^ ones*'"'
	slash := w ^ ones*'\\'
	return ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*0x20)&^w) & highs
}

// str finds the end of the string whose opening quote is at p: the position of the closing quote. plain is false where there
// are escapes.
func (s *jsonScanner) str(p int) (end int, plain bool) {
	text := s.text
	plain = true
	i := p + 1
	for {
		for i+8 <= len(text) {
			m := special(binary.LittleEndian.Uint64(text[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		switch c := text[i]; {
		case c == '"':
			return i, plain
		case c == '\\':
			plain = false
			i += 2
			if i >= len(text) || text[i-1] == '\n' {
				return s.fail(errJSONEnd), plain
			}
		case c == '\n':
			return s.fail(errJSONEnd), plain
		case c < 0x20:
			return s.fail(errJSONControl), plain
		default: // near the end of the text, where there is no whole word
			i++
		}
	}
}

// unquote returns the string between the quote at p and the one at end. It is valid until the next call.
func (s *jsonScanner) unquote(p, end int, plain bool) ([]byte, bool) {
	if plain {
		return s.text[p+1 : end], true
	}
	var ok bool
	s.buf, ok = s.appendUnquoted(s.buf[:0], p+1, end)
	return s.buf, ok
}

// appendString appends the string whose opening quote is at p, without its escapes, and returns the position after it.
func (s *jsonScanner) appendString(dst []byte, p int) ([]byte, int) {
	text := s.text
	p++
	for p+8 <= len(text) {
		w := binary.LittleEndian.Uint64(text[p:])
		m := special(w)
		dst = binary.LittleEndian.AppendUint64(dst, w)
		if m == 0 {
			p += 8
			continue
		}
		n := bits.TrailingZeros64(m) >> 3
		dst = dst[:len(dst)-8+n]
		p += n
		if text[p] == '"' {
			return dst, p + 1
		}
		if text[p] != '\\' {
			break
		}
		var ok bool
		if dst, p, ok = s.appendEscape(dst, p); !ok {
			return dst, -1
		}
	}
	end, plain := s.str(p - 1) // near the end of the text, or at what is wrong
	if end < 0 {
		return dst, -1
	}
	if plain {
		return append(dst, text[p:end]...), end + 1
	}
	dst, ok := s.appendUnquoted(dst, p, end)
	if !ok {
		return dst, -1
	}
	return dst, end + 1
}

// appendEscape appends the character whose escape is at p, and returns the position after it.
func (s *jsonScanner) appendEscape(dst []byte, p int) (_ []byte, next int, ok bool) {
	c := s.text[p+1]
	if plain := simpleEscapes[c]; plain != 0 {
		return append(dst, plain), p + 2, true
	}
	if c == 'u' {
		if r, n := escapedRune(s.text[p+2:]); n > 0 {
			return utf8.AppendRune(dst, r), p + 2 + n, true
		}
		text := s.text[p+2:]
		if end := bytes.IndexAny(text[:min(4, len(text))], "\"\n"); end >= 0 {
			text = text[:end]
		}
		s.fail(fmt.Errorf("%q is no character", "\\u"+string(text[:min(4, len(text))])))
		return dst, -1, false
	}
	if c == '\n' {
		s.fail(errJSONEnd)
		return dst, -1, false
	}
	r, _ := utf8.DecodeRune(s.text[p+1:])
	s.fail(fmt.Errorf("%q is no escape", "\\"+string(r)))
	return dst, -1, false
}

// simpleEscapes are the characters that the letter after a backslash stands for; 0: none.
var simpleEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// appendUnquoted appends the text from p to end without its escapes.
func (s *jsonScanner) appendUnquoted(dst []byte, p, end int) ([]byte, bool) {
	for ok := true; ok; {
		n := bytes.IndexByte(s.text[p:end], '\\')
		if n < 0 {
			return append(dst, s.text[p:end]...), true
		}
		dst = append(dst, s.text[p:p+n]...)
		dst, p, ok = s.appendEscape(dst, p+n)
	}
	return dst, false
}

// escapedRune reads what follows \u: four hexadecimal digits, or a pair of surrogates. n is 0 where it is neither.
func escapedRune(b []byte) (r rune, n int) {
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 4
	}
	if len(b) < 10 || b[4] != '\\' || b[5] != 'u' {
		return 0, 0
	}
	low, ok := hex4(b[6:])
	r = utf16.DecodeRune(r, low)
	if !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 10
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		r <<= 4
		switch {
		case c >= '0' && c <= '9':
			r |= rune(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r |= rune(c|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return r, true
}

// shortInt reads a whole number of at most 15 digits; end is -1 for any other number, and for what is none: number tells.
//
// Digits are read eight bytes at once, without a branch on how many there are.
func (s *jsonScanner) shortInt(p int) (i int64, end int) {
	text := s.text
	if p+32 > len(text) {
		return 0, -1
	}
	start := p
	if text[p] == '-' {
		p++
	}
	zero := text[p] == '0'
	n, digits := leadingDigits(binary.LittleEndian.Uint64(text[p:]))
	p += digits
	if digits == 8 {
		more, count := leadingDigits(binary.LittleEndian.Uint64(text[p:]))
		n = n*wholeTens[count] + more
		p += count
		digits = 8 + count&7 - count&8 // none, where there are 16 or more
	}
	if digits == 0 || zero && digits > 1 || text[p] == '.' || text[p]|0x20 == 'e' {
		return 0, -1
	}
	if text[start] == '-' {
		return -int64(n), p
	}
	return int64(n), p
}

// shortFloat reads a number of at most 7 digits before the point and 7 behind it, without an exponent; end is -1 for any
// other number, and for what is none.
func (s *jsonScanner) shortFloat(p int) (f float64, end int) {
	text := s.text
	if p+24 > len(text) {
		return 0, -1
	}
	start := p
	if text[p] == '-' {
		p++
	}
	zero := text[p] == '0'
	n, digits := leadingDigits(binary.LittleEndian.Uint64(text[p:]))
	p += digits
	if digits&7 == 0 || zero && digits > 1 {
		return 0, -1
	}
	if text[p] == '.' {
		more, count := leadingDigits(binary.LittleEndian.Uint64(text[p+1:]))
		if count&7 == 0 {
			return 0, -1
		}
		// Both are exact, so that the division rounds once, as in jsonNumber.float.
		f = float64(n*wholeTens[count]+more) / tens[count]
		p += 1 + count
	} else {
		f = float64(n)
	}
	if text[p]|0x20 == 'e' {
		return 0, -1
	}
	if text[start] == '-' {
		return -f, p
	}
	return f, p
}

// leadingDigits returns the number that the digits at the beginning of w make, and how many they are.
func leadingDigits(w uint64) (n uint64, count int) {
	w ^= ones * '0'
	other := (w + ones*(0x80-10) | w) & highs
	count = bits.TrailingZeros64(other) >> 3
	w <<= 64 - 8*count // zeros before the digits
	return parseEight(w), count
}

var wholeTens = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// number scans a number. mantissa and scale (digits after the point) are exact where exact is true; else the text
// has to be parsed. whole says that it has neither point nor exponent.
func (s *jsonScanner) number(p int) (n jsonNumber, end int) {
	text := s.text
	if text[p] == '-' {
		n.negative = true
		p++
	}
	start := p
	for p+8 <= len(text) {
		w := binary.LittleEndian.Uint64(text[p:])
		if !eightDigits(w) {
			break
		}
		n.mantissa = n.mantissa*1e8 + parseEight(w)
		p += 8
	}
	for text[p]-'0' <= 9 {
		n.mantissa = n.mantissa*10 + uint64(text[p]-'0')
		p++
	}
	digits := p - start
	if digits == 0 || text[start] == '0' && digits > 1 {
		return n, s.unexpected(start, "a number without leading zeros")
	}
	n.whole = true
	if text[p] == '.' {
		n.whole = false
		p++
		from := p
		for text[p]-'0' <= 9 {
			n.mantissa = n.mantissa*10 + uint64(text[p]-'0')
			p++
		}
		n.scale = p - from
		digits += n.scale
		if n.scale == 0 {
			return n, s.unexpected(p, "a digit after the point")
		}
	}
	n.exact = digits <= 19
	if text[p]|0x20 == 'e' {
		n.whole, n.exact = false, false
		p++
		if text[p] == '-' || text[p] == '+' {
			p++
		}
		if text[p]-'0' > 9 {
			return n, s.unexpected(p, "a digit in the exponent")
		}
		for text[p]-'0' <= 9 {
			p++
		}
	}
	return n, p
}

// jsonNumber is a scanned number.
type jsonNumber struct {
	mantissa uint64
	scale    int
	negative bool
	whole    bool
	exact    bool // mantissa holds all digits
}

// integer returns the number as 64 bits, false where it is none or does not fit.
func (n jsonNumber) integer() (int64, bool) {
	if !n.whole || !n.exact {
		return 0, false
	}
	if n.negative {
		return -int64(n.mantissa), n.mantissa <= 1<<63
	}
	return int64(n.mantissa), n.mantissa < 1<<63
}

// float returns the number, whose text is given, rounded to the nearest float64.
func (n jsonNumber) float(text []byte) (float64, bool) {
	// Both a mantissa below 2^53 and a power of ten up to 22 are exact, so that one division rounds once (Clinger 1990).
	if n.exact && n.mantissa < 1<<53 && n.scale < len(tens) {
		f := float64(n.mantissa) / tens[n.scale]
		if n.negative {
			f = -f
		}
		return f, true
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64) // read at once, not kept
	return f, err == nil
}

var tens = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// eightDigits reports whether all bytes of w are digits.
func eightDigits(w uint64) bool {
	return w&(w+0x0606060606060606)&0xf0f0f0f0f0f0f0f0 == 0x3030303030303030
}

// parseEight returns the number that eight digits make, the first in the lowest byte, by adding neighbours, pairs and
// fours.
func parseEight(w uint64) uint64 {
	w = (w & 0x0f0f0f0f0f0f0f0f) * (10<<8 + 1) >> 8
	w = (w & 0x00ff00ff00ff00ff) * (100<<16 + 1) >> 16
	return (w & 0x0000ffff0000ffff) * (10000<<32 + 1) >> 32
}

// word scans true, false or null.
func (s *jsonScanner) word(p int, word string) int {
	if p+len(word) <= len(s.text) && string(s.text[p:p+len(word)]) == word {
		return p + len(word)
	}
	return s.unexpected(p, "a JSON value")
}

// skip scans a value of any kind.
func (s *jsonScanner) skip(p, depth int) int {
	switch c := s.text[p]; {
	case c == '"':
		end, plain := s.str(p)
		if end < 0 {
			return -1
		}
		if !plain {
			if _, ok := s.unquote(p, end, plain); !ok {
				return -1
			}
		}
		return end + 1
	case c == '-' || c-'0' <= 9:
		return s.skipNumber(p)
	case c == 't':
		return s.word(p, "true")
	case c == 'f':
		return s.word(p, "false")
	case c == 'n':
		return s.word(p, "null")
	case c == '[':
		return s.elements(p, depth, func(p int) int { return s.skip(p, depth+1) })
	case c == '{':
		return s.members(p, depth, func(_ []byte, p int) int { return s.skip(p, depth+1) })
	}
	return s.unexpected(p, "a JSON value")
}

func (s *jsonScanner) skipNumber(p int) int {
	if _, end := s.shortFloat(p); end >= 0 {
		return end
	}
	if _, end := s.shortInt(p); end >= 0 {
		return end
	}
	_, end := s.number(p)
	return end
}

// elements scans an array and calls f with the position of each element.
func (s *jsonScanner) elements(p, depth int, f func(p int) int) int {
	if depth >= maxJSONDepth {
		return s.fail(errJSONDepth)
	}
	if p = s.space(p + 1); s.text[p] == ']' {
		return p + 1
	}
	for more := true; more; {
		if p = f(p); p < 0 {
			return -1
		}
		p, more = s.comma(p, ']')
	}
	return p
}

// comma scans what stands behind an element: a comma, and then the next one has to follow, or the closing bracket. It
// returns -1 for anything else.
func (s *jsonScanner) comma(p int, closing byte) (next int, more bool) {
	switch c := s.text[p]; {
	case c == closing:
		return p + 1, false
	case c == ',' && s.text[p+1] > ' ':
		return p + 1, true
	}
	switch p = s.space(p); s.text[p] {
	case ',':
		return s.space(p + 1), true
	case closing:
		return p + 1, false
	}
	return s.unexpected(p, `"," or "`+string(rune(closing))+`"`), false
}

// members scans an object and calls f with each key and the position of its value. The key is valid until f scans.
func (s *jsonScanner) members(p, depth int, f func(key []byte, p int) int) int {
	if depth >= maxJSONDepth {
		return s.fail(errJSONDepth)
	}
	if p = s.space(p + 1); s.text[p] == '}' {
		return p + 1
	}
	for more := true; more; {
		key, next := s.key(p)
		if next < 0 {
			return -1
		}
		if p = f(key, next); p < 0 {
			return -1
		}
		p, more = s.comma(p, '}')
	}
	return p
}

// key scans a key and the colon, and returns the position of the value.
func (s *jsonScanner) key(p int) (key []byte, next int) {
	if s.text[p] != '"' {
		return nil, s.unexpected(p, "a key in quotes")
	}
	end, plain := s.str(p)
	if end < 0 {
		return nil, -1
	}
	key, ok := s.unquote(p, end, plain)
	if !ok {
		return nil, -1
	}
	p = s.space(end + 1)
	if s.text[p] != ':' {
		return nil, s.unexpected(p, `":"`)
	}
	return key, s.space(p + 1)
}

// validUTF8 is utf8.Valid, faster where ASCII and other characters take turns.
func validUTF8(text []byte) bool {
	for p := 0; p < len(text); {
		if p+8 <= len(text) {
			m := binary.LittleEndian.Uint64(text[p:]) & highs
			if m == 0 {
				p += 8
				continue
			}
			p += bits.TrailingZeros64(m) >> 3
		} else if text[p] < utf8.RuneSelf {
			p++
			continue
		}
		for p < len(text) && text[p] >= utf8.RuneSelf { // characters of one script come in runs
			switch c := text[p]; {
			case c-0xc2 <= 0xdf-0xc2 && p+2 <= len(text) && int8(text[p+1]) < -0x40:
				p += 2
			case c-0xe1 <= 0xec-0xe1 && p+3 <= len(text) && int8(text[p+1]) < -0x40 && int8(text[p+2]) < -0x40:
				p += 3
			default: // the rarer ones, with rules of their own
				r, size := utf8.DecodeRune(text[p:])
				if r == utf8.RuneError && size == 1 {
					return false
				}
				p += size
			}
		}
	}
	return true
}
