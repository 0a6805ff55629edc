package expr

import (
	"github.com/leat-project/leat/column"
)

// Limits on what the evaluation of one expression over one row may use. Beyond them the row fails.
const (
	MaxSteps  = 1 << 22   // elements and turns that are looked at
	MaxMemory = 256 << 20 // bytes of all values that are made on the way, together
)

// Eval evaluates the expression over one row. The error, where there is one, is a *Exception: of Python's class, with
// Python's text wherever leat knows it. Integers beyond 64 bits are an OverflowError.
//
// Check must have accepted the expression. The result is immutable and may share memory with the row.
func (e *Expr) Eval(env Env) (column.Value, error) {
	switch e.Op { // the commonest need no machine
	case OpLit:
		return e.Value, nil
	case OpField:
		if v, ok := env.Field(e.Name); ok {
			return v, nil
		}
	}
	m := machine{env: env}
	v, err := m.eval(e)
	if err != nil {
		return nil, err
	}
	return m.export(v)
}

// machine evaluates one expression over one row.
type machine struct {
	env    Env
	scope  *scope
	steps  int
	memory int
}

// scope holds the variables of a comprehension or lambda.
type scope struct {
	names  []string
	values []column.Value
	parent *scope
}

func (s *scope) find(name string) (column.Value, bool) {
	for ; s != nil; s = s.parent {
		for i := len(s.names) - 1; i >= 0; i-- {
			if s.names[i] == name {
				return s.values[i], true
			}
		}
	}
	return nil, false
}

func (s *scope) set(name string, v column.Value) {
	for i, n := range s.names {
		if n == name {
			s.values[i] = v
			return
		}
	}
	s.names = append(s.names, name)
	s.values = append(s.values, v)
}

// tick counts n steps.
func (m *machine) tick(n int) error {
	m.steps += n
	if m.steps > MaxSteps || n > MaxSteps || n < 0 {
		return raise("RuntimeError", "the expression takes more than %d steps for one row", MaxSteps)
	}
	return nil
}

// spend counts n bytes of memory. It must be called before they are allocated.
func (m *machine) spend(n int) error {
	m.memory += n
	if m.memory > MaxMemory || n > MaxMemory || n < 0 {
		return raise("MemoryError", "the expression makes values of more than %d MiB for one row", MaxMemory>>20)
	}
	return nil
}

// elemBytes is what an element of a list is counted as.
const elemBytes = 16

// weigh counts the values within v as steps. A list can hold the same list many times, so that what is small in
// memory may be huge to walk over.
func (m *machine) weigh(v column.Value) error {
	switch v := v.(type) {
	case string:
		return m.tick(len(v) / 64)
	case *column.ListValue:
		return m.weighAll(v.Elems)
	case *column.MapValue:
		if err := m.weighAll(v.Keys); err != nil {
			return err
		}
		return m.weighAll(v.Elems)
	case *column.RowValue:
		return m.weighAll(v.Elems)
	case *setValue:
		return m.weighAll(v.elems)
	case *viewValue:
		return m.weigh(v.of)
	}
	return nil
}

func (m *machine) weighAll(values []column.Value) error {
	if err := m.tick(len(values)); err != nil {
		return err
	}
	for _, v := range values {
		if err := m.weigh(v); err != nil {
			return err
		}
	}
	return nil
}

// export makes sure that a result can leave the expression. A set, a range or an iterator has no place in a row.
func (m *machine) export(v column.Value) (column.Value, error) {
	switch v := v.(type) {
	case *column.ListValue, *column.MapValue:
		if err := m.weigh(v); err != nil {
			return nil, err
		}
		if name := objectWithin(v); name != "" {
			return nil, notExported(name)
		}
	case object:
		return nil, notExported(v.typeName())
	}
	return v, nil
}

func notExported(name string) error {
	return raise("TypeError", "a '%s' object cannot be the value of a field: make a list of it", name)
}

