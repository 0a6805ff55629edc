package connector

import (
	"bytes"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
)

// vectorOf makes a column of values.
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

// writeAll writes one batch and returns the text of the files, in order.
func writeAll(t testing.TB, s catalog.Sink, schema column.Schema, cols ...*column.Vector) []string {
	t.Helper()
	ctx := context.Background()
	w, err := s.Open(ctx, schema)
	if err != nil {
		t.Fatal(err)
	}
	e := w.NewEncoder()
	if err := e.Write(ctx, &column.Batch{N: cols[0].N, Cols: cols}); err != nil {
		t.Fatal(err)
	}
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	written, err := w.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range written.Files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

func TestReadText(t *testing.T) {
	path := writeFile(t, "a\r\n\nb\xff\n c \nlast")
	for _, batch := range []int{1, 100} {
		g := readAll(t, textSource{file.Input{Key: "path", Paths: []string{path}}}, column.Schema{{Name: "line", Type: column.StringType}}, batch)
		if want := []string{`"a"`, `""`, `" c "`, `"last"`}; !slices.Equal(g.rows, want) {
			t.Errorf("rows %q, want %q", g.rows, want)
		}
		if want := []string{path + ":1", path + ":2", path + ":4", path + ":5"}; !slices.Equal(g.at, want) {
			t.Errorf("places %q, want %q", g.at, want)
		}
		if want := []string{"3: b\xff: the line is not UTF-8 at its byte 2"}; !slices.Equal(g.bad, want) {
			t.Errorf("bad %q, want %q", g.bad, want)
		}
	}
	if g := readAll(t, textSource{file.Input{Key: "path", Paths: []string{path}}}, nil, 100); len(g.rows) != 4 {
		t.Errorf("%d rows without columns, want 4", len(g.rows))
	}
}

func TestWriteCSV(t *testing.T) {
	schema := column.Schema{{Name: "i", Type: column.IntType.OrNull()}, {Name: "f", Type: column.FloatType}, {Name: "b", Type: column.BoolType}, {Name: `s "x"`, Type: column.StringType.OrNull()},
		{Name: "t", Type: column.TimeType}, {Name: "l", Type: column.ListOf(column.IntType)}, {Name: "any", Type: column.AnyType}}
	s, err := bindCSVSink(map[string]any{"path": filepath.Join(t.TempDir(), "out.csv")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := &column.ListValue{Elems: []column.Value{int64(1), int64(2)}}
	got := writeAll(t, s, schema,
		vectorOf(t, schema[0].Type, int64(1), nil), vectorOf(t, schema[1].Type, 2.0, 1e20), vectorOf(t, schema[2].Type, true, false),
		vectorOf(t, schema[3].Type, "a \"b\",\n", nil), vectorOf(t, schema[4].Type, column.Instant(1500), column.Instant(-1)), vectorOf(t, schema[5].Type, list, list),
		vectorOf(t, schema[6].Type, "x", nil))
	want := "i,f,b,\"s \"\"x\"\"\",t,l,any\n" +
		"1,2.0,True,\"a \"\"b\"\",\n\",1970-01-01T00:00:01.500Z,\"[1,2]\",x\n" +
		",1e+20,False,,1969-12-31T23:59:59.999Z,\"[1,2]\",\n"
	if len(got) != 1 || got[0] != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestWriteCSVLoneNull keeps a record from being a blank line.
func TestWriteCSVLoneNull(t *testing.T) {
	s, err := bindCSVSink(map[string]any{"path": filepath.Join(t.TempDir(), "out.csv"), "delimiter": ";", "header": false}, nil)
	if err != nil {
		t.Fatal(err)
	}
	schema := column.Schema{{Name: "a", Type: column.StringType.OrNull()}}
	if got := writeAll(t, s, schema, vectorOf(t, schema[0].Type, nil, "a,b", "a;b", "", " ")); got[0] != "\"\"\na,b\n\"a;b\"\n\"\"\n\" \"\n" {
		t.Errorf("got %q", got)
	}
}

func TestTFRecord(t *testing.T) {
	dir := t.TempDir()
	s, err := bindTFSink(map[string]any{"file_path_prefix": filepath.Join(dir, "out"), "file_name_suffix": ".tfrecord"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	schema := column.Schema{{Name: "r", Type: column.BytesType}}
	long := strings.Repeat("x", 300<<10)
	text := writeAll(t, s, schema, vectorOf(t, column.BytesType, []byte("ada"), []byte(""), []byte(long), []byte("z")))[0]
	// A record as other implementations write it (Beam's test of its TFRecord files).
	if got := base64.StdEncoding.EncodeToString(appendTFRecord(nil, []byte("foo"))); got != "AwAAAAAAAACwmUkOZm9vYYq+/g==" {
		t.Errorf("the record foo is %s", got)
	}
	read := func(text string) *gathered {
		path := writeFile(t, text)
		return readAll(t, &tfSource{paths: []string{path}}, schema, 2)
	}
	if g := read(text); !slices.Equal(g.rows, []string{`b"ada"`, `b""`, shown([]byte(long)), `b"z"`}) || len(g.bad) > 0 {
		t.Errorf("%d rows, bad %q", len(g.rows), g.bad)
	}
	broken := []byte(text)
	broken[tfHeaderBytes] ^= 1
	if g := read(string(broken)); len(g.rows) != 3 || len(g.bad) != 1 || !strings.Contains(g.bad[0], "the record at byte 0 does not have its checksum") {
		t.Errorf("a broken record: %d rows, bad %q", len(g.rows), g.bad)
	}
	for name, c := range map[string]struct{ text, want string }{
		"cut in a record": {text[:len(text)-1], "byte 307251: the file ends within a record"},
		"cut in a header": {text[:5], "byte 0: the file ends within a record"},
		"no TFRecord":     {"hello world, this is text\n", "byte 0: the length of a record does not have its checksum"},
	} {
		if g := read(c.text); len(g.bad) != 1 || !strings.Contains(g.bad[0], c.want) {
			t.Errorf("%s: bad %q, want %q", name, g.bad, c.want)
		}
	}
}

func FuzzReadTFRecord(f *testing.F) {
	f.Add(appendTFRecord(appendTFRecord(nil, []byte("ada")), nil))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	schema := column.Schema{{Name: "r", Type: column.BytesType}}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		readAll(t, &tfSource{paths: []string{path}}, schema, 3)
		d := &tfDecoder{record: column.Vector{Type: column.BytesType}}
		_ = d.Decode(context.Background(), &catalog.Morsel{Data: bytes.Clone(data)}, &gathered{batch: 2})
	})
}
