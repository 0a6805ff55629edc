package column

import "fmt"

// Gather returns the rows of v at those indices, which may repeat and stand in any order.
func Gather(v *Vector, idx []int32) *Vector {
	out := &Vector{Type: v.Type, N: len(idx)}
	if v.Valid != nil {
		out.Valid = AllValid(nil, len(idx))
		for k, i := range idx {
			if v.Valid[i>>3]&(1<<(i&7)) == 0 {
				out.SetNull(k)
			}
		}
	}
	switch v.Type.Kind {
	case Any:
		out.Boxed = pick(v.Boxed, idx)
	case Bool:
		out.Bools = pick(v.Bools, idx)
	case Int, Time, Duration:
		out.Ints = pick(v.Ints, idx)
	case Float:
		out.Floats = pick(v.Floats, idx)
	case String, Bytes:
		out.Offsets = make([]int32, len(idx)+1)
		size := 0
		for k, i := range idx {
			size += int(v.Offsets[i+1] - v.Offsets[i])
			out.Offsets[k+1] = int32(size)
		}
		out.Data = make([]byte, 0, size)
		for _, i := range idx {
			out.Data = append(out.Data, v.Bin(int(i))...)
		}
	case List, Map:
		out.Offsets = make([]int32, len(idx)+1)
		var inner []int32
		for k, i := range idx {
			for j := v.Offsets[i]; j < v.Offsets[i+1]; j++ {
				inner = append(inner, j)
			}
			out.Offsets[k+1] = int32(len(inner))
		}
		for _, c := range v.Children {
			out.Children = append(out.Children, Gather(c, inner))
		}
	case Row:
		for _, c := range v.Children {
			out.Children = append(out.Children, Gather(c, idx))
		}
	}
	return out
}

func pick[T any](values []T, idx []int32) []T {
	if values == nil {
		return nil
	}
	out := make([]T, len(idx))
	for k, i := range idx {
		out[k] = values[i]
	}
	return out
}

// Slice returns rows [from, to) of v. It shares v's memory but for the bitmap, which is copied where from is no
// multiple of 8.
func Slice(v *Vector, from, to int) *Vector {
	out := &Vector{Type: v.Type, N: to - from, Data: v.Data}
	if v.Valid != nil {
		if from&7 == 0 {
			out.Valid = v.Valid[from>>3 : (to+7)>>3]
		} else {
			out.Valid = AllValid(nil, out.N)
			for i := from; i < to; i++ {
				if v.IsNull(i) {
					out.SetNull(i - from)
				}
			}
		}
	}
	switch v.Type.Kind { // slices that are not of the kind may hold anything
	case Bool:
		out.Bools = v.Bools[from:to]
	case Int, Time, Duration:
		out.Ints = v.Ints[from:to]
	case Float:
		out.Floats = v.Floats[from:to]
	case Any:
		out.Boxed = v.Boxed[from:to]
	case String, Bytes, List, Map:
		out.Offsets, out.Children = v.Offsets[from:to+1], v.Children
	case Row:
		out.Children = make([]*Vector, len(v.Children))
		for i, c := range v.Children {
			out.Children[i] = Slice(c, from, to)
		}
	}
	return out
}

// Compact returns a batch of the rows that count alone. It is b itself where all do.
func Compact(b *Batch) *Batch {
	if b.Sel == nil {
		return b
	}
	out := &Batch{N: len(b.Sel), Origin: b.Origin, Times: pick(b.Times, b.Sel), ServerTimes: b.ServerTimes, Starts: pick(b.Starts, b.Sel), Ends: pick(b.Ends, b.Sel)}
	out.Cols = make([]*Vector, len(b.Cols))
	for i, c := range b.Cols {
		out.Cols[i] = Gather(c, b.Sel)
	}
	out.Rows = make([]int32, len(b.Sel))
	for k, i := range b.Sel {
		out.Rows[k] = b.RowNumber(int(i))
	}
	return out
}

// Convert returns v as a vector of type to, which has to hold all values of v's type: the same type, nullable or
// not; Any; a wider row, by field name; lists and maps of such. Null becomes a null of any type, and an Int the nearest Float. It copies
// only what it must.
//
// A vector without nulls may become not nullable, and an Any whose values all fit takes their type. An error means that the types do
// not fit.
func Convert(v *Vector, to Type) (*Vector, error) {
	from := v.Type
	switch {
	case from.Equal(to):
		return v, nil
	case to.Kind == Any:
		return box(v), nil
	case v.N == 0: // such as the elements of lists that are all empty
		return NewBuilder(to).Finish(), nil
	case from.Kind == Int && to.Kind == Float && (to.Nullable || !hasNull(v)):
		return intsToFloats(v, to), nil
	case from.Kind == Null && to.MayBeNull():
		b := NewBuilder(to)
		for range v.N {
			b.AppendNull()
		}
		return b.Finish(), nil
	case from.Kind == Any:
		return unbox(v, to)
	case from.Kind != to.Kind, v.Valid != nil && !to.MayBeNull() && hasNull(v):
		return nil, fmt.Errorf("cannot take %s as %s", from, to)
	}
	out := *v
	out.Type = to
	switch to.Kind {
	case List, Map:
		out.Children = append([]*Vector(nil), v.Children...)
		last := len(out.Children) - 1
		elem, err := Convert(v.Children[last], *to.Elem)
		if err != nil {
			return nil, err
		}
		out.Children[last] = elem
	case Row:
		out.Children = make([]*Vector, len(to.Fields))
		for i, f := range to.Fields {
			child := &Vector{Type: NullType, N: v.N}
			if j := from.Fields.Index(f.Name); j >= 0 {
				child = v.Children[j]
			}
			var err error
			if out.Children[i], err = Convert(child, f.Type); err != nil {
				return nil, fmt.Errorf("field %q: %w", f.Name, err)
			}
		}
	}
	return &out, nil
}

func intsToFloats(v *Vector, to Type) *Vector {
	out := &Vector{Type: to, N: v.N, Valid: v.Valid, Floats: make([]float64, v.N)}
	for i, x := range v.Ints[:v.N] {
		out.Floats[i] = float64(x)
	}
	return out
}

func hasNull(v *Vector) bool {
	for i := range v.N {
		if v.IsNull(i) {
			return true
		}
	}
	return false
}

func box(v *Vector) *Vector {
	out := &Vector{Type: AnyType, N: v.N, Boxed: make([]Value, v.N)}
	for i := range v.N {
		out.Boxed[i] = v.Value(i)
	}
	return out
}

func unbox(v *Vector, to Type) (*Vector, error) {
	b := NewBuilder(to)
	for i := range v.N {
		if err := b.Append(v.Boxed[i]); err != nil {
			return nil, err
		}
	}
	return b.Finish(), nil
}
