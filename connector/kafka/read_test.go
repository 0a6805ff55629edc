package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// produce writes records to the rig's topic, each to its partition.
func (r *rig) produce(records ...*kgo.Record) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.broker), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(r.topic))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

func text(partition int32, values ...string) (out []*kgo.Record) {
	for _, v := range values {
		out = append(out, &kgo.Record{Partition: partition, Value: []byte(v)})
	}
	return out
}

// source opens a source on the rig's topic.
func (r *rig) source(keys map[string]any) *readSource {
	r.t.Helper()
	config := r.with(map[string]any{"consumer_config": map[string]any{"fetch.max.wait.ms": int64(50), "metadata.max.age.ms": int64(200)}})
	maps.Copy(config, keys)
	s, err := newReadSource(config)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// reading is a reader with what it gave.
type reading struct {
	t         testing.TB
	r         catalog.Reader
	d         catalog.Decoder
	positions map[string]string
	rows      []string // as text, with file and offset
	bad       []string
	stamped   []bool // by batch: whether times are those of a server
}

// begin opens a reader that goes on at positions.
func (r *rig) begin(s *readSource, positions map[string]string) *reading {
	r.t.Helper()
	schema, err := s.Schema(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	in, err := s.Open(r.t.Context(), schema)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = in.Close() })
	if err := in.(catalog.Resumable).Resume(r.t.Context(), catalog.Resume{Job: r.topic, Name: "Read", Positions: positions}); err != nil {
		r.t.Fatal(err)
	}
	return &reading{t: r.t, r: in, d: in.NewDecoder(), positions: maps.Clone(positions)}
}

func (r *reading) BatchRows() int { return 3 }

func (r *reading) Bad(b catalog.BadRecord) error {
	r.bad = append(r.bad, fmt.Sprintf("%s:%d %q %s", b.File[strings.LastIndexByte(b.File, '/')+1:], b.Line, b.Record, b.Msg))
	return nil
}

func (r *reading) Batch(b *column.Batch) error {
	r.stamped = append(r.stamped, b.ServerTimes)
	for i := range b.N {
		file := b.Origin.File
		row := fmt.Sprintf("%s:%d", file[strings.LastIndexByte(file, '/')+1:], b.Origin.Line(b.RowNumber(i)))
		for _, c := range b.Cols {
			row += " " + expr.Str(c.Value(i))
		}
		r.rows = append(r.rows, row)
	}
	return nil
}

// morsel reads one morsel.
func (r *reading) morsel() error {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	var m catalog.Morsel
	if err := r.r.Next(ctx, &m); err != nil {
		return err
	}
	if r.positions == nil {
		r.positions = map[string]string{}
	}
	r.positions[m.Partition] = m.Position
	return r.d.Decode(ctx, &m, r)
}

// until reads until there are n rows and bad records.
func (r *reading) until(n int) *reading {
	r.t.Helper()
	for len(r.rows)+len(r.bad) < n {
		if err := r.morsel(); err != nil {
			r.t.Fatalf("after %d rows: %v", len(r.rows), err)
		}
	}
	return r
}

// all reads to the end.
func (r *reading) all() *reading {
	r.t.Helper()
	for {
		switch err := r.morsel(); {
		case errors.Is(err, io.EOF):
			return r
		case err != nil:
			r.t.Fatalf("after %d rows: %v", len(r.rows), err)
		}
	}
}

