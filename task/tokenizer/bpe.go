package tokenizer

import (
	"math/bits"
	"unicode/utf8"
)

// maxScanned is the number of symbols up to which the next merge is looked for in all pairs; longer words use a heap.
const maxScanned = 48

// bpe merges neighbouring symbols by rank, the first of the same rank first.
type bpe struct {
	ids          map[string]int32
	merges       mergeTable
	unknown      int32
	fuse         bool
	ignoreMerges bool                 // a word that is a token is not taken apart
	raw          *[256]int32          // tokens of single bytes, where the vocabulary was turned from GPT-2's characters into bytes
	fallback     *[256]int32          // <0x00> and so on
	ascii        [utf8.RuneSelf]int32 // tokens of ASCII characters, noID where there are none
	prefix       string
	suffix       string
}

type merge struct{ rank, id int32 }

// symbol is a part of a word while it is merged. Parts are linked; one that was merged into the part before has length 0.
type symbol struct {
	id, length int32
	prev, next int32
}

// mergeTable has the merges by the ids of two symbols. It is a hash table with linear probing, at most half full.
type mergeTable struct {
	keys   []uint64 // noPair where there is none
	merges []merge
	shift  int
}

const noPair = 1<<64 - 1

// newMergeTable has room for n merges.
func newMergeTable(n int) mergeTable {
	size := 1 << bits.Len(uint(2*n+1))
	t := mergeTable{keys: make([]uint64, size), merges: make([]merge, size), shift: 64 - bits.Len(uint(size-1))}
	for i := range t.keys {
		t.keys[i] = noPair
	}
	return t
}

// slot returns where a key is or would be.
func (t *mergeTable) slot(key uint64) int {
	i := int(key * 0x9e3779b97f4a7c15 >> t.shift) // Fibonacci hashing
	for t.keys[i] != key && t.keys[i] != noPair {
		i = (i + 1) & (len(t.keys) - 1)
	}
	return i
}

func (t *mergeTable) set(key uint64, g merge) {
	i := t.slot(key)
	t.keys[i], t.merges[i] = key, g
}

func (t *mergeTable) find(key uint64) (merge, bool) {
	i := t.slot(key)
	return t.merges[i], t.keys[i] == key
}

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func (m *bpe) tokenize(dst []piece, text []byte, s *scratch) []piece {
	if m.ignoreMerges {
		if id, ok := m.ids[string(text)]; ok {
			return append(dst, piece{id, 0, int32(len(text))})
		}
	}
	s.symbols = s.symbols[:0]
	if m.raw != nil {
		for _, c := range text {
			if id := m.raw[c]; id != noID {
				s.symbols = append(s.symbols, symbol{id: id, length: 1})
			} else if m.unknown != noID {
				s.symbols = m.addUnknown(s.symbols, 1)
			}
		}
	} else {
		m.split(text, s)
	}
	if len(s.symbols) <= maxScanned {
		m.mergeScanning(s)
	} else {
		m.mergeByHeap(s)
	}
	at := int32(0)
	for _, y := range s.symbols {
		if y.length > 0 {
			dst = append(dst, piece{y.id, at, at + y.length})
			at += y.length
		}
	}
	return dst
}

// split makes a symbol of each character.
func (m *bpe) split(text []byte, s *scratch) {
	pending := int32(0) // bytes that are unknown and not yet a symbol
	for i := 0; i < len(text); {
		_, size := decode(text[i:])
		id, part := m.character(text, i, size, s)
		i += size
		switch {
		case id != noID:
			if pending > 0 {
				s.symbols, pending = append(s.symbols, symbol{id: m.unknown, length: pending}), 0
			}
			s.symbols = append(s.symbols, symbol{id: id, length: int32(size)})
		case m.fallback != nil && hasBytes(m.fallback, part):
			for _, c := range part {
				s.symbols = append(s.symbols, symbol{id: m.fallback[c], length: 1})
			}
		case m.unknown != noID:
			if pending > 0 && !m.fuse {
				s.symbols, pending = append(s.symbols, symbol{id: m.unknown, length: pending}), 0
			}
			pending += int32(size)
		}
	}
	if pending > 0 {
		s.symbols = append(s.symbols, symbol{id: m.unknown, length: pending})
	}
}

