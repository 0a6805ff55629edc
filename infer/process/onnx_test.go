//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/library"
	"github.com/leat-project/leat/infer/onnx"
	"github.com/leat-project/leat/model"
)

// The parts of an ONNX file, as onnx.proto numbers their fields.

func field(number protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), body)
}

func number(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// tensorType is a TypeProto of one dynamic dimension, or of the dimensions given.
func tensorType(d model.DType, dims ...uint64) []byte {
	shape := field(1, field(2, []byte("n")))
	if len(dims) > 0 {
		shape = nil
		for _, n := range dims {
			shape = append(shape, field(1, number(1, n))...)
		}
	}
	return field(1, join(number(1, uint64(d)), field(2, shape)))
}

func valueInfo(name string, typ []byte) []byte {
	return join(field(1, []byte(name)), field(2, typ))
}

// graphNode is a NodeProto; names are separated by spaces.
func graphNode(op, domain, inputs, outputs string, attributes ...[]byte) []byte {
	var n []byte
	for _, in := range strings.Fields(inputs) {
		n = append(n, field(1, []byte(in))...)
	}
	for _, out := range strings.Fields(outputs) {
		n = append(n, field(2, []byte(out))...)
	}
	n = append(n, join(field(4, []byte(op)), field(7, []byte(domain)))...)
	for _, a := range attributes {
		n = append(n, field(5, a)...)
	}
	return n
}

// graphModel is a ModelProto.
func graphModel(nodes, inputs, outputs [][]byte) []byte {
	g := field(2, []byte("g"))
	for _, n := range nodes {
		g = append(g, field(1, n)...)
	}
	for _, in := range inputs {
		g = append(g, field(11, in)...)
	}
	for _, out := range outputs {
		g = append(g, field(12, out)...)
	}
	opset := func(domain string, version uint64) []byte {
		return field(8, join(field(1, []byte(domain)), number(2, version)))
	}
	return join(number(1, 8), opset("", 17), opset("ai.onnx.ml", 3), field(7, g))
}

func identity(typ []byte) []byte {
	return graphModel([][]byte{graphNode("Identity", "", "x", "y")}, [][]byte{valueInfo("x", typ)}, [][]byte{valueInfo("y", typ)})
}

// matmuls is a chain of products of square matrices, each of which takes about a millisecond.
func matmuls(n int) []byte {
	const side = 256
	var nodes [][]byte
	last := "x"
	for i := range n {
		out := fmt.Sprint("y", i)
		nodes = append(nodes, graphNode("MatMul", "", last+" x", out))
		last = out
	}
	typ := tensorType(model.Float32, side, side)
	return graphModel(nodes, [][]byte{valueInfo("x", typ)}, [][]byte{valueInfo(last, typ)})
}

func matrix() []infer.Value {
	return []infer.Value{infer.NewTensor(make([]float32, 256*256), 256, 256)}
}

// runtimes returns ONNX Runtime in a child and in this process.
func runtimes(t testing.TB) (isolated *Runtime, here *onnx.Runtime) {
	t.Helper()
	l, err := library.Find(library.Options{Offline: true})
	if err != nil {
		t.Skipf("NOT RUN: %v", err)
	}
	c := config("onnx")
	c.Library = Library{Path: l.Path, Preload: l.Preload}
	if isolated, err = Open(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if here, err = onnx.Open(onnx.Config{Path: l.Path, Preload: l.Preload}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(isolated.Close(), here.Close()); err != nil {
			t.Error(err)
		}
	})
	return isolated, here
}

// TestSameAsHere compares the child with ONNX Runtime in this process: results, descriptions and errors.
func TestSameAsHere(t *testing.T) {
	isolated, here := runtimes(t)
	if isolated.Version() != here.Version() || !reflect.DeepEqual(isolated.Providers(), here.Providers()) {
		t.Errorf("wanted %s %v, found %s %v", here.Version(), here.Providers(), isolated.Version(), isolated.Providers())
	}
	for _, test := range sameCases() {
		t.Run(test.name, func(t *testing.T) {
			source := infer.Source{Name: "m", Bytes: test.graph}
			wantSession, wantErr := here.Load(context.Background(), source, test.options)
			session, err := isolated.Load(context.Background(), source, test.options)
			if !sameError(wantErr, err) {
				t.Fatalf("load: wanted %v, found %v", wantErr, err)
			}
			if err != nil {
				t.Log(err)
				return
			}
			defer wantSession.Close()
			defer session.Close()
			if !reflect.DeepEqual(session.Inputs(), wantSession.Inputs()) || !reflect.DeepEqual(session.Outputs(), wantSession.Outputs()) {
				t.Errorf("wanted %v %v, found %v %v", wantSession.Inputs(), wantSession.Outputs(), session.Inputs(), session.Outputs())
			}
			want, wantErr := wantSession.Run(context.Background(), test.inputs, test.outputs)
			got, err := session.Run(context.Background(), test.inputs, test.outputs)
			if !sameError(wantErr, err) {
				t.Fatalf("run: wanted %v, found %v", wantErr, err)
			}
			if err != nil {
				t.Log(err)
				return
			}
			defer want.Close()
			defer got.Close()
			for i := range want.Values {
				if !reflect.DeepEqual(got.Values[i], want.Values[i]) {
					t.Errorf("output %d: wanted %v, found %v", i, want.Values[i], got.Values[i])
				}
				t.Log(infer.KindOf(got.Values[i]))
			}
		})
	}
}

type sameCase struct {
	name    string
	graph   []byte
	options infer.Options
	inputs  []infer.Value
	outputs []int
}

func sameCases() []sameCase {
	var cases []sameCase
	for d := model.Undefined; d <= model.Float4E2M1; d++ {
		for _, n := range []int64{0, 1, 3, 100000} {
			in := &infer.Tensor{DType: d, Shape: []int64{n}}
			if d == model.String {
				for i := range n {
					in.Strings = append(in.Strings, strings.Repeat("ä\x00", int(i%50)))
				}
			} else {
				in.Data = make([]byte, d.Bytes(n))
				for i := range in.Data {
					in.Data[i] = byte(i * 7 % 251 % 2) // which suits bool, too
				}
			}
			cases = append(cases, sameCase{name: fmt.Sprintf("Identity %s %d", d, n), graph: identity(tensorType(d)), inputs: []infer.Value{in}})
		}
	}
	f, s, ints := tensorType(model.Float32), infer.NewTensor([]float32{1, 2, 3}, 3), tensorType(model.Int64)
	list := field(4, field(1, f))
	probabilities := infer.NewTensor([]float32{0.1, 0.9, 0.3, 0.7}, 2, 2)
	zipMap := join(field(1, []byte("classlabels_strings")), field(9, []byte("no")), field(9, []byte("yes")), number(20, 8))
	maps := field(4, field(1, field(5, join(number(1, uint64(model.String)), field(2, field(1, number(1, uint64(model.Float32))))))))
	add := graphModel([][]byte{graphNode("Add", "", "a b", "y"), graphNode("Shape", "", "y", "z")},
		[][]byte{valueInfo("a", f), valueInfo("b", f)}, [][]byte{valueInfo("y", f), valueInfo("z", ints)})
	return append(cases,
		sameCase{name: "Add", graph: add, inputs: []infer.Value{s, s}},
		sameCase{name: "Add, second output twice", graph: add, inputs: []infer.Value{s, s}, outputs: []int{1, 0}},
		sameCase{name: "Add, no such output", graph: add, inputs: []infer.Value{s, s}, outputs: []int{2}},
		sameCase{name: "Add, shapes that do not fit", graph: add, inputs: []infer.Value{s, infer.NewTensor([]float32{1, 2}, 2)}},
		sameCase{name: "Add, a wrong type", graph: add, inputs: []infer.Value{s, infer.NewTensor([]int64{1, 2}, 2)}},
		sameCase{name: "Add, a wrong size", graph: add, inputs: []infer.Value{s, infer.NewTensor([]float32{1, 2}, 3)}},
		sameCase{name: "Add, too few", graph: add, inputs: []infer.Value{s}},
		sameCase{name: "Add, one not given", graph: add, inputs: []infer.Value{s, nil}},
		sameCase{name: "Add, a map", graph: add, inputs: []infer.Value{s, &infer.Map{Keys: s, Values: s}}},
		sameCase{name: "Add, options", graph: add, inputs: []infer.Value{s, s}, options: infer.Options{Threads: 2, Optimization: infer.LevelNone,
			NoArena: true, Config: map[string]string{"session.intra_op.allow_spinning": "1"}, Providers: []infer.Provider{{Name: "cpu"}}}},
		sameCase{name: "Add, no such level", graph: add, options: infer.Options{Optimization: "much"}},
		sameCase{name: "Add, no such provider", graph: add, options: infer.Options{Providers: []infer.Provider{{Name: "coreml"}}}},
		sameCase{name: "Add, a fallback", graph: add, inputs: []infer.Value{s, s}, options: infer.Options{Fallback: true, Providers: []infer.Provider{{Name: "coreml"}}}},
		sameCase{name: "SequenceConstruct", inputs: []infer.Value{s, s}, graph: graphModel([][]byte{graphNode("SequenceConstruct", "", "a b", "y")},
			[][]byte{valueInfo("a", f), valueInfo("b", f)}, [][]byte{valueInfo("y", list)})},
		sameCase{name: "Identity of a sequence", graph: identity(list), inputs: []infer.Value{&infer.Sequence{Elems: []infer.Value{s, s, s}}}},
		sameCase{name: "Identity of an empty sequence", graph: identity(list), inputs: []infer.Value{&infer.Sequence{Elems: []infer.Value{}}}},
		sameCase{name: "ZipMap", inputs: []infer.Value{probabilities}, graph: graphModel([][]byte{graphNode("ZipMap", "ai.onnx.ml", "x", "y", zipMap)},
			[][]byte{valueInfo("x", tensorType(model.Float32, 2, 2))}, [][]byte{valueInfo("y", maps)})},
		sameCase{name: "no model"},
		sameCase{name: "no protobuf", graph: []byte("something else")},
		sameCase{name: "an unknown operator", graph: graphModel([][]byte{graphNode("Nothing", "", "x", "y")}, [][]byte{valueInfo("x", f)}, [][]byte{valueInfo("y", f)})},
	)
}

// sameError reports whether two errors say the same, in all that package infer tells of them.
func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	var x, y *infer.Error
	return a.Error() == b.Error() && errors.As(a, &x) == errors.As(b, &y) && reflect.DeepEqual(x, y)
}

