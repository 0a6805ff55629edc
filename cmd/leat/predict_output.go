package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/internal/number"
)

// outcome is a row of the output.
type outcome struct {
	label
	inference column.Value
	err       error
}

// rendered is rows as they are written: as text, or as cells of a table.
type rendered struct {
	text []byte
	rows [][]string
}

// rowWriter writes the output in one of its formats.
type rowWriter interface {
	// render appends a row. It may be called by many goroutines at once.
	render(to *rendered, o *outcome)
	// write writes rows, so that they are seen at once where somebody waits for them.
	write(rows *rendered) error
	// close ends the output.
	close() error
}

// newWriter returns the writer of the format that is asked for: on a terminal a table, elsewhere rows. live says that rows come bit
// by bit.
func (r *predictRun) newWriter(live bool) rowWriter {
	w := &screenWriter{r}
	switch format := r.format("table"); format {
	case "table":
		return &tableWriter{w: w, live: live, predictor: r.predictor.Output(), width: terminalWidth(r.g.out)}
	case "json":
		return &jsonList{w: bufio.NewWriterSize(w, 64<<10)}
	default:
		return &jsonLines{w: w}
	}
}

// format is the format of the output; what a terminal gets by default is said.
func (r *predictRun) format(onTerminal string) string {
	switch {
	case r.flags.format != "auto":
		return r.flags.format
	case isTerminal(r.g.out):
		return onTerminal
	}
	return "ndjson"
}

// screenWriter writes to standard output, with the display of how far it is off the screen.
type screenWriter struct{ run *predictRun }

func (s *screenWriter) Write(p []byte) (n int, err error) {
	s.run.log.locked(func() { n, err = s.run.g.out.Write(p) })
	return n, err
}

// jsonLines writes a JSON object for each row, one a line.
type jsonLines struct{ w io.Writer }

func (j *jsonLines) render(to *rendered, o *outcome) {
	to.text = append(appendJSON(to.text, o.row()), '\n')
}

func (j *jsonLines) write(rows *rendered) error {
	_, err := j.w.Write(rows.text)
	return err
}

func (j *jsonLines) close() error { return nil }

// jsonList writes a list of a JSON object for each row.
type jsonList struct {
	w     *bufio.Writer // nobody reads half a list
	begun bool
}

func (j *jsonList) render(to *rendered, o *outcome) {
	to.text = appendJSON(append(to.text, ",\n  "...), o.row())
}

func (j *jsonList) write(rows *rendered) error {
	text := rows.text
	if len(text) == 0 {
		return nil
	}
	if !j.begun {
		text = append([]byte("["), text[1:]...) // in place of the comma
	}
	j.begun = true
	_, err := j.w.Write(text)
	return err
}

func (j *jsonList) close() error {
	end := "\n]\n"
	if !j.begun {
		end = "[]\n"
	}
	if _, err := j.w.WriteString(end); err != nil {
		return err
	}
	return j.w.Flush()
}

// row is the outcome as a row.
func (o *outcome) row() *column.RowValue {
	row := &column.RowValue{}
	add := func(name string, v column.Value) {
		row.Names, row.Elems = append(row.Names, name), append(row.Elems, v)
	}
	if o.file != "" && (o.input == nil || o.err != nil) {
		add("file", o.file)
	}
	if o.err != nil && o.line > 0 {
		add("line", o.line)
	}
	if o.err != nil && o.number > 0 {
		add("row", o.number)
	}
	if o.input != nil {
		add("input", o.input)
	}
	if o.err != nil {
		add("error", o.err.Error())
	} else {
		add("inference", o.inference)
	}
	return row
}

// appendJSON appends a value as JSON, in the form of WriteToJson.
func appendJSON(dst []byte, v column.Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return number.AppendInt(dst, v)
	case float64:
		if v-v != 0 { // NaN and infinities, which JSON lacks
			return append(dst, "null"...)
		}
		return number.AppendFloat(dst, v)
	case []byte:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v)
		return append(dst, '"')
	case column.Span:
		return number.AppendFloat(dst, float64(v)/1000)
	case *column.ListValue:
		dst = append(dst, '[')
		for i, e := range v.Elems {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case *column.MapValue:
		names := make([]string, len(v.Keys))
		for i, k := range v.Keys {
			names[i] = expr.Str(k)
		}
		return appendJSONObject(dst, names, v.Elems)
	case *column.RowValue:
		return appendJSONObject(dst, v.Names, v.Elems)
	}
	return appendJSONString(dst, expr.Str(v))
}

func appendJSONObject(dst []byte, names []string, elems []column.Value) []byte {
	dst = append(dst, '{')
	for i, e := range elems {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, names[i]), ':')
		dst = appendJSON(dst, e)
	}
	return append(dst, '}')
}

// appendJSONString appends text in quotes. What is not UTF-8 becomes U+FFFD.
func appendJSONString(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range strings.ToValidUTF8(text, "\ufffd") {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = utf8.AppendRune(dst, c)
		}
	}
	return append(dst, '"')
}

// tableHead is how many rows of a table decide how wide its columns are.
const tableHead = 100

// tableWriter writes a table for people: the input, shortened, and a column for each field of the prediction.
type tableWriter struct {
	w         io.Writer
	predictor column.Type // of predictions
	width     int
	live      bool       // somebody waits for each row: nothing is held back
	head      [][]string // until the widths are known
	widths    []int
}

// Widths of a table's columns, in characters.
const (
	minInputWidth = 12
	minLiveWidth  = 40 // of the input, and a quarter of it of other columns, where later rows are not known
	maxCellWidth  = 60
)

