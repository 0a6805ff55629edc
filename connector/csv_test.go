package connector

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	at    []string // where each row came from
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
		g.at = append(g.at, b.Where(i))
	})
	return nil
}

// shown tells types apart that print alike.
func shown(v column.Value) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("b%q", v)
	}
	return string(appendPlain(nil, v))
}

func (g *gathered) Bad(r catalog.BadRecord) error {
	g.bad = append(g.bad, fmt.Sprintf("%d: %s: %s", r.Line, r.Record, r.Msg))
	return nil
}

// readAll reads a source whole.
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

func writeFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReadCSV holds what pandas.read_csv gives for the same text, but that whole numbers and booleans stay what they
// are where some are missing.
func TestReadCSV(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		config map[string]any
		schema string
		rows   []string
		bad    []string
	}{
		{name: "plain", text: "a,b\n1,x\n2,y\n", schema: "a: int?, b: string?", rows: []string{`1|"x"`, `2|"y"`}},
		{name: "no newline at the end", text: "a,b\n1,x\n2,y", schema: "a: int?, b: string?", rows: []string{`1|"x"`, `2|"y"`}},
		{name: "carriage returns", text: "a,b\r\n1,x\r\n\r\n2,\"y\"\r\n", schema: "a: int?, b: string?", rows: []string{`1|"x"`, `2|"y"`}},
		{name: "byte order mark", text: "\ufeffa,b\n1,x\n", schema: "a: int?, b: string?", rows: []string{`1|"x"`}},
		{name: "types", text: "i,f,b,s,m,d\n007,1.,true,x,1,2024-01-02\n+5,.5,FALSE,y,true,2024-01-03\n", schema: "i: int?, f: float?, b: bool?, s: string?, m: string?, d: string?",
			rows: []string{`7|1.0|True|"x"|"1"|"2024-01-02"`, `5|0.5|False|"y"|"true"|"2024-01-03"`}},
		{name: "ints and floats", text: "a\n1\n2.5\n", schema: "a: float?", rows: []string{"1.0", "2.5"}},
		{name: "infinities", text: "a\n1.5\ninf\n-Infinity\n", schema: "a: float?", rows: []string{"1.5", "inf", "-inf"}},
		{name: "beyond 64 bits", text: "a,b\n9223372036854775808,1e400\n", schema: "a: string?, b: string?", rows: []string{`"9223372036854775808"|"1e400"`}},
		{name: "nulls", text: "i,b,s,e\n1,true,x,\n,,NA,\nnull,None,\"\",\"\"\n", schema: "i: int?, b: bool?, s: string?, e: string?",
			rows: []string{`1|True|"x"|null`, "null|null|null|null", "null|null|null|null"}},
		{name: "white space", text: "a,b,c\n 1, x ,\t2.5\n", schema: "a: int?, b: string?, c: float?", rows: []string{`1|" x "|2.5`}},
		{name: "blank lines", text: "a,b\n\n1,x\n  \t\n2,\n\n", schema: "a: int?, b: string?", rows: []string{`1|"x"`, "2|null"}},
		{name: "quotes", text: "a,b\n\"x\"\"y\",\"p,q\"\n\"l\nm\",n\"o\n\"x\"y,\"z\"\n", schema: "a: string?, b: string?",
			rows: []string{`"x\"y"|"p,q"`, `"l\nm"|"n\"o"`, `"xy"|"z"`}},
		{name: "quoted numbers", text: "a,b\n\"1\",\"2.5\"\n", schema: "a: int?, b: float?", rows: []string{"1|2.5"}},
		{name: "quoted header", text: "\"a b\",\"c\nd\"\n1,2\n", schema: "a b: int?, c\nd: int?", rows: []string{"1|2"}},
		{name: "header names", text: "a,a,,b\n1,2,3,4\n", schema: "a: int?, a.1: int?, Unnamed: 2: int?, b: int?", rows: []string{"1|2|3|4"}},
		{name: "too few", text: "a,b\n1\n2,3\n", schema: "a: int?, b: int?", rows: []string{"1|null", "2|3"}},
		{name: "too many", text: "a,b\n1,2\n1,2,3\n3,4\n", schema: "a: int?, b: int?", rows: []string{"1|2", "3|4"}, bad: []string{"3: 1,2,3: wanted 2 fields, found 3"}},
		{name: "open quote", text: "a,b\n1,\"2\n3,4\n", schema: "a: string?, b: string?",
			bad: []string{"2: 1,\"2\n3,4: a quoted field is not closed before the end of the file"}},
		{name: "delimiter", text: "a;b\n1;\"x;y\"\n", config: map[string]any{"delimiter": ";"}, schema: "a: int?, b: string?", rows: []string{`1|"x;y"`}},
		{name: "tabs", text: "a\tb\n\t2\n", config: map[string]any{"sep": "\t"}, schema: "a: string?, b: int?", rows: []string{"null|2"}},
		{name: "comment", text: "#head\na,b\n1,x # c\n# all \"\n2,\"y#z\"\n3#,z\n", config: map[string]any{"comment": "#"}, schema: "a: int?, b: string?",
			rows: []string{`1|"x "`, `2|"y#z"`, "3|null"}},
		{name: "quotechar", text: "a,b\n'x,y',\"z\n", config: map[string]any{"quotechar": "'"}, schema: "a: string?, b: string?", rows: []string{`"x,y"|"\"z"`}},
		{name: "names", text: "1,2\n3,4\n", config: map[string]any{"names": []any{"x", "y", "z"}}, schema: "x: int?, y: int?, z: string?", rows: []string{"1|2|null", "3|4|null"}},
		{name: "names and header", text: "a,b\n3,4\n", config: map[string]any{"names": []any{"x", "y"}, "header": int64(0)}, schema: "x: int?, y: int?", rows: []string{"3|4"}},
		{name: "skiprows", text: "z\"z\nz\na,b\n1,2\n", config: map[string]any{"skiprows": int64(2)}, schema: "a: int?, b: int?", rows: []string{"1|2"}},
		{name: "usecols", text: "a,b,c\n1,2,3\n", config: map[string]any{"usecols": []any{"c", "a"}}, schema: "a: int?, c: int?", rows: []string{"1|3"}},
		{name: "na_values", text: "a,b\n-,NA\n-99,1\n", config: map[string]any{"na_values": []any{"-", "-99"}, "keep_default_na": false}, schema: "a: string?, b: string?",
			rows: []string{`null|"NA"`, `null|"1"`}},
		{name: "numeric null", text: "a,b\n1,2.5\n-99,-99\n", config: map[string]any{"na_values": "-99"}, schema: "a: int?, b: float?", rows: []string{"1|2.5", "null|null"}},
		{name: "header alone", text: "a,b\n", schema: "a: string?, b: string?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := map[string]any{"path": writeFile(t, c.text)}
			for k, v := range c.config {
				config[k] = v
			}
			s, err := openCSV(config)
			if err != nil {
				t.Fatal(err)
			}
			schema, err := s.Schema(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if schema.String() != c.schema {
				t.Errorf("schema %s, want %s", schema, c.schema)
			}
			for _, batch := range []int{1, 2, 4096} {
				g := readAll(t, s, schema, batch)
				if !slices.Equal(g.rows, c.rows) || !slices.Equal(g.bad, c.bad) {
					t.Errorf("batches of %d:\n got %q, bad %q\nwant %q, bad %q", batch, g.rows, g.bad, c.rows, c.bad)
				}
			}
		})
	}
}

