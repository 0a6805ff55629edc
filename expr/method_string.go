package expr

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

// stringMethods are the methods of str.
var stringMethods map[string]*callable

// onString makes an entry of stringMethods.
func onString(min, max int, call func(m *machine, s string, a *arguments) (column.Value, error), names ...string) *callable {
	return &callable{signature{min: min, max: max, names: names}, func(m *machine, self column.Value, a *arguments) (column.Value, error) {
		s := self.(string)
		if err := m.tick(len(s) / 64); err != nil {
			return nil, err
		}
		return call(m, s, a)
	}}
}

// simple makes a method without arguments that costs up to three times the length of the string.
func simple(f func(s string) string) *callable {
	return onString(0, 0, func(m *machine, s string, _ *arguments) (column.Value, error) {
		if err := m.spend(3 * len(s)); err != nil {
			return nil, err
		}
		return f(s), nil
	})
}

// test makes a method without arguments that says yes or no.
func test(f func(s string) bool) *callable {
	return onString(0, 0, func(_ *machine, s string, _ *arguments) (column.Value, error) { return f(s), nil })
}

func init() {
	stringMethods = map[string]*callable{
		"lower": simple(lower), "upper": simple(upper), "title": simple(title), "capitalize": simple(capitalize), "swapcase": simple(swapCase),
		"casefold": simple(caseFold),
		"isdigit":  test(every(isDigitRune)), "isalpha": test(every(unicode.IsLetter)), "isalnum": test(every(isAlnum)), "isspace": test(every(isSpace)),
		"isnumeric": test(every(isNumeric)), "isdecimal": test(every(isDecimal)), "isupper": test(isUpper), "islower": test(isLower),
		"istitle": test(isTitle), "isidentifier": test(isPythonName), "isascii": test(isASCII), "isprintable": test(isPrintableText),
		"strip": onString(0, 1, strip(true, true)), "lstrip": onString(0, 1, strip(true, false)), "rstrip": onString(0, 1, strip(false, true)),
		"split": onString(0, 2, splitFrom(false), "sep", "maxsplit"), "rsplit": onString(0, 2, splitFrom(true), "sep", "maxsplit"),
		"splitlines": onString(0, 1, splitLines, "keepends"), "join": onString(1, 1, join), "replace": onString(2, 3, replace),
		"startswith": onString(1, 3, affix(strings.HasPrefix, "startswith")), "endswith": onString(1, 3, affix(strings.HasSuffix, "endswith")),
		"find": onString(1, 3, search(strings.Index, false)), "rfind": onString(1, 3, search(strings.LastIndex, false)),
		"index": onString(1, 3, search(strings.Index, true)), "rindex": onString(1, 3, search(strings.LastIndex, true)), "count": onString(1, 3, countIn),
		"zfill": onString(1, 1, zfill), "center": onString(1, 2, justify('^')), "ljust": onString(1, 2, justify('<')), "rjust": onString(1, 2, justify('>')),
		"partition": onString(1, 1, partition(strings.Index, false)), "rpartition": onString(1, 1, partition(strings.LastIndex, true)),
		"removeprefix": onString(1, 1, removeAffix(strings.TrimPrefix, "removeprefix")),
		"removesuffix": onString(1, 1, removeAffix(strings.TrimSuffix, "removesuffix")),
		"expandtabs":   onString(0, 1, expandTabs, "tabsize"), "encode": onString(0, 2, encodeMethod, "encoding", "errors"), "format": {signature{max: -1, any: true}, formatMethod},
	}
}

// every reports whether there are characters and all are of that kind.
func every(is func(rune) bool) func(string) bool {
	return func(s string) bool {
		for _, r := range s {
			if !is(r) {
				return false
			}
		}
		return s != ""
	}
}

// isSpace is Python's white space.
func isSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', 0x1c, 0x1d, 0x1e, 0x1f, ' ', 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000:
		return true
	}
	return 0x2000 <= r && r <= 0x200a
}

func isAlnum(r rune) bool {
	return unicode.IsLetter(r) || isNumeric(r)
}

func isDecimal(r rune) bool { return unicode.Is(unicode.Nd, r) }

func isPrintableText(s string) bool {
	for _, r := range s {
		if !isPrintable(r) {
			return false
		}
	}
	return true
}

