// Package expr is the expression language of plans: one typed tree with several front ends (Beam's generic
// form, Python), and an interpreter over boxed values that defines what every expression means.
//
// The meaning is Python's. kernel compiles the common expressions to loops over columns; wherever such a loop
// meets a row that is out of the ordinary (a null, an overflow, a division by zero), it hands that row to the
// interpreter here, so that there is one definition of every result and of every error.
package expr

import (
	"sync"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// Op says what a node of the tree does.
type Op uint8

// The operations. Args are given in order; "name" is Expr.Name, "value" Expr.Value.
const (
	OpLit       Op = iota // value
	OpField               // the row's field called name
	OpRow                 // the row itself, __row__
	OpLocal               // the variable called name: bound by a comprehension or lambda around it
	OpMeta                // time and window of the row; name is one of MetaNames
	OpUnary               // name is "-", "+", "~"; Args[0]
	OpNot                 // not Args[0]
	OpBinary              // name is one of + - * / // % ** << >> & | ^; Args[0], Args[1]
	OpCompare             // chain: Args[0] Names[0] Args[1] Names[1] Args[2] …; Names hold == != < <= > >= in, not in, is, is not
	OpAnd                 // all Args from the left; the value of the deciding operand
	OpOr                  // likewise
	OpIf                  // Args[1] if Args[0] else Args[2]
	OpIndex               // Args[0][Args[1]]
	OpSlice               // Args[0][Args[1]:Args[2]:Args[3]]; an absent part is a nil *Expr
	OpAttr                // Args[0].name
	OpCall                // built-in function name(Args...), keyword arguments in Keywords
	OpMethod              // Args[0].name(Args[1:]...), keyword arguments in Keywords
	OpList                // [Args...]
	OpTuple               // (Args...)
	OpDict                // {Args[0]: Args[1], Args[2]: Args[3], …}
	OpSet                 // {Args...}
	OpComp                // comprehension; name is "list", "set", "dict" or "generator"; see Comp
	OpFormat              // f-string; Args are strings (OpLit) and OpFormatted, in order
	OpFormatted           // {Args[0]!name:Args[1]}: conversion "", "r", "s" or "a"; Args[1] is an OpFormat or nil
	OpLambda              // lambda Names: Args[0]; only as a callable, or as key= of sorted, min, max
	OpConform             // Args[0] if it fits Conform, else TypeError
	OpBuiltin             // the built-in function or type called name, as a value: key=len, isinstance(x, int)
)

// Expr is one node. It is pure data: a plan prints it, compares it and ships it.
type Expr struct {
	Op       Op
	Type     column.Type // set by Check; Any where it cannot be known
	Start    int         // bytes of the source text [Start, End)
	End      int
	Name     string
	Names    []string
	Value    column.Value
	Args     []*Expr
	Keywords []Keyword
	Comp     *Comp
	Conform  *Conform
}

// Keyword is a keyword argument of a call.
type Keyword struct {
	Name string
	Arg  *Expr
}

// Comp is the rest of a comprehension: Args[0] (for dicts Args[0]: Args[1]) for each turn of the clauses.
type Comp struct {
	Clauses []Clause
}

// Clause is "for Targets in Iter if Conds...". More than one target unpacks.
type Clause struct {
	Targets []string
	Iter    *Expr
	Conds   []*Expr
}

// Conform is a type that a value has to fit, from output_type or a JSON schema.
type Conform struct {
	Type   column.Type
	Schema any // the whole JSON schema as plain data (map[string]any …) where Type does not say all of it, else nil

	patterns *sync.Map // the schema's regular expressions by their text; nil: they are not kept
}

// MetaNames are what OpMeta can ask of a row beside its fields, as ExtractWindowingInfo names them.
var MetaNames = []string{"timestamp", "window_start", "window_end", "window_string", "window_type", "window_object", "pane_info"}

// Source is the text of an expression as the user wrote it.
type Source struct {
	Text string
	Span diag.Span // where Text stands
}

// Place returns the place of e within the source.
func (s Source) Place(e *Expr) diag.Place { return s.Span.At(s.Text, e.Start, e.End) }

// Env is what an expression is evaluated over: one row.
type Env interface {
	// Field returns the value of the field called name. Check has made sure that there is one, but in a row of
	// unknown type there may be none: then ok is false.
	Field(name string) (v column.Value, ok bool)
	// Row returns the whole row.
	Row() *column.RowValue
	// Meta returns one of MetaNames.
	Meta(name string) column.Value
}

// Exception is a Python exception: the error of one row.
type Exception struct {
	Class string // "ZeroDivisionError"
	Msg   string // "division by zero"
}

// Error returns Class: Msg, as Python prints it.
func (e *Exception) Error() string {
	if e.Msg == "" {
		return e.Class
	}
	return e.Class + ": " + e.Msg
}

// Walk calls f with e and every node under it, parents first.
func (e *Expr) Walk(f func(*Expr)) {
	if e == nil {
		return
	}
	f(e)
	for _, a := range e.Args {
		a.Walk(f)
	}
	for _, k := range e.Keywords {
		k.Arg.Walk(f)
	}
	if e.Comp != nil {
		for _, c := range e.Comp.Clauses {
			c.Iter.Walk(f)
			for _, cond := range c.Conds {
				cond.Walk(f)
			}
		}
	}
}

// Fields returns the names of the fields that e reads, each once; all is true where it may read any (OpRow).
func (e *Expr) Fields() (names []string, all bool) {
	seen := map[string]bool{}
	e.Walk(func(n *Expr) {
		switch n.Op {
		case OpRow:
			all = true
		case OpField:
			if !seen[n.Name] {
				seen[n.Name] = true
				names = append(names, n.Name)
			}
		}
	})
	return names, all
}

// Parts returns which fields of the nested row called name e reads, as in name.part and name["part"]; whole is true where it
// may read all of them.
func (e *Expr) Parts(name string) (parts []string, whole bool) {
	nested := map[*Expr]bool{} // reads of the field that a part is taken of
	e.Walk(func(n *Expr) {
		switch {
		case n.Op == OpRow, n.Op == OpField && n.Name == name && !nested[n]:
			whole = true
		case len(n.Args) > 0 && n.Args[0] != nil && n.Args[0].Op == OpField && n.Args[0].Name == name:
			if n.Op == OpAttr {
				parts, nested[n.Args[0]] = append(parts, n.Name), true
			} else if key, ok := constantKey(n); ok {
				parts, nested[n.Args[0]] = append(parts, key), true
			}
		}
	})
	return parts, whole
}

// Within returns e, an expression over the fields of a row, as one over rows that hold such a row in the given field.
func (e *Expr) Within(field column.Field) *Expr {
	if e == nil {
		return nil
	}
	switch e.Op {
	case OpField:
		return &Expr{Op: OpAttr, Name: e.Name, Type: e.Type, Start: e.Start, End: e.End, Args: []*Expr{FieldRef(field)}}
	case OpRow:
		return FieldRef(field)
	}
	out := *e
	out.Args = make([]*Expr, len(e.Args))
	for i, a := range e.Args {
		out.Args[i] = a.Within(field)
	}
	out.Keywords = append([]Keyword(nil), e.Keywords...)
	for i := range out.Keywords {
		out.Keywords[i].Arg = e.Keywords[i].Arg.Within(field)
	}
	if e.Comp != nil {
		clauses := append([]Clause(nil), e.Comp.Clauses...)
		for i, c := range e.Comp.Clauses {
			clauses[i].Iter = c.Iter.Within(field)
			clauses[i].Conds = make([]*Expr, len(c.Conds))
			for k, cond := range c.Conds {
				clauses[i].Conds[k] = cond.Within(field)
			}
		}
		out.Comp = &Comp{Clauses: clauses}
	}
	return &out
}

// constantKey returns the key of an index that is a constant string.
func constantKey(n *Expr) (string, bool) {
	if n.Op != OpIndex || len(n.Args) != 2 || n.Args[1] == nil || n.Args[1].Op != OpLit {
		return "", false
	}
	key, ok := n.Args[1].Value.(string)
	return key, ok
}

// FieldRef returns an expression that reads a field.
func FieldRef(f column.Field) *Expr { return &Expr{Op: OpField, Name: f.Name, Type: f.Type} }

// Lit returns a constant expression.
func Lit(v column.Value) *Expr { return &Expr{Op: OpLit, Value: v, Type: column.TypeOf(v)} }
