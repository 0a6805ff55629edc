package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

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
	p.SetWorkers(r.opts.Parallelism)
	if op.Ordered && r.stream == nil {
		r.gatherRows(n, op.Keys)
	}
	if err := p.Start(ctx, r.opts.Models, r.opts.Log); err != nil {
		return err
	}
	r.opts.Progress.setModel(n.ID, p.Metrics)
	return nil
}

// gathered is the field of a group that holds its rows.
const gathered = "rows"

// gatherRows makes the aggregation that brings the rows of each key together, in their order: by event time, then by their place in the
// source. Time and window are kept with a row.
func (r *run) gatherRows(n *node, keys []string) {
	in := r.plan.Port(n.In[0])
	n.gather = &gather{explicit: in.Explicit}
	schema := column.Schema{}
	for i, f := range in.Schema {
		schema = append(schema, column.Field{Name: fmt.Sprintf("f%d", i), Type: f.Type})
	}
	for _, key := range keys {
		n.gather.keys = append(n.gather.keys, fmt.Sprintf("f%d", in.Schema.Index(key)))
	}
	for _, name := range []string{"time", "start", "end"} {
		schema = append(schema, column.Field{Name: name, Type: column.IntType})
	}
	n.gather.in = &plan.Port{Name: plan.MainPort, Schema: schema}
	row := column.RowOf(schema)
	agg := &plan.Aggregate{Keys: n.gather.keys, Aggs: []plan.Agg{{Name: gathered, Fn: "group", Type: column.ListOf(row),
		Arg: &expr.Expr{Op: expr.OpRow, Type: row}}}}
	out := &plan.Port{Name: plan.MainPort, Explicit: true}
	for _, key := range n.gather.keys {
		out.Schema = append(out.Schema, schema[schema.Index(key)])
	}
	out.Schema = append(out.Schema, column.Field{Name: gathered, Type: column.ListOf(row)})
	n.agg = kernel.NewAggregation(agg, n.gather.in, out)
	for range r.opts.Parallelism {
		n.tables = append(n.tables, n.agg.NewTable())
	}
}

// gather is how rows are brought together for what takes them in order.
type gather struct {
	in       *plan.Port // rows with their time and window as fields
	keys     []string
	explicit bool // rows carry their windows
}

// gatherStep adds rows to the worker's table.
type gatherStep struct {
	aggregateStep
}

func (s *gatherStep) push(ctx context.Context, b *column.Batch, input int) error {
	out := *b
	out.Cols = append([]*column.Vector(nil), b.Cols...)
	times := &column.Vector{Type: column.IntType, N: b.N, Ints: make([]int64, b.N)}
	starts, ends := &column.Vector{Type: column.IntType, N: b.N, Ints: b.Starts}, &column.Vector{Type: column.IntType, N: b.N, Ints: b.Ends}
	for i := range b.N {
		times.Ints[i] = int64(b.Time(i))
	}
	if b.Starts == nil {
		starts.Ints, ends.Ints = times.Ints, times.Ints // unused: the window follows from the time
	}
	out.Cols = append(out.Cols, times, starts, ends)
	out.Starts, out.Ends = nil, nil
	return s.aggregateStep.push(ctx, &out, input)
}

// driveInfer runs a model with a state over the keys. Each worker takes a part of the key groups; of the keys that it has gathered the
// n-th rows are run together.
func (r *run) driveInfer(ctx context.Context, n *node, op *plan.Infer) error {
	var group atomic.Int64
	limit := r.opts.MemoryLimit / int64(2*len(r.workers))
	err := r.each(ctx, n, func(ctx context.Context, w *worker) error {
		o := &orderedRun{step: newInferStep(base{w: w, n: n, in: r.plan.Port(n.In[0])}, op)}
		for {
			g := group.Add(1) - 1
			if g >= kernel.KeyGroups {
				return o.flush(ctx)
			}
			err := n.agg.Emit(ctx, int(g), n.tables, n.spill, r.opts.BatchRows, limit, func(b *column.Batch) error { return o.add(ctx, b) })
			if err != nil {
				return err
			}
		}
	})
	n.tables = nil // their memory is for what comes after
	return err
}

// maxGathered is how many rows, and maxGatheredKeys how many keys, a worker holds before it runs them.
const (
	maxGathered     = 1 << 16
	maxGatheredKeys = 256
)

