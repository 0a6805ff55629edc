package kernel

import (
	"slices"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// compiler turns an expression tree into steps. Its methods return nil for what has no vector form.
type compiler struct {
	schema column.Schema
	memo   map[*expr.Expr]*node // operands of chained comparisons
	costly int                  // steps made so far that are worth skipping rows for
}

// node is a step with what is known of its result.
type node struct {
	step  step
	t     column.Type
	lit   column.Value // the value of a constant
	isLit bool
	boxed bool // computed by the interpreter, or from nothing but such
	// costly says that the step, or one under it, does work for each selected row alone. It is then evaluated only for
	// the rows that need it.
	costly bool
}

// kind returns the kind of the node's values.
func (n *node) kind() column.Kind { return n.t.Kind }

// compile returns the step of e, or nil: not vectorised, or of a type that e is not of.
func (c *compiler) compile(e *expr.Expr) *node {
	if v, ok := literal(e); ok {
		return c.literal(v)
	}
	before := c.costly
	n := c.build(e)
	if n == nil || !n.t.SameKind(e.Type) {
		return nil
	}
	n.costly = c.costly > before
	return n
}

func (c *compiler) build(e *expr.Expr) *node {
	switch e.Op {
	case expr.OpField:
		return c.field(e)
	case expr.OpMeta:
		return c.meta(e)
	case expr.OpUnary:
		return c.unary(e)
	case expr.OpNot:
		if t := c.truth(e.Args[0]); t != nil {
			return &node{step: &notStep{a: t.step}, t: column.BoolType, boxed: t.boxed}
		}
	case expr.OpBinary:
		return c.binary(e)
	case expr.OpCompare:
		return c.compare(e)
	case expr.OpAnd, expr.OpOr:
		return c.logic(e)
	case expr.OpIf:
		return c.choice(e)
	case expr.OpAttr:
		return c.attr(e)
	case expr.OpIndex:
		return c.index(e)
	case expr.OpCall:
		return c.call(e)
	case expr.OpMethod:
		return c.method(e)
	case expr.OpFormat:
		return c.format(e)
	case expr.OpConform:
		return c.conform(e)
	}
	return nil
}

// operand returns the step of e, one that asks the interpreter where there is no other; nil where even the type of e
// is not known.
func (c *compiler) operand(e *expr.Expr) *node {
	if n, ok := c.memo[e]; ok {
		return n
	}
	if n := c.compile(e); n != nil {
		return n
	}
	if e.Type.Kind == column.Any || e.Type.Kind == column.Null || e.Op == expr.OpLambda || e.Op == expr.OpLocal {
		return nil
	}
	c.costly++
	return &node{step: &boxedStep{e: e}, t: e.Type, boxed: true, costly: true}
}

// share has operand return one and the same step for e from now on, computed once for each batch.
func (c *compiler) share(e *expr.Expr) {
	n := c.operand(e)
	if n != nil && !n.isLit {
		once := *n
		once.step = &onceStep{a: n.step}
		n = &once
	}
	if c.memo == nil {
		c.memo = map[*expr.Expr]*node{}
	}
	c.memo[e] = n
}

// operands is operand for each of the expressions; nil where one of them has none, or where all but constants are
// boxed, since then the interpreter may as well do the whole.
func (c *compiler) operands(exprs []*expr.Expr) []*node {
	out := make([]*node, len(exprs))
	vector := false
	for i, e := range exprs {
		if out[i] = c.operand(e); out[i] == nil {
			return nil
		}
		vector = vector || !out[i].boxed && !out[i].isLit
	}
	if !vector {
		return nil
	}
	return out
}

// literal returns the value of a constant: a literal, or a sign before a number.
func literal(e *expr.Expr) (column.Value, bool) {
	switch {
	case e.Op == expr.OpLit:
		return e.Value, true
	case e.Op == expr.OpUnary && len(e.Args) == 1 && e.Args[0].Op == expr.OpLit && (e.Name == "-" || e.Name == "+"):
		switch v := e.Args[0].Value.(type) {
		case int64:
			if e.Name == "+" {
				return v, true
			}
			return -v, -v != v || v == 0
		case float64:
			if e.Name == "+" {
				return v, true
			}
			return -v, true
		}
	}
	return nil, false
}

func (c *compiler) literal(v column.Value) *node {
	t := column.TypeOf(v)
	switch t.Kind {
	case column.Null, column.Bool, column.Int, column.Float, column.String, column.Bytes, column.Time, column.Duration:
		return &node{step: &constStep{v: v}, t: t, lit: v, isLit: true}
	}
	return nil
}

func (c *compiler) field(e *expr.Expr) *node {
	i := c.schema.Index(e.Name)
	if i < 0 || c.schema[i].Type.Kind == column.Any {
		return nil
	}
	return &node{step: fieldStep(i), t: c.schema[i].Type}
}

func (c *compiler) meta(e *expr.Expr) *node {
	if e.Type.Kind != column.Time || !slices.Contains([]string{"timestamp", "window_start", "window_end"}, e.Name) {
		return nil
	}
	return &node{step: &metaStep{name: e.Name}, t: column.TimeType}
}

func (c *compiler) attr(e *expr.Expr) *node {
	a := c.whole(e.Args[0])
	if a == nil {
		return nil
	}
	switch a.kind() {
	case column.Row:
		i := a.t.Fields.Index(e.Name)
		if i < 0 || a.t.Fields[i].Type.Kind == column.Any {
			return nil
		}
		return &node{step: &childStep{a: a.step, child: i}, t: a.t.Fields[i].Type}
	case column.Time, column.Duration:
		if e.Name == "micros" {
			return &node{step: &microsStep{a: a.step}, t: column.IntType}
		}
	}
	return nil
}

// whole compiles what an attribute is taken of. A row that is read may have lost fields since the expression was checked, those that
// nothing reads: its type need not be the expression's.
func (c *compiler) whole(e *expr.Expr) *node {
	if e.Op == expr.OpField || e.Op == expr.OpAttr {
		return c.build(e)
	}
	return c.compile(e)
}

// index compiles list[constant] and row['name'].
func (c *compiler) index(e *expr.Expr) *node {
	a := c.compile(e.Args[0])
	at, ok := literal(e.Args[1])
	if a == nil || !ok {
		return nil
	}
	i, ok := at.(int64)
	if !ok || a.kind() != column.List {
		return nil
	}
	switch a.t.Elem.Kind {
	case column.Bool, column.Int, column.Float, column.Time, column.Duration, column.String:
		return &node{step: &itemStep{a: a.step, at: i}, t: *a.t.Elem}
	}
	return nil
}

// conform compiles a check that the static type has already passed, but for nulls.
func (c *compiler) conform(e *expr.Expr) *node {
	a := c.compile(e.Args[0])
	if a == nil || e.Conform == nil || e.Conform.Schema != nil {
		return nil
	}
	want := e.Conform.Type
	switch want.Kind {
	case column.Bool, column.Int, column.Float, column.String, column.Bytes, column.Time:
	default:
		return nil
	}
	if a.kind() != want.Kind {
		return nil
	}
	if want.Nullable {
		return a
	}
	return &node{step: &notNullStep{a: a.step}, t: want}
}
