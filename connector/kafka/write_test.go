package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"github.com/leat-project/leat/internal/services"
)

// rig is a topic of a real broker, and what it takes to write to it.
type rig struct {
	t      testing.TB
	broker string
	topic  string
	dir    string
	config map[string]any
}

// newRig creates a topic. name tells tests apart.
func newRig(t testing.TB, partitions int32, topicConfig map[string]*string) *rig {
	t.Helper()
	r := &rig{t: t, broker: services.Kafka(t), dir: t.TempDir()}
	r.topic = fmt.Sprintf("w-%s-%d", strings.NewReplacer("/", "-", ",", "").Replace(t.Name()), time.Now().UnixNano())
	r.config = map[string]any{"bootstrap_servers": r.broker, "topic": r.topic, "format": "RAW"}
	admin := r.admin()
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, topicConfig, r.topic); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.DeleteTopic(context.Background(), r.topic) })
	return r
}

func (r *rig) admin() *kadm.Client {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.broker))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// with returns the configuration with other values.
func (r *rig) with(keys map[string]any) map[string]any {
	c := maps.Clone(r.config)
	maps.Copy(c, keys)
	return c
}

// open opens a writer of rows of that schema.
func (r *rig) open(config map[string]any, stream bool, schema column.Schema) catalog.Writer {
	r.t.Helper()
	s, err := newSink(config, &catalog.SinkEnv{Name: "Write", Job: r.topic, Dir: r.dir, Stream: stream})
	if err != nil {
		r.t.Fatal(err)
	}
	w, err := s.Open(r.t.Context(), schema)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = w.Abort() })
	return w
}

// read returns all records that readers of committed rows see.
func (r *rig) read() []*kgo.Record {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	// A transaction is committed before each partition knows.
	r.await([]string{"leat." + r.topic + ".Write.0", "leat." + r.topic + ".Write.1"}, "PrepareCommit", "PrepareAbort")
	ends, err := r.admin().ListCommittedOffsets(ctx, r.topic)
	if err != nil {
		r.t.Fatal(err)
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			from[o.Partition], left[o.Partition] = kgo.NewOffset().AtStart(), o.Offset
		}
	})
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.broker), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	var out []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("the end did not come: left %v", left)
		}
		// The last record of a partition is one that is committed, or the one that ends a transaction: both are seen.
		fetches.EachRecord(func(rec *kgo.Record) {
			if !rec.Attrs.IsControl() {
				out = append(out, rec)
			}
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
		})
	}
	return out
}

// values returns the values of records, sorted.
func values(records []*kgo.Record) []string {
	var out []string
	for _, rec := range records {
		out = append(out, string(rec.Value))
	}
	slices.Sort(out)
	return out
}

var payloadSchema = column.Schema{{Name: "payload", Type: column.StringType}}

// batchOf makes a batch of rows.
func batchOf(t testing.TB, schema column.Schema, rows ...[]any) *column.Batch {
	t.Helper()
	b := &column.Batch{N: len(rows)}
	for f, field := range schema {
		builder := column.NewBuilder(field.Type)
		for _, row := range rows {
			if row[f] == nil {
				builder.AppendNull()
			} else if err := builder.Append(row[f]); err != nil {
				t.Fatal(err)
			}
		}
		b.Cols = append(b.Cols, builder.Finish())
	}
	return b
}

// payloads makes a batch of payloads: prefix and a number.
func payloads(t testing.TB, prefix string, n int) (b *column.Batch, want []string) {
	t.Helper()
	var rows [][]any
	for i := range n {
		want = append(want, fmt.Sprintf("%s%04d", prefix, i))
		rows = append(rows, []any{want[i]})
	}
	return batchOf(t, payloadSchema, rows...), want
}

