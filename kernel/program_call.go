package kernel

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/internal/number"
)

// call compiles calls of built-in functions.
func (c *compiler) call(e *expr.Expr) *node {
	if len(e.Keywords) > 0 || len(e.Args) == 0 {
		return nil
	}
	switch e.Name {
	case "min", "max":
		return c.extreme(e)
	case "round":
		return c.round(e)
	}
	if len(e.Args) != 1 {
		return nil
	}
	if e.Name == "bool" {
		return c.truth(e.Args[0])
	}
	a := c.compile(e.Args[0])
	if a == nil || a.isLit {
		return nil
	}
	switch e.Name {
	case "len":
		switch a.kind() {
		case column.String, column.Bytes, column.List, column.Map:
			return &node{step: &lenStep{a: a.step}, t: column.IntType}
		}
	case "abs":
		if isNumeric(a.kind()) {
			a = toInt(a)
			return &node{step: &absStep{a: a.step}, t: a.t.NotNull()}
		}
	case "str":
		s := &textStep{}
		if s.print(a, "") {
			c.costly++
			return &node{step: s, t: column.StringType}
		}
	case "int":
		return c.toInteger(a)
	case "float":
		return c.toReal(a)
	}
	return nil
}

func (c *compiler) toInteger(a *node) *node {
	switch a.kind() {
	case column.Bool, column.Int:
		return &node{step: &notNullStep{a: toInt(a).step}, t: column.IntType}
	case column.Float:
		return &node{step: &truncStep{a: a.step, round: math.Trunc}, t: column.IntType}
	case column.String:
		c.costly++
		return &node{step: &parseStep{a: a.step, t: column.IntType}, t: column.IntType}
	}
	return nil
}

func (c *compiler) toReal(a *node) *node {
	switch a.kind() {
	case column.Bool, column.Int, column.Float:
		return &node{step: &notNullStep{a: toFloat(a).step}, t: column.FloatType}
	case column.String:
		c.costly++
		return &node{step: &parseStep{a: a.step, t: column.FloatType}, t: column.FloatType}
	}
	return nil
}

// lenStep is the number of characters, bytes or elements.
type lenStep struct {
	a step
	cell
}

func (s *lenStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	out := s.ints(x.n)
	s.out.Type = column.IntType
	off := v.Offsets[:len(out)+1]
	for i := range out {
		out[i] = int64(off[i+1] - off[i])
	}
	if v.Type.Kind == column.String && !ascii(v.Data[off[0]:off[len(out)]]) {
		for i := range out {
			out[i] = int64(utf8.RuneCount(v.Bin(i)))
		}
	}
	return &s.out, bad
}

// ascii reports whether all bytes are below 0x80.
func ascii(text []byte) bool {
	for len(text) >= 8 {
		if text[0]|text[1]|text[2]|text[3]|text[4]|text[5]|text[6]|text[7] >= 0x80 {
			return false
		}
		text = text[8:]
	}
	for _, b := range text {
		if b >= 0x80 {
			return false
		}
	}
	return true
}

// absStep is the absolute value of a number.
type absStep struct {
	a step
	cell
}

func (s *absStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	s.out.Type = v.Type.NotNull()
	if v.Type.Kind == column.Float {
		out := s.floats(x.n)
		for i, f := range v.Floats[:len(out)] {
			out[i] = math.Abs(f)
		}
		return &s.out, bad
	}
	out := s.ints(x.n)
	over := int64(0)
	for i, n := range v.Ints[:len(out)] {
		sign := n >> 63
		out[i] = (n ^ sign) - sign
		over |= out[i]
	}
	if over < 0 {
		bad = owned(&s.bad2, bad, x.n)
		for i, n := range out {
			if n < 0 {
				bad.set(i)
			}
		}
	}
	return &s.out, bad
}

// truncStep turns floats into integers; those that are not finite or do not fit 64 bits are bad.
type truncStep struct {
	a     step
	round func(float64) float64
	cell
}

func (s *truncStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	out := s.ints(x.n)
	s.out.Type = column.IntType
	for i, f := range v.Floats[:len(out)] {
		// Written so that NaN is outside.
		if !(f > -(1<<62) && f < 1<<62) {
			bad = mark(&s.bad2, bad, i, x.n)
			continue
		}
		out[i] = int64(s.round(f))
	}
	return &s.out, bad
}

