package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/internal/vfs"
)

// run is one life of a pipeline that writes exactly once.
type run struct {
	*rig
	w *exactSink
	e catalog.Encoder
}

// start opens a writer, as a process does that has just begun.
func (r *rig) start(config map[string]any, epoch int64, staged []byte) *run {
	r.t.Helper()
	w := r.open(config, true, payloadSchema).(*exactSink)
	if err := w.Recover(r.t.Context(), epoch, staged); err != nil {
		r.t.Fatal(err)
	}
	return &run{rig: r, w: w, e: w.NewEncoder()}
}

// put writes n rows and returns what they hold.
func (r *run) put(prefix string, n int) []string {
	r.t.Helper()
	b, want := payloads(r.t, prefix, n)
	write(r.t, r.e, b)
	return want
}

func (r *run) prepare(epoch int64) []byte {
	r.t.Helper()
	staged, err := r.w.Prepare(r.t.Context(), epoch)
	if err != nil {
		r.t.Fatal(err)
	}
	return staged
}

func (r *run) commit(epoch int64, staged []byte) {
	r.t.Helper()
	if err := r.w.CommitEpoch(r.t.Context(), epoch, staged); err != nil {
		r.t.Fatal(err)
	}
}

// crash ends the connections as the end of the process does: nothing is aborted, nothing is committed.
func (r *run) crash() {
	r.w.mu.Lock()
	r.w.closed = true
	r.w.mu.Unlock()
	for _, p := range r.w.producers {
		r.w.disconnect(p)
	}
	r.w.server.close()
}

// see compares what readers see.
func (r *rig) see(when string, want ...[]string) {
	r.t.Helper()
	all := slices.Concat(want...)
	slices.Sort(all)
	if got := values(r.read()); !slices.Equal(got, all) {
		r.t.Fatalf("%s: readers see %d rows, want %d\ngot  %.300q\nwant %.300q", when, len(got), len(all), got, all)
	}
}

func (r *rig) stages() int {
	entries, _ := os.ReadDir(r.dir)
	return len(entries)
}

func TestExactEpochsTakeTurns(t *testing.T) {
	r := newRig(t, 3, nil)
	run := r.start(r.config, 0, nil)
	var seen []string
	next := run.put("1-", 50)
	for epoch := int64(1); epoch <= 5; epoch++ {
		staged := run.prepare(epoch)
		now := next
		next = run.put(fmt.Sprintf("%d-", epoch+1), 50) // while the checkpoint is made durable
		r.see("prepared", seen)
		run.commit(epoch, staged)
		run.commit(epoch, staged) // once more changes nothing
		seen = append(seen, now...)
		r.see("committed", seen)
	}
	run.commit(6, run.prepare(6))
	run.commit(7, run.prepare(7)) // without rows
	r.see("the last", seen, next)
	if n := r.stages(); n != 0 {
		t.Errorf("%d stages are left", n)
	}
	if _, err := run.w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestExactAfterCrash(t *testing.T) {
	for _, c := range []struct {
		name string
		// live runs until the crash; it returns the last durable checkpoint and what must be seen after the next start.
		live func(r *run) (epoch int64, staged []byte, want []string)
	}{
		{"before the first prepare", func(r *run) (int64, []byte, []string) {
			r.put("a", 30)
			return 0, nil, nil
		}},
		{"prepared, not durable", func(r *run) (int64, []byte, []string) {
			r.put("a", 30)
			r.prepare(1)
			return 0, nil, nil
		}},
		{"durable, not committed", func(r *run) (int64, []byte, []string) {
			want := r.put("a", 30)
			return 1, r.prepare(1), want
		}},
		{"durable, not committed, rows of the next", func(r *run) (int64, []byte, []string) {
			want := r.put("a", 30)
			staged := r.prepare(1)
			r.put("b", 30)
			return 1, staged, want
		}},
		{"committed", func(r *run) (int64, []byte, []string) {
			want := r.put("a", 30)
			staged := r.prepare(1)
			r.commit(1, staged)
			return 1, staged, want
		}},
		{"committed, the next prepared, not durable", func(r *run) (int64, []byte, []string) {
			want := r.put("a", 30)
			staged := r.prepare(1)
			r.put("b", 30)
			r.commit(1, staged)
			r.prepare(2)
			return 1, staged, want
		}},
		{"committed, the same producer open again", func(r *run) (int64, []byte, []string) {
			want := r.put("a", 30)
			staged := r.prepare(1)
			r.put("b", 30)
			r.commit(1, staged)
			r.prepare(2)
			r.put("c", 30) // by the producer of epoch 1, under the same epoch of producers
			return 1, staged, want
		}},
		{"an epoch without rows", func(r *run) (int64, []byte, []string) {
			want := r.put("a", 30)
			r.commit(1, r.prepare(1))
			staged := r.prepare(2)
			r.put("b", 30)
			return 2, staged, want
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 2, nil)
			first := r.start(r.config, 0, nil)
			epoch, staged, want := c.live(first)
			first.crash()
			second := r.start(r.config, epoch, staged)
			r.see("recovered", want)
			second.crash()
			third := r.start(r.config, epoch, staged) // it died again before the next checkpoint
			r.see("recovered twice", want)
			more := third.put("z", 30)
			third.commit(epoch+1, third.prepare(epoch+1))
			r.see("went on", want, more)
			if n := r.stages(); n != 0 {
				t.Errorf("%d stages are left", n)
			}
		})
	}
}