func (r *reading) want(what string, got []string, want ...string) {
	r.t.Helper()
	got = slices.Clone(got)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.t.Errorf("%s:\n%s\nwanted:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func stringly(keys map[string]any) map[string]any {
	out := map[string]any{"format": "STRING"}
	maps.Copy(out, keys)
	return out
}

func TestReadUntilLatest(t *testing.T) {
	rig := newRig(t, 3, nil)
	rig.produce(append(text(0, "a", "b"), text(2, "c")...)...)
	s := rig.source(stringly(map[string]any{"until": "latest"}))
	if s.Unbounded() {
		t.Error("a source with an end is unbounded")
	}
	r := rig.begin(s, nil).all()
	r.want("rows", r.rows, "0:0 a", "0:1 b", "2:0 c")
	r = rig.begin(s, r.positions).all()
	r.want("rows of a second run", r.rows)
	rig.produce(text(1, "d")...)
	r = rig.begin(rig.source(stringly(map[string]any{"until": "latest"})), r.positions).all()
	r.want("rows since", r.rows, "1:0 d")
}

func TestReadUntilTime(t *testing.T) {
	rig := newRig(t, 1, nil)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	records := text(0, "a", "b", "c")
	for i, r := range records {
		r.Timestamp = at.Add(time.Duration(i) * time.Hour)
	}
	rig.produce(records...)
	r := rig.begin(rig.source(stringly(map[string]any{"until": "2026-01-01T01:30:00Z", "metadata": map[string]any{"at": "timestamp"}})), nil).all()
	r.want("rows", r.rows, "0:0 a Timestamp(1767225600)", "0:1 b Timestamp(1767229200)")
}

func TestReadResumesAnywhere(t *testing.T) {
	rig := newRig(t, 2, nil)
	var values, want []string
	for i := range 10_000 {
		values = append(values, fmt.Sprint("v", i))
	}
	rig.produce(append(text(0, values...), text(1, values...)...)...)
	for p := range 2 {
		for i, v := range values {
			want = append(want, fmt.Sprintf("%d:%d %s", p, i, v))
		}
	}
	slices.Sort(want)
	var rows []string
	var positions map[string]string
	for stop := 1; len(rows) < len(want); stop += 1500 {
		r := rig.begin(rig.source(stringly(nil)), positions).until(min(stop, len(want)-len(rows)))
		rows, positions = append(rows, r.rows...), r.positions
		if err := r.r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(rows)
	if !slices.Equal(rows, want) {
		t.Errorf("%d rows, wanted %d, each once", len(rows), len(want))
	}
}

func TestReadFindsNewPartitions(t *testing.T) {
	rig := newRig(t, 1, nil)
	rig.produce(text(0, "a")...)
	other := rig.topic + "-b"
	s := rig.source(stringly(map[string]any{"topic": "/" + rig.topic + ".*/"}))
	r := rig.begin(s, nil).until(1)
	admin := rig.admin()
	if _, err := admin.CreatePartitions(t.Context(), 1, rig.topic); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.DeleteTopic(context.Background(), other) })
	rig.produce(append(text(1, "b"), &kgo.Record{Topic: other, Value: []byte("c")})...)
	r.until(3).want("rows", r.rows, "0:0 a", "0:0 c", "1:0 b")
	p := r.r.(catalog.Partitioned)
	if got := len(p.Partitions()); got != 3 {
		t.Errorf("%d partitions, wanted 3", got)
	}
	for _, name := range p.Partitions() {
		if !p.CaughtUp(t.Context(), name) {
			t.Errorf("%s is not caught up", name)
		}
	}
}

func TestReadLatestKeepsItsBeginning(t *testing.T) {
	rig := newRig(t, 2, nil)
	rig.produce(append(text(0, "old"), text(1, "old")...)...)
	s := rig.source(stringly(map[string]any{"auto_offset_reset_config": "latest"}))
	r := rig.begin(s, nil)
	for range 2 {
		if err := r.morsel(); err != nil {
			t.Fatal(err)
		}
	}
	rig.produce(append(text(0, "new"), text(1, "new")...)...)
	r = rig.begin(rig.source(stringly(map[string]any{"auto_offset_reset_config": "latest"})), r.positions).until(2)
	r.want("rows", r.rows, "0:1 new", "1:1 new")
}

