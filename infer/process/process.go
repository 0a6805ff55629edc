// Package process runs models in child processes, so that a crash in native code costs the rows under way and not the pipeline.
//
// Each session has a child of its own: this program again, with arguments on which it calls Serve. The two speak in frames over
// the child's standard input and output; as many runs are under way at once as callers ask for. A child that dies fails the runs
// under way with infer.ErrCrashed, and the next run starts another one and loads the model again.
//
// Invariants: a child never outlives this process, nor its session; it is always waited for; it is in a process group of its own,
// so that an interrupt from the terminal reaches it only by way of this process; and it never writes to the terminal.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leat-project/leat/infer"
)

// DefaultGrace is how long a child has to end a run that was cancelled, or to end itself, before it is killed.
const DefaultGrace = 2 * time.Second

// Library is the native library that a child opens.
type Library struct {
	Path        string
	Preload     []string // libraries that it depends on, in the order in which they are loaded
	MemoryLimit int64    // bytes that the tensors of one child may take; 0: no limit
}

// Config says what a child is.
type Config struct {
	Command []string // a program and its arguments, which calls Serve: see Self
	Env     []string // added to this process's environment, as "name=value"
	Library Library
	Grace   time.Duration // 0: DefaultGrace
}

// Self returns a command that is this program with other arguments: as it is now, where the system can tell, even if its file is
// replaced while it runs.
func Self(args ...string) ([]string, error) {
	path, err := executable()
	if err != nil {
		return nil, fmt.Errorf("this program cannot find itself, to run models in a process of their own: %w", err)
	}
	return append([]string{path}, args...), nil
}

// Runtime starts a child for each session. It may be used by many goroutines at once.
type Runtime struct {
	config Config
	hello  hello

	mu       sync.Mutex
	spare    *child // started and without a session; the next Load takes it
	sessions int
	closed   bool
}

var _ infer.Runtime = (*Runtime)(nil)

// Open starts a child, which tells the version and the providers of its library and then waits for the first Load. The error is
// the child's where the library cannot be loaded, and wraps infer.ErrCrashed where it died of that.
func Open(ctx context.Context, c Config) (*Runtime, error) {
	if len(c.Command) == 0 {
		return nil, errors.New("wanted a command that runs models, found none")
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	r := &Runtime{config: c}
	first, hello, err := r.start(ctx)
	if err != nil {
		return nil, err
	}
	r.spare, r.hello = first, hello
	return r, nil
}

// start starts a child and lets it open the library.
func (r *Runtime) start(ctx context.Context) (*child, hello, error) {
	var h hello
	c, err := startChild(r.config)
	if err != nil {
		return nil, h, fmt.Errorf("the process that runs models cannot be started: %w", err)
	}
	l := r.config.Library
	request := openRequest{Path: []byte(l.Path), MemoryLimit: l.MemoryLimit}
	for _, p := range l.Preload {
		request.Preload = append(request.Preload, []byte(p))
	}
	if err := c.exchange(ctx, kindOpen, request, nil, &h); err != nil {
		c.stop()
		return nil, h, err
	}
	return c, h, nil
}

// Version returns what the library of the first child told, such as "onnxruntime 1.31.1".
func (r *Runtime) Version() string { return r.hello.Version }

// Providers returns what the library of the first child was built with.
func (r *Runtime) Providers() []string { return slices.Clone(r.hello.Providers) }

// Load starts a child, unless one is waiting, and loads the graph there. A graph that comes as bytes is copied, so that it can be
// loaded again; one that comes as a path has to stay as it is. It takes the start of the program longer than a load in this
// process: some ten milliseconds. The error wraps infer.ErrCrashed where the child died of it.
func (r *Runtime) Load(ctx context.Context, g infer.Source, o infer.Options) (infer.Session, error) {
	g.Bytes = slices.Clone(g.Bytes)
	s := &session{r: r, source: g, options: o, turn: make(chan struct{}, 1)}
	r.mu.Lock()
	spare, closed := r.spare, r.closed
	if !closed {
		r.spare = nil
		r.sessions++
	}
	r.mu.Unlock()
	if closed {
		return nil, errors.New("the runtime is closed")
	}
	c, signature, err := s.load(ctx, spare)
	if err != nil {
		r.release()
		return nil, err
	}
	s.signature = signature
	s.current.Store(c)
	return s, nil
}

// release counts a session that is no more.
func (r *Runtime) release() {
	r.mu.Lock()
	r.sessions--
	r.mu.Unlock()
}

// Close ends the child that waits. Sessions have to be closed before.
func (r *Runtime) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions > 0 {
		return fmt.Errorf("%d sessions are still open", r.sessions)
	}
	r.closed = true
	if r.spare != nil {
		r.spare.stop()
		r.spare = nil
	}
	return nil
}

// exchange sends a request whose head is JSON, and reads an answer of that kind.
func (c *child) exchange(ctx context.Context, k kind, request any, payload []byte, answer any) error {
	m, err := jsonMessage(request)
	if err != nil {
		return err
	}
	if err := m.add(payload); err != nil {
		return err
	}
	f, err := c.call(ctx, k, m)
	if err != nil {
		return err
	}
	defer c.recycle(f.payload)
	return json.Unmarshal(f.head, answer)
}
