package kernel

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/leat-project/leat/column"
)

// The rows of the benchmarks: readings of a thousand devices, one in ten with an error.
var benchSchema = column.Schema{
	{Name: "temp", Type: column.FloatType.OrNull()},
	{Name: "n", Type: column.IntType},
	{Name: "status", Type: column.StringType.OrNull()},
	{Name: "device", Type: column.StringType},
	{Name: "region", Type: column.StringType},
	{Name: "a", Type: column.TimeType},
}

func benchBatch(n int) *column.Batch {
	rng := rand.New(rand.NewSource(1))
	b := &column.Batch{N: n}
	for _, f := range benchSchema {
		bld := column.NewBuilder(f.Type)
		for range n {
			var v column.Value
			switch f.Name {
			case "temp":
				v = rng.Float64() * 40
			case "n":
				v = rng.Int63n(1000)
			case "status":
				v = "ok"
				if rng.Intn(10) == 0 {
					v = "error"
				}
			case "device":
				v = fmt.Sprintf("device-%d", rng.Intn(1000))
			case "region":
				v = []string{"north", "south", "east", "west"}[rng.Intn(4)]
			case "a":
				v = column.Instant(1_700_000_000_000 + rng.Int63n(1e9))
			}
			if err := bld.Append(v); err != nil {
				panic(err)
			}
		}
		b.Cols = append(b.Cols, bld.Finish())
	}
	return b
}

var benchExprs = []string{
	"temp > 20",
	"temp*9/5+32",
	"n * 3 // 7",
	"temp > 20 and status == 'ok'",
	"device + '/' + region",
	"f'{a.micros // 1000000},{region},{n},{temp:.4f}'",
	"str(temp)",
	"n if temp > 20 else 0",
}

// BenchmarkRun reports the time for each row; allocations must be 0.
func BenchmarkRun(b *testing.B) {
	for _, text := range benchExprs {
		b.Run(text, func(b *testing.B) {
			p, batch := benchProgram(b, text), benchBatch(4096)
			p.Run(batch, nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, failures := p.Run(batch, nil); len(failures) > 0 {
					b.Fatal(failures[0].Err)
				}
			}
			perRow(b, batch.N)
		})
	}
}

// BenchmarkSelect is the same for filters.
func BenchmarkSelect(b *testing.B) {
	for _, text := range []string{"temp > 20", "status == 'ok'", "temp > 20 and status == 'ok'", "n in [1, 2, 3] or temp < 1"} {
		b.Run(text, func(b *testing.B) {
			p, batch := benchProgram(b, text), benchBatch(4096)
			sel, _ := p.Select(batch, nil, nil)
			b.ReportAllocs()
			for b.Loop() {
				sel, _ = p.Select(batch, nil, sel)
			}
			perRow(b, batch.N)
		})
	}
}

func benchProgram(b *testing.B, text string) *Program {
	e, problems := parse(text, benchSchema)
	if e == nil {
		b.Fatalf("%s: %v", text, problems.Problems)
	}
	p := Compile(e, benchSchema)
	if !p.Vectorised() {
		b.Fatalf("%s has no vector steps", text)
	}
	return p
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}
