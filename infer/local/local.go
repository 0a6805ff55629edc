// Package local opens runtimes on this machine: it finds ONNX Runtime's library or installs it, loads it once, and puts a process
// around it where a model is to be isolated.
package local

import (
	"context"
	"fmt"
	"sync"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/infer/library"
	"github.com/leat-project/leat/infer/onnx"
)

// Options say how runtimes are come by.
type Options struct {
	Offline     bool  // nothing is downloaded
	MemoryLimit int64 // bytes that tensors of all sessions together may take; 0: no limit
	Progress    func(done, total int64)
	Log         func(level, text string)
	// Isolated opens a runtime in a process of its own, over the library given; nil: isolation is not to be had.
	Isolated func(ctx context.Context, l library.Library, memoryLimit int64) (infer.Runtime, error)
}

// Runtimes are the runtimes of this process. They may be used by many goroutines at once.
type Runtimes struct {
	options Options
	mu      sync.Mutex
	open    map[infer.Need]infer.Runtime
}

// New returns runtimes of which none is opened yet.
func New(o Options) *Runtimes {
	return &Runtimes{options: o, open: map[infer.Need]infer.Runtime{}}
}

// Open returns the runtime for a need, opened on first use. It is an infer.Opener. The first use of all may install the library, which takes a
// download of some 25 MB.
func (r *Runtimes) Open(ctx context.Context, n infer.Need) (infer.Runtime, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if runtime := r.open[n]; runtime != nil {
		return runtime, nil
	}
	l, err := r.library(ctx, n)
	if err != nil {
		return nil, err
	}
	var runtime infer.Runtime
	switch {
	case !n.Isolated:
		runtime, err = onnx.Open(onnx.Config{Path: l.Path, Preload: l.Preload, MemoryLimit: r.options.MemoryLimit})
	case r.options.Isolated == nil:
		err = fmt.Errorf("models cannot be isolated here")
	default:
		runtime, err = r.options.Isolated(ctx, l, r.options.MemoryLimit)
	}
	if err != nil {
		return nil, err
	}
	r.open[n] = runtime
	return runtime, nil
}

// library finds the library that has the provider. Where another will do, that of the cpu is taken.
func (r *Runtimes) library(ctx context.Context, n infer.Need) (library.Library, error) {
	options := library.Options{Offline: r.options.Offline, Progress: r.options.Progress, Log: r.options.Log}
	flavour, err := library.ParseFlavour(flavourOf(n.Provider))
	if err != nil {
		return library.Library{}, err
	}
	options.Flavour = flavour
	if flavour == library.CPU {
		return library.Ensure(ctx, options)
	}
	// A flavour beside the cpu's is large, and needs the machine to be fit for it: it is never installed unasked.
	l, err := library.Find(options)
	if err != nil && n.Fallback {
		options.Flavour = library.CPU
		return library.Ensure(ctx, options)
	}
	return l, err
}

func flavourOf(provider string) string {
	if provider == "cpu" {
		return ""
	}
	return provider
}

// Close closes all runtimes. Their sessions have to be closed before.
func (r *Runtimes) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, runtime := range r.open {
		if err := runtime.Close(); err != nil {
			return err
		}
		delete(r.open, n)
	}
	return nil
}
