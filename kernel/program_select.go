package kernel

import (
	"encoding/binary"
	"slices"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// Select appends to sel[:0] the rows, of those selected in b, for which the expression is truthy, rising. Failures are
// as Run gives them: a failing row is not among the selected ones. The result is never nil.
//
// The operands of an "and" are tried one after the other, each only on the rows that are left. sel must not be b.Sel.
func (p *Program) Select(b *column.Batch, port *plan.Port, sel []int32) ([]int32, []Failure) {
	p.prepare()
	if sel == nil {
		sel = []int32{} // as a selection, nil would be all rows
	}
	if p.conjuncts == nil {
		return p.selectWhole(b, port, sel)
	}
	p.fail = p.fail[:0]
	p.narrow = *b
	for i, q := range p.conjuncts {
		buf := &p.selBuf[i&1]
		if *buf == nil {
			*buf = []int32{}
		}
		left, failures := q.selectWhole(&p.narrow, port, *buf)
		*buf = left
		p.narrow.Sel = left
		p.fail = append(p.fail, failures...)
		if len(left) == 0 {
			break
		}
	}
	slices.SortFunc(p.fail, func(a, b Failure) int { return int(a.Row) - int(b.Row) })
	return append(sel[:0], p.narrow.Sel...), p.fail
}

// prepare compiles what only Select needs.
func (p *Program) prepare() {
	if p.prepared {
		return
	}
	p.prepared = true
	if p.e.Op == expr.OpAnd {
		for _, a := range p.e.Args {
			q := Compile(a, p.in)
			q.prepareTest()
			p.conjuncts = append(p.conjuncts, q)
		}
		return
	}
	p.prepareTest()
}

func (p *Program) prepareTest() {
	c := &compiler{schema: p.in}
	if n := c.truth(p.e); n != nil && !n.boxed {
		p.test = n.step
	}
}

// selectWhole is Select without a look into the expression.
func (p *Program) selectWhole(b *column.Batch, port *plan.Port, sel []int32) ([]int32, []Failure) {
	p.begin(b, port)
	sel = sel[:0]
	if p.test == nil || len(p.frame.rows) == 0 || !p.fits(b) {
		return p.selectBoxed(sel)
	}
	if s, ok := p.test.(*compareStep); ok && s.c.is {
		if field, ok := s.a.(fieldStep); ok {
			if out, ok := p.selectCompare(s, b.Cols[field], sel); ok {
				return out, p.fail
			}
		}
	}
	v, bad := p.test.eval(&p.frame)
	return p.collect(sel, v.Bools, p.selected(bad))
}

// selectBoxed asks the interpreter for each row.
func (p *Program) selectBoxed(sel []int32) ([]int32, []Failure) {
	for _, r := range p.frame.rows {
		sel = p.try(sel, r)
	}
	return sel, p.fail
}

// try appends row r where the interpreter finds it truthy.
func (p *Program) try(sel []int32, r int32) []int32 {
	v, err := p.at(int(r))
	if err != nil {
		p.fail = append(p.fail, Failure{Row: r, Err: err})
		return sel
	}
	if expr.Truthy(v) {
		sel = append(sel, r)
	}
	return sel
}

// collect turns bools into a selection.
func (p *Program) collect(sel []int32, test []bool, bad bitset) ([]int32, []Failure) {
	x := &p.frame
	if bad != nil {
		for _, r := range x.rows {
			if bad.has(int(r)) {
				sel = p.try(sel, r)
			} else if test[r] {
				sel = append(sel, r)
			}
		}
		return sel, p.fail
	}
	sel = slices.Grow(sel, len(x.rows))[:len(x.rows)]
	k := 0
	if x.b.Sel == nil {
		for i, t := range test[:len(sel)] {
			sel[k] = int32(i)
			k += b2i(t)
		}
	} else {
		for _, r := range x.rows {
			sel[k] = r
			k += b2i(test[r])
		}
	}
	return sel[:k], p.fail
}

// selectCompare compares a column of the batch with a constant without writing bools; false where the column has nulls
// or there is no loop for it.
func (p *Program) selectCompare(s *compareStep, v *column.Vector, sel []int32) ([]int32, bool) {
	x := &p.frame
	if nulls(&s.nul, v, x.n) != nil {
		return sel, false
	}
	sel = slices.Grow(sel, len(x.rows))[:len(x.rows)]
	switch v.Type.Kind {
	case column.Float:
		return selectConst(s.op, sel, x, v.Floats, s.c.f), true
	case column.Int, column.Time, column.Duration:
		return selectConst(s.op, sel, x, v.Ints, s.c.i), true
	case column.String, column.Bytes:
		// All rows of a batch are compared faster in one run, by equalConst.
		if x.b.Sel != nil && (s.op == "==" || s.op == "!=") {
			return selectText(s.op == "==", sel, x, v, s.c.bytes), true
		}
	}
	return sel[:0], false
}

// selectText selects the rows whose text is c, or those whose text is not.
func selectText(want bool, sel []int32, x *frame, v *column.Vector, c []byte) []int32 {
	data, off, text := v.Data, v.Offsets, string(c)
	word, mask := uint64(0), uint64(0)
	short := len(c) <= 8
	if short {
		word, mask = wordOf(c)
	}
	k, size, differs := 0, int32(len(c)), b2i(!want)
	for _, r := range x.rows[:len(sel)] {
		from, to := off[r], off[r+1]
		same := b2i(to-from == size)
		if short && int(from)+8 <= len(data) {
			same &= b2i(binary.LittleEndian.Uint64(data[from:])&mask == word)
		} else if same == 1 {
			same = b2i(string(data[from:to]) == text)
		}
		sel[k] = r
		k += same ^ differs
	}
	return sel[:k]
}

func selectConst[T int64 | float64](op string, sel []int32, x *frame, a []T, c T) []int32 {
	rows := x.rows[:len(sel)]
	k := 0
	switch op {
	case "==":
		for _, r := range rows {
			sel[k] = r
			k += b2i(a[r] == c)
		}
	case "!=":
		for _, r := range rows {
			sel[k] = r
			k += b2i(a[r] != c)
		}
	case "<":
		for _, r := range rows {
			sel[k] = r
			k += b2i(a[r] < c)
		}
	case "<=":
		for _, r := range rows {
			sel[k] = r
			k += b2i(a[r] <= c)
		}
	case ">":
		for _, r := range rows {
			sel[k] = r
			k += b2i(a[r] > c)
		}
	case ">=":
		for _, r := range rows {
			sel[k] = r
			k += b2i(a[r] >= c)
		}
	}
	return sel[:k]
}
