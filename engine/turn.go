package engine

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/plan"
)

// turnShare is by how many times the workers run longer than the turns take, where turns are only due because windows end.
const turnShare = 4

// maxTurnPause limits how long a window that has ended may wait for that.
const maxTurnPause = time.Second

// turnIfDue makes a turn if a window has ended, a trigger is due, or a checkpoint is, and returns when to look again at the latest.
func (s *stream) turnIfDue(ctx context.Context) (wait time.Duration, err error) {
	now := s.clock()
	take := s.takeDue(now)
	if !take {
		if pause := s.turnAt.Add(min(turnShare*s.turnTook, maxTurnPause)).Sub(now); pause > 0 {
			return pause, nil
		}
		if due, next := s.fireDue(now); !due {
			return min(next, s.untilTake(now)), nil
		}
	}
	defer s.queue.resume()
	if err := s.quiesce(ctx); err != nil {
		return 0, err
	}
	began := s.clock()
	if err := s.advance(ctx, false); err != nil {
		return 0, err
	}
	if err := s.flush(ctx); err != nil {
		return 0, err
	}
	if take {
		if err := s.takeCheckpoint(ctx); err != nil {
			return 0, err
		}
	}
	s.turnAt = s.clock()
	s.turnTook = s.turnAt.Sub(began)
	s.figures.turns.Add(1)
	if s.turnTook > traceTurns {
		s.opts.Trace("turn", began, s.turnAt, map[string]any{"checkpoint": take}, nil)
	}
	return min(turnShare*s.turnTook, maxTurnPause), nil // then it is seen what is due next: the turn may have started delays
}

// traceTurns is how long a turn takes that is told of.
const traceTurns = 10 * time.Millisecond

// look is how often the coordinator looks at what no worker tells it of.
const look = 100 * time.Millisecond

