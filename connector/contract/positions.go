package contract

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
)

// resume is what a reader begins with.
func (p *Place) resume(t *testing.T, positions map[string]string) catalog.Resume {
	t.Helper()
	return catalog.Resume{Job: p.job, Name: "Read", Dir: p.dir, Positions: maps.Clone(positions)}
}

// found are the names of all items, sorted.
func found(pieces []*piece) []string {
	var out []string
	for _, p := range pieces {
		for _, i := range p.items {
			out = append(out, i.name)
		}
	}
	slices.Sort(out)
	return out
}

// wantSame compares all that came, each as often as it should.
func wantSame(t *testing.T, what string, pieces []*piece, want []string) {
	t.Helper()
	got := found(pieces)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d came, wanted %d\nmissing: %q\ntoo many: %q", what, len(got), len(want), less(want, got), less(got, want))
	}
}

// less returns some of what is in a and not in b, as often as it is so.
func less(a, b []string) (out []string) {
	have := map[string]int{}
	for _, s := range b {
		have[s]++
	}
	for _, s := range a {
		if have[s]--; have[s] < 0 && len(out) < 5 {
			out = append(out, s)
		}
	}
	return out
}

// wantPart waits for the good rows. A bad message may be a row where nothing of it is decoded.
func wantPart(t *testing.T, r *reading, want []string) {
	t.Helper()
	pieces := r.take(len(want))
	good := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return strings.HasPrefix(s, "bad ") })
	if missing := less(good, found(pieces)); len(missing) > 0 {
		t.Errorf("missing: %q", missing)
	}
	if n := len(found(pieces)); n != len(want) {
		t.Errorf("%d rows and bad records, wanted %d", n, len(want))
	}
}

// place is where an item stands in the order of the source.
type place struct {
	seq int64
	row int32
}

// order returns the places of items, after a look at the morsels: Seq and Position.
func order(t *testing.T, pieces []*piece) map[string]place {
	t.Helper()
	at := map[string]place{}
	last := map[string]int64{}
	for _, p := range pieces {
		if p.position == "" {
			t.Fatalf("a morsel of partition %q has no position", p.partition)
		}
		if before, ok := last[p.partition]; ok && p.seq <= before {
			t.Errorf("partition %q: Seq %d after %d", p.partition, p.seq, before)
		}
		last[p.partition] = p.seq
		rows := map[int32]bool{}
		for _, i := range p.items {
			if rows[i.row] {
				t.Errorf("two rows of morsel %d are number %d", p.seq, i.row)
			}
			rows[i.row] = true
			at[i.name] = place{p.seq, i.row}
		}
	}
	return at
}

// wantOrder compares the order of two readings, of those items that both have.
func wantOrder(t *testing.T, what string, first, second map[string]place) {
	t.Helper()
	sorted := func(of, and map[string]place) []string {
		var out []string
		for name := range of {
			if _, both := and[name]; both {
				out = append(out, name)
			}
		}
		slices.SortFunc(out, func(a, b string) int {
			return cmp.Or(cmp.Compare(of[a].seq, of[b].seq), cmp.Compare(of[a].row, of[b].row))
		})
		return out
	}
	a, b := sorted(first, second), sorted(second, first)
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("%s: in the order of Seq and row, number %d is %q at first, and %q now", what, i, a[i], b[i])
			return
		}
	}
	for _, name := range a {
		if x, y := first[name], second[name]; x.row == 0 && y.row == 0 && x.seq != y.seq {
			t.Errorf("%s: the morsel that begins with %q has Seq %d at first, and %d now", what, name, x.seq, y.seq)
			return
		}
	}
}

// positions are those after the first n morsels.
func positions(pieces []*piece) map[string]string {
	out := map[string]string{}
	for _, p := range pieces {
		out[p.partition] = p.position
	}
	return out
}

// sameReadings: what is read again is the same, in the same order.
func (c *SourceCase) sameReadings(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.begin(t, c, nil, nil)
	all := names(p.add(t, c, 150))
	pieces := r.take(len(all))
	wantSame(t, "the first reading", pieces, all)
	first := order(t, pieces)
	r.stop()
	for i := range 2 {
		what := fmt.Sprintf("reading %d", i+2)
		r = p.begin(t, c, nil, nil)
		all = append(all, names(p.add(t, c, 10*i))...)
		pieces = r.take(len(all))
		wantSame(t, what, pieces, all)
		wantOrder(t, what, first, order(t, pieces))
		r.stop()
	}
}

