package nats

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/envelope"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// WriteToNats publishes rows to a stream of NATS JetStream.
var WriteToNats = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToNats",
	Summary: "Publishes rows as messages of a NATS JetStream stream.",
	Doc: "A row is a message, by its format, of the subject.\n\n" +
		"**Delivery**: each row is stored at least once: after a crash, rows since the last checkpoint come again. Messages have the header Nats-Msg-Id, which stays " +
		"the same then, so that the server drops those that it has stored within its `duplicate_window`. Rows of aggregates have none that lasts.\n\n" +
		"**Order**: that of a worker, but for messages that are sent again after a connection was lost.\n\n" +
		"**Errors**: a server that cannot be reached is tried again for ever. One that does not let us in, or has no stream with the subject, ends the run. A row " +
		"that the format cannot hold, or the server does not take, such as one that is too large, goes to the error output.",
	Refuses: true,
	Source:  "https://docs.nats.io/nats-concepts/jetstream",
	Fields:  append(connectionFields(), message.Fields()...),
	Example: `# Needs a server at localhost:4222.
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{id: 1}, {id: 2}]
    - type: WriteToNats
      config:
        url: nats://localhost:4222
        subject: orders.new
        format: JSON
`,
	Open: openSink,
	Check: func(config map[string]any, schema column.Schema) error {
		format, err := message.Open(config)
		if err == nil {
			_, err = format.NewEncoder(schema)
		}
		return err
	},
})

// sink is WriteToNats with its configuration understood.
type sink struct {
	*settings
	format  *message.Format
	job     string
	refused *refusal.Box
}

var (
	_ catalog.Guaranteed = (*sink)(nil)
	_ catalog.Pinger     = (*sink)(nil)
)

func openSink(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
	settings, p := readSettings("WriteToNats", config)
	s := &sink{settings: settings, refused: refusal.NewBox(env)}
	if env != nil {
		s.job = env.Job + "/" + env.Name
	}
	if s.subject == "" || strings.ContainsAny(s.subject, " *>") {
		p.add("subject", diag.BadValue, "", "wanted a subject without * and >, found %q", s.subject)
	}
	var err error
	if s.format, err = message.Open(config); err != nil {
		p = append(p, err)
	}
	return s, p.err()
}

// Guarantee returns AtLeastOnce: the server drops doubles for a while only.
func (s *sink) Guarantee() catalog.Guarantee { return catalog.AtLeastOnce }

// Ping asks the server for the stream.
func (s *sink) Ping(ctx context.Context) error { return s.ping(ctx, s.subject) }

// Open makes a writer. It connects when there is something to write.
func (s *sink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	if _, err := s.format.NewEncoder(schema); err != nil {
		return nil, err
	}
	w := &writer{sink: s, schema: schema, places: make(chan struct{}, inFlight)}
	w.ctx, w.cancel = context.WithCancelCause(context.Background())
	return w, nil
}

const (
	inFlight   = 1000 // messages that are published and not stored
	ackTimeout = 10 * time.Second
)

// writer publishes messages.
type writer struct {
	sink    *sink
	schema  column.Schema
	ctx     context.Context // until the end, or until something ends the run
	cancel  context.CancelCauseFunc
	places  chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	conn   *nats.Conn
	js     jetstream.JetStream
	under  int
	idle   chan struct{} // closed when under is 0; nil: nobody waits
	sent   int64
	double int64
	bytes  int64
}

var (
	_ catalog.Syncer  = (*writer)(nil)
	_ catalog.Metered = (*writer)(nil)
	_ catalog.Refuser = (*writer)(nil)
)

// server returns the connection.
func (w *writer) server(ctx context.Context) (jetstream.JetStream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.js != nil {
		return w.js, nil
	}
	conn, _, _, err := w.sink.open(ctx, w.sink.subject, w.cancel)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(2*inFlight), jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		conn.Close()
		return nil, w.sink.wrap(err)
	}
	w.conn, w.js = conn, js
	return js, nil
}

