package main

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// rule says by which of AI4I's rules a reading is a failure, if any.
func rule(c *cut) string {
	strain := map[string]float64{"L": 11000, "M": 12000, "H": 13000}[c.grade]
	switch {
	case math.IsNaN(c.torque):
		return "unmeasured"
	case c.process-c.air < 8.6 && c.rpm < 1380:
		return "heat"
	case c.watts() < 3500:
		return "weak"
	case c.watts() > 9000:
		return "strong"
	case c.wear*c.torque > strain:
		return "strain"
	}
	return ""
}

// TestMills wants each mill to have the trouble that the demo says, and hardly another.
func TestMills(t *testing.T) {
	want := map[int]string{2: "heat", 3: "unmeasured", 4: "strain", 6: "strong", 7: "weak"}
	for n := 1; n <= mills; n++ {
		day := millDay(n, 7)
		if len(day) < 8639 || len(day) > 8640 {
			t.Errorf("mill-%d: %d readings, want one every ten seconds", n, len(day))
		}
		found := map[string]int{}
		for i := range day {
			if r := rule(&day[i]); r != "" {
				found[r]++
			}
		}
		t.Logf("mill-%d: %v", n, found)
		if kind := want[n]; kind != "" && (found[kind] < 30 || found[kind] > 400) {
			t.Errorf("mill-%d: %d readings of %q", n, found[kind], kind)
		}
		delete(found, want[n])
		for _, kind := range slices.Sorted(maps.Keys(found)) {
			if found[kind] > 10 {
				t.Errorf("mill-%d: %d readings of %q", n, found[kind], kind)
			}
		}
	}
}

// TestMillsSeed wants the same bytes for the same seed, in the order of time.
func TestMillsSeed(t *testing.T) {
	var a, b bytes.Buffer
	n, err := writeMills(&a, 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeMills(&b, 7); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same seed gave other readings")
	}
	var times []string
	for _, line := range strings.Split(strings.TrimSpace(a.String()), "\n") {
		_, rest, _ := strings.Cut(line, `"time":"`)
		times = append(times, rest[:24])
	}
	if len(times) != n || !slices.IsSorted(times) {
		t.Errorf("%d lines, %d said; sorted by time: %v", len(times), n, slices.IsSorted(times))
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := table(&b, "testdata/table.csv"); err != nil {
		t.Fatal(err)
	}
	if want := "   a      hour\n   1      x\n   1      y\n   long   z\n"; b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if err := table(&b, "testdata/none.csv"); err == nil {
		t.Error("a file that is not there is shown")
	}
}
