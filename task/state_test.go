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