// objectWithin returns the type name of an object within a value, or "".
func objectWithin(v column.Value) string {
	var all [2][]column.Value
	switch v := v.(type) {
	case *column.ListValue:
		all[0] = v.Elems
	case *column.MapValue:
		all[0], all[1] = v.Keys, v.Elems
	case object:
		return v.typeName()
	}
	for _, values := range all {
		for _, e := range values {
			if name := objectWithin(e); name != "" {
				return name
			}
		}
	}
	return ""
}

func (m *machine) eval(e *Expr) (column.Value, error) {
	switch e.Op {
	case OpLit:
		return e.Value, nil
	case OpField:
		if v, ok := m.env.Field(e.Name); ok {
			return v, nil
		}
		return nil, raise("AttributeError", "'Row' object has no attribute '%s'", e.Name)
	case OpRow:
		return m.env.Row(), nil
	case OpLocal:
		return m.local(e.Name)
	case OpMeta:
		return m.env.Meta(e.Name), nil
	case OpBuiltin:
		return builtinValue{name: e.Name}, nil
	case OpUnary:
		v, err := m.eval(e.Args[0])
		if err != nil {
			return nil, err
		}
		return unary(e.Name, v)
	case OpNot:
		v, err := m.eval(e.Args[0])
		return !Truthy(v), err
	case OpBinary:
		return m.evalBinary(e)
	case OpCompare:
		return m.compare(e)
	case OpAnd, OpOr:
		return m.logic(e)
	case OpIf:
		cond, err := m.eval(e.Args[0])
		if err != nil {
			return nil, err
		}
		if Truthy(cond) {
			return m.eval(e.Args[1])
		}
		return m.eval(e.Args[2])
	case OpCall:
		return m.call(e)
	case OpMethod:
		return m.method(e)
	}
	return m.evalCompound(e)
}

// evalCompound evaluates what reaches into values and what makes new ones.
func (m *machine) evalCompound(e *Expr) (column.Value, error) {
	switch e.Op {
	case OpIndex:
		of, err := m.eval(e.Args[0])
		if err != nil {
			return nil, err
		}
		at, err := m.eval(e.Args[1])
		if err != nil {
			return nil, err
		}
		return m.index(of, at)
	case OpSlice:
		return m.slice(e)
	case OpAttr:
		of, err := m.eval(e.Args[0])
		if err != nil {
			return nil, err
		}
		return attribute(of, e.Name)
	case OpList, OpTuple:
		elems, err := m.evalAll(e.Args)
		return &column.ListValue{Elems: elems, Tuple: e.Op == OpTuple}, err
	case OpSet:
		elems, err := m.evalAll(e.Args)
		if err != nil {
			return nil, err
		}
		return m.newSet(elems)
	case OpDict:
		values, err := m.evalAll(e.Args)
		if err != nil {
			return nil, err
		}
		d := newDict()
		for i := 0; i < len(values); i += 2 {
			if err := m.put(d, values[i], values[i+1]); err != nil {
				return nil, err
			}
		}
		return d.value, nil
	case OpComp:
		return m.comprehension(e)
	case OpFormat:
		return m.formatPieces(e)
	case OpLambda:
		return &lambdaValue{e: e, scope: m.scope}, nil
	case OpConform:
		v, err := m.eval(e.Args[0])
		if err != nil {
			return nil, err
		}
		if v, err = m.export(v); err != nil {
			return nil, err
		}
		if err := e.Conform.Check(v); err != nil {
			return nil, err
		}
		return e.Conform.Fit(v), nil
	}
	return nil, raise("RuntimeError", "the expression has an operation %d that is not known", e.Op)
}

// local looks a variable up. In an expression that has not been checked it may be a field.
func (m *machine) local(name string) (column.Value, error) {
	if v, ok := m.scope.find(name); ok {
		return v, nil
	}
	if v, ok := m.env.Field(name); ok {
		return v, nil
	}
	if builtins[name] != nil {
		return builtinValue{name: name}, nil
	}
	return nil, raise("NameError", "name '%s' is not defined", name)
}

