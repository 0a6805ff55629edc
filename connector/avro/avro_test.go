package avro

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
)

// gathered keeps what a decoder gives, as text.
type gathered struct {
	batch int
	rows  []string
	bad   []string
}

func (g *gathered) BatchRows() int { return g.batch }

func (g *gathered) Batch(b *column.Batch) error {
	b.Each(func(i int) {
		var fields []string
		for _, v := range b.Cols {
			fields = append(fields, shown(v.Value(i)))
		}
		g.rows = append(g.rows, strings.Join(fields, "|"))
	})
	return nil
}

func (g *gathered) Bad(r catalog.BadRecord) error {
	g.bad = append(g.bad, r.Msg)
	return nil
}

func shown(v column.Value) string {
	list := func(open, end string, n int, f func(i int) string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = f(i)
		}
		return open + strings.Join(parts, " ") + end
	}
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("b%q", v)
	case column.Instant:
		return fmt.Sprintf("@%d", v)
	case float64:
		return fmt.Sprintf("%gf", v)
	case *column.ListValue:
		return list("[", "]", len(v.Elems), func(i int) string { return shown(v.Elems[i]) })
	case *column.MapValue:
		return list("{", "}", len(v.Elems), func(i int) string { return shown(v.Keys[i]) + ":" + shown(v.Elems[i]) })
	case *column.RowValue:
		return list("(", ")", len(v.Elems), func(i int) string { return v.Names[i] + "=" + shown(v.Elems[i]) })
	}
	return fmt.Sprint(v)
}

func readAll(t testing.TB, s catalog.Source, fields column.Schema, batch int) *gathered {
	t.Helper()
	g := &gathered{batch: batch}
	r, err := s.Open(context.Background(), fields)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer r.Close()
	d := r.NewDecoder()
	var m catalog.Morsel
	for {
		err := r.Next(context.Background(), &m)
		if errors.Is(err, io.EOF) {
			return g
		}
		if err == nil {
			err = d.Decode(context.Background(), &m, g)
		}
		if err != nil {
			g.bad = append(g.bad, err.Error())
			return g
		}
	}
}

// TestReadAll reads what fastavro wrote (see reference/connector_files.py).
func TestReadAll(t *testing.T) {
	const schema = "b: bool, i: int, l: int?, f: float, d: float?, s: string, y: bytes, x: bytes, e: string, a: list<int?>, m: map<string>, " +
		"r: row<p: string, q: int?>?, rs: list<row<p: string, q: int?>>, u: any, ms: timestamp, us: timestamp?, day: string, clock: string, money: float, big: string, " +
		"tree: row<v: int, kids: list<any>>"
	want := []string{
		`true|-7|4611686018427387904|1.5f|0.1f|"grün"|b"\x00\xff"|b"ab"|"GREEN"|[1 null 3]|{"k":"v"}|(p="in" q=null)|[(p="a" q=1) (p="b" q=null)]|[1 2]|@-1|@-1|` +
			`"2024-02-29"|"13:14:15.000016"|-12.34f|"123456789012345678901234.567"|(v=1 kids=[(v=2 kids=[])])`,
		`false|0|null|-0f|null|""|b""|b"cd"|"RED"|[]|{}|null|[]|null|@1704067200000|null|"1969-12-31"|"00:00:00"|0.05f|"-0.001"|(v=3 kids=[])`,
	}
	for _, codec := range []string{"null", "deflate"} {
		s := &source{Input: file.Input{Paths: []string{"testdata/all-" + codec + ".avro"}}}
		got, err := s.Schema(context.Background())
		if err != nil || got.String() != schema {
			t.Fatalf("%s: schema %s, %v\nwant %s", codec, got, err, schema)
		}
		for _, batch := range []int{1, 100} {
			if g := readAll(t, s, got, batch); !slices.Equal(g.rows, want) || len(g.bad) > 0 {
				t.Errorf("%s: rows\n%s\nwant\n%s\nbad %q", codec, strings.Join(g.rows, "\n"), strings.Join(want, "\n"), g.bad)
			}
		}
		some := column.Schema{got[19], got[3]}
		if g := readAll(t, s, some, 100); !slices.Equal(g.rows, []string{`"123456789012345678901234.567"|1.5f`, `"-0.001"|-0f`}) {
			t.Errorf("%s: some columns: %q", codec, g.rows)
		}
		if g := readAll(t, s, nil, 100); len(g.rows) != 2 {
			t.Errorf("%s: %d rows without columns", codec, len(g.rows))
		}
	}
}

func vectorOf(t testing.TB, typ column.Type, values ...column.Value) *column.Vector {
	t.Helper()
	b := column.NewBuilder(typ)
	for _, v := range values {
		if err := b.Append(v); err != nil {
			t.Fatal(err)
		}
	}
	return b.Finish()
}

