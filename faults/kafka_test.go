package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/internal/services"
)

const partitions = 4

// reading is an event as the topics of these tests hold them.
type reading struct {
	ID     int    `json:"id"`
	Device string `json:"device"`
	Value  int    `json:"value"`
	TS     int64  `json:"ts"` // milliseconds
}

// group is what the pipelines give for a device and a window.
type group struct {
	Device string `json:"device"`
	N      int    `json:"n"`
	Sum    int    `json:"total"`
	Start  string `json:"window_start"`
}

// windowMillis is the size of the pipelines' windows, disorderMillis how far their rows are out of order.
const (
	windowMillis   = 10_000
	disorderMillis = 2_000
)

// feed is a topic that is being filled, and what an undisturbed run would make of it.
type feed struct {
	t       *testing.T
	client  *kgo.Client
	admin   *kadm.Client
	name    string
	rng     *rand.Rand
	at      [partitions]int64
	sent    int
	want    map[string]group
	servers string
	copies  int16 // of each partition
}

// newFeed fills a topic of the shared broker.
func newFeed(t *testing.T, name string, seed uint64) *feed {
	t.Helper()
	return newFeedOn(t, services.Kafka(t), 1, name, seed)
}

// newFeedOn fills a topic of any brokers.
func newFeedOn(t *testing.T, servers string, copies int16, name string, seed uint64) *feed {
	t.Helper()
	f := &feed{t: t, servers: servers, copies: copies, rng: rand.New(rand.NewPCG(seed, 1)), want: map[string]group{}}
	f.name = fmt.Sprintf("faults-%s-%d", name, time.Now().UnixNano())
	var err error
	f.client, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(f.servers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(2*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	f.admin = kadm.NewClient(f.client)
	t.Cleanup(f.client.Close)
	for _, topic := range []string{f.in(), f.out()} {
		f.create(topic)
	}
	for p := range f.at {
		f.at[p] = 1_700_000_000_000
	}
	t.Cleanup(f.dropTable)
	return f
}

func (f *feed) in() string  { return f.name + "-in" }
func (f *feed) out() string { return f.name + "-out" }

func (f *feed) create(topic string) {
	f.t.Helper()
	if _, err := f.admin.CreateTopic(f.t.Context(), partitions, f.copies, nil, topic); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		f.admin.DeleteTopics(ctx, topic)
	})
}

// send sends rows, spread over the partitions, disordered within bounds.
func (f *feed) send(rows int) {
	f.t.Helper()
	for range rows {
		p := f.rng.IntN(partitions)
		f.at[p] += f.rng.Int64N(20)
		r := reading{ID: f.sent, Device: fmt.Sprintf("d%02d", f.rng.IntN(50)), Value: f.rng.IntN(1000), TS: f.at[p] - f.rng.Int64N(disorderMillis)}
		f.sent++
		f.expect(r)
		text, err := json.Marshal(r)
		if err != nil {
			f.t.Fatal(err)
		}
		f.client.Produce(f.t.Context(), &kgo.Record{Topic: f.in(), Partition: int32(p), Key: []byte(r.Device), Value: text}, func(_ *kgo.Record, err error) {
			if err != nil {
				f.t.Errorf("produce: %v", err)
			}
		})
	}
	if err := f.client.Flush(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// expect counts a row in its window.
func (f *feed) expect(r reading) {
	start := r.TS - r.TS%windowMillis
	text := time.UnixMilli(start).UTC().Format("2006-01-02T15:04:05.000Z")
	g := f.want[r.Device+text]
	f.want[r.Device+text] = group{Device: r.Device, N: g.N + 1, Sum: g.Sum + r.Value, Start: text}
}

// committed returns how far the pipeline's group is, as it tells the broker after each checkpoint.
func (f *feed) consumed(job string) int64 {
	offsets, err := f.admin.FetchOffsets(f.t.Context(), "leat."+job)
	if err != nil {
		return 0
	}
	total := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == f.in() && o.At > 0 {
			total += o.At
		}
	})
	return total
}

// results reads all that the output topic holds.
func (f *feed) results() (out []group) {
	f.t.Helper()
	f.read(f.out(), func(r *kgo.Record) {
		var g group
		if err := json.Unmarshal(r.Value, &g); err != nil {
			f.t.Errorf("%s: %v", r.Value, err)
		}
		out = append(out, g)
	})
	return out
}

// read reads all of a topic that is committed now.
func (f *feed) read(topic string, each func(*kgo.Record)) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	ends, err := f.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		f.t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	// Markers of transactions take offsets, too: with them, the last offset is seen.
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(f.servers, ",")...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	if err != nil {
		f.t.Fatal(err)
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			f.t.Fatalf("reading %s: %v; the ends are %v", topic, ctx.Err(), left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				each(r)
			}
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
	}
}

