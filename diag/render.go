package diag

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxShown limits how many problems Render shows.
const MaxShown = 50

// maxExcerpt limits the characters of an excerpt's line; a longer line is cut around the place.
const maxExcerpt = 160

// Colours of a terminal (ECMA-48).
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	blue   = "\x1b[34m"
	plain  = "\x1b[0m"
)

// Render writes problems for people: the one-line form, the line with carets under what is meant, notes and hint.
// It shows MaxShown of them, errors before warnings where there are more, and says how many are left out.
func Render(w io.Writer, problems *List, color bool) error {
	r := renderer{w: bufio.NewWriter(w), color: color}
	shown, left := cut(problems.Problems)
	for i, p := range shown {
		if i > 0 {
			r.w.WriteByte('\n')
		}
		r.problem(p)
	}
	if left > 0 {
		fmt.Fprintf(r.w, "\n%d more %s not shown\n", left, plural(left, "problem is", "problems are"))
	}
	return r.w.Flush()
}

// cut returns the problems to show, in their order, and how many are left out.
func cut(all []*Problem) (shown []*Problem, left int) {
	if len(all) <= MaxShown {
		return all, 0
	}
	room := MaxShown
	for _, p := range all {
		if !p.Warning {
			room--
		}
	}
	errorsLeft, warningsLeft := MaxShown, max(room, 0)
	for _, p := range all {
		budget := &errorsLeft
		if p.Warning {
			budget = &warningsLeft
		}
		if *budget > 0 {
			*budget--
			shown = append(shown, p)
		}
	}
	return shown, len(all) - len(shown)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

type renderer struct {
	w     *bufio.Writer
	color bool
}

func (r *renderer) paint(style, text string) string {
	if !r.color || text == "" {
		return text
	}
	return style + text + plain
}

func (r *renderer) problem(p *Problem) {
	severity := red
	if p.Warning {
		severity = yellow
	}
	if at := p.Place.String(); at != "" {
		r.w.WriteString(r.paint(bold, at+":") + " ")
	}
	if p.Warning {
		r.w.WriteString(r.paint(severity, "warning:") + " ")
	}
	r.w.WriteString(r.paint(bold, clean(p.Text)))
	if p.Code != "" {
		r.w.WriteString(" " + r.paint(severity, "["+string(p.Code)+"]"))
	}
	r.w.WriteByte('\n')
	r.excerpt(p.Place, severity)
	for _, n := range p.Notes {
		text := clean(n.Text)
		if at := n.Place.String(); at != "" {
			text = at + ": " + text
		}
		r.w.WriteString("  " + r.paint(blue, "note:") + " " + text + "\n")
		r.excerpt(n.Place, blue)
	}
	if p.Hint != "" {
		r.w.WriteString("  " + r.paint(green, "hint:") + " " + clean(p.Hint) + "\n")
	}
}

// excerpt writes the line and the carets, where both are known.
func (r *renderer) excerpt(at Place, style string) {
	if at.Text == "" || at.Line == 0 {
		return
	}
	line, col := window(at.Text, at.Col)
	number := fmt.Sprintf("%6d", at.Line)
	r.w.WriteString(r.paint(blue, number+" |") + " " + printable(line) + "\n")
	if at.Col == 0 {
		return
	}
	before, under := margin(line, col, max(at.Len, 1))
	r.w.WriteString(r.paint(blue, strings.Repeat(" ", len(number))+" |") + " " + before + r.paint(style, under) + "\n")
}

// window cuts a long line around its column and returns the column within what is left.
func window(line string, col int) (string, int) {
	runes := []rune(line)
	if len(runes) <= maxExcerpt {
		return line, col
	}
	from := max(0, min(col-1-maxExcerpt/3, len(runes)-maxExcerpt))
	to := min(len(runes), from+maxExcerpt)
	cut, col := string(runes[from:to]), col-from
	if from > 0 {
		cut, col = "…"+cut, col+1
	}
	if to < len(runes) {
		cut += "…"
	}
	return cut, col
}

// margin returns what stands before the carets, tabs kept so that they line up, and the carets.
func margin(line string, col, length int) (before, under string) {
	var b strings.Builder
	carets, at := 0, 1
	for _, c := range line {
		switch {
		case at < col && c == '\t':
			b.WriteByte('\t')
		case at < col:
			b.WriteString(strings.Repeat(" ", width(c)))
		case at < col+length:
			carets += width(c)
		}
		at++
	}
	b.WriteString(strings.Repeat(" ", max(0, col-at)))
	return b.String(), strings.Repeat("^", max(carets, 1))
}

// width is how many cells of a terminal a character takes, by the ranges of East Asian wide characters and emoji
// (Unicode TR 11), roughly.
func width(c rune) int {
	switch {
	case unicode.Is(unicode.Mn, c) || unicode.Is(unicode.Me, c) || c == 0x200B || c == 0x200D:
		return 0
	case c >= 0x1100 && c <= 0x115F, c >= 0x2E80 && c <= 0x303E, c >= 0x3041 && c <= 0xA4CF, c >= 0xAC00 && c <= 0xD7A3,
		c >= 0xF900 && c <= 0xFAFF, c >= 0xFE30 && c <= 0xFE6F, c >= 0xFF00 && c <= 0xFF60, c >= 0xFFE0 && c <= 0xFFE6,
		c >= 0x1F300 && c <= 0x1FAFF, c >= 0x20000 && c <= 0x3FFFD:
		return 2
	}
	return 1
}

// printable replaces characters that would move the cursor of a terminal or colour it, one for one.
func printable(line string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && !unicode.IsPrint(c) {
			return utf8.RuneError
		}
		return c
	}, line)
}

// clean is printable for texts, which may stretch over lines.
func clean(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && c != '\n' && !unicode.IsPrint(c) {
			return utf8.RuneError
		}
		return c
	}, text)
}
