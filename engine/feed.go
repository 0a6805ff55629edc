package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/state"
)

// feed reads one source of a stream ahead, and knows where it is.
type feed struct {
	n      *node
	reader catalog.Reader
	queue  *queue
	free   chan *piece // bounds what is read ahead
	skip   int64       // morsels to drop: a checkpoint knows them
	drift  func(f *feed) bool

	mu        sync.Mutex
	positions map[string]string    // up to where rows are in the state and the sinks, by partition
	orders    map[string]int64     // of the piece that a position is of
	active    map[string]time.Time // when a partition last gave rows
	quiet     map[string]bool      // partitions that are idle
	taken     int64                // morsels that have been processed
	handed    int64                // that are in the queue or with a worker
	eof       bool
	wasEnded  bool // before this run
	waiting   bool // for slower sources
}

// ahead is how many pieces each worker may have waiting of one source.
const ahead = 2

func newFeed(n *node, q *queue, workers int) *feed {
	f := &feed{n: n, reader: n.reader, queue: q, free: make(chan *piece, ahead*workers), positions: map[string]string{}, orders: map[string]int64{},
		active: map[string]time.Time{}, quiet: map[string]bool{}}
	for range cap(f.free) {
		f.free <- &piece{feed: f}
	}
	return f
}

// resumable reports whether the source can begin anywhere.
func (f *feed) resumable() bool {
	_, ok := f.reader.(catalog.Resumable)
	return ok
}

// resume begins where the checkpoint says; s is nil on a first run.
func (f *feed) resume(ctx context.Context, job, dir string, s *state.Source) error {
	if s != nil {
		maps.Copy(f.positions, s.Positions)
		f.wasEnded = s.Ended && (f.resumable() || !f.n.Out[0].Unbounded) // what cannot be read again is new each time
		f.taken = s.Morsels
	}
	if r, ok := f.reader.(catalog.Resumable); ok {
		return r.Resume(ctx, catalog.Resume{Job: job, Name: f.n.Name, Dir: dir, Positions: maps.Clone(f.positions)})
	}
	if !f.n.Out[0].Unbounded { // it is read again from the beginning
		f.skip = f.taken
	}
	return nil
}

// run reads until the source ends or the context is done. What it has read then and nobody took is dropped: it is read again after a restart.
func (f *feed) run(ctx context.Context) error {
	if f.wasEnded {
		f.end()
		return nil
	}
	for order := int64(0); ; order++ {
		var p *piece
		select {
		case p = <-f.free:
		case <-ctx.Done():
			return nil
		}
		err := f.next(ctx, &p.morsel)
		switch {
		case errors.Is(err, io.EOF):
			f.end()
			return nil
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return f.n.failure(err)
		}
		if !f.await(ctx) {
			return nil
		}
		p.order, p.read = order, time.Now()
		f.mu.Lock()
		f.handed++
		f.mu.Unlock()
		f.queue.put(p)
	}
}

// await holds the feed while its source is too far ahead of the others. It is false when the context is done.
func (f *feed) await(ctx context.Context) bool {
	for f.drift(f) {
		f.setWaiting(true)
		select {
		case <-time.After(driftPause):
		case <-ctx.Done():
			return false
		}
	}
	f.setWaiting(false)
	return true
}

func (f *feed) setWaiting(waiting bool) {
	f.mu.Lock()
	f.waiting = waiting
	f.mu.Unlock()
}

// driftPause is how long a source that is ahead waits before it looks again.
const driftPause = 2 * time.Millisecond

func (f *feed) next(ctx context.Context, m *catalog.Morsel) error {
	for ; f.skip > 0; f.skip-- {
		if err := f.reader.Next(ctx, m); err != nil {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("the source has become shorter: the checkpoint has read further")
			}
			return err
		}
	}
	m.Partition, m.Position, m.Part = "", "", nil
	return f.reader.Next(ctx, m)
}

func (f *feed) end() {
	f.mu.Lock()
	f.eof = true
	f.mu.Unlock()
}

// ended reports whether all of the source has been processed.
func (f *feed) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.eof && f.handed == 0
}

// processed notes that a piece is in the state and the sinks.
func (f *feed) processed(p *piece, now time.Time) {
	f.mu.Lock()
	f.handed--
	f.taken++
	m := &p.morsel
	if last, ok := f.orders[m.Partition]; !ok || p.order > last {
		f.orders[m.Partition] = p.order
		f.positions[m.Partition] = m.Position
	}
	f.active[m.Partition] = now
	delete(f.quiet, m.Partition)
	f.mu.Unlock()
	f.free <- p
}

// source returns where the source is. The workers stand still.
func (f *feed) source() state.Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := state.Source{Name: f.n.Name, Signature: sourceSignature(f.n), Ended: f.eof && f.handed == 0}
	if f.resumable() {
		s.Positions = maps.Clone(f.positions)
	} else {
		s.Morsels = f.taken
	}
	return s
}

// partitions returns what is read, and whether it holds the watermark up though it has given no row yet.
func (f *feed) partitions() []string {
	if p, ok := f.reader.(catalog.Partitioned); ok {
		return p.Partitions()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.active) == 0 {
		return []string{""}
	}
	return slices.Collect(maps.Keys(f.active))
}

// isQuiet reports whether a partition holds nothing up.
func (f *feed) isQuiet(partition string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.quiet[partition]
}

// idle reports whether all partitions hold nothing up.
func (f *feed) idle() bool {
	return !slices.ContainsFunc(f.partitions(), func(p string) bool { return !f.isQuiet(p) })
}

// watch marks partitions that are silent for so long and have nothing left to read as idle.
func (f *feed) watch(ctx context.Context, idle time.Duration, changed func()) {
	if idle <= 0 {
		return
	}
	start := time.Now()
	tick := time.NewTicker(min(max(idle/8, 20*time.Millisecond), time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, partition := range f.partitions() {
			f.mu.Lock()
			last, seen := f.active[partition]
			if !seen {
				last = start
			}
			skip := f.quiet[partition] || time.Since(last) < idle || f.handed > 0 || f.waiting
			f.mu.Unlock()
			if skip {
				continue
			}
			if p, ok := f.reader.(catalog.Partitioned); ok && !p.CaughtUp(ctx, partition) {
				continue
			}
			f.mu.Lock()
			if again, ok := f.active[partition]; f.handed == 0 && (!ok || again.Equal(last)) {
				f.quiet[partition] = true
			}
			f.mu.Unlock()
			changed()
		}
	}
}
