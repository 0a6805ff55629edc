package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/retry"
)

// How much is fetched ahead.
const (
	aheadMessages = 2000
	aheadBytes    = 16 << 20
)

// reader reads a stream from a position.
type reader struct {
	source *source
	fields column.Schema
	from   int64 // the sequence of the last message that was read; -1: a first run

	ctx     context.Context // until Close, or until something ends the run
	cancel  context.CancelCauseFunc
	running sync.WaitGroup
	conn    *nats.Conn
	stream  jetstream.Stream
	name    string

	mu    sync.Mutex
	ready []*received
	bytes int
	room  *sync.Cond
	came  chan struct{} // has one when something came
	sure  uint64        // the stream has no message of ours before it that did not come
	hole  uint64        // where messages are missing before those in ready, which may have been dropped; 0: none are
	upto  int64         // the position to show although no message came

	begun atomic.Bool  // start has ended well
	last  atomic.Int64 // the sequence that was handed out last
	count atomic.Int64
}

var (
	_ catalog.Resumable   = (*reader)(nil)
	_ catalog.Partitioned = (*reader)(nil)
	_ catalog.Metered     = (*reader)(nil)
)

func newReader(s *source, fields column.Schema) *reader {
	r := &reader{source: s, fields: fields, from: -1, came: make(chan struct{}, 1)}
	r.room = sync.NewCond(&r.mu)
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// Resume says where to go on.
func (r *reader) Resume(_ context.Context, at catalog.Resume) error {
	if text, ok := at.Positions[""]; ok {
		from, err := strconv.ParseInt(text, 10, 64)
		if err != nil || from < 0 {
			return fmt.Errorf("the checkpoint's position %q is not one of ReadFromNats", text)
		}
		r.from = from
	}
	return nil
}

// start connects and says where reading begins.
func (r *reader) start(ctx context.Context) error {
	s := r.source
	conn, _, stream, err := s.open(ctx, s.subject, r.cancel)
	if err != nil {
		return err
	}
	r.conn, r.stream, r.name = conn, stream, stream.CachedInfo().Config.Name
	if err = r.place(ctx, stream.CachedInfo()); err != nil {
		conn.Close()
		r.conn = nil
		return err
	}
	r.sure = uint64(r.from) + 1
	r.last.Store(r.from)
	r.begun.Store(true)
	r.running.Go(r.fetch)
	if s.subject != "" {
		r.running.Go(r.follow)
	}
	return nil
}

// place says where reading begins.
func (r *reader) place(ctx context.Context, info *jetstream.StreamInfo) (err error) {
	state := info.State
	switch {
	case info.Config.Retention == jetstream.WorkQueuePolicy:
		return fmt.Errorf("ReadFromNats: the stream %q is a work queue, which drops a message once someone has it, and cannot be read by position: read a stream with the retention limits", r.name)
	case r.from > int64(state.LastSeq):
		return r.anew(r.from, state.LastSeq)
	case r.from >= 0:
		return r.dropped(uint64(r.from)+1, info)
	case r.source.deliver == "all":
		r.from = int64(max(state.FirstSeq, 1)) - 1
	case r.source.deliver == "new":
		r.from = int64(state.LastSeq)
	default:
		r.from, err = r.newest(ctx, state.LastSeq)
	}
	return err
}

// newest returns the sequence before that of the newest message.
func (r *reader) newest(ctx context.Context, last uint64) (int64, error) {
	subject := r.source.subject
	if subject == "" {
		subject = ">"
	}
	m, err := r.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return int64(last), nil
	}
	if err != nil {
		return 0, r.source.wrap(err)
	}
	return int64(m.Sequence) - 1, nil
}

// fetch reads ahead until the reader is closed. The client makes its consumer anew where a connection or a message was lost.
func (r *reader) fetch() {
	next := uint64(r.from) + 1
	caller := retry.Caller{Policy: pauses}
	err := caller.Do(r.ctx, func(ctx context.Context) error {
		messages, err := r.consume(ctx, next)
		if err != nil {
			return err
		}
		defer messages.Stop()
		defer context.AfterFunc(ctx, messages.Stop)()
		var waiting string // the consumer that had nothing more for us when we last looked, while we were waiting for it
		for {
			m, err := messages.Next()
			if err != nil {
				return err
			}
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Stream < next {
				continue
			}
			next = meta.Sequence.Stream + 1
			stood, err := r.put(ctx, &received{m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream, meta.Timestamp.UnixMilli()}, waiting == meta.Consumer)
			if err != nil {
				return retry.Permanent(err)
			}
			if waiting = ""; meta.NumPending == 0 && !stood {
				waiting = meta.Consumer
			}
		}
	})
	if err != nil {
		r.cancel(r.source.wrap(err))
	}
}

