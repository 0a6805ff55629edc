package task_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer/infertest"
	"github.com/leat-project/leat/task"
)

// shared returns a folder of the data that lies beside the project, or skips the test.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	root := os.Getenv("LEAT_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	dir := filepath.Join(append([]string{root}, parts...)...)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: there is no %s; LEAT_SHARED may name the folder", dir)
	}
	return dir
}

// recorded is what reference/states.py wrote of one model.
type recorded struct {
	Input  string
	Shape  []int64
	States []map[string]any
	Steps  []struct {
		Step, Key int
		Sum       float64
		First     []float64
	}
}

// TestStates runs models with a state over many steps and keys, all keys of a step at once: each key gets what a plain loop over its own
// steps gets in Python.
func TestStates(t *testing.T) {
	dir := shared(t, "data", "onnx", "models")
	text, err := os.ReadFile("testdata/states.json")
	if err != nil {
		t.Fatal(err)
	}
	var models map[string]recorded
	if err := json.Unmarshal(text, &models); err != nil {
		t.Fatal(err)
	}
	for name, want := range models {
		t.Run(name, func(t *testing.T) {
			states := make([]any, len(want.States))
			for i, s := range want.States {
				states[i] = s
			}
			p, err := task.Open("tensor", filepath.Join(dir, name+".onnx"), map[string]any{"state": states})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(t.Context(), infertest.Opener(t), nil); err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			compareSteps(t, p, want)
		})
	}
}

func compareSteps(t *testing.T, p *task.Predictor, want recorded) {
	t.Helper()
	const keys = 3
	states := []*task.State{{}, {}, {}}
	for from := 0; from < len(want.Steps); from += keys {
		step := want.Steps[from].Step
		rows := make([][]float64, keys)
		for key := range rows {
			rows[key] = fed(want.Shape, key, step)
		}
		got, ok, failures, err := p.PredictOrdered(t.Context(), &task.Rows{N: keys, Cols: []*column.Vector{lists(rows)}}, states, make([]column.Instant, keys))
		if err != nil || len(ok) != keys {
			t.Fatalf("step %d: %v, %v", step, err, failures)
		}
		for key := range keys {
			flat := flatten(nil, got.Children[0].Value(key))
			sum := 0.0
			for _, x := range flat {
				sum += x
			}
			w := want.Steps[from+key]
			if math.Abs(sum-w.Sum) > 1e-3*(1+math.Abs(w.Sum)) {
				t.Fatalf("step %d, key %d: the sum is %v, wanted %v", step, key, sum, w.Sum)
			}
			for i, x := range w.First {
				if math.Abs(flat[i]-x) > 1e-4 {
					t.Fatalf("step %d, key %d: number %d is %v, wanted %v", step, key, i, flat[i], x)
				}
			}
		}
	}
}

// fed is the input that reference/states.py gives at a step.
func fed(shape []int64, key, step int) []float64 {
	n := 1
	for _, d := range shape {
		n *= int(d)
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Round(0.5*math.Sin(0.1*float64(i+1)*float64(key+1)+float64(step))*1e6) / 1e6
	}
	return out
}

// lists is a column of lists of numbers.
func lists(rows [][]float64) *column.Vector {
	values := &column.Vector{Type: column.FloatType}
	v := &column.Vector{Type: column.ListOf(column.FloatType), N: len(rows), Offsets: []int32{0}, Children: []*column.Vector{values}}
	for _, r := range rows {
		values.Floats = append(values.Floats, r...)
		v.Offsets = append(v.Offsets, int32(len(values.Floats)))
	}
	values.N = len(values.Floats)
	return v
}

// flatten appends the numbers of nested lists.
func flatten(to []float64, v column.Value) []float64 {
	switch v := v.(type) {
	case *column.ListValue:
		for _, e := range v.Elems {
			to = flatten(to, e)
		}
	case float64:
		to = append(to, v)
	}
	return to
}

