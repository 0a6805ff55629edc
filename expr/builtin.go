package expr

import (
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

// function makes an entry of the table of built-in functions.
func function(min, max int, call func(m *machine, a *arguments) (column.Value, error), names ...string) *callable {
	return &callable{signature{min: min, max: max, names: names}, func(m *machine, _ column.Value, a *arguments) (column.Value, error) {
		return call(m, a)
	}}
}

// anyKeyword lets a function take whatever keywords the caller likes.
func (c *callable) anyKeyword() *callable {
	c.any = true
	return c
}

func (c *callable) keywordOnly(names ...string) *callable {
	c.only = names
	return c
}

// builtins are the built-in functions and types of Python that are compiled. It is filled in init, since functions call
// each other through it.
var builtins map[string]*callable

func init() {
	builtins = map[string]*callable{
		"abs": function(1, 1, builtinAbs), "all": function(1, 1, builtinAll), "any": function(1, 1, builtinAny),
		"ascii": function(1, 1, builtinASCII), "bin": function(1, 1, radix("bin")), "bool": function(0, 1, builtinBool),
		"bytes": function(0, 3, builtinBytes, "source", "encoding", "errors"), "chr": function(1, 1, builtinChr),
		"dict": function(0, 1, builtinDict).anyKeyword(), "divmod": function(2, 2, builtinDivmod),
		"enumerate": function(1, 2, builtinEnumerate, "iterable", "start"), "filter": function(2, 2, builtinFilter),
		"float": function(0, 1, builtinFloat), "format": function(1, 2, builtinFormat), "hex": function(1, 1, radix("hex")),
		"int": function(0, 2, builtinInt, "", "base"), "isinstance": function(2, 2, builtinIsinstance), "len": function(1, 1, builtinLen),
		"iter": function(1, 1, builtinIter), "next": function(1, 2, builtinNext), "list": function(0, 1, builtinList), "map": function(2, -1, builtinMap),
		"max": function(1, -1, extreme("max")).keywordOnly("key", "default"), "min": function(1, -1, extreme("min")).keywordOnly("key", "default"),
		"oct": function(1, 1, radix("oct")), "ord": function(1, 1, builtinOrd), "pow": function(2, 3, builtinPow, "base", "exp", "mod"),
		"range": function(1, 3, builtinRange), "repr": function(1, 1, builtinRepr), "reversed": function(1, 1, builtinReversed),
		"round": function(1, 2, builtinRound, "number", "ndigits"), "set": function(0, 1, builtinSet),
		"sorted": function(1, 1, builtinSorted).keywordOnly("key", "reverse"), "str": function(0, 3, builtinStr, "object", "encoding", "errors"),
		"sum": function(1, 2, builtinSum, "", "start"), "tuple": function(0, 1, builtinTuple), "zip": function(0, -1, builtinZip).keywordOnly("strict"),
	}
}

func builtinAbs(_ *machine, a *arguments) (column.Value, error) {
	i, f, isFloat, ok := asNumber(a.pos[0])
	switch {
	case !ok:
		return nil, raise("TypeError", "bad operand type for abs(): '%s'", TypeName(a.pos[0]))
	case isFloat:
		return math.Abs(f), nil
	case i == math.MinInt64:
		return nil, beyond64("abs()")
	}
	return max(i, -i), nil
}

func builtinAll(m *machine, a *arguments) (column.Value, error) { return m.quantify(a.pos[0], false) }
func builtinAny(m *machine, a *arguments) (column.Value, error) { return m.quantify(a.pos[0], true) }

// quantify looks for an element of that truth. It is found for any, and not found for all, to be true.
func (m *machine) quantify(of column.Value, truth bool) (column.Value, error) {
	it, err := m.iterate(of)
	if err != nil {
		return nil, err
	}
	for {
		v, ok, err := it.next()
		if err != nil || !ok {
			return !truth, err
		}
		if Truthy(v) == truth {
			return truth, nil
		}
	}
}

func builtinASCII(m *machine, a *arguments) (column.Value, error) {
	s, err := m.repr(a.pos[0])
	return toASCII(s), err
}

// toASCII escapes what is not ASCII.
func toASCII(s string) string {
	if isASCII(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			b.WriteByte(byte(r))
		case r <= 0xff:
			b.WriteString(`\x` + strconv.FormatInt(int64(r), 16))
		case r <= 0xffff:
			b.WriteString(`\u` + pad0(strconv.FormatInt(int64(r), 16), 4))
		default:
			b.WriteString(`\U` + pad0(strconv.FormatInt(int64(r), 16), 8))
		}
	}
	return b.String()
}

