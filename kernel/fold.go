package kernel

import (
	"fmt"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// Fold computes over the rows of one key, one after another, with a state.
type Fold interface {
	// Step returns the result for the next row, given the node's arguments. An error is the row's, and leaves the state as it was.
	Step(args []column.Value) (column.Value, error)
	// Append appends the binary form of the state, with its version.
	Append(dst []byte) []byte
	// Load takes what Append wrote.
	Load(src []byte) error
}

// NewFold returns what makes the state of a new key, for an ordered node.
func NewFold(op *plan.Ordered) (func() Fold, error) {
	switch op.Fn {
	case "anomaly":
		a, err := plan.ParseAnomaly(op.Config["detector"])
		if err != nil {
			return nil, err
		}
		return func() Fold { return newDetector(a) }, nil
	}
	return nil, fmt.Errorf("no ordered function is called %q", op.Fn)
}
