package engine

import (
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
)

// LatencyBounds are the upper bounds of the latency histogram's buckets.
var LatencyBounds = [...]time.Duration{500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond,
	20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute}

// histogram counts rows by how long they took.
type histogram struct {
	counts [len(LatencyBounds) + 1]atomic.Int64
	sum    atomic.Int64 // nanoseconds
}

func (h *histogram) add(took time.Duration, rows int64) {
	i := 0
	for i < len(LatencyBounds) && took > LatencyBounds[i] {
		i++
	}
	h.counts[i].Add(rows)
	h.sum.Add(int64(took) * rows)
}

// Latency is how long rows took from when a source handed them out to when a sink took them, without those that waited for their window.
type Latency struct {
	Counts [len(LatencyBounds) + 1]int64 // rows within each bound, and beyond the last
	Sum    time.Duration
}

// StreamProgress is how a stream goes.
type StreamProgress struct {
	Epoch          int64 // of the last checkpoint
	Checkpoints    int64 // made in this run
	Failures       int64 // tries to write one that failed
	Failing        bool  // the last try failed
	Stalled        bool  // nothing goes on: a checkpoint or a worker waits for a sink or the disk
	CheckpointTook time.Duration
	CheckpointSize int64
	CheckpointAt   time.Time // when the last was committed; zero: none yet
	Turns          int64
	Queued         int // pieces that wait for a worker
	Workers        int
	Latency        Latency
	Connectors     []ConnectorMetric
}

// ConnectorMetric is a figure of a connector's own.
type ConnectorMetric struct {
	Transform string // its name
	catalog.Metric
}

// Stream returns how the stream goes; ok is false where the run is none.
func (p *Progress) Stream() (out StreamProgress, ok bool) {
	p.mu.Lock()
	s := p.stream
	p.mu.Unlock()
	if s == nil {
		return out, false
	}
	f := &s.figures
	out = StreamProgress{Epoch: f.epoch.Load(), Checkpoints: f.checkpoints.Load(), Failures: f.failures.Load(), Failing: f.failing.Load(), Stalled: f.stalled.Load() || f.stuck.Load(), CheckpointTook: time.Duration(f.took.Load()),
		CheckpointSize: f.bytes.Load(), Turns: f.turns.Load(), Queued: s.queue.length(), Workers: len(s.workers)}
	if at := f.at.Load(); at != 0 {
		out.CheckpointAt = time.Unix(0, at)
	}
	for i := range f.latency.counts {
		out.Latency.Counts[i] = f.latency.counts[i].Load()
	}
	out.Latency.Sum = time.Duration(f.latency.sum.Load())
	for _, n := range s.nodes {
		for _, of := range []any{n.reader, n.writer} {
			if m, ok := of.(catalog.Metered); ok {
				for _, metric := range m.Metrics() {
					out.Connectors = append(out.Connectors, ConnectorMetric{n.Name, metric})
				}
			}
		}
	}
	return out, true
}
