package expr

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestPowerWhole compares with exact arithmetic.
func TestPowerWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		x := math.Ldexp(r.Float64()+0.5, r.IntN(40)-20)
		n := r.IntN(120) - 60
		exact := new(big.Float).SetPrec(20000).SetInt64(1)
		for range max(n, -n) {
			exact.Mul(exact, new(big.Float).SetPrec(20000).SetFloat64(x))
		}
		if n < 0 {
			exact.Quo(new(big.Float).SetPrec(20000).SetInt64(1), exact)
		}
		want, _ := exact.Float64()
		if got := power(x, float64(n)); got != want {
			t.Errorf("power(%v, %d) = %v, want %v", x, n, got, want)
		}
	}
}

func TestPowerFractional(t *testing.T) {
	for _, c := range []struct{ x, y, want float64 }{
		{2, 0.5, math.Sqrt2}, {10, 0.1, 1.2589254117941673}, {1e15, 3.14159, 1.3299949746492433e+47}, {0.5, 1074, 5e-324}, {2, -1074, 5e-324},
		{2, 1023, math.Ldexp(1, 1023)}, {2, 1024, math.Inf(1)}, {1e-300, 2, 0}, {5e-324, 0.25, math.Ldexp(1, -269) * math.Sqrt2}, {-2, 3, -8}, {-2, 2, 4}, {7, 1e300, math.Inf(1)}, {0.9999999, 1e9, 3.720057571493637e-44},
	} {
		if got := power(c.x, c.y); math.Abs(got-c.want) > 1e-10*c.want && got != c.want {
			t.Errorf("power(%v, %v) = %v, want %v", c.x, c.y, got, c.want)
		}
	}
}
