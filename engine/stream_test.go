package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/internal/vfs"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/state"
)

// topic is an endless source in memory: partitions of events, which can be read from any position. The test holds it.
type topic struct {
	parts   [][]event
	seed    uint64
	ends    bool // at the end of the partitions; else it waits
	slow    time.Duration
	noTimes bool
	quiet   atomic.Bool  // everything that there is has been handed out
	fail    error        // what Next returns at the end
	reached atomic.Int64 // the time of the last event that has been handed out
	atEnd   func()       // called once, when all has been handed out
}

type event struct {
	key string
	v   int64
	at  int64
}

var eventSchema = column.Schema{{Name: "k", Type: column.StringType}, {Name: "v", Type: column.IntType}, {Name: "t", Type: column.IntType}}

var _ = catalog.AddConnector(catalog.Connector{Name: "TestTopic", Source: func(c map[string]any) (catalog.Source, error) {
	return c["topic"].(*topic), nil
}})

func (s *topic) Schema(context.Context) (column.Schema, error) { return eventSchema, nil }
func (s *topic) Unbounded() bool                               { return !s.ends }
func (s *topic) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	r := &topicReader{topic: s, next: make([]int, len(s.parts)), rng: rand.New(rand.NewPCG(s.seed, 9))}
	for _, f := range fields {
		r.fields = append(r.fields, eventSchema.Index(f.Name))
	}
	return r, nil
}

type topicReader struct {
	topic  *topic
	fields []int
	mu     sync.Mutex
	next   []int
	rng    *rand.Rand
}

func (r *topicReader) Progress() (int64, int64)    { return 0, -1 }
func (r *topicReader) Close() error                { return nil }
func (r *topicReader) NewDecoder() catalog.Decoder { return r }

func (r *topicReader) Partitions() (out []string) {
	for i := range r.topic.parts {
		out = append(out, fmt.Sprint("p", i))
	}
	return out
}

func (r *topicReader) CaughtUp(_ context.Context, partition string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := strconv.Atoi(partition[1:])
	return r.next[i] == len(r.topic.parts[i])
}

func (r *topicReader) Resume(_ context.Context, from catalog.Resume) error {
	for partition, position := range from.Positions {
		i, _ := strconv.Atoi(partition[1:])
		r.next[i], _ = strconv.Atoi(position)
	}
	return nil
}

