package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/state"
)

// renamed is a plan of the test whose transforms have other names, and which is called job.
func renamed(tp *topic, to *ledger, names map[string]string) *plan.Plan {
	p := windowed(tp, plan.Windowing{Kind: plan.Fixed, Size: 1000}, &plan.Watermark{Idle: 10_000}, to, nil)
	for _, n := range p.Nodes {
		if name, ok := names[n.Name]; ok {
			n.Name = name
		}
	}
	return p
}

// TestRenamedTransforms refuses a checkpoint that holds what the pipeline has no place for: rows that a sink has staged, the position of a source. Dropped
// on purpose, it goes on; and with the old names nothing is lost.
func TestRenamedTransforms(t *testing.T) {
	dir, to := t.TempDir(), &ledger{}
	tp := &topic{parts: events(1, 300, 0, 6)}
	var notes []string
	run := func(job string, names map[string]string) error {
		store, c := openStore(t, dir)
		defer store.Close()
		stop := make(chan struct{})
		time.AfterFunc(30*time.Millisecond, func() { close(stop) })
		o := engine.StreamOptions{Job: job, Store: store, Checkpoint: c, Stop: stop, Notify: func(_, text string) { notes = append(notes, text) }}
		_, err := engine.Run(t.Context(), renamed(tp, to, names), engine.Options{Stream: o})
		return err
	}
	if err := run("meters", nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		job   string
		names map[string]string
		want  string
	}{
		{"gauges", nil, `is that of the pipeline "meters", and this one is called "gauges"`},
		{"meters", map[string]string{"Write": "Put"}, `staged for the sink "Write"`},
		{"meters", map[string]string{"Read": "Get"}, `position of the source "Read"`},
		{"meters", map[string]string{"Count": "Sum"}, `state of "Count`},
		{"meters", nil, ""},
	} {
		err := run(test.job, test.names)
		var f *diag.Failure
		if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &f) || f.Code != diag.StateMismatch || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v: %v", test.names, err)
		}
	}
	store, _ := openStore(t, dir)
	if err := store.Drop("Read"); err != nil {
		t.Fatal(err)
	}
	store.Close()
	if err := run("meters", map[string]string{"Read": "Get"}); err != nil || !strings.Contains(strings.Join(notes, "; "), `source "Get" is new`) {
		t.Errorf("after the drop: %v; said %q", err, notes)
	}
}

// TestSavepointThatDoesNotFit changes nothing.
func TestSavepointThatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	tp := &topic{parts: events(1, 300, 0, 6)}
	run := func(from string, names map[string]string) error {
		store, c := openStore(t, dir)
		defer store.Close()
		restored := from != "" && !store.IsRestored(c, from)
		if restored {
			var err error
			if c, err = store.Restore(from); err != nil {
				t.Fatal(err)
			}
		}
		stop := make(chan struct{})
		time.AfterFunc(30*time.Millisecond, func() { close(stop) })
		_, err := engine.Run(t.Context(), renamed(tp, &ledger{}, names), engine.Options{Stream: engine.StreamOptions{Store: store, Checkpoint: c, Restored: restored, Stop: stop}})
		return err
	}
	last := func() *state.Checkpoint {
		store, c := openStore(t, dir)
		store.Close()
		return c
	}
	if err := run("", nil); err != nil {
		t.Fatal(err)
	}
	store, c := openStore(t, dir)
	if err := store.Save(c, "v1"); err != nil {
		t.Fatal(err)
	}
	store.Close()
	if err := run("v1", map[string]string{"Count": "Sum"}); err == nil || last().Epoch != c.Epoch {
		t.Errorf("%v; the last epoch is %d, was %d", err, last().Epoch, c.Epoch)
	}
	if err := run("v1", nil); err != nil || last().Restored == "" {
		t.Errorf("%v; restored %q", err, last().Restored)
	}
	epoch := last().Epoch
	if err := run("v1", nil); err != nil || last().Epoch < epoch {
		t.Errorf("a second start: %v; the last epoch is %d, was %d", err, last().Epoch, epoch)
	}
}

// hung is a sink whose server does not answer.
type hung struct{ *ledgerWriter }

func (hung) Write(ctx context.Context, _ *column.Batch) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (w hung) NewEncoder() catalog.Encoder { return w }

func (w hung) Open(context.Context, column.Schema) (catalog.Writer, error) { return w, nil }

var _ = catalog.AddConnector(catalog.Connector{Name: "TestHung", Sink: func(map[string]any, *catalog.SinkEnv) (catalog.Sink, error) {
	return hung{&ledgerWriter{ledger: &ledger{}}}, nil
}})

// TestStopWhileASinkHangs ends a stream that cannot stop at a checkpoint, and names the sink.
func TestStopWhileASinkHangs(t *testing.T) {
	tp := &topic{parts: events(1, 300, 0, 6)}
	p := scored(tp, &plan.Watermark{Idle: 10_000}, 0, nil)
	p.Nodes[len(p.Nodes)-1].Op = &plan.Sink{Connector: "TestHung"}
	store, _ := openStore(t, t.TempDir())
	defer store.Close()
	stop := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { close(stop) })
	_, err := engine.Run(t.Context(), p, engine.Options{Stream: engine.StreamOptions{Store: store, Stop: stop, StopTimeout: 50 * time.Millisecond, Drain: true}})
	var f *diag.Failure
	if !errors.As(err, &f) || f.Code != diag.CannotStop {
		t.Errorf("got %v", err)
	}
}

// slowStart is a sink whose server cannot be reached when the stream begins.
type slowStart struct{ hung }

func (slowStart) Open(ctx context.Context, _ column.Schema) (catalog.Writer, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

var _ = catalog.AddConnector(catalog.Connector{Name: "TestSlowStart", Sink: func(map[string]any, *catalog.SinkEnv) (catalog.Sink, error) { return slowStart{}, nil }})

// TestStopAtTheStart ends a stream at once that waits for a server before it has begun.
func TestStopAtTheStart(t *testing.T) {
	p := scored(&topic{parts: events(1, 300, 0, 6)}, &plan.Watermark{Idle: 10_000}, 0, nil)
	p.Nodes[len(p.Nodes)-1].Op = &plan.Sink{Connector: "TestSlowStart"}
	stop := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() { close(stop) })
	if _, err := engine.Run(t.Context(), p, engine.Options{Stream: engine.StreamOptions{Stop: stop, StopTimeout: time.Hour}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
