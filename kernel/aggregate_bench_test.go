package kernel

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// readings makes batches of readings of devices, ordered in time.
func readings(rows, devices int) []*column.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	var out []*column.Batch
	for from := 0; from < rows; from += 4096 {
		device, temp, hum := column.NewBuilder(column.StringType), column.NewBuilder(column.FloatType), column.NewBuilder(column.FloatType)
		b := &column.Batch{N: min(4096, rows-from), Origin: &column.Origin{Seq: int64(from)}}
		for i := range b.N {
			device.AppendBin([]byte(fmt.Sprintf("d%d", r.IntN(devices))))
			temp.AppendFloat(math.Round(r.NormFloat64()*1000) / 100)
			hum.AppendFloat(math.Round(r.Float64()*1000) / 10)
			b.Times = append(b.Times, int64(from+i)/10+r.Int64N(100))
		}
		b.Cols = []*column.Vector{device.Finish(), temp.Finish(), hum.Finish()}
		out = append(out, b)
	}
	return out
}

var readingsCase = aggCase{
	schema: column.Schema{{Name: "device", Type: column.StringType}, {Name: "temp", Type: column.FloatType}, {Name: "hum", Type: column.FloatType}},
	keys:   []string{"device"}, aggs: [][3]string{{"events", "count", "device"}, {"mean_temp", "mean", "temp"}, {"max_hum", "max", "hum"}},
}

// BenchmarkAggregateAdd adds rows to a table, a row an operation.
func BenchmarkAggregateAdd(b *testing.B) {
	for _, bench := range []struct {
		name    string
		devices int
		window  plan.Windowing
	}{
		{"1000 keys, fixed", 1000, plan.Windowing{Kind: plan.Fixed, Size: 10_000}},
		{"1000 keys, sliding", 1000, plan.Windowing{Kind: plan.Sliding, Size: 10_000, Period: 1000}},
		{"1000 keys, sessions", 1000, plan.Windowing{Kind: plan.Sessions, Gap: 10_000}},
		{"10 keys, global", 10, plan.Windowing{}},
		{"1000000 keys, global", 1_000_000, plan.Windowing{}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			batches := readings(2_000_000, bench.devices)
			c := readingsCase
			c.window = bench.window
			a := c.build()
			b.ResetTimer()
			for done := 0; done < b.N; {
				t := a.NewTable()
				for _, batch := range batches {
					if f := t.Add(batch); f != nil {
						b.Fatal(f.Err)
					}
					if done += batch.N; done >= b.N {
						break
					}
				}
			}
		})
	}
}

// BenchmarkAggregateEmit merges two tables and emits all groups, a group an operation.
func BenchmarkAggregateEmit(b *testing.B) {
	for _, devices := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(devices, " keys"), func(b *testing.B) {
			a := readingsCase.build()
			tables := []*Table{a.NewTable(), a.NewTable()}
			for i, batch := range readings(2_000_000, devices) {
				tables[i%2].Add(batch)
			}
			b.ResetTimer()
			for done := 0; done < b.N; {
				for g := range KeyGroups {
					if err := a.Emit(context.Background(), g, tables, nil, 4096, 1<<30, func(b *column.Batch) error {
						done += b.N
						return nil
					}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