func (r *topicReader) Next(ctx context.Context, m *catalog.Morsel) error {
	if r.topic.slow > 0 {
		time.Sleep(r.topic.slow)
	}
	r.mu.Lock()
	var open []int
	for i, n := range r.next {
		if n < len(r.topic.parts[i]) {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		r.mu.Unlock()
		if !r.topic.quiet.Swap(true) && r.topic.atEnd != nil {
			r.topic.atEnd()
		}
		if r.topic.fail != nil {
			return r.topic.fail
		}
		if r.topic.ends {
			return io.EOF
		}
		<-ctx.Done()
		return ctx.Err()
	}
	defer r.mu.Unlock()
	i := open[r.rng.IntN(len(open))]
	from := r.next[i]
	to := min(from+1+r.rng.IntN(40), len(r.topic.parts[i]))
	r.next[i] = to
	r.topic.reached.Store(r.topic.parts[i][to-1].at)
	m.Part, m.Partition, m.Position, m.Seq, m.File = [3]int{i, from, to}, fmt.Sprint("p", i), fmt.Sprint(to), int64(i)<<40|int64(from), "topic"
	return nil
}

func (r *topicReader) Decode(_ context.Context, m *catalog.Morsel, out catalog.Out) error {
	at := m.Part.([3]int)
	events := r.topic.parts[at[0]][at[1]:at[2]]
	b := &column.Batch{N: len(events), Origin: &column.Origin{File: m.File}}
	builders := make([]*column.Builder, len(r.fields))
	for i, f := range r.fields {
		builders[i] = column.NewBuilder(eventSchema[f].Type)
		for _, e := range events {
			if err := builders[i].Append([]column.Value{e.key, e.v, e.at}[f]); err != nil {
				return err
			}
		}
		b.Cols = append(b.Cols, builders[i].Finish())
	}
	for _, e := range events {
		if !r.topic.noTimes {
			b.Times = append(b.Times, e.at)
		}
	}
	return out.Batch(b)
}

// ledger is a transactional sink whose committed rows and staged epochs outlast runs, as a server's do.
type ledger struct {
	mu        sync.Mutex
	rows      []string
	committed int64
	crash     func(point string) error // fails at named points; nil: never
}

var _ = catalog.AddConnector(catalog.Connector{Name: "TestLedger", Sink: func(c map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) {
	return ledgerSink{c["ledger"].(*ledger)}, nil
}})

type ledgerSink struct{ *ledger }

func (s ledgerSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	return &ledgerWriter{ledger: s.ledger}, nil
}

type ledgerWriter struct {
	*ledger
	open []string
}

func (w *ledgerWriter) NewEncoder() catalog.Encoder { return w }
func (w *ledgerWriter) Commit(context.Context) (catalog.Written, error) { // bounded input has no epochs
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows, w.open = append(w.rows, w.open...), nil
	return catalog.Written{}, nil
}
func (w *ledgerWriter) Abort() error                { return nil }
func (w *ledgerWriter) Flush(context.Context) error { return nil }
func (w *ledgerWriter) Recover(ctx context.Context, epoch int64, staged []byte) error {
	return w.CommitEpoch(ctx, epoch, staged)
}

func (w *ledgerWriter) Prepare(ctx context.Context, epoch int64) ([]byte, error) {
	return w.Cut(epoch)(ctx)
}

// Cut takes its time beside the rows of the next epoch.
func (w *ledgerWriter) Cut(int64) func(context.Context) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rows := w.open
	w.open = nil
	return func(ctx context.Context) ([]byte, error) {
		select {
		case <-time.After(300 * time.Microsecond):
			return json.Marshal(rows)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (w *ledgerWriter) CommitEpoch(_ context.Context, epoch int64, staged []byte) error {
	if w.crash != nil {
		if err := w.crash("commit"); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if epoch <= w.committed || staged == nil {
		return nil
	}
	var rows []string
	if err := json.Unmarshal(staged, &rows); err != nil {
		return err
	}
	w.rows, w.committed = append(w.rows, rows...), epoch
	return nil
}

func (w *ledgerWriter) Write(_ context.Context, b *column.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.Each(func(i int) {
		var cells []string
		for _, c := range b.Cols {
			cells = append(cells, fmt.Sprint(c.Value(i)))
		}
		if b.Starts != nil {
			cells = append(cells, fmt.Sprint("@", b.Ends[i]))
		}
		w.open = append(w.open, strings.Join(cells, " "))
	})
	return nil
}

func (s *ledger) sorted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.rows)
	slices.Sort(out)
	return out
}

// events makes partitions of events, each at most disorder behind the greatest time before it.
func events(parts, n int, disorder int64, seed uint64) [][]event {
	rng := rand.New(rand.NewPCG(seed, 3))
	out := make([][]event, parts)
	for p := range out {
		at := int64(1_700_000_000_000)
		for range n {
			at += rng.Int64N(50)
			out[p] = append(out[p], event{key: fmt.Sprint("key", rng.IntN(7)), v: rng.Int64N(1000), at: at - rng.Int64N(disorder+1)})
		}
	}
	return out
}

func eventField(name string) *expr.Expr { return fieldOf(eventSchema, name) }

func fieldOf(schema column.Schema, name string) *expr.Expr {
	return expr.FieldRef(schema[schema.Index(name)])
}

// windowed is a plan that reads the topic, counts by key and window, and writes to the ledger; rows that come too late go to another.
func windowed(t *topic, w plan.Windowing, mark *plan.Watermark, to, late *ledger) *plan.Plan {
	b := plan.NewBuilder("test")
	b.At = plan.Meta{Name: "Read", Transform: "Read", Place: diag.Place{File: "p.yaml", Line: 3, Col: 7}}
	in := b.Source("TestTopic", map[string]any{"topic": t}, eventSchema, !t.ends).Main()
	if mark != nil {
		b.At.Name = "Time"
		in = b.AssignTime(in, nil, mark).Main()
	}
	b.At.Name = "Window"
	in = b.Window(in, w).Main()
	b.At.Name = "Count"
	agg := b.Aggregate(in, []string{"k"}, []plan.Agg{
		{Name: "n", Fn: "count", Arg: eventField("v"), Type: column.IntType},
		{Name: "sum", Fn: "sum", Arg: eventField("v"), Type: column.IntType},
		{Name: "all", Fn: "group", Arg: eventField("v"), Type: column.ListOf(column.IntType)},
	})
	b.At.Name = "Write"
	b.Sink("TestLedger", map[string]any{"ledger": to}, agg.Main())
	if late != nil {
		b.At.Name = "WriteLate"
		ref, _ := agg.Late()
		b.Sink("TestLedger", map[string]any{"ledger": late}, ref)
	}
	plan.Prune(b.Plan)
	return b.Plan
}

// bounded is what the same topic gives as bounded input.
func bounded(t *testing.T, parts [][]event, w plan.Windowing, mark *plan.Watermark) []string {
	t.Helper()
	sink := &rows{}
	p := windowed(&topic{parts: parts, ends: true}, w, mark, nil, nil)
	last := p.Nodes[len(p.Nodes)-1]
	last.Op = &plan.Sink{Connector: "TestRowsAndWindows", Config: map[string]any{"sink": sink}}
	if _, err := engine.Run(t.Context(), p, engine.Options{Parallelism: 2}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(sink.lines)
	return sink.lines
}

var _ = catalog.AddConnector(catalog.Connector{Name: "TestRowsAndWindows", Sink: func(c map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) {
	return windowRows{c["sink"].(*rows)}, nil
}})

type windowRows struct{ *rows }

func (s windowRows) Open(context.Context, column.Schema) (catalog.Writer, error) { return s, nil }
func (s windowRows) NewEncoder() catalog.Encoder                                 { return s }
func (s windowRows) Write(_ context.Context, b *column.Batch) error {
	w := &ledgerWriter{ledger: &ledger{}}
	err := w.Write(context.Background(), b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, w.open...)
	return err
}

func openStore(t *testing.T, dir string) (*state.Store, *state.Checkpoint) {
	t.Helper()
	store, err := state.Open(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	c, notes, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range notes {
		t.Log(note)
	}
	return store, c
}

// settle waits until all that is there has been handed out, and no worker has anything left of it.
func (s *topic) settle(progress *engine.Progress) {
	for last := int64(-1); ; {
		rows := int64(0)
		for _, n := range progress.Snapshot() {
			rows += n.Rows
		}
		if stream, ok := progress.Stream(); ok && s.quiet.Load() && stream.Queued == 0 && rows == last {
			return
		}
		last = rows
		time.Sleep(30 * time.Millisecond)
	}
}

// drain runs a stream until all that is there has been read, then stops it with all windows closed.
func drain(t *testing.T, tp *topic, p *plan.Plan, o engine.Options) *engine.Result {
	t.Helper()
	stop := make(chan struct{})
	o.Stream.Stop, o.Stream.Drain = stop, true
	o.Progress = &engine.Progress{}
	go func() {
		tp.settle(o.Progress)
		close(stop)
	}()
	r, err := engine.Run(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var streamWindows = map[string]plan.Windowing{
	"fixed":        {Kind: plan.Fixed, Size: 2000},
	"sliding":      {Kind: plan.Sliding, Size: 3000, Period: 1000},
	"sessions":     {Kind: plan.Sessions, Gap: 40},
	"accumulating": {Kind: plan.Fixed, Size: 2000, Lateness: 500, Accumulating: true},
}

// TestStreamGivesWhatBoundedInputGives is P1: a stream of which no row is late gives the rows that bounded input gives.
func TestStreamGivesWhatBoundedInputGives(t *testing.T) {
	for name, w := range streamWindows {
		t.Run(name, func(t *testing.T) {
			mark := &plan.Watermark{Disorder: 300, Idle: 10_000}
			parts := events(3, 2000, 300, 1)
			want := bounded(t, parts, w, mark)
			for _, workers := range []int{1, 3} {
				to, late := &ledger{}, &ledger{}
				tp := &topic{parts: parts, seed: uint64(workers)}
				store, c := openStore(t, t.TempDir())
				drain(t, tp, windowed(tp, w, mark, to, late), engine.Options{Parallelism: workers,
					Stream: engine.StreamOptions{Store: store, Checkpoint: c, Interval: 3 * time.Millisecond}})
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
				if len(late.rows) > 0 {
					t.Errorf("%d rows were late", len(late.rows))
				}
				same(t, want, to.sorted())
			}
		})
	}
}

func same(t *testing.T, want, got []string) {
	t.Helper()
	if slices.Equal(want, got) {
		return
	}
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			t.Fatalf("row %d of %d (want %d) is\n%s\nwant\n%s", i, len(got), len(want), got[i], want[i])
		}
	}
	t.Fatalf("%d rows, want %d", len(got), len(want))
}

// TestStreamIsKilled kills a stream at random moments and starts it again, with another number of workers each time. In the end
// the sink has what an undisturbed run gives.
func TestStreamIsKilled(t *testing.T) {
	for name, w := range streamWindows {
		if name == "accumulating" {
			continue // a pane may be fired twice, before and after the kill: only the last counts
		}
		t.Run(name, func(t *testing.T) {
			mark := &plan.Watermark{Disorder: 300, Idle: 10_000}
			parts := events(3, 1500, 300, 2)
			want := bounded(t, parts, w, mark)
			rng := rand.New(rand.NewPCG(4, 4))
			to, dir := &ledger{}, t.TempDir()
			for kills := 0; ; kills++ {
				tp := &topic{parts: parts, seed: uint64(kills), slow: 50 * time.Microsecond}
				p := windowed(tp, w, mark, to, nil)
				store, c := openStore(t, dir)
				o := engine.Options{Parallelism: 1 + kills%3, Stream: engine.StreamOptions{Store: store, Checkpoint: c, Interval: time.Millisecond}}
				if kills == 25 {
					drain(t, tp, p, o)
					store.Close()
					break
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(8*time.Millisecond))))
				if _, err := engine.Run(ctx, p, o); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("run %d ended with %v", kills, err)
				}
				cancel()
				store.Close()
			}
			same(t, want, to.sorted())
		})
	}
}

// scored is a plan that scores the rows of each key, and writes to the ledger.
func scored(t *topic, mark *plan.Watermark, gap int64, to *ledger) *plan.Plan {
	b := plan.NewBuilder("test")
	b.At = plan.Meta{Name: "Read"}
	in := b.Source("TestTopic", map[string]any{"topic": t}, eventSchema, !t.ends).Main()
	b.At.Name = "Time"
	in = b.AssignTime(in, nil, mark).Main()
	b.At.Name = "Score"
	detector := map[string]any{"type": "ZScore", "config": map[string]any{"stdev_tracker": map[string]any{"type": "IncSlidingStdevTracker", "config": map[string]any{"window_size": int64(50)}}}}
	n := b.Ordered(in, &plan.Ordered{Fn: "anomaly", Config: map[string]any{"detector": detector}, Keys: []string{"k"}, Args: []*expr.Expr{eventField("v")}, Tag: "anomaly", Gap: gap}, plan.AnomalyType())
	b.At.Name = "Write"
	b.Sink("TestLedger", map[string]any{"ledger": to}, n.Main())
	plan.Prune(b.Plan)
	return b.Plan
}

// TestOrderedStreamIsKilled kills a stream of rows that are scored in order by key. It gives what bounded input gives, in which each key's rows are in the order of
// their time, too. So it is where keys are forgotten that were silent for long.
func TestOrderedStreamIsKilled(t *testing.T) {
	never := orderedStreamIsKilled(t, 0)
	if slices.Equal(never, orderedStreamIsKilled(t, 200)) {
		t.Error("no key was silent for so long that it was forgotten")
	}
}

func orderedStreamIsKilled(t *testing.T, gap int64) []string {
	t.Helper()
	mark := &plan.Watermark{Disorder: 300, Idle: 10_000}
	parts := events(3, 1500, 300, 8)
	sink := &rows{}
	p := scored(&topic{parts: parts, ends: true}, mark, gap, nil)
	p.Nodes[len(p.Nodes)-1].Op = &plan.Sink{Connector: "TestRowsAndWindows", Config: map[string]any{"sink": sink}}
	if _, err := engine.Run(t.Context(), p, engine.Options{Parallelism: 2}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(sink.lines)
	rng := rand.New(rand.NewPCG(9, 9))
	to, dir := &ledger{}, t.TempDir()
	for kills := 0; ; kills++ {
		tp := &topic{parts: parts, seed: uint64(kills), slow: 50 * time.Microsecond}
		store, c := openStore(t, dir)
		o := engine.Options{Parallelism: 1 + kills%3, Stream: engine.StreamOptions{Store: store, Checkpoint: c, Interval: time.Millisecond}}
		if kills == 15 {
			drain(t, tp, scored(tp, mark, gap, to), o)
			store.Close()
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.Int64N(int64(10*time.Millisecond))))
		if _, err := engine.Run(ctx, scored(tp, mark, gap, to), o); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("run %d ended with %v", kills, err)
		}
		cancel()
		store.Close()
	}
	same(t, sink.lines, to.sorted())
	return sink.lines
}

