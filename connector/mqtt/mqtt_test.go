package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/services"
	"github.com/leat-project/leat/internal/vfs"
)

var versions = []string{version3, version5}

// topicFor returns a topic that no other test has.
func topicFor(t *testing.T) string {
	return fmt.Sprintf("leat/%s/%d", strings.NewReplacer("/", "_", "#", "_", "+", "_").Replace(t.Name()), time.Now().UnixNano())
}

func openedSource(t *testing.T, config map[string]any) *source {
	t.Helper()
	s, err := openSource(config)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*source)
}

// reading opens a reader, as the engine does.
func reading(t *testing.T, s *source, at *catalog.Resume) *reader {
	t.Helper()
	schema, err := s.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	if at != nil {
		if err := r.(*reader).Resume(t.Context(), *at); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { r.Close() })
	return r.(*reader)
}

// begin makes the reader subscribe, and waits until it has.
func begin(t *testing.T, r *reader) {
	t.Helper()
	if !r.begun.Load() {
		if err := r.start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, func() bool { return r.online.Load() })
}

// until waits for something that must come.
func until(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !what(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come")
		}
	}
}

// rowsOut collects rows as texts.
type rowsOut struct {
	rows []string
	bad  []string
}

func (o *rowsOut) BatchRows() int { return 100 }
func (o *rowsOut) Batch(b *column.Batch) error {
	b.Each(func(i int) {
		var texts []string
		for _, c := range b.Cols {
			v := c.Value(i)
			if bytes, ok := v.([]byte); ok {
				v = string(bytes)
			}
			texts = append(texts, fmt.Sprint(v))
		}
		o.rows = append(o.rows, strings.Join(texts, "|"))
		if b.Times != nil {
			o.rows = append(o.rows, "event time!")
		}
	})
	return nil
}
func (o *rowsOut) Bad(r catalog.BadRecord) error {
	o.bad = append(o.bad, fmt.Sprintf("%s:%d %s", r.File, r.Line, r.Record))
	return nil
}

// take reads rows until there are n, and returns the last position.
func take(t *testing.T, r *reader, n int) (rows []string, position string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	d := r.NewDecoder()
	out := &rowsOut{}
	for len(out.rows)+len(out.bad) < n {
		var m catalog.Morsel
		if err := r.Next(ctx, &m); err != nil {
			t.Fatalf("after %d of %d: %v", len(out.rows), n, err)
		}
		if err := d.Decode(ctx, &m, out); err != nil {
			t.Fatal(err)
		}
		position = m.Position
	}
	return append(out.rows, out.bad...), position
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, wanted %q", got, want)
	}
}

