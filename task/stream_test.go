package task_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/column"
	_ "github.com/leat-project/leat/connector/all"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/infer/infertest"
	"github.com/leat-project/leat/pipeline"
	"github.com/leat-project/leat/task"
	_ "github.com/leat-project/leat/transform"
)

// stream runs a pipeline that writes JSON to {{out}}, and returns the lines, sorted.
func stream(t *testing.T, text string, o engine.Options) []string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.json")
	o.Models = infertest.Opener(t)
	p, problems := pipeline.Compile(t.Context(), "test.yaml", []byte(text), pipeline.Options{Vars: map[string]any{"out": out}})
	if p == nil {
		for _, problem := range problems.Problems {
			t.Error(problem.Place, problem.Text, problem.Hint)
		}
		t.FailNow()
	}
	if _, err := engine.Run(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(out + "-00000-of-00001")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(written)), "\n")
	slices.Sort(lines)
	return lines
}

// sentences are texts of many lengths, so that batches are padded.
func sentences(n int) string {
	words := strings.Fields("not bad at all this phone is great and the food was awful but I loved every minute of it never again would I recommend")
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{k: %d, text: \"", i%5)
		for w := range 1 + i*7%23 {
			b.WriteString(words[(i*5+w*3)%len(words)] + " ")
		}
		b.WriteString("\"}, ")
	}
	return b.String()
}

// readings are rows of the table that machine-failure takes.
func readings(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{Type: %c, 'Air temperature [K]': %d.5, 'Process temperature [K]': %d.1, 'Rotational speed [rpm]': %d.0, 'Torque [Nm]': %d.25, 'Tool wear [min]': %d.0}, ",
			"LMH"[i%3], 296+i%8, 305+i%9, 1200+i*31%1600, 5+i*7%65, i*13%240)
	}
	return b.String()
}

// TestSameRows: what a row gets depends neither on the size of batches, nor on parallelism, nor on the rows beside it, to the last bit (P1).
func TestSameRows(t *testing.T) {
	texts := `{type: Create, config: {elements: [` + sentences(60) + `]}}`
	machines := `{type: Create, config: {elements: [` + readings(60) + `]}}`
	images := `{type: ReadFromFiles, config: {path: "testdata/image/images/*"}}`
	for name, tt := range map[string]struct{ source, infer string }{
		"text":       {texts, `{model: review-sentiment, top_k: null, max_batch_size: %d}`},
		"window":     {texts, `{model: review-sentiment, max_length: 8, long_texts: window, max_batch_size: %d}`},
		"bert":       {texts, `{task: text-classification, model: testdata/text/bert, top_k: null, max_batch_size: %d}`},
		"quantised":  {texts, `{task: text-classification, model: testdata/text/bert, file: onnx/model_quantized.onnx, top_k: null, max_batch_size: %d}`},
		"embeddings": {texts, `{model: testdata/text/sentence-mean, max_batch_size: %d}`},
		"table":      {machines, `{model: machine-failure, top_k: null, max_batch_size: %d}`},
		"image":      {images, `{task: image-classification, model: testdata/image/vit, max_batch_size: %d}`},
		"any size":   {images, `{task: image-classification, model: testdata/image/mobilenet, max_batch_size: %d}`},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, o := range []engine.Options{{Parallelism: 1, BatchRows: 1}, {Parallelism: 1, BatchRows: 4096}, {Parallelism: 4, BatchRows: 7}} {
				for _, batch := range []int{1, 3, 64} {
					got := stream(t, `
pipeline:
  type: chain
  transforms:
    - `+tt.source+`
    - type: RunInference
      config:
        model_handler: {type: HuggingFacePipelineModelHandler, config: `+fmt.Sprintf(tt.infer, batch)+`}
    - type: WriteToJson
      config: {path: "{{out}}"}
`, o)
					if want == nil {
						want = got
					}
					if !slices.Equal(got, want) {
						t.Fatalf("parallelism %d, batches of %d rows, runs of %d items: other rows\n got: %s\nwant: %s", o.Parallelism, o.BatchRows, batch, got[0], want[0])
					}
				}
			}
		})
	}
}

