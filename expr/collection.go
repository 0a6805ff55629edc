package expr

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

func repeatString(s string, n int) string { return strings.Repeat(s, n) }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// charCount is len() of a string: its characters.
func charCount(s string) int { return utf8.RuneCountInString(s) }

// indexOf returns a number that indexes something of n elements, from the end where it is negative.
func indexOf(at column.Value, n int, what, container string) (int, error) {
	i, _, isFloat, ok := asNumber(at)
	if !ok || isFloat {
		return 0, raise("TypeError", "%s indices must be integers%s", container, notIndex(container, at))
	}
	if i < 0 {
		i += int64(n)
	}
	if i < 0 || i >= int64(n) {
		return 0, raise("IndexError", "%s out of range", what)
	}
	return int(i), nil
}

func notIndex(container string, at column.Value) string {
	if container == "string" {
		return ", not '" + TypeName(at) + "'"
	}
	return " or slices, not " + TypeName(at)
}

// index is of[at].
func (m *machine) index(of, at column.Value) (column.Value, error) {
	switch v := of.(type) {
	case *column.ListValue:
		i, err := indexOf(at, len(v.Elems), TypeName(v)+" index", TypeName(v))
		if err != nil {
			return nil, err
		}
		return v.Elems[i], nil
	case string:
		return m.charAt(v, at)
	case []byte:
		i, err := indexOf(at, len(v), "index", "byte")
		if err != nil {
			return nil, err
		}
		return int64(v[i]), nil
	case *column.MapValue:
		i, ok, err := m.findKey(v, at)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, raise("KeyError", "%s", Repr(at))
		}
		return v.Elems[i], nil
	case *column.RowValue:
		if name, ok := at.(string); ok {
			if f, ok := v.Get(name); ok {
				return f, nil
			}
			return nil, raise("KeyError", "%s", Repr(name))
		}
		return nil, raise("TypeError", "row indices must be strings, not %s", TypeName(at))
	case *rangeValue:
		i, err := indexOf(at, int(v.size()), "range object index", "range")
		if err != nil {
			return nil, err
		}
		return v.start + int64(i)*v.step, nil
	}
	return nil, raise("TypeError", "'%s' object is not subscriptable", TypeName(of))
}

func (m *machine) charAt(s string, at column.Value) (column.Value, error) {
	if err := m.tick(len(s) / 64); err != nil {
		return nil, err
	}
	if isASCII(s) {
		i, err := indexOf(at, len(s), "string index", "string")
		if err != nil {
			return nil, err
		}
		return s[i : i+1], nil
	}
	i, err := indexOf(at, charCount(s), "string index", "string")
	if err != nil {
		return nil, err
	}
	from := charOffset(s, i)
	_, size := utf8.DecodeRuneInString(s[from:])
	return s[from : from+size], nil
}

// charOffset returns the byte at which character i begins.
func charOffset(s string, i int) int {
	at := 0
	for ; i > 0 && at < len(s); i-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return at
}

// slice is of[start:stop:step].
func (m *machine) slice(e *Expr) (column.Value, error) {
	of, err := m.eval(e.Args[0])
	if err != nil {
		return nil, err
	}
	var parts [3]column.Value
	for i, a := range e.Args[1:] {
		if a != nil {
			if parts[i], err = m.eval(a); err != nil {
				return nil, err
			}
		}
	}
	switch v := of.(type) {
	case string:
		return m.sliceString(v, parts)
	case []byte:
		from, n, step, err := sliceBounds(parts, len(v))
		if err != nil {
			return nil, err
		}
		out := make([]byte, n)
		for i := range out {
			out[i] = v[from+i*step]
		}
		return out, m.spend(n)
	case *column.ListValue:
		from, n, step, err := sliceBounds(parts, len(v.Elems))
		if err != nil {
			return nil, err
		}
		if err := m.spend(n * elemBytes); err != nil {
			return nil, err
		}
		out := make([]column.Value, n)
		for i := range out {
			out[i] = v.Elems[from+i*step]
		}
		return &column.ListValue{Elems: out, Tuple: v.Tuple}, nil
	case *column.MapValue:
		return nil, raise("TypeError", "unhashable type: 'slice'")
	}
	return nil, raise("TypeError", "'%s' object is not subscriptable", TypeName(of))
}

func (m *machine) sliceString(s string, parts [3]column.Value) (column.Value, error) {
	if err := m.tick(len(s) / 64); err != nil {
		return nil, err
	}
	ascii := isASCII(s)
	size := len(s)
	if !ascii {
		size = charCount(s)
	}
	from, n, step, err := sliceBounds(parts, size)
	if err != nil || n == 0 {
		return "", err
	}
	if err := m.spend(n); err != nil {
		return nil, err
	}
	switch {
	case ascii && step == 1:
		return s[from : from+n], nil
	case step == 1:
		start := charOffset(s, from)
		return s[start : start+charOffset(s[start:], n)], nil
	case ascii:
		out := make([]byte, n)
		for i := range out {
			out[i] = s[from+i*step]
		}
		return string(out), nil
	}
	chars := []rune(s)
	out := make([]rune, n)
	for i := range out {
		out[i] = chars[from+i*step]
	}
	return string(out), nil
}

