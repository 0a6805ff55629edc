package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
)

// quick are pauses for tests.
var quick = retry.Policy{First: time.Millisecond, Most: 2 * time.Millisecond}

// script is a server that gives one answer after another, the last one for ever.
type script struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	answers  []http.HandlerFunc
}

func newScript(t *testing.T, answers ...http.HandlerFunc) *script {
	t.Helper()
	s := &script{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		n := min(len(s.requests), len(s.answers)-1)
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		s.answers[n](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// request returns the request of that number, once it has come.
func (s *script) request(t *testing.T, n int) *http.Request {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		if len(s.requests) > n {
			defer s.mu.Unlock()
			return s.requests[n]
		}
		s.mu.Unlock()
		if time.Now().After(end) {
			t.Fatalf("no request number %d", n)
		}
	}
}

func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func poll(t *testing.T, c map[string]any, resume catalog.Resume) *reading {
	t.Helper()
	s, err := newHTTPSource(c)
	if err != nil {
		t.Fatal(err)
	}
	s.policy = quick
	r, schema := open(t, s, resume)
	return read(t, r, schema)
}

func TestPoll(t *testing.T) {
	noLeaks(t)
	tests := []struct {
		name   string
		config map[string]any
		answer http.HandlerFunc
		rows   []string
		bad    int
	}{
		{"object", config(), says(200, `{"id":"a"}`), []string{"id=a n=<nil>"}, 0},
		{"array", config(), says(200, `[{"id":"a"},{"id":"b"}]`), []string{"id=a n=<nil>", "id=b n=<nil>"}, 0},
		{"lines", config(), says(200, "{\"id\":\"a\"}\n{\"id\":\"b\"}", "Content-Type", "application/x-ndjson"), []string{"id=a n=<nil>", "id=b n=<nil>"}, 0},
		{"items", config("items", "data.list"), says(200, `{"data":{"list":[{"id":"a"}]}}`), []string{"id=a n=<nil>"}, 0},
		{"no items", config("items", "data.list"), says(200, `{"data":{}}`), nil, 1},
		{"no list", config("items", "data"), says(200, `{"data":{}}`), nil, 1},
		{"no JSON", config("items", "data"), says(200, `<html>`), nil, 1},
		{"a bad one", config(), says(200, `[{"id":"a"},7]`), []string{"id=a n=<nil>"}, 1},
		{"raw", config("format", "RAW"), says(200, `[1,2]`), []string{"payload=[1,2]"}, 0},
		{"metadata", config("metadata", map[string]any{"h": "headers"}), says(200, `{"id":"a"}`, "Date", "d", "X-Y", "z", "Set-Cookie", "s"),
			[]string{"id=a n=<nil> h=[content-length content-type date x-y] [10 text/plain; charset=utf-8 d z]"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newScript(t, test.answer, says(304, ""))
			test.config["url"], test.config["every"] = s.URL+"/x?token=secret", "1ms"
			test.config["headers"] = map[string]any{"X-Key": "k", "X-Number": int64(7)}
			d := poll(t, test.config, catalog.Resume{})
			d.wait(t, len(test.rows), test.bad)
			d.check(t, test.rows...)
			r := s.request(t, 1)
			if r.Header.Get("X-Key") != "k" || r.Header.Get("X-Number") != "7" || r.URL.RawQuery != "token=secret" {
				t.Errorf("request %+v", r)
			}
			d.stop(t)
			for _, b := range d.bad {
				if strings.Contains(b.File, "secret") {
					t.Errorf("the query is shown: %+v", b)
				}
			}
		})
	}
}

func TestPollDedup(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	s := newScript(t, says(200, `[{"id":"a"},{"id":"b"}]`), says(200, `[{"id":"b"},{"id":"c"},{"id":"c"},{"n":1}]`), says(200, `[]`))
	d := poll(t, config("url", s.URL, "every", "1ms", "dedup", "id"), catalog.Resume{Dir: dir})
	d.wait(t, 3, 1) // one without an id
	d.check(t, "id=a n=<nil>", "id=b n=<nil>", "id=c n=<nil>")
	at := d.positions()
	if err := d.reader.(catalog.Acknowledger).Acknowledge(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	d.stop(t)
	s = newScript(t, says(200, `[{"id":"a"},{"id":"d"}]`), says(200, `[]`))
	d = poll(t, config("url", s.URL, "every", "1ms", "dedup", "id"), catalog.Resume{Dir: dir, Positions: at})
	d.check(t, "id=d n=<nil>")
	s.request(t, 2)
	d.check(t, "id=d n=<nil>")
}

func TestPollAsksForWhatIsNew(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	c := func(url string) map[string]any { return config("url", url, "every", "1ms") }
	s := newScript(t, says(200, `[{"id":"a"},{"id":"b"}]`, "ETag", `"1"`), says(304, ""), says(200, `[{"id":"c"}]`, "Last-Modified", "Sat, 02 Jan 2026 03:04:05 GMT"), says(304, ""))
	d := poll(t, c(s.URL), catalog.Resume{Dir: dir})
	d.check(t, "id=a n=<nil>", "id=b n=<nil>", "id=c n=<nil>")
	for i, want := range []string{"", `"1"`, `"1"`, ""} {
		if got := s.request(t, i).Header.Get("If-None-Match"); got != want {
			t.Errorf("request %d: If-None-Match %s, wanted %s", i, got, want)
		}
	}
	if got := s.request(t, 3).Header.Get("If-Modified-Since"); got == "" {
		t.Error("no If-Modified-Since")
	}
	at := d.stop(t)
	again := newScript(t, says(304, ""))
	d = poll(t, c(again.URL), catalog.Resume{Dir: dir, Positions: at})
	if got := again.request(t, 0).Header.Get("If-Modified-Since"); got == "" {
		t.Error("no If-Modified-Since after a restart")
	}
	d.stop(t)
}

func TestPollTriesAgain(t *testing.T) {
	noLeaks(t)
	hangUp := func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_ = c.Close()
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"id":"half"}`)
	}
	s := newScript(t, says(503, ""), hangUp, cut, says(429, "", "Retry-After", "0"), says(200, `{"id":"a"}`), says(304, ""))
	d := poll(t, config("url", s.URL, "every", "1ms"), catalog.Resume{})
	d.check(t, "id=a n=<nil>")
	for _, m := range d.reader.(catalog.Metered).Metrics() {
		if m.Name == "failures_total" && m.Value < 3 { // the client itself tries again on a connection that was used
			t.Errorf("%v failures", m.Value)
		}
	}
}

func TestPollEndsWhereItWillNotPass(t *testing.T) {
	noLeaks(t)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"404":      {says(404, "no such thing"), `the server answers 404 Not Found: "no such thing"`},
		"redirect": {says(302, "", "Location", "http://elsewhere.example/"), "redirects are not followed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, test.answer)
			url := strings.Replace(s.URL, "http://", "http://user:hidden@", 1) + "/x?key=hidden"
			d := poll(t, config("url", url, "every", "1ms"), catalog.Resume{})
			err := d.end(t)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("error %v", err)
			}
			if _, password, _ := s.request(t, 0).BasicAuth(); password != "hidden" {
				t.Error("user and password are not sent")
			}
		})
	}
}

func TestPollTLS(t *testing.T) {
	noLeaks(t)
	s := serveTLS(t, says(200, `{"id":"a"}`))
	d := poll(t, config("url", s.URL, "every", "1h"), catalog.Resume{})
	if err := d.end(t); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v with a certificate that nobody knows", err)
	}
	ca := pemOf(t, s.Certificate().Raw)
	d = poll(t, config("url", s.URL, "every", "1h", "tls", map[string]any{"ca": ca}), catalog.Resume{})
	d.check(t, "id=a n=<nil>")
	src, err := newHTTPSource(config("url", s.URL, "every", "1h", "tls", map[string]any{"ca": ca}))
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// streams is a handler that sends parts of a stream of events.
func streams(text string, hold bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
		if hold {
			<-r.Context().Done()
		}
	}
}

func TestEventsReconnect(t *testing.T) {
	noLeaks(t)
	s := newScript(t,
		streams("retry: 1\nid: 1\ndata: {\"id\":\"a\"}\n\nid: 2\nevent: add\ndata: {\"id\":\"b\",\ndata: \"n\":2}\n\nid: 3\ndata: {\"id\":\"cut", false),
		says(503, ""),
		streams("id: 3\ndata: {\"id\":\"c\"}\n\ndata: 7\n\n", true))
	meta := map[string]any{"e": "event", "i": "id"}
	d := poll(t, config("url", s.URL, "events", true, "metadata", meta), catalog.Resume{})
	d.wait(t, 3, 1)
	d.check(t, "id=a n=<nil> e=message i=1", "id=b n=2 e=add i=2", "id=c n=<nil> e=message i=3")
	for i, want := range []string{"", "2", "2"} {
		r := s.request(t, i)
		if got := r.Header.Get("Last-Event-ID"); got != want {
			t.Errorf("request %d: Last-Event-ID %q, wanted %q", i, got, want)
		}
		if r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("request %d: Accept %q", i, r.Header.Get("Accept"))
		}
	}
	at := d.stop(t)
	if at[""] != "4 3" {
		t.Errorf("position %q", at[""])
	}
	again := newScript(t, streams("id: 4\ndata: {\"id\":\"d\"}\n\n", true))
	d = poll(t, config("url", again.URL, "events", true), catalog.Resume{Positions: at})
	d.check(t, "id=d n=<nil>")
	if got := again.request(t, 0).Header.Get("Last-Event-ID"); got != "3" || d.order()[0] != 4 {
		t.Errorf("Last-Event-ID %q, seqs %v", got, d.order())
	}
	r := d.reader.(*eventReader)
	if !r.CaughtUp(t.Context(), "") {
		t.Error("it has not caught up")
	}
}

func TestEventsEnd(t *testing.T) {
	noLeaks(t)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"204":   {says(204, ""), "EOF"},
		"404":   {says(404, ""), "404"},
		"html":  {says(200, "<html>", "Content-Type", "text/html"), `"text/html", wanted text/event-stream`},
		"empty": {says(304, ""), "304"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, test.answer)
			err := poll(t, config("url", s.URL, "events", true), catalog.Resume{}).end(t)
			if err == nil || !strings.Contains(err.Error(), test.want) || name == "204" && !errors.Is(err, io.EOF) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Who does not read holds the server up, and no more than a bounded part of the stream is in memory.
func TestEventsBackPressure(t *testing.T) {
	noLeaks(t)
	sent := make(chan struct{})
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 * aheadEvents {
			if _, err := fmt.Fprintf(w, "id: %d\ndata: {\"id\":\"%d\"}\n\n", i, i); err != nil {
				return
			}
		}
		w.(http.Flusher).Flush()
		close(sent)
		<-r.Context().Done()
	})
	src, err := newHTTPSource(config("url", s.URL, "events", true))
	if err != nil {
		t.Fatal(err)
	}
	r, schema := open(t, src, catalog.Resume{})
	var m catalog.Morsel
	if err := r.Next(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	<-sent
	if n := len(r.(*eventReader).ahead); n > aheadEvents {
		t.Errorf("%d events are held", n)
	}
	d := read(t, r, schema)
	d.wait(t, 3*aheadEvents-len(m.Part.([]item)), 0)
}

func TestReadFromHTTPProblems(t *testing.T) {
	for _, test := range []struct {
		config map[string]any
		keys   string
	}{
		{config("url", "http://x/"), "url"},
		{config("url", "x", "every", "1s"), "url"},
		{config("url", "ftp://x", "every", "1s"), "url"},
		{config("url", "http://x/", "every", "1s", "events", true), "events"},
		{config("url", "http://x/", "every", "0s"), "every"},
		{config("url", "http://x/", "every", "often"), "every"},
		{config("url", "http://x/", "events", true, "items", "a"), "items"},
		{config("url", "http://x/", "events", true, "dedup", "a"), "dedup"},
		{config("url", "http://x/", "every", "1s", "dedup", "header:x"), ""},
		{config("url", "http://x/", "every", "1s", "headers", map[string]any{"a b": "c"}), "headers"},
		{config("url", "http://x/", "every", "1s", "headers", map[string]any{"a": "c\r\nd: e"}), "headers"},
		{config("url", "http://x/", "every", "1s", "metadata", map[string]any{"a": "event"}), "metadata"},
		{config("url", "http://x/", "every", "1s", "tls", map[string]any{"ca": "nowhere"}), "tls"},
	} {
		_, err := newHTTPSource(test.config)
		if got := strings.Join(problems(err), " "); got != test.keys {
			t.Errorf("%v: problems of %q (%v), wanted %q", test.config, got, err, test.keys)
		}
	}
	_, err := newHTTPSource(config("url", "http://user:hidden@[x/", "every", "1s"))
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("error %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"Fri, 02 Jan 2026 03:03:05 GMT": 0, "soon": 0} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, wanted %v", value, got, want)
		}
	}
}

func TestBudgetServesInOrder(t *testing.T) {
	b := &budget{free: 10}
	if err := b.take(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	large := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { large <- b.take(ctx, 9) }()
	for waiting := 0; waiting == 0; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		waiting = len(b.waiting)
		b.mu.Unlock()
	}
	small := make(chan error, 1)
	go func() { small <- b.take(t.Context(), 1) }() // not before the large one
	cancel()
	if err := <-large; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := <-small; err != nil {
		t.Error(err)
	}
	b.give(9)
	if freeBytes(b) != 10 {
		t.Errorf("%d bytes are free", freeBytes(b))
	}
}