// publish sends a message. It waits while many are on their way.
func (w *writer) publish(ctx context.Context, m *nats.Msg, row refusal.Row) error {
	js, err := w.server(ctx)
	if err != nil {
		return err
	}
	select {
	case w.places <- struct{}{}:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
	w.mu.Lock()
	w.under++
	w.mu.Unlock()
	future, err := js.PublishMsgAsync(m)
	w.running.Go(func() { w.settle(js, m, row, future, err) })
	return nil
}

// settle waits until a message is stored, and sends it again where it was not.
func (w *writer) settle(js jetstream.JetStream, m *nats.Msg, row refusal.Row, future jetstream.PubAckFuture, err error) {
	if err == nil {
		select {
		case ack := <-future.Ok():
			w.done(m, ack)
			return
		case err = <-future.Err():
		case <-w.ctx.Done():
			return
		}
	}
	first := true
	caller := retry.Caller{Policy: pauses}
	err = caller.Do(w.ctx, func(ctx context.Context) error {
		if first {
			first = false
			return w.passing(err)
		}
		ctx, cancel := context.WithTimeout(ctx, ackTimeout)
		defer cancel()
		ack, err := js.PublishMsg(ctx, m)
		if err != nil {
			return w.passing(err)
		}
		w.done(m, ack)
		return nil
	})
	if refusal.IsBad(err) && w.sink.refused.Add(row, err) {
		w.over()
	} else if err != nil {
		w.cancel(w.sink.wrap(err))
	}
}

// passing marks errors that will not pass.
func (w *writer) passing(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject), errors.As(err, &api) && api.Code == 400:
		return retry.Permanent(refusal.Bad(err))
	}
	return err
}

func (w *writer) done(m *nats.Msg, ack *jetstream.PubAck) {
	w.mu.Lock()
	w.sent++
	w.bytes += int64(len(m.Data))
	if ack != nil && ack.Duplicate {
		w.double++
	}
	w.mu.Unlock()
	w.over()
}

// over counts a message that is stored, or refused.
func (w *writer) over() {
	<-w.places
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.under--; w.under == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// Sync waits until the server has stored all that was written.
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

// Refusals returns the rows that the server does not take.
func (w *writer) Refusals() ([]catalog.RefusedRows, error) { return w.sink.refused.Refusals() }

// Commit waits until all is stored, and ends the connection.
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
	w.cancel(errors.New("the writer is closed"))
	w.running.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		w.conn.Close()
		w.conn, w.js = nil, nil
	}
}

// Metrics returns the writer's figures.
func (w *writer) Metrics() []catalog.Metric {
	w.mu.Lock()
	defer w.mu.Unlock()
	return []catalog.Metric{
		{Name: "published_messages", Help: "Messages that the server has taken.", Value: float64(w.sent), Counter: true},
		{Name: "duplicate_messages", Help: "Messages that the server had stored before.", Value: float64(w.double), Counter: true},
		{Name: "in_flight_messages", Help: "Messages that the server has not taken yet.", Value: float64(w.under)},
	}
}

// encoder publishes the rows of one worker.
type encoder struct {
	writer  *writer
	message *message.Encoder
	err     error
	ids     *envelope.IDs
}

// NewEncoder returns an encoder for one worker.
func (w *writer) NewEncoder() catalog.Encoder {
	e := &encoder{writer: w, ids: envelope.NewIDs(w.sink.job)}
	e.message, e.err = w.sink.format.NewEncoder(w.schema)
	return e
}

// Write publishes the rows of b.
func (e *encoder) Write(ctx context.Context, b *column.Batch) error {
	if e.err != nil {
		return e.err
	}
	copied := e.writer.sink.refused.Copy(b)
	return refusal.Each(b, func(k, i int) error { return e.row(ctx, b, i, refusal.RowOf(copied, k)) })
}

func (e *encoder) row(ctx context.Context, b *column.Batch, i int, row refusal.Row) error {
	data, err := e.message.Append(nil, b, i)
	if err != nil {
		return refusal.Bad(err)
	}
	m := nats.NewMsg(e.writer.sink.subject)
	m.Data = data
	id := e.ids.Of(b, i, m.Subject, data)
	if id == "" { // it holds while this process tries again
		id = nats.NewInbox()
	}
	m.Header.Set(jetstream.MsgIDHeader, id)
	return e.writer.publish(ctx, m, row)
}

// Flush does nothing: messages are on their way.
func (e *encoder) Flush(context.Context) error { return nil }