func write(t testing.TB, e catalog.Encoder, b *column.Batch) {
	t.Helper()
	if err := errors.Join(e.Write(t.Context(), b), e.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestWritePlain(t *testing.T) {
	r := newRig(t, 6, nil)
	schema := column.Schema{
		{Name: "id", Type: column.StringType.OrNull()}, {Name: "payload", Type: column.StringType}, {Name: "gone", Type: column.BoolType},
		{Name: "tags", Type: column.MapOf(column.StringType.OrNull()).OrNull()}, {Name: "to", Type: column.IntType.OrNull()},
	}
	w := r.open(r.with(map[string]any{"key": "id", "tombstone": "gone", "headers": "tags", "partition": "to"}), false, schema)
	tags := &column.MapValue{Keys: []any{"a", "b"}, Elems: []any{"1", nil}}
	write(t, w.NewEncoder(), batchOf(t, schema,
		[]any{"21", "one", false, tags, nil},
		[]any{"foobar", "two", true, nil, nil},
		[]any{nil, "three", false, nil, int64(5)},
		[]any{"x", "", false, nil, int64(3)}))
	if err := w.(catalog.Syncer).Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rec := range r.read() {
		text := fmt.Sprintf("%s=%s", rec.Key, rec.Value)
		if rec.Value == nil {
			text = fmt.Sprintf("%s deleted", rec.Key)
		}
		for _, h := range rec.Headers {
			text += fmt.Sprintf(" %s:%q", h.Key, h.Value)
		}
		if rec.Key == nil || string(rec.Key) == "x" {
			text += fmt.Sprintf(" in %d", rec.Partition)
		} else if want := javaPartition(string(rec.Key), 6); rec.Partition != want {
			t.Errorf("%s is in partition %d, of the Java client in %d", rec.Key, rec.Partition, want)
		}
		got = append(got, text)
	}
	slices.Sort(got)
	if want := []string{`21=one a:"1" b:""`, "=three in 5", "foobar deleted", "x= in 3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWriteJSON: the key stays in the value, what is beside the message does not.
func TestWriteJSON(t *testing.T) {
	r := newRig(t, 2, nil)
	schema := column.Schema{{Name: "device", Type: column.IntType}, {Name: "temp", Type: column.FloatType}, {Name: "h", Type: column.MapOf(column.IntType)}}
	w := r.open(r.with(map[string]any{"format": "JSON", "key": "device", "headers": "h"}), false, schema)
	write(t, w.NewEncoder(), batchOf(t, schema, []any{int64(7), 21.5, &column.MapValue{Keys: []any{"n"}, Elems: []any{int64(3)}}}))
	if _, err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	records := r.read()
	if len(records) != 1 || string(records[0].Key) != "7" || string(records[0].Value) != `{"device":7,"temp":21.5}` || string(records[0].Headers[0].Value) != "3" {
		t.Errorf("got %v", records)
	}
}

// javaHashes are of the tests of the Java client (UtilsTest.testMurmur2).
var javaHashes = map[string]int32{
	"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
	"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
}

func javaPartition(key string, n int32) int32 { return (javaHashes[key] & 0x7fffffff) % n }

func TestPartitionsAreThoseOfJava(t *testing.T) {
	for _, named := range []bool{false, true} {
		p := newPartitioner(named).ForTopic("t")
		for key := range javaHashes {
			for _, n := range []int{1, 2, 7, 100} {
				if got, want := p.Partition(&kgo.Record{Key: []byte(key), Partition: anyPartition}, n), javaPartition(key, int32(n)); got != int(want) {
					t.Errorf("%q of %d: got %d, want %d", key, n, got, want)
				}
			}
		}
	}
}

// TestWritePlainUnderPressure writes more than may be under way, from several encoders.
func TestWritePlainUnderPressure(t *testing.T) {
	r := newRig(t, 3, nil)
	w := r.open(r.with(map[string]any{"producer_config_updates": map[string]any{"buffer.memory": int64(1 << 20), "compression.type": "lz4", "linger.ms": int64(1)}}), false, payloadSchema)
	const encoders, batches, rows = 4, 10, 2000
	done := make(chan error, encoders)
	var want []string
	for n := range encoders {
		var bs []*column.Batch
		for k := range batches {
			b, texts := payloads(t, fmt.Sprintf("%s%d-%d-", strings.Repeat("x", 100), n, k), rows)
			bs, want = append(bs, b), append(want, texts...)
		}
		go func() {
			e := w.NewEncoder()
			var err error
			for _, b := range bs {
				err = errors.Join(err, e.Write(t.Context(), b))
			}
			done <- err
		}()
	}
	for range encoders {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	written, err := w.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := values(r.read()); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("got %d rows, want %d", len(got), len(want))
	}
	if least := int64(encoders * batches * rows * 100); written.Bytes < least {
		t.Errorf("%d bytes written, want at least %d", written.Bytes, least)
	}
}

func TestWriteRefusesWhatIsTooLarge(t *testing.T) {
	limit := "2000"
	r := newRig(t, 1, map[string]*string{"max.message.bytes": &limit})
	schema := append(column.Schema{{Name: "id", Type: column.StringType}}, payloadSchema...)
	w := r.open(r.with(map[string]any{"key": "id"}), false, schema)
	e := w.NewEncoder()
	// Many rows at once are more than the topic takes in one batch, and are split.
	small := batchOf(t, schema, slices.Repeat([][]any{{"a", strings.Repeat("y", 100)}}, 500)...)
	write(t, e, small)
	if err := w.(catalog.Syncer).Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	big := batchOf(t, schema, []any{"pump-6", "before"}, []any{"pump-7", strings.Repeat("y", 3000)}, []any{"pump-8", "after"})
	err := e.Write(t.Context(), big)
	var refused catalog.Refused
	if !errors.As(err, &refused) || len(refused) != 1 || refused[0].Row != 1 {
		t.Fatalf("a row over the limit: %v", err)
	}
	for _, part := range []string{`"pump-7"`, "2000", "max.message.bytes"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q lacks %q", err, part)
		}
	}
	if err := w.(catalog.Syncer).Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := values(r.read()); len(got) != 502 || !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, "after") }) {
		t.Errorf("%d rows were written, wanted all but one of 503", len(got))
	}
}

