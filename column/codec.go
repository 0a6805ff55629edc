package column

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The binary form of a batch, as spill files, checkpoints and other machines hold it. All numbers are little endian.
//
//	version, flags                   a byte each
//	rows                             uvarint
//	origin, where the flag is set    source, seq (varints), file (uvarint length, bytes)
//	times, starts, ends, rows        where their flags are set: 8, 8, 8 and 4 bytes a row
//	a column for each field of the schema
//
// A column is its validity (a byte 0: no nulls; 1: a bitmap follows), then what its kind needs: a byte, 8 bytes or a boxed value a
// row; or the length of each row (4 bytes), then the bytes or the columns of the elements; or the columns of the fields.

// codecVersion is the first byte of every encoded batch. A change of the form raises it.
const codecVersion = 1

const (
	hasOrigin = 1 << iota
	hasTimes
	hasWindows
	hasRows
)

// maxDepth is how deep encoded boxed values may nest.
const maxDepth = 1000

var errShort = errors.New("batch ends early")

// AppendBatch appends the binary form of the rows of b that count. The columns must be of the schema's types. The origin's lines are
// lost. It copies each byte once, more where b.Sel is set.
func AppendBatch(dst []byte, b *Batch, s Schema) []byte {
	b = Compact(b)
	dst = append(dst, codecVersion, flagsOf(b))
	dst = binary.AppendUvarint(dst, uint64(b.N))
	if o := b.Origin; o != nil {
		dst = binary.AppendVarint(dst, int64(o.Source))
		dst = binary.AppendVarint(dst, o.Seq)
		dst = appendBin(dst, o.File)
	}
	if b.Times != nil {
		dst = appendInts(dst, b.Times[:b.N])
	}
	if b.Starts != nil {
		dst = appendInts(dst, b.Starts[:b.N])
		dst = appendInts(dst, b.Ends[:b.N])
	}
	if b.Rows != nil {
		for _, r := range b.Rows[:b.N] {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(r))
		}
	}
	for i := range s {
		dst = appendVector(dst, b.Cols[i], 0, b.N)
	}
	return dst
}

func flagsOf(b *Batch) (flags byte) {
	if b.Origin != nil {
		flags |= hasOrigin
	}
	if b.Times != nil {
		flags |= hasTimes
	}
	if b.Starts != nil {
		flags |= hasWindows
	}
	if b.Rows != nil {
		flags |= hasRows
	}
	return flags
}

