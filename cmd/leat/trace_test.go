package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestTraces wants the spans of a run and of its checkpoints at a collector, and none without the variable.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	var got strings.Builder
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var from io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			from, _ = gzip.NewReader(r.Body)
		}
		body, _ := io.ReadAll(from)
		mu.Lock()
		defer mu.Unlock()
		got.WriteString(r.URL.Path + "\n")
		got.Write(body)
	}))
	defer collector.Close()
	input := file(t, "in.json", strings.Repeat("{\"a\": 1}\n", 10))
	text := file(t, "traced.yaml", "pipeline: {type: chain, transforms: [{type: ReadFromJson, config: {path: "+input+"}}, {type: LogForTesting}]}\noptions: {streaming: true}\n")
	for _, endpoint := range []string{"", collector.URL} {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
		if _, errs, code := leat(t, "", "run", "--state-dir", t.TempDir(), text); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, errs)
		}
		mu.Lock()
		sent := got.String()
		mu.Unlock()
		if endpoint == "" && sent != "" {
			t.Errorf("sent without being asked: %q", sent)
		}
		for _, part := range []string{"/v1/traces", "leat.pipeline", "run", "checkpoint", "leat.epoch", "leat.bytes", "leat.parts"} {
			if endpoint != "" && !strings.Contains(sent, part) {
				t.Errorf("want %q in %q", part, sent)
			}
		}
	}
}
