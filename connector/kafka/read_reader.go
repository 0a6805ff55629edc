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
	"github.com/leat-project/leat/connector/envelope"
	"github.com/leat-project/leat/diag"
)

// reader reads the partitions of topics.
type reader struct {
	source *readSource
	fields column.Schema
	from   catalog.Resume

	client *kgo.Client
	admin  *kadm.Client
	stop   context.CancelFunc // of what goes on in the background
	wait   sync.WaitGroup
	end    time.Time // of max_read_time_seconds
	ready  []records // that have been fetched and not handed out
	failed chan error

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

// start connects, and begins to fetch all partitions that there are.
func (r *reader) start(ctx context.Context) error {
	s := r.source
	client, err := kgo.NewClient(append(append(slices.Clone(s.connect), s.fetch...), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords())...)
	if err != nil {
		return err
	}
	r.client, r.admin = client, kadm.NewClient(client)
	if s.most > 0 {
		r.end = time.Now().Add(s.most)
	}
	if err := r.discover(ctx, true); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.wait.Go(func() { r.refresh(background) })
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
	if err := r.place(ctx, fresh, first); err != nil {
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

// list asks which partitions there are. What may pass is tried again.
func (r *reader) list(ctx context.Context) (out []*partition, err error) {
	s := r.source
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		var topics kadm.TopicDetails
		if s.pattern != nil {
			topics, err = r.admin.ListTopics(ctx)
		} else {
			topics, err = r.admin.ListTopics(ctx, s.topics...)
		}
		for _, t := range topics.Sorted() {
			if s.pattern != nil && !s.pattern.MatchString(t.Topic) {
				continue
			}
			if t.Err != nil {
				err = fmt.Errorf("topic %q: %w", t.Topic, t.Err)
			}
			for _, p := range t.Partitions.Numbers() {
				out = append(out, &partition{topic: t.Topic, number: p, until: math.MaxInt64})
			}
		}
		if err == nil {
			return out, nil
		}
		if lasting(err) {
			return nil, r.explain(err)
		}
		out = nil
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
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
	begin, err := r.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return r.explain(err)
	}
	end, err := r.admin.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return r.explain(err)
	}
	stop := end
	if s.until != 0 && s.until != math.MaxInt64 {
		if stop, err = r.admin.ListOffsetsAfterMilli(ctx, s.until, topics...); err != nil {
			return r.explain(err)
		}
	}
	for _, p := range parts {
		least, _ := begin.Lookup(p.topic, p.number)
		most, _ := end.Lookup(p.topic, p.number)
		p.high, p.next = most.Offset, least.Offset
		if s.latest && first && len(r.from.Positions) == 0 {
			p.next = most.Offset
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
			at, _ := stop.Lookup(p.topic, p.number)
			p.until = at.Offset
		}
	}
	return nil
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
	if r.client == nil {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	for {
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

// hand fills m with the first of what is ready; false: nothing of it was a row.
func (r *reader) hand(m *catalog.Morsel) bool {
	first := &r.ready[0]
	n := min(len(first.list), morselRecords)
	list, p := first.list[:n], first.of
	if first.list = first.list[n:]; len(first.list) == 0 {
		r.ready[0] = records{}
		r.ready = r.ready[1:]
	}
	last := list[len(list)-1].Offset + 1
	rows := list[:0:0]
	for i, record := range list {
		if record.Attrs.IsControl() || record.Offset >= p.until {
			if rows == nil {
				rows = append(make([]*kgo.Record, 0, len(list)), list[:i]...)
			}
			continue
		}
		if rows != nil {
			rows = append(rows, record)
		}
	}
	if rows == nil {
		rows = list
	}
	r.mu.Lock()
	p.next = min(last, p.until)
	r.mu.Unlock()
	if len(rows) == 0 {
		return false
	}
	m.Partition, m.Position = partitionName(p.topic, p.number), strconv.FormatInt(min(last, p.until), 10)
	m.File, m.Part, m.Seq = m.Partition, rows, sequence(p)|rows[0].Offset
	return true
}

// sequence orders partitions: nine bits of the topic, ten of the partition, and room for an offset.
func sequence(p *partition) int64 {
	h := fnv.New32a()
	io.WriteString(h, p.topic)
	return int64(h.Sum32()&0x1ff)<<54 | int64(p.number&0x3ff)<<44
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

// NewDecoder returns a decoder for one worker.
func (r *reader) NewDecoder() catalog.Decoder {
	return &readDecoder{rows: r.source.rows.NewDecoder(r.fields, metaOf)}
}

type readDecoder struct {
	rows     *envelope.Decoder
	messages []envelope.Message
}

// Decode passes the rows of a morsel on.
func (d *readDecoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	list := m.Part.([]*kgo.Record)
	d.messages = d.messages[:0]
	for _, record := range list {
		d.messages = append(d.messages, envelope.Message{Payload: record.Value, Offset: record.Offset, Time: record.Timestamp.UnixMilli(), Meta: record})
	}
	return d.rows.Decode(ctx, m.File, d.messages, out)
}

// metaOf is what is known of a record, in the order of readMeta.
func metaOf(m *envelope.Message, meta int) column.Value {
	record := m.Meta.(*kgo.Record)
	switch meta {
	case 0:
		if record.Key == nil {
			return nil
		}
		return record.Key
	case 1:
		headers := &column.MapValue{}
		for _, h := range record.Headers {
			value := column.Value(h.Value)
			if h.Value == nil {
				value = []byte{}
			}
			if i := slices.Index(headers.Keys, column.Value(h.Key)); i >= 0 {
				headers.Elems[i] = value // the last one counts
				continue
			}
			headers.Keys, headers.Elems = append(headers.Keys, h.Key), append(headers.Elems, value)
		}
		return headers
	case 2:
		return record.Topic
	case 3:
		return int64(record.Partition)
	case 4:
		return record.Offset
	}
	return column.Instant(record.Timestamp.UnixMilli())
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

// Partitions returns the partitions that are read.
func (r *reader) Partitions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, 0, len(r.parts))
	for name := range r.parts {
		out = append(out, name)
	}
	return out
}

// askedFor is how long an answer about the end of a partition is good for.
const askedFor = time.Second

// CaughtUp reports whether the partition has been read to its end, by the broker's word.
func (r *reader) CaughtUp(ctx context.Context, name string) bool {
	r.mu.Lock()
	p := r.parts[name]
	if p == nil || r.admin == nil {
		r.mu.Unlock()
		return false
	}
	next, high, asked := p.next, p.high, p.asked
	r.mu.Unlock()
	if time.Since(asked) > askedFor {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		ends, err := r.admin.ListCommittedOffsets(ctx, p.topic)
		end, ok := ends.Lookup(p.topic, p.number)
		if err != nil || !ok || end.Err != nil {
			return false
		}
		high = end.Offset
		r.mu.Lock()
		p.high, p.asked, next = high, time.Now(), p.next
		r.mu.Unlock()
	}
	return next >= high
}

// Acknowledge tells the consumer group how far the pipeline is.
func (r *reader) Acknowledge(ctx context.Context, positions map[string]string) error {
	group := r.source.group
	if group == "" && r.from.Job != "" {
		group = "leat." + r.from.Job
	}
	if group == "" || r.admin == nil {
		return nil
	}
	offsets := kadm.Offsets{}
	for name, position := range positions {
		at := strings.LastIndexByte(name, '/')
		number, errNumber := strconv.ParseInt(name[at+1:], 10, 32)
		offset, errOffset := strconv.ParseInt(position, 10, 64)
		if err := errors.Join(errNumber, errOffset); err != nil {
			return err
		}
		offsets.AddOffset(name[:at], int32(number), offset, -1)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return r.admin.CommitAllOffsets(ctx, group, offsets)
}

// Metrics tells how many records of each partition wait to be read, as far as fetches have told.
func (r *reader) Metrics() []catalog.Metric {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []catalog.Metric
	for name, p := range r.parts {
		out = append(out, catalog.Metric{Name: "lag_rows", Help: "Records of a partition that have not been read.", Labels: map[string]string{"partition": name},
			Value: float64(max(p.high-p.next, 0))})
	}
	return out
}
