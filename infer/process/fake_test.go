//go:build unix

package process

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/onnx"
	"github.com/leat-project/leat/model"
)

// childVariable makes this test binary a child, over the runtime that it names.
const childVariable = "LEAT_TEST_INFER_CHILD"

func TestMain(m *testing.M) {
	var open func(Library) (infer.Runtime, error)
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "fake":
		open = openFake
	case "onnx":
		open = func(l Library) (infer.Runtime, error) {
			return onnx.Open(onnx.Config{Path: l.Path, Preload: l.Preload, MemoryLimit: l.MemoryLimit})
		}
	case "parent":
		orphan()
	case "deaf":
		fmt.Fprintln(os.Stderr, "I read nothing")
		time.Sleep(time.Hour)
	}
	if err := Serve(open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// orphan has a child that never ends a run, and prints its number.
func orphan() {
	r, err := Open(context.Background(), config("fake"))
	if err != nil {
		panic(err)
	}
	s, err := r.Load(context.Background(), infer.Source{Name: "m"}, infer.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(pid(s))
	_, err = tell(context.Background(), s, "stick", nil)
	panic(err)
}

// config is that of a child which is this binary.
func config(kind string) Config {
	command, err := Self()
	if err != nil {
		panic(err)
	}
	return Config{Command: command, Env: []string{childVariable + "=" + kind,
		"GORACE=atexit_sleep_ms=0"}} // under the race detector, a process sleeps a second before it ends
}

// fake is a runtime whose sessions do what their first input says, and return their second.
type fake struct{ library Library }

func openFake(l Library) (infer.Runtime, error) {
	return fake{l}, act(context.Background(), l.Path)
}

func (f fake) Version() string     { return "fake " + f.library.Path }
func (f fake) Providers() []string { return f.library.Preload }
func (f fake) Close() error        { return nil }

func (f fake) Load(ctx context.Context, g infer.Source, o infer.Options) (infer.Session, error) {
	if o.Log != nil {
		o.Log("INFO", fmt.Sprintf("%s %d bytes, %d threads, %v, %s", g.Path, len(g.Bytes), o.Threads, o.Providers, o.Config["k"]))
	}
	if g.Path == "counted" { // dies in all loads but the first; the file named by the configuration counts them
		if _, err := os.Stat(o.Config["file"]); err == nil {
			os.Exit(9)
		}
		if err := os.WriteFile(o.Config["file"], nil, 0o600); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(g.Path, "input ") { // whose name is in a file, so that the graph can change
		name, err := os.ReadFile(strings.TrimPrefix(g.Path, "input "))
		return fakeSession{string(name)}, err
	}
	return fakeSession{"what"}, act(ctx, g.Name)
}

type fakeSession struct{ input string }

func (s fakeSession) Inputs() []model.ValueInfo {
	return []model.ValueInfo{{Name: s.input, DType: model.String, Shape: []int64{}}, {Name: "value", DType: model.Float32, Shape: []int64{-1, 3}, Dims: []string{"batch", ""}}}
}

func (s fakeSession) Outputs() []model.ValueInfo {
	return []model.ValueInfo{{Name: "value", Kind: model.SequenceValue, Elem: &model.ValueInfo{Kind: model.MapValue, Key: model.Int64, DType: model.Float32}}}
}

func (fakeSession) Run(ctx context.Context, inputs []infer.Value, outputs []int) (*infer.Results, error) {
	if err := act(ctx, inputs[0].(*infer.Tensor).Strings[0]); err != nil {
		return nil, err
	}
	values := []infer.Value{inputs[1]}
	if outputs != nil {
		values = nil
		for _, o := range outputs {
			values = append(values, infer.NewTensor([]int64{int64(o)}, 1))
		}
	}
	return infer.NewResults(values, nil), nil
}

func (fakeSession) Close() error { return nil }

// unmapped is an address without memory, which Go does not take for nil.
var unmapped uintptr = 1 << 40

// act does what a word says. Words that it does not know do nothing.
func act(ctx context.Context, what string) error {
	switch what {
	case "error":
		return fmt.Errorf("wrapped: %w", &infer.Error{Code: "FAIL", Text: "it failed", Hint: "do not"})
	case "plain error":
		return fmt.Errorf("plain")
	case "panic":
		panic("a panic in the child")
	case "fault":
		*(*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&unmapped))) = 1 // a fault that cannot be recovered from
	case "segv":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		time.Sleep(time.Hour)
	case "exit":
		fmt.Fprint(os.Stderr, "first words\n\nlast words\n")
		os.Exit(7)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	case "print":
		_, _ = syscall.Write(1, []byte("native code prints\n"))
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	case "stick":
		time.Sleep(time.Hour)
	}
	return nil
}