func TestReadMetadataAndTombstones(t *testing.T) {
	rig := newRig(t, 1, nil)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rig.produce(
		&kgo.Record{Key: []byte("k"), Value: []byte(`{"a":1}`), Timestamp: at, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte("2")}}},
		&kgo.Record{Key: []byte("k"), Timestamp: at},
		&kgo.Record{Value: []byte(`{"a":2}`), Timestamp: at},
		&kgo.Record{Value: []byte(`{"a":"x"}`), Timestamp: at},
		&kgo.Record{Value: []byte(`{}`), Timestamp: at},
		&kgo.Record{Value: []byte{}, Timestamp: at})
	schema := column.RowOf(column.Schema{{Name: "a", Type: column.IntType}})
	config := map[string]any{"format": "JSON", "schema": schema, "until": "latest", "metadata": map[string]any{
		"k": "key", "h": "headers", "p": "partition", "o": "offset", "t": "timestamp"}}
	r := rig.begin(rig.source(config), nil).all()
	const when = "Timestamp(1767225600)"
	r.want("rows", r.rows, "0:0 1 {'h': b'2'} b'k' 0 0 "+when, "0:1 None {} b'k' 1 0 "+when, "0:2 2 {} None 2 0 "+when)
	if len(r.bad) != 3 || !strings.HasPrefix(r.bad[0], `0:3 "{\"a\":\"x\"}" field "a"`) {
		t.Errorf("bad records: %q", r.bad)
	}
	delete(config, "metadata")
	r = rig.begin(rig.source(config), nil).all()
	r.want("rows", r.rows, "0:0 1", "0:2 2")
	if len(r.bad) != 4 || !strings.Contains(r.bad[0], "tombstone") {
		t.Errorf("bad records: %q", r.bad)
	}
}

// TestReadTimesOfBroker tells times that the broker has set from those of producers.
func TestReadTimesOfBroker(t *testing.T) {
	for kind, want := range map[string]bool{"CreateTime": false, "LogAppendTime": true} {
		rig := newRig(t, 1, map[string]*string{"message.timestamp.type": &kind})
		rig.produce(append(text(0, "a", "b"), &kgo.Record{Key: []byte("k")})...)
		r := rig.begin(rig.source(map[string]any{"metadata": map[string]any{"k": "key"}, "until": "latest"}), nil).all()
		if len(r.stamped) == 0 || slices.Contains(r.stamped, !want) {
			t.Errorf("%s: batches have the times of a server: %v", kind, r.stamped)
		}
	}
}

