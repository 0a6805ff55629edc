package kernel

import (
	"encoding/binary"
	"math/bits"
)

// KeyGroups is the number of groups that keys are hashed into. State belongs to key groups, never to workers, so
// that the number of workers may change between runs.
const KeyGroups = 256

// hashVersion numbers the hash and the encoding of keys. State that is kept between runs names it; it rises when either changes.
const hashVersion = 1

// The odd constants of the hash, digits of π.
const (
	hash0 = 0x243f6a8885a308d3
	hash1 = 0x13198a2e03707345
	hash2 = 0xa4093822299f31d1
	hash3 = 0x082efa98ec4e6c89
)

// keyGroupOf returns the key group of a hash: its first byte.
func keyGroupOf(hash uint64) int { return int(hash >> 56) }

// mum folds the product of two words into one, as wyhash does.
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashWords hashes a key that fits two words.
func hashWords(w0, w1 uint64) uint64 { return mum(mum(w0^hash0, w1^hash1)^hash2, hash3) }

// hashBytes hashes a key of 16 bytes or more.
func hashBytes(p []byte) uint64 {
	n := len(p)
	h := uint64(n) ^ hash0
	for q := p; len(q) > 16; q = q[16:] {
		h = mum(binary.LittleEndian.Uint64(q)^hash1, binary.LittleEndian.Uint64(q[8:])^h)
	}
	tail := p[n-16:] // overlaps what has been read where n is no multiple of 16
	h = mum(binary.LittleEndian.Uint64(tail)^hash1, binary.LittleEndian.Uint64(tail[8:])^h)
	return mum(h^hash2, hash3)
}

// spread mixes the start of a window into a hash, for the place in a table. Its high bits, which choose the place, depend on all bits of
// the hash but the first: those are the same within a key group.
func spread(hash uint64, start int64) uint64 {
	s := uint64(start) * hash3
	return (hash ^ s ^ s>>32) * hash1
}
