package retry

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-project/leat/catalog"
)

var errDown = errors.New("down")

// The tests run in a bubble whose clock goes on when all goroutines wait: no test waits for the machine's.

func TestPausesGrowAndAreJittered(t *testing.T) {
	p := Policy{First: time.Second, Most: 10 * time.Second}
	for failures, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second} {
		seen := map[time.Duration]bool{}
		for range 50 {
			d := p.Pause(failures)
			if d < most/2 || d > most {
				t.Fatalf("after %d failures: a pause of %v, wanted between %v and %v", failures, d, most/2, most)
			}
			seen[d] = true
		}
		if len(seen) < 2 {
			t.Errorf("after %d failures: all pauses are alike", failures)
		}
	}
	if d := (Policy{}).Pause(100); d < DefaultMost/2 || d > DefaultMost {
		t.Errorf("without configuration: a pause of %v", d)
	}
}

func TestDo(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name  string
		c     Caller
		fails []error // of one call after another; then nil
		calls int
		want  error
		least time.Duration
	}{
		{name: "works", calls: 1},
		{name: "works later", fails: []error{errDown, errDown}, calls: 3, least: 750 * time.Millisecond},
		{name: "permanent", fails: []error{errDown, Permanent(boom)}, calls: 2, want: boom},
		{name: "attempts", c: Caller{Policy: Policy{Attempts: 3}}, fails: []error{errDown, errDown, errDown, errDown}, calls: 3, want: errDown},
		{name: "asked to wait", fails: []error{After(errDown, time.Minute)}, calls: 2, least: time.Minute},
		{name: "asked to wait too long", fails: []error{After(errDown, 1000*time.Hour)}, calls: 2, least: time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, began := 0, time.Now()
				err := test.c.Do(t.Context(), func(context.Context) error {
					calls++
					if calls <= len(test.fails) {
						return test.fails[calls-1]
					}
					return nil
				})
				if !errors.Is(err, test.want) {
					t.Errorf("error %v, wanted %v", err, test.want)
				}
				if calls != test.calls {
					t.Errorf("%d calls, wanted %d", calls, test.calls)
				}
				if passed := time.Since(began); passed < test.least || passed > 2*test.least+2*time.Hour {
					t.Errorf("%v passed on the bubble's clock, wanted at least %v", passed, test.least)
				}
			})
		})
	}
}

func TestDoEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := &Caller{}
		failed := 0
		c.Failed = func(error) { failed++ }
		err := c.Do(ctx, func(context.Context) error { return errDown })
		if !errors.Is(err, context.DeadlineExceeded) || failed < 3 {
			t.Errorf("error %v after %d failures", err, failed)
		}
	})
}

func TestExhaustedSaysHowOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Caller{Policy: Policy{Attempts: 2}}
		err := c.Do(t.Context(), func(context.Context) error { return errDown })
		var e *Exhausted
		if !errors.As(err, &e) || e.Attempts != 2 || !strings.Contains(err.Error(), "tried 2 times: down") {
			t.Errorf("error %v", err)
		}
	})
}

func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker(3, time.Minute)
		call := func(r Result) {
			t.Helper()
			if err := b.Enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.Leave(r)
		}
		call(Down)
		call(Down)
		call(Up) // a success begins the count anew
		call(Down)
		call(Down)
		if b.State() != Closed {
			t.Fatalf("%v after two failures in a row", b.State())
		}
		call(Down)
		if b.State() != Open {
			t.Fatalf("%v after three failures in a row", b.State())
		}
		began := time.Now()
		call(Down) // waits for the pause, tries, and opens again
		if time.Since(began) != time.Minute || b.State() != Open {
			t.Fatalf("%v after %v", b.State(), time.Since(began))
		}
		call(Up)
		if time.Since(began) != 2*time.Minute || b.State() != Closed {
			t.Fatalf("%v after %v", b.State(), time.Since(began))
		}
		if m := b.Metrics(); m[0].Value != 0 || m[1].Value != 2 {
			t.Errorf("metrics %+v", m)
		}
	})
}

func TestHalfOpenLetsOneThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker(1, time.Minute)
		if err := b.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Leave(Down)
		var mu sync.Mutex
		inside, most, done := 0, 0, 0
		first := true
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if b.Enter(t.Context()) != nil {
					return
				}
				mu.Lock()
				inside++
				if first {
					most = max(most, inside)
				}
				mine := first
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				if mine {
					first = false
				}
				inside--
				done++
				mu.Unlock()
				b.Leave(Up)
			})
		}
		wg.Wait()
		if most != 1 || done != 20 {
			t.Errorf("%d calls while half open, %d in all", most, done)
		}
	})
}

func TestTrialThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBreaker(1, time.Minute)
		_ = b.Enter(t.Context())
		b.Leave(Down)
		_ = b.Enter(t.Context())
		b.Leave(Unknown)
		began := time.Now()
		if err := b.Enter(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("error %v after %v: the next call has to try at once", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Enter(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCallerUsesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Caller{Breaker: NewBreaker(2, time.Hour), Policy: Policy{First: time.Millisecond, Most: time.Millisecond}}
		began, calls := time.Now(), 0
		err := c.Do(t.Context(), func(context.Context) error {
			if calls++; calls <= 2 {
				return errDown
			}
			return nil
		})
		if err != nil || calls != 3 || time.Since(began) < time.Hour {
			t.Errorf("error %v after %d calls and %v", err, calls, time.Since(began))
		}
		boom := errors.New("boom")
		for range 5 { // an answer that says no is an answer
			if err := c.Do(t.Context(), func(context.Context) error { return Permanent(boom) }); !errors.Is(err, boom) {
				t.Fatal(err)
			}
		}
		if c.Breaker.State() != Closed {
			t.Errorf("%v", c.Breaker.State())
		}
	})
}

func TestFromConfig(t *testing.T) {
	c, err := FromConfig(map[string]any{
		"retry":   map[string]any{"attempts": int64(5), "first": "2s"},
		"breaker": map[string]any{"failures": int64(7), "pause": int64(9)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Policy{Attempts: 5, First: 2 * time.Second, Most: time.Minute}); c.Policy != want {
		t.Errorf("policy %+v", c.Policy)
	}
	if c.Breaker.failures != 7 || c.Breaker.pause != 9*time.Second {
		t.Errorf("breaker %+v", c.Breaker)
	}
	for name, config := range map[string]map[string]any{
		`"attempts" wants`:     {"retry": map[string]any{"attempts": int64(0)}},
		`wanted a duration`:    {"retry": map[string]any{"first": "soon"}},
		`above 0`:              {"breaker": map[string]any{"pause": "0s"}},
		`is less than "first"`: {"retry": map[string]any{"first": "5s", "most": "1s"}},
		`wanted a map`:         {"breaker": "yes"},
	} {
		_, err := FromConfig(config)
		var p *catalog.Problem
		if err == nil || !errors.As(err, &p) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: error %v, wanted %q", config, err, name)
		}
	}
}
