package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/state"
)

// streamFigures are what a stream tells of itself.
type streamFigures struct {
	turns       atomic.Int64
	checkpoints atomic.Int64
	failures    atomic.Int64 // of checkpoints
	failing     atomic.Bool  // the last try was one of them
	epoch       atomic.Int64
	bytes       atomic.Int64 // of the last checkpoint
	took        atomic.Int64 // nanoseconds from the turn to the commit of the last
	at          atomic.Int64 // when it was committed, Unix nanoseconds
	pending     atomic.Int64 // when the checkpoint that is on its way was taken, Unix nanoseconds; 0: none is
	stalled     atomic.Bool  // that takes so long that sources wait
	due         atomic.Int64 // when the next one is to be taken, Unix nanoseconds
	stuck       atomic.Bool  // it could not be for long
	latency     histogram
}

// pending is a checkpoint that has been taken at a turn and is being written.
type pending struct {
	checkpoint *state.Checkpoint
	parts      map[*node][]*partOf // of aggregates
	blobs      map[*node][]byte    // the state of nodes that have one in a file
	lastFile   int64               // files numbered after it belong to later checkpoints
	positions  map[*feed]map[string]string
	taken      time.Time
	done       chan struct{} // closed when it has been written and committed, or err is set
	err        error
	stagings   []staging
}

// staging is the rest of what a sink does for an epoch, beside the rows of the next.
type staging struct {
	n      *node
	finish func(context.Context) ([]byte, error)
}

// partOf is a part as a checkpoint has it. The part itself may be gone before it is written.
type partOf struct {
	*part
	tables []*kernel.Table
	wrote  written
}

// maxParts is how many parts an aggregate has, beside those that it had when they were put together last, before that is done again.
const maxParts = 12

// takeNext says when the next checkpoint is due.
func (s *stream) takeNext() {
	s.nextTake = s.clock().Add(s.opts.Interval)
	s.figures.due.Store(s.nextTake.UnixNano())
}

func (s *stream) takeDue(now time.Time) bool {
	return s.pending == nil && !now.Before(s.nextTake) && s.wantsTake(now)
}

// wantsTake reports whether a checkpoint would hold anything that the last one does not.
func (s *stream) wantsTake(now time.Time) bool {
	if s.changed.Load() {
		return true
	}
	for _, n := range s.nodes {
		if r, ok := n.writer.(catalog.Rolling); ok && r.Due(now) {
			return true
		}
	}
	return false
}

func (s *stream) untilTake(now time.Time) time.Duration {
	if s.pending != nil || !s.wantsTake(now) {
		return s.opts.Interval
	}
	return max(s.nextTake.Sub(now), time.Millisecond)
}

// takeCheckpoint takes a checkpoint and lets it be written. The workers stand still, and encoders have been flushed.
func (s *stream) takeCheckpoint(ctx context.Context) error {
	p, err := s.take(ctx)
	if err != nil {
		return err
	}
	s.pending = p
	s.figures.pending.Store(p.taken.UnixNano())
	s.takeNext()
	go func() {
		defer close(p.done)
		if p.err = s.write(ctx, p); p.err != nil {
			s.fail(p.err) // a turn may wait for a worker, and that for a sink which waits for this
		}
	}()
	return nil
}

// mostInManifest is how many bytes of a node's state go to the manifest itself. More is a file.
const mostInManifest = 16 << 10

// take collects what a checkpoint is made of. It costs microseconds but for what sinks do.
func (s *stream) take(ctx context.Context) (*pending, error) {
	s.changed.Store(false)
	p := &pending{parts: map[*node][]*partOf{}, blobs: map[*node][]byte{}, positions: map[*feed]map[string]string{}, taken: s.clock(), done: make(chan struct{})}
	c := &state.Checkpoint{Job: s.opts.Job, Taken: p.taken, Program: s.opts.Program}
	if s.opts.Checkpoint != nil {
		c.Restored = s.opts.Checkpoint.Restored
	}
	p.checkpoint = c
	if s.opts.Store != nil {
		c.Epoch = s.opts.Store.NextEpoch()
	} else {
		c.Epoch = s.figures.epoch.Load() + 1
	}
	if err := s.prepareSinks(ctx, p); err != nil {
		return nil, err
	}
	for _, f := range s.feeds {
		source := f.source()
		c.Sources = append(c.Sources, source)
		p.positions[f] = source.Positions
	}
	for _, n := range s.nodes {
		if err := s.takeNode(ctx, n, p); err != nil {
			return nil, n.failure(err)
		}
	}
	if s.opts.Store != nil {
		p.lastFile = s.opts.Store.LastFile()
	}
	return p, nil
}