// shortTransactions lets brokers give up transactions soon.
func (r *rig) shortTransactions() map[string]any {
	return r.with(map[string]any{"producer_config_updates": map[string]any{"transaction.timeout.ms": "1000"}})
}

// awaitEnd waits until the brokers have given up the open transactions.
func (r *rig) awaitEnd(ids ...string) { r.await(ids, "Ongoing", "PrepareCommit", "PrepareAbort") }

// await waits until no transaction is in one of the states.
func (r *rig) await(ids []string, states ...string) {
	r.t.Helper()
	admin := r.admin()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		found, err := admin.DescribeTransactions(ctx, ids...)
		if ctx.Err() != nil {
			r.t.Fatal(err)
		}
		left := err != nil // brokers that have just begun have no coordinator yet
		for _, tx := range found {
			left = left || slices.Contains(states, tx.State)
		}
		if !left {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			r.t.Fatal("the transactions stay open")
		}
	}
}

func TestExactOutlivesTheTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("brokers look every 10 seconds")
	}
	t.Run("while down", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 2, nil)
		first := r.start(r.shortTransactions(), 0, nil)
		want := first.put("a", 3000)
		staged := first.prepare(1)
		first.crash()
		r.awaitEnd(first.w.producers[0].ID)
		r.see("given up")
		second := r.start(r.config, 1, staged)
		r.see("recovered", want)
		second.crash()
		r.start(r.config, 1, staged)
		r.see("recovered twice", want)
	})
	t.Run("before prepare", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 2, nil)
		run := r.start(r.shortTransactions(), 0, nil)
		want := run.put("a", 30)
		r.awaitEnd(run.w.producers[0].ID)
		more := run.put("b", 30)
		run.commit(1, run.prepare(1))
		r.see("committed", want, more)
		last := run.put("c", 30)
		run.commit(2, run.prepare(2))
		r.see("went on", want, more, last)
	})
	t.Run("before commit", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 2, nil)
		run := r.start(r.shortTransactions(), 0, nil)
		want := run.put("a", 30)
		staged := run.prepare(1)
		r.awaitEnd(run.w.producers[0].ID)
		run.commit(1, staged)
		r.see("committed", want)
		for epoch := int64(2); epoch < 5; epoch++ {
			want = append(want, run.put(fmt.Sprint(epoch), 30)...)
			run.commit(epoch, run.prepare(epoch))
		}
		r.see("went on", want)
	})
	t.Run("without a folder", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 2, nil)
		r.dir = ""
		run := r.start(r.shortTransactions(), 0, nil)
		run.put("a", 30)
		r.awaitEnd(run.w.producers[0].ID)
		if _, err := run.w.Prepare(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "not kept") {
			t.Errorf("got %v", err)
		}
	})
}

