package expr

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

// The methods of the types other than str.
var listMethods, dictMethods, setMethods, bytesMethods, timeMethods, floatMethods, intMethods, rowMethods map[string]*callable

type methodFunc = func(m *machine, self column.Value, a *arguments) (column.Value, error)

func methodEntry(min, max int, call methodFunc, names ...string) *callable {
	return &callable{signature{min: min, max: max, names: names}, call}
}

func init() {
	listMethods = map[string]*callable{
		"index": methodEntry(1, 3, listIndex), "count": methodEntry(1, 1, listCount),
		"copy": methodEntry(0, 0, func(_ *machine, self column.Value, _ *arguments) (column.Value, error) { return self, nil }),
	}
	dictMethods = map[string]*callable{
		"get": methodEntry(1, 2, dictGet), "keys": methodEntry(0, 0, view("dict_keys")), "values": methodEntry(0, 0, view("dict_values")),
		"items": methodEntry(0, 0, view("dict_items")),
		"copy":  methodEntry(0, 0, func(_ *machine, self column.Value, _ *arguments) (column.Value, error) { return self, nil }),
	}
	setMethods = map[string]*callable{
		"union": methodEntry(0, -1, setMethod("|")), "intersection": methodEntry(0, -1, setMethod("&")), "difference": methodEntry(0, -1, setMethod("-")),
		"symmetric_difference": methodEntry(1, 1, setMethod("^")), "issubset": methodEntry(1, 1, setTest("<=")), "issuperset": methodEntry(1, 1, setTest(">=")),
		"isdisjoint": methodEntry(1, 1, setTest("disjoint")),
		"copy":       methodEntry(0, 0, func(_ *machine, self column.Value, _ *arguments) (column.Value, error) { return self, nil }),
	}
	bytesMethods = map[string]*callable{
		"decode": methodEntry(0, 2, bytesDecode, "encoding", "errors"), "hex": methodEntry(0, 0, bytesHex),
		"startswith": methodEntry(1, 1, bytesAffix(strings.HasPrefix, "startswith")), "endswith": methodEntry(1, 1, bytesAffix(strings.HasSuffix, "endswith")),
	}
	addBytesMethods()
	timeMethods = map[string]*callable{
		"seconds": methodEntry(0, 0, timeSeconds), "to_rfc3339": methodEntry(0, 0, timeText),
	}
	rowMethods = map[string]*callable{"_asdict": methodEntry(0, 0, rowAsDict), "as_dict": methodEntry(0, 0, rowAsDict)}
	floatMethods = map[string]*callable{"is_integer": methodEntry(0, 0, floatIsInteger), "hex": methodEntry(0, 0, floatHex),
		"conjugate": methodEntry(0, 0, numberItself)}
	intMethods = map[string]*callable{"bit_length": methodEntry(0, 0, intBitLength), "bit_count": methodEntry(0, 0, intBitCount),
		"conjugate": methodEntry(0, 0, numberItself)}
}

// rowAsDict is as_dict of Beam's rows, _asdict of named tuples.
func rowAsDict(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
	row := self.(*column.RowValue)
	d := &column.MapValue{Keys: make([]column.Value, len(row.Names)), Elems: row.Elems}
	for i, name := range row.Names {
		d.Keys[i] = name
	}
	return d, nil
}

// fromHex reads pairs of hexadecimal digits with white space between them.
func fromHex(text string) (column.Value, error) {
	var out []byte
	for i := 0; i < len(text); {
		if strings.IndexByte(asciiSpace, text[i]) >= 0 {
			i++
			continue
		}
		b, err := hex.DecodeString(text[i:min(i+2, len(text))])
		if err != nil {
			at := i
			if _, bad := hex.DecodeString(text[i:i+1] + "0"); bad == nil {
				at++
			}
			return nil, raise("ValueError", "non-hexadecimal number found in fromhex() arg at position %d", charCount(text[:at]))
		}
		out, i = append(out, b...), i+2
	}
	return append([]byte{}, out...), nil
}

func numberItself(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
	return unary("+", self)
}

