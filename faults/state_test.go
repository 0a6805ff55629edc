package faults

import (
	"context"
	bits "encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const stateText = `
pipeline:
  transforms:
    - type: ReadFromKafka
      name: Read
      config:
        bootstrap_servers: "$servers$"
        topic: $in$
        format: JSON
        schema: {type: object, properties: {device: {type: string}, value: {type: integer}}}
    - type: Combine
      name: Count
      input: Read
      windowing: {type: fixed, size: 1d}
      config:
        group_by: device
        combine: {n: {value: value, fn: count}, total: {value: value, fn: sum}}
    - type: WriteToKafka
      name: ToKafka
      input: Count
      config: {bootstrap_servers: "$servers$", topic: $out$, format: JSON}
options: {job_name: $job$, checkpoint_interval: 1s}
`

// TestFaultState keeps a state ten times as large as the memory that leat may take (three times but in full).
func TestFaultState(t *testing.T) {
	limit, keys, repeated := 64, 500_000, 100_000 // MiB
	if full() {
		limit, keys, repeated = 256, 2_800_000, 500_000
	}
	name := fmt.Sprintf("%dMiB", limit)
	f := newFeed(t, "state", 12)
	dir := t.TempDir()
	file, job := f.write(dir, stateText, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	p := start(t, dir, file, "--memory-limit", name, "--on-stop", "drain")
	held := watchMemory(p)
	filler := make([]byte, 140) // becomes 280 digits that hardly compress
	for i := range keys + repeated {
		at := time.UnixMilli(1_700_000_000_000)
		for at, rng := 0, rand.NewPCG(uint64(i%keys), 1); at < len(filler); at += 4 {
			bits.LittleEndian.PutUint32(filler[at:], uint32(rng.Uint64()))
		}
		text := fmt.Appendf(nil, `{"device": "%x%08d", "value": %d}`, filler, i%keys, i%1000)
		f.client.Produce(ctx, &kgo.Record{Topic: f.in(), Partition: int32(i % partitions), Timestamp: at, Value: text}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
		f.sent++
	}
	if err := f.client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "all rows to be read", func() bool {
		select {
		case <-p.done:
			t.Fatalf("leat ended by itself: %v\n%s", p.err, p.log)
		default:
		}
		return f.consumed(job) == int64(f.sent)
	})
	kept := sizeOf(filepath.Join(dir, ".leat"))
	p.stopWithin(t, 5*time.Minute)
	peak, own := held.peak()
	t.Logf("the run: %s", p.log)
	groups, counted := 0, 0
	f.read(f.out(), func(r *kgo.Record) {
		var g group
		if err := json.Unmarshal(r.Value, &g); err != nil {
			t.Errorf("%s: %v", r.Value, err)
		}
		groups, counted = groups+1, counted+g.N
	})
	t.Logf("%d rows of %d keys, %.0f MiB of state on disk; %d groups of %d rows came out; with --memory-limit %s %.0f MiB of memory at the most, %.0f MiB without the program's file",
		f.sent, keys, float64(kept)/mib, groups, counted, name, float64(peak)/mib, float64(own)/mib)
	if groups != keys || counted != f.sent {
		t.Errorf("%d groups of %d rows, want %d of %d", groups, counted, keys, f.sent)
	}
	most := float64(limit) * 1.2
	if !full() {
		most += 40 // buffers of the source and the sink, which do not shrink with the limit
	}
	if float64(own)/mib > most {
		t.Errorf("%.0f MiB of memory with --memory-limit %s", float64(own)/mib, name)
	}
	times := 3.0
	if full() {
		times = 10
	}
	if float64(kept)/mib < times*float64(limit) {
		t.Errorf("the state is %.0f MiB: too little to say anything", float64(kept)/mib)
	}
}

// sizeOf returns the bytes of all files in a folder.
func sizeOf(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // files come and go
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}
