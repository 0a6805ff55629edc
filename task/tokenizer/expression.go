package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// expression is a regular expression without a scanner of its own. It works character by character and may look ahead
// and back, at a tenth of a scanner's speed.
type expression struct{ re *regexp2.Regexp }

// newExpression compiles a regular expression of the file.
func newExpression(text string) (pattern, error) {
	switch text {
	case gpt2Pattern:
		return scanner(scanGPT2), nil
	case llama3Pattern:
		return scanner(scanLlama3), nil
	case qwen2Pattern:
		return scanner(scanQwen2), nil
	}
	re, err := regexp2.Compile(withClasses(text), regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("wanted a regular expression without possessive quantifiers, found %q: %w", text, err)
	}
	return expression{re}, nil
}

// withClasses writes out the classes that Oniguruma and Go take for different characters. \P, \W and the subclasses of
// letters are left: they differ in characters of 2022 and later only.
func withClasses(text string) string {
	var out strings.Builder
	inside := false // of brackets
	for i := 0; i < len(text); i++ {
		class, size := "", 2
		switch {
		case strings.HasPrefix(text[i:], `\p{L}`):
			class, size = `\p{L}`+ranges(letterAlso), len(`\p{L}`)
		case strings.HasPrefix(text[i:], `\p{N}`):
			class, size = `\p{N}`+ranges(numberAlso), len(`\p{N}`)
		case strings.HasPrefix(text[i:], `\w`):
			class = `\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}²³¹¼-¾` + ranges(wordAlso) + ranges(unicode.Other_Alphabetic)
		case text[i] == '\\' && i+1 < len(text):
			out.WriteString(text[i : i+2])
			i++
			continue
		case text[i] == '[':
			inside = true
		case text[i] == ']':
			inside = false
		}
		switch {
		case class == "":
			out.WriteByte(text[i])
			continue
		case inside:
			out.WriteString(class)
		default:
			out.WriteString("[" + class + "]")
		}
		i += size - 1
	}
	return out.String()
}

// ranges writes a table as the inside of brackets.
func ranges(table *unicode.RangeTable) string {
	var out []rune
	for _, r := range table.R16 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			if r.Stride == 1 {
				out = append(out, c, '-', rune(r.Hi))
				break
			}
			out = append(out, c)
		}
	}
	for _, r := range table.R32 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			if r.Stride == 1 {
				out = append(out, c, '-', rune(r.Hi))
				break
			}
			out = append(out, c)
		}
	}
	return string(out)
}

func (p expression) find(text []byte, dst []match) []match {
	runes := []rune(string(text))
	m, _ := p.re.FindRunesMatch(runes) // the only error is of time, which is not bounded
	at, passed, from := 0, 0, 0        // a byte, the same place in characters, the end of the match before
	for ; m != nil; m, _ = p.re.FindNextMatch(m) {
		for ; passed < m.Index; passed++ {
			at += utf8.RuneLen(runes[passed])
		}
		start := at
		for ; passed < m.Index+m.Length; passed++ {
			at += utf8.RuneLen(runes[passed])
		}
		if start == at && start == from && start > 0 { // nothing, right after a match
			continue
		}
		if start > from {
			dst = append(dst, match{int32(from), int32(start), false})
		}
		dst = append(dst, match{int32(start), int32(at), true})
		from = at
	}
	if from < len(text) {
		dst = append(dst, match{int32(from), int32(len(text)), false})
	}
	return dst
}
