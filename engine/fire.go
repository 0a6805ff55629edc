package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/state"
)

// part is groups of an aggregate that no worker adds to any more: tables in memory, the same as a segment on disk, or that alone. It is the
// coordinator's: who writes a checkpoint reads the tables alone.
type part struct {
	tables []*kernel.Table
	bytes  int64 // of the tables
	written
	ends []int64
	gone bool
}

// written is a part on disk.
type written struct {
	segment *kernel.Spill
	file    state.File
}

func newPart(tables []*kernel.Table) *part {
	p := &part{}
	for _, t := range tables {
		if t.Empty() {
			continue
		}
		p.tables = append(p.tables, t)
		p.bytes += t.Bytes()
		p.ends = append(p.ends, t.Ends()...)
	}
	slices.Sort(p.ends)
	p.ends = slices.Compact(p.ends)
	return p
}

// close lets go of the segment. Its file stays: checkpoints may name it.
func (p *part) close() error {
	p.gone = true
	if p.segment == nil {
		return nil
	}
	return p.segment.Close()
}

// held returns all that the state of an aggregate is made of.
func (n *node) held() (tables []*kernel.Table, segments []*kernel.Spill) {
	for _, t := range n.tables {
		if !t.Empty() {
			tables = append(tables, t)
		}
	}
	for _, p := range n.parts {
		switch {
		case p.tables != nil:
			tables = append(tables, p.tables...)
		case p.segment != nil:
			segments = append(segments, p.segment)
		}
	}
	return tables, segments
}

// fire fires the windows of an aggregate that the watermark has passed, and those whose triggers are due. The workers stand still.
func (s *stream) fire(ctx context.Context, n *node, to int64, now time.Time, end bool) error {
	w := n.agg.Windowing()
	delayed := !n.early.IsZero() && !n.early.After(now)
	touched := n.fresh.Load() != endMark
	f := kernel.Firing{From: n.inMark, To: to, Early: delayed || end, Late: delayed || end}
	counts := touched && (w.Early.Count > 0 || w.Late.Count > 0 || w.Lateness > 0)
	if delayed || end {
		n.early = time.Time{}
	} else if touched {
		n.startDelay(now)
	}
	crowded := n.agg.Rewrites() && n.crowded()
	passes := to > n.inMark && n.firstEnd() <= to
	if w.Lateness > 0 && to > n.inMark {
		passes = true // windows may have to be dropped, too
	}
	if passes || counts || delayed || crowded || end {
		if err := s.fireGroups(ctx, n, f); err != nil {
			return err
		}
	}
	if !end || touched {
		n.fresh.Store(endMark)
	}
	n.next = n.endAfter(to)
	return nil
}

// firstEnd returns when the first window of the state ends that has not fired.
func (n *node) firstEnd() int64 { return n.endAfter(n.inMark) }

func (n *node) endAfter(mark int64) int64 {
	next := endMark
	each := func(ends []int64) {
		if at, ok := n.agg.NextEnd(ends, mark); ok {
			next = min(next, at)
		}
	}
	for _, t := range n.tables {
		each(t.Ends())
	}
	for _, p := range n.parts {
		each(p.ends)
	}
	return next
}

// fireGroups fires in all workers, key group by key group.
func (s *stream) fireGroups(ctx context.Context, n *node, f kernel.Firing) error {
	tables, segments := n.held()
	if len(tables)+len(segments) == 0 {
		return nil
	}
	s.changed.Store(true) // what fires by the time alone is for a checkpoint, too
	rest := s.newRest(n)
	if !n.agg.Rewrites() {
		rest = nil
	}
	err := s.eachGroup(ctx, n, rest, func(ctx context.Context, w *worker, g int, into *kernel.Table) error {
		f := f
		f.Rest = into
		origin := &column.Origin{Source: n.ID, Seq: int64(g)}
		var base int32
		return n.agg.Fire(ctx, g, tables, segments, f, s.run.opts.BatchRows, s.groupLimit(), func(b *column.Batch) error {
			rows := make([]int32, b.N)
			for i := range rows {
				rows[i] = base + int32(i)
			}
			base += int32(b.N)
			b.Origin, b.Rows = origin, rows
			n.observe(b)
			return w.emit(ctx, n, 0, b)
		})
	})
	if err != nil {
		return err
	}
	if rest != nil {
		return rest.replace(n)
	}
	return n.dropEnded(f.To)
}

// eachGroup calls f for every key group, in all workers at once; into is where the worker puts what stays.
func (s *stream) eachGroup(ctx context.Context, n *node, rest *rest, f func(ctx context.Context, w *worker, g int, into *kernel.Table) error) error {
	var group atomic.Int64
	return s.each(ctx, n, func(ctx context.Context, w *worker) error {
		for {
			g := int(group.Add(1) - 1)
			if g >= kernel.KeyGroups {
				return nil
			}
			if rest == nil {
				if err := f(ctx, w, g, nil); err != nil {
					return err
				}
				continue
			}
			if err := f(ctx, w, g, rest.tables[w.id]); err != nil {
				return err
			}
			if err := rest.limit(s, n, w.id); err != nil {
				return err
			}
		}
	})
}

// groupLimit is how much one key group may take while it is merged, before it is merged part by part.
func (s *stream) groupLimit() int64 { return s.run.opts.MemoryLimit / int64(2*len(s.workers)) / 2 }

// rest takes the state that a firing rewrites.
type rest struct {
	tables []*kernel.Table // one for each worker
	parts  [][]*part       // of each worker: what exceeded its memory
}

