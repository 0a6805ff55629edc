package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// Check resolves the names of an expression and infers the type of every node, in place. It returns false after an
// error, which it has added to problems.
//
// A name is, in this order: a variable of a comprehension or lambda around it, a field, a built-in function. Only what
// fails for every row is an error; a null, or a value of type Any, may turn out well. Types are never narrower than the
// values: a node of type int is an int in every row in which it does not fail.
//
// A schema of nil says that nothing is known of the row: names that are nothing else are then fields of type Any.
func Check(e *Expr, src Source, schema column.Schema, problems *diag.List) bool {
	c := &checker{src: src, schema: schema, problems: problems}
	t := c.infer(e)
	if !c.failed {
		c.result(e, t)
	}
	return !c.failed
}

// shape is what is known of a value beyond its type.
type shape uint8

const (
	plain      shape = iota // a value of its Type
	tupleOf                 // a tuple; elems where each is known, else elem
	setOf                   // a set, or a dict's keys or items
	iterOf                  // an iterator
	rangeOf                 // a range
	viewOf                  // a view of a dict
	callableOf              // a lambda or built-in

)

// static is what is known of a node's value before the run.
type static struct {
	column.Type
	shape shape
	elem  *static  // of a tuple, set, iterator, range or view; nil: anything
	elems []static // of a tuple of known length
}

func of(t column.Type) static { return static{Type: t} }

var (
	anyStatic   = of(column.AnyType)
	intStatic   = of(column.IntType)
	floatStatic = of(column.FloatType)
	boolStatic  = of(column.BoolType)
	strStatic   = of(column.StringType)
	bytesStatic = of(column.BytesType)
)

// known reports whether the value is of one known type, null aside.
func (s static) known() bool { return s.shape != plain || s.Kind != column.Any }

// is reports whether the value is certainly of that kind, or null.
func (s static) is(k column.Kind) bool { return s.shape == plain && s.Kind == k }

// number reports whether the value is certainly an int, float or bool, or null.
func (s static) number() bool {
	return s.shape == plain && (s.Kind == column.Int || s.Kind == column.Float || s.Kind == column.Bool)
}

func (s static) whole() bool { return s.number() && s.Kind != column.Float }

// isList reports whether the value is certainly a list and not a tuple.
func (s static) isList() bool { return s.is(column.List) }

// name is the name of the type for people.
func (s static) name() string {
	switch s.shape {
	case tupleOf:
		return "a tuple"
	case setOf:
		return "a set"
	case iterOf:
		return "an iterator"
	case rangeOf:
		return "a range"
	case viewOf:
		return "a view of a dict"
	case callableOf:
		return "a function"
	}
	switch s.Kind {
	case column.Any:
		return "a value"
	case column.Null:
		return "None"
	case column.Int:
		return "an int"
	case column.String:
		return "a str"
	case column.Map:
		return "a dict"
	case column.Bytes:
		return "bytes"
	}
	return "a " + s.Kind.String()
}

// unify is what is known of a value that is one of the two.
func unify(a, b static) static {
	if a.shape == plain && b.shape == plain {
		return of(column.Unify(a.Type, b.Type))
	}
	if a.shape != b.shape || a.shape == callableOf {
		return anyStatic
	}
	u := static{Type: column.Unify(a.Type, b.Type), shape: a.shape}
	if x, y := a.element(), b.element(); x.known() && y.known() {
		elem := unify(x, y)
		u.elem = &elem
	}
	return u
}

// element is what is known of the elements that iterating gives.
func (s static) element() static {
	if s.elem != nil {
		return *s.elem
	}
	if s.shape == tupleOf && len(s.elems) > 0 {
		u := s.elems[0]
		for _, e := range s.elems[1:] {
			u = unify(u, e)
		}
		return u
	}
	if s.shape != plain {
		return anyStatic
	}
	switch s.Kind {
	case column.List:
		return of(*s.Elem)
	case column.String, column.Map:
		return strStatic
	case column.Bytes:
		return intStatic
	}
	return anyStatic
}

