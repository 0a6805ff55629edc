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
	u := usage{plan: p, needs: make([][]need, len(p.Nodes)), read: map[Ref]bool{}}
	for i, n := range p.Nodes {
		u.needs[i] = make([]need, len(n.Out))
		for _, in := range n.In {
			u.read[in] = true
		}
	}
	for i := len(p.Nodes) - 1; i >= 0; i-- {
		u.visit(p.Nodes[i])
	}
	for _, n := range p.Nodes {
		u.rebuild(n)
	}
}

// need is which fields of a port are read.
type need struct {
	all    bool
	fields map[string]bool
}

func (n *need) add(names ...string) {
	if n.fields == nil {
		n.fields = map[string]bool{}
	}
	for _, name := range names {
		n.fields[name] = true
	}
}

func (n *need) join(m need) {
	n.all = n.all || m.all
	for name := range m.fields {
		n.add(name)
	}
}

func (n *need) exprs(exprs ...*expr.Expr) {
	for _, e := range exprs {
		names, all := e.Fields()
		n.add(names...)
		n.all = n.all || all
	}
}

// has reports whether the field called name is read.
func (n *need) has(name string) bool { return n.all || n.fields[name] }

type usage struct {
	plan  *Plan
	needs [][]need // by node and port
	read  map[Ref]bool
}

// visit notes what n reads of its inputs. All readers of n have been visited.
func (u *usage) visit(n *Node) {
	var reads need
	if e, ok := n.Errors(); ok && u.read[e] {
		reads.all = true
		if _, source := n.Op.(*Source); source {
			u.needs[n.ID][0].all = true
		}
	}
	switch op := n.Op.(type) {
	case *Sink, *Merge: // the inputs of a merge have the same fields
		reads.all = true
	case *Map:
		out := &u.needs[n.ID][0]
		for i, e := range op.Exprs {
			if out.has(n.Out[0].Schema[i].Name) || !harmless(e) {
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
	}
	for _, in := range n.In {
		u.needs[in.Node][in.Port].join(reads)
	}
}

// harmless reports whether an expression cannot fail.
func harmless(e *expr.Expr) bool { return e.Op == expr.OpField || e.Op == expr.OpLit }

// rebuild sets the schemas of n's ports after its inputs' have been set.
func (u *usage) rebuild(n *Node) {
	switch op := n.Op.(type) {
	case *Source:
		n.Out[0].Schema = keep(n.Out[0].Schema, u.needs[n.ID][0].has)
		return
	case *Map:
		var fields column.Schema
		var exprs []*expr.Expr
		for i, e := range op.Exprs {
			if f := n.Out[0].Schema[i]; u.needs[n.ID][0].has(f.Name) || !harmless(e) {
				fields, exprs = append(fields, f), append(exprs, e)
			}
		}
		n.Out[0].Schema, op.Exprs = fields, exprs
	case *Filter, *AssignTime, *Window, *Merge:
		n.Out[0].Schema = u.plan.Port(n.In[0]).Schema
	case *Explode:
		in := u.plan.Port(n.In[0]).Schema
		n.Out[0].Schema = keep(n.Out[0].Schema, func(name string) bool { return in.Index(name) >= 0 })
	case *Route:
		for i := range op.Outputs {
			n.Out[i].Schema = u.plan.Port(n.In[0]).Schema
		}
	}
	if e, ok := n.Errors(); ok && len(n.In) == 1 {
		n.Out[e.Port].Schema = ErrorSchema(column.RowOf(u.plan.Port(n.In[0]).Schema))
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
