package expr

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

// percentFormat is the state of one text % arguments.
type percentFormat struct {
	m       *machine
	text    string
	at      int
	args    []column.Value
	used    int
	mapping *column.MapValue // where the argument is a dict
	lenient bool             // unused arguments are no error
}

// percent is text % args.
func (m *machine) percent(text string, args column.Value) (column.Value, error) {
	p := &percentFormat{m: m, text: text, args: []column.Value{args}}
	switch v := args.(type) {
	case *column.ListValue:
		if v.Tuple {
			p.args = v.Elems
		} else {
			p.lenient = true
		}
	case *column.MapValue:
		p.mapping, p.lenient = v, true
	case []byte, *rangeValue:
		p.lenient = true
	}
	var b strings.Builder
	for {
		next := strings.IndexByte(p.text[p.at:], '%')
		if next < 0 {
			break
		}
		b.WriteString(p.text[p.at : p.at+next])
		p.at += next + 1
		s, err := p.directive()
		if err != nil {
			return nil, err
		}
		if err := m.spend(len(s)); err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	b.WriteString(p.text[p.at:])
	if p.used < len(p.args) && !p.lenient {
		return nil, raise("TypeError", "not all arguments converted during string formatting")
	}
	return b.String(), m.spend(len(text))
}

func (p *percentFormat) arg() (column.Value, error) {
	if p.used >= len(p.args) {
		return nil, raise("TypeError", "not enough arguments for format string")
	}
	p.used++
	return p.args[p.used-1], nil
}

func (p *percentFormat) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// directive reads and evaluates what follows a percent sign.
func (p *percentFormat) directive() (string, error) {
	var value column.Value
	if p.peek() == '%' {
		p.at++
		return "%", nil
	}
	keyed := p.peek() == '('
	if keyed {
		var err error
		if value, err = p.key(); err != nil {
			return "", err
		}
	}
	f := &formatSpec{fill: ' ', align: '>', precision: -1}
	zero := p.flags(f)
	if err := p.size(f); err != nil {
		return "", err
	}
	if c := p.peek(); c == 'h' || c == 'l' || c == 'L' {
		p.at++
	}
	if p.at >= len(p.text) {
		return "", raise("ValueError", "incomplete format")
	}
	r, size := utf8.DecodeRuneInString(p.text[p.at:])
	p.at += size
	if !keyed {
		var err error
		if value, err = p.arg(); err != nil {
			return "", err
		}
	}
	if r >= utf8.RuneSelf || strings.IndexByte("diuoxXeEfFgGcrsa", byte(r)) < 0 {
		shown := r
		if r < 32 || r >= 127 {
			shown = '?'
		}
		return "", raise("ValueError", "unsupported format character '%c' (0x%x) at index %d", shown, r, charCount(p.text[:p.at-size]))
	}
	return p.value(value, byte(r), f, zero)
}

// key reads (name) and looks it up.
func (p *percentFormat) key() (column.Value, error) {
	if p.mapping == nil {
		return nil, raise("TypeError", "format requires a mapping")
	}
	depth, start := 0, p.at+1
	for ; p.at < len(p.text); p.at++ {
		if c := p.text[p.at]; c == '(' {
			depth++
		} else if c == ')' {
			if depth--; depth == 0 {
				break
			}
		}
	}
	if depth != 0 {
		return nil, raise("ValueError", "incomplete format key")
	}
	name := p.text[start:p.at]
	p.at++
	p.used = len(p.args)
	return p.m.index(p.mapping, name)
}

func (p *percentFormat) flags(f *formatSpec) (zero bool) {
	for ; ; p.at++ {
		switch p.peek() {
		case '-':
			f.align = '<'
		case '+':
			f.sign = '+'
		case ' ':
			if f.sign == 0 {
				f.sign = ' '
			}
		case '#':
			f.alternate = true
		case '0':
			zero = true
		default:
			return zero
		}
	}
}

// size reads the width and precision.
func (p *percentFormat) size(f *formatSpec) error {
	n, _, err := p.sizeNumber("*", "width too big")
	if err != nil {
		return err
	}
	if f.width = n; n < 0 {
		f.align, f.width = '<', -n
	}
	if p.peek() == '.' {
		p.at++
		if n, _, err = p.sizeNumber("*", "precision too big"); err != nil {
			return err
		}
		f.precision = max(n, 0)
	}
	return nil
}

func (p *percentFormat) sizeNumber(star, tooBig string) (n int, given bool, err error) {
	if p.peek() == star[0] {
		p.at++
		v, err := p.arg()
		if err != nil {
			return 0, false, err
		}
		i, _, isFloat, ok := asNumber(v)
		if !ok || isFloat {
			return 0, false, raise("TypeError", "* wants int")
		}
		if i > math.MaxInt32 || i < -math.MaxInt32 {
			return 0, false, raise("OverflowError", "Python int too large to convert to C int")
		}
		return int(i), true, nil
	}
	n, rest, given, err := takeNumber(p.text[p.at:])
	if err != nil {
		return 0, false, raise("ValueError", "%s", tooBig)
	}
	p.at = len(p.text) - len(rest)
	return n, given, nil
}

// value formats one value.
func (p *percentFormat) value(v column.Value, verb byte, f *formatSpec, zero bool) (string, error) {
	switch verb {
	case 's', 'r', 'a':
		converted, err := p.m.convert(v, string(rune(verb)))
		if err != nil {
			return "", err
		}
		s := converted.(string)
		if f.precision >= 0 && f.precision < len(s) {
			s = s[:charOffset(s, f.precision)]
		}
		return p.m.pad(s, f, 0)
	case 'c':
		return p.char(v, f)
	case 'e', 'E', 'f', 'F', 'g', 'G':
		return p.float(v, verb, f, zero)
	}
	return p.int(v, verb, f, zero)
}

func (p *percentFormat) char(v column.Value, f *formatSpec) (string, error) {
	switch c := v.(type) {
	case string:
		if charCount(c) == 1 {
			return p.m.pad(c, f, 0)
		}
	case int64, bool:
		i, _, _, _ := asNumber(c)
		if i < 0 || i > utf8.MaxRune || !utf8.ValidRune(rune(i)) {
			return "", raise("OverflowError", "%%c arg not in range(0x110000)")
		}
		return p.m.pad(string(rune(i)), f, 0)
	}
	return "", raise("TypeError", "%%c requires int or char")
}

func (p *percentFormat) float(v column.Value, verb byte, f *formatSpec, zero bool) (string, error) {
	i, x, isFloat, ok := asNumber(v)
	if !ok {
		return "", raise("TypeError", "must be real number, not %s", TypeName(v))
	}
	if !isFloat {
		x = float64(i)
	}
	precision := f.precision
	if precision < 0 {
		precision = 6
	}
	if err := p.m.spend(precision); err != nil {
		return "", err
	}
	text := floatText(math.Abs(x), verb, precision, false, f.alternate)
	return p.signed(math.Signbit(x) && !math.IsNaN(x), "", text, f, zero)
}

func (p *percentFormat) int(v column.Value, verb byte, f *formatSpec, zero bool) (string, error) {
	i, x, isFloat, ok := asNumber(v)
	decimal := verb == 'd' || verb == 'i' || verb == 'u'
	switch {
	case !ok && decimal:
		return "", raise("TypeError", "%%%c format: a real number is required, not %s", verb, TypeName(v))
	case !ok || isFloat && !decimal:
		return "", raise("TypeError", "%%%c format: an integer is required, not %s", verb, TypeName(v))
	case isFloat:
		n, err := truncate(x)
		if err != nil {
			return "", err
		}
		i = n.(int64)
	}
	base, prefix := 10, ""
	switch verb {
	case 'o':
		base, prefix = 8, "0o"
	case 'x', 'X':
		base, prefix = 16, "0"+string(rune(verb))
	}
	digits := strconv.FormatUint(uint64(max(i, -i)), base)
	if verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	if !f.alternate {
		prefix = ""
	}
	if lack := f.precision - len(digits); lack > 0 {
		if err := p.m.spend(lack); err != nil {
			return "", err
		}
		digits = strings.Repeat("0", lack) + digits
	}
	return p.signed(i < 0, prefix, digits, f, zero)
}

// signed puts sign and prefix before a number and pads it.
func (p *percentFormat) signed(negative bool, prefix, text string, f *formatSpec, zero bool) (string, error) {
	head := prefix
	switch {
	case negative:
		head = "-" + prefix
	case f.sign != 0:
		head = string(rune(f.sign)) + prefix
	}
	padded := *f
	if zero && f.align != '<' {
		padded.fill, padded.align = '0', '='
	}
	return p.m.pad(head+text, &padded, len(head))
}
