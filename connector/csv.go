package connector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/diag"
)

// beamIO is the page that lists Beam's connectors.
const beamIO = "https://beam.apache.org/releases/yamldoc/current/"

// ReadFromCsv reads CSV files.
var ReadFromCsv = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromCsv",
	Summary: "Reads rows from CSV files.",
	Doc: `The first record of each file names the fields, unless "names" does. Fields are found by name, so files may have their columns
in different orders; a column that a file lacks is null in its rows.

**Types** are inferred from the head, the middle and the tail of the files, as pandas does: whole numbers (007 is 7), numbers, true and false
in any case, else text. Whole numbers stay whole where some are missing, numbers beyond 64 bits and dates are text, and a column that is
empty in the whole sample is text. All inferred fields may be null. ` + "`leat plan`" + ` prints the schema, so that it can be pinned by "schema".

**Records** follow RFC 4180 as pandas reads it: a quote counts where a field begins, quotes in quotes are doubled, a quoted field may hold
newlines, blank lines are skipped, missing fields at the end of a record are null. Lines end in \n or \r\n.

**Nulls**: an empty field, and the words that pandas takes for null (NA, NULL, NaN, None, …), quoted or not.

**Time**: rows have no event time; see AssignTimestamps.

**Errors**: a record with too many fields, of the wrong type, not UTF-8, or longer than 16 MiB is an error record (element, msg, file, line). Fields
that the pipeline does not use are not read, and so not checked.

` + file.WatchDoc + ` ` + standardInputDoc + `

**Cost**: one pass; only the fields that the pipeline uses are decoded. Files are cut at records and decoded in parallel, quoted newlines included.`,
	Source: beamIO + "#readfromcsv",
	Stream: true,
	Fields: []catalog.Field{
		{Name: "path", Type: catalog.Text, Required: true, Doc: "A file, or a pattern such as data/*.csv; \"-\" is standard input, and wants a schema. Files that end in .gz, .zst or .bz2 are decompressed."},
		{Name: "delimiter", Type: catalog.Text, Default: ",", Doc: "The character between fields."},
		{Name: "sep", Type: catalog.Text, Doc: "The same as delimiter, by its name in pandas."},
		{Name: "quotechar", Type: catalog.Text, Default: `'"'`, Doc: "The character around fields that hold delimiters or newlines."},
		{Name: "comment", Type: catalog.Text, Doc: "A character that makes the rest of its line a comment."},
		{Name: "names", Type: catalog.List, Doc: "The names of the columns; the file has then no header, unless header is 0."},
		{Name: "header", Type: catalog.AnyValue, Doc: "0 where the first record is a header that names replaces; \"infer\" otherwise."},
		{Name: "skiprows", Type: catalog.Integer, Default: "0", Doc: "Lines to skip at the beginning of each file."},
		{Name: "usecols", Type: catalog.TextList, Doc: "The names of the columns to read."},
		{Name: "na_values", Type: catalog.TextList, Doc: "More texts that stand for null."},
		{Name: "keep_default_na", Type: catalog.Boolean, Default: "true", Doc: "Whether the words that pandas takes for null stand for null."},
		{Name: "filename_column", Type: catalog.Text, Doc: "The name of a field to add, which holds the file's path."},
		{Name: "schema", Type: catalog.Schema, Doc: "The fields and their types as a JSON schema; nothing is inferred then, and columns that it does not name are not read."},
		{Name: "sample_rows", Type: catalog.Integer, Default: "5000", Doc: "About how many rows types are inferred from: rows of 64 bytes are counted on."},
		file.WatchField(),
	},
	Example: `# Run the example of WriteToCsv first: it writes the file.
pipeline:
  type: chain
  transforms:
    - type: ReadFromCsv
      config:
        path: readings.csv*
# Expected:
#  Row(device='pump-1', celsius=61.5, ok=True)
#  Row(device='pump-2', celsius=None, ok=False)
`,
	Open: func(config map[string]any) (catalog.Source, error) { return openCSV(config) },
})

// csvSource is ReadFromCsv with its configuration understood.
type csvSource struct {
	file.Input
	dialect  csvDialect
	nulls    csvNulls
	names    []string // of the columns, nil: the header has them
	header   bool     // each file begins with a header
	skip     int64    // lines before it
	use      []string // columns to read; nil: all
	filename string
	declared column.Schema // nil: inferred
	sample   int           // rows
}

