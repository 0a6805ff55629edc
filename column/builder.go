package column

import "fmt"

// Builder makes a vector row by row. It is for the paths where speed is second: readers of rare formats, boxed
// expressions, tests.
type Builder struct {
	v        Vector
	children []*Builder
	nulls    bool
}

// NewBuilder returns a builder of vectors of that type.
func NewBuilder(t Type) *Builder {
	b := &Builder{}
	b.v.Type = t
	switch t.Kind {
	case List:
		b.children = []*Builder{NewBuilder(*t.Elem)}
	case Map:
		b.children = []*Builder{NewBuilder(StringType), NewBuilder(*t.Elem)}
	case Row:
		for _, f := range t.Fields {
			b.children = append(b.children, NewBuilder(f.Type))
		}
	}
	b.Reset()
	return b
}

// Len returns the number of rows so far.
func (b *Builder) Len() int { return b.v.N }

// Reset drops the rows so far. Memory is not reused: a finished vector may still be read.
func (b *Builder) Reset() {
	b.v = Vector{Type: b.v.Type}
	b.nulls = false
	switch b.v.Type.Kind {
	case String, Bytes, List, Map:
		b.v.Offsets = []int32{0}
	}
	for _, c := range b.children {
		c.Reset()
	}
}

// Finish returns the rows as a vector, and starts afresh.
func (b *Builder) Finish() *Vector {
	v := b.v
	if !b.nulls {
		v.Valid = nil
	}
	for _, c := range b.children {
		v.Children = append(v.Children, c.Finish())
	}
	b.Reset()
	return &v
}

// Bytes returns roughly how much memory the rows take.
func (b *Builder) Bytes() int64 {
	v := &b.v
	n := int64(len(v.Valid) + len(v.Bools) + 8*len(v.Ints) + 8*len(v.Floats) + 4*len(v.Offsets) + len(v.Data) + 48*len(v.Boxed))
	for _, c := range b.children {
		n += c.Bytes()
	}
	return n
}

// mark notes whether the row that is appended next is null.
func (b *Builder) mark(null bool) {
	i := b.v.N
	b.v.N++
	if i>>3 >= len(b.v.Valid) {
		b.v.Valid = append(b.v.Valid, 0xff)
	}
	if null {
		b.nulls = true
		b.v.SetNull(i)
	}
}

// AppendNull appends a null; it does so for a type that is not nullable, too.
func (b *Builder) AppendNull() {
	b.mark(true)
	v := &b.v
	switch v.Type.Kind {
	case Any:
		v.Boxed = append(v.Boxed, nil)
	case Bool:
		v.Bools = append(v.Bools, false)
	case Int, Time, Duration:
		v.Ints = append(v.Ints, 0)
	case Float:
		v.Floats = append(v.Floats, 0)
	case String, Bytes, List, Map:
		v.Offsets = append(v.Offsets, v.Offsets[len(v.Offsets)-1])
	case Row:
		for _, c := range b.children {
			c.AppendNull()
		}
	}
}

// Append appends a value. It returns an error, and appends nothing, where the value does not fit the type.
func (b *Builder) Append(value Value) error {
	if err := fits(value, b.v.Type); err != nil {
		return err
	}
	b.append(value)
	return nil
}

// fits says whether a builder of type t takes v.
func fits(v Value, t Type) error {
	bad := func() error { return fmt.Errorf("wanted %s, found %s", t, TypeOf(v)) }
	if v == nil {
		if !t.MayBeNull() {
			return bad()
		}
		return nil
	}
	kind := t.Kind
	switch v := v.(type) {
	case bool:
		if kind == Bool {
			return nil
		}
	case int64:
		if kind == Int {
			return nil
		}
	case float64:
		if kind == Float {
			return nil
		}
	case string:
		if kind == String {
			return nil
		}
	case []byte:
		if kind == Bytes {
			return nil
		}
	case Instant:
		if kind == Time {
			return nil
		}
	case Span:
		if kind == Duration {
			return nil
		}
	case *ListValue:
		if kind == List {
			return allFit(v.Elems, *t.Elem)
		}
	case *MapValue:
		if kind == Map {
			if err := allFit(v.Keys, StringType); err != nil {
				return err
			}
			return allFit(v.Elems, *t.Elem)
		}
		if kind == Row {
			return mapFits(v, t)
		}
	case *RowValue:
		if kind == Row {
			for _, f := range t.Fields {
				e, _ := v.Get(f.Name)
				if err := fits(e, f.Type); err != nil {
					return fmt.Errorf("field %q: %w", f.Name, err)
				}
			}
			return nil
		}
	}
	if kind == Any {
		return nil
	}
	return bad()
}

