package expr

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/number"
)

// TypeName returns the name of a value's type in Python: "NoneType", "int", "str".
func TypeName(v column.Value) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case []byte:
		return "bytes"
	case column.Instant:
		return "Timestamp"
	case column.Span:
		return "Duration"
	case *column.ListValue:
		if v.Tuple {
			return "tuple"
		}
		return "list"
	case *column.MapValue:
		return "dict"
	case *column.RowValue:
		return "Row"
	case object:
		return v.typeName()
	}
	return fmt.Sprintf("%T", v)
}

// object is a value that lives only while an expression is evaluated: a set, an iterator, a function.
type object interface {
	typeName() string
	repr(b *strings.Builder)
}

// Truthy reports whether a value counts as true, as Python's bool() does.
func Truthy(v column.Value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []byte:
		return len(v) > 0
	case *column.ListValue:
		return len(v.Elems) > 0
	case *column.MapValue:
		return len(v.Keys) > 0
	case interface{ size() int64 }:
		return v.size() > 0
	}
	return true
}

// Str returns Python's str() of a value.
func Str(v column.Value) string {
	if s, ok := v.(string); ok {
		return s
	}
	return Repr(v)
}

// Repr returns Python's repr() of a value. A row is Row(a=1, b='x'), as in Beam.
func Repr(v column.Value) string {
	switch v := v.(type) {
	case string:
		return reprString(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	var b strings.Builder
	appendRepr(&b, v)
	return b.String()
}

func appendRepr(b *strings.Builder, v column.Value) {
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		var buf [20]byte
		b.Write(strconv.AppendInt(buf[:0], v, 10))
	case float64:
		var buf [32]byte
		b.Write(number.AppendFloat(buf[:0], v))
	case string:
		b.WriteString(reprString(v))
	case []byte:
		reprBytes(b, v)
	case column.Instant:
		b.WriteString("Timestamp(" + seconds(int64(v)) + ")")
	case column.Span:
		b.WriteString("Duration(" + seconds(int64(v)) + ")")
	case *column.ListValue:
		reprList(b, v)
	case *column.MapValue:
		b.WriteByte('{')
		for i := range v.Keys {
			if i > 0 {
				b.WriteString(", ")
			}
			appendRepr(b, v.Keys[i])
			b.WriteString(": ")
			appendRepr(b, v.Elems[i])
		}
		b.WriteByte('}')
	case *column.RowValue:
		b.WriteString("Row(")
		for i, name := range v.Names {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(name + "=")
			appendRepr(b, v.Elems[i])
		}
		b.WriteByte(')')
	case object:
		v.repr(b)
	default:
		fmt.Fprint(b, v)
	}
}

// seconds writes milliseconds as Beam's Timestamp and Duration do: whole seconds, and microseconds where there are any.
func seconds(ms int64) string {
	sign, n := "", uint64(ms)
	if ms < 0 {
		sign, n = "-", -n
	}
	if n%1000 == 0 {
		return sign + strconv.FormatUint(n/1000, 10)
	}
	return fmt.Sprintf("%s%d.%06d", sign, n/1000, n%1000*1000)
}

func reprList(b *strings.Builder, v *column.ListValue) {
	open, shut := byte('['), byte(']')
	if v.Tuple {
		open, shut = '(', ')'
	}
	b.WriteByte(open)
	for i, e := range v.Elems {
		if i > 0 {
			b.WriteString(", ")
		}
		appendRepr(b, e)
	}
	if v.Tuple && len(v.Elems) == 1 {
		b.WriteByte(',')
	}
	b.WriteByte(shut)
}

// reprString quotes as Python does: in ' unless there is a ' and no ".
func reprString(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteRune(quote)
	appendQuoted(&b, s, quote)
	b.WriteRune(quote)
	return b.String()
}

func reprBytes(b *strings.Builder, v []byte) {
	const hex = "0123456789abcdef"
	quote := byte('\'')
	if strings.Contains(string(v), "'") && !strings.Contains(string(v), `"`) {
		quote = '"'
	}
	b.WriteByte('b')
	b.WriteByte(quote)
	for _, c := range v {
		switch {
		case c == quote || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c >= 0x7f:
			b.WriteString(`\x` + string(hex[c>>4]) + string(hex[c&15]))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(quote)
}

// isPrintable is Python's str.isprintable of one character.
func isPrintable(r rune) bool { return unicode.IsPrint(r) }

// asNumber returns v as an int or float, booleans being integers.
func asNumber(v column.Value) (i int64, f float64, isFloat, ok bool) {
	switch v := v.(type) {
	case int64:
		return v, 0, false, true
	case float64:
		return 0, v, true, true
	case bool:
		if v {
			return 1, 0, false, true
		}
		return 0, 0, false, true
	}
	return 0, 0, false, false
}

// Equal is Python's ==: numbers by value (1 == 1.0 == True), rows by names and values, a timestamp equals its seconds.
func Equal(a, b column.Value) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case string:
		y, ok := b.(string)
		return ok && x == y
	case []byte:
		y, ok := b.([]byte)
		return ok && string(x) == string(y)
	case *column.ListValue:
		y, ok := b.(*column.ListValue)
		return ok && x.Tuple == y.Tuple && equalElems(x.Elems, y.Elems)
	case *column.MapValue:
		y, ok := b.(*column.MapValue)
		return ok && equalMaps(x, y)
	case *column.RowValue:
		y, ok := b.(*column.RowValue)
		return ok && equalRows(x, y)
	case object:
		return equalObjects(x, b)
	}
	if order, ok := compareNumbers(a, b); ok {
		return order == 0
	}
	return false
}

func equalElems(a, b []column.Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalMaps(a, b *column.MapValue) bool {
	if len(a.Keys) != len(b.Keys) {
		return false
	}
	index := newIndex(b.Keys)
	for i, k := range a.Keys {
		j, ok := index.find(k)
		if !ok || !Equal(a.Elems[i], b.Elems[j]) {
			return false
		}
	}
	return true
}

func equalRows(a, b *column.RowValue) bool {
	if len(a.Names) != len(b.Names) {
		return false
	}
	for i, name := range a.Names {
		v, ok := b.Get(name)
		if !ok || !Equal(a.Elems[i], v) {
			return false
		}
	}
	return true
}

// unordered is the order of a number and a NaN.
const unordered = 2

// compareNumbers orders numbers, and times and numbers of seconds: -1, 0, 1, or unordered. ok is false for other values.
func compareNumbers(a, b column.Value) (order int, ok bool) {
	ai, af, aFloat, aOK := asNumber(a)
	bi, bf, bFloat, bOK := asNumber(b)
	switch {
	case !aOK || !bOK:
		return compareTimes(a, b)
	case !aFloat && !bFloat:
		return compareOrdered(ai, bi), true
	case aFloat && bFloat:
		return compareFloats(af, bf), true
	case aFloat:
		return -compareIntFloat(bi, af), true
	}
	return compareIntFloat(ai, bf), true
}

func compareOrdered[T int | int64 | float64 | string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func compareFloats(a, b float64) int {
	if math.IsNaN(a) || math.IsNaN(b) {
		return unordered
	}
	return compareOrdered(a, b)
}

// compareIntFloat compares exactly, without rounding the integer. A NaN gives -unordered as well as unordered would.
func compareIntFloat(i int64, f float64) int {
	switch {
	case math.IsNaN(f):
		return unordered
	case f >= 1<<63:
		return -1
	case f < -(1 << 63):
		return 1
	}
	whole := math.Trunc(f)
	if order := compareOrdered(i, int64(whole)); order != 0 {
		return order
	}
	return compareOrdered(whole, f)
}

// compareTimes orders timestamps and durations, among their own and with numbers of seconds.
func compareTimes(a, b column.Value) (order int, ok bool) {
	x, _, xOK := timeOf(a)
	y, _, yOK := timeOf(b)
	switch {
	case xOK && yOK:
		return compareOrdered(x, y), true
	case xOK:
		return compareSeconds(x, b)
	case yOK:
		order, ok := compareSeconds(y, a)
		if order == unordered {
			return order, ok
		}
		return -order, ok
	}
	return 0, false
}

// timeOf returns the milliseconds of a timestamp or duration.
func timeOf(v column.Value) (ms int64, instant, ok bool) {
	switch v := v.(type) {
	case column.Instant:
		return int64(v), true, true
	case column.Span:
		return int64(v), false, true
	}
	return 0, false, false
}

func compareSeconds(ms int64, seconds column.Value) (int, bool) {
	i, f, isFloat, ok := asNumber(seconds)
	if !ok {
		return 0, false
	}
	if isFloat {
		// Beam takes a float at a precision of microseconds.
		return compareIntFloat(ms, math.Trunc(f*1e6)/1000), true
	}
	return new(big.Int).SetInt64(ms).Cmp(new(big.Int).Mul(big.NewInt(i), big.NewInt(1000))), true
}

// Less is Python's a < b. Values that have no order give a TypeError.
func Less(a, b column.Value) (bool, error) { return order("<", a, b) }

// order evaluates a comparison by size: < <= > >=.
func order(op string, a, b column.Value) (bool, error) {
	if c, ok := compareNumbers(a, b); ok {
		return holds(op, c), nil
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return holds(op, compareOrdered(x, y)), nil // the order of UTF-8 is that of its characters
		}
	case []byte:
		if y, ok := b.([]byte); ok {
			return holds(op, compareOrdered(string(x), string(y))), nil
		}
	case *column.ListValue:
		if y, ok := b.(*column.ListValue); ok && x.Tuple == y.Tuple {
			return orderElems(op, x.Elems, y.Elems)
		}
	case *setValue:
		if y, ok := b.(*setValue); ok {
			return x.compare(op, y), nil
		}
	}
	return false, raise("TypeError", "'%s' not supported between instances of '%s' and '%s'", op, TypeName(a), TypeName(b))
}

func holds(op string, order int) bool {
	switch op {
	case "<":
		return order == -1
	case "<=":
		return order == -1 || order == 0
	case ">":
		return order == 1
	}
	return order == 1 || order == 0
}

// orderElems compares the first elements that differ, else the lengths.
func orderElems(op string, a, b []column.Value) (bool, error) {
	for i := range min(len(a), len(b)) {
		if !Equal(a[i], b[i]) {
			return order(op, a[i], b[i])
		}
	}
	return holds(op, compareOrdered(len(a), len(b))), nil
}

// raise returns a Python exception.
func raise(class, format string, args ...any) error {
	return &Exception{Class: class, Msg: fmt.Sprintf(format, args...)}
}