// iterable reports whether iterating may succeed.
func (s static) iterable() bool {
	if s.shape != plain {
		return s.shape != callableOf
	}
	switch s.Kind {
	case column.Any, column.String, column.Bytes, column.List, column.Map:
		return true
	}
	return false
}

func tupleStatic(elems ...static) static {
	t := static{shape: tupleOf, elems: elems}
	types := column.NullType
	if len(elems) > 0 {
		types = storable(elems[0])
	}
	for _, e := range elems[min(1, len(elems)):] {
		types = column.Unify(types, storable(e))
	}
	t.Type = column.ListOf(types)
	return t
}

func listStatic(elem static) static {
	return of(column.ListOf(storable(elem)))
}

// storable is the type of a value within a list or dict. What is no plain value has none.
func storable(s static) column.Type {
	if s.shape == plain || s.shape == tupleOf {
		return s.Type
	}
	return column.AnyType
}

func sequence(s shape, elem static) static {
	return static{shape: s, elem: &elem}
}

// variable is a name that a comprehension or lambda binds.
type variable struct {
	name string
	is   static
}

type checker struct {
	src      Source
	schema   column.Schema
	problems *diag.List
	vars     []variable
	notNull  []string // texts of sub-expressions that are not null here
	guarded  int      // conditions around with an isinstance()
	failed   bool
}

// errorf reports an error at a node.
//
// Behind an isinstance() it is a warning where it is about types: what Check knows of them may be what the test excludes.
func (c *checker) errorf(e *Expr, code diag.Code, hint, format string, args ...any) static {
	return c.errorAt(c.src.Place(e), code, hint, format, args...)
}

func (c *checker) errorAt(at diag.Place, code diag.Code, hint, format string, args ...any) static {
	p := c.problems.Errorf(at, code, format, args...)
	p.Hint = hint
	if p.Warning = c.guarded > 0 && (code == diag.BadOperands || code == diag.UnknownName); !p.Warning {
		c.failed = true
	}
	return anyStatic
}

// warnf reports what fails for most rows, but not for all.
func (c *checker) warnf(e *Expr, code diag.Code, hint, format string, args ...any) {
	c.problems.Warnf(c.src.Place(e), code, format, args...).Hint = hint
}

// result refuses values that have no place in a row.
func (c *checker) result(e *Expr, t static) {
	switch t.shape {
	case plain, tupleOf:
		return
	case callableOf:
		c.errorf(e, diag.CannotCompile, "Call it.", "%s cannot be the value of a field", t.name())
	default:
		c.errorf(e, diag.CannotCompile, "Make a list of it: list(…) or sorted(…).", "%s cannot be the value of a field", t.name())
	}
}

// infer checks e and sets its type.
func (c *checker) infer(e *Expr) static {
	if e == nil {
		return of(column.NullType)
	}
	t := c.certain(e, c.inferNode(e))
	e.Type = storable(t)
	return t
}

func (c *checker) inferAll(args []*Expr) []static {
	out := make([]static, len(args))
	for i, a := range args {
		out[i] = c.infer(a)
	}
	return out
}

func (c *checker) inferNode(e *Expr) static {
	switch e.Op {
	case OpLit:
		return literalStatic(e.Value)
	case OpField:
		return c.field(e)
	case OpRow:
		if c.schema == nil {
			return anyStatic
		}
		return of(column.RowOf(c.schema))
	case OpLocal, OpBuiltin:
		return c.name(e)
	case OpMeta:
		return metaStatic(e.Name)
	case OpUnary:
		return c.unary(e)
	case OpNot:
		c.infer(e.Args[0])
		return boolStatic
	case OpBinary:
		return c.binary(e)
	case OpCompare:
		return c.compare(e)
	case OpAnd, OpOr:
		return c.logic(e)
	case OpIf:
		return c.conditional(e)
	case OpFormat:
		for _, a := range e.Args {
			c.formatPiece(a)
		}
		return strStatic
	case OpConform:
		c.infer(e.Args[0])
		return of(e.Conform.Type)
	}
	return c.inferCompound(e)
}