// isUpper reports whether there is a cased character and none is lower or title case.
func isUpper(s string) bool {
	cased := false
	for _, r := range s {
		if isLowerRune(r) || unicode.IsTitle(r) {
			return false
		}
		cased = cased || isUpperRune(r)
	}
	return cased
}

func isLower(s string) bool {
	cased := false
	for _, r := range s {
		if isUpperRune(r) || unicode.IsTitle(r) {
			return false
		}
		cased = cased || isLowerRune(r)
	}
	return cased
}

func isTitle(s string) bool {
	cased, after := false, false
	for _, r := range s {
		switch {
		case isUpperRune(r) || unicode.IsTitle(r):
			if after {
				return false
			}
			cased, after = true, true
		case isLowerRune(r):
			if !after {
				return false
			}
			cased, after = true, true
		default:
			after = false
		}
	}
	return cased
}

func isPythonName(s string) bool { return isIdentifier(s) || isKeyword(s) }

func stringArg(v column.Value, method string) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", raise("TypeError", "%s() argument must be str, not %s", method, argName(v))
	}
	return s, nil
}

func strip(left, right bool) func(m *machine, s string, a *arguments) (column.Value, error) {
	name := map[[2]bool]string{{true, true}: "strip", {true, false}: "lstrip", {false, true}: "rstrip"}[[2]bool{left, right}]
	return func(_ *machine, s string, a *arguments) (column.Value, error) {
		is := isSpace
		switch chars := a.at(0, nil).(type) {
		case nil:
		case string:
			is = func(r rune) bool { return strings.ContainsRune(chars, r) }
		default:
			return nil, raise("TypeError", "%s arg must be None or str", name)
		}
		if left {
			s = strings.TrimLeftFunc(s, is)
		}
		if right {
			s = strings.TrimRightFunc(s, is)
		}
		return s, nil
	}
}

// splitFrom returns split, or rsplit where it counts from the end.
func splitFrom(end bool) func(m *machine, s string, a *arguments) (column.Value, error) {
	return func(m *machine, s string, a *arguments) (column.Value, error) {
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
		switch sep := a.at(0, nil).(type) {
		case nil:
			parts = splitSpace(s, most, end)
		case string:
			if sep == "" {
				return nil, raise("ValueError", "empty separator")
			}
			parts = splitText(s, sep, most, end)
		default:
			return nil, raise("TypeError", "must be str or None, not %s", TypeName(sep))
		}
		return stringList(parts), nil
	}
}

func stringList(parts []string) *column.ListValue {
	elems := make([]column.Value, len(parts))
	for i, p := range parts {
		elems[i] = p
	}
	return &column.ListValue{Elems: elems}
}

func splitText(s, sep string, most int64, end bool) []string {
	if !end {
		return strings.SplitN(s, sep, int(min(most, int64(len(s)))+1))
	}
	var parts []string
	for ; most > 0; most-- {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		parts = append(parts, s[i+len(sep):])
		s = s[:i]
	}
	return reversedStrings(append(parts, s))
}

func reversedStrings(parts []string) []string {
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return parts
}

// splitSpace splits at runs of white space. What is left after most splits keeps its inner spaces.
func splitSpace(s string, most int64, end bool) []string {
	var parts []string
	if end {
		for {
			if s = strings.TrimRightFunc(s, isSpace); s == "" {
				return reversedStrings(parts)
			}
			i := strings.LastIndexFunc(s, isSpace)
			if int64(len(parts)) >= most || i < 0 {
				return reversedStrings(append(parts, s))
			}
			_, size := utf8.DecodeRuneInString(s[i:])
			parts = append(parts, s[i+size:])
			s = s[:i]
		}
	}
	for {
		if s = strings.TrimLeftFunc(s, isSpace); s == "" {
			return parts
		}
		i := strings.IndexFunc(s, isSpace)
		if int64(len(parts)) >= most || i < 0 {
			return append(parts, s)
		}
		parts = append(parts, s[:i])
		s = s[i:]
	}
}

// isLineEnd reports whether splitlines splits there.
func isLineEnd(r rune) bool {
	switch r {
	case '\n', '\r', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		return true
	}
	return false
}

func splitLines(m *machine, s string, a *arguments) (column.Value, error) {
	keep, err := a.intAt(0, 0)
	if err != nil {
		return nil, err
	}
	if err := m.spend(elemBytes * len(s)); err != nil {
		return nil, err
	}
	var lines []string
	for s != "" {
		i := strings.IndexFunc(s, isLineEnd)
		if i < 0 {
			lines = append(lines, s)
			break
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			size = 2
		}
		line := s[:i]
		if keep != 0 {
			line = s[:i+size]
		}
		lines = append(lines, line)
		s = s[i+size:]
	}
	return stringList(lines), nil
}

