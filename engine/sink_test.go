package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
)

// picky is a server that refuses every row whose v is a multiple of 10: when it is given ("write"), some time later ("sync"), or when an epoch is committed
// ("commit"). What it holds outlasts runs.
type picky struct {
	when      string
	mu        sync.Mutex
	rows      []int64
	committed int64
	refused   map[int64][]int64 // by epoch, where it was told at the commit
}

var _ = catalog.AddConnector(catalog.Connector{Name: "TestPicky", Sink: func(c map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
	if !env.Refusals {
		return nil, errors.New("nobody reads the errors")
	}
	return pickySink{c["server"].(*picky)}, nil
}})

type pickySink struct{ server *picky }

func (s pickySink) Open(context.Context, column.Schema) (catalog.Writer, error) {
	w := &pickyWriter{server: s.server}
	if s.server.when == "commit" {
		return &pickyEpochs{w}, nil
	}
	return &pickySyncs{w}, nil
}

type pickyWriter struct {
	server *picky
	mu     sync.Mutex
	open   []int64
	told   []catalog.RefusedRows
}

func (w *pickyWriter) NewEncoder() catalog.Encoder                           { return w }
func (w *pickyWriter) Commit(context.Context) (n catalog.Written, err error) { return n, nil }
func (w *pickyWriter) Abort() error                                          { return nil }
func (w *pickyWriter) Flush(context.Context) error                           { return nil }

func (w *pickyWriter) Write(_ context.Context, b *column.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var refused catalog.Refused
	b.Each(func(i int) {
		v := b.Cols[1].Ints[i]
		if w.server.when == "write" && v%10 == 0 {
			refused = append(refused, catalog.Refusal{Row: int32(i), Err: errPicky})
		} else {
			w.open = append(w.open, v)
		}
	})
	if len(refused) > 0 {
		return refused
	}
	return nil
}

var errPicky = errors.New("a multiple of 10")

// give takes rows to the server, and returns what it refuses.
func (w *pickyWriter) give(rows []int64) (refused []int64) {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	for _, v := range rows {
		if v%10 == 0 {
			refused = append(refused, v)
		} else {
			w.server.rows = append(w.server.rows, v)
		}
	}
	return refused
}

func (w *pickyWriter) tell(refused []int64) {
	if len(refused) == 0 {
		return
	}
	v := column.NewBuilder(column.IntType)
	key := column.NewBuilder(column.StringType)
	rows := catalog.RefusedRows{Batch: &column.Batch{N: len(refused)}}
	for i, n := range refused {
		if err := errors.Join(v.Append(n), key.Append("refused")); err != nil {
			panic(err)
		}
		rows.Rows = append(rows.Rows, catalog.Refusal{Row: int32(i), Err: errPicky})
	}
	rows.Batch.Cols = []*column.Vector{key.Finish(), v.Finish()}
	w.told = append(w.told, rows)
}

func (w *pickyWriter) Refusals() ([]catalog.RefusedRows, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.told
	w.told = nil
	return out, nil
}

type pickySyncs struct{ *pickyWriter }

func (w *pickySyncs) Sync(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(w.give(w.open))
	w.open = nil
	return nil
}

type pickyEpochs struct{ *pickyWriter }

func (w *pickyEpochs) Prepare(context.Context, int64) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	staged, err := json.Marshal(w.open)
	w.open = nil
	return staged, err
}

func (w *pickyEpochs) Recover(ctx context.Context, epoch int64, staged []byte) error {
	if w.server.committed == epoch {
		w.tell(w.server.refused[epoch]) // the next epoch was to have them, and never was
		return nil
	}
	return w.CommitEpoch(ctx, epoch, staged)
}

func (w *pickyEpochs) CommitEpoch(_ context.Context, epoch int64, staged []byte) error {
	if staged == nil {
		return nil
	}
	var rows []int64
	if err := json.Unmarshal(staged, &rows); err != nil {
		return err
	}
	refused := w.give(rows)
	w.server.refused, w.server.committed = map[int64][]int64{epoch: refused}, epoch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(refused)
	return nil
}

