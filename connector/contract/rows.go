package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/expr"
)

// RowSchema is that of the rows that sources are to give, and sinks to take.
var RowSchema = column.Schema{{Name: "id", Type: column.IntType}, {Name: "text", Type: column.StringType}, {Name: "value", Type: column.FloatType}, {Name: "even", Type: column.BoolType}}

// Message is what a source's server is given.
type Message struct {
	ID  int64
	Bad bool // it is no JSON
}

// Text is the field of that name.
func (m Message) Text() string { return fmt.Sprintf("row \"%d\" ⓒ", m.ID) }

// Value is the field of that name.
func (m Message) Value() float64 { return float64(m.ID)/3 - 5 }

// Even is the field of that name.
func (m Message) Even() bool { return m.ID%2 == 0 }

// JSON is the message as text, on one line.
func (m Message) JSON() []byte {
	if m.Bad {
		return fmt.Appendf(nil, `{"id":%d,"text":`, m.ID)
	}
	text, err := json.Marshal(map[string]any{"id": m.ID, "text": m.Text(), "value": m.Value(), "even": m.Even()})
	if err != nil {
		panic(err) // it is made of what can be written
	}
	return text
}

// row returns the values in the order of RowSchema.
func (m Message) row() []column.Value { return []column.Value{m.ID, m.Text(), m.Value(), m.Even()} }

// batchOf makes a batch of rows. seq tells it from others of the source.
func batchOf(t *testing.T, schema column.Schema, seq int64, rows [][]column.Value) *column.Batch {
	t.Helper()
	b := &column.Batch{N: len(rows), Origin: &column.Origin{Source: 1, Seq: seq, File: "contract", Line: func(row int32) int64 { return int64(row) + 1 }}}
	for c, f := range schema {
		builder := column.NewBuilder(f.Type)
		for _, row := range rows {
			if err := builder.Append(row[c]); err != nil {
				t.Fatalf("field %q: %v", f.Name, err)
			}
		}
		b.Cols = append(b.Cols, builder.Finish())
	}
	return b
}

// texts makes rows comparable, in one order.
func texts(rows [][]column.Value) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = expr.Str(&column.ListValue{Elems: row})
	}
	slices.Sort(out)
	return out
}

// ids returns the field id of rows, in order.
func ids(rows [][]column.Value) []int64 {
	var out []int64
	for _, row := range rows {
		id, _ := row[0].(int64)
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// collect is an Out that keeps what comes.
type collect struct {
	rows [][]column.Value
	bad  []string
}

func (c *collect) BatchRows() int { return 64 }

func (c *collect) Bad(r catalog.BadRecord) error {
	c.bad = append(c.bad, string(r.Record)+": "+r.Msg)
	return nil
}

func (c *collect) Batch(b *column.Batch) error {
	b.Each(func(i int) { c.rows = append(c.rows, valuesOf(b, i)) })
	return nil
}

// valuesOf copies a row. Values may point into the batch.
func valuesOf(b *column.Batch, i int) []column.Value {
	list := &column.ListValue{}
	for _, c := range b.Cols {
		list.Elems = append(list.Elems, c.Value(i))
	}
	v, _, err := column.ReadValue(column.AppendValue(nil, list))
	if err != nil {
		panic(err) // it has just been written
	}
	return v.(*column.ListValue).Elems
}

// ReadAll reads a source that ends, with all its fields. Records that cannot be decoded fail the test.
func ReadAll(t *testing.T, connector string, config map[string]any) [][]column.Value {
	t.Helper()
	s, err := catalog.LookUpConnector(connector).Source(config)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out collect
	var m catalog.Morsel
	d := r.NewDecoder()
	for {
		if err = r.Next(ctx, &m); err == nil {
			err = d.Decode(ctx, &m, &out)
		}
		if err != nil {
			break
		}
	}
	if err != io.EOF || len(out.bad) > 0 {
		t.Fatalf("reading what was written: %v; %q", err, out.bad)
	}
	return out.rows
}

// Decode reads messages of JSON as rows of that schema.
func Decode(t *testing.T, schema column.Schema, messages [][]byte) [][]column.Value {
	t.Helper()
	f, err := message.Open(map[string]any{"format": "JSON", "schema": column.RowOf(schema)})
	if err != nil {
		t.Fatal(err)
	}
	cols, rows, err := f.NewDecoder(schema).Decode(messages, func(i int, err error) error { return fmt.Errorf("%s: %w", messages[i], err) })
	if err != nil {
		t.Fatal(err)
	}
	var out collect
	_ = out.Batch(&column.Batch{N: len(rows), Cols: cols})
	return out.rows
}

// JSONTypes are rows of all types that JSON holds by itself.
func JSONTypes() (column.Schema, [][]column.Value) {
	schema := column.Schema{
		{Name: "id", Type: column.IntType}, {Name: "b", Type: column.BoolType.OrNull()}, {Name: "f", Type: column.FloatType.OrNull()}, {Name: "s", Type: column.StringType.OrNull()},
		{Name: "l", Type: column.ListOf(column.IntType.OrNull()).OrNull()}, {Name: "m", Type: column.MapOf(column.StringType)},
		{Name: "r", Type: column.RowOf(column.Schema{{Name: "x", Type: column.IntType}, {Name: "y", Type: column.StringType.OrNull()}})},
	}
	list := func(v ...column.Value) column.Value { return &column.ListValue{Elems: v} }
	row := func(x int64, y column.Value) column.Value {
		return &column.RowValue{Names: []string{"x", "y"}, Elems: []column.Value{x, y}}
	}
	entries := func(kv ...column.Value) column.Value {
		m := &column.MapValue{}
		for i := 0; i < len(kv); i += 2 {
			m.Keys, m.Elems = append(m.Keys, kv[i]), append(m.Elems, kv[i+1])
		}
		return m
	}
	return schema, [][]column.Value{
		{int64(1), true, 1.5, "plain", list(int64(1), nil), entries("k", "v"), row(1, "a")},
		{int64(2), nil, nil, nil, nil, entries(), row(-1, nil)},
		{int64(math.MaxInt64), false, math.MaxFloat64, "tab\tline\n\"quotes\" \\ é漢😀 \u2028", list(), entries("", ""), row(0, "")},
		{int64(math.MinInt64), false, 5e-324, "", list(int64(math.MinInt64)), entries("a\n", "</b>"), row(math.MaxInt64, "\x00")},
		{int64(5), true, -0.1, "</script>&", list(nil, nil), entries("é", "漢"), row(5, "null")},
	}
}
