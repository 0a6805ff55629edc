package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-project/leat/infer/infertest"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/models"
	"github.com/leat-project/leat/task"
)

// copyModel writes a model that comes with leat to a folder.
func copyModel(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	entries, err := models.FS().(interface {
		ReadDir(name string) ([]os.DirEntry, error)
	}).ReadDir(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f, err := models.FS().Open(name + "/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		w, err := os.Create(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.ReadFrom(f); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	return dir
}

func TestModelList(t *testing.T) {
	out, errs, code := leat(t, "", "model", "list")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != len(models.Names())+1 {
		t.Fatalf("exit code %d, printed:\n%s%s", code, out, errs)
	}
	for i, name := range models.Names() {
		if fields := strings.Fields(lines[i+1]); fields[0] != name || len(fields) < 8 {
			t.Errorf("%s: found %q", name, lines[i+1])
		}
	}
	out, _, _ = leat(t, "", "model", "list", "--format", "json")
	var all []packageJSON
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != len(models.Names()) {
		t.Errorf("%v in:\n%s", err, out)
	}
}

func TestModelShow(t *testing.T) {
	dir := copyModel(t, "machine-failure")
	tests := []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"machine-failure"}, 0, []string{"task       tabular-classification", "Torque [Nm]: float or int", "gives    row<label: string, score: float>", "labels     ok, failure", "opsets   ai.onnx ", "model.onnx"}},
		{[]string{dir}, 0, []string{"folder     " + dir, "Says whether a milling machine"}},
		{[]string{filepath.Join(dir, "model.onnx")}, 0, []string{"task       not told", "input    Type: string"}},
		{[]string{filepath.Join(dir, "model.onnx"), "--task", "tensor"}, 0, []string{"takes    Type: string"}},
		{[]string{"machine-failure", "--task", "text-classification"}, 0, []string{"text-classification, but: the task takes an encoder"}},
		{[]string{"machine-failur"}, exitBadFile, []string{`Did you mean "machine-failure"?`}},
		{[]string{file(t, "m.onnx", "no model")}, exitBadFile, []string{"not an ONNX model"}},
		{[]string{"machine-failure", "--format", "xml"}, exitUsage, []string{"--format wants text or json"}},
		{nil, exitUsage, []string{"show wants one MODEL"}},
	}
	for _, test := range tests {
		out, errs, code := leat(t, "", append([]string{"model", "show"}, test.args...)...)
		for _, says := range test.says {
			if code != test.code || !strings.Contains(out+errs, says) {
				t.Errorf("%q: exit code %d, wanted %d and %q; printed:\n%s%s", test.args, code, test.code, says, out, errs)
			}
		}
	}
	out, _, _ := leat(t, "", "model", "show", dir, "--format", "json")
	var here, shipped packageJSON
	if err := json.Unmarshal([]byte(out), &here); err != nil {
		t.Fatal(err)
	}
	out, _, _ = leat(t, "", "model", "show", "machine-failure", "--format", "json")
	if err := json.Unmarshal([]byte(out), &shipped); err != nil {
		t.Fatal(err)
	}
	if here.Identity != shipped.Identity || here.Bytes != shipped.Bytes || len(here.Graphs) != 1 || here.Graphs[0].Inputs[0].Datatype != "BYTES" {
		t.Errorf("the copy is %+v, the original %+v", here, shipped)
	}
}

// TestModelIdentity: anybody can compute the identity with sha256sum.
func TestModelIdentity(t *testing.T) {
	dir := copyModel(t, "machine-failure")
	sum := exec.Command("sh", "-c", "sha256sum config.json model.onnx | sha256sum | cut -d' ' -f1; sha256sum < model.onnx | cut -d' ' -f1")
	sum.Dir = dir
	text, err := sum.Output()
	if err != nil {
		t.Skipf("SKIPPED: sha256sum cannot be run: %v", err)
	}
	sums := strings.Fields(string(text))
	for i, ref := range []string{dir, filepath.Join(dir, "model.onnx")} {
		out, errs, code := leat(t, "", "model", "verify", ref, sums[i])
		if code != 0 || !strings.Contains(out, "identity: sha256:"+sums[i]) {
			t.Errorf("%s: exit code %d, wanted %s, printed:\n%s%s", ref, code, sums[i], out, errs)
		}
	}
}