func TestReadCSVMisfits(t *testing.T) {
	declared := column.RowOf(column.Schema{{Name: "id", Type: column.IntType}, {Name: "temp", Type: column.FloatType.OrNull()}, {Name: "ok", Type: column.BoolType.OrNull()},
		{Name: "s", Type: column.StringType.OrNull()}})
	path := writeFile(t, "id,temp,ok,s\n1,2.5,true,x\n,1,,\n2,warm,,\n3,,maybe,\n99999999999999999999,,,\n4,1e999,,\n5,,,\xff\n6,,,\"a\nb\"\n7.0,,,\n8\n")
	s, err := openCSV(map[string]any{"path": path, "schema": declared})
	if err != nil {
		t.Fatal(err)
	}
	schema, _ := s.Schema(context.Background())
	g := readAll(t, s, schema, 4096)
	wantRows := []string{`1|2.5|True|"x"`, `6|null|null|"a\nb"`, "8|null|null|null"}
	if !slices.Equal(g.rows, wantRows) {
		t.Errorf("rows %q, want %q", g.rows, wantRows)
	}
	if wantAt := []string{path + ":2", path + ":9", path + ":12"}; !slices.Equal(g.at, wantAt) {
		t.Errorf("places %q, want %q", g.at, wantAt)
	}
	for i, want := range []string{
		`3: ,1,,: field "id" is empty, wanted int`,
		`4: 2,warm,,: field "temp" is "warm" (string), wanted float`,
		`5: 3,,maybe,: field "ok" is "maybe" (string), wanted bool`,
		`6: 99999999999999999999,,,: field "id" is 99999999999999999999, which 64 bits do not hold, wanted int`,
		`7: 4,1e999,,: field "temp" is "1e999" (string), wanted float`,
		"8: 5,,,\xff: the record is not UTF-8 at its byte 5",
		`11: 7.0,,,: field "id" is "7.0" (float), wanted int`,
	} {
		if i >= len(g.bad) || !strings.HasPrefix(g.bad[i], want) {
			t.Errorf("bad record %d\n got %q\nwant %q…", i, g.bad, want)
		}
	}
}

