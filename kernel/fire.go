package kernel

import (
	"context"
	"math"
	"slices"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// In a stream windows fire one after another. There are two ways to it.
//
// A window that gives one pane, and does not grow, fires when the watermark passes its end and is never looked at again. Nothing is rewritten then: tables
// and spills stay as they are, firings take from them only the groups whose windows end in their span, and a table is dropped when all its windows
// have ended.
//
// Where windows may fire more than once, or merge (sessions), a firing rewrites the state: what is still open goes to a new table.

// NewStreamAggregation prepares an aggregation of unbounded rows: windows fire as the watermark passes them, or as their triggers say.
func NewStreamAggregation(a *plan.Aggregate, in, out *plan.Port) *Aggregation {
	g := newAggregation(a, in, out, in.Window.Panes())
	g.stream = true
	return g
}

// Rewrites reports whether firings rewrite the state: what Fire is to keep then goes to Firing.Rest.
func (a *Aggregation) Rewrites() bool { return a.panes || a.in.Window.Kind == plan.Sessions }

// Firing says which windows fire.
type Firing struct {
	From, To    int64  // the watermark before and now: windows end in (From, To]
	Early, Late bool   // the delay of early (late) firings is over: windows with rows since their last pane fire
	Rest        *Table // takes the groups that stay, where firings rewrite the state
}

// Compact puts what tables and spills hold of a key group of windows that have not ended by mark into rest, as far as firings do not rewrite the state anyway.
func (a *Aggregation) Compact(ctx context.Context, group int, tables []*Table, spills []*Spill, mark int64, rest *Table, memLimit int64) error {
	f := &firing{Firing: Firing{From: mark, To: math.MaxInt64}, agg: a, into: rest}
	e := &emitter{agg: a, group: group, batchRows: 1, limit: memLimit, fire: f}
	return e.run(ctx, tables, spills)
}

// Fire passes on the groups of a key group whose windows fire, as Emit does. No table may change meanwhile but Rest, which no other call may use at the same time.
func (a *Aggregation) Fire(ctx context.Context, group int, tables []*Table, spills []*Spill, f Firing, batchRows int, memLimit int64, out func(*column.Batch) error) error {
	e := &emitter{agg: a, group: group, batchRows: max(batchRows, 1), limit: memLimit, out: out, fire: &firing{Firing: f, agg: a, rest: f.Rest}}
	return e.run(ctx, tables, spills)
}

// firing is a Firing under way. The nil firing takes all.
type firing struct {
	Firing
	agg  *Aggregation
	rest *Table
	into *Table // nothing fires: groups are only put together here
}

// wants reports whether windows that end there can fire or have to stay.
func (f *firing) wants(end int64) bool {
	return f == nil || f.rest != nil || f.From < end && end <= f.To
}

// wantsGroup reports whether a group, perhaps a slice, is part of a window that is wanted.
func (f *firing) wantsGroup(start, end int64) bool {
	w := f.agg.in.Window
	if w.Kind == plan.Sliding && !f.agg.explicit {
		return start < f.To && start+w.Size > f.From
	}
	return f.wants(end)
}

// alive returns the groups that are wanted.
func (f *firing) alive(t *Table, ids []uint32) []uint32 {
	if f == nil || f.rest != nil {
		return ids
	}
	var out []uint32
	for _, n := range ids {
		if f.wantsGroup(t.startOf(n), t.endOf(n)) {
			out = append(out, n)
		}
	}
	return out
}

// aliveOf returns the partial groups that are wanted.
func (f *firing) aliveOf(b *column.Batch) *column.Batch {
	if f == nil || f.rest != nil {
		return b
	}
	starts, ends := b.Cols[wordStart].Ints, b.Cols[wordEnd].Ints
	rows := make([]int32, 0, b.N)
	for i := range b.N {
		if f.wantsGroup(starts[i], ends[i]) {
			rows = append(rows, int32(i))
		}
	}
	if len(rows) == b.N {
		return b
	}
	out := *b
	out.Sel = rows
	return column.Compact(&out)
}

// settle passes on the groups that fire, and keeps what stays.
func (e *emitter) settle(ctx context.Context, t *Table, ids []uint32) error {
	f, w := e.fire, e.agg.in.Window
	was, closed := closedBy(w, f.From), closedBy(w, f.To)
	fires, stays := make([]uint32, 0, len(ids)), make([]uint32, 0, len(ids))
	for _, id := range ids {
		r := t.groups.row(id)
		end, rows, seen := int64(r[wordEnd]), int64(r[wordRows]), int64(0)
		if end <= was { // a row came in time for later ones of its sliding windows
			continue
		}
		if e.agg.panes {
			seen = int64(r[e.agg.width-1])
		}
		fire := f.fires(w, end, rows, seen)
		if fire {
			fires = append(fires, id)
		}
		if end <= closed || fire && !w.Accumulating {
			continue
		}
		if fire && e.agg.panes {
			r[e.agg.width-1] = uint64(rows) // no one else reads the groups of this key group now
		}
		stays = append(stays, id)
	}
	if err := e.finish(ctx, t, fires); err != nil {
		return err
	}
	return e.move(t, stays, f.rest)
}

// closedBy returns by when windows have ended that take no more rows, given the watermark.
func closedBy(w plan.Windowing, mark int64) int64 {
	if mark < math.MinInt64+w.Lateness {
		return math.MinInt64
	}
	return mark - w.Lateness
}

// move puts groups of one table into another.
func (e *emitter) move(from *Table, ids []uint32, to *Table) error {
	for len(ids) > 0 {
		n := from.take(ids, exportRows)
		if err := to.merge(from.export(ids[:n], e.partials), nil, nil); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// fires reports whether a window fires that ends then and has so many rows, of which so many have been in a pane.
func (f *firing) fires(w plan.Windowing, end, rows, seen int64) bool {
	fresh := rows - seen
	switch {
	case fresh == 0:
		return false
	case end > f.To:
		return w.Early.Count > 0 && fresh >= w.Early.Count || w.Early.Delay > 0 && f.Early
	case end > f.From:
		return true
	}
	closed := end <= f.To-w.Lateness
	return closed || w.Late == (plan.Firing{}) || w.Late.Count > 0 && fresh >= w.Late.Count || w.Late.Delay > 0 && f.Late
}

// ends are the ends of the windows of a table: which come next.
type ends struct {
	all  map[int64]struct{} // nil: not kept
	last int64              // the last one added, which the next is mostly equal to
	any  bool
	min  int64

	isFresh bool // groups have been made since Table.Fresh was asked
	fresh   int64
}

func (e *ends) add(end int64) {
	if !e.isFresh || end < e.fresh {
		e.fresh, e.isFresh = end, true
	}
	if e.any && e.last == end {
		return
	}
	if !e.any || end < e.min {
		e.min = end
	}
	e.last, e.any = end, true
	if e.all != nil {
		e.all[end] = struct{}{}
	}
}

func (e *ends) reset() {
	clear(e.all)
	e.any = false
}

// list returns the ends, sorted.
func (e *ends) list() []int64 {
	if e.all == nil {
		if !e.any {
			return nil
		}
		return []int64{e.min}
	}
	out := make([]int64, 0, len(e.all))
	for end := range e.all {
		out = append(out, end)
	}
	slices.Sort(out)
	return out
}

// Ends returns when windows of the table's groups end, sorted: all of them, or where firings rewrite the state the first, or an instant before. Slices of sliding
// windows count with their own ends.
func (t *Table) Ends() []int64 { return t.groups.ends.list() }

// Fresh returns the least end of the groups that are new since the last call, or the greatest number where there are none, or where no end is
// known to be new but rows have come: then 1 less.
func (t *Table) Fresh() int64 {
	e := &t.groups.ends
	fresh := int64(math.MaxInt64 - 1)
	if e.isFresh {
		fresh = e.fresh
	}
	e.isFresh = false
	return fresh
}

// Windowing returns how the rows are windowed.
func (a *Aggregation) Windowing() plan.Windowing { return a.in.Window }

// Empty reports whether the table has no groups.
func (t *Table) Empty() bool { return t.groups.n == 0 }

// NextEnd returns the first end of a window after an instant, given the sorted ends of a table; ok is false where there is none.
func (a *Aggregation) NextEnd(ends []int64, after int64) (next int64, ok bool) {
	w := a.in.Window
	if a.Rewrites() {
		if len(ends) == 0 {
			return 0, false
		}
		return max(ends[0], after+1), true
	}
	if w.Kind != plan.Sliding || a.explicit {
		i, found := slices.BinarySearch(ends, after)
		if found {
			i++
		}
		if i == len(ends) {
			return 0, false
		}
		return ends[i], true
	}
	next = math.MaxInt64
	for _, end := range ends { // of slices
		first, last := a.windowsOf(end)
		if last <= after {
			continue
		}
		if first <= after {
			first += (after-first)/w.Period*w.Period + w.Period
		}
		next = min(next, first)
	}
	return next, next != math.MaxInt64
}

// LastEnd returns when the last window has ended that the groups of a table with those ends are part of.
func (a *Aggregation) LastEnd(ends []int64) int64 {
	if len(ends) == 0 {
		return math.MinInt64
	}
	last := ends[len(ends)-1]
	if a.in.Window.Kind == plan.Sliding && !a.explicit {
		_, last = a.windowsOf(last)
	}
	return last
}

// windowsOf returns the ends of the first and the last window that a slice is part of.
func (a *Aggregation) windowsOf(sliceEnd int64) (first, last int64) {
	w := a.in.Window
	slice := gcd(w.Size, w.Period)
	start := plan.FloorStart(sliceEnd-slice, w.Period, w.Offset)
	last = start + w.Size
	return last - (w.Size-1-(sliceEnd-slice-start))/w.Period*w.Period, last
}
