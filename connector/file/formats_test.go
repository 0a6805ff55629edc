package file_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	_ "github.com/leat-project/leat/connector"
	_ "github.com/leat-project/leat/connector/avro"
	_ "github.com/leat-project/leat/connector/parquet"
)

// format is a pair of connectors whose files roll in a stream.
type format struct {
	name, ext string
	write     map[string]any
	keys      [2]string // of the paths: written, read
	bytes     bool      // rows are one field of bytes
	closes    bool      // its files are complete at each checkpoint
}

var formats = []format{
	{name: "Json", ext: ".json.gz", keys: [2]string{"path", "path"}},
	{name: "Csv", ext: ".csv", keys: [2]string{"path", "path"}},
	{name: "TFRecord", ext: ".tfrecord", keys: [2]string{"file_path_prefix", "file_pattern"}, bytes: true},
	{name: "TFRecord", ext: ".tfrecord.gz", keys: [2]string{"file_path_prefix", "file_pattern"}, bytes: true},
	{name: "Avro", ext: ".avro", write: map[string]any{"codec": "null"}, keys: [2]string{"path", "path"}},
	{name: "Avro", ext: ".avro", write: map[string]any{"codec": "zstandard"}, keys: [2]string{"path", "path"}},
	{name: "Parquet", ext: ".parquet", keys: [2]string{"path", "path"}, closes: true},
}

func (f format) schema() column.Schema {
	if f.bytes {
		return column.Schema{{Name: "record", Type: column.BytesType}}
	}
	return column.Schema{{Name: "n", Type: column.IntType}, {Name: "text", Type: column.StringType.OrNull()}, {Name: "ratio", Type: column.FloatType}}
}

// batch makes the rows from one number to another; those of even numbers are of the window of the epoch's beginning, the others of the next minute,
// unless there are no windows.
func (f format) batch(t testing.TB, from, to int, windows bool) *column.Batch {
	t.Helper()
	schema := f.schema()
	builders := make([]*column.Builder, len(schema))
	for i, field := range schema {
		builders[i] = column.NewBuilder(field.Type)
	}
	b := &column.Batch{N: to - from}
	for n := from; n < to; n++ {
		row := []column.Value{int64(n), fmt.Sprintf("text of %d", n), float64(n) / 8}
		if n%5 == 0 {
			row[1] = nil
		}
		if f.bytes {
			row = []column.Value{fmt.Appendf(nil, "record %d", n)}
		}
		for i, value := range row {
			if err := builders[i].Append(value); err != nil {
				t.Fatal(err)
			}
		}
		if windows {
			b.Starts = append(b.Starts, int64(n%2)*60_000)
		}
	}
	for _, builder := range builders {
		b.Cols = append(b.Cols, builder.Finish())
	}
	return b
}

// job drives a sink as the engine does, and remembers what the last durable checkpoint said.
type job struct {
	testing.TB
	format
	dir    string
	config map[string]any
	epoch  int64
	staged []byte
	schema column.Schema

	writer  catalog.Transactional
	encoder [2]catalog.Encoder
}

func newJob(t testing.TB, f format, config map[string]any) *job {
	t.Helper()
	j := &job{TB: t, format: f, dir: t.TempDir(), config: maps.Clone(f.write), schema: f.schema()}
	if j.config == nil {
		j.config = map[string]any{}
	}
	j.config[f.keys[0]] = filepath.Join(j.dir, "out"+f.ext)
	maps.Copy(j.config, config)
	j.restart()
	return j
}

// restart is what a new process does, the old one being gone.
func (j *job) restart() {
	j.Helper()
	ctx := context.Background()
	if j.writer != nil {
		if err := j.writer.Abort(); err != nil {
			j.Fatal(err)
		}
	}
	sink, err := catalog.LookUpConnector("WriteTo"+j.name).Sink(j.config, &catalog.SinkEnv{Stream: true, Job: "job", Dir: "somewhere"})
	if err != nil {
		j.Fatal(err)
	}
	if g := sink.(catalog.Guaranteed).Guarantee(); g != catalog.ExactlyOnce {
		j.Errorf("it promises %s", g)
	}
	w, err := sink.Open(ctx, j.schema)
	if err != nil {
		j.Fatal(err)
	}
	j.writer = w.(catalog.Transactional)
	if err := j.writer.Recover(ctx, j.epoch, j.staged); err != nil {
		j.Fatal(err)
	}
	j.encoder = [2]catalog.Encoder{w.NewEncoder(), w.NewEncoder()}
}

