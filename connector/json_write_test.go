package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// writeJSON writes one batch and returns the file's path and text.
func writeJSON(t testing.TB, schema column.Schema, b *column.Batch) (path, text string) {
	t.Helper()
	sink, err := newJSONSink(map[string]any{"path": filepath.Join(t.TempDir(), "out.json")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	w, err := sink.Open(ctx, schema)
	if err != nil {
		t.Fatal(err)
	}
	e := w.NewEncoder()
	if err := e.Write(ctx, b); err != nil {
		t.Fatal(err)
	}
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	written, err := w.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(written.Files[0])
	if err != nil {
		t.Fatal(err)
	}
	return written.Files[0], string(data)
}

// batchOf makes a batch of one column.
func batchOf(t testing.TB, typ column.Type, values ...column.Value) *column.Batch {
	t.Helper()
	b := column.NewBuilder(typ)
	for _, v := range values {
		if err := b.Append(v); err != nil {
			t.Fatal(err)
		}
	}
	return &column.Batch{N: len(values), Cols: []*column.Vector{b.Finish()}}
}

func TestJSONWrite(t *testing.T) {
	pos := column.RowOf(column.Schema{{Name: "x", Type: intType}, {Name: "the \"y\"", Type: floatType}})
	row := func(x, y column.Value) *column.RowValue {
		return &column.RowValue{Names: []string{"x", `the "y"`}, Elems: []column.Value{x, y}}
	}
	tests := []struct {
		name  string
		typ   column.Type
		value column.Value
		want  string
	}{
		{"int", column.IntType, int64(math.MinInt64), `-9223372036854775808`},
		{"float", column.FloatType, 0.1, `0.1`},
		{"whole float", column.FloatType, 5.0, `5.0`},
		{"large float", column.FloatType, 1e300, `1e+300`},
		{"NaN", column.FloatType, math.NaN(), `null`},
		{"infinity", column.FloatType, math.Inf(-1), `null`},
		{"null", intType, nil, `null`},
		{"bool", column.BoolType, true, `true`},
		{"text", column.StringType, "a/b é 😀 <&> \x7f", `"a/b é 😀 <&> ` + "\x7f" + `"`},
		{"escapes", column.StringType, "\"\\\n\r\t\b\f\x00\x1f", `"\"\\\n\r\t\u0008\u000c\u0000\u001f"`},
		{"escapes behind eight bytes", column.StringType, "0123456789\"", `"0123456789\""`},
		{"bytes", column.BytesType, []byte("hi\xff"), `"aGn/"`},
		{"time", column.TimeType, column.Instant(1599999999895), `"2020-09-13T12:26:39.895Z"`},
		{"duration", column.DurationType, column.Span(1500), `1.5`},
		{"list", column.ListOf(intType), &column.ListValue{Elems: []column.Value{int64(1), nil}}, `[1,null]`},
		{"empty list", column.ListOf(intType), &column.ListValue{}, `[]`},
		{"row", pos, row(int64(1), nil), `{"x":1,"the \"y\"":null}`},
		{"empty row", column.RowOf(nil), &column.RowValue{}, `{}`},
		{"rows in a list", column.ListOf(pos), &column.ListValue{Elems: []column.Value{row(nil, 2.5)}}, `[{"x":null,"the \"y\"":2.5}]`},
		{"map", column.MapOf(pos.OrNull()), &column.MapValue{Keys: []column.Value{"k", "l"}, Elems: []column.Value{row(int64(1), 2.0), nil}},
			`{"k":{"x":1,"the \"y\"":2.0},"l":null}`},
		{"any", column.AnyType, &column.ListValue{Elems: []column.Value{int64(1), "a", nil, true, 2.0, []byte("x"), row(int64(3), nil)}},
			`[1,"a",null,true,2.0,"eA==",{"x":3,"the \"y\"":null}]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, got := writeJSON(t, field("f", test.typ), batchOf(t, test.typ, test.value))
			if want := `{"f":` + test.want + "}\n"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

func TestJSONWriteSelected(t *testing.T) {
	b := batchOf(t, intType, int64(0), nil, int64(2))
	b.Sel = []int32{1, 2}
	if _, got := writeJSON(t, field("a", intType), b); got != "{\"a\":null}\n{\"a\":2}\n" {
		t.Errorf("%s", got)
	}
	if _, got := writeJSON(t, nil, &column.Batch{N: 2}); got != "{}\n{}\n" {
		t.Errorf("%s", got)
	}
}

// TestJSONRoundTrip reads random records, writes them and reads them again.
func TestJSONRoundTrip(t *testing.T) {
	g := jsonGenerator{Rand: rand.New(rand.NewPCG(3, 3))}
	var text []byte
	for range 300 {
		text = append(append(text, g.record()...), '\n')
	}
	first := openJSON(t, string(text), map[string]any{"schema": column.RowOf(jsonTestSchema)})
	var rewritten bytes.Buffer
	out := &forward{f: func(b *column.Batch) error {
		_, written := writeJSON(t, jsonTestSchema, b)
		rewritten.WriteString(written)
		return nil
	}}
	r, err := first.Open(context.Background(), jsonTestSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var m catalog.Morsel
	if err := r.Next(context.Background(), &m); err != nil {
		t.Fatal(err)
	}
	if err := r.NewDecoder().Decode(context.Background(), &m, out); err != nil {
		t.Fatal(err)
	}
	var want [][]any
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		if row, ok := jsonReference(jsonTestSchema, line); ok {
			want = append(want, row)
		}
	}
	again := decodeJSON(t, jsonTestSchema, rewritten.Bytes(), 64)
	if len(again.bad) > 0 || len(again.rows) != len(want) || len(want) < 200 {
		t.Fatalf("%d rows, %d bad; want %d", len(again.rows), len(again.bad), len(want))
	}
	for i, row := range want {
		if got := again.rows[int32(i)]; !reflect.DeepEqual(got, row) {
			t.Errorf("row %d: %v, want %v", i, got, row)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(rewritten.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("wrote %s", line)
		}
	}
}

// forward passes batches to f and drops bad records.
type forward struct {
	f func(b *column.Batch) error
}

func (f *forward) BatchRows() int                { return 50 }
func (f *forward) Batch(b *column.Batch) error   { return f.f(b) }
func (f *forward) Bad(r catalog.BadRecord) error { return nil }

func TestJSONSinkRefuses(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name   string
		config map[string]any
		key    string
		code   diag.Code
	}{
		{"one document", map[string]any{"path": dir + "/x", "lines": false}, "lines", diag.Unsupported},
		{"less than none", map[string]any{"path": dir + "/x", "num_shards": int64(-1)}, "num_shards", diag.BadValue},
		{"too many shards", map[string]any{"path": dir + "/x", "num_shards": int64(1 << 40)}, "num_shards", diag.BadValue},
		{"bzip2", map[string]any{"path": dir + "/x.bz2"}, "path", diag.Unsupported},
		{"no path", map[string]any{"path": ""}, "path", diag.BadValue},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := newJSONSink(test.config, nil)
			p, ok := err.(*catalog.Problem)
			if !ok || p.Key != test.key || p.Code != test.code {
				t.Errorf("%v, want %s at %s", err, test.code, test.key)
			}
		})
	}
}
