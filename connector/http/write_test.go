package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/retry"
)

// receiver is a server that keeps what it gets.
type receiver struct {
	*httptest.Server
	answer func(n int64, w http.ResponseWriter, r *http.Request, body string) bool // false: 200

	mu     sync.Mutex
	n      atomic.Int64
	under  atomic.Int64
	most   int64
	bodies []string // of those that got 200
	keys   []string
	types  []string
}

func receive(t *testing.T, answer func(n int64, w http.ResponseWriter, r *http.Request, body string) bool) *receiver {
	t.Helper()
	s := &receiver{answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	under := s.under.Add(1)
	defer s.under.Add(-1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	n := s.n.Add(1)
	if s.answer != nil && s.answer(n, w, r, string(body)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, under)
	s.bodies = append(s.bodies, string(body))
	s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
	s.types = append(s.types, r.Method+" "+r.Header.Get("Content-Type"))
}

// sinkSchema is that of most rows.
var sinkSchema = column.Schema{{Name: "id", Type: column.StringType}, {Name: "n", Type: column.IntType}}

// rows makes a batch of rows r0, r1 … that come from a file.
func rows(from, n int) *column.Batch {
	id, num := column.NewBuilder(column.StringType), column.NewBuilder(column.IntType)
	for i := range n {
		_ = id.Append(fmt.Sprintf("r%d", from+i))
		_ = num.Append(int64(from + i))
	}
	return &column.Batch{N: n, Cols: []*column.Vector{id.Finish(), num.Finish()},
		Origin: &column.Origin{Source: 1, Seq: int64(from), File: "orders/3", Line: func(row int32) int64 { return int64(from) + int64(row) + 1 }}}
}

// openSink opens a sink with quick pauses.
func openSink(t *testing.T, c map[string]any, stream bool) (*sender, *httpSink) {
	t.Helper()
	if c["retry"] == nil {
		c["retry"] = map[string]any{"first": "1ms", "most": "2ms"}
	}
	s, err := newHTTPSink(c, &catalog.SinkEnv{Name: "Out", Job: "job", Stream: stream})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Open(t.Context(), sinkSchema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Abort() })
	return w.(*sender), s
}

// write writes batches with one encoder and commits.
func write(t *testing.T, w *sender, batches ...*column.Batch) error {
	t.Helper()
	e := w.NewEncoder()
	for _, b := range batches {
		if err := e.Write(t.Context(), b); err != nil {
			return err
		}
	}
	if err := e.Flush(t.Context()); err != nil {
		return err
	}
	_, err := w.Commit(t.Context())
	return err
}

func TestWriteFormats(t *testing.T) {
	noLeaks(t)
	tests := []struct {
		name   string
		config map[string]any
		stream bool
		bodies []string
		kind   string
	}{
		{"objects", map[string]any{}, false, []string{`{"id":"r0","n":0}`, `{"id":"r1","n":1}`, `{"id":"r2","n":2}`}, "POST application/json"},
		{"arrays", map[string]any{"batch_rows": int64(2), "method": "PUT"}, false, []string{`[{"id":"r0","n":0},{"id":"r1","n":1}]`, `[{"id":"r2","n":2}]`}, "PUT application/json"},
		{"lines", map[string]any{"batch_rows": int64(2), "format": "NDJSON"}, false, []string{"{\"id\":\"r0\",\"n\":0}\n{\"id\":\"r1\",\"n\":1}\n", "{\"id\":\"r2\",\"n\":2}\n"}, "POST application/x-ndjson"},
		{"bounded fills", map[string]any{"batch_rows": int64(9)}, false, []string{`[{"id":"r0","n":0},{"id":"r1","n":1},{"id":"r2","n":2}]`}, "POST application/json"},
		{"a stream does not wait", map[string]any{"batch_rows": int64(9)}, true, []string{`[{"id":"r0","n":0}]`, `[{"id":"r1","n":1},{"id":"r2","n":2}]`}, "POST application/json"},
		{"own type", map[string]any{"headers": map[string]any{"content-type": "application/vnd.x+json"}, "batch_rows": int64(9)}, false,
			[]string{`[{"id":"r0","n":0},{"id":"r1","n":1},{"id":"r2","n":2}]`}, "POST application/vnd.x+json"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := receive(t, nil)
			test.config["url"], test.config["max_in_flight"] = s.URL, int64(1)
			w, _ := openSink(t, test.config, test.stream)
			if err := write(t, w, rows(0, 1), rows(1, 2)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.bodies, test.bodies) {
				t.Errorf("bodies %q, wanted %q", s.bodies, test.bodies)
			}
			for _, k := range s.types {
				if k != test.kind {
					t.Errorf("%s, wanted %s", k, test.kind)
				}
			}
		})
	}
}

