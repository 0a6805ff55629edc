package expr

import (
	"strconv"
	"strings"

	"github.com/leat-project/leat/column"
)

// formatter is the state of one text.format(args).
type formatter struct {
	m      *machine
	args   []column.Value
	next   int // of {}; -1 after a numbered one
	byName []named
}

// formatMethod is str.format.
func formatMethod(m *machine, self column.Value, a *arguments) (column.Value, error) {
	f := &formatter{m: m, args: a.pos, byName: a.any}
	return f.expand(self.(string), 0)
}

// expand replaces the fields of a text. In a format spec fields may stand too, once.
func (f *formatter) expand(text string, depth int) (string, error) {
	if depth > 1 {
		return "", raise("ValueError", "Max string recursion exceeded")
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c != '{' && c != '}':
			b.WriteByte(c)
			i++
			continue
		case depth == 0 && i+1 < len(text) && text[i+1] == c:
			b.WriteByte(c)
			i += 2
			continue
		case c == '}':
			return "", raise("ValueError", "Single '}' encountered in format string")
		}
		end, err := fieldEnd(text, i)
		if err != nil {
			return "", err
		}
		s, err := f.field(text[i+1:end], depth)
		if err != nil {
			return "", err
		}
		if err := f.m.spend(len(s)); err != nil {
			return "", err
		}
		b.WriteString(s)
		i = end + 1
	}
	return b.String(), f.m.spend(b.Len())
}

// fieldEnd returns the index of the brace that closes the one at i.
func fieldEnd(text string, i int) (int, error) {
	if i+1 == len(text) {
		return 0, raise("ValueError", "Single '{' encountered in format string")
	}
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i, nil
			}
		}
	}
	return 0, raise("ValueError", "expected '}' before end of string")
}

func (f *formatter) field(text string, depth int) (string, error) {
	name, spec, _ := strings.Cut(text, ":")
	name, conversion, converted := strings.Cut(name, "!")
	if converted && conversion != "r" && conversion != "s" && conversion != "a" {
		if conversion == "" {
			return "", raise("ValueError", "end of string while looking for conversion specifier")
		}
		return "", raise("ValueError", "Unknown conversion specifier '%s'", conversion[:1])
	}
	v, err := f.lookUp(name)
	if err != nil {
		return "", err
	}
	if v, err = f.m.convert(v, conversion); err != nil {
		return "", err
	}
	if strings.Contains(spec, "{") {
		if spec, err = f.expand(spec, depth+1); err != nil {
			return "", err
		}
	}
	return f.m.format(v, spec)
}

// lookUp finds the value of 0, 0.x, 0[1] or of nothing, which means the next one.
func (f *formatter) lookUp(name string) (column.Value, error) {
	end := strings.IndexAny(name, ".[")
	if end < 0 {
		end = len(name)
	}
	first, rest := name[:end], name[end:]
	at := f.next
	if first == "" {
		if f.next < 0 {
			return nil, raise("ValueError", "cannot switch from manual field specification to automatic field numbering")
		}
		f.next++
	} else {
		n, err := strconv.Atoi(first)
		if err != nil || strings.Trim(first, "0123456789") != "" {
			for _, k := range f.byName {
				if k.name == first {
					return f.walk(k.value, rest)
				}
			}
			return nil, raise("KeyError", "%s", Repr(first))
		}
		if f.next > 0 {
			return nil, raise("ValueError", "cannot switch from automatic field numbering to manual field specification")
		}
		at, f.next = n, -1
	}
	if at >= len(f.args) {
		return nil, raise("IndexError", "Replacement index %d out of range for positional args tuple", at)
	}
	return f.walk(f.args[at], rest)
}

func (f *formatter) walk(v column.Value, path string) (column.Value, error) {
	var err error
	for path != "" && err == nil {
		switch path[0] {
		case '.':
			end := strings.IndexAny(path[1:], ".[") + 1
			if end == 0 {
				end = len(path)
			}
			if end == 1 {
				return nil, raise("ValueError", "Empty attribute in format string")
			}
			v, err = attribute(v, path[1:end])
			path = path[end:]
		case '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return nil, raise("ValueError", "Missing ']' in format string")
			}
			if end == 1 {
				return nil, raise("ValueError", "Empty attribute in format string")
			}
			var key column.Value = path[1:end]
			if n, bad := strconv.ParseInt(path[1:end], 10, 64); bad == nil && isDigit(path[1]) {
				key = n
			}
			v, err = f.m.index(v, key)
			path = path[end+1:]
		default:
			return nil, raise("ValueError", "Only '.' or '[' may follow ']' in format field specifier")
		}
	}
	return v, err
}