// compare compares groups with those of an undisturbed run.
func (f *feed) compare(where string, got []group) {
	f.t.Helper()
	seen := map[string]int{}
	lost, doubled, wrong := 0, 0, 0
	for _, g := range got {
		key := g.Device + g.Start
		if seen[key]++; seen[key] > 1 {
			doubled++
		}
		if want, ok := f.want[key]; !ok || want != g {
			if wrong++; wrong < 5 {
				f.t.Errorf("%s: got %+v, want %+v", where, g, want)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.want)) {
		if seen[key] == 0 {
			if lost++; lost < 5 {
				f.t.Errorf("%s: lost %+v", where, f.want[key])
			}
		}
	}
	f.t.Logf("%s: %d groups of %d rows, %d lost, %d doubled, %d wrong", where, len(got), f.sent, lost, doubled, wrong)
	if lost+doubled+wrong > 0 {
		f.t.Errorf("%s is not what an undisturbed run gives", where)
	}
}

const pipelineText = `
pipeline:
  transforms:
    - type: ReadFromKafka
      name: Read
      config:
        bootstrap_servers: "$servers$"
        topic: $in$
        format: JSON
        schema: {type: object, properties: {id: {type: integer}, device: {type: string}, value: {type: integer}, ts: {type: integer}}}
        timestamp: {expression: "ts / 1000"}
        language: python
        watermark: {disorder: 2s, idle: 60s}
    - type: Combine
      name: Count
      input: Read
      windowing: {type: fixed, size: 10s}
      config:
        language: python
        group_by: device
        combine: {n: {value: id, fn: count}, total: {value: value, fn: sum}}
    - type: ExtractWindowingInfo
      name: Window
      input: Count
      config: {fields: [window_start]}
$sinks$options: {job_name: $job$, checkpoint_interval: $interval$}
`

const (
	toKafka = `    - type: WriteToKafka
      name: ToKafka
      input: Window
      config: {bootstrap_servers: "$servers$", topic: $out$, format: JSON, key: device, producer_config_updates: $producer$}
`
	toPostgres = `    - type: WriteToPostgres
      name: ToPostgres
      input: Window
      config: {url: "$postgres$", table: $table$, create: true}
`
)

// pipeline writes the pipeline that these tests disturb: Kafka to windows by key, to Kafka and to PostgreSQL.
func (f *feed) pipeline(dir string, values map[string]string) (file, job string) {
	f.t.Helper()
	sinks := toKafka + toPostgres
	if values["first"] == "PostgreSQL" { // sinks commit in the file's order
		sinks = toPostgres + toKafka
	}
	return f.write(dir, strings.ReplaceAll(pipelineText, "$sinks$", sinks), values)
}

// write writes a pipeline file; values go in place of what stands in dollar signs.
func (f *feed) write(dir, text string, values map[string]string) (file, job string) {
	f.t.Helper()
	job = f.name
	all := map[string]string{"servers": f.servers, "in": f.in(), "out": f.out(), "postgres": services.Postgres(f.t), "table": f.table(), "job": job,
		"interval": "200ms", "producer": "{}"}
	maps.Copy(all, values)
	return write(f.t, dir, "pipeline.yaml", text, all), job
}

func (f *feed) table() string { return fmt.Sprintf("faults_%d", f.rngID()) }

func (f *feed) rngID() int64 {
	var id int64
	fmt.Sscanf(f.name[len(f.name)-10:], "%d", &id)
	return id
}

func (f *feed) dropTable() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := pgx.Connect(ctx, services.Postgres(f.t))
	if err != nil {
		return
	}
	defer db.Close(ctx)
	db.Exec(ctx, "drop table if exists "+f.table())
}

// rows reads what the pipeline has written to PostgreSQL.
func (f *feed) rows() []group {
	f.t.Helper()
	db, err := pgx.Connect(f.t.Context(), services.Postgres(f.t))
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close(context.Background())
	rows, err := db.Query(f.t.Context(), "select device, n, total, window_start from "+f.table())
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (group, error) {
		var g group
		var start time.Time
		err := r.Scan(&g.Device, &g.N, &g.Sum, &start)
		g.Start = start.UTC().Format("2006-01-02T15:04:05.000Z")
		return g, err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// TestFaultKill kills leat at random moments while rows come in. In the end the topic and the table hold what an undisturbed run gives.
func TestFaultKill(t *testing.T) {
	f := newFeed(t, "kill", 1)
	kills, rows := scale(200), scale(1_000_000)
	dir := t.TempDir()
	file, job := f.pipeline(dir, nil)
	rng := rand.New(rand.NewPCG(2, 2))
	for kill := range kills {
		p := start(t, dir, file)
		deadline := time.Now().Add(time.Duration(50+rng.IntN(700)) * time.Millisecond)
		f.send(rows / kills / 2)
		time.Sleep(time.Until(deadline) / 2)
		f.send(rows/kills - rows/kills/2)
		time.Sleep(time.Until(deadline))
		p.kill(t)
		if kill%20 == 19 {
			t.Logf("%d kills, %d rows sent, %d checkpointed", kill+1, f.sent, f.consumed(job))
		}
	}
	f.finish(dir, file, job)
}

// finish lets a last run read what is left, drains it, and compares.
func (f *feed) finish(dir, file, job string) {
	f.t.Helper()
	p := start(f.t, dir, file, "--on-stop", "drain")
	ctx, cancel := context.WithTimeout(f.t.Context(), 3*time.Minute)
	defer cancel()
	until(ctx, f.t, "all rows to be read", func() bool {
		select {
		case <-p.done:
			f.t.Fatalf("leat ended by itself: %v\n%s", p.err, p.log)
		default:
		}
		return f.consumed(job) == int64(f.sent)
	})
	time.Sleep(time.Second) // the broker may have been told of all rows by the run before: this one is to begin before it is stopped
	p.stop(f.t)
	f.t.Logf("the last run: %s", p.log)
	f.compare("topic", f.results())
	f.compare("table", f.rows())
}
