package avro

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

// WriteToAvro writes Avro object container files.
var WriteToAvro = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToAvro",
	Summary: "Writes rows to Avro files.",
	Doc: `The schema follows from the fields: int is long, float is double, timestamps are timestamp-millis, durations long (milliseconds), rows are records. What may be null
is a union with null. Field names must be such as Avro takes, and every field must be of a known type: give expressions an output_type where it is not.

**Files**: PATH-SSSSS-of-NNNNN, under that name only when complete. The order of rows is not promised.

**Cost**: one pass; workers encode and compress blocks of 64 KiB in parallel.`,
	Source: beamIO + "#writetoavro",
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "The beginning of the files' names."},
		{Name: "codec", Type: catalog.Text, Default: "deflate", Enum: []string{"null", "deflate", "snappy", "zstandard"}, Doc: "How blocks are compressed."},
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
    - type: WriteToAvro
      config:
        path: readings.avro
`,
	Open: func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
		if err := file.RefuseStream(env, "Avro"); err != nil {
			return nil, err
		}
		return bind(config)
	},
	Check: func(_ map[string]any, schema column.Schema) error {
		if err := checkSchema("", schema); err != nil {
			return &catalog.Problem{Code: diag.TypeMismatch, Text: err.Error()}
		}
		return nil
	},
})

// sink is WriteToAvro with its configuration understood.
type sink struct {
	path    string
	codec   string
	options file.ShardOptions
}

func bind(config map[string]any) (*sink, error) {
	s := &sink{codec: "deflate", options: file.ShardOptions{Compression: file.None}}
	s.path, _ = config["path"].(string)
	if codec, ok := config["codec"].(string); ok {
		s.codec = codec
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
	text := appendSchema(nil, column.RowOf(schema), new(int))
	w := &writer{schema: schema, codec: s.codec, sync: md5.Sum(text)} // the same input gives the same bytes
	options := s.options
	options.Header = appendHeader(nil, text, s.codec, w.sync)
	var err error
	w.Shards, err = file.Create(s.path, options)
	if err != nil {
		return nil, err
	}
	return w, nil
}

type writer struct {
	*file.Shards
	schema column.Schema
	codec  string
	sync   [syncBytes]byte
}

// NewEncoder returns an encoder for one worker.
func (w *writer) NewEncoder() catalog.Encoder { return &encoder{w: w} }

// encoder gathers a block.
type encoder struct {
	w       *writer
	records int64
	buf     []byte
	flate   *flate.Writer
	zstd    *zstd.Encoder
	packed  bytes.Buffer
	out     []byte
}

// blockBytes is how large a block grows before it is compressed.
const blockBytes = 64 << 10

// Write appends the rows of b.
func (e *encoder) Write(ctx context.Context, b *column.Batch) error {
	var err error
	b.Each(func(i int) {
		if err != nil {
			return
		}
		for c, v := range b.Cols {
			if e.buf, err = appendValue(e.buf, e.w.schema[c].Type, v, i); err != nil {
				return
			}
		}
		e.records++
		if len(e.buf) >= blockBytes {
			err = e.Flush(ctx)
		}
	})
	return err
}

// Flush hands the block to the shards.
func (e *encoder) Flush(context.Context) error {
	if e.records == 0 {
		return nil
	}
	packed, err := e.compress()
	if err != nil {
		return err
	}
	e.out = appendLong(e.out[:0], e.records)
	e.out = appendText(e.out, packed)
	e.out = append(e.out, e.w.sync[:]...)
	e.records, e.buf = 0, e.buf[:0]
	return e.w.Shards.Write(e.out)
}

func (e *encoder) compress() ([]byte, error) {
	e.packed.Reset()
	switch e.w.codec {
	case "deflate":
		if e.flate == nil {
			e.flate, _ = flate.NewWriter(&e.packed, flate.DefaultCompression) // fails for an unknown level alone
		} else {
			e.flate.Reset(&e.packed)
		}
		if _, err := e.flate.Write(e.buf); err != nil {
			return nil, err
		}
		err := e.flate.Close()
		return e.packed.Bytes(), err
	case "snappy":
		packed := snappy.Encode(nil, e.buf)
		return binary.BigEndian.AppendUint32(packed, crc32.ChecksumIEEE(e.buf)), nil
	case "zstandard":
		if e.zstd == nil {
			z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			e.zstd = z
		}
		return e.zstd.EncodeAll(e.buf, nil), nil
	}
	return e.buf, nil
}

// appendValue appends row i of v as the schema of t has it (see appendSchema). v may be of a type that t holds.
func appendValue(dst []byte, t column.Type, v *column.Vector, i int) ([]byte, error) {
	if t.Kind == column.Null {
		return dst, nil
	}
	if null := v.IsNull(i); t.Nullable {
		if null {
			return appendLong(dst, 0), nil
		}
		dst = appendLong(dst, 1)
	} else if null {
		return dst, fmt.Errorf("a null in a field of type %s", t)
	}
	switch t.Kind {
	case column.Bool:
		if v.Bools[i] {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case column.Int, column.Time, column.Duration:
		return appendLong(dst, v.Ints[i]), nil
	case column.Float:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Floats[i])), nil
	case column.String, column.Bytes:
		return appendText(dst, v.Bin(i)), nil
	case column.Row:
		var err error
		for c, f := range t.Fields {
			if dst, err = appendValue(dst, f.Type, v.Children[c], i); err != nil {
				return dst, err
			}
		}
		return dst, nil
	case column.List, column.Map:
		return appendItems(dst, t, v, int(v.Offsets[i]), int(v.Offsets[i+1]))
	}
	return dst, fmt.Errorf("a value of type %s cannot be written to Avro", t)
}

// appendItems appends an array, or a map, whose keys come before its values.
func appendItems(dst []byte, t column.Type, v *column.Vector, from, to int) ([]byte, error) {
	if to > from {
		dst = appendLong(dst, int64(to-from))
	}
	var err error
	for k := from; k < to; k++ {
		if t.Kind == column.Map {
			dst = appendText(dst, v.Children[0].Bin(k))
		}
		if dst, err = appendValue(dst, *t.Elem, v.Children[len(v.Children)-1], k); err != nil {
			return dst, err
		}
	}
	return appendLong(dst, 0), nil
}