// refusing is a plan that writes the topic to the server, lists what it refuses, and counts that by window.
func refusing(t *topic, to *picky, list, counts *ledger) *plan.Plan {
	b := plan.NewBuilder("test")
	b.At.Name = "Read"
	in := b.Source("TestTopic", map[string]any{"topic": t}, eventSchema[:2], !t.ends).Main()
	b.At.Name = "Write"
	refused, _ := b.RefusingSink("TestPicky", map[string]any{"server": to}, in).Errors()
	b.At.Name = "List"
	b.Sink("TestLedger", map[string]any{"ledger": list}, refused)
	b.At.Name = "Window"
	windows := b.Window(refused, plan.Windowing{Kind: plan.Fixed, Size: 1000}).Main()
	b.At.Name = "Count"
	agg := b.Aggregate(windows, []string{"msg"}, []plan.Agg{{Name: "n", Fn: "count", Arg: fieldOf(b.Plan.Port(windows).Schema, "stack"), Type: column.IntType}})
	b.At.Name = "Counts"
	b.Sink("TestLedger", map[string]any{"ledger": counts}, agg.Main())
	plan.Prune(b.Plan)
	return b.Plan
}

// checkRefused compares what server and error output have with what was read.
func checkRefused(t *testing.T, parts [][]event, to *picky, list, counts *ledger) {
	t.Helper()
	var taken, got []int64
	refused, counted := 0, 0
	for _, p := range parts {
		for _, e := range p {
			if e.v%10 == 0 {
				refused++
			} else {
				taken = append(taken, e.v)
			}
		}
	}
	slices.Sort(taken)
	got = slices.Sorted(slices.Values(to.rows))
	if !slices.Equal(got, taken) {
		t.Errorf("the server has %d rows, wanted %d", len(got), len(taken))
	}
	for _, row := range counts.rows {
		var msg, n = "", 0
		if _, err := fmt.Sscanf(row, "a multiple of 10 %d%s", &n, &msg); err != nil && n == 0 {
			t.Fatalf("%q: %v", row, err)
		}
		counted += n
	}
	if len(list.rows) != refused || counted != refused || refused == 0 {
		t.Errorf("%d rows were listed and %d counted, wanted %d", len(list.rows), counted, refused)
	}
}

// TestRefusedRows sets aside what a server refuses, whenever it says so, in bounded input and in a stream.
func TestRefusedRows(t *testing.T) {
	parts := events(2, 1500, 100, 30)
	for _, when := range []string{"write", "sync", "commit"} {
		for _, ends := range []bool{true, false} {
			if ends && when == "commit" {
				continue // bounded input has no epochs
			}
			t.Run(fmt.Sprint(when, " ends ", ends), func(t *testing.T) {
				to, list, counts := &picky{when: when}, &ledger{}, &ledger{}
				tp := &topic{parts: parts, ends: ends, slow: 20 * time.Microsecond}
				p := refusing(tp, to, list, counts)
				if ends {
					if _, err := engine.Run(t.Context(), p, engine.Options{Parallelism: 2}); err != nil {
						t.Fatal(err)
					}
				} else {
					store, c := openStore(t, t.TempDir())
					drain(t, tp, p, engine.Options{Parallelism: 2, Stream: engine.StreamOptions{Store: store, Checkpoint: c, Interval: time.Millisecond}})
					store.Close()
				}
				checkRefused(t, parts, to, list, counts)
			})
		}
	}
}

// TestRefusingStreamIsKilled kills a stream whose sink refuses rows at commits. Each refused row is told once.
func TestRefusingStreamIsKilled(t *testing.T) {
	parts := events(2, 1500, 100, 31)
	rng := rand.New(rand.NewPCG(5, 5))
	to, list, counts, dir := &picky{when: "commit"}, &ledger{}, &ledger{}, t.TempDir()
	for kills := 0; ; kills++ {
		tp := &topic{parts: parts, seed: uint64(kills), slow: 50 * time.Microsecond}
		p := refusing(tp, to, list, counts)
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
	checkRefused(t, parts, to, list, counts)
}
