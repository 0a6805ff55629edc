package pipeline

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/leat-project/leat/diag"
)

// span finds where each piece of a scalar's value stands in the text, so that an error within an expression can point
// at the very character. Where the value cannot be followed (which would be a difference between the YAML library
// and this file) the span is the scalar's beginning.
func (r *reader) span(n *yaml.Node) diag.Span {
	if n.Alias != nil || n.Line < 1 || n.Line > len(r.lines) || n.Column < 1 {
		return diag.Span{}
	}
	f := follower{r: r, value: n.Value}
	f.start(n)
	var ok bool
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		ok = f.literal()
	case n.Style&yaml.FoldedStyle != 0:
		ok = f.folded()
	case n.Style&yaml.DoubleQuotedStyle != 0:
		ok = f.flow('"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		ok = f.flow('\'')
	default:
		ok = f.flow(0)
	}
	if !ok || len(f.marks) == 0 {
		return diag.SpanAt(r.place(n.Line, n.Column, 1))
	}
	return diag.Span{Marks: f.marks}
}

// written is how many characters a scalar takes on its first line, as it is written.
func (r *reader) written(n *yaml.Node) int {
	f := follower{r: r, value: n.Value}
	f.start(n)
	from := f.col
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 1
	case n.Style&yaml.DoubleQuotedStyle != 0:
		f.flow('"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		f.flow('\'')
	default:
		f.flow(0)
	}
	line := r.text(n.Line - 1)
	if f.line != n.Line-1 {
		return utf8.RuneCountInString(strings.TrimRight(line[min(from, len(line)):], " \t"))
	}
	return utf8.RuneCountInString(line[min(from, len(line)):min(f.col, len(line))])
}

func (r *reader) text(line int) string {
	if line < 0 || line >= len(r.lines) {
		return ""
	}
	return r.lines[line]
}

// follower walks along a scalar's text and its value at the same time.
type follower struct {
	r     *reader
	value string
	at    int // byte of value
	line  int // from 0
	col   int // byte within the line
	marks []diag.Mark
}

// start sets the position behind the node's tag and anchor.
func (f *follower) start(n *yaml.Node) {
	f.line = n.Line - 1
	line := f.r.text(f.line)
	f.col = f.r.columns.byteOf(f.line, line, n.Column)
	for f.col < len(line) && (line[f.col] == '&' || line[f.col] == '!') && (n.Anchor != "" || n.Style&yaml.TaggedStyle != 0) {
		end := strings.IndexAny(line[f.col:], " \t")
		if end < 0 {
			f.col = len(line)
			break
		}
		f.col += end
		for f.col < len(line) && (line[f.col] == ' ' || line[f.col] == '\t') {
			f.col++
		}
	}
}

// byteOf is the byte at which the character col (from 1) of a line begins.
func byteOf(line string, col int) int {
	at := 0
	for ; col > 1 && at < len(line); col-- {
		_, width := utf8.DecodeRuneInString(line[at:])
		at += width
	}
	return at
}

// mark says that the value's next byte stands at the position.
func (f *follower) mark() {
	line := f.r.text(f.line)
	p := f.r.place(f.line+1, f.r.columns.colOf(f.line, line, f.col), 1)
	if k := len(f.marks); k > 0 && f.marks[k-1].Offset == f.at {
		f.marks[k-1].Place = p
		return
	}
	f.marks = append(f.marks, diag.Mark{Offset: f.at, Place: p})
}

