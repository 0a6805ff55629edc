package expr

import (
	"strings"

	"github.com/leat-project/leat/column"
)

// Bytes have the methods of str that make sense for them, in ASCII. They are computed on a string of the same bytes.

func addBytesMethods() {
	for name, f := range map[string]*callable{
		"upper": bytesMap(asciiUpper), "lower": bytesMap(asciiLower), "strip": methodEntry(0, 1, bytesStrip(true, true)),
		"lstrip": methodEntry(0, 1, bytesStrip(true, false)), "rstrip": methodEntry(0, 1, bytesStrip(false, true)),
		"find": methodEntry(1, 3, bytesSearch(strings.Index, false)), "rfind": methodEntry(1, 3, bytesSearch(strings.LastIndex, false)),
		"index": methodEntry(1, 3, bytesSearch(strings.Index, true)), "rindex": methodEntry(1, 3, bytesSearch(strings.LastIndex, true)),
		"count": methodEntry(1, 3, bytesCount), "split": methodEntry(0, 2, bytesSplit(false), "sep", "maxsplit"),
		"rsplit": methodEntry(0, 2, bytesSplit(true), "sep", "maxsplit"), "replace": methodEntry(2, 3, bytesReplace), "join": methodEntry(1, 1, bytesJoin),
	} {
		bytesMethods[name] = f
	}
}

func asciiMap(s string, first, last byte) []byte {
	out := []byte(s)
	for i, c := range out {
		if first <= c && c <= last {
			out[i] = c ^ 0x20
		}
	}
	return out
}

func asciiUpper(s string) []byte { return asciiMap(s, 'a', 'z') }
func asciiLower(s string) []byte { return asciiMap(s, 'A', 'Z') }

func bytesMap(f func(s string) []byte) *callable {
	return methodEntry(0, 0, func(m *machine, self column.Value, _ *arguments) (column.Value, error) {
		return f(string(self.([]byte))), m.spend(len(self.([]byte)))
	})
}

// bytesArg returns an argument that has to be bytes.
func bytesArg(v column.Value) (string, error) {
	b, ok := v.([]byte)
	if !ok {
		return "", raise("TypeError", "a bytes-like object is required, not '%s'", TypeName(v))
	}
	return string(b), nil
}

// bytesOrInt returns what to look for: bytes, or one byte as a number.
func bytesOrInt(v column.Value) (string, error) {
	if b, ok := v.([]byte); ok {
		return string(b), nil
	}
	i, err := intArg(v)
	if err != nil {
		return "", raise("TypeError", "argument should be integer or bytes-like object, not '%s'", TypeName(v))
	}
	if i < 0 || i > 255 {
		return "", raise("ValueError", "byte must be in range(0, 256)")
	}
	return string([]byte{byte(i)}), nil
}

const asciiSpace = " \t\n\r\f\v"

func bytesStrip(left, right bool) methodFunc {
	return func(_ *machine, self column.Value, a *arguments) (column.Value, error) {
		set := asciiSpace
		if chars := a.at(0, nil); chars != nil {
			var err error
			if set, err = bytesArg(chars); err != nil {
				return nil, err
			}
		}
		b := self.([]byte)
		for left && len(b) > 0 && strings.IndexByte(set, b[0]) >= 0 {
			b = b[1:]
		}
		for right && len(b) > 0 && strings.IndexByte(set, b[len(b)-1]) >= 0 {
			b = b[:len(b)-1]
		}
		return b, nil
	}
}

// byteWindow returns self[start:end] by arguments 1 and 2; ok is false where start is past the end.
func byteWindow(s string, a *arguments) (part string, from int, ok bool, err error) {
	bounds := [2]int64{0, int64(len(s))}
	for k := range bounds {
		v := a.at(1+k, nil)
		if v == nil {
			continue
		}
		n, err := intArg(v)
		if err != nil {
			return "", 0, false, raise("TypeError", "slice indices must be integers or None or have an __index__ method")
		}
		if n < 0 {
			n = max(n+int64(len(s)), 0)
		}
		bounds[k] = n
	}
	end := min(bounds[1], int64(len(s)))
	if bounds[0] > end {
		return "", 0, false, nil
	}
	return s[bounds[0]:end], int(bounds[0]), true, nil
}

