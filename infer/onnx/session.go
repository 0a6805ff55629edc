package onnx

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// session is a loaded graph.
type session struct {
	r       *Runtime
	name    string
	handle  pointer
	inputs  []model.ValueInfo
	outputs []model.ValueInfo
	// names are C strings in the library's memory, in the order of inputs and outputs.
	inputNames, outputNames []pointer

	provided bool // by an execution provider that was asked for

	running sync.RWMutex // read by runs, written by Close
	closed  bool

	mu   sync.Mutex
	idle []*call // for the next runs; nil once the session is closed
}

// maxIdleCalls is how many calls a session keeps for later runs. A call holds some hundred bytes.
const maxIdleCalls = 64

var _ infer.Session = (*session)(nil)

func (s *session) Inputs() []model.ValueInfo  { return s.inputs }
func (s *session) Outputs() []model.ValueInfo { return s.outputs }

// describe asks for the names and types of inputs and outputs.
func (s *session) describe() (err error) {
	if s.inputs, s.inputNames, err = s.values(slotSessionGetInputCount, slotSessionGetInputName, slotSessionGetInputTypeInfo); err != nil {
		return err
	}
	s.outputs, s.outputNames, err = s.values(slotSessionGetOutputCount, slotSessionGetOutputName, slotSessionGetOutputTypeInfo)
	return err
}

func (s *session) values(slotCount, slotName, slotType int) (infos []model.ValueInfo, names []pointer, err error) {
	var n uintptr
	if err := s.r.call(slotCount, s.handle, uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, nil, err
	}
	for i := range n {
		var name, typ pointer
		if err := s.r.call(slotName, s.handle, i, s.r.allocator, uintptr(unsafe.Pointer(&name))); err != nil {
			return nil, names, err
		}
		names = append(names, name)
		if err := s.r.call(slotType, s.handle, i, uintptr(unsafe.Pointer(&typ))); err != nil {
			return nil, names, err
		}
		info, err := s.r.describeType(typ)
		s.r.release(slotReleaseTypeInfo, typ)
		if err != nil {
			return nil, names, err
		}
		info.Name = goString(name)
		infos = append(infos, info)
	}
	return infos, names, nil
}

// Run computes outputs. Its own cost is some microseconds, most of it the calls of the library for each input and output.
func (s *session) Run(ctx context.Context, inputs []infer.Value, outputs []int) (*infer.Results, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.running.RLock()
	defer s.running.RUnlock()
	if s.closed {
		return nil, fmt.Errorf("model %s: the session is closed", s.name)
	}
	c := s.take()
	err := c.prepare(inputs, outputs)
	if err == nil {
		err = c.run(ctx)
	}
	c.releaseAll(&c.inputs)
	c.pinner.Unpin()
	runtime.KeepAlive(inputs)
	if err == nil {
		var results *infer.Results
		if results, err = c.results(); err == nil {
			return results, nil
		}
	}
	c.free()
	if ctx.Err() != nil {
		return nil, ctx.Err() // what fails after a cancellation fails because of it
	}
	return nil, fmt.Errorf("model %s: %w", s.name, err)
}

// guard calls f, which makes or frees what an execution provider may be a part of.
func (s *session) guard(f func() error) error {
	if !s.provided {
		return f()
	}
	return keepSignalStack(f)
}

// take returns a call that no run uses.
func (s *session) take() *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		c := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return c
	}
	return newCall(s)
}

// put keeps a call for the next run, or ends it.
func (s *session) put(c *call) {
	s.mu.Lock()
	keep := s.idle != nil && len(s.idle) < maxIdleCalls
	if keep {
		s.idle = append(s.idle, c)
	}
	s.mu.Unlock()
	if !keep {
		c.end()
	}
}

// Close frees the session, after the runs that are under way. Results may be closed later.
func (s *session) Close() error {
	s.running.Lock()
	defer s.running.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, c := range idle {
		c.end()
	}
	var errs []error
	for _, name := range append(s.inputNames, s.outputNames...) {
		errs = append(errs, s.r.call(slotAllocatorFree, s.r.allocator, name))
	}
	errs = append(errs, s.guard(func() error {
		s.r.release(slotReleaseSession, s.handle)
		return nil
	}))
	s.r.sessions.Add(-1)
	return errors.Join(errs...)
}