// parseStep reads numbers from text; what is out of the ordinary is bad.
type parseStep struct {
	a step
	t column.Type
	cell
}

func (s *parseStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	s.out.Type = s.t
	if s.t.Kind == column.Int {
		out := s.ints(x.n)
		for _, r := range x.rows {
			var err error
			if out[r], err = number.ParseInt(trimSpace(v.Bin(int(r)))); err != nil {
				bad = mark(&s.bad2, bad, int(r), x.n)
			}
		}
		return &s.out, bad
	}
	out := s.floats(x.n)
	for _, r := range x.rows {
		var err error
		if out[r], err = number.ParseFloat(trimSpace(v.Bin(int(r)))); err != nil {
			bad = mark(&s.bad2, bad, int(r), x.n)
		}
	}
	return &s.out, bad
}

// extreme compiles min and max of two numbers of one kind or more.
func (c *compiler) extreme(e *expr.Expr) *node {
	if len(e.Args) < 2 || e.Type.Kind != column.Int && e.Type.Kind != column.Float {
		return nil
	}
	args := c.operands(e.Args)
	if args == nil {
		return nil
	}
	out := args[0]
	for _, b := range args {
		if b.kind() != e.Type.Kind {
			return nil
		}
	}
	for _, b := range args[1:] {
		out = &node{step: &extremeStep{a: out.step, b: b.step, max: e.Name == "max"}, t: e.Type.NotNull()}
	}
	return out
}

// extremeStep is min(a, b) or max(a, b): a, unless b is really smaller or greater.
type extremeStep struct {
	a, b step
	max  bool
	cell
}

func (s *extremeStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	w, badW := s.b.eval(x)
	bad = s.operandBad(v, bad, w, badW, x.n)
	s.out.Type = v.Type.NotNull()
	if v.Type.Kind == column.Float {
		extremes(s.floats(x.n), v.Floats, w.Floats, s.max)
	} else {
		extremes(s.ints(x.n), v.Ints, w.Ints, s.max)
	}
	return &s.out, bad
}

func extremes[T int64 | float64](out, a, b []T, greatest bool) {
	a, b = a[:len(out)], b[:len(out)]
	if greatest {
		for i := range out {
			m := a[i]
			if b[i] > m {
				m = b[i]
			}
			out[i] = m
		}
		return
	}
	for i := range out {
		m := a[i]
		if b[i] < m {
			m = b[i]
		}
		out[i] = m
	}
}

// round compiles round(x), and round(x, n) for a constant n.
func (c *compiler) round(e *expr.Expr) *node {
	a := c.compile(e.Args[0])
	if a == nil || a.isLit || len(e.Args) > 2 {
		return nil
	}
	if len(e.Args) == 1 {
		switch a.kind() {
		case column.Bool, column.Int:
			return &node{step: &notNullStep{a: toInt(a).step}, t: column.IntType}
		case column.Float:
			return &node{step: &truncStep{a: a.step, round: math.RoundToEven}, t: column.IntType}
		}
		return nil
	}
	v, _ := literal(e.Args[1])
	n, ok := v.(int64)
	if !ok || n < 0 || n > 15 || a.kind() != column.Float {
		return nil
	}
	c.costly++
	return &node{step: &roundStep{a: a.step, digits: int(n)}, t: column.FloatType}
}

// roundStep is round(x, digits). As in Python, the decimal text of the exact value is rounded and read back.
type roundStep struct {
	a      step
	digits int
	text   []byte
	cell
}

func (s *roundStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	out := s.floats(x.n)
	s.out.Type = column.FloatType
	for _, r := range x.rows {
		f := v.Floats[r]
		if f == 0 || f != f || math.Abs(f) > 1<<52 {
			out[r] = f // zero, NaN, infinite, or whole already
			continue
		}
		if scaled, ok := scale(math.Abs(f), s.digits); ok && scaled < exactFloat {
			// Both are floats exactly (10^15 < 2^53), so the quotient is rounded once, as reading the text is.
			out[r] = math.Copysign(float64(scaled)/float64(powersOfTen[s.digits]), f)
			continue
		}
		s.text = strconv.AppendFloat(s.text[:0], f, 'f', s.digits, 64)
		out[r], _ = strconv.ParseFloat(string(s.text), 64)
	}
	return &s.out, bad
}
