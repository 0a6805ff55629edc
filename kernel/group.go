package kernel

import "bytes"

// Groups are numbered from 0 in the order in which their first row came. All that has a fixed size and belongs to a group, its key, its
// window and the states of its aggregates, is one row of words: a group that is not in the caches is brought there by one or two loads. Rows
// lie in pages, so that a table grows without copying, and the garbage collector finds nothing to look at.
const (
	pageBits = 8
	pageRows = 1 << pageBits
	pageMask = pageRows - 1
)

// The words of a row. The states of aggregates follow, behind how the key looks where a table keeps that.
const (
	wordHash  = iota
	wordStart // of the window
	wordEnd
	wordKey0 // the key: see packKey; a long key lies in the arena
	wordKey1
	wordRows // how many rows the group has
	plainWords

	wordLook    = plainWords     // where it is kept how the key looks, where the key does not tell: see looks
	wordLooks   = plainWords + 1 // its length
	lookedWords = plainWords + 2
)

// firstState returns the first word of the states.
func firstState(boxed bool) int {
	if boxed {
		return lookedWords
	}
	return plainWords
}

// words holds a row of words for each group.
type words struct {
	pages [][]uint64
	width int // of a row
	n     int
}

// row returns the row of group g. It may be written to.
func (w *words) row(g uint32) []uint64 {
	i := int(g&pageMask) * w.width
	return w.pages[g>>pageBits][i : i+w.width : i+w.width]
}

// add makes a row of zeros.
func (w *words) add() uint32 {
	if w.n>>pageBits == len(w.pages) {
		w.pages = append(w.pages, make([]uint64, pageRows*w.width))
	}
	w.n++
	return uint32(w.n - 1)
}

// reset drops all rows and keeps the memory.
func (w *words) reset() {
	for i := range (w.n + pageMask) >> pageBits {
		clear(w.pages[i])
	}
	w.n = 0
}

// arena holds byte strings in pages. A reference is a page's number and an offset.
type arena struct {
	pages [][]byte
	bytes int64
}

const (
	arenaFirst = 4 << 10
	arenaPage  = 256 << 10
)

// room returns a place of n bytes.
func (a *arena) room(n int) (ref uint64) {
	last := len(a.pages) - 1
	if last < 0 || cap(a.pages[last])-len(a.pages[last]) < n {
		size := min(arenaPage, arenaFirst<<min(2*len(a.pages), 6))
		a.pages = append(a.pages, make([]byte, 0, max(size, n)))
		last++
	}
	page := a.pages[last]
	a.pages[last] = page[:len(page)+n]
	a.bytes += int64(n)
	return uint64(last)<<32 | uint64(len(page))
}

// add copies p into the arena.
func (a *arena) add(p []byte) (ref uint64) {
	ref = a.room(len(p))
	copy(a.get(ref, len(p)), p)
	return ref
}

func (a *arena) get(ref uint64, n int) []byte {
	return a.pages[ref>>32][uint32(ref):][:n:n]
}

func (a *arena) reset() { a.pages, a.bytes = nil, 0 }

// groups finds the group of a key and a window: an open-addressing hash table.
type groups struct {
	words
	slots []uint64 // 0, or 32 bits of the hash and the group's number + 1; sorted by those bits but for what had to move on
	shift uint     // the place of a slot is its hash shifted by that much
	arena arena
	// merging says that a slot is found by the key alone, and leads to the group of that key that was touched last: sessions.
	merging bool
	boxed   bool // how keys look is kept
	ends    ends
}

// A table begins with that many slots.
const (
	minSlotBits = 8
	minSlots    = 1 << minSlotBits
)

// find puts the group of each key and window into out, makes the groups that are new, and counts a row for each.
func (g *groups) find(k *keys, starts, ends []int64, out []uint32) {
	if len(g.slots) == 0 {
		g.slots, g.shift = make([]uint64, minSlots), 64-minSlotBits
	}
	for i := range out {
		start, end, hash, w1 := starts[i], ends[i], k.hash[i], k.w1[i]
		x := g.mix(hash, start)
		mask := uint64(len(g.slots) - 1)
		for p := x >> g.shift; ; p = (p + 1) & mask {
			slot := g.slots[p]
			if slot == 0 {
				out[i] = g.insert(x, p, k, i, start, end)
				break
			}
			if (slot^x)>>32 != 0 {
				continue
			}
			n := uint32(slot) - 1
			r := g.row(n)
			if r[wordHash] != hash || r[wordKey1] != w1 || !isLong(w1) && r[wordKey0] != k.w0[i] ||
				isLong(w1) && !bytes.Equal(g.longKey(r), k.longKey(i)) {
				continue
			}
			if g.merging {
				n = g.touch(p, n, k, i, start, end)
			} else if r[wordStart] != uint64(start) || r[wordEnd] != uint64(end) {
				continue
			}
			out[i] = n
			if g.boxed {
				g.lookLess(n, k.look(i))
			}
			if g.merging {
				r = g.row(n)
			}
			r[wordRows]++
			break
		}
	}
}

