package onnx

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/library"
)

// openvinoVariable makes the test binary a child that runs models with OpenVINO: a process can have one flavour of the library.
const openvinoVariable = "LEAT_TEST_OPENVINO"

// openvinoAnswer is what the child says.
type openvinoAnswer struct {
	Version   string
	Providers []string
	Outputs   map[string][][]float32 // by the options that the models ran with: of each model
	Errors    map[string]string      // of loads that have to fail
}

// openvinoOptions are options of the provider that have to do.
var openvinoOptions = []map[string]string{{}, {"device_type": "CPU"}, {"device_type": "CPU", "precision": "FP32", "num_of_threads": "1", "num_streams": "1"}}

// providerModels are models that all providers compute: made ones, and real ones where they are.
func providerModels() [][]byte {
	models := [][]byte{perceptron(8, 16, 4), perceptron(64, 256, 256, 10)}
	for _, name := range []string{"cntk_mnist", "tribuo_pytorch_cnn_mnist", "ultraface-RFB-320"} {
		if graph, err := os.ReadFile(filepath.Join(sharedFolder(), "data", "onnx", "models", name+".onnx")); err == nil {
			models = append(models, graph)
		}
	}
	return models
}

// TestOpenVINO runs models with OpenVINO, in a process of its own, and compares with what the processor gives.
func TestOpenVINO(t *testing.T) {
	r := openRuntime(t)
	l, err := library.Find(library.Options{Flavour: library.OpenVINO, Offline: true})
	if err != nil || l.Flavour != library.OpenVINO {
		t.Skipf("SKIPPED: OpenVINO is not run: %v", err)
	}
	place, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), openvinoVariable+"="+string(place))
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	var answer openvinoAnswer
	if err == nil {
		err = json.Unmarshal(out, &answer)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	if !strings.HasPrefix(answer.Version, "onnxruntime 1.") || !slices.Equal(answer.Providers, []string{"cpu", "openvino"}) {
		t.Errorf("found %s with %v", answer.Version, answer.Providers)
	}
	want, err := runModels(r, infer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range openvinoOptions {
		compareOutputs(t, fmt.Sprint(options), answer.Outputs[fmt.Sprint(options)], want)
	}
	for name, text := range map[string]string{"cuda": `"cuda" is not part of this library`, "device": "assigned to the default CPU EP", "option": `execution provider "openvino"`} {
		if !strings.Contains(answer.Errors[name], text) {
			t.Errorf("%s: wanted an error with %q, found %q", name, text, answer.Errors[name])
		}
	}
}

// compareOutputs allows a difference of a thousandth.
func compareOutputs(t *testing.T, name string, found, want [][]float32) {
	if len(found) != len(want) {
		t.Errorf("%s: wanted %d outputs, found %d", name, len(want), len(found))
		return
	}
	worst := 0.0
	for i := range want {
		if len(found[i]) != len(want[i]) {
			t.Errorf("%s: wanted %d numbers, found %d", name, len(want[i]), len(found[i]))
			return
		}
		for j := range want[i] {
			worst = max(worst, math.Abs(float64(found[i][j]-want[i][j])))
		}
	}
	t.Logf("%s: %d outputs differ by %.1e at most", name, len(want), worst)
	if !(worst <= 1e-3) {
		t.Errorf("%s: wanted the numbers of cpu within 1e-3", name)
	}
}

// runModels runs the models with one row, with two and with three where they allow it.
func runModels(r *Runtime, o infer.Options) ([][]float32, error) {
	var outputs [][]float32
	for i, graph := range providerModels() {
		s, err := r.Load(context.Background(), infer.Source{Name: fmt.Sprint(i), Bytes: graph}, o)
		if err != nil {
			return nil, err
		}
		for rows := int64(1); rows <= 3 && (rows == 1 || s.Inputs()[0].Shape[0] < 0); rows++ {
			shape := slices.Clone(s.Inputs()[0].Shape)
			shape[0] = rows
			data := make([]float32, infer.Elements(shape))
			for i := range data {
				data[i] = float32(i%11) / 11
			}
			results, err := s.Run(context.Background(), []infer.Value{infer.NewTensor(data, shape...)}, nil)
			if err != nil {
				return nil, err
			}
			for i := range results.Values {
				outputs = append(outputs, slices.Clone(infer.View[float32](results.Values[i].(*infer.Tensor))))
			}
			results.Close()
		}
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}

// runOpenVINO is the child.
func runOpenVINO(place string, w io.Writer) error {
	var l library.Library
	if err := json.Unmarshal([]byte(place), &l); err != nil {
		return err
	}
	r, err := Open(Config{Path: l.Path, Preload: l.Preload})
	if err != nil {
		return err
	}
	answer := openvinoAnswer{Version: r.Version(), Providers: r.Providers(), Outputs: map[string][][]float32{}, Errors: map[string]string{}}
	go func() { // the collector's signals end a process whose signal stack is gone: see keepSignalStack
		for {
			runtime.GC()
		}
	}()
	with := func(name string, options map[string]string) infer.Options {
		return infer.Options{
			Providers: []infer.Provider{{Name: name, Options: options}},
			Config:    map[string]string{"session.disable_cpu_ep_fallback": "1"}, // what it does not compute is an error
		}
	}
	for _, options := range openvinoOptions {
		if answer.Outputs[fmt.Sprint(options)], err = runModels(r, with("openvino", options)); err != nil {
			return fmt.Errorf("%v: %w", options, err)
		}
	}
	for name, o := range map[string]infer.Options{
		"cuda": with("cuda", nil), "device": with("openvino", map[string]string{"device_type": "TPU"}), "option": with("openvino", map[string]string{"no_such_option": "1"}),
	} {
		if _, err := runModels(r, o); err != nil {
			answer.Errors[name] = err.Error()
		}
	}
	return json.NewEncoder(w).Encode(answer)
}
