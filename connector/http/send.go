package http

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
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
	_ catalog.Refuser = (*sender)(nil)
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
	parts []part // one for each row, where refused rows are asked for
}

// part is where a row lies in a body.
type part struct {
	row      refusal.Row
	from, to int
}

// split returns the two halves of a request, of which one row spoils only one.
func (r *request) split(array bool) [2]*request {
	var out [2]*request
	middle := len(r.parts) / 2
	for k, parts := range [2][]part{r.parts[:middle], r.parts[middle:]} {
		first := parts[0]
		half := &request{rows: len(parts), first: r.body[first.from:min(first.to, first.from+2*rowExcerpt)]}
		for i, p := range parts {
			switch {
			case array && i == 0:
				half.body = append(half.body, '[')
			case array:
				half.body = append(half.body, ',')
			}
			from := len(half.body)
			half.body = append(half.body, r.body[p.from:p.to]...)
			half.parts = append(half.parts, part{p.row, from, len(half.body)})
			if !array {
				half.body = append(half.body, '\n')
			}
		}
		if array {
			half.body = append(half.body, ']')
		}
		half.key = keyOf(r.key, half.body)
		out[k] = half
	}
	return out
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

// deliver sends a request until it is there. Rows that the server refuses for good go to the error output, if there is one; of a request of several they are
// found by halves.
func (w *sender) deliver(r *request) error {
	err := w.try(r)
	var exhausted *retry.Exhausted
	switch {
	case err == nil || len(r.parts) == 0:
		return err
	case errors.As(err, &exhausted):
	case !refusal.IsBad(err):
		return err
	case len(r.parts) > 1:
		for _, half := range r.split(w.sink.format == formatJSON) {
			if err := w.deliver(half); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range r.parts {
		w.sink.refused.Add(p.row, err)
	}
	return nil
}

// try sends a request until there is an answer that counts.
func (w *sender) try(r *request) error {
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
	if err != nil && len(r.parts) > 0 {
		return err // the error output shows the rows
	}
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
	f := &diag.Failure{Code: diag.CannotWrite, Origin: r.where, Row: string(r.first), Err: err}
	if len(f.Row) > rowExcerpt {
		f.Row = f.Row[:rowExcerpt] + "…"
	}
	if r.rows > 1 {
		f.Err = fmt.Errorf("%w; it was sent %d rows, of which the first is shown", err, r.rows)
	}
	if refusal.IsBad(err) {
		f.Hint = "Give the transform an error_handling output to set such rows aside."
	}
	return f
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

// Refusals returns the rows that the server does not take.
func (w *sender) Refusals() ([]catalog.RefusedRows, error) { return w.sink.refused.Refusals() }

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