// resumeAnywhere: after any morsel, the rest comes, and nothing else.
func (c *SourceCase) resumeAnywhere(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.begin(t, c, nil, nil)
	all := names(p.add(t, c, 150))
	pieces := r.take(len(all))
	wantSame(t, "the first reading", pieces, all)
	first := order(t, pieces)
	r.stop()
	cuts := []int{0, 1, len(pieces) / 4, len(pieces) / 2, len(pieces) * 3 / 4, len(pieces) - 1, len(pieces)}
	for _, cut := range slices.Compact(cuts) {
		what := fmt.Sprintf("after %d of %d morsels", cut, len(pieces))
		r := p.begin(t, c, positions(pieces[:cut]), nil)
		all = append(all, names(p.add(t, c, 2*p.Parts))...) // whatever came twice would stand before these
		known := found(pieces[:cut])
		got := r.take(len(all) - len(known))
		r.stop()
		rest := slices.Clone(all)
		for _, name := range known {
			i := slices.Index(rest, name)
			rest = slices.Delete(rest, i, i+1)
		}
		wantSame(t, what, got, rest)
		wantOrder(t, what, first, order(t, got))
	}
	chain := map[string]string{} // one morsel a life
	var got []*piece
	for i := range 5 {
		r := p.begin(t, c, chain, nil)
		if i == 0 {
			all = append(all, names(p.add(t, c, 1))...)
		}
		some := r.take(1)
		r.stop()
		if len(some) == 0 || len(some[0].items) == 0 && len(some) < 2 {
			break
		}
		some = some[:1+slices.IndexFunc(some, func(p *piece) bool { return len(p.items) > 0 })]
		maps.Copy(chain, positions(some))
		got = append(got, some...)
		if len(found(got)) == len(all) {
			break
		}
	}
	if more := less(found(got), all); len(more) > 0 {
		t.Errorf("in lives of one morsel each, too many: %q", more)
	}
}

// partitions: they are known, and say when they are caught up with.
func (c *SourceCase) partitions(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.begin(t, c, nil, nil)
	pieces := r.take(len(p.add(t, c, 60)))
	parted := r.reader.(catalog.Partitioned)
	seen := slices.Sorted(maps.Keys(positions(pieces)))
	if len(seen) < p.Parts {
		t.Errorf("rows came from partitions %q, and there are %d", seen, p.Parts)
	}
	for _, name := range seen {
		if !slices.Contains(parted.Partitions(), name) {
			t.Errorf("rows came from %q, which is not among the partitions %q", name, parted.Partitions())
		}
		for deadline := time.Now().Add(patience); !parted.CaughtUp(t.Context(), name); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%q is never caught up with", name)
			}
		}
	}
	r.stop()
	r = p.open(t, c, nil)
	if err := r.reader.(catalog.Resumable).Resume(t.Context(), p.resume(t, nil)); err != nil {
		t.Fatal(err)
	}
	parted = r.reader.(catalog.Partitioned)
	for _, name := range seen {
		if parted.CaughtUp(t.Context(), name) {
			t.Errorf("%q is caught up with, and nothing of it has been read", name)
		}
	}
	r.close()
}

// acknowledge: what is acknowledged is not asked for again, and all else is there.
func (c *SourceCase) acknowledge(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	tell := func(r *reading, at map[string]string) {
		t.Helper()
		if err := r.reader.(catalog.Acknowledger).Acknowledge(t.Context(), at); err != nil {
			t.Errorf("Acknowledge: %v", err)
		}
	}
	r := p.begin(t, c, nil, nil)
	all := names(p.add(t, c, 100))
	pieces := r.take(len(all))
	wantSame(t, "the first reading", pieces, all)
	half := pieces[:(len(pieces)+1)/2]
	tell(r, positions(half[:(len(half)+1)/2]))
	tell(r, positions(half))
	tell(r, positions(half)) // once more
	r.stop()

	r = p.begin(t, c, positions(half), nil)
	known := found(half)
	all = append(all, names(p.add(t, c, 2*p.Parts))...)
	rest := r.take(len(all) - len(known))
	wantSame(t, "with the rest", append(slices.Clone(half), rest...), all)
	end := positions(half)
	maps.Copy(end, positions(rest))
	tell(r, end)
	r.stop()

	r = p.begin(t, c, end, nil)
	more := names(p.add(t, c, 2*p.Parts))
	wantSame(t, "after all was acknowledged", r.take(len(more)), more)
	r.stop()
}
