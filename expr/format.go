package expr

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

// formatSpec is a format specification: [[fill]align][sign][z][#][0][width][grouping][.precision][type].
type formatSpec struct {
	fill      rune
	align     byte // < > = ^
	sign      byte // + - or space
	noNegZero bool
	alternate bool
	width     int
	grouping  byte // , or _ or 0
	precision int  // -1: none
	verb      byte // 0: none
}

// parseSpec reads a format specification; align is where the value goes by default.
func parseSpec(spec string, align byte, typeName string) (*formatSpec, error) {
	whole := spec
	f := &formatSpec{fill: ' ', align: align, precision: -1}
	isAlign := func(s string) bool { return s != "" && strings.IndexByte("<>=^", s[0]) >= 0 }
	filled, aligned := false, false
	if _, size := utf8.DecodeRuneInString(spec); size > 0 && isAlign(spec[size:]) {
		f.fill, _ = utf8.DecodeRuneInString(spec)
		f.align, spec = spec[size], spec[size+1:]
		filled, aligned = true, true
	} else if isAlign(spec) {
		f.align, spec = spec[0], spec[1:]
		aligned = true
	}
	take := func(set string) byte {
		if spec != "" && strings.IndexByte(set, spec[0]) >= 0 {
			c := spec[0]
			spec = spec[1:]
			return c
		}
		return 0
	}
	f.sign = take("+- ")
	f.noNegZero = take("z") != 0
	f.alternate = take("#") != 0
	if !filled && take("0") != 0 {
		f.fill = '0'
		if !aligned && align == '>' {
			f.align = '='
		}
	}
	var err error
	if f.width, spec, _, err = takeNumber(spec); err != nil {
		return nil, err
	}
	f.grouping = take(",")
	if c := take("_"); c != 0 {
		if f.grouping != 0 {
			return nil, raise("ValueError", "Cannot specify both ',' and '_'.")
		}
		f.grouping = c
	}
	if take(",") != 0 {
		if f.grouping == ',' {
			return nil, raise("ValueError", "Cannot specify ',' with ','.")
		}
		return nil, raise("ValueError", "Cannot specify both ',' and '_'.")
	}
	if take(".") != 0 {
		var given bool
		if f.precision, spec, given, err = takeNumber(spec); err != nil {
			return nil, err
		}
		if !given {
			return nil, raise("ValueError", "Format specifier missing precision")
		}
	}
	if charCount(spec) > 1 {
		return nil, raise("ValueError", "Invalid format specifier '%s' for object of type '%s'", whole, typeName)
	}
	if spec == "" && typeName == "str" {
		spec = "s"
	}
	return f.finish(spec)
}

// finish reads the type and checks that the grouping fits it.
func (f *formatSpec) finish(spec string) (*formatSpec, error) {
	switch {
	case spec != "" && spec[0] >= utf8.RuneSelf:
		f.verb = 0xff
	case spec != "":
		f.verb = spec[0]
	}
	if f.grouping == 0 {
		return f, nil
	}
	switch f.verb {
	case 'd', 'e', 'f', 'g', 'E', 'G', '%', 'F', 0:
		return f, nil
	case 'b', 'o', 'x', 'X':
		if f.grouping == '_' {
			return f, nil
		}
	}
	return nil, raise("ValueError", "Cannot specify '%c' with '%s'.", f.grouping, spec)
}

// takeNumber reads decimal digits.
func takeNumber(s string) (n int, rest string, given bool, err error) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		if n = n*10 + int(s[i]-'0'); n > math.MaxInt32 {
			return 0, s, false, raise("ValueError", "Too many decimal digits in format string")
		}
		i++
	}
	return n, s[i:], i > 0, nil
}

// format is Python's format(v, spec).
func (m *machine) format(v column.Value, spec string) (string, error) {
	if spec == "" {
		return m.str(v)
	}
	switch v := v.(type) {
	case string:
		return m.formatString(v, spec)
	case bool, int64:
		i, _, _, _ := asNumber(v)
		return m.formatInt(i, spec, TypeName(v))
	case float64:
		f, err := parseSpec(spec, '>', "float")
		if err != nil {
			return "", err
		}
		return m.formatFloat(v, f, "float")
	}
	return "", raise("TypeError", "unsupported format string passed to %s.__format__", TypeName(v))
}

func unknownCode(f *formatSpec, spec, typeName string) error {
	code := string(rune(f.verb))
	if f.verb == 0xff {
		r, _ := utf8.DecodeLastRuneInString(spec)
		return raise("ValueError", "Unknown format code '\\x%x' for object of type '%s'", r, typeName)
	}
	return raise("ValueError", "Unknown format code '%s' for object of type '%s'", code, typeName)
}

