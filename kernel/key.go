package kernel

import "github.com/leat-project/leat/column"

// AppendKey appends the canonical form of a row's key: equal keys have equal bytes.
func AppendKey(dst []byte, cols []*column.Vector, row int) []byte {
	for i, v := range cols {
		dst = appendKey(dst, v, row, i == len(cols)-1)
	}
	return dst
}

// KeyGroup returns the key group of a canonical key.
func KeyGroup(key []byte) int {
	if len(key) <= shortKey {
		w0, w1 := packKey(key)
		return keyGroupOf(hashWords(w0, w1))
	}
	return keyGroupOf(hashBytes(key))
}
