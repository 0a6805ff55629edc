package expr

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// casing maps a character to what it becomes where that is a special case. The tables are read at their first use.
type casing struct {
	once  sync.Once
	table string
	to    map[rune]string
}

var (
	upperCases = casing{table: specialUpper}
	titleCases = casing{table: specialTitle}
	foldCases  = casing{table: specialFold}
)

func (c *casing) find(r rune) (string, bool) {
	c.once.Do(func() {
		c.to = map[rune]string{}
		for _, entry := range strings.Fields(c.table) {
			from, size := utf8.DecodeRuneInString(entry)
			c.to[from] = entry[size:]
		}
	})
	s, ok := c.to[r]
	return s, ok
}

// runeRanges are ranges of characters, from a table of first and last ones.
type runeRanges struct {
	once   sync.Once
	table  string
	bounds []rune
}

var (
	digits   = runeRanges{table: digitRanges}
	numerals = runeRanges{table: numericRanges}
)

func (t *runeRanges) has(r rune) bool {
	t.once.Do(func() { t.bounds = []rune(t.table) })
	for i := 0; i+1 < len(t.bounds); i += 2 {
		if t.bounds[i] <= r && r <= t.bounds[i+1] {
			return true
		}
	}
	return false
}

func isUpperRune(r rune) bool { return unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r) }
func isLowerRune(r rune) bool { return unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r) }
func isCased(r rune) bool     { return isUpperRune(r) || isLowerRune(r) || unicode.IsTitle(r) }

func isDigitRune(r rune) bool {
	if r < utf8.RuneSelf {
		return '0' <= r && r <= '9'
	}
	return unicode.Is(unicode.Nd, r) || digits.has(r)
}

func isNumeric(r rune) bool {
	if r < utf8.RuneSelf {
		return '0' <= r && r <= '9'
	}
	return unicode.IsNumber(r) || numerals.has(r)
}

func upper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	var b strings.Builder
	for _, r := range s {
		writeUpper(&b, r)
	}
	return b.String()
}

func writeUpper(b *strings.Builder, r rune) {
	if special, ok := upperCases.find(r); ok {
		b.WriteString(special)
		return
	}
	b.WriteRune(unicode.ToUpper(r))
}

func writeTitle(b *strings.Builder, r rune) {
	if special, ok := titleCases.find(r); ok {
		b.WriteString(special)
		return
	}
	b.WriteRune(unicode.ToTitle(r))
}

// writeLower writes the lower case of the character r at s[i:]. A capital sigma that ends a word is a final one.
func writeLower(b *strings.Builder, s string, i int, r rune) {
	switch {
	case r == 'İ':
		b.WriteString("i\u0307")
	case r == 'Σ' && endsWord(s, i, i+len("Σ")):
		b.WriteRune('ς')
	default:
		b.WriteRune(unicode.ToLower(r))
	}
}

// endsWord reports whether a letter stands before byte i and none at byte j, what has no case aside.
func endsWord(s string, i, j int) bool {
	before, after := false, false
	for i > 0 {
		r, size := utf8.DecodeLastRuneInString(s[:i])
		if !isCaseIgnorable(r) {
			before = isCased(r)
			break
		}
		i -= size
	}
	for _, r := range s[j:] {
		if !isCaseIgnorable(r) {
			after = isCased(r)
			break
		}
	}
	return before && !after
}

func isCaseIgnorable(r rune) bool {
	switch r {
	case '\'', '.', ':', 0xb7, 0x387, 0x55f, 0x5f4, 0x2018, 0x2019, 0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a:
		return true
	}
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}

func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	for i, r := range s {
		writeLower(&b, s, i, r)
	}
	return b.String()
}

func caseFold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	for _, r := range s {
		if special, ok := foldCases.find(r); ok {
			b.WriteString(special)
		} else if r == 'İ' {
			b.WriteString("i\u0307")
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// title puts the first letter of every word in title case, the others in lower case.
func title(s string) string {
	var b strings.Builder
	within := false
	for i, r := range s {
		if within {
			writeLower(&b, s, i, r)
		} else {
			writeTitle(&b, r)
		}
		within = isCased(r)
	}
	return b.String()
}

func capitalize(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i == 0 {
			writeTitle(&b, r)
		} else {
			writeLower(&b, s, i, r)
		}
	}
	return b.String()
}

func swapCase(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case isUpperRune(r):
			writeLower(&b, s, i, r)
		case isLowerRune(r):
			writeUpper(&b, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
