package engine

import (
	"context"
	"errors"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// sinkStep encodes rows for the sink's writer.
type sinkStep struct {
	base
	encoder catalog.Encoder
}

func (s *sinkStep) push(ctx context.Context, b *column.Batch, _ int) error {
	if s.w.run.stream != nil && s.in.Window.Kind != plan.Global {
		b = perWindow(s.in.Window, b) // sinks name files by window
	}
	err := s.encoder.Write(ctx, b)
	rows := b.Len()
	var refused catalog.Refused
	if errors.As(err, &refused) {
		rows -= len(refused)
		_, err = s.fail(ctx, b, failuresOf(refused))
	}
	if err != nil {
		return s.n.failure(err)
	}
	s.n.counters.rows.Add(int64(rows))
	if !s.w.read.IsZero() {
		s.w.run.stream.figures.latency.add(time.Since(s.w.read), int64(rows))
	}
	_, err = s.settle(ctx)
	return err
}

// settle hands on what the server has refused of rows that were written before, and says whether there was any.
func (s *sinkStep) settle(ctx context.Context) (any bool, err error) {
	r, ok := s.n.writer.(catalog.Refuser)
	if !ok {
		return false, nil
	}
	refused, err := r.Refusals()
	if err != nil {
		return false, s.n.failure(err)
	}
	for _, of := range refused {
		s.n.counters.rows.Add(-int64(len(of.Rows)))
		if s.in.Window.Kind == plan.Global && s.n.streamNode != nil {
			s.notLate(of.Batch)
		}
		if _, err := s.fail(ctx, of.Batch, failuresOf(of.Rows)); err != nil {
			return true, err
		}
	}
	return len(refused) > 0, nil
}

// notLate lets refused rows not be late where errors are counted by window: those that are known when the watermark has passed have its time.
func (s *sinkStep) notLate(b *column.Batch) {
	mark := s.n.shown.Load()
	if mark == noMark {
		return
	}
	if b.Times == nil {
		b.Times = make([]int64, b.N)
	}
	for i := range b.Times {
		b.Times[i] = max(b.Times[i], mark)
	}
}

func failuresOf(refused catalog.Refused) []kernel.Failure {
	out := make([]kernel.Failure, len(refused))
	for i, r := range refused {
		out[i] = kernel.Failure{Row: r.Row, Err: r.Err}
	}
	return out
}

// settleSink waits until a sink without epochs has all that it was given, and hands on what it refuses to the sinks after it: any says whether there was
// such. The workers stand still.
func (r *run) settleSink(ctx context.Context, n *node) (any bool, err error) {
	_, cuts := n.writer.(catalog.Cutter)
	_, refusals := n.errorsConsumed()
	if w, ok := n.writer.(catalog.Syncer); ok && (refusals || !cuts || r.stream == nil) {
		if err := w.Sync(ctx); err != nil {
			return false, n.failure(err)
		}
	}
	w := r.workers[0]
	any, err = w.steps[n.ID].(*sinkStep).settle(ctx)
	if any && err == nil {
		err = w.flush(ctx)
	}
	return any, err
}

// settleSinks does so for all, in the order of the plan: errors of a sink go to those after it.
func (r *run) settleSinks(ctx context.Context) (any bool, err error) {
	for _, n := range r.nodes {
		if n.writer == nil {
			continue
		}
		of, err := r.settleSink(ctx, n)
		if err != nil {
			return any, err
		}
		any = any || of
	}
	return any, nil
}
