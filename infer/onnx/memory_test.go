package onnx

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/library"
)

// residentMemory is how many bytes of this process are in memory. Only Linux tells it like this.
func residentMemory(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skipf("SKIPPED: the memory in use is not known on %s", runtime.GOOS)
	}
	fields := bytes.Fields(text)
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// maxGrowth is how many bytes of memory 900 loads and drops of a model may leave behind.
const maxGrowth = 20 << 20

// TestMemoryOfLoads loads, runs and drops a model a thousand times.
func TestMemoryOfLoads(t *testing.T) {
	r := openRuntime(t)
	graph := perceptron(64, 256, 256, 10)
	in := []infer.Value{infer.NewTensor(make([]float32, 64*64), 64, 64)}
	var before int64
	for i := range 1000 {
		if i == 100 {
			runtime.GC()
			before = residentMemory(t)
		}
		s, err := r.Load(t.Context(), infer.Source{Name: "again", Bytes: graph}, infer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		results, err := s.Run(t.Context(), in, nil)
		if err != nil {
			t.Fatal(err)
		}
		results.Close()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	growth := residentMemory(t) - before
	t.Logf("900 loads and drops of %d kB left %.1f MB", len(graph)>>10, float64(growth)/(1<<20))
	if growth > maxGrowth {
		t.Errorf("wanted under %d MB, found %d", maxGrowth>>20, growth>>20)
	}
}

// TestMemoryOfRuns runs a model many times, cancellable and not, with strings and sequences.
func TestMemoryOfRuns(t *testing.T) {
	r := openRuntime(t)
	classes, words := loadBytes(t, r, classifier()), loadBytes(t, r, identity(tensorType(8, "n")))
	list := loadBytes(t, r, identity(sequenceType(tensorType(1, "n"))))
	var before int64
	for i := range 20_000 {
		if i == 2000 {
			runtime.GC()
			before = residentMemory(t)
		}
		for s, in := range map[infer.Session]infer.Value{
			classes: infer.NewTensor(make([]float32, 20), 10, 2),
			words:   infer.NewStrings([]string{strings.Repeat("a", 100), "b"}, 2),
			list:    &infer.Sequence{Elems: []infer.Value{infer.NewTensor(make([]float32, 100), 100)}},
		} {
			results, err := s.Run(t.Context(), []infer.Value{in}, nil)
			if err != nil {
				t.Fatal(err)
			}
			results.Close()
		}
	}
	runtime.GC()
	growth := residentMemory(t) - before
	t.Logf("54,000 runs left %.1f MB", float64(growth)/(1<<20))
	if growth > maxGrowth {
		t.Errorf("wanted under %d MB, found %d", maxGrowth>>20, growth>>20)
	}
	if u := r.Usage(); u.OutputBytes != 0 {
		t.Errorf("wanted nothing in use, found %+v", u)
	}
}

// filler is a model whose output has as many zeros as its input says.
func filler() []byte {
	return modelOf(node("ConstantOfShape", []string{"n"}, []string{"y"}), input("n", tensorType(7, 1)), output("y", tensorType(1, "n")))
}

// TestMemoryLimit asks for more than is allowed, which is an error, and after it for less, which is none.
func TestMemoryLimit(t *testing.T) {
	openRuntime(t)
	l, err := library.Find(library.Options{Offline: true})
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	for range 2 {
		r, err := Open(Config{Path: l.Path, Preload: l.Preload, MemoryLimit: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Load(t.Context(), infer.Source{Name: "filler", Bytes: filler()}, infer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			megabytes int64
			fits      bool
		}{{1, true}, {100, false}, {60, true}, {4000, false}, {1 << 30, false}, {1 << 40, false}, {1, true}} {
			results, err := s.Run(t.Context(), []infer.Value{infer.NewTensor([]int64{c.megabytes << 18}, 1)}, nil)
			results.Close()
			var native *infer.Error
			if (err == nil) != c.fits || err != nil && !errors.As(err, &native) {
				t.Errorf("%d MB: %v", c.megabytes, err)
			}
		}
		if err := errors.Join(s.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	}
}
