package pipeline

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Limits of a pipeline file.
const (
	MaxFileBytes = 16 << 20 // of the file, and of what its template expands to
	MaxDepth     = 100      // of lists and maps within each other
	MaxValues    = 1 << 20  // values, with aliases expanded

	MaxTransforms = 10_000 // transforms, with those that providers are made of
)

// readYAML reads a text of one YAML document into values with places. It returns nil after an error without which
// there is nothing to go on with.
func readYAML(file string, text []byte, problems *diag.List) *catalog.Value {
	r := reader{file: file, problems: problems, open: map[*yaml.Node]bool{}}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	r.lines = splitLines(string(text))
	if !r.readable(text) {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(MaxDepth+1))))
	if err != nil {
		problems.Errorf(r.line(1), diag.BadYAML, "the text cannot be read as YAML: %v", err)
		return nil
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0:
		problems.Errorf(r.line(1), diag.BadYAML, "the file is empty, wanted a pipeline").Hint = "Begin with the key \"pipeline\"."
		return nil
	case err != nil:
		r.fault(err, text)
		return nil
	}
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.fault(err, text)
	default:
		at := r.node(&second)
		if len(second.Content) > 0 {
			at = r.node(second.Content[0])
		}
		problems.Errorf(at, diag.BadYAML, "a second YAML document begins here, wanted one document in a file").Hint =
			"Give each pipeline its own file; \"---\" begins a new document."
	}
	return r.value(doc.Content[0], 0)
}

type reader struct {
	file     string
	lines    []string
	problems *diag.List
	values   int
	full     bool // MaxValues has been reported
	columns  columns
	open     map[*yaml.Node]bool // anchored nodes around what is being read
}

// lineBreaks are the line breaks of YAML 1.1.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// splitLines splits a text at its line breaks.
func splitLines(text string) []string {
	if strings.ContainsAny(text, "\r\u0085\u2028\u2029") {
		text = lineBreaks.Replace(text)
	}
	return strings.Split(text, "\n")
}

// columns turns characters of a line into bytes and back. It remembers the last answer and goes on from there, because a
// line may be long and places are asked for one after the other.
type columns struct {
	line       int
	char, byte int // char characters (from 0) of the line take byte bytes
}

// byteOf is the byte at which character col (from 1) of line number n begins, or its length where it has fewer.
func (c *columns) byteOf(n int, line string, col int) int {
	c.begin(n)
	for c.char < col-1 && c.byte < len(line) {
		_, width := utf8.DecodeRuneInString(line[c.byte:])
		c.char, c.byte = c.char+1, c.byte+width
	}
	for c.char > col-1 && c.char > 0 {
		_, width := utf8.DecodeLastRuneInString(line[:c.byte])
		c.char, c.byte = c.char-1, c.byte-width
	}
	return c.byte
}

// colOf is the character (from 1) that begins at byte at of line number n.
func (c *columns) colOf(n int, line string, at int) int {
	c.begin(n)
	at = min(at, len(line))
	if at >= c.byte {
		c.char += utf8.RuneCountInString(line[c.byte:at])
	} else {
		c.char -= utf8.RuneCountInString(line[at:c.byte])
	}
	c.byte = at
	return c.char + 1
}

func (c *columns) begin(n int) {
	if n != c.line {
		*c = columns{line: n}
	}
}

// readable reports whether text is UTF-8 without control characters and not too long.
func (r *reader) readable(text []byte) bool {
	if len(text) > MaxFileBytes {
		r.problems.Errorf(diag.Place{File: r.file}, diag.OverLimit, "the text has %d bytes, at most %d are allowed", len(text), MaxFileBytes)
		return false
	}
	for i, line := range r.lines {
		for col, width := 0, 0; col < len(line); col += width {
			var c rune
			c, width = utf8.DecodeRuneInString(line[col:])
			at := diag.Place{File: r.file, Line: i + 1, Text: line}
			switch {
			case c >= ' ' && c != 0x7f && c != utf8.RuneError || c == '\t':
				continue
			case c == utf8.RuneError && width == 1:
				at.Col = utf8.RuneCountInString(line[:col]) + 1
				r.problems.Errorf(at, diag.BadYAML, "the byte 0x%02x is not UTF-8", line[col]).Hint = "Save the file as UTF-8."
				return false
			case c < ' ' || c == 0x7f:
				at.Col = utf8.RuneCountInString(line[:col]) + 1
				r.problems.Errorf(at, diag.BadYAML, "the control character U+%04X is not allowed in YAML", c).Hint =
					"In double quotes, write it as an escape."
				return false
			}
		}
	}
	return true
}

