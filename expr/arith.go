package expr

import (
	"math"
	"math/big"
	"math/bits"

	"github.com/leat-project/leat/column"
)

// beyond64 is the error of an integer that does not fit 64 bits.
func beyond64(op string) error {
	return raise("OverflowError", "the result of %s is beyond 64 bits", op)
}

func badUnary(op string, v column.Value) error {
	return raise("TypeError", "bad operand type for unary %s: '%s'", op, TypeName(v))
}

func badOperands(op string, a, b column.Value) error {
	if op == "**" {
		op = "** or pow()"
	}
	return raise("TypeError", "unsupported operand type(s) for %s: '%s' and '%s'", op, TypeName(a), TypeName(b))
}

func unary(op string, v column.Value) (column.Value, error) {
	i, f, isFloat, ok := asNumber(v)
	if !ok {
		if s, ok := v.(column.Span); ok && op == "-" {
			return -s, nil
		}
		return nil, badUnary(op, v)
	}
	switch {
	case op == "~" && isFloat:
		return nil, badUnary(op, v)
	case op == "~":
		return ^i, nil
	case op == "+" && isFloat:
		return f, nil
	case op == "+":
		return i, nil
	case isFloat:
		return -f, nil
	case i == math.MinInt64:
		return nil, beyond64("-")
	}
	return -i, nil
}

// binary evaluates a binary operator.
func (m *machine) binary(op string, a, b column.Value) (column.Value, error) {
	ai, af, aFloat, aOK := asNumber(a)
	bi, bf, bFloat, bOK := asNumber(b)
	if !aOK || !bOK {
		return m.binaryOther(op, a, b)
	}
	if aFloat || bFloat {
		if !aFloat {
			af = float64(ai)
		}
		if !bFloat {
			bf = float64(bi)
		}
		return floatArith(op, af, bf, a, b)
	}
	switch op {
	case "&", "|", "^":
		if x, ok := a.(bool); ok {
			if y, ok := b.(bool); ok {
				return boolArith(op, x, y), nil
			}
		}
	}
	return intArith(op, ai, bi)
}

func boolArith(op string, a, b bool) bool {
	switch op {
	case "&":
		return a && b
	case "|":
		return a || b
	}
	return a != b
}

func intArith(op string, a, b int64) (column.Value, error) {
	switch op {
	case "+":
		if s := a + b; (s > a) == (b > 0) {
			return s, nil
		}
	case "-":
		if s := a - b; (s < a) == (b > 0) {
			return s, nil
		}
	case "*":
		return multiply(a, b)
	case "/":
		return trueDivide(a, b)
	case "//":
		if b == 0 {
			return nil, raise("ZeroDivisionError", "integer division or modulo by zero")
		}
		if a == math.MinInt64 && b == -1 {
			return nil, beyond64(op)
		}
		q, _ := floorDivide(a, b)
		return q, nil
	case "%":
		if b == 0 {
			return nil, raise("ZeroDivisionError", "integer modulo by zero")
		}
		_, r := floorDivide(a, b)
		return r, nil
	case "**":
		return intPower(a, b)
	case "&":
		return a & b, nil
	case "|":
		return a | b, nil
	case "^":
		return a ^ b, nil
	case "<<", ">>":
		return shift(op, a, b)
	}
	return nil, beyond64(op)
}

func multiply(a, b int64) (column.Value, error) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if a < 0 {
		hi -= uint64(b)
	}
	if b < 0 {
		hi -= uint64(a)
	}
	if int64(hi) != int64(lo)>>63 {
		return nil, beyond64("*")
	}
	return int64(lo), nil
}

// floorDivide returns the quotient rounded down and the remainder, which has b's sign. b is not 0.
func floorDivide(a, b int64) (q, r int64) {
	if b == -1 {
		return -a, 0
	}
	q, r = a/b, a%b
	if r != 0 && (r < 0) != (b < 0) {
		q, r = q-1, r+b
	}
	return q, r
}

// trueDivide returns the float nearest to a/b.
func trueDivide(a, b int64) (column.Value, error) {
	if b == 0 {
		return nil, raise("ZeroDivisionError", "division by zero")
	}
	const exact = 1 << 53
	if -exact <= a && a <= exact && -exact <= b && b <= exact {
		return float64(a) / float64(b), nil
	}
	if a == 0 {
		return math.Copysign(0, float64(b)), nil
	}
	f, _ := new(big.Rat).SetFrac(big.NewInt(a), big.NewInt(b)).Float64()
	return f, nil
}