// TestReadCSVProjection reads columns in another order, and files whose columns differ.
func TestReadCSVProjection(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.csv": "id,x,y\n1,2,3\n", "b.csv": "y,id\n30,10\n", "c.csv": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := openCSV(map[string]any{"path": filepath.Join(dir, "*.csv"), "filename_column": "from"})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.Schema(context.Background())
	if want := "id: int?, x: int?, y: int?, from: string"; err != nil || schema.String() != want {
		t.Fatalf("schema %s, %v, want %s", schema, err, want)
	}
	g := readAll(t, s, schema, 10)
	want := []string{fmt.Sprintf("1|2|3|%q", filepath.Join(dir, "a.csv")), fmt.Sprintf("10|null|30|%q", filepath.Join(dir, "b.csv"))}
	if !slices.Equal(g.rows, want) {
		t.Errorf("rows %q, want %q", g.rows, want)
	}
	if g := readAll(t, s, column.Schema{schema[2]}, 10); !slices.Equal(g.rows, []string{"3", "30"}) {
		t.Errorf("rows of y %q", g.rows)
	}
	if g := readAll(t, s, nil, 10); len(g.rows) != 2 {
		t.Errorf("rows without columns: %q", g.rows)
	}
}

func TestOpenCSVProblems(t *testing.T) {
	path := writeFile(t, "a,b\n1,2\n")
	for _, c := range []struct {
		key    string
		value  any
		at     string // the key that the problem is shown at
		expect string
	}{
		{"path", path + "x", "path", "no file"},
		{"delimiter", ",,", "delimiter", "wanted one ASCII character"},
		{"sep", "ä", "sep", "wanted one ASCII character"},
		{"quotechar", ",", "delimiter", "must be different characters"},
		{"comment", "\n", "comment", "wanted one ASCII character"},
		{"names", []any{"a", "a"}, "names", "each once"},
		{"header", int64(3), "header", "wanted 0 or"},
		{"skiprows", int64(-1), "skiprows", "wanted a number of lines"},
		{"sample_rows", int64(0), "sample_rows", "wanted a number of rows"},
		{"usecols", "c", "usecols", "no column \"c\""},
		{"filename_column", "a", "filename_column", "there is a field \"a\" already"},
		{"skiprows", int64(9), "path", "has no header"},
		{"schema", column.RowOf(column.Schema{{Name: "l", Type: column.ListOf(column.IntType)}}), "schema", "of type list<int>"},
	} {
		config := map[string]any{"path": path, c.key: c.value}
		s, err := openCSV(config)
		if err == nil {
			_, err = s.Schema(context.Background())
		}
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key != c.at || !strings.Contains(p.Text, c.expect) {
			t.Errorf("%s: %v: %+v, want %q at %q", c.key, c.value, p, c.expect, c.at)
		}
	}
}