func (m *machine) evalAll(args []*Expr) ([]column.Value, error) {
	if err := m.spend(elemBytes * len(args)); err != nil {
		return nil, err
	}
	values := make([]column.Value, len(args))
	for i, a := range args {
		v, err := m.eval(a)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func (m *machine) evalBinary(e *Expr) (column.Value, error) {
	a, err := m.eval(e.Args[0])
	if err != nil {
		return nil, err
	}
	b, err := m.eval(e.Args[1])
	if err != nil {
		return nil, err
	}
	return m.binary(e.Name, a, b)
}

func (m *machine) logic(e *Expr) (column.Value, error) {
	last := len(e.Args) - 1
	for _, a := range e.Args[:last] {
		v, err := m.eval(a)
		if err != nil {
			return nil, err
		}
		if Truthy(v) == (e.Op == OpOr) {
			return v, nil
		}
	}
	return m.eval(e.Args[last])
}

// compare evaluates a chain: each operand once, until one comparison does not hold.
func (m *machine) compare(e *Expr) (column.Value, error) {
	left, err := m.eval(e.Args[0])
	if err != nil {
		return nil, err
	}
	for i, op := range e.Names {
		right, err := m.eval(e.Args[i+1])
		if err != nil {
			return nil, err
		}
		ok, err := m.comparePair(op, left, right)
		if err != nil {
			return nil, err
		}
		if !ok {
			return false, nil
		}
		left = right
	}
	return true, nil
}

func (m *machine) comparePair(op string, a, b column.Value) (bool, error) {
	switch op {
	case "is":
		return identical(a, b), nil
	case "is not":
		return !identical(a, b), nil
	case "in":
		return m.contains(b, a)
	case "not in":
		in, err := m.contains(b, a)
		return !in, err
	}
	if err := m.weighPair(a, b); err != nil {
		return false, err
	}
	switch op {
	case "==":
		return Equal(a, b), nil
	case "!=":
		return !Equal(a, b), nil
	}
	return order(op, a, b)
}

// weighPair counts what comparing two values may cost.
func (m *machine) weighPair(a, b column.Value) error {
	switch a.(type) {
	case *column.ListValue, *column.MapValue, *column.RowValue, *setValue, *viewValue, string:
		if TypeName(a) == TypeName(b) {
			return m.weigh(a)
		}
	}
	return nil
}

// identical is Python's "is", of which Check lets through comparisons with None, True and False.
func identical(a, b column.Value) bool {
	switch a.(type) {
	case nil, bool, int64, string, builtinValue:
		return a == b
	case float64, column.Instant, column.Span:
		return false
	}
	return samePointer(a, b)
}

func samePointer(a, b column.Value) bool {
	switch x := a.(type) {
	case *column.ListValue:
		y, ok := b.(*column.ListValue)
		return ok && x == y
	case *column.MapValue:
		y, ok := b.(*column.MapValue)
		return ok && x == y
	case *column.RowValue:
		y, ok := b.(*column.RowValue)
		return ok && x == y
	}
	return false
}

// attribute reads of.name.
func attribute(of column.Value, name string) (column.Value, error) {
	switch v := of.(type) {
	case *column.RowValue:
		if f, ok := v.Get(name); ok {
			return f, nil
		}
	case column.Instant:
		if name == "micros" {
			return multiply(int64(v), 1000)
		}
	case column.Span:
		if name == "micros" {
			return multiply(int64(v), 1000)
		}
	case int64, bool:
		i, _, _, _ := asNumber(v)
		switch name {
		case "real", "numerator":
			return i, nil
		case "imag":
			return int64(0), nil
		case "denominator":
			return int64(1), nil
		}
	case float64:
		switch name {
		case "real":
			return v, nil
		case "imag":
			return 0.0, nil
		}
	case builtinValue:
		if v.has(name) {
			return &methodValue{of: v, name: name}, nil
		}
		if isTypeName(v.name) {
			return nil, raise("AttributeError", "type object '%s' has no attribute '%s'", v.name, name)
		}
	}
	if methodOf(of, name) != nil {
		return &methodValue{of: of, name: name}, nil
	}
	return nil, raise("AttributeError", "'%s' object has no attribute '%s'", TypeName(of), name)
}
