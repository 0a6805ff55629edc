// Package task gives models a meaning: a task says what a model takes of a row and what it predicts.
//
// A task splits rows into items, predicts batches of items over the sessions of its model, and joins items into a prediction for
// each row: one row may be many items (a long text in windows, audio in chunks). Whoever predicts goes through Predictor: the stream,
// the command line, a server. Tasks are one file each and register themselves under the names of the Hugging Face Hub.
//
// Invariants: a Bound is immutable; a row that cannot be predicted fails alone, with a reason, and no row is dropped; what
// a row gets does not depend on the rows beside it.
package task

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// Task is a kind of prediction.
type Task struct {
	Name    string // as on the Hub
	Summary string // one sentence
	Doc     string // the rest: inputs, output, limits. Markdown
	Source  string // where the meaning is defined
	Fields  []catalog.Field
	// Batch is how many items one run takes unless the pipeline says otherwise; 0: DefaultBatch.
	Batch int
	// Pool is how many batches' rows are split at once, so that items of like length come together; 0: 1. Split rows take memory.
	Pool int
	// Bind reads the package and checks that the task can use it. A *catalog.Problem names the key of the configuration that is at fault.
	Bind func(s *Setup) (Bound, error)
}

// DefaultBatch is how many items one run takes where the task says nothing.
const DefaultBatch = 32

// Setup is what a task is bound to.
type Setup struct {
	Package *model.Package
	// Config holds the values of the task's Fields that were given, as plain data.
	Config map[string]any
}

// Bound is a task bound to a model. It may be used by many goroutines at once.
type Bound interface {
	// Inputs are what it takes of a row, in the order of Rows.Cols.
	Inputs() []Input
	// Output is the type of a prediction.
	Output() column.Type
	// Roles are the roles of the graphs that it runs; Work.Predict gets their sessions in this order.
	Roles() []string
	// MaxBatch is how many items its graphs take at once; 0: any number.
	MaxBatch() int
	// Split makes items of rows. A row that fails has none.
	Split(rows *Rows) (Work, []Failure)
}

// Input is something that a task takes of each row.
type Input struct {
	Name     string
	Kinds    []column.Kind // of columns that it can be; Any is always allowed, and checked row by row
	Optional bool          // rows may leave it out
	Doc      string
}

// Accepts reports whether a column of that type may feed the input. Nullable ones may: a null fails in its row.
func (in *Input) Accepts(t column.Type) bool {
	return t.Kind == column.Any || t.Kind == column.Null || slices.Contains(in.Kinds, t.Kind)
}

// Wants names the kinds of column that the input takes, for errors.
func (in *Input) Wants() string {
	var names []string
	for _, k := range in.Kinds {
		names = append(names, k.String())
	}
	return strings.Join(names, " or ")
}

// Rows are the inputs of some rows, a column for each of Bound.Inputs; nil for an optional one that is not given.
type Rows struct {
	N    int
	Cols []*column.Vector
}

// Work is rows that have been split, on their way to predictions. It is used by one goroutine at a time, but for Predict.
type Work interface {
	// Rows returns the row of each item, rising.
	Rows() []int32
	// Length returns how long item i is, in what its runs take time by (tokens); items of like length are predicted together.
	Length(i int) int
	// Predict runs the graphs on a batch of items. Several goroutines may do so at once, with different items. An error is that of the
	// whole batch, unless it is ItemErrors.
	Predict(ctx context.Context, sessions []infer.Session, items []int32) error
	// Join returns the predictions of the given rows, all of whose items have been predicted.
	Join(rows []int32) (*column.Vector, error)
}

// Failure is a row that could not be predicted.
type Failure struct {
	Row int32
	Err error
}

// ItemErrors are the errors of single items of a batch, by item.
type ItemErrors map[int32]error

func (e ItemErrors) Error() string { return fmt.Sprintf("%d items failed", len(e)) }

// registry holds the tasks. They register themselves when the package is loaded, and it is frozen at the first look-up.
var registry struct {
	sync.Mutex
	frozen bool
	tasks  map[string]*Task
}

// add registers a task and returns it. It panics where the entry is incomplete or repeated, so that a mistake stops the first
// test.
func add(t Task) *Task {
	registry.Lock()
	defer registry.Unlock()
	if registry.frozen || t.Name == "" || t.Summary == "" || t.Doc == "" || t.Source == "" || t.Bind == nil || registry.tasks[t.Name] != nil {
		panic(fmt.Sprintf("task: %q is late, incomplete or registered twice", t.Name))
	}
	if registry.tasks == nil {
		registry.tasks = map[string]*Task{}
	}
	registry.tasks[t.Name] = &t
	return &t
}

// LookUp returns the task of that name, or nil.
func LookUp(name string) *Task {
	registry.Lock()
	defer registry.Unlock()
	registry.frozen = true
	return registry.tasks[name]
}

// Names returns the names of all tasks, sorted.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	registry.frozen = true
	var out []string
	for name := range registry.tasks {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
