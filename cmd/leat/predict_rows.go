package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	files "github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/task"
)

// columnsOf returns the column that feeds each input of the task, by --input, else by the input's name, "" for an input of
// which neither is said and that may be another column.
func (r *predictRun) columnsOf() ([]string, error) {
	given, _, err := r.flags.given()
	if err != nil {
		return nil, err
	}
	seen := map[string]int{} // an input may be fed by several columns, one after another
	inputs := r.predictor.Inputs()
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
		if list := given[in.Name]; seen[in.Name] < len(list) {
			names[i] = list[seen[in.Name]]
		}
		seen[in.Name]++
	}
	for name := range given {
		if seen[name] == 0 {
			var known []string
			for _, in := range inputs {
				known = append(known, in.Name)
			}
			return nil, &diag.Problem{Place: diag.Place{File: "--input"}, Code: diag.WrongInput, Text: fmt.Sprintf("the model has no input %q", name),
				Hint: diag.DidYouMean(name, "inputs", known)}
		}
	}
	return names, nil
}

// given returns the columns that --input names for each input.
func (f *predictFlags) given() (map[string][]string, bool, error) {
	_, inputs, err := f.settings()
	if err != nil {
		return nil, false, err
	}
	out := map[string][]string{}
	for name, v := range inputs {
		switch v := v.(type) {
		case string:
			out[name] = []string{v}
		case []any:
			for _, column := range v {
				out[name] = append(out[name], fmt.Sprint(column))
			}
		}
	}
	return out, len(out) > 0, nil
}

// table is a file that a connector of pipelines reads.
type table struct {
	run    *predictRun
	path   string
	source catalog.Source
	schema column.Schema
	feeds  []int // the column of each input; -1: not given
	reader catalog.Reader
}

// newTable opens a file and finds the column of each input.
func (r *predictRun) newTable(ctx context.Context, connector, path string) (*table, error) {
	t := &table{run: r, path: path}
	config := map[string]any{"path": path}
	if extension(path) == ".tsv" {
		config["delimiter"] = "\t"
	}
	var err error
	if t.source, err = catalog.LookUpConnector(connector).Source(config); err != nil {
		return nil, problemIn(path, err)
	}
	if t.schema, err = t.source.Schema(ctx); err != nil {
		return nil, problemIn(path, err)
	}
	if err := t.feed(); err != nil {
		return nil, err
	}
	if t.reader, err = t.source.Open(ctx, t.schema); err != nil {
		return nil, problemIn(path, err)
	}
	return t, nil
}

// feed finds the columns.
func (t *table) feed() error {
	names, err := t.run.columnsOf()
	if err != nil {
		return err
	}
	inputs := t.run.predictor.Inputs()
	for i := range inputs {
		in := &inputs[i]
		k := t.schema.Index(names[i])
		if k < 0 && len(inputs) == 1 && names[i] == in.Name {
			k = onlyFit(t.schema, in)
		}
		switch {
		case k < 0 && in.Optional && names[i] == in.Name:
		case k < 0:
			return &diag.Problem{Place: diag.Place{File: t.path}, Code: diag.WrongInput,
				Text: fmt.Sprintf("no column %q feeds the input %q (%s)", names[i], in.Name, in.Wants()),
				Hint: fmt.Sprintf("Name it: --input %q. Columns: %s.", in.Name+"=COLUMN", strings.Join(t.schema.Names(), ", "))}
		case !in.Accepts(t.schema[k].Type):
			return &diag.Problem{Place: diag.Place{File: t.path}, Code: diag.WrongInput,
				Text: fmt.Sprintf("the input %q wants %s, and the column %q is %s", in.Name, in.Wants(), t.schema[k].Name, t.schema[k].Type),
				Hint: fmt.Sprintf("Name another: --input %q. Columns: %s.", in.Name+"=COLUMN", t.schema)}
		}
		t.feeds = append(t.feeds, k)
	}
	return nil
}

// onlyFit returns the one column that an input accepts, or -1.
func onlyFit(schema column.Schema, in *task.Input) int {
	found := -1
	for k, f := range schema {
		if f.Type.Kind == column.Any || !in.Accepts(f.Type) {
			continue
		}
		if found >= 0 {
			return -1
		}
		found = k
	}
	return found
}

func (t *table) progress() (string, int64, int64) {
	done, total := t.reader.Progress()
	return t.path, done, total
}

func (t *table) read(ctx context.Context, size int, pass func(*lot) error) (err error) {
	defer func() {
		if closing := t.reader.Close(); err == nil {
			err = closing
		}
	}()
	decoder := t.reader.NewDecoder()
	out := &tableOut{table: t, size: size, pass: pass}
	var m catalog.Morsel
	for {
		err := t.reader.Next(ctx, &m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			out.file = m.File
			err = decoder.Decode(ctx, &m, out)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil || out.err != nil:
			return err
		default: // the rest of the file cannot be read
			return pass(failedLot(label{file: t.path}, err))
		}
	}
}

