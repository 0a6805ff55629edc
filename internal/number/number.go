// Package number reads and writes numbers as text, for the connectors of text formats (CSV and JSON share it).
//
// Reading is exact: the result is what strconv gives, on a path of its own for the short numbers that data is made of.
// Writing gives the text of Python's repr, the shortest one that reads back as the same number.
package number

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"unsafe"
)

// ErrSyntax and ErrRange are why a text is no number of the wanted type.
var (
	ErrSyntax = errors.New("not a number")
	ErrRange  = errors.New("out of the range of 64 bits")
)

// maxDigits is how many decimal digits always fit uint64.
const maxDigits = 19

// ParseInt reads a whole number in decimal: an optional sign and digits, leading zeros allowed. The error is
// ErrSyntax, or ErrRange where 64 bits do not hold it.
func ParseInt(b []byte) (int64, error) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, ErrSyntax
	}
	if len(b) > maxDigits {
		return parseLongInt(b, negative)
	}
	var n uint64
	for len(b) >= 8 {
		chunk := binary.LittleEndian.Uint64(b)
		if !eightDigits(chunk) {
			return 0, ErrSyntax
		}
		n = n*1e8 + parseEight(chunk)
		b = b[8:]
	}
	for _, c := range b {
		d := c - '0'
		if d > 9 {
			return 0, ErrSyntax
		}
		n = n*10 + uint64(d)
	}
	return signed(n, negative)
}

// signed gives n its sign, or ErrRange.
func signed(n uint64, negative bool) (int64, error) {
	switch {
	case !negative && n <= math.MaxInt64:
		return int64(n), nil
	case negative && n <= 1<<63:
		return -int64(n), nil // -(1<<63) is itself
	}
	return 0, ErrRange
}

// parseLongInt reads more digits than always fit, leading zeros perhaps among them.
func parseLongInt(b []byte, negative bool) (int64, error) {
	var n uint64
	over := false
	for _, c := range b {
		d := c - '0'
		if d > 9 {
			return 0, ErrSyntax
		}
		over = over || n > (math.MaxUint64-9)/10
		n = n*10 + uint64(d)
	}
	if over {
		return 0, ErrRange
	}
	return signed(n, negative)
}

// eightDigits reports whether all eight bytes are ASCII digits: none has a high nibble but 3, none does after adding 6.
func eightDigits(chunk uint64) bool {
	const high = 0xF0F0F0F0F0F0F0F0
	return (chunk&high)|((chunk+0x0606060606060606)&high)>>4 == 0x3333333333333333
}

// ParseShort reads a whole number without a sign of 1 to 8 digits, which are the lowest bytes of w, the first digit in
// the lowest one; what stands in the other bytes does not matter. It is ParseInt for a caller that has looked at w anyway.
func ParseShort(w uint64, digits int) (n int64, ok bool) {
	chunk := w<<(64-8*digits) | 0x3030303030303030>>(8*digits) // leading zeros
	return int64(parseEight(chunk)), eightDigits(chunk)
}

// parseEight returns the number that eight ASCII digits make, the first in the lowest byte, by adding neighbours,
// pairs and fours (Lemire, "Quickly parsing eight digits").
func parseEight(chunk uint64) uint64 {
	chunk = (chunk & 0x0F0F0F0F0F0F0F0F) * (10<<8 + 1) >> 8
	chunk = (chunk & 0x00FF00FF00FF00FF) * (100<<16 + 1) >> 16
	return (chunk & 0x0000FFFF0000FFFF) * (10000<<32 + 1) >> 32
}

// powers are the powers of ten that a float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
	1e19, 1e20, 1e21, 1e22}

// ParseFloat reads a decimal number: an optional sign, digits with an optional point among or beside them, an
// optional exponent. It rounds to the nearest float64, to infinity beyond the largest. The error is ErrSyntax.
func ParseFloat(b []byte) (float64, error) {
	i, negative := 0, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		i = 1
	}
	var mantissa uint64
	start, point := i, -1
	for ; i < len(b); i++ {
		c := b[i]
		if d := c - '0'; d <= 9 {
			mantissa = mantissa*10 + uint64(d)
			continue
		}
		if c != '.' || point >= 0 {
			break
		}
		point = i
	}
	digits, scale := i-start, 0
	if point >= 0 {
		digits--
		scale = i - 1 - point
	}
	if digits == 0 {
		return 0, ErrSyntax
	}
	// A mantissa below 2^53 and a power of ten are both exact, so that one division rounds once (Clinger 1990).
	if i == len(b) && digits <= maxDigits && mantissa < 1<<53 && scale < len(powers) {
		f := float64(mantissa)
		if scale > 0 {
			f /= powers[scale]
		}
		if negative {
			f = -f
		}
		return f, nil
	}
	return parseSlowFloat(b, i)
}

// parseSlowFloat reads a number whose digits end at byte i of b by strconv, which takes more forms than we do.
func parseSlowFloat(b []byte, i int) (float64, error) {
	if i < len(b) {
		if b[i] != 'e' && b[i] != 'E' {
			return 0, ErrSyntax
		}
		i++
		if i < len(b) && (b[i] == '-' || b[i] == '+') {
			i++
		}
		if i == len(b) {
			return 0, ErrSyntax
		}
		for ; i < len(b); i++ {
			if b[i]-'0' > 9 {
				return 0, ErrSyntax
			}
		}
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, ErrSyntax
	}
	return f, nil
}

// AppendFloat appends f as Python's repr prints it: the shortest text that reads back as f, always with a point or an
// exponent, in exponent form below 1e-4 and from 1e16 on; nan, inf and -inf by name.
func AppendFloat(dst []byte, f float64) []byte {
	switch {
	case f != f:
		return append(dst, "nan"...)
	case f > math.MaxFloat64:
		return append(dst, "inf"...)
	case f < -math.MaxFloat64:
		return append(dst, "-inf"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64) // Go's exponent has two digits at least, as Python's
	}
	if dst, ok := appendShort(dst, f); ok {
		return dst
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

// appendShort appends numbers with up to four decimals, the most of what sensors give, by integer arithmetic. The
// text is the shortest: the scaled number is tried with fewer decimals first.
func appendShort(dst []byte, f float64) ([]byte, bool) {
	const most = 1 << 40 // far below 2^53, so that a neighbour with as few digits does not exist
	if f < 0 || f == 0 && math.Signbit(f) {
		grown, ok := appendShort(append(dst, '-'), -f)
		if !ok {
			return dst, false
		}
		return grown, true
	}
	if f >= most/10000 {
		return dst, false
	}
	scaled := math.RoundToEven(f * 10000)
	n := uint64(scaled)
	if float64(n)/10000 != f {
		return dst, false
	}
	dst = AppendInt(dst, int64(n/10000))
	n %= 10000
	dst = append(dst, '.', byte('0'+n/1000))
	for n %= 1000; n > 0; n = n * 10 % 1000 {
		dst = append(dst, byte('0'+n/100))
	}
	return dst, true
}
