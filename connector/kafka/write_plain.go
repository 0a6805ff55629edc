package kafka

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	refuse "github.com/leat-project/leat/connector/refusal"
)

// plainWriter writes each row at least once.
type plainWriter struct {
	rowCounts
	settings *writeSettings
	box      *outbox
	slabs    sync.Pool
	closing  sync.Once
}

func newPlainWriter(s *writeSettings, limit int, rows *refuse.Box) (*plainWriter, error) {
	client, err := kgo.NewClient(s.producer(limit)...)
	if err != nil {
		return nil, err
	}
	w := &plainWriter{settings: s}
	w.slabs.New = func() any { return newSlab() }
	w.box = newOutbox(client, s.buffer, &w.slabs)
	w.box.refused = rows
	return w, nil
}

func (w *plainWriter) slab() *slab { return w.slabs.Get().(*slab) }

// send hands the records of a slab to the client.
func (w *plainWriter) send(ctx context.Context, s *slab, _ *[]byte) error {
	s.build(w.settings.topic, time.Now().UnixMilli())
	w.count(s)
	return w.box.send(ctx, s)
}

// Sync waits until the brokers have all rows.
func (w *plainWriter) Sync(ctx context.Context) error { return w.box.flush(ctx) }

// Cut has the checkpoint wait for the rows before it, and not for those after.
func (w *plainWriter) Cut(int64) func(context.Context) ([]byte, error) {
	wait := w.box.cut()
	return func(ctx context.Context) ([]byte, error) { return nil, wait(ctx) }
}

// Commit waits until the brokers have all rows, and ends.
func (w *plainWriter) Commit(ctx context.Context) (catalog.Written, error) {
	if err := w.box.flush(ctx); err != nil {
		return catalog.Written{}, err
	}
	return w.written(), w.Abort()
}

// Abort gives up what is under way.
func (w *plainWriter) Abort() error {
	w.closing.Do(w.box.close)
	return nil
}

// Refusals returns the rows that the brokers do not take.
func (w *plainWriter) Refusals() ([]catalog.RefusedRows, error) { return w.box.refused.Refusals() }

// Metrics returns what is under way, and what has failed.
func (w *plainWriter) Metrics() []catalog.Metric { return boxMetrics(w.box) }

// boxMetrics are the figures of outboxes together.
func boxMetrics(boxes ...*outbox) []catalog.Metric {
	var waiting, failed float64
	for _, b := range boxes {
		waiting += float64(b.waiting())
		failed += float64(b.failures.Load())
	}
	return []catalog.Metric{
		{Name: "buffered_rows", Help: "Rows that the brokers have not taken yet.", Value: waiting},
		{Name: "failed_rows_total", Help: "Rows that could not be written.", Value: failed, Counter: true},
	}
}

// rowCounts counts what was handed to the client.
type rowCounts struct{ bytes atomic.Int64 }

func (c *rowCounts) count(s *slab) { c.bytes.Add(int64(len(s.data))) }

func (c *rowCounts) written() catalog.Written { return catalog.Written{Bytes: c.bytes.Load()} }
