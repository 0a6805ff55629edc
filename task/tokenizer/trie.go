package tokenizer

import (
	"cmp"
	"slices"
	"strings"
)

// trie finds the prefixes of a text that are keys. Its nodes lie breadth first, so that the children of a node are
// neighbours.
type trie struct {
	nodes  []trieNode
	labels []byte // of each node, the byte that leads to it
	root   [256]int32
}

type trieNode struct {
	first int32 // its first child
	count int32
	value int32 // noID where no key ends
}

// newTrie builds a trie; of equal keys the last one holds. Its cost is the length of all keys.
func newTrie(keys []string, values []int32) *trie {
	type entry struct {
		key   string
		place int32
	}
	order := make([]entry, len(keys))
	for i, key := range keys {
		order[i] = entry{key, int32(i)}
	}
	slices.SortFunc(order, func(x, y entry) int { return cmp.Or(strings.Compare(x.key, y.key), int(x.place)-int(y.place)) })
	type group struct{ lo, hi, depth int32 } // keys that share a prefix
	t := &trie{nodes: make([]trieNode, 1, 3*len(keys)+1), labels: make([]byte, 1, 3*len(keys)+1)}
	t.nodes[0].value = noID
	groups := []group{{0, int32(len(keys)), 0}}
	for n := 0; n < len(t.nodes); n++ {
		g := groups[n]
		for ; g.lo < g.hi && int32(len(order[g.lo].key)) == g.depth; g.lo++ {
			t.nodes[n].value = values[order[g.lo].place]
		}
		t.nodes[n].first = int32(len(t.nodes))
		for g.lo < g.hi {
			label := order[g.lo].key[g.depth]
			start := g.lo
			for g.lo < g.hi && order[g.lo].key[g.depth] == label {
				g.lo++
			}
			t.nodes = append(t.nodes, trieNode{value: noID})
			t.labels = append(t.labels, label)
			groups = append(groups, group{start, g.lo, g.depth + 1})
			t.nodes[n].count++
		}
	}
	for c := range t.root {
		t.root[c] = noID
	}
	for i := range t.nodes[0].count {
		t.root[t.labels[1+i]] = 1 + i
	}
	return t
}

// step goes from a node by a byte; noID where no key goes on so.
func (t *trie) step(node int32, c byte) int32 {
	if node == 0 {
		return t.root[c]
	}
	n := &t.nodes[node]
	for i, label := range t.labels[n.first : n.first+n.count] {
		if label >= c {
			if label == c {
				return n.first + int32(i)
			}
			break
		}
	}
	return noID
}

// longest returns the longest key that begins a text, its length and value; length 0 where there is none.
func (t *trie) longest(text []byte) (length int, value int32) {
	value = noID
	node := int32(0)
	for i, c := range text {
		if node = t.step(node, c); node < 0 {
			break
		}
		if v := t.nodes[node].value; v != noID {
			length, value = i+1, v
		}
	}
	return length, value
}

// walk goes from the root by a text; noID where no key begins with it.
func (t *trie) walk(text string) int32 {
	node := int32(0)
	for i := 0; i < len(text) && node >= 0; i++ {
		node = t.step(node, text[i])
	}
	return node
}
