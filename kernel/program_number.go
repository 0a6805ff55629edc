package kernel

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/number"
)

// numberFormat is a format specification of a number, of those that are worth a fast path.
type numberFormat struct {
	verb  byte // 'd'; 'f'; 'r': as repr prints it
	prec  int  // digits after the point, of 'f'
	width int  // least number of characters
	zero  bool // padded with zeros after the sign, else with spaces before it
}

// parseFormat reads [0][width][.prec][verb] for a value of that kind. It returns false for what it does not know.
func parseFormat(spec string, kind column.Kind) (f numberFormat, ok bool) {
	f.prec = 6
	if spec == "" {
		f.verb = 'r'
		if kind == column.Int {
			f.verb = 'd'
		}
		return f, true
	}
	if spec[0] == '0' {
		f.zero, spec = true, spec[1:]
	}
	f.width, spec = digits(spec)
	precise := len(spec) > 1 && spec[0] == '.' && spec[1] >= '0' && spec[1] <= '9'
	if precise {
		f.prec, spec = digits(spec[1:])
	}
	const most = 60
	if f.width > most || f.prec > most {
		return f, false
	}
	switch {
	case spec == "f":
		f.verb = 'f'
	case spec == "d" && kind == column.Int && !precise:
		f.verb = 'd'
	case spec == "" && kind == column.Int && !precise:
		f.verb = 'd'
	default:
		return f, false
	}
	return f, true
}

// digits reads the number that s begins with; more than 4 digits read as a large one.
func digits(s string) (n int, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		if i < 4 {
			n = n*10 + int(s[i]-'0')
		} else {
			n = 10_000
		}
		i++
	}
	return n, s[i:]
}

func (f numberFormat) appendInt(dst []byte, n int64) []byte {
	if f.verb == 'f' {
		return f.appendFloat(dst, float64(n))
	}
	from := len(dst)
	return f.pad(number.AppendInt(dst, n), from)
}

func (f numberFormat) appendFloat(dst []byte, v float64) []byte {
	from := len(dst)
	if f.verb == 'r' {
		return f.pad(number.AppendFloat(dst, v), from)
	}
	return f.pad(AppendFixed(dst, v, f.prec), from)
}

// pad brings what stands in dst after from to the least width.
func (f numberFormat) pad(dst []byte, from int) []byte {
	missing := f.width - (len(dst) - from)
	if missing <= 0 {
		return dst
	}
	at, with := from, byte(' ')
	if f.zero {
		with = '0'
		if dst[from] == '-' {
			at++
		}
	}
	for range missing {
		dst = append(dst, with)
	}
	copy(dst[at+missing:], dst[at:len(dst)-missing])
	for i := range missing {
		dst[at+i] = with
	}
	return dst
}

// appendSpecial appends an infinity or NaN.
func appendSpecial(dst []byte, f float64) []byte {
	switch {
	case f > 0:
		return append(dst, "inf"...)
	case f < 0:
		return append(dst, "-inf"...)
	}
	return append(dst, "nan"...)
}

var powersOfTen = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// AppendFixed appends f with prec digits after the point, rounded half to even on its exact value, as Python's
// '.{prec}f' does. Most numbers take a multiplication in 128 bits, several times faster than strconv.
func AppendFixed(dst []byte, f float64, prec int) []byte {
	if math.IsInf(f, 0) || f != f {
		return appendSpecial(dst, f)
	}
	scaled, ok := scale(math.Abs(f), prec)
	if !ok {
		return strconv.AppendFloat(dst, f, 'f', prec, 64)
	}
	if math.Signbit(f) {
		dst = append(dst, '-')
	}
	if prec == 0 {
		return strconv.AppendUint(dst, scaled, 10)
	}
	whole := scaled / powersOfTen[prec]
	part := scaled - whole*powersOfTen[prec]
	dst = append(strconv.AppendUint(dst, whole, 10), '.')
	for range prec {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; part > 0; i-- {
		dst[i] = byte('0' + part%10)
		part /= 10
	}
	return dst
}

// scale returns f·10^prec rounded half to even, for f ≥ 0; false where 64 bits do not hold it.
func scale(f float64, prec int) (uint64, bool) {
	if prec < 0 || prec >= len(powersOfTen) {
		return 0, false
	}
	b := math.Float64bits(f)
	mantissa, shift := b&(1<<52-1), 1075-int(b>>52)
	if b>>52 == 0 {
		shift = 1074
	} else {
		mantissa |= 1 << 52
	}
	// f is mantissa / 2^shift, exactly.
	hi, lo := bits.Mul64(mantissa, powersOfTen[prec])
	switch {
	case shift <= 0:
		if hi != 0 || -shift >= bits.LeadingZeros64(lo) && lo != 0 {
			return 0, false
		}
		return lo << uint(-shift), true
	case shift < 64:
		if hi>>uint(shift) != 0 {
			return 0, false
		}
		return roundHalfEven(hi<<uint(64-shift)|lo>>uint(shift), lo<<uint(64-shift), 0)
	case shift == 64:
		return roundHalfEven(hi, lo, 0)
	case shift < 128:
		s := uint(shift - 64)
		return roundHalfEven(hi>>s, hi<<(64-s), lo)
	}
	// mantissa·10^prec < 2^53·2^64 = 2^117, less than half of 2^128.
	return 0, true
}

// roundHalfEven rounds q + (half·2^64 + low)/2^128.
func roundHalfEven(q, half, low uint64) (uint64, bool) {
	const middle = 1 << 63
	if half > middle || half == middle && (low != 0 || q&1 == 1) {
		q++
		return q, q != 0
	}
	return q, true
}