func intPower(a, b int64) (column.Value, error) {
	if b < 0 {
		if a == 0 {
			return nil, raise("ZeroDivisionError", "0.0 cannot be raised to a negative power")
		}
		return floatPower(float64(a), float64(b))
	}
	switch {
	case a == 0 && b > 0, a == 1:
		return a, nil
	case a == -1:
		return 1 - 2*(b&1), nil
	case b > 64:
		return nil, beyond64("**")
	}
	n := new(big.Int).Exp(big.NewInt(a), big.NewInt(b), nil)
	if !n.IsInt64() {
		return nil, beyond64("**")
	}
	return n.Int64(), nil
}

func shift(op string, a, b int64) (column.Value, error) {
	switch {
	case b < 0:
		return nil, raise("ValueError", "negative shift count")
	case op == ">>":
		return a >> min(b, 63), nil
	case a == 0:
		return a, nil
	case b > 63 || a<<b>>b != a:
		return nil, beyond64("<<")
	}
	return a << b, nil
}

func floatArith(op string, x, y float64, a, b column.Value) (column.Value, error) {
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "/":
		if y == 0 {
			return nil, raise("ZeroDivisionError", "float division by zero")
		}
		return x / y, nil
	case "//":
		if y == 0 {
			return nil, raise("ZeroDivisionError", "float floor division by zero")
		}
		q, _ := floatDivMod(x, y)
		return q, nil
	case "%":
		if y == 0 {
			return nil, raise("ZeroDivisionError", "float modulo")
		}
		_, r := floatDivMod(x, y)
		return r, nil
	case "**":
		return floatPower(x, y)
	}
	return nil, badOperands(op, a, b)
}

// floatDivMod returns Python's x // y and x % y. y is not 0.
func floatDivMod(x, y float64) (q, r float64) {
	r = math.Mod(x, y)
	q = (x - r) / y
	if r != 0 {
		if (y < 0) != (r < 0) {
			r += y
			q--
		}
	} else {
		r = math.Copysign(0, y)
	}
	if q == 0 {
		return math.Copysign(0, x/y), r
	}
	floor := math.Floor(q)
	if q-floor > 0.5 {
		floor++
	}
	return floor, r
}

// floatPower is Python's ** of floats. What would be complex is refused.
func floatPower(x, y float64) (column.Value, error) {
	switch {
	case y == 0 || x == 1:
		return 1.0, nil
	case math.IsNaN(x) || math.IsNaN(y):
		return math.NaN(), nil
	case math.IsInf(y, 0):
		if x = math.Abs(x); x == 1 {
			return 1.0, nil
		}
		if (y > 0) == (x > 1) {
			return math.Abs(y), nil
		}
		return 0.0, nil
	case math.IsInf(x, 0), x == 0 && y > 0:
		return math.Pow(x, y), nil
	case x == 0:
		return nil, raise("ZeroDivisionError", "0.0 cannot be raised to a negative power")
	case x < 0 && y != math.Floor(y):
		if math.IsInf(power(-x, y), 0) {
			return nil, raise("OverflowError", "complex exponentiation")
		}
		return nil, raise("ValueError", "a negative number to a fractional power is complex, which is not supported")
	}
	p := power(x, y)
	if math.IsInf(p, 0) {
		return nil, raise("OverflowError", "(34, 'Numerical result out of range')")
	}
	return p, nil
}

// binaryOther evaluates operators where an operand is no number.
func (m *machine) binaryOther(op string, a, b column.Value) (column.Value, error) {
	if s, ok := a.(string); ok && op == "%" {
		return m.percent(s, b)
	}
	switch op {
	case "+":
		return m.concat(a, b)
	case "*":
		if n, ok := repeatCount(b); ok && isSequence(a) {
			return m.repeat(a, n)
		}
		if n, ok := repeatCount(a); ok && isSequence(b) {
			return m.repeat(b, n)
		}
		if n, x := asSequence(a), b; n {
			return nil, raise("TypeError", "can't multiply sequence by non-int of type '%s'", TypeName(x))
		}
		if asSequence(b) {
			return nil, raise("TypeError", "can't multiply sequence by non-int of type '%s'", TypeName(a))
		}
	case "|", "&", "-", "^":
		if v, ok, err := m.setArith(op, a, b); ok || err != nil {
			return v, err
		}
	}
	return m.timeArith(op, a, b)
}

func asSequence(v column.Value) bool { return isSequence(v) }

func isSequence(v column.Value) bool {
	switch v.(type) {
	case string, []byte, *column.ListValue:
		return true
	}
	return false
}

func repeatCount(v column.Value) (int64, bool) {
	i, _, isFloat, ok := asNumber(v)
	return i, ok && !isFloat
}

