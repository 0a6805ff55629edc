package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/task"
)

// predictRun is one call of predict.
type predictRun struct {
	g         *global
	log       *reporter
	predictor *task.Predictor
	flags     *predictFlags

	out     rowWriter
	states  *states      // of a model that remembers rows; nil: it does not
	read    atomic.Int64 // rows
	written int64        // rows
	failed  int64        // of them
}

// lot is a few rows on their way: what the task takes of them, and what they are called in the output.
type lot struct {
	n      int
	cols   []*column.Vector // for each input of the task; nil where an optional one is not given
	label  func(i int) label
	failed map[int32]error // rows that could not be read; their inputs are null
}

// label is what a row is called in the output.
type label struct {
	input  column.Value // nil: not repeated
	file   string       // that the row is, or came from
	line   int64        // of the file, from 1; 0: unknown
	number int64        // of the file, from 1; 0: unknown
}

// failedLot is one row that could not be read.
func failedLot(l label, err error) *lot {
	return &lot{n: 1, label: func(int) label { return l }, failed: map[int32]error{0: err}}
}

// job is a lot that is being predicted.
type job struct {
	*lot
	rendered rendered      // the rows, as they are written
	err      error         // of the run as a whole
	done     chan struct{} // closed when all is known
}

// manyRows reports whether the arguments may hold many rows: then processors share rows, and not the work on one.
func manyRows(args []string) bool {
	for _, arg := range args {
		if _, err := os.Stat(arg); arg == "-" || err == nil {
			return true
		}
	}
	return len(args) > runtime.GOMAXPROCS(0)
}

// predictAll predicts the rows of all inputs, in their order.
func (r *predictRun) predictAll(ctx context.Context, args []string, open infer.Opener) error {
	r.states = newStates(r.predictor, r.flags)
	sources, err := r.sources(ctx, args)
	if err != nil {
		return err
	}
	r.out = r.newWriter(slices.Contains(args, "-"))
	if err := r.predictor.Start(ctx, open, r.log.line); err != nil {
		return modelError(err)
	}
	bar := startBar(r, sources)
	err = r.pump(ctx, sources)
	bar.stop()
	if err == nil {
		err = r.out.close()
	}
	if closing := r.predictor.Close(); err == nil {
		err = closing
	}
	return err
}

// modelError makes what the runtime says of a model a problem of the model.
func modelError(err error) error {
	var found *infer.Error
	if errors.As(err, &found) {
		return &diag.Problem{Code: diag.BadModel, Text: found.Text, Hint: found.Hint}
	}
	return err
}

// pump reads, predicts and writes at once: one goroutine reads, one for each processor predicts, and lots are written in
// the order in which they were read. It holds two lots for each processor at the most.
func (r *predictRun) pump(ctx context.Context, sources []rowSource) error {
	ctx, cancel := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	if r.states != nil {
		workers = 1 // rows are remembered in their order
	}
	queue, work := make(chan *job, workers), make(chan *job)
	var wait sync.WaitGroup
	var reading error
	wait.Go(func() {
		defer close(queue)
		defer close(work)
		reading = r.readAll(ctx, sources, func(j *job) error {
			for _, to := range []chan *job{queue, work} {
				select {
				case to <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for range workers {
		wait.Go(func() {
			for j := range work {
				j.err = r.work(ctx, j)
				close(j.done)
			}
		})
	}
	err := r.writeAll(ctx, queue)
	cancel()
	wait.Wait()
	if err == nil {
		err = reading
	}
	return err
}

func (r *predictRun) readAll(ctx context.Context, sources []rowSource, pass func(*job) error) error {
	for _, s := range sources {
		err := s.read(ctx, r.predictor.ChunkRows(), func(l *lot) error {
			r.read.Add(int64(l.n))
			return pass(&job{lot: l, done: make(chan struct{})})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// work predicts the rows of a lot and renders them.
func (r *predictRun) work(ctx context.Context, j *job) error {
	var predictions *column.Vector
	var ok []int32
	if j.failed == nil {
		j.failed = map[int32]error{}
	}
	if j.cols != nil {
		var failures []task.Failure
		var err error
		rows := &task.Rows{N: j.n, Cols: j.cols}
		if r.states != nil {
			predictions, ok, failures, err = r.states.predict(ctx, j.lot)
		} else {
			predictions, ok, failures, err = r.predictor.Predict(ctx, rows)
		}
		if err != nil {
			return err
		}
		for _, f := range failures {
			if j.failed[f.Row] == nil { // that it could not be read is why it could not be predicted
				j.failed[f.Row] = f.Err
			}
		}
	}
	next := 0
	for i := range int32(j.n) {
		o := outcome{label: j.label(int(i)), err: j.failed[i]}
		if next < len(ok) && ok[next] == i {
			o.inference = predictions.Value(next)
			next++
		}
		r.out.render(&j.rendered, &o)
	}
	return nil
}

// writeAll writes the lots in their order.
func (r *predictRun) writeAll(ctx context.Context, queue chan *job) error {
	for j := range queue {
		select {
		case <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if j.err != nil {
			return j.err
		}
		r.written += int64(j.n)
		r.failed += int64(len(j.failed))
		if err := r.out.write(&j.rendered); err != nil {
			return err
		}
	}
	return nil
}
