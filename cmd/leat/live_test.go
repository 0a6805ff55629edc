package main

import (
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/engine"
)

func TestLiveLines(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds int, rows, done int64) sample {
		return sample{at: start.Add(time.Duration(seconds) * time.Second), nodes: []engine.NodeProgress{
			{Name: "Read", Kind: "source", Rows: rows, Done: done, Total: 1000},
			{Name: "Filter", Kind: "filter", Rows: rows / 2, Total: -1},
			{Name: "A writer with quite a long name", Kind: "sink", Rows: rows / 2, Total: -1},
		}}
	}
	got := liveLines([]sample{at(2, 1_000_000, 200), at(4, 3_000_000, 400)}, start, 120)
	want := []string{
		"→ Read                                  3,000,000 rows    1,000,000/s  ████████░░░░░░░░░░░░  40%  6 s left",
		"← A writer with quite a long name       1,500,000 rows      500,000/s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, line := range liveLines([]sample{at(1, 1, 1)}, start, 40) {
		if n := len([]rune(line)); n >= 40 {
			t.Errorf("%q has %d characters, wanted fewer than the terminal's 40", line, n)
		}
	}
}
