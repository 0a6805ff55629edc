// Package hostmetrics reads the figures of the machine that leat runs on: real events on any machine, with nothing to set up.
package hostmetrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

var schema = column.Schema{
	{Name: "host", Type: column.StringType}, {Name: "metric", Type: column.StringType}, {Name: "part", Type: column.StringType},
	{Name: "value", Type: column.FloatType}, {Name: "unit", Type: column.StringType},
}

// ReadFromHostMetrics reads the machine's own figures.
var ReadFromHostMetrics = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromHostMetrics",
	Summary: "Reads figures of the machine that leat runs on: processor, memory, disk, network.",
	Doc: `
Every so often each figure gives a row: host, metric, part (which processor, device or interface; "all" for the whole), value, unit.

| metrics | rows |
|---|---|
| processor | processor.busy (ratio; of each processor, and all), processor.load (1) |
| memory | memory.used, memory.available (bytes), memory.share (ratio), swap.used (bytes) |
| disk | disk.used (bytes), disk.share (ratio) of each file system; disk.read, disk.written (bytes/s) of each device |
| network | network.received, network.sent (bytes/s) of each interface |

Rates are differences between two readings, so that the first reading has none.

**Time**: rows have the time of their reading, and are in order.

**At most once**: a reading cannot be asked for again.

**Cost**: about a millisecond of processor time a reading.
`,
	Source: "https://github.com/leat-project/leat/blob/main/docs/STREAMS.md",
	Stream: true,
	Fields: []catalog.Field{
		{Name: "every", Type: catalog.Length, Default: "1s", Doc: "The time between readings, at least 10ms."},
		{Name: "metrics", Type: catalog.TextList, Doc: "Which to read: processor, memory, disk, network; by default all."},
		{Name: "limit", Type: catalog.Integer, Doc: "End after so many readings; by default never."},
	},
	Example: `
pipeline:
  type: chain
  transforms:
    - type: ReadFromHostMetrics
      config: {every: 100ms, metrics: [memory], limit: 3}
    - type: Combine
      windowing: {type: fixed, size: 1h}
      config:
        group_by: [metric, part]
        combine: {value: max}
    - type: LogForTesting
`,
	Open: func(config map[string]any) (catalog.Source, error) { return newSource(config) },
})

// leastEvery is the least time between readings.
const leastEvery = 10 * time.Millisecond

type source struct {
	every   time.Duration
	metrics []string
	limit   int64
}

var (
	_ catalog.Endless    = (*source)(nil)
	_ catalog.Guaranteed = (*source)(nil)
)

func newSource(config map[string]any) (*source, error) {
	s := &source{metrics: groups}
	var errs []error
	wrong := func(key string, code diag.Code, hint, format string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: key, Code: code, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	var err error
	if s.every, err = catalog.Duration(config, "every", time.Second); err != nil {
		errs = append(errs, err)
	} else if s.every < leastEvery {
		wrong("every", diag.BadDuration, "", "wanted at least %v, found %v", leastEvery, s.every)
	}
	if n, ok := config["limit"].(int64); ok {
		if n < 1 {
			wrong("limit", diag.BadValue, "", "wanted at least 1, found %d", n)
		}
		s.limit = n
	}
	var names []any
	switch v := config["metrics"].(type) {
	case string:
		names = []any{v}
	case []any:
		names = v
	}
	if len(names) > 0 {
		s.metrics = nil
	}
	for _, v := range names {
		name, _ := v.(string)
		if !slices.Contains(groups, name) {
			wrong("metrics", diag.BadValue, diag.DidYouMean(name, "metrics", groups), "there are no metrics named %q", name)
		}
		s.metrics = append(s.metrics, name)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// Unbounded reports whether it goes on for ever.
func (s *source) Unbounded() bool { return s.limit == 0 }

// Guarantee is at most once.
func (s *source) Guarantee() catalog.Guarantee { return catalog.AtMostOnce }

// Schema returns the fields.
func (s *source) Schema(context.Context) (column.Schema, error) { return schema, nil }

// Open begins reading.
func (s *source) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	r := &reader{source: s, meter: newMeter(s.metrics), host: host, closed: make(chan struct{})}
	for _, f := range fields {
		r.fields = append(r.fields, schema.Index(f.Name))
	}
	return r, nil
}

type reader struct {
	source *source
	meter  *meter
	host   string
	fields []int
	next   time.Time
	count  int64
	closed chan struct{}
	once   sync.Once
}

// errClosed is the error of Next when the reader is closed meanwhile.
var errClosed = errors.New("the reader is closed")

// Next waits for the next reading. One that is missed is left out: readings never come bunched.
func (r *reader) Next(ctx context.Context, m *catalog.Morsel) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.source.limit > 0 && r.count == r.source.limit {
		return io.EOF
	}
	now := time.Now()
	if r.next.IsZero() {
		r.next = now
	}
	if wait := r.next.Sub(now); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.closed:
			return errClosed
		case <-timer.C:
		}
	}
	at := time.Now()
	values, err := r.meter.read(ctx, at)
	if err != nil {
		return err
	}
	for r.next = r.next.Add(r.source.every); !r.next.After(at); {
		r.next = r.next.Add(r.source.every)
	}
	r.count++
	m.Part, m.File = reading{at.UnixMilli(), values}, "host metrics"
	return nil
}

// reading is all values of one moment.
type reading struct {
	at     int64
	values []value
}

type value struct {
	metric, part, unit string
	value              float64
}

// NewDecoder returns a decoder for one worker.
func (r *reader) NewDecoder() catalog.Decoder { return r }

// Decode passes a reading on. It keeps nothing between calls.
func (r *reader) Decode(_ context.Context, m *catalog.Morsel, out catalog.Out) error {
	at := m.Part.(reading)
	for values := range slices.Chunk(at.values, max(1, out.BatchRows())) {
		b := &column.Batch{N: len(values), Times: make([]int64, len(values))}
		for i := range b.Times {
			b.Times[i] = at.at
		}
		for _, f := range r.fields {
			builder := column.NewBuilder(schema[f].Type)
			for _, v := range values {
				if err := builder.Append([]column.Value{r.host, v.metric, v.part, v.value, v.unit}[f]); err != nil {
					return err
				}
			}
			b.Cols = append(b.Cols, builder.Finish())
		}
		if err := out.Batch(b); err != nil {
			return err
		}
	}
	return nil
}

// Progress returns the readings that have been made.
func (r *reader) Progress() (done, total int64) { return 0, -1 }

// Close ends Next.
func (r *reader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}
