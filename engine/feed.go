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
	positions map[string]string // up to where rows are in the state and the sinks, by partition
	orders    map[string]int64  // of the piece that a position is of
	parts     map[string]*listened
	taken     int64 // morsels that have been processed
	handed    int64 // that are in the queue or with a worker
	eof       bool
	wasEnded  bool          // before this run
	asked     time.Time     // since when the reader is asked for more; zero: it is not
	asking    time.Duration // how long it was before that
}

// listened is how long a partition has been listened to. Silence is measured by that, not by the clock: while leat stands still, waits for a sink or another
// source, or cannot reach a server, nobody is silent.
type listened struct {
	time  time.Duration
	spoke time.Duration // what time was when the partition last gave rows
	seen  bool          // it has given rows
	fresh bool          // since time was last looked at
	under int64         // its pieces that have been read and not processed
	quiet bool          // it is idle
}

// ahead is how many pieces each worker may have waiting of one source.
const ahead = 2

func newFeed(n *node, q *queue, workers int) *feed {
	f := &feed{n: n, reader: n.reader, queue: q, free: make(chan *piece, ahead*workers), positions: map[string]string{}, orders: map[string]int64{},
		parts: map[string]*listened{}}
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
		f.eof = f.wasEnded
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
		return nil
	}
	for order := f.taken; ; order++ { // after those before a restart: without positions it is the rows' place
		var p *piece
		select {
		case p = <-f.free:
		case <-ctx.Done():
			return nil
		}
		err := f.ask(ctx, &p.morsel)
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
		f.queue.put(p)
	}
}

// ask reads the next piece, and keeps account of the time that is spent on it.
func (f *feed) ask(ctx context.Context, m *catalog.Morsel) error {
	f.mu.Lock()
	f.asked = time.Now()
	f.mu.Unlock()
	err := f.next(ctx, m)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asking += time.Since(f.asked)
	f.asked = time.Time{}
	if err == nil {
		f.handed++
		f.part(m.Partition).under++
	}
	return err
}

// part is guarded by mu.
func (f *feed) part(name string) *listened {
	l := f.parts[name]
	if l == nil {
		l = &listened{}
		f.parts[name] = l
	}
	return l
}

// await holds the feed while its source is too far ahead of the others. It is false when the context is done.
func (f *feed) await(ctx context.Context) bool {
	for f.drift(f) {
		select {
		case <-time.After(driftPause):
		case <-ctx.Done():
			return false
		}
	}
	return true
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
	m.Partition, m.Position, m.Part, m.Bare = "", "", nil, false
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
func (f *feed) processed(p *piece) {
	f.mu.Lock()
	f.handed--
	f.taken++
	m := &p.morsel
	if last, ok := f.orders[m.Partition]; !ok || p.order > last {
		f.orders[m.Partition] = p.order
		f.positions[m.Partition] = m.Position
	}
	l := f.part(m.Partition)
	l.under--
	if !m.Bare {
		l.spoke, l.seen, l.fresh, l.quiet = l.time, true, true, false
	}
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
	var out []string
	for name, l := range f.parts {
		if l.seen {
			out = append(out, name)
		}
	}
	if out == nil {
		return []string{""}
	}
	return out
}

// isQuiet reports whether a partition holds nothing up.
func (f *feed) isQuiet(partition string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.part(partition).quiet
}

// heard is for how long a partition has been listened to.
func (f *feed) heard(partition string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.part(partition).time
}

// idle reports whether all partitions hold nothing up.
func (f *feed) idle() bool {
	return !slices.ContainsFunc(f.partitions(), func(p string) bool { return !f.isQuiet(p) })
}

// watch keeps account of how long partitions are listened to, and marks those as idle that are silent for so long.
func (f *feed) watch(ctx context.Context, idle time.Duration, changed func()) {
	if idle <= 0 {
		return
	}
	every := min(max(idle/8, 20*time.Millisecond), time.Second)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for before := f.spent(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		spent := f.spent()
		heard := min(spent-before, 2*every) // more is a time in which leat itself stood still
		before = spent
		for _, partition := range f.partitions() {
			if f.listen(ctx, partition, heard, idle) {
				changed()
			}
		}
	}
}

// spent is for how long the reader has been asked for more.
func (f *feed) spent() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked.IsZero() {
		return f.asking
	}
	return f.asking + time.Since(f.asked)
}

// listen counts a time as one in which a partition was listened to, if it gave rows in it, or all that lies there has been read and processed. It reports
// whether the partition has become idle.
func (f *feed) listen(ctx context.Context, partition string, heard, idle time.Duration) bool {
	f.mu.Lock()
	l := f.part(partition)
	gave, skip := l.fresh, l.quiet || !l.fresh && l.under > 0
	l.fresh = false
	f.mu.Unlock()
	if skip {
		return false
	}
	if !gave {
		if p, ok := f.reader.(catalog.Partitioned); ok && !p.CaughtUp(ctx, partition) {
			return false
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !gave && (l.fresh || l.under > 0) {
		return false // rows have come meanwhile
	}
	l.time += heard
	l.quiet = !gave && l.time-l.spoke >= idle
	return l.quiet
}