// allTypes is a batch of every type that Avro takes.
func allTypes(t testing.TB) (column.Schema, *column.Batch) {
	row := func(names []string, elems ...column.Value) *column.RowValue {
		return &column.RowValue{Names: names, Elems: elems}
	}
	list := func(elems ...column.Value) *column.ListValue { return &column.ListValue{Elems: elems} }
	inner := column.RowOf(column.Schema{{Name: "p", Type: column.StringType}, {Name: "q", Type: column.ListOf(column.IntType.OrNull()).OrNull()}})
	pq := []string{"p", "q"}
	var schema column.Schema
	b := &column.Batch{N: 3}
	for _, c := range []struct {
		name   string
		typ    column.Type
		values []column.Value
	}{
		{"b", column.BoolType, []column.Value{true, false, true}},
		{"i", column.IntType.OrNull(), []column.Value{int64(-1 << 63), nil, int64(1<<63 - 1)}},
		{"f", column.FloatType.OrNull(), []column.Value{0.1, nil, -2.5}},
		{"s", column.StringType.OrNull(), []column.Value{"", nil, "grün"}},
		{"y", column.BytesType, []column.Value{[]byte{}, []byte{255}, []byte("x")}},
		{"t", column.TimeType.OrNull(), []column.Value{column.Instant(-1), nil, column.Instant(1700000000123)}},
		{"n", column.NullType, []column.Value{nil, nil, nil}},
		{"l", column.ListOf(column.StringType.OrNull()).OrNull(), []column.Value{list("a", nil), nil, list()}},
		{"m", column.MapOf(column.FloatType), []column.Value{&column.MapValue{Keys: []column.Value{"k"}, Elems: []column.Value{1.5}}, &column.MapValue{}, &column.MapValue{}}},
		{"r", inner.OrNull(), []column.Value{row(pq, "x", list(int64(1), nil)), nil, row(pq, "y", nil)}},
		{"lr", column.ListOf(inner), []column.Value{list(row(pq, "x", list()), row(pq, "y", nil)), list(), list()}},
	} {
		schema = append(schema, column.Field{Name: c.name, Type: c.typ})
		b.Cols = append(b.Cols, vectorOf(t, c.typ, c.values...))
	}
	return schema, b
}

func write(t testing.TB, config map[string]any, schema column.Schema, b *column.Batch) string {
	t.Helper()
	ctx := context.Background()
	if config["path"] == nil {
		config["path"] = filepath.Join(t.TempDir(), "out.avro")
	}
	s, err := bind(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Open(ctx, schema)
	if err != nil {
		t.Fatal(err)
	}
	e := w.NewEncoder()
	if err := errors.Join(e.Write(ctx, b), e.Flush(ctx)); err != nil {
		t.Fatal(err)
	}
	written, err := w.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return written.Files[0]
}

func TestRoundTrip(t *testing.T) {
	schema, b := allTypes(t)
	want := &gathered{}
	if err := want.Batch(b); err != nil {
		t.Fatal(err)
	}
	for _, codec := range []string{"null", "deflate", "snappy", "zstandard"} {
		s := &source{Input: file.Input{Paths: []string{write(t, map[string]any{"codec": codec}, schema, b)}}}
		got, err := s.Schema(context.Background())
		if err != nil || !got.Equal(schema) {
			t.Errorf("%s: schema %s, %v, want %s", codec, got, err, schema)
		}
		if g := readAll(t, s, got, 2); !slices.Equal(g.rows, want.rows) || len(g.bad) > 0 {
			t.Errorf("%s: rows %q, want %q, bad %q", codec, g.rows, want.rows, g.bad)
		}
	}
}

// TestSeveralFiles reads files whose schemas differ.
func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	one := column.Schema{{Name: "a", Type: column.IntType}}
	two := column.Schema{{Name: "b", Type: column.StringType}, {Name: "a", Type: column.IntType.OrNull()}}
	write(t, map[string]any{"path": filepath.Join(dir, "1")}, one, &column.Batch{N: 1, Cols: []*column.Vector{vectorOf(t, one[0].Type, int64(1))}})
	write(t, map[string]any{"path": filepath.Join(dir, "2")}, two, &column.Batch{N: 1, Cols: []*column.Vector{vectorOf(t, two[0].Type, "x"), vectorOf(t, two[1].Type, nil)}})
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	s := &source{Input: file.Input{Paths: paths}}
	schema, err := s.Schema(context.Background())
	if err != nil || schema.String() != "a: int?, b: string?" {
		t.Fatalf("schema %s, %v", schema, err)
	}
	if g := readAll(t, s, schema, 10); !slices.Equal(g.rows, []string{"1|null", `null|"x"`}) {
		t.Errorf("rows %q, bad %q", g.rows, g.bad)
	}
}

