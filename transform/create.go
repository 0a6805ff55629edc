package transform

import (
	"context"
	"io"
	"sort"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// Create makes rows of what stands in the pipeline file.
var Create = catalog.AddTransform(catalog.Transform{
	Name:    "Create",
	Summary: "Makes rows of the elements that stand in the pipeline file.",
	Doc: `
A map is a row, and maps in it are rows in it; lists stay lists. Anything else is a row with the one field "element". Where some elements lack
a field, it is null there.

The type of a field is that of its values; whole numbers and other numbers in one field, or any other mixture, make a field
that may hold anything.

The rows have no time of their own: they are at the beginning of all time, in the global window.
`,
	Source: beamRef + "#create",
	Inputs: catalog.NoInput,
	Fields: []catalog.Field{
		{Name: "elements", Type: catalog.List, Required: true, Doc: "The rows."},
		{Name: "reshuffle", Type: catalog.Boolean, Default: "true", Doc: "Whether a cluster spreads the rows anew; here it changes nothing."},
	},
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {name: ada, at: {x: 1, y: 2}}
          - {name: alan}

# Expected:
#  Row(name='ada', at=Row(x=1, y=2))
#  Row(name='alan', at=None)
`,
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		rows := rowsOf(l.Config.Get("elements").List())
		schema := schemaOf(rows)
		config := map[string]any{"elements": l.Config.Get("elements").Plain()}
		return catalog.Main(l.Builder.Source("Create", config, schema, false).Main())
	},
})

var _ = catalog.AddConnector(catalog.Connector{
	Name: "Create",
	Source: func(config map[string]any) (catalog.Source, error) {
		elements, ok := config["elements"].([]any)
		if !ok {
			return nil, &catalog.Problem{Key: "elements", Code: diag.BadValue, Text: `wanted a list for "elements"`}
		}
		return &createSource{elements: wrap(elements)}, nil
	},
})

// rowsOf returns the elements as rows.
func rowsOf(elements []*catalog.Value) []*column.RowValue {
	rows := make([]*column.RowValue, len(elements))
	for i, e := range elements {
		v := valueOf(e)
		r, ok := v.(*column.RowValue)
		if !ok {
			r = &column.RowValue{Names: []string{"element"}, Elems: []column.Value{v}}
		}
		rows[i] = r
	}
	return rows
}

// valueOf returns a value of a pipeline file as a value of a row: maps are rows.
func valueOf(v *catalog.Value) column.Value {
	switch d := v.Data.(type) {
	case []*catalog.Value:
		list := &column.ListValue{Elems: make([]column.Value, len(d))}
		for i, e := range d {
			list.Elems[i] = valueOf(e)
		}
		return list
	case *catalog.Map:
		r := &column.RowValue{}
		for _, e := range d.Entries {
			r.Names, r.Elems = append(r.Names, e.Key), append(r.Elems, valueOf(e.Value))
		}
		return r
	}
	return v.Data
}

// schemaOf returns the narrowest schema of all the rows.
func schemaOf(rows []*column.RowValue) column.Schema {
	if len(rows) == 0 {
		return nil
	}
	t := column.TypeOf(rows[0])
	for _, r := range rows[1:] {
		t = column.Unify(t, column.TypeOf(r))
	}
	return t.Fields
}

// wrap makes a map of each element that is none.
func wrap(elements []any) []map[string]any {
	out := make([]map[string]any, len(elements))
	for i, e := range elements {
		m, ok := e.(map[string]any)
		if !ok {
			m = map[string]any{"element": e}
		}
		out[i] = m
	}
	return out
}

// fit returns plain data as a value of type t. Where the type does not say the order of a map's keys, they are sorted.
func fit(data any, t column.Type) column.Value {
	switch d := data.(type) {
	case map[string]any:
		if t.Kind == column.Row {
			r := &column.RowValue{Names: t.Fields.Names(), Elems: make([]column.Value, len(t.Fields))}
			for i, f := range t.Fields {
				r.Elems[i] = fit(d[f.Name], f.Type)
			}
			return r
		}
		r := &column.RowValue{}
		for name := range d {
			r.Names = append(r.Names, name)
		}
		sort.Strings(r.Names)
		for _, name := range r.Names {
			r.Elems = append(r.Elems, fit(d[name], column.AnyType))
		}
		return r
	case []any:
		elem := column.AnyType
		if t.Kind == column.List {
			elem = *t.Elem
		}
		list := &column.ListValue{Elems: make([]column.Value, len(d))}
		for i, e := range d {
			list.Elems[i] = fit(e, elem)
		}
		return list
	}
	return data
}

// createSource is the source of rows that stand in its configuration.
type createSource struct {
	elements []map[string]any
}

var _ catalog.Source = (*createSource)(nil)

// Schema returns the schema with the fields sorted: a plan's port keeps the order of the file, which the configuration
// does not.
func (s *createSource) Schema(context.Context) (column.Schema, error) {
	rows := make([]*column.RowValue, len(s.elements))
	for i, e := range s.elements {
		rows[i] = fit(e, column.AnyType).(*column.RowValue)
	}
	return schemaOf(rows), nil
}

func (s *createSource) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	return &createReader{elements: s.elements, fields: fields}, nil
}

// createMorsel is how many rows a morsel has at the most.
const createMorsel = 4096

type createReader struct {
	elements []map[string]any
	fields   column.Schema
	done     atomic.Int64
}

func (r *createReader) Next(_ context.Context, m *catalog.Morsel) error {
	from := int(r.done.Load())
	if from == len(r.elements) {
		return io.EOF
	}
	to := min(from+createMorsel, len(r.elements))
	r.done.Store(int64(to))
	*m = catalog.Morsel{Seq: m.Seq, Part: r.elements[from:to]}
	return nil
}

func (r *createReader) NewDecoder() catalog.Decoder   { return &createDecoder{fields: r.fields} }
func (r *createReader) Progress() (done, total int64) { return r.done.Load(), int64(len(r.elements)) }
func (r *createReader) Close() error                  { return nil }

type createDecoder struct {
	fields column.Schema
}

func (d *createDecoder) Decode(_ context.Context, m *catalog.Morsel, out catalog.Out) error {
	elements := m.Part.([]map[string]any)
	for from := 0; from < len(elements); from += out.BatchRows() {
		to := min(from+out.BatchRows(), len(elements))
		b := &column.Batch{N: to - from}
		for i := from; i < to; i++ {
			b.Rows = append(b.Rows, int32(i))
		}
		for _, f := range d.fields {
			builder := column.NewBuilder(f.Type)
			for _, e := range elements[from:to] {
				if err := builder.Append(fit(e[f.Name], f.Type)); err != nil {
					return err
				}
			}
			b.Cols = append(b.Cols, builder.Finish())
		}
		if err := out.Batch(b); err != nil {
			return err
		}
	}
	return nil
}
