package kernel

import (
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// truth returns a step of bools without nulls that says whether e is truthy, or nil.
func (c *compiler) truth(e *expr.Expr) *node {
	switch e.Op {
	case expr.OpAnd, expr.OpOr:
		// Only truth is asked for, so the operands need not be of one type.
		args := make([]*node, len(e.Args))
		boxed := true
		for i, a := range e.Args {
			if args[i] = c.truth(a); args[i] == nil {
				return nil
			}
			boxed = boxed && args[i].boxed
		}
		return &node{step: &logicStep{and: e.Op == expr.OpAnd, args: args}, t: column.BoolType, boxed: boxed}
	}
	a := c.operand(e)
	if a == nil {
		return nil
	}
	switch a.kind() {
	case column.Bool:
		if !a.t.Nullable && !a.boxed {
			return a
		}
	case column.Int, column.Float, column.String, column.Bytes, column.List, column.Map, column.Null:
	default:
		return nil
	}
	return &node{step: &truthStep{a: a.step}, t: column.BoolType, boxed: a.boxed}
}

// truthStep is Python's truth of a value. A null is false.
type truthStep struct {
	a step
	cell
}

func (s *truthStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	s.of(v, x.n)
	return &s.out, bad
}

// of computes the truth of each row of v.
func (s *truthStep) of(v *column.Vector, n int) []bool {
	out := s.bools(n)
	s.out.Type = column.BoolType
	switch v.Type.Kind {
	case column.Bool:
		copy(out, v.Bools)
	case column.Int:
		for i, n := range v.Ints[:len(out)] {
			out[i] = n != 0
		}
	case column.Float:
		for i, f := range v.Floats[:len(out)] {
			out[i] = f != 0
		}
	case column.Null:
		clear(out)
	default:
		off := v.Offsets[:len(out)+1]
		for i := range out {
			out[i] = off[i+1] > off[i]
		}
	}
	nulls(&s.nul, v, n).each(func(i int) { out[i] = false })
	return out
}

// notStep is not a, for an a without nulls.
type notStep struct {
	a step
	cell
}

func (s *notStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	out := s.bools(x.n)
	s.out.Type = column.BoolType
	for i, b := range v.Bools[:len(out)] {
		out[i] = !b
	}
	return &s.out, bad
}

// logicStep is and, or, of bools without nulls. An operand counts only in rows that the ones before it have not decided,
// so only there can it make a row bad.
type logicStep struct {
	and  bool
	args []*node
	rows []int32
	cell
}

func (s *logicStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.args[0].step.eval(x)
	out := s.bools(x.n)
	s.out.Type = column.BoolType
	copy(out, v.Bools)
	selected := x.rows
	for _, a := range s.args[1:] {
		if a.costly || a.boxed {
			x.rows = s.open(out, x.rows)
		}
		v, badV := a.step.eval(x)
		if badV != nil {
			bad = s.where(out, bad, badV)
		}
		w := v.Bools[:len(out)]
		if s.and {
			for i := range out {
				out[i] = b2i(out[i])&b2i(w[i]) != 0
			}
		} else {
			for i := range out {
				out[i] = b2i(out[i])|b2i(w[i]) != 0
			}
		}
	}
	x.rows = selected
	return &s.out, bad
}

// open returns the rows that the operands so far have not decided.
func (s *logicStep) open(out []bool, rows []int32) []int32 {
	left := s.rows[:0]
	for _, r := range rows {
		if out[r] == s.and {
			left = append(left, r)
		}
	}
	s.rows = left
	return left
}

// where adds to bad the rows of more that the operands so far have not decided.
func (s *logicStep) where(out []bool, bad, more bitset) bitset {
	bad = owned(&s.bad, bad, len(out))
	more.each(func(i int) {
		if out[i] == s.and {
			bad.set(i)
		}
	})
	return bad
}

// logic compiles and, or with the operands' values as the result.
func (c *compiler) logic(e *expr.Expr) *node {
	args := make([]*node, len(e.Args))
	bools, vector := true, false
	for i, a := range e.Args {
		n := c.operand(a)
		if n == nil || n.kind() != e.Type.Kind || !selectable(n.kind()) {
			return nil
		}
		bools = bools && n.kind() == column.Bool && !n.t.Nullable
		vector = vector || !n.boxed
		args[i] = n
	}
	if !vector {
		return nil
	}
	if bools {
		return &node{step: &logicStep{and: e.Op == expr.OpAnd, args: args}, t: column.BoolType}
	}
	out := args[0]
	for _, n := range args[1:] {
		t := column.Type{Kind: e.Type.Kind, Nullable: out.t.Nullable || n.t.Nullable}
		out = &node{step: &decideStep{and: e.Op == expr.OpAnd, first: out.step, second: n}, t: t}
	}
	return out
}

// decideStep is the value of first and second, or of first or second: the operand that decides.
type decideStep struct {
	and    bool
	first  step
	second *node
	truth  truthStep
	pickStep
}

func (s *decideStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.first.eval(x)
	cond := s.truth.of(v, x.n)
	selected := x.rows
	w, badW := s.branch(x, s.second, cond, s.and)
	x.rows = selected
	if badW != nil {
		bad = owned(&s.bad, bad, x.n)
		badW.each(func(i int) {
			if cond[i] == s.and {
				bad.set(i)
			}
		})
	}
	if s.and {
		return &s.out, s.merge(x, cond, w, v, bad)
	}
	return &s.out, s.merge(x, cond, v, w, bad)
}

func selectable(k column.Kind) bool {
	switch k {
	case column.Bool, column.Int, column.Float, column.String, column.Bytes, column.Time, column.Duration:
		return true
	}
	return false
}

// choice compiles a if cond else b.
func (c *compiler) choice(e *expr.Expr) *node {
	cond := c.truth(e.Args[0])
	a, b := c.branch(e, e.Args[1]), c.branch(e, e.Args[2])
	if cond == nil || a == nil || b == nil || cond.boxed && (a.boxed || a.isLit) && (b.boxed || b.isLit) {
		return nil
	}
	if !selectable(e.Type.Kind) {
		return nil
	}
	s := &pickStep{cond: cond.step, a: a, b: b}
	return &node{step: s, t: column.Type{Kind: e.Type.Kind, Nullable: a.t.MayBeNull() || b.t.MayBeNull()}}
}

// branch is operand for a value that becomes the value of e: of e's kind, or None.
func (c *compiler) branch(e, of *expr.Expr) *node {
	n := c.operand(of)
	if n == nil || n.kind() != e.Type.Kind && n.kind() != column.Null {
		return nil
	}
	return n
}

// pickStep takes each row from a where cond holds, else from b. The rows of a branch not taken cannot make a row bad.
type pickStep struct {
	cond step // bools without nulls
	a, b *node
	rows []int32
	cell
}

func (s *pickStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.cond.eval(x)
	cond := v.Bools[:x.n]
	selected := x.rows
	va, badA := s.branch(x, s.a, cond, true)
	x.rows = selected
	vb, badB := s.branch(x, s.b, cond, false)
	x.rows = selected
	if badA != nil || badB != nil {
		bad = owned(&s.bad, bad, x.n)
		badA.each(func(i int) {
			if cond[i] {
				bad.set(i)
			}
		})
		badB.each(func(i int) {
			if !cond[i] {
				bad.set(i)
			}
		})
	}
	return &s.out, s.merge(x, cond, va, vb, bad)
}

// branch evaluates one side, only for the rows that take it where that side is costly.
func (s *pickStep) branch(x *frame, n *node, cond []bool, side bool) (*column.Vector, bitset) {
	if n.costly || n.boxed {
		taken := s.rows[:0]
		for _, r := range x.rows {
			if cond[r] == side {
				taken = append(taken, r)
			}
		}
		s.rows, x.rows = taken, taken
	}
	return n.step.eval(x)
}

// merge fills the result from a where cond holds, else from b, and returns bad with what it could not.
func (s *pickStep) merge(x *frame, cond []bool, a, b *column.Vector, bad bitset) bitset {
	kind := a.Type.Kind
	if kind == column.Null {
		kind = b.Type.Kind
	}
	o := &s.out
	o.Type = column.Type{Kind: kind}
	switch kind {
	case column.Bool:
		pick(s.bools(x.n), cond, a.Bools, b.Bools)
	case column.Float:
		pick(s.floats(x.n), cond, a.Floats, b.Floats)
	case column.String, column.Bytes:
		bad = s.pickText(x, cond, a, b, bad)
	default:
		pick(s.ints(x.n), cond, a.Ints, b.Ints)
	}
	nullA, nullB := nulls(&s.nul, a, x.n), nulls(&s.nul2, b, x.n)
	if nullA == nil && nullB == nil {
		return bad
	}
	o.Type.Nullable = true
	o.Valid = column.AllValid(s.bad2, x.n)
	s.bad2 = o.Valid
	nullA.each(func(i int) {
		if cond[i] {
			o.SetNull(i)
		}
	})
	nullB.each(func(i int) {
		if !cond[i] {
			o.SetNull(i)
		}
	})
	return bad
}

// pick takes a[i] or b[i]. A column of nulls has no values; its rows are null whatever is written.
func pick[T any](out []T, cond []bool, a, b []T) {
	switch {
	case len(a) < len(out):
		copy(out, b)
	case len(b) < len(out):
		copy(out, a)
	default:
		a, b, cond = a[:len(out)], b[:len(out)], cond[:len(out)]
		for i := range out {
			v := b[i]
			if cond[i] {
				v = a[i]
			}
			out[i] = v
		}
	}
}

func (s *pickStep) pickText(x *frame, cond []bool, a, b *column.Vector, bad bitset) bitset {
	t := s.text(x.n)
	for _, r := range x.rows {
		i := int(r)
		v := b
		if cond[i] {
			v = a
		}
		t.start(i)
		if v.Type.Kind != column.Null {
			t.data = append(t.data, v.Bin(i)...)
		}
	}
	return s.texts(&t, x.n, bad)
}
