package kafka

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
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

// startPatience is how long a source that ends waits for brokers at the beginning. One that does not end waits for ever.
const startPatience = time.Minute

// start connects, and begins to fetch all partitions that there are. After an error it can be called again.
func (r *reader) start(ctx context.Context) error {
	s := r.source
	if r.client == nil {
		client, err := kgo.NewClient(append(append(slices.Clone(s.connect), s.fetch...), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords())...)
		if err != nil {
			return err
		}
		r.client, r.admin = client, kadm.NewClient(client)
		if s.most > 0 {
			r.end = time.Now().Add(s.most)
		}
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if !s.Unbounded() {
		limited, cancel = context.WithTimeout(ctx, startPatience)
		if !r.end.IsZero() {
			limited, cancel = context.WithDeadline(ctx, r.end)
		}
	}
	defer cancel()
	if err := r.discover(limited, true); err != nil {
		if ctx.Err() == nil && limited.Err() != nil {
			return &catalog.Problem{Key: "bootstrap_servers", Code: diag.NoServer, Text: fmt.Sprintf("Kafka does not answer: %v", err),
				Hint: "Check bootstrap_servers, security.protocol, and that the brokers run."}
		}
		return err
	}
	background, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.wait.Go(func() { r.refresh(background) })
	r.started = true
	return nil
}

// discover begins to fetch partitions that are new.
func (r *reader) discover(ctx context.Context, first bool) error {
	found, err := r.list(ctx)
	if err != nil {
		return err
	}
	var fresh []*partition
	r.mu.Lock()
	for _, p := range found {
		if r.parts[partitionName(p.topic, p.number)] == nil {
			fresh = append(fresh, p)
		}
	}
	r.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	if err := r.patient(ctx, func() error { return r.place(ctx, fresh, first) }); err != nil {
		return err
	}
	offsets := map[string]map[int32]kgo.Offset{}
	r.mu.Lock()
	for _, p := range fresh {
		r.parts[partitionName(p.topic, p.number)] = p
		if p.next >= p.until {
			continue
		}
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.Offset{}
		}
		offsets[p.topic][p.number] = kgo.NewOffset().At(p.next)
	}
	r.mu.Unlock()
	r.client.AddConsumePartitions(offsets)
	return nil
}

// patient calls f until it works, or meets what does not pass.
func (r *reader) patient(ctx context.Context, f func() error) error {
	call := retry.Caller{Policy: retry.Policy{First: 100 * time.Millisecond, Most: 5 * time.Second}}
	var last error
	err := call.Do(ctx, func(context.Context) error {
		err := f()
		if err != nil && lasting(err) {
			return retry.Permanent(r.explain(err))
		}
		if ctx.Err() == nil {
			last = err
		}
		return err
	})
	if err != nil && ctx.Err() != nil && last != nil {
		return fmt.Errorf("%w (%w)", last, ctx.Err())
	}
	return err
}

// list asks which partitions there are. What may pass is tried again.
func (r *reader) list(ctx context.Context) (out []*partition, err error) {
	s := r.source
	err = r.patient(ctx, func() error {
		out = nil
		topics, err := r.admin.ListTopics(ctx, s.topics...) // none: all
		if err != nil {
			return err
		}
		for _, t := range topics.Sorted() {
			if s.pattern != nil && !s.pattern.MatchString(t.Topic) {
				continue
			}
			if t.Err != nil {
				return fmt.Errorf("topic %q: %w", t.Topic, t.Err)
			}
			for _, p := range t.Partitions.Numbers() {
				out = append(out, &partition{topic: t.Topic, number: p, until: math.MaxInt64})
			}
		}
		return nil
	})
	return out, err
}

