package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// The connectors of these tests: a source of numbers that spoils each batch once it is passed on, and a sink that
// remembers what became of it.
var (
	_ = catalog.AddConnector(catalog.Connector{Name: "TestNumbers", Source: func(c map[string]any) (catalog.Source, error) {
		return numbers{morsels: c["morsels"].(int), rows: c["rows"].(int), panics: c["panics"] == true, forever: c["forever"] == true}, nil
	}})
	_ = catalog.AddConnector(catalog.Connector{Name: "TestRows", Sink: func(c map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) {
		return c["sink"].(*rows), nil
	}})
)

var numberSchema = column.Schema{{Name: "n", Type: column.IntType.OrNull()}, {Name: "text", Type: column.StringType}}

type numbers struct {
	morsels, rows   int
	panics, forever bool
	next            int
}

func (s numbers) Schema(context.Context) (column.Schema, error) { return numberSchema, nil }
func (s numbers) Open(context.Context, column.Schema) (catalog.Reader, error) {
	return &s, nil
}
func (s *numbers) NewDecoder() catalog.Decoder { return s }
func (s *numbers) Progress() (int64, int64)    { return 0, -1 }
func (s *numbers) Close() error                { return nil }

func (s *numbers) Next(_ context.Context, m *catalog.Morsel) error {
	if s.next == s.morsels && !s.forever {
		return io.EOF
	}
	m.Part, m.File, m.Line = s.next, "numbers", 1
	s.next++
	return nil
}

func (s *numbers) Decode(_ context.Context, m *catalog.Morsel, out catalog.Out) error {
	if s.panics {
		panic("on purpose")
	}
	first := m.Part.(int) * s.rows
	for from := 0; from < s.rows; from += out.BatchRows() {
		n := min(out.BatchRows(), s.rows-from)
		b := &column.Batch{N: n, Origin: &column.Origin{File: "numbers", Line: func(row int32) int64 { return int64(row) + 1 }}}
		ints := &column.Vector{Type: numberSchema[0].Type, N: n}
		text := &column.Vector{Type: column.StringType, N: n, Offsets: []int32{0}}
		for i := range n {
			ints.Ints = append(ints.Ints, int64(first+from+i))
			text.Data = fmt.Appendf(text.Data, "t%d", (first+from+i)%7)
			text.Offsets = append(text.Offsets, int32(len(text.Data)))
			b.Rows = append(b.Rows, int32(from+i))
		}
		b.Cols = []*column.Vector{ints, text}
		if err := out.Batch(b); err != nil {
			return err
		}
		for i := range n { // who kept the batch reads this
			ints.Ints[i], b.Rows[i] = -1, -1
		}
		for i := range text.Data {
			text.Data[i] = '?'
		}
	}
	return nil
}

type rows struct {
	mu        sync.Mutex
	lines     []string
	schema    column.Schema
	failing   error
	committed bool
	aborted   bool
}

func (s *rows) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	s.schema = schema
	return s, nil
}
func (s *rows) NewEncoder() catalog.Encoder { return s }
func (s *rows) Commit(context.Context) (catalog.Written, error) {
	s.committed = true
	return catalog.Written{}, nil
}
func (s *rows) Abort() error                { s.aborted = true; return nil }
func (s *rows) Flush(context.Context) error { return s.failing }
func (s *rows) Write(_ context.Context, b *column.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.Each(func(i int) {
		var cells []string
		for _, c := range b.Cols {
			cells = append(cells, fmt.Sprint(c.Value(i)))
		}
		s.lines = append(s.lines, strings.Join(cells, " "))
	})
	return nil
}

func (s *rows) sorted() string {
	sort.Strings(s.lines)
	return strings.Join(s.lines, "\n")
}

func source(b *plan.Builder, config map[string]any) plan.Ref {
	b.At = plan.Meta{Name: "Numbers", Transform: "Numbers", Place: diag.Place{File: "p.yaml", Line: 3, Col: 7}}
	return b.Source("TestNumbers", config, numberSchema, false).Main()
}

