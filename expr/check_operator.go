package expr

import (
	"strings"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

func (c *checker) unary(e *Expr) static {
	t := c.infer(e.Args[0])
	switch {
	case t.whole():
		return intStatic
	case t.is(column.Float) && e.Name != "~":
		return floatStatic
	case !t.known():
		return anyStatic
	case t.is(column.Duration) && e.Name == "-":
		return of(column.DurationType)
	}
	return c.errorf(e, diag.BadOperands, "", "%s has no meaning for %s", e.Name, t.name())
}

func (c *checker) binary(e *Expr) static {
	a, b := c.infer(e.Args[0]), c.infer(e.Args[1])
	if c.failed {
		if a.number() && b.number() {
			return numberResult(e, a, b)
		}
		return anyStatic
	}
	if !a.known() || !b.known() {
		return halfKnown(e.Name, a, b)
	}
	if a.number() && b.number() {
		if t := numberResult(e, a, b); t.known() || e.Name == "**" {
			return t
		}
		return c.badOperands(e, a, b)
	}
	if t, ok := sequenceResult(e.Name, a, b); ok {
		return t
	}
	if t, ok := setResult(e.Name, a, b); ok {
		return t
	}
	if t, ok := timeResult(e.Name, a, b); ok {
		return t
	}
	return c.badOperands(e, a, b)
}

// halfKnown is the result where one operand may be anything.
func halfKnown(op string, a, b static) static {
	if a.is(column.String) && (op == "%" || op == "+") || b.is(column.String) && op == "+" {
		return strStatic
	}
	return anyStatic
}

func (c *checker) badOperands(e *Expr, a, b static) static {
	hint := ""
	switch {
	case e.Name == "%" && a.is(column.Bytes):
		return c.errorf(e, diag.CannotCompile, "Decode the bytes first: ….decode().", "formatting bytes with %% cannot be compiled")
	case e.Name == "+" && (a.is(column.String) && b.number() || a.number() && b.is(column.String)):
		hint = "Make both text with str(…), or both numbers with int(…) or float(…)."
	case a.is(column.String) && b.number() || a.number() && b.is(column.String):
		hint = "Make the text a number with int(…) or float(…)."
	}
	return c.errorf(e, diag.BadOperands, hint, "%s has no meaning for %s and %s", e.Name, a.name(), b.name())
}

// numberResult is the type of a binary operator on numbers; Any where there is none, or where it depends on the values.
func numberResult(e *Expr, a, b static) static {
	float := a.Kind == column.Float || b.Kind == column.Float
	switch e.Name {
	case "/":
		return floatStatic
	case "+", "-", "*", "//", "%":
		if float {
			return floatStatic
		}
		return intStatic
	case "**":
		if float {
			return floatStatic
		}
		if v, ok := e.Args[1].Value.(int64); ok && e.Args[1].Op == OpLit {
			if v < 0 {
				return floatStatic
			}
			return intStatic
		}
		if b.Kind == column.Bool {
			return intStatic
		}
	case "&", "|", "^", "<<", ">>":
		if float {
			return anyStatic
		}
		if a.Kind == column.Bool && b.Kind == column.Bool && len(e.Name) == 1 {
			return boolStatic
		}
		return intStatic
	}
	return anyStatic
}

// sequenceResult is the type of + * and % on text, bytes, lists and tuples.
func sequenceResult(op string, a, b static) (static, bool) {
	isSequence := func(s static) bool {
		return s.is(column.String) || s.is(column.Bytes) || s.isList() || s.shape == tupleOf
	}
	switch op {
	case "%":
		return strStatic, a.is(column.String)
	case "*":
		if b.whole() && isSequence(a) {
			return repeated(a), true
		}
		if a.whole() && isSequence(b) {
			return repeated(b), true
		}
	case "+":
		switch {
		case a.is(column.String) && b.is(column.String):
			return strStatic, true
		case a.is(column.Bytes) && b.is(column.Bytes):
			return bytesStatic, true
		case a.isList() && b.isList():
			return listStatic(joined(a, b)), true
		case a.shape == tupleOf && b.shape == tupleOf:
			if a.elems != nil && b.elems != nil {
				return tupleStatic(append(append([]static{}, a.elems...), b.elems...)...), true
			}
			elem := joined(a, b)
			return static{Type: column.ListOf(storable(elem)), shape: tupleOf, elem: &elem}, true
		}
	}
	return anyStatic, false
}

func joined(a, b static) static { return unify(a.element(), b.element()) }

func repeated(s static) static {
	if s.shape == tupleOf {
		elem := s.element()
		return static{Type: column.ListOf(storable(elem)), shape: tupleOf, elem: &elem}
	}
	s.Type = s.NotNull()
	return s
}

func setResult(op string, a, b static) (static, bool) {
	if !strings.Contains("|&-^", op) {
		return anyStatic, false
	}
	isSet := func(s static) bool { return s.shape == setOf || s.shape == viewOf }
	switch {
	case isSet(a) && isSet(b):
		return sequence(setOf, unify(a.element(), b.element())), true
	case a.shape == viewOf && b.iterable() || b.shape == viewOf && a.iterable():
		return sequence(setOf, anyStatic), true
	case op == "|" && a.is(column.Map) && b.is(column.Map):
		return of(column.Unify(a.NotNull(), b.NotNull())), true
	}
	return anyStatic, false
}

func timeResult(op string, a, b static) (static, bool) {
	aTime, bTime := a.is(column.Time), b.is(column.Time)
	aSpan, bSpan := a.is(column.Duration), b.is(column.Duration)
	if !aTime && !bTime && !aSpan && !bSpan {
		return anyStatic, false
	}
	length := func(s static) bool { return s.is(column.Duration) || s.number() }
	instant, span := of(column.TimeType), of(column.DurationType)
	switch {
	case op == "+" && (aTime && length(b) || bTime && length(a)), op == "-" && aTime && length(b):
		return instant, true
	case op == "-" && aTime && bTime, (op == "+" || op == "-") && length(a) && length(b), op == "%" && length(b) && (aTime || aSpan):
		return span, true
	case op == "*" && (aSpan && b.number() || bSpan && a.number()):
		return span, true
	}
	return anyStatic, false
}

func (c *checker) compare(e *Expr) static {
	all := c.inferAll(e.Args)
	for i, op := range e.Names {
		c.pair(op, e.Args[i], e.Args[i+1], all[i], all[i+1])
	}
	return boolStatic
}

// pair checks one comparison.
func (c *checker) pair(op string, x, y *Expr, a, b static) {
	switch op {
	case "is", "is not":
		if !isSingleton(x) && !isSingleton(y) {
			with := "=="
			if op == "is not" {
				with = "!="
			}
			c.errorAt(c.span(x, y), diag.CannotCompile, "To compare values, write "+with+".", "%q is compiled for None, True and False only", op)
		}
	case "in", "not in":
		c.membership(x, y, a, b)
	case "==", "!=":
	default:
		if a.known() && b.known() && !ordered(a, b) {
			hint := ""
			if a.is(column.String) && b.number() || a.number() && b.is(column.String) {
				hint = "Make the text a number with int(…) or float(…)."
			}
			if a.is(column.Null) || b.is(column.Null) {
				hint = "Write is None or is not None."
			}
			c.errorAt(c.span(x, y), diag.BadOperands, hint, "%s cannot compare %s and %s", op, a.name(), b.name())
		}
	}
}

// span is the place from x to y.
func (c *checker) span(x, y *Expr) diag.Place {
	return c.src.Span.At(c.src.Text, x.Start, y.End)
}

func isSingleton(e *Expr) bool {
	if e.Op != OpLit {
		return false
	}
	switch e.Value.(type) {
	case nil, bool:
		return true
	}
	return false
}

// ordered reports whether values of these types may have an order.
func ordered(a, b static) bool {
	isTime := func(s static) bool { return s.is(column.Time) || s.is(column.Duration) }
	switch {
	case a.number() || isTime(a):
		return b.number() || isTime(b)
	case a.shape == tupleOf || b.shape == tupleOf:
		return a.shape == b.shape
	case a.shape == setOf || a.shape == viewOf:
		return b.shape == setOf || b.shape == viewOf
	case a.shape != plain || b.shape != plain:
		return false
	}
	switch a.Kind {
	case column.String, column.Bytes, column.List:
		return a.Kind == b.Kind
	}
	return false
}

func (c *checker) membership(x, y *Expr, a, b static) {
	switch {
	case b.is(column.String):
		if a.known() && !a.is(column.String) {
			c.errorAt(c.span(x, y), diag.BadOperands, "Make it text with str(…).", "only text can be in text, not %s", a.name())
		}
	case !b.iterable():
		c.errorf(y, diag.BadOperands, "", "nothing can be in %s", b.name())
	}
}

func (c *checker) index(e *Expr) static {
	of0 := c.infer(e.Args[0])
	if name, ok := e.Args[1].Value.(string); ok && e.Args[1].Op == OpLit && (e.Args[0].Op == OpRow || of0.is(column.Row)) {
		e.Args[1].Type = column.StringType
		return c.rowField(e, of0, name)
	}
	at := c.infer(e.Args[1])
	switch {
	case of0.shape == tupleOf:
		c.wantInt(e.Args[1], at, "a tuple")
		if v, ok := e.Args[1].Value.(int64); ok && e.Args[1].Op == OpLit && of0.elems != nil {
			n := int64(len(of0.elems))
			if v < 0 {
				v += n
			}
			if v < 0 || v >= n {
				return c.errorf(e.Args[1], diag.BadOperands, "", "a tuple of %d elements has no element %d", n, e.Args[1].Value)
			}
			return of0.elems[v]
		}
		return of0.element()
	case of0.shape == rangeOf:
		return intStatic
	case of0.shape != plain:
		return c.errorf(e, diag.BadOperands, "Make a list of it: list(…).", "%s has no elements by index", of0.name())
	}
	switch of0.Kind {
	case column.List, column.String, column.Bytes:
		c.wantInt(e.Args[1], at, of0.name())
		return of0.element()
	case column.Map:
		return of(*of0.Elem)
	case column.Any, column.Row:
		return anyStatic
	}
	return c.errorf(e, diag.BadOperands, "", "%s has no elements by index", of0.name())
}

func (c *checker) wantInt(e *Expr, t static, what string) {
	if t.known() && !t.whole() {
		c.errorf(e, diag.BadOperands, "", "an index of %s is an int, found %s", what, t.name())
	}
}

func (c *checker) slice(e *Expr) static {
	t := c.infer(e.Args[0])
	for _, a := range e.Args[1:] {
		if part := c.infer(a); part.known() && !part.whole() && !(part.shape == plain && part.MayBeNull()) {
			c.errorf(a, diag.BadOperands, "", "the bounds of a slice are ints, found %s", part.name())
		}
	}
	switch {
	case t.shape == tupleOf:
		elem := t.element()
		return static{Type: column.ListOf(storable(elem)), shape: tupleOf, elem: &elem}
	case t.shape != plain:
		return c.errorf(e, diag.BadOperands, "Make a list of it first: list(…).", "%s cannot be sliced", t.name())
	}
	switch t.Kind {
	case column.String, column.Bytes, column.List:
		return of(t.NotNull())
	case column.Any:
		return anyStatic
	}
	return c.errorf(e, diag.BadOperands, "", "%s cannot be sliced", t.name())
}

// attr checks e.name. What is read from the row itself becomes a field.
func (c *checker) attr(e *Expr) static {
	t := c.infer(e.Args[0])
	if e.Args[0].Op == OpBuiltin {
		if !(builtinValue{e.Args[0].Name}).has(e.Name) {
			return c.errorf(e, diag.UnknownName, "", "%s has no attribute %q", e.Args[0].Name, e.Name)
		}
		return static{shape: callableOf}
	}
	if e.Args[0].Op == OpRow || t.is(column.Row) {
		return c.rowField(e, t, e.Name)
	}
	switch {
	case !t.known():
		return anyStatic
	case (t.is(column.Time) || t.is(column.Duration)) && e.Name == "micros":
		return intStatic
	case t.whole() && (e.Name == "real" || e.Name == "imag" || e.Name == "numerator" || e.Name == "denominator"):
		return intStatic
	case t.is(column.Float) && (e.Name == "real" || e.Name == "imag"):
		return floatStatic
	}
	if t.is(column.Map) {
		return c.errorf(e, diag.UnknownName, "Write [\""+e.Name+"\"].", "a dict has no attribute %q", e.Name)
	}
	if staticMethods(t)[e.Name] != nil {
		return static{shape: callableOf}
	}
	return c.errorf(e, diag.UnknownName, "", "%s has no attribute %q", t.name(), e.Name)
}

// rowField checks that a row has a field. Of the row itself it becomes OpField.
func (c *checker) rowField(e *Expr, row static, name string) static {
	if e.Args[0].Op == OpRow {
		if c.schema != nil && c.schema.Index(name) < 0 {
			return c.errorf(e, diag.UnknownField, diag.DidYouMean(name, "fields", c.schema.Names()), "no field is named %q", name)
		}
		e.Op, e.Name, e.Args = OpField, name, nil
		return c.field(e)
	}
	i := row.Fields.Index(name)
	if i < 0 {
		return c.errorf(e, diag.UnknownField, diag.DidYouMean(name, "fields", row.Fields.Names()), "the row %s has no field %q", e.Args[0], name)
	}
	return of(row.Fields[i].Type)
}