func (t *tableWriter) render(to *rendered, o *outcome) {
	to.rows = append(to.rows, append([]string{inputText(o.label)}, t.cells(o)...))
}

func (t *tableWriter) write(rows *rendered) error {
	if t.widths != nil {
		return t.lines(rows.rows)
	}
	if t.head = append(t.head, rows.rows...); t.live || len(t.head) >= tableHead {
		return t.begin()
	}
	return nil
}

// cells are the columns of a prediction. An error stands in the first.
func (t *tableWriter) cells(o *outcome) []string {
	if o.err != nil {
		return []string{"error: " + oneLine(o.err.Error())}
	}
	if row, ok := o.inference.(*column.RowValue); ok {
		var out []string
		for _, v := range row.Elems {
			out = append(out, cellText(v))
		}
		return out
	}
	return []string{cellText(o.inference)}
}

func (t *tableWriter) titles() []string {
	out := []string{"INPUT"}
	if t.predictor.Kind != column.Row {
		return append(out, "INFERENCE")
	}
	for _, f := range t.predictor.Fields {
		out = append(out, strings.ToUpper(f.Name))
	}
	return out
}

// begin fixes the widths and writes what has been held back.
func (t *tableWriter) begin() error {
	rows := append([][]string{t.titles()}, t.head...)
	t.head = nil
	for _, row := range rows {
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, t.least(i))
			}
			if !strings.HasPrefix(cell, "error: ") { // it may go over the columns after it
				t.widths[i] = max(t.widths[i], min(utf8.RuneCountInString(cell), maxCellWidth))
			}
		}
	}
	rest := 0
	for _, w := range t.widths[1:] {
		rest += w + 2
	}
	t.widths[0] = max(minInputWidth, min(t.widths[0], t.width-rest-2))
	return t.lines(rows)
}

// least is how wide a column is at least.
func (t *tableWriter) least(column int) int {
	switch {
	case !t.live:
		return 0
	case column == 0:
		return minLiveWidth
	}
	return minLiveWidth / 4
}

func (t *tableWriter) lines(rows [][]string) error {
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i < len(t.widths) && !strings.HasPrefix(cell, "error: ") {
				cell = pad(cut(cell, t.widths[i]), t.widths[i])
			}
			line.WriteString(cell + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(t.w, b.String())
	return err
}

func (t *tableWriter) close() error {
	if len(t.head) > 0 {
		return t.begin()
	}
	return nil
}

// inputText is what a table shows of the input.
func inputText(l label) string {
	switch v := l.input.(type) {
	case nil:
		return l.file
	case *column.RowValue:
		var values []string
		for _, e := range v.Elems {
			values = append(values, cellText(e))
		}
		return strings.Join(values, ", ")
	}
	return cellText(l.input)
}

// cellText writes a value for people: numbers to six digits, lists of classes as "ok 0.98, failure 0.02".
func cellText(v column.Value) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'g', 6, 64)
	case string:
		return oneLine(v)
	case *column.RowValue:
		var out []string
		for _, e := range v.Elems {
			out = append(out, cellText(e))
		}
		return strings.Join(out, " ")
	case *column.ListValue:
		return listText(v.Elems)
	}
	return oneLine(expr.Str(v))
}

// listHead is how many elements of a list a table shows.
const listHead = 8

func listText(elems []column.Value) string {
	var out []string
	for i, e := range elems {
		if i == listHead {
			out = append(out, fmt.Sprintf("… (%d)", len(elems)))
			break
		}
		out = append(out, cellText(e))
	}
	return strings.Join(out, ", ")
}

// oneLine makes a text fit a line of a terminal: what is not to be seen becomes a space.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// terminalWidth is that of the terminal behind w, else 80.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// bar redraws on a terminal how far each file or folder is.
type bar struct {
	run     *predictRun
	sources []rowSource
	start   time.Time
	past    []sample
	done    chan struct{}
	wait    sync.WaitGroup
}

func startBar(r *predictRun, sources []rowSource) *bar {
	b := &bar{run: r, sources: sources, start: time.Now(), done: make(chan struct{})}
	if !isTerminal(r.log.w) {
		return b
	}
	b.wait.Go(func() {
		ticker := time.NewTicker(redrawEvery)
		defer ticker.Stop()
		for {
			select {
			case <-b.done:
				return
			case now := <-ticker.C:
				b.tick(now)
			}
		}
	})
	return b
}

// stop takes the display off the screen.
func (b *bar) stop() {
	close(b.done)
	b.wait.Wait()
	b.run.log.erase()
}

func (b *bar) tick(now time.Time) {
	total := engine.NodeProgress{Kind: "source", Rows: b.run.read.Load()}
	for _, s := range b.sources {
		name, done, size := s.progress()
		if name == "" || size < 0 {
			continue
		}
		total.Name = name
		total.Done, total.Total = total.Done+done, total.Total+size
		if done < size {
			break // the one that is being read gives the line its name
		}
	}
	b.past = append(b.past, sample{at: now, nodes: []engine.NodeProgress{total}})
	for len(b.past) > 2 && now.Sub(b.past[0].at) > rateOver {
		b.past = b.past[1:]
	}
	if total.Name == "" || now.Sub(b.start) < showAfter {
		return
	}
	lines := liveLines(b.past, b.start, terminalWidth(b.run.log.w))
	b.run.log.locked(func() {
		fmt.Fprintln(b.run.log.w, strings.Join(lines, "\n"))
		b.run.log.drawn = len(lines)
	})
}
