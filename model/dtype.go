package model

// DType is the type of a tensor's elements. The numbers are those of ONNX's TensorProto.DataType.
type DType uint8

// The element types.
const (
	Undefined      DType = 0
	Float32        DType = 1
	Uint8          DType = 2
	Int8           DType = 3
	Uint16         DType = 4
	Int16          DType = 5
	Int32          DType = 6
	Int64          DType = 7
	String         DType = 8
	Bool           DType = 9
	Float16        DType = 10
	Float64        DType = 11
	Uint32         DType = 12
	Uint64         DType = 13
	Complex64      DType = 14
	Complex128     DType = 15
	BFloat16       DType = 16
	Float8E4M3FN   DType = 17
	Float8E4M3FNUZ DType = 18
	Float8E5M2     DType = 19
	Float8E5M2FNUZ DType = 20
	Uint4          DType = 21
	Int4           DType = 22
	Float4E2M1     DType = 23
	Float8E8M0     DType = 24
	Uint2          DType = 25
	Int2           DType = 26
)

// dtypes has for each element type its name as ONNX writes it, its name in the Open Inference Protocol ("" where that has
// none), and the bits of an element (0: not of a fixed size).
var dtypes = [...]struct {
	name, datatype string
	bits           int
}{
	Undefined: {"undefined", "", 0}, Float32: {"float", "FP32", 32}, Uint8: {"uint8", "UINT8", 8}, Int8: {"int8", "INT8", 8},
	Uint16: {"uint16", "UINT16", 16}, Int16: {"int16", "INT16", 16}, Int32: {"int32", "INT32", 32}, Int64: {"int64", "INT64", 64},
	String: {"string", "BYTES", 0}, Bool: {"bool", "BOOL", 8}, Float16: {"float16", "FP16", 16}, Float64: {"double", "FP64", 64},
	Uint32: {"uint32", "UINT32", 32}, Uint64: {"uint64", "UINT64", 64}, Complex64: {"complex64", "", 64},
	Complex128: {"complex128", "", 128}, BFloat16: {"bfloat16", "BF16", 16}, Float8E4M3FN: {"float8e4m3fn", "", 8},
	Float8E4M3FNUZ: {"float8e4m3fnuz", "", 8}, Float8E5M2: {"float8e5m2", "", 8}, Float8E5M2FNUZ: {"float8e5m2fnuz", "", 8},
	Uint4: {"uint4", "", 4}, Int4: {"int4", "", 4}, Float4E2M1: {"float4e2m1", "", 4},
	Float8E8M0: {"float8e8m0", "", 8}, Uint2: {"uint2", "", 2}, Int2: {"int2", "", 2},
}

// String returns ONNX's name of the type: float, int64, bfloat16.
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return "undefined"
}

// Datatype returns the type's name in the Open Inference Protocol (FP32, INT64, BYTES), or "" where it has none.
func (d DType) Datatype() string {
	if int(d) < len(dtypes) {
		return dtypes[d].datatype
	}
	return ""
}

// DTypeOf returns the element type with that name in the Open Inference Protocol, or Undefined.
func DTypeOf(datatype string) DType {
	for d := range dtypes {
		if dtypes[d].datatype == datatype && datatype != "" {
			return DType(d)
		}
	}
	return Undefined
}

// Bytes returns how many bytes n elements take; elements of less than eight bits share bytes. It is 0 for strings.
func (d DType) Bytes(n int64) int64 {
	if int(d) >= len(dtypes) {
		return 0
	}
	return (n*int64(dtypes[d].bits) + 7) / 8
}

// IsFloat reports whether the type is one of the floating-point types that hold a number of their own: 16, 32 or 64 bits.
func (d DType) IsFloat() bool {
	return d == Float16 || d == BFloat16 || d == Float32 || d == Float64
}

// IsInteger reports whether the type is an integer of 8 to 64 bits.
func (d DType) IsInteger() bool {
	switch d {
	case Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64:
		return true
	}
	return false
}
