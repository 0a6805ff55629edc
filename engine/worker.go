package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// worker is one of the goroutines that push batches through the plan. Each has steps of its own, so that
// programs and encoders keep their scratch memory to themselves.
type worker struct {
	run   *run
	id    int
	steps []step // one for each node; nil for sources

	// In a stream:
	read   time.Time     // when the piece that is being pushed was read; zero: rows of windows are
	within time.Duration // spent in the nodes after the one that is being pushed
	in     atomic.Int64  // the node that is being pushed, plus 1; 0: none
	since  atomic.Int64  // when that began, Unix nanoseconds
}

// where returns the node that a batch is in, and for how long.
func (w *worker) where(now time.Time) (n *node, since time.Duration) {
	began, id := w.since.Load(), w.in.Load()
	if id == 0 {
		return nil, 0
	}
	return w.run.nodes[id-1], max(now.Sub(time.Unix(0, began)), 0)
}

// step is a node as one worker runs it.
type step interface {
	// push takes a batch of one input and emits what becomes of it before it returns.
	push(ctx context.Context, b *column.Batch, input int) error
}

func newWorker(r *run, id int) (*worker, error) {
	w := &worker{run: r, id: id, steps: make([]step, len(r.nodes))}
	for i, n := range r.nodes {
		if len(n.In) == 0 {
			continue
		}
		base := base{w: w, n: n, in: r.plan.Port(n.In[0])}
		switch op := n.Op.(type) {
		case *plan.Sink:
			w.steps[i] = &sinkStep{base: base, encoder: n.writer.NewEncoder()}
		case *plan.Map:
			w.steps[i] = newMapStep(base, op)
		case *plan.Filter:
			w.steps[i] = &filterStep{base: base, keep: kernel.Compile(op.Keep, base.in.Schema)}
		case *plan.Explode:
			w.steps[i] = newExplodeStep(base, op)
		case *plan.Route:
			w.steps[i] = newRouteStep(base, op)
		case *plan.AssignTime:
			w.steps[i] = &timeStep{base: base, time: compileOptional(op.Time, base.in.Schema)}
		case *plan.Window:
			w.steps[i] = &windowStep{base: base}
		case *plan.Merge:
			w.steps[i] = &mergeStep{base: base}
		case *plan.Call:
			w.steps[i] = &callStep{base: base, arg: kernel.Compile(op.Arg, base.in.Schema)}
		case *plan.Infer:
			if op.Ordered && r.stream != nil {
				w.steps[i] = &keyedStep{base}
			} else if op.Ordered {
				w.steps[i] = &gatherStep{aggregateStep{base: base, table: n.tables[id]}}
			} else {
				w.steps[i] = newInferStep(base, op)
			}
		case *plan.Ordered:
			if r.stream != nil {
				w.steps[i] = &keyedStep{base}
			} else {
				w.steps[i] = &gatherStep{aggregateStep{base: base, table: n.tables[id]}}
			}
		case *plan.Aggregate:
			w.steps[i] = &aggregateStep{base: base, table: n.tables[id]}
		}
	}
	return w, nil
}

// emit passes a batch on to all consumers of a port. Batches without rows go no further.
func (w *worker) emit(ctx context.Context, n *node, port int, b *column.Batch) error {
	rows := int64(b.Len())
	if rows == 0 {
		return nil
	}
	if n.Out[port].Name == plan.ErrorsPort {
		n.counters.errors.Add(rows)
	} else {
		n.counters.rows.Add(rows)
	}
	for _, e := range n.consumers[port] {
		w.run.nodes[e.to].threshold.rows(n.Out[port].Window, b)
		if err := w.push(ctx, e, b); err != nil {
			return err
		}
	}
	return nil
}

// push passes a batch on to one node, and in a stream counts the time that is spent there.
func (w *worker) push(ctx context.Context, e edge, b *column.Batch) error {
	if w.run.stream == nil {
		return w.steps[e.to].push(ctx, b, e.input)
	}
	before, began, outer := w.within, time.Now(), w.in.Load()
	w.within = 0
	w.since.Store(began.UnixNano())
	w.in.Store(int64(e.to) + 1)
	err := w.steps[e.to].push(ctx, b, e.input)
	took := time.Since(began)
	w.in.Store(outer)
	w.since.Store(began.Add(took).UnixNano())
	w.run.nodes[e.to].busy.Add(int64(took - w.within))
	w.within = before + took
	return err
}

// emitLate counts rows that came too late, and passes them on where the late output is read.
func (w *worker) emitLate(ctx context.Context, n *node, b *column.Batch) error {
	n.late.Add(int64(b.Len()))
	port, ok := n.Late()
	if !ok {
		return nil
	}
	for _, e := range n.consumers[port.Port] {
		if err := w.push(ctx, e, b); err != nil {
			return err
		}
	}
	return nil
}