func bytesSearch(index func(s, sub string) int, fails bool) methodFunc {
	return func(_ *machine, self column.Value, a *arguments) (column.Value, error) {
		sub, err := bytesOrInt(a.pos[0])
		if err != nil {
			return nil, err
		}
		part, from, ok, err := byteWindow(string(self.([]byte)), a)
		if err != nil {
			return nil, err
		}
		if ok {
			if i := index(part, sub); i >= 0 {
				return int64(from + i), nil
			}
		}
		if fails {
			return nil, raise("ValueError", "subsection not found")
		}
		return int64(-1), nil
	}
}

func bytesCount(_ *machine, self column.Value, a *arguments) (column.Value, error) {
	sub, err := bytesOrInt(a.pos[0])
	if err != nil {
		return nil, err
	}
	part, _, ok, err := byteWindow(string(self.([]byte)), a)
	if err != nil || !ok {
		return int64(0), err
	}
	if sub == "" {
		return int64(len(part) + 1), nil
	}
	return int64(strings.Count(part, sub)), nil
}

func bytesSplit(end bool) methodFunc {
	return func(m *machine, self column.Value, a *arguments) (column.Value, error) {
		s := string(self.([]byte))
		most, err := a.intAt(1, -1)
		if err != nil {
			return nil, err
		}
		if most < 0 {
			most = int64(len(s)) + 1
		}
		if err := m.spend(elemBytes * len(s)); err != nil {
			return nil, err
		}
		var parts []string
		if sep := a.at(0, nil); sep == nil {
			parts = splitBytesSpace(s, most, end)
		} else {
			text, err := bytesArg(sep)
			if err != nil {
				return nil, err
			}
			if text == "" {
				return nil, raise("ValueError", "empty separator")
			}
			parts = splitText(s, text, most, end)
		}
		elems := make([]column.Value, len(parts))
		for i, p := range parts {
			elems[i] = []byte(p)
		}
		return &column.ListValue{Elems: elems}, nil
	}
}

// splitBytesSpace is splitSpace for bytes, of which only ASCII's white space counts.
func splitBytesSpace(s string, most int64, end bool) []string {
	var parts []string
	if end {
		for {
			if s = strings.TrimRight(s, asciiSpace); s == "" {
				return reversedStrings(parts)
			}
			i := strings.LastIndexAny(s, asciiSpace)
			if int64(len(parts)) >= most || i < 0 {
				return reversedStrings(append(parts, s))
			}
			parts, s = append(parts, s[i+1:]), s[:i]
		}
	}
	for {
		if s = strings.TrimLeft(s, asciiSpace); s == "" {
			return parts
		}
		i := strings.IndexAny(s, asciiSpace)
		if int64(len(parts)) >= most || i < 0 {
			return append(parts, s)
		}
		parts, s = append(parts, s[:i]), s[i:]
	}
}

func bytesReplace(m *machine, self column.Value, a *arguments) (column.Value, error) {
	s := string(self.([]byte))
	from, err := bytesArg(a.pos[0])
	if err != nil {
		return nil, err
	}
	to, err := bytesArg(a.pos[1])
	if err != nil {
		return nil, err
	}
	most, err := a.intAt(2, -1)
	if err != nil {
		return nil, err
	}
	n := int64(strings.Count(s, from))
	if from == "" {
		n = int64(len(s)) + 1
	}
	if most >= 0 {
		n = min(n, most)
	}
	if to != "" && n > int64(MaxMemory/len(to)) {
		return nil, m.spend(MaxMemory + 1)
	}
	if err := m.spend(len(s) + int(n)*len(to)); err != nil {
		return nil, err
	}
	if from != "" {
		return []byte(strings.Replace(s, from, to, int(n))), nil
	}
	var out []byte
	for i := 0; i <= len(s); i++ {
		if int64(i) < n {
			out = append(out, to...)
		}
		if i < len(s) {
			out = append(out, s[i])
		}
	}
	return out, nil
}

func bytesJoin(m *machine, self column.Value, a *arguments) (column.Value, error) {
	if _, err := m.iterate(a.pos[0]); err != nil {
		return nil, raise("TypeError", "can only join an iterable")
	}
	elems, err := m.collect(a.pos[0])
	if err != nil {
		return nil, err
	}
	sep := string(self.([]byte))
	size := len(sep) * len(elems)
	parts := make([]string, len(elems))
	for i, e := range elems {
		b, ok := e.([]byte)
		if !ok {
			return nil, raise("TypeError", "sequence item %d: expected a bytes-like object, %s found", i, TypeName(e))
		}
		parts[i] = string(b)
		size += len(b)
	}
	return []byte(strings.Join(parts, sep)), m.spend(size)
}