// TestStreamStops stops a stream at a checkpoint and goes on.
func TestStreamStops(t *testing.T) {
	w, mark := plan.Windowing{Kind: plan.Fixed, Size: 2000}, &plan.Watermark{Disorder: 300, Idle: 10_000}
	parts := events(2, 1000, 300, 3)
	want := bounded(t, parts, w, mark)
	to, dir := &ledger{}, t.TempDir()
	half := [][]event{parts[0][:400], parts[1][:700]}
	for i, seen := range [][][]event{half, half, parts} {
		tp := &topic{parts: seen}
		store, c := openStore(t, dir)
		stop := make(chan struct{})
		progress := &engine.Progress{}
		go func() {
			tp.settle(progress)
			close(stop)
		}()
		_, err := engine.Run(t.Context(), windowed(tp, w, mark, to, nil), engine.Options{Parallelism: 2, Progress: progress,
			Stream: engine.StreamOptions{Store: store, Checkpoint: c, Stop: stop, Drain: i == 2}})
		if err != nil {
			t.Fatal(err)
		}
		store.Close()
	}
	same(t, want, to.sorted())
}

// TestLateRowsAreAccountedFor counts rows: what is late, in windows, and set aside adds up.
func TestLateRowsAreAccountedFor(t *testing.T) {
	parts := events(2, 3000, 100, 5)
	rng := rand.New(rand.NewPCG(5, 5))
	for p := range parts {
		for i := range parts[p] {
			if rng.IntN(100) == 0 {
				parts[p][i].at -= 20_000
			}
		}
	}
	to, late := &ledger{}, &ledger{}
	tp := &topic{parts: parts}
	r := drain(t, tp, windowed(tp, plan.Windowing{Kind: plan.Fixed, Size: 1000}, &plan.Watermark{Disorder: 100, Idle: 10_000}, to, late), engine.Options{Parallelism: 2})
	total := 0
	for _, line := range to.rows {
		n, err := strconv.Atoi(strings.Fields(line)[1])
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	counted := int64(0)
	for _, n := range r.Nodes {
		counted += n.Late
	}
	if len(late.rows) == 0 || total+len(late.rows) != 6000 || counted != int64(len(late.rows)) {
		t.Errorf("%d rows in windows, %d late (%d counted), want 6000 together, some of them late", total, len(late.rows), counted)
	}
}

// eventually runs a stream until the sink has what is wanted, without ending it, and stops it then.
func eventually(t *testing.T, p *plan.Plan, to *ledger, done func(rows []string) bool) *engine.Result {
	t.Helper()
	stop := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for !done(to.sorted()) && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		close(stop)
	}()
	r, err := engine.Run(ctx, p, engine.Options{Parallelism: 2, Stream: engine.StreamOptions{Stop: stop, Interval: 5 * time.Millisecond}})
	if err != nil {
		t.Fatalf("the sink has %q: %v", to.sorted(), err)
	}
	return r
}

