package column

import "fmt"

// Vector is one column of a batch, in Arrow's memory layout but for two things: a Bool takes a byte, and
// an Any column holds boxed values.
//
// Which slices are in use depends on the kind:
//
//	Bool                 Bools
//	Int, Time, Duration  Ints
//	Float                Floats
//	String, Bytes        Offsets (N+1) into Data
//	List                 Offsets (N+1) into Children[0]
//	Map                  Offsets (N+1) into Children[0] (keys, strings) and Children[1] (values)
//	Row                  Children, one for each field, each of length N
//	Any                  Boxed
//	Null                 none
//
// Offsets need not begin at 0 and need not be followed without gaps, so a vector can be sliced without copying.
type Vector struct {
	Type     Type
	N        int    // rows
	Valid    []byte // bitmap, least significant bit first, 1 = not null; nil: no nulls. Any uses nil boxes instead
	Bools    []bool
	Ints     []int64
	Floats   []float64
	Offsets  []int32
	Data     []byte
	Children []*Vector
	Boxed    []Value
}

// IsNull reports whether row i is null.
func (v *Vector) IsNull(i int) bool {
	switch v.Type.Kind {
	case Null:
		return true
	case Any:
		return v.Boxed[i] == nil
	}
	return v.Valid != nil && v.Valid[i>>3]&(1<<(i&7)) == 0
}

// HasNulls reports whether the vector may hold a null; false is certain.
func (v *Vector) HasNulls() bool {
	return v.Valid != nil || v.Type.Kind == Null || v.Type.Kind == Any
}

// Bin returns the bytes of row i of a String or Bytes vector, not copied.
func (v *Vector) Bin(i int) []byte { return v.Data[v.Offsets[i]:v.Offsets[i+1]] }

// SetNull marks row i null. The bitmap must be there: see EnsureValid.
func (v *Vector) SetNull(i int) { v.Valid[i>>3] &^= 1 << (i & 7) }

// EnsureValid makes the bitmap, all rows valid, where there is none.
func (v *Vector) EnsureValid() {
	if v.Valid == nil {
		v.Valid = AllValid(nil, v.N)
	}
}

// AllValid returns a bitmap of n ones, reusing buf's memory.
func AllValid(buf []byte, n int) []byte {
	size := (n + 7) / 8
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	for i := range buf {
		buf[i] = 0xff
	}
	return buf
}

// Value boxes row i. Strings and bytes are copied.
func (v *Vector) Value(i int) Value {
	if v.IsNull(i) {
		return nil
	}
	switch v.Type.Kind {
	case Any:
		return v.Boxed[i]
	case Bool:
		return v.Bools[i]
	case Int:
		return v.Ints[i]
	case Time:
		return Instant(v.Ints[i])
	case Duration:
		return Span(v.Ints[i])
	case Float:
		return v.Floats[i]
	case String:
		return string(v.Bin(i))
	case Bytes:
		return append([]byte{}, v.Bin(i)...)
	case List:
		return &ListValue{Elems: v.Children[0].values(int(v.Offsets[i]), int(v.Offsets[i+1]))}
	case Map:
		from, to := int(v.Offsets[i]), int(v.Offsets[i+1])
		return &MapValue{Keys: v.Children[0].values(from, to), Elems: v.Children[1].values(from, to)}
	case Row:
		r := &RowValue{Names: v.Type.Fields.Names(), Elems: make([]Value, len(v.Children))}
		for f, c := range v.Children {
			r.Elems[f] = c.Value(i)
		}
		return r
	}
	panic(fmt.Sprintf("column: no such kind %v", v.Type.Kind))
}

func (v *Vector) values(from, to int) []Value {
	out := make([]Value, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, v.Value(i))
	}
	return out
}