func listIndex(m *machine, self column.Value, a *arguments) (column.Value, error) {
	l := self.(*column.ListValue)
	n := int64(len(l.Elems))
	var bounds [2]int64
	for i, otherwise := range [2]int64{0, n} {
		v := otherwise
		if a.has(i + 1) {
			var err error
			if v, err = intArg(a.pos[i+1]); err != nil {
				return nil, raise("TypeError", "slice indices must be integers or have an __index__ method")
			}
			if v < 0 {
				v = max(v+n, 0)
			}
		}
		bounds[i] = min(v, n)
	}
	for i := bounds[0]; i < bounds[1]; i++ {
		if err := m.tick(1); err != nil {
			return nil, err
		}
		if err := m.weighPair(l.Elems[i], a.pos[0]); err != nil {
			return nil, err
		}
		if Equal(l.Elems[i], a.pos[0]) {
			return i, nil
		}
	}
	if l.Tuple {
		return nil, raise("ValueError", "tuple.index(x): x not in tuple")
	}
	s, err := m.repr(a.pos[0])
	if err != nil {
		return nil, err
	}
	return nil, raise("ValueError", "%s is not in list", s)
}

func listCount(m *machine, self column.Value, a *arguments) (column.Value, error) {
	n := int64(0)
	for _, e := range self.(*column.ListValue).Elems {
		if err := m.tick(1); err != nil {
			return nil, err
		}
		if err := m.weighPair(e, a.pos[0]); err != nil {
			return nil, err
		}
		if Equal(e, a.pos[0]) {
			n++
		}
	}
	return n, nil
}

func dictGet(m *machine, self column.Value, a *arguments) (column.Value, error) {
	d := self.(*column.MapValue)
	i, ok, err := m.findKey(d, a.pos[0])
	if err != nil {
		return nil, err
	}
	if !ok {
		return a.at(1, nil), nil
	}
	return d.Elems[i], nil
}

func view(what string) methodFunc {
	return func(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
		return &viewValue{what: what, of: self.(*column.MapValue)}, nil
	}
}

// setOf makes a set of an iterable.
func (m *machine) setOf(v column.Value) (*setValue, error) {
	if s, ok := v.(*setValue); ok {
		return s, nil
	}
	elems, err := m.collect(v)
	if err != nil {
		return nil, err
	}
	return m.newSet(elems)
}

func setMethod(op string) methodFunc {
	return func(m *machine, self column.Value, a *arguments) (column.Value, error) {
		s := self.(*setValue)
		for _, v := range a.pos {
			t, err := m.setOf(v)
			if err != nil {
				return nil, err
			}
			if s, err = m.combine(op, s, t); err != nil {
				return nil, err
			}
		}
		return s, nil
	}
}

func setTest(op string) methodFunc {
	return func(m *machine, self column.Value, a *arguments) (column.Value, error) {
		s := self.(*setValue)
		t, err := m.setOf(a.pos[0])
		if err != nil {
			return nil, err
		}
		if op == "disjoint" {
			common, err := m.combine("&", s, t)
			return err == nil && len(common.keys) == 0, err
		}
		return s.compare(op, t), nil
	}
}

func bytesDecode(m *machine, self column.Value, a *arguments) (column.Value, error) {
	return m.decode("decode", self.([]byte), a.at(0, "utf-8"), a.at(1, "strict"))
}

func bytesHex(m *machine, self column.Value, _ *arguments) (column.Value, error) {
	b := self.([]byte)
	if err := m.spend(2 * len(b)); err != nil {
		return nil, err
	}
	return hex.EncodeToString(b), nil
}

func bytesAffix(has func(s, affix string) bool, name string) methodFunc {
	return func(_ *machine, self column.Value, a *arguments) (column.Value, error) {
		x, ok := a.pos[0].([]byte)
		if !ok {
			return nil, raise("TypeError", "%s first arg must be bytes or a tuple of bytes, not %s", name, TypeName(a.pos[0]))
		}
		return has(string(self.([]byte)), string(x)), nil
	}
}

