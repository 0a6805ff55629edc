package onnx

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// ONNXType's numbers.
const (
	onnxTensor   = 1
	onnxSequence = 2
	onnxMap      = 3
	onnxSparse   = 5
	onnxOptional = 6
)

// The library numbers element types as ONNX does, but for the last: ONNX put float8e8m0, uint2 and int2 at 24, 25 and 26.
const (
	firstShifted = 24
	uint2Here    = 24
	int2Here     = 25
	e8m0Here     = 26
	e8m0         = model.DType(24)
	uint2        = model.DType(25)
	int2         = model.DType(26)
)

// elementType returns the type that the library has a number for.
func elementType(number int32) model.DType {
	switch {
	case number >= 0 && number < firstShifted:
		return model.DType(number)
	case number == uint2Here:
		return uint2
	case number == int2Here:
		return int2
	case number == e8m0Here:
		return e8m0
	}
	return model.Undefined
}

// numberOf returns the library's number of a type.
func numberOf(d model.DType) uintptr {
	switch d {
	case uint2:
		return uint2Here
	case int2:
		return int2Here
	case e8m0:
		return e8m0Here
	}
	return uintptr(d)
}

// stringArray is an array of C strings in Go's memory, pinned until it is freed.
type stringArray struct {
	pinner   runtime.Pinner
	pointers []unsafe.Pointer
}

func newStringArray(strings []string) *stringArray {
	a := &stringArray{pointers: make([]unsafe.Pointer, len(strings)+1)}
	for i, s := range strings {
		p := unsafe.Pointer(unsafe.SliceData(cString(s)))
		a.pinner.Pin(p)
		a.pointers[i] = p
	}
	a.pinner.Pin(&a.pointers[0])
	return a
}

func (a *stringArray) address() uintptr { return uintptr(unsafe.Pointer(&a.pointers[0])) }

func (a *stringArray) free() { a.pinner.Unpin() }

// nothing is where the data of a tensor without elements is said to be.
var nothing [16]byte

// toNative makes the library's value of ours. Tensors stay where they are, pinned until the run has ended.
func (c *call) toNative(v infer.Value, info *model.ValueInfo) (pointer, error) {
	switch v := v.(type) {
	case *infer.Tensor:
		if v.DType == model.String {
			return c.s.r.stringTensor(v)
		}
		return c.tensor(v)
	case *infer.Sequence:
		return c.sequence(v, info)
	}
	return 0, fmt.Errorf("wanted a tensor or a sequence as input, found %s", infer.KindOf(v))
}

func (c *call) tensor(t *infer.Tensor) (pointer, error) {
	if err := t.Check(); err != nil {
		return 0, err
	}
	data := unsafe.Pointer(&nothing)
	if len(t.Data) > 0 {
		data = unsafe.Pointer(unsafe.SliceData(t.Data))
		c.pinner.Pin(data)
	}
	shape := unsafe.Pointer(&nothing)
	if len(t.Shape) > 0 {
		shape = unsafe.Pointer(unsafe.SliceData(t.Shape))
	}
	k := &c.scratch
	k.address = 0
	err := c.s.r.callWith(k, slotCreateTensorWithData, c.s.r.memory, uintptr(data), uintptr(len(t.Data)), uintptr(shape), uintptr(len(t.Shape)),
		numberOf(t.DType), uintptr(unsafe.Pointer(&k.address)))
	runtime.KeepAlive(t)
	return k.address, err
}