// consume makes a consumer that begins at a sequence.
func (r *reader) consume(ctx context.Context, next uint64) (jetstream.MessagesContext, error) {
	config := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next, NamePrefix: r.source.durable}
	if r.source.subject != "" {
		config.FilterSubjects = []string{r.source.subject}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	consumer, err := r.stream.OrderedConsumer(ctx, config)
	if err != nil {
		return nil, err
	}
	return consumer.Messages(jetstream.PullMaxMessages(500))
}

// put hands a message to Next. It waits while much lies there, and reports whether it did. ready says that we had been waiting for the server, so
// that what did not come is not ours.
func (r *reader) put(ctx context.Context, m *received, ready bool) (waited bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.sequence > r.sure && r.hole == 0 && !(ready && r.source.subject != "") {
		r.hole = r.sure
	}
	r.sure = max(r.sure, m.sequence+1)
	for (len(r.ready) >= aheadMessages || r.bytes > aheadBytes) && r.ctx.Err() == nil {
		waited = true
		if hole := r.hole; hole > 0 { // later, more may have been dropped
			r.mu.Unlock()
			err := r.whole(ctx, hole)
			r.mu.Lock()
			if err != nil {
				return true, err
			}
			if r.hole == hole {
				r.hole = 0
			}
			continue
		}
		r.room.Wait()
	}
	r.ready = append(r.ready, m)
	r.bytes += len(m.payload)
	r.tell()
	return waited, nil
}

// tell says that something came.
func (r *reader) tell() {
	select {
	case r.came <- struct{}{}:
	default:
	}
}

// Next fills m with the messages that are there, or waits for one.
func (r *reader) Next(ctx context.Context, m *catalog.Morsel) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.conn == nil {
		first := r.from < 0
		if err := r.start(ctx); err != nil {
			return err
		}
		if first { // without rows: the first checkpoint then knows where "new" began
			*m = r.morsel(nil, r.from)
			return nil
		}
	}
	for {
		r.mu.Lock()
		ready, hole, upto := r.ready, r.hole, r.upto
		r.ready, r.bytes, r.hole = nil, 0, 0
		r.room.Broadcast()
		r.mu.Unlock()
		if hole > 0 {
			if err := r.whole(ctx, hole); err != nil {
				return err
			}
		}
		if len(ready) > 0 {
			r.count.Add(int64(len(ready)))
			last := int64(ready[len(ready)-1].sequence)
			r.last.Store(last)
			*m = r.morsel(ready, last)
			return nil
		}
		if upto > r.last.Load() {
			r.last.Store(upto)
			*m = r.morsel(nil, upto)
			m.Bare = true
			return nil
		}
		select {
		case <-r.came:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
}

func (r *reader) morsel(messages []*received, last int64) catalog.Morsel {
	m := catalog.Morsel{Seq: last, File: r.name, Part: messages, Position: strconv.FormatInt(last, 10)}
	if len(messages) > 0 {
		m.Seq, m.Line = int64(messages[0].sequence), int64(messages[0].sequence)
	}
	return m
}

// Partitions returns the one there is.
func (r *reader) Partitions() []string { return []string{""} }

// CaughtUp reports whether all that the stream holds has been handed out.
func (r *reader) CaughtUp(ctx context.Context, _ string) bool {
	if !r.begun.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if r.source.subject == "" {
		info, err := r.stream.Info(ctx)
		return err == nil && int64(info.State.LastSeq) <= r.last.Load()
	}
	m, err := r.stream.GetLastMsgForSubject(ctx, r.source.subject)
	return errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && int64(m.Sequence) <= r.last.Load()
}

// Progress returns how many messages were handed out.
func (r *reader) Progress() (done, total int64) { return r.count.Load(), -1 }

// Metrics returns the reader's figures.
func (r *reader) Metrics() []catalog.Metric {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []catalog.Metric{
		{Name: "received_messages", Help: "Messages that were handed out.", Value: float64(r.count.Load()), Counter: true},
		{Name: "sequence", Help: "The stream's sequence that was handed out last.", Value: float64(r.last.Load())},
		{Name: "ahead_bytes", Help: "Messages that were fetched ahead.", Value: float64(r.bytes)},
	}
}

// Close ends the connection.
func (r *reader) Close() error {
	r.cancel(errors.New("the reader is closed"))
	r.mu.Lock()
	r.room.Broadcast()
	r.mu.Unlock()
	if r.conn != nil {
		r.conn.Close()
	}
	r.running.Wait()
	return nil
}
