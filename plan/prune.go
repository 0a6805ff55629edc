package plan

import (
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// Prune takes out of a plan the fields that nothing reads: sources read fewer fields, maps compute fewer. Results,
// error outputs and failures of rows stay as they are, but for a record that is malformed in a field that is never read.
//
// A node stays even where nothing reads it: as in Beam, a row that fails in it fails the job. An error output that is
// read holds its rows whole, and so keeps all fields before it.
func Prune(p *Plan) {
	u := usage{plan: p, read: map[Ref]bool{}, whole: map[int]bool{}}
	for _, n := range p.Nodes {
		for _, in := range n.In {
			u.read[in] = true
		}
	}
	for again := true; again; {
		u.trace()
		again = u.settleMerges()
	}
	for _, n := range p.Nodes {
		u.apply(n)
	}
}

// need is which fields of a port are read.
type need struct {
	all    bool
	fields map[string]bool            // read as a whole
	parts  map[string]map[string]bool // of nested rows, of which only parts are read
}

func (n *need) add(names ...string) {
	if n.fields == nil {
		n.fields = map[string]bool{}
	}
	for _, name := range names {
		n.fields[name] = true
	}
}

// addPart notes that one field of the nested row called name is read.
func (n *need) addPart(name, part string) {
	if n.parts == nil {
		n.parts = map[string]map[string]bool{}
	}
	if n.parts[name] == nil {
		n.parts[name] = map[string]bool{}
	}
	n.parts[name][part] = true
}

func (n *need) join(m need) {
	n.all = n.all || m.all
	for name := range m.fields {
		n.add(name)
	}
	for name := range m.parts {
		n.pass(name, m, name)
	}
}

// pass notes that the field called name goes on as the field of m called as, and is read as far as that is.
func (n *need) pass(name string, m need, as string) {
	if m.all || m.fields[as] {
		n.add(name)
	}
	for part := range m.parts[as] {
		n.addPart(name, part)
	}
}

func (n *need) exprs(exprs ...*expr.Expr) {
	for _, e := range exprs {
		if e == nil {
			continue
		}
		names, all := e.Fields()
		n.all = n.all || all
		for _, name := range names {
			parts, whole := e.Parts(name)
			if whole {
				n.add(name)
			}
			for _, part := range parts {
				n.addPart(name, part)
			}
		}
	}
}

// has reports whether the field called name, or a part of it, is read.
func (n *need) has(name string) bool { return n.all || n.fields[name] || len(n.parts[name]) > 0 }

// hasPart reports whether that field of the nested row called name is read.
func (n *need) hasPart(name, part string) bool {
	return n.all || n.fields[name] || n.parts[name][part]
}

type usage struct {
	plan    *Plan
	read    map[Ref]bool      // ports that something reads
	whole   map[int]bool      // merges that take all fields of their inputs
	needs   [][]need          // by node and port
	schemas [][]column.Schema // as they will be
}

// trace finds what is read of each port, and the schemas that follow from it.
func (u *usage) trace() {
	nodes := u.plan.Nodes
	u.needs = make([][]need, len(nodes))
	u.schemas = make([][]column.Schema, len(nodes))
	for i, n := range nodes {
		u.needs[i] = make([]need, len(n.Out))
		u.schemas[i] = make([]column.Schema, len(n.Out))
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		u.visit(nodes[i])
	}
	for _, n := range nodes {
		u.rebuild(n)
	}
}

// settleMerges makes the merges whole whose inputs would not have the same fields any more, and reports whether there
// were any.
func (u *usage) settleMerges() bool {
	changed := false
	for _, n := range u.plan.Nodes {
		if _, ok := n.Op.(*Merge); !ok || u.whole[n.ID] {
			continue
		}
		for _, in := range n.In[1:] {
			if !u.schema(in).Equal(u.schema(n.In[0])) {
				u.whole[n.ID] = true
				changed = true
			}
		}
	}
	return changed
}

func (u *usage) schema(r Ref) column.Schema { return u.schemas[r.Node][r.Port] }

// visit notes what n reads of its inputs. All readers of n have been visited.
func (u *usage) visit(n *Node) {
	var reads need
	if e, ok := n.Errors(); ok && u.read[e] {
		reads.all = true
		if _, source := n.Op.(*Source); source {
			u.needs[n.ID][0].all = true
		}
	}
	if late, ok := n.Late(); ok {
		reads.join(u.needs[late.Node][late.Port])
	}
	switch op := n.Op.(type) {
	case *Sink:
		reads.all = true
	case *Merge:
		reads.all = u.whole[n.ID]
		reads.join(u.needs[n.ID][0])
	case *Map:
		for i, e := range op.Exprs {
			switch {
			case !u.computes(n, op, i):
			case e.Op == expr.OpField:
				reads.pass(e.Name, u.needs[n.ID][0], n.Out[0].Schema[i].Name)
			default:
				reads.exprs(e)
			}
		}
	case *Filter:
		reads.exprs(op.Keep)
		reads.join(u.needs[n.ID][0])
	case *Explode:
		reads.add(op.Fields...)
		reads.join(u.needs[n.ID][0])
	case *Route:
		reads.exprs(op.By)
		for i := range op.Outputs {
			reads.join(u.needs[n.ID][i])
		}
	case *AssignTime:
		reads.exprs(op.Time)
		if op.Watermark != nil && op.Watermark.Per != "" {
			reads.add(op.Watermark.Per)
		}
		reads.join(u.needs[n.ID][0])
	case *Ordered:
		reads.exprs(op.Args...)
		reads.add(op.Keys...)
		reads.join(u.needs[n.ID][0])
	case *Window:
		reads.join(u.needs[n.ID][0])
	case *Aggregate:
		reads.add(op.Keys...)
		for _, a := range op.Aggs {
			reads.exprs(a.Arg)
		}
	case *Call:
		reads.exprs(op.Arg)
	case *Infer:
		u.visitInfer(n, op, &reads)
	}
	for _, in := range n.In {
		u.needs[in.Node][in.Port].join(reads)
	}
}

// visitInfer notes what a prediction reads: its inputs, the fields that are read after it, and where the example is, all.
func (u *usage) visitInfer(n *Node, op *Infer, reads *need) {
	reads.exprs(op.Inputs...)
	reads.exprs(op.Example)
	reads.add(op.Keys...)
	after := u.needs[n.ID][0]
	reads.join(after)
	reads.all = reads.all || op.Example == nil && after.hasPart(op.Tag, "example")
}

// harmless reports whether an expression cannot fail.
func harmless(e *expr.Expr) bool { return e.Op == expr.OpField || e.Op == expr.OpLit }

// rebuild finds the schemas of n's ports after those of its inputs.
func (u *usage) rebuild(n *Node) {
	out := u.schemas[n.ID]
	for i := range n.Out {
		out[i] = n.Out[i].Schema
	}
	switch op := n.Op.(type) {
	case *Source:
		out[0] = keep(n.Out[0].Schema, u.needs[n.ID][0].has)
		return
	case *Map:
		out[0] = u.mapped(n, op)
	case *Filter, *AssignTime, *Window, *Merge:
		out[0] = u.schema(n.In[0])
	case *Explode:
		in := u.schema(n.In[0])
		out[0] = keep(n.Out[0].Schema, func(name string) bool { return in.Index(name) >= 0 })
	case *Route:
		for i := range op.Outputs {
			out[i] = u.schema(n.In[0])
		}
	case *Infer:
		in, tag := u.schema(n.In[0]), n.Out[0].Schema[len(n.Out[0].Schema)-1]
		out[0] = append(append(column.Schema{}, in...), op.field(in, tag.Type.Fields[1].Type))
	case *Ordered:
		in, tag := u.schema(n.In[0]), n.Out[0].Schema[len(n.Out[0].Schema)-1]
		out[0] = append(append(column.Schema{}, in...), tag)
	}
	if late, ok := n.Late(); ok {
		out[late.Port] = u.schema(n.In[0])
	}
	if e, ok := n.Errors(); ok && len(n.In) == 1 {
		out[e.Port] = ErrorSchema(column.RowOf(u.schema(n.In[0])))
	}
}

// mapped is the schema of a map without the fields that are not read. A field that is passed on has the type that it has before.
func (u *usage) mapped(n *Node, m *Map) column.Schema {
	out := column.Schema{}
	for i, f := range n.Out[0].Schema {
		if !u.computes(n, m, i) {
			continue
		}
		if e := m.Exprs[i]; e.Op == expr.OpField && f.Type.Kind == column.Row {
			before, now := u.plan.Port(n.In[0]).Schema, u.schema(n.In[0])
			if was, is := before.Index(e.Name), now.Index(e.Name); was >= 0 && is >= 0 && before[was].Type.Equal(f.Type) {
				f.Type = now[is].Type
			}
		}
		out = append(out, f)
	}
	return out
}

// computes reports whether field i of a map is still computed.
func (u *usage) computes(n *Node, m *Map, i int) bool {
	return u.needs[n.ID][0].has(n.Out[0].Schema[i].Name) || !harmless(m.Exprs[i])
}

// apply puts what has been found into the plan.
func (u *usage) apply(n *Node) {
	if m, ok := n.Op.(*Map); ok {
		kept := []*expr.Expr{}
		for i, e := range m.Exprs {
			if u.computes(n, m, i) {
				kept = append(kept, e)
			}
		}
		m.Exprs = kept
	}
	for i := range n.Out {
		n.Out[i].Schema = u.schemas[n.ID][i]
	}
}

// keep returns the fields for which has is true.
func keep(s column.Schema, has func(name string) bool) column.Schema {
	out := column.Schema{}
	for _, f := range s {
		if has(f.Name) {
			out = append(out, f)
		}
	}
	return out
}
