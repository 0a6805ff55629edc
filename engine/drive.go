package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// drive runs all workers on one root until its input has ended. It does nothing for a node that is no root.
func (r *run) drive(ctx context.Context, n *node) error {
	var err error
	switch op := n.Op.(type) {
	case *plan.Source:
		err = r.driveSource(ctx, n)
	case *plan.Aggregate:
		err = r.driveAggregate(ctx, n)
	case *plan.Ordered:
		err = r.driveOrdered(ctx, n, op)
	case *plan.Infer:
		if !op.Ordered {
			return nil
		}
		err = r.driveInfer(ctx, n, op)
	default:
		return nil
	}
	if err == nil {
		n.counters.finished.Store(true)
	}
	return err
}

// each runs f in every worker at once and returns the first error; the context of the others is then cancelled.
func (r *run) each(ctx context.Context, n *node, f func(ctx context.Context, w *worker) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, w := range r.workers {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					cancel(&diag.Failure{Class: diag.Bug, Code: diag.Internal, Place: n.Place, Transform: n.Name,
						Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack()), Hint: "This is a fault of leat's: please report it with the pipeline."})
				}
			}()
			if err := f(ctx, w); err != nil {
				cancel(n.failure(err))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (r *run) driveSource(ctx context.Context, n *node) error {
	var (
		mu    sync.Mutex // Next has one caller at a time
		seq   int64
		ended bool
	)
	_, numbered := n.reader.(catalog.Resumable) // it numbers its morsels itself
	next := func(ctx context.Context, m *catalog.Morsel) error {
		mu.Lock()
		defer mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		if ended {
			return io.EOF
		}
		err := n.reader.Next(ctx, m)
		ended = err != nil
		if !numbered {
			m.Seq = seq
			seq++
		}
		return err
	}
	return r.each(ctx, n, func(ctx context.Context, w *worker) error {
		decoder := n.reader.NewDecoder()
		out := &sourceOut{ctx: ctx, w: w, n: n}
		var m catalog.Morsel
		for {
			err := next(ctx, &m)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				out.morsel = &m
				err = decoder.Decode(ctx, &m, out)
			}
			if err != nil {
				return err
			}
		}
	})
}

// sourceOut takes what a decoder makes of one morsel after another.
type sourceOut struct {
	ctx    context.Context
	w      *worker
	n      *node
	morsel *catalog.Morsel
}

var _ catalog.Out = (*sourceOut)(nil)

func (o *sourceOut) BatchRows() int { return o.w.run.opts.BatchRows }

func (o *sourceOut) Batch(b *column.Batch) error {
	if err := o.ctx.Err(); err != nil {
		return err
	}
	if b.Origin == nil {
		b.Origin = &column.Origin{File: o.morsel.File}
	}
	b.Origin.Source, b.Origin.Seq, b.Origin.Partition = o.n.ID, o.morsel.Seq, o.morsel.Partition
	o.n.threshold.rows(plan.Windowing{}, b)
	o.n.observe(b)
	return o.w.emit(o.ctx, o.n, 0, b)
}

func (o *sourceOut) Bad(r catalog.BadRecord) error {
	o.n.threshold.badRecord()
	if port, ok := o.n.errorsConsumed(); ok {
		b := badRecordBatch(r)
		b.Origin = &column.Origin{Source: o.n.ID, Seq: o.morsel.Seq, File: r.File}
		b.Rows = []int32{r.Row}
		return o.w.emit(o.ctx, o.n, port, b)
	}
	origin := r.File
	if r.Line > 0 {
		origin = fmt.Sprintf("%s:%d", r.File, r.Line)
	}
	return &diag.Failure{Code: diag.BadRecord, Place: o.n.Place, Transform: o.n.Name, Origin: origin, Row: excerpt(string(r.Record)),
		Err: errors.New(r.Msg), Hint: "Give the transform an error_handling output to set such records aside."}
}

func badRecordBatch(r catalog.BadRecord) *column.Batch {
	schema := plan.BadRecordSchema()
	line := column.Value(nil)
	if r.Line > 0 {
		line = r.Line
	}
	b := &column.Batch{N: 1}
	for i, v := range []column.Value{r.Record, r.Msg, r.File, line} {
		builder := column.NewBuilder(schema[i].Type)
		if err := builder.Append(v); err != nil {
			panic(err) // the schema above is this row's
		}
		b.Cols = append(b.Cols, builder.Finish())
	}
	return b
}

// driveAggregate merges the workers' tables key group by key group and pushes the groups on.
func (r *run) driveAggregate(ctx context.Context, n *node) error {
	var group atomic.Int64
	limit := r.opts.MemoryLimit / int64(2*len(r.workers))
	err := r.each(ctx, n, func(ctx context.Context, w *worker) error {
		for {
			g := group.Add(1) - 1
			if g >= kernel.KeyGroups {
				return nil
			}
			origin := &column.Origin{Source: n.ID, Seq: g}
			var base int32 // a group's number within its key group does not depend on the batches
			var rows []int32
			err := n.agg.Emit(ctx, int(g), n.tables, n.spill, r.opts.BatchRows, limit, func(b *column.Batch) error {
				rows = rows[:0]
				for i := range int32(b.N) {
					rows = append(rows, base+i)
				}
				base += int32(b.N)
				b.Origin, b.Rows = origin, rows
				return w.emit(ctx, n, 0, b)
			})
			if err != nil {
				return err
			}
		}
	})
	n.tables = nil // their memory is for what comes after
	return err
}
