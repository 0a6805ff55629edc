package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// hook is a webhook that listens and is read.
type hook struct {
	*reading
	server *server
	url    string
}

// listen begins a webhook in a folder; "": in memory. change, if any, is made before it listens.
func listen(t *testing.T, c map[string]any, resume catalog.Resume, change func(*server)) *hook {
	t.Helper()
	h := prepare(t, c, resume, change)
	h.reading = read(t, h.server.inbox, h.fields())
	return h
}

func (h *hook) fields() (out column.Schema) {
	return append(append(out, h.server.format.Schema()...), h.server.meta.schema()...)
}

// prepare begins a webhook that is not read.
func prepare(t *testing.T, c map[string]any, resume catalog.Resume, change func(*server)) *hook {
	t.Helper()
	if c["listen"] == nil {
		c["listen"] = "127.0.0.1:0"
	}
	w, err := newWebhook(c)
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{}
	schema, _ := w.Schema(t.Context())
	h.server = w.open(schema)
	if change != nil {
		change(h.server)
	}
	if err := h.server.inbox.Resume(t.Context(), resume); err != nil {
		t.Fatal(err)
	}
	if err := h.server.inbox.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.server.inbox.Close() })
	scheme := "http"
	if w.tls != nil {
		scheme = "https"
	}
	h.url = scheme + "://" + h.server.listener.Addr().String() + w.path
	return h
}

// post sends a body and returns the status.
func (h *hook) post(t *testing.T, body string, headers ...string) int {
	t.Helper()
	status, _ := h.send(t, http.MethodPost, h.url, strings.NewReader(body), headers...)
	return status
}

func (h *hook) send(t *testing.T, method, url string, body io.Reader, headers ...string) (int, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	_ = answer.Body.Close()
	return answer.StatusCode, answer.Header
}

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

func TestWebhookAnswers(t *testing.T) {
	noLeaks(t)
	h := listen(t, config("path", "/in", "token", "secret", "max_bytes", int64(1000)), catalog.Resume{}, nil)
	good := []string{"Authorization", "Bearer secret"}
	long := `{"id":"` + strings.Repeat("x", 2000) + `"}`
	tests := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
	}{
		{"post", "POST", "", `{"id":"a"}`, good, 202},
		{"put", "PUT", "", `{"id":"b"}`, good, 202},
		{"scheme in lower case", "POST", "", `{"id":"c"}`, []string{"Authorization", "bearer secret"}, 202},
		{"no token", "POST", "", `{"id":"x"}`, nil, 401},
		{"wrong token", "POST", "", `{"id":"x"}`, []string{"Authorization", "Bearer secreT"}, 401},
		{"wrong scheme", "POST", "", `{"id":"x"}`, []string{"Authorization", "Basic secret"}, 401},
		{"get", "GET", "", "", good, 405},
		{"other path", "POST", "/other", `{"id":"x"}`, good, 404},
		{"too large", "POST", "", long, good, 413},
		{"too large once unzipped", "POST", "", zipped(long), append([]string{"Content-Encoding", "gzip"}, good...), 413},
		{"no gzip", "POST", "", `{"id":"x"}`, append([]string{"Content-Encoding", "gzip"}, good...), 400},
		{"cut gzip", "POST", "", zipped(`{"id":"x"}`)[:20], append([]string{"Content-Encoding", "gzip"}, good...), 400},
		{"unknown encoding", "POST", "", `{"id":"x"}`, append([]string{"Content-Encoding", "br"}, good...), 415},
		{"gzip", "POST", "", zipped(`{"id":"d"}`), append([]string{"Content-Encoding", "gzip"}, good...), 202},
		{"not the schema", "POST", "", `{"id":`, good, 202},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, header := h.send(t, test.method, h.url+test.path, strings.NewReader(test.body), test.headers...)
			if test.path != "" {
				status, header = h.send(t, test.method, strings.TrimSuffix(h.url, "/in")+test.path, strings.NewReader(test.body), test.headers...)
			}
			if status != test.status {
				t.Errorf("status %d, wanted %d", status, test.status)
			}
			if status == 401 && header.Get("WWW-Authenticate") == "" {
				t.Error("a 401 without WWW-Authenticate")
			}
		})
	}
	h.wait(t, 4, 1)
	h.check(t, "id=a n=<nil>", "id=b n=<nil>", "id=c n=<nil>", "id=d n=<nil>")
	if bad := h.bad[0]; string(bad.Record) != `{"id":` || bad.Msg == "" || bad.Line == 0 || bad.File == "" {
		t.Errorf("bad record %+v", bad)
	}
}

