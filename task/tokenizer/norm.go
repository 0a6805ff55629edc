package tokenizer

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Hangul syllables are composed by rule (The Unicode Standard, 3.12).
const (
	hangulFirst, hangulLast       = 0xac00, 0xd7a3
	leadFirst, vowelFirst, tail0  = 0x1100, 0x1161, 0x11a7
	leadCount, vowelCount, tailed = 19, 21, 28
)

// decomposed is NFD, or NFKD where it is true.
type decomposed bool

func (compat decomposed) normalize(b *buffer) {
	if isASCII(b.text) || compat.form().IsNormal(b.text) {
		return
	}
	b.decompose(compat.form())
	b.apply(0)
}

func (compat decomposed) form() norm.Form {
	if compat {
		return norm.NFKD
	}
	return norm.NFD
}

// composed is NFC, or NFKC where it is true.
type composed bool

func (compat composed) normalize(b *buffer) {
	form := norm.NFC
	if compat {
		form = norm.NFKC
	}
	if isASCII(b.text) || form.IsNormal(b.text) {
		return
	}
	b.decompose(decomposed(compat).form())
	b.compose()
	b.apply(0)
}

// decompose fills b.changes with the decomposed text, marks in canonical order.
func (b *buffer) decompose(form norm.Form) {
	b.changes = b.changes[:0]
	for i := 0; i < len(b.text); {
		r, size := decode(b.text[i:])
		switch {
		case r < utf8.RuneSelf:
			b.changes = append(b.changes, change{r: r})
		case r >= hangulFirst && r <= hangulLast:
			b.decomposeHangul(r - hangulFirst)
		case unicode.Is(unassigned, r):
			b.changes = append(b.changes, change{r: r})
		default:
			b.decomposeRune(r, form.Properties(b.text[i:i+size]))
		}
		i += size
	}
	for i := 0; i < len(b.changes); i++ { // marks in a row are ordered by class
		start := i
		for i < len(b.changes) && b.changes[i].class != 0 {
			i++
		}
		if i-start > 1 {
			slices.SortStableFunc(b.changes[start:i], func(x, y change) int { return int(x.class) - int(y.class) })
		}
	}
}

func (b *buffer) decomposeHangul(syllable rune) {
	b.changes = append(b.changes, change{r: leadFirst + syllable/(vowelCount*tailed)},
		change{r: vowelFirst + syllable%(vowelCount*tailed)/tailed, delta: 1})
	if tail := syllable % tailed; tail != 0 {
		b.changes = append(b.changes, change{r: tail0 + tail, delta: 1})
	}
}

func (b *buffer) decomposeRune(r rune, p norm.Properties) {
	parts := p.Decomposition()
	if len(parts) == 0 {
		b.changes = append(b.changes, change{r: r, class: p.CCC()})
		return
	}
	for i := 0; i < len(parts); {
		part, size := utf8.DecodeRune(parts[i:])
		b.changes = append(b.changes, change{r: part, class: norm.NFD.Properties(parts[i : i+size]).CCC(), delta: int32(min(i, 1))})
		i += size
	}
}

// compose joins the characters of b.changes that a single one stands for.
func (b *buffer) compose() {
	out := b.composing[:0]
	starter := -1 // where in out the last starter is
	var last int  // the class of the character before; −1 where that is the starter
	for _, c := range b.changes {
		if starter >= 0 && (last < int(c.class) || last < 0) {
			if r, ok := b.composition(out[starter].r, c.r); ok {
				out[starter].r = r
				out[starter].delta += c.delta - 1
				continue
			}
		}
		out = append(out, c)
		if c.class == 0 {
			starter, last = len(out)-1, -1
		} else {
			last = int(c.class)
		}
	}
	b.composing, b.changes = b.changes, out
}

// composition returns the character that a starter and the next character make.
func (b *buffer) composition(x, y rune) (rune, bool) {
	if y < 0x300 {
		return 0, false
	}
	b.pair = utf8.AppendRune(utf8.AppendRune(b.pair[:0], x), y)
	b.joined = norm.NFC.Append(b.joined[:0], b.pair...)
	r, size := utf8.DecodeRune(b.joined)
	// x/text looks pairs up by their lower 16 bits, so that U+E0067 with an accent becomes ǵ; such a result is none.
	return r, size == len(b.joined) && (x > 0xffff) == (r > 0xffff) && !unicode.Is(unassigned, r)
}
