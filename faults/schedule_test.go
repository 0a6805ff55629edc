package faults

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// TestFaultSchedule stops leat in order at random moments, and lets it go on with another number of workers each time.
func TestFaultSchedule(t *testing.T) {
	f := newFeed(t, "schedule", 10)
	stops, rows := scale(100), scale(1_000_000)
	dir := t.TempDir()
	file, job := f.pipeline(dir, nil)
	rng := rand.New(rand.NewPCG(11, 11))
	for range stops {
		p := start(t, dir, file, "--parallelism", strconv.Itoa(1+rng.IntN(8)))
		f.send(rows / stops)
		time.Sleep(time.Duration(rng.IntN(700)) * time.Millisecond)
		p.stop(t)
	}
	t.Logf("%d stops, each followed by another number of workers", stops)
	f.finish(dir, file, job)
}
