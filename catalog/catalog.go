// Package catalog is what a pipeline may name: transforms and connectors, registered one file each.
//
// A Transform does not run; it lowers itself to nodes of a plan. A connector is opened by an engine from the data that
// stands in the plan. The definition that checks a configuration is the one that documents it.
//
// Registration is at package level and fenced: an incomplete or repeated entry panics at start, and the registry is
// frozen at its first look-up.
package catalog

import (
	"context"
	"slices"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// Transform defines one transform.
type Transform struct {
	Name    string // as in Beam YAML
	Summary string // one sentence
	Doc     string // the rest: nulls, time, windows, state, errors, cost. Markdown
	Source  string // where the meaning is defined: a URL or section
	Fields  []Field
	// AnyFields allows keys beside Fields, as a transform does that hands them on.
	AnyFields bool
	Inputs    Arity
	// Languages are the values of the key "language"; empty: the transform has no expressions. The first is the default.
	Languages []string
	// Errors says that the transform takes error_handling.
	Errors bool
	// Example is a whole pipeline file that ends in "# Expected:" rows, as Beam's documentation has them:
	//
	//	# Expected:
	//	#  Row(name='a', n=1)
	//
	// or, where order or files matter, in no such line and then only has to run. A test runs it.
	Example string
	// Lower adds the transform's nodes to the plan. Configuration has been checked against Fields. Problems go to
	// l.Problems; after one, what is returned does not matter.
	Lower func(l *Lowering) Outputs
}

// Arity is how many inputs a transform takes.
type Arity uint8

// The arities.
const (
	OneInput   Arity = iota
	NoInput          // a source
	ManyInputs       // any number, at least one, in order, with aliases
)

// Field documents and checks one key of a configuration.
type Field struct {
	Name     string
	Type     FieldType
	Doc      string // one sentence
	Required bool
	Default  string   // as it would be written in YAML; "" none
	Enum     []string // the values of a string
	Fields   []Field  // the keys of an Object
}

// FieldType is the form of a value in a configuration.
type FieldType uint8

// The forms of values.
const (
	AnyValue    FieldType = iota
	Text                  // a string
	Boolean               // true or false
	Integer               // a whole number
	Number                // a number
	TextList              // a string, or a list of strings
	List                  // a list of anything
	Object                // a map; Fields name its keys, none: any keys
	Expression            // an expression: a string or number, or {expression: …}, {callable: …}, {path: …, name: …}
	Expressions           // a map from field names to expressions, each perhaps with output_type
	Schema                // a JSON schema
	Windowing             // {type: fixed, size: 10s, …}
	Length                // a duration: a number of seconds, or a number with ms, s, m, h, d
)

// Outputs are the ports that a transform gives: Names in order, the first being the main output unless it is not
// unique (Partition). Errors is what its error output is made of; several nodes' error ports are merged.
type Outputs struct {
	Names  []string
	Refs   []plan.Ref
	Errors []plan.Ref
	Late   *plan.Ref // the output "late", of transforms that group; nil: none. It is read by that name alone
}

// Main returns outputs that are one main port, with the error ports of those of the nodes that can fail.
func Main(ref plan.Ref, nodes ...*plan.Node) Outputs {
	out := Outputs{Names: []string{plan.MainPort}, Refs: []plan.Ref{ref}}
	for _, n := range nodes {
		if e, ok := n.Errors(); ok && !cannotFail(n) {
			out.Errors = append(out.Errors, e)
		}
		if late, ok := n.Late(); ok {
			out.Late = &late
		}
	}
	return out
}

// cannotFail reports whether a node only copies fields and constants.
func cannotFail(n *plan.Node) bool {
	m, ok := n.Op.(*plan.Map)
	return ok && !slices.ContainsFunc(m.Exprs, func(e *expr.Expr) bool { return e.Op != expr.OpField && e.Op != expr.OpLit })
}

// Input is one input of a transform.
type Input struct {
	Alias string // "input" where none is given
	Ref   plan.Ref
}

// Lowering is what Lower works on.
type Lowering struct {
	Transform *Transform
	Name      string     // the transform's name in the pipeline
	Place     diag.Place // of the transform
	Config    *Value     // an object; keys that are absent have their default
	In        []Input
	Builder   *plan.Builder
	Problems  *diag.List
	// Dir is the directory against which relative files of the pipeline (path: of a callable) are resolved.
	Dir string
	// Context ends reading a sample of the data when the compilation is given up; nil: never.
	Context context.Context
}

// Main returns the first input.
func (l *Lowering) Main() plan.Ref { return l.In[0].Ref }

// Schema returns the schema of the first input.
func (l *Lowering) Schema() column.Schema { return l.Builder.Plan.Port(l.Main()).Schema }

// Source is a bound source: configuration is understood, files are found.
type Source interface {
	// Schema returns the schema of the rows. It may read a sample of the data.
	Schema(ctx context.Context) (column.Schema, error)
	// Open begins reading the named fields of the schema (a part of it, in its order; there may be none, rows
	// still count).
	Open(ctx context.Context, fields column.Schema) (Reader, error)
}

// Reader reads a source once, in morsels: Next hands out pieces of the input in order, cheaply and to one caller at a
// time; decoders turn them into batches, in parallel.
type Reader interface {
	// Next fills m with the next piece, reusing its memory, or returns io.EOF.
	Next(ctx context.Context, m *Morsel) error
	// NewDecoder returns a decoder for one worker.
	NewDecoder() Decoder
	// Progress returns how much has been handed out and how much there is, in one unit (bytes of input files,
	// rows); total is -1 where it is not known. Safe at any time.
	Progress() (done, total int64)
	Close() error
}

// Noter is a Reader that has something to tell about what it read, such as fields that it passed over. It is asked
// once, at the end.
type Noter interface {
	Notes() []string
}

// Decoder turns morsels into batches.
type Decoder interface {
	// Decode passes the rows of m on. Batches hold at most out.BatchRows() rows, are valid until the call returns, and
	// have Rows and Origin.Line set up where rows have places. Rows whose source knows their event time have it in Times. Errors of out are
	// returned as they are.
	Decode(ctx context.Context, m *Morsel, out Out) error
}

// Out takes what a decoder makes.
type Out interface {
	BatchRows() int
	Batch(b *column.Batch) error
	// Bad takes a record that cannot be decoded.
	Bad(r BadRecord) error
}

// BadRecord is a record that cannot be decoded.
type BadRecord struct {
	Record []byte
	Msg    string
	File   string
	Line   int64 // 0: not known
	Row    int32 // its number within the morsel
}

// Morsel is a piece of a source that one worker decodes.
type Morsel struct {
	Seq  int64  // counted from 0, set by the engine; of a Resumable by the reader: rising, and the same each time it is read
	File string // "" where there is none
	Line int64  // line of the first byte of Data, from 1; 0: no lines
	Data []byte // whole records
	Part any    // what else the decoder needs (a row group's number, …)

	// Of a Resumable:
	Partition string // what Position is of; "" where there is one alone. Watermarks are made by partition
	Position  string // where to go on after this morsel
	Bare      bool   // there are no rows, only Position goes on: the partition stays as idle as it was
}

// Sink is a bound sink.
type Sink interface {
	// Open begins writing rows of that schema. Nothing is visible under a final name before Commit.
	Open(ctx context.Context, schema column.Schema) (Writer, error)
}

// Targeted is a Sink that knows the names of the files it will write. A pipeline in which two sinks write one file is
// refused, as one would replace what the other wrote.
type Targeted interface {
	Sink
	Targets() []string
}

// Writer writes a sink once.
type Writer interface {
	// NewEncoder returns an encoder for one worker.
	NewEncoder() Encoder
	// Commit makes what was written final, after all encoders have been flushed, and says what there is now.
	Commit(ctx context.Context) (Written, error)
	// Abort removes what was written. It may be called at any time and more than once, and does nothing after Commit.
	Abort() error
}

// Verifier is a Writer that can still refuse, after all encoders have been flushed. All sinks of a run are
// verified before the first one commits.
type Verifier interface {
	Verify(ctx context.Context) error
}

// Encoder writes batches on behalf of one worker. The error of Write is Refused where all rows but those were taken.
type Encoder interface {
	Write(ctx context.Context, b *column.Batch) error
	// Flush hands everything on to the writer.
	Flush(ctx context.Context) error
}

// Written is what a sink has made final.
type Written struct {
	Files []string
	Bytes int64
}

// Caller is a bound connector of a plan.Call node.
type Caller interface {
	// Call returns the rows that take the place of one row, given the value of the node's argument.
	Call(ctx context.Context, arg column.Value) ([]*column.RowValue, error)
}

// Connector is what an engine opens by name. Exactly the functions that make sense are set.
type Connector struct {
	Name   string
	Source func(config map[string]any) (Source, error)
	Sink   func(config map[string]any, env *SinkEnv) (Sink, error)
	Caller func(config map[string]any) (Caller, error)
}

// SinkEnv is what a sink may use of its surroundings.
type SinkEnv struct {
	Log  func(level, text string) // for LogForTesting
	Name string                   // of the transform
	// Refusals says that rows which are refused for good go to an error output: see Refuser.
	Refusals bool
	// Of a stream:
	Stream bool
	Job    string // names the pipeline: transactions and the like derive from it
	Dir    string // a folder for what the sink must keep itself; it may not be there yet
}

// Problem is an error about one key of a connector's configuration. Lowering shows it at that key.
type Problem struct {
	Key  string // "" for the transform as a whole
	Code diag.Code
	Text string
	Hint string
}

func (p *Problem) Error() string { return p.Text }