// TestIdlePartitionsHoldNothingUp reads two partitions of which one is empty: windows close all the same, once it has been idle.
func TestIdlePartitionsHoldNothingUp(t *testing.T) {
	to := &ledger{}
	tp := &topic{parts: append(events(1, 500, 100, 10), nil)}
	p := windowed(tp, plan.Windowing{Kind: plan.Fixed, Size: 1000}, &plan.Watermark{Disorder: 100, Idle: 50}, to, nil)
	eventually(t, p, to, func(rows []string) bool { return len(rows) > 20 })
}

// TestEarlyPanes gives panes of the global window, which never ends.
func TestEarlyPanes(t *testing.T) {
	for name, w := range map[string]plan.Windowing{"count": {Early: plan.Firing{Count: 10}, Accumulating: true}, "delay": {Early: plan.Firing{Delay: 20}, Accumulating: true}} {
		to := &ledger{}
		tp := &topic{parts: events(2, 300, 0, 11)}
		eventually(t, windowed(tp, w, nil, to, nil), to, func(rows []string) bool {
			most := map[string]int{}
			for _, row := range rows {
				fields := strings.Fields(row)
				n, _ := strconv.Atoi(fields[1])
				most[fields[0]] = max(most[fields[0]], n)
			}
			sum := 0
			for _, n := range most {
				sum += n
			}
			return name == "delay" && sum == 600 || name == "count" && sum > 600-7*10
		})
	}
}

