package onnx

import (
	"unsafe"

	"github.com/leat-project/leat/model"
)

// describeType reads a type description, which the caller releases.
func (r *Runtime) describeType(info pointer) (model.ValueInfo, error) {
	var kind int32
	if err := r.call(slotGetOnnxTypeFromTypeInfo, info, uintptr(unsafe.Pointer(&kind))); err != nil {
		return model.ValueInfo{}, err
	}
	switch kind {
	case onnxTensor, onnxSparse:
		v := model.ValueInfo{}
		if kind == onnxSparse {
			v.Kind = model.SparseValue
		}
		var tensor pointer
		if err := r.call(slotCastTypeInfoToTensorInfo, info, uintptr(unsafe.Pointer(&tensor))); err != nil || tensor == 0 {
			return v, err
		}
		return v, r.describeTensor(&v, tensor)
	case onnxSequence:
		return r.describeNested(model.SequenceValue, info, slotCastTypeInfoToSequenceTypeInfo, slotGetSequenceElementType)
	case onnxOptional:
		return r.describeNested(model.OptionalValue, info, slotCastTypeInfoToOptionalTypeInfo, slotGetOptionalContainedTypeInfo)
	case onnxMap:
		return r.describeMap(info)
	}
	return model.ValueInfo{Kind: model.OpaqueValue}, nil
}

func (r *Runtime) describeTensor(v *model.ValueInfo, tensor pointer) (err error) {
	if v.DType, v.Shape, err = r.typeAndShape(tensor); err != nil {
		return err
	}
	if len(v.Shape) == 0 && r.newer && !r.ask(slotHasShape, tensor) {
		v.Shape = nil
		return nil
	}
	v.Dims = make([]string, len(v.Shape))
	if len(v.Shape) == 0 {
		return nil
	}
	names := make([]pointer, len(v.Shape))
	if err := r.call(slotGetSymbolicDimensions, tensor, uintptr(unsafe.Pointer(&names[0])), uintptr(len(names))); err != nil {
		return err
	}
	for i, name := range names {
		v.Dims[i] = goString(name)
	}
	return nil
}

// describeNested reads the type within a sequence or an optional value.
func (r *Runtime) describeNested(kind model.ValueKind, info pointer, cast, get int) (model.ValueInfo, error) {
	v := model.ValueInfo{Kind: kind}
	var outer, inner pointer
	if err := r.call(cast, info, uintptr(unsafe.Pointer(&outer))); err != nil || outer == 0 {
		return v, err
	}
	if err := r.call(get, outer, uintptr(unsafe.Pointer(&inner))); err != nil || inner == 0 {
		return v, err
	}
	defer r.release(slotReleaseTypeInfo, inner)
	elem, err := r.describeType(inner)
	v.Elem = &elem
	return v, err
}

func (r *Runtime) describeMap(info pointer) (model.ValueInfo, error) {
	v := model.ValueInfo{Kind: model.MapValue}
	var outer, inner pointer
	var key int32
	if err := r.call(slotCastTypeInfoToMapTypeInfo, info, uintptr(unsafe.Pointer(&outer))); err != nil || outer == 0 {
		return v, err
	}
	if err := r.call(slotGetMapKeyType, outer, uintptr(unsafe.Pointer(&key))); err != nil {
		return v, err
	}
	if err := r.call(slotGetMapValueType, outer, uintptr(unsafe.Pointer(&inner))); err != nil {
		return v, err
	}
	defer r.release(slotReleaseTypeInfo, inner)
	value, err := r.describeType(inner)
	v.Key, v.DType = elementType(key), value.DType
	return v, err
}
