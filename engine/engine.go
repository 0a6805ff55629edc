// Package engine runs a plan on this machine, on columns.
//
// Work is driven from the roots of the plan: its sources, and its aggregates once their input has ended. For each root
// every worker pulls a morsel, decodes it to batches, and pushes them through the nodes that follow, down to sinks and
// to the tables of further aggregates, without a queue in between: a chain of stateless nodes is one pass over a batch.
//
// Invariants: a batch is not kept after the call that passed it on returns; no worker writes what another reads but under
// a lock; a row is passed on, or it is in an error output, or the run fails naming it; no sink commits unless the
// whole run has succeeded.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/task"
)

// Options say how to run. The zero Options are ready for use.
type Options struct {
	Parallelism int    // workers; 0: one for each processor
	MemoryLimit int64  // bytes that tables and buffers may take before they spill; 0: DefaultMemoryLimit
	TempDir     string // for spilled state; "": the system's
	BatchRows   int    // rows of a batch at the most; 0: DefaultBatchRows
	Progress    *Progress
	Models      infer.Opener             // of the runtimes that models need; nil: a plan with a model fails
	Log         func(level, text string) // takes what LogForTesting prints; nil: dropped
	Stream      StreamOptions            // of plans that run as streams
}

// Defaults of Options.
const (
	DefaultBatchRows         = 4096
	DefaultMemoryLimit int64 = 1 << 30
)

// Result is what a run did. A failed run has one, too.
type Result struct {
	Nodes   []NodeProgress
	Written []Written
	Notes   []string // what sources tell of what they read
	Wall    time.Duration
}

// Written is what one sink has made final. Committed is false where the run ended before.
type Written struct {
	Node      int
	Name      string // of the transform
	Transform string
	Rows      int64
	Committed bool
	catalog.Written
}

// Run runs the plan to its end. An error is a *diag.Failure, or the context's error where that was cancelled;
// sinks that had not committed by then leave nothing behind.
func Run(ctx context.Context, p *plan.Plan, o Options) (*Result, error) {
	if o.Parallelism <= 0 {
		o.Parallelism = runtime.GOMAXPROCS(0)
	}
	if o.BatchRows <= 0 {
		o.BatchRows = DefaultBatchRows
	}
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = DefaultMemoryLimit
	}
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	if o.Log == nil {
		o.Log = func(string, string) {}
	}
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	start := time.Now()
	r := &run{plan: p, opts: o}
	var err error
	if IsStream(p) {
		err = newStream(r).flow(ctx)
	} else {
		err = r.run(ctx)
	}
	res := &Result{Nodes: o.Progress.Snapshot(), Written: r.written(), Notes: r.notes, Wall: time.Since(start)}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // what fails after a cancellation fails because of it
	}
	return res, err
}

// run is one execution of a plan.
type run struct {
	plan    *plan.Plan
	opts    Options
	nodes   []*node
	workers []*worker
	notes   []string
	// tableLimit is how much memory one table of one worker may hold before it spills.
	tableLimit int64
	stream     *stream // nil: all input ends, and sources are read one after another
}

// node is what all workers share of a plan node.
type node struct {
	*plan.Node
	consumers [][]edge // for each port
	counters  *counters
	threshold *threshold

	reader catalog.Reader // of a source
	caller catalog.Caller // of a call

	predictor *task.Predictor // of a prediction
	gather    *gather         // of one whose model has a state

	writer    catalog.Writer // of a sink
	committed *catalog.Written

	agg       *kernel.Aggregation // of an aggregate
	tables    []*kernel.Table     // one for each worker
	spillOnce sync.Once           // makes spill
	spill     *kernel.Spill       // nil while memory suffices
	spillErr  error

	*streamNode // nil where all input ends
}

// edge leads to input number input of node to.
type edge struct {
	to, input int
}