// prepareSinks ends the epoch in every sink, in the order of the plan: what one refuses goes to others in the same epoch.
func (s *stream) prepareSinks(ctx context.Context, p *pending) error {
	c := p.checkpoint
	for _, n := range s.nodes {
		if n.writer == nil {
			continue
		}
		if _, err := s.settleSink(ctx, n); err != nil {
			return err
		}
		if w, ok := n.writer.(catalog.Cutter); ok {
			p.stagings = append(p.stagings, staging{n, w.Cut(c.Epoch)})
		} else if w, ok := n.writer.(catalog.Transactional); ok {
			staged, err := w.Prepare(ctx, c.Epoch)
			if err != nil {
				return n.failure(err)
			}
			c.Sinks = append(c.Sinks, state.Sink{Name: n.Name, Staged: staged})
		}
	}
	return nil
}

// takeNode adds the state of a node to a checkpoint.
func (s *stream) takeNode(ctx context.Context, n *node, p *pending) error {
	part := state.Part{Name: s.partName(n), Signature: s.signature(n), Watermark: n.inMark}
	switch {
	case n.agg != nil:
		if n.crowded() && !n.agg.Rewrites() {
			if err := s.compact(ctx, n); err != nil {
				return err
			}
		}
		if fresh := newPart(n.tables); len(fresh.tables) > 0 {
			n.parts = append(n.parts, fresh)
			for i := range n.tables {
				n.tables[i] = n.agg.NewTable()
			}
		}
		for _, part := range n.parts {
			p.parts[n] = append(p.parts[n], &partOf{part: part, tables: part.tables, wrote: part.written})
		}
	case n.keyed != nil:
		p.blobs[n] = n.keyed.save(s.plan.Port(n.In[0]).Schema)
	case n.tracker != nil:
		part.Watermark = n.mark
		if data := n.tracker.save(s.nodes); len(data) > mostInManifest {
			p.blobs[n] = data
		} else {
			part.Data = data
		}
	default:
		return nil
	}
	p.checkpoint.Parts = append(p.checkpoint.Parts, part)
	return nil
}

// compact puts the parts of an aggregate together.
func (s *stream) compact(ctx context.Context, n *node) error {
	tables, segments := n.held()
	rest := s.newRest(n)
	err := s.eachGroup(ctx, n, rest, func(ctx context.Context, w *worker, g int, into *kernel.Table) error {
		return n.agg.Compact(ctx, g, tables, segments, n.inMark, into, s.groupLimit())
	})
	if err != nil {
		return err
	}
	return rest.replace(n)
}

// write makes a checkpoint durable, has the sinks commit it, and tells the sources. What may pass, such as a full disk, is tried again until the
// run ends: rows go on meanwhile, and nothing is lost.
func (s *stream) write(ctx context.Context, p *pending) (err error) {
	failures := s.figures.failures.Load()
	defer func() {
		s.opts.Trace("checkpoint", p.taken, time.Now(), map[string]any{"epoch": p.checkpoint.Epoch, "bytes": p.checkpoint.Bytes(),
			"parts": len(p.checkpoint.Parts), "failures": s.figures.failures.Load() - failures}, err)
	}()
	if err := p.finish(ctx); err != nil {
		return err
	}
	store := s.opts.Store
	for pause := 100 * time.Millisecond; store != nil; pause = min(2*pause, 30*time.Second) {
		err := s.decide(p)
		if err == nil {
			break
		}
		s.figures.failures.Add(1)
		s.figures.failing.Store(true)
		s.opts.Notify("ERROR", fmt.Sprintf("checkpoint %d could not be written, and is tried again: %v", p.checkpoint.Epoch, err))
		select {
		case <-time.After(pause):
		case <-s.opts.Stop: // a last try, for who stops does not want to wait for ever
			if err := s.decide(p); err != nil {
				return s.notSaved(p, err)
			}
			pause = 0
		case <-ctx.Done():
			return s.notSaved(p, err)
		}
		if pause == 0 {
			break
		}
	}
	return s.commitEpoch(ctx, p)
}

// finish does what sinks have left to do before the checkpoint can be decided.
func (p *pending) finish(ctx context.Context) error {
	for _, c := range p.stagings {
		staged, err := c.finish(ctx)
		if err != nil {
			return c.n.failure(err)
		}
		if _, ok := c.n.writer.(catalog.Transactional); ok {
			p.checkpoint.Sinks = append(p.checkpoint.Sinks, state.Sink{Name: c.n.Name, Staged: staged})
		}
	}
	return nil
}

