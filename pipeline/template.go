package pipeline

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/builtins"
	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"

	"github.com/leat-project/leat/diag"
)

// Limits of templates.
const (
	MaxTemplateFiles = 1000             // files read for one expansion
	MaxTemplateDepth = 50               // of files that include, and macros that call, each other
	MaxTemplateTags  = 20_000           // tags of one file
	MaxTagTokens     = 2_000            // names, numbers and signs of one tag
	MaxTemplateRange = 1_000_000        // turns of a range()
	MaxTemplateTime  = 10 * time.Second // of one expansion
)

// expandTemplate renders a Jinja template. Where the text has no tags it is returned as it is, with a nil map, and
// nothing of the template library is touched. vars may be nil.
//
// The text is rendered a second time with a mark before every piece of it; the marks say where each piece of the
// result was written. Where the marks change the result (a template can look at its own text), there is no map.
func expandTemplate(ctx context.Context, file, text string, vars map[string]any, problems *diag.List) (string, *originMap, bool) {
	text = blankLeadingComments(text)
	if !hasTags(text) {
		return text, nil, true
	}
	if !utf8.ValidString(text) || strings.ContainsAny(text, markOpen+markClose) {
		return text, nil, true // the YAML reader says what is wrong with it
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	ctx, cancel := context.WithTimeout(ctx, MaxTemplateTime)
	defer cancel()
	t := &template{file: file, text: text, vars: vars, ctx: ctx, files: map[string]string{file: text}, resolved: map[string]bool{}, order: []string{file}}
	plain, err := t.render(false)
	if err != nil {
		t.report(err, problems)
		return "", nil, false
	}
	marked, err := t.render(true)
	if err != nil {
		return plain, nil, true
	}
	m, stripped := t.origins(marked)
	if stripped != plain {
		m = nil
	}
	return plain, m, true
}

// hasTags reports whether there is anything for Jinja in text.
func hasTags(text string) bool {
	return strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "{#")
}

// blankLeadingComments empties the comment lines at the beginning, so that a licence may contain braces. The lines
// stay, so that all lines keep their numbers.
func blankLeadingComments(text string) string {
	rest, blank := text, 0
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		if trimmed := strings.TrimSpace(line); trimmed != "" && trimmed[0] != '#' {
			break
		}
		rest = after
		blank++
	}
	if !hasTags(text[:len(text)-len(rest)]) {
		return text
	}
	return strings.Repeat("\n", blank) + rest
}

// template is one expansion.
type template struct {
	file, text string
	vars       map[string]any
	ctx        context.Context
	files      map[string]string // texts of all files read, by name as places show it
	resolved   map[string]bool   // paths that have been found
	order      []string          // of files, as they were first read
	reads      int
	depth      int // of macros
	marked     bool
	marks      []origin
}

// origin is where a piece of the result was written.
type origin struct {
	file      string
	line, col int
	length    int  // of a tag
	exact     bool // text of the template itself; else what a tag gave
}

// render expands the template, with marks or without. The library has no way to be stopped, so it runs beside and is
// left alone when its time is over.
func (t *template) render(marked bool) (string, error) {
	type result struct {
		text string
		err  error
	}
	run := *t
	run.marked, run.marks, run.reads = marked, nil, 0
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("%v", p)
			}
			done <- r
		}()
		r.text, r.err = run.execute()
	}()
	select {
	case r := <-done:
		t.marks, t.order = run.marks, run.order
		return r.text, r.err
	case <-t.ctx.Done():
		return "", fmt.Errorf("expanding the template took longer than %s", MaxTemplateTime)
	}
}

func (t *template) execute() (string, error) {
	settings := config.New()
	settings.StrictUndefined = true
	settings.KeepTrailingNewline = true
	vars := exec.NewContext(maps.Clone(builtinsOf(t.vars)))
	environment := &exec.Environment{
		Context:           exec.EmptyContext().Update(builtins.GlobalFunctions).Update(vars),
		Filters:           builtins.Filters,
		Tests:             builtins.Tests,
		Methods:           builtins.Methods,
		ControlStructures: t.controls(),
	}
	if err := tooLarge(t.text, settings); err != nil {
		return "", err
	}
	parsed, err := exec.NewTemplate(t.file, settings, &includeLoader{t: t, root: true}, environment)
	if err != nil {
		return "", err
	}
	out := &limitedWriter{ctx: t.ctx}
	if err := parsed.Execute(out, exec.EmptyContext()); err != nil {
		return "", err
	}
	return out.String(), nil
}

