package connector

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

// ReadFromJson reads files of JSON objects, one a line.
var ReadFromJson = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromJson",
	Summary: "Reads files of JSON objects, one object a line.",
	Doc: `
Each line is an object, and gives a row; blank lines are passed over. Nested objects are rows, arrays are lists.

The schema is declared, or inferred from a sample: head, middle and tail of the files. In an inferred schema every field may
be null; integers and floats together are float; what is of several types is of any type. A record that lacks a field has null
there. A record that does not fit the schema is bad: it goes to the error output with file and line, or fails the job. A field that
the schema does not have is passed over, and counted.

Integers beyond 64 bits, invalid UTF-8, lone surrogates, unescaped control characters, NaN and Infinity, records over 16 MiB and nesting
over 200 levels are bad records. Of a key that is there twice, the last value counts.

Files ending in .gz, .zst and .bz2 (a shard's number after that does not count) are decompressed. A pipe is read when its schema
is declared. An input that is written to while it is read fails the job. Rows have no event time (see AssignTimestamps). Only the fields that the
pipeline needs are materialised; the rest is checked and skipped.

` + file.WatchDoc + ` ` + standardInputDoc + `
`,
	Source: "https://beam.apache.org/releases/yamldoc/current/#readfromjson",
	Stream: true,
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "A file, or a pattern such as data/*.json; \"-\" is standard input, and wants a schema; ** matches across folders, [!a] any character but a."},
		{Name: "schema", Type: catalog.Schema, Doc: "The JSON schema of a record; without it, the schema is inferred."},
		{Name: "sample_rows", Type: catalog.Integer, Default: "1000", Doc: "How many records the schema is inferred from."},
		{Name: "compression", Type: catalog.Text, Default: "auto", Enum: []string{"auto", "uncompressed", "gzip", "zstd", "bzip2"}, Doc: "How the files are compressed."},
		{Name: "lines", Type: catalog.Boolean, Default: "true", Doc: "One object a line, as Beam's default; false is refused."},
		{Name: "orient", Type: catalog.Text, Default: "records", Enum: []string{"records"}, Doc: "The shape of the file, as in Beam."},
		file.WatchField(),
	},
	Example: `
pipeline:
  type: chain
  transforms:
    - type: ReadFromJson
      config:
        path: "{{ tmp }}/in.json"
    - type: LogForTesting
`,
	Open: func(config map[string]any) (catalog.Source, error) { return newJSONSource(config) },
})

type jsonSource struct {
	file.Input
	compression file.Compression
	sampleRows  int64
	declared    column.Schema
}

// jsonSampleRows is how many records a schema is inferred from.
const jsonSampleRows = 1000

