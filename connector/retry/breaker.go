package retry

import (
	"context"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
)

// State is that of a Breaker.
type State uint8

// The states.
const (
	Closed   State = iota // calls go
	HalfOpen              // one call goes, to see whether the server is there again
	Open                  // no call goes
)

// String names the state.
func (s State) String() string { return [...]string{"closed", "half open", "open"}[s] }

// Result is how a call ended, as a Breaker sees it.
type Result uint8

// The results.
const (
	Unknown Result = iota // the call was given up
	Up                    // the server answered
	Down                  // it did not, or said that it cannot
)

// DefaultFailures and DefaultPause are those of a Breaker for which nothing is configured.
const (
	DefaultFailures = 10
	DefaultPause    = 30 * time.Second
)

// Breaker keeps calls from a server that has failed several times in a row. After a pause it lets one call through: when that works all go
// again, else the pause begins anew. It is safe for use by many goroutines.
type Breaker struct {
	failures int
	pause    time.Duration

	mu      sync.Mutex
	state   State
	row     int           // failures in a row
	until   time.Time     // of Open
	opened  int64         // how often
	changed chan struct{} // closed when the state changes
}

// NewBreaker returns a breaker that opens after so many failures in a row, for a pause. Without failures it never opens.
func NewBreaker(failures int, pause time.Duration) *Breaker {
	return &Breaker{failures: failures, pause: pause, changed: make(chan struct{})}
}

// Enter waits until a call may go. Where it returns nil, Leave must follow.
func (b *Breaker) Enter(ctx context.Context) error {
	for {
		wait, changed := b.try()
		if changed == nil {
			return nil
		}
		if err := sleepOr(ctx, wait, changed); err != nil {
			return err
		}
	}
}

// try enters where it can (changed is nil then), else says what to wait for; a wait of 0 is for the change alone.
func (b *Breaker) try() (wait time.Duration, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.state {
	case Closed:
		return 0, nil
	case Open:
		if wait = time.Until(b.until); wait > 0 {
			return wait, b.changed
		}
		b.set(HalfOpen)
		return 0, nil
	}
	return 0, b.changed
}

func sleepOr(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	var passed <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		passed = timer.C
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-passed:
	case <-changed:
	}
	return nil
}

// Leave says how a call ended that Enter let go.
func (b *Breaker) Leave(r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch r {
	case Up:
		b.row = 0
		if b.state != Closed {
			b.set(Closed)
		}
	case Down:
		b.row++
		// Calls that began before it opened may still fail: they do not make the pause longer.
		if b.state == HalfOpen || b.state == Closed && b.failures > 0 && b.row >= b.failures {
			b.open(b.pause)
			b.opened++
		}
	case Unknown:
		if b.state == HalfOpen {
			b.open(0) // the next one may try
		}
	}
}

func (b *Breaker) open(pause time.Duration) {
	b.until = time.Now().Add(pause)
	b.set(Open)
}

// set changes the state and wakes those who wait for that.
func (b *Breaker) set(s State) {
	b.state = s
	close(b.changed)
	b.changed = make(chan struct{})
}

// State returns the state.
func (b *Breaker) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Metrics returns the state and how often the breaker opened.
func (b *Breaker) Metrics() []catalog.Metric {
	b.mu.Lock()
	defer b.mu.Unlock()
	return []catalog.Metric{
		{Name: "breaker_state", Help: "Whether the server counts as down: 0 no (closed), 1 one call tries (half open), 2 yes (open).", Value: float64(b.state)},
		{Name: "breaker_opened_total", Help: "How often the server counted as down.", Value: float64(b.opened), Counter: true},
	}
}