func (s *stream) notSaved(p *pending, err error) error {
	return &diag.Failure{Code: diag.CannotWrite, Err: fmt.Errorf("checkpoint %d could not be written: %w", p.checkpoint.Epoch, err),
		Hint: "The last checkpoint before it is whole: the next run goes on from there."}
}

func (s *stream) commitEpoch(ctx context.Context, p *pending) error {
	store, c := s.opts.Store, p.checkpoint
	var err error
	if store != nil {
		err = store.Commit(ctx, c, s.sinks)
	} else {
		for _, sink := range c.Sinks {
			err = errors.Join(err, s.sinks[sink.Name].CommitEpoch(ctx, c.Epoch, sink.Staged))
		}
	}
	var of *state.SinkError
	if errors.As(err, &of) {
		for _, n := range s.nodes {
			if n.Name == of.Sink && n.writer != nil {
				return n.failure(of.Err)
			}
		}
	}
	if err != nil {
		return err
	}
	for f, positions := range p.positions {
		if err := s.acknowledge(ctx, f, positions); err != nil && ctx.Err() == nil {
			s.opts.Notify("WARNING", fmt.Sprintf("transform %q could not tell its server how far it is: %v", f.n.Name, err))
		}
	}
	if store != nil {
		if err := store.Clean(p.lastFile); err != nil {
			s.opts.Notify("WARNING", fmt.Sprintf("old checkpoints could not be removed: %v", err))
		}
	}
	now := time.Now()
	s.figures.took.Store(int64(now.Sub(p.taken)))
	s.figures.at.Store(now.UnixNano())
	s.figures.epoch.Store(c.Epoch)
	s.figures.bytes.Store(c.Bytes())
	s.figures.checkpoints.Add(1)
	s.figures.failing.Store(false)
	return nil
}

// decide writes the segments that are not on disk yet, then the manifest.
func (s *stream) decide(p *pending) error {
	c := p.checkpoint
	for n, parts := range p.parts {
		of := c.Part(s.partName(n))
		of.Files = nil
		for _, part := range parts {
			if part.wrote.segment == nil {
				var err error
				if part.wrote, err = s.writeTables(n, part.tables); err != nil {
					return err
				}
			}
			of.Files = append(of.Files, part.wrote.file)
		}
	}
	for n, data := range p.blobs {
		f, err := s.opts.Store.WriteFile(s.opts.Store.NextFile(), func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return fmt.Errorf("write the state of %q: %w", n.Name, err)
		}
		c.Part(s.partName(n)).Files = []state.File{f}
	}
	return s.opts.Store.Decide(c)
}

// settled looks at a checkpoint that has been written.
func (s *stream) settled(context.Context) error {
	p := s.pending
	s.pending = nil
	s.figures.pending.Store(0)
	if s.figures.stalled.Swap(false) && p.err == nil {
		s.opts.Notify("INFO", fmt.Sprintf("checkpoint %d is done: reading goes on", p.checkpoint.Epoch))
	}
	if p.err != nil {
		return p.err
	}
	for n, parts := range p.parts {
		for _, part := range parts {
			switch {
			case part.segment != nil || part.wrote.segment == nil:
			case part.gone:
				if err := part.wrote.segment.Close(); err != nil {
					return n.failure(err)
				}
			default:
				part.written = part.wrote
			}
		}
		s.unload(n, n.parts)
	}
	return nil
}

// unload lets go of tables that are on disk, the oldest first, where an aggregate holds more of them than its share of memory.
func (s *stream) unload(n *node, parts []*part) {
	held := int64(0)
	for _, part := range parts {
		held += part.bytes
	}
	share := s.tableLimit * int64(len(s.workers)) / 2
	for _, part := range parts {
		if held > share && part.segment != nil && part.tables != nil {
			held -= part.bytes
			part.tables, part.bytes = nil, 0
		}
	}
}

// awaitPending waits for the checkpoint that is being written.
func (s *stream) awaitPending(ctx context.Context) error {
	if s.pending == nil {
		return nil
	}
	select {
	case <-s.pending.done:
		return s.settled(ctx)
	case <-ctx.Done():
		return s.firstError(ctx)
	}
}

// finalCheckpoint takes and writes the last checkpoint of a run.
func (s *stream) finalCheckpoint(ctx context.Context) error {
	p, err := s.take(ctx)
	if err != nil {
		return err
	}
	return s.write(ctx, p)
}