// publisher is a plain client.
func publisher(t *testing.T, address, version string) link {
	t.Helper()
	s, p := readSettings(map[string]any{"url": "mqtt://" + address, "version": version})
	if p != nil {
		t.Fatal(p.err())
	}
	l, err := s.dial(t.Context(), wish{clientID: randomID()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

func send(t *testing.T, l link, p publication) {
	t.Helper()
	if err := l.publish(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
}

func TestMessagesArrive(t *testing.T) {
	address := services.MQTT(t)
	for _, version := range versions {
		for qos := range int64(3) {
			for _, dir := range []string{"", t.TempDir()} {
				t.Run(fmt.Sprintf("%s/qos%d/%t", version, qos, dir != ""), func(t *testing.T) {
					topic := topicFor(t)
					r := reading(t, openedSource(t, map[string]any{"url": "mqtt://" + address, "version": version, "qos": qos, "topics": topic + "/{room}/+",
						"format": "STRING", "metadata": map[string]any{"t": "topic", "q": "qos", "r": "retained"}}), &catalog.Resume{Job: topic, Name: "Read", Dir: dir})
					begin(t, r)
					l := publisher(t, address, version)
					send(t, l, publication{topic: topic + "/Küche 厨房/x", payload: []byte("grün"), qos: byte(qos)})
					send(t, l, publication{topic: topic + "//", payload: []byte(""), qos: byte(qos)})
					if qos == 0 { // what is on its way has no order otherwise
						time.Sleep(50 * time.Millisecond)
					}
					rows, position := take(t, r, 2)
					q := fmt.Sprint(qos)
					same(t, rows, "grün|"+q+"|false|"+topic+"/Küche 厨房/x|Küche 厨房", "|"+q+"|false|"+topic+"//|")
					if position != "2" {
						t.Errorf("position %s", position)
					}
				})
			}
		}
	}
}

// broker runs a process of its own, which keeps its sessions over a restart.
type broker struct {
	address string
	dir     string
	cmd     *exec.Cmd
}

func newBroker(t *testing.T, extra string) *broker {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		if path = "/usr/sbin/mosquitto"; !exists(path) {
			if os.Getenv("LEAT_SERVICES") == "1" {
				t.Fatal("no mosquitto: run make services")
			}
			t.Skip("no mosquitto: run make services")
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{address: free.Addr().String(), dir: t.TempDir()}
	free.Close()
	_, port, _ := net.SplitHostPort(b.address)
	config := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nautosave_interval 1\nautosave_on_changes true\n"+
		"max_queued_messages 0\n%s\n", port, b.dir, extra)
	if os.Getuid() == 0 {
		config += "user root\n"
	}
	if err := os.WriteFile(filepath.Join(b.dir, "conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cmd = exec.Command(path, "-c", filepath.Join(b.dir, "conf"))
	b.start(t)
	t.Cleanup(func() { b.stop() })
	return b
}

func exists(name string) bool { _, err := os.Stat(name); return err == nil }

func (b *broker) start(t *testing.T) {
	t.Helper()
	b.cmd = exec.Command(b.cmd.Path, b.cmd.Args[1:]...)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return services.Answers(b.address) })
}

func (b *broker) stop() {
	if b.cmd.Process != nil {
		b.cmd.Process.Signal(os.Interrupt)
		b.cmd.Wait()
	}
}

// numbers sends messages that carry a number each, and goes on while the broker is away.
func number(i int) []byte { return fmt.Appendf(nil, `{"id": %d}`, i) }

func TestBrokerRestarts(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			b := newBroker(t, "")
			config := map[string]any{"url": "mqtt://" + b.address, "version": version, "topics": "n", "qos": int64(1), "format": "JSON",
				"schema": column.RowOf(column.Schema{{Name: "id", Type: column.IntType}}), "dedup": "id"}
			r := reading(t, openedSource(t, config), &catalog.Resume{Job: "job", Name: "Read", Dir: t.TempDir()})
			begin(t, r)
			sinkConfig := map[string]any{"url": "mqtt://" + b.address, "version": version, "topic": "n", "format": "JSON"}
			w := opened(t, sinkConfig, column.Schema{{Name: "id", Type: column.IntType}})
			for i := range 300 {
				write(t, w, int64(i))
				if i == 100 {
					if err := w.Sync(t.Context()); err != nil {
						t.Fatal(err)
					}
					b.stop()
				}
				if i == 110 { // fewer than wait in a lane
					b.start(t)
				}
			}
			if err := w.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			rows, _ := take(t, r, 300)
			slices.Sort(rows)
			if rows = slices.Compact(rows); len(rows) != 300 {
				t.Fatalf("%d messages", len(rows))
			}
		})
	}
}

func opened(t *testing.T, config map[string]any, schema column.Schema) *writer {
	t.Helper()
	s, err := openSink(config, &catalog.SinkEnv{Job: "job", Name: "Write", Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Open(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Abort() })
	return w.(*writer)
}

// write writes one row of one number.
func write(t *testing.T, w *writer, n int64) {
	t.Helper()
	b := &column.Batch{N: 1, Cols: []*column.Vector{{Type: column.IntType, N: 1, Ints: []int64{n}}}, Origin: &column.Origin{File: "f", Seq: n}}
	if err := w.NewEncoder().Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// A process that dies between the log and the acknowledgement gets the message again, and knows it.
func TestDiesBeforeItAcknowledges(t *testing.T) {
	address := services.MQTT(t)
	for _, version := range versions {
		for _, qos := range []int64{1, 2} {
			t.Run(fmt.Sprintf("%s/qos%d", version, qos), func(t *testing.T) {
				topic, dir := topicFor(t), t.TempDir()
				config := map[string]any{"url": "mqtt://" + address, "version": version, "qos": qos, "topics": topic, "format": "JSON",
					"schema": column.RowOf(column.Schema{{Name: "id", Type: column.IntType}}), "dedup": "id"}
				at := &catalog.Resume{Job: topic, Name: "Read", Dir: dir}
				// The first process: the disk does not sync, so that nothing is acknowledged, and then it dies.
				first := reading(t, openedSource(t, config), at)
				first.files = &vfs.Faulty{FS: vfs.OS, Fail: func(op vfs.Op, name string) error {
					if op == vfs.OpSync && first.online.Load() {
						return errors.New("injected")
					}
					return nil
				}}
				begin(t, first)
				l := publisher(t, address, version)
				for i := range 5 {
					send(t, l, publication{topic: topic, payload: number(i), qos: byte(qos)})
				}
				until(t, func() bool { return first.received.Load() == 5 })
				first.Close()
				// The second one has all.
				second := reading(t, openedSource(t, config), at)
				rows, position := take(t, second, 5)
				slices.Sort(rows) // what could not be synced may be there, or not
				same(t, rows, "0", "1", "2", "3", "4")
				if err := second.Acknowledge(t.Context(), map[string]string{"": position}); err != nil {
					t.Fatal(err)
				}
				second.Close()
				// What was acknowledged does not come again, and what the sender sends again is known.
				at.Positions = map[string]string{"": position}
				third := reading(t, openedSource(t, config), at)
				begin(t, third)
				for i := range 7 {
					send(t, l, publication{topic: topic, payload: number(i), qos: byte(qos)})
				}
				rows, _ = take(t, third, 2)
				same(t, rows, "5", "6")
				if third.dropped.Load() < 5 {
					t.Errorf("%d doubles", third.dropped.Load())
				}
			})
		}
	}
}

// What comes while the pipeline is away waits at the broker.
func TestMessagesWaitAtTheBroker(t *testing.T) {
	address := services.MQTT(t)
	for _, version := range versions {
		topic := topicFor(t)
		s := openedSource(t, map[string]any{"url": "mqtt://" + address, "version": version, "topics": topic})
		at := &catalog.Resume{Job: topic, Name: "Read", Dir: t.TempDir()}
		r := reading(t, s, at)
		begin(t, r)
		r.Close()
		send(t, publisher(t, address, version), publication{topic: topic, payload: []byte("kept"), qos: 1})
		rows, _ := take(t, reading(t, s, at), 1)
		same(t, rows, "kept")
	}
}

func TestSlowReader(t *testing.T) {
	address := services.MQTT(t)
	for _, version := range versions {
		for _, dir := range []string{"", t.TempDir()} {
			t.Run(fmt.Sprintf("%s/%t", version, dir != ""), func(t *testing.T) {
				topic := topicFor(t)
				r := reading(t, openedSource(t, map[string]any{"url": "mqtt://" + address, "version": version, "topics": topic, "format": "STRING"}),
					&catalog.Resume{Job: topic, Name: "Read", Dir: dir})
				r.options.MaxBytes = 50_000
				begin(t, r)
				l := publisher(t, address, version)
				filler := strings.Repeat("x", 1000)
				const messages = 600 // far more than the log holds, and than mosquitto sends without being acknowledged
				for i := range messages {
					send(t, l, publication{topic: topic, payload: fmt.Appendf(nil, "%04d%s", i, filler), qos: 1})
				}
				until(t, func() bool { return r.log.Held() > 15_000 }) // mosquitto sends 20 messages of MQTT 3.1.1 that are not acknowledged
				var all []string
				for len(all) < messages {
					rows, position := take(t, r, 1)
					if held := r.log.Held(); held > 51_000 { // files have headers
						t.Fatalf("the log holds %d bytes", held)
					}
					if err := r.Acknowledge(t.Context(), map[string]string{"": position}); err != nil {
						t.Fatal(err)
					}
					for _, row := range rows {
						all = append(all, row[:4])
					}
				}
				for i, row := range all {
					if row != fmt.Sprintf("%04d", i) {
						t.Fatalf("message %d is %s", i, row)
					}
				}
			})
		}
	}
}

func TestRetained(t *testing.T) {
	address := services.MQTT(t)
	for _, version := range versions {
		for _, skip := range []bool{false, true} {
			topic := topicFor(t)
			l := publisher(t, address, version)
			send(t, l, publication{topic: topic, payload: []byte("old"), qos: 1, retain: true})
			config := map[string]any{"url": "mqtt://" + address, "version": version, "topics": topic, "format": "STRING", "metadata": map[string]any{"r": "retained"}}
			want := []string{"old|true", "new|false"}
			if skip {
				config["retained"] = "skip"
				want = want[1:]
			}
			r := reading(t, openedSource(t, config), nil)
			begin(t, r)
			send(t, l, publication{topic: topic, payload: []byte("new"), qos: 1})
			rows, _ := take(t, r, len(want))
			same(t, rows, want...)
			send(t, l, publication{topic: topic, qos: 1, retain: true}) // the broker forgets it
		}
	}
}

func TestSharedSubscription(t *testing.T) {
	address := services.MQTT(t)
	topic := topicFor(t)
	s := openedSource(t, map[string]any{"url": "mqtt://" + address, "topics": topic + "/{who}", "shared": "crew", "format": "STRING"})
	one, two := reading(t, s, nil), reading(t, s, nil)
	begin(t, one)
	begin(t, two)
	l := publisher(t, address, version5)
	for i := range 20 {
		send(t, l, publication{topic: topic + "/w", payload: fmt.Append(nil, i), qos: 1})
	}
	until(t, func() bool { return one.log.End()+two.log.End() >= 20 })
	a, _ := take(t, one, int(one.log.End()))
	b, _ := take(t, two, int(two.log.End()))
	all := append(a, b...)
	slices.Sort(all)
	if len(a) == 0 || len(b) == 0 || len(slices.Compact(all)) != 20 {
		t.Fatalf("%d and %d", len(a), len(b))
	}
}

func TestWrongPassword(t *testing.T) {
	address := services.MQTTPassword(t)
	for _, version := range versions {
		config := map[string]any{"url": "mqtt://" + address, "version": version, "topics": "x", "username": "leat", "password": "secret-and-wrong"}
		r := reading(t, openedSource(t, config), nil)
		var m catalog.Morsel
		err := r.Next(t.Context(), &m)
		if err == nil || !strings.Contains(err.Error(), "does not let us in") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", version, err)
		}
		config["password"] = services.Password
		if err := openedSource(t, config).Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", version, err)
		}
		w := opened(t, map[string]any{"url": "mqtt://leat:no@" + address, "version": version, "topic": "x", "format": "JSON"}, column.Schema{{Name: "id", Type: column.IntType}})
		write(t, w, 1)
		if err := w.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "does not let us in") {
			t.Errorf("%s: %v", version, err)
		}
	}
}