// put writes rows, half of them by another worker.
func (j *job) put(from, to int, windows bool) {
	j.Helper()
	for i, bounds := range [][2]int{{from, (from + to) / 2}, {(from + to) / 2, to}} {
		if err := j.encoder[i].Write(context.Background(), j.batch(j, bounds[0], bounds[1], windows)); err != nil {
			j.Fatal(err)
		}
	}
}

func (j *job) flush() {
	j.Helper()
	if err := errors.Join(j.encoder[0].Flush(context.Background()), j.encoder[1].Flush(context.Background())); err != nil {
		j.Fatal(err)
	}
}

// checkpoint makes an epoch up to the point where the process dies: "prepare", "decide", "commit"; "": it does not.
func (j *job) checkpoint(dies string) {
	j.Helper()
	ctx := context.Background()
	j.flush()
	staged, err := j.writer.Prepare(ctx, j.epoch+1)
	if err != nil {
		j.Fatal(err)
	}
	if dies == "prepare" {
		j.restart()
		return
	}
	j.epoch, j.staged = j.epoch+1, staged
	if dies != "decide" {
		if err := j.writer.CommitEpoch(ctx, j.epoch, staged); err != nil {
			j.Fatal(err)
		}
	}
	if dies != "" {
		j.restart()
	}
}

// end drains the stream.
func (j *job) end() {
	j.Helper()
	j.flush()
	if err := j.writer.(catalog.Verifier).Verify(context.Background()); err != nil {
		j.Fatal(err)
	}
	j.checkpoint("")
	if _, err := j.writer.Commit(context.Background()); err != nil {
		j.Fatal(err)
	}
}

// visible returns the names of the files that are committed, and how many others there are.
func (j *job) visible() (names []string, hidden int) {
	j.Helper()
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		j.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			hidden++
		} else {
			names = append(names, e.Name())
		}
	}
	return names, hidden
}

// rows reads files with our own reader, sorted.
func (f format) rows(t testing.TB, pattern string) []string {
	t.Helper()
	ctx := context.Background()
	config := map[string]any{f.keys[1]: pattern}
	schema := f.schema()
	if f.name == "Json" {
		config["schema"] = column.RowOf(schema)
	}
	s, err := catalog.LookUpConnector("ReadFrom" + f.name).Source(config)
	if err != nil {
		t.Fatal(err)
	}
	if f.name != "Json" {
		if schema, err = s.Schema(ctx); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Open(ctx, schema)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	g, d := &gathered{t: t}, r.NewDecoder()
	for {
		var m catalog.Morsel
		err := r.Next(ctx, &m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = d.Decode(ctx, &m, g)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(g.rows)
	return g.rows
}

// gathered keeps what a decoder gives, as text.
type gathered struct {
	t    testing.TB
	rows []string
}

func (g *gathered) BatchRows() int { return 1000 }

func (g *gathered) Batch(b *column.Batch) error {
	b.Each(func(i int) {
		var fields []string
		for _, v := range b.Cols {
			fields = append(fields, fmt.Sprint(v.Value(i)))
		}
		g.rows = append(g.rows, strings.Join(fields, "|"))
	})
	return nil
}

func (g *gathered) Bad(r catalog.BadRecord) error {
	g.t.Errorf("bad record: %s", r.Msg)
	return nil
}

// bounded returns the rows that a run of bounded input writes, as they are read back.
func (f format) bounded(t testing.TB, n int) []string {
	t.Helper()
	ctx := context.Background()
	config := maps.Clone(f.write)
	if config == nil {
		config = map[string]any{}
	}
	path := filepath.Join(t.TempDir(), "bounded"+f.ext)
	config[f.keys[0]] = path
	sink, err := catalog.LookUpConnector("WriteTo"+f.name).Sink(config, &catalog.SinkEnv{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := sink.Open(ctx, f.schema())
	if err != nil {
		t.Fatal(err)
	}
	e := w.NewEncoder()
	if err := errors.Join(e.Write(ctx, f.batch(t, 0, n, true)), e.Flush(ctx)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	return f.rows(t, path+"-*")
}

func (j *job) wantBounded(n int) {
	j.Helper()
	got, want := j.rows(j, filepath.Join(j.dir, "*")), j.bounded(j, n)
	if !slices.Equal(got, want) || len(want) != n {
		j.Errorf("%d rows %.2000q\nwanted %d, as of bounded input: %.2000q", len(got), got, len(want), want)
	}
}
