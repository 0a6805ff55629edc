package kernel

import (
	"math"
	"math/bits"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// exactFloat is the largest integer up to which every integer is a float64, too.
const exactFloat = 1 << 53

// binary compiles an arithmetic operator of two numbers, and + of strings.
func (c *compiler) binary(e *expr.Expr) *node {
	if e.Name == "+" && e.Type.Kind == column.String {
		return c.concat(e)
	}
	if e.Type.Kind != column.Int && e.Type.Kind != column.Float {
		return nil
	}
	args := c.operands(e.Args)
	if args == nil {
		return nil
	}
	a, b := args[0], args[1]
	if !isNumeric(a.kind()) || !isNumeric(b.kind()) {
		return nil
	}
	switch e.Name {
	case "+", "-", "*", "//", "%":
	case "/":
		if a.kind() != column.Float && b.kind() != column.Float {
			return &node{step: newRatio(toInt(a), toInt(b)), t: column.FloatType}
		}
	default:
		return nil
	}
	if a.kind() == column.Float || b.kind() == column.Float {
		a, b = toFloat(a), toFloat(b)
		return &node{step: newFloatArith(e.Name, a, b), t: column.FloatType}
	}
	a, b = toInt(a), toInt(b)
	return &node{step: newIntArith(e.Name, a, b), t: column.IntType}
}

func isNumeric(k column.Kind) bool {
	return k == column.Int || k == column.Float || k == column.Bool
}

// unary compiles a sign or ~ before a number.
func (c *compiler) unary(e *expr.Expr) *node {
	a := c.compile(e.Args[0])
	if a == nil || !isNumeric(a.kind()) {
		return nil
	}
	if a.kind() != column.Float {
		a = toInt(a)
	}
	switch {
	case e.Name == "+":
		return &node{step: &notNullStep{a: a.step}, t: a.t.NotNull()}
	case e.Name == "-" && a.kind() == column.Float:
		return &node{step: &negFloatStep{a: a.step}, t: column.FloatType}
	case e.Name == "-":
		return &node{step: newIntArith("-", (&compiler{}).literal(int64(0)), a), t: column.IntType}
	case e.Name == "~" && a.kind() == column.Int:
		return &node{step: &invertStep{a: a.step}, t: column.IntType}
	}
	return nil
}

// toInt converts a bool to an integer, as Python's arithmetic does. Nulls stay.
func toInt(n *node) *node {
	if n.kind() != column.Bool {
		return n
	}
	if b, ok := n.lit.(bool); ok {
		return (&compiler{}).literal(int64(b2i(b)))
	}
	return &node{step: &boolIntStep{a: n.step}, t: column.Type{Kind: column.Int, Nullable: n.t.Nullable}, boxed: n.boxed}
}

// toFloat converts an integer or bool to the nearest float. Nulls stay.
func toFloat(n *node) *node {
	if n = toInt(n); n.kind() == column.Float {
		return n
	}
	if i, ok := n.lit.(int64); ok {
		return (&compiler{}).literal(float64(i))
	}
	return &node{step: &intFloatStep{a: n.step}, t: column.Type{Kind: column.Float, Nullable: n.t.Nullable}, boxed: n.boxed}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// boolIntStep is 0 for false and 1 for true.
type boolIntStep struct {
	a step
	cell
}

func (s *boolIntStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	out := s.ints(x.n)
	for i, b := range v.Bools[:len(out)] {
		out[i] = int64(b2i(b))
	}
	s.out.Type, s.out.Valid = column.Type{Kind: column.Int, Nullable: v.Type.Nullable}, v.Valid
	return &s.out, bad
}

// intFloatStep is the float nearest to each integer. With exact set, rows that have no equal float are bad.
type intFloatStep struct {
	a     step
	exact bool
	cell
}

func (s *intFloatStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	out := s.floats(x.n)
	a := v.Ints[:len(out)]
	for i := range out {
		out[i] = float64(a[i])
	}
	s.out.Type, s.out.Valid = column.Type{Kind: column.Float, Nullable: v.Type.Nullable}, v.Valid
	if s.exact {
		bad = markFar(&s.bad, bad, a)
	}
	return &s.out, bad
}

// markFar adds to bad the rows whose integer is too far from 0 to be a float for sure.
func markFar(buf *bitset, bad bitset, a []int64) bitset {
	far := uint64(0)
	for _, i := range a {
		far |= uint64(i+exactFloat) >> 1 &^ (1<<53 - 1)
	}
	if far == 0 {
		return bad
	}
	bad = owned(buf, bad, len(a))
	for k, i := range a {
		if i > exactFloat || i < -exactFloat {
			bad.set(k)
		}
	}
	return bad
}

// negFloatStep is -a.
type negFloatStep struct {
	a step
	cell
}

func (s *negFloatStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	out := s.floats(x.n)
	for i, f := range v.Floats[:len(out)] {
		out[i] = -f
	}
	s.out.Type = column.FloatType
	return &s.out, bad
}

// invertStep is ~a.
type invertStep struct {
	a step
	cell
}

func (s *invertStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	bad = s.operandBad(v, bad, nil, nil, x.n)
	out := s.ints(x.n)
	for i, n := range v.Ints[:len(out)] {
		out[i] = ^n
	}
	s.out.Type = column.IntType
	return &s.out, bad
}

// floatArith is + - * / // % of two columns of floats, or of a column and a constant.
type floatArith struct {
	op    string
	a, b  step // nil where that side is the constant c
	c     float64
	extra bitset
	cell
}

func newFloatArith(op string, a, b *node) step {
	s := &floatArith{op: op, a: a.step, b: b.step}
	if f, ok := b.lit.(float64); ok {
		s.b, s.c = nil, f
	} else if f, ok := a.lit.(float64); ok {
		s.a, s.c = nil, f
	}
	return s
}

func (s *floatArith) eval(x *frame) (*column.Vector, bitset) {
	var v, w *column.Vector
	var bad, badW bitset
	s.out.Type = column.FloatType
	if s.a == nil {
		w, badW = s.b.eval(x)
		bad = s.operandBad(w, badW, nil, nil, x.n)
		out := s.floats(x.n)
		b := w.Floats[:len(out)]
		if !floatCV(s.op, out, s.c, b) {
			bad = s.markZeros(bad, b)
		}
		return &s.out, bad
	}
	v, bad = s.a.eval(x)
	if s.b == nil {
		bad = s.operandBad(v, bad, nil, nil, x.n)
		out := s.floats(x.n)
		if !floatVC(s.op, out, v.Floats[:len(out)], s.c) {
			bad = zeros(&s.extra, x.n)
			for i := range bad {
				bad[i] = 0xff
			}
			bad.trim(x.n)
		}
		return &s.out, bad
	}
	w, badW = s.b.eval(x)
	bad = s.operandBad(v, bad, w, badW, x.n)
	out := s.floats(x.n)
	b := w.Floats[:len(out)]
	if !floatVV(s.op, out, v.Floats[:len(out)], b) {
		bad = s.markZeros(bad, b)
	}
	return &s.out, bad
}

func (s *floatArith) markZeros(bad bitset, b []float64) bitset {
	bad = owned(&s.extra, bad, len(b))
	for i, f := range b {
		if f == 0 {
			bad.set(i)
		}
	}
	return bad
}

// floatVC, floatCV and floatVV compute a op b. They return false where a divisor was zero.
func floatVC(op string, out, a []float64, c float64) bool {
	a = a[:len(out)]
	switch op {
	case "+":
		for i := range out {
			out[i] = a[i] + c
		}
	case "-":
		for i := range out {
			out[i] = a[i] - c
		}
	case "*":
		for i := range out {
			out[i] = float64(a[i] * c)
		}
	case "/":
		for i := range out {
			out[i] = a[i] / c
		}
		return c != 0
	case "//":
		if c == 0 {
			return false
		}
		for i := range out {
			out[i], _ = floatDivMod(a[i], c)
		}
	case "%":
		if c == 0 {
			return false
		}
		for i := range out {
			_, out[i] = floatDivMod(a[i], c)
		}
	}
	return true
}

func floatCV(op string, out []float64, c float64, b []float64) bool {
	b = b[:len(out)]
	zero := 0
	switch op {
	case "+":
		for i := range out {
			out[i] = c + b[i]
		}
	case "-":
		for i := range out {
			out[i] = c - b[i]
		}
	case "*":
		for i := range out {
			out[i] = float64(c * b[i])
		}
	case "/":
		for i := range out {
			out[i] = c / b[i]
			zero |= b2i(b[i] == 0)
		}
	case "//":
		for i := range out {
			out[i], _ = floatDivMod(c, b[i])
			zero |= b2i(b[i] == 0)
		}
	case "%":
		for i := range out {
			_, out[i] = floatDivMod(c, b[i])
			zero |= b2i(b[i] == 0)
		}
	}
	return zero == 0
}

func floatVV(op string, out, a, b []float64) bool {
	a, b = a[:len(out)], b[:len(out)]
	zero := 0
	switch op {
	case "+":
		for i := range out {
			out[i] = a[i] + b[i]
		}
	case "-":
		for i := range out {
			out[i] = a[i] - b[i]
		}
	case "*":
		for i := range out {
			out[i] = float64(a[i] * b[i])
		}
	case "/":
		for i := range out {
			out[i] = a[i] / b[i]
			zero |= b2i(b[i] == 0)
		}
	case "//":
		for i := range out {
			out[i], _ = floatDivMod(a[i], b[i])
			zero |= b2i(b[i] == 0)
		}
	case "%":
		for i := range out {
			_, out[i] = floatDivMod(a[i], b[i])
			zero |= b2i(b[i] == 0)
		}
	}
	return zero == 0
}

// floatDivMod is Python's divmod of floats: the remainder has the divisor's sign, the quotient is rounded down.
// Source: CPython, Objects/floatobject.c, _float_div_mod.
func floatDivMod(a, b float64) (quotient, remainder float64) {
	mod := math.Mod(a, b)
	div := (a - mod) / b
	if mod != 0 {
		if (b < 0) != (mod < 0) {
			mod += b
			div--
		}
	} else {
		mod = math.Copysign(0, b)
	}
	if div == 0 {
		return math.Copysign(0, a/b), mod
	}
	floor := math.Floor(div)
	if div-floor > 0.5 {
		floor++
	}
	return floor, mod
}

// intArith is + - * // % of two columns of integers, or of a column and a constant. Rows that overflow, and rows whose
// divisor is zero, are bad.
type intArith struct {
	op     string
	a, b   step
	c      int64 // the constant where b is nil
	divide divisor
	same   []int64 // c for each row, where a loop needs that
	extra  bitset
	cell
}

func newIntArith(op string, a, b *node) step {
	s := &intArith{op: op, a: a.step, b: b.step}
	c, ok := b.lit.(int64)
	if !ok && (op == "+" || op == "*") {
		if c, ok = a.lit.(int64); ok {
			s.a, s.b = b.step, nil
		}
	} else if ok {
		s.b = nil
	}
	s.c = c
	if s.b == nil && c > 0 {
		s.divide = newDivisor(c)
	}
	return s
}

func (s *intArith) eval(x *frame) (*column.Vector, bitset) {
	s.out.Type = column.IntType
	v, bad := s.a.eval(x)
	if s.b == nil {
		bad = s.operandBad(v, bad, nil, nil, x.n)
		out := s.ints(x.n)
		return &s.out, s.constant(out, v.Ints[:len(out)], bad)
	}
	w, badW := s.b.eval(x)
	bad = s.operandBad(v, bad, w, badW, x.n)
	out := s.ints(x.n)
	return &s.out, s.columns(out, v.Ints[:len(out)], w.Ints[:len(out)], bad)
}

// constant computes a op c.
func (s *intArith) constant(out, a []int64, bad bitset) bitset {
	c := s.c
	a = a[:len(out)]
	over := int64(0)
	switch {
	case s.op == "+":
		for i := range out {
			r := a[i] + c
			over |= (a[i] ^ r) & (c ^ r)
			out[i] = r
		}
	case s.op == "-":
		for i := range out {
			r := a[i] - c
			over |= (a[i] ^ c) & (a[i] ^ r)
			out[i] = r
		}
	case s.op == "*":
		for i := range out {
			r, o := mulOverflows(a[i], c)
			over |= o
			out[i] = r
		}
	case s.op == "//" && c > 0:
		s.divide.floor(out, a)
	case s.op == "%" && c > 0:
		s.divide.mod(out, a)
	default:
		return s.columns(out, a, nil, bad)
	}
	if over < 0 {
		bad = s.recheck(a, nil, bad)
	}
	return bad
}

// columns computes a op b; a nil b stands for the constant.
func (s *intArith) columns(out, a, b []int64, bad bitset) bitset {
	a = a[:len(out)]
	over := int64(0)
	if b == nil {
		s.same = grow(s.same, len(out))
		repeat(s.same, s.c)
		b = s.same
	}
	b = b[:len(out)]
	switch s.op {
	case "+":
		for i := range out {
			r := a[i] + b[i]
			over |= (a[i] ^ r) & (b[i] ^ r)
			out[i] = r
		}
	case "-":
		for i := range out {
			r := a[i] - b[i]
			over |= (a[i] ^ b[i]) & (a[i] ^ r)
			out[i] = r
		}
	case "*":
		for i := range out {
			r, o := mulOverflows(a[i], b[i])
			over |= o
			out[i] = r
		}
	case "//", "%":
		for i := range out {
			if b[i] == 0 || b[i] == -1 && a[i] == math.MinInt64 {
				over = -1
				continue
			}
			q, r := floorDivMod(a[i], b[i])
			if s.op == "%" {
				q = r
			}
			out[i] = q
		}
	}
	if over < 0 {
		bad = s.recheck(a, b, bad)
	}
	return bad
}

// recheck finds the rows that cannot be computed in 64 bits, after a loop has seen that there is one.
func (s *intArith) recheck(a, b []int64, bad bitset) bitset {
	bad = owned(&s.extra, bad, len(a))
	for i, v := range a {
		w := s.c
		if b != nil {
			w = b[i]
		}
		over := int64(0)
		switch s.op {
		case "+":
			r := v + w
			over = (v ^ r) & (w ^ r)
		case "-":
			r := v - w
			over = (v ^ w) & (v ^ r)
		case "*":
			_, over = mulOverflows(v, w)
		default:
			if w == 0 || w == -1 && v == math.MinInt64 {
				over = -1
			}
		}
		if over < 0 {
			bad.set(i)
		}
	}
	return bad
}

// mulOverflows returns the product, and a negative number where it does not fit 64 bits.
func mulOverflows(a, b int64) (product, over int64) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	high := int64(hi) - (a >> 63 & b) - (b >> 63 & a)
	if high != int64(lo)>>63 {
		over = -1
	}
	return int64(lo), over
}

// floorDivMod is Python's divmod of integers: rounded down, the remainder with the divisor's sign. b is not 0.
func floorDivMod(a, b int64) (quotient, remainder int64) {
	q, r := a/b, a%b
	if r != 0 && (r < 0) != (b < 0) {
		q--
		r += b
	}
	return q, r
}

// divisor divides by a positive constant with a multiplication, several times faster than the processor divides.
// Source: Granlund and Montgomery, Division by Invariant Integers using Multiplication, 1994, for 63-bit dividends.
type divisor struct {
	d     int64
	magic uint64 // ⌈2^(63+l) / d⌉ with l = ⌈log2 d⌉
	shift int    // l-1
}

func newDivisor(d int64) divisor {
	if d == 1 {
		return divisor{d: 1}
	}
	l := bits.Len64(uint64(d - 1))
	q, r := bits.Div64(1<<(l-1), 0, uint64(d))
	if r > 0 {
		q++
	}
	return divisor{d: d, magic: q, shift: l - 1}
}

// floor computes ⌊a / d⌋. For a negative a that is the complement of the quotient of a's complement.
func (v divisor) floor(out, a []int64) {
	if v.d == 1 {
		copy(out, a)
		return
	}
	a = a[:len(out)]
	magic, shift := v.magic, v.shift&63
	for i := range out {
		sign := a[i] >> 63
		hi, _ := bits.Mul64(uint64(a[i]^sign), magic)
		out[i] = int64(hi>>shift) ^ sign
	}
}

// mod computes a - d⌊a / d⌋.
func (v divisor) mod(out, a []int64) {
	if v.d == 1 {
		clear(out)
		return
	}
	a = a[:len(out)]
	magic, shift := v.magic, v.shift&63
	for i := range out {
		sign := a[i] >> 63
		hi, _ := bits.Mul64(uint64(a[i]^sign), magic)
		out[i] = a[i] - (int64(hi>>shift)^sign)*v.d
	}
}

// ratioStep is the true division of two integers. Integers that are no floats are left to the interpreter, since
// Python rounds the exact quotient once.
type ratioStep struct {
	a, b  step
	c     float64 // the constant where b is nil
	extra bitset
	far   bitset
	cell
}

func newRatio(a, b *node) step {
	if c, ok := b.lit.(int64); ok && c != 0 && c <= exactFloat && c >= -exactFloat {
		return &ratioStep{a: a.step, c: float64(c)}
	}
	return &ratioStep{a: a.step, b: b.step}
}

func (s *ratioStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	if s.b == nil {
		bad = s.operandBad(v, bad, nil, nil, x.n)
		s.out.Type = column.FloatType
		out := s.floats(x.n)
		a := v.Ints[:len(out)]
		for i := range out {
			out[i] = float64(a[i]) / s.c
		}
		return &s.out, markFar(&s.extra, bad, a)
	}
	w, badW := s.b.eval(x)
	bad = s.operandBad(v, bad, w, badW, x.n)
	s.out.Type = column.FloatType
	out := s.floats(x.n)
	a, b := v.Ints[:len(out)], w.Ints[:len(out)]
	zero := 0
	for i := range out {
		out[i] = float64(a[i]) / float64(b[i])
		zero |= b2i(b[i] == 0)
	}
	bad = markFar(&s.extra, bad, a)
	bad = markFar(&s.far, bad, b)
	if zero != 0 {
		bad = owned(&s.extra, bad, x.n)
		for i, d := range b {
			if d == 0 {
				bad.set(i)
			}
		}
	}
	return &s.out, bad
}
