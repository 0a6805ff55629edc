package catalog

import "github.com/leat-project/leat/column"

// What a sink refuses for good, such as a value that its column does not hold, or a message that the server calls bad. Rows go to the error output of the
// sink where that is read, else the run ends with the first of them.

// Refusal is a row that a sink does not take, and never will.
type Refusal struct {
	Row int32 // of the batch
	Err error
}

// Refused is the error of a write that took all rows but these, which rise.
type Refused []Refusal

// Error returns the first one's.
func (r Refused) Error() string { return r[0].Err.Error() }

// Refuser is a Writer whose server may refuse rows that Write took. Where SinkEnv.Refusals is set it keeps them for the engine instead of failing.
type Refuser interface {
	Writer
	// Refusals returns what has been refused since the last call, and is the caller's then. After Sync, Recover or CommitEpoch it holds all of what came
	// before. What a Transactional returns before a Prepare belongs to the epoch that it prepares: when that is durable, they are not returned again,
	// and otherwise they are by the next run. Safe at any time, and fast where there is nothing.
	Refusals() ([]RefusedRows, error)
}

// RefusedRows are rows of one batch. The batch is a copy.
type RefusedRows struct {
	Batch *column.Batch
	Rows  Refused
}
