package mqtt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/intake"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/expr"
)

// receiver fills the log of a reader: one goroutine connects, one appends, one acknowledges what is safe, in the order in which it came.
type receiver struct {
	*reader
	in    chan delivery
	under chan waiting
	keys  *keys
}

// waiting is a message that waits until it is safe.
type waiting struct {
	delivery
	done <-chan error // nil: nothing has to be kept of it
	meta []byte
	key  *key
}

func newReceiver(r *reader) *receiver {
	rc := &receiver{reader: r, in: make(chan delivery, 64), under: make(chan waiting, receiveMaximum)}
	if r.seen != nil && !r.source.dedupID {
		rc.keys = newKeys(r.source)
	}
	return rc
}

// fail ends the run.
func (rc *receiver) fail(err error) { rc.cancel(fmt.Errorf("ReadFromMqtt: %w", err)) }

// connect keeps a connection until the reader is closed, or the broker says that it never will.
func (rc *receiver) connect() {
	w := wish{clientID: rc.clientID, keep: rc.keep, filters: rc.source.filters, skip: rc.source.skip}
	policy := retry.Policy{First: 200 * time.Millisecond, Most: 30 * time.Second}
	for failures := 0; rc.ctx.Err() == nil; {
		w.receive = rc.receive
		l, err := rc.source.dial(rc.ctx, w)
		if retry.IsPermanent(err) {
			rc.fail(retry.Plain(err))
			return
		}
		if err == nil {
			w.again = true
			began := time.Now()
			rc.online.Store(true)
			select {
			case <-l.lost():
			case <-rc.ctx.Done():
			}
			rc.online.Store(false)
			l.close()
			if time.Since(began) > 10*time.Second {
				failures = 0 // one that is lost at once, again and again, is as good as none
			}
		}
		failures++
		if retry.Sleep(rc.ctx, policy.Pause(failures)) != nil {
			return
		}
	}
}

// receive takes a message from a connection. While it waits, the connection reads nothing more, and the broker sends nothing more.
func (rc *receiver) receive(d delivery) {
	rc.received.Add(1)
	select {
	case rc.in <- d:
	case <-rc.ctx.Done():
	}
}

// append puts what comes into the log.
func (rc *receiver) append() {
	for {
		var d delivery
		select {
		case d = <-rc.in:
		case <-rc.ctx.Done():
			return
		}
		w := waiting{delivery: d}
		if !(d.retained && rc.source.skip) && !rc.known(&w) {
			w.meta = appendHead(nil, &head{topic: d.topic, id: d.id, qos: d.qos, retained: d.retained, key: w.key})
			w.done = rc.log.Append(rc.ctx, "", time.Now().UnixMilli(), w.meta, d.payload)
		}
		select {
		case rc.under <- w:
		case <-rc.ctx.Done():
			return
		}
	}
}

// known reports whether a message came before. One that waits for its double is acknowledged after it.
func (rc *receiver) known(w *waiting) bool {
	if rc.seen == nil {
		return false
	}
	id := []byte(w.id)
	if rc.keys != nil {
		id = rc.keys.of(rc.ctx, w.payload)
	}
	if len(id) == 0 {
		return false
	}
	k := keyOf(id)
	if rc.seen.add(k) {
		rc.dropped.Add(1)
		return true
	}
	w.key = &k
	return false
}

// acknowledge tells the broker what is safe.
func (rc *receiver) acknowledge() {
	for {
		var w waiting
		select {
		case w = <-rc.under:
		case <-rc.ctx.Done():
			return
		}
		if w.done != nil && !rc.safe(&w) {
			return
		}
		if w.key != nil {
			rc.seen.kept()
		}
		if w.qos > 0 {
			w.ack()
		}
	}
}

// safe waits until a message is in the log. A disk that is full may have room later: it is tried again. false: the reader has ended.
func (rc *receiver) safe(w *waiting) bool {
	policy := retry.Policy{First: 100 * time.Millisecond, Most: 10 * time.Second}
	for failures := 1; ; failures++ {
		var err error
		select {
		case err = <-w.done:
		case <-rc.ctx.Done():
			return false
		}
		switch {
		case err == nil:
			return true
		case errors.Is(err, intake.ErrTooLarge):
			rc.fail(fmt.Errorf("a message of the topic %q has %d bytes: %w", w.topic, len(w.payload), err))
			return false
		case errors.Is(err, intake.ErrClosed), retry.Sleep(rc.ctx, policy.Pause(failures)) != nil:
			return false
		}
		w.done = rc.log.Append(rc.ctx, "", time.Now().UnixMilli(), w.meta, w.payload)
	}
}

// keys finds what messages are known by, in a field of theirs.
type keys struct {
	find func(payload []byte) column.Value
}

func newKeys(s *source) *keys {
	schema := s.rows.Format.Schema()
	i := schema.Index(s.dedup)
	decoder := s.rows.Format.NewDecoder(schema[i : i+1])
	return &keys{find: func(payload []byte) column.Value {
		cols, rows, err := decoder.Decode([][]byte{payload}, func(int, error) error { return nil })
		if err != nil || len(rows) == 0 {
			return nil // an error record, when it is decoded
		}
		return cols[0].Value(0)
	}}
}

// of returns what a message is known by; nil where it lacks that: it is taken then, however often it comes.
func (k *keys) of(_ context.Context, payload []byte) []byte {
	v := k.find(payload)
	if v == nil {
		return nil
	}
	return []byte(expr.Str(v))
}