// line is the place of a whole line.
func (r *reader) line(n int) diag.Place { return r.place(n, 0, 0) }

// place is a place of the text, with the line that it stands in.
func (r *reader) place(line, col, length int) diag.Place {
	if line > len(r.lines) {
		return r.end()
	}
	p := diag.Place{File: r.file, Line: line, Col: col, Len: length}
	if line >= 1 {
		p.Text = r.lines[line-1]
	}
	return p
}

// node is the place of a node: of a scalar on one line the whole of it as written, of anything else its beginning.
func (r *reader) node(n *yaml.Node) diag.Place {
	p := r.place(n.Line, n.Column, 1)
	if n.Kind == yaml.ScalarNode {
		p.Len = max(1, r.written(n))
	}
	return p
}

// fault reports a syntax error, with the place where what is broken was opened.
func (r *reader) fault(err error, text []byte) {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		r.problems.Errorf(diag.Place{File: r.file}, diag.BadYAML, "the text is not YAML: %v", err)
		return
	}
	at := r.place(e.Mark.Line, e.Mark.Column, 1)
	if e.Mark.Line == 0 {
		at = diag.Place{File: r.file}
	}
	if at.Line > len(r.lines) || at.Line == len(r.lines) && at.Text == "" && len(r.lines) > 1 {
		at = r.end()
	}
	if strings.Contains(e.Message, "exceeded max depth") {
		r.problems.Errorf(at, diag.OverLimit, "lists and maps are nested deeper than %d", MaxDepth)
		return
	}
	message := strings.TrimPrefix(e.Message, "yaml: ")
	context := strings.TrimPrefix(e.ContextMsg, "while ")
	if context != "" {
		message = context + ": " + message
	}
	p := r.problems.Errorf(at, diag.BadYAML, "the text is not YAML: %s", message)
	p.Hint = syntaxHint(message, at)
	if e.ContextMsg != "" && e.ContextMark.Line > 0 && (e.ContextMark.Line != e.Mark.Line || e.ContextMark.Column != e.Mark.Column) {
		p.Notes = append(p.Notes, diag.Note{Place: r.place(e.ContextMark.Line, e.ContextMark.Column, 1), Text: "it was opened here"})
	}
}

// end is the place after the last character of the text.
func (r *reader) end() diag.Place {
	n := len(r.lines)
	for n > 1 && strings.TrimSpace(r.lines[n-1]) == "" {
		n--
	}
	return r.place(n, utf8.RuneCountInString(r.lines[n-1])+1, 1)
}

// syntaxHint says what most often is behind a message of the YAML library.
func syntaxHint(message string, at diag.Place) string {
	switch {
	case strings.Contains(message, "mapping values are not allowed"):
		return "Quote a text that holds \": \", and let keys of one map begin in the same column."
	case strings.Contains(message, "cannot start any token"):
		if strings.Contains(at.Text, "\t") {
			return "Indent with spaces: YAML allows no tabs there."
		}
		return "Quote a text that begins with one of @ ` % or another sign of YAML's."
	case strings.Contains(message, "tab character"):
		return "Indent with spaces: YAML allows no tabs there."
	case strings.Contains(message, "did not find expected ',' or"):
		return "Close the bracket, or put a comma between the elements."
	case strings.Contains(message, "unexpected end of stream"):
		return "Close the quote."
	case strings.Contains(message, "unknown anchor"):
		return "Write the anchor (&name) before the alias (*name), and quote a text that begins with \"*\"."
	case strings.Contains(message, "block collection"), strings.Contains(message, "block mapping"):
		return "Let the elements of one list, and the keys of one map, begin in the same column."
	}
	return ""
}

