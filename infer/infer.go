// Package infer is what it takes to run a graph: tensors, sessions, and the runtime that makes sessions. It is only the
// contract. infer/onnx is ONNX Runtime behind it, infer/process runs any runtime in a child process, infer/library finds
// and installs ONNX Runtime's library.
//
// Invariants: a session may be used by many goroutines at once; tensors that a run returns are valid until its Results are
// closed; memory that is passed in is not written, and not kept beyond the call.
package infer

import (
	"context"
	"errors"
	"fmt"

	"github.com/leat-project/leat/model"
)

// Runtime loads graphs. It may be used by many goroutines at once.
type Runtime interface {
	// Load makes a session of a graph.
	Load(ctx context.Context, g Source, o Options) (Session, error)
	// Version returns the name and version of what runs the graphs, such as "onnxruntime 1.31.1".
	Version() string
	// Providers returns the names of the execution providers that can be asked for here.
	Providers() []string
	Close() error
}

// Source is an ONNX graph. Either Path is set, or Bytes is.
type Source struct {
	Name  string // for errors
	Path  string // a file, which external data lies beside
	Bytes []byte
}

// Options say how a graph is run. The zero Options are good for a stream: one thread for each call, and as many calls at once
// as there are workers.
type Options struct {
	Threads      int        // for one call within an operator; 0: 1
	Providers    []Provider // in order of preference; none: cpu
	Fallback     bool       // run on cpu, and log it, where a provider is not there
	Optimization Level      // of the graph, when it is loaded
	NoArena      bool       // give memory back after each call, which is slower
	// Config are settings of ONNX Runtime itself by their names there ("session.intra_op.allow_spinning": "1").
	Config map[string]string
	Log    func(level, text string) // nil: dropped
}

// Provider is an execution provider: what computes. Options are its own, by their names in ONNX Runtime.
type Provider struct {
	Name    string // cpu, openvino, cuda, tensorrt, coreml, qnn
	Options map[string]string
}

// Level is how far a graph is optimised when it is loaded.
type Level string

// The levels. The empty one is LevelAll.
const (
	LevelNone     Level = "none"
	LevelBasic    Level = "basic"
	LevelExtended Level = "extended"
	LevelAll      Level = "all"
)

// Session is a loaded graph.
type Session interface {
	// Inputs and Outputs describe what the graph takes and gives, in the order in which Run has them.
	Inputs() []model.ValueInfo
	Outputs() []model.ValueInfo
	// Run computes the outputs whose numbers are given, all for nil. inputs stand in the order of Inputs; none may be nil. A
	// cancelled context ends the run between two operators.
	Run(ctx context.Context, inputs []Value, outputs []int) (*Results, error)
	// Close frees the session, once no run is under way any more.
	Close() error
}

// Results are the outputs of one run.
type Results struct {
	Values []Value // in the order asked for; nil where an optional output holds nothing
	free   func()
}

// NewResults returns results that free is called for when they are closed; nil: nothing is.
func NewResults(values []Value, free func()) *Results { return &Results{Values: values, free: free} }

// Close frees the memory of the values, which must not be used after it. It may be called more than once.
func (r *Results) Close() {
	if r != nil && r.free != nil {
		r.free()
		r.free = nil
	}
}

// Tensor returns output i as a tensor, or an error that says what it is.
func (r *Results) Tensor(i int) (*Tensor, error) {
	if i >= len(r.Values) {
		return nil, fmt.Errorf("wanted output %d, found %d outputs", i, len(r.Values))
	}
	t, ok := r.Values[i].(*Tensor)
	if !ok {
		return nil, fmt.Errorf("wanted a tensor as output %d, found %s", i, KindOf(r.Values[i]))
	}
	return t, nil
}

// Value is a *Tensor, a *Sequence, a *Map, or nil for an optional value that is not there.
type Value interface{ value() }

// Sequence is an ordered list of values of one type.
type Sequence struct{ Elems []Value }

// Map is a map as two tensors of one dimension and equal length.
type Map struct{ Keys, Values *Tensor }

func (*Tensor) value()   {}
func (*Sequence) value() {}
func (*Map) value()      {}

// KindOf names what a value is, for errors.
func KindOf(v Value) string {
	switch v := v.(type) {
	case *Tensor:
		return fmt.Sprintf("%s%v", v.DType, v.Shape)
	case *Sequence:
		return fmt.Sprintf("a sequence of %d", len(v.Elems))
	case *Map:
		return "a map"
	}
	return "nothing"
}

// Error is what a runtime says of a graph or of a call.
type Error struct {
	Code string // as the runtime names it: INVALID_GRAPH, NOT_IMPLEMENTED, RUNTIME_EXCEPTION, …
	Text string
	Hint string
}

func (e *Error) Error() string { return e.Text }

// ErrCrashed is what a run returns whose process has died: see package infer/process.
var ErrCrashed = errors.New("the process that ran the model has died")

// MaxTensorBytes is the most that the inputs, or the outputs, of one run may take together.
const MaxTensorBytes int64 = 1 << 31

// Need is what a runtime has to offer.
type Need struct {
	Provider string // an execution provider; "" and cpu: any runtime will do
	Isolated bool   // in a process of its own
	Fallback bool   // a runtime without the provider will do
}

// Opener gives a runtime that offers what is needed: the same one for the same need. Who opened the opener closes its runtimes.
type Opener func(ctx context.Context, n Need) (Runtime, error)