func (r *run) run(ctx context.Context) (err error) {
	defer func() {
		if closing := r.close(); err == nil {
			err = closing // after a failure, that is the one to tell
		}
	}()
	if err := r.open(ctx); err != nil {
		return err
	}
	for id := range r.plan.Nodes { // roots in topological order: an aggregate comes after all that feeds it
		if err := r.drive(ctx, r.nodes[id]); err != nil {
			return err
		}
		if _, ok := r.nodes[id].writer.(catalog.Refuser); ok { // before what its errors go to
			if err := r.flush(ctx); err != nil {
				return err
			}
			if _, err := r.settleSink(ctx, r.nodes[id]); err != nil {
				return err
			}
		}
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	return r.commit(ctx)
}

// flush hands on what the encoders hold. The workers stand still.
func (r *run) flush(ctx context.Context) error {
	for _, w := range r.workers {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// open binds every node to its connectors and makes the workers.
func (r *run) open(ctx context.Context) error {
	r.opts.Progress.init(r.plan)
	for id, n := range r.plan.Nodes {
		r.nodes = append(r.nodes, &node{Node: n, consumers: make([][]edge, len(n.Out)),
			counters: r.opts.Progress.counters(id), threshold: newThreshold(n)})
		if r.stream != nil {
			r.nodes[id].streamNode = newStreamNode()
			r.opts.Progress.setStream(id, r.nodes[id].streamNode)
		}
		for input, ref := range n.In {
			from := r.nodes[ref.Node]
			from.consumers[ref.Port] = append(from.consumers[ref.Port], edge{to: id, input: input})
		}
	}
	for _, n := range r.nodes {
		if err := r.bind(ctx, n); err != nil {
			return n.failure(err)
		}
	}
	r.tableLimit = r.opts.MemoryLimit / tableShare / int64(r.opts.Parallelism*max(1, r.aggregates()))
	if r.stream != nil { // tables of the checkpoint that is being written are held beside those that fill
		r.tableLimit /= 2
	}
	for i := range r.opts.Parallelism {
		w, err := newWorker(r, i)
		if err != nil {
			return err
		}
		r.workers = append(r.workers, w)
	}
	return nil
}

// tableShare is the part of the memory limit, one in tableShare, that tables may hold: the collector may let as much
// again lie dead before it frees it, and merging takes memory of its own.
const tableShare = 3

func (r *run) aggregates() int {
	count := 0
	for _, n := range r.nodes {
		if n.agg != nil {
			count++
		}
	}
	return count
}

func (r *run) bind(ctx context.Context, n *node) error {
	switch op := n.Op.(type) {
	case *plan.Source:
		c := catalog.LookUpConnector(op.Connector)
		if c == nil || c.Source == nil {
			return fmt.Errorf("no source connector is named %q", op.Connector)
		}
		config, err := catalog.Resolve(op.Config)
		if err != nil {
			return err
		}
		source, err := c.Source(config)
		if err != nil {
			return err
		}
		n.reader, err = source.Open(ctx, n.Out[0].Schema)
		if err == nil {
			r.opts.Progress.setSource(n.ID, n.reader.Progress)
		}
		return err
	case *plan.Sink:
		c := catalog.LookUpConnector(op.Connector)
		if c == nil || c.Sink == nil {
			return fmt.Errorf("no sink connector is named %q", op.Connector)
		}
		config, err := catalog.Resolve(op.Config)
		if err != nil {
			return err
		}
		sink, err := c.Sink(config, r.sinkEnv(n))
		if err != nil {
			return err
		}
		n.writer, err = sink.Open(ctx, r.plan.Port(n.In[0]).Schema)
		return err
	case *plan.Call:
		c := catalog.LookUpConnector(op.Connector)
		if c == nil || c.Caller == nil {
			return fmt.Errorf("no connector to call is named %q", op.Connector)
		}
		var err error
		n.caller, err = c.Caller(op.Config)
		return err
	case *plan.Infer:
		return r.openPredictor(ctx, n, op)
	case *plan.Ordered:
		if r.stream == nil {
			r.gatherRows(n, op.Keys)
		}
	case *plan.Aggregate:
		if r.stream != nil {
			n.agg = kernel.NewStreamAggregation(op, r.plan.Port(n.In[0]), &n.Out[0])
		} else {
			n.agg = kernel.NewAggregation(op, r.plan.Port(n.In[0]), &n.Out[0])
		}
		for range r.opts.Parallelism {
			n.tables = append(n.tables, n.agg.NewTable())
		}
	}
	return nil
}

// commit makes the sinks' work final. Sinks that can still refuse are asked first, so that a refusal leaves
// nothing behind.
func (r *run) commit(ctx context.Context) error {
	for _, n := range r.nodes {
		if n.threshold != nil {
			if err := n.threshold.check(); err != nil {
				return &diag.Failure{Code: diag.OverThreshold, Place: n.Place, Transform: n.Name, Err: err}
			}
		}
	}
	for _, n := range r.nodes {
		if v, ok := n.writer.(catalog.Verifier); ok {
			if err := v.Verify(ctx); err != nil {
				return n.failure(err)
			}
		}
	}
	for _, n := range r.nodes {
		if n.writer == nil {
			continue
		}
		written, err := n.writer.Commit(ctx)
		if err != nil {
			return n.failure(err)
		}
		n.committed = &written
		n.counters.finished.Store(true)
	}
	return nil
}

// close releases everything. Writers that have not committed are aborted.
func (r *run) close() error {
	var errs []error
	for _, n := range r.nodes {
		if n.reader != nil {
			if noter, ok := n.reader.(catalog.Noter); ok {
				for _, note := range noter.Notes() {
					r.notes = append(r.notes, fmt.Sprintf("transform %q: %s", n.Name, note))
				}
			}
			errs = append(errs, n.reader.Close())
		}
		if n.writer != nil && n.committed == nil {
			errs = append(errs, n.writer.Abort())
		}
		if n.predictor != nil {
			errs = append(errs, n.predictor.Close())
		}
		if n.spill != nil {
			errs = append(errs, n.spill.Close())
		}
		if n.streamNode != nil {
			for _, p := range n.parts {
				errs = append(errs, p.close())
			}
		}
	}
	return errors.Join(errs...)
}

func (r *run) written() []Written {
	var out []Written
	for _, n := range r.nodes {
		if _, ok := n.Op.(*plan.Sink); !ok {
			continue
		}
		w := Written{Node: n.ID, Name: n.Name, Transform: n.Transform, Rows: n.counters.rows.Load(), Committed: n.committed != nil}
		if n.committed != nil {
			w.Written = *n.committed
		}
		out = append(out, w)
	}
	return out
}

// failure says where an error of this node belongs. Errors that say so already are left as they are.
func (n *node) failure(err error) error {
	var f *diag.Failure
	if errors.As(err, &f) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		switch {
		case f == nil || f.Transform != "":
		case f == err:
			of := *f // it may be what ended other workers, too
			of.Transform, of.Place = n.Name, n.Place
			return &of
		default:
			f.Transform, f.Place = n.Name, n.Place
		}
		return err
	}
	failure := &diag.Failure{Place: n.Place, Transform: n.Name, Err: err}
	var p *catalog.Problem
	var e *expr.Exception
	switch {
	case errors.As(err, &p):
		failure.Code, failure.Hint = p.Code, p.Hint
	case errors.As(err, &e):
		failure.Code = diag.RowFailed
	}
	return failure
}
