// Package retry tries again what may pass: a server that is down, a time-out, too many requests. Pauses grow and are jittered, so that many
// clients do not come back at once, and a Breaker leaves a server alone that fails again and again.
//
// It knows no protocol: who calls says by Permanent which errors will not pass, and by After how long the server asked to wait. Its main type is
// Caller.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// The pauses where none are configured, and the longest that a server may ask for.
const (
	DefaultFirst = 500 * time.Millisecond
	DefaultMost  = time.Minute
	longestAsked = time.Hour
)

// Policy says how often something is tried, and with what pauses.
type Policy struct {
	Attempts int           // how often in all; 0: for ever
	First    time.Duration // the first pause; 0: DefaultFirst. Each pause is twice the one before
	Most     time.Duration // the longest pause; 0: DefaultMost
}

// Pause returns how long to wait after so many failures, from 1. It is between half of the pause of that rank and all of it.
func (p Policy) Pause(failures int) time.Duration {
	first, most := p.First, p.Most
	if first <= 0 {
		first = DefaultFirst
	}
	if most <= 0 {
		most = max(DefaultMost, first)
	}
	pause := min(first, most)
	for i := 1; i < failures && pause < most; i++ {
		pause = min(2*pause, most)
	}
	return pause/2 + rand.N(pause/2+1)
}

// permanent is an error that will not pass.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that will not pass: it is returned at once. nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether an error is marked so.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

// Plain returns an error without the mark of Permanent.
func Plain(err error) error {
	if p, ok := err.(permanent); ok { // not one that stands within: what is around it says more
		return p.error
	}
	return err
}

// after is an error with the pause that the server asked for.
type after struct {
	error
	pause time.Duration
}

func (a after) Unwrap() error { return a.error }

// After gives an error the least pause that the server asked for; an hour at most counts.
func After(err error, pause time.Duration) error {
	if err == nil || pause <= 0 {
		return err
	}
	return after{err, min(pause, longestAsked)}
}

// Exhausted is the error of something that was tried as often as the policy allows.
type Exhausted struct {
	Attempts int
	Err      error // the last one
}

func (e *Exhausted) Error() string { return fmt.Sprintf("tried %d times: %v", e.Attempts, e.Err) }
func (e *Exhausted) Unwrap() error { return e.Err }

// Caller calls something until it works. The zero Caller tries for ever.
type Caller struct {
	Policy  Policy
	Breaker *Breaker // nil: none
	// Failed is told of each failure that is tried again; nil: nobody is.
	Failed func(err error)
}

// Do calls f until it returns nil, an error marked Permanent (which is returned without the mark), or the policy's last attempt has failed, which gives an
// *Exhausted. It returns the context's error when that is done.
func (c *Caller) Do(ctx context.Context, f func(context.Context) error) error {
	for failures := 1; ; failures++ {
		err := c.attempt(ctx, f)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if IsPermanent(err) {
			return Plain(err)
		}
		if c.Failed != nil {
			c.Failed(err)
		}
		if c.Policy.Attempts > 0 && failures >= c.Policy.Attempts {
			return &Exhausted{Attempts: failures, Err: err}
		}
		// More than was asked for, so that not all come back at that moment.
		if err := Sleep(ctx, c.Policy.Pause(failures)+Asked(err)); err != nil {
			return err
		}
	}
}

// attempt calls f once, when the breaker lets it.
func (c *Caller) attempt(ctx context.Context, f func(context.Context) error) error {
	if c.Breaker == nil {
		return f(ctx)
	}
	if err := c.Breaker.Enter(ctx); err != nil {
		return err
	}
	result := Unknown // where f panics, too
	defer func() { c.Breaker.Leave(result) }()
	err := f(ctx)
	switch {
	case err == nil || IsPermanent(err): // the server answered
		result = Up
	case ctx.Err() == nil:
		result = Down
	}
	return err
}

// Sleep waits for d, or returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Asked returns the pause that the server asked for, or 0.
func Asked(err error) time.Duration {
	var a after
	if errors.As(err, &a) {
		return a.pause
	}
	return 0
}