// stringTensor copies strings into a tensor of the library's. They may hold zero bytes.
func (r *Runtime) stringTensor(t *infer.Tensor) (pointer, error) {
	if err := t.Check(); err != nil {
		return 0, err
	}
	shape := append([]int64(nil), t.Shape...)
	shape = append(shape, 0) // so that there is an address
	var value pointer
	if err := r.call(slotCreateTensorAsOrtValue, r.allocator, uintptr(unsafe.Pointer(&shape[0])), uintptr(len(t.Shape)), uintptr(model.String),
		uintptr(unsafe.Pointer(&value))); err != nil {
		return 0, err
	}
	for i, s := range t.Strings {
		var buffer pointer
		if err := r.call(slotGetResizedStringBuffer, value, uintptr(i), uintptr(len(s)), uintptr(unsafe.Pointer(&buffer))); err != nil {
			r.release(slotReleaseValue, value)
			return 0, err
		}
		if len(s) > 0 {
			copy(unsafe.Slice((*byte)(native(buffer)), len(s)), s)
		}
	}
	return value, nil
}

// sequence makes a sequence.
func (c *call) sequence(s *infer.Sequence, info *model.ValueInfo) (pointer, error) {
	for info.Elem != nil && info.Kind == model.OptionalValue {
		info = info.Elem
	}
	if info.Kind != model.SequenceValue || info.Elem == nil {
		return 0, fmt.Errorf("wanted %s, found %s", info, infer.KindOf(s))
	}
	if len(s.Elems) == 0 {
		return c.s.r.emptySequence(info.Elem)
	}
	elems := make([]pointer, len(s.Elems))
	defer c.releaseAll(&elems)
	for i, e := range s.Elems {
		if err := accept(info.Elem, e); err != nil {
			return 0, fmt.Errorf("element %d: %w", i, err)
		}
		var err error
		if elems[i], err = c.toNative(e, info.Elem); err != nil {
			return 0, fmt.Errorf("element %d: %w", i, err)
		}
	}
	var value pointer
	err := c.s.r.call(slotCreateValue, uintptr(unsafe.Pointer(&elems[0])), uintptr(len(s.Elems)), onnxSequence, uintptr(unsafe.Pointer(&value)))
	return value, err
}

// toGo views a value of the library's; a tensor is known to be one. Tensors of numbers are not copied; strings are. What has to
// be released with the value, parts of sequences and maps, is appended to owned.
func (c *call) toGo(value pointer, isTensor bool) (infer.Value, error) {
	if value == 0 {
		return nil, nil
	}
	if isTensor {
		return c.viewTensor(value)
	}
	r, k := c.s.r, &c.scratch
	if err := r.callWith(k, slotGetValueType, value, uintptr(unsafe.Pointer(&k.number))); err != nil {
		return nil, err
	}
	switch k.number {
	case onnxTensor:
		return c.viewTensor(value)
	case onnxSequence:
		elems, err := c.parts(value)
		return &infer.Sequence{Elems: elems}, err
	case onnxMap:
		elems, err := c.parts(value)
		if err != nil {
			return nil, err
		}
		if len(elems) == 2 {
			keys, k := elems[0].(*infer.Tensor)
			values, v := elems[1].(*infer.Tensor)
			if k && v {
				return &infer.Map{Keys: keys, Values: values}, nil
			}
		}
		return nil, fmt.Errorf("a map of this form is not supported")
	case onnxSparse:
		return nil, fmt.Errorf("sparse tensors are not supported")
	}
	kind := k.number
	if err := r.callWith(k, slotHasValue, value, uintptr(unsafe.Pointer(&k.number))); err != nil || k.number == 0 {
		return nil, err
	}
	return nil, fmt.Errorf("values of ONNX type %d are not supported", kind)
}