func TestWriteOneField(t *testing.T) {
	noLeaks(t)
	s := receive(t, nil)
	for format, kind := range map[string]string{"RAW": "POST application/octet-stream", "STRING": "POST text/plain; charset=utf-8"} {
		sink, err := newHTTPSink(map[string]any{"url": s.URL, "format": format}, nil)
		if err != nil {
			t.Fatal(err)
		}
		fieldType := map[string]column.Type{"RAW": column.BytesType, "STRING": column.StringType}[format]
		w, err := sink.Open(t.Context(), column.Schema{{Name: "payload", Type: fieldType}})
		if err != nil {
			t.Fatal(err)
		}
		b := column.NewBuilder(fieldType)
		_ = b.Append(map[string]column.Value{"RAW": []byte("\x00\xff"), "STRING": "text"}[format])
		if err := write(t, w.(*sender), &column.Batch{N: 1, Cols: []*column.Vector{b.Finish()}}); err != nil {
			t.Fatal(err)
		}
		if last := s.types[len(s.types)-1]; last != kind {
			t.Errorf("%s: %s", format, last)
		}
		if _, err := sink.Open(t.Context(), sinkSchema); err == nil {
			t.Errorf("%s takes two fields", format)
		}
	}
	slices.Sort(s.bodies)
	if !slices.Equal(s.bodies, []string{"\x00\xff", "text"}) {
		t.Errorf("bodies %q", s.bodies)
	}
}

// What fails for a while is sent again, with the same key, and nothing is lost.
func TestWriteTriesAgain(t *testing.T) {
	noLeaks(t)
	var mu sync.Mutex
	keys := map[string]map[string]bool{} // by body
	s := receive(t, func(n int64, w http.ResponseWriter, r *http.Request, body string) bool {
		mu.Lock()
		if keys[body] == nil {
			keys[body] = map[string]bool{}
		}
		keys[body][r.Header.Get("Idempotency-Key")] = true
		mu.Unlock()
		switch n % 5 {
		case 0:
			w.WriteHeader(503)
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		case 2:
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = c.Close()
			}
		default:
			return false
		}
		return true
	})
	w, _ := openSink(t, map[string]any{"url": s.URL, "max_in_flight": int64(4), "breaker": map[string]any{"failures": int64(3), "pause": "1ms"}}, true)
	var batches []*column.Batch
	for i := range 20 {
		batches = append(batches, rows(10*i, 10))
	}
	if err := write(t, w, batches...); err != nil {
		t.Fatal(err)
	}
	slices.Sort(s.bodies)
	if got := len(slices.Compact(s.bodies)); got != 200 || len(keys) != 200 {
		t.Errorf("%d rows, wanted 200", got)
	}
	distinct := map[string]bool{}
	for body, k := range keys {
		if len(k) != 1 {
			t.Errorf("%s was sent with %d keys", body, len(k))
		}
		for key := range k {
			distinct[key] = true
		}
	}
	if len(distinct) != 200 || distinct[""] {
		t.Errorf("%d keys, wanted 200", len(distinct))
	}
	if s.most > 4 {
		t.Errorf("%d requests at a time, wanted at most 4", s.most)
	}
	figures := map[string]float64{}
	for _, m := range w.Metrics() {
		figures[m.Name] = m.Value
	}
	if figures["rows_total"] != 200 || figures["failures_total"] == 0 || figures["breaker_state"] != 0 || figures["in_flight_requests"] != 0 {
		t.Errorf("metrics %v", figures)
	}
}

