package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// bare copies one topic to another with the client alone, as a process of its own: what leat is compared with. It stops at what is there
// (until), or never. Of each two records it passes on one, cut to that length; one and 0 pass all on as they are.
type bare struct {
	brokers, input, output string
	until                  bool
	every, length          int
}

// clientOptions are those of leat's source and sink: read committed, all acknowledgements, idempotent, no linger, not compressed.
func (b *bare) clientOptions(partitions map[string]map[int32]kgo.Offset) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(b.brokers), kgo.ConsumePartitions(partitions), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableClientMetrics(),
		kgo.MaxBufferedRecords(128 << 10),
	}
}

func (b *bare) run(ctx context.Context) error {
	ends, err := b.ends(ctx)
	if err != nil {
		return err
	}
	left, partitions := int64(0), map[int32]kgo.Offset{}
	for number, end := range ends {
		left += end
		partitions[number] = kgo.NewOffset().AtStart()
		if !b.until {
			partitions[number] = kgo.NewOffset().At(end)
		}
	}
	client, err := kgo.NewClient(b.clientOptions(map[string]map[int32]kgo.Offset{b.input: partitions})...)
	if err != nil {
		return err
	}
	defer client.Close()
	var failed atomic.Pointer[error]
	told := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.Store(&err)
		}
	}
	for seen := int64(0); !b.until || seen < left; {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if seen++; seen%int64(b.every) != 0 {
				return
			}
			value := r.Value
			if b.length > 0 {
				value = value[:min(len(value), b.length)]
			}
			client.Produce(ctx, &kgo.Record{Topic: b.output, Value: value}, told)
		})
		if err := failed.Load(); err != nil {
			return *err
		}
	}
	return client.Flush(ctx)
}

func (b *bare) ends(ctx context.Context) (map[int32]int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, b.input)
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	if len(ends) == 0 {
		return nil, fmt.Errorf("topic %s is not there", b.input)
	}
	return ends, nil
}

// copyBare runs the bare loop. The cut records are as long as what leat writes of an event.
func copyBare(ctx context.Context, o *options, topics string, cut bool) error {
	input, output, ok := strings.Cut(topics, ",")
	if !ok {
		return fmt.Errorf("-bare wants INPUT,OUTPUT, found %q", topics)
	}
	b := &bare{brokers: o.kafka, input: input, output: output, every: 1}
	if cut {
		b.until, b.every, b.length = true, 2, 48
	}
	return b.run(ctx)
}
