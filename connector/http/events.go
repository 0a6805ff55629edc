package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
)

// How much of a stream is read ahead.
const (
	aheadEvents = 1024
	aheadBytes  = 32 << 20
)

// eventReader reads server-sent events. Its position is the number of events so far and the last id.
type eventReader struct {
	rowsOf
	client *client
	policy retry.Policy

	ctx    context.Context // until Close
	cancel context.CancelFunc
	begun  bool
	ahead  chan pushed // closed when the stream has ended; err says why
	err    error
	room   budget
	waits  atomic.Int64 // events that were received and not handed out yet
	linked atomic.Bool  // to the server
	number int64        // of events that were handed out
	done   atomic.Int64 // the same, in this run
	id     string       // of the last one
	figures
}

var (
	_ catalog.Resumable   = (*eventReader)(nil)
	_ catalog.Partitioned = (*eventReader)(nil)
	_ catalog.Metered     = (*eventReader)(nil)
)

func newEventReader(c *client, policy retry.Policy, rows rowsOf) *eventReader {
	r := &eventReader{rowsOf: rows, client: c, policy: policy, ahead: make(chan pushed, aheadEvents), room: budget{free: aheadBytes}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// NewDecoder returns a decoder for one worker.
func (r *eventReader) NewDecoder() catalog.Decoder { return r.newDecoder() }

// Resume says where to go on.
func (r *eventReader) Resume(_ context.Context, resume catalog.Resume) error {
	text, ok := resume.Positions[""]
	if !ok {
		return nil
	}
	count, id, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%s: the checkpoint's position %q is none of server-sent events", r.client.name(), text)
	}
	r.number, r.id = n, id
	return nil
}

// Next hands out what has been received, once there is something.
func (r *eventReader) Next(ctx context.Context, m *catalog.Morsel) error {
	if !r.begun {
		r.begun = true
		id := r.id
		r.running.Go(func() {
			r.err = r.run(r.ctx, id)
			close(r.ahead)
		})
	}
	var items []item
	m.Seq, m.File, m.Data, m.Partition = r.number, r.client.name(), nil, ""
	for size := 0; len(items) < morselMessages && size < morselBytes; {
		e, ok, err := r.receive(ctx, len(items) == 0)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		size += len(e.data)
		r.number++
		r.id = e.id
		it := item{message: e.data, time: e.at, number: r.number}
		it.note.Bad = e.bad
		it.note.set(r.meta, metaEvent, e.kind)
		it.note.set(r.meta, metaID, e.id)
		items = append(items, it)
	}
	r.done.Add(int64(len(items)))
	m.Part, m.Position = items, strconv.FormatInt(r.number, 10)+" "+r.id
	return nil
}

// receive returns the next event. It waits for it where it is the first of a morsel.
func (r *eventReader) receive(ctx context.Context, wait bool) (e pushed, ok bool, err error) {
	if wait {
		select {
		case e, ok = <-r.ahead:
		case <-ctx.Done():
			return e, false, context.Cause(ctx)
		}
		if !ok {
			return e, false, r.err
		}
	} else {
		select {
		case e, ok = <-r.ahead:
		default:
		}
		if !ok {
			return e, false, nil
		}
	}
	r.room.give(e.size())
	r.waits.Add(-1)
	return e, true, nil
}

// size is roughly what an event takes.
func (e *pushed) size() int64 { return int64(len(e.data)) + 256 }

// firstReconnect is the pause before the first reconnect, where the server does not say.
const firstReconnect = time.Second

// run reads the stream until it ends, connecting again whenever it breaks.
func (r *eventReader) run(ctx context.Context, id string) error {
	var asked time.Duration // by the stream
	for failures := 1; ; failures++ {
		p, err := r.connect(ctx, id)
		if err == nil {
			p.retry = asked
			var some bool
			if some, err = r.pass(ctx, p); some {
				failures = 1
			}
			id, asked = p.id, p.retry
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errStreamEnded):
			return io.EOF
		case retry.IsPermanent(err):
			return retry.Plain(err)
		}
		r.failures.Add(1)
		policy := r.policy
		if policy.First = asked; asked <= 0 {
			policy.First = firstReconnect
		}
		pause := max(policy.Pause(failures), asked) + retry.Asked(err)
		if err := retry.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// errStreamEnded is the error of an answer by which the server ends the stream for good.
var errStreamEnded = errors.New("the server has ended the stream")

// stream is a connection to the server, and the parser of what comes.
type stream struct {
	*eventParser
	body io.Closer
}

// connect asks for the events after the one of that id.
func (r *eventReader) connect(ctx context.Context, id string) (*stream, error) {
	header := r.client.header.Clone()
	header.Set("Accept", typeEventStream)
	header.Set("Accept-Encoding", "identity") // compressed events may wait for others
	header.Set("Cache-Control", "no-store")
	if id != "" {
		header.Set("Last-Event-ID", id)
	}
	r.requests.Add(1)
	answer, err := r.client.do(ctx, http.MethodGet, header, nil)
	if err != nil {
		return nil, err
	}
	t := mediaType(answer.Header.Get("Content-Type"))
	switch {
	case answer.StatusCode == http.StatusNoContent:
		_ = answer.Body.Close()
		return nil, errStreamEnded
	case answer.StatusCode != http.StatusOK || t != typeEventStream:
		_ = answer.Body.Close()
		return nil, retry.Permanent(fmt.Errorf("GET %s: the server answers %s of type %q, wanted %s", r.client.name(), answer.Status, t, typeEventStream))
	}
	return &stream{newEventParser(answer.Body, id), answer.Body}, nil
}

// pass hands the events of a connection on until it breaks, and says whether there were any.
func (r *eventReader) pass(ctx context.Context, s *stream) (some bool, err error) {
	defer func() { _ = s.body.Close() }()
	r.linked.Store(true)
	defer r.linked.Store(false)
	for {
		e, err := s.next()
		if err != nil {
			return some, err
		}
		some = true
		e.at = time.Now().UnixMilli()
		if err := r.room.take(ctx, e.size()); err != nil {
			return some, err
		}
		r.waits.Add(1)
		select {
		case r.ahead <- e:
		case <-ctx.Done():
			return some, context.Cause(ctx)
		}
	}
}

// Partitions returns the one there is.
func (r *eventReader) Partitions() []string { return []string{""} }

// CaughtUp reports whether all that was received has been handed out.
func (r *eventReader) CaughtUp(context.Context, string) bool {
	return r.linked.Load() && r.waits.Load() == 0
}

// Progress returns how many events were handed out.
func (r *eventReader) Progress() (done, total int64) { return r.done.Load(), -1 }

// Metrics returns the figures of the client.
func (r *eventReader) Metrics() []catalog.Metric {
	return append(r.metrics()[:2], catalog.Metric{Name: "connected", Help: "Whether the stream of events is open.", Value: map[bool]float64{true: 1}[r.linked.Load()]})
}

// Close ends the connection.
func (r *eventReader) Close() error {
	r.cancel()
	r.running.Wait()
	r.client.close()
	return nil
}
