package engine

import (
	"strings"
	"testing"
	"time"
)

// TestStalled lets sources wait while a checkpoint is on its way for too long, and says so once.
func TestStalled(t *testing.T) {
	now := time.Unix(1000, 0)
	var said []string
	s := newStream(&run{opts: Options{Stream: StreamOptions{Interval: 2 * time.Second, Notify: func(level, text string) { said = append(said, level+" "+text) }}}})
	s.clock = func() time.Time { return now }
	f := &feed{}
	if s.drifts(f) {
		t.Error("a source waits though no checkpoint is on its way")
	}
	s.pending = &pending{}
	s.figures.pending.Store(now.UnixNano())
	for _, test := range []struct {
		after time.Duration
		waits bool
	}{{0, false}, {19 * time.Second, false}, {20 * time.Second, true}, {time.Hour, true}} {
		now = time.Unix(1000, 0).Add(test.after)
		if got := s.drifts(f); got != test.waits {
			t.Errorf("after %s: %v", test.after, got)
		}
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "WARNING checkpoint 1 ") {
		t.Errorf("said %q", said)
	}
}