func join(m *machine, s string, a *arguments) (column.Value, error) {
	if _, err := m.iterate(a.pos[0]); err != nil {
		return nil, raise("TypeError", "can only join an iterable")
	}
	elems, err := m.collect(a.pos[0])
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(elems))
	size := len(s) * len(elems)
	for i, e := range elems {
		text, ok := e.(string)
		if !ok {
			return nil, raise("TypeError", "sequence item %d: expected str instance, %s found", i, TypeName(e))
		}
		parts[i] = text
		size += len(text)
	}
	if err := m.spend(size); err != nil {
		return nil, err
	}
	return strings.Join(parts, s), nil
}

func replace(m *machine, s string, a *arguments) (column.Value, error) {
	from, ok := a.pos[0].(string)
	if !ok {
		return nil, raise("TypeError", "replace() argument 1 must be str, not %s", argName(a.pos[0]))
	}
	to, ok := a.pos[1].(string)
	if !ok {
		return nil, raise("TypeError", "replace() argument 2 must be str, not %s", argName(a.pos[1]))
	}
	most, err := a.intAt(2, -1)
	if err != nil {
		return nil, err
	}
	n := strings.Count(s, from)
	if most >= 0 && most < int64(n) {
		n = int(most)
	}
	if from == "" && s == "" && most >= 0 && a.has(2) {
		n = int(min(most, 1))
	}
	if to != "" && n > MaxMemory/len(to) {
		return nil, m.spend(MaxMemory + 1)
	}
	if err := m.spend(len(s) + n*len(to)); err != nil {
		return nil, err
	}
	return strings.Replace(s, from, to, n), nil
}

// window returns s[start:end] by arguments i and i+1, and the character it begins at; ok is false where start is past
// the end of the string, where not even "" is found.
func (a *arguments) window(s string, i int) (part string, from int, ok bool, err error) {
	if a.at(i, nil) == nil && a.at(i+1, nil) == nil {
		return s, 0, true, nil
	}
	size := charCount(s)
	bounds := [2]int64{0, int64(size)}
	for k := range bounds {
		v := a.at(i+k, nil)
		if v == nil {
			continue
		}
		n, _, isFloat, isNumber := asNumber(v)
		if !isNumber || isFloat {
			return "", 0, false, raise("TypeError", "slice indices must be integers or None or have an __index__ method")
		}
		if n < 0 {
			n = max(n+int64(size), 0)
		}
		bounds[k] = n
	}
	if bounds[0] > int64(size) || bounds[0] > min(bounds[1], int64(size)) {
		return "", 0, false, nil
	}
	from = int(bounds[0])
	at := charOffset(s, from)
	end := at + charOffset(s[at:], int(min(bounds[1], int64(size)))-from)
	return s[at:end], from, true, nil
}

func affix(has func(s, affix string) bool, name string) func(m *machine, s string, a *arguments) (column.Value, error) {
	return func(_ *machine, s string, a *arguments) (column.Value, error) {
		part, _, ok, err := a.window(s, 1)
		if err != nil {
			return nil, err
		}
		switch x := a.pos[0].(type) {
		case string:
			return ok && has(part, x), nil
		case *column.ListValue:
			if !x.Tuple {
				break
			}
			for _, e := range x.Elems {
				text, isText := e.(string)
				if !isText {
					return nil, raise("TypeError", "tuple for %s must only contain str, not %s", name, TypeName(e))
				}
				if ok && has(part, text) {
					return true, nil
				}
			}
			return false, nil
		}
		return nil, raise("TypeError", "%s first arg must be str or a tuple of str, not %s", name, TypeName(a.pos[0]))
	}
}

// search returns find, rfind, index or rindex; the latter two fail where there is nothing.
func search(index func(s, sub string) int, fails bool) func(m *machine, s string, a *arguments) (column.Value, error) {
	return func(_ *machine, s string, a *arguments) (column.Value, error) {
		sub, ok := a.pos[0].(string)
		if !ok {
			return nil, raise("TypeError", "must be str, not %s", TypeName(a.pos[0]))
		}
		part, from, ok, err := a.window(s, 1)
		if err != nil {
			return nil, err
		}
		if ok {
			if i := index(part, sub); i >= 0 {
				return int64(from + charCount(part[:i])), nil
			}
		}
		if fails {
			return nil, raise("ValueError", "substring not found")
		}
		return int64(-1), nil
	}
}

