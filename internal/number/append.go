package number

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// AppendInt appends i in decimal, as strconv does. Numbers of up to 16 digits take a few nanoseconds.
func AppendInt(dst []byte, i int64) []byte {
	const eight, sixteen = 1e8, 1e16
	n := uint64(i)
	if i < 0 {
		if i <= -sixteen {
			return strconv.AppendInt(dst, i, 10)
		}
		n = -n
		dst = append(dst, '-')
	}
	switch {
	case n < eight:
		return appendFirst(dst, n)
	case n < sixteen:
		dst = appendFirst(dst, n/eight)
		return binary.LittleEndian.AppendUint64(dst, ascii(n%eight))
	}
	return strconv.AppendUint(dst, n, 10)
}

// appendFirst appends a number below 1e8 without leading zeros.
func appendFirst(dst []byte, n uint64) []byte {
	w := ascii(n)
	zeros := bits.TrailingZeros64((w^'0'*ones)|1<<56) &^ 7 // bits of leading zeros; the last digit stays
	return binary.LittleEndian.AppendUint64(dst, w>>zeros)[:len(dst)+8-zeros/8]
}

const ones = 0x0101010101010101

// ascii returns the eight digits of a number below 1e8, the first in the lowest byte. It splits all fours, pairs and
// digits at once; a multiplication and a shift are the division by 100 and by 10.
func ascii(n uint64) uint64 {
	x := n/10000 | n%10000<<32
	high := x * 10486 >> 20 & 0x0000007f_0000007f
	x = high | (x-100*high)<<16
	high = x * 103 >> 10 & 0x000f000f_000f000f
	x = high | (x-10*high)<<8
	return x | '0'*ones
}
