package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// streamPartitions is how many partitions the topics of streams have.
const streamPartitions = 4

// topics makes topics, and removes all of them at the end.
type topics struct {
	client *kgo.Client
	admin  *kadm.Client
	made   []string
}

func newTopics(brokers string) (*topics, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return nil, err
	}
	return &topics{client: client, admin: kadm.NewClient(client)}, nil
}

// add makes a topic.
func (t *topics) add(ctx context.Context, what string) (string, error) {
	name := fmt.Sprintf("leat-bench-%d-%s", time.Now().UnixNano(), what)
	if _, err := t.admin.CreateTopic(ctx, streamPartitions, 1, nil, name); err != nil {
		return "", fmt.Errorf("topic %s: %w", name, err)
	}
	t.made = append(t.made, name)
	return name, nil
}

// remove removes a topic, so that the broker's disk holds one result at a time.
func (t *topics) remove(ctx context.Context, name string) {
	_, _ = t.admin.DeleteTopics(ctx, name) // nothing is measured by it
}

// count returns how many offsets a topic has: its records, and the marks of transactions.
func (t *topics) count(ctx context.Context, name string) (int64, error) {
	ends, err := t.admin.ListEndOffsets(ctx, name)
	if err != nil {
		return 0, err
	}
	var n int64
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n, nil
}

// fill writes the lines of a file, in turn to each partition.
func (t *topics) fill(ctx context.Context, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for i := int32(0); lines.Scan(); i++ {
		value := append([]byte(nil), lines.Bytes()...)
		t.client.Produce(ctx, &kgo.Record{Topic: name, Partition: i % streamPartitions, Value: value}, func(_ *kgo.Record, failed error) {
			if failed != nil {
				fmt.Fprintln(os.Stderr, "bench: a record of the input:", failed)
			}
		})
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return t.client.Flush(ctx)
}

// fillTopic fills a topic that is there.
func fillTopic(ctx context.Context, brokers, what string) error {
	topic, file, ok := strings.Cut(what, ",")
	if !ok {
		return fmt.Errorf("-fill wants TOPIC,FILE, found %q", what)
	}
	t, err := newTopics(brokers)
	if err != nil {
		return err
	}
	defer t.client.Close()
	return t.fill(ctx, topic, file)
}

func (t *topics) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, _ = t.admin.DeleteTopics(ctx, t.made...)
	t.client.Close()
}
