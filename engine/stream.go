package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/state"
)

// StreamOptions say how a stream runs. The zero StreamOptions keep nothing between runs and run until the context is done.
type StreamOptions struct {
	Job        string            // the pipeline's name
	Store      *state.Store      // of checkpoints; nil: none are made
	Checkpoint *state.Checkpoint // where to go on; nil: at the beginning
	Restored   bool              // Checkpoint is that of a savepoint, and is to be made the last one if it fits
	Interval   time.Duration     // between checkpoints; 0: DefaultInterval
	MaxDrift   time.Duration     // how far a source may be ahead of the slowest in event time; 0: any
	// Stop ends the run at a checkpoint when it is closed, from which the next run goes on. With Drain all windows close first.
	Stop  <-chan struct{}
	Drain bool
	// StopTimeout is how long a stream may take to stop; then it ends as it is, and the next run goes on from the last checkpoint. 0: as long as it takes.
	StopTimeout time.Duration
	// Notify is told what an operator should know; nil: dropped.
	Notify func(level, text string)
	// Trace is told of each checkpoint, and each turn that took long, after the fact; nil: dropped. It must not block.
	Trace func(name string, start, end time.Time, values map[string]any, err error)
	// Program is the version that checkpoints name.
	Program string
}

// DefaultInterval is the time between checkpoints.
const DefaultInterval = 5 * time.Second

// IsStream reports whether a plan runs as a stream: it has a source that does not end, or its options say so.
func IsStream(p *plan.Plan) bool {
	streaming, _ := p.Options["streaming"].(bool)
	return streaming || p.Unbounded()
}

// stream drives a plan whose sources are read side by side. See docs/adr/0007-streams.md: workers push pieces between turns, and
// everything that needs all of them to stand still, watermarks, windows, checkpoints, happens at turns.
type stream struct {
	*run
	opts   StreamOptions
	queue  *queue
	feeds  []*feed
	sinks  map[string]state.Participant // the transactional ones, by the name of the transform
	wake   chan struct{}                // a worker has done something, or a partition has become idle
	failed chan error
	broken atomic.Bool // a worker has failed, perhaps in the middle of a piece: the state is of no use any more
	cancel context.CancelCauseFunc
	clock  func() time.Time

	turnAt   time.Time // when the last turn ended, and how long it took
	turnTook time.Duration
	changed  atomic.Bool // rows have come, or windows have fired, since the last checkpoint
	pending  *pending    // the checkpoint that is being written
	nextTake time.Time
	figures  streamFigures
}

// streamNode is what a node has in a stream.
type streamNode struct {
	feeds     []*feed  // that its rows come from
	tracker   *tracker // makes the watermark of what comes out; nil: that of the input
	mark      int64    // the watermark of what comes out, as of the last turn
	inMark    int64    // of what comes in: the least of the inputs'
	late      atomic.Int64
	ahead     atomic.Int64  // rows set aside as too far in the future
	unjudged  atomic.Bool   // there are rows of which that cannot be said
	shown     atomic.Int64  // mark, for who looks on
	busyShown time.Duration // guarded by Progress
	busy      atomic.Int64  // nanoseconds that workers have spent in the node, and not in those after it

	mu     sync.Mutex
	parts  []*part // tables and segments beside those that the workers add to
	packed int     // how many of them there were when they were put together last
	next   int64   // when the first window of the state ends, as of the last turn
	fresh  atomic.Int64
	early  time.Time // when windows with a delay fire next; zero: no row has come
	keyed  *keyed
}

func newStreamNode() *streamNode {
	n := &streamNode{mark: noMark, inMark: noMark, next: endMark}
	n.fresh.Store(endMark)
	n.shown.Store(noMark)
	return n
}

// observe tells a node's tracker of rows that it puts out.
func (n *streamNode) observe(b *column.Batch) {
	if n != nil && n.tracker != nil {
		n.tracker.observe(b, nil, 0) // it has no "per", for which silence counts
	}
}

func newStream(r *run) *stream {
	s := &stream{run: r, opts: r.opts.Stream, queue: newQueue(), sinks: map[string]state.Participant{}, wake: make(chan struct{}, 1),
		failed: make(chan error, 1), clock: time.Now}
	if s.opts.Interval <= 0 {
		s.opts.Interval = DefaultInterval
	}
	if s.opts.Notify == nil {
		s.opts.Notify = func(string, string) {}
	}
	if s.opts.Trace == nil {
		s.opts.Trace = func(string, time.Time, time.Time, map[string]any, error) {}
	}
	r.stream = s
	return s
}

// sinkEnv is what a sink may use.
func (r *run) sinkEnv(n *node) *catalog.SinkEnv {
	_, refusals := n.errorsConsumed()
	env := &catalog.SinkEnv{Log: r.opts.Log, Name: n.Name, Refusals: refusals}
	if r.stream != nil {
		env.Stream, env.Job = true, r.stream.opts.Job
		env.Dir = r.stream.dirOf("sinks", n)
	}
	return env
}