// orderedRun is keys with their rows, on their way through a model with a state.
type orderedRun struct {
	step *inferStep
	keys []*column.Vector // the rows of each key: a column of rows
	rows int
}

// add takes groups.
func (o *orderedRun) add(ctx context.Context, b *column.Batch) error {
	lists := b.Cols[len(b.Cols)-1]
	for i := range b.N {
		from, to := int(lists.Offsets[i]), int(lists.Offsets[i+1])
		index := make([]int32, 0, to-from) // the groups are valid for this call alone
		for k := from; k < to; k++ {
			index = append(index, int32(k))
		}
		o.keys = append(o.keys, column.Gather(lists.Children[0], index))
		if o.rows += to - from; o.rows >= maxGathered || len(o.keys) >= maxGatheredKeys {
			if err := o.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush runs what has been gathered: in each turn the next row of every key.
func (o *orderedRun) flush(ctx context.Context) error {
	states := make([]task.State, len(o.keys))
	for turn := 0; len(o.keys) > 0; turn++ {
		var rows []*column.Vector
		var live []*task.State
		for k, key := range o.keys {
			if turn < key.N {
				rows, live = append(rows, column.Slice(key, turn, turn+1)), append(live, &states[k])
			}
		}
		if len(rows) == 0 {
			break
		}
		joined, err := concatRows(rows)
		if err != nil {
			return err
		}
		if err := o.predict(ctx, joined, live); err != nil {
			return err
		}
	}
	o.keys, o.rows = nil, 0
	return nil
}

// concatRows puts columns of rows one after another.
func concatRows(rows []*column.Vector) (*column.Vector, error) {
	if len(rows) == 1 {
		return rows[0], nil
	}
	b := column.NewBuilder(rows[0].Type)
	for _, r := range rows {
		for i := range r.N {
			b.AppendFrom(r, i)
		}
	}
	return b.Finish(), nil
}

// predict predicts one row of each of several keys.
func (o *orderedRun) predict(ctx context.Context, rows *column.Vector, states []*task.State) error {
	fields := len(rows.Children) - 3 // time and window stand last
	b := &column.Batch{N: rows.N, Cols: rows.Children[:fields], Times: rows.Children[fields].Ints, Origin: &column.Origin{Source: o.step.n.ID}}
	if o.step.in.Explicit {
		b.Starts, b.Ends = rows.Children[fields+1].Ints, rows.Children[fields+2].Ints
	}
	return o.step.predictStates(ctx, b, states)
}

// predictStates predicts rows of different keys, given the state of each.
func (s *inferStep) predictStates(ctx context.Context, b *column.Batch, states []*task.State) error {
	return s.predictWith(ctx, b, func(in *task.Rows, numbers []int32) (*column.Vector, []int32, []task.Failure, error) {
		of, times := make([]*task.State, in.N), make([]column.Instant, in.N)
		for i := range of {
			row := i
			if numbers != nil {
				row = int(numbers[i])
			}
			of[i], times[i] = states[row], b.Time(row)
		}
		return s.n.predictor.PredictOrdered(ctx, in, of, times)
	})
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
	return s.predictWith(ctx, b, func(rows *task.Rows, _ []int32) (*column.Vector, []int32, []task.Failure, error) {
		return s.n.predictor.Predict(ctx, rows)
	})
}

// predictFunc predicts rows, of which it is told the numbers in the batch that came in; nil: all.
type predictFunc func(rows *task.Rows, numbers []int32) (*column.Vector, []int32, []task.Failure, error)

// predictWith computes the inputs of the model, has f predict them, and passes the rows on.
func (s *inferStep) predictWith(ctx context.Context, b *column.Batch, f predictFunc) error {
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
		if rest.Len() == 0 {
			return nil
		}
		numbers := rest.Sel
		return s.predictWith(ctx, column.Compact(rest), func(rows *task.Rows, again []int32) (*column.Vector, []int32, []task.Failure, error) {
			if again != nil {
				return nil, nil, nil, errors.New("an input failed for other rows than before")
			}
			return f(rows, numbers)
		})
	}
	predictions, ok, failed, err := f(rows, nil)
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
		if len(ok) == 0 { // an empty selection would be all rows
			return nil
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