func TestExactTwoRunsOfOneName(t *testing.T) {
	r := newRig(t, 2, nil)
	first := r.start(r.config, 0, nil)
	first.put("a", 30)
	dir := r.dir
	r.dir = t.TempDir() // the second one has another state
	second := r.start(r.config, 0, nil)
	r.dir = dir
	_, err := first.w.Prepare(t.Context(), 1)
	if !errors.Is(err, errFenced) || !strings.Contains(err.Error(), "job_name") {
		t.Errorf("the first run: %v", err)
	}
	want := second.put("b", 30)
	second.commit(1, second.prepare(1))
	r.see("the second run", want)
	r.see("at the end", want)
}

// TestExactTwoRunsOfOneNameLater: a run that had nothing to write when another one took over is told when it has.
func TestExactTwoRunsOfOneNameLater(t *testing.T) {
	r := newRig(t, 2, nil)
	first := r.start(r.config, 0, nil)
	r.dir = t.TempDir()
	r.start(r.config, 0, nil)
	b, _ := payloads(t, "c", 1)
	err := first.e.Write(t.Context(), b)
	if err == nil {
		_, err = first.w.Prepare(t.Context(), 1)
	}
	if !errors.Is(err, errFenced) {
		t.Errorf("got %v", err)
	}
	r.see("at the end")
}

