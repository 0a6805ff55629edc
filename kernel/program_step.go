package kernel

import (
	"math/bits"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// step computes one node of an expression for a batch.
//
// The vector has a value for every physical row; rows that are in bad, and rows outside the selection, may hold
// anything valid. Both results are read-only for the caller and stand until the step's next eval.
type step interface {
	eval(x *frame) (v *column.Vector, bad bitset)
}

// frame is what the steps of a program see of the batch at hand.
type frame struct {
	b    *column.Batch
	port *plan.Port
	n    int     // physical rows
	rows []int32 // selected rows, rising; never nil
	env  *BatchEnv
	// batch tells one evaluation of the program from the next.
	batch uint64

	sel, bad, bad2 bitset // memory of the program's own sets
}

// cell is the memory that a step owns and uses again for each batch.
type cell struct {
	out  column.Vector
	bad  bitset
	bad2 bitset
	nul  bitset
	nul2 bitset
}

// bools, ints and floats size the cell's vector for n rows without nulls. What the rows hold is undefined.
func (c *cell) bools(n int) []bool {
	c.out.Bools = grow(c.out.Bools, n)
	c.out.N, c.out.Valid = n, nil
	return c.out.Bools
}

func (c *cell) ints(n int) []int64 {
	c.out.Ints = grow(c.out.Ints, n)
	c.out.N, c.out.Valid = n, nil
	return c.out.Ints
}

func (c *cell) floats(n int) []float64 {
	c.out.Floats = grow(c.out.Floats, n)
	c.out.N, c.out.Valid = n, nil
	return c.out.Floats
}

// grow returns a slice of length n, of s's memory where that is large enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// bitset holds a bit for each row of a batch, least significant first, as column.Vector.Valid does; nil: none is
// set. Bits past the last row are 0.
type bitset []byte

func (s bitset) has(i int) bool { return s != nil && s[i>>3]&(1<<(i&7)) != 0 }
func (s bitset) set(i int)      { s[i>>3] |= 1 << (i & 7) }

// zeros returns a bitset for n rows with no bit set, reusing the memory of buf.
func zeros(buf *bitset, n int) bitset {
	*buf = grow(*buf, (n+7)/8)
	clear(*buf)
	return *buf
}

// owned returns from as a set that may be written, in the memory of buf.
func owned(buf *bitset, from bitset, n int) bitset {
	if from == nil {
		return zeros(buf, n)
	}
	*buf = grow(*buf, (n+7)/8)
	copy(*buf, from)
	return *buf
}

// union returns the rows in a or b; buf is the memory for the result where both are there.
func union(buf *bitset, a, b bitset) bitset {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	*buf = grow(*buf, len(a))
	out := *buf
	b = b[:len(a)]
	for i := range out {
		out[i] = a[i] | b[i]
	}
	return out
}

// add is union, with the result in the memory of buf unless more is empty. bad is empty, or lies in buf.
func add(buf *bitset, bad, more bitset) bitset {
	if more == nil {
		return bad
	}
	if bad == nil {
		return owned(buf, more, len(more)*8)
	}
	return union(buf, bad, more)
}

// mark adds row i to bad. Either bad lies in buf already, or it is copied there.
func mark(buf *bitset, bad bitset, i, n int) bitset {
	if len(bad) == 0 || len(*buf) == 0 || &bad[0] != &(*buf)[0] {
		bad = owned(buf, bad, n)
	}
	bad.set(i)
	return bad
}

// nulls returns the null rows of v, or nil where there are none. The result lies in the memory of buf.
func nulls(buf *bitset, v *column.Vector, n int) bitset {
	if v.Type.Kind == column.Null {
		out := zeros(buf, n)
		for i := range out {
			out[i] = 0xff
		}
		return out.trim(n)
	}
	if v.Valid == nil {
		return nil
	}
	size := (n + 7) / 8
	*buf = grow(*buf, size)
	out := *buf
	valid := v.Valid[:size]
	some := byte(0)
	for i := range out {
		out[i] = ^valid[i]
		if i < size-1 {
			some |= out[i]
		}
	}
	out.trim(n)
	if size > 0 {
		some |= out[size-1]
	}
	if some == 0 {
		return nil
	}
	return out
}

// trim clears the bits from row n on.
func (s bitset) trim(n int) bitset {
	if n&7 != 0 {
		s[n>>3] &= 1<<(n&7) - 1
	}
	return s
}

// each calls f with every row in the set, rising.
func (s bitset) each(f func(i int)) {
	for k, b := range s {
		for ; b != 0; b &= b - 1 {
			f(k*8 + bits.TrailingZeros8(b))
		}
	}
}

// operandBad returns the rows for which a step with operands v and w, both needed and neither allowed to be null,
// cannot decide. w may be nil.
func (c *cell) operandBad(v *column.Vector, bad bitset, w *column.Vector, badW bitset, n int) bitset {
	bad = union(&c.bad, bad, nulls(&c.nul, v, n))
	if w == nil {
		return bad
	}
	return union(&c.bad2, bad, union(&c.nul2, badW, nulls(&c.nul2, w, n)))
}