// tableOut takes what a decoder makes.
type tableOut struct {
	table *table
	size  int
	pass  func(*lot) error
	file  string
	rows  int64 // passed on
	err   error // of pass
}

var _ catalog.Out = (*tableOut)(nil)

func (o *tableOut) BatchRows() int { return o.size }

// Batch copies the rows: they live no longer than the call.
func (o *tableOut) Batch(b *column.Batch) error {
	rows := make([]int32, 0, b.Len())
	b.Each(func(i int) { rows = append(rows, int32(i)) })
	copied := make([]*column.Vector, len(b.Cols))
	for i, v := range b.Cols {
		copied[i] = column.Gather(v, rows)
	}
	l := &lot{n: len(rows), cols: make([]*column.Vector, len(o.table.feeds))}
	for i, k := range o.table.feeds {
		if k >= 0 {
			l.cols[i] = copied[k]
		}
	}
	first := o.rows + 1
	o.rows += int64(len(rows))
	l.label = func(i int) label {
		return label{input: rowOf(o.table.schema, copied, i), file: o.file, number: first + int64(i)}
	}
	o.err = o.pass(l)
	return o.err
}

// Bad passes a record that cannot be decoded on as a row that failed.
func (o *tableOut) Bad(r catalog.BadRecord) error {
	o.err = o.pass(failedLot(label{input: string(r.Record), file: r.File, line: r.Line}, errors.New(r.Msg)))
	return o.err
}

// rowOf boxes a row, without what is bytes.
func rowOf(schema column.Schema, cols []*column.Vector, i int) *column.RowValue {
	row := &column.RowValue{}
	for k, f := range schema {
		if f.Type.Kind != column.Bytes {
			row.Names, row.Elems = append(row.Names, f.Name), append(row.Elems, cols[k].Value(i))
		}
	}
	return row
}

// rowStream is JSON objects, or texts and JSON objects, that come one after another.
type rowStream struct {
	run   *predictRun
	in    io.Reader
	name  string
	whole bool // objects may go over several lines, and stand in a list
	texts bool // lines are texts, unless the first is an object
}

func (s *rowStream) progress() (string, int64, int64) { return progressOf(s.name, s.in) }

func (s *rowStream) read(ctx context.Context, size int, pass func(*lot) error) error {
	defer closeReader(s.in)
	in := bufio.NewReaderSize(s.in, sniffBytes)
	if _, err := in.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head, _ := in.Peek(in.Buffered()) // what is buffered can be peeked at
	if s.texts && !beginsRows(head) {
		return (&lineSource{run: s.run, in: s.in, name: s.name}).lines(ctx, in, size, pass)
	}
	names, err := s.run.columnsOf()
	if err != nil {
		return err
	}
	if s.whole || isDocumentText(head) {
		return s.values(in, names, size, pass)
	}
	return eachLot(in, s.name, size, pass, func(lines []textLine) *lot {
		rows := newBoxedRows(s.run.predictor, names, s.name)
		for _, l := range lines {
			v, err := parseJSON([]byte(l.text))
			rows.add(v, l.line, err)
		}
		return rows.lot()
	})
}

// beginsRows reports whether a text begins as JSON objects do: {" or [{.
func beginsRows(head []byte) bool {
	head = bytes.TrimSpace(head)
	if len(head) < 2 {
		return false
	}
	next := bytes.TrimSpace(head[1:])
	return head[0] == '{' && bytes.HasPrefix(next, []byte{'"'}) || head[0] == '[' && bytes.HasPrefix(next, []byte{'{'})
}

// values reads objects wherever they begin and end. A syntax error ends the input.
func (s *rowStream) values(in *bufio.Reader, names []string, size int, pass func(*lot) error) error {
	budget := &budgetReader{in: in, left: files.MaxRecordBytes}
	d := json.NewDecoder(budget)
	inList := false
	if head, err := in.Peek(1); err == nil {
		for len(head) > 0 && strings.ContainsRune(" \t\r\n", rune(head[0])) {
			in.Discard(1) // what was peeked at is there
			head, _ = in.Peek(1)
		}
		if inList = len(head) > 0 && head[0] == '['; inList {
			d.Token() // the bracket, just seen
		}
	}
	for {
		rows := newBoxedRows(s.run.predictor, names, s.name)
		var err error
		for rows.n < size && err == nil {
			var text json.RawMessage
			budget.left = files.MaxRecordBytes
			if inList && !d.More() {
				_, err = d.Token()
				if err == nil {
					err = io.EOF
				}
				break
			}
			if err = d.Decode(&text); err == nil {
				v, bad := parseJSON(text)
				rows.add(v, 0, bad)
			}
		}
		if rows.n > 0 {
			if err := pass(rows.lot()); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case errors.Is(err, context.Canceled):
			return err
		case err != nil:
			return pass(failedLot(label{file: s.name}, fmt.Errorf("wanted JSON objects: %w", err)))
		}
	}
}

