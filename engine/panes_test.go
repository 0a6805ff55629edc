package engine_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
)

// counted is how many rows the greatest panes of all keys hold together.
func counted(rows []string) (sum int) {
	most := map[string]int{}
	for _, row := range rows {
		fields := strings.Fields(row)
		n, _ := strconv.Atoi(fields[1])
		most[fields[0]] = max(most[fields[0]], n)
	}
	for _, n := range most {
		sum += n
	}
	return sum
}

// stopped runs a stream with a store until all that is there has been processed, and stops it.
func stopped(t *testing.T, tp *topic, p *plan.Plan, dir string, drained bool) {
	t.Helper()
	store, c := openStore(t, dir)
	defer store.Close()
	o := engine.Options{Parallelism: 2, Stream: engine.StreamOptions{Store: store, Checkpoint: c, Interval: 10 * time.Millisecond}}
	stop, progress := make(chan struct{}), &engine.Progress{}
	o.Stream.Stop, o.Stream.Drain, o.Progress = stop, drained, progress
	go func() {
		tp.settle(progress)
		close(stop)
	}()
	if _, err := engine.Run(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
}

// TestEarlyPanesBesideLateOnes gives early panes by time where windows take late rows, too.
func TestEarlyPanesBesideLateOnes(t *testing.T) {
	w := plan.Windowing{Kind: plan.Fixed, Size: 3_600_000, Lateness: 60_000, Early: plan.Firing{Delay: 20}, Late: plan.Firing{Count: 1}, Accumulating: true}
	to, tp := &ledger{}, &topic{parts: events(2, 300, 0, 11)}
	eventually(t, windowed(tp, w, nil, to, nil), to, func(rows []string) bool { return counted(rows) == 600 })
}

// TestEarlyPaneOfASparseStream gives the pane of a row that comes when a checkpoint is due at once, as none came for long.
func TestEarlyPaneOfASparseStream(t *testing.T) {
	to, tp := &ledger{}, &topic{parts: events(1, 1, 0, 11), slow: 50 * time.Millisecond}
	eventually(t, windowed(tp, plan.Windowing{Early: plan.Firing{Delay: 20}}, nil, to, nil), to, func(rows []string) bool { return len(rows) == 1 })
}

// TestEarlyPaneAfterARestart gives the panes of rows that came before the stream was stopped, though no more come.
func TestEarlyPaneAfterARestart(t *testing.T) {
	dir, to, parts := t.TempDir(), &ledger{}, events(1, 20, 0, 11)
	w := plan.Windowing{Early: plan.Firing{Delay: 1000}, Accumulating: true}
	tp := &topic{parts: parts}
	stopped(t, tp, windowed(tp, w, nil, to, nil), dir, false)
	if len(to.rows) > 0 {
		t.Skip("this machine is too slow to stop within the delay")
	}
	store, c := openStore(t, dir)
	defer store.Close()
	stop := make(chan struct{})
	go func() {
		for end := time.Now().Add(20 * time.Second); counted(to.sorted()) < 20 && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
		close(stop)
	}()
	_, err := engine.Run(t.Context(), windowed(&topic{parts: parts}, w, nil, to, nil), engine.Options{Parallelism: 2, Stream: engine.StreamOptions{Store: store, Checkpoint: c, Stop: stop}})
	if err != nil || counted(to.rows) != 20 {
		t.Errorf("%d rows in panes, want 20; %v", counted(to.rows), err)
	}
}

// TestClosedSlidingWindowsStayClosed takes a row into those of its windows alone that are still open, whether they give one pane or several.
func TestClosedSlidingWindowsStayClosed(t *testing.T) {
	const base = 1_700_000_000_000
	parts := []event{{key: "a", at: base + 500}, {key: "b", at: base + 10_000}, {key: "c", at: base + 8500}}
	for name, early := range map[string]plan.Firing{"one pane": {}, "several": {Count: 1000}} {
		w := plan.Windowing{Kind: plan.Sliding, Size: 3000, Period: 1000, Early: early}
		dir, to := t.TempDir(), &ledger{}
		for _, n := range []int{2, 3} {
			tp := &topic{parts: [][]event{parts[:n]}}
			stopped(t, tp, windowed(tp, w, nil, to, nil), dir, n == 3)
		}
		var of []string
		for _, row := range to.sorted() {
			if strings.HasPrefix(row, "c ") {
				of = append(of, row)
			}
		}
		if len(of) != 1 || !strings.HasSuffix(of[0], fmt.Sprint("@", base+11_000)) {
			t.Errorf("%s: the row is in %q, want the window that ends at %d alone", name, of, base+11_000)
		}
	}
}

// TestStateOfSessionsIsFewFiles puts the state of windows together that none has fired of for many checkpoints.
func TestStateOfSessionsIsFewFiles(t *testing.T) {
	dir, to := t.TempDir(), &ledger{}
	tp := &topic{parts: events(1, 3000, 0, 11), slow: 3 * time.Millisecond}
	stopped(t, tp, windowed(tp, plan.Windowing{Kind: plan.Sessions, Gap: 3_600_000}, nil, to, nil), dir, false)
	store, c := openStore(t, dir)
	defer store.Close()
	if c.Epoch < 20 {
		t.Skipf("only %d checkpoints", c.Epoch)
	}
	for _, part := range c.Parts {
		if len(part.Files) > 16 {
			t.Errorf("%s has %d files after %d checkpoints", part.Name, len(part.Files), c.Epoch)
		}
	}
}

// TestClosedWindowsAreForgotten drops the state of windows that accumulate when they take no more rows.
func TestClosedWindowsAreForgotten(t *testing.T) {
	w := plan.Windowing{Kind: plan.Fixed, Size: 1000, Lateness: 500, Accumulating: true}
	parts := events(1, 4000, 0, 11) // 100 s
	state := func(events []event) int64 {
		dir, tp := t.TempDir(), &topic{parts: [][]event{events}}
		stopped(t, tp, windowed(tp, w, nil, &ledger{}, nil), dir, false)
		store, c := openStore(t, dir)
		defer store.Close()
		return c.Bytes()
	}
	if all, last := state(parts[0]), state(parts[0][3800:]); all > 2*last {
		t.Errorf("%d bytes of state after 100 s, %d after 5 s: windows that are closed are kept", all, last)
	}
}