// get returns the group of the window [start, end) and of the key of group n of o.
func (g *groups) get(o *groups, n uint32, start, end int64) (uint32, bool) {
	if len(g.slots) == 0 {
		return 0, false
	}
	key := o.row(n)
	x, mask := g.mix(key[wordHash], start), uint64(len(g.slots)-1)
	for p := x >> g.shift; g.slots[p] != 0; p = (p + 1) & mask {
		if (g.slots[p]^x)>>32 != 0 {
			continue
		}
		i := uint32(g.slots[p]) - 1
		if r := g.row(i); r[wordStart] == uint64(start) && r[wordEnd] == uint64(end) && sameKey(g, r, o, key) {
			return i, true
		}
	}
	return 0, false
}

// sameKey reports whether two rows have the same key.
func sameKey(g *groups, r []uint64, o *groups, s []uint64) bool {
	if r[wordHash] != s[wordHash] || r[wordKey1] != s[wordKey1] {
		return false
	}
	if isLong(r[wordKey1]) {
		return bytes.Equal(g.longKey(r), o.longKey(s))
	}
	return r[wordKey0] == s[wordKey0]
}

// mix returns the bits that a slot is found by.
func (g *groups) mix(hash uint64, start int64) uint64 {
	if g.merging {
		start = 0
	}
	return spread(hash, start)
}

func (g *groups) longKey(r []uint64) []byte {
	return g.arena.get(r[wordKey0], int(r[wordKey1]&^longMark))
}

// key returns the canonical bytes of group n's key, in buf where the key is short.
func (g *groups) key(n uint32, buf *[16]byte) []byte {
	r := g.row(n)
	if isLong(r[wordKey1]) {
		return g.longKey(r)
	}
	return unpackKey(r[wordKey0], r[wordKey1], buf)
}

// insert makes the group of key i at slot p.
func (g *groups) insert(x, p uint64, k *keys, i int, start, end int64) uint32 {
	w0 := k.w0[i]
	if isLong(k.w1[i]) {
		w0 = g.arena.add(k.longKey(i))
	}
	n := g.make(k, i, w0, start, end)
	g.slots[p] = x>>32<<32 | uint64(n+1)
	if g.n > len(g.slots)/2 {
		g.rehash()
	}
	return n
}

// make makes the row of a group.
func (g *groups) make(k *keys, i int, w0 uint64, start, end int64) uint32 {
	n := g.add()
	g.ends.add(end)
	r := g.row(n)
	r[wordHash], r[wordStart], r[wordEnd], r[wordKey0], r[wordKey1], r[wordRows] = k.hash[i], uint64(start), uint64(end), w0, k.w1[i], 1
	if g.boxed {
		look := k.look(i)
		r[wordLook], r[wordLooks] = g.arena.add(look), uint64(len(look))
	}
	return n
}

// rehash doubles the slots. The bits that they hold suffice for that, and both are walked from front to back.
func (g *groups) rehash() {
	old := g.slots
	g.slots = make([]uint64, 2*len(old))
	g.shift--
	mask := uint64(len(g.slots) - 1)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		p := slot >> g.shift
		for g.slots[p] != 0 {
			p = (p + 1) & mask
		}
		g.slots[p] = slot
	}
}

// touch puts the window [start, end) of key i into group n of that key, where they overlap; else it makes a group and lets slot p lead to
// it. Groups of a key whose windows overlap after all are merged at the end.
func (g *groups) touch(p uint64, n uint32, k *keys, i int, start, end int64) uint32 {
	r := g.row(n)
	if from, to := int64(r[wordStart]), int64(r[wordEnd]); start < to && from < end {
		r[wordStart], r[wordEnd] = uint64(min(from, start)), uint64(max(to, end))
		return n
	}
	n = g.make(k, i, r[wordKey0], start, end) // the bytes of a long key are shared
	g.row(n)[wordRows] = 0                    // find counts
	g.slots[p] = g.slots[p]>>32<<32 | uint64(n+1)
	return n
}

// lookLess lets group n look so where that sorts before how it looks: the choice does not depend on the order of rows.
func (g *groups) lookLess(n uint32, look []byte) {
	r := g.row(n)
	if bytes.Compare(look, g.look(r)) < 0 {
		r[wordLook], r[wordLooks] = g.arena.add(look), uint64(len(look))
	}
}

// look returns how the key of a row looks; empty where its canonical form tells.
func (g *groups) look(r []uint64) []byte {
	if !g.boxed {
		return nil
	}
	return g.arena.get(r[wordLook], int(r[wordLooks]))
}

// bytes returns the memory that the groups take.
func (g *groups) bytes() int64 {
	return int64(len(g.slots))*8 + int64(g.n)*int64(8*g.width+4) + g.arena.bytes // 4: see Table.freeze
}

// reset drops all groups and keeps the memory.
func (g *groups) reset() {
	clear(g.slots)
	g.words.reset()
	g.arena.reset()
	g.ends.reset()
}