func (c *checker) inferCompound(e *Expr) static {
	switch e.Op {
	case OpIndex:
		return c.index(e)
	case OpSlice:
		return c.slice(e)
	case OpAttr:
		return c.attr(e)
	case OpCall:
		return c.call(e)
	case OpMethod:
		return c.method(e)
	case OpList:
		return listStatic(c.elements(e.Args))
	case OpTuple:
		return tupleStatic(c.inferAll(e.Args)...)
	case OpSet:
		elem := c.elements(e.Args)
		c.hashable(e.Args)
		return sequence(setOf, elem)
	case OpDict:
		return c.dict(e)
	case OpComp:
		return c.comprehension(e)
	case OpLambda:
		vars := len(c.vars)
		for _, n := range e.Names {
			c.vars = append(c.vars, variable{n, anyStatic})
		}
		body := c.infer(e.Args[0])
		c.vars = c.vars[:vars]
		return static{shape: callableOf, elem: &body}
	}
	return c.errorf(e, diag.Internal, "", "the expression has an operation %d that is not known", e.Op)
}

// elements is what is known of any of the values.
func (c *checker) elements(args []*Expr) static {
	if len(args) == 0 {
		return of(column.NullType)
	}
	all := c.inferAll(args)
	u := all[0]
	for _, t := range all[1:] {
		u = unify(u, t)
	}
	return u
}

// hashable refuses lists and dicts where Python needs values that it can hash.
func (c *checker) hashable(args []*Expr) {
	for _, a := range args {
		if a.Op == OpList || a.Op == OpDict || a.Op == OpSet {
			c.errorf(a, diag.BadOperands, "Use a tuple.", "a list, dict or set cannot be a key or an element of a set")
		}
	}
}

func literalStatic(v column.Value) static {
	if l, ok := v.(*column.ListValue); ok && l.Tuple {
		elems := make([]static, len(l.Elems))
		for i, e := range l.Elems {
			elems[i] = literalStatic(e)
		}
		return tupleStatic(elems...)
	}
	return of(column.TypeOf(v))
}

func metaStatic(name string) static {
	switch name {
	case "timestamp":
		return of(column.TimeType)
	case "window_string", "window_type":
		return strStatic
	}
	return anyStatic
}

// field looks a field up.
func (c *checker) field(e *Expr) static {
	if c.schema == nil {
		return anyStatic
	}
	if i := c.schema.Index(e.Name); i >= 0 {
		return of(c.schema[i].Type)
	}
	return c.errorf(e, diag.UnknownField, diag.DidYouMean(e.Name, "fields", c.schema.Names()), "no field is named %q", e.Name)
}

// name resolves a bare name.
func (c *checker) name(e *Expr) static {
	for i := len(c.vars) - 1; i >= 0; i-- {
		if c.vars[i].name == e.Name {
			e.Op = OpLocal
			return c.vars[i].is
		}
	}
	if e.Op == OpLocal && c.schema.Index(e.Name) >= 0 {
		e.Op = OpField
		return c.field(e)
	}
	if builtins[e.Name] != nil {
		e.Op = OpBuiltin
		return static{shape: callableOf}
	}
	if c.schema == nil && wordHint(e.Name) == "" {
		e.Op = OpField
		return anyStatic
	}
	return c.unknownName(e)
}

// wordHint says what to write for words of other languages.
func wordHint(name string) string {
	switch strings.ToLower(name) {
	case "null", "nil", "undefined", "none":
		return "Write None."
	case "true":
		return "Write True."
	case "false":
		return "Write False."
	case "nan", "infinity":
		return fmt.Sprintf("Write float('%s').", strings.ToLower(name))
	}
	return ""
}

func (c *checker) unknownName(e *Expr) static {
	hint := wordHint(e.Name)
	if isModule(e.Name) || isUnsupportedBuiltin(e.Name) {
		if isModule(e.Name) {
			return c.errorf(e, diag.CannotCompile, "An expression has the row and Python's built-in functions.", "the module %s cannot be used in an expression", e.Name)
		}
		return c.errorf(e, diag.CannotCompile, "", "the built-in function %s cannot be compiled", e.Name)
	}
	if hint == "" {
		known := c.schema.Names()
		for _, v := range c.vars {
			known = append(known, v.name)
		}
		hint = diag.DidYouMean(e.Name, "fields", known)
	}
	return c.errorf(e, diag.UnknownField, hint, "no field is named %q", e.Name)
}

