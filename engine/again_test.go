package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
)

// once is a topic that can only be read from its beginning.
type once struct{ *topic }

// plain hides what else a reader can do.
type plain struct{ catalog.Reader }

func (s once) Open(ctx context.Context, fields column.Schema) (catalog.Reader, error) {
	r, err := s.topic.Open(ctx, fields)
	return plain{r}, err
}

func (s once) Unbounded() bool { return false }

var _ = catalog.AddConnector(catalog.Connector{Name: "TestOnce", Source: func(c map[string]any) (catalog.Source, error) { return once{c["topic"].(*topic)}, nil }})

// from lets the first source of a plan be of another connector.
func from(p *plan.Plan, connector string) *plan.Plan {
	source := p.Nodes[0].Op.(*plan.Source)
	p.Nodes[0].Op = &plan.Source{Connector: connector, Config: source.Config}
	return p
}

// TestPlacesOutlastAKill kills a stream over input that is read again from its beginning. Lists are in the order of the input all the same.
func TestPlacesOutlastAKill(t *testing.T) {
	w, mark := plan.Windowing{Kind: plan.Fixed, Size: 1_000_000}, &plan.Watermark{Idle: 10_000}
	parts := events(1, 1500, 0, 2)
	for i := range parts[0] {
		parts[0][i].at = 1_700_000_000_000 // so that their places alone order them
	}
	input := func(slow time.Duration, to *ledger) *plan.Plan {
		p := from(windowed(&topic{parts: parts, ends: true, seed: 1, slow: slow}, w, mark, to, nil), "TestOnce")
		p.Options = map[string]any{"streaming": true}
		return p
	}
	want := &ledger{}
	if _, err := engine.Run(t.Context(), input(0, want), engine.Options{Parallelism: 2}); err != nil {
		t.Fatal(err)
	}
	to, dir := &ledger{}, t.TempDir()
	for run := 1; run <= 5; run++ {
		store, c := openStore(t, dir)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(run)*20*time.Millisecond)
		if run == 5 {
			ctx = t.Context()
		}
		_, err := engine.Run(ctx, input(300*time.Microsecond, to), engine.Options{Parallelism: 2, Stream: engine.StreamOptions{Store: store, Checkpoint: c, Interval: time.Millisecond}})
		if err != nil && (run == 5 || !errors.Is(err, context.DeadlineExceeded)) {
			t.Fatal(err)
		}
		cancel()
		store.Close()
	}
	same(t, want.sorted(), to.sorted())
}

// TestInputThatComesAnew reads what ends and cannot be read again, such as standard input, beside a source that does not end, and then another one of a later time.
// Its windows close as those of the first did.
func TestInputThatComesAnew(t *testing.T) {
	dir, parts := t.TempDir(), events(1, 1000, 0, 11)
	for round := range 2 {
		for i := range parts[0] {
			parts[0][i].at += int64(round) * 1_000_000
		}
		to := &ledger{}
		piped, endless := &topic{parts: parts, ends: true}, &topic{parts: parts}
		b := plan.NewBuilder("test")
		b.At.Name = "Endless"
		other := b.Source("TestTopic", map[string]any{"topic": endless}, eventSchema, true).Main()
		b.At.Name = "Rest"
		b.Sink("TestLedger", map[string]any{"ledger": &ledger{}}, other)
		b.At.Name = "Piped"
		in := b.Source("TestOnce", map[string]any{"topic": piped}, eventSchema, true).Main()
		b.At.Name = "Count"
		agg := b.Aggregate(b.Window(in, plan.Windowing{Kind: plan.Fixed, Size: 1000}).Main(), nil, []plan.Agg{{Name: "n", Fn: "count", Arg: eventField("v"), Type: column.IntType}})
		b.At.Name = "Write"
		b.Sink("TestLedger", map[string]any{"ledger": to}, agg.Main())
		plan.Prune(b.Plan)
		piped.quiet.Store(true)
		store, c := openStore(t, dir)
		stop := make(chan struct{})
		go func() {
			for end := time.Now().Add(3 * time.Second); len(to.sorted()) < 20 && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond)
			close(stop)
		}()
		_, err := engine.Run(t.Context(), b.Plan, engine.Options{Parallelism: 2, Stream: engine.StreamOptions{Store: store, Checkpoint: c, Stop: stop, Drain: true, Interval: 10 * time.Millisecond}})
		store.Close()
		if rows := to.sorted(); err != nil || len(rows) < 20 {
			t.Errorf("round %d: %d windows; %v", round, len(rows), err)
		}
	}
}