// value converts a node. It never returns nil.
func (r *reader) value(n *yaml.Node, depth int) *catalog.Value {
	v := &catalog.Value{Place: r.node(n)}
	r.values++
	switch {
	case r.values > MaxValues:
		if !r.full {
			r.full = true
			r.problems.Errorf(v.Place, diag.OverLimit, "the file holds more than %d values, aliases expanded", MaxValues).Hint =
				"Read large data from a file of its own."
		}
		return v
	case depth > MaxDepth:
		r.problems.Errorf(v.Place, diag.OverLimit, "lists and maps are nested deeper than %d", MaxDepth)
		return v
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.alias(n, depth)
	case yaml.SequenceNode:
		list := make([]*catalog.Value, 0, len(n.Content))
		defer r.enter(n)()
		for _, e := range n.Content {
			list = append(list, r.value(e, depth+1))
		}
		v.Data = list
	case yaml.MappingNode:
		defer r.enter(n)()
		v.Data = r.mapping(n, depth)
	default:
		r.scalar(n, v)
	}
	return v
}

// enter marks an anchored node as being read, until the function returned is called.
func (r *reader) enter(n *yaml.Node) func() {
	if n.Anchor == "" {
		return func() {}
	}
	r.open[n] = true
	return func() { delete(r.open, n) }
}

func (r *reader) alias(n *yaml.Node, depth int) *catalog.Value {
	if n.Alias == nil || r.open[n.Alias] {
		at := r.node(n)
		r.problems.Errorf(at, diag.BadYAML, "the alias \"*%s\" stands within what it names", n.Value)
		return &catalog.Value{Place: at}
	}
	return r.value(n.Alias, depth+1)
}

// mapping converts a map: keys given twice are reported, merge keys (<<) are merged.
func (r *reader) mapping(n *yaml.Node, depth int) *catalog.Map {
	m := &catalog.Map{Entries: make([]catalog.Entry, 0, len(n.Content)/2)}
	first := map[string]diag.Place{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Style == 0 && k.Value == "<<" {
			merged = append(merged, val)
			continue
		}
		at := r.node(k)
		if k.Kind == yaml.AliasNode && k.Alias != nil {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			r.problems.Errorf(at, diag.BadYAML, "a key must be a text, found a list or a map").Hint = braceHint(at)
			continue
		}
		r.surpriseKey(k, at)
		if before, twice := first[k.Value]; twice {
			p := r.problems.Errorf(at, diag.DuplicateKey, "the key %q is given twice", k.Value)
			p.Notes = append(p.Notes, diag.Note{Place: before, Text: "it is first given here"})
			p.Hint = "Remove one of the two."
			r.value(val, depth+1) // for its problems
			continue
		}
		first[k.Value] = at
		m.Entries = append(m.Entries, catalog.Entry{Key: k.Value, At: at, Value: r.value(val, depth+1)})
	}
	for _, node := range merged {
		r.merge(m, node, depth)
	}
	return m
}

// braceHint helps where a template's braces were left in a file that is read as it stands.
func braceHint(at diag.Place) string {
	if strings.Contains(at.Text, "{{") || strings.Contains(at.Text, "{%") {
		return "Quote a text that begins with a brace."
	}
	return ""
}

// merge adds the entries of a merge key's maps that m lacks; earlier maps win.
func (r *reader) merge(m *catalog.Map, n *yaml.Node, depth int) {
	from := r.value(n, depth+1)
	maps := []*catalog.Value{from}
	if list, ok := from.Data.([]*catalog.Value); ok {
		maps = list
	}
	for _, v := range maps {
		source, ok := v.Data.(*catalog.Map)
		if !ok {
			r.problems.Errorf(v.Place, diag.BadYAML, "wanted a map or a list of maps for the merge key \"<<\"")
			continue
		}
		for _, e := range source.Entries {
			known := slices.ContainsFunc(m.Entries, func(o catalog.Entry) bool { return o.Key == e.Key })
			if !known {
				m.Entries = append(m.Entries, e)
			}
		}
	}
}

func (r *reader) scalar(n *yaml.Node, v *catalog.Value) {
	v.Raw = n.Value
	v.Quoted = n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	v.Span = r.span(n)
	if v.Quoted && n.Style&yaml.TaggedStyle == 0 {
		v.Data = n.Value
		return
	}
	if n.Style&yaml.TaggedStyle != 0 {
		r.tagged(n, v)
		return
	}
	var surprise string
	v.Data, surprise = resolve(n.Value)
	if surprise != "" {
		p := r.problems.Warnf(v.Place, diag.AmbiguousScalar, "YAML 1.1, which Beam follows, reads %s unquoted as %s", n.Value, surprise)
		p.Hint = surpriseHint(n.Value, v.Data)
	}
	if _, float := v.Data.(float64); float && patterns().integer.MatchString(n.Value) {
		r.problems.Errorf(v.Place, diag.BadValue, "the integer %s does not fit 64 bits", excerpt(n.Value)).Hint = "Quote it to mean the text, or write a decimal point to mean a float."
	}
}

