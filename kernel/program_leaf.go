package kernel

import (
	"math"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// fieldStep is a column of the batch, as it is.
type fieldStep int

func (s fieldStep) eval(x *frame) (*column.Vector, bitset) { return x.b.Cols[s], nil }

// constStep repeats a constant.
type constStep struct {
	v      column.Value
	filled int // rows that hold the constant already
	cell
}

func (s *constStep) eval(x *frame) (*column.Vector, bitset) {
	o := &s.out
	if s.filled >= x.n && x.n > 0 {
		o.N = x.n
		return o, nil
	}
	s.filled = x.n
	o.Type = column.TypeOf(s.v)
	o.N = x.n
	switch v := s.v.(type) {
	case bool:
		repeat(s.bools(x.n), v)
	case int64:
		repeat(s.ints(x.n), v)
	case column.Instant:
		repeat(s.ints(x.n), int64(v))
	case column.Span:
		repeat(s.ints(x.n), int64(v))
	case float64:
		repeat(s.floats(x.n), v)
	case string:
		s.text([]byte(v), x.n)
	case []byte:
		s.text(v, x.n)
	}
	return o, nil
}

// text writes a copy for each row, since offsets never go back.
func (s *constStep) text(v []byte, n int) {
	o := &s.out
	o.Data = o.Data[:0]
	o.Offsets = grow(o.Offsets, n+1)
	o.Offsets[0] = 0
	for i := range n {
		if len(o.Data)+len(v) <= math.MaxInt32 {
			o.Data = append(o.Data, v...)
		}
		o.Offsets[i+1] = int32(len(o.Data))
	}
}

func repeat[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}

// metaStep is the time or an end of the window of each row.
type metaStep struct {
	name string
	own  []int64
	cell
}

func (s *metaStep) eval(x *frame) (*column.Vector, bitset) {
	o := &s.out
	own := x.b.Starts != nil && x.b.Ends != nil
	o.Type, o.N, o.Valid = column.TimeType, x.n, nil
	switch {
	case s.name == "timestamp" && x.b.Times != nil:
		o.Ints = x.b.Times
	case s.name == "window_start" && own:
		o.Ints = x.b.Starts
	case s.name == "window_end" && own:
		o.Ints = x.b.Ends
	default:
		s.derive(x)
	}
	return o, nil
}

// derive computes what the batch does not say.
func (s *metaStep) derive(x *frame) {
	s.own = grow(s.own, x.n)
	ints, w := s.own, windowing(x.port)
	s.out.Ints = ints
	for i := range ints {
		switch start, end := WindowOf(w, x.b, i); s.name {
		case "timestamp":
			ints[i] = int64(x.b.Time(i))
		case "window_start":
			ints[i] = start
		default:
			ints[i] = end
		}
	}
}

// onceStep keeps the result of a step that two others read. The first to ask is asked for at least the rows that the
// second is.
type onceStep struct {
	a     step
	batch uint64
	v     *column.Vector
	bad   bitset
}

func (s *onceStep) eval(x *frame) (*column.Vector, bitset) {
	if s.batch != x.batch || s.v == nil {
		s.batch = x.batch
		s.v, s.bad = s.a.eval(x)
	}
	return s.v, s.bad
}

// childStep is a field of a row.
type childStep struct {
	a     step
	child int
	cell
}

func (s *childStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	return v.Children[s.child], s.operandBad(v, bad, nil, nil, x.n)
}

// microsStep is the count of microseconds of a timestamp or duration.
type microsStep struct {
	a step
	cell
}

func (s *microsStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	out, a := s.ints(x.n), v.Ints[:x.n]
	s.out.Type = column.IntType
	const limit = math.MaxInt64 / 1000
	far := false
	for i := range out {
		ms := a[i]
		out[i] = ms * 1000
		far = far || ms > limit || ms < -limit
	}
	if far {
		bad = owned(&s.bad2, bad, x.n)
		for i, ms := range a {
			if ms > limit || ms < -limit {
				bad.set(i)
			}
		}
	}
	return &s.out, bad
}

// itemStep is the item of each list at a constant place; negative places count from the end.
type itemStep struct {
	a  step
	at int64
	cell
}

func (s *itemStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	elems := v.Children[0]
	o := &s.out
	o.Type, o.N, o.Valid = elems.Type, x.n, nil
	s.size(elems.Type.Kind, x.n)
	for i := range x.n {
		from, to := int64(v.Offsets[i]), int64(v.Offsets[i+1])
		k := from + s.at
		if s.at < 0 {
			k = to + s.at
		}
		if k < from || k >= to {
			bad = mark(&s.bad2, bad, i, x.n)
			s.zero(i)
			continue
		}
		s.take(elems, i, int(k))
	}
	return o, bad
}

func (s *itemStep) size(kind column.Kind, n int) {
	switch kind {
	case column.Bool:
		s.bools(n)
	case column.Float:
		s.floats(n)
	case column.String:
		s.out.Offsets = grow(s.out.Offsets, n+1)
		s.out.Offsets[0] = 0
		s.out.Data = s.out.Data[:0]
	default:
		s.ints(n)
	}
}

func (s *itemStep) zero(i int) {
	if s.out.Type.Kind == column.String {
		s.out.Offsets[i+1] = int32(len(s.out.Data))
	}
}

func (s *itemStep) take(elems *column.Vector, i, k int) {
	o := &s.out
	if elems.IsNull(k) {
		o.EnsureValid()
		o.SetNull(i)
	}
	switch elems.Type.Kind {
	case column.Bool:
		o.Bools[i] = elems.Bools[k]
	case column.Float:
		o.Floats[i] = elems.Floats[k]
	case column.String:
		o.Data = append(o.Data, elems.Bin(k)...)
		o.Offsets[i+1] = int32(len(o.Data))
	default:
		o.Ints[i] = elems.Ints[k]
	}
}

// notNullStep passes values on and leaves nulls to the interpreter.
type notNullStep struct {
	a step
	cell
}

func (s *notNullStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	return v, s.operandBad(v, bad, nil, nil, x.n)
}

// boxedStep asks the interpreter for each selected row. Rows that raise are bad: whoever asks for them evaluates the
// whole expression once more, in Python's order.
type boxedStep struct {
	e *expr.Expr
	writer
	bad bitset
}

func (s *boxedStep) eval(x *frame) (*column.Vector, bitset) {
	s.reset(s.e.Type, x.n)
	var bad bitset
	for _, r := range x.rows {
		i := int(r)
		x.env.At(x.b, x.port, i)
		v, err := s.e.Eval(x.env)
		if err == nil {
			err = s.put(i, v)
		}
		if err != nil {
			if bad == nil {
				bad = zeros(&s.bad, x.n)
			}
			bad.set(i)
		}
	}
	return s.finish(), bad
}