func TestExactAbortLeavesNothingOpen(t *testing.T) {
	r := newRig(t, 1, nil)
	run := r.start(r.config, 0, nil)
	run.put("a", 30)
	if err := run.w.Abort(); err != nil {
		t.Fatal(err)
	}
	found, err := r.admin().DescribeTransactions(t.Context(), run.w.producers[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, tx := range found {
		if tx.State == "Ongoing" {
			t.Error("the transaction is open")
		}
	}
	if n := r.stages(); n != 0 {
		t.Errorf("%d stages are left", n)
	}
}

func TestExactRefusesALongTransaction(t *testing.T) {
	r := newRig(t, 1, nil)
	w := r.open(r.with(map[string]any{"producer_config_updates": map[string]any{"transaction.timeout.ms": "86400000"}}), true, payloadSchema)
	err := w.(catalog.Transactional).Recover(t.Context(), 0, nil)
	if err == nil || !strings.Contains(err.Error(), "transaction.max.timeout.ms") {
		t.Errorf("got %v", err)
	}
}

// TestExactAtRandom runs lives that end anywhere, and compares with what a checkpoint promises.
func TestExactAtRandom(t *testing.T) {
	lives := 25
	if testing.Short() {
		lives = 5
	}
	r := newRig(t, 3, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	var epoch int64
	var staged []byte
	var durable []string // the rows that the last checkpoint covers
	for life := range lives {
		run := r.start(r.config, epoch, staged)
		r.see(fmt.Sprintf("life %d", life), durable)
		pending := []string{}
		for step := 0; rng.IntN(8) > 0; step++ {
			pending = append(pending, run.put(fmt.Sprintf("%d.%d-", life, step), rng.IntN(40))...)
			if rng.IntN(2) == 0 {
				continue
			}
			next := run.prepare(epoch + 1)
			if rng.IntN(4) == 0 {
				break // the checkpoint did not become durable
			}
			epoch, staged = epoch+1, next
			durable = append(durable, pending...)
			pending = pending[:0]
			if rng.IntN(2) == 0 {
				pending = append(pending, run.put(fmt.Sprintf("%d.%d+", life, step), rng.IntN(40))...)
			}
			if rng.IntN(6) == 0 {
				break // it was not committed
			}
			run.commit(epoch, staged)
		}
		run.crash()
	}
	run := r.start(r.config, epoch, staged)
	r.see("at the end", durable)
	if err := run.w.Abort(); err != nil {
		t.Fatal(err)
	}
}

// TestExactWaitsForTheLastCommit: rows of an epoch whose producer still holds one that is to be committed wait.
func TestExactWaitsForTheLastCommit(t *testing.T) {
	r := newRig(t, 1, nil)
	run := r.start(r.config, 0, nil)
	one := run.put("a", 3)
	first := run.prepare(1)
	two := run.put("b", 3)
	second := run.prepare(2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, three := payloads(t, "c", 3)
	if err := run.e.Write(ctx, b); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	run.e = run.w.NewEncoder()
	done := make(chan error, 1)
	go func() { done <- run.e.Write(t.Context(), b) }()
	run.commit(1, first)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	run.commit(2, second)
	run.commit(3, run.prepare(3))
	r.see("at the end", one, two, three)
}

// TestExactOnABadDisk: rows that cannot be kept are not promised.
func TestExactOnABadDisk(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir, vfs.OpClose} {
		t.Run(string(op), func(t *testing.T) {
			r := newRig(t, 1, nil)
			run := r.start(r.config, 0, nil)
			want := run.put("a", 3)
			staged := run.prepare(1)
			run.commit(1, staged)
			failure := errors.New("the disk is bad")
			run.w.fs = &vfs.Faulty{FS: vfs.OS, Fail: func(o vfs.Op, _ string) error {
				if o == op {
					return failure
				}
				return nil
			}}
			b, _ := payloads(t, "b", 3)
			err := run.e.Write(t.Context(), b)
			if err == nil {
				_, err = run.w.Prepare(t.Context(), 2)
			}
			if !errors.Is(err, failure) {
				t.Fatalf("got %v", err)
			}
			if err := run.w.Abort(); err != nil {
				t.Fatal(err)
			}
			more := append(want, r.start(r.config, 1, staged).put("c", 0)...)
			r.see("after a restart", more)
		})
	}
}

func TestWritersLeaveNoGoroutines(t *testing.T) {
	r := newRig(t, 1, nil)
	r.read()
	before := runtime.NumGoroutine()
	for _, stream := range []bool{true, false} {
		w := r.open(r.config, stream, payloadSchema)
		if tx, ok := w.(catalog.Transactional); ok {
			if err := tx.Recover(t.Context(), 0, nil); err != nil {
				t.Fatal(err)
			}
		}
		b, _ := payloads(t, "a", 10)
		write(t, w.NewEncoder(), b)
		if _, err := w.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Goroutines of a closed client end soon, but not at once.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for runtime.NumGoroutine() > before {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d goroutines, before %d", runtime.NumGoroutine(), before)
		}
	}
}

// TestExactDamagedStage: rows that are lost are not passed over.
func TestExactDamagedStage(t *testing.T) {
	if testing.Short() {
		t.Skip("brokers look every 10 seconds")
	}
	t.Parallel()
	r := newRig(t, 1, nil)
	first := r.start(r.shortTransactions(), 0, nil)
	first.put("a", 30)
	staged := first.prepare(1)
	first.crash()
	r.awaitEnd(first.w.producers[0].ID)
	path := filepath.Join(r.dir, first.w.producers[0].File)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	w := r.open(r.config, true, payloadSchema).(*exactSink)
	if err := w.Recover(t.Context(), 1, staged); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	r.see("at the end")
}

// TestExactUnderPressure writes from several workers, as an engine does: none while an epoch ends, all while it is committed.
func TestExactUnderPressure(t *testing.T) {
	r := newRig(t, 3, nil)
	run := r.start(r.with(map[string]any{"producer_config_updates": map[string]any{"buffer.memory": int64(1 << 20)}}), 0, nil)
	var turn sync.RWMutex
	var wait sync.WaitGroup
	const workers, batches, rows = 4, 40, 500
	wants := make([][]string, workers)
	for n := range workers {
		e := run.w.NewEncoder()
		wait.Go(func() {
			for k := range batches {
				b, want := payloads(t, fmt.Sprintf("%d-%d-", n, k), rows)
				turn.RLock()
				err := e.Write(t.Context(), b)
				turn.RUnlock()
				if err != nil {
					t.Error(err)
					return
				}
				wants[n] = append(wants[n], want...)
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	epoch := int64(0)
	for last := false; !last; {
		select {
		case <-done:
			last = true
		case <-time.After(5 * time.Millisecond):
		}
		turn.Lock()
		epoch++
		staged := run.prepare(epoch)
		turn.Unlock()
		for _, m := range run.w.Metrics() {
			if m.Name == "failed_rows_total" && m.Value != 0 {
				t.Errorf("%v rows failed", m.Value)
			}
		}
		run.commit(epoch, staged)
	}
	r.see(fmt.Sprintf("after %d epochs", epoch), wants...)
}
