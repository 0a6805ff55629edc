package kafka

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	refuse "github.com/leat-project/leat/connector/refusal"
)

// outboxRows is the most rows that are under way.
const outboxRows = 128 << 10

// outbox sends slabs through a client, and holds back who sends faster than the brokers take.
type outbox struct {
	client  *kgo.Client
	limit   int             // bytes
	spare   *sync.Pool      // of slabs
	life    context.Context // of the records; not that of a call, whose end would leave it open whether a record is there
	end     context.CancelFunc
	refused *refuse.Box // takes rows that brokers refuse; nil: the first one ends the run

	mu    sync.Mutex
	rows  int
	bytes int
	freed chan struct{} // closed when something comes back; nil: nobody waits
	epoch int           // of the rows that come
	left  map[int]int   // rows under way, by epoch
	err   error         // the first failure

	failures atomic.Int64
}

func newOutbox(client *kgo.Client, limit int, spare *sync.Pool) *outbox {
	o := &outbox{client: client, limit: limit, spare: spare, left: map[int]int{}}
	o.life, o.end = context.WithCancel(context.Background())
	return o
}

// send hands the records of a slab to the client, which sends them at once. It waits while too much is under way. The slab belongs to the
// outbox then.
func (o *outbox) send(ctx context.Context, s *slab) error {
	if err := o.enter(ctx, s); err != nil {
		return err
	}
	s.box = o
	for i := range s.records {
		o.client.Produce(o.life, &s.records[i], s.done)
	}
	return nil
}

// enter waits for room.
func (o *outbox) enter(ctx context.Context, s *slab) error {
	s.size = len(s.data)
	for {
		o.mu.Lock()
		if o.err != nil {
			defer o.mu.Unlock()
			return o.err
		}
		if o.rows == 0 || o.rows+len(s.records) <= outboxRows && o.bytes+s.size <= o.limit {
			o.rows += len(s.records)
			o.bytes += s.size
			s.epoch = o.epoch
			o.left[s.epoch] += len(s.records)
			o.mu.Unlock()
			return nil
		}
		if o.freed == nil {
			o.freed = make(chan struct{})
		}
		freed := o.freed
		o.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// release takes back a slab all of whose records have met their fate.
func (o *outbox) release(s *slab) {
	rows, bytes, epoch, reuse := len(s.records), s.size, s.epoch, !s.spoiled.Load() && cap(s.data) <= 4*slabBytes
	if reuse {
		s.reset()
		o.spare.Put(s)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows -= rows
	o.bytes -= bytes
	if o.left[epoch] -= rows; o.left[epoch] == 0 {
		delete(o.left, epoch)
	}
	o.wake()
}

func (o *outbox) wake() {
	if o.freed != nil {
		close(o.freed)
		o.freed = nil
	}
}

// failed notes the fate of a record that could not be written.
func (o *outbox) failed(r *kgo.Record, err error) {
	o.failures.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = explainRecord(r, err)
	}
	o.wake()
}

// cut begins another epoch, and returns what waits until the fate of all rows before is known. Unlike flush it does not wait for those after.
func (o *outbox) cut() (wait func(context.Context) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.epoch
	o.epoch++
	return func(ctx context.Context) error {
		for {
			o.mu.Lock()
			if o.err != nil || o.left[before] == 0 {
				defer o.mu.Unlock()
				return o.err
			}
			if o.freed == nil {
				o.freed = make(chan struct{})
			}
			freed := o.freed
			o.mu.Unlock()
			select {
			case <-freed:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// flush waits until the fate of all records is known, and returns the first failure.
func (o *outbox) flush(ctx context.Context) error {
	if err := o.client.Flush(ctx); err != nil {
		return err
	}
	return o.failure()
}

func (o *outbox) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// waiting returns how many rows are under way.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rows
}

// close gives up what is under way.
func (o *outbox) close() {
	o.client.Close()
	o.end()
}
