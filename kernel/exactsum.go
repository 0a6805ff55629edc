package kernel

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// exactSum is the exact sum of floats, in three words of a group's row. It does not depend on the order in which they were added.
//
// The first two are an integer of 128 bits, in two's complement, in units of the least bit of floats with exponent unit; to that comes the
// wide accumulator, where there is one. The first value that is not zero sets the unit, so that values of up to 2^36 times less or more fit;
// others go to the wide accumulator.
//
// The low half of the third word is noUnit - unit: so a sum of zeros is empty, with a unit above all exponents. Exponents are biased, as the
// bits of a float hold them. The high half is the number of the wide accumulator + 1, or 0.
type exactSum [3]uint64

const exactWords = len(exactSum{})

func (s *exactSum) below() uint64     { return s[2] & math.MaxUint32 }
func (s *exactSum) wide() uint32      { return uint32(s[2] >> 32) }
func (s *exactSum) setBelow(x uint64) { s[2] = s[2]>>32<<32 | x }
func (s *exactSum) setWide(x int)     { s[2] = s[2]&math.MaxUint32 | uint64(x)<<32 }
func (s *exactSum) isZero() bool      { return s[0]|s[1] == 0 }

const (
	mantissaBits = 52
	mantissaMask = 1<<mantissaBits - 1
	exponentMask = 0x7ff // as an exponent: infinities and NaN
	noUnit       = 2 * exponentMask

	// sumReach is how many bits there are below the value that sets the unit.
	sumReach = 36
	// sumShift is the most that a value is shifted: with 53 bits of its own that leaves bits for carries and the sign.
	sumShift = 2 * sumReach
	// The units are such that zero and subnormals (exponent 0) lie below each, and infinities above what can be shifted.
	minUnit = 1
	maxUnit = exponentMask - 1 - sumShift
)

// floatSums holds the wide accumulators of sums.
type floatSums struct{ wide []*wideSum }

// addOne adds x to s.
func (f *floatSums) addOne(s *exactSum, x float64) {
	b := math.Float64bits(x)
	shift := b>>mantissaBits&exponentMask + s.below() - noUnit
	m := b&mantissaMask | 1<<mantissaBits
	sign := uint64(int64(b) >> 63) // all ones where x < 0
	lo := m<<shift ^ sign
	hi := (m>>(64-shift) | m<<(shift-64)) ^ sign
	lo, carry := bits.Add64(s[0], lo, sign&1)
	sum, _ := bits.Add64(s[1], hi, carry)
	if shift > sumShift || int64((sum^s[1])&(sum^hi)) < 0 {
		f.addSlow(s, x)
		return
	}
	s[0], s[1] = lo, sum
}

// addSlow adds a value that sets the unit, or does not fit.
func (f *floatSums) addSlow(s *exactSum, x float64) {
	e := int(math.Float64bits(x) >> mantissaBits & exponentMask)
	switch {
	case x == 0:
	case e != 0 && e != exponentMask && s.isZero():
		s.setBelow(uint64(noUnit - min(max(e-sumReach, minUnit), maxUnit)))
		f.addOne(s, x)
	default:
		f.wideOf(s).add(x)
	}
}

// shift is the power of two that one bit of s stands for, in units of 2^-1074.
func (s *exactSum) shift() int { return noUnit - int(s.below()) - 1 }

// wideOf returns the wide accumulator of s, and makes it where there is none.
func (f *floatSums) wideOf(s *exactSum) *wideSum {
	if s.wide() == 0 {
		f.wide = append(f.wide, new(wideSum))
		s.setWide(len(f.wide))
	}
	return f.wide[s.wide()-1]
}

// merge adds o, whose wide accumulator is w (nil: none), to s.
func (f *floatSums) merge(s, o *exactSum, w *wideSum) {
	if w != nil {
		f.wideOf(s).merge(w)
	}
	switch {
	case o.isZero():
		return
	case s.isZero():
		s[0], s[1] = o[0], o[1]
		s.setBelow(o.below())
		return
	case s.below() == o.below():
		lo, carry := bits.Add64(s[0], o[0], 0)
		hi, _ := bits.Add64(s[1], o[1], carry)
		if int64((hi^s[1])&(hi^o[1])) >= 0 {
			s[0], s[1] = lo, hi
			return
		}
	}
	f.wideOf(s).addInt(o[0], o[1], o.shift())
}

// value returns the sum, rounded once to the nearest float, ties to even. Of infinities of both signs it is not a number.
func (f *floatSums) value(s *exactSum) float64 {
	if s.wide() == 0 {
		lo, hi := s[0], s[1]
		neg := int64(hi) < 0
		if neg {
			lo, hi = negate(lo, hi)
		}
		return roundWords(neg, []uint64{lo, hi}, s.shift())
	}
	var w wideSum
	f.addTo(&w, s)
	return w.value()
}

// addTo adds s to w.
func (f *floatSums) addTo(w *wideSum, s *exactSum) {
	if s.wide() > 0 {
		w.merge(f.wide[s.wide()-1])
	}
	if !s.isZero() {
		w.addInt(s[0], s[1], s.shift())
	}
}