// radix returns bin, oct or hex.
func radix(name string) func(m *machine, a *arguments) (column.Value, error) {
	base, prefix := 2, "0b"
	switch name {
	case "oct":
		base, prefix = 8, "0o"
	case "hex":
		base, prefix = 16, "0x"
	}
	return func(_ *machine, a *arguments) (column.Value, error) {
		i, err := intArg(a.pos[0])
		if err != nil {
			return nil, err
		}
		s := strconv.FormatInt(i, base)
		if i < 0 {
			return "-" + prefix + s[1:], nil
		}
		return prefix + s, nil
	}
}

func builtinBool(_ *machine, a *arguments) (column.Value, error) { return Truthy(a.at(0, nil)), nil }

func builtinBytes(m *machine, a *arguments) (column.Value, error) {
	switch v := a.at(0, []byte{}).(type) {
	case []byte:
		return v, nil
	case string:
		if !a.has(1) {
			return nil, raise("TypeError", "string argument without an encoding")
		}
		return m.encode("bytes", v, a.pos[1], a.at(2, "strict"))
	case int64, bool:
		n, _, _, _ := asNumber(v)
		if n < 0 {
			return nil, raise("ValueError", "negative count")
		}
		if err := m.spend(int(min(n, MaxMemory+1))); err != nil {
			return nil, err
		}
		return make([]byte, n), nil
	default:
		elems, err := m.collect(v)
		if err != nil {
			return nil, raise("TypeError", "cannot convert '%s' object to bytes", TypeName(v))
		}
		out := make([]byte, len(elems))
		for i, e := range elems {
			n, err := intArg(e)
			if err != nil {
				return nil, err
			}
			if n < 0 || n > 255 {
				return nil, raise("ValueError", "bytes must be in range(0, 256)")
			}
			out[i] = byte(n)
		}
		return out, nil
	}
}

func builtinChr(_ *machine, a *arguments) (column.Value, error) {
	i, err := intArg(a.pos[0])
	if err != nil {
		return nil, err
	}
	if i != int64(int32(i)) {
		return nil, raise("OverflowError", "Python int too large to convert to C int")
	}
	if i < 0 || i > utf8.MaxRune {
		return nil, raise("ValueError", "chr() arg not in range(0x110000)")
	}
	if !utf8.ValidRune(rune(i)) {
		return nil, raise("UnicodeEncodeError", "surrogates cannot be part of a string")
	}
	return string(rune(i)), nil
}

func builtinOrd(_ *machine, a *arguments) (column.Value, error) {
	n := 0
	switch v := a.pos[0].(type) {
	case string:
		if n = charCount(v); n == 1 {
			r, _ := utf8.DecodeRuneInString(v)
			return int64(r), nil
		}
	case []byte:
		if n = len(v); n == 1 {
			return int64(v[0]), nil
		}
	default:
		return nil, raise("TypeError", "ord() expected string of length 1, but %s found", TypeName(v))
	}
	return nil, raise("TypeError", "ord() expected a character, but string of length %d found", n)
}

