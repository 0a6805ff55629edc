package engine

import (
	"context"
	"fmt"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// mapStep computes the columns of the output, one program each.
type mapStep struct {
	base
	programs []*kernel.Program
	context  bool // programs read windows: rows in several windows are taken once for each
}

func newMapStep(b base, op *plan.Map) *mapStep {
	s := &mapStep{base: b, context: op.Context}
	for _, e := range op.Exprs {
		s.programs = append(s.programs, kernel.Compile(e, b.in.Schema))
	}
	return s
}

func (s *mapStep) push(ctx context.Context, b *column.Batch, _ int) error {
	if s.context && s.in.Window.Kind == plan.Sliding {
		b = perWindow(s.in.Window, b)
	}
	out := *b
	out.Cols = make([]*column.Vector, len(s.programs))
	var failures []kernel.Failure
	for i, p := range s.programs {
		v, failed := p.Run(b, s.in)
		failures = mergeFailures(failures, failed)
		if want := s.n.Out[0].Schema[i].Type; !v.Type.Equal(want) {
			var err error
			if v, err = column.Convert(v, want); err != nil {
				return fmt.Errorf("field %q: %w", s.n.Out[0].Schema[i].Name, err)
			}
		}
		out.Cols[i] = v
	}
	if len(failures) > 0 {
		rest, err := s.fail(ctx, b, failures)
		if err != nil {
			return err
		}
		out.Sel = rest.Sel
	}
	return s.w.emit(ctx, s.n, 0, &out)
}

// mergeFailures merges two lists by row. Where both have a row, the first one's error counts.
func mergeFailures(a, b []kernel.Failure) []kernel.Failure {
	if len(a) == 0 {
		return append(a, b...)
	}
	if len(b) == 0 {
		return a
	}
	out := make([]kernel.Failure, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Row < b[0].Row:
			out, a = append(out, a[0]), a[1:]
		case len(a) == 0 || b[0].Row < a[0].Row:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return out
}

// filterStep narrows the selection.
type filterStep struct {
	base
	keep *kernel.Program
	sel  []int32
}

// sparse is how many rows a batch must have for each that counts before a filter copies those that count: what
// follows then no longer computes over the others.
const sparse = 8

func (s *filterStep) push(ctx context.Context, b *column.Batch, _ int) error {
	sel, failures := s.keep.Select(b, s.in, s.sel)
	s.sel = sel
	if _, err := s.fail(ctx, b, failures); err != nil {
		return err
	}
	out := *b
	out.Sel = sel
	if len(sel)*sparse < b.N && len(sel) > 0 {
		return s.w.emit(ctx, s.n, 0, column.Compact(&out))
	}
	return s.w.emit(ctx, s.n, 0, &out)
}

// routeStep sends rows to the port that an expression names.
type routeStep struct {
	base
	by      *kernel.Program
	ports   map[string]int
	unknown int
	sels    [][]int32
}

func newRouteStep(b base, op *plan.Route) *routeStep {
	s := &routeStep{base: b, by: kernel.Compile(op.By, b.in.Schema), ports: map[string]int{}, unknown: op.Unknown,
		sels: make([][]int32, len(op.Outputs))}
	for i, name := range op.Outputs {
		s.ports[name] = i
	}
	return s
}

func (s *routeStep) push(ctx context.Context, b *column.Batch, _ int) error {
	by, failures := s.by.Run(b, s.in)
	for i := range s.sels {
		s.sels[i] = s.sels[i][:0]
	}
	var unrouted []kernel.Failure
	eachBut(b, failures, func(i int) {
		port, err := s.port(by, i)
		if err != nil {
			unrouted = append(unrouted, kernel.Failure{Row: int32(i), Err: err})
			return
		}
		s.sels[port] = append(s.sels[port], int32(i))
	})
	if _, err := s.fail(ctx, b, mergeFailures(failures, unrouted)); err != nil {
		return err
	}
	for port, sel := range s.sels {
		if len(sel) == 0 { // a nil selection would be all rows
			continue
		}
		out := *b
		out.Sel = sel
		if err := s.w.emit(ctx, s.n, port, &out); err != nil {
			return err
		}
	}
	return nil
}

func (s *routeStep) port(by *column.Vector, i int) (int, error) {
	if !by.IsNull(i) && by.Type.Kind == column.String {
		if port, ok := s.ports[string(by.Bin(i))]; ok { // the compiler does not copy the key
			return port, nil
		}
	} else if name, ok := by.Value(i).(string); ok {
		if port, ok := s.ports[name]; ok {
			return port, nil
		}
	} else if !by.IsNull(i) {
		return 0, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("Returned output name '%s' of type %s from 'by' must be a string",
			expr.Str(by.Value(i)), by.Type.Kind)}
	}
	if s.unknown >= 0 {
		return s.unknown, nil
	}
	return 0, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("Unexpected output name %s from Partition, and there is no unknown_output",
		expr.Repr(by.Value(i)))}
}