// sliceBounds returns the first index, the number of elements and the step of a slice of n elements.
func sliceBounds(parts [3]column.Value, n int) (from, count, step int, err error) {
	var given [3]int64
	for i, p := range parts {
		if p == nil {
			continue
		}
		v, _, isFloat, ok := asNumber(p)
		if !ok || isFloat {
			return 0, 0, 0, raise("TypeError", "slice indices must be integers or None or have an __index__ method")
		}
		given[i] = v
	}
	stride := int64(1)
	if parts[2] != nil {
		if stride = given[2]; stride == 0 {
			return 0, 0, 0, raise("ValueError", "slice step cannot be zero")
		}
	}
	stride = max(stride, -math.MaxInt64)
	low, high := int64(0), int64(n)
	if stride < 0 {
		low, high = -1, int64(n)-1
	}
	clamp := func(i int, absent int64) int64 {
		if parts[i] == nil {
			return absent
		}
		v := given[i]
		if v < 0 {
			v += int64(n)
		}
		return min(max(v, low), high)
	}
	start, stop := clamp(0, low), clamp(1, high)
	if stride < 0 {
		start, stop = clamp(0, high), clamp(1, low)
	}
	length := int64(0)
	switch {
	case stride > 0 && start < stop:
		length = (stop-start-1)/stride + 1
	case stride < 0 && stop < start:
		length = (start-stop-1)/-stride + 1
	}
	return int(start), int(length), int(stride), nil
}

// contains is "v in of".
func (m *machine) contains(of, v column.Value) (bool, error) {
	switch c := of.(type) {
	case string:
		s, ok := v.(string)
		if !ok {
			return false, raise("TypeError", "'in <string>' requires string as left operand, not %s", TypeName(v))
		}
		return strings.Contains(c, s), m.tick(len(c) / 64)
	case []byte:
		switch x := v.(type) {
		case []byte:
			return strings.Contains(string(c), string(x)), m.tick(len(c) / 64)
		case int64:
			if x < 0 || x > 255 {
				return false, raise("ValueError", "byte must be in range(0, 256)")
			}
			return strings.IndexByte(string(c), byte(x)) >= 0, nil
		}
		return false, raise("TypeError", "a bytes-like object is required, not '%s'", TypeName(v))
	case *column.ListValue:
		return m.among(c.Elems, v)
	case *column.MapValue:
		_, ok, err := m.findKey(c, v)
		return ok, err
	case *setValue:
		k, err := m.key(v)
		if err != nil {
			return false, err
		}
		return c.has(k), nil
	case *rangeValue:
		if i, f, isFloat, ok := asNumber(v); ok {
			if isFloat {
				if f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
					return false, nil
				}
				i = int64(f)
			}
			return c.has(i), nil
		}
		return false, nil
	}
	it, err := m.iterate(of)
	if err != nil {
		return false, raise("TypeError", "argument of type '%s' is not iterable", TypeName(of))
	}
	for {
		x, ok, err := it.next()
		if err != nil || !ok {
			return false, err
		}
		if err := m.weighPair(x, v); err != nil {
			return false, err
		}
		if Equal(x, v) {
			return true, nil
		}
	}
}

func (m *machine) among(elems []column.Value, v column.Value) (bool, error) {
	if err := m.tick(len(elems)); err != nil {
		return false, err
	}
	for _, x := range elems {
		if err := m.weighPair(x, v); err != nil {
			return false, err
		}
		if Equal(x, v) {
			return true, nil
		}
	}
	return false, nil
}

// hashKey stands for a value as the key of a Go map: equal values have equal keys.
type hashKey struct {
	kind byte
	n    int64
	s    string
}