// TestFastClock sets the rows of one device aside whose clock is an hour ahead. None of the others is late.
func TestFastClock(t *testing.T) {
	for seed := range uint64(5) {
		parts := events(2, 1000, 100, 12+seed)
		fast, honest := 0, 0
		for p := range parts {
			for i := range parts[p] {
				if parts[p][i].key == "key3" {
					parts[p][i].at += 3_600_000
					fast++
				} else {
					honest++
				}
			}
		}
		to, late := &ledger{}, &ledger{}
		tp := &topic{parts: parts, seed: seed}
		p := windowed(tp, plan.Windowing{Kind: plan.Fixed, Size: 1000}, &plan.Watermark{Disorder: 100, Per: "k", Idle: 5000, Future: 600_000}, to, late)
		r := drain(t, tp, p, engine.Options{Parallelism: 2})
		ahead := int64(0)
		for _, n := range r.Nodes {
			ahead += n.Ahead
		}
		counted := 0
		for _, row := range to.rows {
			if fields := strings.Fields(row); fields[0] != "key3" {
				n, _ := strconv.Atoi(fields[1])
				counted += n
			}
		}
		if len(late.rows) > 0 || counted != honest {
			t.Errorf("seed %d: %d rows of other devices in windows and %d late, want %d and none", seed, counted, len(late.rows), honest)
		}
		if ahead < int64(fast)-80 || ahead > int64(fast) { // the rows before another device has spoken in the partition cannot be judged
			t.Errorf("seed %d: %d rows set aside of %d", seed, ahead, fast)
		}
	}
}

