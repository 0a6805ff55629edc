package image

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// lookupBits is how many bits are looked up at once. Longer codes are rare.
const lookupBits = 10

// huffman is a Huffman table of a JPEG.
type huffman struct {
	symbols [256]uint8
	short   [1 << lookupBits]uint16 // by the next bits: length of the code << 8 | symbol, where the code is short enough
	// By the next bits, where the code and the bits that it announces are short enough: a coefficient << 16 | zeros before it << 8 |
	// length of both.
	coefficient [1 << lookupBits]int32
	last        [17]int32 // by length: the last code of that length, or -1
	offset      [17]int32 // by length: from a code to its number
}

var (
	errJPEGCode  = errors.New("jpeg: a Huffman code that the file does not define")
	errJPEGTable = errors.New("jpeg: a Huffman table is wrong")
	errJPEGCut   = errors.New("jpeg: the file is cut off")
)

// newHuffman makes a table of the number of codes of each length, from 1 to 16, and of their symbols.
func newHuffman(counts *[16]uint8, symbols []uint8) (*huffman, error) {
	h := &huffman{}
	copy(h.symbols[:], symbols)
	code, n := int32(0), int32(0)
	for i, count := range counts {
		length := i + 1
		h.offset[length], h.last[length] = n-code, code+int32(count)-1
		if code+int32(count) > 1<<length {
			return nil, errJPEGTable
		}
		for range count {
			if length <= lookupBits {
				first := code << (lookupBits - length)
				for j := range int32(1) << (lookupBits - length) {
					h.short[first+j] = uint16(length)<<8 | uint16(h.symbols[n])
				}
			}
			code++
			n++
		}
		if count == 0 {
			h.last[length] = -1
		}
		code <<= 1
	}
	h.fillCoefficients()
	return h, nil
}

func (h *huffman) fillCoefficients() {
	for i, s := range h.short {
		length, zeros, size := int(s>>8), int(s>>4&15), int(s&15)
		if length == 0 || size == 0 || length+size > lookupBits {
			continue
		}
		v := extend(uint32(i)>>(lookupBits-length-size)&(1<<size-1), size)
		h.coefficient[i] = v<<16 | int32(zeros)<<8 | int32(length+size)
	}
}

// extend returns the number that size bits stand for: those that begin with a 0 are negative.
func extend(v uint32, size int) int32 {
	if v>>(uint(size-1)&31) != 0 {
		return int32(v)
	}
	return int32(v) - 1<<(uint(size)&31) + 1
}

// bitReader reads bits of the entropy-coded data up to a marker, of which the stuffing has been taken out.
type bitReader struct {
	data []byte // with room behind it for a word
	at   int    // of the next byte that is not in bits
	bits uint64 // the next ones, highest first
	n    uint   // how many of bits are valid
	end  int    // of what is data
}

const word = 8

// reset takes the data up to the next marker and returns what begins there. It keeps the buffer.
func (r *bitReader) reset(data []byte) (rest []byte) {
	r.data = r.data[:0]
	for {
		n := bytes.IndexByte(data, 0xff)
		if n < 0 || n+1 >= len(data) {
			rest, data = nil, data[:max(n, 0)]
			break
		}
		if data[n+1] != 0 {
			rest, data = data[n:], data[:n]
			break
		}
		r.data = append(r.data, data[:n+1]...)
		data = data[n+2:]
	}
	r.data = append(r.data, data...)
	r.end = len(r.data)
	r.data = append(r.data, make([]byte, 2*word)...)
	r.at, r.bits, r.n = 0, 0, 0
	return rest
}

// overrun says that more bits were taken than there are.
func (r *bitReader) overrun() bool { return r.at-int(r.n/8) > r.end }

// refill makes at least 56 bits valid. Behind the end there are zeros.
func (r *bitReader) refill() {
	at := min(r.at, len(r.data)-word)
	r.bits |= binary.BigEndian.Uint64(r.data[at:]) >> (r.n & 63)
	r.at += int(63-r.n) >> 3
	r.n |= 56
}