// The keys of rows are those of another run, however it cut the source; no two rows have one key.
func TestWriteKeys(t *testing.T) {
	noLeaks(t)
	run := func(batches ...*column.Batch) []string {
		s := receive(t, nil)
		w, _ := openSink(t, map[string]any{"url": s.URL, "max_in_flight": int64(1)}, true)
		if err := write(t, w, batches...); err != nil {
			t.Fatal(err)
		}
		return s.keys
	}
	again := func(b *column.Batch, window int64) *column.Batch {
		b.Times = make([]int64, b.N)
		b.Starts, b.Ends = make([]int64, b.N), make([]int64, b.N)
		for i := range b.N {
			b.Starts[i], b.Ends[i] = window, window+1
		}
		return b
	}
	twice := rows(0, 2) // a row that became two that are alike
	twice.Rows = []int32{0, 0}
	twice.Cols[0], twice.Cols[1] = column.Gather(twice.Cols[0], []int32{0, 0}), column.Gather(twice.Cols[1], []int32{0, 0})
	one, other := run(rows(0, 3)), run(rows(0, 1), rows(1, 2))
	if !slices.Equal(one, other) {
		t.Errorf("keys %v, in another run %v", one, other)
	}
	all := run(rows(0, 3), rows(0, 3), again(rows(0, 3), 1), again(rows(0, 3), 2))
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 12 {
		t.Errorf("%d keys of 12 rows", n)
	}
	if keys := run(twice); keys[0] == keys[1] {
		t.Errorf("one key of two rows: %v", keys)
	}
	if first, second := run(twice), run(twice); !slices.Equal(first, second) {
		t.Errorf("keys %v, in another run %v", first, second)
	}
	window := func() *column.Batch { // panes of a window may be alike, and both count
		b := rows(0, 1)
		b.Origin = &column.Origin{Source: 5}
		return b
	}
	panes := append(run(window(), window()), run(window())...)
	slices.Sort(panes)
	if n := len(slices.Compact(panes)); n != 3 {
		t.Errorf("%d keys of 3 panes", n)
	}
}

func TestWriteEndsWhereItWillNotPass(t *testing.T) {
	noLeaks(t)
	s := receive(t, func(_ int64, w http.ResponseWriter, _ *http.Request, body string) bool {
		if strings.Contains(body, "r2") {
			w.WriteHeader(422)
			_, _ = io.WriteString(w, "n is too large"+strings.Repeat("!", 1000))
			return true
		}
		return false
	})
	w, _ := openSink(t, map[string]any{"url": s.URL + "/in?key=hidden"}, false)
	err := write(t, w, rows(0, 5))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"POST " + s.URL + "/in:", "422 Unprocessable Entity", "n is too large!!", "at orders/3:3", `{"id":"r2","n":2}`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hidden") || len(err.Error()) > 600 {
		t.Errorf("error %v", err)
	}
	if e := w.NewEncoder(); e.Write(t.Context(), rows(9, 1)) == nil && e.Flush(t.Context()) == nil {
		t.Error("it goes on after an error")
	}
}

func TestWriteGivesUpAfterAttempts(t *testing.T) {
	noLeaks(t)
	s := receive(t, func(_ int64, w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.WriteHeader(500)
		return true
	})
	w, _ := openSink(t, map[string]any{"url": s.URL, "batch_rows": int64(10), "retry": map[string]any{"attempts": int64(3), "first": "1ms"}}, false)
	err := write(t, w, rows(0, 2))
	var e *retry.Exhausted
	if !errors.As(err, &e) || s.n.Load() != 3 || !strings.Contains(err.Error(), "2 rows, of which the first is shown, at orders/3:1") {
		t.Errorf("error %v after %d requests", err, s.n.Load())
	}
}

