package parquet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/parquet-go/parquet-go"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

const beamIO = "https://beam.apache.org/releases/yamldoc/current/"

// ReadFromParquet reads Parquet files.
var ReadFromParquet = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromParquet",
	Summary: "Reads rows from Parquet files.",
	Doc: `The fields are the columns of the files: whole numbers of any width are int, floats of any width are float, groups are rows, lists and maps
stay what they are (a map whose keys are not strings is a list of rows of key and value). Optional columns may be null. Files whose schemas differ give the
columns of all; one that a file lacks is null.

**Time**: timestamps of any unit, INT96 included, are timestamps, floored to milliseconds. Dates and times of the day are strings as ISO 8601 has
them, UUIDs are strings. A decimal of up to 15 digits is a float, which prints the same digits; a longer one is a string, so that no
digit is lost. Rows have no event time; see AssignTimestamps.

**Errors**: a row with a text that is not UTF-8, or with an unsigned number beyond 64 bits with a sign, is an error record. A damaged file fails the job and
is named.

` + file.WatchDoc + `

**Cost**: only the columns that the pipeline uses are read. Row groups are decoded in parallel, page by page, so that memory does not grow with their size.`,
	Source: beamIO + "#readfromparquet",
	Stream: true,
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "A file, or a pattern such as data/*.parquet."},
		{Name: "columns", Type: catalog.TextList, Doc: "The names of the columns to read; without it, all."},
		file.WatchField(),
	},
	Example: `# Run the example of WriteToParquet first: it writes the file.
pipeline:
  type: chain
  transforms:
    - type: ReadFromParquet
      config:
        path: readings.parquet*
# Expected:
#  Row(device='pump-1', celsius=61.5, tags=['a', 'b'])
#  Row(device='pump-2', celsius=None, tags=[])
`,
	Open: func(config map[string]any) (catalog.Source, error) {
		in, err := file.FindInput(config, false)
		s := &source{Input: in}
		switch v := config["columns"].(type) {
		case string:
			s.columns = []string{v}
		case []any:
			for _, e := range v {
				if name, ok := e.(string); ok {
					s.columns = append(s.columns, name)
				}
			}
		}
		return s, err
	},
})

// source is ReadFromParquet with its files found.
type source struct {
	file.Input
	columns []string // nil: all
}

// maxSchemaFiles limits how many files a schema is made of.
const maxSchemaFiles = 64

// Schema returns the columns of the files.
func (s *source) Schema(ctx context.Context) (column.Schema, error) {
	if err := s.Sampled("Put a file there before: its columns are the schema."); err != nil {
		return nil, err
	}
	var all column.Type
	for i, path := range s.Paths {
		if i == maxSchemaFiles {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := openFile(path)
		if err != nil {
			return nil, problemOf(err)
		}
		f.release()
		t := column.RowOf(fieldsOf(f.nodes))
		if i > 0 {
			t = column.Unify(all, t)
		}
		all = t
	}
	if s.columns == nil {
		return all.Fields, nil
	}
	var some column.Schema
	for _, name := range s.columns {
		i := all.Fields.Index(name)
		if i < 0 {
			return nil, &catalog.Problem{Key: "columns", Code: diag.UnknownField, Text: fmt.Sprintf("the files have no column %q", name),
				Hint: diag.DidYouMean(name, "columns", all.Fields.Names())}
		}
		some = append(some, all.Fields[i])
	}
	return some, nil
}

func fieldsOf(nodes []*node) column.Schema {
	fields := make(column.Schema, len(nodes))
	for i, n := range nodes {
		fields[i] = column.Field{Name: n.name, Type: n.typ}
	}
	return fields
}

// problemOf makes a failure of reading one of checking.
func problemOf(err error) error {
	var f *diag.Failure
	if !errors.As(err, &f) {
		return err
	}
	return &catalog.Problem{Key: "path", Code: diag.BadFile, Text: fmt.Sprintf("%q: %v", f.Origin, f.Err), Hint: f.Hint}
}

// openedFile is a file whose footer has been read. It is closed when its last user releases it.
type openedFile struct {
	path  string
	os    *os.File
	size  int64
	file  *parquet.File
	nodes []*node
	users atomic.Int64
}

func (f *openedFile) release() {
	if f.users.Add(-1) == 0 {
		f.os.Close() // it was only read
	}
}

// openFile opens a file for one user.
func openFile(path string) (*openedFile, error) {
	o, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, err)
	}
	f := &openedFile{path: path, os: o}
	f.users.Store(1)
	err = guard(path, func() error {
		info, err := o.Stat()
		if err != nil {
			return err
		}
		f.size = info.Size()
		f.file, err = parquet.OpenFile(o, f.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(1<<18))
		if err != nil {
			return corrupt(path, err)
		}
		if f.nodes, err = schemaOf(f.file.Root()); err != nil {
			return corrupt(path, err)
		}
		return nil
	})
	if err != nil {
		f.release()
		return nil, err
	}
	return f, nil
}