func timeSeconds(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
	ms, _, _ := timeOf(self)
	q, _ := floorDivide(ms, 1000)
	return q, nil
}

func floatIsInteger(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
	f := self.(float64)
	return f == math.Trunc(f) && !math.IsInf(f, 0), nil
}

// floatHex writes as C's %a does: 0x1.8000000000000p+1.
func floatHex(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
	f := self.(float64)
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return Repr(f), nil
	case f == 0:
		if math.Signbit(f) {
			return "-0x0.0p+0", nil
		}
		return "0x0.0p+0", nil
	}
	fraction, exponent := math.Float64bits(f)&(1<<52-1), int(math.Float64bits(f)>>52&0x7ff)
	lead := "1"
	if exponent == 0 {
		lead, exponent = "0", 1
	}
	sign := ""
	if f < 0 {
		sign = "-"
	}
	e := strconv.Itoa(exponent - 1023)
	if exponent >= 1023 {
		e = "+" + e
	}
	return sign + "0x" + lead + "." + pad0(strconv.FormatUint(fraction, 16), 13) + "p" + e, nil
}

func intBitLength(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
	i, _, _, _ := asNumber(self)
	n := int64(0)
	for u := uint64(max(i, -i)); u > 0; u >>= 1 {
		n++
	}
	return n, nil
}

func intBitCount(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
	i, _, _, _ := asNumber(self)
	n := int64(0)
	for u := uint64(max(i, -i)); u > 0; u &= u - 1 {
		n++
	}
	return n, nil
}

// encodingOf returns the canonical name of an encoding: utf-8, ascii or latin-1.
func encodingOf(function string, encoding, errors column.Value) (string, string, error) {
	name, ok := encoding.(string)
	if !ok {
		return "", "", raise("TypeError", "%s() argument 'encoding' must be str, not %s", function, argName(encoding))
	}
	handler, ok := errors.(string)
	if !ok {
		return "", "", raise("TypeError", "%s() argument 'errors' must be str, not %s", function, argName(errors))
	}
	switch strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(name)) {
	case "utf-8", "utf8", "u8", "utf":
		return "utf-8", handler, nil
	case "ascii", "us-ascii", "646":
		return "ascii", handler, nil
	case "latin-1", "latin1", "iso-8859-1", "iso8859-1", "l1", "8859":
		return "latin-1", handler, nil
	}
	return "", "", raise("LookupError", "unknown encoding: %s", name)
}

func unknownHandler(name string) error {
	return raise("LookupError", "unknown error handler name '%s'", name)
}

// encode is str.encode; function is who asks, for its errors.
func (m *machine) encode(function, s string, encoding, errors column.Value) (column.Value, error) {
	name, handler, err := encodingOf(function, encoding, errors)
	if err != nil {
		return nil, err
	}
	if err := m.spend(len(s)); err != nil {
		return nil, err
	}
	if name == "utf-8" || isASCII(s) {
		return []byte(s), nil
	}
	limit, codec := rune(0x80), "ascii"
	if name == "latin-1" {
		limit, codec = 0x100, "latin-1"
	}
	var out []byte
	chars := []rune(s)
	for at, r := range chars {
		switch {
		case r < limit:
			out = append(out, byte(r))
		case handler == "strict":
			return nil, badChars(codec, chars, at, limit)
		case handler == "ignore":
		case handler == "replace":
			out = append(out, '?')
		default:
			return nil, unknownHandler(handler)
		}
	}
	return out, nil
}

// badChars is the error of characters, from index at on, that an encoding does not have.
func badChars(codec string, chars []rune, at int, limit rune) error {
	end := at
	for end < len(chars) && chars[end] >= limit {
		end++
	}
	what := fmt.Sprintf("characters in position %d-%d", at, end-1)
	if end == at+1 {
		what = fmt.Sprintf("character '%s' in position %d", toASCII(string(chars[at])), at)
	}
	return raise("UnicodeEncodeError", "'%s' codec can't encode %s: ordinal not in range(%d)", codec, what, limit)
}