func builtinDivmod(m *machine, a *arguments) (column.Value, error) {
	x, xf, xFloat, xOK := asNumber(a.pos[0])
	y, yf, yFloat, yOK := asNumber(a.pos[1])
	if !xOK || !yOK {
		return nil, badOperands("divmod()", a.pos[0], a.pos[1])
	}
	if !xFloat && !yFloat {
		q, err := intArith("//", x, y)
		if err != nil {
			return nil, err
		}
		_, r := floorDivide(x, y)
		return tuple(q, r), nil
	}
	if !xFloat {
		xf = float64(x)
	}
	if !yFloat {
		yf = float64(y)
	}
	if yf == 0 {
		return nil, raise("ZeroDivisionError", "float divmod()")
	}
	q, r := floatDivMod(xf, yf)
	return tuple(q, r), nil
}

func tuple(elems ...column.Value) *column.ListValue {
	return &column.ListValue{Elems: elems, Tuple: true}
}

func builtinLen(_ *machine, a *arguments) (column.Value, error) {
	switch v := a.pos[0].(type) {
	case string:
		return int64(charCount(v)), nil
	case []byte:
		return int64(len(v)), nil
	case *column.ListValue:
		return int64(len(v.Elems)), nil
	case *column.MapValue:
		return int64(len(v.Keys)), nil
	case *column.RowValue:
		return int64(len(v.Elems)), nil
	case interface{ size() int64 }:
		return v.size(), nil
	}
	return nil, raise("TypeError", "object of type '%s' has no len()", TypeName(a.pos[0]))
}

// extreme returns min or max.
func extreme(name string) func(m *machine, a *arguments) (column.Value, error) {
	op := ">"
	if name == "min" {
		op = "<"
	}
	return func(m *machine, a *arguments) (column.Value, error) {
		key, otherwise := a.only[0], a.only[1]
		it := iterator(&elemsIter{m: m, elems: a.pos})
		if len(a.pos) == 1 {
			var err error
			if it, err = m.iterate(a.pos[0]); err != nil {
				return nil, err
			}
		} else if otherwise != absent {
			return nil, raise("TypeError", "Cannot specify a default for %s() with multiple positional arguments", name)
		}
		best, found, err := m.best(it, op, key)
		switch {
		case err != nil:
			return nil, err
		case found:
			return best, nil
		case otherwise != absent:
			return otherwise, nil
		}
		return nil, raise("ValueError", "%s() arg is an empty sequence", name)
	}
}

// best returns the first element that compares by op to none before it.
func (m *machine) best(it iterator, op string, key column.Value) (best column.Value, found bool, err error) {
	var bestKey column.Value
	for {
		v, ok, err := it.next()
		if err != nil || !ok {
			return best, found, err
		}
		k := v
		if key != absent && key != nil {
			if k, err = m.apply(key, v); err != nil {
				return nil, false, err
			}
		}
		if found {
			better, err := m.comparePair(op, k, bestKey)
			if err != nil {
				return nil, false, err
			}
			if !better {
				continue
			}
		}
		best, bestKey, found = v, k, true
	}
}

func builtinSum(m *machine, a *arguments) (column.Value, error) {
	total := a.at(1, int64(0))
	switch total.(type) {
	case string:
		return nil, raise("TypeError", "sum() can't sum strings [use ''.join(seq) instead]")
	case []byte:
		return nil, raise("TypeError", "sum() can't sum bytes [use b''.join(seq) instead]")
	}
	it, err := m.iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	for {
		v, ok, err := it.next()
		if err != nil || !ok {
			return total, err
		}
		if total, err = m.binary("+", total, v); err != nil {
			return nil, err
		}
	}
}

// byKey sorts elements by their keys, stably.
type byKey struct {
	m       *machine
	keys    []column.Value
	elems   []column.Value
	reverse bool
	err     error
}

func (s *byKey) Len() int { return len(s.keys) }

func (s *byKey) Swap(i, j int) {
	s.keys[i], s.keys[j] = s.keys[j], s.keys[i]
	if len(s.elems) > 0 && &s.elems[0] != &s.keys[0] {
		s.elems[i], s.elems[j] = s.elems[j], s.elems[i]
	}
}

