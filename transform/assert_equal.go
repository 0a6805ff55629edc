package transform

import (
	"context"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// AssertEqual fails the job unless its input is exactly the given rows.
var AssertEqual = catalog.AddTransform(catalog.Transform{
	Name:    "AssertEqual",
	Summary: "Fails the job unless its input is exactly the given rows.",
	Doc: `
The rows are compared without regard to their order, each as often as it is there. Fields that are null do not count; the order of
fields does not count; 2 and 2.0 are equal. Nested rows and maps are compared field by field, and a timestamp is equal to its
number of seconds.

The job fails at the end of the input, before any output file of the job gets its final name. The message shows rows that are missing
and rows that were not expected.
`,
	Source: beamRef + "#assertequal",
	Fields: []catalog.Field{
		{Name: "elements", Type: catalog.List, Required: true, Doc: "The rows that are expected."},
	},
	Example: `
pipeline:
  transforms:
    - type: Create
      config:
        elements: [{n: 1}, {n: 2}]
    - type: MapToFields
      input: Create
      config:
        language: python
        fields: {twice: n * 2}
    - type: AssertEqual
      input: MapToFields
      config:
        elements: [{twice: 4}, {twice: 2}]
`,
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		ok := true
		for _, e := range l.Config.Get("elements").List() {
			if _, isMap := e.Data.(*catalog.Map); !isMap {
				l.Problems.Errorf(e.Place, diag.BadValue, "wanted a row, as {name: value}, for an element of \"elements\"")
				ok = false
			}
		}
		if ok {
			l.Builder.Sink("AssertEqual", map[string]any{"elements": l.Config.Get("elements").Plain()}, l.Main())
		}
		return catalog.Outputs{}
	},
})

var _ = catalog.AddConnector(catalog.Connector{
	Name: "AssertEqual",
	Sink: func(config map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) {
		elements, ok := config["elements"].([]any)
		if !ok {
			return nil, &catalog.Problem{Key: "elements", Code: diag.BadValue, Text: `wanted a list for "elements"`}
		}
		return &assertSink{elements: elements}, nil
	},
})

type assertSink struct {
	elements []any
}

var _ catalog.Sink = (*assertSink)(nil)

func (s *assertSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	w := &assertWriter{schema: schema, missing: map[string]*counted{}}
	for _, e := range s.elements {
		r, _ := fit(e, column.RowOf(expectedFields(e, schema))).(*column.RowValue)
		if r == nil {
			return nil, fmt.Errorf("wanted a row, found %v", e)
		}
		r = withoutNulls(r)
		key := canonical(r)
		if w.missing[key] == nil {
			w.missing[key] = &counted{row: r}
		}
		w.missing[key].count++
	}
	return w, nil
}

// expectedFields are the keys of an expected row, in the order of the rows that come, other ones after them.
func expectedFields(e any, schema column.Schema) column.Schema {
	m, _ := e.(map[string]any)
	var fields column.Schema
	for _, f := range schema {
		if _, ok := m[f.Name]; ok {
			fields = append(fields, column.Field{Name: f.Name, Type: f.Type})
		}
	}
	var others []string
	for name := range m {
		if schema.Index(name) < 0 {
			others = append(others, name)
		}
	}
	sort.Strings(others)
	for _, name := range others {
		fields = append(fields, column.Field{Name: name, Type: column.AnyType})
	}
	return fields
}

// counted is a row and how often it is there.
type counted struct {
	row   *column.RowValue
	count int
}

// assertWriter ticks the expected rows off. What it holds does not grow with its input.
type assertWriter struct {
	schema column.Schema

	mu         sync.Mutex
	missing    map[string]*counted // by canonical text
	unexpected int
	samples    []string // the least of the unexpected rows, sorted
}

var _ catalog.Writer = (*assertWriter)(nil)

func (w *assertWriter) NewEncoder() catalog.Encoder { return &assertEncoder{w: w} }

// Commit does nothing: the rows have been compared by Verify.
func (w *assertWriter) Commit(context.Context) (catalog.Written, error) {
	return catalog.Written{}, w.Verify(context.Background())
}

func (w *assertWriter) Abort() error { return nil }

// assertShown is how many missing and how many unexpected rows a failure shows.
const assertShown = 5

