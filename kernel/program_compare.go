package kernel

import (
	"bytes"
	"encoding/binary"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// compare compiles a chain of comparisons.
func (c *compiler) compare(e *expr.Expr) *node {
	if len(e.Args) == 2 {
		return c.pair(e.Args[0], e.Names[0], e.Args[1])
	}
	all := &logicStep{and: true}
	boxed := true
	for _, a := range e.Args[1 : len(e.Args)-1] {
		c.share(a)
	}
	for i, op := range e.Names {
		n := c.pair(e.Args[i], op, e.Args[i+1])
		if n == nil {
			return nil
		}
		all.args = append(all.args, n)
		boxed = boxed && n.boxed
	}
	return &node{step: all, t: column.BoolType, boxed: boxed}
}

// pair compiles one comparison.
func (c *compiler) pair(left *expr.Expr, op string, right *expr.Expr) *node {
	switch op {
	case "in", "not in":
		return c.member(left, op, right)
	case "is", "is not":
		return c.isNone(left, op == "is", right)
	}
	if isNull(right) && (op == "==" || op == "!=") {
		return c.isNone(left, op == "==", right)
	}
	args := c.operands([]*expr.Expr{left, right})
	if args == nil {
		return nil
	}
	a, b := args[0], args[1]
	if a.isLit && !b.isLit {
		a, b, op = b, a, flipped[op]
	}
	if isNumeric(a.kind()) && isNumeric(b.kind()) {
		if a, b = commonKind(a, b); a == nil {
			return nil
		}
	}
	if a.kind() != b.kind() {
		return nil
	}
	switch a.kind() {
	case column.Int, column.Float, column.String, column.Bytes, column.Time, column.Duration:
	default:
		return nil
	}
	return &node{step: &compareStep{op: op, a: a.step, b: b.step, c: constant(b)}, t: column.BoolType}
}

var flipped = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// commonKind brings two numbers to one kind without changing what a comparison says; nil where that takes more.
func commonKind(a, b *node) (*node, *node) {
	a, b = toInt(a), toInt(b)
	if a.kind() == b.kind() {
		return a, b
	}
	x, y := exactly(a), exactly(b)
	if x == nil || y == nil {
		return nil, nil
	}
	return x, y
}

// exactly converts an integer to the float that equals it; other rows are bad.
func exactly(n *node) *node {
	if n.kind() == column.Float {
		return n
	}
	if i, ok := n.lit.(int64); ok {
		if i > exactFloat || i < -exactFloat {
			return nil
		}
		return toFloat(n)
	}
	return &node{step: &intFloatStep{a: n.step, exact: true}, t: column.Type{Kind: column.Float, Nullable: n.t.Nullable}}
}

// fixedConst is a constant operand in the form that loops use.
type fixedConst struct {
	is    bool
	i     int64
	f     float64
	bytes []byte
}

func constant(n *node) fixedConst {
	c := fixedConst{is: n.isLit}
	switch v := n.lit.(type) {
	case int64:
		c.i = v
	case column.Instant:
		c.i = int64(v)
	case column.Span:
		c.i = int64(v)
	case float64:
		c.f = v
	case string:
		c.bytes = []byte(v)
	case []byte:
		c.bytes = v
	default:
		c.is = false
	}
	return c
}

// compareStep is a op b for two columns of one kind, or a column and a constant.
type compareStep struct {
	op   string
	a, b step
	c    fixedConst
	cell
}

func (s *compareStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	s.out.Type = column.BoolType
	out := s.bools(x.n)
	if s.c.is {
		compareConst(s.op, out, v, &s.c)
		return &s.out, s.settleNulls(v, bad, nil, nil, x.n)
	}
	w, badW := s.b.eval(x)
	compareColumns(s.op, out, v, w)
	return &s.out, s.settleNulls(v, bad, w, badW, x.n)
}

// settleNulls decides == and != of nulls, and leaves other comparisons of nulls to the interpreter. A nil w is a constant.
func (s *compareStep) settleNulls(v *column.Vector, bad bitset, w *column.Vector, badW bitset, n int) bitset {
	if s.op != "==" && s.op != "!=" {
		return s.operandBad(v, bad, w, badW, n)
	}
	out := s.out.Bools
	a := nulls(&s.nul, v, n)
	var b bitset
	if w != nil {
		b = nulls(&s.nul2, w, n)
		bad = union(&s.bad, bad, badW)
	}
	a.each(func(i int) { out[i] = b.has(i) == (s.op == "==") })
	b.each(func(i int) { out[i] = a.has(i) == (s.op == "==") })
	return bad
}

func compareConst(op string, out []bool, v *column.Vector, c *fixedConst) {
	switch v.Type.Kind {
	case column.Float:
		compareVC(op, out, v.Floats, c.f)
	case column.String, column.Bytes:
		compareBytesConst(op, out, v, c.bytes)
	default:
		compareVC(op, out, v.Ints, c.i)
	}
}

func compareColumns(op string, out []bool, v, w *column.Vector) {
	switch v.Type.Kind {
	case column.Float:
		compareVV(op, out, v.Floats, w.Floats)
	case column.String, column.Bytes:
		compareBytes(op, out, v, w)
	default:
		compareVV(op, out, v.Ints, w.Ints)
	}
}

func compareVC[T int64 | float64](op string, out []bool, a []T, c T) {
	a = a[:len(out)]
	switch op {
	case "==":
		for i := range out {
			out[i] = a[i] == c
		}
	case "!=":
		for i := range out {
			out[i] = a[i] != c
		}
	case "<":
		for i := range out {
			out[i] = a[i] < c
		}
	case "<=":
		for i := range out {
			out[i] = a[i] <= c
		}
	case ">":
		for i := range out {
			out[i] = a[i] > c
		}
	case ">=":
		for i := range out {
			out[i] = a[i] >= c
		}
	}
}

func compareVV[T int64 | float64](op string, out []bool, a, b []T) {
	a, b = a[:len(out)], b[:len(out)]
	switch op {
	case "==":
		for i := range out {
			out[i] = a[i] == b[i]
		}
	case "!=":
		for i := range out {
			out[i] = a[i] != b[i]
		}
	case "<":
		for i := range out {
			out[i] = a[i] < b[i]
		}
	case "<=":
		for i := range out {
			out[i] = a[i] <= b[i]
		}
	case ">":
		for i := range out {
			out[i] = a[i] > b[i]
		}
	case ">=":
		for i := range out {
			out[i] = a[i] >= b[i]
		}
	}
}

// ordered reports whether a comparison that came out as sign satisfies op.
func ordered(op string, sign int) bool {
	switch op {
	case "==":
		return sign == 0
	case "!=":
		return sign != 0
	case "<":
		return sign < 0
	case "<=":
		return sign <= 0
	case ">":
		return sign > 0
	}
	return sign >= 0
}

// compareBytes compares byte by byte, which for UTF-8 is by code point, as Python orders text.
func compareBytes(op string, out []bool, v, w *column.Vector) {
	switch op {
	case "==", "!=":
		for i := range out {
			out[i] = bytes.Equal(v.Bin(i), w.Bin(i)) == (op == "==")
		}
	default:
		for i := range out {
			out[i] = ordered(op, bytes.Compare(v.Bin(i), w.Bin(i)))
		}
	}
}

func compareBytesConst(op string, out []bool, v *column.Vector, c []byte) {
	switch op {
	case "==", "!=":
		equalConst(op == "==", out, v, c)
	default:
		for i := range out {
			out[i] = ordered(op, bytes.Compare(v.Bin(i), c))
		}
	}
}

// equalConst compares lengths first: in most rows they settle it. Constants of up to 8 bytes are compared as one word, as
// far as the rows have 8 bytes to read.
func equalConst(want bool, out []bool, v *column.Vector, c []byte) {
	n := 0
	if len(c) <= 8 {
		n = equalWord(want, out, v, c)
	}
	text := string(c)
	for i := n; i < len(out); i++ {
		out[i] = (string(v.Bin(i)) == text) == want
	}
}

// equalWord compares the rows from the first on, and returns how many it could.
func equalWord(want bool, out []bool, v *column.Vector, c []byte) int {
	off, data := v.Offsets[:len(out)+1], v.Data
	word, mask := wordOf(c)
	n := len(out)
	for n > 0 && int(off[n-1])+8 > len(data) {
		n--
	}
	from, size, differs := off[0], int32(len(c)), b2i(!want)
	for i, to := range off[1 : n+1] {
		same := b2i(to-from == size) & b2i(binary.LittleEndian.Uint64(data[from:])&mask == word)
		out[i] = same != differs
		from = to
	}
	return n
}

// wordOf returns up to 8 bytes as a word, and the mask of the bits that it uses.
func wordOf(c []byte) (word, mask uint64) {
	for i, b := range c {
		word |= uint64(b) << (8 * i)
		mask |= 0xff << (8 * i)
	}
	return word, mask
}

// isNull reports whether e is the literal None.
func isNull(e *expr.Expr) bool { return e.Op == expr.OpLit && e.Value == nil }

// isNone compiles x is None, x is not None, and == and != with None, which say the same of every column type.
func (c *compiler) isNone(left *expr.Expr, want bool, right *expr.Expr) *node {
	if !isNull(right) {
		return nil
	}
	a := c.operand(left)
	if a == nil || a.isLit || a.boxed {
		return nil
	}
	return &node{step: &isNullStep{a: a.step, want: want}, t: column.BoolType}
}

// isNullStep is whether a value is null, or is not.
type isNullStep struct {
	a    step
	want bool
	cell
}

func (s *isNullStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	out := s.bools(x.n)
	s.out.Type = column.BoolType
	repeat(out, !s.want)
	nulls(&s.nul, v, x.n).each(func(i int) { out[i] = s.want })
	return &s.out, bad
}

// member compiles in and not in: a value in constants, or text in text.
func (c *compiler) member(left *expr.Expr, op string, right *expr.Expr) *node {
	a := c.operand(left)
	if a == nil {
		return nil
	}
	want := op == "in"
	if elems, ok := constants(right); ok && !a.isLit && !a.boxed {
		return oneOf(a, elems, want)
	}
	b := c.operand(right)
	if b == nil || a.kind() != column.String || b.kind() != column.String || (a.isLit || a.boxed) && (b.isLit || b.boxed) {
		return nil
	}
	return &node{step: &containsStep{needle: a.step, text: b.step, c: constant(a), want: want}, t: column.BoolType}
}

// constants returns the elements of a list, tuple or set of constants.
func constants(e *expr.Expr) ([]column.Value, bool) {
	if l, ok := e.Value.(*column.ListValue); ok && e.Op == expr.OpLit {
		return l.Elems, true
	}
	if e.Op != expr.OpList && e.Op != expr.OpTuple && e.Op != expr.OpSet {
		return nil, false
	}
	out := make([]column.Value, len(e.Args))
	for i, a := range e.Args {
		v, ok := literal(a)
		if !ok {
			return nil, false
		}
		out[i] = v
	}
	return out, true
}

// oneOf compiles a in elems where all of them are integers, or all text, of a's kind.
func oneOf(a *node, elems []column.Value, want bool) *node {
	s := &oneOfStep{a: a.step, want: want}
	for _, v := range elems {
		switch v := v.(type) {
		case int64:
			s.ints = append(s.ints, v)
		case string:
			s.texts = append(s.texts, []byte(v))
		default:
			return nil
		}
	}
	switch {
	case a.kind() == column.Int && len(s.texts) == 0:
	case a.kind() == column.String && len(s.ints) == 0:
	default:
		return nil
	}
	if len(elems) > fewElems {
		s.intSet, s.textSet = map[int64]bool{}, map[string]bool{}
		for _, v := range s.ints {
			s.intSet[v] = true
		}
		for _, v := range s.texts {
			s.textSet[string(v)] = true
		}
	}
	return &node{step: s, t: column.BoolType}
}

// fewElems is the most constants that are compared one by one; more are hashed.
const fewElems = 8

// oneOfStep is whether a value is among constants. A null is not.
type oneOfStep struct {
	a       step
	want    bool
	ints    []int64
	texts   [][]byte
	intSet  map[int64]bool
	textSet map[string]bool
	found   cell
}

func (s *oneOfStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.a.eval(x)
	out := s.found.bools(x.n)
	s.found.out.Type = column.BoolType
	switch {
	case v.Type.Kind == column.Int && s.intSet != nil:
		for i, n := range v.Ints[:len(out)] {
			out[i] = s.intSet[n] == s.want
		}
	case v.Type.Kind == column.Int:
		repeat(out, !s.want)
		for _, c := range s.ints {
			for i, n := range v.Ints[:len(out)] {
				if n == c {
					out[i] = s.want
				}
			}
		}
	case s.textSet != nil:
		for i := range out {
			out[i] = s.textSet[string(v.Bin(i))] == s.want
		}
	default:
		for i := range out {
			out[i] = s.has(v.Bin(i)) == s.want
		}
	}
	nulls(&s.found.nul, v, x.n).each(func(i int) { out[i] = !s.want })
	return &s.found.out, bad
}

func (s *oneOfStep) has(text []byte) bool {
	for _, c := range s.texts {
		if len(c) == len(text) && bytes.Equal(c, text) {
			return true
		}
	}
	return false
}

// containsStep is whether a text holds another.
type containsStep struct {
	needle, text step
	c            fixedConst // the needle where it is constant
	want         bool
	cell
}

func (s *containsStep) eval(x *frame) (*column.Vector, bitset) {
	v, bad := s.text.eval(x)
	s.out.Type = column.BoolType
	if s.c.is {
		bad = s.operandBad(v, bad, nil, nil, x.n)
		out := s.bools(x.n)
		for _, r := range x.rows {
			out[r] = bytes.Contains(v.Bin(int(r)), s.c.bytes) == s.want
		}
		return &s.out, bad
	}
	w, badW := s.needle.eval(x)
	bad = s.operandBad(v, bad, w, badW, x.n)
	out := s.bools(x.n)
	for _, r := range x.rows {
		out[r] = bytes.Contains(v.Bin(int(r)), w.Bin(int(r))) == s.want
	}
	return &s.out, bad
}
