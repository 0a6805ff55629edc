package plan

import (
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// Builder makes a plan node by node. Each method adds a node and returns it; schemas and windowing of its ports
// follow from its inputs. Expressions must have been checked against the input's schema.
type Builder struct {
	Plan *Plan
	At   Meta // of the nodes added next
	// Targets are the places of the sinks by the full name of what they write, so that no two write the same.
	Targets map[string]diag.Place
}

// Meta is where a node comes from.
type Meta struct {
	Name      string
	Transform string
	Place     diag.Place
}

// NewBuilder returns a builder of an empty plan.
func NewBuilder(name string) *Builder { return &Builder{Plan: &Plan{Name: name}} }

// ErrorSchema is the schema of an error output: the failing element whole, the exception, and where it happened.
func ErrorSchema(element column.Type) column.Schema {
	return column.Schema{{Name: "element", Type: element}, {Name: "msg", Type: column.StringType}, {Name: "stack", Type: column.StringType}}
}

// BadRecordSchema is the schema of a file source's error output: the raw record and where it stands.
func BadRecordSchema() column.Schema {
	return column.Schema{
		{Name: "element", Type: column.BytesType}, {Name: "msg", Type: column.StringType},
		{Name: "file", Type: column.StringType}, {Name: "line", Type: column.IntType.OrNull()},
	}
}

func (b *Builder) add(op Op, in []Ref, out ...Port) *Node {
	n := &Node{ID: len(b.Plan.Nodes), Name: b.At.Name, Transform: b.At.Transform, Place: b.At.Place, Op: op, In: in, Out: out}
	b.Plan.Nodes = append(b.Plan.Nodes, n)
	return n
}

// step adds a node with one input whose main port is like the input but for the schema, and an errors port.
func (b *Builder) step(op Op, in Ref, schema column.Schema) *Node {
	from := *b.Plan.Port(in)
	main := Port{Name: MainPort, Schema: schema, Window: from.Window, Explicit: from.Explicit, Unbounded: from.Unbounded}
	return b.add(op, []Ref{in}, main, b.errorsOf(in))
}

func (b *Builder) errorsOf(in Ref) Port {
	from := b.Plan.Port(in)
	return Port{Name: ErrorsPort, Schema: ErrorSchema(column.RowOf(from.Schema)), Window: from.Window, Explicit: from.Explicit, Unbounded: from.Unbounded}
}

// Source adds a source. Its rows are in the global window.
func (b *Builder) Source(connector string, config map[string]any, schema column.Schema, unbounded bool) *Node {
	return b.add(&Source{Connector: connector, Config: config}, nil, Port{Name: MainPort, Schema: schema, Unbounded: unbounded},
		Port{Name: ErrorsPort, Schema: BadRecordSchema(), Unbounded: unbounded})
}

// Sink adds a sink of all the inputs.
func (b *Builder) Sink(connector string, config map[string]any, in ...Ref) *Node {
	return b.add(&Sink{Connector: connector, Config: config}, in)
}

// RefusingSink adds a sink that can refuse rows one by one. Its port is that of errors.
func (b *Builder) RefusingSink(connector string, config map[string]any, in ...Ref) *Node {
	n := b.Sink(connector, config, in...)
	n.Out = []Port{b.errorsOf(in[0])}
	return n
}

// Map adds a map to the named fields. Each field has its expression's type.
func (b *Builder) Map(in Ref, fields column.Schema, exprs []*expr.Expr) *Node {
	context := false
	for _, e := range exprs {
		e.Walk(func(n *expr.Expr) { context = context || n.Op == expr.OpMeta })
	}
	n := b.step(&Map{Exprs: exprs, Context: context}, in, fields)
	if context && n.Out[0].Window.Kind == Sliding {
		n.Out[0].Explicit = true
	}
	return n
}

// Filter adds a filter.
func (b *Builder) Filter(in Ref, keep *expr.Expr) *Node {
	return b.step(&Filter{Keep: keep}, in, b.Plan.Port(in).Schema)
}

// Explode adds an explode of list fields; schema is the input's with those fields at their element type.
func (b *Builder) Explode(in Ref, fields []string, cross bool, schema column.Schema) *Node {
	return b.step(&Explode{Fields: fields, Cross: cross}, in, schema)
}

// Route adds a route. unknown is the index in outputs of what takes null and unlisted values, or -1.
func (b *Builder) Route(in Ref, by *expr.Expr, outputs []string, unknown int) *Node {
	from := *b.Plan.Port(in)
	ports := make([]Port, 0, len(outputs)+1)
	for _, name := range outputs {
		if name == ErrorsPort {
			name = "outputs." + name // the errors port is known by its name
		}
		ports = append(ports, Port{Name: name, Schema: from.Schema, Window: from.Window, Explicit: from.Explicit, Unbounded: from.Unbounded})
	}
	return b.add(&Route{By: by, Outputs: outputs, Unknown: unknown}, []Ref{in}, append(ports, b.errorsOf(in))...)
}

// AssignTime adds an assignment of event times (nil: they stay), with a watermark (nil: that of rows in order, where they are unbounded). The
// window is derived anew from the time.
func (b *Builder) AssignTime(in Ref, time *expr.Expr, w *Watermark) *Node {
	if w == nil && b.Plan.Port(in).Unbounded {
		w = &Watermark{Idle: DefaultIdle}
	}
	n := b.step(&AssignTime{Time: time, Watermark: w}, in, b.Plan.Port(in).Schema)
	n.Out[0].Explicit = false
	return n
}

// Window adds a windowing.
func (b *Builder) Window(in Ref, w Windowing) *Node {
	from := b.Plan.Port(in)
	return b.add(&Window{Windowing: w}, []Ref{in}, Port{Name: MainPort, Schema: from.Schema, Window: w, Unbounded: from.Unbounded})
}

// Aggregate adds a grouping by keys and window.
func (b *Builder) Aggregate(in Ref, keys []string, aggs []Agg) *Node {
	from := *b.Plan.Port(in)
	schema := column.Schema{}
	for _, k := range keys {
		schema = append(schema, from.Schema[from.Schema.Index(k)])
	}
	for _, a := range aggs {
		schema = append(schema, column.Field{Name: a.Name, Type: a.Type})
	}
	main := Port{Name: MainPort, Schema: schema, Window: from.Window, Explicit: true, Unbounded: from.Unbounded}
	return b.add(&Aggregate{Keys: keys, Aggs: aggs}, []Ref{in}, main, lateOf(from))
}

// lateOf is the port of the rows of an input that come too late.
func lateOf(from Port) Port {
	from.Name = LatePort
	return from
}

// Ordered adds a function with a state over the rows of each key, whose result has that type.
func (b *Builder) Ordered(in Ref, op *Ordered, result column.Type) *Node {
	from := *b.Plan.Port(in)
	n := b.step(op, in, append(append(column.Schema{}, from.Schema...), column.Field{Name: op.Tag, Type: result}))
	n.Out = append(n.Out, lateOf(from))
	return n
}

// Infer adds a prediction of that type for each row.
func (b *Builder) Infer(in Ref, op *Infer, prediction column.Type) *Node {
	from := b.Plan.Port(in).Schema
	schema := append(column.Schema{}, from...)
	return b.step(op, in, append(schema, op.field(from, prediction)))
}

// field is the field that a prediction adds to rows of that schema.
func (op *Infer) field(in column.Schema, prediction column.Type) column.Field {
	example := column.RowOf(in)
	if op.Example != nil {
		example = op.Example.Type
	}
	return column.Field{Name: op.Tag, Type: column.RowOf(column.Schema{
		{Name: "example", Type: example}, {Name: "inference", Type: prediction}, {Name: "model_id", Type: column.StringType}})}
}

// Merge adds the union of inputs with equal schemas. With one input it adds nothing.
func (b *Builder) Merge(in ...Ref) Ref {
	if len(in) == 1 {
		return in[0]
	}
	out := *b.Plan.Port(in[0])
	out.Name = MainPort
	for _, r := range in[1:] {
		out.Explicit = out.Explicit || b.Plan.Port(r).Explicit
		out.Unbounded = out.Unbounded || b.Plan.Port(r).Unbounded
	}
	return b.add(&Merge{}, in, out).Main()
}

// Call adds a call of a connector for each row, with rows of that schema as the answer.
func (b *Builder) Call(in Ref, connector string, config map[string]any, arg *expr.Expr, schema column.Schema) *Node {
	return b.step(&Call{Connector: connector, Config: config, Arg: arg}, in, schema)
}
