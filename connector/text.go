package connector

import (
	"bytes"
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// ReadFromText reads the lines of text files.
var ReadFromText = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromText",
	Summary: "Reads the lines of text files, a row each.",
	Doc: `A row has one field, line: the line without its end (\n or \r\n). Empty lines are rows, too.

**Time**: rows have no event time; see AssignTimestamps.

**Errors**: a line that is not UTF-8 or longer than 16 MiB is an error record (element, msg, file, line).

` + file.WatchDoc + ` ` + standardInputDoc + `

**Cost**: one pass, in parallel.`,
	Source: beamIO + "#readfromtext",
	Stream: true,
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "A file, or a pattern such as logs/*.txt; \"-\" is standard input. Files that end in .gz, .zst or .bz2 are decompressed."},
		file.WatchField(),
	},
	Example: `# Run the example of WriteToText first: it writes the file.
pipeline:
  type: chain
  transforms:
    - type: ReadFromText
      config:
        path: greetings.txt*
# Expected:
#  Row(line='hello')
#  Row(line='world')
`,
	Open: func(config map[string]any) (catalog.Source, error) {
		in, err := file.FindInput(config, true)
		return textSource{in}, err
	},
})

// standardInputDoc says what the path "-" means to sources.
const standardInputDoc = `**Standard input** is read as it comes, until it ends. It cannot be read again, so that rows that are under way when the process dies are lost.`

// textSource is ReadFromText with its files found.
type textSource struct{ file.Input }

// Schema returns the one field.
func (s textSource) Schema(context.Context) (column.Schema, error) {
	return column.Schema{{Name: "line", Type: column.StringType}}, nil
}

// Open begins reading. Without the field, lines are only counted.
func (s textSource) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	r := &textReader{Lines: file.OpenLines(s.Input, file.Auto, file.SplitLines), columns: len(fields)}
	return resumable(r, s.Input), nil
}

// resumable is a reader as the engine is to see it: one of standard input cannot begin anywhere.
func resumable(r catalog.Reader, in file.Input) catalog.Reader {
	if in.Standard() {
		return file.WithoutResume(r)
	}
	return r
}

type textReader struct {
	*file.Lines
	columns int
}

// NewDecoder returns a decoder for one worker.
func (r *textReader) NewDecoder() catalog.Decoder {
	d := &textDecoder{line: column.Vector{Type: column.StringType}}
	if r.columns > 0 {
		d.cols = []*column.Vector{&d.line}
	}
	return d
}

type textDecoder struct {
	line column.Vector
	cols []*column.Vector // the line, or nothing
	rows []int32
}

// Decode passes the lines of m on.
func (d *textDecoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	if long, err := file.BadTooLong(m, out); long {
		return err
	}
	first := m.Line
	origin := &column.Origin{File: m.File, Line: func(row int32) int64 { return first + int64(row) }}
	suspect := !utf8.Valid(m.Data)
	d.reset()
	for data, row := m.Data, int32(0); len(data) > 0; row++ {
		next := lineEnd(data, 0)
		line := bytes.TrimSuffix(data[:next], newlineByte)
		line = bytes.TrimSuffix(line, []byte{'\r'})
		data = data[next:]
		if suspect && !utf8.Valid(line) {
			bad := catalog.BadRecord{Record: line, File: m.File, Line: first + int64(row), Row: row,
				Msg: fmt.Sprintf("the line is not UTF-8 at its byte %d", invalidByte(line)+1)}
			if err := out.Bad(bad); err != nil {
				return err
			}
			continue
		}
		if len(d.cols) > 0 {
			d.line.Data = append(d.line.Data, line...)
			d.line.Offsets = append(d.line.Offsets, int32(len(d.line.Data)))
		}
		d.rows = append(d.rows, row)
		if len(d.rows) == out.BatchRows() || len(d.line.Data) > maxBatchText {
			if err := d.flush(ctx, origin, out); err != nil {
				return err
			}
		}
	}
	return d.flush(ctx, origin, out)
}

var newlineByte = []byte{'\n'}

func (d *textDecoder) reset() {
	d.rows, d.line.Data, d.line.Offsets = d.rows[:0], d.line.Data[:0], append(d.line.Offsets[:0], 0)
}

func (d *textDecoder) flush(ctx context.Context, origin *column.Origin, out catalog.Out) error {
	if len(d.rows) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.line.N = len(d.rows)
	err := out.Batch(&column.Batch{N: len(d.rows), Cols: d.cols, Origin: origin, Rows: d.rows})
	d.reset()
	return err
}

// WriteToText writes text files.
var WriteToText = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToText",
	Summary: "Writes rows of one field to text files, a line each.",
	Doc: `The field is printed as Python's str prints it: True, 2.0, None, [1, 2]; timestamps as RFC 3339 with milliseconds; bytes as they are. A
text that holds newlines gives several lines.

**Files**: PATH-SSSSS-of-NNNNN, under that name only when complete. The order of lines is not promised.

` + file.RollDoc + `

**Cost**: one pass; workers format in parallel.`,
	Source: beamIO + "#writetotext",
	Fields: append([]catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "The beginning of the files' names; .gz or .zst at its end compresses. \"-\" is standard output."},
		{Name: "num_shards", Type: catalog.Integer, Default: "1", Doc: "How many files to write."},
	}, file.RollFields()...),
	Example: `pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{line: hello}, {line: world}]
    - type: WriteToText
      config:
        path: greetings.txt
`,
	Open: func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
		target, err := file.BindTarget(config, env)
		return &textSink{target}, err
	},
	Check: func(_ map[string]any, schema column.Schema) error { return oneField(schema) },
})

// oneField refuses rows that do not have exactly one field.
func oneField(schema column.Schema) error {
	if len(schema) == 1 {
		return nil
	}
	return &catalog.Problem{Code: diag.TypeMismatch, Text: fmt.Sprintf("wanted rows of one field, found %s (%s)", countOf(len(schema), "field"), schema),
		Hint: "Make one field of them before, with MapToFields."}
}

// textSink is WriteToText with its configuration understood.
type textSink struct{ file.Target }

// Open begins writing.
func (s *textSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	if err := oneField(schema); err != nil {
		return nil, err
	}
	return s.Create(nil, func(out file.Output) catalog.Encoder { return &textEncoder{file.NewGather(out)} })
}

type textEncoder struct{ rows *file.Gather }

// Write appends the rows of b.
func (e *textEncoder) Write(_ context.Context, b *column.Batch) error {
	var errs error
	v := b.Cols[0]
	b.Each(func(i int) {
		buf := e.rows.Begin(b, i)
		if k := v.Type.Kind; (k == column.String || k == column.Bytes) && !v.IsNull(i) {
			buf = append(buf, v.Bin(i)...)
		} else {
			buf = appendStr(buf, v.Value(i))
		}
		if err := e.rows.End(append(buf, '\n')); err != nil && errs == nil {
			errs = err
		}
	})
	return errs
}

// appendStr appends what Python's str prints, but for timestamps and bytes.
func appendStr(dst []byte, v column.Value) []byte {
	switch v := v.(type) {
	case column.Instant:
		return appendInstant(dst, v)
	case []byte:
		return append(dst, v...)
	}
	return append(dst, expr.Str(v)...)
}

// Flush hands the lines on.
func (e *textEncoder) Flush(context.Context) error { return e.rows.Flush() }