// Open begins reading the named fields.
func (s *source) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	_, total := file.OpenLines(s.Input, file.None, nil).Progress()
	return &reader{Cursor: file.NewCursor(s.Input), fields: fields, total: total}, nil
}

// reader hands out row groups.
type reader struct {
	*file.Cursor
	fields column.Schema
	file   *openedFile
	group  int
	done   atomic.Int64
	before int64 // bytes of the files before the open one
	total  int64
}

// part is the Part of a morsel: a row group.
type part struct {
	*openedFile
	group int
}

// Next fills m with the next row group.
func (r *reader) Next(ctx context.Context, m *catalog.Morsel) error {
	for {
		if r.file == nil {
			if err := r.open(ctx); err != nil {
				return err
			}
		}
		groups := r.file.file.RowGroups()
		if r.group == len(groups) {
			r.before += r.file.size
			r.done.Store(r.before)
			r.closeFile()
			continue
		}
		r.file.users.Add(1)
		m.File, m.Line, m.Data, m.Part = r.file.path, 0, m.Data[:0], &part{r.file, r.group}
		r.group++
		r.Mark(m, int64(r.group), 0, r.group == len(groups))
		r.done.Store(r.before + r.file.size/int64(len(groups)+1)*int64(r.group))
		return nil
	}
}

func (r *reader) open(ctx context.Context) error {
	path, group, _, err := r.Cursor.Open(ctx)
	if err != nil {
		return err
	}
	f, err := openFile(path)
	if err != nil {
		return err
	}
	r.file, r.group = f, min(int(group), len(f.file.RowGroups()))
	have := fieldsOf(f.nodes)
	for _, want := range r.fields {
		var fault string
		switch i := have.Index(want.Name); {
		case i < 0 && !want.Type.MayBeNull():
			fault = fmt.Sprintf("the file has no column %q", want.Name)
		case i >= 0 && !column.Holds(want.Type, have[i].Type):
			fault = fmt.Sprintf("column %q is %s in the file, wanted %s", want.Name, have[i].Type, want.Type)
		}
		if fault != "" {
			r.closeFile()
			return &diag.Failure{Code: diag.TypeMismatch, Origin: path, Err: errors.New(fault),
				Hint: "The files of a pattern must have schemas that go together; read them apart, and Flatten them."}
		}
	}
	return nil
}

// Progress returns the bytes of files read and to read, by row groups handed out.
func (r *reader) Progress() (done, total int64) { return r.done.Load(), r.total }

// Close closes the file that is open, once the row groups of it that have been handed out are decoded.
func (r *reader) Close() error {
	r.closeFile()
	return r.Cursor.Close()
}

func (r *reader) closeFile() {
	if r.file != nil {
		r.file.release()
		r.file = nil
	}
}

// NewDecoder returns a decoder for one worker.
func (r *reader) NewDecoder() catalog.Decoder { return &decoder{fields: r.fields} }

type decoder struct {
	fields column.Schema
}

