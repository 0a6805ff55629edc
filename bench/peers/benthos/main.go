// Command benthos filters and projects on Benthos, Kafka to Kafka. Arguments: brokers, topic read, topic written. It ends with what is there.
//
// Benthos itself comes without Kafka: its input and output here are the same client that its Kafka connectors have, with batches.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "benthos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, brokers, source, target string) error {
	spec := service.NewConfigSpec()
	err := service.RegisterBatchInput("records_in", spec, func(*service.ParsedConfig, *service.Resources) (service.BatchInput, error) {
		return &input{brokers: brokers, topic: source}, nil
	})
	if err != nil {
		return err
	}
	err = service.RegisterBatchOutput("records_out", spec, func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
		return &output{brokers: brokers, topic: target}, service.BatchPolicy{}, 4, nil
	})
	if err != nil {
		return err
	}
	builder := service.NewStreamBuilder()
	if err := builder.SetYAML(`
input: {records_in: {}}
pipeline:
  threads: 2
  processors:
    - mapping: |
        root = if this.temp <= 20 { deleted() } else { {"device": this.device, "ts": this.ts, "temp": this.temp} }
output: {records_out: {}}
logger: {level: ERROR}
`); err != nil {
		return err
	}
	stream, err := builder.Build()
	if err != nil {
		return err
	}
	return stream.Run(ctx)
}

// input reads a topic to its end.
type input struct {
	brokers, topic string
	client         *kgo.Client
	left           int64
}

func (i *input) Connect(ctx context.Context) (err error) {
	if i.client, err = kgo.NewClient(kgo.SeedBrokers(i.brokers), kgo.ConsumeTopics(i.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())); err != nil {
		return err
	}
	ends, err := kadm.NewClient(i.client).ListEndOffsets(ctx, i.topic)
	ends.Each(func(o kadm.ListedOffset) { i.left += o.Offset })
	return err
}

func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	if i.left <= 0 {
		return nil, nil, service.ErrEndOfInput
	}
	fetches := i.client.PollRecords(ctx, 4096)
	if err := fetches.Err(); err != nil {
		return nil, nil, err
	}
	var batch service.MessageBatch
	fetches.EachRecord(func(r *kgo.Record) { batch = append(batch, service.NewMessage(r.Value)) })
	i.left -= int64(len(batch))
	return batch, func(context.Context, error) error { return nil }, nil
}

func (i *input) Close(context.Context) error { i.client.Close(); return nil }

// output writes batches.
type output struct {
	brokers, topic string
	client         *kgo.Client
}

func (o *output) Connect(context.Context) (err error) {
	o.client, err = kgo.NewClient(kgo.SeedBrokers(o.brokers), kgo.DefaultProduceTopic(o.topic), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	return err
}

func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	records := make([]*kgo.Record, 0, len(batch))
	for _, m := range batch {
		value, err := m.AsBytes()
		if err != nil {
			return err
		}
		records = append(records, &kgo.Record{Value: value})
	}
	return o.client.ProduceSync(ctx, records...).FirstErr()
}

func (o *output) Close(context.Context) error { o.client.Close(); return nil }
