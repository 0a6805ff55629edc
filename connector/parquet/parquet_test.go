package parquet

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

// allTypes is a batch of every type that Parquet takes.
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
		config["path"] = filepath.Join(t.TempDir(), "out.parquet")
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

// TestReadAll reads what pyarrow wrote (see reference/connector_files.py).
func TestReadAll(t *testing.T) {
	const schema = "b: bool?, i8: int?, u32: int?, i64: int?, f32: float?, f64: float?, s: string?, y: bytes?, x: bytes?, dict: string?, ms: timestamp?, us: timestamp?, ns: timestamp?, " +
		"day: string?, clock: string?, money: float?, big: string?, l: list<int?>?, ll: list<list<int?>?>?, ls: list<string?>?, m: map<float?>?, " +
		"r: row<p: string?, q: row<z: int?>?>?, lr: list<row<a: int?, b: list<string?>?>?>?, none: null"
	want := []string{
		`true|-1|4294967295|4611686018427387904|1.5f|0.1f|"grün"|b"\x00\xff"|b"ab"|"one"|@-1|@-1|@-1|"2024-02-29"|"13:14:15.000016"|-12.34f|"123456789012345678901234.567"|` +
			`[1 null 3]|[[1] [] null]|["a" "b"]|{"k":1.5f "n":null}|(p="in" q=(z=1))|[(a=1 b=["x"]) (a=null b=[])]|null`,
		`null|2|0|-1|null|+Inff|""|null|b"cd"|"two"|null|null|@1|null|null|null|null|[]|null|["c"]|{}|(p=null q=null)|null|null`,
		`false|null|null|0|-0f|null|null|b""|null|"one"|@-1|@-1|null|"1969-12-31"|"00:00:00"|0.05f|"-0.001"|null|[[2 3]]|[]|null|null|[null]|null`,
	}
	for _, name := range []string{"all-v1-snappy", "all-v2-zstd"} {
		s := &source{Input: file.Input{Paths: []string{"testdata/" + name + ".parquet"}}}
		got, err := s.Schema(context.Background())
		if err != nil || got.String() != schema {
			t.Fatalf("%s: schema\n%s, %v\nwant\n%s", name, got, err, schema)
		}
		for _, batch := range []int{1, 2, 100} {
			if g := readAll(t, s, got, batch); !slices.Equal(g.rows, want) || len(g.bad) > 0 {
				t.Errorf("%s: rows\n%s\nwant\n%s\nbad %q", name, strings.Join(g.rows, "\n"), strings.Join(want, "\n"), g.bad)
			}
		}
		some := column.Schema{got[16], got[3]}
		if g := readAll(t, s, some, 100); !slices.Equal(g.rows, []string{`"123456789012345678901234.567"|4611686018427387904`, "null|-1", `"-0.001"|0`}) {
			t.Errorf("%s: some columns: %q", name, g.rows)
		}
		if g := readAll(t, s, nil, 100); len(g.rows) != 3 {
			t.Errorf("%s: %d rows without columns", name, len(g.rows))
		}
	}
}

func TestReadInt96(t *testing.T) {
	s := &source{Input: file.Input{Paths: []string{"testdata/int96.parquet"}}}
	if g := readAll(t, s, column.Schema{{Name: "t", Type: column.TimeType.OrNull()}}, 10); !slices.Equal(g.rows, []string{"@-1", "null"}) {
		t.Errorf("rows %q, bad %q", g.rows, g.bad)
	}
}

func TestReadUint64(t *testing.T) {
	s := &source{Input: file.Input{Paths: []string{"testdata/uint64.parquet"}}}
	g := readAll(t, s, column.Schema{{Name: "u", Type: column.IntType.OrNull()}}, 10)
	if !slices.Equal(g.rows, []string{"1", "3"}) || len(g.bad) != 1 || !strings.Contains(g.bad[0], "row 2 of row group 1: 9223372036854775808 is beyond the largest whole number") {
		t.Errorf("rows %q, bad %q", g.rows, g.bad)
	}
}