// TestSampleCSV infers from the middle and the tail of a file, and is not misled by quotes that hold newlines.
func TestSampleCSV(t *testing.T) {
	plain := strings.Repeat("1,2\n", 51_000) + "1,2.5\n" + strings.Repeat("1,2\n", 49_000) + "x,2\n"
	quoted := strings.Repeat("1,\"a\nb,c\nd\"\n", 50_000)
	for _, c := range []struct{ text, want string }{
		{"a,b\n" + plain, "a: string?, b: float?"},
		{"a,b\n" + quoted, "a: int?, b: string?"},
	} {
		s, err := openCSV(map[string]any{"path": writeFile(t, c.text)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Schema(context.Background()); err != nil || got.String() != c.want {
			t.Errorf("schema %s, %v, want %s", got, err, c.want)
		}
	}
}

// TestSplit compares the cut of pieces with the records found one by one.
func TestSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, d := range []csvDialect{{delimiter: ',', quote: '"'}, {delimiter: ';'}, {delimiter: ',', quote: '"', comment: '#'}} {
		for range 20_000 {
			data := make([]byte, r.IntN(30))
			for i := range data {
				data[i] = `a,";#`[r.IntN(5)]
				if r.IntN(5) == 0 {
					data[i] = '\n'
				}
			}
			want := 0
			for pos := 0; pos < len(data); {
				next, open := d.blank(data, pos), false
				if next == pos {
					next, open = d.skipRecord(data, pos)
				}
				if open || data[next-1] != '\n' {
					break
				}
				pos, want = next, next
			}
			if got := d.split(data); got != want {
				t.Fatalf("split(%q) of %+v = %d, want %d", data, d, got, want)
			}
		}
	}
}

// TestCSVAgainstStandardLibrary compares records with encoding/csv on what it writes.
func TestCSVAgainstStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	d := csvDialect{delimiter: ',', quote: '"'}
	for range 3000 {
		var want [][]string
		for range 1 + r.IntN(5) {
			record := make([]string, 1+r.IntN(4))
			for i := range record {
				b := make([]byte, r.IntN(12))
				for k := range b {
					b[k] = "ab \",\n\t"[r.IntN(7)]
				}
				record[i] = string(b)
			}
			if strings.TrimSpace(strings.Join(record, ",")) != "" {
				want = append(want, record)
			}
		}
		var text bytes.Buffer
		w := csv.NewWriter(&text)
		if err := w.WriteAll(want); err != nil {
			t.Fatal(err)
		}
		var got [][]string
		for pos, data := 0, text.Bytes(); pos < len(data); {
			fields, next, open := d.record(data, pos)
			if open {
				t.Fatalf("open quote in %q", data)
			}
			var record []string
			for _, f := range fields {
				record = append(record, string(f))
			}
			got, pos = append(got, record), next
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("records of %q\n got %q\nwant %q", text.Bytes(), got, want)
		}
	}
}

