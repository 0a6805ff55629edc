package kernel

import (
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// writer builds a dense vector from values of single rows, put in rising order. Rows left out hold a zero. Memory is
// used again by the next reset, so what finish returns is valid until then.
type writer struct {
	t    column.Type
	n    int
	next int // rows of variable size that are written
	out  column.Vector
	b    *column.Builder // lists, maps and rows
}

// reset starts a vector of n rows.
func (w *writer) reset(t column.Type, n int) {
	w.t, w.n, w.next = t, n, 0
	o := &w.out
	o.Type, o.N, o.Valid = t, n, nil
	switch t.Kind {
	case column.Bool:
		o.Bools = grow(o.Bools, n)
		clear(o.Bools)
	case column.Int, column.Time, column.Duration:
		o.Ints = grow(o.Ints, n)
		clear(o.Ints)
	case column.Float:
		o.Floats = grow(o.Floats, n)
		clear(o.Floats)
	case column.String, column.Bytes:
		o.Offsets = grow(o.Offsets, n+1)
		o.Offsets[0] = 0
		o.Data = o.Data[:0]
	case column.Any:
		o.Boxed = grow(o.Boxed, n)
		clear(o.Boxed)
	case column.List, column.Map, column.Row:
		if w.b == nil {
			w.b = column.NewBuilder(t.OrNull()) // rows left out are null
		}
	}
}

// fixed reports whether all values take the same room.
func (w *writer) fixed() bool {
	switch w.t.Kind {
	case column.Bool, column.Int, column.Time, column.Duration, column.Float:
		return true
	}
	return false
}

// fill copies all rows of v, which is of the writer's kind and that is fixed.
func (w *writer) fill(v *column.Vector) {
	switch w.t.Kind {
	case column.Bool:
		copy(w.out.Bools, v.Bools)
	case column.Float:
		copy(w.out.Floats, v.Floats)
	default:
		copy(w.out.Ints, v.Ints)
	}
	if v.Valid != nil {
		w.out.Valid = append([]byte(nil), v.Valid[:(w.n+7)/8]...)
	}
}

// put sets row i, which is greater than any set before unless the type is fixed. The error is a TypeError: the value is
// not of the type.
func (w *writer) put(i int, v column.Value) error {
	o := &w.out
	if w.b == nil && w.t.Kind != column.Any && w.t.Kind != column.Null {
		if v == nil {
			if !w.t.Nullable {
				return misfit(v, w.t)
			}
			w.null(i)
			return nil
		}
		if o.Valid != nil {
			o.Valid[i>>3] |= 1 << (i & 7)
		}
	}
	ok := false
	switch w.t.Kind {
	case column.Bool:
		var x bool
		if x, ok = v.(bool); ok {
			o.Bools[i] = x
		}
	case column.Int:
		var x int64
		if x, ok = v.(int64); ok {
			o.Ints[i] = x
		}
	case column.Time:
		var x column.Instant
		if x, ok = v.(column.Instant); ok {
			o.Ints[i] = int64(x)
		}
	case column.Duration:
		var x column.Span
		if x, ok = v.(column.Span); ok {
			o.Ints[i] = int64(x)
		}
	case column.Float:
		var x float64
		if x, ok = v.(float64); ok {
			o.Floats[i] = x
		}
	case column.String:
		var x string
		if x, ok = v.(string); ok {
			return w.text(i, []byte(x))
		}
	case column.Bytes:
		var x []byte
		if x, ok = v.([]byte); ok {
			return w.text(i, x)
		}
	case column.Any:
		o.Boxed[i] = v
		return nil
	case column.Null:
		ok = v == nil
	default:
		return w.nested(i, v)
	}
	if !ok {
		return misfit(v, w.t)
	}
	return nil
}

func (w *writer) null(i int) {
	w.out.EnsureValid()
	w.out.SetNull(i)
}

// gap writes empty values for the rows before i.
func (w *writer) gap(i int) {
	at := int32(len(w.out.Data))
	for ; w.next < i; w.next++ {
		w.out.Offsets[w.next+1] = at
	}
}

func (w *writer) text(i int, s []byte) error {
	w.gap(i)
	if len(w.out.Data)+len(s) > maxText {
		return errTooLong
	}
	w.out.Data = append(w.out.Data, s...)
	w.next = i + 1
	w.out.Offsets[w.next] = int32(len(w.out.Data))
	return nil
}

// errTooLong is the error of the row at which a column of text passes 2 GiB.
var errTooLong = &expr.Exception{Class: "MemoryError", Msg: "the text of one batch exceeds 2 GiB"}

func (w *writer) nested(i int, v column.Value) error {
	if v == nil && !w.t.Nullable {
		return misfit(v, w.t)
	}
	w.skip(i)
	w.next = i + 1
	if err := w.b.Append(v); err != nil {
		w.next = i
		return &expr.Exception{Class: "TypeError", Msg: err.Error()}
	}
	return nil
}

// skip leaves the nested values before row i null.
func (w *writer) skip(i int) {
	for ; w.next < i; w.next++ {
		w.b.AppendNull()
	}
}

// copy sets row i to row i of v, for types whose values vary in size.
func (w *writer) copy(v *column.Vector, i int) error {
	switch w.t.Kind {
	case column.String, column.Bytes:
		if v.IsNull(i) {
			w.null(i)
			return nil
		}
		return w.text(i, v.Bin(i))
	case column.Any:
		w.out.Boxed[i] = v.Boxed[i]
	case column.List, column.Map, column.Row:
		w.skip(i)
		w.b.AppendFrom(v, i)
		w.next = i + 1
	}
	return nil
}

// finish returns the vector.
func (w *writer) finish() *column.Vector {
	switch w.t.Kind {
	case column.String, column.Bytes:
		w.gap(w.n)
	case column.List, column.Map, column.Row:
		w.skip(w.n)
		w.out = *w.b.Finish()
		w.out.Type = w.t
	}
	return &w.out
}