func appendBin[T string | []byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendInts(dst []byte, values []int64) []byte {
	for _, v := range values {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
	}
	return dst
}

// appendVector appends rows [from, to) of v.
func appendVector(dst []byte, v *Vector, from, to int) []byte {
	dst = appendValid(dst, v, from, to)
	switch v.Type.Kind {
	case Any:
		for _, x := range v.Boxed[from:to] {
			dst = AppendValue(dst, x)
		}
	case Bool:
		for _, x := range v.Bools[from:to] {
			if x {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
		}
	case Int, Time, Duration:
		dst = appendInts(dst, v.Ints[from:to])
	case Float:
		for _, x := range v.Floats[from:to] {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
		}
	case String, Bytes:
		dst = appendLengths(dst, v.Offsets, from, to)
		if to > from {
			dst = append(dst, v.Data[v.Offsets[from]:v.Offsets[to]]...)
		}
	case List, Map:
		dst = appendLengths(dst, v.Offsets, from, to)
		for _, c := range v.Children {
			if to > from {
				dst = appendVector(dst, c, int(v.Offsets[from]), int(v.Offsets[to]))
			} else {
				dst = appendVector(dst, c, 0, 0)
			}
		}
	case Row:
		for _, c := range v.Children {
			dst = appendVector(dst, c, from, to)
		}
	}
	return dst
}

func appendValid(dst []byte, v *Vector, from, to int) []byte {
	if v.Valid == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	bits := AllValid(nil, to-from)
	for i := from; i < to; i++ {
		if v.Valid[i>>3]&(1<<(i&7)) == 0 {
			bits[(i-from)>>3] &^= 1 << ((i - from) & 7)
		}
	}
	return append(dst, bits...)
}

func appendLengths(dst []byte, offsets []int32, from, to int) []byte {
	for i := from; i < to; i++ {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(offsets[i+1]-offsets[i]))
	}
	return dst
}

// ReadBatch reads what AppendBatch wrote with the same schema, and returns the bytes after it. It does not panic on any
// bytes, and takes at most a small multiple of their number as memory. The batch keeps none of src.
func ReadBatch(src []byte, s Schema) (b *Batch, rest []byte, err error) {
	r := &reader{src: src}
	if v := r.byte(); r.err == nil && v != codecVersion {
		return nil, nil, fmt.Errorf("batch is of version %d, not %d", v, codecVersion)
	}
	flags := r.byte()
	if flags >= hasRows<<1 {
		r.fail("batch has unknown flags %#x", flags)
	}
	b = &Batch{N: r.count()}
	if flags&hasOrigin != 0 {
		b.Origin = &Origin{Source: int(r.varint()), Seq: r.varint(), File: string(r.bin())}
	}
	if flags&hasTimes != 0 {
		b.Times = r.ints(b.N)
	}
	if flags&hasWindows != 0 {
		b.Starts, b.Ends = r.ints(b.N), r.ints(b.N)
	}
	if flags&hasRows != 0 {
		raw := r.take(b.N, 4)
		b.Rows = make([]int32, len(raw)/4)
		for i := range b.Rows {
			b.Rows[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	}
	for _, f := range s {
		if r.err != nil {
			break
		}
		b.Cols = append(b.Cols, r.vector(f.Type, b.N))
	}
	if r.err != nil {
		return nil, nil, fmt.Errorf("read a batch: %w", r.err)
	}
	return b, r.src, nil
}

// reader reads from the front of src. After an error it reads zeros.
type reader struct {
	src []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.src = nil
}

// take returns the next n pieces of that size, or nothing after an error.
func (r *reader) take(n, size int) []byte {
	if n < 0 || n > len(r.src)/size {
		if r.err == nil {
			r.err = errShort
		}
		r.src = nil
		return nil
	}
	out := r.src[:n*size]
	r.src = r.src[n*size:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1, 1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.fail("batch has a bad number")
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 {
		r.fail("batch has a bad number")
		return 0
	}
	r.src = r.src[n:]
	return v
}

// count reads a number of rows.
func (r *reader) count() int {
	v := r.uvarint()
	if v > math.MaxInt32 {
		r.fail("batch has %d rows", v)
		return 0
	}
	return int(v)
}

// bin reads bytes behind their length. They belong to src.
func (r *reader) bin() []byte {
	return r.take(r.count(), 1)
}

func (r *reader) ints(n int) []int64 {
	raw := r.take(n, 8)
	out := make([]int64, len(raw)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}

// vector reads a column of n rows. After an error its slices may be shorter than n.
func (r *reader) vector(t Type, n int) *Vector {
	v := &Vector{Type: t, N: n}
	switch valid := r.byte(); valid {
	case 0:
	case 1:
		v.Valid = append([]byte{}, r.take((n+7)/8, 1)...)
	default:
		r.fail("batch has a bad validity %d", valid)
	}
	switch t.Kind {
	case Any:
		v.Boxed = make([]Value, 0, min(n, len(r.src))) // a value takes a byte at least
		for len(v.Boxed) < n && r.err == nil {
			v.Boxed = append(v.Boxed, r.value(0))
		}
	case Bool:
		raw := r.take(n, 1)
		v.Bools = make([]bool, len(raw))
		for i, b := range raw {
			v.Bools[i] = b != 0
		}
	case Int, Time, Duration:
		v.Ints = r.ints(n)
	case Float:
		raw := r.take(n, 8)
		v.Floats = make([]float64, len(raw)/8)
		for i := range v.Floats {
			v.Floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
		}
	case String, Bytes:
		size := r.lengths(v, n)
		v.Data = append([]byte{}, r.take(size, 1)...)
	case List:
		v.Children = []*Vector{r.vector(*t.Elem, r.lengths(v, n))}
	case Map:
		size := r.lengths(v, n)
		v.Children = []*Vector{r.vector(StringType, size), r.vector(*t.Elem, size)}
	case Row:
		for _, f := range t.Fields {
			v.Children = append(v.Children, r.vector(f.Type, n))
		}
	}
	return v
}

// lengths reads the length of each row as v's offsets, and returns their sum.
func (r *reader) lengths(v *Vector, n int) int {
	raw := r.take(n, 4)
	v.Offsets = make([]int32, len(raw)/4+1)
	sum := int64(0)
	for i := range len(raw) / 4 {
		sum += int64(binary.LittleEndian.Uint32(raw[4*i:]))
		if sum > math.MaxInt32 {
			r.fail("batch has a column of more than %d elements", math.MaxInt32)
			return 0
		}
		v.Offsets[i+1] = int32(sum)
	}
	return int(sum)
}

// The tags of boxed values.
const (
	tagNull byte = iota
	tagFalse
	tagTrue
	tagInt
	tagFloat
	tagString
	tagBytes
	tagTime
	tagSpan
	tagList
	tagTuple
	tagMap
	tagRow
)

// AppendValue appends the binary form of a boxed value: a tag, then what it needs. A Go type that is no value is
// written as null.
func AppendValue(dst []byte, v Value) []byte {
	number := func(tag byte, x uint64) []byte { return binary.LittleEndian.AppendUint64(append(dst, tag), x) }
	switch v := v.(type) {
	case bool:
		if v {
			return append(dst, tagTrue)
		}
		return append(dst, tagFalse)
	case int64:
		return number(tagInt, uint64(v))
	case float64:
		return number(tagFloat, math.Float64bits(v))
	case string:
		return appendBin(append(dst, tagString), v)
	case []byte:
		return appendBin(append(dst, tagBytes), v)
	case Instant:
		return number(tagTime, uint64(v))
	case Span:
		return number(tagSpan, uint64(v))
	case *ListValue:
		tag := tagList
		if v.Tuple {
			tag = tagTuple
		}
		return appendValues(append(dst, tag), v.Elems)
	case *MapValue:
		dst = appendValues(append(dst, tagMap), v.Keys)
		for _, e := range v.Elems {
			dst = AppendValue(dst, e)
		}
		return dst
	case *RowValue:
		dst = binary.AppendUvarint(append(dst, tagRow), uint64(len(v.Names)))
		for i, n := range v.Names {
			dst = AppendValue(appendBin(dst, n), v.Elems[i])
		}
		return dst
	}
	return append(dst, tagNull)
}

func appendValues(dst []byte, values []Value) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	for _, v := range values {
		dst = AppendValue(dst, v)
	}
	return dst
}

// ReadValue reads what AppendValue wrote, and returns the bytes after it. As ReadBatch it is safe with any bytes.
func ReadValue(src []byte) (v Value, rest []byte, err error) {
	r := &reader{src: src}
	v = r.value(0)
	if r.err != nil {
		return nil, nil, fmt.Errorf("read a value: %w", r.err)
	}
	return v, r.src, nil
}

func (r *reader) value(depth int) Value {
	if depth > maxDepth {
		r.fail("value nests deeper than %d", maxDepth)
		return nil
	}
	word := func() uint64 {
		if b := r.take(1, 8); b != nil {
			return binary.LittleEndian.Uint64(b)
		}
		return 0
	}
	switch tag := r.byte(); tag {
	case tagNull:
		return nil
	case tagFalse, tagTrue:
		return tag == tagTrue
	case tagInt:
		return int64(word())
	case tagFloat:
		return math.Float64frombits(word())
	case tagString:
		return string(r.bin())
	case tagBytes:
		return append([]byte{}, r.bin()...)
	case tagTime:
		return Instant(word())
	case tagSpan:
		return Span(word())
	case tagList, tagTuple:
		return &ListValue{Elems: r.values(r.count(), depth), Tuple: tag == tagTuple}
	case tagMap:
		n := r.count()
		return &MapValue{Keys: r.values(n, depth), Elems: r.values(n, depth)}
	case tagRow:
		return r.row(depth)
	default:
		r.fail("value has an unknown tag %d", tag)
		return nil
	}
}

func (r *reader) values(n, depth int) []Value {
	if n > len(r.src) { // a value takes a byte at least
		r.fail("value has %d elements in %d bytes", n, len(r.src))
		return nil
	}
	out := make([]Value, n)
	for i := 0; i < n && r.err == nil; i++ {
		out[i] = r.value(depth + 1)
	}
	return out
}

func (r *reader) row(depth int) Value {
	n := r.count()
	if n > len(r.src)/2 { // a name and a value take a byte each at least
		r.fail("value has %d fields in %d bytes", n, len(r.src))
		return nil
	}
	row := &RowValue{Names: make([]string, n), Elems: make([]Value, n)}
	for i := 0; i < n && r.err == nil; i++ {
		row.Names[i] = string(r.bin())
		row.Elems[i] = r.value(depth + 1)
	}
	return row
}
