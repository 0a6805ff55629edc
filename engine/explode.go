package engine

import (
	"context"
	"fmt"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// explodeStep replaces lists by their elements, a row each.
type explodeStep struct {
	base
	fields []int // columns that are exploded, in the order of the configuration
	cross  bool
}

func newExplodeStep(b base, op *plan.Explode) *explodeStep {
	s := &explodeStep{base: b, cross: op.Cross}
	for _, f := range op.Fields {
		s.fields = append(s.fields, b.in.Schema.Index(f))
	}
	return s
}

func (s *explodeStep) push(ctx context.Context, b *column.Batch, _ int) error {
	if len(s.fields) == 1 && b.Cols[s.fields[0]].Type.Kind == column.List {
		return s.pushList(ctx, b, s.fields[0])
	}
	rows := make([]int32, 0, b.Len())
	elems := make([]*column.Builder, len(s.fields))
	for k, f := range s.fields {
		elems[k] = column.NewBuilder(s.n.Out[0].Schema[f].Type)
	}
	var failures []kernel.Failure
	lists := make([][]column.Value, len(s.fields))
	b.Each(func(i int) {
		for k, f := range s.fields {
			list, err := elements(b.Cols[f].Value(i))
			if err != nil {
				failures = append(failures, kernel.Failure{Row: int32(i), Err: err})
				return
			}
			lists[k] = list
		}
		before := elems[0].Len()
		if err := s.explode(lists, elems); err != nil {
			failures = append(failures, kernel.Failure{Row: int32(i), Err: err})
			return
		}
		for range elems[0].Len() - before {
			rows = append(rows, int32(i))
		}
	})
	cols := make([]*column.Vector, len(elems))
	for k := range elems {
		cols[k] = elems[k].Finish()
	}
	return s.finish(ctx, b, failures, rows, cols)
}

// pushList explodes one column of lists without boxing: the elements are taken from the column beneath.
func (s *explodeStep) pushList(ctx context.Context, b *column.Batch, field int) error {
	list := b.Cols[field]
	var rows, elems []int32
	var failures []kernel.Failure
	b.Each(func(i int) {
		if list.IsNull(i) {
			_, err := elements(nil)
			failures = append(failures, kernel.Failure{Row: int32(i), Err: err})
			return
		}
		for k := list.Offsets[i]; k < list.Offsets[i+1]; k++ {
			rows, elems = append(rows, int32(i)), append(elems, k)
		}
	})
	col, err := column.Convert(column.Gather(list.Children[0], elems), s.n.Out[0].Schema[field].Type)
	if err != nil {
		return fmt.Errorf("field %q: %w", s.in.Schema[field].Name, err)
	}
	return s.finish(ctx, b, failures, rows, []*column.Vector{col})
}

// finish sets failures aside and emits the rows that the others explode to: rows[k] of b with the exploded fields from row
// k of cols.
func (s *explodeStep) finish(ctx context.Context, b *column.Batch, failures []kernel.Failure, rows []int32, cols []*column.Vector) error {
	if _, err := s.fail(ctx, b, failures); err != nil {
		return err
	}
	rest := *b
	rest.Cols = append([]*column.Vector(nil), b.Cols...)
	for _, f := range s.fields {
		rest.Cols[f] = &column.Vector{Type: column.NullType, N: b.N} // replaced below: not worth gathering
	}
	out := take(&rest, rows)
	for k, f := range s.fields {
		out.Cols[f] = cols[k]
	}
	return s.emitInBatches(ctx, out)
}

// explode appends the elements of the lists: all combinations, the last field turning fastest, or side by side with the
// shorter ones padded by null.
func (s *explodeStep) explode(lists [][]column.Value, to []*column.Builder) error {
	if !s.cross {
		longest := 0
		for _, l := range lists {
			longest = max(longest, len(l))
		}
		for i := range longest {
			for k, l := range lists {
				var v column.Value
				if i < len(l) {
					v = l[i]
				}
				if err := to[k].Append(v); err != nil {
					return err
				}
			}
		}
		return nil
	}
	total := 1
	for _, l := range lists {
		total *= len(l)
		if total > maxExploded {
			return &expr.Exception{Class: "OverflowError", Msg: fmt.Sprintf("a row explodes to more than %d rows", maxExploded)}
		}
	}
	for n := range total {
		for k := len(lists) - 1; k >= 0; k-- {
			l := lists[k]
			if err := to[k].Append(l[n%len(l)]); err != nil {
				return err
			}
			n /= len(l)
		}
	}
	return nil
}

// maxExploded is how many rows one row may explode to.
const maxExploded = 10_000_000

// elements returns what a value explodes to; a string to its characters, as in the reference.
func elements(v column.Value) ([]column.Value, error) {
	switch v := v.(type) {
	case *column.ListValue:
		return v.Elems, nil
	case *column.MapValue:
		return v.Keys, nil
	case string:
		out := make([]column.Value, 0, len(v))
		for _, r := range v {
			out = append(out, string(r))
		}
		return out, nil
	}
	return nil, &expr.Exception{Class: "TypeError", Msg: fmt.Sprintf("%s object is not iterable", expr.Repr(expr.TypeName(v)))}
}

// emitInBatches cuts what a small batch has grown to back to size.
func (s *base) emitInBatches(ctx context.Context, b *column.Batch) error {
	most := s.w.run.opts.BatchRows
	for from := 0; from < b.N; from += most {
		to := min(from+most, b.N)
		if err := s.w.emit(ctx, s.n, 0, sliceBatch(b, from, to)); err != nil {
			return err
		}
	}
	return nil
}

func cut(values []int64, from, to int) []int64 {
	if values == nil {
		return nil
	}
	return values[from:to]
}
