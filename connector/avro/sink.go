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

` + file.RollDoc + ` PATH has file_name_suffix at its end.

**Cost**: one pass; workers encode and compress blocks of 64 KiB in parallel.`,
	Source: beamIO + "#writetoavro",
	Fields: append([]catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "The beginning of the files' names."},
		{Name: "codec", Type: catalog.Text, Default: "deflate", Enum: []string{"null", "deflate", "snappy", "zstandard"}, Doc: "How blocks are compressed."},
		{Name: "file_name_suffix", Type: catalog.Text, Default: `""`, Doc: "The end of the files' names."},
		{Name: "num_shards", Type: catalog.Integer, Default: "1", Doc: "How many files to write."},
	}, file.RollFields()...),
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
		return bind(config, env)
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
	file.Target
	codec string
}

func bind(config map[string]any, env *catalog.SinkEnv) (*sink, error) {
	s := &sink{codec: "deflate"}
	if codec, ok := config["codec"].(string); ok {
		s.codec = codec
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
	text := appendSchema(nil, column.RowOf(schema), new(int))
	sync := md5.Sum(text) // the same input gives the same bytes
	return s.Create(appendHeader(nil, text, s.codec, sync), func(out file.Output) catalog.Encoder {
		e := &encoder{schema: schema, codec: s.codec, sync: sync}
		e.rows = file.NewBlocks(out, blockBytes, e.block)
		return e
	})
}

// encoder makes blocks. A file is a header and blocks: it is whole after each of them.
type encoder struct {
	schema column.Schema
	codec  string
	sync   [syncBytes]byte
	rows   *file.Gather
	flate  *flate.Writer
	zstd   *zstd.Encoder
	packed bytes.Buffer
}

// blockBytes is how large a block grows before it is compressed.
const blockBytes = 64 << 10

// Write appends the rows of b.
func (e *encoder) Write(_ context.Context, b *column.Batch) error {
	var err error
	b.Each(func(i int) {
		if err != nil {
			return
		}
		buf := e.rows.Begin(b, i)
		for c, v := range b.Cols {
			if buf, err = appendValue(buf, e.schema[c].Type, v, i); err != nil {
				return
			}
		}
		err = e.rows.End(buf)
	})
	return err
}

// Flush hands all blocks on.
func (e *encoder) Flush(context.Context) error { return e.rows.Flush() }

// block appends a block of n records.
func (e *encoder) block(dst, records []byte, n int64) ([]byte, error) {
	packed, err := e.compress(records)
	if err != nil {
		return dst, err
	}
	dst = appendText(appendLong(dst, n), packed)
	return append(dst, e.sync[:]...), nil
}

func (e *encoder) compress(records []byte) ([]byte, error) {
	e.packed.Reset()
	switch e.codec {
	case "deflate":
		if e.flate == nil {
			e.flate, _ = flate.NewWriter(&e.packed, flate.DefaultCompression) // fails for an unknown level alone
		} else {
			e.flate.Reset(&e.packed)
		}
		if _, err := e.flate.Write(records); err != nil {
			return nil, err
		}
		err := e.flate.Close()
		return e.packed.Bytes(), err
	case "snappy":
		packed := snappy.Encode(nil, records)
		return binary.BigEndian.AppendUint32(packed, crc32.ChecksumIEEE(records)), nil
	case "zstandard":
		if e.zstd == nil {
			z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			e.zstd = z
		}
		return e.zstd.EncodeAll(records, nil), nil
	}
	return records, nil
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