// Verify returns the failure that says how the rows differ from the expected ones, or nil. All encoders have been
// flushed.
func (w *assertWriter) Verify(context.Context) error {
	var missing []string
	count := 0
	for _, c := range w.missing {
		for range c.count {
			if count++; count <= 10_000 {
				missing = append(missing, expr.Repr(c.row))
			}
		}
	}
	if count == 0 && w.unexpected == 0 {
		return nil
	}
	sort.Strings(missing)
	var parts []string
	if count > 0 {
		parts = append(parts, "missing "+listed(missing, count))
	}
	if w.unexpected > 0 {
		parts = append(parts, "not expected "+listed(w.samples, w.unexpected))
	}
	return &diag.Failure{Class: diag.User, Code: diag.AssertionFailed,
		Err: fmt.Errorf("the rows are not the expected ones: %s", strings.Join(parts, "; "))}
}

// listed shows the first of total rows.
func listed(rows []string, total int) string {
	rows = rows[:min(len(rows), assertShown)]
	s := strings.Join(rows, ", ")
	if more := total - len(rows); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

type assertEncoder struct {
	w *assertWriter
}

func (e *assertEncoder) Write(_ context.Context, b *column.Batch) error {
	rows := make([]*column.RowValue, 0, b.Len())
	keys := make([]string, 0, b.Len())
	b.Each(func(i int) {
		r := &column.RowValue{Names: e.w.schema.Names(), Elems: make([]column.Value, len(b.Cols))}
		for c, v := range b.Cols {
			r.Elems[c] = v.Value(i)
		}
		r = withoutNulls(r)
		rows, keys = append(rows, r), append(keys, canonical(r))
	})
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	for i, key := range keys {
		if c := e.w.missing[key]; c != nil && c.count > 0 {
			c.count--
			continue
		}
		e.w.unexpected++
		e.w.sample(expr.Repr(rows[i]))
	}
	return nil
}

func (e *assertEncoder) Flush(context.Context) error { return nil }

// sample keeps the least texts, so that a failure reads the same whatever the order of the rows.
func (w *assertWriter) sample(text string) {
	at := sort.SearchStrings(w.samples, text)
	if at >= assertShown {
		return
	}
	w.samples = append(w.samples, "")
	copy(w.samples[at+1:], w.samples[at:])
	w.samples[at] = text
	w.samples = w.samples[:min(len(w.samples), assertShown)]
}

// withoutNulls returns the row without the fields that are null.
func withoutNulls(r *column.RowValue) *column.RowValue {
	out := &column.RowValue{}
	for i, v := range r.Elems {
		if v != nil {
			out.Names, out.Elems = append(out.Names, r.Names[i]), append(out.Elems, v)
		}
	}
	return out
}

// canonical returns a text that two values share exactly if they count as equal.
func canonical(v column.Value) string {
	var b strings.Builder
	writeCanonical(&b, v)
	return b.String()
}

func writeCanonical(b *strings.Builder, v column.Value) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		if v {
			b.WriteString("1")
		} else {
			b.WriteString("0")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		writeCanonicalFloat(b, v)
	case column.Instant:
		writeSeconds(b, int64(v))
	case column.Span:
		writeSeconds(b, int64(v))
	case string:
		b.WriteString(strconv.Quote(v))
	case []byte:
		b.WriteString("b" + strconv.Quote(string(v)))
	case *column.ListValue:
		b.WriteString("[")
		for _, e := range v.Elems {
			writeCanonical(b, e)
			b.WriteString(",")
		}
		b.WriteString("]")
	case *column.RowValue:
		writeCanonicalFields(b, v.Names, v.Elems)
	case *column.MapValue:
		names := make([]string, len(v.Keys))
		for i, k := range v.Keys {
			if name, ok := k.(string); ok {
				names[i] = name
			} else {
				names[i] = "\x00" + canonical(k)
			}
		}
		writeCanonicalFields(b, names, v.Elems)
	default:
		fmt.Fprintf(b, "%T%v", v, v)
	}
}

// writeCanonicalFloat writes a whole number as an integer is written.
func writeCanonicalFloat(b *strings.Builder, f float64) {
	if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		b.WriteString(strconv.FormatInt(int64(f), 10))
		return
	}
	b.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
}

// writeSeconds writes a time or a length of time as its number of seconds.
func writeSeconds(b *strings.Builder, ms int64) {
	if ms%1000 == 0 {
		b.WriteString(strconv.FormatInt(ms/1000, 10))
		return
	}
	writeCanonicalFloat(b, float64(ms)/1000)
}

func writeCanonicalFields(b *strings.Builder, names []string, elems []column.Value) {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool { return names[order[i]] < names[order[j]] })
	b.WriteString("{")
	for _, i := range order {
		b.WriteString(strconv.Quote(names[i]) + ":")
		writeCanonical(b, elems[i])
		b.WriteString(",")
	}
	b.WriteString("}")
}