// dirOf is a folder of a connector's own; "" where nothing is kept.
func (s *stream) dirOf(kind string, n *node) string {
	if s.opts.Store == nil {
		return ""
	}
	return filepath.Join(s.opts.Store.Dir(), kind, fileName(n.Name))
}

// flow runs the stream until it ends, is stopped, or fails.
func (s *stream) flow(ctx context.Context) (err error) {
	defer func() {
		if closing := s.close(); err == nil {
			err = closing
		}
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() { err = ending(ctx, err) }()
	s.cancel = cancel
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel(nil)
	running := make(chan struct{})
	watchers.Go(func() { s.watchStop(ctx, running, cancel) })
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	s.run.opts.Progress.begin(s)
	if err := s.resume(ctx); err != nil {
		return err
	}
	close(running)
	watchers.Go(func() { s.watchStuck(ctx) })
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	var wait sync.WaitGroup
	for _, f := range s.feeds {
		wait.Go(func() {
			if err := f.run(reading); err != nil {
				s.fail(err)
			}
			s.poke()
		})
		wait.Go(func() { f.watch(reading, time.Duration(s.idleOf(f))*time.Millisecond, s.poke) })
	}
	for _, w := range s.workers {
		wait.Go(func() { s.work(ctx, w) })
	}
	err = s.coordinate(ctx, stopReading)
	stopReading()
	s.queue.close()
	if err != nil {
		cancel(err)
	}
	wait.Wait()
	if s.pending != nil {
		<-s.pending.done
	}
	return err
}

// prepare finds out which sources feed each node, and makes the trackers of watermarks.
func (s *stream) prepare() error {
	for _, n := range s.nodes {
		if n.reader != nil {
			f := newFeed(n, s.queue, len(s.workers))
			f.drift = s.drifts
			n.feeds = []*feed{f}
			s.feeds = append(s.feeds, f)
			n.tracker = newTracker(plan.Watermark{Idle: plan.DefaultIdle}, n.Out[0].Schema)
		}
		for _, in := range n.In {
			for _, f := range s.nodes[in.Node].feeds {
				if !containsFeed(n.feeds, f) {
					n.feeds = append(n.feeds, f)
				}
			}
		}
		switch op := n.Op.(type) {
		case *plan.AssignTime:
			if op.Watermark != nil {
				n.tracker = newTracker(*op.Watermark, n.Out[0].Schema)
				n.tracker.made = s.made(n)
			}
		case *plan.Ordered:
			stepper, err := newFoldStepper(s.run, n, op)
			if err != nil {
				return n.failure(err)
			}
			n.keyed = newKeyed(s.columnsOf(n, op.Keys), stepper)
		case *plan.Infer:
			if op.Ordered {
				n.keyed = newKeyed(s.columnsOf(n, op.Keys), newInferStepper(s.run, n, op))
			}
		}
	}
	return nil
}

// columnsOf are the columns of a node's input with those names.
func (s *stream) columnsOf(n *node, names []string) []int {
	schema := s.plan.Port(n.In[0]).Schema
	out := make([]int, len(names))
	for i, name := range names {
		out[i] = schema.Index(name)
	}
	return out
}

// made reports whether the rows of a node come from an aggregate, or another node that puts them out at turns.
func (s *stream) made(n *node) bool {
	for _, ref := range n.In {
		if in := s.nodes[ref.Node]; in.agg != nil || in.keyed != nil || s.made(in) {
			return true
		}
	}
	return false
}

func containsFeed(feeds []*feed, f *feed) bool {
	for _, g := range feeds {
		if g == f {
			return true
		}
	}
	return false
}

// idleOf is after how many milliseconds of silence a source's partitions are idle: the least that a watermark after it asks for.
func (s *stream) idleOf(f *feed) int64 {
	idle := int64(0)
	for _, n := range s.nodes {
		op, ok := n.Op.(*plan.AssignTime)
		if ok && op.Watermark != nil && containsFeed(n.feeds, f) && (idle == 0 || op.Watermark.Idle < idle) {
			idle = op.Watermark.Idle
		}
	}
	if idle == 0 {
		return plan.DefaultIdle
	}
	return idle
}

// work is what a worker does: it takes pieces, and when there is none hands on what its encoders hold.
func (s *stream) work(ctx context.Context, w *worker) {
	defer s.recovered()
	outs := map[*feed]*sourceOut{}
	decoders := map[*feed]catalog.Decoder{}
	holds := false
	for {
		p, ok := s.queue.take(holds)
		if !ok {
			return
		}
		var err error
		if p == nil {
			err, holds = w.flush(ctx), false
		} else {
			if outs[p.feed] == nil {
				outs[p.feed], decoders[p.feed] = &sourceOut{ctx: ctx, w: w, n: p.feed.n}, p.feed.reader.NewDecoder()
			}
			err, holds = s.push(ctx, p, decoders[p.feed], outs[p.feed]), true
		}
		if err != nil {
			s.fail(err) // before the worker counts as idle: no turn may be made with a piece half in the state
			s.queue.done()
			return
		}
		s.queue.done()
		s.poke()
	}
}

// push takes one piece through the plan.
func (s *stream) push(ctx context.Context, p *piece, d catalog.Decoder, out *sourceOut) error {
	out.morsel = &p.morsel
	out.w.read = p.read
	if !p.feed.resumable() {
		p.morsel.Seq = p.order
	}
	began := time.Now()
	out.w.within = 0
	if err := d.Decode(ctx, &p.morsel, out); err != nil {
		return p.feed.n.failure(err)
	}
	p.feed.n.busy.Add(int64(time.Since(began) - out.w.within))
	out.w.read = time.Time{}
	s.changed.Store(true)
	p.feed.processed(p)
	return nil
}

func (s *stream) recovered() {
	if p := recover(); p != nil {
		s.fail(&diag.Failure{Class: diag.Bug, Code: diag.Internal, Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack()),
			Hint: "This is a fault of leat's: please report it with the pipeline."})
		s.queue.done()
	}
}

