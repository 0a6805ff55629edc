package parquet

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

// WriteToParquet writes Parquet files.
var WriteToParquet = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToParquet",
	Summary: "Writes rows to Parquet files.",
	Doc: `The schema follows from the fields: int is INT64, float DOUBLE, timestamps are TIMESTAMP in milliseconds and UTC, durations INT64
(milliseconds), lists and maps are LIST and MAP, rows are groups. What may be null is optional. Every field must be of a known type: give
expressions an output_type where it is not.

**Files**: PATH-SSSSS-of-NNNNN, under that name only when complete. The order of rows is not promised.

**In a stream** rows go to hidden files, which are complete, and get their names, at each checkpoint: what of a Parquet file lies on the disk before its end is written cannot be
gone on with after a crash. A longer checkpoint_interval (see the options) so gives larger files, and results that are seen later; one that has roll_bytes before is complete then. The name is PATH
with file_name_suffix, without the extension, the start of the window (2026-01-31T12-00-00Z; left out without windows), a number that rises, and the extension. Each row is in them once, whatever happens.

**Cost**: each worker gathers row groups of up to 131072 rows or 64 MiB, and compresses them on its own.`,
	Source: beamIO + "#writetoparquet",
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "The beginning of the files' names."},
		{Name: "codec", Type: catalog.Text, Default: "zstd", Enum: []string{"none", "snappy", "gzip", "zstd"}, Doc: "How pages are compressed."},
		{Name: "file_name_suffix", Type: catalog.Text, Default: `""`, Doc: "The end of the files' names."},
		{Name: "num_shards", Type: catalog.Integer, Default: "1", Doc: "How many files to write."},
		file.RollBytesField(),
	},
	Example: `pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {device: pump-1, celsius: 61.5, tags: [a, b]}
          - {device: pump-2, tags: []}
    - type: WriteToParquet
      config:
        path: readings.parquet
`,
	Open: func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
		return bind(config, env)
	},
	Check: func(_ map[string]any, schema column.Schema) error { return check("", schema) },
})

// check refuses fields that Parquet has no type for.
func check(path string, schema column.Schema) error {
	if len(schema) == 0 {
		return &catalog.Problem{Code: diag.TypeMismatch, Text: "wanted rows with fields, found none" + within(path), Hint: "Parquet has no rows without columns."}
	}
	for _, f := range schema {
		if err := checkType(path+f.Name, f.Type); err != nil {
			return err
		}
	}
	return nil
}

func within(path string) string {
	if path == "" {
		return ""
	}
	return fmt.Sprintf(" in %q", path)
}

func checkType(path string, t column.Type) error {
	switch t.Kind {
	case column.Any:
		return &catalog.Problem{Code: diag.TypeMismatch, Text: fmt.Sprintf("field %q is of no known type, and Parquet wants one", path),
			Hint: "Give the expression that makes it an \"output_type\"."}
	case column.List, column.Map:
		return checkType(path, *t.Elem)
	case column.Row:
		return check(path+".", t.Fields)
	}
	return nil
}

// sink is WriteToParquet with its configuration understood.
type sink struct {
	file.Target
	codec compress.Codec
}

func bind(config map[string]any, env *catalog.SinkEnv) (*sink, error) {
	s := &sink{codec: &parquet.Zstd}
	switch config["codec"] {
	case "none":
		s.codec = &parquet.Uncompressed
	case "snappy":
		s.codec = &parquet.Snappy
	case "gzip":
		s.codec = &parquet.Gzip
	}
	path, _ := config["path"].(string)
	o := file.ShardOptions{Compression: file.None}
	o.Suffix, _ = config["file_name_suffix"].(string)
	var err error
	s.Target, err = file.BindFiles(path, o, config, env)
	return s, err
}

// Open begins writing.
func (s *sink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	if err := check("", schema); err != nil {
		return nil, err
	}
	root := parquet.NewSchema("row", groupOf(schema))
	begin := func(to io.Writer, buffer int) *parquetFile {
		return parquet.NewGenericWriter[any](to, root, parquet.Compression(s.codec), parquet.CreatedBy("leat", "", ""), parquet.WriteBufferSize(buffer))
	}
	whole := func(to io.Writer) io.Closer { return begin(to, 0) } // to memory
	if w := s.CreateWhole(whole, func(r *file.Roll) catalog.Encoder { return newEncoder(schema, rolling{r}) }); w != nil {
		return w, nil
	}
	shards, err := file.Create(s.Path, s.Shards)
	if err != nil {
		return nil, err
	}
	w := &writer{Shards: shards, schema: schema}
	for i := range shards.Len() {
		out, lock := shards.Container(i)
		w.files = append(w.files, &shardFile{lock: lock, w: begin(out, parquet.DefaultWriteBufferSize)})
	}
	return w, nil
}