// builtinsOf are the variables of a template: the user's, a range that has a limit, and none, which the library lacks.
func builtinsOf(vars map[string]any) map[string]any {
	all := map[string]any{"range": limitedRange, "none": nil}
	maps.Copy(all, vars)
	return all
}

// limitedRange is Jinja's range, as a list.
func limitedRange(_ *exec.Evaluator, params *exec.VarArgs) ([]int, error) {
	n := make([]int, len(params.Args))
	for i, a := range params.Args {
		if !a.IsInteger() {
			return nil, fmt.Errorf("range wants whole numbers, found %q", a.String())
		}
		n[i] = a.Integer()
	}
	start, stop, step := 0, 0, 1
	switch len(n) {
	case 1:
		stop = n[0]
	case 2:
		start, stop = n[0], n[1]
	case 3:
		start, stop, step = n[0], n[1], n[2]
	default:
		return nil, fmt.Errorf("range takes one to three numbers, found %d", len(n))
	}
	if step == 0 {
		return nil, fmt.Errorf("the step of a range must not be 0")
	}
	list := []int{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(list) == MaxTemplateRange {
			return nil, fmt.Errorf("the range has more than %d numbers", MaxTemplateRange)
		}
		list = append(list, i)
	}
	return list, nil
}

// tooLarge refuses templates that would nest deeper than a stack can hold.
func tooLarge(text string, settings *config.Config) error {
	stream := tokens.LexAll(text, settings)
	tags, inTag := 0, 0
	for ; !stream.End(); stream.Next() {
		switch stream.Current().Type {
		case tokens.BlockBegin, tokens.VariableBegin:
			tags, inTag = tags+1, 0
		default:
			inTag++
		}
		if tags > MaxTemplateTags {
			return fmt.Errorf("the template has more than %d tags", MaxTemplateTags)
		}
		if inTag > MaxTagTokens {
			return fmt.Errorf("a tag has more than %d names, numbers and signs (Line: %d Col: %d)", MaxTagTokens,
				stream.Current().Line, stream.Current().Col)
		}
	}
	return nil
}

// controls are the library's tags, those that may call themselves with a limit of depth.
func (t *template) controls() *exec.ControlStructureSet {
	set := map[string]parser.ControlStructureParser{}
	for _, name := range []string{"autoescape", "block", "extends", "filter", "for", "from", "if", "import", "include",
		"macro", "raw", "set", "with", "do", "break", "continue", "call"} {
		if parse, ok := controls.All.Get(name); ok {
			set[name] = parse
		}
	}
	macro, block, loop := set["macro"], set["block"], set["for"]
	set["macro"] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		made, err := macro(p, args)
		if m, ok := made.(*controls.MacroControlStructure); ok && err == nil {
			t.guard(m.Macro.Wrapper)
		}
		return made, err
	}
	set["block"] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		before := maps.Clone(p.Template.Blocks)
		made, err := block(p, args)
		for name, wrapper := range p.Template.Blocks {
			if before[name] == nil {
				t.guard(wrapper)
			}
		}
		return made, err
	}
	set["for"] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		made, err := loop(p, args)
		if f, ok := made.(*controls.ForControlStructure); ok && err == nil && f.Recursive {
			t.guard(f.BodyWrapper)
		}
		return made, err
	}
	return exec.NewControlStructureSet(set)
}

// guard lets a body count how deep it is within itself and others.
func (t *template) guard(w *nodes.Wrapper) {
	if w == nil || len(w.Nodes) == 0 {
		return
	}
	at := w.Nodes[0].Position()
	enter := &nodes.ControlStructureBlock{Location: at, Name: "enter", ControlStructure: &depthStep{t: t, at: at, by: 1}}
	leave := &nodes.ControlStructureBlock{Location: at, Name: "leave", ControlStructure: &depthStep{t: t, at: at, by: -1}}
	w.Nodes = slices.Concat([]nodes.Node{enter}, w.Nodes, []nodes.Node{leave})
}

// depthStep counts the depth of macros and blocks.
type depthStep struct {
	t  *template
	at *tokens.Token
	by int
}

func (d *depthStep) Position() *tokens.Token { return d.at }
func (d *depthStep) String() string          { return "depth" }

// Execute fails where the limit is passed.
func (d *depthStep) Execute(*exec.Renderer, *nodes.ControlStructureBlock) error {
	d.t.depth += d.by
	if d.t.depth > MaxTemplateDepth {
		// A block's error would be lost in the library, and it would go on.
		panic(fmt.Sprintf("macros or blocks call each other more than %d deep", MaxTemplateDepth))
	}
	return nil
}

