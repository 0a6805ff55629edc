package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/leat-project/leat/column"
)

// The canonical form of keys. Equal keys, in Python's sense, have equal bytes: 1, 1.0 and True are one key, and so are
// 0.0 and -0.0, and all NaNs. Null is a key like any other. A key is the values of the key columns, one after another:
//
//	null                      0
//	number                    1, 8 bytes: a bool, an int, a float that is an integer of 64 bits; little endian
//	                          2, 8 bytes: any other float
//	string, bytes             3 or 4, length, bytes; the last column's without its length
//	timestamp, duration       5 or 6, 8 bytes
//	list, tuple               7 or 8, number of elements, elements
//	map                       9, number of entries, keys with values, sorted by the bytes of the keys
//	row                       10, number of fields, names and values
const (
	keyNull byte = iota
	keyInt
	keyFloat
	keyString
	keyBytes
	keyTime
	keySpan
	keyList
	keyTuple
	keyMap
	keyRow
)

// A key of at most 15 bytes is two words: its bytes, zeros, and its length in the last byte. A longer key lies elsewhere, and
// its words are where, and its length below longMark.
const (
	shortKey = 15
	longMark = 0xff << 56
)

func isLong(w1 uint64) bool { return w1 >= longMark }

// packKey returns the two words of a short key.
func packKey(key []byte) (w0, w1 uint64) {
	var block [16]byte
	copy(block[:shortKey], key)
	block[15] = byte(len(key))
	return binary.LittleEndian.Uint64(block[:]), binary.LittleEndian.Uint64(block[8:])
}

// keys are the keys of the selected rows of one batch. It is scratch memory of a table.
type keys struct {
	w0, w1, hash []uint64
	long         []byte // of long keys: w0 is the offset here
	buf          []byte

	// shown is how each key looks, where its canonical form does not tell: see looks.
	shown   []byte
	shownAt []int32
	boxed   bool
}

// looks reports whether keys of that type may look different and be equal, or are too rare to be decoded from their
// canonical form. Such keys carry how they look beside it.
func looks(t column.Type) bool {
	switch t.Kind {
	case column.Any, column.List, column.Map, column.Row:
		return true
	}
	return false
}

func (k *keys) reset(n int) {
	if cap(k.hash) < n {
		words := make([]uint64, 3*n)
		k.w0, k.w1, k.hash = words[:n:n], words[n:2*n:2*n], words[2*n:]
	}
	k.w0, k.w1, k.hash = k.w0[:n], k.w1[:n], k.hash[:n]
	k.long, k.shown, k.shownAt = k.long[:0], k.shown[:0], k.shownAt[:0]
}

// encode encodes the keys of those rows.
func (k *keys) encode(cols []*column.Vector, rows []int32) {
	k.reset(len(rows))
	switch {
	case len(cols) == 0:
		w0, w1 := packKey(nil)
		k.fill(w0, w1)
	case len(cols) == 1 && cols[0].Type.Kind == column.String:
		k.encodeStrings(cols[0], rows, keyString)
	case len(cols) == 1 && cols[0].Type.Kind == column.Int && !cols[0].HasNulls():
		k.encodeInts(cols[0], rows)
	default:
		for i, r := range rows {
			k.buf = k.buf[:0]
			for c, v := range cols {
				k.buf = appendKey(k.buf, v, int(r), c == len(cols)-1)
			}
			k.put(i, k.buf)
		}
	}
	if k.boxed {
		for _, r := range rows {
			k.shownAt = append(k.shownAt, int32(len(k.shown)))
			for _, v := range cols {
				k.shown = column.AppendValue(k.shown, v.Value(int(r)))
			}
		}
		k.shownAt = append(k.shownAt, int32(len(k.shown)))
	}
}

