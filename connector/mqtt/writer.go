package mqtt

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/envelope"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/expr"
)

// Messages are published in lanes, by topic: one after another in each, so that a topic keeps its order, and the lanes side by side.
const (
	lanes     = 64
	laneQueue = 16
)

// writer publishes messages.
type writer struct {
	sink   *sink
	layout *layout
	ctx    context.Context // until the end, or until something ends the run
	cancel context.CancelCauseFunc
	lanes  [lanes]chan *publication
	seed   maphash.Seed

	running sync.WaitGroup
	begin   sync.Once
	refused *refusal.Box

	mu      sync.Mutex
	under   int           // messages that were given and are not safe
	idle    chan struct{} // closed when under is 0; nil: nobody waits
	sent    int64
	bytes   int64
	dialing sync.Mutex
	link    link
}

var (
	_ catalog.Syncer  = (*writer)(nil)
	_ catalog.Metered = (*writer)(nil)
	_ catalog.Refuser = (*writer)(nil)
)

func newWriter(s *sink, l *layout) *writer {
	w := &writer{sink: s, layout: l, seed: maphash.MakeSeed(), refused: s.refused}
	w.ctx, w.cancel = context.WithCancelCause(context.Background())
	for i := range w.lanes {
		w.lanes[i] = make(chan *publication, laneQueue)
	}
	return w
}

// publish gives a message to its lane. It waits while that is full.
func (w *writer) publish(ctx context.Context, p *publication) error {
	w.begin.Do(func() {
		for _, lane := range w.lanes {
			w.running.Go(func() { w.run(lane) })
		}
	})
	w.mu.Lock()
	w.under++
	w.mu.Unlock()
	select {
	case w.lanes[maphash.String(w.seed, p.topic)%lanes] <- p:
		return nil
	case <-w.ctx.Done():
		w.done(0)
		return context.Cause(w.ctx)
	case <-ctx.Done():
		w.done(0)
		return ctx.Err()
	}
}

// done counts a message that is safe, or given up.
func (w *writer) done(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += int64(bytes)
	if w.under--; w.under == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// run publishes the messages of a lane.
func (w *writer) run(lane <-chan *publication) {
	caller := retry.Caller{Policy: retry.Policy{First: 200 * time.Millisecond, Most: 30 * time.Second}}
	for {
		var p *publication
		select {
		case p = <-lane:
		case <-w.ctx.Done():
			return
		}
		err := caller.Do(w.ctx, func(ctx context.Context) error {
			l, err := w.connection(ctx)
			if err != nil {
				return err
			}
			return l.publish(ctx, p)
		})
		if refusal.IsBad(err) && w.refused.Add(p.row, err) {
			w.done(0)
			continue
		}
		if err != nil {
			w.cancel(fmt.Errorf("WriteToMqtt: %w", err))
			return
		}
		w.mu.Lock()
		w.sent++
		w.mu.Unlock()
		w.done(len(p.payload))
	}
}

// connection returns the connection, which is made anew when it was lost.
func (w *writer) connection(ctx context.Context) (link, error) {
	w.dialing.Lock()
	defer w.dialing.Unlock()
	if w.link != nil {
		select {
		case <-w.link.lost():
			w.link.close()
			w.link = nil
		default:
			return w.link, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	id := w.sink.clientID
	if id == "" {
		id = randomID()
	}
	l, err := w.sink.dial(ctx, wish{clientID: id})
	if err != nil {
		return nil, err
	}
	w.link = l
	return l, nil
}

// Sync waits until the broker has all that was written.
func (w *writer) Sync(ctx context.Context) error {
	w.mu.Lock()
	if w.under == 0 {
		w.mu.Unlock()
		return nil
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refusals returns the rows that the broker does not take.
func (w *writer) Refusals() ([]catalog.RefusedRows, error) { return w.refused.Refusals() }

// Commit waits until the broker has all, and ends the connection.
func (w *writer) Commit(ctx context.Context) (catalog.Written, error) {
	err := w.Sync(ctx)
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	return catalog.Written{Bytes: w.bytes}, err
}

// Abort ends the connection. What was published cannot be called back.
func (w *writer) Abort() error {
	w.end()
	return nil
}

func (w *writer) end() {
	w.cancel(errWriterClosed)
	w.running.Wait()
	w.dialing.Lock()
	defer w.dialing.Unlock()
	if w.link != nil {
		w.link.close()
		w.link = nil
	}
}

var errWriterClosed = errors.New("the writer is closed")

// Metrics returns the writer's figures.
func (w *writer) Metrics() []catalog.Metric {
	w.mu.Lock()
	defer w.mu.Unlock()
	return []catalog.Metric{
		{Name: "published_messages", Help: "Messages that the broker has taken.", Value: float64(w.sent), Counter: true},
		{Name: "in_flight_messages", Help: "Messages that the broker has not taken yet.", Value: float64(w.under)},
	}
}

// encoder publishes the rows of one worker.
type encoder struct {
	writer  *writer
	message *message.Encoder
	err     error
	ids     *envelope.IDs
	part    column.Batch
	topic   strings.Builder
}

// NewEncoder returns an encoder for one worker.
func (w *writer) NewEncoder() catalog.Encoder {
	e := &encoder{writer: w, ids: envelope.NewIDs(w.sink.job)}
	e.message, e.err = w.sink.format.NewEncoder(w.layout.schema)
	return e
}

// Write publishes the rows of b.
func (e *encoder) Write(ctx context.Context, b *column.Batch) error {
	if e.err != nil {
		return e.err
	}
	e.part = *b
	e.part.Cols = make([]*column.Vector, 0, len(e.writer.layout.cols))
	for _, i := range e.writer.layout.cols {
		e.part.Cols = append(e.part.Cols, b.Cols[i])
	}
	copied := e.writer.refused.Copy(b)
	return refusal.Each(b, func(k, i int) error { return e.row(ctx, b, i, refusal.RowOf(copied, k)) })
}

func (e *encoder) row(ctx context.Context, b *column.Batch, i int, row refusal.Row) error {
	topic, err := e.topicOf(b, i)
	if err != nil {
		return refusal.Bad(err)
	}
	payload, err := e.message.Append(nil, &e.part, i)
	if err != nil {
		return refusal.Bad(err)
	}
	p := &publication{topic: topic, payload: payload, qos: e.writer.sink.qos, retain: e.writer.sink.retain, row: row}
	if e.writer.sink.version == version5 {
		p.id = e.ids.Of(b, i, topic, payload)
	}
	return e.writer.publish(ctx, p)
}

// topicOf makes the topic of a row.
func (e *encoder) topicOf(b *column.Batch, i int) (string, error) {
	e.topic.Reset()
	for k, piece := range e.writer.sink.topic {
		at := e.writer.layout.topic[k]
		if at < 0 {
			e.topic.WriteString(piece.text)
			continue
		}
		v := b.Cols[at].Value(i)
		text := expr.Str(v)
		if v == nil || strings.ContainsAny(text, "+#\x00") {
			return "", fmt.Errorf("the field %q is part of the topic, and cannot be %s", piece.field, expr.Repr(v))
		}
		e.topic.WriteString(text)
	}
	if e.topic.Len() == 0 || e.topic.Len() > 65535 {
		return "", fmt.Errorf("a topic of %d bytes: there are 1 to 65535", e.topic.Len())
	}
	return e.topic.String(), nil
}

// Flush does nothing: messages are on their way.
func (e *encoder) Flush(context.Context) error { return nil }
