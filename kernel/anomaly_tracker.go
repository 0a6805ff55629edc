package kernel

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"github.com/leat-project/leat/plan"
)

// moments keeps the mean and the spread of the last values, or of all: incrementally, by Welford's method as Beam's trackers have it, or anew each
// time.
type moments struct {
	window ring
	simple bool // computed anew from the window
	n      int64
	avg    float64
	m2     float64 // the sum of squared differences from the mean
}

func newMoments(t plan.Tracker) *moments {
	return &moments{window: ring{size: int(t.Window)}, simple: strings.HasPrefix(t.Type, "Simple")}
}

func (m *moments) push(x float64) {
	old, full := m.window.push(x)
	if m.simple {
		return
	}
	var in, out float64 // by how much the mean moves, times n
	if !math.IsNaN(x) {
		m.n++
		in = x - m.avg
	}
	if full && !math.IsNaN(old) {
		m.n--
		out = m.avg - old
	}
	if m.n == 0 {
		m.avg, m.m2 = 0, 0
		return
	}
	m.avg += (in + out) / float64(m.n)
	if in != 0 {
		m.m2 += float64(in * (x - m.avg))
	}
	if out != 0 {
		m.m2 += float64(out * (old - m.avg))
	}
}

// mean is NaN where there is no value.
func (m *moments) mean() float64 {
	if m.simple {
		n, sum := 0, 0.0
		for _, x := range m.window.values {
			if !math.IsNaN(x) {
				n, sum = n+1, sum+x
			}
		}
		return sum / float64(n)
	}
	if m.n < 1 {
		return math.NaN()
	}
	return m.avg
}

// stdev is the standard deviation of a sample. It is NaN below two values.
func (m *moments) stdev() float64 {
	if m.simple {
		mean, n, sum := m.mean(), 0, 0.0
		for _, x := range m.window.values {
			if !math.IsNaN(x) {
				n, sum = n+1, sum+float64((x-mean)*(x-mean))
			}
		}
		if n < 2 {
			return math.NaN()
		}
		return math.Sqrt(sum / float64(n-1))
	}
	if m.n < 2 {
		return math.NaN()
	}
	return math.Sqrt(max(m.m2, 0) / float64(m.n-1)) // rounding may make the sum negative
}

func (m *moments) append(dst []byte) []byte {
	dst = m.window.append(binary.AppendVarint(dst, m.n))
	return appendFloat(appendFloat(dst, m.avg), m.m2)
}

func (m *moments) load(src []byte) ([]byte, bool) {
	n, size := binary.Varint(src)
	if size <= 0 {
		return nil, false
	}
	src, ok := m.window.load(src[size:])
	if !ok || len(src) < 16 {
		return nil, false
	}
	m.n = n
	m.avg, m.m2 = math.Float64frombits(binary.LittleEndian.Uint64(src)), math.Float64frombits(binary.LittleEndian.Uint64(src[8:]))
	return src[16:], true
}

// quantile keeps the last values, or all, sorted. A value is put in by a search and one move of memory, which for the windows in use is
// faster than any tree.
type quantile struct {
	q      float64
	window ring
	all    bool
	sorted []float64
}

func newQuantile(t plan.Tracker) *quantile {
	return &quantile{q: t.Q, window: ring{size: int(t.Window)}, all: t.Window == 0}
}

func (t *quantile) push(x float64) {
	if !math.IsNaN(x) {
		at, _ := slices.BinarySearch(t.sorted, x)
		t.sorted = slices.Insert(t.sorted, at, x)
	}
	if old, full := t.window.push(x); full && !math.IsNaN(old) {
		if at, found := slices.BinarySearch(t.sorted, old); found {
			t.sorted = slices.Delete(t.sorted, at, at+1)
		}
	}
}

// get returns the quantile, by linear interpolation; NaN where there is no value.
func (t *quantile) get() float64 {
	n := len(t.sorted)
	if n == 0 {
		return math.NaN()
	}
	pos := t.q * float64(n-1)
	low := math.Floor(pos)
	a := t.sorted[int(low)]
	b := t.sorted[min(int(low)+1, n-1)]
	return a + float64((b-a)*(pos-low))
}

func (t *quantile) append(dst []byte) []byte {
	if !t.all {
		return t.window.append(dst)
	}
	kept := ring{size: len(t.sorted), values: t.sorted}
	return kept.append(dst)
}

func (t *quantile) load(src []byte) ([]byte, bool) {
	into := &t.window
	if t.all {
		into = &ring{size: math.MaxInt}
	}
	src, ok := into.load(src)
	t.sorted = t.sorted[:0]
	for _, x := range into.values {
		if !math.IsNaN(x) {
			t.sorted = append(t.sorted, x)
		}
	}
	slices.Sort(t.sorted)
	return src, ok
}
