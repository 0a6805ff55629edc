package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/state"
)

// partName names the state of a node across changes of the pipeline: by the transform, and by which of its nodes of that kind it is.
func (s *stream) partName(n *node) string {
	count := 0
	for _, other := range s.nodes[:n.ID] {
		if other.Name == n.Name && other.Op.Kind() == n.Op.Kind() {
			count++
		}
	}
	if count == 0 {
		return n.Name + "/" + n.Op.Kind()
	}
	return fmt.Sprintf("%s/%s%d", n.Name, n.Op.Kind(), count+1)
}

// signature says what must be the same for the state of a node to fit it.
func (s *stream) signature(n *node) string {
	switch op := n.Op.(type) {
	case *plan.Aggregate:
		in := s.plan.Port(n.In[0])
		parts := []string{"by"}
		for _, k := range op.Keys {
			parts = append(parts, k+": "+in.Schema[in.Schema.Index(k)].Type.String())
		}
		for _, a := range op.Aggs {
			parts = append(parts, a.Name+" = "+a.Fn+" of "+a.Arg.Type.String())
		}
		return strings.Join(append(parts, "in "+in.Window.String()), ", ")
	case *plan.Ordered:
		return fmt.Sprintf("%s by %s of %s", op.Fn, strings.Join(op.Keys, ", "), s.plan.Port(n.In[0]).Schema)
	case *plan.Infer:
		return fmt.Sprintf("%s %s by %s of %s", op.Task, op.Model, strings.Join(op.Keys, ", "), s.plan.Port(n.In[0]).Schema)
	}
	return "watermark"
}

func sourceSignature(n *node) string { return n.Op.(*plan.Source).Connector }

// fileName is a name as a folder may have it.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, name)
}

// resume puts the state of the last checkpoint in place, has sinks commit it, and lets the sources go on from there.
func (s *stream) resume(ctx context.Context) error {
	c := s.opts.Checkpoint
	for _, n := range s.nodes {
		if w, ok := n.writer.(catalog.Transactional); ok {
			s.sinks[n.Name] = w
		}
	}
	if err := s.fits(c); err != nil {
		return err
	}
	for _, f := range s.feeds {
		var source *state.Source
		if c != nil {
			source = c.Source(f.n.Name)
		}
		if err := f.resume(ctx, s.opts.Job, s.dirOf("sources", f.n), source); err != nil {
			return f.n.failure(err)
		}
	}
	if c != nil && s.opts.Restored {
		if err := s.opts.Store.Decide(c); err != nil { // not before: a savepoint that does not fit, or that a source cannot go back to, is to change nothing
			return fmt.Errorf("go back to a savepoint: %w", err)
		}
	}
	if c != nil {
		s.figures.epoch.Store(c.Epoch)
	}
	if err := state.Recover(ctx, c, s.sinks); err != nil {
		var of *state.SinkError
		if errors.As(err, &of) {
			for _, n := range s.nodes {
				if n.Name == of.Sink && n.writer != nil {
					return n.failure(of.Err)
				}
			}
		}
		return err
	}
	for _, n := range s.nodes {
		if c == nil {
			break
		}
		if p := c.Part(s.partName(n)); p != nil {
			if err := s.restore(n, p); err != nil {
				return n.failure(err)
			}
			n.reopen()
		}
	}
	s.resumeMarks()
	return nil
}

// resumeMarks lets the watermarks of sources and trackers that the checkpoint had reach the nodes after them.
func (s *stream) resumeMarks() {
	for _, n := range s.nodes {
		in := endMark
		for _, ref := range n.In {
			in = min(in, s.nodes[ref.Node].mark)
		}
		if len(n.In) > 0 && n.tracker == nil {
			n.inMark = max(n.inMark, in)
			n.mark = max(n.mark, in)
		}
		n.shown.Store(n.mark)
	}
}

// reopen lets time begin anew for a node whose input had ended, where more comes: what was piped in is another one, or a source was added.
func (n *node) reopen() {
	for _, f := range n.feeds {
		if !f.ended() && n.inMark == endMark {
			n.inMark, n.next = noMark, endMark
		}
		if !f.ended() && n.mark == endMark {
			n.mark = noMark
		}
	}
}

// restore puts a part of a checkpoint in place.
func (s *stream) restore(n *node, p *state.Part) error {
	switch {
	case n.agg != nil:
		n.inMark = p.Watermark
		for _, f := range p.Files {
			segment, err := kernel.OpenSegment(s.opts.Store.Path(f))
			if err != nil {
				return err
			}
			n.parts = append(n.parts, &part{written: written{segment, f}, ends: segment.Ends()})
		}
		n.next = n.endAfter(n.inMark)
		if len(n.parts) > 0 {
			n.fresh.Store(endMark - 1) // rows may have come since the last pane
		}
	case n.keyed != nil:
		n.inMark = p.Watermark
		if len(p.Files) != 1 {
			return errKeyed
		}
		data, err := os.ReadFile(s.opts.Store.Path(p.Files[0]))
		if err != nil {
			return err
		}
		return n.keyed.load(data, s.plan.Port(n.In[0]).Schema)
	case n.tracker != nil:
		n.mark = p.Watermark
		data, err := p.Data, error(nil)
		if len(p.Files) == 1 {
			if data, err = os.ReadFile(s.opts.Store.Path(p.Files[0])); err != nil {
				return err
			}
		}
		return n.tracker.load(data, s.nodes)
	}
	return nil
}
