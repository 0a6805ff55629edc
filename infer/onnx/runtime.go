package onnx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/leat-project/leat/infer"
)

// Config says which library to load.
type Config struct {
	Path    string   // of the library
	Preload []string // libraries that it depends on, in the order in which they are loaded
	// MemoryLimit is how many bytes all sessions together may take for tensors; 0: no limit. A run that needs more fails.
	MemoryLimit int64
}

// Runtime is ONNX Runtime, loaded. The process keeps the library until it ends: it cannot be unloaded.
type Runtime struct {
	*api
	env       pointer
	memory    pointer // describes tensors that lie in Go's memory
	allocator pointer // the library's own
	limited   bool    // tensors come from one arena with a limit
	sessions  atomic.Int64
	outputs   atomic.Int64 // bytes of results that are not closed yet
}

var _ infer.Runtime = (*Runtime)(nil)

// loaded is the library of this process. There is one at most: a second flavour beside it would share its symbols.
var loaded struct {
	sync.Mutex
	path string
	api  *api
}

// load loads the library, once.
func load(c Config) (*api, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.api != nil {
		if loaded.path != c.Path {
			return nil, fmt.Errorf("a process can have one ONNX Runtime: %s is loaded, so %s cannot be", loaded.path, c.Path)
		}
		return loaded.api, nil
	}
	// What a machine runs is nobody's business: without this the library reports it to its maker.
	if err := os.Setenv("ORT_DISABLE_TELEMETRY", "1"); err != nil {
		return nil, err
	}
	for _, path := range c.Preload {
		if _, err := open(path); err != nil {
			return nil, fmt.Errorf("a library that ONNX Runtime depends on cannot be loaded: %w", err)
		}
	}
	handle, err := open(c.Path)
	if err != nil {
		return nil, fmt.Errorf("ONNX Runtime cannot be loaded: %w", err)
	}
	base, err := symbol(handle, "OrtGetApiBase")
	if err != nil {
		return nil, fmt.Errorf("%s is not ONNX Runtime: %w", c.Path, err)
	}
	a, err := newAPI(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	loaded.path, loaded.api = c.Path, a
	return a, nil
}

// Open loads the library, if this process has not done so yet, and makes a runtime.
func Open(c Config) (*Runtime, error) {
	a, err := load(c)
	if err != nil {
		return nil, err
	}
	r := &Runtime{api: a}
	const fatal = 4 // what is worth telling comes back as an error; nothing else is to appear on the user's terminal
	id := cString("leat")
	if err := a.call(slotCreateEnv, fatal, uintptr(unsafe.Pointer(&id[0])), uintptr(unsafe.Pointer(&r.env))); err != nil {
		return nil, err
	}
	err = errors.Join(
		a.call(slotDisableTelemetryEvents, r.env),
		a.call(slotCreateCPUMemoryInfo, arenaAllocator, defaultMemory, uintptr(unsafe.Pointer(&r.memory))),
		a.call(slotGetAllocatorWithDefaultOptions, uintptr(unsafe.Pointer(&r.allocator))),
		r.limit(c.MemoryLimit),
	)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Kinds of allocator and memory, as the library numbers them.
const (
	arenaAllocator = 1
	defaultMemory  = 0
)

// limit makes one arena of the given size for all sessions.
func (r *Runtime) limit(bytes int64) error {
	if bytes <= 0 {
		return nil
	}
	// An arena that grows by what is asked for, not by powers of two, which would leave half of the limit unused.
	const sameAsRequested, ownDefault = 1, ^uintptr(0)
	var config pointer
	if err := r.call(slotCreateArenaCfg, uintptr(bytes), sameAsRequested, ownDefault, ownDefault, uintptr(unsafe.Pointer(&config))); err != nil {
		return err
	}
	defer r.release(slotReleaseArenaCfg, config)
	r.limited = true
	return r.call(slotCreateAndRegisterAllocator, r.env, r.memory, config)
}

// Version returns "onnxruntime 1.31.1".
func (r *Runtime) Version() string { return "onnxruntime " + r.version }

// Close frees the environment. Sessions have to be closed before.
func (r *Runtime) Close() error {
	if n := r.sessions.Load(); n > 0 {
		return fmt.Errorf("%d sessions are still open", n)
	}
	r.release(slotReleaseMemoryInfo, r.memory)
	r.release(slotReleaseEnv, r.env)
	r.memory, r.env = 0, 0
	return nil
}

// Usage is what a runtime holds of native memory, as far as it is leat that holds it.
type Usage struct {
	Sessions    int64 // open
	OutputBytes int64 // of results that are not closed yet
}

// Usage may be asked at any time.
func (r *Runtime) Usage() Usage {
	return Usage{Sessions: r.sessions.Load(), OutputBytes: r.outputs.Load()}
}

// Load makes a session. Loading a graph of n bytes takes some milliseconds and about n bytes of memory, and more where it is
// optimised; it cannot be cancelled once it runs.
func (r *Runtime) Load(ctx context.Context, g infer.Source, o infer.Options) (infer.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &session{r: r, name: g.Name, idle: []*call{}, provided: len(o.Providers) > 0}
	if err := s.guard(func() error { return s.load(g, o) }); err != nil {
		return nil, fmt.Errorf("model %s cannot be loaded: %w", g.Name, err)
	}
	r.sessions.Add(1)
	if err := s.describe(); err != nil {
		return nil, errors.Join(fmt.Errorf("model %s: %w", g.Name, err), s.Close())
	}
	return s, nil
}

// load makes the library's session.
func (s *session) load(g infer.Source, o infer.Options) error {
	r := s.r
	options, err := r.sessionOptions(o)
	if err != nil {
		return err
	}
	defer r.release(slotReleaseSessionOptions, options)
	switch {
	case g.Path != "":
		path := pathArgument(g.Path)
		return r.call(slotCreateSession, r.env, uintptr(unsafe.Pointer(&path[0])), options, uintptr(unsafe.Pointer(&s.handle)))
	case len(g.Bytes) == 0:
		return &infer.Error{Code: "INVALID_PROTOBUF", Text: "the model is empty"}
	}
	err = r.call(slotCreateSessionFromArray, r.env, uintptr(unsafe.Pointer(&g.Bytes[0])), uintptr(len(g.Bytes)), options, uintptr(unsafe.Pointer(&s.handle)))
	runtime.KeepAlive(g.Bytes)
	return err
}

// Providers returns those that this library was built with, by leat's names for them.
func (r *Runtime) Providers() []string {
	var list pointer
	var n int32
	if err := r.call(slotGetAvailableProviders, uintptr(unsafe.Pointer(&list)), uintptr(unsafe.Pointer(&n))); err != nil || list == 0 {
		return nil
	}
	var out []string
	for _, name := range unsafe.Slice((*pointer)(native(list)), n) {
		for known, p := range providers {
			if p.available == goString(name) {
				out = append(out, known)
			}
		}
	}
	_ = r.call(slotReleaseAvailableProviders, list, uintptr(n)) // a failure to free is nothing that a caller can mend
	slices.Sort(out)
	return out
}