func negate(lo, hi uint64) (uint64, uint64) {
	lo, borrow := bits.Sub64(0, lo, 0)
	hi, _ = bits.Sub64(0, hi, borrow)
	return lo, hi
}

// wideWords is the length of a wide accumulator: 1,074 bits below one, 1,024 above, 64 for carries, a sign.
const wideWords = 34

// wideSum is an exact sum of any floats: an integer in units of 2^-1074, in two's complement. Up to 2^63 values can be added.
type wideSum struct {
	words [wideWords]uint64
	odd   uint8 // which of NaN, +inf and -inf were added
}

const (
	sawNaN = 1 << iota
	sawInf
	sawNegInf
)

// add adds x.
func (w *wideSum) add(x float64) {
	b := math.Float64bits(x)
	e, m := int(b>>mantissaBits&exponentMask), b&mantissaMask
	switch {
	case x != x:
		w.odd |= sawNaN
		return
	case e == exponentMask && x > 0:
		w.odd |= sawInf
		return
	case e == exponentMask:
		w.odd |= sawNegInf
		return
	case e == 0:
		e = 1 // subnormal: same unit, no implied bit
	default:
		m |= 1 << mantissaBits
	}
	if int64(b) < 0 {
		lo, hi := negate(m, 0)
		w.addInt(lo, hi, e-1)
		return
	}
	w.addInt(m, 0, e-1)
}

// addInt adds the 128-bit integer lo, hi, in two's complement, times 2^shift units.
func (w *wideSum) addInt(lo, hi uint64, shift int) {
	sign := uint64(int64(hi) >> 63)
	n := uint(shift & 63)
	parts := [3]uint64{lo << n, lo>>(64-n) | hi<<n, hi>>(64-n) | sign<<n}
	var carry uint64
	at := shift >> 6
	for i, p := range parts {
		if at+i < wideWords {
			w.words[at+i], carry = bits.Add64(w.words[at+i], p, carry)
		}
	}
	for i := at + 3; i < wideWords && sign+carry != 0; i++ { // sign + carry = 0: what is above stays as it is
		w.words[i], carry = bits.Add64(w.words[i], sign, carry)
	}
}

// merge adds o to w.
func (w *wideSum) merge(o *wideSum) {
	var carry uint64
	for i := range w.words {
		w.words[i], carry = bits.Add64(w.words[i], o.words[i], carry)
	}
	w.odd |= o.odd
}

func (w *wideSum) value() float64 {
	switch {
	case w.odd&sawNaN != 0, w.odd&(sawInf|sawNegInf) == sawInf|sawNegInf:
		return math.NaN()
	case w.odd&sawInf != 0:
		return math.Inf(1)
	case w.odd&sawNegInf != 0:
		return math.Inf(-1)
	}
	words := w.words
	neg := int64(words[wideWords-1]) < 0
	if neg {
		var borrow uint64
		for i := range words {
			words[i], borrow = bits.Sub64(0, words[i], borrow)
		}
	}
	return roundWords(neg, words[:], 0)
}

// wideBytes is the length of an encoded wide accumulator.
const wideBytes = 8*wideWords + 1

func (w *wideSum) append(dst []byte) []byte {
	for _, x := range w.words {
		dst = binary.LittleEndian.AppendUint64(dst, x)
	}
	return append(dst, w.odd)
}

// readWide reads what append wrote.
func readWide(src []byte) *wideSum {
	w := new(wideSum)
	for i := range w.words {
		w.words[i] = binary.LittleEndian.Uint64(src[8*i:])
	}
	w.odd = src[8*wideWords]
	return w
}

// roundWords returns the float nearest to ± words × 2^(shift-1074), ties to even; words are little endian.
func roundWords(neg bool, words []uint64, shift int) float64 {
	top := len(words) - 1
	for top >= 0 && words[top] == 0 {
		top--
	}
	if top < 0 {
		return 0
	}
	// m holds the first 64 bits, the first of which is one; rest tells whether any bit follows.
	zeros := uint(bits.LeadingZeros64(words[top]))
	m, rest := words[top]<<zeros, false
	if top > 0 {
		m |= words[top-1] >> (64 - zeros)
		rest = words[top-1]<<zeros != 0
	}
	for i := 0; i < top-1 && !rest; i++ {
		rest = words[i] != 0
	}
	// The value is m × 2^exp units; a float keeps 53 bits of m, fewer where the least bit would be below a unit.
	exp := 64*top - int(zeros) + shift
	drop := max(11, -exp)
	if drop > 64 {
		return signed(neg, 0)
	}
	var kept, low uint64
	half := uint64(1) << (drop - 1)
	if drop == 64 {
		kept, low = 0, m
	} else {
		kept, low = m>>drop, m&(1<<drop-1)
	}
	if low > half || low == half && (rest || kept&1 != 0) {
		kept++
	}
	return signed(neg, math.Ldexp(float64(kept), exp+drop-1074)) // exact, or beyond all floats
}

func signed(neg bool, x float64) float64 {
	if neg {
		return -x
	}
	return x
}
