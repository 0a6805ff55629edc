package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/services"
)

// server makes a stream that no other test has.
func server(t *testing.T) (js jetstream.JetStream, name string, config map[string]any) {
	t.Helper()
	address := services.NATS(t)
	conn, err := nats.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if js, err = jetstream.New(conn); err != nil {
		t.Fatal(err)
	}
	name = fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "_"), time.Now().UnixNano())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { js.DeleteStream(context.Background(), name) })
	return js, name, map[string]any{"url": "nats://" + address, "stream": name, "format": "STRING"}
}

func send(t *testing.T, js jetstream.JetStream, subject string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := js.Publish(t.Context(), subject, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
}

func reading(t *testing.T, config map[string]any, positions map[string]string) *reader {
	t.Helper()
	s, err := openSource(config)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.(*reader).Resume(t.Context(), catalog.Resume{Job: "job", Name: "Read", Positions: positions}); err != nil {
		t.Fatal(err)
	}
	return r.(*reader)
}

// rowsOut collects rows as texts.
type rowsOut struct {
	t    *testing.T
	rows []string
}

func (o *rowsOut) BatchRows() int { return 10 }
func (o *rowsOut) Batch(b *column.Batch) error {
	b.Each(func(i int) {
		var texts []string
		for _, c := range b.Cols {
			v := c.Value(i)
			if m, ok := v.(*column.MapValue); ok {
				v = fmt.Sprint(m.Keys, m.Elems)
			}
			texts = append(texts, fmt.Sprint(v))
		}
		o.rows = append(o.rows, strings.Join(texts, "|"))
		if age := time.Since(time.UnixMilli(int64(b.Time(i)))); age < -time.Minute || age > 10*time.Minute {
			o.t.Errorf("event time %d", b.Time(i))
		}
	})
	return nil
}
func (o *rowsOut) Bad(catalog.BadRecord) error { return nil }

// take reads rows until there are n.
func take(t *testing.T, r *reader, n int) (rows []string, position string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	d := r.NewDecoder()
	out := &rowsOut{t: t}
	for len(out.rows) < n || position == "" {
		var m catalog.Morsel
		if err := r.Next(ctx, &m); err != nil {
			t.Fatalf("after %d of %d: %v", len(out.rows), n, err)
		}
		if err := d.Decode(ctx, &m, out); err != nil {
			t.Fatal(err)
		}
		position = m.Position
	}
	return out.rows, position
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, wanted %q", got, want)
	}
}

func TestResumeInTheMiddle(t *testing.T) {
	js, name, config := server(t)
	send(t, js, name+".ü", 0, 3000)
	r := reading(t, config, nil)
	rows, position := take(t, r, 1000)
	r.Close()
	for at := len(rows); at < 3000; {
		r := reading(t, config, map[string]string{"": position})
		var more []string
		more, position = take(t, r, 1)
		if more[0] != fmt.Sprint(at) {
			t.Fatalf("after %d came %s", at, more[0])
		}
		at += len(more)
		rows = append(rows, more...)
		r.Close()
	}
	for i, row := range rows {
		if row != fmt.Sprint(i) {
			t.Fatalf("row %d is %s", i, row)
		}
	}
	last := reading(t, config, map[string]string{"": position})
	send(t, js, name+".x", 3000, 3001)
	rows, _ = take(t, last, 1)
	same(t, rows, "3000")
	if !last.CaughtUp(t.Context(), "") {
		t.Error("it has caught up")
	}
	send(t, js, name+".x", 3001, 3002)
	if last.CaughtUp(t.Context(), "") {
		t.Error("it has not caught up")
	}
}

func TestDeliver(t *testing.T) {
	js, name, config := server(t)
	send(t, js, name+".a", 0, 3)
	send(t, js, name+".b", 3, 5)
	for deliver, want := range map[string][]string{"all": {"0", "1", "2", "5"}, "last": {"2", "5"}, "new": {"5"}} {
		config["deliver"], config["subject"] = deliver, name+".a"
		r := reading(t, config, nil)
		_, position := take(t, r, 0)
		r.Close() // what comes while it is away is new, too
		send(t, js, name+".a", 5, 6)
		rows, _ := take(t, reading(t, config, map[string]string{"": position}), len(want))
		same(t, rows, want...)
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.GetLastMsgForSubject(t.Context(), name+".a")
		if err != nil || stream.DeleteMsg(t.Context(), m.Sequence) != nil {
			t.Fatal(err)
		}
	}
}

