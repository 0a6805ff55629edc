package engine

import (
	"context"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/task"
)

// openPredictor binds a prediction to its model and loads it. All workers share the sessions.
func (r *run) openPredictor(ctx context.Context, n *node, op *plan.Infer) error {
	p, err := task.Open(op.Task, op.Model, op.Config)
	if err != nil {
		return err
	}
	n.predictor = p
	r.opts.Progress.setModel(n.ID, p.Metrics)
	return p.Start(ctx, r.opts.Models, r.opts.Log)
}

// inferStep predicts rows by a model. Rows stay in their order and none is held back: a batch that comes in is predicted before
// the call returns.
type inferStep struct {
	base
	op      *plan.Infer
	inputs  []*kernel.Program // nil: an optional input that is not given
	example *kernel.Program   // nil: the row
}

func newInferStep(b base, op *plan.Infer) *inferStep {
	s := &inferStep{base: b, op: op}
	for _, e := range op.Inputs {
		s.inputs = append(s.inputs, compileOptional(e, b.in.Schema))
	}
	s.example = compileOptional(op.Example, b.in.Schema)
	return s
}

func compileOptional(e *expr.Expr, in column.Schema) *kernel.Program {
	if e == nil {
		return nil
	}
	return kernel.Compile(e, in)
}

func (s *inferStep) push(ctx context.Context, b *column.Batch, _ int) error {
	if b.Sel != nil {
		b = column.Compact(b)
	}
	for from := 0; from < b.N; {
		to := min(from+s.n.predictor.ChunkRows(), b.N)
		if err := s.predict(ctx, sliceBatch(b, from, to)); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// predict predicts the rows of a batch of which all count.
func (s *inferStep) predict(ctx context.Context, b *column.Batch) error {
	rows := &task.Rows{N: b.N, Cols: make([]*column.Vector, len(s.inputs))}
	var failures []kernel.Failure
	for i, p := range s.inputs {
		if p != nil {
			v, failed := p.Run(b, s.in)
			rows.Cols[i], failures = v, mergeFailures(failures, failed)
		}
	}
	if len(failures) > 0 { // the inputs of the others are computed again, in a batch without those rows
		rest, err := s.fail(ctx, b, failures)
		if err != nil {
			return err
		}
		return s.push(ctx, rest, 0)
	}
	predictions, ok, failed, err := s.n.predictor.Predict(ctx, rows)
	if err != nil {
		return err
	}
	for _, f := range failed {
		failures = append(failures, kernel.Failure{Row: f.Row, Err: f.Err})
	}
	if len(failures) > 0 {
		if _, err := s.fail(ctx, b, failures); err != nil {
			return err
		}
		picked := *b
		picked.Sel = ok
		if b = column.Compact(&picked); b.N == 0 {
			return nil
		}
	}
	return s.w.emit(ctx, s.n, 0, s.output(b, predictions))
}

// output adds the prediction to rows. The example shares the columns of the rows.
func (s *inferStep) output(b *column.Batch, predictions *column.Vector) *column.Batch {
	schema := s.n.Out[0].Schema
	field := schema[len(schema)-1]
	example := &column.Vector{Type: field.Type.Fields[0].Type, N: b.N, Children: b.Cols}
	if s.example != nil {
		example, _ = s.example.Run(b, s.in) // it has been run for these rows before, as an input
	}
	out := *b
	out.Cols = append(append([]*column.Vector(nil), b.Cols...), &column.Vector{Type: field.Type, N: b.N,
		Children: []*column.Vector{example, predictions, repeated(s.n.predictor.ModelID, b.N)}})
	return &out
}

// repeated is a column of n times the same string, which is stored n times: strings of a column lie one after another.
func repeated(s string, n int) *column.Vector {
	v := &column.Vector{Type: column.StringType, N: n, Offsets: make([]int32, n+1), Data: make([]byte, 0, n*len(s))}
	for i := range n {
		v.Data = append(v.Data, s...)
		v.Offsets[i+1] = int32(len(v.Data))
	}
	return v
}

// sliceBatch returns rows [from, to) of a batch of which all rows count.
func sliceBatch(b *column.Batch, from, to int) *column.Batch {
	if from == 0 && to == b.N {
		return b
	}
	out := *b
	out.N = to - from
	out.Cols = make([]*column.Vector, len(b.Cols))
	for i, c := range b.Cols {
		out.Cols[i] = column.Slice(c, from, to)
	}
	out.Times, out.Starts, out.Ends = cut(b.Times, from, to), cut(b.Starts, from, to), cut(b.Ends, from, to)
	out.Rows = make([]int32, out.N)
	for i := range out.Rows {
		out.Rows[i] = b.RowNumber(from + i)
	}
	return &out
}
