package task_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer/infertest"
	"github.com/leat-project/leat/task"
)

// The agreement that is asked for: labels are exact where the reference's margin exceeds labelMargin, scores and numbers within scoreTolerance.
const (
	scoreTolerance = 1e-4
	labelMargin    = 1e-3
	halfTolerance  = 5e-3 // of graphs in half precision, against the reference in single precision
)

// cases is what reference/models_text.py wrote of a package.
type cases struct {
	Task   string
	Texts  string
	Chosen []int // of the texts; none: all
	Runs   []struct {
		Config  map[string]any
		File    string // of the graph; "": the package's
		Answers []any
	}
}

// TestTextModels compares small models of real architectures with what transformers and sentence-transformers answer.
func TestTextModels(t *testing.T) {
	files, err := filepath.Glob("testdata/text/*/cases.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var c cases
			readJSON(t, file, &c)
			var texts []string
			readJSON(t, filepath.Join(dir, c.Texts), &texts)
			if c.Chosen != nil {
				var chosen []string
				for _, i := range c.Chosen {
					chosen = append(chosen, texts[i])
				}
				texts = chosen
			}
			for _, run := range c.Runs {
				t.Run(fmt.Sprint(run.Config, run.File), func(t *testing.T) {
					config := whole(run.Config)
					if run.File != "" {
						config["file"] = run.File
					}
					compareTexts(t, c.Task, dir, config, texts, run.Answers)
				})
			}
		})
	}
}

// whole makes integers of JSON's numbers, as a pipeline's configuration has them.
func whole(config map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range config {
		if f, ok := v.(float64); ok {
			v = int64(f)
		}
		out[k] = v
	}
	return out
}

func readJSON(t *testing.T, file string, to any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func compareTexts(t *testing.T, name, dir string, config map[string]any, texts []string, answers []any) {
	t.Helper()
	p := start(t, name, dir, config)
	v, ok, failures, err := p.Predict(t.Context(), &task.Rows{N: len(texts), Cols: []*column.Vector{textColumn(t, texts)}})
	if err != nil || len(ok) != len(texts) {
		t.Fatal(err, failures)
	}
	tolerance := scoreTolerance
	if config["file"] == "onnx/model_fp16.onnx" {
		tolerance = halfTolerance
	}
	labelsOnly := config["file"] == "onnx/model_quantized.onnx"
	for i := range texts {
		var err error
		if name == "text-classification" {
			err = sameScores(v.Value(i), answers[i], tolerance, labelsOnly)
		} else {
			err = sameNumbers(flatten(nil, v.Value(i)), numbers(nil, answers[i]), tolerance)
		}
		if err != nil {
			t.Errorf("%.60q: %v", texts[i], err)
		}
	}
}

// start opens a predictor and loads it.
func start(t testing.TB, name, dir string, config map[string]any) *task.Predictor {
	t.Helper()
	open := infertest.Opener(t)
	p, err := task.Open(name, dir, config)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context(), open, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func textColumn(t testing.TB, texts []string) *column.Vector {
	b := column.NewBuilder(column.StringType)
	for _, s := range texts {
		if err := b.Append(s); err != nil {
			t.Fatal(err)
		}
	}
	return b.Finish()
}

// sameScores compares labels and scores with a list of [label, score]. Labels may change places where their scores are closer than the margin.
func sameScores(got column.Value, want any, tolerance float64, labelsOnly bool) error {
	list, ok := got.(*column.ListValue)
	if !ok {
		list = &column.ListValue{Elems: []column.Value{got}}
	}
	wanted, _ := want.([]any)
	if len(list.Elems) != len(wanted) {
		return fmt.Errorf("%d classes, wanted %d", len(list.Elems), len(wanted))
	}
	scoreOf := map[string]float64{}
	for _, w := range wanted {
		pair, _ := w.([]any)
		scoreOf[pair[0].(string)] = pair[1].(float64)
	}
	for i, e := range list.Elems {
		row := e.(*column.RowValue)
		label, score := row.Elems[0].(string), row.Elems[1].(float64)
		pair := wanted[i].([]any)
		wantLabel, wantScore := pair[0].(string), pair[1].(float64)
		if label != wantLabel {
			if other, known := scoreOf[label]; known && math.Abs(other-wantScore) <= labelMargin {
				continue
			}
			return fmt.Errorf("class %d is %s (%v), wanted %s (%v)", i, label, score, wantLabel, wantScore)
		}
		if !labelsOnly && math.Abs(score-wantScore) > tolerance {
			return fmt.Errorf("%s has the score %v, wanted %v", label, score, wantScore)
		}
	}
	return nil
}

func sameNumbers(got, want []float64, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d numbers, wanted %d", len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > tolerance {
			return fmt.Errorf("number %d is %v, wanted %v", i, got[i], want[i])
		}
	}
	return nil
}

// numbers appends the numbers of nested JSON lists.
func numbers(to []float64, v any) []float64 {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			to = numbers(to, e)
		}
	case float64:
		to = append(to, v)
	}
	return to
}

// TestMiniLM compares the real all-MiniLM-L6-v2, which reference/minilm.py exports to the folder that LEAT_MINILM names.
func TestMiniLM(t *testing.T) {
	dir := os.Getenv("LEAT_MINILM")
	if dir == "" {
		t.Skip("SKIPPED: LEAT_MINILM names no folder with the model that reference/minilm.py exports")
	}
	var c struct {
		Task  string
		Texts []string
		Runs  []struct{ Answers []any }
	}
	readJSON(t, "testdata/minilm/cases.json", &c)
	p := start(t, c.Task, dir, nil)
	v, ok, failures, err := p.Predict(t.Context(), &task.Rows{N: len(c.Texts), Cols: []*column.Vector{textColumn(t, c.Texts)}})
	if err != nil || len(ok) != len(c.Texts) {
		t.Fatal(err, failures)
	}
	for i, text := range c.Texts {
		if err := sameNumbers(flatten(nil, v.Value(i)), numbers(nil, c.Runs[0].Answers[i]), 1e-5); err != nil {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}
