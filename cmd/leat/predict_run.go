package main

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/task"
)

// predictRun is one call of predict.
type predictRun struct {
	g         *global
	log       *reporter
	predictor *task.Predictor
	flags     *predictFlags

	read            atomic.Int64 // rows
	written, failed int64        // rows
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
	predictions *column.Vector // of the rows ok
	ok          []int32
	err         error         // of the run as a whole
	done        chan struct{} // closed when all is known
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
	sources, err := r.sources(ctx, args)
	if err != nil {
		return err
	}
	out, err := r.newWriter()
	if err != nil {
		return err
	}
	if err := r.predictor.Start(ctx, open, r.log.line); err != nil {
		return err
	}
	bar := startBar(r, sources)
	err = r.pump(ctx, sources, func(j *job) error { return r.write(out, j) })
	bar.stop()
	if err == nil {
		err = out.close()
	}
	if closing := r.predictor.Close(); err == nil {
		err = closing
	}
	return err
}

// pump reads, predicts and writes at once: one goroutine reads, one for each processor predicts, and lots are written in
// the order in which they were read. So many lots are held at the most: four for each processor.
func (r *predictRun) pump(ctx context.Context, sources []rowSource, write func(*job) error) error {
	ctx, cancel := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	queue, work := make(chan *job, 2*workers), make(chan *job)
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
				j.predict(ctx, r.predictor)
				close(j.done)
			}
		})
	}
	err := drain(ctx, queue, write)
	cancel()
	wait.Wait()
	if err == nil {
		err = reading
	}
	return err
}

// drain writes the lots in their order.
func drain(ctx context.Context, queue chan *job, write func(*job) error) error {
	for j := range queue {
		select {
		case <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if j.err != nil {
			return j.err
		}
		if err := write(j); err != nil {
			return err
		}
	}
	return nil
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

// predict fills in what becomes of the rows.
func (j *job) predict(ctx context.Context, p *task.Predictor) {
	if j.cols == nil {
		return
	}
	predictions, ok, failures, err := p.Predict(ctx, &task.Rows{N: j.n, Cols: j.cols})
	if err != nil {
		j.err = err
		return
	}
	if j.failed == nil {
		j.failed = map[int32]error{}
	}
	for _, f := range failures {
		if j.failed[f.Row] == nil { // that it could not be read is why it could not be predicted
			j.failed[f.Row] = f.Err
		}
	}
	j.predictions, j.ok = predictions, ok
}

// write writes the rows of a lot.
func (r *predictRun) write(out rowWriter, j *job) error {
	next := 0
	for i := range int32(j.n) {
		o := outcome{label: j.label(int(i)), err: j.failed[i]}
		if next < len(j.ok) && j.ok[next] == i {
			o.inference = j.predictions.Value(next)
			next++
		}
		r.written++
		if o.err != nil {
			r.failed++
		}
		if err := out.write(&o); err != nil {
			return err
		}
	}
	return out.flush()
}
