package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leat-project/leat/diag"
)

// watchStop lets a stream end that cannot stop at a checkpoint, as a sink is down or the disk is full: while it still begins at once, later when the time is
// up. running is closed when rows are read.
func (s *stream) watchStop(ctx context.Context, running <-chan struct{}, cancel context.CancelCauseFunc) {
	select {
	case <-s.opts.Stop:
	case <-ctx.Done():
		return
	}
	select {
	case <-running:
	default:
		cancel(context.Canceled)
		return
	}
	if s.opts.StopTimeout <= 0 {
		return
	}
	select {
	case <-time.After(s.opts.StopTimeout):
		cancel(&stopFailure{diag.Failure{Code: diag.CannotStop, Err: fmt.Errorf("the stream could not stop at a checkpoint within %s%s", s.opts.StopTimeout, s.waits()),
			Hint: "The last checkpoint before it is whole: the next run goes on from there, and nothing is lost."}})
	case <-ctx.Done():
	}
}

// stopFailure is the end of a stream that could not stop. What else fails, fails because of it, in any worker: it is no failure of a node's.
type stopFailure struct{ diag.Failure }

// Unwrap hides that of the failure.
func (f *stopFailure) Unwrap() error { return context.Canceled }

// ending returns the error that ended the stream.
func ending(ctx context.Context, err error) error {
	var f *stopFailure
	if err != nil && errors.As(context.Cause(ctx), &f) {
		return &f.Failure
	}
	return err
}

// waits says where a worker has been for long, ": transform "Send" has a batch since 12s".
func (s *stream) waits() string {
	longest, text := leastStall/2, ""
	for _, w := range s.workers {
		if n, since := w.where(s.clock()); since > longest {
			longest, text = since, fmt.Sprintf(": transform %q has had a batch for %s", n.Name, since.Round(time.Second))
		}
	}
	if text == "" && s.figures.pending.Load() != 0 {
		text = fmt.Sprintf(": checkpoint %d waits for a sink or the disk", s.figures.epoch.Load()+1)
	}
	return text
}

// watchStuck says when a stream makes no checkpoint though one has been due for long, and when it goes on.
func (s *stream) watchStuck(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		stuck := s.stuck(s.clock())
		if was := s.figures.stuck.Swap(stuck); was == stuck {
			continue
		}
		if stuck {
			s.opts.Notify("WARNING", "nothing goes on"+s.waits())
		} else {
			s.opts.Notify("INFO", "it goes on")
		}
	}
}

// stuck reports whether the checkpoint that is due waits for a worker that is not done with its piece.
func (s *stream) stuck(now time.Time) bool {
	due := s.figures.due.Load()
	return due != 0 && s.figures.pending.Load() == 0 && s.changed.Load() && now.Sub(time.Unix(0, due)) > max(stallIntervals*s.opts.Interval, leastStall)
}