// keyOf returns the key of a value; ok is false for what Python cannot hash.
func keyOf(v column.Value) (k hashKey, ok bool) {
	if i, f, isFloat, isNumber := asNumber(v); isNumber {
		if isFloat {
			if f == math.Trunc(f) && f >= -(1<<63) && f < 1<<63 {
				return hashKey{kind: 'n', n: int64(f)}, true
			}
			return hashKey{kind: 'f', n: int64(math.Float64bits(f))}, true
		}
		return hashKey{kind: 'n', n: i}, true
	}
	switch v := v.(type) {
	case nil:
		return hashKey{kind: '0'}, true
	case string:
		return hashKey{kind: 's', s: v}, true
	case []byte:
		return hashKey{kind: 'b', s: string(v)}, true
	case column.Instant:
		if v%1000 == 0 {
			return hashKey{kind: 'n', n: int64(v) / 1000}, true
		}
		return hashKey{kind: 't', n: int64(v)}, true
	case column.Span:
		if v%1000 == 0 {
			return hashKey{kind: 'n', n: int64(v) / 1000}, true
		}
		return hashKey{kind: 't', n: int64(v)}, true
	case *column.ListValue:
		if v.Tuple {
			return keyOfAll('(', v.Elems)
		}
	case *column.RowValue:
		k, ok := keyOfAll('r', v.Elems)
		k.s += strings.Join(v.Names, "\x00")
		return k, ok
	case builtinValue:
		return hashKey{kind: 'B', s: v.name}, true
	case *iterValue, *lambdaValue: // by identity
		return hashKey{kind: 'p', s: fmt.Sprintf("%p", v)}, true
	case *rangeValue:
		return hashKey{kind: 'R', n: v.start, s: strconv.FormatInt(v.step, 10) + "," + strconv.FormatInt(v.size(), 10)}, true
	}
	return hashKey{}, false
}

func keyOfAll(kind byte, elems []column.Value) (hashKey, bool) {
	var b strings.Builder
	for _, e := range elems {
		k, ok := keyOf(e)
		if !ok {
			return k, false
		}
		b.WriteByte(k.kind)
		b.WriteString(strconv.FormatInt(k.n, 10) + "," + strconv.Itoa(len(k.s)) + ":" + k.s)
	}
	return hashKey{kind: kind, n: int64(len(elems)), s: b.String()}, true
}

// key is keyOf with Python's error.
func (m *machine) key(v column.Value) (hashKey, error) {
	if err := m.weigh(v); err != nil {
		return hashKey{}, err
	}
	k, ok := keyOf(v)
	if !ok {
		return k, raise("TypeError", "unhashable type: '%s'", unhashable(v))
	}
	return k, nil
}

func unhashable(v column.Value) string {
	if t, ok := v.(*column.ListValue); ok && t.Tuple {
		for _, e := range t.Elems {
			if _, ok := keyOf(e); !ok {
				return unhashable(e)
			}
		}
	}
	return TypeName(v)
}

// index finds values by equality.
type index struct{ at map[hashKey]int }

func newIndex(values []column.Value) *index {
	ix := &index{at: make(map[hashKey]int, len(values))}
	for i, v := range values {
		if k, ok := keyOf(v); ok {
			ix.at[k] = i
		}
	}
	return ix
}

func (ix *index) find(v column.Value) (int, bool) {
	k, ok := keyOf(v)
	if !ok {
		return 0, false
	}
	i, ok := ix.at[k]
	return i, ok
}

// findKey finds a key of a map.
func (m *machine) findKey(d *column.MapValue, key column.Value) (int, bool, error) {
	if err := m.tick(len(d.Keys) / 8); err != nil {
		return 0, false, err
	}
	if s, ok := key.(string); ok { // the usual case
		for i, k := range d.Keys {
			if k == s {
				return i, true, nil
			}
		}
		return 0, false, nil
	}
	if _, err := m.key(key); err != nil {
		return 0, false, err
	}
	for i, k := range d.Keys {
		if Equal(k, key) {
			return i, true, nil
		}
	}
	return 0, false, nil
}

// dict builds a map. A key that is given again keeps its place and takes the new value.
type dict struct {
	value *column.MapValue
	at    map[hashKey]int
}

func newDict() *dict { return &dict{value: &column.MapValue{}, at: map[hashKey]int{}} }

func (m *machine) put(d *dict, k, v column.Value) error {
	key, err := m.key(k)
	if err != nil {
		return err
	}
	if i, ok := d.at[key]; ok && !isNaN(k) {
		d.value.Elems[i] = v
		return nil
	}
	if err := m.spend(4 * elemBytes); err != nil {
		return err
	}
	d.at[key] = len(d.value.Keys)
	d.value.Keys = append(d.value.Keys, k)
	d.value.Elems = append(d.value.Elems, v)
	return nil
}

func isNaN(v column.Value) bool {
	f, ok := v.(float64)
	return ok && f != f
}

// setValue is a Python set, in order of insertion. It never changes once made.
type setValue struct {
	elems []column.Value
	keys  map[hashKey]bool
}

