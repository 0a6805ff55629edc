package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// What a reader meets, and what to do about it.

func gone(p *partition, least, most int64) error {
	return &catalog.Problem{Code: diag.InputChanged, Text: fmt.Sprintf("%s is wanted from offset %d, and the broker has offsets %d to %d: records that have not been read are gone",
		partitionName(p.topic, p.number), p.next, least, most),
		Hint: "Let the topic keep records for longer. To go on without them, begin anew with leat state reset, or give the transform another name."}
}

// lasting reports whether an error will not pass by itself.
func lasting(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var problem *catalog.Problem
	if errors.As(err, &problem) || remedy(err) != "" {
		return true
	}
	var group *kgo.ErrGroupSession
	if errors.As(err, &group) {
		return lastingInGroup(err)
	}
	var of *kerr.Error
	if errors.As(err, &of) {
		return !of.Retriable || errors.Is(err, kerr.UnknownTopicOrPartition)
	}
	return false
}

// fetchError says what a fetch met.
func (r *reader) fetchError(ctx context.Context, topic string, number int32, err error) error {
	if topic == "" {
		return r.explain(err)
	}
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
	p := r.parts[partitionName(topic, number)]
	if p == nil { // it has gone to another member
		return nil
	}
	return gone(p, least.Offset, most.Offset)
}

// explain gives an error a remedy.
func (r *reader) explain(err error) error {
	err = refusal(r.source.brokers, err)
	var problem *catalog.Problem
	if errors.As(err, &problem) {
		return err
	}
	hint := "Look at the broker's log."
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		hint = "Create the topic, or correct its name."
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
		hint = "Let this user read the topic and its group."
	}
	return &catalog.Problem{Code: diag.NoServer, Text: fmt.Sprintf("Kafka does not let us read: %v", err), Hint: hint}
}
