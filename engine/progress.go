package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/task"
)

// Progress tells how far a run is. It may be read at any time; the zero Progress belongs to a run not yet begun.
type Progress struct {
	mu     sync.Mutex
	nodes  []*counters
	stream *stream // nil: none, or not begun
}

// NodeProgress is how far one node is.
type NodeProgress struct {
	ID        int
	Name      string // of the transform
	Transform string // its type
	Kind      string // of the node
	Rows      int64  // that a sink took, or that any other node put out on all but its error port
	Errors    int64  // rows put out on the error port
	Done      int64  // of a source: how much of Total is read
	Total     int64  // in the source's unit; -1: not known
	Finished  bool
	Model     *task.Metrics // of a prediction; nil: not one
	// In a stream:
	Late      int64         // rows that came after their window had closed
	Ahead     int64         // rows set aside as too far in the future
	Watermark int64         // of what the node puts out, in milliseconds; the least number: none yet
	Busy      time.Duration // that workers have spent in it
}

// counters are a node's figures, written by all workers.
type counters struct {
	node     *plan.Node
	rows     atomic.Int64
	errors   atomic.Int64
	finished atomic.Bool
	progress func() (done, total int64) // of a source, set before the workers start
	model    func() task.Metrics        // of a prediction, likewise
	stream   *streamNode                // nil: not in a stream
}

func (p *Progress) init(pl *plan.Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes = nil
	for _, n := range pl.Nodes {
		p.nodes = append(p.nodes, &counters{node: n})
	}
}

func (p *Progress) counters(id int) *counters { return p.nodes[id] }

// setSource tells how to ask a source how far it is.
func (p *Progress) setSource(id int, progress func() (int64, int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[id].progress = progress
}

// setModel tells how to ask a prediction what it has done.
func (p *Progress) setModel(id int, metrics func() task.Metrics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[id].model = metrics
}

func (p *Progress) setStream(id int, n *streamNode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[id].stream = n
}

func (p *Progress) begin(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stream = s
}

// Snapshot returns the figures of all nodes, in the order of the plan.
func (p *Progress) Snapshot() []NodeProgress {
	p.mu.Lock()
	defer p.mu.Unlock()
	under := p.underWay()
	out := make([]NodeProgress, 0, len(p.nodes))
	for _, c := range p.nodes {
		n := NodeProgress{ID: c.node.ID, Name: c.node.Name, Transform: c.node.Transform, Kind: c.node.Op.Kind(),
			Rows: c.rows.Load(), Errors: c.errors.Load(), Total: -1, Finished: c.finished.Load()}
		if c.progress != nil {
			n.Done, n.Total = c.progress()
		}
		if c.stream != nil {
			n.Late, n.Ahead, n.Watermark = c.stream.late.Load(), c.stream.ahead.Load(), c.stream.shown.Load()
			c.stream.busyShown = max(c.stream.busyShown, time.Duration(c.stream.busy.Load())+under[c.node.ID]) // it never falls
			n.Busy = c.stream.busyShown
		}
		if c.model != nil {
			m := c.model()
			n.Model = &m
		}
		out = append(out, n)
	}
	return out
}

// underWay is how long batches have been in nodes that are not done with them.
func (p *Progress) underWay() map[int]time.Duration {
	if p.stream == nil {
		return nil
	}
	out, now := map[int]time.Duration{}, time.Now()
	for _, w := range p.stream.workers {
		if n, since := w.where(now); since > time.Second { // less is soon in the figure itself
			out[n.ID] += since
		}
	}
	return out
}
