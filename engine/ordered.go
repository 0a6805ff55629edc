package engine

import (
	"context"
	"sync/atomic"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// foldStepper runs a function with a state over the rows of each key.
type foldStepper struct {
	make func() kernel.Fold
	args [][]*kernel.Program // of each worker
	port *plan.Port          // of the input
	gap  int64
}

func newFoldStepper(r *run, n *node, op *plan.Ordered) (*foldStepper, error) {
	fold, err := kernel.NewFold(op)
	if err != nil {
		return nil, err
	}
	s := &foldStepper{make: fold, port: r.plan.Port(n.In[0]), gap: op.Gap}
	for range r.opts.Parallelism {
		var args []*kernel.Program
		for _, e := range op.Args {
			args = append(args, kernel.Compile(e, s.port.Schema))
		}
		s.args = append(s.args, args)
	}
	return s, nil
}

func (s *foldStepper) forget() int64 { return s.gap }

func (s *foldStepper) append(dst []byte, value any) []byte {
	if f, ok := value.(kernel.Fold); ok {
		return f.Append(dst)
	}
	return dst
}

func (s *foldStepper) load(src []byte) (any, error) {
	f := s.make()
	return f, f.Load(src)
}

func (s *foldStepper) run(ctx context.Context, w *worker, n *node, b *column.Batch, of []keyRun) error {
	at := base{w: w, n: n, in: s.port}
	args := make([]*column.Vector, len(s.args[w.id]))
	var failures []kernel.Failure
	for i, p := range s.args[w.id] {
		v, failed := p.Run(b, s.port)
		args[i], failures = v, mergeFailures(failures, failed)
	}
	failed := map[int32]bool{}
	for _, f := range failures {
		failed[f.Row] = true
	}
	field := n.Out[0].Schema[len(n.Out[0].Schema)-1]
	builder := column.NewBuilder(field.Type)
	var refused []kernel.Failure
	values := make([]column.Value, len(args))
	var sel []int32
	for _, r := range of {
		if r.state.value == nil {
			r.state.value = s.make()
		}
		fold, last := r.state.value.(kernel.Fold), r.before
		for i := r.from; i < r.to; i++ {
			at := int64(b.Time(i))
			if s.gap > 0 && last != noMark && at-last > s.gap { // whether or not it has been dropped by now
				fold = s.make()
				r.state.value = fold
			}
			last = at
			if failed[int32(i)] {
				continue
			}
			for a, v := range args {
				values[a] = v.Value(i)
			}
			result, err := fold.Step(values)
			if err == nil {
				err = builder.Append(result)
			}
			if err != nil {
				refused = append(refused, kernel.Failure{Row: int32(i), Err: err})
				continue
			}
			sel = append(sel, int32(i))
		}
	}
	if _, err := at.fail(ctx, b, mergeFailures(failures, refused)); err != nil {
		return err
	}
	if len(sel) == 0 {
		return nil
	}
	picked := *b
	picked.Sel = sel
	out := *column.Compact(&picked)
	out.Cols = append(append([]*column.Vector(nil), out.Cols...), builder.Finish())
	return w.emit(ctx, n, 0, &out)
}

// driveOrdered runs an ordered function over bounded rows, which have been gathered by key.
func (r *run) driveOrdered(ctx context.Context, n *node, op *plan.Ordered) error {
	stepper, err := newFoldStepper(r, n, op)
	if err != nil {
		return err
	}
	var group atomic.Int64
	limit := r.opts.MemoryLimit / int64(2*len(r.workers))
	err = r.each(ctx, n, func(ctx context.Context, w *worker) error {
		for {
			g := group.Add(1) - 1
			if g >= kernel.KeyGroups {
				return nil
			}
			err := n.agg.Emit(ctx, int(g), n.tables, n.spill, r.opts.BatchRows, limit, func(b *column.Batch) error {
				rows, runs := n.gather.rows(n.ID, b)
				return stepper.run(ctx, w, n, rows, runs)
			})
			if err != nil {
				return err
			}
		}
	})
	n.tables = nil // their memory is for what comes after
	return err
}

// rows returns the rows of groups, those of a key one after another, with a new state for each key.
func (g *gather) rows(source int, b *column.Batch) (*column.Batch, []keyRun) {
	lists := b.Cols[len(b.Cols)-1]
	first, last := int(lists.Offsets[0]), int(lists.Offsets[b.N])
	all := column.Slice(lists.Children[0], first, last)
	fields := len(all.Children) - 3 // time and window stand last
	rows := &column.Batch{N: last - first, Cols: all.Children[:fields], Times: all.Children[fields].Ints, Origin: &column.Origin{Source: source}}
	if g.explicit {
		rows.Starts, rows.Ends = all.Children[fields+1].Ints, all.Children[fields+2].Ints
	}
	runs := make([]keyRun, b.N)
	for i := range runs {
		runs[i] = keyRun{state: &keyState{}, before: noMark, from: int(lists.Offsets[i]) - first, to: int(lists.Offsets[i+1]) - first}
	}
	return rows, runs
}