func (m *machine) formatString(s, spec string) (string, error) {
	f, err := parseSpec(spec, '<', "str")
	if err != nil {
		return "", err
	}
	switch {
	case f.verb != 0 && f.verb != 's':
		return "", unknownCode(f, spec, "str")
	case f.sign == ' ':
		return "", raise("ValueError", "Space not allowed in string format specifier")
	case f.sign != 0:
		return "", raise("ValueError", "Sign not allowed in string format specifier")
	case f.noNegZero:
		return "", raise("ValueError", "Negative zero coercion (z) not allowed in string format specifier")
	case f.alternate:
		return "", raise("ValueError", "Alternate form (#) not allowed in string format specifier")
	case f.align == '=':
		return "", raise("ValueError", "'=' alignment not allowed in string format specifier")
	case f.grouping != 0:
		return "", raise("ValueError", "Cannot specify '%c' with 's'.", f.grouping)
	}
	if f.precision >= 0 && f.precision < len(s) {
		s = s[:charOffset(s, f.precision)]
	}
	return m.pad(s, f, 0)
}

// pad fills text up to the width. With = the filling comes after its first head bytes.
func (m *machine) pad(text string, f *formatSpec, head int) (string, error) {
	lack := f.width - charCount(text)
	if lack <= 0 {
		return text, m.spend(len(text))
	}
	if err := m.spend(len(text) + lack*utf8.RuneLen(f.fill)); err != nil {
		return "", err
	}
	fill := string(f.fill)
	switch f.align {
	case '<':
		return text + strings.Repeat(fill, lack), nil
	case '>':
		return strings.Repeat(fill, lack) + text, nil
	case '^':
		return strings.Repeat(fill, lack/2) + text + strings.Repeat(fill, lack-lack/2), nil
	}
	return text[:head] + strings.Repeat(fill, lack) + text[head:], nil
}

func (m *machine) formatInt(i int64, spec, typeName string) (string, error) {
	f, err := parseSpec(spec, '>', typeName)
	if err != nil {
		return "", err
	}
	base, prefix := 10, ""
	switch f.verb {
	case 0, 'd', 'n', 'c':
	case 'b':
		base, prefix = 2, "0b"
	case 'o':
		base, prefix = 8, "0o"
	case 'x', 'X':
		base, prefix = 16, "0"+string(rune(f.verb))
	case 'e', 'E', 'f', 'F', 'g', 'G', '%':
		return m.formatFloat(float64(i), f, typeName)
	default:
		return "", unknownCode(f, spec, typeName)
	}
	if f.precision >= 0 {
		return "", raise("ValueError", "Precision not allowed in integer format specifier")
	}
	if f.noNegZero {
		return "", raise("ValueError", "Negative zero coercion (z) not allowed in integer format specifier")
	}
	if f.verb == 'c' {
		return m.formatChar(i, f)
	}
	digits := strconv.FormatUint(uint64(max(i, -i)), base)
	if f.verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	if !f.alternate {
		prefix = ""
	}
	group := 3
	if base != 10 {
		group = 4
	}
	return m.number(i < 0, prefix, digits, "", group, f)
}

func (m *machine) formatChar(i int64, f *formatSpec) (string, error) {
	switch {
	case f.sign != 0:
		return "", raise("ValueError", "Sign not allowed with integer format specifier 'c'")
	case f.alternate:
		return "", raise("ValueError", "Alternate form (#) not allowed with integer format specifier 'c'")
	case i < 0 || i > utf8.MaxRune || !utf8.ValidRune(rune(i)):
		return "", raise("OverflowError", "%%c arg not in range(0x110000)")
	}
	return m.pad(string(rune(i)), f, 0)
}

func (m *machine) formatFloat(v float64, f *formatSpec, typeName string) (string, error) {
	verb, precision, dot := f.verb, f.precision, false
	switch verb {
	case 0:
		verb, dot = 'r', true
		if precision >= 0 {
			verb = 'g'
		}
	case 'e', 'E', 'f', 'F', 'g', 'G':
	case 'n':
		verb = 'g'
	case '%':
		v *= 100
	default:
		return "", unknownCode(f, string(rune(verb)), typeName)
	}
	if precision < 0 {
		precision = 6
	}
	if err := m.spend(precision); err != nil {
		return "", err
	}
	code := verb
	if verb == '%' {
		code = 'f'
	}
	text := floatText(math.Abs(v), code, precision, dot, f.alternate)
	negative := math.Signbit(v) && !math.IsNaN(v)
	if f.noNegZero && negative && strings.Trim(strings.TrimRight(strings.Split(strings.ToLower(text), "e")[0], "%"), "0.") == "" {
		negative = false
	}
	if verb == '%' {
		text += "%"
	}
	digits := 0
	for digits < len(text) && isDigit(text[digits]) {
		digits++
	}
	return m.number(negative, "", text[:digits], text[digits:], 3, f)
}

// number puts a number's pieces together: sign, prefix, digits (grouped), and what follows them.
func (m *machine) number(negative bool, prefix, digits, rest string, group int, f *formatSpec) (string, error) {
	head := prefix
	switch {
	case negative:
		head = "-" + prefix
	case f.sign == '+' || f.sign == ' ':
		head = string(rune(f.sign)) + prefix
	}
	if err := m.spend(f.width + len(digits)); err != nil {
		return "", err
	}
	if f.grouping != 0 && digits != "" {
		least := 0
		if f.fill == '0' && f.align == '=' {
			least = f.width - len(head) - len(rest)
		}
		digits = grouped(digits, group, f.grouping, least)
	}
	return m.pad(head+digits+rest, f, len(head))
}

