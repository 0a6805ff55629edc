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

**Cost**: each worker gathers row groups of up to 131072 rows or 64 MiB, and compresses them on its own.`,
	Source: beamIO + "#writetoparquet",
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "The beginning of the files' names."},
		{Name: "codec", Type: catalog.Text, Default: "zstd", Enum: []string{"none", "snappy", "gzip", "zstd"}, Doc: "How pages are compressed."},
		{Name: "file_name_suffix", Type: catalog.Text, Default: `""`, Doc: "The end of the files' names."},
		{Name: "num_shards", Type: catalog.Integer, Default: "1", Doc: "How many files to write."},
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
		if err := file.RefuseStream(env, "Parquet"); err != nil {
			return nil, err
		}
		return bind(config)
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
	path    string
	codec   compress.Codec
	options file.ShardOptions
}

func bind(config map[string]any) (*sink, error) {
	s := &sink{codec: &parquet.Zstd, options: file.ShardOptions{Compression: file.None}}
	s.path, _ = config["path"].(string)
	switch config["codec"] {
	case "none":
		s.codec = &parquet.Uncompressed
	case "snappy":
		s.codec = &parquet.Snappy
	case "gzip":
		s.codec = &parquet.Gzip
	}
	s.options.Suffix, _ = config["file_name_suffix"].(string)
	var err error
	if s.options.Num, err = file.NumShards(config); err != nil {
		return nil, err
	}
	return s, s.options.Check(s.path)
}

// Targets returns the names of the files.
func (s *sink) Targets() []string { return s.options.Targets(s.path) }

// Open makes the shards.
func (s *sink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	if err := check("", schema); err != nil {
		return nil, err
	}
	shards, err := file.Create(s.path, s.options)
	if err != nil {
		return nil, err
	}
	w := &writer{Shards: shards, schema: schema}
	root := parquet.NewSchema("row", groupOf(schema))
	for i := range shards.Len() {
		out, lock := shards.Container(i)
		w.files = append(w.files, &shardFile{lock: lock, w: parquet.NewGenericWriter[any](out, root, parquet.Compression(s.codec), parquet.CreatedBy("leat", "", "")), out: out})
	}
	return w, nil
}

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
	w    *parquet.GenericWriter[any]
	out  io.Writer
}

// NewEncoder returns an encoder for one worker.
func (w *writer) NewEncoder() catalog.Encoder { return &encoder{w: w} }

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

// Limits of a row group.
const (
	groupRows  = 128 << 10
	groupBytes = 64 << 20
)

// encoder gathers a row group of one shard.
type encoder struct {
	w      *writer
	file   *shardFile
	group  *parquet.ConcurrentRowGroupWriter
	leaves [][]parquet.Value
	rows   int
	bytes  int
}

// Write appends the rows of b.
func (e *encoder) Write(ctx context.Context, b *column.Batch) error {
	if e.group == nil {
		e.file = e.w.nextFile()
		e.file.lock.Lock()
		e.group = e.file.w.BeginRowGroup()
		e.file.lock.Unlock()
		e.leaves = make([][]parquet.Value, len(e.group.ColumnWriters()))
	}
	leaf := 0
	for c, f := range e.w.schema {
		var err error
		b.Each(func(i int) {
			if err == nil {
				err = e.shred(f.Type, b.Cols[c], i, leaf, 0, 0, 0)
			}
		})
		if err != nil {
			return fmt.Errorf("field %q: %w", f.Name, err)
		}
		leaf += leavesOf(f.Type)
	}
	for i, w := range e.group.ColumnWriters() {
		if _, err := w.WriteRowValues(e.leaves[i]); err != nil {
			return err
		}
		e.bytes += 8 * len(e.leaves[i])
		e.leaves[i] = e.leaves[i][:0]
	}
	e.rows += b.Len()
	if e.rows >= groupRows || e.bytes >= groupBytes {
		return e.Flush(ctx)
	}
	return nil
}

// Flush writes the row group to its shard.
func (e *encoder) Flush(context.Context) error {
	if e.rows == 0 {
		return nil
	}
	if err := e.group.Flush(); err != nil {
		return err
	}
	e.file.lock.Lock()
	defer e.file.lock.Unlock()
	_, err := e.group.Commit()
	e.group, e.rows, e.bytes = nil, 0, 0
	return err
}

// shred appends row i of v, a column of type t, to the leaves from leaf on. rep is the repetition of the first value, depth how many lists
// are around, def the definition of what is around.
func (e *encoder) shred(t column.Type, v *column.Vector, i, leaf, rep, depth, def int) error {
	if t.Nullable || t.Kind == column.Null {
		if v.IsNull(i) {
			e.absent(t, leaf, rep, def)
			return nil
		}
		def++
	} else if v.IsNull(i) {
		return fmt.Errorf("a null in a field of type %s", t)
	}
	switch t.Kind {
	case column.Row:
		for c, f := range t.Fields {
			if err := e.shred(f.Type, v.Children[c], i, leaf, rep, depth, def); err != nil {
				return err
			}
			leaf += leavesOf(f.Type)
		}
		return nil
	case column.List, column.Map:
		from, to := int(v.Offsets[i]), int(v.Offsets[i+1])
		if from == to {
			e.absent(t, leaf, rep, def)
		}
		for k := from; k < to; k++ {
			value := leaf
			if t.Kind == column.Map {
				if err := e.shred(column.StringType, v.Children[0], k, leaf, rep, depth+1, def+1); err != nil {
					return err
				}
				value++
			}
			if err := e.shred(*t.Elem, v.Children[len(v.Children)-1], k, value, rep, depth+1, def+1); err != nil {
				return err
			}
			rep = depth + 1
		}
		return nil
	}
	if t.Kind == column.String || t.Kind == column.Bytes {
		e.bytes += len(v.Bin(i))
	}
	e.put(leaf, scalarValue(v, i), rep, def)
	return nil
}

// absent appends to all leaves of a type that there is nothing.
func (e *encoder) absent(t column.Type, leaf, rep, def int) {
	for k := range leavesOf(t) {
		e.put(leaf+k, parquet.NullValue(), rep, def)
	}
}

func (e *encoder) put(leaf int, v parquet.Value, rep, def int) {
	e.leaves[leaf] = append(e.leaves[leaf], v.Level(rep, def, leaf))
}

// scalarValue returns row i of a column that is a leaf. Bytes are not copied: the writer does.
func scalarValue(v *column.Vector, i int) parquet.Value {
	switch v.Type.Kind {
	case column.Bool:
		return parquet.BooleanValue(v.Bools[i])
	case column.Float:
		return parquet.DoubleValue(v.Floats[i])
	case column.String, column.Bytes:
		return parquet.ByteArrayValue(v.Bin(i))
	}
	return parquet.Int64Value(v.Ints[i])
}

// leavesOf returns how many leaves a column of type t has.
func leavesOf(t column.Type) int {
	switch t.Kind {
	case column.List:
		return leavesOf(*t.Elem)
	case column.Map:
		return 1 + leavesOf(*t.Elem)
	case column.Row:
		n := 0
		for _, f := range t.Fields {
			n += leavesOf(f.Type)
		}
		return n
	}
	return 1
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