func TestWriteBreaker(t *testing.T) {
	noLeaks(t)
	var up atomic.Bool
	s := receive(t, func(_ int64, w http.ResponseWriter, _ *http.Request, _ string) bool {
		if !up.Load() {
			w.WriteHeader(503)
		}
		return !up.Load()
	})
	w, _ := openSink(t, map[string]any{"url": s.URL, "breaker": map[string]any{"failures": int64(3), "pause": "50ms"}}, true)
	e := w.NewEncoder()
	if err := e.Write(t.Context(), rows(0, 1)); err != nil {
		t.Fatal(err)
	}
	state := func(want float64) {
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			for _, m := range w.Metrics() {
				if m.Name == "breaker_state" && m.Value == want {
					return
				}
			}
			if time.Now().After(end) {
				t.Fatalf("the breaker is never at %v", want)
			}
		}
	}
	state(2)
	up.Store(true)
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	state(0)
	if len(s.bodies) != 1 {
		t.Errorf("%d bodies", len(s.bodies))
	}
}

// Sync is not done before the rows are there; it ends with its context, and Abort gives up what is under way.
func TestWriteSyncAndAbort(t *testing.T) {
	noLeaks(t)
	gate := make(chan struct{})
	s := receive(t, func(_ int64, _ http.ResponseWriter, r *http.Request, _ string) bool {
		select {
		case <-gate:
		case <-r.Context().Done():
		}
		return false
	})
	w, _ := openSink(t, map[string]any{"url": s.URL, "max_in_flight": int64(2)}, true)
	e := w.NewEncoder()
	if err := e.Write(t.Context(), rows(0, 2)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.Sync(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sync: %v", err)
	}
	if err := e.Write(short, rows(2, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Write with all requests under way: %v", err)
	}
	close(gate)
	if err := w.Sync(t.Context()); err != nil || len(s.bodies) != 2 {
		t.Errorf("Sync: %v, %d bodies", err, len(s.bodies))
	}
	down, _ := openSink(t, map[string]any{"url": "http://127.0.0.1:1"}, true)
	if err := down.NewEncoder().Write(t.Context(), rows(0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(down.Abort(), down.Abort()); err != nil {
		t.Error(err)
	}
}

func TestWriteTLSAndPing(t *testing.T) {
	noLeaks(t)
	got := make(chan string, 1)
	s := serveTLS(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	ca := pemOf(t, s.Certificate().Raw)
	w, sink := openSink(t, map[string]any{"url": s.URL, "tls": map[string]any{"ca": ca}}, false)
	if err := sink.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := write(t, w, rows(0, 1)); err != nil {
		t.Fatal(err)
	}
	if body := <-got; body != `{"id":"r0","n":0}` {
		t.Errorf("body %s", body)
	}
	w, sink = openSink(t, map[string]any{"url": s.URL}, false)
	if sink.Ping(t.Context()) == nil {
		t.Error("Ping takes a certificate that nobody knows")
	}
	if err := write(t, w, rows(0, 1)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}

func TestWriteToHTTPProblems(t *testing.T) {
	for _, test := range []struct {
		config map[string]any
		keys   string
	}{
		{map[string]any{"url": "nowhere"}, "url"},
		{map[string]any{"url": "http://x/", "batch_rows": int64(0)}, "batch_rows"},
		{map[string]any{"url": "http://x/", "max_in_flight": int64(5000)}, "max_in_flight"},
		{map[string]any{"url": "http://x/", "format": "RAW", "batch_rows": int64(2)}, "batch_rows"},
		{map[string]any{"url": "http://x/", "retry": map[string]any{"attempts": int64(-1)}}, "retry"},
		{map[string]any{"url": "http://x/", "breaker": map[string]any{"pause": "x"}}, "breaker"},
		{map[string]any{"url": "http://x/"}, ""},
	} {
		_, err := newHTTPSink(test.config, nil)
		if got := strings.Join(problems(err), " "); got != test.keys {
			t.Errorf("%v: problems of %q (%v), wanted %q", test.config, got, err, test.keys)
		}
	}
}
