package connector

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/internal/number"
)

// WriteToJson writes rows as JSON objects, one a line.
var WriteToJson = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToJson",
	Summary: "Writes rows as JSON objects, one object a line.",
	Doc: `
Fields keep their order, nulls are written, nested rows and maps are objects. Text is UTF-8; only what JSON demands is escaped. Floats are
the shortest text that reads back as the same number (5.0 stays 5.0); NaN and infinities, which JSON lacks, are null. Timestamps are
RFC 3339 in UTC with milliseconds, durations seconds. Bytes are base64.

Files are called path-SSSSS-of-NNNNN, one unless num_shards says otherwise, and appear under that name only when the whole pipeline
has succeeded. The order of rows in them is not promised. A path that ends in .gz or .zst is compressed.
`,
	Source: "https://beam.apache.org/releases/yamldoc/current/#writetojson",
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "The files' name without the shard's number."},
		{Name: "num_shards", Type: catalog.Integer, Default: "1", Doc: "How many files."},
		{Name: "lines", Type: catalog.Boolean, Default: "true", Doc: "One object a line, as Beam's default; false is refused."},
		{Name: "orient", Type: catalog.Text, Default: "records", Enum: []string{"records"}, Doc: "The shape of the file, as in Beam."},
	},
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {device: a, temp: 21.5}
          - {device: b, temp: null}
    - type: WriteToJson
      config:
        path: "{{ tmp }}/in.json"
`,
	Open: func(config map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) { return newJSONSink(config) },
})

type jsonSink struct {
	path    string
	options file.ShardOptions
}

func newJSONSink(config map[string]any) (*jsonSink, error) {
	s := &jsonSink{}
	s.path, _ = config["path"].(string)
	n, _ := config["num_shards"].(int64)
	s.options.Num = int(n)
	return s, nil
}

// Open begins writing.
func (s *jsonSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	shards, err := file.Create(s.path, s.options)
	if err != nil {
		return nil, err
	}
	w := &jsonWriter{Shards: shards}
	for i, f := range schema {
		before := []byte{','}
		if i == 0 {
			before[0] = '{'
		}
		w.keys = append(w.keys, append(appendJSONString(before, []byte(f.Name)), ':'))
	}
	return w, nil
}

type jsonWriter struct {
	*file.Shards
	keys [][]byte // for each field what stands before its value: {"first": or ,"second":
}

var _ catalog.Writer = (*jsonWriter)(nil)

// NewEncoder returns an encoder for one worker.
func (w *jsonWriter) NewEncoder() catalog.Encoder { return &jsonEncoder{w: w} }

type jsonEncoder struct {
	w   *jsonWriter
	buf []byte
}

// Write appends the rows of b.
func (e *jsonEncoder) Write(ctx context.Context, b *column.Batch) error {
	n := b.Len()
	for k := range n {
		i := k
		if b.Sel != nil {
			i = int(b.Sel[k])
		}
		e.row(b, i)
		if len(e.buf) >= file.FlushBytes {
			if err := e.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *jsonEncoder) row(b *column.Batch, i int) {
	buf := e.buf
	if len(b.Cols) == 0 {
		buf = append(buf, '{')
	}
	for c, v := range b.Cols {
		buf = append(buf, e.w.keys[c]...)
		switch {
		case v.IsNull(i):
			buf = append(buf, "null"...)
		case v.Type.Kind == column.String:
			buf = appendJSONString(buf, v.Bin(i))
		case v.Type.Kind == column.Int:
			buf = strconv.AppendInt(buf, v.Ints[i], 10)
		case v.Type.Kind == column.Float:
			buf = appendJSONFloat(buf, v.Floats[i])
		default:
			buf = appendJSON(buf, v.Value(i))
		}
	}
	e.buf = append(buf, '}', '\n')
}

// Flush hands the records to the shards.
func (e *jsonEncoder) Flush(context.Context) error {
	err := e.w.Shards.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}

// appendJSON appends a value as JSON.
func appendJSON(dst []byte, v column.Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		return appendJSONFloat(dst, v)
	case string:
		return appendJSONString(dst, []byte(v))
	case []byte:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v)
		return append(dst, '"')
	case column.Instant:
		dst = append(dst, '"')
		dst = appendInstant(dst, v)
		return append(dst, '"')
	case column.Span:
		return appendJSONFloat(dst, float64(v)/1000)
	case *column.ListValue:
		dst = append(dst, '[')
		for i, e := range v.Elems {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case *column.MapValue:
		names := make([]string, len(v.Keys))
		for i, k := range v.Keys {
			names[i] = expr.Str(k)
		}
		return appendJSONObject(dst, names, v.Elems)
	case *column.RowValue:
		return appendJSONObject(dst, v.Names, v.Elems)
	}
	return appendJSONString(dst, []byte(expr.Str(v)))
}

func appendJSONObject(dst []byte, names []string, elems []column.Value) []byte {
	dst = append(dst, '{')
	for i, e := range elems {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, []byte(names[i]))
		dst = append(dst, ':')
		dst = appendJSON(dst, e)
	}
	return append(dst, '}')
}

func appendJSONFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return number.AppendFloat(dst, f)
}

// appendJSONString appends text in quotes, escaped where it has to be.
func appendJSONString(dst, text []byte) []byte {
	dst = append(dst, '"')
	i := 0
	for ; i+8 <= len(text); i += 8 {
		if special(binary.LittleEndian.Uint64(text[i:])) != 0 {
			break
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < 0x20 || c == '"' || c == '\\' {
			return appendEscaped(dst, text, i)
		}
	}
	dst = append(dst, text...)
	return append(dst, '"')
}

// appendEscaped appends text, in which byte first is the first that has to be escaped, and the closing quote.
func appendEscaped(dst, text []byte, first int) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, text[:first]...)
	for _, c := range text[first:] {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
