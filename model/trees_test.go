package model

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func field(num protowire.Number, data string) string {
	return string(protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), []byte(data)))
}

// treeModel is a model of one node with trees; numbers are below 128.
func treeModel(op string, settings map[string][]byte, modes ...string) []byte {
	node := field(4, op)
	for name, numbers := range settings {
		node += field(5, field(1, name)+field(8, string(numbers)))
	}
	var texts strings.Builder
	for _, m := range modes {
		texts.WriteString(field(9, m))
	}
	node += field(5, field(1, "nodes_modes")+texts.String())
	return []byte(field(7, field(1, node)))
}

// TestTrees checks which trees are refused: those that a walk would not leave.
func TestTrees(t *testing.T) {
	two := func(trees, ids, yes, no []byte) map[string][]byte {
		return map[string][]byte{"nodes_treeids": trees, "nodes_nodeids": ids, "nodes_truenodeids": yes, "nodes_falsenodeids": no}
	}
	branch, leaf := "BRANCH_LEQ", "LEAF"
	cases := []struct {
		name  string
		model []byte
		fault error
	}{
		{"one split", treeModel("TreeEnsembleClassifier", two([]byte{0, 0, 0}, []byte{0, 1, 2}, []byte{1, 0, 0}, []byte{2, 0, 0}), branch, leaf, leaf), nil},
		{"backwards", treeModel("TreeEnsembleRegressor", two([]byte{0, 0, 0}, []byte{2, 1, 0}, []byte{1, 0, 0}, []byte{0, 0, 0}), branch, leaf, leaf), nil},
		{"itself", treeModel("TreeEnsembleClassifier", two([]byte{0, 0, 0}, []byte{0, 1, 2}, []byte{0, 0, 0}, []byte{2, 0, 0}), branch, leaf, leaf), errEndlessTree},
		{"the root", treeModel("TreeEnsembleRegressor", two([]byte{0, 0, 0}, []byte{0, 1, 2}, []byte{1, 2, 0}, []byte{2, 0, 0}), branch, branch, leaf), errEndlessTree},
		{"another tree", treeModel("TreeEnsembleRegressor", two([]byte{0, 1, 1}, []byte{0, 0, 1}, []byte{1, 1, 0}, []byte{1, 1, 0}), branch, branch, leaf), errLostBranch},
		{"shared leaf", treeModel("TreeEnsembleRegressor", two([]byte{0, 0, 0}, []byte{5, 1, 0}, []byte{1, 0, 0}, []byte{1, 0, 0}), branch, branch, leaf), nil},
		{"no such node", treeModel("TreeEnsembleClassifier", two([]byte{0, 0, 0}, []byte{0, 1, 2}, []byte{1, 0, 0}, []byte{3, 0, 0}), branch, leaf, leaf), errLostBranch},
		{"cut off", treeModel("TreeEnsembleRegressor", two([]byte{0}, []byte{0, 1}, []byte{0, 0, 0}, nil)), nil},
		{"leaves apart", treeModel("TreeEnsemble", map[string][]byte{"nodes_truenodeids": {0}, "nodes_falsenodeids": {0}, "nodes_trueleafs": {1}, "nodes_falseleafs": {1}}), nil},
		{"no leaf", treeModel("TreeEnsemble", map[string][]byte{"nodes_truenodeids": {0}, "nodes_falsenodeids": {0}, "nodes_trueleafs": {0}, "nodes_falseleafs": {1}}), errEndlessTree},
		{"another operator", treeModel("Other", two([]byte{0}, []byte{0}, []byte{0}, []byte{0}), branch), nil},
	}
	for _, c := range cases {
		_, err := ReadGraph(c.model)
		if !errors.Is(err, c.fault) {
			t.Errorf("%s: wanted %v, found %v", c.name, c.fault, err)
		}
	}
}