func (s *stream) newRest(n *node) *rest {
	r := &rest{parts: make([][]*part, len(s.workers))}
	for range s.workers {
		r.tables = append(r.tables, n.agg.NewTable())
	}
	return r
}

// limit writes a worker's table to disk when it has grown past its share of memory.
func (r *rest) limit(s *stream, n *node, worker int) error {
	if r.tables[worker].Bytes() <= s.tableLimit {
		return nil
	}
	p, err := s.spillTable(n, r.tables[worker])
	if err != nil {
		return err
	}
	r.parts[worker] = append(r.parts[worker], p)
	r.tables[worker] = n.agg.NewTable()
	return nil
}

// replace makes this the state of the node.
func (r *rest) replace(n *node) error {
	var errs error
	for _, p := range n.parts {
		errs = errors.Join(errs, p.close())
	}
	n.tables, n.parts = r.tables, slices.Concat(r.parts...)
	n.packed = len(n.parts)
	return errs
}

// crowded reports whether the state is to be put together: each part is a file, or will be.
func (n *node) crowded() bool { return len(n.parts) >= n.packed+maxParts }

// dropEnded drops parts whose windows have all fired.
func (n *node) dropEnded(mark int64) error {
	var errs error
	n.parts = slices.DeleteFunc(n.parts, func(p *part) bool {
		if n.agg.LastEnd(p.ends) > mark {
			return false
		}
		errs = errors.Join(errs, p.close())
		return true
	})
	n.packed = min(n.packed, len(n.parts))
	for i, t := range n.tables {
		if !t.Empty() && n.agg.LastEnd(t.Ends()) <= mark {
			n.tables[i] = n.agg.NewTable()
		}
	}
	return errs
}

// spillTable writes a table as a segment, in place of its memory.
func (s *stream) spillTable(n *node, t *kernel.Table) (*part, error) {
	p := newPart([]*kernel.Table{t})
	var err error
	if p.written, err = s.writeTables(n, p.tables); err != nil {
		return nil, n.failure(&catalog.Problem{Code: diag.CannotWrite, Text: err.Error(),
			Hint: "Name a folder with more room by --state-dir, or allow more memory by --memory-limit."})
	}
	p.tables, p.bytes = nil, 0
	return p, nil
}

// writeTables writes tables as a segment.
func (s *stream) writeTables(n *node, tables []*kernel.Table) (written, error) {
	store := s.opts.Store
	if store == nil {
		return written{}, errors.New("the state exceeds the memory limit, and there is no folder for it")
	}
	f, err := store.WriteFile(store.NextFile(), func(w io.Writer) error { return kernel.WriteSegment(w, tables) })
	if err != nil {
		return written{}, fmt.Errorf("write the state of %q: %w", n.Name, err)
	}
	segment, err := kernel.OpenSegment(store.Path(f))
	return written{segment, f}, err
}

// added takes note of rows that a worker has added to its table, and writes the table to disk when it has grown past its share of memory.
func (s *stream) added(n *node, worker int) error {
	t := n.tables[worker]
	if fresh := t.Fresh(); fresh < n.fresh.Load() {
		n.lowerFresh(fresh)
	}
	if t.Bytes() <= s.tableLimit {
		return nil
	}
	p, err := s.spillTable(n, t)
	if err != nil {
		return err
	}
	n.tables[worker] = n.agg.NewTable()
	n.streamNode.mu.Lock()
	n.parts = append(n.parts, p)
	n.streamNode.mu.Unlock()
	return nil
}

func (n *streamNode) lowerFresh(to int64) {
	for {
		now := n.fresh.Load()
		if to >= now || n.fresh.CompareAndSwap(now, to) {
			return
		}
	}
}

// lateRows splits a batch into the rows that are in time for their window and those that are not; late is nil where there are none.
func lateRows(w plan.Windowing, mark int64, b *column.Batch) (inTime, late *column.Batch) {
	cut, ok := lateBefore(w, mark)
	if !ok {
		return b, nil
	}
	isLate := func(i int) bool { return int64(b.Time(i)) < cut }
	if b.Starts != nil {
		closed := mark - w.Lateness
		isLate = func(i int) bool { return b.Ends[i] <= closed }
	}
	any := false
	b.Each(func(i int) { any = any || isLate(i) })
	if !any {
		return b, nil
	}
	fine, gone := *b, *b
	fine.Sel, gone.Sel = make([]int32, 0, b.Len()), make([]int32, 0, b.Len())
	b.Each(func(i int) {
		if isLate(i) {
			gone.Sel = append(gone.Sel, int32(i))
		} else {
			fine.Sel = append(fine.Sel, int32(i))
		}
	})
	return &fine, &gone
}

// lateBefore returns the event time before which rows come too late, where all their windows have closed; ok is false where none is.
func lateBefore(w plan.Windowing, mark int64) (at int64, ok bool) {
	if mark < math.MinInt64/2+w.Lateness || mark == endMark {
		return 0, false
	}
	closed := mark - w.Lateness // windows that end by then take no more rows
	switch w.Kind {
	case plan.Fixed:
		return plan.FloorStart(closed-w.Size, w.Size, w.Offset) + w.Size, true
	case plan.Sliding:
		return plan.FloorStart(closed-w.Size, w.Period, w.Offset) + w.Period, true
	case plan.Sessions:
		return closed - w.Gap + 1, true
	}
	return 0, false
}