// character returns the token of the character at i and how it is written in the vocabulary: with a prefix inside of
// the word, with a suffix at its end.
func (m *bpe) character(text []byte, i, size int, s *scratch) (int32, []byte) {
	part := text[i : i+size]
	if m.prefix != "" && i > 0 || m.suffix != "" && i+size == len(text) {
		s.part = s.part[:0]
		if i > 0 {
			s.part = append(s.part, m.prefix...)
		}
		s.part = append(s.part, part...)
		if i+size == len(text) {
			s.part = append(s.part, m.suffix...)
		}
		part = s.part
	} else if size == 1 && m.ascii[part[0]] != noID {
		return m.ascii[part[0]], part
	}
	if id, ok := m.ids[string(part)]; ok {
		return id, part
	}
	return noID, part
}

// addUnknown appends an unknown symbol, or makes the last one longer.
func (m *bpe) addUnknown(symbols []symbol, size int32) []symbol {
	if n := len(symbols); m.fuse && n > 0 && symbols[n-1].id == m.unknown {
		symbols[n-1].length += size
		return symbols
	}
	return append(symbols, symbol{id: m.unknown, length: size})
}

// mergeScanning keeps the ranks of neighbouring symbols in s.merges and looks for the lowest one.
func (m *bpe) mergeScanning(s *scratch) {
	y := s.symbols
	none := merge{rank: 1<<31 - 1}
	find := func(i int) merge {
		if i+1 < len(y) {
			if g, ok := m.merges.find(pairKey(y[i].id, y[i+1].id)); ok {
				return g
			}
		}
		return none
	}
	g := s.merges[:0]
	for i := range y {
		g = append(g, find(i))
	}
	for {
		best := 0
		for i := range g {
			if g[i].rank < g[best].rank {
				best = i
			}
		}
		if len(g) == 0 || g[best] == none {
			break
		}
		y[best].id = g[best].id
		y[best].length += y[best+1].length
		y = append(y[:best+1], y[best+2:]...)
		g = append(g[:best+1], g[best+2:]...)
		g[best] = find(best)
		if best > 0 {
			g[best-1] = find(best - 1)
		}
	}
	s.symbols, s.merges = y, g[:0]
}

// candidate is a merge that may be done, unless its symbols have changed since. Its key orders by rank, then place.
type candidate struct {
	key uint64
	id  int32
}

func newCandidate(g merge, at int32) candidate {
	return candidate{uint64(g.rank)<<32 | uint64(at), g.id}
}

func (c candidate) at() int32 { return int32(uint32(c.key)) }

// candidates is a heap with the smallest key first.
type candidates []candidate

func (h *candidates) push(c candidate) {
	q := append(*h, c)
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if q[up].key <= c.key {
			break
		}
		q[i] = q[up]
		i = up
	}
	q[i] = c
	*h = q
}

func (h *candidates) pop() candidate {
	q := *h
	top, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	*h = q
	for i := 0; len(q) > 0; {
		down := 2*i + 1
		if down+1 < len(q) && q[down+1].key < q[down].key {
			down++
		}
		if down >= len(q) || last.key <= q[down].key {
			q[i] = last
			break
		}
		q[i] = q[down]
		i = down
	}
	return top
}

// mergeByHeap takes n log n steps for n symbols.
func (m *bpe) mergeByHeap(s *scratch) {
	y := s.symbols
	s.queue = s.queue[:0]
	for i := range y {
		y[i].prev, y[i].next = int32(i)-1, int32(i)+1
	}
	y[len(y)-1].next = noID
	for i := range y {
		m.offer(s, int32(i))
	}
	for len(s.queue) > 0 {
		c := s.queue.pop()
		at := c.at()
		left := &y[at]
		if left.length == 0 || left.next < 0 {
			continue
		}
		right := &y[left.next]
		if g, ok := m.merges.find(pairKey(left.id, right.id)); !ok || g.id != c.id {
			continue
		}
		left.id = c.id
		left.length += right.length
		right.length = 0
		if left.next = right.next; left.next >= 0 {
			y[left.next].prev = at
		}
		m.offer(s, left.prev)
		m.offer(s, at)
	}
}

// offer adds the merge of the symbol at a place with the next one, if there is one.
func (m *bpe) offer(s *scratch, at int32) {
	if at < 0 || s.symbols[at].next < 0 {
		return
	}
	y := &s.symbols[at]
	if g, ok := m.merges.find(pairKey(y.id, s.symbols[y.next].id)); ok {
		s.queue.push(newCandidate(g, at))
	}
}

// rawText turns a token of GPT-2's characters into its bytes; false where it has others.
func rawText(token string) (string, bool) {
	out := make([]byte, 0, utf8.RuneCountInString(token))
	for _, r := range token {
		if int(r) >= len(runeBytes) || runeBytes[r] < 0 {
			return "", false
		}
		out = append(out, byte(runeBytes[r]))
	}
	return string(out), true
}
