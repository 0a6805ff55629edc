package kafka

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// counting counts rows.
type counting struct{ rows int }

func (c *counting) BatchRows() int                { return 1024 }
func (c *counting) Batch(b *column.Batch) error   { c.rows += b.N; return nil }
func (c *counting) Bad(b catalog.BadRecord) error { return fmt.Errorf("bad record: %s", b.Msg) }

var meterSchema = column.RowOf(column.Schema{{Name: "device", Type: column.StringType}, {Name: "value", Type: column.FloatType},
	{Name: "count", Type: column.IntType}, {Name: "at", Type: column.StringType}})

func meter(i int) []byte {
	return fmt.Appendf(nil, `{"device":"meter-%d","value":%d.25,"count":%d,"at":"2026-01-31T12:00:%02d.125Z","site":"north"}`, i%500, i%100, i, i%60)
}

// BenchmarkDecode measures records in memory to batches.
func BenchmarkDecode(b *testing.B) {
	records := make([]*kgo.Record, morselRecords)
	size := 0
	for i := range records {
		records[i] = &kgo.Record{Topic: "t", Value: meter(i), Key: []byte("k"), Offset: int64(i), Timestamp: time.UnixMilli(int64(i))}
		size += len(records[i].Value)
	}
	for name, keys := range map[string]map[string]any{
		"JSON":     {"format": "JSON", "schema": meterSchema},
		"metadata": {"format": "JSON", "schema": meterSchema, "metadata": map[string]any{"k": "key", "o": "offset", "t": "topic"}},
		"RAW":      {"format": "RAW"},
	} {
		b.Run(name, func(b *testing.B) {
			config := map[string]any{"bootstrap_servers": "localhost:1", "topic": "t"}
			for k, v := range keys {
				config[k] = v
			}
			s, err := newReadSource(config)
			if err != nil {
				b.Fatal(err)
			}
			schema, err := s.Schema(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			d := newReader(s, schema).NewDecoder()
			out := &counting{}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(b.Context(), &catalog.Morsel{File: "t/0", Part: records}, out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(out.rows), "ns/row")
		})
	}
}

// BenchmarkRead measures reading a topic: by a bare loop of polls, and with JSON decoded to batches.
func BenchmarkRead(b *testing.B) {
	const rows = 300_000
	rig := newRig(b, 4, nil)
	records := make([]*kgo.Record, rows)
	for i := range records {
		records[i] = &kgo.Record{Partition: int32(i % 4), Value: meter(i)}
	}
	rig.produce(records...)
	clear(records)
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			client, err := kgo.NewClient(kgo.SeedBrokers(rig.broker), kgo.ConsumeTopics(rig.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(partitionBytes))
			if err != nil {
				b.Fatal(err)
			}
			bytes := 0
			for n := 0; n < rows; {
				client.PollFetches(b.Context()).EachRecord(func(r *kgo.Record) { n++; bytes += len(r.Value) })
			}
			client.Close()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	b.Run("JSON", func(b *testing.B) {
		for b.Loop() {
			readAll(b, rig, rows)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
}

// readAll reads a topic of JSON to its end.
func readAll(b *testing.B, rig *rig, rows int) {
	s, err := newReadSource(rig.with(map[string]any{"format": "JSON", "schema": meterSchema, "until": "latest"}))
	if err != nil {
		b.Fatal(err)
	}
	r := newReader(s, meterSchema.Fields)
	defer r.Close()
	d, out := r.NewDecoder(), &counting{}
	for {
		var m catalog.Morsel
		err := r.Next(context.Background(), &m)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = d.Decode(context.Background(), &m, out)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if out.rows != rows {
		b.Fatalf("%d rows, wanted %d", out.rows, rows)
	}
}