// load takes the keys of partial groups.
func (k *keys) load(p *partials) {
	k.reset(p.n)
	for i := range p.n {
		r := p.row(i)
		k.hash[i], k.w0[i], k.w1[i] = r[wordHash], r[wordKey0], r[wordKey1]
		if isLong(r[wordKey1]) {
			k.putLong(i, p.key.Bin(i))
		}
	}
	if k.boxed {
		for i := range p.n {
			k.shownAt = append(k.shownAt, int32(len(k.shown)))
			k.shown = append(k.shown, p.look.Bin(i)...)
		}
		k.shownAt = append(k.shownAt, int32(len(k.shown)))
	}
}

// look returns how key i looks, or nil where its canonical form tells.
func (k *keys) look(i int) []byte {
	if !k.boxed {
		return nil
	}
	return k.shown[k.shownAt[i]:k.shownAt[i+1]]
}

func (k *keys) fill(w0, w1 uint64) {
	h := hashWords(w0, w1)
	for i := range k.hash {
		k.w0[i], k.w1[i], k.hash[i] = w0, w1, h
	}
}

// put sets key i.
func (k *keys) put(i int, key []byte) {
	if len(key) <= shortKey {
		k.w0[i], k.w1[i] = packKey(key)
		k.hash[i] = hashWords(k.w0[i], k.w1[i])
		return
	}
	k.putLong(i, key)
	k.hash[i] = hashBytes(key)
}

func (k *keys) putLong(i int, key []byte) {
	k.w0[i], k.w1[i] = uint64(len(k.long)), longMark|uint64(len(key))
	k.long = append(k.long, key...)
}

// longKey returns the bytes of key i, which is long.
func (k *keys) longKey(i int) []byte {
	n := k.w1[i] &^ longMark
	return k.long[k.w0[i] : k.w0[i]+n]
}

func (k *keys) encodeInts(v *column.Vector, rows []int32) {
	for i, r := range rows {
		x := uint64(v.Ints[r])
		w0, w1 := uint64(keyInt)|x<<8, x>>56|9<<56
		k.w0[i], k.w1[i], k.hash[i] = w0, w1, hashWords(w0, w1)
	}
}

// encodeStrings encodes a single string column: strings of up to 14 bytes are loaded into words without a copy.
func (k *keys) encodeStrings(v *column.Vector, rows []int32, tag byte) {
	data, offsets := v.Data, v.Offsets
	nulls := v.HasNulls()
	for i, r := range rows {
		from, to := int(offsets[r]), int(offsets[r+1])
		n := to - from
		if n < shortKey && from+16 <= len(data) && !(nulls && v.IsNull(int(r))) {
			p := data[from : from+16]
			x, y := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
			if n <= 8 {
				x &= 1<<(8*uint(n)) - 1
				y = 0
			} else {
				y &= 1<<(8*uint(n-8)) - 1
			}
			w0, w1 := uint64(tag)|x<<8, x>>56|y<<8|uint64(n+1)<<56
			k.w0[i], k.w1[i], k.hash[i] = w0, w1, hashWords(w0, w1)
			continue
		}
		k.buf = appendKey(k.buf[:0], v, int(r), true)
		k.put(i, k.buf)
	}
}

// appendKey appends the canonical form of row i of v; last says that nothing follows.
func appendKey(dst []byte, v *column.Vector, i int, last bool) []byte {
	if v.IsNull(i) {
		return append(dst, keyNull)
	}
	switch v.Type.Kind {
	case column.Bool:
		return appendKeyBool(dst, v.Bools[i])
	case column.Int:
		return appendWord(dst, keyInt, uint64(v.Ints[i]))
	case column.Float:
		return appendKeyFloat(dst, v.Floats[i])
	case column.String:
		return appendKeyBin(dst, keyString, v.Bin(i), last)
	case column.Bytes:
		return appendKeyBin(dst, keyBytes, v.Bin(i), last)
	case column.Time:
		return appendWord(dst, keyTime, uint64(v.Ints[i]))
	case column.Duration:
		return appendWord(dst, keySpan, uint64(v.Ints[i]))
	}
	return appendKeyValue(dst, v.Value(i), last)
}

func appendWord(dst []byte, tag byte, x uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, tag), x)
}

