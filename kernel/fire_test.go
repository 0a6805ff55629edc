package kernel

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// streamRun runs rows that are at most disorder out of order through a stream aggregation, with firings, swaps of tables, segments and
// restarts in between as the seed has it. It returns the panes in the order of firing.
func streamRun(t *testing.T, c *aggCase, rows []testRow, disorder int64, seed uint64) []string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	built := c.build()
	a := NewStreamAggregation(&plan.Aggregate{Keys: c.keys, Aggs: built.aggs}, built.in, built.out)
	active := []*Table{a.NewTable(), a.NewTable()}
	var frozen []*Table
	var segments []*Spill
	wm, most := int64(math.MinInt64), int64(math.MinInt64)
	var out []string
	fire := func(to int64, early bool) {
		f := Firing{From: wm, To: to, Early: early, Late: early}
		var rest []*Table
		if a.Rewrites() {
			rest = []*Table{a.NewTable(), a.NewTable()}
		}
		for g := range KeyGroups {
			if rest != nil {
				f.Rest = rest[g%2]
			}
			err := a.Fire(context.Background(), g, append(slices.Clone(frozen), active...), segments, f, 7, 1<<30, func(b *column.Batch) error {
				for i := range b.N {
					out = append(out, rowText(b, i))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if wm = to; rest != nil {
			active, frozen, segments = rest, nil, nil
		}
	}
	for from := 0; from < len(rows); {
		to := min(from+1+rng.IntN(20), len(rows), (from/1000+1)*1000)
		if f := active[rng.IntN(2)].Add(c.batch(rows, from, to, false)); f != nil {
			t.Fatal(f.Err)
		}
		for _, r := range rows[from:to] {
			most = max(most, r.time)
		}
		from = to
		switch rng.IntN(4) {
		case 0:
			var ends []int64
			for _, table := range append(slices.Clone(frozen), active...) {
				ends = append(ends, table.Ends()...)
			}
			for _, s := range segments {
				ends = append(ends, s.Ends()...)
			}
			slices.Sort(ends)
			if next, ok := a.NextEnd(slices.Compact(ends), wm); ok && next <= most-disorder || c.window.Panes() {
				fire(max(wm, most-disorder), rng.IntN(2) == 0)
			}
		case 1:
			frozen = append(frozen, active...)
			active = []*Table{a.NewTable(), a.NewTable()}
			for _, table := range frozen {
				table.freeze()
			}
			if rng.IntN(3) == 0 {
				segments, frozen = append(segments, segmentOf(t, frozen)), nil
			}
		}
		if !a.Rewrites() {
			frozen = slices.DeleteFunc(frozen, func(f *Table) bool { return a.LastEnd(f.Ends()) <= wm })
			segments = slices.DeleteFunc(segments, func(s *Spill) bool { return a.LastEnd(s.Ends()) <= wm })
		}
	}
	fire(math.MaxInt64, true)
	return out
}

func segmentOf(t *testing.T, tables []*Table) *Spill {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "segment")
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteSegment(f, tables); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSegment(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var fireSchema = column.Schema{{Name: "k", Type: column.StringType}, {Name: "v", Type: column.IntType}}

// fireRows are rows at most disorder behind the greatest time before them.
func fireRows(n int, disorder int64, seed uint64) []testRow {
	rng := rand.New(rand.NewPCG(seed, 2))
	rows, at := make([]testRow, n), int64(-5000)
	for i := range rows {
		at += rng.Int64N(60)
		rows[i] = testRow{time: at - rng.Int64N(disorder+1), values: []column.Value{fmt.Sprint("key", rng.IntN(9)), int64(rng.IntN(100))}}
	}
	return rows
}

// TestFireGivesWhatEmitGives compares the final panes of a stream with what bounded input gives.
func TestFireGivesWhatEmitGives(t *testing.T) {
	sec := int64(1000)
	panes := func(w plan.Windowing, accumulating bool) plan.Windowing {
		w.Lateness, w.Early, w.Accumulating = 500, plan.Firing{Count: 3}, accumulating
		return w
	}
	fixed := plan.Windowing{Kind: plan.Fixed, Size: 2 * sec, Offset: 300}
	sliding := plan.Windowing{Kind: plan.Sliding, Size: 3 * sec, Period: 2 * sec, Offset: 100}
	dense := plan.Windowing{Kind: plan.Sliding, Size: 5 * sec, Period: 300}
	sessions := plan.Windowing{Kind: plan.Sessions, Gap: 700}
	tests := map[string]plan.Windowing{"fixed": fixed, "sliding": sliding, "dense": dense, "sessions": sessions, "global": {},
		"fixed accumulating": panes(fixed, true), "sliding accumulating": panes(sliding, true), "sessions late": {Kind: plan.Sessions, Gap: 700, Lateness: 500, Accumulating: true}}
	for name, w := range tests {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				const disorder = 900
				rows := fireRows(1500, disorder, seed)
				c := &aggCase{schema: fireSchema, keys: []string{"k"}, window: w,
					aggs: [][3]string{{"n", "count", "v"}, {"s", "sum", "v"}, {"g", "group", "v"}}}
				want := c.run(t, rows, how{batch: 100, tables: 1, limit: 1 << 30, out: 1000})
				got := streamRun(t, c, rows, disorder, seed)
				if w.Accumulating {
					got = lastPanes(got)
				}
				slices.Sort(want)
				slices.Sort(got)
				if !slices.Equal(want, got) {
					t.Fatalf("seed %d: %s", seed, firstDifference(want, got))
				}
			}
		})
	}
}

// TestDiscardedPanesAddUp compares the sum of all panes of a window with that of bounded input.
func TestDiscardedPanesAddUp(t *testing.T) {
	w := plan.Windowing{Kind: plan.Fixed, Size: 2000, Lateness: 3000, Early: plan.Firing{Delay: 10}, Late: plan.Firing{Count: 2}}
	for seed := range uint64(3) {
		rows := fireRows(1500, 900, seed)
		c := &aggCase{schema: fireSchema, keys: []string{"k"}, window: w, aggs: [][3]string{{"n", "count", "v"}, {"s", "sum", "v"}}}
		sums := func(texts []string) map[string][2]int64 {
			out := map[string][2]int64{}
			for _, text := range texts {
				var window, key string
				var n, s int64
				if _, err := fmt.Sscanf(text, "%s %q %d %d", &window, &key, &n, &s); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				sum := out[window+key]
				out[window+key] = [2]int64{sum[0] + n, sum[1] + s}
			}
			return out
		}
		want := sums(c.run(t, rows, how{batch: 100, tables: 1, limit: 1 << 30, out: 1000}))
		got := streamRun(t, c, rows, 900, seed)
		if sum := sums(got); !maps.Equal(want, sum) {
			t.Fatalf("seed %d: panes add up to %v, want %v", seed, sum, want)
		}
		if len(got) <= len(want) {
			t.Fatalf("seed %d: %d panes of %d windows: none fired early", seed, len(got), len(want))
		}
	}
}

// lastPanes keeps the last pane of each window and key.
func lastPanes(texts []string) []string {
	last := map[string]string{}
	for _, text := range texts {
		var window, key string
		fmt.Sscanf(text, "%s %q", &window, &key)
		last[window+key] = text
	}
	return slices.Collect(maps.Values(last))
}

func firstDifference(want, got []string) string {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return fmt.Sprintf("pane %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d panes, want %d", len(got), len(want))
}

// TestDamagedSegment opens a segment with every byte of its index flipped.
func TestDamagedSegment(t *testing.T) {
	c := &aggCase{schema: fireSchema, keys: []string{"k"}, window: plan.Windowing{Kind: plan.Fixed, Size: 1000}, aggs: [][3]string{{"n", "count", "v"}}}
	built := c.build()
	a := NewStreamAggregation(&plan.Aggregate{Keys: c.keys, Aggs: built.aggs}, built.in, built.out)
	table := a.NewTable()
	table.Add(c.batch(fireRows(50, 10, 1), 0, 50, false))
	s := segmentOf(t, []*Table{table})
	whole, err := os.ReadFile(s.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "damaged")
	for at := int(s.size); at < len(whole); at++ {
		data := slices.Clone(whole)
		data[at] ^= 0x40
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSegment(name); err == nil {
			t.Errorf("byte %d of %d flipped: no error", at, len(whole))
		}
	}
	for size := range len(whole) {
		if err := os.WriteFile(name, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSegment(name); err == nil {
			t.Errorf("cut to %d of %d bytes: no error", size, len(whole))
		}
	}
}
