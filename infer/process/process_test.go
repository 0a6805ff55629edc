//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leat-project/leat/infer"
)

func openConfig(t *testing.T, c Config) *Runtime {
	t.Helper()
	r, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func loadSource(t *testing.T, r infer.Runtime, g infer.Source, o infer.Options) infer.Session {
	t.Helper()
	s, err := r.Load(context.Background(), g, o)
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

// fakeSessionOf returns a session over the fake runtime.
func fakeSessionOf(t *testing.T) infer.Session {
	t.Helper()
	c := config("fake")
	c.Grace = 500 * time.Millisecond
	return loadSource(t, openConfig(t, c), infer.Source{Name: "m"}, infer.Options{})
}

// tell runs a session of the fake runtime.
func tell(ctx context.Context, s infer.Session, what string, v infer.Value) (*infer.Results, error) {
	return s.Run(ctx, []infer.Value{infer.NewStrings([]string{what}), v}, nil)
}

// works fails the test unless the session echoes.
func works(t *testing.T, s infer.Session) {
	t.Helper()
	want := infer.NewTensor([]float32{1, 2}, 2)
	got, err := tell(context.Background(), s, "echo", want)
	if err != nil {
		t.Fatalf("after it: %v", err)
	}
	defer got.Close()
	if !reflect.DeepEqual(got.Values, []infer.Value{want}) {
		t.Fatalf("after it: wanted %v, found %v", want, got.Values)
	}
}

func pid(s infer.Session) int { return s.(*session).current.Load().cmd.Process.Pid }

func TestOpen(t *testing.T) {
	c := config("fake")
	c.Library = Library{Path: "lib\xff", Preload: []string{"a", "b"}}
	r := openConfig(t, c)
	if got := r.Version(); got != "fake lib\uFFFD" { // the path came whole; the version is text
		t.Errorf("version %q", got)
	}
	if got := r.Providers(); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("providers %q", got)
	}
	var log []string
	o := infer.Options{Threads: 3, Providers: []infer.Provider{{Name: "cuda", Options: map[string]string{"a": "b"}}},
		Config: map[string]string{"k": "v"}, Log: func(level, text string) { log = append(log, level+" "+text) }}
	s := loadSource(t, r, infer.Source{Name: "m", Path: "p", Bytes: make([]byte, 1000)}, o)
	if want := []string{"INFO p 1000 bytes, 3 threads, [{cuda map[a:b]}], v"}; !reflect.DeepEqual(log, want) {
		t.Errorf("log %q", log)
	}
	if !reflect.DeepEqual(s.Inputs(), fakeSession{"what"}.Inputs()) || !reflect.DeepEqual(s.Outputs(), fakeSession{}.Outputs()) {
		t.Errorf("inputs %v, outputs %v", s.Inputs(), s.Outputs())
	}
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "1 sessions are still open") {
		t.Errorf("closed with a session: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, test := range []struct {
		name    string
		config  Config
		path    string
		crashed bool
		want    string
	}{
		{"no command", Config{}, "", false, "wanted a command"},
		{"no program", Config{Command: []string{"/nowhere/at all"}}, "", false, "cannot be started"},
		{"another program", Config{Command: []string{"echo", "hello"}}, "", true, "died"},
		{"an error", config("fake"), "error", false, "wrapped: it failed"},
		{"an exit", config("fake"), "exit", true, "exit status 7; it said last: first words | last words"},
		{"a panic", config("fake"), "panic", false, "a panic in the child"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.Library.Path = test.path
			_, err := Open(context.Background(), test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, infer.ErrCrashed) != test.crashed {
				t.Errorf("found %v", err)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	r := openConfig(t, config("fake"))
	for _, test := range []struct {
		name    string
		crashed bool
		want    string
	}{
		{"error", false, "wrapped: it failed"},
		{"exit", true, "model exit cannot be loaded: the process that ran the model has died: exit status 7"},
		{"kill", true, "signal: killed, perhaps by the system for want of memory"},
		{"panic", false, "a panic in the child"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := r.Load(context.Background(), infer.Source{Name: test.name}, infer.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, infer.ErrCrashed) != test.crashed {
				t.Errorf("found %v", err)
			}
		})
	}
}

func TestErrorsTravel(t *testing.T) {
	s := fakeSessionOf(t)
	_, err := tell(context.Background(), s, "error", nil)
	var e *infer.Error
	if !errors.As(err, &e) || *e != (infer.Error{Code: "FAIL", Text: "it failed", Hint: "do not"}) || err.Error() != "wrapped: it failed" {
		t.Errorf("found %#v, %v", e, err)
	}
	if _, err = tell(context.Background(), s, "plain error", nil); err == nil || err.Error() != "plain" || errors.As(err, &e) && e == nil {
		t.Errorf("found %v", err)
	}
	before := pid(s)
	if _, err = tell(context.Background(), s, "panic", nil); !errors.As(err, &e) || e.Code != "PANIC" || errors.Is(err, infer.ErrCrashed) {
		t.Errorf("found %v", err)
	}
	if _, err = tell(context.Background(), s, "print", nil); err != nil {
		t.Errorf("found %v", err)
	}
	if pid(s) != before {
		t.Error("the child was replaced for an error")
	}
}

func TestRunArguments(t *testing.T) {
	s := fakeSessionOf(t)
	what := infer.NewStrings([]string{"echo"})
	for _, test := range []struct {
		name   string
		inputs []infer.Value
		want   string
	}{
		{"too few", []infer.Value{what}, "model m: wanted 2 inputs, found 1"},
		{"wrong size", []infer.Value{what, infer.NewTensor([]int8{1, 2}, 3)}, `model m: input "value": a tensor int8[3] has 3 elements, found 2 bytes`},
		{"nil tensor", []infer.Value{what, (*infer.Tensor)(nil)}, "found nil"},
		{"nil keys", []infer.Value{what, &infer.Map{}}, "wants keys"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := s.Run(context.Background(), test.inputs, nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("found %v", err)
			}
		})
	}
	got, err := s.Run(context.Background(), []infer.Value{what, nil}, []int{3, -1, 0})
	if err != nil {
		t.Fatal(err)
	}
	want := []infer.Value{infer.NewTensor([]int64{3}, 1), infer.NewTensor([]int64{-1}, 1), infer.NewTensor([]int64{0}, 1)}
	if !reflect.DeepEqual(got.Values, want) {
		t.Errorf("outputs %v", got.Values)
	}
	if got, err = s.Run(context.Background(), []infer.Value{what, nil}, []int{}); err != nil || len(got.Values) != 0 {
		t.Errorf("no outputs: %v, %v", got, err)
	}
}

// TestDeaths lets the child die in every way there is.
func TestDeaths(t *testing.T) {
	s := fakeSessionOf(t)
	for _, test := range []struct{ what, want string }{
		{"exit", "model m: the process that ran the model has died: exit status 7; it said last: first words | last words"},
		{"kill", "signal: killed"},
		{"fault", "SIGSEGV"},
		{"segv", "SIGSEGV"},
	} {
		t.Run(test.what, func(t *testing.T) {
			_, err := tell(context.Background(), s, test.what, nil)
			if !errors.Is(err, infer.ErrCrashed) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("found %v", err)
			}
			t.Log(err)
			works(t, s)
		})
	}
}

// awaitRuns waits until n runs are under way.
func awaitRuns(s infer.Session, n int) {
	c := s.(*session).current.Load()
	for waiting := 0; waiting < n; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		waiting = len(c.waiting)
		c.mu.Unlock()
	}
}