// parts returns the elements of a sequence, or the keys and values of a map.
func (c *call) parts(value pointer) ([]infer.Value, error) {
	r, k := c.s.r, &c.scratch
	if err := r.callWith(k, slotGetValueCount, value, uintptr(unsafe.Pointer(&k.count))); err != nil {
		return nil, err
	}
	n := k.count
	out := make([]infer.Value, 0, n)
	for i := range n {
		if err := r.callWith(k, slotGetValue, value, i, r.allocator, uintptr(unsafe.Pointer(&k.address))); err != nil {
			return nil, err
		}
		part := k.address
		c.owned = append(c.owned, part)
		v, err := c.toGo(part, false)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (c *call) viewTensor(value pointer) (*infer.Tensor, error) {
	t := &infer.Tensor{}
	if err := c.shapeOf(value, t); err != nil {
		return nil, err
	}
	r, k := c.s.r, &c.scratch
	n := t.Len()
	if n < 0 || n > infer.MaxTensorBytes {
		return nil, fmt.Errorf("a tensor has the shape %v, which is beyond the limit of %d bytes", t.Shape, infer.MaxTensorBytes)
	}
	if t.DType == model.String {
		var err error
		t.Strings, err = r.stringsOf(value, int(n))
		return t, err
	}
	size := t.DType.Bytes(n)
	if size == 0 {
		return t, nil
	}
	if err := r.callWith(k, slotGetTensorMutableData, value, uintptr(unsafe.Pointer(&k.address))); err != nil {
		return nil, err
	}
	if k.address == 0 {
		return nil, fmt.Errorf("a tensor of shape %v has no data", t.Shape)
	}
	t.Data = unsafe.Slice((*byte)(native(k.address)), size)
	return t, nil
}

// shapeOf finds out the type and shape of a tensor: in a newer library by one call.
func (c *call) shapeOf(value pointer, t *infer.Tensor) (err error) {
	r, k := c.s.r, &c.scratch
	if r.newer {
		if err := r.callWith(k, slotGetShapeRef, value, uintptr(unsafe.Pointer(&k.number)), uintptr(unsafe.Pointer(&k.shape)), uintptr(unsafe.Pointer(&k.count))); err != nil {
			return err
		}
		t.DType, t.Shape = elementType(k.number), make([]int64, k.count)
		if k.count > 0 {
			copy(t.Shape, unsafe.Slice((*int64)(native(k.shape)), k.count))
		}
		return nil
	}
	var info pointer
	if err := r.call(slotGetTensorTypeAndShape, value, uintptr(unsafe.Pointer(&info))); err != nil {
		return err
	}
	defer r.release(slotReleaseTensorTypeAndShapeInfo, info)
	t.DType, t.Shape, err = r.typeAndShape(info)
	return err
}

func (r *Runtime) typeAndShape(info pointer) (model.DType, []int64, error) {
	var dtype int32
	var rank uintptr
	if err := r.call(slotGetTensorElementType, info, uintptr(unsafe.Pointer(&dtype))); err != nil {
		return 0, nil, err
	}
	if err := r.call(slotGetDimensionsCount, info, uintptr(unsafe.Pointer(&rank))); err != nil {
		return 0, nil, err
	}
	shape := make([]int64, rank)
	if rank > 0 {
		if err := r.call(slotGetDimensions, info, uintptr(unsafe.Pointer(&shape[0])), rank); err != nil {
			return 0, nil, err
		}
	}
	return elementType(dtype), shape, nil
}

// stringsOf copies the strings of a tensor.
func (r *Runtime) stringsOf(value pointer, n int) ([]string, error) {
	out := make([]string, n)
	if n == 0 {
		return out, nil
	}
	var size uintptr
	if err := r.call(slotGetStringTensorDataLength, value, uintptr(unsafe.Pointer(&size))); err != nil {
		return nil, err
	}
	if int64(size) > infer.MaxTensorBytes {
		return nil, fmt.Errorf("an output has %d bytes of strings, which is beyond the limit of %d", size, infer.MaxTensorBytes)
	}
	data, offsets := make([]byte, size+1), make([]uintptr, n+1)
	if err := r.call(slotGetStringTensorContent, value, uintptr(unsafe.Pointer(&data[0])), size, uintptr(unsafe.Pointer(&offsets[0])), uintptr(n)); err != nil {
		return nil, err
	}
	offsets[n] = size
	all := string(data[:size])
	for i := range out {
		out[i] = all[offsets[i]:offsets[i+1]]
	}
	return out, nil
}
