// Package examples_test runs every pipeline of this folder over small data, and over real data where it is there.
package examples_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/leat-project/leat/connector/all"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/infer/infertest"
	"github.com/leat-project/leat/pipeline"
	_ "github.com/leat-project/leat/transform"
)

// run runs a pipeline and returns the engine's account of it.
func run(t *testing.T, file, text string, vars map[string]any) *engine.Result {
	t.Helper()
	p, problems := pipeline.Compile(context.Background(), file, []byte(text), pipeline.Options{Vars: vars})
	if len(problems.Problems) > 0 {
		var b strings.Builder
		diag.Render(&b, problems, false)
		t.Fatalf("%s", b.String())
	}
	o := engine.Options{Parallelism: 2, TempDir: t.TempDir()}
	if strings.Contains(text, "RunInference") {
		o.Models = infertest.Opener(t) // which skips the test where models cannot be run
	}
	result, err := engine.Run(context.Background(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// runFile runs an example and returns the folder of its outputs, which is the variable "output" followed by out.
func runFile(t *testing.T, file, out string, vars map[string]any) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	all := map[string]any{"output": filepath.Join(dir, out), "rejects": filepath.Join(dir, "rejects")}
	for k, v := range vars {
		all[k] = v
	}
	run(t, file, string(text), all)
	return dir
}

// lines returns the lines of an output of one shard, sorted.
func lines(t *testing.T, prefix string) []string {
	t.Helper()
	text, err := os.ReadFile(prefix + "-00000-of-00001")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	slices.Sort(all)
	return all
}

func wantLines(t *testing.T, prefix string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := lines(t, prefix); !slices.Equal(got, want) {
		t.Errorf("%s:\ngot:\n%s\nwant:\n%s", filepath.Base(prefix), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFilter(t *testing.T) {
	dir := runFile(t, "filter.yaml", "out", map[string]any{"input": "data/orders.ndjson"})
	wantLines(t, dir+"/out",
		`{"order":1002,"customer":12,"pieces":1,"label":"FR-1002: 129.90"}`,
		`{"order":1003,"customer":7,"pieces":3,"label":"DE-1003: 301.70"}`)
}

func TestCSVToParquet(t *testing.T) {
	dir := runFile(t, "csv_to_parquet.yaml", "rain", map[string]any{"input": "data/measurements.csv"})
	const readBack = `
pipeline:
  type: chain
  transforms:
    - {type: ReadFromParquet, config: {path: "{{ input }}"}}
    - {type: WriteToJson, config: {path: "{{ output }}"}}
`
	run(t, "inline.yaml", readBack, map[string]any{"input": dir + "/rain-00000-of-00001", "output": dir + "/back"})
	wantLines(t, dir+"/back",
		`{"id":1,"station":"Bergen","date":"2026-01-01","rain_mm":12.4,"wind_kmh":31,"wet":true}`,
		`{"id":2,"station":"Bergen","date":"2026-01-02","rain_mm":0.0,"wind_kmh":12,"wet":false}`,
		`{"id":3,"station":"Porto","date":"2026-01-01","rain_mm":3.1,"wind_kmh":null,"wet":true}`,
		`{"id":4,"station":"Porto","date":"2026-01-02","rain_mm":null,"wind_kmh":22,"wet":false}`,
		`{"id":5,"station":"Ulm","date":"2026-01-01","rain_mm":0.4,"wind_kmh":9,"wet":false}`)
}

func TestAccessLog(t *testing.T) {
	dir := runFile(t, "access_log.yaml", "errors", map[string]any{"input": "data/access.log"})
	wantLines(t, dir+"/errors",
		`{"status":404,"errors":1,"last_path":"/missing","minute":"2026-05-17T10:05:00.000Z"}`,
		`{"status":500,"errors":1,"last_path":"/api/orders","minute":"2026-05-17T10:05:00.000Z"}`,
		`{"status":404,"errors":2,"last_path":"/wp-login.php","minute":"2026-05-17T10:06:00.000Z"}`,
		`{"status":408,"errors":1,"last_path":"","minute":"2026-05-17T10:06:00.000Z"}`)
	rejects := lines(t, dir+"/rejects")
	if len(rejects) != 1 || !strings.HasPrefix(rejects[0], `{"element":{"line":"garbage from a health check"},"msg":"IndexError('list index out of range')"`) {
		t.Errorf("rejects: %q", rejects)
	}
}

func TestDeviceWindows(t *testing.T) {
	dir := runFile(t, "device_windows.yaml", "minutes", map[string]any{"input": "data/telemetry.ndjson"})
	wantLines(t, dir+"/minutes",
		"device,readings,mean,low,high,window_start",
		"a,3,22.0,20.0,25.0,2026-01-01T00:00:00.000Z",
		"a,1,24.0,24.0,24.0,2026-01-01T00:01:00.000Z",
		"a,1,22.0,22.0,22.0,2026-01-01T00:02:00.000Z",
		"b,2,18.7,18.5,18.9,2026-01-01T00:00:00.000Z",
		"b,1,19.5,19.5,19.5,2026-01-01T00:01:00.000Z")
}

func TestSessions(t *testing.T) {
	dir := runFile(t, "sessions.yaml", "sessions", map[string]any{"input": "data/clicks.ndjson"})
	wantLines(t, dir+"/sessions",
		`{"user":"ada","begin":"2026-02-01T09:00:00.000Z","clicks":3,"first_page":"/","minutes":33.0}`,
		`{"user":"ada","begin":"2026-02-01T11:00:00.000Z","clicks":2,"first_page":"/","minutes":0.5}`,
		`{"user":"bo","begin":"2026-02-01T09:10:00.000Z","clicks":1,"first_page":"/","minutes":0.0}`,
		`{"user":"bo","begin":"2026-02-01T09:40:00.000Z","clicks":1,"first_page":"/login","minutes":0.0}`)
}

func TestDeadLetter(t *testing.T) {
	dir := runFile(t, "dead_letter.yaml", "paid", map[string]any{"input": "data/payments.ndjson"})
	wantLines(t, dir+"/paid", `{"id":"p1","euros":19.9}`, `{"id":"p4","euros":125.0}`)
	rejects := lines(t, dir+"/rejects")
	for i, want := range []string{
		`{"what":"line 6",`,
		`{"what":"p2","why":"ValueError(`,
		`{"what":"p3","why":"ZeroDivisionError('float division by zero')"}`,
		`{"what":"p5","why":"TypeError(`,
	} {
		if i >= len(rejects) || !strings.HasPrefix(rejects[i], want) {
			t.Errorf("rejects:\n%s\nwant line %d to begin with %s", strings.Join(rejects, "\n"), i+1, want)
		}
	}
}

func TestSeverity(t *testing.T) {
	dir := runFile(t, "severity.yaml", "", map[string]any{"input": "data/messages.ndjson"})
	wantLines(t, dir+"/alerts.json",
		`{"service":"billing","severity":"error","text":"card refused"}`,
		`{"service":"mail","severity":"fatal","text":"queue is full"}`)
	wantLines(t, dir+"/log.txt", "INFO    web: started", "WARNING web: slow answer: 2.1 s")
	wantLines(t, dir+"/others.json",
		`{"service":"mail","severity":"debug","text":"polled"}`,
		`{"service":"web","severity":null,"text":"no severity"}`)
}

func TestTemplate(t *testing.T) {
	dir := runFile(t, "template.yaml", "", map[string]any{"input": "data/people.csv", "least": 3})
	wantLines(t, dir+"/before_1910.json", `{"id":1,"born":1906,"name":"Grace Hopper"}`)
	wantLines(t, dir+"/before_1920.json",
		`{"id":1,"born":1906,"name":"Grace Hopper"}`,
		`{"id":2,"born":1912,"name":"Alan Turing"}`,
		`{"id":4,"born":1918,"name":"Katherine Johnson"}`)
}

// TestDemo checks the demo over a few readings; make demo runs it over the whole stream.
func TestDemo(t *testing.T) {
	var stream strings.Builder
	for i := range 30 {
		fmt.Fprintf(&stream, `{"machine":"press-2","time":"2026-03-02T08:%02d:00.000Z","temperature":%d.5,"vibration":1.250,"watts":9000,"status":"running"}`+"\n", i, 60+i)
	}
	stream.WriteString(`{"machine":"press-2","time":"2026-03-02T08:30:00.000Z","temperature":null,"vibration":1.250,"watts":9000,"status":"running"}` + "\n")
	stream.WriteString(`{"machine":"press-2","time":"2026-03-02T08:31:00.000Z","temp` + "\n")
	input := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(input, []byte(stream.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := runFile(t, "demo.yaml", "", map[string]any{"input": input})
	wantLines(t, dir+"/incidents.json",
		`{"since":"2026-03-02T08:10:00.000Z","machine":"press-2","alarm":"overheating","minutes":20,"readings":20,"celsius":85.0,"vibration":1.25}`)
	if failed := lines(t, dir+"/failed.json"); len(failed) != 1 || !strings.Contains(failed[0], "TypeError") {
		t.Errorf("failed: %q", failed)
	}
	if malformed := lines(t, dir+"/malformed.json"); len(malformed) != 1 || !strings.Contains(malformed[0], `"line":32`) {
		t.Errorf("malformed: %q", malformed)
	}
}

// TestHostMetrics watches this machine for fourteen readings.
func TestHostMetrics(t *testing.T) {
	dir := runFile(t, "host_metrics.yaml", "busy.tsv", map[string]any{"limit": 14})
	files, err := filepath.Glob(filepath.Join(dir, "busy-*.tsv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	rows := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "processor.busy") {
				rows++
			}
		}
	}
	if rows < 2 || rows > 5 { // fourteen readings of 100 ms lie in three or four windows, the first of which may have no rate
		t.Errorf("%d windows", rows)
	}
}

// TestAllExamples makes sure that each pipeline has a test here and a line in the README.
func TestAllExamples(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests []byte
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, text...)
	}
	for _, f := range files {
		if !strings.Contains(string(readme), "("+f+")") {
			t.Errorf("README.md does not name %s", f)
		}
		if !strings.Contains(string(tests), `runFile(t, "`+f+`"`) {
			t.Errorf("no test runs %s", f)
		}
	}
}