// TestReadMany reads several row groups of many pages.
func TestReadMany(t *testing.T) {
	s := &source{Input: file.Input{Paths: []string{"testdata/many.parquet"}}}
	schema, err := s.Schema(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range []int{333, 4096} {
		g := readAll(t, s, schema, batch)
		if len(g.rows) != 20_000 || len(g.bad) > 0 {
			t.Fatalf("%d rows, bad %q", len(g.rows), g.bad)
		}
		for i, row := range g.rows {
			text := fmt.Sprintf(`"v%d"`, i%50)
			if i%7 == 0 {
				text = "null"
			}
			if want := fmt.Sprintf("%d|%s|%s", i, text, []string{"[]", "[0]", "[0 1]", "[0 1 2]"}[i%4]); row != want {
				t.Fatalf("row %d is %s, want %s", i, row, want)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	schema, b := allTypes(t)
	want := &gathered{}
	if err := want.Batch(b); err != nil {
		t.Fatal(err)
	}
	for _, codec := range []string{"none", "snappy", "gzip", "zstd"} {
		s := &source{Input: file.Input{Paths: []string{write(t, map[string]any{"codec": codec}, schema, b)}}}
		got, err := s.Schema(context.Background())
		if err != nil || strings.Replace(got.String(), "n: int?", "n: null", 1) != schema.String() {
			t.Errorf("%s: schema %s, %v, want %s", codec, got, err, schema)
		}
		if g := readAll(t, s, got, 2); !slices.Equal(g.rows, want.rows) || len(g.bad) > 0 {
			t.Errorf("%s: rows %q, want %q, bad %q", codec, g.rows, want.rows, g.bad)
		}
	}
}

// TestRowGroups writes from two encoders, more than one row group, and nothing.
func TestRowGroups(t *testing.T) {
	ctx := context.Background()
	schema := column.Schema{{Name: "z", Type: column.IntType}, {Name: "a", Type: column.StringType.OrNull()}}
	for _, rows := range []int{0, 1, groupRows + 5} {
		s, err := bind(map[string]any{"path": filepath.Join(t.TempDir(), "out")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := s.Open(ctx, schema)
		if err != nil {
			t.Fatal(err)
		}
		encoders := []catalog.Encoder{w.NewEncoder(), w.NewEncoder()}
		for from := 0; from < rows; from += 4096 {
			n := min(4096, rows-from)
			b := &column.Batch{N: n, Cols: []*column.Vector{{Type: schema[0].Type, N: n}, {Type: schema[1].Type, N: n, Offsets: make([]int32, n+1)}}}
			b.Cols[0].Ints = make([]int64, n)
			for i := range n {
				b.Cols[0].Ints[i] = int64(from + i)
			}
			if err := encoders[from/4096%2].Write(ctx, b); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range encoders {
			if err := e.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		written, err := w.Commit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		g := readAll(t, &source{Input: file.Input{Paths: written.Files}}, schema[:1], 4096)
		seen := map[string]bool{}
		for _, row := range g.rows {
			seen[row] = true
		}
		if len(g.rows) != rows || len(seen) != rows || len(g.bad) > 0 {
			t.Errorf("%d rows, %d distinct, want %d; bad %q", len(g.rows), len(seen), rows, g.bad)
		}
	}
}

// TestDamage damages a file in every place: nothing panics, and a failure names the file.
func TestDamage(t *testing.T) {
	whole, err := os.ReadFile("testdata/all-v1-snappy.parquet")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.parquet")
	for i := 0; i < len(whole); i += 29 {
		broken := bytes.Clone(whole)
		broken[i] ^= 0xff
		tryRead(t, path, broken)
	}
	for _, cut := range []int{0, 4, 100, len(whole) - 1} {
		if g := tryRead(t, path, whole[:cut]); len(g.bad) != 1 || !strings.Contains(g.bad[0], path) {
			t.Errorf("cut at byte %d: %q", cut, g.bad)
		}
	}
}

// tryRead reads a file that may be damaged.
func tryRead(t testing.TB, path string, data []byte) *gathered {
	t.Helper()
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

func FuzzRead(f *testing.F) {
	for _, name := range []string{"all-v1-snappy", "all-v2-zstd", "int96", "uint64"} {
		data, err := os.ReadFile("testdata/" + name + ".parquet")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tryRead(t, filepath.Join(t.TempDir(), "x"), data)
	})
}

func BenchmarkRead(b *testing.B) {
	s := &source{Input: file.Input{Paths: []string{"testdata/many.parquet"}}}
	schema, err := s.Schema(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	d := &discard{}
	for b.Loop() {
		r, err := s.Open(context.Background(), schema)
		if err != nil {
			b.Fatal(err)
		}
		decoder := r.NewDecoder()
		var m catalog.Morsel
		for r.Next(context.Background(), &m) == nil {
			if err := decoder.Decode(context.Background(), &m, d); err != nil {
				b.Fatal(err)
			}
		}
		r.Close()
	}
	b.ReportMetric(float64(d.rows)/b.Elapsed().Seconds(), "rows/s")
}

// discard counts rows.
type discard struct{ rows int }

func (d *discard) BatchRows() int              { return 4096 }
func (d *discard) Batch(b *column.Batch) error { d.rows += b.N; return nil }
func (d *discard) Bad(catalog.BadRecord) error { return nil }

// TestResume goes on after each morsel.
func TestResume(t *testing.T) {
	ctx := context.Background()
	s := &source{Input: file.Input{Paths: []string{"testdata/many.parquet", "testdata/many.parquet"}}}
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
