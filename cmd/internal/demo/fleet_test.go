package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestFleet wants the stream to be the same for a seed, mostly well formed, and to hold what the demo is about.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("generates the whole stream")
	}
	var a bytes.Buffer
	n, err := writeFleet(&a, 7)
	if err != nil {
		t.Fatal(err)
	}
	once, again := fleet()[1], fleet()[1]
	once.rng, again.rng = rand.New(rand.NewPCG(7, 1)), rand.New(rand.NewPCG(7, 1))
	if !slices.Equal(once.run(), again.run()) {
		t.Error("the same seed gave other events")
	}
	var malformed, nulls, unordered, faults int
	last := ""
	for _, line := range strings.Split(strings.TrimSpace(a.String()), "\n") {
		var r struct {
			Machine, Time, Status string
			Temperature           *float64
		}
		if json.Unmarshal([]byte(line), &r) != nil {
			malformed++
			continue
		}
		if r.Temperature == nil {
			nulls++
		}
		if r.Time < last {
			unordered++
		}
		if r.Status == "fault" {
			faults++
		}
		last = r.Time
	}
	if n < 250_000 || n > 350_000 {
		t.Errorf("%d lines, want about 300,000", n)
	}
	for what, count := range map[string]int{"malformed": malformed, "nulls": nulls, "unordered": unordered, "faults": faults} {
		if count < 50 || count > n/10 {
			t.Errorf("%s: %d of %d lines", what, count, n)
		}
	}
}
