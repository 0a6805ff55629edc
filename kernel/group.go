package kernel

import "bytes"

// Groups are numbered from 0 in the order in which their first row came. What belongs to a group lies in pages, so that a
// table grows without copying, and the garbage collector finds little to look at.
const (
	pageBits = 8
	pageRows = 1 << pageBits
	pageMask = pageRows - 1
)

// paged is a growing array that never moves.
type paged[T any] struct {
	pages []*[pageRows]T
	used  int
}

// at returns element i, which grow has made.
func (p *paged[T]) at(i uint32) *T { return &p.pages[i>>pageBits][i&pageMask] }

// grow makes elements below n; new ones are zero.
func (p *paged[T]) grow(n int) {
	for len(p.pages) < (n+pageMask)>>pageBits {
		p.pages = append(p.pages, new([pageRows]T))
	}
	p.used = max(p.used, n)
}

// reset drops all elements and keeps the memory.
func (p *paged[T]) reset() {
	for i := range (p.used + pageMask) >> pageBits {
		clear(p.pages[i][:])
	}
	p.used = 0
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

// groupKey is what a group is known by, together with the end of its window.
type groupKey struct {
	hash   uint64
	start  int64  // of the window
	w0, w1 uint64 // the key: see packKey; a long key lies in the arena
}

// groups finds the group of a key and a window: an open-addressing hash table.
type groups struct {
	slots  []uint64 // 0, or 32 bits of the hash and the group's number + 1; sorted by those bits but for what had to move on
	shift  uint     // the place of a slot is its hash shifted by that much
	n      int
	keys   paged[groupKey]
	ends   paged[int64] // of the windows; empty while they follow from the starts
	shown  paged[look]  // how the keys look; empty where the keys tell
	arena  arena
	ending bool // ends are kept
	boxed  bool // shown is kept
	// merging says that a slot is found by the key alone, and leads to the group of that key that was touched last: sessions.
	merging bool
}

// look is where it is kept how a key looks.
type look struct {
	ref  uint64
	size uint32
}

// find puts the group of each key and window into out, and makes the groups that are new. ends is nil where the
// windows' ends follow from their starts.
func (g *groups) find(k *keys, starts, ends []int64, out []uint32) {
	if len(g.slots) == 0 {
		g.slots, g.shift = make([]uint64, minSlots), 64-minSlotBits
	}
	for i := range out {
		start, end := starts[i], int64(0)
		if ends != nil {
			end = ends[i]
		}
		hash := k.hash[i]
		x := g.mix(hash, start)
		mask := uint64(len(g.slots) - 1)
		for p := x >> g.shift; ; p = (p + 1) & mask {
			slot := g.slots[p]
			if slot == 0 {
				out[i] = g.insert(x, p, groupKey{hash, start, k.w0[i], k.w1[i]}, end, k, i)
				break
			}
			if (slot^x)>>32 != 0 {
				continue
			}
			n := uint32(slot) - 1
			r := g.keys.at(n)
			if r.hash != hash || r.w1 != k.w1[i] {
				continue
			}
			if isLong(r.w1) && !bytes.Equal(g.longKey(r), k.longKey(i)) || !isLong(r.w1) && r.w0 != k.w0[i] {
				continue
			}
			if g.merging {
				out[i] = g.touch(p, n, groupKey{hash, start, r.w0, r.w1}, end, k.look(i))
			} else if r.start != start || g.ending && *g.ends.at(n) != end {
				continue
			} else {
				out[i] = n
			}
			if g.boxed {
				g.showLess(out[i], k.look(i))
			}
			break
		}
	}
}

// get returns the group of the window [start, end) and of the key of group n of o.
func (g *groups) get(o *groups, n uint32, start, end int64) (uint32, bool) {
	if len(g.slots) == 0 {
		return 0, false
	}
	key := o.keys.at(n)
	x, mask := g.mix(key.hash, start), uint64(len(g.slots)-1)
	for p := x >> g.shift; g.slots[p] != 0; p = (p + 1) & mask {
		if (g.slots[p]^x)>>32 != 0 {
			continue
		}
		i := uint32(g.slots[p]) - 1
		r := g.keys.at(i)
		if r.hash != key.hash || r.w1 != key.w1 || r.start != start || g.ending && *g.ends.at(i) != end {
			continue
		}
		if isLong(r.w1) && bytes.Equal(g.longKey(r), o.longKey(key)) || !isLong(r.w1) && r.w0 == key.w0 {
			return i, true
		}
	}
	return 0, false
}

// A table begins with that many slots.
const (
	minSlotBits = 8
	minSlots    = 1 << minSlotBits
)

// mix returns the bits that a slot is found by.
func (g *groups) mix(hash uint64, start int64) uint64 {
	if g.merging {
		start = 0
	}
	return spread(hash, start)
}

func (g *groups) longKey(r *groupKey) []byte { return g.arena.get(r.w0, int(r.w1&^longMark)) }

// key returns the canonical bytes of group n's key, in buf where the key is short.
func (g *groups) key(n uint32, buf *[16]byte) []byte {
	r := g.keys.at(n)
	if isLong(r.w1) {
		return g.longKey(r)
	}
	return unpackKey(r.w0, r.w1, buf)
}

// insert makes the group of key i at slot p.
func (g *groups) insert(x, p uint64, key groupKey, end int64, k *keys, i int) uint32 {
	if isLong(key.w1) {
		key.w0 = g.arena.add(k.longKey(i))
	}
	n := g.add(key, end)
	if g.boxed {
		text := k.look(i)
		*g.shown.at(n) = look{g.arena.add(text), uint32(len(text))}
	}
	g.slots[p] = x>>32<<32 | uint64(n+1)
	if g.n > len(g.slots)/2 {
		g.rehash()
	}
	return n
}

// add makes a group, without a slot.
func (g *groups) add(key groupKey, end int64) uint32 {
	n := uint32(g.n)
	g.n++
	g.keys.grow(g.n)
	*g.keys.at(n) = key
	if g.ending {
		g.ends.grow(g.n)
		*g.ends.at(n) = end
	}
	if g.boxed {
		g.shown.grow(g.n)
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

// touch puts the window [key.start, end) into group n of that key, where they overlap; else it makes a group, whose key looks like
// text, and lets slot p lead to it. Groups of a key whose windows overlap after all are merged at the end.
func (g *groups) touch(p uint64, n uint32, key groupKey, end int64, text []byte) uint32 {
	r, e := g.keys.at(n), g.ends.at(n)
	if key.start < *e && r.start < end {
		r.start, *e = min(r.start, key.start), max(*e, end)
		return n
	}
	m := g.add(key, end) // the bytes of a long key are shared
	if g.boxed {
		*g.shown.at(m) = look{g.arena.add(text), uint32(len(text))}
	}
	g.slots[p] = g.slots[p]>>32<<32 | uint64(m+1)
	return m
}

// showLess lets group n look like text where that sorts before how it looks: the choice does not depend on the order of rows.
func (g *groups) showLess(n uint32, text []byte) {
	at := g.shown.at(n)
	if bytes.Compare(text, g.arena.get(at.ref, int(at.size))) < 0 {
		*at = look{g.arena.add(text), uint32(len(text))}
	}
}

// look returns how the key of group n looks, or nil where its canonical form tells.
func (g *groups) look(n uint32) []byte {
	if !g.boxed {
		return nil
	}
	at := g.shown.at(n)
	return g.arena.get(at.ref, int(at.size))
}

// keepEnds begins to keep the ends of windows; width is the length of those so far.
func (g *groups) keepEnds(width int64) {
	if g.ending {
		return
	}
	g.ending = true
	g.ends.grow(g.n)
	for n := range uint32(g.n) {
		*g.ends.at(n) = g.keys.at(n).start + width
	}
}

// bytes returns the memory that the groups take.
func (g *groups) bytes() int64 {
	n := int64(g.n)
	size := int64(len(g.slots))*8 + n*(32+4) + g.arena.bytes // 4: see Table.freeze
	if g.ending {
		size += n * 8
	}
	if g.boxed {
		size += n * 16
	}
	return size
}

// reset drops all groups. The slots shrink to what the next as many groups need.
func (g *groups) reset() {
	clear(g.slots)
	g.n = 0
	g.keys.reset()
	g.ends.reset()
	g.shown.reset()
	g.arena.reset()
}