// parquetFile writes one file.
type parquetFile = parquet.GenericWriter[any]

// writer writes each shard as a Parquet file of its own.
type writer struct {
	*file.Shards
	schema column.Schema
	files  []*shardFile

	mu     sync.Mutex
	turn   int
	closed bool
}

type shardFile struct {
	lock sync.Locker
	w    *parquetFile
}

// NewEncoder returns an encoder for one worker.
func (w *writer) NewEncoder() catalog.Encoder { return newEncoder(w.schema, w) }

// windowed is false: shards take rows of any window.
func (w *writer) windowed() bool { return false }

// begin begins a row group of the next shard.
func (w *writer) begin(int64) (*rowGroup, error) {
	f := w.nextFile()
	f.lock.Lock()
	defer f.lock.Unlock()
	return newRowGroup(f.w, func(add func() error) error {
		f.lock.Lock()
		defer f.lock.Unlock()
		return add()
	}), nil
}

// nextFile returns the shard for the next row group.
func (w *writer) nextFile() *shardFile {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.files[w.turn%len(w.files)]
	w.turn++
	return f
}

// Verify writes the footers and completes the files.
func (w *writer) Verify(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		for _, f := range w.files {
			if err := f.w.Close(); err != nil {
				return fmt.Errorf("could not write the footer of a Parquet file: %w", err)
			}
		}
		w.closed = true
	}
	return w.Shards.Verify(ctx)
}

// Commit makes the files final.
func (w *writer) Commit(ctx context.Context) (catalog.Written, error) {
	if err := w.Verify(ctx); err != nil {
		return catalog.Written{}, err
	}
	return w.Shards.Commit(ctx)
}

// rolling are the files of a stream.
type rolling struct{ roll *file.Roll }

// windowed is true: each window has files of its own.
func (r rolling) windowed() bool { return true }

// begin begins a row group in the file of a window.
func (r rolling) begin(window int64) (g *rowGroup, err error) {
	piece, err := r.roll.Begin(window, func(whole io.Closer) { g = newRowGroup(whole.(*parquetFile), nil) })
	if err != nil {
		return nil, err
	}
	g.end = piece.End
	return g, nil
}

// orderedGroup is a group whose fields keep their order; the library's own sorts them by name.
type orderedGroup struct {
	parquet.Group
	names []string
}

// Fields returns the fields in order.
func (g *orderedGroup) Fields() []parquet.Field {
	byName := map[string]parquet.Field{}
	for _, f := range g.Group.Fields() {
		byName[f.Name()] = f
	}
	fields := make([]parquet.Field, len(g.names))
	for i, name := range g.names {
		fields[i] = byName[name]
	}
	return fields
}

func groupOf(schema column.Schema) parquet.Node {
	g := &orderedGroup{Group: parquet.Group{}, names: schema.Names()}
	for _, f := range schema {
		g.Group[f.Name] = nodeOf(f.Type)
	}
	return g
}

// nodeOf returns the schema of a column of type t.
func nodeOf(t column.Type) parquet.Node {
	n := requiredOf(t)
	if t.Nullable || t.Kind == column.Null {
		return parquet.Optional(n)
	}
	return parquet.Required(n)
}

func requiredOf(t column.Type) parquet.Node {
	switch t.Kind {
	case column.Bool:
		return parquet.Leaf(parquet.BooleanType)
	case column.Float:
		return parquet.Leaf(parquet.DoubleType)
	case column.String:
		return parquet.String()
	case column.Bytes:
		return parquet.Leaf(parquet.ByteArrayType)
	case column.Time:
		return parquet.Timestamp(parquet.Millisecond)
	case column.List:
		return parquet.List(nodeOf(*t.Elem))
	case column.Map:
		return parquet.Map(parquet.String(), nodeOf(*t.Elem))
	case column.Row:
		return groupOf(t.Fields)
	}
	return parquet.Leaf(parquet.Int64Type)
}
