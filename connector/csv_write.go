package connector

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/internal/number"
)

// WriteToCsv writes CSV files.
var WriteToCsv = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToCsv",
	Summary: "Writes rows to CSV files with a header.",
	Doc: `Each shard begins with the names of the fields. A field is quoted where it holds the delimiter, a quote or a newline, as Python's csv
module does it. Booleans are True and False, floats print as in Python (the shortest text that reads back the same), timestamps as RFC 3339 with
milliseconds, durations as seconds, bytes as the text that they are, and lists, maps and rows as JSON.

**Nulls** are empty fields. An empty text is written the same way and so is read back as null.

**Files**: PATH-SSSSS-of-NNNNN, under that name only when complete. The order of rows is not promised.

` + file.RollDoc + `

**Cost**: one pass; workers format in parallel.`,
	Source: beamIO + "#writetocsv",
	Fields: append([]catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "The beginning of the files' names; .gz or .zst at its end compresses. \"-\" is standard output."},
		{Name: "delimiter", Type: catalog.Text, Default: ",", Doc: "The character between fields."},
		{Name: "sep", Type: catalog.Text, Doc: "The same as delimiter, by its name in pandas."},
		{Name: "header", Type: catalog.Boolean, Default: "true", Doc: "Whether the names of the fields come first."},
		{Name: "na_rep", Type: catalog.Text, Default: `""`, Doc: "The text of a null."},
		{Name: "num_shards", Type: catalog.Integer, Default: "1", Doc: "How many files to write."},
	}, file.RollFields()...),
	Example: `pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {device: pump-1, celsius: 61.5, ok: true}
          - {device: pump-2, ok: false}
    - type: WriteToCsv
      config:
        path: readings.csv
`,
	Open: func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
		return bindCSVSink(config, env)
	},
})

// csvSink is WriteToCsv with its configuration understood.
type csvSink struct {
	file.Target
	dialect csvDialect
	header  bool
	null    string
}

func bindCSVSink(config map[string]any, env *catalog.SinkEnv) (*csvSink, error) {
	s := &csvSink{header: true, dialect: csvDialect{delimiter: ',', quote: '"'}}
	s.null, _ = config["na_rep"].(string)
	if header, ok := config["header"].(bool); ok {
		s.header = header
	}
	var errs [3]error
	for i, key := range []string{"delimiter", "sep"} {
		if text, ok := config[key].(string); ok {
			s.dialect.delimiter, errs[i] = oneByte(key, text)
		}
	}
	s.Target, errs[2] = file.BindTarget(config, env)
	return s, errors.Join(errs[:]...)
}

// Open begins writing.
func (s *csvSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	var header []byte
	if s.header {
		for i, f := range schema {
			if i > 0 {
				header = append(header, s.dialect.delimiter)
			}
			header = s.dialect.appendQuoted(header, []byte(f.Name), len(schema) == 1)
		}
		header = append(header, '\n')
	}
	return s.Create(header, func(out file.Output) catalog.Encoder { return &csvEncoder{sink: s, rows: file.NewGather(out)} })
}

// csvEncoder gathers records.
type csvEncoder struct {
	sink    *csvSink
	rows    *file.Gather
	buf     []byte
	scratch []byte
}

// Write appends the rows of b.
func (e *csvEncoder) Write(_ context.Context, b *column.Batch) error {
	var errs error
	b.Each(func(i int) {
		e.buf = e.rows.Begin(b, i)
		e.row(b, i)
		if err := e.rows.End(e.buf); err != nil && errs == nil {
			errs = err
		}
	})
	return errs
}

// Flush hands the records on.
func (e *csvEncoder) Flush(context.Context) error { return e.rows.Flush() }

func (e *csvEncoder) row(b *column.Batch, i int) {
	d := &e.sink.dialect
	alone := len(b.Cols) == 1
	for c, v := range b.Cols {
		if c > 0 {
			e.buf = append(e.buf, d.delimiter)
		}
		switch {
		case v.IsNull(i):
			e.buf = d.appendQuoted(e.buf, []byte(e.sink.null), alone)
		case v.Type.Kind == column.String || v.Type.Kind == column.Bytes:
			e.buf = d.appendQuoted(e.buf, v.Bin(i), alone)
		case v.Type.Kind == column.Int:
			e.buf = strconv.AppendInt(e.buf, v.Ints[i], 10)
		case v.Type.Kind == column.Float && d.delimiter == ',':
			e.buf = number.AppendFloat(e.buf, v.Floats[i])
		default:
			e.scratch = appendPlain(e.scratch[:0], v.Value(i))
			e.buf = d.appendQuoted(e.buf, e.scratch, alone)
		}
	}
	e.buf = append(e.buf, '\n')
}

// appendQuoted appends a field, in quotes where it has to be. A record must not be a blank line, so that a field that
// is alone and empty is quoted.
func (d *csvDialect) appendQuoted(dst, text []byte, alone bool) []byte {
	special := alone && len(bytes.TrimSpace(text)) == 0
	for _, c := range text {
		special = special || c == d.delimiter || c == d.quote || c == '\n' || c == '\r'
	}
	if !special {
		return append(dst, text...)
	}
	dst = append(dst, d.quote)
	for {
		i := bytes.IndexByte(text, d.quote)
		if i < 0 {
			break
		}
		dst = append(dst, text[:i+1]...)
		dst = append(dst, d.quote)
		text = text[i+1:]
	}
	dst = append(dst, text...)
	return append(dst, d.quote)
}

// appendPlain appends a value as a text file shows it: as Python's str prints it, but for times and what is nested.
func appendPlain(dst []byte, v column.Value) []byte {
	switch v := v.(type) {
	case nil:
		return dst
	case bool:
		if v {
			return append(dst, "True"...)
		}
		return append(dst, "False"...)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		return number.AppendFloat(dst, v)
	case string:
		return append(dst, v...)
	case []byte:
		return append(dst, v...)
	case column.Instant:
		return appendInstant(dst, v)
	case column.Span:
		return number.AppendFloat(dst, float64(v)/1000)
	}
	return appendJSON(dst, v)
}

// appendInstant appends a timestamp as RFC 3339 in UTC with milliseconds.
func appendInstant(dst []byte, t column.Instant) []byte {
	return time.UnixMilli(int64(t)).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}