func TestReadSkipsAbortedTransactions(t *testing.T) {
	rig := newRig(t, 1, nil)
	rig.produce(text(0, "a")...)
	client, err := kgo.NewClient(kgo.SeedBrokers(rig.broker), kgo.DefaultProduceTopic(rig.topic), kgo.TransactionalID(rig.topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), text(0, fmt.Sprint("committed: ", bool(commit)))...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	r := rig.begin(rig.source(stringly(map[string]any{"until": "latest"})), nil).all()
	r.want("rows", r.rows, "0:0 a", "0:3 committed: true")
}

func TestReadRefusesToSkip(t *testing.T) {
	rig := newRig(t, 1, nil)
	rig.produce(text(0, "a", "b", "c")...)
	var offsets kadm.Offsets = map[string]map[int32]kadm.Offset{}
	offsets.AddOffset(rig.topic, 0, 2, -1)
	if _, err := rig.admin().DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
	for _, position := range []string{"1", "9"} {
		r := rig.begin(rig.source(stringly(nil)), map[string]string{rig.topic + "/0": position})
		err := r.morsel()
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Code != diag.InputChanged || !strings.Contains(p.Text, "from offset "+position) || !strings.Contains(p.Text, "offsets 2 to 3") {
			t.Errorf("position %s: %v", position, err)
		}
	}
}

func TestReadTellsItsGroup(t *testing.T) {
	rig := newRig(t, 1, nil)
	rig.produce(text(0, "a", "b")...)
	r := rig.begin(rig.source(stringly(nil)), nil).until(2)
	if err := r.r.(catalog.Acknowledger).Acknowledge(t.Context(), r.positions); err != nil {
		t.Fatal(err)
	}
	offsets, err := rig.admin().FetchOffsets(t.Context(), "leat."+rig.topic)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := offsets.Lookup(rig.topic, 0); !ok || at.At != 2 {
		t.Errorf("the group is at %v, wanted 2", at)
	}
	for _, m := range r.r.(catalog.Metered).Metrics() {
		if m.Name == "lag_rows" && m.Value != 0 {
			t.Errorf("%v rows behind, wanted none", m.Value)
		}
	}
}

func TestReadNamesAMissingTopic(t *testing.T) {
	rig := newRig(t, 1, nil)
	r := rig.begin(rig.source(stringly(map[string]any{"topic": rig.topic + "-missing"})), nil)
	var p *catalog.Problem
	if err := r.morsel(); !errors.As(err, &p) || !strings.Contains(p.Hint, "Create the topic") {
		t.Errorf("%v", err)
	}
}

func TestReadSourceProblems(t *testing.T) {
	base := map[string]any{"bootstrap_servers": "localhost:9092", "topic": "t"}
	consumer := func(key string, value any) map[string]any {
		return map[string]any{"consumer_config": map[string]any{key: value}}
	}
	for _, c := range []struct {
		name string
		keys map[string]any
		key  string
		text string
	}{
		{"unknown setting", consumer("fetch.min.byte", int64(1)), "consumer_config", "fetch.min.byte"},
		{"isolation", consumer("isolation.level", "none"), "consumer_config", "isolation.level"},
		{"mechanism", map[string]any{"consumer_config": map[string]any{"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI", "sasl.jaas.config": `X required username="u" password="secret";`}}, "consumer_config", "GSSAPI"},
		{"login", consumer("security.protocol", "SASL_PLAINTEXT"), "consumer_config", "username and password"},
		{"truststore", map[string]any{"consumer_config": map[string]any{"security.protocol": "SSL", "ssl.truststore.type": "JKS"}}, "consumer_config", "JKS"},
		{"pattern", map[string]any{"topic": "/(/"}, "topic", "pattern"},
		{"until", map[string]any{"until": "tomorrow"}, "until", "tomorrow"},
		{"group", map[string]any{"assignment": "group"}, "assignment", "name of the group"},
		{"schema", map[string]any{"format": "JSON"}, "format", "not known"},
		{"metadata", map[string]any{"metadata": map[string]any{"a": "keys"}}, "metadata", "keys"},
		{"subject", map[string]any{"topic": "/a.*/", "format": "AVRO", "confluent_schema_registry_url": "http://localhost"}, "topic", "subject"},
	} {
		config := maps.Clone(base)
		maps.Copy(config, c.keys)
		_, err := newReadSource(config)
		var p *catalog.Problem
		switch {
		case !errors.As(err, &p) || p.Key != c.key || !strings.Contains(err.Error(), c.text):
			t.Errorf("%s: %v", c.name, err)
		case strings.Contains(err.Error()+p.Hint, "secret"):
			t.Errorf("%s: the password is in the error", c.name)
		}
	}
}

func TestReadSaysThatNobodyAnswers(t *testing.T) {
	rig := newRig(t, 1, nil)
	r := rig.begin(rig.source(stringly(map[string]any{"bootstrap_servers": "127.0.0.1:1", "max_read_time_seconds": 0.3})), nil)
	var p *catalog.Problem
	if err := r.morsel(); !errors.As(err, &p) || p.Code != diag.NoServer {
		t.Errorf("%v", err)
	}
}

func TestReadOutlivesCuts(t *testing.T) {
	rig := newRig(t, 2, nil)
	c := &cutter{cut: func(int16) (before, after bool) { return false, false }}
	s := rig.source(stringly(nil))
	s.connect = append(s.connect, kgo.Dialer(c.dial))
	c.set(true)
	r := rig.begin(s, nil)
	var values, want []string
	for i := range 200 {
		values = append(values, fmt.Sprintf("v%03d", i))
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		c.set(false)
	}()
	for i := 0; i < len(values); i += 50 {
		rig.produce(append(text(0, values[i:i+50]...), text(1, values[i:i+50]...)...)...)
		r.until(2*i + 20)
		c.set(true)
		c.set(false)
	}
	r.until(2 * len(values))
	for p := range 2 {
		for i, v := range values {
			want = append(want, fmt.Sprintf("%d:%d %s", p, i, v))
		}
	}
	slices.Sort(want)
	r.want("rows", r.rows, want...)
}