func TestWebSocket(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(address)
	newBroker(t, "listener "+port+" 127.0.0.1\nprotocol websockets")
	for _, version := range versions {
		r := reading(t, openedSource(t, map[string]any{"url": "ws://" + address, "version": version, "topics": "w", "format": "STRING"}), nil)
		begin(t, r)
		w := opened(t, map[string]any{"url": "ws://" + address, "version": version, "topic": "w", "format": "JSON"}, column.Schema{{Name: "id", Type: column.IntType}})
		write(t, w, 1)
		rows, _ := take(t, r, 1)
		same(t, rows, `{"id":1}`)
		r.Close()
	}
}

func TestBadMessages(t *testing.T) {
	address := services.MQTT(t)
	topic := topicFor(t)
	r := reading(t, openedSource(t, map[string]any{"url": "mqtt://" + address, "topics": topic, "format": "JSON",
		"schema": column.RowOf(column.Schema{{Name: "id", Type: column.IntType}}), "dedup": "message_id"}), nil)
	begin(t, r)
	l := publisher(t, address, version5)
	send(t, l, publication{topic: topic, payload: []byte("no JSON"), qos: 1})
	for range 3 {
		send(t, l, publication{topic: topic, payload: number(4), qos: 1, id: "same"})
	}
	send(t, l, publication{topic: topic, payload: number(5), qos: 1})
	rows, _ := take(t, r, 3)
	same(t, rows, "4", "5", address+":0 no JSON")
}