// take returns the next bits, at most 16.
func (r *bitReader) take(n int) uint32 {
	if r.n < 16 {
		r.refill()
	}
	v := uint32(r.bits >> 1 >> (uint(63-n) & 63))
	r.bits <<= uint(n) & 63
	r.n -= uint(n)
	return v
}

// symbol decodes the next symbol.
func (r *bitReader) symbol(h *huffman) (uint8, error) {
	if r.n < 16 {
		r.refill()
	}
	if s := h.short[r.bits>>(64-lookupBits)]; s != 0 {
		r.bits <<= s >> 8 & 63
		r.n -= uint(s >> 8)
		return uint8(s), nil
	}
	symbol, length := h.long(r.bits)
	if length == 0 {
		return 0, errJPEGCode
	}
	r.bits <<= length & 63
	r.n -= length
	return symbol, nil
}

// long finds a code that is too long to be looked up; its length is 0 where there is none.
func (h *huffman) long(bits uint64) (symbol uint8, length uint) {
	for length = lookupBits + 1; length <= 16; length++ {
		if code := int32(bits >> (64 - length)); code <= h.last[length] {
			return h.symbols[uint8(code+h.offset[length])], length
		}
	}
	return 0, 0
}

// block decodes the coefficients of a block of a sequential JPEG, in the order of unzigzag. It returns the columns that hold any.
func (r *bitReader) block(b *[64]int16, dc, ac *huffman, previous *int32) (columns uint8, err error) {
	*b = [64]int16{}
	size, err := r.symbol(dc)
	if err != nil || size > 15 {
		return 0, errJPEGCode
	}
	if size > 0 {
		*previous += extend(r.take(int(size)), int(size))
	}
	b[0] = int16(*previous)
	columns = 1
	bits, n, at := r.bits, r.n, r.at
	data := r.data
	for k := 1; k < 64; k++ {
		if n < 32 { // enough for the longest code and the longest number
			bits |= binary.BigEndian.Uint64(data[min(at, len(data)-word):]) >> (n & 63)
			at += int(63-n) >> 3
			n |= 56
		}
		if c := ac.coefficient[bits>>(64-lookupBits)]; c != 0 {
			k += int(c >> 8 & 15)
			bits <<= c & 31
			n -= uint(c & 31)
			z := unzigzag[k&127]
			b[z&63] = int16(c >> 16)
			columns |= 1 << (z >> 3 & 7)
			continue
		}
		s := ac.short[bits>>(64-lookupBits)]
		symbol, length := uint8(s), uint(s>>8)
		if length == 0 {
			if symbol, length = ac.long(bits); length == 0 {
				return 0, errJPEGCode
			}
		}
		bits <<= length & 63
		n -= length
		size := uint(symbol & 15)
		if size == 0 {
			if symbol != 0xf0 {
				break // the rest is zero
			}
			k += 15
			continue
		}
		k += int(symbol >> 4)
		v := extend(uint32(bits>>(64-size)), int(size))
		bits <<= size
		n -= size
		z := unzigzag[k&127]
		b[z&63] = int16(v)
		columns |= 1 << (z >> 3 & 7)
	}
	r.bits, r.n, r.at = bits, n, at
	return columns, nil
}

// unzigzag gives for the order of the file where a coefficient lies: column by column, so that the transform reads what is next to it.
// What is beyond the last is put at the last.
var unzigzag = [128]uint8{
	0, 8, 1, 2, 9, 16, 24, 17, 10, 3, 4, 11, 18, 25, 32, 40,
	33, 26, 19, 12, 5, 6, 13, 20, 27, 34, 41, 48, 56, 49, 42, 35,
	28, 21, 14, 7, 15, 22, 29, 36, 43, 50, 57, 58, 51, 44, 37, 30,
	23, 31, 38, 45, 52, 59, 60, 53, 46, 39, 47, 54, 61, 62, 55, 63,
	63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
}
