package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
)

// BenchmarkEncode makes records of rows, with and without a stage.
func BenchmarkEncode(b *testing.B) {
	for _, staged := range []bool{false, true} {
		b.Run(fmt.Sprint("staged ", staged), func(b *testing.B) {
			builder := column.NewBuilder(column.StringType)
			const rows = 1000
			for i := range rows {
				builder.AppendBin(fmt.Appendf(nil, `{"device":"pump-%d","temp":21.5,"at":"2026-01-01T00:00:00Z"}`, i))
			}
			batch := &column.Batch{N: rows, Cols: []*column.Vector{builder.Finish()}}
			s := newSlab()
			format, err := message.Open(map[string]any{"format": "RAW"})
			if err != nil {
				b.Fatal(err)
			}
			raw, err := format.NewEncoder(payloadSchema)
			if err != nil {
				b.Fatal(err)
			}
			e := &encoder{layout: layout{key: -1, headers: -1, partition: -1, tombstone: -1, value: []int{0}}, format: raw, limit: 1 << 20, slab: s, cols: nil}
			e.view.Cols = batch.Cols
			b.ReportAllocs()
			for b.Loop() {
				s.reset()
				for i := range rows {
					if err := e.add(batch, i); err != nil {
						b.Fatal(err)
					}
				}
				s.build("t", 1)
				if staged {
					e.block = appendBlock(e.block[:0], s)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}

// BenchmarkWrite writes rows of 100 bytes to a broker, in a run of an epoch for each 100 batches where it is exact.
func BenchmarkWrite(b *testing.B) {
	for _, exact := range []bool{false, true} {
		b.Run(fmt.Sprint("exact ", exact), func(b *testing.B) {
			r := newRig(b, 4, nil)
			w := r.open(r.config, exact, payloadSchema)
			tx, _ := w.(catalog.Transactional)
			if exact {
				if err := tx.Recover(b.Context(), 0, nil); err != nil {
					b.Fatal(err)
				}
			}
			const rows = 2000
			batch, _ := payloads(b, strings.Repeat("x", 96), rows)
			e := w.NewEncoder()
			var epoch int64
			checkpoint := func() {
				if !exact {
					return
				}
				epoch++
				staged, err := tx.Prepare(b.Context(), epoch)
				if err == nil {
					err = tx.CommitEpoch(b.Context(), epoch, staged)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			n, start := 0, time.Now()
			for b.Loop() {
				if err := e.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				if n++; n%100 == 0 {
					checkpoint()
				}
			}
			checkpoint()
			if _, err := w.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n*rows)/time.Since(start).Seconds(), "rows/s") // all of them at the brokers
		})
	}
}

// BenchmarkEpoch is what a checkpoint waits for where few rows are written.
func BenchmarkEpoch(b *testing.B) {
	r := newRig(b, 4, nil)
	run := r.start(r.config, 0, nil)
	var epoch int64
	for b.Loop() {
		run.put("a", 10)
		epoch++
		run.commit(epoch, run.prepare(epoch))
	}
}
