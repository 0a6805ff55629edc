package hostmetrics

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

type out struct{ rows []string }

func (o *out) BatchRows() int { return 7 }
func (o *out) Batch(b *column.Batch) error {
	for i := range b.N {
		if at := time.UnixMilli(b.Times[i]); time.Since(at) > time.Minute || time.Since(at) < -time.Minute {
			return errors.New("a reading is not of now: " + at.String())
		}
		o.rows = append(o.rows, b.Cols[0].Value(i).(string))
		if v := b.Cols[1].Value(i).(float64); v < 0 {
			return errors.New("a negative value of " + o.rows[len(o.rows)-1])
		}
	}
	return nil
}
func (o *out) Bad(r catalog.BadRecord) error { return errors.New(r.Msg) }

// TestReadings reads this machine: every group gives rows, rates from the second reading on.
func TestReadings(t *testing.T) {
	for _, group := range groups {
		s, err := newSource(map[string]any{"every": "10ms", "metrics": group, "limit": int64(3)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(t.Context(), column.Schema{schema[1], schema[3]})
		if err != nil {
			t.Fatal(err)
		}
		o := &out{}
		var m catalog.Morsel
		for range 3 {
			if err := r.Next(t.Context(), &m); err != nil {
				t.Skipf("%s: %v", group, err) // a container may hide a group
			}
			if err := r.NewDecoder().Decode(t.Context(), &m, o); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Next(t.Context(), &m); err != io.EOF {
			t.Errorf("after the limit: %v", err)
		}
		if len(o.rows) == 0 || !strings.HasPrefix(strings.TrimPrefix(o.rows[0], "swap"), group[:3]) {
			t.Errorf("%s gave %q", group, o.rows)
		}
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	s, err := newSource(map[string]any{"every": "1h", "metrics": "memory"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	var m catalog.Morsel
	if err := r.Next(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := r.Next(ctx, &m); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestProblems(t *testing.T) {
	for key, v := range map[string]any{"every": "1ms", "metrics": []any{"memroy"}, "limit": int64(0)} {
		var p *catalog.Problem
		if _, err := newSource(map[string]any{key: v}); !errors.As(err, &p) || p.Key != key {
			t.Errorf("%s: %v gave %v", key, v, err)
		}
	}
}

func TestRates(t *testing.T) {
	m := newMeter(nil)
	for _, step := range []struct {
		counter, since, want float64
		ok                   bool
	}{{100, 0, 0, false}, {150, 2, 25, true}, {150, 1, 0, true}, {10, 1, 0, false}, {20, 1, 10, true}} {
		if got, ok := m.rate("c", step.counter, step.since); got != step.want || ok != step.ok {
			t.Errorf("%v: got %v, %v", step, got, ok)
		}
	}
}

func BenchmarkReading(b *testing.B) {
	m := newMeter(groups)
	for b.Loop() {
		if _, err := m.read(b.Context(), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