func (s *byKey) Less(i, j int) bool {
	if s.err != nil {
		return false
	}
	if s.err = s.m.tick(1); s.err != nil {
		return false
	}
	if s.reverse {
		i, j = j, i
	}
	less, err := s.m.comparePair("<", s.keys[i], s.keys[j])
	if err != nil {
		s.err = err
	}
	return less
}

func builtinSorted(m *machine, a *arguments) (column.Value, error) {
	all, err := m.collect(a.pos[0])
	if err != nil {
		return nil, err
	}
	if err := m.spend(2 * elemBytes * len(all)); err != nil {
		return nil, err
	}
	elems := append(make([]column.Value, 0, len(all)), all...)
	s := &byKey{m: m, keys: elems, elems: elems}
	if reverse := a.only[1]; reverse != absent {
		if _, err := intArg(reverse); err != nil {
			return nil, err
		}
		s.reverse = Truthy(reverse)
	}
	if key := a.only[0]; key != absent && key != nil {
		s.keys = make([]column.Value, len(elems))
		for i, v := range elems {
			if s.keys[i], err = m.apply(key, v); err != nil {
				return nil, err
			}
		}
	}
	sort.Stable(s)
	return &column.ListValue{Elems: elems}, s.err
}

func builtinRound(_ *machine, a *arguments) (column.Value, error) {
	i, f, isFloat, ok := asNumber(a.at(0, nil))
	if !ok {
		return nil, raise("TypeError", "type %s doesn't define __round__ method", TypeName(a.at(0, nil)))
	}
	digits := a.at(1, nil)
	if digits == nil {
		if isFloat {
			return roundToInt(f)
		}
		return i, nil
	}
	n, err := intArg(digits)
	if err != nil {
		return nil, err
	}
	if isFloat {
		return roundFloat(f, n)
	}
	return roundInt(i, n)
}

func roundToInt(f float64) (column.Value, error) {
	switch {
	case math.IsNaN(f):
		return nil, raise("ValueError", "cannot convert float NaN to integer")
	case math.IsInf(f, 0):
		return nil, raise("OverflowError", "cannot convert float infinity to integer")
	}
	if f = math.RoundToEven(f); f < -(1<<63) || f >= 1<<63 {
		return nil, beyond64("round()")
	}
	return int64(f), nil
}

// roundFloat rounds to n decimal digits: the decimal that is nearest to the float's exact value, read as a float.
func roundFloat(f float64, n int64) (column.Value, error) {
	if f == 0 || math.IsNaN(f) || math.IsInf(f, 0) || n > 323 {
		return f, nil
	}
	if n < -308 {
		return math.Copysign(0, f), nil
	}
	var text string
	if n >= 0 {
		text = strconv.FormatFloat(f, 'f', int(n), 64)
	} else {
		text = roundTens(f, -n)
	}
	r, _ := strconv.ParseFloat(text, 64)
	if math.IsInf(r, 0) {
		return nil, raise("OverflowError", "rounded value too large to represent")
	}
	return r, nil
}

// roundTens rounds to a multiple of 10^n, half to even, of the exact value.
func roundTens(f float64, n int64) string {
	exact, _ := new(big.Rat).SetString(strconv.FormatFloat(f, 'f', -1, 64))
	exact.SetFloat64(f)
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil)
	whole := roundRat(exact.Quo(exact, new(big.Rat).SetInt(unit)))
	text := whole.Mul(whole, unit).String()
	if f < 0 && text == "0" {
		return "-0"
	}
	return text
}

// roundRat rounds half to even.
func roundRat(r *big.Rat) *big.Int {
	twice := new(big.Int).Lsh(r.Num(), 1)
	twice.Add(twice, r.Denom())
	q, rest := new(big.Int).DivMod(twice, new(big.Int).Lsh(r.Denom(), 1), new(big.Int))
	if rest.Sign() == 0 && q.Bit(0) == 1 {
		q.Sub(q, big.NewInt(1))
	}
	return q
}