// decode is bytes.decode; function is who asks, for its errors.
func (m *machine) decode(function string, b []byte, encoding, errors column.Value) (column.Value, error) {
	name, handler, err := encodingOf(function, encoding, errors)
	if err != nil {
		return nil, err
	}
	if err := m.spend(3 * len(b)); err != nil {
		return nil, err
	}
	var out strings.Builder
	for at := 0; at < len(b); {
		c := b[at]
		size := 1
		switch {
		case c < utf8.RuneSelf:
			out.WriteByte(c)
		case name == "latin-1":
			out.WriteRune(rune(c))
		case name == "utf-8" && validAt(b[at:]) > 0:
			size = validAt(b[at:])
			out.Write(b[at : at+size])
		case handler == "strict":
			return nil, badByte(name, b, at)
		case handler == "ignore":
			size = brokenLength(name, b[at:])
		case handler == "replace":
			size = brokenLength(name, b[at:])
			out.WriteRune(utf8.RuneError)
		default:
			return nil, unknownHandler(handler)
		}
		at += size
	}
	return out.String(), nil
}

// validAt returns the length of the character that b begins with, 0 where it begins with none.
func validAt(b []byte) int {
	r, size := utf8.DecodeRune(b)
	if r == utf8.RuneError && size <= 1 {
		return 0
	}
	return size
}

// brokenLength is how many bytes count as one broken character: the longest beginning of a valid one.
func brokenLength(name string, b []byte) int {
	if name != "utf-8" {
		return 1
	}
	n := 1
	for n < len(b) && n < 4 && isPrefixOfChar(b[:n+1]) {
		n++
	}
	return n
}

// isPrefixOfChar reports whether b is the beginning of a valid character.
func isPrefixOfChar(b []byte) bool {
	lead := b[0]
	size, low, high := 0, byte(0x80), byte(0xbf)
	switch {
	case 0xc2 <= lead && lead <= 0xdf:
		size = 2
	case 0xe0 <= lead && lead <= 0xef:
		size = 3
		if lead == 0xe0 {
			low = 0xa0
		} else if lead == 0xed {
			high = 0x9f
		}
	case 0xf0 <= lead && lead <= 0xf4:
		size = 4
		if lead == 0xf0 {
			low = 0x90
		} else if lead == 0xf4 {
			high = 0x8f
		}
	}
	if len(b) > size {
		return false
	}
	for i, c := range b[1:] {
		if i == 0 && (c < low || c > high) || c < 0x80 || c > 0xbf {
			return false
		}
	}
	return true
}

func badByte(name string, b []byte, at int) error {
	if name == "ascii" {
		return raise("UnicodeDecodeError", "'ascii' codec can't decode byte 0x%02x in position %d: ordinal not in range(128)", b[at], at)
	}
	n := brokenLength(name, b[at:])
	reason := "invalid continuation byte"
	switch {
	case !isPrefixOfChar(b[at : at+1]):
		reason = "invalid start byte"
	case at+n == len(b):
		reason = "unexpected end of data"
	}
	if n > 1 {
		return raise("UnicodeDecodeError", "'utf-8' codec can't decode bytes in position %d-%d: %s", at, at+n-1, reason)
	}
	return raise("UnicodeDecodeError", "'utf-8' codec can't decode byte 0x%02x in position %d: %s", b[at], at, reason)
}

// timeText is Timestamp.to_rfc3339.
func timeText(_ *machine, self column.Value, _ *arguments) (column.Value, error) {
	t, ok := self.(column.Instant)
	if !ok {
		return nil, raise("AttributeError", "'Duration' object has no attribute 'to_rfc3339'")
	}
	at := time.UnixMilli(int64(t)).UTC()
	if y := at.Year(); y < 1 || y > 9999 {
		return nil, raise("OverflowError", "date value out of range")
	}
	text := at.Format("2006-01-02T15:04:05")
	if ms := at.Nanosecond() / 1e6; ms != 0 {
		text += "." + pad0(strconv.Itoa(ms*1000), 6)
	}
	return text + "Z", nil
}
