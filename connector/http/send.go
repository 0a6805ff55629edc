package http

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/retry"
)

// sendTimeout is how long one request may take, its answer included.
const sendTimeout = 2 * time.Minute

// sender sends requests, several at a time. It is the Writer of WriteToHttp.
type sender struct {
	sink   *httpSink
	client *client
	schema column.Schema
	caller retry.Caller

	ctx    context.Context // until Abort
	cancel context.CancelCauseFunc
	slots  chan struct{} // one for each request that is under way
	mu     sync.Mutex
	err    error // the first one
	sync   sync.Mutex
	nonce  [16]byte // of this writer
	made   atomic.Int64

	rows, requests, failures, bytes atomic.Int64
}

var (
	_ catalog.Writer  = (*sender)(nil)
	_ catalog.Syncer  = (*sender)(nil)
	_ catalog.Metered = (*sender)(nil)
)

func newSender(s *httpSink, c *client, schema column.Schema) *sender {
	w := &sender{sink: s, client: c, schema: schema, slots: make(chan struct{}, s.maxInFlight)}
	// The caller's breaker belongs to this writer: the sink may be opened more than once.
	w.caller = retry.Caller{Policy: s.caller.Policy, Breaker: s.caller.Breaker, Failed: func(error) { w.failures.Add(1) }}
	w.ctx, w.cancel = context.WithCancelCause(context.Background())
	_, _ = rand.Read(w.nonce[:]) // it never fails
	return w
}

// request is what is sent at once.
type request struct {
	body  []byte
	rows  int
	key   string // the Idempotency-Key
	where string // the first row came from; "" not known
	first []byte // the first row
}

// send begins to send a request, once there is a slot. An error may be that of an earlier one.
func (w *sender) send(ctx context.Context, r *request) error {
	if err := w.failure(); err != nil {
		return err
	}
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	go func() {
		defer func() { <-w.slots }()
		if err := w.deliver(r); err != nil {
			w.fail(err)
		}
	}()
	return nil
}

// deliver sends a request until it is there.
func (w *sender) deliver(r *request) error {
	header := w.client.header.Clone()
	header.Set("Idempotency-Key", r.key)
	err := w.caller.Do(w.ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, sendTimeout)
		defer cancel()
		w.requests.Add(1)
		answer, err := w.client.do(ctx, w.sink.method, header, bytes.NewReader(r.body))
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode == http.StatusNotModified {
			return retry.Permanent(fmt.Errorf("%s %s: the server answers %s", w.sink.method, w.client.name(), answer.Status))
		}
		_, _ = io.CopyN(io.Discard, answer.Body, 64<<10) // so that the connection can be used again
		return nil
	})
	if err != nil {
		return r.explain(err)
	}
	w.rows.Add(int64(r.rows))
	w.bytes.Add(int64(len(r.body)))
	return nil
}

// rowExcerpt is how much of a row an error shows.
const rowExcerpt = 200

// explain names the rows in an error.
func (r *request) explain(err error) error {
	what := "the row"
	if r.rows > 1 {
		what = fmt.Sprintf("%d rows, of which the first", r.rows)
	}
	if r.where != "" {
		what += " from " + r.where
	}
	first := r.first
	if len(first) > rowExcerpt {
		first = append(append([]byte{}, first[:rowExcerpt]...), "…"...)
	}
	return fmt.Errorf("%w; it was sent %s: %s", err, what, first)
}

func (w *sender) fail(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	w.mu.Unlock()
	w.cancel(err) // the others are not worth waiting for
}

func (w *sender) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Sync waits until all that was sent is there.
func (w *sender) Sync(ctx context.Context) error {
	w.sync.Lock() // two that each have some of the slots would wait for ever
	defer w.sync.Unlock()
	taken := 0
	defer func() {
		for range taken {
			<-w.slots
		}
	}()
	for range cap(w.slots) { // all slots are free when we have all of them
		select {
		case w.slots <- struct{}{}:
			taken++
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return w.failure()
}

// Commit waits for the last answers.
func (w *sender) Commit(ctx context.Context) (catalog.Written, error) {
	err := w.Sync(ctx)
	if err == nil {
		w.client.close()
	}
	return catalog.Written{Bytes: w.bytes.Load()}, err
}

// Abort gives up what is under way.
func (w *sender) Abort() error {
	w.cancel(context.Canceled)
	_ = w.Sync(context.Background()) // soon: all requests have been given up
	w.client.close()
	return nil
}

// Metrics returns the figures of the sender and its breaker.
func (w *sender) Metrics() []catalog.Metric {
	out := []catalog.Metric{
		{Name: "rows_total", Help: "Rows that the server has taken.", Value: float64(w.rows.Load()), Counter: true},
		{Name: "requests_total", Help: "Requests that were sent.", Value: float64(w.requests.Load()), Counter: true},
		{Name: "failures_total", Help: "Requests that failed and were tried again.", Value: float64(w.failures.Load()), Counter: true},
		{Name: "in_flight_requests", Help: "Requests that are under way.", Value: float64(len(w.slots))},
	}
	return append(out, w.caller.Breaker.Metrics()...)
}