// fireDue reports whether a window would fire. What it reads of the watermarks is a guess: rows may be under way that a tracker has seen and the
// state has not. At the turn it holds.
func (s *stream) fireDue(now time.Time) (due bool, wait time.Duration) {
	wait = s.opts.Interval
	marks := make([]int64, len(s.nodes))
	for i, n := range s.nodes {
		in := endMark
		for _, ref := range n.In {
			in = min(in, marks[ref.Node])
		}
		marks[i] = n.guess(in)
		if n.keyed != nil && n.keyed.due(in) {
			due = true
		}
		if n.agg == nil {
			continue
		}
		if fresh := n.fresh.Load(); in > n.inMark && min(n.next, n.nextEnd(fresh)) <= in {
			due = true
		}
		if delayed, at := n.delays(now); delayed {
			if !at.After(now) {
				due = true
			}
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	if s.idleMatters() {
		wait = min(wait, look)
	}
	return due, wait
}

// idleMatters reports whether a watermark may change by silence alone.
func (s *stream) idleMatters() bool {
	for _, n := range s.nodes {
		if n.tracker != nil && n.tracker.per >= 0 {
			return true
		}
	}
	return false
}

// guess returns the watermark that a node would put out now.
func (n *node) guess(in int64) int64 {
	if n.tracker == nil {
		return max(in, n.mark)
	}
	if at, ok := n.tracker.mark(n.feeds); ok {
		return max(at, n.mark)
	}
	return n.mark
}

// nextEnd returns the end of the first window that rows belong to whose group ends then.
func (n *node) nextEnd(groupEnd int64) int64 {
	if groupEnd >= endMark-1 { // no group is new
		return endMark
	}
	next, ok := n.agg.NextEnd([]int64{groupEnd}, n.inMark)
	if !ok {
		return endMark
	}
	return next
}

// delays returns when windows fire because of the time that has passed, or the rows that have come.
func (n *node) delays(now time.Time) (any bool, at time.Time) {
	w, touched := n.agg.Windowing(), n.fresh.Load() != endMark
	if touched {
		n.startDelay(now)
	}
	if touched && (w.Early.Count > 0 || w.Late.Count > 0 || w.Lateness > 0) { // whether the rows suffice is seen at the turn
		return true, now
	}
	return !n.early.IsZero(), n.early
}

// startDelay lets the delay of triggers run from when the first row since the last pane is seen.
func (n *node) startDelay(now time.Time) {
	w := n.agg.Windowing()
	delay := w.Early.Delay
	if delay == 0 || w.Late.Delay > 0 && w.Late.Delay < delay {
		delay = w.Late.Delay
	}
	if delay > 0 && n.early.IsZero() {
		n.early = now.Add(time.Duration(delay) * time.Millisecond)
	}
}

// advance moves the watermarks and fires what they pass, node by node in the order of the plan. The workers stand still. With end all windows close.
func (s *stream) advance(ctx context.Context, end bool) error {
	now := s.clock()
	for _, n := range s.nodes {
		in := endMark
		for _, ref := range n.In {
			in = min(in, s.nodes[ref.Node].mark)
		}
		if len(n.In) == 0 {
			in = noMark
		}
		mark := n.guess(in)
		if end {
			in, mark = endMark, endMark
		}
		if n.agg != nil {
			if err := s.fire(ctx, n, max(n.inMark, in), now, end); err != nil {
				return err
			}
		}
		if n.keyed != nil {
			if err := s.fireKeyed(ctx, n, in); err != nil {
				return err
			}
		}
		if !end { // what was closed by the end may go on in another run, with rows that are not late
			n.inMark, n.mark = max(n.inMark, in), max(n.mark, mark)
			n.shown.Store(n.mark)
		}
		if n.threshold != nil {
			if err := n.threshold.passed(in); err != nil {
				return &diag.Failure{Code: diag.OverThreshold, Place: n.Place, Transform: n.Name, Err: err}
			}
		}
	}
	return nil
}

// drifts reports whether a source has to wait: it is too far ahead of the slowest, or what was read cannot be put out.
func (s *stream) drifts(f *feed) bool {
	if s.stalled() {
		return true
	}
	if s.opts.MaxDrift <= 0 || len(s.feeds) < 2 {
		return false
	}
	own, least := int64(math.MinInt64), endMark
	for _, g := range s.feeds {
		at, ok := s.reached(g)
		switch {
		case g == f:
			own = at
		case ok:
			least = min(least, at)
		}
	}
	return own != noMark && least != endMark && own > least && (least == noMark || own-least > s.opts.MaxDrift.Milliseconds())
}

// stalled reports whether a checkpoint has been on its way for so long that no more is to be read: a sink is down, or the disk is full. What is read
// meanwhile goes to memory and disk, which have an end.
func (s *stream) stalled() bool {
	since := s.figures.pending.Load()
	if since == 0 || s.clock().Sub(time.Unix(0, since)) < max(stallIntervals*s.opts.Interval, leastStall) {
		return false
	}
	if s.figures.stalled.CompareAndSwap(false, true) {
		s.opts.Notify("WARNING", fmt.Sprintf("checkpoint %d waits for a sink or the disk: nothing more is read until it is done", s.figures.epoch.Load()+1))
	}
	return true
}

// For how many intervals, and for how long at the least, sources are read on while a checkpoint is on its way.
const (
	stallIntervals = 10
	leastStall     = 10 * time.Second
)

// reached is how far a source is in event time: by the watermark after it where one is made there, else by its own; ok is false where it is idle or has
// ended.
func (s *stream) reached(f *feed) (at int64, ok bool) {
	of := f.n
	for _, n := range s.nodes {
		if op, assigns := n.Op.(*plan.AssignTime); assigns && op.Watermark != nil && len(n.feeds) == 1 && n.feeds[0] == f {
			of = n
			break
		}
	}
	at, ok = of.tracker.mark(of.feeds)
	return at, ok && at != endMark && !f.idle()
}