// place finds out where partitions begin and end.
func (r *reader) place(ctx context.Context, parts []*partition, first bool) error {
	s := r.source
	topics := make([]string, 0, len(parts))
	for _, p := range parts {
		topics = append(topics, p.topic)
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	if first {
		r.marks = nil
	}
	begin, err := r.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	end, err := r.admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	stop := end
	if s.until != 0 && s.until != math.MaxInt64 {
		if stop, err = r.admin.ListOffsetsAfterMilli(ctx, s.until, topics...); err != nil {
			return err
		}
	}
	for _, p := range parts {
		least, errLeast := lookUp(begin, p)
		most, errMost := lookUp(end, p)
		last, errLast := lookUp(stop, p)
		if err := errors.Join(errLeast, errMost, errLast); err != nil {
			return err
		}
		p.high, p.next = most.Offset, least.Offset
		if s.latest && first && len(r.from.Positions) == 0 {
			if p.next = most.Offset; p.next > 0 {
				r.marks = append(r.marks, p)
			}
		}
		if position, ok := r.from.Positions[partitionName(p.topic, p.number)]; ok {
			if p.next, err = strconv.ParseInt(position, 10, 64); err != nil {
				return fmt.Errorf("the checkpoint has the position %q for %s, which is no offset", position, partitionName(p.topic, p.number))
			}
			if p.next < least.Offset {
				return gone(p, least.Offset, most.Offset)
			}
		}
		if s.until != 0 {
			p.until = last.Offset
		}
	}
	return nil
}

// lookUp finds a partition's offset in an answer. One that the broker does not give is an error: to guess would pass over records.
func lookUp(offsets kadm.ListedOffsets, p *partition) (kadm.ListedOffset, error) {
	at, ok := offsets.Lookup(p.topic, p.number)
	switch {
	case !ok:
		return at, fmt.Errorf("%s: the brokers give no offset", partitionName(p.topic, p.number))
	case at.Err != nil:
		return at, fmt.Errorf("%s: %w", partitionName(p.topic, p.number), at.Err)
	case at.Offset < 0:
		return at, fmt.Errorf("%s: the brokers give the offset %d", partitionName(p.topic, p.number), at.Offset)
	}
	return at, nil
}

func gone(p *partition, least, most int64) error {
	return &catalog.Problem{Code: diag.InputChanged, Text: fmt.Sprintf("%s is wanted from offset %d, and the broker has offsets %d to %d: records that have not been read are gone",
		partitionName(p.topic, p.number), p.next, least, most),
		Hint: "Let the topic keep records for longer. To go on without them, begin anew with leat state reset, or give the transform another name."}
}

// refresh looks for new partitions now and then.
func (r *reader) refresh(ctx context.Context) {
	tick := time.NewTicker(r.source.refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.source.until != 0 {
			return // what there was at the beginning is all
		}
		if err := r.discover(ctx, false); err != nil && ctx.Err() == nil && lasting(err) {
			select {
			case r.failed <- err:
			default:
			}
			return
		}
	}
}

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
	m.Partition, m.Position = partitionName(p.topic, p.number), strconv.FormatInt(next, 10)
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
	r.mu.Unlock()
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
	if err := ctx.Err(); err != nil {
		if !r.end.IsZero() && errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
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

// lasting reports whether an error will not pass by itself.
func lasting(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var of *kerr.Error
	if errors.As(err, &of) {
		return !of.Retriable || errors.Is(err, kerr.UnknownTopicOrPartition)
	}
	var problem *catalog.Problem
	return errors.As(err, &problem) || strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ")
}

// fetchError says what a fetch met.
func (r *reader) fetchError(ctx context.Context, topic string, number int32, err error) error {
	if !errors.Is(err, kerr.OffsetOutOfRange) {
		return r.explain(fmt.Errorf("%s: %w", partitionName(topic, number), err))
	}
	begin, errBegin := r.admin.ListStartOffsets(ctx, topic)
	end, errEnd := r.admin.ListEndOffsets(ctx, topic)
	if err := errors.Join(errBegin, errEnd); err != nil {
		return r.explain(err)
	}
	least, _ := begin.Lookup(topic, number)
	most, _ := end.Lookup(topic, number)
	r.mu.Lock()
	defer r.mu.Unlock()
	return gone(r.parts[partitionName(topic, number)], least.Offset, most.Offset)
}

// explain gives an error a remedy.
func (r *reader) explain(err error) error {
	var problem *catalog.Problem
	if errors.As(err, &problem) {
		return err
	}
	hint := "Look at the broker's log."
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		hint = "Create the topic, or correct its name."
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		hint = "Check the name and the password in sasl.jaas.config, and sasl.mechanism."
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
		hint = "Let this user read the topic and its group."
	}
	return &catalog.Problem{Code: diag.NoServer, Text: fmt.Sprintf("Kafka does not let us read: %v", err), Hint: hint}
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