// TestStateResets forgets a key after a gap in event time, and what another model remembered, and counts both.
func TestStateResets(t *testing.T) {
	dir := shared(t, "data", "onnx", "models")
	p, err := task.Open("tensor", filepath.Join(dir, "gonnx_gru.onnx"), map[string]any{"gap": "5s",
		"state": []any{map[string]any{"output": "hidden_out", "input": "init_hidden"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context(), infertest.Opener(t), nil); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	state := &task.State{}
	at := func(ms column.Instant) string {
		v, _, failures, err := p.PredictOrdered(t.Context(), &task.Rows{N: 1, Cols: []*column.Vector{lists([][]float64{{1, 2, 3}})}}, []*task.State{state}, []column.Instant{ms})
		if err != nil || len(failures) > 0 {
			t.Fatal(err, failures)
		}
		return fmt.Sprint(flatten(nil, v.Children[0].Value(0)))
	}
	first, second := at(0), at(1000)
	if first == second {
		t.Error("the second row is predicted as the first: nothing is remembered")
	}
	if after := at(6001); after != first {
		t.Errorf("after a gap: %s, wanted that of a first row, %s", after, first)
	}
	state.Model = "another"
	if after := at(6002); after != first {
		t.Errorf("after another model: %s, wanted that of a first row, %s", after, first)
	}
	if n := p.Metrics().Resets; n != 2 {
		t.Errorf("%d resets were counted, wanted 2", n)
	}
	if third := at(7000); third == first {
		t.Error("nothing is remembered after a reset")
	}
}

// TestStateProblems: what the graph has no room for, or no sense in, is refused before anything runs.
func TestStateProblems(t *testing.T) {
	state := func(more map[string]any) map[string]any {
		s := map[string]any{"output": "probabilities", "input": "X"}
		for key, v := range more {
			s[key] = v
		}
		return map[string]any{"state": []any{s}}
	}
	twice := map[string]any{"state": []any{state(nil)["state"].([]any)[0], state(nil)["state"].([]any)[0]}}
	for _, tt := range []struct {
		config map[string]any
		want   string
	}{
		{state(map[string]any{"output": "label"}), `the output "label" is string[`},
		{state(map[string]any{"batch_axis": "first"}), "batch_axis: wanted a whole number, found first"},
		{twice, `the input "X" is named twice`},
		{map[string]any{"chunk": map[string]any{"input": "X", "size": int64(3)}}, "wanted pieces of 4, without the context, found 3"},
		{map[string]any{"chunk": map[string]any{"input": "X", "size": int64(4)}, "context": map[string]any{"input": "X", "size": int64(1)}}, "wanted pieces of 3, without the context, found 4"},
		{map[string]any{"context": map[string]any{"input": "X", "size": int64(4)}}, "wanted a size below 4, found 4"},
	} {
		if _, err := task.Open("tensor", "testdata/tabular/logistic", tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, wanted %q", tt.config, err, tt.want)
		}
	}
}

// TestSoundOfNoNumbers: samples that are no numbers would stay in the state of all rows that follow.
func TestSoundOfNoNumbers(t *testing.T) {
	p := start(t, "tensor", "testdata/tabular/linear", map[string]any{"audio": map[string]any{"input": "X", "rate": int64(8000)}})
	for sample, want := range map[float64]string{math.NaN(): "sample 0 is NaN", math.Inf(-1): "sample 0 is -Inf", 1e300: "sample 0 is 1e+300"} {
		file := []byte("RIFF\x2c\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x03\x00\x01\x00\x40\x1f\x00\x00\x00\xfa\x00\x00\x08\x00\x40\x00data\x08\x00\x00\x00")
		file = binary.LittleEndian.AppendUint64(file, math.Float64bits(sample))
		files := &column.Vector{Type: column.BytesType, N: 1, Offsets: []int32{0, int32(len(file))}, Data: file}
		_, _, failures, err := p.Predict(t.Context(), &task.Rows{N: 1, Cols: []*column.Vector{files}})
		if err != nil || len(failures) != 1 || !strings.Contains(failures[0].Err.Error(), want) {
			t.Errorf("%v: %v, %v, wanted %q", sample, failures, err, want)
		}
	}
}
