package engine

import (
	"context"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// perWindow returns b with each row taken once for each of its windows, and the windows as columns.
func perWindow(w plan.Windowing, b *column.Batch) *column.Batch {
	if b.Starts != nil {
		return b
	}
	var rows []int32
	var starts, ends []int64
	b.Each(func(i int) {
		kernel.EachWindow(w, b, i, func(start, end int64) {
			rows, starts, ends = append(rows, int32(i)), append(starts, start), append(ends, end)
		})
	})
	out := take(b, rows)
	out.Starts, out.Ends = starts, ends
	return out
}

// take returns the rows of b at those indices, which may repeat, as a batch of its own.
func take(b *column.Batch, rows []int32) *column.Batch {
	out := &column.Batch{N: len(rows), Origin: b.Origin, ServerTimes: b.ServerTimes, Rows: make([]int32, len(rows))}
	for _, c := range b.Cols {
		out.Cols = append(out.Cols, column.Gather(c, rows))
	}
	for k, i := range rows {
		out.Rows[k] = b.RowNumber(int(i))
	}
	out.Times, out.Starts, out.Ends = pick(b.Times, rows), pick(b.Starts, rows), pick(b.Ends, rows)
	return out
}

func pick(values []int64, rows []int32) []int64 {
	if values == nil {
		return nil
	}
	out := make([]int64, len(rows))
	for k, i := range rows {
		out[k] = values[i]
	}
	return out
}

type windowStep struct{ base }

// push lets the window follow from the event time again.
func (s *windowStep) push(ctx context.Context, b *column.Batch, _ int) error {
	out := *b
	out.Starts, out.Ends = nil, nil
	return s.w.emit(ctx, s.n, 0, &out)
}

type mergeStep struct{ base }

// push passes the batch on, with its windows as columns where another input has them so.
func (s *mergeStep) push(ctx context.Context, b *column.Batch, input int) error {
	if s.n.Out[0].Explicit && b.Starts == nil {
		b = perWindow(s.w.run.plan.Port(s.n.In[input]).Window, b)
	}
	return s.w.emit(ctx, s.n, 0, b)
}
