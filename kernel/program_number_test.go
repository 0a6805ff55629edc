package kernel

import (
	"math"
	"math/rand"
	"strconv"
	"testing"
	"time"

	"github.com/leat-project/leat/column"
)

// TestAppendFixed compares the fast path with strconv, which is exact.
func TestAppendFixed(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	check := func(f float64, prec int) {
		want := strconv.FormatFloat(f, 'f', prec, 64)
		if got := string(AppendFixed(nil, f, prec)); got != want {
			t.Fatalf("%x with %d digits: got %s, want %s", f, prec, got, want)
		}
	}
	for prec := range 25 {
		for _, f := range floatPool {
			if !math.IsInf(f, 0) && f == f {
				check(f, prec)
			}
		}
		for range 3000 {
			check(rng.NormFloat64()*math.Pow(10, float64(rng.Intn(30)-10)), prec)
			check(float64(rng.Intn(2000)-1000)/8, prec) // ties
			check(math.Float64frombits(rng.Uint64()&^(1<<62)), prec)
		}
	}
}

func TestNumberFormat(t *testing.T) {
	for _, c := range []struct {
		spec string
		f    float64
		want string
	}{
		{".2f", 1.005, "1.00"}, {".0f", 0.5, "0"}, {".0f", 1.5, "2"}, {"8.2f", -1.5, "   -1.50"}, {"08.2f", -1.5, "-0001.50"},
		{"f", 1, "1.000000"}, {".1f", -0.04, "-0.0"}, {"06.1f", math.Inf(1), "000inf"}, {".3f", math.NaN(), "nan"},
	} {
		format, ok := parseFormat(c.spec, column.Float)
		if got := string(format.appendFloat(nil, c.f)); !ok || got != c.want {
			t.Errorf("%v as %q: got %q, want %q", c.f, c.spec, got, c.want)
		}
	}
	for _, spec := range []string{"<5", ".f", "1000000000000d", ".99999f", "d.", "x", ",", ".2", ".2d", "+d", "5s"} {
		if _, ok := parseFormat(spec, column.Int); ok {
			t.Errorf("%q was taken for a known format", spec)
		}
	}
}

// TestDivisor compares the multiplication with the processor's division.
func TestDivisor(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	dividends := append([]int64{}, intPool...)
	for range 2000 {
		dividends = append(dividends, int64(rng.Uint64())>>rng.Intn(64))
	}
	floors, mods := make([]int64, len(dividends)), make([]int64, len(dividends))
	for i := range 3000 {
		d := int64(i + 1)
		if i > 1000 {
			d = int64(rng.Uint64()>>1)>>rng.Intn(63) | 1
		}
		if i%7 == 0 {
			d = 1 << rng.Intn(63)
		}
		newDivisor(d).floor(floors, dividends)
		newDivisor(d).mod(mods, dividends)
		for k, a := range dividends {
			if q, r := floorDivMod(a, d); floors[k] != q || mods[k] != r {
				t.Fatalf("%d divmod %d: got %d, %d, want %d, %d", a, d, floors[k], mods[k], q, r)
			}
		}
	}
}

func TestMulOverflows(t *testing.T) {
	for _, a := range intPool {
		for _, b := range intPool {
			want := a != 0 && (a*b/a != b || a == -1 && b == math.MinInt64) && b != 0
			if product, over := mulOverflows(a, b); product != a*b || over < 0 != want {
				t.Errorf("%d * %d: over %d, want %v", a, b, over, want)
			}
		}
	}
}