func isModule(name string) bool {
	switch name {
	case "math", "re", "json", "datetime", "time", "random", "os", "sys", "np", "numpy", "pd", "pandas", "itertools", "functools", "collections",
		"statistics", "string", "uuid", "hashlib", "base64", "operator", "beam":
		return true
	}
	return false
}

func isUnsupportedBuiltin(name string) bool {
	switch name {
	case "print", "open", "eval", "exec", "input", "type", "object", "super", "vars", "dir", "locals", "globals", "getattr", "setattr", "hasattr",
		"delattr", "callable", "id", "hash", "slice", "frozenset", "complex", "bytearray", "memoryview", "compile", "issubclass",
		"property", "classmethod", "staticmethod", "breakpoint", "help", "aiter", "anext", "__import__", "Exception", "ValueError", "TypeError", "KeyError":
		return true
	}
	return false
}

func (c *checker) conditional(e *Expr) static {
	c.infer(e.Args[0])
	yes := c.under(e.Args[0], true, e.Args[1])
	return unify(yes, c.under(e.Args[0], false, e.Args[2]))
}

// under infers e where cond has turned out that way.
func (c *checker) under(cond *Expr, truth bool, e *Expr) static {
	facts, guarded := len(c.notNull), c.guarded
	c.assume(cond, truth)
	t := c.infer(e)
	c.notNull, c.guarded = c.notNull[:facts], guarded
	return t
}

// assume notes what is not null where cond has turned out that way.
func (c *checker) assume(cond *Expr, truth bool) {
	switch cond.Op {
	case OpNot:
		c.assume(cond.Args[0], !truth)
	case OpAnd, OpOr:
		for _, a := range cond.Args {
			if truth == (cond.Op == OpAnd) {
				c.assume(a, truth)
			} else if usesIsinstance(a) {
				c.guarded++
			}
		}
	case OpCompare:
		if len(cond.Names) != 1 {
			return
		}
		right := cond.Args[1]
		isNone := right.Op == OpLit && right.Value == nil
		switch cond.Names[0] {
		case "is", "==":
			if isNone != truth && (isNone || right.Op == OpLit) {
				c.noteNotNull(cond.Args[0])
			}
		case "is not", "!=":
			if isNone == truth && (isNone || right.Op == OpLit) {
				c.noteNotNull(cond.Args[0])
			}
		case "<", "<=", ">", ">=": // a null would have failed
			c.noteNotNull(cond.Args[0])
			c.noteNotNull(right)
		}
	case OpCall:
		if usesIsinstance(cond) {
			c.guarded++
		}
	default:
		if truth {
			c.noteNotNull(cond)
		}
	}
}

func usesIsinstance(e *Expr) bool {
	found := false
	e.Walk(func(n *Expr) { found = found || n.Op == OpCall && n.Name == "isinstance" })
	return found
}

func (c *checker) noteNotNull(e *Expr) {
	if ofField(e) {
		c.notNull = append(c.notNull, e.String())
	}
}

// ofField reports whether e is a field or a field of one.
func ofField(e *Expr) bool {
	for e.Op == OpAttr {
		e = e.Args[0]
	}
	return e.Op == OpField
}

// certain makes the type of e not nullable where that has been noted.
func (c *checker) certain(e *Expr, t static) static {
	if len(c.notNull) == 0 || !t.Nullable || t.shape != plain || !ofField(e) {
		return t
	}
	if slices.Contains(c.notNull, e.String()) {
		t.Type = t.NotNull()
	}
	return t
}

