package kernel

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// sumOf adds values to one sum, or to several that are merged.
func sumOf(values []float64, parts int) float64 {
	var f, total floatSums
	sums := make([]exactSum, parts)
	for i, x := range values {
		f.addOne(&sums[i%parts], x)
	}
	var sum exactSum
	for i := range sums {
		var w *wideSum
		if n := sums[i].wide(); n > 0 {
			w = readWide(f.wide[n-1].append(nil))
		}
		total.merge(&sum, &sums[i], w)
	}
	return total.value(&sum)
}

// bigSum is the sum by math/big: exact, rounded once.
func bigSum(values []float64) float64 {
	sum := new(big.Float).SetPrec(2400)
	for _, x := range values {
		sum.Add(sum, new(big.Float).SetFloat64(x))
	}
	x, _ := sum.Float64()
	return x + 0
}

func sameFloat(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func TestExactSumOfFew(t *testing.T) {
	inf, nan, tiny, huge := math.Inf(1), math.NaN(), math.SmallestNonzeroFloat64, math.MaxFloat64
	tests := []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{math.Copysign(0, -1)}, 0}, {[]float64{0.1}, 0.1}, {[]float64{-2.5}, -2.5},
		{[]float64{0.1, 0.2, -0.3}, bigSum([]float64{0.1, 0.2, -0.3})}, {[]float64{1e16, 1, -1e16}, 1}, {[]float64{1e308, 1e308, -1e308}, 1e308},
		{[]float64{huge, huge}, inf}, {[]float64{-huge, -huge, -huge}, -inf}, {[]float64{huge, tiny}, huge}, {[]float64{huge, math.Ldexp(1, 970)}, inf},
		{[]float64{tiny}, tiny}, {[]float64{tiny, tiny, -tiny}, tiny}, {[]float64{1, tiny, -1}, tiny}, {[]float64{-1, -tiny, 1}, -tiny},
		{[]float64{math.Ldexp(1, -1022), -tiny}, math.Ldexp(1, -1022) - tiny}, {[]float64{0x1p-1000, 0x1p1000, -0x1p1000}, 0x1p-1000},
		{[]float64{inf, 1}, inf}, {[]float64{-inf, huge}, -inf}, {[]float64{inf, -inf}, nan}, {[]float64{nan, inf}, nan}, {[]float64{1, nan}, nan},
		{[]float64{1, 0x1p-53}, 1}, {[]float64{1, 0x1p-53, tiny}, 1 + 0x1p-52}, {[]float64{1 + 0x1p-52, 0x1p-53}, 1 + 0x1p-51}, // ties to even
	}
	for _, test := range tests {
		for parts := 1; parts <= 3; parts++ {
			if got := sumOf(test.values, parts); !sameFloat(got, test.want) {
				t.Errorf("sum of %v in %d parts is %v, want %v", test.values, parts, got, test.want)
			}
		}
	}
}

func TestExactSumMatchesBig(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	makers := map[string]func() float64{
		"readings": func() float64 { return math.Round(r.NormFloat64()*1000) / 100 },
		"uniform":  r.Float64,
		"any bits": func() float64 {
			for {
				if x := math.Float64frombits(r.Uint64()); x == x && !math.IsInf(x, 0) {
					return x
				}
			}
		},
		"spread":     func() float64 { return math.Ldexp(r.Float64()-0.5, r.IntN(160)-80) },
		"subnormal":  func() float64 { return math.Float64frombits(r.Uint64() & (1<<63 | 1<<54 - 1)) },
		"near max":   func() float64 { return math.Copysign(math.MaxFloat64*(1-r.Float64()/8), r.Float64()-0.5) },
		"one binade": func() float64 { return 1 + r.Float64() },
	}
	for name, maker := range makers {
		for round := range 200 {
			values := make([]float64, 1+r.IntN(60))
			for i := range values {
				values[i] = maker()
			}
			want := bigSum(values)
			for range 3 {
				if got := sumOf(values, 1+r.IntN(4)); !sameFloat(got, want) {
					t.Fatalf("%s, round %d: sum of %v is %v, want %v", name, round, values, got, want)
				}
				r.Shuffle(len(values), func(i, k int) { values[i], values[k] = values[k], values[i] })
			}
		}
	}
}

func TestExactSumCarries(t *testing.T) {
	// Sums of one sign run over the 128 bits: what is beyond goes to the wide accumulator.
	var f floatSums
	for _, x := range []float64{1.5, -1.5} {
		var s exactSum
		f.addOne(&s, x)
		o, want := s, x
		for range 60 {
			f.merge(&s, &o, nil)
			want += x
		}
		for range 70 { // doubles what is not in the wide accumulator
			o = exactSum{s[0], s[1], s.below()}
			if f.merge(&s, &o, nil); s.wide() > 0 {
				break
			}
			want *= 2
		}
		if s.wide() == 0 {
			t.Fatal("the 128 bits never ran over")
		}
		want += float64(want) // the merge that ran over doubled the sum as well
		if got := f.value(&s); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func FuzzExactSum(f *testing.F) {
	f.Add([]byte("0123456701234567"), uint8(2))
	f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, math.Float64bits(1)), math.Float64bits(-0x1p-1074)), uint8(1))
	f.Fuzz(func(t *testing.T, raw []byte, parts uint8) {
		var values []float64
		for ; len(raw) >= 8; raw = raw[8:] {
			if x := math.Float64frombits(binary.LittleEndian.Uint64(raw)); x == x && !math.IsInf(x, 0) {
				values = append(values, x)
			}
		}
		if got, want := sumOf(values, 1+int(parts%5)), bigSum(values); !sameFloat(got, want) {
			t.Errorf("sum of %v is %v, want %v", values, got, want)
		}
	})
}

func BenchmarkExactSumAdd(b *testing.B) {
	values := make([]float64, 4096)
	groups := make([]uint32, len(values))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range values {
		values[i], groups[i] = math.Round(r.NormFloat64()*1000)/100, uint32(r.IntN(1000))
	}
	var f floatSums
	sums := make([]exactSum, 1000)
	for i := 0; i < b.N; i += len(values) {
		for k, g := range groups {
			f.addOne(&sums[g], values[k])
		}
	}
}
