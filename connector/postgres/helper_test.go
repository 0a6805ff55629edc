package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// rowOf returns the row that a failure names.
func rowOf(err error) string {
	var f *diag.Failure
	if errors.As(err, &f) {
		return f.Row
	}
	return ""
}

// BenchmarkCopy writes rows of four fields, in one transaction.
func BenchmarkCopy(b *testing.B) {
	f := newFixtureOf(b)
	schema := column.Schema{{Name: "id", Type: column.IntType}, {Name: "device", Type: column.StringType}, {Name: "at", Type: column.TimeType}, {Name: "v", Type: column.FloatType}}
	var rows [][]column.Value
	for i := range 4096 {
		rows = append(rows, []column.Value{int64(i), "device-17", column.Instant(1_700_000_000_000 + i), float64(i) / 7})
	}
	batch := batchOf(b, schema, rows...)
	for name, env := range map[string]*catalog.SinkEnv{"bounded": nil, "exactly once": stream(b.TempDir(), "job", "bench"),
		"bounded, error_handling": refusing(nil), "exactly once, error_handling": refusing(stream(b.TempDir(), "job", "bench2"))} {
		b.Run(name, func(b *testing.B) {
			f.exec("drop table if exists bench")
			s, err := newSink(f.config("bench", "create", true), env)
			must(b, err)
			w, err := s.Open(context.Background(), schema)
			must(b, err)
			if tx, ok := w.(catalog.Transactional); ok {
				must(b, tx.Recover(context.Background(), 0, nil))
			}
			e := w.NewEncoder()
			begun := time.Now() // the commit counts, which is after the loop
			for b.Loop() {
				must(b, e.Write(context.Background(), batch))
			}
			must(b, e.Flush(context.Background()))
			_, err = w.Commit(context.Background())
			must(b, err)
			b.ReportMetric(float64(b.N*len(rows))/time.Since(begun).Seconds(), "rows/s")
		})
	}
}
