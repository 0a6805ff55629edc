package connector

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
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

` + file.RollDoc + `
`,
	Source: "https://beam.apache.org/releases/yamldoc/current/#writetojson",
	Fields: append([]catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "The files' name without the shard's number; \"-\" is standard output."},
		{Name: "num_shards", Type: catalog.Integer, Default: "1", Doc: "How many files."},
		{Name: "lines", Type: catalog.Boolean, Default: "true", Doc: "One object a line, as Beam's default; false is refused."},
		{Name: "orient", Type: catalog.Text, Default: "records", Enum: []string{"records"}, Doc: "The shape of the file, as in Beam."},
	}, file.RollFields()...),
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
	Open: func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
		return newJSONSink(config, env)
	},
})

type jsonSink struct{ file.Target }

func newJSONSink(config map[string]any, env *catalog.SinkEnv) (*jsonSink, error) {
	if config["lines"] == false {
		return nil, &catalog.Problem{Key: "lines", Code: diag.Unsupported, Text: "a file that is one JSON document is not written", Hint: "Write one object a line."}
	}
	target, err := file.BindTarget(config, env)
	return &jsonSink{target}, err
}

// Open begins writing.
func (s *jsonSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	fields := newJSONFields(schema)
	return s.Create(nil, func(out file.Output) catalog.Encoder { return &jsonEncoder{fields: fields, rows: file.NewGather(out)} })
}

// jsonField is how a field is written: what stands before its value, {"first": or ,"second": and the fields of the row
// that is its value, or the value of its elements.
type jsonField struct {
	before []byte
	fields []jsonField
}

func newJSONFields(schema column.Schema) []jsonField {
	fields := make([]jsonField, len(schema))
	for i, f := range schema {
		before := []byte{','}
		if i == 0 {
			before[0] = '{'
		}
		fields[i] = jsonField{before: append(appendJSONString(before, []byte(f.Name)), ':'), fields: fieldsWithin(f.Type)}
	}
	return fields
}

// fieldsWithin are the fields of a row, or of the rows in a list or map.
func fieldsWithin(t column.Type) []jsonField {
	for t.Kind == column.List || t.Kind == column.Map {
		t = *t.Elem
	}
	if t.Kind != column.Row {
		return nil
	}
	return newJSONFields(t.Fields)
}

type jsonEncoder struct {
	fields []jsonField
	rows   *file.Gather
}

// Write appends the rows of b.
func (e *jsonEncoder) Write(_ context.Context, b *column.Batch) error {
	n := b.Len()
	for k := range n {
		i := k
		if b.Sel != nil {
			i = int(b.Sel[k])
		}
		if err := e.rows.End(append(appendJSONRow(e.rows.Begin(b, i), e.fields, b.Cols, i), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// appendJSONRow appends row i of the columns as an object.
func appendJSONRow(dst []byte, fields []jsonField, cols []*column.Vector, i int) []byte {
	if len(cols) == 0 {
		return append(dst, "{}"...)
	}
	for c, v := range cols {
		dst = append(dst, fields[c].before...)
		if v.Valid != nil && v.Valid[i>>3]&(1<<(i&7)) == 0 {
			dst = append(dst, "null"...)
			continue
		}
		switch v.Type.Kind {
		case column.String:
			dst = appendJSONString(dst, v.Bin(i))
		case column.Int:
			dst = number.AppendInt(dst, v.Ints[i])
		case column.Float:
			dst = appendJSONFloat(dst, v.Floats[i])
		default:
			dst = appendJSONCell(dst, fields[c].fields, v, i)
		}
	}
	return append(dst, '}')
}

// appendJSONCell appends row i of a column. fields are those of the rows within it.
func appendJSONCell(dst []byte, fields []jsonField, v *column.Vector, i int) []byte {
	if v.IsNull(i) {
		return append(dst, "null"...)
	}
	switch v.Type.Kind {
	case column.Bool:
		return strconv.AppendBool(dst, v.Bools[i])
	case column.Int:
		return number.AppendInt(dst, v.Ints[i])
	case column.Float:
		return appendJSONFloat(dst, v.Floats[i])
	case column.String:
		return appendJSONString(dst, v.Bin(i))
	case column.Bytes:
		return appendJSONBytes(dst, v.Bin(i))
	case column.Time:
		return appendJSONTime(dst, column.Instant(v.Ints[i]))
	case column.Duration:
		return appendJSONFloat(dst, float64(v.Ints[i])/1000)
	case column.Row:
		return appendJSONRow(dst, fields, v.Children, i)
	case column.List:
		dst = append(dst, '[')
		for k := v.Offsets[i]; k < v.Offsets[i+1]; k++ {
			if k > v.Offsets[i] {
				dst = append(dst, ',')
			}
			dst = appendJSONCell(dst, fields, v.Children[0], int(k))
		}
		return append(dst, ']')
	case column.Map:
		dst = append(dst, '{')
		for k := v.Offsets[i]; k < v.Offsets[i+1]; k++ {
			if k > v.Offsets[i] {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, v.Children[0].Bin(int(k))), ':')
			dst = appendJSONCell(dst, fields, v.Children[1], int(k))
		}
		return append(dst, '}')
	}
	return appendJSON(dst, v.Value(i))
}

// Flush hands the records on.
func (e *jsonEncoder) Flush(context.Context) error { return e.rows.Flush() }

// appendJSON appends a boxed value as JSON.
func appendJSON(dst []byte, v column.Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return number.AppendInt(dst, v)
	case float64:
		return appendJSONFloat(dst, v)
	case string:
		return appendJSONString(dst, []byte(v))
	case []byte:
		return appendJSONBytes(dst, v)
	case column.Instant:
		return appendJSONTime(dst, v)
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

func appendJSONBytes(dst, b []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"')
}

func appendJSONTime(dst []byte, t column.Instant) []byte {
	dst = append(dst, '"')
	dst = appendInstant(dst, t)
	return append(dst, '"')
}

func appendJSONFloat(dst []byte, f float64) []byte {
	if f-f != 0 { // NaN and infinities
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
