package onnx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// loadBytes makes a session that ends with the test.
func loadBytes(t testing.TB, r *Runtime, graph []byte) infer.Session {
	t.Helper()
	s, err := r.Load(t.Context(), infer.Source{Name: "test", Bytes: graph}, infer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run runs a session on inputs and returns what it gives, until the test ends.
func run(t testing.TB, s infer.Session, inputs ...infer.Value) []infer.Value {
	t.Helper()
	results, err := s.Run(t.Context(), inputs, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(results.Close)
	return results.Values
}

// TestTypes passes elements of each type through a graph that gives what it gets.
func TestTypes(t *testing.T) {
	r := openRuntime(t)
	types := []model.DType{model.Float32, model.Uint8, model.Int8, model.Uint16, model.Int16, model.Int32, model.Int64, model.Bool, model.Float16, model.Float64,
		model.Uint32, model.Uint64, model.BFloat16, model.Float8E4M3FN, model.Float8E4M3FNUZ, model.Float8E5M2, model.Float8E5M2FNUZ, model.Uint4, model.Int4}
	for _, d := range types {
		t.Run(d.String(), func(t *testing.T) {
			s := loadBytes(t, r, identityOf(int(d)))
			for _, n := range []int64{0, 1, 3, 1000} {
				in := &infer.Tensor{DType: d, Shape: []int64{n}, Data: make([]byte, d.Bytes(n))}
				for i := range in.Data {
					in.Data[i] = byte(i*7 + 1)
					if d == model.Bool {
						in.Data[i] &= 1
					}
				}
				out, ok := run(t, s, in.Clone())[0].(*infer.Tensor)
				if !ok || out.DType != d || !slices.Equal(out.Shape, in.Shape) || !sameElements(out, in) {
					t.Errorf("%d elements: wanted %v, found %v", n, in, out)
				}
			}
			if got := s.Inputs()[0].String(); got != d.String()+"[n]" {
				t.Errorf("wanted %s[n], found %s", d, got)
			}
		})
	}
}

// identityOf is identity for all types. The operator is not made for those of four bits: there the output is the input.
func identityOf(d int) []byte {
	typ := tensorType(d, "n")
	graph := message(7, node("Identity", []string{"x"}, []string{"y"}), input("x", typ), output("y", typ), message(2, "test"))
	if model.DType(d).Bytes(2) == 1 {
		graph = message(7, input("x", typ), output("x", typ), message(2, "test"))
	}
	return slices.Concat(number(1, 10), message(8, number(2, 21)), graph)
}

// sameElements compares data without the bits of a last byte that no element uses.
func sameElements(a, b *infer.Tensor) bool {
	if n := len(a.Data); n > 0 && n == len(b.Data) && a.DType.Bytes(1) == 1 && a.DType.Bytes(2) == 1 && a.Len()%2 == 1 {
		return bytes.Equal(a.Data[:n-1], b.Data[:n-1]) && a.Data[n-1]&15 == b.Data[n-1]&15
	}
	return bytes.Equal(a.Data, b.Data)
}

// TestShapes passes tensors of many shapes through one graph: scalars, empty ones, and dimensions that change.
func TestShapes(t *testing.T) {
	r := openRuntime(t)
	s := loadBytes(t, r, identity(anyRank(1)))
	if got := s.Inputs()[0]; got.Shape != nil {
		t.Errorf("the rank is open: wanted no shape, found %v", got.Shape)
	}
	for _, shape := range [][]int64{{}, {0}, {1}, {2, 0, 3}, {1, 1, 1, 1, 1, 1}, {7, 5}, {64, 3, 2}} {
		data := make([]float32, infer.Elements(shape))
		for i := range data {
			data[i] = float32(i)
		}
		out := run(t, s, infer.NewTensor(data, shape...))[0].(*infer.Tensor)
		if !slices.Equal(out.Shape, shape) || !slices.Equal(infer.View[float32](out), infer.View[float32](infer.NewTensor(data))) {
			t.Errorf("wanted %v of %v, found %v of %v", data, shape, infer.View[float32](out), out.Shape)
		}
	}
	scalar := loadBytes(t, r, identity(tensorType(1)))
	if got := scalar.Inputs()[0]; got.Shape == nil || len(got.Shape) != 0 {
		t.Errorf("wanted the shape of a scalar, found %v", got.Shape)
	}
	if _, err := scalar.Run(t.Context(), []infer.Value{infer.NewTensor([]float32{1}, 1)}, nil); err == nil {
		t.Error("a scalar took a vector")
	}
}

// TestStrings passes strings that are no text.
func TestStrings(t *testing.T) {
	r := openRuntime(t)
	s := loadBytes(t, r, identity(tensorType(8, "n")))
	for _, in := range [][]string{{}, {""}, {"", "", ""}, {"a", "b\x00c", "\x00", "\xff\xfe\xc3(", "日本語 🎈", strings.Repeat("long ", 10_000), ""}} {
		out := run(t, s, infer.NewStrings(in, int64(len(in))))[0].(*infer.Tensor)
		if !slices.Equal(out.Strings, in) {
			t.Errorf("wanted %q, found %q", in, out.Strings)
		}
	}
}

// TestSequences passes sequences, empty ones too, and reads sequences of maps.
func TestSequences(t *testing.T) {
	r := openRuntime(t)
	for _, d := range []model.DType{model.Float32, model.Int64, model.String, model.Uint8} {
		s := loadBytes(t, r, identity(sequenceType(tensorType(int(d), "n"))))
		if got, want := s.Inputs()[0].String(), "seq("+d.String()+"["; !strings.HasPrefix(got, want) {
			t.Errorf("wanted %s…, found %s", want, got)
		}
		for n := range 3 {
			in := &infer.Sequence{}
			for i := range n {
				e := &infer.Tensor{DType: d, Shape: []int64{int64(i)}, Data: make([]byte, d.Bytes(int64(i)))}
				if d == model.String {
					e.Strings = make([]string, i)
				}
				in.Elems = append(in.Elems, e)
			}
			if err := compare(run(t, s, in)[0], in); err != nil {
				t.Errorf("%d elements of %s: %v", n, d, err)
			}
		}
	}
	s := loadBytes(t, r, identity(sequenceType(tensorType(1, "n"))))
	for _, wrong := range []infer.Value{&infer.Sequence{Elems: []infer.Value{infer.NewTensor([]int64{1}, 1)}}, &infer.Sequence{Elems: []infer.Value{nil}},
		&infer.Sequence{Elems: []infer.Value{&infer.Sequence{}}}, infer.NewTensor([]float32{1}, 1), nil} {
		if _, err := s.Run(t.Context(), []infer.Value{wrong}, nil); err == nil || !strings.Contains(err.Error(), "wanted") {
			t.Errorf("%s: %v", infer.KindOf(wrong), err)
		}
	}
}

// TestMaps reads the output of a classifier.
func TestMaps(t *testing.T) {
	s := loadBytes(t, openRuntime(t), classifier())
	if got := s.Outputs()[0].String(); got != "seq(map(string,float))" {
		t.Errorf("found the type %s", got)
	}
	rows := run(t, s, infer.NewTensor([]float32{0.25, 0.75, 0.5, 0.5}, 2, 2))[0].(*infer.Sequence)
	if len(rows.Elems) != 2 {
		t.Fatalf("wanted two maps, found %d", len(rows.Elems))
	}
	first := rows.Elems[0].(*infer.Map)
	if !slices.Equal(first.Keys.Strings, []string{"bad", "good"}) || !slices.Equal(infer.View[float32](first.Values), []float32{0.25, 0.75}) {
		t.Errorf("found %v: %v", first.Keys.Strings, infer.View[float32](first.Values))
	}
}

// TestOptional passes an optional value that is there. One that is not would take the process down in some operators: it is refused.
func TestOptional(t *testing.T) {
	elem := tensorType(1, "n")
	graph := modelOf(node("OptionalHasElement", []string{"x"}, []string{"y"}), input("x", optionalType(elem)), output("y", tensorType(9)))
	s := loadBytes(t, openRuntime(t), graph)
	if got := s.Inputs()[0].String(); !strings.HasPrefix(got, "optional(float[") {
		t.Errorf("found the type %s", got)
	}
	if out := run(t, s, infer.NewTensor([]float32{1}, 1))[0].(*infer.Tensor); out.Data[0] != 1 {
		t.Error("a value that is there was not found")
	}
	if _, err := s.Run(t.Context(), []infer.Value{nil}, nil); err == nil || !strings.Contains(err.Error(), "found nothing") {
		t.Errorf("no value: %v", err)
	}
}

// TestWrongInputs checks that what does not fit is refused, and that the error says what was wanted and found.
func TestWrongInputs(t *testing.T) {
	s := loadBytes(t, openRuntime(t), perceptron(4, 2))
	good := infer.NewTensor(make([]float32, 4), 1, 4)
	short := &infer.Tensor{DType: model.Float32, Shape: []int64{1, 4}, Data: make([]byte, 12)}
	cases := []struct {
		inputs  []infer.Value
		outputs []int
		want    string
	}{
		{nil, nil, "wanted 1 inputs, found 0"},
		{[]infer.Value{good, good}, nil, "wanted 1 inputs, found 2"},
		{[]infer.Value{nil}, nil, `input "x": wanted float[n,4], found nothing`},
		{[]infer.Value{infer.NewTensor(make([]float64, 4), 1, 4)}, nil, `input "x": wanted float[n,4], found double[1 4]`},
		{[]infer.Value{infer.NewTensor(make([]float32, 4), 4)}, nil, `input "x": wanted float[n,4], found float[4]`},
		{[]infer.Value{infer.NewTensor(make([]float32, 5), 1, 5)}, nil, `input "x": wanted float[n,4], found float[1 5]`},
		{[]infer.Value{infer.NewStrings([]string{"a"}, 1, 1)}, nil, `input "x": wanted float[n,4], found string[1 1]`},
		{[]infer.Value{&infer.Sequence{}}, nil, `input "x": wanted float[n,4], found a sequence of 0`},
		{[]infer.Value{&infer.Map{}}, nil, `input "x": wanted float[n,4], found a map`},
		{[]infer.Value{short}, nil, "has 4 elements, found 12 bytes"},
		{[]infer.Value{&infer.Tensor{DType: model.Float32, Shape: []int64{-1, 4}}}, nil, "cannot have the shape [-1 4]"},
		{[]infer.Value{good}, []int{1}, "wanted output 1, found 1 outputs"},
		{[]infer.Value{good}, []int{-1}, "wanted output -1, found 1 outputs"},
		{[]infer.Value{good}, []int{}, "found none asked for"},
	}
	for _, c := range cases {
		_, err := s.Run(t.Context(), c.inputs, c.outputs)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("wanted %q, found %v", c.want, err)
		}
	}
	run(t, s, good) // and all is well after them
}

// TestManyGoroutines runs one session from many goroutines while the collector is always at work: inputs and outputs must stay
// where they are. Every second run can be cancelled.
func TestManyGoroutines(t *testing.T) {
	s := loadBytes(t, openRuntime(t), perceptron(16, 32, 16))
	runs := 400
	if testing.Short() {
		runs = 100
	}
	valuesOf := func(seed uint64) (in *infer.Tensor) {
		random := rand.New(rand.NewPCG(seed, 0))
		data := make([]float32, 16*(1+seed%5))
		for i := range data {
			data[i] = random.Float32()
		}
		return infer.NewTensor(data, int64(len(data)/16), 16)
	}
	var want [50]*infer.Tensor
	for i := range want {
		want[i] = run(t, s, valuesOf(uint64(i)))[0].(*infer.Tensor).Clone()
	}
	done := make(chan struct{})
	var collector, workers sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	})
	for w := range 8 {
		workers.Go(func() {
			cancellable, cancel := context.WithCancel(t.Context())
			defer cancel()
			for i := range runs {
				n, ctx := (w+i)%len(want), cancellable
				if i%2 == 0 {
					ctx = context.Background()
				}
				results, err := s.Run(ctx, []infer.Value{valuesOf(uint64(n))}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := compare(results.Values[0], want[n]); err != nil {
					t.Error(err)
				}
				results.Close()
			}
		})
	}
	workers.Wait()
	close(done)
	collector.Wait()
}

// TestCancel ends a run that would take minutes between two of its operators, and runs the session again.
func TestCancel(t *testing.T) {
	s := loadBytes(t, openRuntime(t), spinning())
	inputs := func(n int64) []infer.Value {
		return []infer.Value{infer.NewTensor([]int64{n}), infer.NewTensor([]float32{0})}
	}
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := s.Run(ctx, inputs(1<<40), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("wanted that the run was cancelled, found %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := s.Run(ctx, inputs(1<<40), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wanted that the time was over, found %v", err)
		}
		cancel()
		if _, err := s.Run(ctx, inputs(1), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wanted that nothing runs after the end, found %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		results, err := s.Run(ctx, inputs(1000), nil)
		cancel() // after the run: its results stay
		if err != nil {
			t.Fatal(err)
		}
		if got := infer.View[float32](results.Values[0].(*infer.Tensor)); got[0] != 1000 {
			t.Errorf("wanted 1000, found %v", got)
		}
		results.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openRuntime(t).Load(ctx, infer.Source{Bytes: spinning()}, infer.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("wanted that nothing is loaded, found %v", err)
	}
}

// TestClose closes a session while it runs and while results are open.
func TestClose(t *testing.T) {
	r := openRuntime(t)
	s, err := r.Load(t.Context(), infer.Source{Name: "closing", Bytes: spinning()}, infer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	inputs := []infer.Value{infer.NewTensor([]int64{2000}), infer.NewTensor([]float32{0})}
	kept, err := s.Run(t.Context(), inputs, nil)
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				results, err := s.Run(t.Context(), inputs, nil)
				if err != nil {
					if !strings.Contains(err.Error(), "model closing: the session is closed") {
						t.Error(err)
					}
					return
				}
				if got := infer.View[float32](results.Values[0].(*infer.Tensor)); got[0] != 2000 {
					t.Errorf("wanted 2000, found %v", got)
				}
				results.Close()
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "1 sessions are still open") {
		t.Errorf("a runtime was closed with an open session: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	workers.Wait()
	if got := infer.View[float32](kept.Values[0].(*infer.Tensor)); got[0] != 2000 {
		t.Errorf("results that are open: wanted 2000, found %v", got)
	}
	if u := r.Usage(); u.Sessions != 0 || u.OutputBytes != 4 {
		t.Errorf("wanted 4 bytes of one result, found %+v", u)
	}
	kept.Close()
	kept.Close()
	if u := r.Usage(); u.OutputBytes != 0 {
		t.Errorf("wanted nothing in use, found %+v", u)
	}
}

// TestProviders checks what is said of execution providers that are not there, and that cpu takes their place where it may.
func TestProviders(t *testing.T) {
	r := openRuntime(t)
	here := r.Providers()
	if !slices.Contains(here, "cpu") {
		t.Errorf("wanted cpu among the providers, found %v", here)
	}
	hints := map[string]string{"openvino": "leat runtime install openvino", "cuda": "leat runtime install cuda", "tensorrt": "leat runtime install cuda",
		"qnn": "leat runtime install qnn", "coreml": "fallback: cpu"}
	for name, hint := range hints {
		if slices.Contains(here, name) {
			continue
		}
		o := infer.Options{Providers: []infer.Provider{{Name: name, Options: map[string]string{"device_id": "0"}}}}
		_, err := r.Load(t.Context(), infer.Source{Bytes: perceptron(2, 2)}, o)
		var native *infer.Error
		if !errors.As(err, &native) || native.Code != "NOT_FOUND" || !strings.Contains(native.Hint, hint) || !strings.Contains(native.Text, fmt.Sprintf("%q is not part of", name)) {
			t.Errorf("%s: %#v", name, err)
		}
		var said []string
		o.Fallback, o.Log = true, func(level, text string) { said = append(said, level+" "+text) }
		s, err := r.Load(t.Context(), infer.Source{Bytes: perceptron(2, 2)}, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		run(t, s, infer.NewTensor([]float32{1, 2}, 1, 2))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if len(said) != 1 || !strings.HasPrefix(said[0], "WARNING ") || !strings.Contains(said[0], name) || !strings.Contains(said[0], "cpu") {
			t.Errorf("%s: said was %q", name, said)
		}
	}
	_, err := r.Load(t.Context(), infer.Source{Bytes: perceptron(2, 2)}, infer.Options{Providers: []infer.Provider{{Name: "npu"}}})
	if err == nil || !strings.Contains(err.Error(), `no execution provider is named "npu"; there are coreml, cpu, cuda, openvino, qnn, tensorrt`) {
		t.Errorf("found %v", err)
	}
}

// TestOptions loads with each setting.
func TestOptions(t *testing.T) {
	r := openRuntime(t)
	good := []infer.Options{{Threads: 2}, {NoArena: true}, {Optimization: infer.LevelNone}, {Optimization: infer.LevelBasic}, {Optimization: infer.LevelExtended},
		{Optimization: infer.LevelAll}, {Providers: []infer.Provider{{Name: "cpu"}}}, {Config: map[string]string{"session.intra_op.allow_spinning": "1", "session.set_denormal_as_zero": "1"}}}
	for _, o := range good {
		s, err := r.Load(t.Context(), infer.Source{Bytes: perceptron(2, 2)}, o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		run(t, s, infer.NewTensor([]float32{1, 2}, 1, 2))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	bad := map[string]infer.Options{
		`no level of optimisation is named "most"; there are none, basic, extended and all`: {Optimization: "most"},
		"setting xxx": {Config: map[string]string{strings.Repeat("x", 5000): "1"}},
	}
	for want, o := range bad {
		if _, err := r.Load(t.Context(), infer.Source{Bytes: perceptron(2, 2)}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, found %v", want, err)
		}
	}
}

// TestLoadErrors checks what is said of what is no model.
func TestLoadErrors(t *testing.T) {
	r := openRuntime(t)
	future := slices.Concat(number(1, 10), message(8, number(2, 999)), message(7, node("Identity", []string{"x"}, []string{"y"}), input("x", tensorType(1)), output("y", tensorType(1)), message(2, "g")))
	cases := []struct {
		source infer.Source
		code   string
	}{
		{infer.Source{Name: "m"}, "INVALID_PROTOBUF"},
		{infer.Source{Name: "m", Bytes: []byte("not a model")}, "INVALID_PROTOBUF"},
		{infer.Source{Name: "m", Bytes: future}, "FAIL"},
		{infer.Source{Name: "m", Path: t.TempDir() + "/none.onnx"}, "NO_SUCHFILE"},
		{infer.Source{Name: "m", Bytes: modelOf(node("NoSuch", []string{"x"}, []string{"y"}), input("x", tensorType(1)), output("y", tensorType(1)))}, "INVALID_GRAPH"},
	}
	for _, c := range cases {
		_, err := r.Load(t.Context(), c.source, infer.Options{})
		var native *infer.Error
		if !errors.As(err, &native) || native.Code != c.code || !strings.HasPrefix(err.Error(), "model m cannot be loaded: ") {
			t.Errorf("wanted %s, found %#v", c.code, err)
		}
	}
}

// TestProviderOptions checks how options reach the library, for providers that no machine of ours has: by their names, in order.
func TestProviderOptions(t *testing.T) {
	r := openRuntime(t)
	keys, values := pairs(map[string]string{"device_type": "GPU", "cache_dir": "", "backend_path": "a b"})
	defer keys.free()
	defer values.free()
	for i, want := range []string{"backend_path=a b", "cache_dir=", "device_type=GPU"} {
		if got := goString(pointer(keys.pointers[i])) + "=" + goString(pointer(values.pointers[i])); got != want {
			t.Errorf("option %d: wanted %s, found %s", i, want, got)
		}
	}
	for name, p := range providers {
		if slices.Contains(r.Providers(), name) {
			continue
		}
		var options pointer
		if err := r.call(slotCreateSessionOptions, uintptr(unsafe.Pointer(&options))); err != nil {
			t.Fatal(err)
		}
		// The library is asked all the same, as where it has the provider: it has to answer with an error.
		err := r.addProvider(options, infer.Provider{Name: name, Options: map[string]string{"device_id": "0"}}, p)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("execution provider %q: ", name)) {
			t.Errorf("%s: %v", name, err)
		}
		r.release(slotReleaseSessionOptions, options)
	}
}