// logic: an operand before the last is the result only if it decides, so that a null before an or never is.
func (c *checker) logic(e *Expr) static {
	all := make([]static, len(e.Args))
	facts, guarded := len(c.notNull), c.guarded
	for i, a := range e.Args {
		all[i] = c.infer(a)
		c.assume(a, e.Op == OpAnd)
	}
	c.notNull, c.guarded = c.notNull[:facts], guarded
	var u static
	for i, t := range all {
		if i < len(all)-1 && e.Op == OpOr && t.shape == plain && t.Kind != column.Any && t.Kind != column.Null {
			t.Type = t.NotNull()
		}
		if i < len(all)-1 && e.Op == OpOr && t.is(column.Null) {
			continue // never true
		}
		if u.shape == plain && u.Kind == column.Any && u.elems == nil && i == 0 {
			u = t
			continue
		}
		u = unify(u, t)
	}
	return u
}

func (c *checker) formatPiece(e *Expr) {
	if e.Op == OpLit {
		e.Type = column.StringType
		return
	}
	e.Type = column.StringType
	t := c.infer(e.Args[0])
	spec := e.Args[1]
	if spec == nil {
		return
	}
	c.infer(spec)
	if len(spec.Args) == 1 && spec.Args[0].Op == OpLit && e.Name == "" {
		c.constantSpec(e, t, spec.Args[0].Value)
	}
}

// constantSpec refuses a format spec that fails for every value of the type.
func (c *checker) constantSpec(e *Expr, t static, spec column.Value) {
	text, ok := spec.(string)
	if !ok || t.MayBeNull() || t.shape != plain || text == "" {
		return
	}
	var sample column.Value
	switch t.Kind {
	case column.Int:
		sample = int64(1)
	case column.Float:
		sample = 1.0
	case column.String:
		sample = ""
	default:
		return
	}
	m := machine{}
	if _, err := m.format(sample, text); err != nil {
		c.errorf(e, diag.BadOperands, "", "the format %q fails for %s: %s", text, t.name(), err.(*Exception).Msg)
	}
}

func (c *checker) dict(e *Expr) static {
	var keys, values []*Expr
	for i := 0; i < len(e.Args); i += 2 {
		keys, values = append(keys, e.Args[i]), append(values, e.Args[i+1])
	}
	key, value := c.elements(keys), c.elements(values)
	c.hashable(keys)
	return dictStatic(key, value, len(keys) == 0)
}

// dictStatic is a map where all keys are strings, else any value.
func dictStatic(key, value static, empty bool) static {
	if empty || key.is(column.String) && !key.MayBeNull() {
		return of(column.MapOf(storable(value)))
	}
	return anyStatic
}

func (c *checker) comprehension(e *Expr) static {
	vars := len(c.vars)
	for _, clause := range e.Comp.Clauses {
		t := c.infer(clause.Iter)
		if !t.iterable() {
			c.errorf(clause.Iter, diag.BadOperands, "", "%s cannot be gone through", t.name())
		}
		c.bind(clause, t.element())
		for _, cond := range clause.Conds {
			c.infer(cond)
		}
	}
	all := c.inferAll(e.Args)
	c.vars = c.vars[:vars]
	switch e.Name {
	case "dict":
		return dictStatic(all[0], all[1], false)
	case "set":
		return sequence(setOf, all[0])
	case "generator":
		return sequence(iterOf, all[0])
	}
	return listStatic(all[0])
}

// bind makes variables of the targets of a for.
func (c *checker) bind(clause Clause, elem static) {
	for i, name := range clause.Targets {
		t := elem
		if len(clause.Targets) > 1 {
			t = anyStatic
			switch {
			case elem.shape == tupleOf && len(elem.elems) == len(clause.Targets):
				t = elem.elems[i]
			case elem.shape == tupleOf && elem.elems != nil:
				c.errorf(clause.Iter, diag.BadOperands, "", "the elements are tuples of %d values, they cannot be unpacked to %d names", len(elem.elems), len(clause.Targets))
			case elem.known():
				t = elem.element()
			}
			if i == 0 && !elem.iterable() {
				c.errorf(clause.Iter, diag.BadOperands, "", "the elements are not sequences: %s cannot be unpacked", elem.name())
			}
		}
		c.vars = append(c.vars, variable{name, t})
	}
}
