package kafka

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/leat-project/leat/catalog"
)

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
		next = p.next
		for _, other := range r.parts { // the answer is about all partitions of the topic
			if end, ok := ends.Lookup(other.topic, other.number); ok && end.Err == nil {
				other.high, other.asked = end.Offset, time.Now()
			}
		}
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
