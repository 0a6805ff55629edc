package connector

import (
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
	"github.com/leat-project/leat/diag"
)

// readOn reads a source from a position on, and returns the rows and the position after each morsel.
func readOn(t *testing.T, s catalog.Source, fields column.Schema, position string) (rows [][]string, positions []string) {
	t.Helper()
	ctx := context.Background()
	r, err := s.Open(ctx, fields)
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
		rows, positions = append(rows, append(g.rows, g.at...)), append(positions, m.Position)
	}
}

// resumesAnywhere makes sure that reading that goes on after any morsel gives the rest, morsel for morsel.
func resumesAnywhere(t *testing.T, s catalog.Source, fields column.Schema, least int) {
	t.Helper()
	rows, positions := readOn(t, s, fields, "")
	if len(rows) < least {
		t.Fatalf("%d morsels, wanted some more", len(rows))
	}
	for i, p := range positions {
		rest, _ := readOn(t, s, fields, p)
		if !slices.EqualFunc(rest, rows[i+1:], slices.Equal) {
			t.Fatalf("after morsel %d, at %s, the rest is another", i, p)
		}
	}
}

func TestCSVResumes(t *testing.T) {
	dir := t.TempDir()
	for f := range 3 {
		var b strings.Builder
		b.WriteString("a comment\n\n")
		names := []string{"n,text", "text,n"}[f%2] // each file has its own order
		b.WriteString(names + "\n")
		for i := range 20_000 {
			if f%2 == 0 {
				fmt.Fprintf(&b, "%d,\"two\nlines %d\"\n", i, i)
			} else {
				fmt.Fprintf(&b, "text %d,%d\n", i, i)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(f)), []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s, err := openCSV(map[string]any{"path": filepath.Join(dir, "*"), "skiprows": int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.Schema(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	resumesAnywhere(t, s, schema, 6)
}

func TestJSONAndFilesResume(t *testing.T) {
	dir := t.TempDir()
	for f := range 80 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d", f)), []byte(strings.Repeat(fmt.Sprintf("{\"n\": %d}\n", f), 1+f/78*60_000)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	json, err := newJSONSource(map[string]any{"path": filepath.Join(dir, "7[5-9]")})
	if err != nil {
		t.Fatal(err)
	}
	resumesAnywhere(t, json, column.Schema{{Name: "n", Type: column.IntType.OrNull()}}, 6)
	files, err := catalog.LookUpConnector("ReadFromFiles").Source(map[string]any{"path": dir})
	if err != nil {
		t.Fatal(err)
	}
	schema, _ := files.Schema(context.Background())
	resumesAnywhere(t, files, schema[:1], 3)
	resumesAnywhere(t, files, schema[:2], 3)
}

func problemOf(err error) string {
	var p *catalog.Problem
	if !errors.As(err, &p) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%s %s", p.Code, p.Key)
}

func TestStreamSourcesOfFiles(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "*")
	schema := column.RowOf(column.Schema{{Name: "a", Type: column.IntType}})
	tests := []struct {
		connector string
		config    map[string]any
		open      string // the problem of Open, "" none
		schema    string // of Schema
		unbounded bool
		guarantee catalog.Guarantee
	}{
		{"ReadFromText", map[string]any{"path": "-"}, "", "", true, catalog.AtMostOnce},
		{"ReadFromText", map[string]any{"path": "-", "watch": "5s"}, string(diag.BadValue) + " watch", "", false, 0},
		{"ReadFromText", map[string]any{"path": empty}, string(diag.NoSuchFile) + " path", "", false, 0},
		{"ReadFromText", map[string]any{"path": empty, "watch": "5s"}, "", "", true, catalog.ExactlyOnce},
		{"ReadFromText", map[string]any{"path": empty, "watch": "0s"}, string(diag.BadDuration) + " watch", "", false, 0},
		{"ReadFromText", map[string]any{"path": empty, "watch": "soon"}, string(diag.BadDuration) + " watch", "", false, 0},
		{"ReadFromJson", map[string]any{"path": "-"}, "", string(diag.CannotInfer) + " path", true, catalog.AtMostOnce},
		{"ReadFromJson", map[string]any{"path": "-", "schema": schema}, "", "", true, catalog.AtMostOnce},
		{"ReadFromJson", map[string]any{"path": "-", "schema": schema, "compression": "gzip"}, string(diag.Unsupported) + " compression", "", false, 0},
		{"ReadFromJson", map[string]any{"path": empty, "watch": int64(1)}, "", string(diag.CannotInfer) + " path", true, catalog.ExactlyOnce},
		{"ReadFromJson", map[string]any{"path": empty, "watch": int64(1), "schema": schema}, "", "", true, catalog.ExactlyOnce},
		{"ReadFromCsv", map[string]any{"path": "-"}, "", string(diag.CannotInfer) + " path", true, catalog.AtMostOnce},
		{"ReadFromCsv", map[string]any{"path": "-", "schema": schema}, "", "", true, catalog.AtMostOnce},
		{"ReadFromCsv", map[string]any{"path": empty, "watch": "1m", "schema": schema}, "", "", true, catalog.ExactlyOnce},
		{"ReadFromFiles", map[string]any{"path": filepath.Dir(empty), "watch": "1m"}, "", "", true, catalog.ExactlyOnce},
		{"ReadFromFiles", map[string]any{"path": "-"}, string(diag.NoSuchFile) + " path", "", false, 0},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.connector, test.config), func(t *testing.T) {
			s, err := catalog.LookUpConnector(test.connector).Source(test.config)
			if test.open != "" || err != nil {
				if problemOf(err) != test.open {
					t.Fatalf("got %v, wanted %s", err, test.open)
				}
				return
			}
			if s.(catalog.Endless).Unbounded() != test.unbounded || s.(catalog.Guaranteed).Guarantee() != test.guarantee {
				t.Errorf("unbounded %t, %s", s.(catalog.Endless).Unbounded(), s.(catalog.Guaranteed).Guarantee())
			}
			_, err = s.Schema(context.Background())
			if (test.schema != "" || err != nil) && problemOf(err) != test.schema {
				t.Fatalf("got %v, wanted %s", err, test.schema)
			}
			if err != nil {
				return
			}
			r, err := s.Open(context.Background(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := r.(catalog.Resumable); ok == (test.guarantee == catalog.AtMostOnce) {
				t.Errorf("resumable: %t", ok)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStreamSinksOfFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.x")
	stream := &catalog.SinkEnv{Stream: true, Dir: "somewhere"}
	tests := []struct {
		connector string
		config    map[string]any
		env       *catalog.SinkEnv
		open      string
	}{
		{"WriteToText", map[string]any{"path": path}, stream, ""},
		{"WriteToCsv", map[string]any{"path": path, "roll_bytes": int64(0)}, stream, string(diag.BadValue) + " roll_bytes"},
		{"WriteToJson", map[string]any{"path": path, "roll_every": "never"}, stream, string(diag.BadDuration) + " roll_every"},
		{"WriteToJson", map[string]any{"path": path, "roll_every": "0s"}, stream, string(diag.BadDuration) + " roll_every"},
		{"WriteToJson", map[string]any{"path": path, "num_shards": int64(2)}, stream, string(diag.BadValue) + " num_shards"},
		{"WriteToJson", map[string]any{"path": "-", "num_shards": int64(2)}, &catalog.SinkEnv{}, string(diag.BadValue) + " num_shards"},
		{"WriteToTFRecord", map[string]any{"file_path_prefix": path, "shard_name_template": "-SSSSS-of-NNNNN"}, stream, ""},
		{"WriteToTFRecord", map[string]any{"file_path_prefix": path, "shard_name_template": "-SS"}, stream, string(diag.Unsupported) + " shard_name_template"},
		{"WriteToTFRecord", map[string]any{"file_path_prefix": path, "num_shards": int64(2)}, stream, string(diag.BadValue) + " num_shards"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.connector, test.config), func(t *testing.T) {
			_, err := catalog.LookUpConnector(test.connector).Sink(test.config, test.env)
			if (test.open != "" || err != nil) && problemOf(err) != test.open {
				t.Fatalf("got %v, wanted %s", err, test.open)
			}
		})
	}
}

// TestSinkInAStream takes rows of windows through an encoder.
func TestSinkInAStream(t *testing.T) {
	dir := t.TempDir()
	sink, err := bindCSVSink(map[string]any{"path": filepath.Join(dir, "out.csv")}, &catalog.SinkEnv{Stream: true, Dir: "somewhere"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	w, err := sink.Open(ctx, column.Schema{{Name: "n", Type: column.IntType}})
	if err != nil {
		t.Fatal(err)
	}
	tx := w.(catalog.Transactional)
	if err := tx.Recover(ctx, 0, nil); err != nil {
		t.Fatal(err)
	}
	e := w.NewEncoder()
	b := &column.Batch{N: 4, Cols: []*column.Vector{vectorOf(t, column.IntType, int64(1), int64(2), int64(3), int64(4))}, Starts: []int64{0, 60_000, 0, 60_000}}
	if err := errors.Join(e.Write(ctx, b), e.Flush(ctx), w.(catalog.Verifier).Verify(ctx)); err != nil {
		t.Fatal(err)
	}
	staged, err := tx.Prepare(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.CommitEpoch(ctx, 1, staged); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"out-1970-01-01T00-00-00Z-00000.csv": "n\n1\n3\n", "out-1970-01-01T00-01-00Z-00001.csv": "n\n2\n4\n"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	written, err := w.Commit(ctx)
	if err != nil || len(written.Files) != 2 {
		t.Errorf("written %v, %v", written, err)
	}
}
