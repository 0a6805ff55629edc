package kafka

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// reader reads the partitions of topics.
type reader struct {
	source *readSource
	fields column.Schema
	from   catalog.Resume

	client  *kgo.Client
	admin   *kadm.Client
	started bool
	stop    context.CancelFunc // of what goes on in the background
	wait    sync.WaitGroup
	end     time.Time    // of max_read_time_seconds
	ready   []records    // that have been fetched and not handed out
	marks   []*partition // that begin at the end of what is there, which the first checkpoint has to know
	failed  chan error

	mu    sync.Mutex
	parts map[string]*partition
}

// partition is how far one partition is.
type partition struct {
	topic  string
	number int32
	next   int64 // the offset after what has been handed out
	high   int64 // the end of the partition, as far as is known
	until  int64 // where it ends; math.MaxInt64: nowhere
	asked  time.Time

	// Of a member of a group:
	mark      string // ends its positions
	gone      bool   // to another member
	acked     int64  // up to where rows are durable
	committed int64  // up to where the group knows that
}

// records are some of one partition, one after another.
type records struct {
	of   *partition
	list []*kgo.Record
}

// morselRecords is how many records a morsel has at most.
const morselRecords = 4096

var (
	_ catalog.Resumable    = (*reader)(nil)
	_ catalog.Partitioned  = (*reader)(nil)
	_ catalog.Acknowledger = (*reader)(nil)
	_ catalog.Metered      = (*reader)(nil)
)

func newReader(s *readSource, fields column.Schema) *reader {
	return &reader{source: s, fields: fields, parts: map[string]*partition{}, failed: make(chan error, 1)}
}

// Resume says where to go on.
func (r *reader) Resume(_ context.Context, from catalog.Resume) error {
	r.from = from
	return nil
}

func partitionName(topic string, number int32) string { return fmt.Sprintf("%s/%d", topic, number) }

// Next hands out records of one partition.
func (r *reader) Next(ctx context.Context, m *catalog.Morsel) error {
	if !r.started {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	for {
		if len(r.marks) > 0 {
			r.mark(m)
			return nil
		}
		if len(r.ready) > 0 && r.hand(m) {
			return nil
		}
		if r.finished() {
			return io.EOF
		}
		if len(r.ready) == 0 {
			if err := r.poll(ctx); err != nil {
				return err
			}
		}
	}
}

// mark hands out the place where a partition begins, without rows: were the first row to come after the first checkpoint, a restart
// would begin at the beginning.
func (r *reader) mark(m *catalog.Morsel) {
	p := r.marks[0]
	r.marks = r.marks[1:]
	r.fill(m, p, nil, p.next-1, p.next)
}

func (r *reader) fill(m *catalog.Morsel, p *partition, rows []*kgo.Record, at, next int64) {
	m.Partition, m.Position = partitionName(p.topic, p.number), strconv.FormatInt(next, 10)+p.mark
	m.File, m.Part, m.Seq = m.Partition, rows, r.source.sequence(p)|at
}

// hand fills m with the first of what is ready: records with a value, or records without. false: nothing of it was a row.
func (r *reader) hand(m *catalog.Morsel) bool {
	first := &r.ready[0]
	list, p := first.list[:min(len(first.list), morselRecords)], first.of
	n, rows := 0, []*kgo.Record(nil)
	for ; n < len(list); n++ {
		record := list[n]
		if record.Attrs.IsControl() || record.Offset >= p.until {
			if rows != nil {
				break
			}
			continue
		}
		if rows != nil && (record.Value == nil) != (rows[0].Value == nil) {
			break
		}
		rows = list[n-len(rows) : n+1]
	}
	next := min(list[n-1].Offset+1, p.until)
	if first.list = first.list[n:]; len(first.list) == 0 {
		r.ready[0] = records{}
		r.ready = r.ready[1:]
	}
	r.mu.Lock()
	p.next = next
	gone := p.gone
	r.mu.Unlock()
	if gone {
		return false
	}
	if next >= p.until {
		r.client.RemoveConsumePartitions(map[string][]int32{p.topic: {p.number}})
	}
	if len(rows) == 0 {
		return false
	}
	r.fill(m, p, rows, rows[0].Offset, next)
	return true
}

// sequence orders partitions: nine bits of the topic, ten of the partition, and room for an offset.
func (s *readSource) sequence(p *partition) int64 {
	topic, found := slices.BinarySearch(s.topics, p.topic)
	if !found { // of a pattern
		h := fnv.New32a()
		io.WriteString(h, p.topic)
		topic = int(h.Sum32())
	}
	return int64(topic&0x1ff)<<54 | int64(p.number&0x3ff)<<44
}

// finished reports whether all partitions, or the time, have come to their end.
func (r *reader) finished() bool {
	if !r.end.IsZero() && time.Now().After(r.end) {
		return true
	}
	if r.source.until == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.parts {
		if p.next < p.until {
			return false
		}
	}
	return true
}

// poll fetches.
func (r *reader) poll(ctx context.Context) error {
	if !r.end.IsZero() {
		limited, cancel := context.WithDeadline(ctx, r.end)
		defer cancel()
		ctx = limited
	}
	select {
	case err := <-r.failed:
		return err
	default:
	}
	fetches := r.client.PollFetches(ctx)
	defer r.client.AllowRebalance() // what was fetched is in its place then: partitions may go to other members
	if err := ctx.Err(); err != nil {
		if !r.end.IsZero() && errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
	}
	if fetches.IsClientClosed() { // it would say so at once, for ever
		return kgo.ErrClientClosed
	}
	var failure error
	fetches.EachError(func(topic string, number int32, err error) {
		if failure == nil && lasting(err) {
			failure = r.fetchError(ctx, topic, number, err)
		}
	})
	if failure != nil {
		return failure
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := r.parts[partitionName(f.Topic, f.Partition)]
		if p == nil || len(f.Records) == 0 {
			return
		}
		p.high = max(p.high, f.HighWatermark)
		r.ready = append(r.ready, records{p, f.Records})
	})
	return nil
}

// Progress tells nothing that has a unit.
func (r *reader) Progress() (done, total int64) { return 0, -1 }

// Close ends all connections.
func (r *reader) Close() error {
	if r.client == nil {
		return nil
	}
	if r.stop != nil {
		r.stop()
	}
	r.wait.Wait()
	r.client.Close()
	return nil
}