// budgetReader ends with an error where one value takes more than is left.
type budgetReader struct {
	in   io.Reader
	left int
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a value has more than %d bytes", files.MaxRecordBytes)
	}
	n, err := b.in.Read(p)
	b.left -= n
	return n, err
}

// boxedRows gathers rows whose types are not known before.
type boxedRows struct {
	predictor *task.Predictor
	names     []string // the field for each input
	file      string
	n         int
	values    []column.Value
	lines     []int64
	builders  []*column.Builder
	failed    map[int32]error
}

func newBoxedRows(p *task.Predictor, names []string, file string) *boxedRows {
	r := &boxedRows{predictor: p, names: names, file: file, failed: map[int32]error{}}
	for range names {
		r.builders = append(r.builders, column.NewBuilder(column.AnyType))
	}
	return r
}

// add adds a row, or the reason why it is none.
func (r *boxedRows) add(v column.Value, line int64, err error) {
	inputs := r.predictor.Inputs()
	row, ok := v.(*column.RowValue)
	if err == nil && !ok {
		err = errors.New(`wanted a JSON object, as in {"` + inputs[0].Name + `": …}`)
	}
	for i, name := range r.names {
		var value column.Value
		given := false
		if ok {
			if value, given = row.Get(name); !given && len(inputs) == 1 {
				value, given = onlyField(row, &inputs[i])
			}
		}
		if ok && !given && !inputs[i].Optional && err == nil {
			err = fmt.Errorf("the row has no %q, which feeds the input %q (%s)", name, inputs[i].Name, inputs[i].Wants())
		}
		_ = r.builders[i].Append(value) // Any takes every value
	}
	if err != nil {
		r.failed[int32(r.n)] = err
	}
	r.values, r.lines = append(r.values, v), append(r.lines, line)
	r.n++
}

// onlyField returns the one field of a row that an input accepts.
func onlyField(row *column.RowValue, in *task.Input) (value column.Value, found bool) {
	for _, v := range row.Elems {
		if v == nil || !in.Accepts(column.TypeOf(v)) {
			continue
		}
		if found {
			return nil, false
		}
		value, found = v, true
	}
	return value, found
}

func (r *boxedRows) lot() *lot {
	cols := make([]*column.Vector, len(r.builders))
	for i, b := range r.builders {
		cols[i] = b.Finish()
	}
	return &lot{n: r.n, cols: cols, failed: r.failed, label: func(i int) label { return label{input: r.values[i], file: r.file, line: r.lines[i]} }}
}

// maxJSONDepth is how deep JSON may be nested, as in files of rows.
const maxJSONDepth = 200

// parseJSON reads one JSON value, with the fields of objects in their order.
func parseJSON(text []byte) (column.Value, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := nextJSON(d, 0)
	if err != nil {
		return nil, fmt.Errorf("wanted JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("wanted one JSON value, found something after it")
	}
	return v, nil
}

func nextJSON(d *json.Decoder, depth int) (column.Value, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("it is nested over %d levels", maxJSONDepth)
	}
	token, err := d.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		return jsonNumber(token)
	case json.Delim:
		if token == '[' {
			return nextList(d, depth)
		}
		return nextRow(d, depth)
	}
	return token, nil // nil, bool or string
}

func nextList(d *json.Decoder, depth int) (column.Value, error) {
	list := &column.ListValue{}
	for d.More() {
		v, err := nextJSON(d, depth+1)
		if err != nil {
			return nil, err
		}
		list.Elems = append(list.Elems, v)
	}
	_, err := d.Token()
	return list, err
}

func nextRow(d *json.Decoder, depth int) (column.Value, error) {
	row := &column.RowValue{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := nextJSON(d, depth+1)
		if err != nil {
			return nil, err
		}
		row.Names, row.Elems = append(row.Names, name.(string)), append(row.Elems, v) // keys are strings
	}
	_, err := d.Token()
	return row, err
}

func jsonNumber(n json.Number) (column.Value, error) {
	if !strings.ContainsAny(string(n), ".eE") {
		i, err := strconv.ParseInt(string(n), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s does not fit an integer of 64 bits", n)
		}
		return i, nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("%s does not fit a number of 64 bits", n)
	}
	return f, nil
}