func TestWriteTopics(t *testing.T) {
	address := services.MQTT(t)
	for _, version := range versions {
		topic := topicFor(t)
		r := reading(t, openedSource(t, map[string]any{"url": "mqtt://" + address, "version": version, "topics": topic + "/{all...}", "format": "STRING", "qos": int64(2),
			"metadata": map[string]any{"id": "message_id"}}), nil)
		begin(t, r)
		w := opened(t, map[string]any{"url": "mqtt://" + address, "version": version, "topic": topic + "/{site}/x", "format": "STRING", "qos": int64(2)},
			column.Schema{{Name: "payload", Type: column.StringType}, {Name: "site", Type: column.StringType}})
		texts := func(all ...string) *column.Vector {
			b := column.NewBuilder(column.StringType)
			for _, s := range all {
				b.AppendBin([]byte(s))
			}
			return b.Finish()
		}
		b := &column.Batch{N: 4, Cols: []*column.Vector{texts("one", "two", "two", "never"), texts("nörd", "nörd", "nörd", "a+b")}, Sel: []int32{0, 1, 2}}
		b.Origin = &column.Origin{File: "f", Line: func(int32) int64 { return 7 }}
		e := w.NewEncoder()
		if err := e.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := w.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, _ := take(t, r, 3)
		ids := map[string]bool{}
		for i, row := range rows {
			parts := strings.Split(row, "|")
			if parts[0] != []string{"one", "two", "two"}[i] || parts[2] != "nörd/x" || (parts[1] == "<nil>") != (version == version3) {
				t.Fatalf("row %q", row)
			}
			ids[parts[1]] = true
		}
		if version == version5 && len(ids) != 3 {
			t.Errorf("ids %v", ids)
		}
		b.Sel = []int32{3}
		if err := e.Write(t.Context(), b); err == nil || !strings.Contains(err.Error(), `"site"`) {
			t.Errorf("a topic with a wildcard: %v", err)
		}
	}
}
