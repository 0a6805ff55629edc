package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const accountingText = `
pipeline:
  transforms:
    - type: ReadFromKafka
      name: Read
      config:
        bootstrap_servers: "$servers$"
        topic: $in$
        format: JSON
        schema: {type: object, properties: {id: {type: integer}, device: {type: string}, value: {type: integer}, ts: {type: integer}, note: {type: string}}}
        error_handling: {output: malformed}
    - type: AssignTimestamps
      name: Time
      input: Read
      config:
        language: python
        timestamp: ts / 1000
        watermark: {disorder: 2s, per: device, idle: 60s, future: 1h}
        error_handling: {output: future}
    - type: Combine
      name: Count
      input: Time
      windowing: {type: fixed, size: 10s}
      config:
        language: python
        group_by: device
        combine: {n: {value: id, fn: count}, total: {value: value, fn: sum}}
    - type: ExtractWindowingInfo
      name: Window
      input: Count
      config: {fields: [window_start]}
    - type: WriteToKafka
      name: ToKafka
      input: Window
      config: {bootstrap_servers: "$servers$", topic: $out$, format: JSON, key: device}
    - type: MapToFields
      name: Fits # WriteToKafka would end the run: its rows cannot fail one by one
      input: Time
      config:
        language: python
        fields: {id: id, note: "note if len(note) < 2048 else str(int(note))"}
        error_handling: {output: large}
    - type: WriteToKafka
      name: Copy
      input: Fits
      config: {bootstrap_servers: "$servers$", topic: $out$-copy, format: JSON, producer_config_updates: {max.request.size: 2300}}
    - type: MapToFields
      name: Malformed
      input: Read.malformed
      config: {language: python, fields: {line: line}}
    - type: MapToFields
      name: Future
      input: Time.future
      config: {language: python, fields: {id: element.id}}
    - type: MapToFields
      name: Late
      input: Count.late
      config: {language: python, fields: {id: id}}
    - type: MapToFields
      name: Large
      input: Fits.large
      config: {language: python, fields: {id: element.id}}
    - {type: WriteToKafka, name: ToMalformed, input: Malformed, config: {bootstrap_servers: "$servers$", topic: $out$-malformed, format: JSON}}
    - {type: WriteToKafka, name: ToFuture, input: Future, config: {bootstrap_servers: "$servers$", topic: $out$-future, format: JSON}}
    - {type: WriteToKafka, name: ToLate, input: Late, config: {bootstrap_servers: "$servers$", topic: $out$-late, format: JSON}}
    - {type: WriteToKafka, name: ToLarge, input: Large, config: {bootstrap_servers: "$servers$", topic: $out$-large, format: JSON}}
options: {job_name: $job$, checkpoint_interval: $interval$}
`

// produce sends one record as it is.
func (f *feed) produce(p int, at int64, text []byte) {
	f.client.Produce(f.t.Context(), &kgo.Record{Topic: f.in(), Partition: int32(p), Timestamp: time.UnixMilli(at), Value: text}, func(_ *kgo.Record, err error) {
		if err != nil {
			f.t.Errorf("produce: %v", err)
		}
	})
}

// oddities counts rows that are not to come out as others do.
type oddities struct{ malformed, future, late, large int }

// sendOdd sends rows of which some cannot be read, are from the future, late, or too large.
func (f *feed) sendOdd(rows int, late bool) (odd oddities) {
	f.t.Helper()
	for range rows {
		p := f.rng.IntN(partitions)
		f.at[p] += f.rng.Int64N(20)
		at := f.at[p] - f.rng.Int64N(disorderMillis)
		r := reading{ID: f.sent, Device: fmt.Sprintf("d%02d", f.rng.IntN(10)), Value: f.rng.IntN(1000), TS: at}
		f.sent++
		note, kind := "", f.rng.IntN(1000)
		switch {
		case kind < 10:
			odd.malformed++
			f.produce(p, at, fmt.Appendf(nil, `{"id": %d, "device": `, r.ID))
			continue
		case kind < 20 && f.sent > 1000: // the first that speaks cannot be judged
			odd.future++
			r.Device = "d09" // one that has a fast clock at times: two that agree would be believed
			r.TS += 24 * time.Hour.Milliseconds()
		case kind < 30 && late:
			odd.late++
			r.TS -= time.Hour.Milliseconds()
		case kind < 31:
			odd.large++
			note = strings.Repeat("x", 4000)
			f.expect(r)
		default:
			f.expect(r)
		}
		text, err := json.Marshal(struct {
			reading
			Note string `json:"note"`
		}{r, note})
		if err != nil {
			f.t.Fatal(err)
		}
		f.produce(p, at, text)
	}
	if err := f.client.Flush(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	return odd
}

// size returns how many records a topic holds for readers of what is committed, by reading them.
func (f *feed) size(topic string) (n int) {
	f.t.Helper()
	f.read(topic, func(*kgo.Record) { n++ })
	return n
}

// TestFaultAccounting sends rows that are malformed, late, from the future, or too large: what comes out and what is set aside is what went in.
func TestFaultAccounting(t *testing.T) {
	f := newFeed(t, "accounting", 8)
	for _, suffix := range []string{"-copy", "-malformed", "-future", "-late", "-large"} {
		f.create(f.out() + suffix)
	}
	dir := t.TempDir()
	file, job := f.write(dir, accountingText, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	rows := scale(1_000_000)
	p := start(t, dir, file)
	want := f.sendOdd(rows/10, false)
	until(ctx, t, "windows to close", func() bool {
		select {
		case <-p.done:
			t.Fatalf("leat ended by itself: %v\n%s", p.err, p.log)
		default:
		}
		return f.consumed(job) == int64(f.sent) && f.visible() > 0
	})
	for range 3 {
		before := f.consumed(job)
		odd := f.sendOdd(rows*3/10, true)
		want = oddities{want.malformed + odd.malformed, want.future + odd.future, want.late + odd.late, want.large + odd.large}
		until(ctx, t, "a checkpoint", func() bool { return f.consumed(job) > before })
		p.kill(t)
		p = start(t, dir, file, "--on-stop", "drain")
	}
	until(ctx, t, "all rows to be read", func() bool { return f.consumed(job) == int64(f.sent) })
	time.Sleep(time.Second)
	p.stop(t)
	t.Logf("the last run: %s", p.log)
	got := oddities{f.size(f.out() + "-malformed"), f.size(f.out() + "-future"), f.size(f.out() + "-late"), f.size(f.out() + "-large")}
	groups, copied, counted := f.results(), f.size(f.out()+"-copy"), 0
	for _, g := range groups {
		counted += g.N
	}
	t.Logf("%d rows in; %d in windows, %d copied, set aside %+v", f.sent, counted, copied, got)
	if got != want {
		t.Errorf("set aside: got %+v, want %+v", got, want)
	}
	if sum := counted + got.late + got.future + got.malformed; sum != f.sent {
		t.Errorf("windows: %d rows of %d are accounted for", sum, f.sent)
	}
	if sum := copied + got.large + got.future + got.malformed; sum != f.sent {
		t.Errorf("copies: %d rows of %d are accounted for", sum, f.sent)
	}
	f.compare("topic", groups)
}