func (m *machine) concat(a, b column.Value) (column.Value, error) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return x + y, m.spend(len(x) + len(y))
		}
		return nil, raise("TypeError", `can only concatenate str (not "%s") to str`, TypeName(b))
	case []byte:
		if y, ok := b.([]byte); ok {
			return append(append(make([]byte, 0, len(x)+len(y)), x...), y...), m.spend(len(x) + len(y))
		}
		return nil, raise("TypeError", "can't concat %s to bytes", TypeName(b))
	case *column.ListValue:
		if y, ok := b.(*column.ListValue); ok && x.Tuple == y.Tuple {
			n := len(x.Elems) + len(y.Elems)
			if err := m.spend(elemBytes * n); err != nil {
				return nil, err
			}
			return &column.ListValue{Elems: append(append(make([]column.Value, 0, n), x.Elems...), y.Elems...), Tuple: x.Tuple}, nil
		}
		return nil, raise("TypeError", `can only concatenate %s (not "%s") to %s`, TypeName(a), TypeName(b), TypeName(a))
	}
	return m.timeArith("+", a, b)
}

// repeat is sequence * n. What is less than 0 counts as 0.
func (m *machine) repeat(of column.Value, n int64) (column.Value, error) {
	n = max(n, 0)
	size := func(len, each int) error {
		if len > 0 && n > int64(MaxMemory/(len*each)) {
			return m.spend(MaxMemory + 1)
		}
		return m.spend(len * each * int(min(n, MaxMemory)))
	}
	switch v := of.(type) {
	case string:
		if v == "" {
			return v, nil
		}
		if err := size(len(v), 1); err != nil {
			return nil, err
		}
		return repeatString(v, int(n)), nil
	case []byte:
		if len(v) == 0 {
			return v, nil
		}
		if err := size(len(v), 1); err != nil {
			return nil, err
		}
		return []byte(repeatString(string(v), int(n))), nil
	}
	v := of.(*column.ListValue)
	if err := size(len(v.Elems), elemBytes); err != nil {
		return nil, err
	}
	if len(v.Elems) == 0 {
		return v, nil
	}
	elems := make([]column.Value, 0, len(v.Elems)*int(n))
	for range n {
		elems = append(elems, v.Elems...)
	}
	return &column.ListValue{Elems: elems, Tuple: v.Tuple}, nil
}

// timeArith computes with timestamps and durations, as Beam's classes do: a number is a number of seconds.
func (m *machine) timeArith(op string, a, b column.Value) (column.Value, error) {
	x, aInstant, aTime := timeOf(a)
	y, bInstant, bTime := timeOf(b)
	if !aTime && !bTime {
		return nil, badOperands(op, a, b)
	}
	var err error
	if op == "+" || op == "-" || op == "%" {
		if !aTime {
			x, err = millis(a, err)
		}
		if !bTime {
			y, err = millis(b, err)
		}
		if err != nil {
			return nil, badOperands(op, a, b)
		}
	}
	var sum column.Value
	switch {
	case op == "+" && !(aInstant && bInstant):
		if sum, err = intArith("+", x, y); err == nil {
			return timeLike(sum.(int64), aInstant || bInstant), nil
		}
		return nil, err
	case op == "-" && (aInstant || !bInstant):
		if sum, err = intArith("-", x, y); err == nil {
			return timeLike(sum.(int64), aInstant && !bInstant), nil
		}
		return nil, err
	case op == "%" && !bInstant && aTime:
		if y == 0 {
			return nil, raise("ZeroDivisionError", "integer modulo by zero")
		}
		_, r := floorDivide(x, y)
		return column.Span(r), nil
	case op == "*" && !aInstant && !bInstant && aTime != bTime:
		if aTime {
			return scaleSpan(x, b, a, b)
		}
		return scaleSpan(y, a, a, b)
	}
	return nil, badOperands(op, a, b)
}

func timeLike(ms int64, instant bool) column.Value {
	if instant {
		return column.Instant(ms)
	}
	return column.Span(ms)
}

// millis returns a number of seconds in milliseconds, rounded down.
func millis(v column.Value, before error) (int64, error) {
	i, f, isFloat, ok := asNumber(v)
	if !ok || before != nil {
		return 0, raise("TypeError", "Cannot interpret %s as seconds.", Repr(v))
	}
	if isFloat {
		if f = math.Floor(math.Trunc(f*1e6) / 1000); !(math.Abs(f) < 1<<62) {
			return 0, beyond64("seconds")
		}
		return int64(f), nil
	}
	n, err := multiply(i, 1000)
	if err != nil {
		return 0, err
	}
	return n.(int64), nil
}

func scaleSpan(ms int64, by, a, b column.Value) (column.Value, error) {
	i, f, isFloat, ok := asNumber(by)
	if !ok {
		return nil, badOperands("*", a, b)
	}
	if isFloat {
		if f = math.Floor(float64(ms) * f); !(math.Abs(f) < 1<<62) {
			return nil, beyond64("*")
		}
		return column.Span(f), nil
	}
	n, err := multiply(ms, i)
	if err != nil {
		return nil, err
	}
	return column.Span(n.(int64)), nil
}
