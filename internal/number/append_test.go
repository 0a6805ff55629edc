package number

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestAppendInt(t *testing.T) {
	numbers := []int64{0, math.MaxInt64, math.MinInt64}
	for n := int64(1); n > 0 && n < math.MaxInt64/10; n *= 10 {
		numbers = append(numbers, n-1, n, n+1, -n, 9*n)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		numbers = append(numbers, int64(r.Uint64())>>r.IntN(64))
	}
	for _, n := range numbers {
		if got, want := string(AppendInt([]byte("x"), n)), "x"+strconv.FormatInt(n, 10); got != want {
			t.Fatalf("AppendInt(%d) = %s", n, got)
		}
	}
}

func BenchmarkAppendInt(b *testing.B) {
	buf := make([]byte, 0, 32)
	for b.Loop() {
		buf = AppendInt(buf[:0], 1599999999895)
	}
}
