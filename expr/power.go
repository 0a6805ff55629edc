package expr

import (
	"math"
	"math/big"
)

// power is x**y for finite x and y, x not 0, and y whole where x < 0. Go's math.Pow is off by some units in the last place;
// here the result is computed with twice the digits and rounded once, so that it is the float nearest to the true value but
// for cases too rare to meet.
func power(x, y float64) float64 {
	negative := x < 0 && math.Mod(y, 2) != 0
	x = math.Abs(x)
	var p double
	var exponent int
	switch {
	case y == 0.5:
		return math.Sqrt(x)
	case x == 1:
		p = double{hi: 1}
	case y == math.Trunc(y) && math.Abs(y) <= 1<<16:
		p, exponent = wholePower(x, int(y))
	default:
		logarithm := logDouble(x)
		if estimate := logarithm.hi * y; estimate > 710 {
			p = double{hi: math.Inf(1)}
		} else if estimate > -746 {
			p, exponent = expDouble(logarithm.times(double{hi: y}))
		}
	}
	result := p.scaled(exponent)
	if negative {
		return -result
	}
	return result
}

// double is a number of about 106 bits: the sum of two floats, the second below half a unit in the last place of the first
// (Dekker 1971).
type double struct{ hi, lo float64 }

func twoSum(a, b float64) double {
	s := a + b
	t := s - a
	return double{s, float64(a-float64(s-t)) + float64(b-t)}
}

func quickSum(a, b float64) double {
	s := a + b
	return double{s, b - float64(s-a)}
}

func (a double) plus(b double) double {
	s, t := twoSum(a.hi, b.hi), twoSum(a.lo, b.lo)
	s = quickSum(s.hi, s.lo+t.hi)
	return quickSum(s.hi, s.lo+t.lo)
}

func (a double) times(b double) double {
	p := float64(a.hi * b.hi)
	e := math.FMA(a.hi, b.hi, -p)
	e += float64(a.hi*b.lo) + float64(a.lo*b.hi)
	return quickSum(p, e)
}

func (a double) over(b double) double {
	q := a.hi / b.hi
	r := a.plus(b.times(double{hi: -q}))
	q2 := r.hi / b.hi
	r = r.plus(b.times(double{hi: -q2}))
	return quickSum(q, q2).plus(double{hi: r.hi / b.hi})
}

// scaled returns a·2^exponent, rounded once even where the result is subnormal.
func (a double) scaled(exponent int) float64 {
	if math.IsInf(a.hi, 0) || a.hi == 0 {
		return a.hi
	}
	if exponent > -900 && exponent < 900 {
		return math.Ldexp(a.hi, exponent)
	}
	sum := new(big.Float).SetPrec(200).Add(big.NewFloat(a.hi), big.NewFloat(a.lo))
	f, _ := sum.SetMantExp(sum, exponent).Float64()
	return f
}

// normalised moves powers of two from a to the exponent, so that a is about 1.
func (a double) normalised(exponent int) (double, int) {
	_, e := math.Frexp(a.hi)
	return double{math.Ldexp(a.hi, -e), math.Ldexp(a.lo, -e)}, exponent + e
}

// wholePower is x^n·2^-exponent, by repeated squaring.
func wholePower(x float64, n int) (result double, exponent int) {
	base, baseExponent := double{hi: x}.normalised(0)
	result = double{hi: 1}
	for k := max(n, -n); k > 0; k >>= 1 {
		if k&1 == 1 {
			result, exponent = result.times(base).normalised(exponent + baseExponent)
		}
		base, baseExponent = base.times(base).normalised(2 * baseExponent)
	}
	if n < 0 {
		return double{hi: 1}.over(result).normalised(-exponent)
	}
	return result, exponent
}

// ln2 is the natural logarithm of 2.
var ln2 = double{0.693147180559945309417, 2.319046813846299558e-17}

// expDouble is e^a·2^-exponent: the argument is brought near 0, then comes the power series, then the squaring back.
func expDouble(a double) (result double, exponent int) {
	const halvings = 9
	k := math.Round(a.hi / ln2.hi)
	r := a.plus(ln2.times(double{hi: -k}))
	r = double{math.Ldexp(r.hi, -halvings), math.Ldexp(r.lo, -halvings)}
	// e^r - 1, so that squaring keeps the small digits: (1+s)^2 - 1 = 2s + s^2.
	sum, term := r, r
	for i := 2; i <= 10; i++ {
		term = term.times(r).over(double{hi: float64(i)})
		sum = sum.plus(term)
	}
	for range halvings {
		sum = sum.plus(sum).plus(sum.times(sum))
	}
	return double{hi: 1}.plus(sum), int(k)
}

// logDouble is the natural logarithm of x > 0: a Newton step from the float's one.
func logDouble(x float64) double {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	guess := double{hi: math.Log(m)}
	power, scale := expDouble(double{hi: -guess.hi})
	power = double{math.Ldexp(power.hi, scale), math.Ldexp(power.lo, scale)}
	// log m = guess + log(m·e^-guess), of a number so near to 1 that two terms of the series do.
	d := power.times(double{hi: m}).plus(double{hi: -1})
	correction := d.plus(d.times(d).times(double{hi: -0.5}))
	return ln2.times(double{hi: float64(e)}).plus(guess).plus(correction)
}