func TestWriteNamesAMissingPartition(t *testing.T) {
	r := newRig(t, 2, nil)
	schema := append(column.Schema{{Name: "to", Type: column.IntType}}, payloadSchema...)
	w := r.open(r.with(map[string]any{"partition": "to"}), false, schema)
	e := w.NewEncoder()
	if err := e.Write(t.Context(), batchOf(t, schema, []any{int64(-1), "x"})); err == nil || !strings.Contains(err.Error(), "from 0, found -1") {
		t.Errorf("got %v", err)
	}
	write(t, w.NewEncoder(), batchOf(t, schema, []any{int64(7), "x"}))
	if err := w.(catalog.Syncer).Sync(t.Context()); !errors.Is(err, errNoPartition) {
		t.Errorf("got %v", err)
	}
}

// TestWriteSetsAside gives back what the client or the brokers refuse after Write, and writes the rest.
func TestWriteSetsAside(t *testing.T) {
	r := newRig(t, 2, nil)
	schema := append(column.Schema{{Name: "to", Type: column.IntType}}, payloadSchema...)
	s, err := newSink(r.with(map[string]any{"partition": "to"}), &catalog.SinkEnv{Name: "Write", Refusals: true})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Open(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort() //nolint:errcheck // it has been committed
	e := w.NewEncoder()
	write(t, e, batchOf(t, schema, []any{int64(0), "a"}, []any{int64(7), "b"}, []any{int64(1), "c"}, []any{int64(9), "d"}))
	if err := w.(catalog.Syncer).Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	refused, err := w.(catalog.Refuser).Refusals()
	for _, of := range refused {
		for _, row := range of.Rows {
			if !errors.Is(row.Err, errNoPartition) {
				t.Errorf("a row was refused for %v", row.Err)
			}
			got = append(got, fmt.Sprint(of.Batch.Cols[0].Value(int(row.Row)), of.Batch.Cols[1].Value(int(row.Row))))
		}
	}
	if slices.Sort(got); err != nil || !slices.Equal(got, []string{"7b", "9d"}) {
		t.Errorf("refused %q, %v", got, err)
	}
	if _, err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := values(r.read()); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("written %q", got)
	}
}

