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

// toNative makes the library's value of ours. Tensors stay where they are: pin holds them for as long as the value lives.
func (r *Runtime) toNative(v infer.Value, pin *runtime.Pinner) (pointer, error) {
	switch v := v.(type) {
	case *infer.Tensor:
		if v.DType == model.String {
			return r.stringTensor(v)
		}
		return r.tensor(v, pin)
	case *infer.Sequence:
		return r.sequence(v, pin)
	}
	return 0, fmt.Errorf("wanted a tensor or a sequence as input, found %s", infer.KindOf(v))
}

func (r *Runtime) tensor(t *infer.Tensor, pin *runtime.Pinner) (pointer, error) {
	if err := t.Check(); err != nil {
		return 0, err
	}
	data := unsafe.Pointer(&nothing)
	if len(t.Data) > 0 {
		data = unsafe.Pointer(unsafe.SliceData(t.Data))
		pin.Pin(data)
	}
	shape := unsafe.Pointer(&nothing)
	if len(t.Shape) > 0 {
		shape = unsafe.Pointer(unsafe.SliceData(t.Shape))
	}
	var value pointer
	err := r.call(slotCreateTensorWithData, r.memory, uintptr(data), uintptr(len(t.Data)), uintptr(shape), uintptr(len(t.Shape)),
		uintptr(t.DType), uintptr(unsafe.Pointer(&value)))
	runtime.KeepAlive(t)
	return value, err
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

func (r *Runtime) sequence(s *infer.Sequence, pin *runtime.Pinner) (pointer, error) {
	elems := make([]pointer, len(s.Elems)+1)
	defer func() {
		for _, e := range elems {
			r.release(slotReleaseValue, e)
		}
	}()
	for i, e := range s.Elems {
		var err error
		if elems[i], err = r.toNative(e, pin); err != nil {
			return 0, err
		}
	}
	var value pointer
	err := r.call(slotCreateValue, uintptr(unsafe.Pointer(&elems[0])), uintptr(len(s.Elems)), onnxSequence, uintptr(unsafe.Pointer(&value)))
	return value, err
}

// toGo views a value of the library's. Tensors of numbers are not copied; strings are. What has to be released with
// the value, parts of sequences and maps, is appended to owned.
func (r *Runtime) toGo(value pointer, owned *[]pointer) (infer.Value, error) {
	if value == 0 {
		return nil, nil
	}
	var kind, has int32
	if err := r.call(slotGetValueType, value, uintptr(unsafe.Pointer(&kind))); err != nil {
		return nil, err
	}
	switch kind {
	case onnxTensor:
		return r.viewTensor(value)
	case onnxSequence:
		elems, err := r.parts(value, owned)
		return &infer.Sequence{Elems: elems}, err
	case onnxMap:
		elems, err := r.parts(value, owned)
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
	if err := r.call(slotHasValue, value, uintptr(unsafe.Pointer(&has))); err != nil || has == 0 {
		return nil, err
	}
	return nil, fmt.Errorf("values of ONNX type %d are not supported", kind)
}

// parts returns the elements of a sequence, or the keys and values of a map.
func (r *Runtime) parts(value pointer, owned *[]pointer) ([]infer.Value, error) {
	var n uintptr
	if err := r.call(slotGetValueCount, value, uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	out := make([]infer.Value, 0, n)
	for i := range n {
		var part pointer
		if err := r.call(slotGetValue, value, i, r.allocator, uintptr(unsafe.Pointer(&part))); err != nil {
			return nil, err
		}
		*owned = append(*owned, part)
		v, err := r.toGo(part, owned)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (r *Runtime) viewTensor(value pointer) (*infer.Tensor, error) {
	var info pointer
	if err := r.call(slotGetTensorTypeAndShape, value, uintptr(unsafe.Pointer(&info))); err != nil {
		return nil, err
	}
	defer r.release(slotReleaseTensorTypeAndShapeInfo, info)
	dtype, shape, err := r.typeAndShape(info)
	if err != nil {
		return nil, err
	}
	t := &infer.Tensor{DType: dtype, Shape: shape}
	n := t.Len()
	if n < 0 || n > infer.MaxTensorBytes {
		return nil, fmt.Errorf("an output has the shape %v, which is beyond the limit of %d bytes", shape, infer.MaxTensorBytes)
	}
	if dtype == model.String {
		t.Strings, err = r.stringsOf(value, int(n))
		return t, err
	}
	size := dtype.Bytes(n)
	if size == 0 {
		return t, nil
	}
	var data pointer
	if err := r.call(slotGetTensorMutableData, value, uintptr(unsafe.Pointer(&data))); err != nil {
		return nil, err
	}
	if data == 0 {
		return nil, fmt.Errorf("an output of shape %v has no data", shape)
	}
	t.Data = unsafe.Slice((*byte)(native(data)), size)
	return t, nil
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
	return model.DType(dtype), shape, nil
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