func TestModelVerify(t *testing.T) {
	whole, truncated, noLabels, outside := copyModel(t, "machine-failure"), copyModel(t, "machine-failure"), copyModel(t, "machine-failure"), copyModel(t, "machine-failure")
	graph, err := os.ReadFile(filepath.Join(whole, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(truncated, "model.onnx", string(graph[:len(graph)/2]))
	write(noLabels, "config.json", `{"id2label": 7}`)
	write(outside, "config.json", `{"leat": {"graphs": {"model": "../model.onnx"}}}`)
	tokens := copyModel(t, "review-sentiment")
	write(tokens, "tokenizer.json", "{")
	tests := []struct {
		args []string
		code int
		says string
	}{
		{[]string{"machine-failure"}, 0, "tabular-classification binds it"},
		{[]string{whole}, 0, "graph model: model.onnx is well-formed"},
		{[]string{whole, "--task", "tensor"}, 0, "tensor binds it"},
		{[]string{whole, strings.Repeat("0", 64)}, exitFailed, "wanted the identity sha256:0000"},
		{[]string{whole, "0123456789ab"}, exitFailed, "wanted the identity sha256:0123456789ab"},
		{[]string{whole, "xyz"}, exitUsage, "verify wants a SHA256"},
		{[]string{"--task", "text-classification", whole}, exitFailed, "the task takes an encoder"},
		{[]string{truncated}, exitFailed, "not an ONNX model"},
		{[]string{noLabels}, exitFailed, "id2label"},
		{[]string{outside}, exitFailed, "leat.graphs.model"},
		{[]string{tokens}, exitFailed, "tokenizer.json"},
		{[]string{"nothing"}, exitBadFile, "no model is named"},
	}
	for _, test := range tests {
		out, errs, code := leat(t, "", append([]string{"model", "verify"}, test.args...)...)
		if code != test.code || !strings.Contains(out+errs, test.says) {
			t.Errorf("%q: exit code %d, wanted %d and %q; printed:\n%s%s", test.args, code, test.code, test.says, out, errs)
		}
	}
}

// TestModelVerifyLoads: what only the runtime can tell is told where it is there.
func TestModelVerifyLoads(t *testing.T) {
	path := identityModel(t, []model.DType{model.Float32}, false)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := file(t, "broken.onnx", strings.Replace(string(text), "Identity", "Identitx", 1))
	t.Run("without the runtime", func(t *testing.T) {
		emptyCache(t)
		if out, errs, code := leat(t, "", "model", "verify", broken); code != 0 || !strings.Contains(out, "it was not loaded") {
			t.Errorf("exit code %d, printed:\n%s%s", code, out, errs)
		}
	})
	infertest.Opener(t)
	if out, errs, code := leat(t, "", "model", "verify", path); code != 0 || !strings.Contains(out, "the runtime loads") {
		t.Errorf("exit code %d, printed:\n%s%s", code, out, errs)
	}
	if out, errs, code := leat(t, "", "model", "verify", broken); code != exitFailed || !strings.Contains(errs, "Identitx") {
		t.Errorf("exit code %d, printed:\n%s%s", code, out, errs)
	}
}

func TestExplainTasks(t *testing.T) {
	for _, name := range task.Names() {
		out, _, code := leat(t, "", "explain", strings.ToUpper(name))
		known := task.LookUp(name)
		for _, says := range []string{known.Summary, strings.TrimSpace(known.Doc), "Settings of every task:", "threads", "Defined by: " + known.Source} {
			if code != 0 || !strings.Contains(out, says) {
				t.Errorf("explain %s: exit code %d, wanted %q, printed:\n%s", name, code, says, out)
			}
		}
		for _, f := range known.Fields {
			if !strings.Contains(out, "  "+f.Name+" ") {
				t.Errorf("explain %s lacks %s", name, f.Name)
			}
		}
	}
	if out, _, _ := leat(t, "", "explain"); !strings.Contains(out, "Tasks of models\n") || !strings.Contains(out, "  tensor ") {
		t.Errorf("the list lacks the tasks:\n%s", out)
	}
}

func TestModelCompletion(t *testing.T) {
	tests := []struct {
		args []string
		says string
	}{
		{[]string{"predict", "--model", ""}, "machine-failure\n"},
		{[]string{"predict", "--task", ""}, "tabular-regression\n"},
		{[]string{"predict", "--format", ""}, "ndjson\n"},
		{[]string{"model", "show", ""}, "review-sentiment\n"},
		{[]string{"model", "verify", ""}, "review-sentiment\n"},
		{[]string{"explain", ""}, "feature-extraction\n"},
		{[]string{"model", ""}, "verify\t"},
	}
	for _, test := range tests {
		out, _, _ := leat(t, "", append([]string{"__complete"}, test.args...)...)
		if !strings.Contains(out, test.says) {
			t.Errorf("%q: wanted %q, printed:\n%s", test.args, test.says, out)
		}
	}
}
