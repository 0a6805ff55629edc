// Package plan is the waist: about a dozen kinds of node, pure data, typed. Transforms lower to it and engines run it.
//
// Invariants: the nodes stand in topological order (an edge leads to a lower ID); every port has a schema; nothing
// in a plan is code, so that it can be printed, compared, hashed and shipped as JSON.
package plan

import (
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// Plan is a graph of nodes.
type Plan struct {
	Name    string // of the pipeline
	Nodes   []*Node
	Options map[string]any
}

// Node is one step. Several nodes may come from one transform.
type Node struct {
	ID        int
	Name      string     // the transform's path, "Clean/Filter"; unique together with ID
	Transform string     // its type, "Filter"
	Place     diag.Place // its line in the pipeline file
	Op        Op
	// Threshold is the share of failed rows, by window, above which the job fails (error_handling); nil: none.
	Threshold *float64
	In        []Ref // Merge and Sink take any number, Source none, the others one
	Out       []Port
}

// Ref names an output port of a node.
type Ref struct {
	Node int
	Port int
}

// Port is a typed output. Ports called ErrorsPort hold failed rows; a row that fails where that port has no
// consumer fails the job.
type Port struct {
	Name   string
	Schema column.Schema
	Window Windowing // how the rows are windowed
	// Explicit says that each row carries its own window (after Aggregate); else it follows from the event
	// time and Window.
	Explicit bool
	// Unbounded says that the rows do not end by themselves.
	Unbounded bool
}

// The usual names of ports.
const (
	MainPort   = "output"
	ErrorsPort = "errors"
	LatePort   = "late" // rows that came after their window had closed; dropped and counted where nothing reads it
)

// Op is what a node does: one of the types below.
type Op interface {
	// Kind returns the node kind's name: "source", "filter", …
	Kind() string
}

// The kinds of node.
type (
	// Source reads rows. Ports: main, errors (records that cannot be decoded: element bytes, msg, file, line).
	Source struct {
		Connector string
		Config    map[string]any
	}
	// Sink writes the rows of all its inputs. Ports: none, or errors.
	Sink struct {
		Connector string
		Config    map[string]any
	}
	// Map computes the fields of the main port's schema, one expression each, in order. Ports: main, errors.
	// Rows that map to the very same field are not copied. Context says that expressions read time or window
	// (expr.OpMeta): rows in several windows are then taken once per window.
	Map struct {
		Exprs   []*expr.Expr
		Context bool
	}
	// Filter keeps the rows for which Keep is truthy. Ports: main, errors.
	Filter struct {
		Keep *expr.Expr
	}
	// Explode replaces lists by their elements, a row each. Ports: main, errors.
	Explode struct {
		Fields []string
		Cross  bool // all combinations of several lists; else side by side, shorter lists padded with null
	}
	// Route sends each row to the port named by By; null and unlisted values to port Unknown (-1: a row that
	// fails). Ports: one for each name in order, the errors port last.
	Route struct {
		By      *expr.Expr
		Outputs []string
		Unknown int
	}
	// AssignTime sets the event time: Time is in seconds (int or float), an RFC 3339 string, or a timestamp; nil: it stays. Windows
	// follow the new time. With Watermark the watermark of unbounded input is made anew from the new times. Ports: main, errors.
	AssignTime struct {
		Time      *expr.Expr
		Watermark *Watermark
	}
	// Window sets the windowing of the rows after it. Ports: main.
	Window struct {
		Windowing Windowing
	}
	// Aggregate groups by Keys and window, and computes Aggs. The main port's schema is the keys, then the
	// aggregates. A row's time is the end of its window less 1 ms. Ports: main, late (rows of the input).
	Aggregate struct {
		Keys []string // fields of the input
		Aggs []Agg
	}
	// Infer predicts each row by a model. The main port's schema is the input's and the field Tag, a row of example,
	// inference and model_id. Ports: main, errors.
	Infer struct {
		Task   string         // as package task names it
		Model  string         // the package: a folder, an .onnx file, or a model that comes with leat
		Config map[string]any // of the task, of the session, and of batches
		Inputs []*expr.Expr   // the task's inputs, in its order; nil where an optional one is not given
		Tag    string
		// Example stands under "example"; nil: the whole row, as far as it is read.
		Example *expr.Expr
		Keys    []string // of a model with a state: it is kept for each key; none: one key
		Ordered bool     // the model has a state: rows of a key are taken by event time, then by their place in the source
	}
	// Ordered takes the rows of each key by event time, then by their place in the source, through a function with a state (see
	// kernel.NewFold). The main port's schema is the input's and the field Tag, of the function's type. Ports: main, errors, late.
	Ordered struct {
		Fn     string
		Config map[string]any
		Keys   []string // none: one key
		Args   []*expr.Expr
		Tag    string
		Gap    int64 // a key is forgotten after so many milliseconds without a row; 0: never
	}
	// Merge is the union of its inputs, which have the same schema. Ports: main.
	Merge struct{}
	// Call asks a connector once for each row and puts its answer (rows) in the row's place, as MatchAll does
	// with a file pattern. Ports: main, errors.
	Call struct {
		Connector string
		Config    map[string]any
		Arg       *expr.Expr
	}
)

// Watermark says how a watermark follows from rows. All lengths are in milliseconds.
type Watermark struct {
	Disorder int64
	Per      string // a field of the input, each value of which is followed on its own; "": none
	Idle     int64  // of processing time
	Future   int64  // 0: rows are never set aside
}

// DefaultIdle is Watermark.Idle where nothing is said.
const DefaultIdle int64 = 30_000

// Agg is one aggregate of an Aggregate node.
type Agg struct {
	Name string      // of the output field
	Fn   string      // sum, max, min, all, any, mean, count, group, concat
	Arg  *expr.Expr  // what is aggregated
	Type column.Type // of the result
}

func (*Source) Kind() string     { return "source" }
func (*Sink) Kind() string       { return "sink" }
func (*Map) Kind() string        { return "map" }
func (*Filter) Kind() string     { return "filter" }
func (*Explode) Kind() string    { return "explode" }
func (*Route) Kind() string      { return "route" }
func (*AssignTime) Kind() string { return "assign_time" }
func (*Window) Kind() string     { return "window" }
func (*Aggregate) Kind() string  { return "aggregate" }
func (*Merge) Kind() string      { return "merge" }
func (*Call) Kind() string       { return "call" }
func (*Infer) Kind() string      { return "infer" }
func (*Ordered) Kind() string    { return "ordered" }

// Main returns the node's main port.
func (n *Node) Main() Ref { return Ref{Node: n.ID} }

// Errors returns the node's error port, and whether it has one.
func (n *Node) Errors() (Ref, bool) {
	for i, p := range n.Out {
		if p.Name == ErrorsPort {
			return Ref{Node: n.ID, Port: i}, true
		}
	}
	return Ref{}, false
}

// Late returns the node's late port, and whether it has one.
func (n *Node) Late() (Ref, bool) {
	for i, p := range n.Out {
		if p.Name == LatePort {
			return Ref{Node: n.ID, Port: i}, true
		}
	}
	return Ref{}, false
}

// Unbounded reports whether a source of the plan does not end by itself.
func (p *Plan) Unbounded() bool {
	for _, n := range p.Nodes {
		if _, ok := n.Op.(*Source); ok && n.Out[0].Unbounded {
			return true
		}
	}
	return false
}

// Port returns the port that r names.
func (p *Plan) Port(r Ref) *Port { return &p.Nodes[r.Node].Out[r.Port] }

// Consumers returns for each port of node n the nodes that read it.
func (p *Plan) Consumers(r Ref) []*Node {
	var out []*Node
	for _, n := range p.Nodes {
		for _, in := range n.In {
			if in == r {
				out = append(out, n)
			}
		}
	}
	return out
}
