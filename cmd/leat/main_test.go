package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
)

// leat runs the command line and returns what it printed and its exit code.
func leat(t *testing.T, stdin string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = commandLine(context.Background(), args, streams{in: strings.NewReader(stdin), out: &o, err: &e})
	return o.String(), e.String(), code
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	good = `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{a: 1}, {a: 2}, {a: 0}]}
    - type: MapToFields
      config: {language: python, fields: {b: 6 // a + n}}
    - type: LogForTesting
`
	wrong = `
pipeline:
  type: chain
  transforms:
    - type: Creat
    - type: LogForTesting
      config: {levle: INFO}
`
)

func TestExitCodes(t *testing.T) {
	fails := file(t, "fails.yaml", strings.ReplaceAll(good, "+ n", ""))
	fine := file(t, "fine.yaml", strings.ReplaceAll(good, "// a + n", "+ a"))
	bad := file(t, "bad.yaml", wrong)
	tests := []struct {
		args []string
		code int
		says string // on either stream
	}{
		{[]string{"run", fine}, 0, "INFO: {\"b\": 8}"},
		{[]string{"run", fine}, 0, "done: 3 rows in "},
		{[]string{"run", fails}, 1, `fails.yaml:7:13: transform "MapToFields": ZeroDivisionError`},
		{[]string{"run", bad}, 2, `no transform is named "Creat"`},
		{[]string{"check", fine, bad}, 2, "fine.yaml: ok"},
		{[]string{"check", bad}, 2, `did you mean "level"`},
		{[]string{"check", "no-such-file.yaml"}, 2, "no such file"},
		{[]string{"plan", bad}, 2, "LT0102"},
		{[]string{"plan", fine}, 0, "source"},
		{[]string{"plan", "--format", "mermaid", fine}, 0, "flowchart"},
		{[]string{"plan", "--format", "dot", fine}, 0, "digraph"},
		{[]string{"plan", "--format", "svg", fine}, 3, "--format wants"},
		{[]string{"explain"}, 0, "MapToFields"},
		{[]string{"explain", "maptofields"}, 0, "MapToFields: "},
		{[]string{"explain", "LT0102"}, 0, "A file that has the problem"},
		{[]string{"explain", "MapToField"}, 3, `Did you mean "MapToFields"?`},
		{[]string{"version"}, 0, "leat "},
		{[]string{"frobnicate"}, 3, "unknown command"},
		{[]string{"run"}, 3, "run wants one FILE"},
		{[]string{"run", "--parallelism", "-1", fine}, 3, "--parallelism wants"},
		{[]string{"run", "--memory-limit", "lots", fine}, 3, "--memory-limit"},
		{[]string{"run", "--log-format", "xml", fine}, 3, "--log-format wants"},
		{[]string{"run", "--var", "x", fine}, 3, "--var wants name=value"},
		{[]string{"run", "--nope", fine}, 3, "unknown flag"},
		{[]string{"--help"}, 0, "Exit codes"},
	}
	for _, test := range tests {
		out, errs, code := leat(t, "", test.args...)
		if code != test.code || !strings.Contains(strings.ToLower(out+errs), strings.ToLower(test.says)) {
			t.Errorf("leat %s: exit code %d, want %d and %q in:\n%s%s", strings.Join(test.args, " "), code, test.code, test.says, out, errs)
		}
	}
}

func TestVariables(t *testing.T) {
	template := strings.ReplaceAll(good, "// a + n", "+ {{ n }} + {{ m }}")
	vars := file(t, "vars.yaml", "n: 10\nm: 100\n")
	_, errs, code := leat(t, template, "run", "--vars", vars, "--var", "n=1", "-")
	if code != 0 || !strings.Contains(errs, `INFO: {"b": 107}`) {
		t.Errorf("exit code %d:\n%s", code, errs)
	}
	_, errs, code = leat(t, template, "run", "--vars", file(t, "list.json", "[1]"), "-")
	if code != 2 || !strings.Contains(errs, "list.json:1:1: wanted a map of template variables") {
		t.Errorf("exit code %d:\n%s", code, errs)
	}
}