// csvSampleRows is about how many rows a schema is inferred from: what is read of the files has room for that many
// rows of csvSampleBytes.
const (
	csvSampleRows  = 5000
	csvSampleBytes = 64
)

func openCSV(config map[string]any) (*csvSource, error) {
	s := &csvSource{header: true, sample: csvSampleRows}
	err := errors.Join(s.bindFiles(config), s.bindDialect(config), s.bindNames(config), s.bindSchema(config))
	return s, err
}

func problem(key string, format string, args ...any) *catalog.Problem {
	return &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf(format, args...)}
}

func (s *csvSource) bindFiles(config map[string]any) (err error) {
	s.filename, _ = config["filename_column"].(string)
	s.Input, err = file.FindInput(config, true)
	return err
}

func (s *csvSource) bindDialect(config map[string]any) error {
	var errs [4]error
	s.dialect = csvDialect{delimiter: ',', quote: '"'}
	for i, key := range []string{"delimiter", "sep"} {
		if text, ok := config[key].(string); ok {
			s.dialect.delimiter, errs[i] = oneByte(key, text)
		}
	}
	if text, ok := config["quotechar"].(string); ok {
		s.dialect.quote, errs[2] = oneByte("quotechar", text)
	}
	if text, ok := config["comment"].(string); ok {
		s.dialect.comment, errs[3] = oneByte("comment", text)
	}
	if d := s.dialect; d.delimiter == d.quote || d.delimiter == d.comment || d.quote == d.comment {
		return errors.Join(append(errs[:], problem("delimiter", "delimiter, quotechar and comment must be different characters"))...)
	}
	return errors.Join(errs[:]...)
}

func oneByte(key, text string) (byte, error) {
	if len(text) == 1 && text[0] < 0x80 && text[0] != '\n' && text[0] != '\r' && text[0] != 0 {
		return text[0], nil
	}
	p := problem(key, "wanted one ASCII character for %q, found %q", key, text)
	if key == "delimiter" || key == "sep" {
		p.Hint = `A tab is "\t" in double quotes. Patterns of several characters are not taken.`
	}
	return 0, p
}

func (s *csvSource) bindNames(config map[string]any) error {
	var errs []error
	if list, ok := config["names"].([]any); ok {
		s.header = false
		s.names = []string{}
		for _, v := range list {
			name, ok := v.(string)
			if !ok || slices.Contains(s.names, name) {
				errs = append(errs, problem("names", "wanted strings, each once, for \"names\", found %v", v))
			}
			s.names = append(s.names, name)
		}
	}
	switch h := config["header"]; h {
	case nil, "infer":
	case int64(0):
		s.header = true
	default:
		errs = append(errs, problem("header", "wanted 0 or \"infer\" for \"header\", found %v", h))
	}
	s.skip, _ = config["skiprows"].(int64)
	s.use = texts(config["usecols"])
	if s.skip < 0 {
		errs = append(errs, problem("skiprows", "wanted a number of lines for \"skiprows\", found %d", s.skip))
	}
	return errors.Join(errs...)
}

// texts returns the strings of a TextList.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func (s *csvSource) bindSchema(config map[string]any) error {
	words := texts(config["na_values"])
	if keep, ok := config["keep_default_na"].(bool); !ok || keep {
		for w := range defaultNulls.words {
			words = append(words, w)
		}
	}
	s.nulls = newCSVNulls(words)
	if n, ok := config["sample_rows"].(int64); ok {
		if n < 1 || n > 1e9 {
			return problem("sample_rows", "wanted a number of rows for \"sample_rows\", found %d", n)
		}
		s.sample = int(n)
	}
	declared, ok := catalog.DeclaredSchema(config, "schema")
	if !ok {
		return nil
	}
	s.declared = slices.Clone(declared)
	for _, f := range declared {
		switch f.Type.Kind {
		case column.Bool, column.Int, column.Float, column.String, column.Bytes:
		default:
			return &catalog.Problem{Key: "schema", Code: diag.BadSchema, Text: fmt.Sprintf("field %q is of type %s, which CSV has no values of", f.Name, f.Type),
				Hint: "Declare it as a string."}
		}
	}
	return nil
}