func newJSONSource(config map[string]any) (*jsonSource, error) {
	var errs []error
	wrong := func(key string, code diag.Code, hint, text string) {
		errs = append(errs, &catalog.Problem{Key: key, Code: code, Text: text, Hint: hint})
	}
	if config["lines"] == false {
		wrong("lines", diag.Unsupported, "Write one object a line.", "a file that is one JSON document is not read")
	}
	in, err := file.FindInput(config, true)
	if err != nil {
		errs = append(errs, err)
	}
	s := &jsonSource{Input: in, sampleRows: jsonSampleRows}
	s.declared, _ = catalog.DeclaredSchema(config, "schema")
	if n, ok := config["sample_rows"].(int64); ok {
		if n < 1 {
			wrong("sample_rows", diag.BadValue, "", fmt.Sprintf("wanted at least 1, found %d", n))
		}
		s.sampleRows = n
	}
	if name, ok := config["compression"].(string); ok {
		s.compression = file.CompressionNames[name]
	}
	if err == nil && in.Standard() && s.compression > file.None {
		wrong("compression", diag.Unsupported, "Decompress it before, as by zcat FILE | leat run PIPELINE.", "standard input is read as it is, not decompressed")
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// sampleBytes is how much of the files a record of the sample may take on average.
const sampleBytes = 512

// Schema returns the declared schema, or infers one.
func (s *jsonSource) Schema(context.Context) (column.Schema, error) {
	if s.declared != nil {
		return s.declared, nil
	}
	if err := s.Sampled("Declare the fields in \"schema\"."); err != nil {
		return nil, err
	}
	inferred, rows := column.NullType, int64(0)
	var first error
	err := file.Sample(s.Paths, s.compression, file.SplitLines, int(s.sampleRows)*sampleBytes, func(m *catalog.Morsel, _ bool) error {
		sc := jsonScanner{text: append(m.Data, '\n')}
		most := rows + max(1, s.sampleRows/3)
		for p, line := 0, m.Line; p < len(sc.text) && rows < most; line++ {
			next := p
			for sc.text[next] != '\n' {
				next++
			}
			if p = sc.space(p); p < next {
				sc.err = nil
				if v, end := sc.boxed(p, 0); end < 0 {
					if first == nil {
						first = fmt.Errorf("%s:%d: %w", m.File, line, sc.err)
					}
				} else if t := jsonTypeOf(v); t.Kind == column.Row {
					inferred = unifyJSON(inferred, t)
					rows++
				} else if first == nil { // as malformed as a record that is cut off
					first = fmt.Errorf("%s:%d: the line is no JSON object", m.File, line)
				}
			}
			p = next + 1
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if inferred.Kind != column.Row {
		text := "no record to infer a schema from"
		if first != nil {
			text = fmt.Sprintf("no record of the sample can be read: %v", first)
		}
		return nil, &catalog.Problem{Key: "path", Code: diag.CannotInfer, Text: text, Hint: "Declare the fields in \"schema\"."}
	}
	return settle(inferred).Fields, nil
}

// jsonTypeOf is column.TypeOf with every part nullable: what a sample always has, the rest may lack.
func jsonTypeOf(v column.Value) column.Type {
	switch v := v.(type) {
	case *column.ListValue:
		elem := column.NullType
		for _, e := range v.Elems {
			elem = unifyJSON(elem, jsonTypeOf(e))
		}
		return column.ListOf(elem).OrNull()
	case *column.RowValue:
		fields := make(column.Schema, len(v.Names))
		for i, n := range v.Names {
			fields[i] = column.Field{Name: n, Type: jsonTypeOf(v.Elems[i])}
		}
		return column.RowOf(fields).OrNull()
	}
	if t := column.TypeOf(v); t.Kind != column.Null {
		return t.OrNull()
	}
	return column.NullType
}

// unifyJSON unifies two inferred types: JSON has one kind of number, so that int and float give float.
func unifyJSON(a, b column.Type) column.Type {
	switch {
	case a.IsNumber() && b.IsNumber() && a.Kind != b.Kind:
		return column.FloatType.OrNull()
	case a.Kind != b.Kind:
		return column.Unify(a, b)
	}
	switch a.Kind {
	case column.List:
		return column.ListOf(unifyJSON(*a.Elem, *b.Elem)).OrNull()
	case column.Row:
		return column.RowOf(unifyJSONFields(a.Fields, b.Fields)).OrNull()
	}
	return a
}

// unifyJSONFields keeps the order of a and appends what only b has. Its time is in proportion to both: keys may be data.
func unifyJSONFields(a, b column.Schema) column.Schema {
	fields := append(column.Schema(nil), a...)
	var index map[string]int
	for i, f := range b {
		at := i // records mostly have the same fields in the same order
		if at >= len(a) || a[at].Name != f.Name {
			if index == nil {
				index = make(map[string]int, len(a))
				for i := range a {
					index[a[i].Name] = i
				}
			}
			var ok bool
			if at, ok = index[f.Name]; !ok {
				fields = append(fields, f)
				continue
			}
		}
		fields[at].Type = unifyJSON(fields[at].Type, f.Type)
	}
	return fields
}

// settle replaces the type of what was null throughout the sample by any.
func settle(t column.Type) column.Type {
	switch t.Kind {
	case column.Null:
		return column.AnyType
	case column.List:
		elem := settle(*t.Elem)
		t.Elem = &elem
	case column.Row:
		fields := append(column.Schema(nil), t.Fields...)
		for i := range fields {
			fields[i].Type = settle(fields[i].Type)
		}
		t.Fields = fields
	}
	return t
}

// Open begins reading.
func (s *jsonSource) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	r := &jsonReader{Lines: file.OpenLines(s.Input, s.compression, file.SplitLines), source: s, fields: fields, extra: map[string]int64{}}
	return resumable(r, s.Input), nil
}

type jsonReader struct {
	*file.Lines
	source *jsonSource
	fields column.Schema // that are wanted
	mu     sync.Mutex
	extra  map[string]int64 // how many records had a field that is not wanted: it may be in the schema, and may not
	others int64            // those that extra has no room for
}

// maxJSONExtra limits how many fields are counted that are not wanted: where keys are data, there is no end of them.
const maxJSONExtra = 10_000

var (
	_ catalog.Reader = (*jsonReader)(nil)
	_ catalog.Noter  = (*jsonReader)(nil)
)

// NewDecoder returns a decoder for one worker.
func (r *jsonReader) NewDecoder() catalog.Decoder {
	d := &jsonDecoder{reader: r}
	for _, f := range r.fields {
		d.cols = append(d.cols, newJSONColumn(f.Name+".", f.Type))
	}
	d.root = newJSONObject("", r.fields, d.cols)
	return d
}

// unwanted counts records that had a field that is not wanted.
func (r *jsonReader) unwanted(name string, records int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.extra[name]; !ok && len(r.extra) >= maxJSONExtra {
		r.others += records
		return
	}
	r.extra[name] += records
}

// Notes says which fields were passed over because the schema does not have them. Only now the schema as a whole is needed,
// and only where a field was not wanted, so that a run does not infer it twice before it begins.
func (r *jsonReader) Notes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	notes := r.Lines.Notes()
	if len(r.extra) == 0 {
		return notes
	}
	schema, err := r.source.Schema(context.Background())
	if err != nil {
		return notes // the input is gone or has changed, which the run has told, or did not mind
	}
	var names []string
	for name := range r.extra {
		// A dot is in the path of a nested field, which is counted only where its row's type lacks it.
		if schema.Index(name) < 0 {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for i, name := range names {
		if i == maxJSONNotes {
			notes = append(notes, fmt.Sprintf("%d further fields are not in the schema either", len(names)-i))
			break
		}
		notes = append(notes, fmt.Sprintf("field %q, in %d records, is not in the schema, and was passed over: declare it in \"schema\", or raise \"sample_rows\"",
			name, r.extra[name]))
	}
	if r.others > 0 {
		notes = append(notes, fmt.Sprintf("%d more values were passed over, of fields too many to tell", r.others))
	}
	return notes
}

// maxJSONNotes is how many fields are told one by one.
const maxJSONNotes = 20