// TestCSVMorsels reads a file of several morsels with quoted newlines and checks the lines.
func TestCSVMorsels(t *testing.T) {
	var text strings.Builder
	text.WriteString("n,s\n")
	lines, line := []int{}, 2
	for i := range 60_000 {
		lines = append(lines, line)
		if i%7 == 0 {
			fmt.Fprintf(&text, "%d,\"a\nb \"\"%d\"\"\"\n", i, i)
			line += 2
		} else {
			fmt.Fprintf(&text, "%d,plain text\n", i)
			line++
		}
	}
	if text.Len() < 2*file.MorselBytes {
		t.Fatal("the file is one morsel")
	}
	path := writeFile(t, text.String())
	s, err := openCSV(map[string]any{"path": path})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.Schema(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	g := readAll(t, s, schema, 4096)
	if len(g.rows) != len(lines) || len(g.bad) > 0 {
		t.Fatalf("%d rows, want %d; bad %q", len(g.rows), len(lines), g.bad)
	}
	for i, at := range lines {
		if want := fmt.Sprintf("%s:%d", path, at); g.at[i] != want || !strings.HasPrefix(g.rows[i], fmt.Sprint(i, "|")) {
			t.Fatalf("row %d is %s at %s, want it at %s", i, g.rows[i], g.at[i], want)
		}
	}
}

func BenchmarkReadCSV(b *testing.B) {
	path := os.Getenv("LEAT_BENCH_CSV")
	if path == "" {
		b.Skip("LEAT_BENCH_CSV names no file")
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	s, err := openCSV(map[string]any{"path": path})
	if err != nil {
		b.Fatal(err)
	}
	schema, err := s.Schema(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		r, err := s.Open(context.Background(), schema)
		if err != nil {
			b.Fatal(err)
		}
		d, out := r.NewDecoder(), &discard{}
		var m catalog.Morsel
		for {
			err := r.Next(context.Background(), &m)
			if err == io.EOF {
				break
			}
			if err == nil {
				err = d.Decode(context.Background(), &m, out)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		r.Close()
	}
}

func BenchmarkInferCSV(b *testing.B) {
	path := os.Getenv("LEAT_BENCH_CSV")
	if path == "" {
		b.Skip("LEAT_BENCH_CSV names no file")
	}
	s, err := openCSV(map[string]any{"path": path})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Schema(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("a,b\n1,\"x\ny\"\n"), byte(','), byte('"'), byte('#'))
	f.Add([]byte("a;b\n#c\n1;'x''\n\n"), byte(';'), byte('\''), byte('#'))
	f.Add([]byte("\xef\xbb\xbfa\r\n\"\"x\r\n\xff"), byte(','), byte('"'), byte(0))
	fields := column.Schema{{Name: "a", Type: column.IntType.OrNull()}, {Name: "b", Type: column.StringType.OrNull()}, {Name: "c", Type: column.FloatType}}
	f.Fuzz(func(t *testing.T, data []byte, delimiter, quote, comment byte) {
		d := csvDialect{delimiter: delimiter, quote: quote, comment: comment}
		if delimiter == 0 || delimiter == '\n' || quote == '\n' || comment == '\n' || delimiter == quote || delimiter == comment || quote == comment {
			return
		}
		whole := d.split(data)
		if whole > 0 && data[whole-1] != '\n' {
			t.Errorf("split cuts at %q", data[:whole])
		}
		inference := csvInference{dialect: d, nulls: &defaultNulls}
		inference.add(data, inference.columns([]string{"a", "b", "c"}), false)
		decode := func(pieces ...[]byte) *gathered {
			g := &gathered{batch: 3}
			decoder := newCSVDecoder(d, &defaultNulls, fields, "")
			for _, p := range pieces {
				m := &catalog.Morsel{Data: p, Line: 1, Part: &csvLayout{file: "f", wanted: []int32{0, 1, 2}}}
				if err := decoder.Decode(context.Background(), m, g); err != nil {
					t.Fatal(err)
				}
			}
			return g
		}
		one, two := decode(data), decode(data[:whole], data[whole:])
		if !slices.Equal(one.rows, two.rows) || len(one.bad) != len(two.bad) {
			t.Errorf("cut at %d: %q, bad %q; whole: %q, bad %q", whole, two.rows, two.bad, one.rows, one.bad)
		}
	})
}