// limitedWriter holds the result, up to MaxFileBytes.
type limitedWriter struct {
	strings.Builder
	ctx context.Context
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.Len()+len(p) > MaxFileBytes {
		return 0, fmt.Errorf("the template expands to more than %d bytes", MaxFileBytes)
	}
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Builder.Write(p)
}

func (w *limitedWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// includeLoader reads the files of a template: relative to the pipeline file, or to the file that names them.
type includeLoader struct {
	t     *template
	dirs  []string // where to look, in order
	root  bool
	depth int
}

var _ loaders.Loader = (*includeLoader)(nil)

// Read returns the text of a file, with marks where the template is rendered with marks.
func (l *includeLoader) Read(path string) (io.Reader, error) {
	t := l.t
	t.reads++
	if t.reads > MaxTemplateFiles {
		return nil, fmt.Errorf("the template reads more than %d files", MaxTemplateFiles)
	}
	path, err := l.Resolve(path) // an extended template is read without being resolved
	if err != nil {
		return nil, err
	}
	text, known := t.files[path]
	if !known {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if len(data) > MaxFileBytes || !utf8.Valid(data) {
			return nil, fmt.Errorf("the file %q is not UTF-8 or longer than %d bytes", path, MaxFileBytes)
		}
		text = strings.ReplaceAll(string(data), "\r\n", "\n")
		if err := tooLarge(text, config.New()); err != nil {
			return nil, err
		}
		t.files[path] = text
		t.order = append(t.order, path)
	}
	if t.marked {
		return strings.NewReader(t.mark(path, text)), nil
	}
	return strings.NewReader(text), nil
}

// Resolve returns the path of a file that a template names.
func (l *includeLoader) Resolve(path string) (string, error) {
	if path == l.t.file || l.t.resolved[path] {
		return path, nil
	}
	if filepath.IsAbs(path) {
		return path, nil
	}
	for _, dir := range append(slices.Clone(l.dirs), dirOf(l.t.file), ".") {
		full := filepath.Join(dir, path)
		if info, err := os.Stat(full); err == nil && !info.IsDir() {
			l.t.resolved[full] = true
			return full, nil
		}
	}
	return "", fmt.Errorf("there is no file %q", path)
}

// Inherit returns the loader for what a file names.
func (l *includeLoader) Inherit(from string) (loaders.Loader, error) {
	if l.depth >= MaxTemplateDepth {
		return nil, fmt.Errorf("files include each other more than %d deep", MaxTemplateDepth)
	}
	return &includeLoader{t: l.t, dirs: []string{dirOf(from)}, depth: l.depth + 1}, nil
}

// dirOf is the directory of a pipeline file; of standard input it is the working directory.
func dirOf(file string) string {
	if file == "" || file == "-" {
		return "."
	}
	return filepath.Dir(file)
}

// A mark is \x01 number \x02: YAML allows neither character, so that no text of a pipeline holds them.
const markOpen, markClose = "\x01", "\x02"

// mark returns text with marks: before the first visible character of each line of the text between tags, and
// before each tag that is replaced by a value. White space gets none, so that tags trim it as before.
func (t *template) mark(file, text string) string {
	settings := config.New()
	settings.KeepTrailingNewline = true
	stream := tokens.LexAll(text, settings)
	var all []*tokens.Token
	for ; !stream.End(); stream.Next() {
		all = append(all, stream.Current())
	}
	m := marker{t: t, file: file, text: text, line: 1}
	comment := false
	for i, token := range all {
		switch token.Type {
		case tokens.CommentBegin, tokens.CommentEnd:
			comment = token.Type == tokens.CommentBegin
		case tokens.Data:
			trimmed := i+1 < len(all) && all[i+1].Type == tokens.VariableBegin && strings.HasSuffix(all[i+1].Val, "-")
			if !comment {
				m.data(token.Pos, token.Pos+len(token.Val), trimmed, all[i+1:])
			}
		case tokens.VariableBegin:
			if !strings.HasSuffix(token.Val, "-") {
				m.copyTo(token.Pos)
				m.put(token.Pos, tagLength(text, all[i:]), false)
			}
		}
	}
	m.copyTo(len(text))
	return m.out.String()
}

// tagLength is the number of characters from a tag's opening to its end.
func tagLength(text string, rest []*tokens.Token) int {
	from := rest[0].Pos
	for _, token := range rest {
		if token.Type == tokens.VariableEnd {
			return utf8.RuneCountInString(text[from:min(len(text), token.Pos+len(token.Val))])
		}
	}
	return 2
}

type marker struct {
	t        *template
	file     string
	text     string
	out      strings.Builder
	copied   int // bytes of text
	line     int // of byte copied
	lineFrom int // byte where that line begins
}

func (m *marker) copyTo(pos int) {
	if pos <= m.copied || pos > len(m.text) {
		return
	}
	piece := m.text[m.copied:pos]
	m.out.WriteString(piece)
	if breaks := strings.Count(piece, "\n"); breaks > 0 {
		m.line += breaks
		m.lineFrom = m.copied + strings.LastIndexByte(piece, '\n') + 1
	}
	m.copied = pos
}

// put writes a mark for what stands at byte pos, to which the text has been copied or is white space.
func (m *marker) put(pos, length int, exact bool) {
	line, from := m.line, m.lineFrom
	if between := m.text[m.copied:max(pos, m.copied)]; strings.Contains(between, "\n") {
		line += strings.Count(between, "\n")
		from = m.copied + strings.LastIndexByte(between, '\n') + 1
	}
	col := utf8.RuneCountInString(m.text[from:pos]) + 1
	m.out.WriteString(markOpen + strconv.Itoa(len(m.t.marks)) + markClose)
	m.t.marks = append(m.t.marks, origin{file: m.file, line: line, col: col, length: length, exact: exact})
}

// data marks the lines of text[from:to]. trimmed says that a tag follows which takes away white space before it: its
// mark then stands before that space.
func (m *marker) data(from, to int, trimmed bool, rest []*tokens.Token) {
	if to > len(m.text) || from < m.copied {
		return
	}
	for pos := from; pos < to; {
		end := to
		if i := strings.IndexByte(m.text[pos:to], '\n'); i >= 0 {
			end = pos + i + 1
		}
		line := m.text[pos:end]
		if visible := strings.TrimLeft(line, " \t\r\n"); visible != "" {
			at := end - len(visible)
			m.copyTo(at)
			m.put(at, 1, true)
		}
		pos = end
	}
	if trimmed {
		visible := from + len(strings.TrimRight(m.text[from:to], " \t\r\n"))
		m.copyTo(visible)
		m.put(rest[0].Pos, tagLength(m.text, rest), false)
	}
}

// originMap tells for each line of an expanded text where its pieces were written.
type originMap struct {
	t     *template
	lines [][]piece
	text  []string // the expanded lines
}

type piece struct {
	col int // in characters, from 1
	origin
}

// origins strips the marks off a text.
func (t *template) origins(marked string) (*originMap, string) {
	m := &originMap{t: t}
	var stripped strings.Builder
	var carried *origin // a value of a tag may go over several lines
	for line := range strings.SplitAfterSeq(marked, "\n") {
		var pieces []piece
		if carried != nil {
			pieces = append(pieces, piece{col: 1, origin: *carried})
		}
		col := 1
		for line != "" {
			text, after, found := strings.Cut(line, markOpen)
			stripped.WriteString(text)
			col += utf8.RuneCountInString(text)
			if !found {
				break
			}
			number, rest, _ := strings.Cut(after, markClose)
			line = rest
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 || n >= len(t.marks) {
				return nil, "" // the template has changed a mark
			}
			pieces = append(pieces, piece{col: col, origin: t.marks[n]})
			carried = nil
			if !t.marks[n].exact {
				carried = &t.marks[n]
			}
		}
		m.lines = append(m.lines, pieces)
	}
	m.text = splitLines(stripped.String())
	return m, stripped.String()
}

// place returns where the spot p of the expanded text was written. written is false where it came out of a tag: the
// place is then the tag's. known is false where nothing is known.
func (m *originMap) place(p diag.Place) (at diag.Place, written, known bool) {
	if p.Line < 1 || p.Line > len(m.lines) {
		return p, false, false
	}
	pieces := m.lines[p.Line-1]
	if len(pieces) == 0 {
		return p, false, false
	}
	best := pieces[0]
	for _, x := range pieces {
		if x.col <= max(p.Col, 1) {
			best = x
		}
	}
	at = diag.Place{File: best.file, Line: best.line, Col: best.origin.col, Len: best.length, Text: m.line(best.file, best.line)}
	switch {
	case p.Col == 0:
		at.Col, at.Len = 0, 0
		return at, true, true
	case best.exact:
		at.Col += max(p.Col-best.col, 0)
		at.Len = p.Len
		return at, true, true
	}
	return at, false, true
}

func (m *originMap) line(file string, n int) string { return lineOf(m.t.files[file], n) }

// lineOf is line n (from 1) of a text.
func lineOf(text string, n int) string {
	for ; n > 1; n-- {
		_, after, found := strings.Cut(text, "\n")
		if !found {
			return ""
		}
		text = after
	}
	line, _, _ := strings.Cut(text, "\n")
	return line
}
