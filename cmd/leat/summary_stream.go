package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/leat-project/leat/engine"
)

// streamEnd is how a stream went, for its summary; nil: the run was none.
type streamEnd struct {
	job         string
	checkpoints int64
	failures    int64
	epoch       int64
	stopped     bool // it was told to stop; else its input ended
	drained     bool
}

// endOf says how a stream went that has ended well.
func endOf(o *engine.Options) *streamEnd {
	s, ok := o.Progress.Stream()
	if !ok {
		return nil
	}
	e := &streamEnd{job: o.Stream.Job, checkpoints: s.Checkpoints, failures: s.Failures, epoch: s.Epoch}
	select {
	case <-o.Stream.Stop:
		e.stopped, e.drained = true, o.Stream.Drain
	default:
	}
	return e
}

// lateRows sums the rows that came too late, and those that were set aside as too far in the future.
func lateRows(nodes []engine.NodeProgress) (late, ahead int64) {
	for _, n := range nodes {
		late, ahead = late+n.Late, ahead+n.Ahead
	}
	return late, ahead
}

// streamLines say what a stream did beside its rows.
func streamLines(result *engine.Result, e *streamEnd) []string {
	var lines []string
	late, ahead := lateRows(result.Nodes)
	if text := lateText(late, ahead); text != "" {
		lines = append(lines, text)
	}
	made := count64(e.checkpoints, "checkpoint") + " made"
	if e.failures > 0 {
		made += ", after " + count64(e.failures, "try") + " that failed"
		made = strings.Replace(made, "trys", "tries", 1)
	}
	lines = append(lines, made)
	switch {
	case e.drained:
		lines = append(lines, fmt.Sprintf("stopped at the checkpoint of epoch %d: all windows are closed", e.epoch))
	case e.stopped:
		lines = append(lines, fmt.Sprintf("stopped at the checkpoint of epoch %d: the next run goes on from there", e.epoch))
	}
	return lines
}

// lateText counts rows that windows did not take; "": there are none.
func lateText(late, ahead int64) string {
	var parts []string
	if late > 0 {
		parts = append(parts, count64(late, "row")+" came late")
	}
	if ahead > 0 {
		parts = append(parts, count64(ahead, "row")+" too far in the future set aside")
	}
	return strings.Join(parts, ", ")
}

// lateEvery is how often late rows are told of while a stream runs, at the most.
const lateEvery = 10 * time.Second

// lateWatch tells of late rows while they come.
type lateWatch struct {
	done chan struct{}
	wait sync.WaitGroup
}

func watchLate(log *reporter, progress *engine.Progress, every time.Duration) *lateWatch {
	w := &lateWatch{done: make(chan struct{})}
	w.wait.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		var late, ahead int64
		for {
			select {
			case <-w.done:
				return
			case <-ticker.C:
			}
			if l, a := lateRows(progress.Snapshot()); l > late || a > ahead {
				late, ahead = l, a
				log.late(late, ahead)
			}
		}
	})
	return w
}

func (w *lateWatch) stop() {
	close(w.done)
	w.wait.Wait()
}

// late tells how many rows were late so far. On a terminal the display shows it.
func (r *reporter) late(late, ahead int64) {
	r.locked(func() {
		if r.asJSON {
			writeJSON(r.w, event{Event: "late", Late: late, Future: ahead})
		} else if !isTerminal(r.w) {
			fmt.Fprintf(r.w, "WARNING: %s so far\n", lateText(late, ahead))
		}
	})
}

// started says that a stream begins, and where.
func (r *reporter) started(o engine.StreamOptions) {
	job, epoch := o.Job, int64(0)
	if o.Checkpoint != nil {
		epoch = o.Checkpoint.Epoch
	}
	r.locked(func() {
		if r.asJSON {
			writeJSON(r.w, event{Event: "started", Job: job, Epoch: epoch})
		} else if epoch == 0 {
			fmt.Fprintf(r.w, "INFO: stream %q begins\n", job)
		}
	})
}