// TestOptional has an optional output that holds nothing. That ONNX Runtime dies of the question what it is has been seen.
func TestOptional(t *testing.T) {
	isolated, _ := runtimes(t)
	f := tensorType(model.Float32)
	empty := join(field(1, []byte("type")), field(14, f), number(20, 13))
	s := loadSource(t, isolated, infer.Source{Name: "m", Bytes: graphModel(
		[][]byte{graphNode("Optional", "", "", "y", empty), graphNode("Identity", "", "x", "z")},
		[][]byte{valueInfo("x", f)}, [][]byte{valueInfo("y", field(9, field(1, f))), valueInfo("z", f)})}, infer.Options{})
	in := infer.NewTensor([]float32{1}, 1)
	got, err := s.Run(context.Background(), []infer.Value{in}, nil)
	if errors.Is(err, infer.ErrCrashed) {
		t.Skipf("NOT RUN: infer/onnx dies of it: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := []infer.Value{nil, in}; !reflect.DeepEqual(got.Values, want) {
		t.Errorf("found %v", got.Values)
	}
	got.Close()
}

// TestPath loads a graph by its path, which is not text.
func TestPath(t *testing.T) {
	isolated, _ := runtimes(t)
	path := filepath.Join(t.TempDir(), "m\xffodel.onnx")
	if err := os.WriteFile(path, identity(tensorType(model.Float32)), 0o600); err != nil {
		t.Skip(err) // some systems' names are text
	}
	s := loadSource(t, isolated, infer.Source{Name: "m", Path: path}, infer.Options{})
	got, err := s.Run(context.Background(), []infer.Value{infer.NewTensor([]float32{1}, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
}

// TestKillInGraph kills the child in the middle of ONNX Runtime's work, and cancels there.
func TestKillInGraph(t *testing.T) {
	isolated, _ := runtimes(t)
	s := loadSource(t, isolated, infer.Source{Name: "m", Bytes: matmuls(3000)}, infer.Options{Optimization: infer.LevelNone})
	for range 3 {
		go func() {
			awaitRuns(s, 1)
			_ = syscall.Kill(pid(s), syscall.SIGKILL)
		}()
		if _, err := s.Run(context.Background(), matrix(), nil); !errors.Is(err, infer.ErrCrashed) {
			t.Fatalf("found %v", err)
		}
		c, err := s.(*session).live(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if _, err = s.Run(ctx, matrix(), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("found %v", err)
		}
		cancel()
		if !c.alive() {
			t.Error("the child was killed, though it can end a run between nodes")
		}
	}
}

// TestMemoryLimit has a run that needs more than the child may take: an error, and no death.
func TestMemoryLimit(t *testing.T) {
	unlimited, _ := runtimes(t)
	c := unlimited.config
	c.Library.MemoryLimit = 16 << 20
	s := loadSource(t, openConfig(t, c), infer.Source{Name: "m", Bytes: identity(tensorType(model.Float32))}, infer.Options{})
	for _, test := range []struct {
		n  int64
		ok bool
	}{{1 << 10, true}, {8 << 20, false}, {1 << 10, true}} {
		got, err := s.Run(context.Background(), []infer.Value{infer.NewTensor(make([]float32, test.n), test.n)}, nil)
		if (err == nil) != test.ok || errors.Is(err, infer.ErrCrashed) {
			t.Errorf("%d elements: found %v", test.n, err)
		}
		got.Close()
	}
}

// TestManyInGraph runs a graph from many goroutines at once.
func TestManyInGraph(t *testing.T) {
	isolated, _ := runtimes(t)
	typ := tensorType(model.Float32)
	s := loadSource(t, isolated, infer.Source{Name: "m", Bytes: graphModel([][]byte{graphNode("Add", "", "a a", "y")},
		[][]byte{valueInfo("a", typ)}, [][]byte{valueInfo("y", typ)})}, infer.Options{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				data := make([]float32, 1+i*g*10)
				for j := range data {
					data[j] = float32(i + j)
				}
				got, err := s.Run(context.Background(), []infer.Value{infer.NewTensor(data, int64(len(data)))}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for j, v := range infer.View[float32](got.Values[0].(*infer.Tensor)) {
					if v != 2*data[j] {
						t.Errorf("run %d of %d, element %d: wanted %v, found %v", i, g, j, 2*data[j], v)
						break
					}
				}
				got.Close()
			}
		})
	}
	wg.Wait()
}

// TestOverhead prints what a call of the child costs more than one in this process. It measures; it does not judge.
func TestOverhead(t *testing.T) {
	isolated, here := runtimes(t)
	source := infer.Source{Name: "m", Bytes: identity(tensorType(model.Float32))}
	sessions := []infer.Session{loadSource(t, isolated, source, infer.Options{}), loadSource(t, here, source, infer.Options{})}
	for _, size := range []int{1 << 10, 1 << 20} {
		in := []infer.Value{infer.NewTensor(make([]float32, size/4), int64(size/4))}
		var took [2]time.Duration
		const calls = 200
		for range calls {
			for i, s := range sessions {
				start := time.Now()
				got, err := s.Run(t.Context(), in, nil)
				if err != nil {
					t.Fatal(err)
				}
				got.Close()
				took[i] += time.Since(start)
			}
		}
		t.Logf("%7d bytes: %v in the child, %v here", size, took[0]/calls, took[1]/calls)
	}
}

// BenchmarkRun compares a call of the child with one in this process.
func BenchmarkRun(b *testing.B) {
	isolated, here := runtimes(b)
	for _, where := range []struct {
		name string
		r    infer.Runtime
	}{{"here", here}, {"isolated", isolated}} {
		s, err := where.r.Load(context.Background(), infer.Source{Name: "m", Bytes: identity(tensorType(model.Float32))}, infer.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, size := range []int{1 << 10, 1 << 16, 1 << 20, 1 << 24} {
			in := []infer.Value{infer.NewTensor(make([]float32, size/4), int64(size/4))}
			ctx, cancel := context.WithCancel(context.Background())
			run := func(b *testing.B) {
				got, err := s.Run(ctx, in, nil)
				if err != nil {
					b.Fatal(err)
				}
				got.Close()
			}
			b.Run(fmt.Sprintf("%s/%dKiB", where.name, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					run(b)
				}
			})
			b.Run(fmt.Sprintf("%s/%dKiB/%d at once", where.name, size>>10, 2*runtime.GOMAXPROCS(0)), func(b *testing.B) {
				b.SetParallelism(2)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						run(b)
					}
				})
			})
			cancel()
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad compares a load in a child, with the start of the process, with one in this process.
func BenchmarkLoad(b *testing.B) {
	isolated, here := runtimes(b)
	for _, where := range []struct {
		name string
		r    infer.Runtime
	}{{"here", here}, {"isolated", isolated}} {
		b.Run(where.name, func(b *testing.B) {
			for b.Loop() {
				s, err := where.r.Load(context.Background(), infer.Source{Name: "m", Bytes: identity(tensorType(model.Float32))}, infer.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
