package kernel

import (
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// WindowOf returns the window [start, end) of row i: what the batch says, or what follows from the row's event time.
// A row that is in several sliding windows and carries none is told the last.
func WindowOf(w plan.Windowing, b *column.Batch, i int) (start, end int64) {
	if b.Starts != nil {
		return b.Starts[i], b.Ends[i]
	}
	t := int64(b.Time(i))
	switch w.Kind {
	case plan.Fixed:
		start = plan.FloorStart(t, w.Size, w.Offset)
		return start, start + w.Size
	case plan.Sliding:
		start = plan.FloorStart(t, w.Period, w.Offset)
		return start, start + w.Size
	case plan.Sessions:
		return t, t + w.Gap
	}
	return int64(column.MinInstant), int64(column.EndOfGlobalWindow)
}

// EachWindow calls f with each window [start, end) that row i is in, the last to start first: WindowOf, and the other
// sliding windows where the batch does not say which.
func EachWindow(w plan.Windowing, b *column.Batch, i int, f func(start, end int64)) {
	if b.Starts == nil && w.Kind == plan.Sliding {
		eachSliding(w, int64(b.Time(i)), func(start int64) { f(start, start+w.Size) })
		return
	}
	f(WindowOf(w, b, i))
}

// eachSliding calls f with the start of each sliding window that holds the instant t, or the slice that begins there.
func eachSliding(w plan.Windowing, t int64, f func(start int64)) {
	for s := plan.FloorStart(t, w.Period, w.Offset); s > t-w.Size; s -= w.Period {
		f(s)
	}
}

// windows assigns rows to windows, for grouping. A row of sliding windows goes to the one slice that holds it: slices divide
// windows, and are put together when groups are emitted.
type windows struct {
	plan.Windowing
	width  int64 // of a window or slice, where ends follow from starts
	starts []int64
	ends   []int64
	rows   []int32
}

func newWindows(w plan.Windowing) windows {
	out := windows{Windowing: w}
	switch w.Kind {
	case plan.Global:
		out.width = int64(column.EndOfGlobalWindow) - int64(column.MinInstant)
	case plan.Fixed:
		out.width = w.Size
	case plan.Sliding:
		out.width = gcd(w.Size, w.Period)
	case plan.Sessions:
		out.width = w.Gap
	}
	return out
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// of returns the window of each of those rows: their own, or what follows from their times. ends is nil where each is the start
// plus width. Where sliding windows have to be explicit, rows that carry none are repeated, once for each of their windows. All is valid
// until the next call.
func (w *windows) of(b *column.Batch, rows []int32, explicit bool) (_ []int32, starts, ends []int64) {
	if explicit && w.Kind == plan.Sliding && b.Starts == nil {
		return w.each(b, rows)
	}
	if cap(w.starts) < len(rows) {
		w.starts, w.ends = make([]int64, len(rows)), make([]int64, len(rows))
	}
	starts, ends = w.starts[:len(rows)], w.ends[:len(rows)]
	switch {
	case b.Starts != nil:
		for i, r := range rows {
			starts[i], ends[i] = b.Starts[r], b.Ends[r]
		}
		return rows, starts, ends
	case w.Kind == plan.Global:
		fillWith(starts, int64(column.MinInstant))
	case w.Kind == plan.Sessions:
		if b.Times == nil {
			fillWith(starts, int64(column.MinInstant))
		} else {
			for i, r := range rows {
				starts[i] = b.Times[r]
			}
		}
		return rows, starts, w.endsOf(starts)
	case b.Times == nil:
		fillWith(starts, plan.FloorStart(int64(column.MinInstant), w.width, w.Offset))
	default:
		last := plan.FloorStart(b.Times[rows[0]], w.width, w.Offset)
		for i, r := range rows {
			// Neighbours are mostly in one window, and a division is slow.
			if t := b.Times[r]; uint64(t-last) >= uint64(w.width) {
				last = plan.FloorStart(t, w.width, w.Offset)
			}
			starts[i] = last
		}
	}
	return rows, starts, w.endsOf(starts)
}

// each returns every row once for each sliding window that holds it.
func (w *windows) each(b *column.Batch, rows []int32) (_ []int32, starts, ends []int64) {
	w.rows, w.starts, w.ends = w.rows[:0], w.starts[:0], w.ends[:0]
	for _, r := range rows {
		EachWindow(w.Windowing, b, int(r), func(start, end int64) {
			w.rows, w.starts, w.ends = append(w.rows, r), append(w.starts, start), append(w.ends, end)
		})
	}
	return w.rows, w.starts, w.ends
}

// endsOf returns the ends of windows of the usual width.
func (w *windows) endsOf(starts []int64) []int64 {
	if cap(w.ends) < len(starts) {
		w.ends = make([]int64, len(starts))
	}
	ends := w.ends[:len(starts)]
	for i, s := range starts {
		ends[i] = s + w.width
	}
	return ends
}

func fillWith(values []int64, x int64) {
	for i := range values {
		values[i] = x
	}
}