// fail ends the run with the first error.
func (s *stream) fail(err error) {
	s.broken.Store(true)
	select {
	case s.failed <- err:
	default:
	}
	if s.cancel != nil {
		s.cancel(err)
	}
}

// poke lets the coordinator look whether a turn is due.
func (s *stream) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// coordinate makes turns until the stream ends. Only it pauses the queue.
func (s *stream) coordinate(ctx context.Context, stopReading func()) error {
	s.takeNext()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var written <-chan struct{}
		if s.pending != nil {
			written = s.pending.done
		}
		select {
		case err := <-s.failed:
			return err
		case <-ctx.Done():
			return s.firstError(ctx)
		case <-s.opts.Stop:
			stopReading()
			return s.last(ctx, s.opts.Drain)
		case <-written:
			if err := s.settled(ctx); err != nil {
				return err
			}
		case <-s.wake:
		case <-timer.C:
		}
		if s.ended() {
			return s.last(ctx, true)
		}
		wait, err := s.turnIfDue(ctx)
		if err != nil {
			return err
		}
		timer.Reset(wait)
	}
}

// quiesce pauses the workers. The error is that of one which has failed.
func (s *stream) quiesce(ctx context.Context) error {
	s.queue.pause()
	if s.broken.Load() || ctx.Err() != nil {
		return s.firstError(ctx)
	}
	return nil
}

// firstError is why the context is done: a failure that came first, or the caller's own reason.
func (s *stream) firstError(ctx context.Context) error {
	select {
	case err := <-s.failed:
		return err
	default:
		return context.Cause(ctx)
	}
}

// ended reports whether all sources have ended and all of them has been processed.
func (s *stream) ended() bool {
	for _, f := range s.feeds {
		if !f.ended() {
			return false
		}
	}
	return true
}

// last makes the last turn. When the stream has ended, or is drained, all windows close before the checkpoint, and sinks become final.
func (s *stream) last(ctx context.Context, drain bool) error {
	if err := s.quiesce(ctx); err != nil {
		return err
	}
	if err := s.awaitPending(ctx); err != nil {
		return err
	}
	for again := true; again; { // while sinks refuse rows: these may go to windows that close, and their checkpoint may be refused in part
		var err error
		if again, err = s.lastCheckpoint(ctx, drain); err != nil {
			return err
		}
	}
	return s.finishSinks(ctx, drain)
}

// lastCheckpoint makes a checkpoint of all that is there. again says that there is more since.
func (s *stream) lastCheckpoint(ctx context.Context, drain bool) (again bool, err error) {
	if err := s.advance(ctx, drain); err != nil {
		return false, err
	}
	if err := s.flush(ctx); err != nil {
		return false, err
	}
	if again, err := s.settleSinks(ctx); again || err != nil {
		return again, err
	}
	for _, n := range s.nodes {
		if v, ok := n.writer.(catalog.Verifier); ok && drain {
			if err := v.Verify(ctx); err != nil {
				return false, n.failure(err)
			}
		}
	}
	if err := s.finalCheckpoint(ctx); err != nil || !drain && s.opts.Store != nil {
		return false, err // what a commit refuses is for the next run
	}
	return s.settleSinks(ctx)
}

// finishSinks commits what is final. A stream that was stopped goes on later: only sinks without epochs are final then, as far as they are.
func (s *stream) finishSinks(ctx context.Context, ended bool) error {
	for _, n := range s.nodes {
		if n.writer == nil {
			continue
		}
		if _, epochs := n.writer.(catalog.Transactional); epochs && !ended && s.opts.Store != nil {
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