func appendKeyBin[T string | []byte](dst []byte, tag byte, s T, last bool) []byte {
	dst = append(dst, tag)
	if !last {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
	}
	return append(dst, s...)
}

func appendKeyBool(dst []byte, x bool) []byte {
	if x {
		return appendWord(dst, keyInt, 1)
	}
	return appendWord(dst, keyInt, 0)
}

func appendKeyFloat(dst []byte, x float64) []byte {
	if x >= -1<<63 && x < 1<<63 && x == math.Trunc(x) {
		return appendWord(dst, keyInt, uint64(int64(x)))
	}
	if x != x {
		x = math.NaN()
	}
	return appendWord(dst, keyFloat, math.Float64bits(x))
}

// appendKeyValue appends the canonical form of a boxed value.
func appendKeyValue(dst []byte, v column.Value, last bool) []byte {
	switch v := v.(type) {
	case bool:
		return appendKeyBool(dst, v)
	case int64:
		return appendWord(dst, keyInt, uint64(v))
	case float64:
		return appendKeyFloat(dst, v)
	case string:
		return appendKeyBin(dst, keyString, v, last)
	case []byte:
		return appendKeyBin(dst, keyBytes, v, last)
	case column.Instant:
		return appendWord(dst, keyTime, uint64(v))
	case column.Span:
		return appendWord(dst, keySpan, uint64(v))
	case *column.ListValue:
		tag := keyList
		if v.Tuple {
			tag = keyTuple
		}
		dst = binary.AppendUvarint(append(dst, tag), uint64(len(v.Elems)))
		for _, e := range v.Elems {
			dst = appendKeyValue(dst, e, false)
		}
		return dst
	case *column.MapValue:
		return appendKeyMap(dst, v)
	case *column.RowValue:
		dst = binary.AppendUvarint(append(dst, keyRow), uint64(len(v.Names)))
		for i, n := range v.Names {
			dst = binary.AppendUvarint(dst, uint64(len(n)))
			dst = appendKeyValue(append(dst, n...), v.Elems[i], false)
		}
		return dst
	}
	return append(dst, keyNull)
}

func appendKeyMap(dst []byte, m *column.MapValue) []byte {
	entries := make([][]byte, len(m.Keys))
	for i, key := range m.Keys {
		entries[i] = appendKeyValue(appendKeyValue(nil, key, false), m.Elems[i], false)
	}
	slices.SortFunc(entries, bytes.Compare)
	dst = binary.AppendUvarint(append(dst, keyMap), uint64(len(entries)))
	for _, e := range entries {
		dst = append(dst, e...)
	}
	return dst
}

// readKey decodes the first column of a key that has no look into b, and returns the rest of the key.
func readKey(b *column.Builder, t column.Type, key []byte, last bool) []byte {
	tag, key := key[0], key[1:]
	word := func() uint64 { return binary.LittleEndian.Uint64(key) }
	switch tag {
	case keyNull:
		b.AppendNull()
		return key
	case keyString, keyBytes:
		n := uint64(len(key))
		if !last {
			var size int
			n, size = binary.Uvarint(key)
			key = key[size:]
		}
		b.AppendBin(key[:n])
		return key[n:]
	case keyFloat:
		b.AppendFloat(math.Float64frombits(word()))
	case keyInt, keyTime, keySpan:
		switch x := int64(word()); t.Kind {
		case column.Bool:
			b.AppendBool(x != 0)
		case column.Float:
			b.AppendFloat(float64(x))
		default:
			b.AppendInt(x)
		}
	default:
		panic(fmt.Sprintf("kernel: key of type %s has tag %d", t, tag))
	}
	return key[8:]
}

// unpackKey returns the bytes of a short key.
func unpackKey(w0, w1 uint64, buf *[16]byte) []byte {
	binary.LittleEndian.PutUint64(buf[:], w0)
	binary.LittleEndian.PutUint64(buf[8:], w1)
	return buf[:buf[15]]
}