// flow follows a plain (quote 0) or quoted scalar, whose lines are folded.
func (f *follower) flow(quote byte) bool {
	if quote != 0 {
		if line := f.r.text(f.line); f.col >= len(line) || line[f.col] != quote {
			return false
		}
		f.col++
	}
	f.mark()
	for f.line < len(f.r.lines) {
		line := f.r.text(f.line)
		if quote == 0 && f.at == len(f.value) {
			return true
		}
		switch {
		case f.col >= len(line) || strings.TrimLeft(line[f.col:], " \t") == "":
			if !f.fold() {
				return false
			}
		case quote == '"' && line[f.col] == '\\' && f.col+1 == len(line):
			f.next() // an escaped line break is nothing
			f.mark()
		case quote == '"' && line[f.col] == '\\':
			if !f.escape(line) {
				return false
			}
		case quote == '\'' && strings.HasPrefix(line[f.col:], "''"):
			if f.at >= len(f.value) || f.value[f.at] != '\'' {
				return false
			}
			f.col, f.at = f.col+2, f.at+1
			f.mark()
		case quote != 0 && line[f.col] == quote:
			f.col++
			return f.at == len(f.value)
		case f.at < len(f.value) && line[f.col] == f.value[f.at]:
			f.col, f.at = f.col+1, f.at+1
		default:
			return false
		}
	}
	return quote == 0 && f.at == len(f.value)
}

// next goes to the first character of the next line.
func (f *follower) next() {
	f.line++
	line := f.r.text(f.line)
	f.col = len(line) - len(strings.TrimLeft(line, " \t"))
}

// fold goes to the next line that is not empty: one break is a space of the value, more are line feeds.
func (f *follower) fold() bool {
	breaks := 0
	for {
		f.next()
		breaks++
		if f.line >= len(f.r.lines) {
			return false
		}
		if f.col < len(f.r.text(f.line)) {
			break
		}
	}
	wanted := " "
	if breaks > 1 {
		wanted = strings.Repeat("\n", breaks-1)
	}
	if !strings.HasPrefix(f.value[f.at:], wanted) {
		return false
	}
	f.at += len(wanted)
	f.mark()
	return true
}

// escape follows an escape of a double-quoted scalar.
func (f *follower) escape(line string) bool {
	length, digits := 2, map[byte]int{'x': 2, 'u': 4, 'U': 8}[line[f.col+1]]
	length += digits
	if f.at >= len(f.value) || f.col+length > len(line) {
		return false
	}
	_, width := utf8.DecodeRuneInString(f.value[f.at:])
	f.mark() // the underline of the escape begins at its backslash
	f.col, f.at = f.col+length, f.at+width
	f.mark()
	return true
}

// literal follows a block scalar with "|": a line of the value is the end of a line of the text.
func (f *follower) literal() bool {
	rest := f.value
	for rest != "" {
		f.line++
		text, after, _ := strings.Cut(rest, "\n")
		line := f.r.text(f.line)
		if f.line >= len(f.r.lines) || !strings.HasSuffix(line, text) && strings.TrimSpace(text+line) != "" {
			return false
		}
		f.col = max(0, len(line)-len(text))
		f.at = len(f.value) - len(rest)
		f.mark()
		rest = after
	}
	return true
}

// folded follows a block scalar with ">": each line of the text that is not empty stands in the value, with spaces
// and line feeds between.
func (f *follower) folded() bool {
	indent := -1
	for f.line++; f.line < len(f.r.lines); f.line++ {
		line := f.r.text(f.line)
		if strings.TrimSpace(line) == "" {
			continue
		}
		if indent < 0 {
			indent = len(line) - len(strings.TrimLeft(line, " "))
			if strings.HasPrefix(f.value, " ") { // an indentation indicator
				indent -= len(f.value) - len(strings.TrimLeft(f.value, " "))
			}
		}
		if indent < 0 || len(line) < indent || strings.TrimSpace(line[:indent]) != "" {
			break
		}
		text := line[indent:]
		for !strings.HasPrefix(f.value[f.at:], text) {
			if f.at >= len(f.value) || f.value[f.at] != ' ' && f.value[f.at] != '\n' {
				return len(f.marks) > 0 && strings.TrimSpace(f.value[f.at:]) == ""
			}
			f.at++
		}
		f.col = indent
		f.mark()
		f.at += len(text)
	}
	return len(f.marks) > 0
}
