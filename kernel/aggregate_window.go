package kernel

import (
	"math"
	"math/bits"
	"slices"

	"github.com/leat-project/leat/plan"
)

// windowMerge makes windows of the groups of one part: sliding windows of the slices that they are made of, and sessions of windows that
// overlap.
type windowMerge struct {
	*emitter
	part     hashPart
	from, to *Table

	// of sliding windows that overlap much: see tree
	nodes *Table
}

// treeOverlap is the number of windows that a slice is part of from which on slices are put together in a tree.
const treeOverlap = 8

func (m *windowMerge) run(ids []uint32) error {
	w := m.from.window
	switch {
	case w.Kind == plan.Sessions:
		return m.eachKey(ids, m.sessions)
	case w.Size/w.Period <= treeOverlap || slices.ContainsFunc(m.to.states, isLister):
		return m.eachKey(ids, m.sliding)
	}
	m.nodes = m.agg.borrow()
	defer m.agg.giveBack(m.nodes)
	if err := m.plant(ids); err != nil {
		return err
	}
	return m.eachKey(ids, m.slidingByTree)
}

// isLister tells aggregates whose state is as large as all that went into it: they gain nothing from a tree.
func isLister(s aggregator) bool {
	_, ok := s.(*lister)
	return ok
}

// eachKey calls f with the groups of each key; groups are sorted by key and window.
func (m *windowMerge) eachKey(ids []uint32, f func(ids []uint32, put func(from *Table, id uint32, start, end int64) error) error) error {
	own, nodes := &moves{windowMerge: m, from: m.from, to: m.to}, &moves{windowMerge: m, from: m.nodes, to: m.to}
	put := func(from *Table, id uint32, start, end int64) error {
		if !m.fire.wants(end) {
			return nil
		}
		if from == m.nodes {
			return nodes.put(id, start, end)
		}
		return own.put(id, start, end)
	}
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && m.sameKey(ids[0], ids[n]) {
			n++
		}
		if err := f(ids[:n], put); err != nil {
			return err
		}
		ids = ids[n:]
	}
	if err := nodes.flush(); err != nil {
		return err
	}
	return own.flush()
}

func (m *windowMerge) sameKey(a, b uint32) bool {
	g := &m.from.groups
	return sameKey(g, g.row(a), g, g.row(b))
}

// moves gathers groups that are to be merged into windows of another table.
type moves struct {
	*windowMerge
	from, to     *Table
	ids          []uint32
	starts, ends []int64
}

func (m *moves) put(id uint32, start, end int64) error {
	m.ids, m.starts, m.ends = append(m.ids, id), append(m.starts, start), append(m.ends, end)
	if len(m.ids) == exportRows {
		return m.flush()
	}
	return nil
}

func (m *moves) flush() error {
	for at := 0; at < len(m.ids); {
		n := m.from.take(m.ids[at:], exportRows)
		groups := m.from.export(m.ids[at:at+n], m.partials)
		if err := m.to.merge(groups, m.starts[at:at+n], m.ends[at:at+n]); err != nil {
			return err
		}
		if err := m.checkSize(m.to, m.part); err != nil {
			return err
		}
		at += n
	}
	m.ids, m.starts, m.ends = m.ids[:0], m.starts[:0], m.ends[:0]
	return nil
}

// sessions merges windows of a key that overlap. Windows that only touch stay apart.
func (m *windowMerge) sessions(ids []uint32, put func(from *Table, id uint32, start, end int64) error) error {
	t := m.from
	for len(ids) > 0 {
		start, end, n := t.startOf(ids[0]), t.endOf(ids[0]), 1
		for n < len(ids) && t.startOf(ids[n]) < end {
			end = max(end, t.endOf(ids[n]))
			n++
		}
		for _, id := range ids[:n] {
			if err := put(t, id, start, end); err != nil {
				return err
			}
		}
		ids = ids[n:]
	}
	return nil
}

// sliding merges each slice of a key into each window that holds it.
func (m *windowMerge) sliding(ids []uint32, put func(from *Table, id uint32, start, end int64) error) (err error) {
	w := m.from.window
	for _, id := range ids {
		start, end := m.from.startOf(id), m.from.endOf(id)
		if end-start != w.width { // the row came with its window
			err = put(m.from, id, start, end)
		} else {
			eachSliding(w.Windowing, start, func(s int64) {
				if err == nil {
					err = put(m.from, id, s, s+w.Size)
				}
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A tree puts slices together where each is part of many windows. A node of level k is 2^k slices that begin at a multiple of 2^k; level 0
// is the slices themselves. A window is at most two nodes of each level, where it would be Size/slice slices.

// plant makes the nodes of level 1 and above.
func (m *windowMerge) plant(ids []uint32) error {
	w := m.from.window
	levels := bits.Len64(uint64(w.Size/w.width)) - 1
	below, from := slices.Clone(ids), m.from
	for level := 1; level <= levels; level++ {
		up := &moves{windowMerge: m, from: from, to: m.nodes}
		first := uint32(m.nodes.groups.n)
		for _, id := range below {
			start := from.startOf(id)
			if from == m.from && m.from.endOf(id)-start != w.width {
				continue
			}
			index := (start - w.Offset) / w.width >> level << level
			begin := index*w.width + w.Offset
			if err := up.put(id, begin, begin+w.width<<level); err != nil {
				return err
			}
		}
		if err := up.flush(); err != nil {
			return err
		}
		below, from = below[:0], m.nodes
		for id := first; id < uint32(m.nodes.groups.n); id++ {
			below = append(below, id)
		}
	}
	return nil
}

// slidingByTree merges nodes into the windows of a key.
func (m *windowMerge) slidingByTree(ids []uint32, put func(from *Table, id uint32, start, end int64) error) error {
	w := m.from.window
	next := int64(math.MinInt64) // the first window that was not made yet
	for _, id := range ids {
		start, end := m.from.startOf(id), m.from.endOf(id)
		if end-start != w.width { // the row came with its window
			if err := put(m.from, id, start, end); err != nil {
				return err
			}
			continue
		}
		last := plan.FloorStart(start, w.Period, w.Offset)
		s := last - (w.Size-1-(start-last))/w.Period*w.Period // the first window that holds the slice
		for s = max(s, next); s <= last; s += w.Period {
			if err := m.windowByTree(id, s, put); err != nil {
				return err
			}
		}
		next = max(next, last+w.Period)
	}
	return nil
}

// windowByTree merges the nodes that make up the window at start, of the key of group id.
func (m *windowMerge) windowByTree(id uint32, start int64, put func(from *Table, id uint32, start, end int64) error) error {
	w := m.from.window
	lo := (start - w.Offset) / w.width
	hi := lo + w.Size/w.width
	node := func(index int64, level int) error {
		from := m.nodes
		if level == 0 {
			from = m.from
		}
		begin := index<<level*w.width + w.Offset
		if n, ok := from.groups.get(&m.from.groups, id, begin, begin+w.width<<level); ok {
			return put(from, n, start, start+w.Size)
		}
		return nil
	}
	for level := 0; lo < hi; level++ {
		if lo&1 != 0 {
			if err := node(lo, level); err != nil {
				return err
			}
			lo++
		}
		if hi&1 != 0 {
			hi--
			if err := node(hi, level); err != nil {
				return err
			}
		}
		lo, hi = lo>>1, hi>>1
	}
	return nil
}