func TestOpenNamesAMissingTopic(t *testing.T) {
	broker := services.Kafka(t)
	s, err := newSink(map[string]any{"bootstrap_servers": broker, "topic": "no.such-topic", "format": "RAW"}, &catalog.SinkEnv{Name: "W"})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := newServer(s.settings)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.close()
	err = explain("no.such-topic", srv.topicOnce(t.Context(), "no.such-topic", false))
	if err == nil || !strings.Contains(err.Error(), `"no.such-topic" is not there: create it`) {
		t.Errorf("got %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}

func TestSinkProblems(t *testing.T) {
	good := map[string]any{"bootstrap_servers": "127.0.0.1:1", "topic": "t", "format": "RAW"}
	for name, c := range map[string]struct {
		keys map[string]any
		key  string
		code diag.Code
	}{
		"topic":            {map[string]any{"topic": "a b"}, "topic", diag.BadValue},
		"tombstone":        {map[string]any{"tombstone": "gone"}, "tombstone", diag.MissingKey},
		"acks":             {updates("acks", "2"), "producer_config_updates", diag.BadValue},
		"idempotence":      {updates("acks", "1", "enable.idempotence", true), "producer_config_updates", diag.BadValue},
		"exactly once":     {updates("acks", "1"), "producer_config_updates", diag.BadValue},
		"compression":      {updates("compression.type", "rar"), "producer_config_updates", diag.BadValue},
		"unknown":          {updates("linger", 5), "producer_config_updates", diag.UnknownKey},
		"transactional id": {updates("transactional.id", "x"), "producer_config_updates", diag.Unsupported},
		"linger":           {updates("linger.ms", -1), "producer_config_updates", diag.BadValue},
		"retry":            {map[string]any{"retry": map[string]any{"attempts": int64(0)}}, "retry", diag.BadValue},
	} {
		t.Run(name, func(t *testing.T) {
			config := maps.Clone(good)
			maps.Copy(config, c.keys)
			_, err := newSink(config, &catalog.SinkEnv{Stream: true})
			var p *catalog.Problem
			if !errors.As(err, &p) || p.Key != c.key || p.Code != c.code {
				t.Errorf("got %#v, want a problem %s of %q", err, c.code, c.key)
			}
		})
	}
	if _, err := newSink(good, &catalog.SinkEnv{Stream: true}); err != nil {
		t.Error(err)
	}
}

func updates(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return map[string]any{"producer_config_updates": m}
}

func TestCheckSinkNamesFields(t *testing.T) {
	config := map[string]any{"topic": "t", "format": "RAW", "key": "kye"}
	schema := column.Schema{{Name: "key", Type: column.StringType}, {Name: "payload", Type: column.StringType}}
	var p *catalog.Problem
	if err := checkSink(config, schema); !errors.As(err, &p) || p.Code != diag.UnknownField || !strings.Contains(p.Hint, `"key"`) {
		t.Errorf("got %v", err)
	}
	config["key"] = "key"
	if err := checkSink(config, schema); err != nil {
		t.Error(err)
	}
}

func TestStageRoundTrip(t *testing.T) {
	s := newSlab()
	add := func(key, value []byte, headers ...[]byte) {
		c := cut{key: nullSpan, value: nullSpan, partition: anyPartition}
		put := func(b []byte) span {
			if b == nil {
				return nullSpan
			}
			s.data = append(s.data, b...)
			return span{len(s.data) - len(b), len(s.data)}
		}
		c.key, c.value = put(key), put(value)
		for _, h := range headers {
			s.heads = append(s.heads, head{"h", put(h)})
		}
		c.headers = len(s.heads)
		s.cuts = append(s.cuts, c)
	}
	add(nil, []byte("v"))
	add([]byte("k"), nil, []byte("1"), nil, []byte{})
	add([]byte{}, []byte{})
	s.build("t", 1234)
	block := appendBlock(nil, s)
	got, err := readBlock(bytes.NewReader(block))
	if err != nil {
		t.Fatal(err)
	}
	got.build("t", got.time)
	for i := range s.records {
		if a, b := fmt.Sprintf("%#v", s.records[i]), fmt.Sprintf("%#v", got.records[i]); a != b {
			t.Errorf("record %d: got %s, want %s", i, b, a)
		}
	}
	for i := range block {
		torn := bytes.Clone(block)
		torn[i] ^= 1
		if _, err := readBlock(bytes.NewReader(torn)); err == nil {
			t.Errorf("a flip of byte %d was not found", i)
		}
		if _, err := readBlock(bytes.NewReader(block[:i])); err == nil {
			t.Errorf("a file of %d bytes was taken", i)
		}
	}
}

// FuzzReadBlock: no file makes it panic.
func FuzzReadBlock(f *testing.F) {
	f.Add([]byte{0, 2, 1, 2, 'k', 2, 'v', 1, 2, 'h', 0})
	f.Fuzz(func(_ *testing.T, body []byte) {
		s := newSlab()
		s.data = body
		if s.cutBlock() == nil {
			s.build("t", s.time)
		}
	})
}
