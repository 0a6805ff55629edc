package expr

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"

	"github.com/leat-project/leat/column"
)

func builtinFloat(_ *machine, a *arguments) (column.Value, error) {
	v := a.at(0, int64(0))
	if i, f, isFloat, ok := asNumber(v); ok {
		if isFloat {
			return f, nil
		}
		return float64(i), nil
	}
	switch v := v.(type) {
	case string:
		return parseFloat(v, Repr(v))
	case []byte:
		return parseFloat(latin(v), Repr(v))
	case column.Instant:
		return float64(v) / 1000, nil
	case column.Span:
		return float64(v) / 1000, nil
	}
	return nil, raise("TypeError", "float() argument must be a string or a real number, not '%s'", TypeName(v))
}

// latin makes a number's text of bytes: only ASCII can be part of one.
func latin(b []byte) string {
	if s := string(b); isASCII(s) {
		return s
	}
	return "?"
}

// asciiDigits turns decimal digits of any script into ASCII ones and trims white space, as int() and float() do.
func asciiDigits(s string) string {
	s = strings.TrimFunc(s, isSpace)
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= 0x80 && unicode.Is(unicode.Nd, r) {
			return rune('0' + digitValue(r))
		}
		return r
	}, s)
}

// digitValue is the value of a decimal digit of any script. They come in runs of ten from zero on.
func digitValue(r rune) int {
	n := 0
	for n < 9 && unicode.Is(unicode.Nd, r-rune(n)-1) {
		n++
	}
	if n == 9 && unicode.Is(unicode.Nd, r-10) { // runs that follow one another begin at a multiple of ten from the first
		first := r
		for unicode.Is(unicode.Nd, first-1) {
			first--
		}
		return int(r-first) % 10
	}
	return n
}