// TestDeathFailsAll kills the child while many runs are under way.
func TestDeathFailsAll(t *testing.T) {
	s := fakeSessionOf(t)
	const runs = 20
	errs := make(chan error, runs)
	for range runs {
		go func() {
			_, err := tell(context.Background(), s, "stick", nil)
			errs <- err
		}()
	}
	awaitRuns(s, runs)
	if err := syscall.Kill(pid(s), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range runs {
		if err := <-errs; !errors.Is(err, infer.ErrCrashed) {
			t.Errorf("found %v", err)
		}
	}
	works(t, s)
}

// TestHundredKills kills the child between runs, again and again.
func TestHundredKills(t *testing.T) {
	s := fakeSessionOf(t)
	before, known := os.ReadDir("/proc/self/fd")
	for range 100 {
		c := s.(*session).current.Load()
		if err := syscall.Kill(pid(s), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-c.dead
		works(t, s)
	}
	if after, err := os.ReadDir("/proc/self/fd"); errors.Join(known, err) == nil && len(after) > len(before)+5 { // some are the test's
		t.Errorf("wanted %d open files, found %d", len(before), len(after))
	}
}

// TestBackoff counts how often a model that kills each of its children is loaded.
func TestBackoff(t *testing.T) {
	s := fakeSessionOf(t).(*session)
	for i := range 5 {
		if _, err := tell(context.Background(), s, "exit", nil); !errors.Is(err, infer.ErrCrashed) {
			t.Fatal(err)
		}
		if got := s.replacements.Load(); got != int64(i) {
			t.Errorf("wanted %d replacements, found %d", i, got)
		}
	}
	works(t, s)
	if got := s.replacements.Load(); got != 0 {
		t.Errorf("wanted no replacements in a row, found %d", got)
	}
	for _, test := range []struct {
		n    int
		want time.Duration
	}{{0, firstPause}, {1, firstPause}, {2, 2 * firstPause}, {5, 16 * firstPause}, {8, longestPause}, {1 << 40, longestPause}} {
		if got := pauseAfter(test.n); got != test.want {
			t.Errorf("pause after %d: wanted %v, found %v", test.n, test.want, got)
		}
	}
}

// TestReplacementFails has a child whose replacement dies while it loads, and then one whose graph has changed.
func TestReplacementFails(t *testing.T) {
	r := openConfig(t, config("fake"))
	file := filepath.Join(t.TempDir(), "f")
	s := loadSource(t, r, infer.Source{Name: "m", Path: "counted"}, infer.Options{Config: map[string]string{"file": file}})
	if _, err := tell(context.Background(), s, "kill", nil); !errors.Is(err, infer.ErrCrashed) {
		t.Fatal(err)
	}
	if _, err := tell(context.Background(), s, "echo", nil); !errors.Is(err, infer.ErrCrashed) || !strings.Contains(err.Error(), "cannot be loaded: ") {
		t.Errorf("found %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.(*session).live(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	works(t, s)

	if err := os.WriteFile(file, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = loadSource(t, r, infer.Source{Name: "m", Path: "input " + file}, infer.Options{})
	if err := os.WriteFile(file, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tell(context.Background(), s, "kill", nil); !errors.Is(err, infer.ErrCrashed) {
		t.Fatal(err)
	}
	if _, err := tell(context.Background(), s, "echo", nil); err == nil || !strings.Contains(err.Error(), "the graph has changed") {
		t.Errorf("found %v", err)
	}
}

func TestCancel(t *testing.T) {
	s := fakeSessionOf(t)
	for _, test := range []struct {
		what     string
		replaced bool
	}{{"wait", false}, {"stick", true}} {
		t.Run(test.what, func(t *testing.T) {
			works(t, s)
			before := pid(s)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			if _, err := tell(ctx, s, test.what, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("found %v", err)
			}
			works(t, s)
			if (pid(s) != before) != test.replaced {
				t.Errorf("replaced: wanted %v", test.replaced)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tell(ctx, s, "echo", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("found %v", err)
	}
}

// TestDeaf has a child that does not read: a cancellation ends it although the request cannot be written.
func TestDeaf(t *testing.T) {
	c := config("deaf")
	c.Grace = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("found %v", err)
	}

	s := fakeSessionOf(t)
	if err := syscall.Kill(pid(s), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := tell(ctx, s, "echo", infer.NewTensor(make([]byte, 4<<20), 4<<20)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("found %v", err)
			}
		})
	}
	wg.Wait()
	works(t, s)
}

// TestTogether runs many at once, of all sizes, while the child is killed now and then.
func TestTogether(t *testing.T) {
	s := fakeSessionOf(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				data := make([]int32, 1<<(i%18))
				for j := range data {
					data[j] = int32(g*1000000 + i*1000 + j)
				}
				what := "echo"
				if g == 0 && i%10 == 5 {
					what = "kill"
				}
				got, err := tell(context.Background(), s, what, infer.NewTensor(data, int64(len(data))))
				if errors.Is(err, infer.ErrCrashed) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if !reflect.DeepEqual(infer.View[int32](got.Values[0].(*infer.Tensor)), data) {
					t.Errorf("run %d of %d: other data came back", i, g)
				}
				got.Close()
			}
		})
	}
	wg.Wait()
}

// TestParentDies kills a parent in the middle of a run: the child ends with it.
func TestParentDies(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=parent")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	_, err = fmt.Fscan(out, &child)
	if err := errors.Join(err, cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for range 2000 {
		if !running(child) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("process %d lives on", child)
}

// running reports whether a process is there and no zombie, which it stays for a while where the system's first process is lazy.
func running(pid int) bool {
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(status), ") Z ") {
		return false
	}
	return syscall.Kill(pid, 0) == nil
}

func TestClose(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	r, err := Open(context.Background(), config("fake"))
	if err != nil {
		t.Fatal(err)
	}
	var children []*child
	for i := range 3 {
		s, err := r.Load(context.Background(), infer.Source{Name: fmt.Sprint(i)}, infer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		children = append(children, s.(*session).current.Load())
		ctx, cancel := context.WithCancel(context.Background())
		_, err = tell(ctx, s, "echo", nil)
		cancel()
		if err := errors.Join(err, s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := tell(context.Background(), s, "echo", nil); err == nil || !strings.Contains(err.Error(), "the session is closed") {
			t.Errorf("found %v", err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load(context.Background(), infer.Source{}, infer.Options{}); err == nil {
		t.Error("a closed runtime loads")
	}
	for _, c := range children {
		if code := c.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d: %v", code, c.death)
		}
		if err := syscall.Kill(c.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there: %v", c.cmd.Process.Pid, err)
		}
	}
	for range 200 { // goroutines end soon after what they wait for
		if runtime.NumGoroutine() <= goroutines {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("wanted %d goroutines, found %d", goroutines, runtime.NumGoroutine())
}

// TestLimit checks the limit on what one frame may carry, with memory that is never touched.
func TestLimit(t *testing.T) {
	m := &message{size: infer.MaxTensorBytes - 8}
	if err := m.value(infer.NewTensor(make([]byte, 8), 8), 0); err != nil {
		t.Error(err)
	}
	if err := m.value(infer.NewTensor(make([]byte, 1), 1), 0); !errors.Is(err, errTooLarge) {
		t.Errorf("found %v", err)
	}
	deep := infer.Value(&infer.Sequence{})
	for range maxDepth {
		deep = &infer.Sequence{Elems: []infer.Value{deep}}
	}
	if err := (&message{}).value(deep, 0); err == nil {
		t.Error("deep values are sent")
	}
	if err := (&message{head: make([]byte, maxHead+1)}).check(); err == nil {
		t.Error("a long head is sent")
	}
}

func TestTail(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"last lines", "1\n2\n3\n4\n5\n\n6\n\n  7", "2 | 3 | 4 | 5 | 6 | 7"},
		{"no UTF-8", "a\xffb\n", "a?b"},
		{"a long line", strings.Repeat("a", 1e6) + "\nb", strings.Repeat("a", lineBytes) + " | b"},
		{"a fault", "fatal error: fault\n[signal SIGSEGV]\n\ngoroutine 7 [running]:\nmain.main()\n", "fatal error: fault | [signal SIGSEGV]"},
	} {
		var whole, bytewise tail
		_, _ = whole.Write([]byte(test.text))
		for i := range len(test.text) {
			_, _ = bytewise.Write([]byte(test.text[i : i+1]))
		}
		if got := whole.text(); got != test.want || bytewise.text() != got {
			t.Errorf("%s: found %q", test.name, got)
		}
	}
}