func TestWebhookMessages(t *testing.T) {
	noLeaks(t)
	for _, dir := range []string{"", t.TempDir()} {
		h := listen(t, config("metadata", map[string]any{"from": "path", "q": "query", "h": "headers"}, "path", "/in"), catalog.Resume{Dir: dir}, nil)
		status, _ := h.send(t, "POST", h.url+"?k=v", strings.NewReader(`[{"id":"a","n":1}, {"id":"b"}]`), "X-Device", "7", "Authorization", "Bearer t", "User-Agent", "u",
			"Accept-Encoding", "identity")
		if status != 202 {
			t.Fatalf("status %d", status)
		}
		h.check(t, "id=a n=1 from=/in h=[accept-encoding content-length user-agent x-device] [identity 30 u 7] q=k=v",
			"id=b n=<nil> from=/in h=[accept-encoding content-length user-agent x-device] [identity 30 u 7] q=k=v")
		h.stop(t)
	}
	h := listen(t, config(), catalog.Resume{}, nil)
	for _, post := range [][]string{
		{"{\"id\":\"c\"}\n\n{\"id\":\"d\"}\r\n", "application/x-ndjson; charset=utf-8"},
		{`[]`, ""},
		{`{"id":"e","n":3}`, "application/json"},
		{`[{"id":"f"},{]`, ""},
		{`[{"id":"[,\"]"},17]`, ""},
	} {
		if status := h.post(t, post[0], "Content-Type", post[1]); status != 202 {
			t.Errorf("%s: status %d", post[0], status)
		}
	}
	status, _ := h.send(t, "POST", h.url, io.MultiReader(strings.NewReader(`{"id":`), strings.NewReader(`"chunked"}`)))
	if status != 202 {
		t.Errorf("chunked: status %d", status)
	}
	h.wait(t, 5, 2)
	h.check(t, "id=c n=<nil>", "id=d n=<nil>", "id=e n=3", `id=[,"] n=<nil>`, "id=chunked n=<nil>")
	if string(h.bad[0].Record) != `[{"id":"f"},{]` || string(h.bad[1].Record) != "17" {
		t.Errorf("bad records %q, %q", h.bad[0].Record, h.bad[1].Record)
	}
	seqs := h.order()
	for i := 1; i < len(seqs); i++ {
		if seqs[i] <= seqs[i-1] {
			t.Errorf("seqs do not rise: %v", seqs)
		}
	}
	raw := listen(t, config("format", "RAW"), catalog.Resume{}, nil)
	if status := raw.post(t, "[1]"); status != 202 {
		t.Errorf("status %d", status)
	}
	raw.check(t, "payload=[1]")
}