// TestSameRowsOfStates: a model with a state gives the same rows at any parallelism and batch size, in the order of event time.
func TestSameRowsOfStates(t *testing.T) {
	model := filepath.Join(shared(t, "data", "onnx", "models"), "gonnx_gru.onnx")
	var elements strings.Builder
	for i := range 90 {
		fmt.Fprintf(&elements, "\n          - {k: %d, t: %d, x: [[%d, 2, 0.5]]}", i%7, (i*37)%90, i%11)
	}
	var want []string
	for _, o := range []engine.Options{{Parallelism: 1, BatchRows: 1}, {Parallelism: 1}, {Parallelism: 4, BatchRows: 7}, {Parallelism: 3, MemoryLimit: 1 << 16}} {
		for _, batch := range []int{1, 2, 64} {
			got := stream(t, fmt.Sprintf(`
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:%s
    - type: AssignTimestamps
      config: {timestamp: t}
    - type: RunInference
      config:
        model_handler:
          type: ONNXModelHandler
          config:
            model: %s
            inputs: {data_input: x}
            key: k
            max_batch_size: %d
            state: [{output: hidden_out, input: init_hidden}]
    - type: MapToFields
      config: {language: python, fields: {k: k, t: t, y: inference.inference.preds}}
    - type: WriteToJson
      config: {path: "{{out}}"}
`, elements.String(), model, batch), o)
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Fatalf("parallelism %d, batches of %d rows, runs of %d keys: other rows\n got: %s\nwant: %s", o.Parallelism, o.BatchRows, batch, got, want)
			}
		}
	}
	if len(want) != 90 {
		t.Errorf("%d rows came out, wanted 90", len(want))
	}
}

// TestFailedRows: rows that cannot be predicted go to the error output whole, the others are predicted, and none is lost.
func TestFailedRows(t *testing.T) {
	const pipe = `
pipeline:
  transforms:
    - type: Create
      config:
        elements:
          - {n: 1, Type: L, a: 298.9, p: 309.1, s: 2861.0, q: 4.6, w: 143.0}
          - {n: 2, Type: Z, a: 298.9, p: 309.1, s: 2861.0, q: 4.6, w: 143.0}
          - {n: 3, Type: M, a: null, p: 309.1, s: 2861.0, q: 4.6, w: 143.0}
          - {n: 4, Type: null, a: 298.1, p: 309.1, s: 2861.0, q: 4.6, w: 143.0}
          - {n: 5, Type: M, a: 298.1, p: 308.6, s: 1551.0, q: 42.8, w: 0.0}
          - {n: 6, Type: M, a: .inf, p: 308.6, s: 1551.0, q: 42.8, w: 0.0}
          - {n: 7, Type: M, a: .nan, p: 308.6, s: 1551.0, q: 42.8, w: 0.0}
    - type: RunInference
      input: Create
      config:
        model_handler:
          type: HuggingFacePipelineModelHandler
          config:
            model: machine-failure
            inputs: {"Air temperature [K]": a, "Process temperature [K]": p, "Rotational speed [rpm]": s, "Torque [Nm]": q, "Tool wear [min]": w}
        error_handling: {output: bad}
    - type: MapToFields
      name: Good
      input: RunInference
      config: {language: python, fields: {n: n, said: inference.inference.label}}
    - type: MapToFields
      name: Bad
      input: RunInference.bad
      config: {language: python, fields: {n: element.n, said: msg}}
    - type: WriteToJson
      input: [Good, Bad]
      config: {path: "{{out}}"}
`
	want := []string{
		`{"n":1,"said":"failure"}`,
		`{"n":2,"said":"ValueError(\"Type: wanted one of [L M H], found 'Z'\")"}`,
		`{"n":3,"said":"TypeError('Air temperature [K]: wanted a value, found NoneType')"}`,
		`{"n":4,"said":"TypeError('Type: wanted a value, found NoneType')"}`,
		`{"n":5,"said":"ok"}`,
		`{"n":6,"said":"ValueError('Air temperature [K]: wanted a number, found inf')"}`,
		`{"n":7,"said":"ValueError('Air temperature [K]: wanted a number, found nan')"}`,
	}
	for _, o := range []engine.Options{{Parallelism: 1, BatchRows: 1}, {Parallelism: 1}, {Parallelism: 4, BatchRows: 3}} {
		if got := stream(t, pipe, o); !slices.Equal(got, want) {
			t.Errorf("parallelism %d, batches of %d rows\n got: %s\nwant: %s", o.Parallelism, o.BatchRows, strings.Join(got, "\n      "), strings.Join(want, "\n      "))
		}
	}
}