func roundInt(i, n int64) (column.Value, error) {
	if n >= 0 {
		return i, nil
	}
	if n < -19 {
		return int64(0), nil
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(-n), nil)
	whole := roundRat(new(big.Rat).SetFrac(big.NewInt(i), unit))
	if whole.Mul(whole, unit); !whole.IsInt64() {
		return nil, beyond64("round()")
	}
	return whole.Int64(), nil
}

func builtinPow(m *machine, a *arguments) (column.Value, error) {
	base, exp, mod := a.at(0, nil), a.at(1, nil), a.at(2, nil)
	if mod == nil {
		return m.binary("**", base, exp)
	}
	x, err1 := intArg(base)
	y, err2 := intArg(exp)
	z, err3 := intArg(mod)
	if err1 != nil || err2 != nil || err3 != nil {
		_, _, _, ok1 := asNumber(base)
		_, _, _, ok2 := asNumber(exp)
		_, _, _, ok3 := asNumber(mod)
		if !ok1 || !ok2 || !ok3 {
			return nil, raise("TypeError", "unsupported operand type(s) for ** or pow(): '%s', '%s', '%s'", TypeName(base), TypeName(exp), TypeName(mod))
		}
		return nil, raise("TypeError", "pow() 3rd argument not allowed unless all arguments are integers")
	}
	if z == 0 {
		return nil, raise("ValueError", "pow() 3rd argument cannot be 0")
	}
	size := new(big.Int).Abs(big.NewInt(z))
	n := new(big.Int).Mod(big.NewInt(x), size)
	if y < 0 {
		if n.ModInverse(n, size) == nil {
			return nil, raise("ValueError", "base is not invertible for the given modulus")
		}
	}
	n.Exp(n, new(big.Int).Abs(big.NewInt(y)), size)
	if z < 0 && n.Sign() > 0 {
		n.Sub(n, size)
	}
	return n.Int64(), nil
}

func builtinRepr(m *machine, a *arguments) (column.Value, error) { return m.repr(a.pos[0]) }

// repr is Repr within the limits.
func (m *machine) repr(v column.Value) (string, error) {
	if err := m.weigh(v); err != nil {
		return "", err
	}
	s := Repr(v)
	return s, m.spend(len(s))
}

func (m *machine) str(v column.Value) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	return m.repr(v)
}

func builtinStr(m *machine, a *arguments) (column.Value, error) {
	if !a.has(0) {
		return "", nil
	}
	if !a.has(1) && !a.has(2) {
		return m.str(a.pos[0])
	}
	b, ok := a.pos[0].([]byte)
	if !ok {
		if _, isStr := a.pos[0].(string); isStr {
			return nil, raise("TypeError", "decoding str is not supported")
		}
		return nil, raise("TypeError", "decoding to str: need a bytes-like object, %s found", TypeName(a.pos[0]))
	}
	return m.decode("str", b, a.at(1, "utf-8"), a.at(2, "strict"))
}

func builtinFormat(m *machine, a *arguments) (column.Value, error) {
	spec, ok := a.at(1, "").(string)
	if !ok {
		return nil, raise("TypeError", "format() argument 2 must be str, not %s", TypeName(a.pos[1]))
	}
	return m.format(a.pos[0], spec)
}

func builtinIsinstance(_ *machine, a *arguments) (column.Value, error) {
	return isInstance(a.pos[0], a.pos[1])
}

func isInstance(v, of column.Value) (column.Value, error) {
	switch t := of.(type) {
	case builtinValue:
		if isTypeName(t.name) {
			name := TypeName(v)
			return name == t.name || t.name == "int" && name == "bool", nil
		}
	case *column.ListValue:
		if t.Tuple {
			for _, e := range t.Elems {
				if ok, err := isInstance(v, e); err != nil || ok == true {
					return ok, err
				}
			}
			return false, nil
		}
	}
	return nil, raise("TypeError", "isinstance() arg 2 must be a type, a tuple of types, or a union")
}
