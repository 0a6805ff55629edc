package tokenizer

import (
	"container/heap"
	"unicode/utf8"
)

// maxScanned is the number of symbols up to which the next merge is looked for in all pairs; longer words use a heap.
const maxScanned = 48

// bpe merges neighbouring symbols by rank, the first of the same rank first.
type bpe struct {
	ids          map[string]int32
	merges       map[uint64]merge // by the ids of two symbols
	unknown      int32
	fuse         bool
	ignoreMerges bool        // a word that is a token is not taken apart
	raw          *[256]int32 // tokens of single bytes, where the vocabulary was turned from GPT-2's characters into bytes
	fallback     *[256]int32 // <0x00> and so on
	prefix       string
	suffix       string
}

type merge struct{ rank, id int32 }

// symbol is a part of a word while it is merged. Parts are linked; one that was merged into the part before has length 0.
type symbol struct {
	id, length int32
	prev, next int32
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
		}
		i += size
		if id, ok := m.ids[string(part)]; ok {
			if pending > 0 {
				s.symbols, pending = append(s.symbols, symbol{id: m.unknown, length: pending}), 0
			}
			s.symbols = append(s.symbols, symbol{id: id, length: int32(size)})
			continue
		}
		if m.fallback != nil && hasBytes(m.fallback, part) {
			for _, c := range part {
				s.symbols = append(s.symbols, symbol{id: m.fallback[c], length: 1})
			}
			continue
		}
		if m.unknown == noID {
			continue
		}
		if pending > 0 && !m.fuse {
			s.symbols, pending = append(s.symbols, symbol{id: m.unknown, length: pending}), 0
		}
		pending += int32(size)
	}
	if pending > 0 {
		s.symbols = append(s.symbols, symbol{id: m.unknown, length: pending})
	}
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
			if g, ok := m.merges[pairKey(y[i].id, y[i+1].id)]; ok {
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

// candidate is a merge that may be done, unless its symbols have changed since.
type candidate struct {
	merge
	at int32
}

type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }

// Push and Pop are container/heap's.
func (c *candidates) Push(x any) { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// mergeByHeap takes n log n steps for n symbols.
func (m *bpe) mergeByHeap(s *scratch) {
	y := s.symbols
	q := s.queue[:0]
	offer := func(at int32) {
		if at < 0 || y[at].next < 0 {
			return
		}
		if g, ok := m.merges[pairKey(y[at].id, y[y[at].next].id)]; ok {
			heap.Push(&q, candidate{g, at})
		}
	}
	for i := range y {
		y[i].prev, y[i].next = int32(i)-1, int32(i)+1
	}
	y[len(y)-1].next = -1
	for i := range y {
		offer(int32(i))
	}
	for len(q) > 0 {
		c := heap.Pop(&q).(candidate)
		left := &y[c.at]
		if left.length == 0 || left.next < 0 {
			continue
		}
		right := &y[left.next]
		if g, ok := m.merges[pairKey(left.id, right.id)]; !ok || g.id != c.id {
			continue
		}
		left.id = c.id
		left.length += right.length
		right.length = 0
		if left.next = right.next; left.next >= 0 {
			y[left.next].prev = c.at
		}
		offer(left.prev)
		offer(c.at)
	}
	s.queue = q
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
