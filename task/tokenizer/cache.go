package tokenizer

import (
	"hash/maphash"
	"sync/atomic"
)

// cacheSlots and maxCachedWord, in bytes, bound the memory that a tokenizer spends on words it has met: some 10 MB.
const (
	cacheSlots    = 1 << 16
	maxCachedWord = 64
)

// cache remembers the pieces of words. A word may be in one of two slots; where both are taken, a new word takes the
// place of another: no locks, no order.
type cache struct {
	seed  maphash.Seed
	slots []atomic.Pointer[cached]
}

type cached struct {
	word   string
	pieces []piece
}

func newCache() *cache {
	return &cache{seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[cached], cacheSlots)}
}

// find returns a word, or nil and the slot where it is to be put.
func (c *cache) find(word []byte) (*cached, *atomic.Pointer[cached]) {
	h := maphash.Bytes(c.seed, word)
	first := &c.slots[h%cacheSlots]
	x := first.Load()
	if x == nil || x.word == string(word) {
		return x, first
	}
	second := &c.slots[h>>32%cacheSlots]
	y := second.Load()
	if y == nil || y.word == string(word) {
		return y, second
	}
	if h>>63 == 0 {
		return nil, first
	}
	return nil, second
}
