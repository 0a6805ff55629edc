package model

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// Faults of trees that the runtime would walk for ever, and no cancellation would end it.
var (
	errEndlessTree = errors.New("a tree has a branch that leads back to itself")
	errLostBranch  = errors.New("a tree has a branch that leads to no node")
)

// forest is what the settings of a node say of its trees: each slice has an element for each of their nodes.
type forest struct {
	trees, ids, yes, no []int64
	leaf                []bool
	yesLeaf, noLeaf     []int64 // of TreeEnsemble, where branches are places in the list of nodes or of leaves
}

// checkTrees checks the trees of a node of ai.onnx.ml: that every walk ends. It takes time and memory in proportion to the tree's nodes.
func checkTrees(op string, node []byte) error {
	var f forest
	err := eachField(node, func(field protoField) error {
		if field.num != 5 {
			return nil
		}
		return f.setting(field.bytes)
	})
	if err != nil {
		return err
	}
	n := min(len(f.yes), len(f.no))
	if op == "TreeEnsemble" {
		return endless(n, func(i, branch int) int { return f.place(i, branch, n) })
	}
	if n = min(n, len(f.trees), len(f.ids)); f.ordered(n) {
		return nil
	}
	lost := false
	places := make(map[[2]int64]int, n)
	for i := range n {
		places[[2]int64{f.trees[i], f.ids[i]}] = i
	}
	err = endless(n, func(i, branch int) int {
		if i < len(f.leaf) && f.leaf[i] {
			return -1
		}
		to := f.yes[i]
		if branch == 1 {
			to = f.no[i]
		}
		if place, ok := places[[2]int64{f.trees[i], to}]; ok {
			return place
		}
		lost = true
		return -1
	})
	if err == nil && lost {
		err = errLostBranch
	}
	return err
}

// setting reads one setting (AttributeProto).
func (f *forest) setting(b []byte) error {
	var name string
	var numbers []int64
	var leaf []bool
	err := eachField(b, func(field protoField) error {
		switch field.num {
		case 1:
			name = string(field.bytes)
		case 8:
			if field.bytes == nil {
				numbers = append(numbers, int64(field.number))
			}
			for packed := field.bytes; len(packed) > 0; {
				v, size := protowire.ConsumeVarint(packed)
				if size < 0 {
					return errDamaged
				}
				numbers, packed = append(numbers, int64(v)), packed[size:]
			}
		case 9:
			leaf = append(leaf, string(field.bytes) == "LEAF")
		}
		return nil
	})
	switch name {
	case "nodes_treeids":
		f.trees = numbers
	case "nodes_nodeids":
		f.ids = numbers
	case "nodes_truenodeids":
		f.yes = numbers
	case "nodes_falsenodeids":
		f.no = numbers
	case "nodes_trueleafs":
		f.yesLeaf = numbers
	case "nodes_falseleafs":
		f.noLeaf = numbers
	case "nodes_modes":
		f.leaf = leaf
	}
	return err
}

// ordered reports whether trees are as exporters write them: the nodes of each in a row, numbered from 0, and all branches lead to higher
// numbers that there are. Then every walk ends.
func (f *forest) ordered(n int) bool {
	for start := 0; start < n; {
		end := start
		for end < n && f.trees[end] == f.trees[start] {
			end++
		}
		for i := start; i < end; i++ {
			isLeaf := i < len(f.leaf) && f.leaf[i]
			lowest, size := min(f.yes[i], f.no[i]), int64(end-start)
			if f.ids[i] != int64(i-start) || !isLeaf && (lowest <= f.ids[i] || max(f.yes[i], f.no[i]) >= size) {
				return false
			}
		}
		start = end
	}
	return true
}

// place is where a branch of TreeEnsemble's node i leads to, -1 for a leaf.
func (f *forest) place(i, branch, n int) int {
	to, leaves := f.yes[i], f.yesLeaf
	if branch == 1 {
		to, leaves = f.no[i], f.noLeaf
	}
	if i < len(leaves) && leaves[i] != 0 || to < 0 || to >= int64(n) {
		return -1
	}
	return int(to)
}

// endless walks all n nodes, depth first, and fails where a branch leads to a node that it comes from.
func endless(n int, child func(i, branch int) int) error {
	const fresh, under, done = 0, 1, 2
	state := make([]uint8, n)
	type step struct{ node, branch int }
	var path []step
	for root := range n {
		if state[root] != fresh {
			continue
		}
		state[root] = under
		for path = append(path[:0], step{node: root}); len(path) > 0; {
			top := &path[len(path)-1]
			if top.branch == 2 {
				state[top.node] = done
				path = path[:len(path)-1]
				continue
			}
			to := child(top.node, top.branch)
			top.branch++
			switch {
			case to < 0 || state[to] == done:
			case state[to] == under:
				return errEndlessTree
			default:
				state[to] = under
				path = append(path, step{node: to})
			}
		}
	}
	return nil
}