func field(name string) *expr.Expr { return expr.FieldRef(numberSchema[numberSchema.Index(name)]) }

// aggregated is a plan that groups by text.
func aggregated(morsels, perMorsel int, sink *rows) *plan.Plan {
	b := plan.NewBuilder("test")
	in := source(b, map[string]any{"morsels": morsels, "rows": perMorsel})
	agg := b.Aggregate(in, []string{"text"}, []plan.Agg{
		{Name: "sum", Fn: "sum", Arg: field("n"), Type: column.IntType},
		{Name: "count", Fn: "count", Arg: field("n"), Type: column.IntType},
	})
	b.Sink("TestRows", map[string]any{"sink": sink}, agg.Main())
	return b.Plan
}

func TestSameRowsHoweverItRuns(t *testing.T) {
	var want string
	for _, o := range []engine.Options{{Parallelism: 1}, {Parallelism: 4}, {Parallelism: 3, BatchRows: 1}, {Parallelism: 2, BatchRows: 7},
		{Parallelism: 2, MemoryLimit: 4096}} { // so little memory spills after every batch
		sink := &rows{}
		o.TempDir = t.TempDir()
		res, err := engine.Run(context.Background(), aggregated(20, 100, sink), o)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = sink.sorted()
		}
		if got := sink.sorted(); got != want || len(sink.lines) != 7 {
			t.Errorf("%+v: got\n%s\nwant\n%s", o, got, want)
		}
		if !sink.committed || res.Written[0].Rows != 7 || !res.Written[0].Committed {
			t.Errorf("%+v: the sink has not committed 7 rows: %+v", o, res.Written)
		}
		if left, _ := os.ReadDir(o.TempDir); len(left) > 0 {
			t.Errorf("%+v: %s was left behind", o, filepath.Join(o.TempDir, left[0].Name()))
		}
	}
	if !strings.Contains(want, "t0 285285 286") {
		t.Errorf("sum and count of t0 are wrong:\n%s", want)
	}
}

func TestFailuresLeaveNothing(t *testing.T) {
	fails := errors.New("disk full")
	for _, c := range []struct {
		name   string
		config map[string]any
		sink   *rows
		want   string
		class  diag.Class
	}{
		{"sink", map[string]any{"morsels": 3, "rows": 5}, &rows{failing: fails}, `transform "Numbers": disk full`, diag.User},
		{"panic", map[string]any{"morsels": 1, "rows": 5, "panics": true}, &rows{}, "on purpose", diag.Bug},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := plan.NewBuilder("test")
			b.Sink("TestRows", map[string]any{"sink": c.sink}, source(b, c.config))
			_, err := engine.Run(context.Background(), b.Plan, engine.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || diag.ClassOf(err) != c.class {
				t.Errorf("got %v, want class %d and %q", err, c.class, c.want)
			}
			var f *diag.Failure
			if !errors.As(err, &f) || f.Place.Line != 3 {
				t.Errorf("the failure has no place: %v", err)
			}
			if c.sink.committed || !c.sink.aborted {
				t.Error("the sink was not aborted")
			}
		})
	}
}

func TestCancel(t *testing.T) {
	sink := &rows{}
	b := plan.NewBuilder("test")
	b.Sink("TestRows", map[string]any{"sink": sink}, source(b, map[string]any{"morsels": 0, "rows": 5, "forever": true}))
	ctx, cancel := context.WithCancel(context.Background())
	var progress engine.Progress
	done := make(chan error)
	go func() {
		_, err := engine.Run(ctx, b.Plan, engine.Options{Progress: &progress})
		done <- err
	}()
	for { // until rows have arrived
		if s := progress.Snapshot(); len(s) > 0 && s[0].Rows > 0 {
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancellation", err)
	}
	if sink.committed || !sink.aborted {
		t.Error("the sink was not aborted")
	}
}