// TestSourcesAheadWait reads two sources of the same time side by side, of which one is slow. The other waits for it, but no longer than until it is idle.
func TestSourcesAheadWait(t *testing.T) {
	slow := &topic{parts: events(1, 2000, 0, 20), slow: 300 * time.Microsecond}
	fast := &topic{parts: events(1, 2000, 0, 21)}
	var behind atomic.Int64
	fast.atEnd = func() { behind.Store(fast.reached.Load() - slow.reached.Load()) }
	b := plan.NewBuilder("test")
	to := &ledger{}
	var in []plan.Ref
	for name, tp := range map[string]*topic{"Slow": slow, "Fast": fast} {
		b.At = plan.Meta{Name: name}
		in = append(in, b.AssignTime(b.Source("TestTopic", map[string]any{"topic": tp}, eventSchema, true).Main(), nil, &plan.Watermark{Idle: 200}).Main())
	}
	b.At.Name = "Write"
	b.Sink("TestLedger", map[string]any{"ledger": to}, b.Merge(in...))
	plan.Prune(b.Plan)
	stop := make(chan struct{})
	progress := &engine.Progress{}
	go func() {
		slow.settle(progress)
		fast.settle(progress)
		close(stop)
	}()
	o := engine.Options{Parallelism: 2, Progress: progress, Stream: engine.StreamOptions{Stop: stop, MaxDrift: time.Second}}
	if _, err := engine.Run(t.Context(), b.Plan, o); err != nil {
		t.Fatal(err)
	}
	// Beside the second there are the pieces that had been read ahead: a few of at most 40 events, of 25 ms each on average.
	if got := behind.Load(); got > 12_000 || len(to.rows) != 4000 {
		t.Errorf("the fast source ended %d ms ahead, and %d rows came", got, len(to.rows))
	}
}

