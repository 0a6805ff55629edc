package connector

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// discard counts rows.
type discard struct{ rows int }

func (d *discard) BatchRows() int { return 4096 }
func (d *discard) Batch(b *column.Batch) error {
	d.rows += b.N
	return nil
}
func (d *discard) Bad(catalog.BadRecord) error { return nil }

func BenchmarkJSONFile(b *testing.B) {
	path := os.Getenv("LEAT_BENCH_JSON")
	if path == "" {
		b.Skip("LEAT_BENCH_JSON names no file")
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	source, err := newJSONSource(map[string]any{"path": path})
	if err != nil {
		b.Fatal(err)
	}
	schema, err := source.Schema(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		r, err := source.Open(context.Background(), schema[:min(3, len(schema))])
		if err != nil {
			b.Fatal(err)
		}
		d := r.NewDecoder()
		out := &discard{}
		var m catalog.Morsel
		for {
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
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(out.rows), "rows")
	}
}