func mapFits(v *MapValue, t Type) error {
	for _, f := range t.Fields {
		if err := fits(v.get(f.Name), f.Type); err != nil {
			return fmt.Errorf("field %q: %w", f.Name, err)
		}
	}
	return nil
}

func (m *MapValue) get(key string) Value {
	for i, k := range m.Keys {
		if k == key {
			return m.Elems[i]
		}
	}
	return nil
}

func allFit(values []Value, t Type) error {
	for i, v := range values {
		if err := fits(v, t); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// append appends a value that fits.
func (b *Builder) append(value Value) {
	if value == nil {
		b.AppendNull()
		return
	}
	b.mark(false)
	v := &b.v
	switch v.Type.Kind {
	case Any:
		v.Boxed = append(v.Boxed, value)
	case Bool:
		v.Bools = append(v.Bools, value.(bool))
	case Int:
		v.Ints = append(v.Ints, value.(int64))
	case Time:
		v.Ints = append(v.Ints, int64(value.(Instant)))
	case Duration:
		v.Ints = append(v.Ints, int64(value.(Span)))
	case Float:
		v.Floats = append(v.Floats, value.(float64))
	case String:
		v.Data = append(v.Data, value.(string)...)
		v.Offsets = append(v.Offsets, int32(len(v.Data)))
	case Bytes:
		v.Data = append(v.Data, value.([]byte)...)
		v.Offsets = append(v.Offsets, int32(len(v.Data)))
	case List:
		b.appendAll(0, value.(*ListValue).Elems)
	case Map:
		m := value.(*MapValue)
		for _, k := range m.Keys {
			b.children[0].append(k)
		}
		b.appendAll(1, m.Elems)
	case Row:
		for i, f := range v.Type.Fields {
			var e Value
			switch r := value.(type) {
			case *RowValue:
				e, _ = r.Get(f.Name)
			case *MapValue:
				e = r.get(f.Name)
			}
			b.children[i].append(e)
		}
	}
}

func (b *Builder) appendAll(child int, values []Value) {
	for _, e := range values {
		b.children[child].append(e)
	}
	b.v.Offsets = append(b.v.Offsets, int32(b.children[child].Len()))
}

// AppendFrom appends row i of a vector of the same type but for nullability.
func (b *Builder) AppendFrom(from *Vector, i int) {
	if from.IsNull(i) {
		b.AppendNull()
		return
	}
	v := &b.v
	switch v.Type.Kind {
	case Int, Time, Duration:
		b.mark(false)
		v.Ints = append(v.Ints, from.Ints[i])
	case Float:
		b.mark(false)
		v.Floats = append(v.Floats, from.Floats[i])
	case String, Bytes:
		b.mark(false)
		v.Data = append(v.Data, from.Bin(i)...)
		v.Offsets = append(v.Offsets, int32(len(v.Data)))
	case List, Map:
		b.mark(false)
		for c, child := range b.children {
			for k := int(from.Offsets[i]); k < int(from.Offsets[i+1]); k++ {
				child.AppendFrom(from.Children[c], k)
			}
		}
		v.Offsets = append(v.Offsets, int32(b.children[0].Len()))
	case Row:
		b.mark(false)
		for c, child := range b.children {
			child.AppendFrom(from.Children[c], i)
		}
	default:
		b.append(from.Value(i))
	}
}

// AppendBool appends to a builder of Bool.
func (b *Builder) AppendBool(x bool) {
	b.mark(false)
	b.v.Bools = append(b.v.Bools, x)
}

// AppendInt appends to a builder of Int, Time or Duration.
func (b *Builder) AppendInt(x int64) {
	b.mark(false)
	b.v.Ints = append(b.v.Ints, x)
}

// AppendFloat appends to a builder of Float.
func (b *Builder) AppendFloat(x float64) {
	b.mark(false)
	b.v.Floats = append(b.v.Floats, x)
}

// AppendBin appends to a builder of String or Bytes. The bytes are copied.
func (b *Builder) AppendBin(x []byte) {
	b.mark(false)
	b.v.Data = append(b.v.Data, x...)
	b.v.Offsets = append(b.v.Offsets, int32(len(b.v.Data)))
}