func TestMetadata(t *testing.T) {
	js, name, config := server(t)
	m := nats.NewMsg(name + ".x")
	m.Data = []byte("hello")
	m.Header.Add("B", "1")
	m.Header.Add("B", "2")
	m.Header.Add("A", "3")
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	config["metadata"] = map[string]any{"s": "subject", "n": "sequence", "h": "headers"}
	delete(config, "stream")
	config["subject"] = name + ".>"
	rows, _ := take(t, reading(t, config, nil), 1)
	same(t, rows, "hello|[A B] [3 1, 2]|1|"+name+".x")
}

func TestWhatEndsTheRun(t *testing.T) {
	js, name, config := server(t)
	var m catalog.Morsel
	err := reading(t, config, map[string]string{"": "7"}).Next(t.Context(), &m)
	if err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Error(err)
	}
	config["stream"] = name + "-none"
	err = reading(t, config, nil).Next(t.Context(), &m)
	if err == nil || !strings.Contains(err.Error(), "no stream") {
		t.Error(err)
	}
	s, err := openSource(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.(*source).Ping(t.Context()); err == nil {
		t.Error("it has no such stream")
	}
	w := opened(t, map[string]any{"url": config["url"], "subject": name + "-none.x", "format": "JSON"})
	if err := write(t, w, 0, 1); err == nil || !strings.Contains(err.Error(), "no stream") {
		t.Error(err)
	}
	_ = js
}

var ids = column.Schema{{Name: "id", Type: column.IntType}}

func opened(t *testing.T, config map[string]any) *writer {
	t.Helper()
	s, err := openSink(config, &catalog.SinkEnv{Job: "job", Name: "Write", Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Open(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Abort() })
	return w.(*writer)
}

func write(t *testing.T, w *writer, from, to int64) error {
	b := &column.Batch{N: int(to - from), Origin: &column.Origin{File: "f", Line: func(row int32) int64 { return from + int64(row) + 1 }}}
	v := &column.Vector{Type: column.IntType, N: b.N}
	for i := from; i < to; i++ {
		v.Ints = append(v.Ints, i)
	}
	b.Cols = []*column.Vector{v}
	return errors.Join(w.NewEncoder().Write(t.Context(), b), w.Sync(t.Context()))
}

func TestRowsThatComeAgainAreDropped(t *testing.T) {
	js, name, config := server(t)
	config["subject"], config["format"] = name+".w", "JSON"
	if err := write(t, opened(t, config), 0, 3000); err != nil {
		t.Fatal(err)
	}
	w := opened(t, config) // after a crash, from a checkpoint in between
	if err := write(t, w, 1500, 3500); err != nil {
		t.Fatal(err)
	}
	if w.double != 1500 {
		t.Errorf("%d doubles", w.double)
	}
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 3500 {
		t.Errorf("%d messages", n)
	}
	if _, err := w.Commit(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWrongSettings(t *testing.T) {
	for key, config := range map[string]map[string]any{
		"url":         {"url": "http://u:secret@x", "stream": "s"},
		"stream":      {"url": "nats://x"},
		"deliver":     {"url": "nats://x", "stream": "s", "deliver": "never"},
		"durable":     {"url": "nats://x", "stream": "s", "durable": "a.b"},
		"credentials": {"url": "nats://x", "stream": "s", "credentials": "missing.creds"},
		"tls":         {"url": "nats://x", "stream": "s", "tls": map[string]any{"ca": "missing.pem"}},
		"format":      {"url": "nats://x", "stream": "s", "format": "XML"},
	} {
		_, err := openSource(config)
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key != key || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", config, err)
		}
	}
	_, err := openSink(map[string]any{"url": "nats://x", "subject": "a.>"}, nil)
	var p *catalog.Problem
	if !errors.As(err, &p) || p.Key != "subject" {
		t.Error(err)
	}
}