// grouped puts a separator between groups of digits, with zeros in front until least characters are there.
func grouped(digits string, group int, separator byte, least int) string {
	var groups []string
	for {
		n := min(group, max(len(digits), least, 1))
		take := min(n, len(digits))
		groups = append(groups, strings.Repeat("0", n-take)+digits[len(digits)-take:])
		digits = digits[:len(digits)-take]
		least -= n
		if digits == "" && least <= 0 {
			break
		}
		least--
	}
	for i, j := 0, len(groups)-1; i < j; i, j = i+1, j-1 {
		groups[i], groups[j] = groups[j], groups[i]
	}
	return strings.Join(groups, string(rune(separator)))
}

// maxDigits is beyond the last digit of any float that is not 0.
const maxDigits = 1100

// floatText writes a float that is not negative as Python's C code does. Verbs are e f g (and in capitals) and r, the
// shortest text. dot adds ".0" to whole numbers; alternate keeps the point and trailing zeros.
func floatText(v float64, verb byte, precision int, dot, alternate bool) string {
	upper := verb < 'a'
	verb |= 0x20
	var text string
	switch {
	case math.IsNaN(v):
		text = "nan"
	case math.IsInf(v, 0):
		text = "inf"
	case verb == 'f':
		text = strconv.FormatFloat(v, 'f', min(precision, maxDigits), 64) + strings.Repeat("0", max(precision-maxDigits, 0))
		if alternate && precision == 0 {
			text += "."
		}
	case verb == 'e':
		text = strconv.FormatFloat(v, 'e', min(precision, maxDigits), 64)
		if precision > maxDigits {
			text = strings.Replace(text, "e", strings.Repeat("0", precision-maxDigits)+"e", 1)
		}
		if alternate && precision == 0 {
			text = strings.Replace(text, "e", ".e", 1)
		}
	default:
		text = generalText(v, verb == 'r', max(precision, 1), dot, alternate)
	}
	if upper {
		return strings.ToUpper(text)
	}
	return text
}

// generalText chooses between the forms with and without an exponent.
func generalText(v float64, shortest bool, precision int, dot, alternate bool) string {
	most := precision
	if shortest {
		precision, most = 0, 17
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(v, 'e', min(precision-1, maxDigits), 64), "e")
	point, _ := strconv.Atoi(exponent)
	point++
	digits := strings.Replace(mantissa, ".", "", 1)
	if !alternate || shortest {
		digits = strings.TrimRight(digits, "0")
	} else {
		digits += strings.Repeat("0", max(precision-1-maxDigits, 0))
	}
	if digits == "" {
		digits = "0"
	}
	if dot {
		most--
	}
	if point <= -4 || point > most {
		text := digits[:1]
		if len(digits) > 1 || alternate {
			text += "." + digits[1:]
		}
		sign := "+"
		if point--; point < 0 {
			sign, point = "-", -point
		}
		return text + "e" + sign + pad0(strconv.Itoa(point), 2)
	}
	return pointText(digits, point, dot, alternate)
}

// pointText puts the decimal point after that many of the digits.
func pointText(digits string, point int, dot, alternate bool) string {
	var whole, fraction string
	switch {
	case point <= 0:
		whole, fraction = "0", strings.Repeat("0", -point)+digits
	case point >= len(digits):
		whole = digits + strings.Repeat("0", point-len(digits))
	default:
		whole, fraction = digits[:point], digits[point:]
	}
	switch {
	case fraction != "":
		return whole + "." + fraction
	case dot:
		return whole + ".0"
	case alternate:
		return whole + "."
	}
	return whole
}

// formatPieces evaluates an f-string.
func (m *machine) formatPieces(e *Expr) (column.Value, error) {
	var b strings.Builder
	for _, a := range e.Args {
		s, ok := "", false
		var err error
		if a.Op == OpLit {
			if s, ok = a.Value.(string); !ok {
				s = Str(a.Value)
			}
		} else if s, err = m.formatted(a); err != nil {
			return nil, err
		}
		if err := m.spend(len(s)); err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// formatted evaluates a replacement field.
func (m *machine) formatted(e *Expr) (string, error) {
	v, err := m.eval(e.Args[0])
	if err != nil {
		return "", err
	}
	if v, err = m.convert(v, e.Name); err != nil {
		return "", err
	}
	spec := column.Value("")
	if len(e.Args) > 1 && e.Args[1] != nil {
		if spec, err = m.eval(e.Args[1]); err != nil {
			return "", err
		}
	}
	text, _ := spec.(string)
	return m.format(v, text)
}

// convert applies !r, !s or !a.
func (m *machine) convert(v column.Value, conversion string) (column.Value, error) {
	switch conversion {
	case "r":
		return m.repr(v)
	case "s":
		return m.str(v)
	case "a":
		s, err := m.repr(v)
		return toASCII(s), err
	}
	return v, nil
}