func countIn(_ *machine, s string, a *arguments) (column.Value, error) {
	sub, ok := a.pos[0].(string)
	if !ok {
		return nil, raise("TypeError", "must be str, not %s", TypeName(a.pos[0]))
	}
	part, _, ok, err := a.window(s, 1)
	if err != nil || !ok {
		return int64(0), err
	}
	return int64(strings.Count(part, sub)), nil
}

func zfill(m *machine, s string, a *arguments) (column.Value, error) {
	width, err := intArg(a.pos[0])
	if err != nil {
		return nil, err
	}
	head := 0
	if s != "" && (s[0] == '-' || s[0] == '+') {
		head = 1
	}
	return m.pad(s, &formatSpec{fill: '0', align: '=', width: clampWidth(width)}, head)
}

// clampWidth makes a width an int; what is too wide stays too wide.
func clampWidth(n int64) int { return int(min(max(n, 0), 2*MaxMemory)) }

func justify(align byte) func(m *machine, s string, a *arguments) (column.Value, error) {
	return func(m *machine, s string, a *arguments) (column.Value, error) {
		width, err := intArg(a.pos[0])
		if err != nil {
			return nil, err
		}
		fill, ok := a.at(1, " ").(string)
		if !ok {
			return nil, raise("TypeError", "The fill character must be a unicode character, not %s", TypeName(a.pos[1]))
		}
		if charCount(fill) != 1 {
			return nil, raise("TypeError", "The fill character must be exactly one character long")
		}
		f := &formatSpec{align: align, width: clampWidth(width)}
		f.fill, _ = utf8.DecodeRuneInString(fill)
		if align != '^' {
			return m.pad(s, f, 0)
		}
		return m.center(s, f)
	}
}

// center puts the odd filling character where str.center does: on the left where the width is odd.
func (m *machine) center(s string, f *formatSpec) (column.Value, error) {
	lack := f.width - charCount(s)
	if lack <= 0 {
		return s, nil
	}
	if err := m.spend(len(s) + lack*utf8.RuneLen(f.fill)); err != nil {
		return nil, err
	}
	left := lack/2 + lack&f.width&1
	fill := string(f.fill)
	return strings.Repeat(fill, left) + s + strings.Repeat(fill, lack-left), nil
}

func partition(index func(s, sep string) int, last bool) func(m *machine, s string, a *arguments) (column.Value, error) {
	return func(_ *machine, s string, a *arguments) (column.Value, error) {
		sep, ok := a.pos[0].(string)
		if !ok {
			return nil, raise("TypeError", "must be str, not %s", TypeName(a.pos[0]))
		}
		if sep == "" {
			return nil, raise("ValueError", "empty separator")
		}
		i := index(s, sep)
		switch {
		case i >= 0:
			return tuple(s[:i], sep, s[i+len(sep):]), nil
		case last:
			return tuple("", "", s), nil
		}
		return tuple(s, "", ""), nil
	}
}

func removeAffix(remove func(s, affix string) string, name string) func(m *machine, s string, a *arguments) (column.Value, error) {
	return func(_ *machine, s string, a *arguments) (column.Value, error) {
		text, err := stringArg(a.pos[0], name)
		return remove(s, text), err
	}
}

func expandTabs(m *machine, s string, a *arguments) (column.Value, error) {
	size, err := a.intAt(0, 8)
	if err != nil {
		return nil, err
	}
	if size != int64(int32(size)) {
		return nil, raise("OverflowError", "Python int too large to convert to C int")
	}
	size = max(size, 0)
	var b strings.Builder
	column := int64(0)
	for _, r := range s {
		switch {
		case r == '\t':
			if size > 0 {
				n := size - column%size
				column += n
				if err := m.spend(int(n)); err != nil {
					return nil, err
				}
				b.WriteString(strings.Repeat(" ", int(n)))
			}
			continue
		case r == '\n' || r == '\r':
			column = 0
		default:
			column++
		}
		b.WriteRune(r)
	}
	return b.String(), m.spend(len(s))
}

func encodeMethod(m *machine, s string, a *arguments) (column.Value, error) {
	return m.encode("encode", s, a.at(0, "utf-8"), a.at(1, "strict"))
}