// Schema returns the declared schema, or infers one from a sample.
func (s *csvSource) Schema(ctx context.Context) (column.Schema, error) {
	schema := s.declared
	if schema == nil {
		inference := csvInference{dialect: s.dialect, nulls: &s.nulls}
		if err := s.infer(ctx, &inference); err != nil {
			return nil, err
		}
		schema = inference.schema()
	}
	if s.use != nil {
		var used column.Schema
		for _, name := range s.use {
			if schema.Index(name) < 0 {
				return nil, &catalog.Problem{Key: "usecols", Code: diag.UnknownField, Text: fmt.Sprintf("the files have no column %q", name),
					Hint: diag.DidYouMean(name, "columns", schema.Names())}
			}
		}
		for _, f := range schema {
			if slices.Contains(s.use, f.Name) {
				used = append(used, f)
			}
		}
		schema = used
	}
	if s.filename != "" {
		if schema.Index(s.filename) >= 0 {
			return nil, &catalog.Problem{Key: "filename_column", Code: diag.FieldExists, Text: fmt.Sprintf("there is a field %q already", s.filename)}
		}
		schema = append(slices.Clone(schema), column.Field{Name: s.filename, Type: column.StringType})
	}
	return schema, nil
}

func (s *csvSource) infer(ctx context.Context, inference *csvInference) error {
	if err := s.Sampled("Declare the columns in \"schema\"."); err != nil {
		return err
	}
	var columns []int
	err := file.Sample(s.Paths, file.Auto, s.dialect.split, s.sample*csvSampleBytes, func(m *catalog.Morsel, first bool) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, long := m.Part.(file.TooLong); long {
			return nil
		}
		data := m.Data
		if first {
			head := csvHead{source: s, skip: s.skip}
			n, ok, err := head.read(data, m.File)
			if err != nil {
				return err
			}
			if columns = nil; ok {
				columns = inference.columns(head.names)
			}
			data = data[n:]
		}
		if columns != nil {
			inference.add(data, columns, m.Line == 0)
		}
		return nil
	})
	if err == nil && len(inference.names) == 0 {
		err = &catalog.Problem{Key: "path", Code: diag.CannotInfer, Text: fmt.Sprintf("no schema can be inferred: %q has no header", s.Paths[0]),
			Hint: "The file is empty, or too many lines are skipped. Name its columns by \"names\" or \"schema\"."}
	}
	return err
}

// csvHead reads what stands before the first record of a file, which may be in several morsels.
type csvHead struct {
	source *csvSource
	skip   int64 // lines still to skip
	names  []string
}

// read returns how many bytes of data belong to the head, and whether that is all of it.
func (h *csvHead) read(data []byte, path string) (n int, ok bool, err error) {
	for ; h.skip > 0; h.skip-- {
		if n == len(data) {
			return n, false, nil
		}
		n = lineEnd(data, n)
	}
	if !h.source.header {
		h.names = h.source.names
		return n, true, nil
	}
	for n < len(data) {
		if next := h.source.dialect.blank(data, n); next > n {
			n = next
			continue
		}
		fields, next, open := h.source.dialect.record(data, n)
		if open || !validFields(fields) {
			return n, false, &diag.Failure{Class: diag.Corrupt, Code: diag.BadRecord, Origin: path, Err: errors.New("the header is not UTF-8, or a quote in it is not closed")}
		}
		h.names = columnNames(fields)
		if h.source.names != nil {
			h.names = h.source.names
		}
		return next, true, nil
	}
	return n, false, nil
}

func validFields(fields [][]byte) bool {
	for _, f := range fields {
		if invalidByte(f) < len(f) {
			return false
		}
	}
	return true
}

// columnNames makes the names of a header distinct as pandas does: a, a.1, and "Unnamed: 2" for an empty one.
func columnNames(fields [][]byte) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		name := string(bytes.TrimSpace(f))
		if name == "" {
			name = "Unnamed: " + strconv.Itoa(i)
		} else {
			name = string(f)
		}
		unique := name
		for k := 1; slices.Contains(names[:i], unique); k++ {
			unique = name + "." + strconv.Itoa(k)
		}
		names[i] = unique
	}
	return names
}