// aggregateStep adds rows to the worker's table, and spills tables that have grown past their share of memory.
type aggregateStep struct {
	base
	table *kernel.Table
}

func (s *aggregateStep) push(ctx context.Context, b *column.Batch, _ int) error {
	stream := s.w.run.stream
	table := s.table
	if stream != nil {
		var err error
		if b, err = s.inTime(ctx, b); err != nil || b.Len() == 0 {
			return err
		}
		table = s.n.tables[s.w.id]
	}
	if f := table.Add(b); f != nil {
		failure := s.rowFailure(b, int(f.Row), f.Err).(*diag.Failure)
		failure.Err = fmt.Errorf("aggregate %q: %w", f.Agg, f.Err)
		return failure
	}
	switch {
	case stream != nil:
		return stream.added(s.n, s.w.id)
	case table.Bytes() > s.w.run.tableLimit:
		return s.w.run.spill(s.n, table)
	}
	return nil
}

// inTime passes on the rows of a stream that come after their windows have closed as late, and returns the others.
func (s *aggregateStep) inTime(ctx context.Context, b *column.Batch) (*column.Batch, error) {
	b, late := lateRows(s.in.Window, s.n.inMark, b)
	if late == nil {
		return b, nil
	}
	return b, s.w.emitLate(ctx, s.n, late)
}

// spill writes a table to disk.
func (r *run) spill(n *node, t *kernel.Table) error {
	n.spillOnce.Do(func() { n.spill, n.spillErr = kernel.NewSpill(r.opts.TempDir) })
	err := n.spillErr
	if err == nil {
		err = t.Spill(n.spill)
	}
	if err == nil {
		return nil
	}
	return n.failure(&catalog.Problem{Code: diag.CannotWrite, Text: err.Error(),
		Hint: "Name a folder with more room by --temp-dir, or allow more memory by --memory-limit."})
}

// callStep asks a connector for the rows that take the place of each row.
type callStep struct {
	base
	arg *kernel.Program
}

func (s *callStep) push(ctx context.Context, b *column.Batch, _ int) error {
	args, failures := s.arg.Run(b, s.in)
	builder := column.NewBuilder(column.RowOf(s.n.Out[0].Schema))
	var rows []int32
	var refused []kernel.Failure
	eachBut(b, failures, func(i int) {
		answer, err := s.n.caller.Call(ctx, args.Value(i))
		for _, row := range answer {
			if err == nil {
				err = builder.Append(row)
				rows = append(rows, int32(i))
			}
		}
		if err != nil {
			refused = append(refused, kernel.Failure{Row: int32(i), Err: err})
		}
	})
	if _, err := s.fail(ctx, b, mergeFailures(failures, refused)); err != nil {
		return err
	}
	empty := *b
	empty.Cols = nil
	out := take(&empty, rows)
	out.Cols = builder.Finish().Children
	return s.w.emit(ctx, s.n, 0, out)
}