// TestDamage damages a file in every place: nothing panics, and what is said names the file or the record.
func TestDamage(t *testing.T) {
	whole, err := os.ReadFile("testdata/all-null.avro")
	if err != nil {
		t.Fatal(err)
	}
	sound := readAll(t, &source{Input: file.Input{Paths: []string{"testdata/all-null.avro"}}}, nil, 10)
	path := filepath.Join(t.TempDir(), "x.avro")
	read := func(data []byte) *gathered {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s := &source{Input: file.Input{Paths: []string{path}}}
		schema, err := s.Schema(context.Background())
		if err != nil {
			return &gathered{bad: []string{err.Error()}}
		}
		return readAll(t, s, schema, 10)
	}
	for i := range whole {
		if i == 4 { // an empty header's map ends it
			continue
		}
		if g := read(whole[:i]); len(g.bad) == 0 && len(g.rows) == len(sound.rows) {
			t.Errorf("cut at byte %d: no complaint", i)
		}
		broken := bytes.Clone(whole)
		broken[i] ^= 0xff
		read(broken)
	}
	if g := read([]byte("a,b\n1,2\n")); len(g.bad) != 1 || !strings.Contains(g.bad[0], "it is no Avro container file") {
		t.Errorf("a text file: %q", g.bad)
	}
	cut := read(whole[:len(whole)-20])
	if len(cut.bad) != 1 || !strings.Contains(cut.bad[0], "the block cannot be read: the file ends") || !strings.Contains(cut.bad[0], path) {
		t.Errorf("a cut file: %q", cut.bad)
	}
}

// TestBadRecords keeps the records around a bad one.
func TestBadRecords(t *testing.T) {
	schema := column.Schema{{Name: "s", Type: column.StringType}, {Name: "l", Type: column.ListOf(column.IntType)}}
	one := &column.ListValue{Elems: []column.Value{int64(1)}}
	b := &column.Batch{N: 3, Cols: []*column.Vector{vectorOf(t, schema[0].Type, "a", "b\xff", "c"), vectorOf(t, schema[1].Type, one, one, one)}}
	s := &source{Input: file.Input{Paths: []string{write(t, map[string]any{"codec": "null"}, schema, b)}}}
	g := readAll(t, s, schema, 10)
	if !slices.Equal(g.rows, []string{`"a"|[1]`, `"c"|[1]`}) {
		t.Errorf("rows %q", g.rows)
	}
	if len(g.bad) != 1 || !strings.HasPrefix(g.bad[0], "record 1, in the block at byte") || !strings.HasSuffix(g.bad[0], ": a string is not UTF-8") {
		t.Errorf("bad %q", g.bad)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		schema column.Schema
		want   string
	}{
		{column.Schema{{Name: "a b", Type: column.IntType}}, `field "a b" has a name that Avro does not take`},
		{column.Schema{{Name: "r", Type: column.RowOf(column.Schema{{Name: "1", Type: column.IntType}})}}, `field "r.1" has a name`},
		{column.Schema{{Name: "l", Type: column.ListOf(column.AnyType)}}, `field "l" is of no known type`},
	} {
		if err := checkSchema("", c.schema); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.schema, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"testdata/all-null.avro", "testdata/all-deflate.avro"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	schema, b := allTypes(f)
	for _, codec := range []string{"snappy", "zstandard", "null"} {
		data, err := os.ReadFile(write(f, map[string]any{"codec": codec}, schema, b))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s := &source{Input: file.Input{Paths: []string{path}}}
		schema, err := s.Schema(context.Background())
		if err != nil {
			return
		}
		if g := readAll(t, s, schema, 7); len(g.rows) > 1<<20 {
			t.Skip()
		}
	})
}

// TestResume goes on after each morsel.
func TestResume(t *testing.T) {
	ctx := context.Background()
	s := &source{Input: file.Input{Paths: manyBlocks(t)}}
	schema, err := s.Schema(ctx)
	if err != nil {
		t.Fatal(err)
	}
	read := func(position string) (rows, positions []string) {
		r, err := s.Open(ctx, schema)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if position != "" {
			if err := r.(catalog.Resumable).Resume(ctx, catalog.Resume{Positions: map[string]string{"": position}}); err != nil {
				t.Fatal(err)
			}
		}
		d := r.NewDecoder()
		for {
			var m catalog.Morsel
			err := r.Next(ctx, &m)
			if errors.Is(err, io.EOF) {
				return rows, positions
			}
			g := &gathered{batch: 1000}
			if err == nil {
				err = d.Decode(ctx, &m, g)
			}
			if err != nil {
				t.Fatal(err)
			}
			rows, positions = append(rows, strings.Join(g.rows, "\n")), append(positions, m.Position)
		}
	}
	rows, positions := read("")
	if len(rows) < 4 {
		t.Fatalf("%d morsels", len(rows))
	}
	for i, p := range positions {
		if rest, _ := read(p); !slices.Equal(rest, rows[i+1:]) {
			t.Errorf("after morsel %d, at %s, the rest is another", i, p)
		}
	}
}

// manyBlocks writes files of more than one morsel each.
func manyBlocks(t *testing.T) (paths []string) {
	t.Helper()
	schema := column.Schema{{Name: "text", Type: column.StringType}}
	values := make([]column.Value, 20_000)
	for i := range values {
		values[i] = fmt.Sprintf("row %d %s", i, strings.Repeat("x", 40))
	}
	for range 2 {
		paths = append(paths, write(t, map[string]any{"codec": "null"}, schema, &column.Batch{N: len(values), Cols: []*column.Vector{vectorOf(t, column.StringType, values...)}}))
	}
	return paths
}