// Decode passes the rows of a row group on.
func (d *decoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	p := m.Part.(*part)
	defer p.release()
	g := &group{part: p, fields: d.fields, origin: &column.Origin{File: m.File}}
	defer g.close()
	if err := guard(p.path, g.open); err != nil {
		return err
	}
	for g.row < g.rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		var b *column.Batch
		err := guard(p.path, func() error {
			var err error
			if b, err = g.batch(out.BatchRows()); err != nil {
				return corrupt(p.path, fmt.Errorf("row group %d: %w", p.group+1, err))
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := g.pass(b, out); err != nil {
			return err
		}
	}
	return nil
}

// group reads a row group.
type group struct {
	*part
	fields column.Schema
	origin *column.Origin
	nodes  []*node // of the fields; nil: the file lacks it
	asm    assembler
	row    int64 // rows passed on
	rows   int64
}

func (g *group) open() error {
	rowGroup := g.file.RowGroups()[g.group]
	g.rows = rowGroup.NumRows()
	chunks := rowGroup.ColumnChunks()
	g.asm.leaves = make([]*leafReader, len(chunks))
	for _, f := range g.fields {
		var found *node
		for _, n := range g.part.nodes {
			if n.name == f.Name {
				found = n
			}
		}
		g.nodes = append(g.nodes, found)
		if found != nil {
			g.openLeaves(found, chunks)
		}
	}
	return nil
}

func (g *group) openLeaves(n *node, chunks []parquet.ColumnChunk) {
	for _, c := range n.children {
		g.openLeaves(c, chunks)
	}
	if n.leaf != nil {
		g.asm.leaves[n.first] = &leafReader{scalar: n.leaf, typ: n.typ.Kind, pages: chunks[n.first].Pages()}
	}
}

func (g *group) close() {
	for _, l := range g.asm.leaves {
		if l == nil {
			continue
		}
		_ = guard(g.path, func() error { // what was only read may be left as it is
			parquet.Release(l.page)
			return l.pages.Close()
		})
	}
}

// batch reads the next rows.
func (g *group) batch(most int) (*column.Batch, error) {
	n := int(min(int64(most), g.rows-g.row))
	g.asm.faults = nil
	for _, l := range g.asm.leaves {
		if l != nil {
			if err := l.take(n); err != nil {
				return nil, err
			}
		}
	}
	b := &column.Batch{N: n, Origin: g.origin}
	for i, f := range g.fields {
		v, err := g.column(g.nodes[i], f.Type, n)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		b.Cols = append(b.Cols, v)
	}
	for i := range n {
		b.Rows = append(b.Rows, int32(g.row)+int32(i))
	}
	g.row += int64(n)
	return b, nil
}

func (g *group) column(n *node, t column.Type, rows int) (*column.Vector, error) {
	if n == nil {
		nulls := column.NewBuilder(t)
		for range rows {
			nulls.AppendNull()
		}
		return nulls.Finish(), nil
	}
	v := g.asm.vector(n)
	if err := sound(v, rows); err != nil || v.Type.Equal(t) {
		return v, err
	}
	return column.Convert(v, t)
}

// sound makes sure that the levels of a column's leaves fit together: those of a damaged file may not.
func sound(v *column.Vector, rows int) error {
	if v.N != rows {
		return fmt.Errorf("it has %d rows, wanted %d", v.N, rows)
	}
	switch v.Type.Kind {
	case column.Row:
		for _, c := range v.Children {
			if err := sound(c, rows); err != nil {
				return err
			}
		}
	case column.List, column.Map:
		if len(v.Offsets) != rows+1 {
			return fmt.Errorf("it has %d lists, wanted %d", len(v.Offsets)-1, rows)
		}
		for _, c := range v.Children {
			if err := sound(c, int(v.Offsets[rows])); err != nil {
				return err
			}
		}
	}
	return nil
}

// pass hands a batch on, without the rows that have a fault.
func (g *group) pass(b *column.Batch, out catalog.Out) error {
	if len(g.asm.faults) > 0 {
		b.Sel = []int32{}
		for i := range int32(b.N) {
			fault := g.asm.faults[i]
			if fault == nil {
				b.Sel = append(b.Sel, i)
				continue
			}
			bad := catalog.BadRecord{File: g.path, Row: b.Rows[i], Msg: fmt.Sprintf("row %d of row group %d: %v", int64(b.Rows[i])+1, g.group+1, fault)}
			if err := out.Bad(bad); err != nil {
				return err
			}
		}
	}
	return out.Batch(b)
}
