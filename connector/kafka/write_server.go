package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-project/leat/connector/retry"
)

// server asks the brokers what a producer cannot ask. It tries again what may pass, for ever: the context ends that.
type server struct {
	brokers string
	client  *kgo.Client
	call    retry.Caller
}

// newServer returns a server that has not been connected to.
func newServer(s *writeSettings) (*server, error) {
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, s.connect...), kgo.MaxVersions(transactionVersions()), kgo.AllowAutoTopicCreation(),
		kgo.RequestRetries(3), kgo.DisableClientMetrics())...)
	if err != nil {
		return nil, err
	}
	policy := retry.Policy{First: 10 * time.Millisecond, Most: 5 * time.Second}
	if s.retry != nil {
		policy.Most = s.retry.Most
	}
	return &server{brokers: s.brokers, client: client, call: retry.Caller{Policy: policy}}, nil
}

// do calls f until it works, or fails for good.
func (s *server) do(ctx context.Context, f func(context.Context) error) error {
	return s.call.Do(ctx, func(ctx context.Context) error {
		err := f(ctx)
		if mayPass(err) {
			return err
		}
		return retry.Permanent(refusal(s.brokers, err))
	})
}

// ask makes one request. code finds the error code of the answer.
func ask[R kmsg.Response](ctx context.Context, client *kgo.Client, req kmsg.Request, code func(R) int16) error {
	resp, err := client.Request(ctx, req)
	if err != nil {
		return err
	}
	answer, ok := resp.(R)
	if !ok {
		return fmt.Errorf("an answer of an unknown kind: %T", resp)
	}
	return kerr.ErrorForCode(code(answer))
}

// topicTries is how often a topic that is not there is asked for: one that the brokers create at the first question takes a moment.
const topicTries = 10

// findTopic waits until the topic is there. One that is not, and that the brokers do not create, is an error.
func (s *server) findTopic(ctx context.Context, topic string) error {
	tries, closed := 0, closings(0)
	err := s.do(ctx, func(ctx context.Context) error {
		err := s.topicOnce(ctx, topic, true)
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			if tries++; tries >= topicTries {
				return retry.Permanent(err)
			}
		}
		if err := closed.count(s.brokers, err); err != nil {
			return err
		}
		return err
	})
	if err != nil {
		return explain(topic, err)
	}
	return nil
}

// topicOnce asks for the topic once; create: brokers may create it.
func (s *server) topicOnce(ctx context.Context, topic string, create bool) error {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	return ask(ctx, s.client, req, func(r *kmsg.MetadataResponse) int16 {
		if len(r.Topics) == 0 {
			return kerr.UnknownTopicOrPartition.Code
		}
		return r.Topics[0].ErrorCode
	})
}

// topicLimit returns how many bytes the topic takes at once, 0 where that is not known: a user may not be allowed to ask.
func (s *server) topicLimit(ctx context.Context, topic string) (limit int) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"max.message.bytes"}
	req.Resources = append(req.Resources, r)
	_ = ask(ctx, s.client, req, func(r *kmsg.DescribeConfigsResponse) int16 {
		for _, resource := range r.Resources {
			for _, c := range resource.Configs {
				if n, err := strconv.Atoi(ptrText(c.Value)); err == nil && c.Name == "max.message.bytes" {
					limit = n
				}
			}
		}
		return 0
	})
	return limit
}

func ptrText(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// endTransaction commits the transaction of a producer, which may have been another process.
func (s *server) endTransaction(ctx context.Context, t *transaction) error {
	return s.do(ctx, func(ctx context.Context) error {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = t.ID, t.Producer, t.ProducerEpoch, true
		return ask(ctx, s.client, req, func(r *kmsg.EndTxnResponse) int16 { return r.ErrorCode })
	})
}

// mark makes the epoch a part of the open transaction: it is committed with the rows, as an offset of the group.
func (s *server) mark(ctx context.Context, t *transaction, epoch int64) error {
	err := s.do(ctx, func(ctx context.Context) error {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = t.ID, t.Producer, t.ProducerEpoch, t.Group
		return ask(ctx, s.client, req, func(r *kmsg.AddOffsetsToTxnResponse) int16 { return r.ErrorCode })
	})
	if err != nil {
		return err
	}
	return s.do(ctx, func(ctx context.Context) error {
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = t.ID, t.Producer, t.ProducerEpoch, t.Group
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic = t.Topic
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Offset = epoch
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		return ask(ctx, s.client, req, func(r *kmsg.TxnOffsetCommitResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode })
	})
}

// offset is one that is kept in a group.
type offset struct {
	at   int64  // -1: none
	note string // its metadata
}

// setOffset keeps an offset, outside of transactions.
func (s *server) setOffset(ctx context.Context, group, topic string, o offset) error {
	return s.do(ctx, func(ctx context.Context) error {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group = group
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = topic
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset, p.Metadata = o.at, kmsg.StringPtr(o.note)
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		return ask(ctx, s.client, req, func(r *kmsg.OffsetCommitResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode })
	})
}

// getOffset returns the offset that was committed last. With stable it waits for transactions that hold a newer one.
func (s *server) getOffset(ctx context.Context, group, topic string, stable bool) (o offset, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		o = offset{at: -1}
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group, req.RequireStable = group, stable
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = topic, []int32{0}
		req.Topics = append(req.Topics, t)
		return ask(ctx, s.client, req, func(r *kmsg.OffsetFetchResponse) int16 {
			if r.ErrorCode != 0 || len(r.Topics) == 0 || len(r.Topics[0].Partitions) == 0 {
				return r.ErrorCode
			}
			p := r.Topics[0].Partitions[0]
			o = offset{at: p.Offset, note: ptrText(p.Metadata)}
			return p.ErrorCode
		})
	})
	return o, err
}

func (s *server) close() { s.client.Close() }