// withoutUnderscores removes the underscores between digits; ok is false where one stands elsewhere.
func withoutUnderscores(s string) (string, bool) {
	if !strings.Contains(s, "_") {
		return s, true
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '_' && (i == 0 || i+1 == len(s) || !isHexDigit(s[i-1]) || !isHexDigit(s[i+1])) {
			return s, false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}

func isHexDigit(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

func parseFloat(s, shown string) (column.Value, error) {
	bad := raise("ValueError", "could not convert string to float: %s", shown)
	text := asciiDigits(s)
	for i := 1; i+1 < len(text); i++ {
		if text[i] == '_' && !(isDigit(text[i-1]) && isDigit(text[i+1])) {
			return nil, bad
		}
	}
	text, ok := withoutUnderscores(text)
	if !ok {
		return nil, bad
	}
	switch bare := strings.ToLower(strings.TrimLeft(text, "+-")); {
	case bare == "inf" || bare == "infinity" || bare == "nan":
		if len(text)-len(bare) > 1 {
			return nil, bad
		}
	case strings.Trim(bare, "0123456789.e+-") != "":
		return nil, bad // hexadecimal and what else only Go reads
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return nil, bad
	}
	return f, nil
}

func builtinInt(_ *machine, a *arguments) (column.Value, error) {
	v := a.at(0, absent)
	if a.has(1) {
		base, err := intArg(a.pos[1])
		if err != nil {
			return nil, err
		}
		if base != 0 && (base < 2 || base > 36) {
			return nil, raise("ValueError", "int() base must be >= 2 and <= 36, or 0")
		}
		switch v := v.(type) {
		case string:
			return parseInt(v, Repr(v), base)
		case []byte:
			return parseInt(latin(v), Repr(v), base)
		case absentValue:
			return nil, raise("TypeError", "int() missing string argument")
		}
		return nil, raise("TypeError", "int() can't convert non-string with explicit base")
	}
	switch v := v.(type) {
	case absentValue:
		return int64(0), nil
	case float64:
		return truncate(v)
	case string:
		return parseInt(v, Repr(v), 10)
	case []byte:
		return parseInt(latin(v), Repr(v), 10)
	case column.Instant:
		q, _ := floorDivide(int64(v), 1000)
		return q, nil
	}
	if i, _, _, ok := asNumber(v); ok {
		return i, nil
	}
	return nil, raise("TypeError", "int() argument must be a string, a bytes-like object or a real number, not '%s'", TypeName(v))
}

func truncate(f float64) (column.Value, error) {
	switch {
	case math.IsNaN(f):
		return nil, raise("ValueError", "cannot convert float NaN to integer")
	case math.IsInf(f, 0):
		return nil, raise("OverflowError", "cannot convert float infinity to integer")
	case f < -(1<<63) || f >= 1<<63:
		return nil, beyond64("int()")
	}
	return int64(f), nil
}

func parseInt(s, shown string, base int64) (column.Value, error) {
	bad := raise("ValueError", "invalid literal for int() with base %d: %s", base, shown)
	text := asciiDigits(s)
	sign := ""
	if text != "" && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			sign = "-"
		}
		text = text[1:]
	}
	if base == 0 || base == 2 || base == 8 || base == 16 {
		var ok bool
		if text, base, ok = basePrefix(text, base); !ok {
			return nil, bad
		}
	}
	text, ok := withoutUnderscores(text)
	if !ok || text == "" || text[0] == '+' || text[0] == '-' {
		return nil, bad
	}
	n, err := strconv.ParseInt(sign+text, int(base), 64)
	if err == nil {
		return n, nil
	}
	if len(text) > 4300 && strings.Trim(text, "0123456789") == "" {
		return nil, raise("ValueError", "Exceeds the limit (4300 digits) for integer string conversion: value has %d digits; use sys.set_int_max_str_digits() to increase the limit", len(text))
	}
	if _, ok := new(big.Int).SetString(text, int(base)); ok {
		return nil, beyond64("int()")
	}
	return nil, bad
}

// basePrefix removes 0b, 0o or 0x where the base allows it; base 0 takes the base from it.
func basePrefix(text string, base int64) (rest string, newBase int64, ok bool) {
	of := int64(0)
	if len(text) > 2 && text[0] == '0' {
		switch text[1] | 0x20 {
		case 'b':
			of = 2
		case 'o':
			of = 8
		case 'x':
			of = 16
		}
	}
	if of != 0 && (base == 0 || base == of) {
		return strings.TrimPrefix(text[2:], "_"), of, true
	}
	if base == 0 {
		// Leading zeros are refused, but for zero itself.
		return text, 10, text == "" || text[0] != '0' || strings.Trim(text, "0_") == ""
	}
	return text, base, true
}

func builtinList(m *machine, a *arguments) (column.Value, error) {
	if !a.has(0) {
		return &column.ListValue{}, nil
	}
	elems, err := m.collect(a.pos[0])
	return &column.ListValue{Elems: elems}, err
}

func builtinTuple(m *machine, a *arguments) (column.Value, error) {
	if !a.has(0) {
		return tuple(), nil
	}
	elems, err := m.collect(a.pos[0])
	return tuple(elems...), err
}

func builtinSet(m *machine, a *arguments) (column.Value, error) {
	if !a.has(0) {
		return m.newSet(nil)
	}
	elems, err := m.collect(a.pos[0])
	if err != nil {
		return nil, err
	}
	return m.newSet(elems)
}

func builtinDict(m *machine, a *arguments) (column.Value, error) {
	d, err := m.pairs(a)
	if err != nil || len(a.any) == 0 {
		return d, err
	}
	given := &column.MapValue{}
	for _, k := range a.any {
		given.Keys, given.Elems = append(given.Keys, k.name), append(given.Elems, k.value)
	}
	return m.mergeDicts(d, given)
}

// pairs makes a dict of what dict() got beside keywords.
func (m *machine) pairs(a *arguments) (*column.MapValue, error) {
	d := newDict()
	if !a.has(0) {
		return d.value, nil
	}
	if v, ok := a.pos[0].(*column.MapValue); ok {
		return v, nil
	}
	it, err := m.iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		v, ok, err := it.next()
		if err != nil || !ok {
			return d.value, err
		}
		if _, err := m.iterate(v); err != nil {
			return nil, raise("TypeError", "cannot convert dictionary update sequence element #%d to a sequence", i)
		}
		pair, err := m.collect(v)
		if err != nil {
			return nil, err
		}
		if len(pair) != 2 {
			return nil, raise("ValueError", "dictionary update sequence element #%d has length %d; 2 is required", i, len(pair))
		}
		if err := m.put(d, pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
}

func builtinIter(m *machine, a *arguments) (column.Value, error) {
	if v, ok := a.pos[0].(*iterValue); ok {
		return v, nil
	}
	it, err := m.iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	return &iterValue{name: "iterator", it: it}, nil
}

func builtinNext(_ *machine, a *arguments) (column.Value, error) {
	it, ok := a.pos[0].(*iterValue)
	if !ok {
		return nil, raise("TypeError", "'%s' object is not an iterator", TypeName(a.pos[0]))
	}
	v, ok, err := it.it.next()
	switch {
	case err != nil:
		return nil, err
	case ok:
		return v, nil
	case a.has(1):
		return a.pos[1], nil
	}
	return nil, raise("StopIteration", "")
}

func builtinRange(_ *machine, a *arguments) (column.Value, error) {
	var n [3]int64
	for i := range n {
		var err error
		if n[i], err = a.intAt(i, 1); err != nil {
			return nil, err
		}
	}
	if !a.has(1) {
		n[0], n[1] = 0, n[0]
	}
	if n[2] == 0 {
		return nil, raise("ValueError", "range() arg 3 must not be zero")
	}
	return &rangeValue{start: n[0], stop: n[1], step: n[2]}, nil
}

func builtinReversed(m *machine, a *arguments) (column.Value, error) {
	switch v := a.pos[0].(type) {
	case *setValue, *iterValue:
	case *rangeValue:
		n := v.size()
		return &iterValue{name: "range_iterator", it: iterFunc(func() (column.Value, bool, error) {
			if n--; n < 0 {
				return nil, false, nil
			}
			return v.start + n*v.step, true, m.tick(1)
		})}, nil
	case string, []byte, *column.ListValue, *column.MapValue, *viewValue:
		elems, err := m.collect(v)
		if err != nil {
			return nil, err
		}
		out := make([]column.Value, len(elems))
		for i, e := range elems {
			out[len(out)-1-i] = e
		}
		return &iterValue{name: "reversed", it: &elemsIter{m: m, elems: out}}, nil
	}
	return nil, raise("TypeError", "'%s' object is not reversible", TypeName(a.pos[0]))
}

func builtinEnumerate(m *machine, a *arguments) (column.Value, error) {
	it, err := m.iterate(a.at(0, nil))
	if err != nil {
		return nil, err
	}
	n, err := a.intAt(1, 0)
	if err != nil {
		return nil, err
	}
	return &iterValue{name: "enumerate", it: iterFunc(func() (column.Value, bool, error) {
		v, ok, err := it.next()
		if err != nil || !ok {
			return nil, false, err
		}
		if n == math.MinInt64 {
			return nil, false, beyond64("enumerate()")
		}
		pair := tuple(n, v)
		if n++; n == math.MinInt64 {
			n = math.MinInt64
		}
		return pair, true, m.spend(4 * elemBytes)
	})}, nil
}

func builtinZip(m *machine, a *arguments) (column.Value, error) {
	its := make([]iterator, len(a.pos))
	for i, v := range a.pos {
		var err error
		if its[i], err = m.iterate(v); err != nil {
			return nil, raise("TypeError", "'%s' object is not iterable", TypeName(v))
		}
	}
	strict := a.only[0] != absent && Truthy(a.only[0])
	return &iterValue{name: "zip", it: iterFunc(func() (column.Value, bool, error) {
		if err := m.spend(elemBytes * (len(its) + 3)); err != nil || len(its) == 0 {
			return nil, false, err
		}
		elems := make([]column.Value, len(its))
		for i, it := range its {
			v, ok, err := it.next()
			if err != nil {
				return nil, false, err
			}
			if !ok {
				if strict {
					err = zipMismatch(its, i)
				}
				return nil, false, err
			}
			elems[i] = v
		}
		return tuple(elems...), true, nil
	})}, nil
}

// zipMismatch is the error of zip(strict=True) where argument i ended before the others, nil where all ended.
func zipMismatch(its []iterator, i int) error {
	if i > 0 {
		return raise("ValueError", "zip() argument %d is shorter than argument%s", i+1, upTo(i))
	}
	for j, it := range its[1:] {
		_, ok, err := it.next()
		if err != nil {
			return err
		}
		if ok {
			return raise("ValueError", "zip() argument %d is longer than argument%s", j+2, upTo(j+1))
		}
	}
	return nil
}

func upTo(n int) string {
	if n == 1 {
		return " 1"
	}
	return "s 1-" + strconv.Itoa(n)
}

func builtinMap(m *machine, a *arguments) (column.Value, error) {
	its := make([]iterator, len(a.pos)-1)
	for i, v := range a.pos[1:] {
		var err error
		if its[i], err = m.iterate(v); err != nil {
			return nil, err
		}
	}
	return &iterValue{name: "map", it: iterFunc(func() (column.Value, bool, error) {
		args := make([]column.Value, len(its))
		for i, it := range its {
			v, ok, err := it.next()
			if err != nil || !ok {
				return nil, false, err
			}
			args[i] = v
		}
		v, err := m.apply(a.pos[0], args...)
		return v, err == nil, err
	})}, nil
}

func builtinFilter(m *machine, a *arguments) (column.Value, error) {
	it, err := m.iterate(a.pos[1])
	if err != nil {
		return nil, err
	}
	return &iterValue{name: "filter", it: iterFunc(func() (column.Value, bool, error) {
		for {
			v, ok, err := it.next()
			if err != nil || !ok {
				return nil, false, err
			}
			keep := v
			if a.pos[0] != nil {
				if keep, err = m.apply(a.pos[0], v); err != nil {
					return nil, false, err
				}
			}
			if Truthy(keep) {
				return v, true, nil
			}
		}
	})}, nil
}