// TestTimesAfterAnAggregateOutlastARestart closes windows over the rows of windows after a restart, too, where all nodes are of one transform.
func TestTimesAfterAnAggregateOutlastARestart(t *testing.T) {
	dir, to, parts := t.TempDir(), &ledger{}, events(1, 2000, 0, 41) // 50 s
	for i, n := range []int{400, 2000} {
		tp := &topic{parts: [][]event{parts[0][:n]}}
		b := plan.NewBuilder("test")
		b.At.Name = "Read"
		in := b.Source("TestTopic", map[string]any{"topic": tp}, eventSchema, true).Main()
		b.At.Name = "Seconds"
		seconds := b.Aggregate(b.Window(in, plan.Windowing{Kind: plan.Fixed, Size: 1000}).Main(), []string{"k"}, []plan.Agg{{Name: "n", Fn: "count", Arg: eventField("v"), Type: column.IntType}})
		b.At.Name = "Again"
		again := b.AssignTime(seconds.Main(), nil, &plan.Watermark{Idle: 10_000}).Main()
		b.At.Name = "All"
		all := b.Aggregate(b.Window(again, plan.Windowing{Kind: plan.Fixed, Size: 5000}).Main(), nil,
			[]plan.Agg{{Name: "n", Fn: "sum", Arg: fieldOf(b.Plan.Port(again).Schema, "n"), Type: column.IntType}})
		b.At.Name = "Write"
		b.Sink("TestLedger", map[string]any{"ledger": to}, all.Main())
		plan.Prune(b.Plan)
		stopped(t, tp, b.Plan, dir, false)
		if want := []int{1, 8}[i]; len(to.rows) < want {
			t.Errorf("%d events: %d windows have closed, want %d at the least", n, len(to.rows), want)
		}
	}
}

// uncommitted is a sink that takes few rows while an epoch has not been committed, and whose server does not commit it.
type uncommitted struct {
	*ledgerWriter
	full     chan struct{}
	prepared atomic.Bool
}

func (w *uncommitted) Open(context.Context, column.Schema) (catalog.Writer, error) { return w, nil }
func (w *uncommitted) NewEncoder() catalog.Encoder                                 { return w }
func (w *uncommitted) Recover(context.Context, int64, []byte) error                { return nil }

func (w *uncommitted) Write(ctx context.Context, _ *column.Batch) error {
	if !w.prepared.Load() {
		return nil
	}
	select {
	case w.full <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (w *uncommitted) Cut(epoch int64) func(context.Context) ([]byte, error) {
	w.prepared.Store(true)
	return w.ledgerWriter.Cut(epoch)
}

func (w *uncommitted) CommitEpoch(ctx context.Context, _ int64, _ []byte) error {
	select {
	case <-w.full:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	time.Sleep(50 * time.Millisecond) // until a turn waits for the worker
	return errors.New("the server does not commit")
}

var _ = catalog.AddConnector(catalog.Connector{Name: "TestUncommitted", Sink: func(map[string]any, *catalog.SinkEnv) (catalog.Sink, error) {
	return &uncommitted{ledgerWriter: &ledgerWriter{ledger: &ledger{}}, full: make(chan struct{}, 1)}, nil
}})

// TestCommitFailsWhileAWorkerWaits ends a stream whose checkpoint fails while a turn waits for a worker, and the worker for room in the sink.
func TestCommitFailsWhileAWorkerWaits(t *testing.T) {
	tp := &topic{parts: events(1, 3000, 0, 6), slow: time.Millisecond}
	b := plan.NewBuilder("test")
	b.At.Name = "Read"
	in := b.Source("TestTopic", map[string]any{"topic": tp}, eventSchema, true).Main()
	b.At.Name = "Count"
	early := plan.Windowing{Early: plan.Firing{Count: 1}}
	agg := b.Aggregate(b.Window(in, early).Main(), []string{"k"}, []plan.Agg{{Name: "n", Fn: "count", Arg: eventField("v"), Type: column.IntType}})
	b.At.Name = "WriteCounts"
	b.Sink("TestLedger", map[string]any{"ledger": &ledger{}}, agg.Main())
	b.At.Name = "Write"
	b.Sink("TestUncommitted", nil, in)
	plan.Prune(b.Plan)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := engine.Run(ctx, b.Plan, engine.Options{Parallelism: 2, Stream: engine.StreamOptions{Interval: 5 * time.Millisecond}})
	if err == nil || !strings.Contains(err.Error(), "does not commit") {
		t.Errorf("got %v", err)
	}
}