func TestWebhookCloudEvents(t *testing.T) {
	noLeaks(t)
	meta := map[string]any{"ce_id": "id", "src": "source", "kind": "type", "sub": "subject", "at": "time"}
	h := listen(t, config("cloud_events", true, "metadata", meta), catalog.Resume{Dir: t.TempDir()}, nil)
	const one = `{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"x","time":"2026-01-02T03:04:05.678Z","data":{"id":"a","n":1}}`
	steps := []struct {
		name, body string
		headers    []string
		status     int
	}{
		{"structured", one, []string{"Content-Type", "application/cloudevents+json; charset=utf-8"}, 202},
		{"again", one, []string{"Content-Type", "application/cloudevents+json"}, 202},
		{"batch", `[` + one + `,{"specversion":"1.0","id":"2","source":"/s","type":"t","data_base64":"eyJpZCI6ImIifQ=="}]`, []string{"Content-Type", "application/cloudevents-batch+json"}, 202},
		{"binary", `{"id":"c"}`, []string{"Ce-Specversion", "1.0", "Ce-Id", "3", "Ce-Source", "/%C3%A4", "Ce-Type", "t", "Ce-Time", "2026-01-02T03:04:06Z", "Content-Type", "application/json"}, 202},
		{"binary again", `{"id":"c"}`, []string{"Ce-Specversion", "1.0", "Ce-Id", "3", "Ce-Source", "/%C3%A4", "Ce-Type", "t"}, 202},
		{"no id", `{"specversion":"1.0","source":"/s","type":"t"}`, []string{"Content-Type", "application/cloudevents+json"}, 202},
		{"old", `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, []string{"Content-Type", "application/cloudevents+json"}, 202},
		{"bad batch", `{}`, []string{"Content-Type", "application/cloudevents-batch+json"}, 202},
		{"no event", `{"id":"x"}`, []string{"Content-Type", "application/json"}, 400},
	}
	for _, s := range steps {
		if status := h.post(t, s.body, s.headers...); status != s.status {
			t.Errorf("%s: status %d, wanted %d", s.name, status, s.status)
		}
	}
	h.wait(t, 3, 3)
	h.check(t, "id=a n=1 at=1767323045678 ce_id=1 kind=t src=/s sub=x", "id=b n=<nil> at=<nil> ce_id=2 kind=t src=/s sub=<nil>",
		"id=c n=<nil> at=1767323046000 ce_id=3 kind=t src=/ä sub=<nil>")
	if !slices.Contains(h.times, 1767323045678) || !slices.Contains(h.times, 1767323046000) {
		t.Errorf("event times %v", h.times)
	}
	for _, b := range h.bad {
		if !strings.Contains(b.Msg, "CloudEvent") {
			t.Errorf("bad record %+v", b)
		}
	}
}

// copyDir copies a folder as a kill at this moment would leave it.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A process that is killed when a message is on disk and its sender has no answer: the message is read after a restart, and when the sender sends it
// again it is known.
func TestWebhookKilledBeforeTheAnswer(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	h := prepare(t, config("dedup", "id"), catalog.Resume{Dir: dir}, nil)
	r := httptest.NewRequest("POST", "/", nil)
	messages, err := h.server.messages(r, []byte(`[{"id":"a"},{"id":"b"}]`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.server.inbox.put(t.Context(), messages); err != nil {
		t.Fatal(err)
	}
	after := listen(t, config("dedup", "id"), catalog.Resume{Dir: copyDir(t, dir)}, nil) // no answer was sent
	if status := after.post(t, `[{"id":"a"},{"id":"b"},{"id":"c"}]`); status != 202 {
		t.Errorf("status %d", status)
	}
	after.check(t, "id=a n=<nil>", "id=b n=<nil>", "id=c n=<nil>")
}

func TestWebhookDedupSurvivesRestarts(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	h := listen(t, config("dedup", "header:Idempotency-Key"), catalog.Resume{Dir: dir}, nil)
	for _, key := range []string{"k1", "k2", "k1", ""} {
		if status := h.post(t, `{"id":"a"}`, "Idempotency-Key", key); status != 202 {
			t.Fatalf("status %d", status)
		}
	}
	h.check(t, "id=a n=<nil>", "id=a n=<nil>", "id=a n=<nil>")
	at := h.positions()
	for range 2 {
		if err := h.server.inbox.Acknowledge(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	if status := h.post(t, `{"id":"not acknowledged"}`, "Idempotency-Key", "k3"); status != 202 {
		t.Fatalf("status %d", status)
	}
	h.wait(t, 4, 0)
	h.stop(t)

	h = listen(t, config("dedup", "header:Idempotency-Key"), catalog.Resume{Dir: dir, Positions: at}, nil)
	for _, key := range []string{"k1", "k2", "k3", "k4"} {
		if status := h.post(t, `{"id":"b"}`, "Idempotency-Key", key); status != 202 {
			t.Fatalf("status %d", status)
		}
	}
	h.check(t, "id=not acknowledged n=<nil>", "id=b n=<nil>")
}

func TestWebhookBackPressure(t *testing.T) {
	noLeaks(t)
	h := prepare(t, config("max_bytes", int64(1000)), catalog.Resume{}, func(s *server) { s.limits.wait = 10 * time.Millisecond })
	status, header := h.send(t, "POST", h.url, strings.NewReader(`{"id":"nobody takes it"}`))
	if status != 503 || header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	h.reading = read(t, h.server.inbox, h.fields())
	h.server.limits.wait = patience
	if status := h.post(t, `{"id":"a"}`); status != 202 {
		t.Errorf("status %d once it is read", status)
	}
	h.wait(t, 2, 0)
	figures := map[string]float64{}
	for _, m := range h.server.inbox.Metrics() {
		figures[m.Name+m.Labels["status"]] = m.Value
	}
	if figures["requests_total503"] != 1 || figures["requests_total202"] != 1 || figures["messages_total"] != 1 {
		t.Errorf("metrics %v", figures)
	}
}

// Many requests at a time hold no more than the budget.
func TestWebhookManyAtOnce(t *testing.T) {
	noLeaks(t)
	const posts, size = 10_000, 32 << 10
	h := listen(t, config("format", "RAW"), catalog.Resume{Dir: t.TempDir()}, func(s *server) {
		s.limits.wait, s.limits.body, s.bodies.free = 4*patience, 4*patience, 8<<20
	})
	body := bytes.Repeat([]byte("x"), size)
	var wg sync.WaitGroup
	var bad, rows atomic.Int64
	var peak uint64
	for i := range posts {
		wg.Go(func() {
			w := httptest.NewRecorder()
			h.server.ServeHTTP(w, httptest.NewRequest("POST", "/", bytes.NewReader(body)))
			if w.Code != 202 {
				bad.Add(1)
			} else {
				rows.Add(1)
			}
		})
		if i%1000 == 0 {
			var m runtime.MemStats
			runtime.GC() // what is held counts
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	wg.Wait()
	if bad.Load() > 0 || h.server.bodies.free != 8<<20 {
		t.Errorf("%d of %d failed; %d bytes are free at the end", bad.Load(), posts, h.server.bodies.free)
	}
	if peak > 256<<20 { // 10000 bodies would be 320 MiB, their copies in the log not counted
		t.Errorf("%d MiB of memory", peak>>20)
	}
	h.stop(t)
}

// Connections that send slowly are ended, and hold nobody up.
func TestWebhookSlowClients(t *testing.T) {
	noLeaks(t)
	h := listen(t, config(), catalog.Resume{}, func(s *server) { s.limits.header, s.limits.body = 300*time.Millisecond, 300*time.Millisecond })
	address := h.server.listener.Addr().String()
	var slow []net.Conn
	for i := range 50 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		text := "POST / HTTP/1.1\r\nHost: x\r\n"
		if i%2 == 0 {
			text += "Content-Length: 1000\r\n\r\n{"
		}
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	if status := h.post(t, `{"id":"a"}`); status != 202 {
		t.Errorf("status %d", status)
	}
	for _, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a slow connection is not ended")
		}
	}
	h.check(t, "id=a n=<nil>")
}

func TestWebhookCutConnection(t *testing.T) {
	noLeaks(t)
	h := listen(t, config(), catalog.Resume{}, nil)
	for _, text := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"id\":\"half\"}",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"id\":\"half\"}\r\n",
	} {
		c, err := net.Dial("tcp", h.server.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
			t.Errorf("answer %q, error %v", answer, err)
		}
		_ = c.Close()
	}
	if status := h.post(t, `{"id":"a"}`); status != 202 {
		t.Errorf("status %d", status)
	}
	h.check(t, "id=a n=<nil>")
}

func TestWebhookTLS(t *testing.T) {
	noLeaks(t)
	cert, key := certificate(t)
	h := listen(t, config("tls", map[string]any{"certificate": cert, "key": key}), catalog.Resume{}, nil)
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Post(h.url, "application/json", strings.NewReader(`{"id":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != 202 {
		t.Errorf("status %d", answer.StatusCode)
	}
	h.check(t, "id=a n=<nil>")
}

// What is under way when the run ends is answered, and read by the next run.
func TestWebhookAnswersWhatIsUnderWay(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	h := listen(t, config(), catalog.Resume{Dir: dir}, nil)
	all := freeBytes(h.server.bodies)
	in, out := io.Pipe()
	status := make(chan int, 1)
	go func() {
		s, _ := h.send(t, "POST", h.url, in)
		status <- s
	}()
	if _, err := io.WriteString(out, `{"id":`+strings.Repeat(" ", 2*headBytes)); err != nil { // the request has begun
		t.Fatal(err)
	}
	for freeBytes(h.server.bodies) == all {
		time.Sleep(time.Millisecond)
	}
	h.cancel()
	<-h.done
	for !h.server.stopping.Load() {
		time.Sleep(time.Millisecond)
	}
	if _, err := io.WriteString(out, `"a"}`); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if s := <-status; s != 202 {
		t.Errorf("status %d", s)
	}
	at := h.stop(t)
	if c, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(h.url, "/"), "http://")); err == nil {
		_ = c.Close()
		t.Error("it still accepts connections")
	}
	next := listen(t, config(), catalog.Resume{Dir: dir, Positions: at}, nil)
	next.check(t, "id=a n=<nil>")
}

func freeBytes(b *budget) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free
}

