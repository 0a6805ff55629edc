package transform

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// LogForTesting logs each row and passes it on.
var LogForTesting = catalog.AddTransform(catalog.Transform{
	Name:    "LogForTesting",
	Summary: "Logs each row as JSON, and passes it on.",
	Doc: `
The output is the input, with times and windows unchanged. Nested rows are objects, bytes are written as Python prints them, and
timestamps as RFC 3339 strings. The order of the lines is not promised.

It is made for looking at small data: every row is a line.
`,
	Source: beamRef + "#logfortesting",
	Fields: []catalog.Field{
		{Name: "level", Type: catalog.Text, Enum: []string{"ERROR", "INFO", "DEBUG"}, Default: "INFO", Doc: "The level of the lines."},
		{Name: "prefix", Type: catalog.Text, Doc: "What stands before the row on each line."},
	},
	Errors: true,
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{name: ada, born: 1815}]
    - type: LogForTesting
      config:
        prefix: "seen: "

# Expected:
#  Row(name='ada', born=1815)
`,
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		level := l.Config.Get("level").Text()
		if level == "" {
			level = "INFO"
		}
		config := map[string]any{"level": level, "prefix": l.Config.Get("prefix").Text()}
		l.Builder.Sink("LogForTesting", config, l.Main())
		return catalog.Main(l.Main())
	},
})

var _ = catalog.AddConnector(catalog.Connector{
	Name: "LogForTesting",
	Sink: func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
		s := &logSink{log: env.Log}
		s.level, _ = config["level"].(string)
		s.prefix, _ = config["prefix"].(string)
		return s, nil
	},
})

type logSink struct {
	level, prefix string
	log           func(level, text string)
}

var _ catalog.Sink = (*logSink)(nil)

func (s *logSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	return &logWriter{sink: s, names: schema.Names()}, nil
}

type logWriter struct {
	sink  *logSink
	names []string
	mu    sync.Mutex // so that the lines of a batch stay together
}

var _ catalog.Writer = (*logWriter)(nil)

func (w *logWriter) NewEncoder() catalog.Encoder { return &logEncoder{w: w} }

func (w *logWriter) Commit(context.Context) (catalog.Written, error) { return catalog.Written{}, nil }

func (w *logWriter) Abort() error { return nil }

type logEncoder struct {
	w *logWriter
}

func (e *logEncoder) Write(_ context.Context, b *column.Batch) error {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	b.Each(func(i int) {
		r := &column.RowValue{Names: e.w.names, Elems: make([]column.Value, len(b.Cols))}
		for c, v := range b.Cols {
			r.Elems[c] = v.Value(i)
		}
		var text strings.Builder
		text.WriteString(e.w.sink.prefix)
		writeLogJSON(&text, r)
		e.w.sink.log(e.w.sink.level, text.String())
	})
	return nil
}

func (e *logEncoder) Flush(context.Context) error { return nil }

// writeLogJSON writes a value as Python's json.dumps does, so that a log reads as the reference's.
func writeLogJSON(b *strings.Builder, v column.Value) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprint(b, v)
	case int64:
		fmt.Fprint(b, v)
	case float64:
		switch {
		case math.IsNaN(v):
			b.WriteString("NaN")
		case math.IsInf(v, 1):
			b.WriteString("Infinity")
		case math.IsInf(v, -1):
			b.WriteString("-Infinity")
		default:
			b.WriteString(expr.Str(v))
		}
	case column.Instant:
		writeLogString(b, time.UnixMilli(int64(v)).UTC().Format("2006-01-02T15:04:05.000Z"))
	case *column.ListValue:
		b.WriteString("[")
		for i, e := range v.Elems {
			comma(b, i)
			writeLogJSON(b, e)
		}
		b.WriteString("]")
	case *column.RowValue:
		b.WriteString("{")
		for i, name := range v.Names {
			comma(b, i)
			writeLogString(b, name)
			b.WriteString(": ")
			writeLogJSON(b, v.Elems[i])
		}
		b.WriteString("}")
	case *column.MapValue:
		b.WriteString("{")
		for i, k := range v.Keys {
			comma(b, i)
			writeLogString(b, expr.Str(k))
			b.WriteString(": ")
			writeLogJSON(b, v.Elems[i])
		}
		b.WriteString("}")
	default: // string, bytes, durations
		writeLogString(b, expr.Str(v))
	}
}

func comma(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteString(", ")
	}
}

// writeLogString writes a JSON string in ASCII.
func writeLogString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
		case r < 0x20 || r > 0x7e:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