// TestFailureShowsTheLine wants a failure of a run to look as problems do: place, line, row, hint.
func TestFailureShowsTheLine(t *testing.T) {
	_, errs, _ := leat(t, strings.ReplaceAll(good, "+ n", ""), "run", "-")
	for _, part := range []string{"     7 |     - type: MapToFields\n", "note: the row is Row(a=0)", "nothing was written"} {
		if !strings.Contains(errs, part) {
			t.Errorf("want %q in:\n%s", part, errs)
		}
	}
}

func TestJSON(t *testing.T) {
	_, errs, code := leat(t, strings.ReplaceAll(good, "// a + n", "+ a"), "run", "--log-format", "json", "-")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	var last event
	for _, line := range strings.Split(strings.TrimSpace(errs), "\n") {
		last = event{}
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if last.Event != "summary" || len(last.Sinks) != 1 || last.Sinks[0].Rows != 3 {
		t.Errorf("got %+v", last)
	}
	out, _, _ := leat(t, wrong, "check", "--format", "json", "-")
	var problem problemJSON
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &problem); err != nil || problem.Place.Line != 5 || problem.Code != "LT0102" {
		t.Errorf("got %+v, %v from %s", problem, err, out)
	}
}

// TestNotes wants a field that the sample did not show to be reported.
func TestNotes(t *testing.T) {
	input := file(t, "in.ndjson", strings.Repeat("{\"a\": 1}\n", 100)+"{\"a\": 2, \"late\": 3}\n"+strings.Repeat("{\"a\": 1}\n", 100))
	text := "pipeline: {type: chain, transforms: [{type: ReadFromJson, config: {path: " + input + ", sample_rows: 9}}, {type: Reshuffle}, {type: LogForTesting}]}"
	_, errs, code := leat(t, text, "run", "-")
	if code != 0 || !strings.Contains(errs, `note: transform "ReadFromJson": field "late", in 1 records, is not in the schema`) {
		t.Errorf("exit code %d:\n%s", code, errs)
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var o, e bytes.Buffer
	s := streams{in: strings.NewReader(strings.ReplaceAll(good, "// a + n", "+ a")), out: &o, err: &e}
	if code := commandLine(ctx, []string{"run", "-"}, s); code != exitInterrupted || !strings.Contains(e.String(), "nothing was written") {
		t.Errorf("exit code %d:\n%s", code, e.String())
	}
}

// TestHelp wants every command to have examples, and all transforms to be explained.
func TestHelp(t *testing.T) {
	for _, cmd := range newRoot(streams{}).Commands() {
		if !cmd.Hidden && cmd.Example == "" && cmd.Name() != "help" && cmd.Name() != "completion" {
			t.Errorf("%s has no example", cmd.Name())
		}
	}
	for _, name := range catalog.Names() {
		if text, ok := explanation(name); !ok || !strings.Contains(text, "Example") {
			t.Errorf("%s is not explained", name)
		}
	}
	if out, _, code := leat(t, "", "completion", "bash"); code != 0 || !strings.Contains(out, "leat") {
		t.Error("no completions")
	}
}

// TestJSONLogsShowNoRow keeps rows out of logs that programs read, unless they are asked for.
func TestJSONLogsShowNoRow(t *testing.T) {
	name := file(t, "p.yaml", `pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{secret: 4711, a: 0}]}
    - type: MapToFields
      config: {language: python, fields: {x: 1 // a, secret: secret}}
    - type: LogForTesting
`)
	for _, test := range []struct {
		args []string
		want bool
	}{{[]string{"run", "--log-format", "json", name}, false}, {[]string{"run", "--log-format", "json", "--log-rows", name}, true}, {[]string{"run", name}, true}} {
		_, stderr, code := leat(t, "", test.args...)
		if code == 0 || !strings.Contains(stderr, "ZeroDivisionError") || strings.Contains(stderr, "4711") != test.want {
			t.Errorf("%v gives %d:\n%s", test.args, code, stderr)
		}
	}
}