func (m *machine) newSet(elems []column.Value) (*setValue, error) {
	s := &setValue{keys: make(map[hashKey]bool, min(len(elems), 1024))}
	for _, v := range elems {
		if err := m.include(s, v); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// include adds to a set that is being made.
func (m *machine) include(s *setValue, v column.Value) error {
	k, err := m.key(v)
	if err != nil {
		return err
	}
	if s.keys[k] && !isNaN(v) {
		return nil
	}
	if err := m.spend(4 * elemBytes); err != nil {
		return err
	}
	s.keys[k] = true
	s.elems = append(s.elems, v)
	return nil
}

func (s *setValue) has(k hashKey) bool { return s.keys[k] }
func (s *setValue) size() int64        { return int64(len(s.elems)) }
func (s *setValue) typeName() string   { return "set" }

func (s *setValue) repr(b *strings.Builder) {
	if len(s.elems) == 0 {
		b.WriteString("set()")
		return
	}
	b.WriteByte('{')
	for i, e := range s.elems {
		if i > 0 {
			b.WriteString(", ")
		}
		appendRepr(b, e)
	}
	b.WriteByte('}')
}

// within reports whether all elements of s are in t.
func (s *setValue) within(t *setValue) bool {
	for k := range s.keys {
		if !t.keys[k] {
			return false
		}
	}
	return true
}

// compare is the order of sets: by inclusion.
func (s *setValue) compare(op string, t *setValue) bool {
	switch op {
	case "<":
		return len(s.keys) < len(t.keys) && s.within(t)
	case "<=":
		return s.within(t)
	case ">":
		return len(t.keys) < len(s.keys) && t.within(s)
	}
	return t.within(s)
}

// combine is a set operation: | & - ^.
func (m *machine) combine(op string, a, b *setValue) (*setValue, error) {
	var elems []column.Value
	pick := func(from, other *setValue, inOther bool) {
		for _, v := range from.elems {
			if k, _ := keyOf(v); other.keys[k] == inOther {
				elems = append(elems, v)
			}
		}
	}
	switch op {
	case "|":
		elems = append(append(elems, a.elems...), b.elems...)
	case "&":
		pick(a, b, true)
	case "-":
		pick(a, b, false)
	case "^":
		pick(a, b, false)
		pick(b, a, false)
	}
	return m.newSet(elems)
}

// setArith evaluates operators of sets, key views and dicts; ok is false where neither operand is one.
func (m *machine) setArith(op string, a, b column.Value) (v column.Value, ok bool, err error) {
	if x, isDict := a.(*column.MapValue); isDict && op == "|" {
		if y, isDict := b.(*column.MapValue); isDict {
			v, err := m.mergeDicts(x, y)
			return v, true, err
		}
	}
	if !isSetLike(a) && !isSetLike(b) {
		return nil, false, nil
	}
	x, xOK, err := m.asSet(a, b)
	if err != nil || !xOK {
		return nil, false, err
	}
	y, yOK, err := m.asSet(b, a)
	if err != nil || !yOK {
		return nil, false, err
	}
	s, err := m.combine(op, x, y)
	return s, true, err
}

// isSetLike reports whether a value is a set, or keys or items of a dict.
func isSetLike(v column.Value) bool {
	switch v := v.(type) {
	case *setValue:
		return true
	case *viewValue:
		return v.what != "dict_values"
	}
	return false
}

// asSet returns an operand of a set operation as a set. Beside a view of a dict it may be anything iterable.
func (m *machine) asSet(v, other column.Value) (*setValue, bool, error) {
	if s, ok := v.(*setValue); ok {
		return s, true, nil
	}
	if _, beside := other.(*viewValue); !isSetLike(v) && (!beside || !isSetLike(other)) {
		return nil, false, nil
	}
	elems, err := m.collect(v)
	if err != nil {
		return nil, false, err
	}
	s, err := m.newSet(elems)
	return s, true, err
}

func (m *machine) mergeDicts(a, b *column.MapValue) (*column.MapValue, error) {
	d := newDict()
	for _, x := range [2]*column.MapValue{a, b} {
		for i := range x.Keys {
			if err := m.put(d, x.Keys[i], x.Elems[i]); err != nil {
				return nil, err
			}
		}
	}
	return d.value, nil
}

// equalObjects is == where an operand is a set, a view, a range or a function.
func equalObjects(a object, b column.Value) bool {
	switch x := a.(type) {
	case *setValue:
		y, ok := b.(*setValue)
		return ok && len(x.keys) == len(y.keys) && x.within(y)
	case *rangeValue:
		y, ok := b.(*rangeValue)
		if !ok || x.size() != y.size() {
			return false
		}
		return x.size() == 0 || x.start == y.start && (x.size() == 1 || x.step == y.step)
	case builtinValue:
		return a == b
	case *viewValue:
		y, ok := b.(*viewValue)
		if !ok || x.what != y.what || x.what == "dict_values" || x.size() != y.size() {
			return false
		}
		m := machine{}
		s, _, err1 := m.asSet(x, nil)
		t, _, err2 := m.asSet(y, nil)
		return err1 == nil && err2 == nil && s.within(t)
	}
	return false
}