// flush hands what the encoders hold on to the writers.
func (w *worker) flush(ctx context.Context) error {
	for i, s := range w.steps {
		if s, ok := s.(*sinkStep); ok {
			if err := s.encoder.Flush(ctx); err != nil {
				return w.run.nodes[i].failure(err)
			}
		}
	}
	return nil
}

// base is what all steps have.
type base struct {
	w  *worker
	n  *node
	in *plan.Port // of the first input
}

// errorsConsumed returns the number of the error port and whether anything reads it.
func (n *node) errorsConsumed() (int, bool) {
	for i := range n.Out {
		if n.Out[i].Name == plan.ErrorsPort {
			return i, len(n.consumers[i]) > 0
		}
	}
	return 0, false
}

// fail sets the failing rows aside: into the error output where it is read, else the run ends with the first of them. It
// returns the batch without them.
func (s *base) fail(ctx context.Context, b *column.Batch, failures []kernel.Failure) (*column.Batch, error) {
	if len(failures) == 0 {
		return b, nil
	}
	port, ok := s.n.errorsConsumed()
	if !ok {
		return nil, s.rowFailure(b, int(failures[0].Row), failures[0].Err)
	}
	for _, f := range failures {
		s.n.threshold.failed(s.in.Window, b, int(f.Row))
	}
	if err := s.w.emit(ctx, s.n, port, s.errorBatch(b, failures)); err != nil {
		return nil, err
	}
	return without(b, failures), nil
}

// rowFailure is the error of a row that nothing takes.
func (s *base) rowFailure(b *column.Batch, row int, err error) error {
	f := &diag.Failure{Code: diag.RowFailed, Place: s.n.Place, Transform: s.n.Name, Origin: b.Where(row), Err: err}
	if len(b.Cols) == len(s.in.Schema) {
		f.Row = excerpt(expr.Repr(kernel.RowOf(b, s.in.Schema, row)))
	}
	if _, ok := s.n.errorsConsumed(); !ok && s.hasErrors() {
		f.Hint = "Give the transform an error_handling output to set such rows aside."
	}
	return f
}

func (s *base) hasErrors() bool {
	t := catalog.LookUp(s.n.Transform)
	return t != nil && t.Errors
}

// errorBatch makes the error records of failing rows: the row whole, the exception, and where it happened.
func (s *base) errorBatch(b *column.Batch, failures []kernel.Failure) *column.Batch {
	rows := make([]int32, len(failures))
	msg, stack := column.NewBuilder(column.StringType), column.NewBuilder(column.StringType)
	for i, f := range failures {
		rows[i] = f.Row
		where := "transform \"" + s.n.Name + "\" at " + s.n.Place.String()
		if at := b.Where(int(f.Row)); at != "" {
			where += ", row from " + at
		}
		for builder, text := range map[*column.Builder]string{msg: exceptionText(f.Err), stack: where} {
			if err := builder.Append(text); err != nil {
				panic(err) // a string fits a column of strings
			}
		}
	}
	picked := *b
	picked.Sel = rows
	out := column.Compact(&picked)
	element := &column.Vector{Type: column.RowOf(s.in.Schema), N: len(rows), Children: out.Cols}
	out.Cols = []*column.Vector{element, msg.Finish(), stack.Finish()}
	return out
}

// exceptionText prints an exception as Python's repr does: ZeroDivisionError('division by zero').
func exceptionText(err error) string {
	var e *expr.Exception
	if !errors.As(err, &e) {
		return err.Error()
	}
	if e.Msg == "" {
		return e.Class + "()"
	}
	return e.Class + "(" + expr.Repr(e.Msg) + ")"
}

// without returns b with the failing rows taken out of its selection.
func without(b *column.Batch, failures []kernel.Failure) *column.Batch {
	out := *b
	out.Sel = make([]int32, 0, b.Len())
	eachBut(b, failures, func(i int) { out.Sel = append(out.Sel, int32(i)) })
	return &out
}

// eachBut calls f with the index of each row that counts and is not among the failures.
func eachBut(b *column.Batch, failures []kernel.Failure, f func(i int)) {
	b.Each(func(i int) {
		for len(failures) > 0 && int(failures[0].Row) < i {
			failures = failures[1:]
		}
		if len(failures) == 0 || int(failures[0].Row) != i {
			f(i)
		}
	})
}

// excerptLength is how much of a row an error shows, in characters.
const excerptLength = 240

func excerpt(s string) string {
	if r := []rune(s); len(r) > excerptLength {
		return string(r[:excerptLength]) + "…"
	}
	return s
}