func TestWebhookPortInUse(t *testing.T) {
	h := prepare(t, config(), catalog.Resume{}, nil)
	w, err := newWebhook(config("listen", h.server.listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	r := w.open(nil).inbox
	err = r.Next(t.Context(), &catalog.Morsel{})
	if err == nil || !strings.Contains(err.Error(), "cannot listen on 127.0.0.1") {
		t.Errorf("error %v", err)
	}
	_ = r.Close()
}

func TestWebhookProblems(t *testing.T) {
	cert, _ := certificate(t)
	for _, test := range []struct {
		config map[string]any
		keys   string
	}{
		{config("listen", "8080"), "listen"},
		{config("listen", ":8080"), "listen"},
		{config("path", "in"), "path"},
		{config("token", ""), "token"},
		{config("max_bytes", int64(0)), "max_bytes"},
		{config("dedup", "a..b"), "dedup"},
		{config("dedup", "id", "format", "RAW"), "dedup"},
		{config("dedup", "header:a b"), "dedup"},
		{config("metadata", map[string]any{"x": "topic"}), "metadata"},
		{config("metadata", map[string]any{"x": "subject"}), "metadata"},
		{config("metadata", map[string]any{"id": "path"}), "metadata"},
		{config("tls", map[string]any{"certificate": cert}), "tls"},
		{config("tls", map[string]any{"certificate": "nowhere", "key": "nowhere"}), "tls"},
		{config("path", "in", "token", ""), "path token"},
	} {
		_, err := newWebhook(test.config)
		if got := strings.Join(problems(err), " "); got != test.keys {
			t.Errorf("%v: problems of %q (%v), wanted %q", test.config, got, err, test.keys)
		}
	}
	w, err := newWebhook(config())
	if err != nil || w.listen != "127.0.0.1:8080" || w.Guarantee() != catalog.AtLeastOnce || !w.Unbounded() {
		t.Errorf("%+v, error %v", w, err)
	}
}

func TestInboxPositions(t *testing.T) {
	b := newInbox("x", rowsOf{})
	for _, p := range []string{"-1", "x", ""} {
		if b.Resume(context.Background(), catalog.Resume{Positions: map[string]string{"": p}}) == nil {
			t.Errorf("the position %q is taken", p)
		}
	}
}

func TestWindow(t *testing.T) {
	w := newWindow(3)
	for i := range 5 {
		k := newKeyOf(fmt.Sprint(i))
		if fresh, _ := w.begin(k); !fresh {
			t.Fatal(i)
		}
		_, decided := w.begin(k)
		w.end(k, i != 4)
		<-decided
	}
	for i, want := range []bool{false, true, true, true, false} {
		if w.has(newKeyOf(fmt.Sprint(i))) != want {
			t.Errorf("%d: wanted %v", i, want)
		}
	}
	w.setState("s")
	data, changed := w.encode()
	again := newWindow(3)
	if err := again.decode(data); err != nil || !changed || again.getState() != "s" || !slices.Equal(again.order, append(w.order[w.oldest:], w.order[:w.oldest]...)) {
		t.Errorf("error %v, %+v", err, again)
	}
	for i := range data {
		damaged := slices.Clone(data)
		damaged[i] ^= 1
		if newWindow(3).decode(damaged) == nil {
			t.Errorf("damage at byte %d is not seen", i)
		}
		if newWindow(3).decode(data[:i]) == nil {
			t.Errorf("a cut at byte %d is not seen", i)
		}
	}
	if err := newWindow(1).load(t.TempDir()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
