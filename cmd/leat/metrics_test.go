package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// safeBuffer is written by a run while a test reads it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// watched is a stream that follows files of a folder: windows of a second, the last row late.
func watched(t *testing.T) (pipeline, dir string) {
	t.Helper()
	dir = t.TempDir()
	rows := filepath.Join(dir, "in-1.json")
	text := ""
	for i := range 5 {
		text += fmt.Sprintf("{\"a\": 1, \"t\": %d}\n", 1795417200+i)
	}
	if err := os.WriteFile(rows, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file(t, "watched.yaml", `
pipeline:
  type: chain
  transforms:
    - type: ReadFromJson
      config: {path: "`+dir+`/in-*.json", watch: 20ms, timestamp: t, schema: {type: object, properties: {a: {type: integer}, t: {type: integer}}}}
    - type: WindowInto
      windowing: {type: fixed, size: 1s}
    - type: Combine
      config: {group_by: a, combine: {n: {value: a, fn: count}}}
    - type: WriteToJson
      config: {path: "`+dir+`/out"}
options: {checkpoint_interval: 20ms}
`), dir
}

// running is a command that goes on beside the test.
type running struct {
	errs safeBuffer
	code chan int
}

func start(t *testing.T, args ...string) *running {
	r := &running{code: make(chan int, 1)}
	go func() {
		r.code <- commandLine(context.Background(), args, streams{in: strings.NewReader(""), out: io.Discard, err: &r.errs})
	}()
	return r
}

// stop ends the stream as a service manager would, and returns what it said.
func (r *running) stop(t *testing.T) string {
	t.Helper()
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code := <-r.code; code != 0 {
		t.Errorf("exit code %d:\n%s", code, r.errs.String())
	}
	return r.errs.String()
}

// until asks an address until ok likes the answer.
func until(t *testing.T, r *running, url string, ok func(status int, body []byte) bool) []byte {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case code := <-r.code:
			t.Fatalf("the run has ended, exit code %d:\n%s", code, r.errs.String())
		default:
		}
		response, err := http.Get(url)
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if ok(response.StatusCode, body) {
			return body
		}
	}
	t.Fatalf("%s never answered as wanted:\n%s", url, r.errs.String())
	return nil
}

func parse(t *testing.T, body []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	return families
}

// value sums a metric over the nodes of a kind; "" is all.
func value(f *dto.MetricFamily, kind string) (sum float64) {
	for _, m := range f.GetMetric() {
		of := ""
		for _, l := range m.GetLabel() {
			if l.GetName() == "kind" {
				of = l.GetValue()
			}
		}
		if kind == "" || of == kind {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// TestMetrics wants a stream to tell of its rows, watermark and checkpoints while it runs, and to say at its end where the next run goes on.
func TestMetrics(t *testing.T) {
	text, dir := watched(t)
	address := freeAddress(t)
	state := t.TempDir()
	r := start(t, "run", "--log-format", "json", "--listen", address, "--state-dir", state, text)
	until(t, r, "http://"+address+"/readyz", func(status int, _ []byte) bool { return status == 200 })
	if body := until(t, r, "http://"+address+"/healthz", func(status int, _ []byte) bool { return status == 200 }); string(body) != "ok\n" {
		t.Errorf("/healthz says %q", body)
	}
	until(t, r, "http://"+address+"/metrics", func(_ int, body []byte) bool {
		f := parse(t, body)
		return value(f["leat_rows_total"], "sink") == 4 && value(f["leat_checkpoints_total"], "") > 0 // the fifth window is open
	})
	if err := os.WriteFile(filepath.Join(dir, "in-2.json"), []byte("{\"a\": 1, \"t\": 1795417200}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	body := until(t, r, "http://"+address+"/metrics", func(_ int, body []byte) bool {
		return value(parse(t, body)["leat_late_rows_total"], "aggregate") == 1
	})
	families := parse(t, body)
	for _, name := range []string{"rows_total", "errors_total", "late_rows_total", "future_rows_total", "watermark_seconds", "watermark_lag_seconds",
		"node_busy_seconds_total", "queue_pieces", "workers", "checkpoint_epoch", "checkpoints_total", "checkpoint_failures_total",
		"checkpoint_duration_seconds", "checkpoint_bytes", "checkpoint_age_seconds", "latency_seconds"} {
		if f := families["leat_"+name]; f == nil || f.GetHelp() == "" {
			t.Errorf("no metric leat_%s with a help text in\n%s", name, body)
		}
	}
	if got := value(families["leat_rows_total"], "source"); got != 6 {
		t.Errorf("%v rows were read, want 6", got)
	}
	if families["go_goroutines"] == nil {
		t.Error("no figures of the Go runtime")
	}
	said := r.stop(t)
	for _, part := range []string{`"event":"started","job":"watched"`, `"event":"stopped"`, `"event":"summary"`, `"late_rows":1`} {
		if !strings.Contains(strings.ReplaceAll(said, `, "`, `,"`), part) {
			t.Errorf("want %s in:\n%s", part, said)
		}
	}
	if _, err := http.Get("http://" + address + "/healthz"); err == nil {
		t.Error("it still serves after the run")
	}
}

// TestStopText wants the summary of a stream to say where the next run goes on.
func TestStopText(t *testing.T) {
	for stop, want := range map[string]string{"checkpoint": ": the next run goes on from there", "drain": ": all windows are closed"} {
		text, _ := watched(t)
		address := freeAddress(t)
		r := start(t, "run", "--listen", address, "--on-stop", stop, "--state-dir", t.TempDir(), text)
		until(t, r, "http://"+address+"/metrics", func(_ int, body []byte) bool {
			return value(parse(t, body)["leat_checkpoints_total"], "") > 0
		})
		said := r.stop(t)
		if !strings.Contains(said, "stopped at the checkpoint of epoch ") || !strings.Contains(said, want) || !strings.Contains(said, "made\n") {
			t.Errorf("--on-stop %s says:\n%s", stop, said)
		}
	}
}

func TestListenAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for address, want := range map[string]string{":9090": "names no host", "9090": "wants HOST:PORT", taken.Addr().String(): "in use"} {
		_, errs, code := leat(t, "", "run", "--listen", address, "no-such-file.yaml")
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("--listen %s: exit code %d, want %q in:\n%s", address, code, want, errs)
		}
	}
	if _, errs, code := leat(t, strings.ReplaceAll(good, "// a + n", "+ a"), "run", "--listen", freeAddress(t), "-"); code != 0 {
		t.Errorf("a bounded run: exit code %d:\n%s", code, errs)
	}
}