// TestAllRowsOfStepFail: where no row of a turn can be predicted, all of them are errors, and none goes on as predicted.
func TestAllRowsOfStepFail(t *testing.T) {
	model := filepath.Join(shared(t, "data", "onnx", "models"), "gonnx_gru.onnx")
	got := stream(t, fmt.Sprintf(`
pipeline:
  transforms:
    - type: Create
      config: {elements: [{k: 1, x: [[1, 2]]}, {k: 2, x: [[1]]}]}
    - type: RunInference
      input: Create
      config:
        model_handler:
          type: ONNXModelHandler
          config: {model: %s, inputs: {data_input: x}, key: k, state: [{output: hidden_out, input: init_hidden}]}
        error_handling: {output: bad}
    - type: MapToFields
      name: Good
      input: RunInference
      config: {fields: {k: k, said: '"predicted"'}}
    - type: MapToFields
      name: Bad
      input: RunInference.bad
      config: {language: python, fields: {k: element.k, said: msg}}
    - type: WriteToJson
      input: [Good, Bad]
      config: {path: "{{out}}"}
`, model), engine.Options{Parallelism: 1})
	if len(got) != 2 || !strings.Contains(got[0], "wanted") || !strings.Contains(got[1], "wanted") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestPackageSettings: what a package says under leat of a task's settings holds, unless the pipeline says otherwise.
func TestPackageSettings(t *testing.T) {
	graph, err := os.ReadFile("testdata/text/bert/onnx/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{"model.onnx": graph, "config.json": []byte(`{"leat": {"task": "tensor", "outputs": ["logits"]}}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, "tensor", dir, nil)
	if got := p.Output().String(); got != "row<logits: list<float>>" {
		t.Errorf("the output is %s", got)
	}
}

// TestWrongPackageSettings: a setting under leat in config.json is checked as one in a pipeline is, and blamed on the package.
func TestWrongPackageSettings(t *testing.T) {
	source := "testdata/text/bert"
	for leat, want := range map[string]string{
		`{"long_texts": "cut"}`:  `config.json: leat: "long_texts" is "cut", wanted one of truncate, window, error`,
		`{"max_length": "long"}`: `config.json: leat: wanted a whole number for "max_length", found a string`,
		`{"max_length": -5}`:     "config.json: leat.max_length: wanted a number from 3",
		`{"top_k": "all"}`:       "config.json: leat.top_k: wanted a whole number",
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"leat": `+leat+`}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := task.Open("text-classification", dir, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, wanted %q", leat, err, want)
		}
	}
}

// TestWrongPackageFiles: files of a package that are broken are said to be, not passed over.
func TestWrongPackageFiles(t *testing.T) {
	for file, tt := range map[string]struct{ text, want string }{
		"tokenizer.json":            {"{}", "tokenizer.json: model: wanted a model, found none"},
		"tokenizer_config.json":     {"{", "tokenizer_config.json: unexpected end of JSON input"},
		"sentence_bert_config.json": {`{"max_seq_length": 2}`, "its model takes 2 tokens"},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("testdata/text/bert")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := task.Open("text-classification", dir, nil); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), file) > 1 {
			t.Errorf("%s: %v, wanted %q", file, err, tt.want)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	for want, config := range map[string]map[string]any{
		"wanted at most 1024, found 1025": {"threads": int64(1025)},
		"the provider cpu has no options": {"provider_options": map[string]any{"device_id": int64(1)}},
	} {
		if _, err := task.Open("text-classification", "testdata/text/bert", config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, wanted %q", config, err, want)
		}
	}
}

// TestManyWindows: windows that overlap by nearly all of themselves fail their row instead of taking all memory.
func TestManyWindows(t *testing.T) {
	p := start(t, "text-classification", "testdata/text/bert", map[string]any{"long_texts": "window", "max_length": int64(32), "stride": int64(29)})
	for words, want := range map[int]bool{1 << 10: true, 1 << 20: false} {
		text := strings.Repeat("a ", words)
		texts := &column.Vector{Type: column.StringType, N: 1, Offsets: []int32{0, int32(len(text))}, Data: []byte(text)}
		_, ok, failures, err := p.Predict(t.Context(), &task.Rows{N: 1, Cols: []*column.Vector{texts}})
		if err != nil || len(ok) == 1 != want || !want && !strings.Contains(failures[0].Err.Error(), "a smaller stride makes fewer") {
			t.Errorf("%d words: %v, %v, %v", words, ok, failures, err)
		}
	}
}

// TestSessionConfig: true is what the library calls 1; it takes the text "true" for false.
func TestSessionConfig(t *testing.T) {
	p, err := task.Open("text-classification", "testdata/text/bert", map[string]any{"session_config": map[string]any{"a": true, "b": false, "c": int64(2), "d": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Settings.Session.Config); got != "map[a:1 b:0 c:2 d:x]" {
		t.Error(got)
	}
}
