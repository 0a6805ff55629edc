package onnx

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// call is the memory of one run, from its start until its results are closed. It is kept for the next, so that a run allocates
// little.
type call struct {
	s                              *session
	pinner                         runtime.Pinner
	inputs, outputs                []pointer
	inputNames, outNames           []pointer
	infos                          []model.ValueInfo // of the outputs
	owned                          []pointer         // parts of sequences and maps, released with the outputs
	size                           int64             // of the outputs, bytes
	options                        pointer           // of cancellable runs; made by the first
	ended                          chan struct{}
	scratch                        scratch
	freeResults, terminateOnCancel func() // methods, bound once
}

func newCall(s *session) *call {
	c := &call{s: s}
	c.freeResults, c.terminateOnCancel = c.free, c.terminate
	return c
}

// prepare makes the arguments of a run.
func (c *call) prepare(inputs []infer.Value, outputs []int) error {
	s := c.s
	if len(inputs) != len(s.inputs) {
		return fmt.Errorf("wanted %d inputs, found %d", len(s.inputs), len(inputs))
	}
	var size int64
	for i, in := range inputs {
		info := &s.inputs[i]
		if err := accept(info, in); err != nil {
			return fmt.Errorf("input %q: %w", info.Name, err)
		}
		if size += sizeOf(in); size > infer.MaxTensorBytes {
			return fmt.Errorf("the inputs are beyond the limit of %d bytes", infer.MaxTensorBytes)
		}
		v, err := c.toNative(in, info)
		if err != nil {
			return fmt.Errorf("input %q: %w", info.Name, err)
		}
		c.inputs, c.inputNames = append(c.inputs, v), append(c.inputNames, s.inputNames[i])
	}
	if outputs == nil {
		c.outNames = append(c.outNames, s.outputNames...)
		c.infos = append(c.infos, s.outputs...)
	}
	for _, o := range outputs {
		if o < 0 || o >= len(s.outputs) {
			return fmt.Errorf("wanted output %d, found %d outputs", o, len(s.outputs))
		}
		c.outNames = append(c.outNames, s.outputNames[o])
		c.infos = append(c.infos, s.outputs[o])
	}
	if len(c.outNames) == 0 {
		return errors.New("wanted one output at least, found none asked for")
	}
	for range c.outNames {
		c.outputs = append(c.outputs, 0)
	}
	return nil
}

// accept says what an input is not. What it leaves open, such as the elements of sequences, the library says.
func accept(info *model.ValueInfo, v infer.Value) error {
	t, isTensor := v.(*infer.Tensor)
	switch {
	case v == nil && info.Kind == model.OptionalValue: // Identity, Loop and others crash: onnxruntime 1.31.1
		return fmt.Errorf("wanted %s, found nothing, which takes ONNX Runtime's operators down; give a value", info)
	case v == nil, isTensor && info.Kind == model.SequenceValue, !isTensor && info.Kind == model.TensorValue:
		return fmt.Errorf("wanted %s, found %s", info, infer.KindOf(v))
	case !isTensor || info.Kind != model.TensorValue:
		return nil
	}
	fits := t.DType == info.DType && (info.Shape == nil || len(t.Shape) == len(info.Shape))
	for i := 0; fits && i < len(info.Shape); i++ {
		fits = info.Shape[i] < 0 || info.Shape[i] == t.Shape[i]
	}
	if !fits {
		return fmt.Errorf("wanted %s, found %s", info, infer.KindOf(v))
	}
	return nil
}

// sizeOf returns how many bytes a value takes.
func sizeOf(v infer.Value) int64 {
	var n int64
	switch v := v.(type) {
	case *infer.Tensor:
		n = int64(len(v.Data))
		for _, s := range v.Strings {
			n += int64(len(s))
		}
	case *infer.Sequence:
		for _, e := range v.Elems {
			n += sizeOf(e)
		}
	case *infer.Map:
		n = sizeOf(v.Keys) + sizeOf(v.Values)
	}
	return n
}

// run calls the library. A context that can end gets options of its own, through which it can be told to.
func (c *call) run(ctx context.Context) (err error) {
	r, options := c.s.r, pointer(0)
	if ctx.Done() != nil {
		if c.options == 0 {
			if err := r.call(slotCreateRunOptions, uintptr(unsafe.Pointer(&c.options))); err != nil {
				return err
			}
			c.ended = make(chan struct{}, 1)
		}
		options = c.options
		stop := context.AfterFunc(ctx, c.terminateOnCancel)
		defer func() {
			if !stop() {
				<-c.ended // the options are in use until then
				err = errors.Join(err, r.call(slotRunOptionsUnsetTerminate, options))
			}
		}()
	}
	err = r.callWith(&c.scratch, slotRun, c.s.handle, options, address(c.inputNames), address(c.inputs), uintptr(len(c.inputs)),
		address(c.outNames), uintptr(len(c.outNames)), address(c.outputs))
	runtime.KeepAlive(c)
	return err
}

// terminate tells the library to end the run between two operators.
func (c *call) terminate() {
	_ = c.s.r.call(slotRunOptionsSetTerminate, c.options) // sets a flag; there is nothing to fail
	c.ended <- struct{}{}
}

// address returns where a slice lies. Its memory is Go's heap's, which does not move.
func address(p []pointer) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(p)))
}

// results views the outputs. They live until they are closed.
func (c *call) results() (*infer.Results, error) {
	values := make([]infer.Value, len(c.outputs))
	var size int64
	for i, o := range c.outputs {
		v, err := c.toGo(o, c.infos[i].Kind == model.TensorValue)
		if err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
		if size += sizeOf(v); size > infer.MaxTensorBytes {
			return nil, fmt.Errorf("the outputs are beyond the limit of %d bytes", infer.MaxTensorBytes)
		}
		values[i] = v
	}
	c.size = size
	c.s.r.outputs.Add(size)
	return infer.NewResults(values, c.freeResults), nil
}

// free releases a call's outputs and keeps its memory for the next.
func (c *call) free() {
	c.s.r.outputs.Add(-c.size)
	c.size = 0
	c.releaseAll(&c.owned)
	c.releaseAll(&c.outputs)
	c.inputNames, c.outNames, c.infos = c.inputNames[:0], c.outNames[:0], c.infos[:0]
	c.s.put(c)
}

func (c *call) releaseAll(values *[]pointer) {
	for _, v := range *values {
		c.s.r.releaseWith(&c.scratch, slotReleaseValue, v)
	}
	*values = (*values)[:0]
}

// end frees what a call keeps between runs.
func (c *call) end() {
	c.s.r.release(slotReleaseRunOptions, c.options)
	c.options = 0
}
