// Package faults kills, cuts and starves a real leat between real servers, and counts rows: none may be lost, none doubled.
//
// A test run takes a tenth of the counts; LEAT_FAULTS=full takes them all.
package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scale is a tenth of a full count, or all of it.
func scale(count int) int {
	if full() {
		return count
	}
	return max(1, count/10)
}

func full() bool { return os.Getenv("LEAT_FAULTS") == "full" }

var binary struct {
	once sync.Once
	path string
	err  error
}

// leat returns the program, built once from this checkout.
func leat(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		dir, err := os.MkdirTemp("", "leat-faults")
		if err != nil {
			binary.err = err
			return
		}
		binary.path = filepath.Join(dir, "leat")
		out, err := exec.Command("go", "build", "-o", binary.path, "../cmd/leat").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("build leat: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

func TestMain(m *testing.M) {
	if os.Getenv("LEAT_SERVICES") != "1" && os.Getenv("LEAT_FAULTS") == "" {
		fmt.Println("faults: SKIPPED: they take minutes and real servers; run make services, then make test-services or make faults")
		os.Exit(0)
	}
	code := m.Run()
	if binary.path != "" {
		os.RemoveAll(filepath.Dir(binary.path))
	}
	os.Exit(code)
}

// process is a running leat.
type process struct {
	cmd  *exec.Cmd
	log  *output
	done chan struct{}
	err  error
}

// output is what a process has said so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs a pipeline file in dir, where its state lies, too.
func start(t *testing.T, dir, file string, args ...string) *process {
	t.Helper()
	p := &process{log: &output{}, done: make(chan struct{})}
	p.cmd = exec.Command(leat(t), append([]string{"run", file}, args...)...)
	p.cmd.Dir, p.cmd.Stderr = dir, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// kill is kill -9. A process that had ended by itself before is an error of the test.
func (p *process) kill(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		t.Fatalf("leat ended by itself: %v\n%s", p.err, p.log)
	default:
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
}

// stop is SIGTERM, after which leat has to end well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.stopWithin(t, time.Minute)
}

// stopWithin is stop with another limit.
func (p *process) stopWithin(t *testing.T, limit time.Duration) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(limit):
		p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.done
		t.Fatalf("leat did not stop within %s:\n%s", limit, p.log)
	}
	if p.err != nil {
		t.Fatalf("leat ended with %v:\n%s", p.err, p.log)
	}
}

// write writes a pipeline file.
func write(t *testing.T, dir, name, text string, values map[string]string) string {
	t.Helper()
	for key, value := range values {
		text = strings.ReplaceAll(text, "$"+key+"$", value)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// until waits for a condition, as long as the context says.
func until(ctx context.Context, t *testing.T, what string, condition func() bool) {
	t.Helper()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
