package onnx

import (
	"context"
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

	mu     sync.RWMutex // read by runs, written by Close
	closed bool
	calls  sync.Pool // of *call
}

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

// call is the memory of one run. It is kept for the next, so that a run allocates little.
type call struct {
	pinner               runtime.Pinner
	inputs, outputs      []pointer // values
	inputNames, outNames []pointer
	owned                []pointer // parts of outputs
	options              pointer
}

// Run computes outputs. Inputs that the library only reads may be shared by several runs at once.
func (s *session) Run(ctx context.Context, inputs []infer.Value, outputs []int) (*infer.Results, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, fmt.Errorf("model %s: the session is closed", s.name)
	}
	c, _ := s.calls.Get().(*call)
	if c == nil {
		c = &call{}
	}
	err := s.prepare(c, inputs, outputs)
	if err == nil {
		err = s.run(ctx, c)
	}
	for _, v := range c.inputs {
		s.r.release(slotReleaseValue, v)
	}
	c.pinner.Unpin()
	runtime.KeepAlive(inputs)
	if err == nil {
		var results *infer.Results
		if results, err = s.results(c); err == nil {
			return results, nil
		}
	}
	s.free(c)
	if ctx.Err() != nil {
		err = ctx.Err() // what fails after a cancellation fails because of it
	}
	return nil, err
}

// prepare makes the arguments of a run.
func (s *session) prepare(c *call, inputs []infer.Value, outputs []int) error {
	c.inputs, c.inputNames, c.outNames, c.outputs, c.owned = c.inputs[:0], c.inputNames[:0], c.outNames[:0], c.outputs[:0], c.owned[:0]
	if len(inputs) != len(s.inputs) {
		return fmt.Errorf("model %s: wanted %d inputs, found %d", s.name, len(s.inputs), len(inputs))
	}
	var size int64
	for i, in := range inputs {
		if in == nil {
			continue
		}
		if t, ok := in.(*infer.Tensor); ok {
			size += int64(len(t.Data))
		}
		if size > infer.MaxTensorBytes {
			return fmt.Errorf("model %s: the inputs are beyond the limit of %d bytes", s.name, infer.MaxTensorBytes)
		}
		v, err := s.r.toNative(in, &c.pinner)
		if err != nil {
			return fmt.Errorf("model %s: input %q: %w", s.name, s.inputs[i].Name, err)
		}
		c.inputs, c.inputNames = append(c.inputs, v), append(c.inputNames, s.inputNames[i])
	}
	if outputs == nil {
		c.outNames = append(c.outNames, s.outputNames...)
	}
	for _, o := range outputs {
		if o < 0 || o >= len(s.outputs) {
			return fmt.Errorf("model %s: wanted output %d, found %d outputs", s.name, o, len(s.outputs))
		}
		c.outNames = append(c.outNames, s.outputNames[o])
	}
	for range c.outNames {
		c.outputs = append(c.outputs, 0)
	}
	return nil
}

// run calls the library. A context that can end gets options of its own, through which it can be told to.
func (s *session) run(ctx context.Context, c *call) error {
	if ctx.Done() != nil {
		if err := s.r.call(slotCreateRunOptions, uintptr(unsafe.Pointer(&c.options))); err != nil {
			return err
		}
		options, ended := c.options, make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			_ = s.r.call(slotRunOptionsSetTerminate, options) // sets a flag; there is nothing to fail
			close(ended)
		})
		defer func() {
			if !stop() {
				<-ended // the options are in use until then
			}
			s.r.release(slotReleaseRunOptions, c.options)
			c.options = 0
		}()
	}
	err := s.r.call(slotRun, s.handle, c.options, address(c.inputNames), address(c.inputs), uintptr(len(c.inputs)),
		address(c.outNames), uintptr(len(c.outNames)), address(c.outputs))
	runtime.KeepAlive(c)
	if err != nil {
		return fmt.Errorf("model %s: %w", s.name, err)
	}
	return nil
}

// address returns where a slice lies. Its memory is Go's heap's, which does not move.
func address(p []pointer) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(p)))
}

// results views the outputs. They live until they are closed.
func (s *session) results(c *call) (*infer.Results, error) {
	values := make([]infer.Value, len(c.outputs))
	var size int64
	for i, o := range c.outputs {
		v, err := s.r.toGo(o, &c.owned)
		if err != nil {
			return nil, fmt.Errorf("model %s: output %d: %w", s.name, i, err)
		}
		if t, ok := v.(*infer.Tensor); ok {
			size += int64(len(t.Data))
		}
		values[i] = v
	}
	s.r.outputs.Add(size)
	return infer.NewResults(values, func() {
		s.r.outputs.Add(-size)
		s.free(c)
	}), nil
}

// free releases a call's outputs and keeps its memory for the next.
func (s *session) free(c *call) {
	for _, v := range c.owned {
		s.r.release(slotReleaseValue, v)
	}
	for _, v := range c.outputs {
		s.r.release(slotReleaseValue, v)
	}
	c.outputs, c.owned = c.outputs[:0], c.owned[:0]
	s.calls.Put(c)
}

// Close frees the session, after the runs that are under way.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, name := range append(s.inputNames, s.outputNames...) {
		if err := s.r.call(slotAllocatorFree, s.r.allocator, name); err != nil {
			return err
		}
	}
	s.r.release(slotReleaseSession, s.handle)
	s.r.sessions.Add(-1)
	return nil
}
