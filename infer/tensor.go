package infer

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/leat-project/leat/model"
)

// Tensor is an array of elements of one type, row-major.
type Tensor struct {
	DType model.DType
	Shape []int64 // empty: one element
	// Data holds the elements as the machine has them in memory, at an address that suits them; unused by strings.
	Data    []byte
	Strings []string // of a String tensor
}

// Element is a Go type that has an element type of its own.
type Element interface {
	~float32 | ~float64 | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~bool
}

// NewTensor returns a tensor over data, which is not copied. Halves come as uint16, with a DType set by the caller.
func NewTensor[T Element](data []T, shape ...int64) *Tensor {
	return &Tensor{DType: dtypeOf[T](), Shape: shape, Data: bytesOf(data)}
}

// NewStrings returns a tensor of strings.
func NewStrings(data []string, shape ...int64) *Tensor {
	return &Tensor{DType: model.String, Shape: shape, Strings: data}
}

func dtypeOf[T Element]() model.DType {
	var zero T
	switch any(zero).(type) {
	case float32:
		return model.Float32
	case float64:
		return model.Float64
	case int8:
		return model.Int8
	case int16:
		return model.Int16
	case int32:
		return model.Int32
	case int64:
		return model.Int64
	case uint8:
		return model.Uint8
	case uint16:
		return model.Uint16
	case uint32:
		return model.Uint32
	case uint64:
		return model.Uint64
	case bool:
		return model.Bool
	}
	return model.Undefined
}

func bytesOf[T Element](data []T) []byte {
	if len(data) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*int(unsafe.Sizeof(data[0])))
}

// View returns the elements of a tensor as they lie in memory. T has to have the size of the tensor's elements, else it is nil;
// halves are viewed as uint16.
func View[T Element](t *Tensor) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if len(t.Data) == 0 || int64(size) != t.DType.Bytes(1) {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.Data))), len(t.Data)/size)
}

// Len returns the number of elements that the shape tells, or -1 where that is no number.
func (t *Tensor) Len() int64 { return Elements(t.Shape) }

// Elements returns the number of elements of a shape: the product of its dimensions, or -1 where one is negative or the product is
// beyond 64 bits.
func Elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt64/d {
			return -1
		}
		n *= d
	}
	return n
}

// Check reports whether the data is what type and shape promise.
func (t *Tensor) Check() error {
	n := t.Len()
	switch {
	case n < 0:
		return fmt.Errorf("a tensor cannot have the shape %v", t.Shape)
	case t.DType == model.String && int64(len(t.Strings)) != n:
		return fmt.Errorf("a tensor of shape %v has %d strings, found %d", t.Shape, n, len(t.Strings))
	case t.DType != model.String && (n > math.MaxInt64/16 || int64(len(t.Data)) != t.DType.Bytes(n)):
		return fmt.Errorf("a tensor %s%v has %d elements, found %d bytes", t.DType, t.Shape, n, len(t.Data))
	}
	return nil
}

// Clone returns a copy in memory of Go's, which outlives the Results that t came from.
func (t *Tensor) Clone() *Tensor {
	c := &Tensor{DType: t.DType, Shape: append([]int64(nil), t.Shape...)}
	if t.DType == model.String {
		c.Strings = append([]string(nil), t.Strings...)
		return c
	}
	words := make([]uint64, (len(t.Data)+7)/8) // aligned for every element type
	c.Data = bytesOf(words)[:len(t.Data):len(t.Data)]
	copy(c.Data, t.Data)
	return c
}

// Floats appends the elements of a numeric tensor to dst as float64.
func (t *Tensor) Floats(dst []float64) ([]float64, error) {
	switch t.DType {
	case model.Float32:
		return appendAs[float32, float64](dst, t), nil
	case model.Float64:
		return append(dst, View[float64](t)...), nil
	case model.Float16:
		for _, h := range View[uint16](t) {
			dst = append(dst, float64(FromHalf(h)))
		}
		return dst, nil
	case model.BFloat16:
		for _, h := range View[uint16](t) {
			dst = append(dst, float64(math.Float32frombits(uint32(h)<<16)))
		}
		return dst, nil
	case model.Int8:
		return appendAs[int8, float64](dst, t), nil
	case model.Int16:
		return appendAs[int16, float64](dst, t), nil
	case model.Int32:
		return appendAs[int32, float64](dst, t), nil
	case model.Int64:
		return appendAs[int64, float64](dst, t), nil
	case model.Uint8:
		return appendAs[uint8, float64](dst, t), nil
	case model.Uint16:
		return appendAs[uint16, float64](dst, t), nil
	case model.Uint32:
		return appendAs[uint32, float64](dst, t), nil
	case model.Uint64:
		return appendAs[uint64, float64](dst, t), nil
	case model.Bool:
		for _, b := range View[bool](t) {
			v := 0.0
			if b {
				v = 1
			}
			dst = append(dst, v)
		}
		return dst, nil
	}
	return dst, fmt.Errorf("wanted numbers, found elements of type %s", t.DType)
}

func appendAs[T, U int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64](dst []U, t *Tensor) []U {
	for _, v := range View[T](t) {
		dst = append(dst, U(v))
	}
	return dst
}

// FromHalf returns the value of a half-precision float.
func FromHalf(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch {
	case exponent == 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	case exponent == 0:
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// ToHalf returns the half-precision float that is nearest to v, ties to even.
func ToHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign, exponent, fraction := uint16(bits>>16)&0x8000, int(bits>>23)&0xff-127, bits&0x7fffff
	switch {
	case exponent == 128 && fraction != 0:
		return sign | 0x7e00
	case exponent > 15:
		return sign | 0x7c00
	case exponent < -25:
		return sign
	}
	shift := 13
	mantissa := fraction | 0x800000
	half := uint32(exponent+15) << 10
	if exponent < -14 { // subnormal
		shift += -14 - exponent
		half = 0
	} else {
		mantissa = fraction
	}
	rest, middle := mantissa&(1<<shift-1), uint32(1)<<(shift-1)
	half += mantissa >> shift // a carry moves into the exponent, as it should
	if rest > middle || rest == middle && half&1 == 1 {
		half++
	}
	return sign | uint16(half)
}

// ToBFloat16 returns the bfloat16 that is nearest to v, ties to even.
func ToBFloat16(v float32) uint16 {
	bits := math.Float32bits(v)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
