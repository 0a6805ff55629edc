package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// startPatience is how long a source that ends waits for brokers at the beginning. One that does not end waits for ever.
const startPatience = time.Minute

// start connects, and begins to fetch all partitions that there are. After an error it can be called again.
func (r *reader) start(ctx context.Context) error {
	s := r.source
	if r.client == nil {
		client, err := newPacedClient(append(append(slices.Clone(s.connect), s.fetch...), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords())...)
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
	r.stop, r.started = stop, true
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
	var closed closings
	err := call.Do(ctx, func(context.Context) error {
		err := f()
		if err != nil && lasting(err) {
			return retry.Permanent(r.explain(err))
		}
		if !r.started {
			if err := closed.count(r.source.brokers, err); err != nil {
				return retry.Permanent(err)
			}
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
			if strings.Contains(position, positionMark) {
				return otherAssignment(partitionName(p.topic, p.number), "group")
			}
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