// excerpt cuts a long text.
func excerpt(text string) string {
	if len(text) > 40 {
		return text[:40] + "…"
	}
	return text
}

// tagged resolves a scalar with an explicit tag.
func (r *reader) tagged(n *yaml.Node, v *catalog.Value) {
	switch n.ShortTag() {
	case "!!str":
		v.Data, v.Quoted = n.Value, true
	case "!!null":
		v.Data = nil
	case "!!bool", "!!int", "!!float":
		v.Data, _ = resolve(n.Value)
		if f, ok := v.Data.(int64); ok && n.ShortTag() == "!!float" {
			v.Data = float64(f)
		}
		if _, text := v.Data.(string); text {
			r.problems.Errorf(v.Place, diag.BadYAML, "%q is no %s", n.Value, n.ShortTag()[2:])
		}
	default:
		v.Data = n.Value
		r.problems.Errorf(v.Place, diag.BadYAML, "the tag %q has no meaning in a pipeline", n.Tag).Hint = "Quote a text that begins with \"!\"."
	}
}

// surpriseKey warns of a key that YAML 1.1 reads as a boolean or a number with another value than it shows. Keys
// are texts here all the same, as they were written.
func (r *reader) surpriseKey(k *yaml.Node, at diag.Place) {
	if k.Style != 0 {
		return
	}
	if _, surprise := resolve(k.Value); surprise != "" {
		r.problems.Warnf(at, diag.AmbiguousScalar, "YAML 1.1, which Beam follows, reads the key %s unquoted as %s", k.Value, surprise).Hint =
			"Quote it: \"" + k.Value + "\"."
	}
}

// readWithin reads the YAML within a string of a file; places are those of the string.
func readWithin(v *catalog.Value, file string, problems *diag.List) *catalog.Value {
	text, _ := v.Data.(string)
	var inner diag.List
	out := readYAML(file, []byte(text), &inner)
	m := withinMapper{v: v, text: text}
	for _, p := range inner.Problems {
		p.Place = m.place(p.Place)
		for i := range p.Notes {
			p.Notes[i].Place = m.place(p.Notes[i].Place)
		}
	}
	problems.Problems = append(problems.Problems, inner.Problems...)
	if inner.Failed() || out == nil {
		return nil
	}
	m.move(out)
	return out
}

// withinMapper turns places of a string's text into places of the file that the string stands in.
type withinMapper struct {
	v     *catalog.Value
	text  string
	lines []int // byte at which each line begins
}

func (m *withinMapper) place(p diag.Place) diag.Place {
	if m.lines == nil {
		m.lines = []int{0}
		for i, c := range []byte(m.text) {
			if c == '\n' {
				m.lines = append(m.lines, i+1)
			}
		}
	}
	if p.Line < 1 || p.Line > len(m.lines) || len(m.v.Span.Marks) == 0 {
		return m.v.Place
	}
	from := m.lines[p.Line-1]
	from += byteOf(lineOf(m.text[from:], 1), max(p.Col, 1))
	to := from
	for n := max(p.Len, 1); n > 0 && to < len(m.text); n-- {
		_, width := utf8.DecodeRuneInString(m.text[to:])
		to += width
	}
	return m.v.Span.At(m.text, from, to)
}

// move replaces all places of a value. Every value is met once: a value that aliases share is copied by the reader.
func (m *withinMapper) move(v *catalog.Value) {
	v.Place = m.place(v.Place)
	for i := range v.Span.Marks {
		v.Span.Marks[i].Place = m.place(v.Span.Marks[i].Place)
	}
	switch d := v.Data.(type) {
	case []*catalog.Value:
		for _, e := range d {
			m.move(e)
		}
	case *catalog.Map:
		for i := range d.Entries {
			d.Entries[i].At = m.place(d.Entries[i].At)
			m.move(d.Entries[i].Value)
		}
	}
}
