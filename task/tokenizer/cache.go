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

// cache remembers the pieces of words. A slot holds one word, and a new one takes its place: no locks, no order.
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

func (c *cache) slot(word []byte) *atomic.Pointer[cached] {
	return &c.slots[maphash.Bytes(c.seed, word)%cacheSlots]
}