// TestTimesAfterAnAggregate closes windows over the rows of windows, whose times are assigned anew.
func TestTimesAfterAnAggregate(t *testing.T) {
	tp := &topic{parts: events(2, 1000, 0, 41)}
	to := &ledger{}
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
	stop, progress := make(chan struct{}), &engine.Progress{}
	go func() {
		tp.settle(progress)
		close(stop)
	}()
	store, c := openStore(t, t.TempDir())
	defer store.Close()
	_, err := engine.Run(t.Context(), b.Plan, engine.Options{Parallelism: 2, Progress: progress, Stream: engine.StreamOptions{Store: store, Checkpoint: c, Stop: stop, Interval: 10 * time.Millisecond}})
	if err != nil || len(to.rows) < 3 {
		t.Errorf("%d windows have closed, wanted some of the 4 or 5 before the last; %v", len(to.rows), err)
	}
}

// TestStateOfAnotherPipeline refuses a checkpoint that does not fit.
func TestStateOfAnotherPipeline(t *testing.T) {
	parts, mark := events(1, 300, 0, 6), &plan.Watermark{Idle: 10_000}
	dir := t.TempDir()
	tp := &topic{parts: parts}
	run := func(p *plan.Plan) error {
		store, c := openStore(t, dir)
		defer store.Close()
		stop := make(chan struct{})
		time.AfterFunc(30*time.Millisecond, func() { close(stop) })
		_, err := engine.Run(t.Context(), p, engine.Options{Stream: engine.StreamOptions{Store: store, Checkpoint: c, Stop: stop}})
		return err
	}
	if err := run(windowed(tp, plan.Windowing{Kind: plan.Fixed, Size: 1000}, mark, &ledger{}, nil)); err != nil {
		t.Fatal(err)
	}
	var f *diag.Failure
	if err := run(windowed(tp, plan.Windowing{Kind: plan.Fixed, Size: 500}, mark, &ledger{}, nil)); !errors.As(err, &f) || f.Code != diag.StateMismatch ||
		!strings.Contains(err.Error(), "fixed(1s)") || !strings.Contains(err.Error(), "fixed(500ms)") {
		t.Errorf("another window: %v", err)
	}
	if err := run(windowed(tp, plan.Windowing{Kind: plan.Fixed, Size: 1000}, mark, &ledger{}, nil)); err != nil {
		t.Errorf("the same pipeline: %v", err)
	}
}

// TestSourceFails ends a stream with the error of a source.
func TestSourceFails(t *testing.T) {
	tp := &topic{parts: events(1, 100, 0, 7), fail: errors.New("the server is on fire")}
	_, err := engine.Run(t.Context(), windowed(tp, plan.Windowing{Kind: plan.Fixed, Size: 1000}, nil, &ledger{}, nil), engine.Options{})
	var f *diag.Failure
	if !errors.As(err, &f) || f.Transform != "Read" || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("got %v", err)
	}
}
