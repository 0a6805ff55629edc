package expr

import (
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

// iterator hands out values one by one. ok is false at the end.
type iterator interface {
	next() (v column.Value, ok bool, err error)
}

// iterFunc is an iterator made of a function.
type iterFunc func() (column.Value, bool, error)

func (f iterFunc) next() (column.Value, bool, error) { return f() }

// iterValue is an iterator as a value: it can be gone through once.
type iterValue struct {
	name string // of its type: "generator", "zip"
	it   iterator
}

func (v *iterValue) typeName() string { return v.name }

func (v *iterValue) repr(b *strings.Builder) { b.WriteString("<" + v.name + " object>") }

// elemsIter goes through a slice.
type elemsIter struct {
	m     *machine
	elems []column.Value
	at    int
}

func (it *elemsIter) next() (column.Value, bool, error) {
	if it.at >= len(it.elems) {
		return nil, false, nil
	}
	it.at++
	return it.elems[it.at-1], true, it.m.tick(1)
}

// iterate returns an iterator over a value, or Python's TypeError.
func (m *machine) iterate(v column.Value) (iterator, error) {
	switch v := v.(type) {
	case *column.ListValue:
		return &elemsIter{m: m, elems: v.Elems}, nil
	case *column.MapValue:
		return &elemsIter{m: m, elems: v.Keys}, nil
	case *setValue:
		return &elemsIter{m: m, elems: v.elems}, nil
	case *viewValue:
		return &elemsIter{m: m, elems: v.elems()}, nil
	case *iterValue:
		return v.it, nil
	case *rangeValue:
		i := int64(0)
		return iterFunc(func() (column.Value, bool, error) {
			if i >= v.size() {
				return nil, false, nil
			}
			i++
			return v.start + (i-1)*v.step, true, m.tick(1)
		}), nil
	case string:
		return iterFunc(func() (column.Value, bool, error) {
			if v == "" {
				return nil, false, nil
			}
			_, size := utf8.DecodeRuneInString(v)
			c := v[:size]
			v = v[size:]
			return c, true, m.tick(1)
		}), nil
	case []byte:
		return iterFunc(func() (column.Value, bool, error) {
			if len(v) == 0 {
				return nil, false, nil
			}
			c := int64(v[0])
			v = v[1:]
			return c, true, m.tick(1)
		}), nil
	}
	return nil, raise("TypeError", "'%s' object is not iterable", TypeName(v))
}

// collect returns all elements of a value in order.
func (m *machine) collect(v column.Value) ([]column.Value, error) {
	if l, ok := v.(*column.ListValue); ok {
		return l.Elems, m.tick(len(l.Elems))
	}
	it, err := m.iterate(v)
	if err != nil {
		return nil, err
	}
	var out []column.Value
	for {
		x, ok, err := it.next()
		if err != nil || !ok {
			return out, err
		}
		if err := m.spend(elemBytes); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
}

// comprehension evaluates a comprehension. A generator is not gone through yet, but its first iterable is there.
func (m *machine) comprehension(e *Expr) (column.Value, error) {
	g, err := m.generator(e)
	if err != nil {
		return nil, err
	}
	switch e.Name {
	case "generator":
		return &iterValue{name: "generator", it: g}, nil
	case "dict":
		d := newDict()
		for {
			pair, ok, err := g.next()
			if err != nil || !ok {
				return d.value, err
			}
			kv := pair.(*column.ListValue).Elems
			if err := m.put(d, kv[0], kv[1]); err != nil {
				return nil, err
			}
		}
	case "set":
		s, err := m.newSet(nil)
		for err == nil {
			var v column.Value
			var ok bool
			if v, ok, err = g.next(); err != nil || !ok {
				break
			}
			err = m.include(s, v)
		}
		return s, err
	}
	elems, err := m.collect(&iterValue{it: g})
	return &column.ListValue{Elems: elems}, err
}

// generator goes through the turns of a comprehension.
type generator struct {
	m     *machine
	e     *Expr
	scope *scope
	open  []iterator // of the clauses, the outermost first
	done  bool
}

func (m *machine) generator(e *Expr) (*generator, error) {
	first, err := m.eval(e.Comp.Clauses[0].Iter)
	if err != nil {
		return nil, err
	}
	it, err := m.iterate(first)
	if err != nil {
		return nil, err
	}
	return &generator{m: m, e: e, scope: &scope{parent: m.scope}, open: []iterator{it}}, nil
}

func (g *generator) next() (column.Value, bool, error) {
	if g.done {
		return nil, false, nil
	}
	outer := g.m.scope
	g.m.scope = g.scope
	v, ok, err := g.turn()
	g.m.scope = outer
	if err != nil || !ok {
		g.done = true
	}
	return v, ok, err
}

// turn moves to the next element that fulfils all conditions.
func (g *generator) turn() (column.Value, bool, error) {
	clauses := g.e.Comp.Clauses
	for len(g.open) > 0 {
		at := len(g.open) - 1
		v, ok, err := g.open[at].next()
		if err != nil {
			return nil, false, err
		}
		if !ok {
			g.open = g.open[:at]
			continue
		}
		if err := g.bind(clauses[at].Targets, v); err != nil {
			return nil, false, err
		}
		if ok, err = g.fulfils(clauses[at].Conds); err != nil {
			return nil, false, err
		}
		switch {
		case !ok:
		case at+1 < len(clauses):
			of, err := g.m.eval(clauses[at+1].Iter)
			if err != nil {
				return nil, false, err
			}
			it, err := g.m.iterate(of)
			if err != nil {
				return nil, false, err
			}
			g.open = append(g.open, it)
		default:
			v, err := g.element()
			return v, err == nil, err
		}
	}
	return nil, false, nil
}

func (g *generator) fulfils(conds []*Expr) (bool, error) {
	for _, c := range conds {
		v, err := g.m.eval(c)
		if err != nil || !Truthy(v) {
			return false, err
		}
	}
	return true, nil
}

func (g *generator) element() (column.Value, error) {
	if g.e.Name != "dict" {
		return g.m.eval(g.e.Args[0])
	}
	k, err := g.m.eval(g.e.Args[0])
	if err != nil {
		return nil, err
	}
	v, err := g.m.eval(g.e.Args[1])
	return &column.ListValue{Elems: []column.Value{k, v}, Tuple: true}, err
}

// bind sets the targets of a clause; more than one unpack the value.
func (g *generator) bind(targets []string, v column.Value) error {
	if len(targets) == 1 {
		g.scope.set(targets[0], v)
		return nil
	}
	it, err := g.m.iterate(v)
	if err != nil {
		return raise("TypeError", "cannot unpack non-iterable %s object", TypeName(v))
	}
	for i, t := range targets {
		x, ok, err := it.next()
		if err != nil {
			return err
		}
		if !ok {
			return raise("ValueError", "not enough values to unpack (expected %d, got %d)", len(targets), i)
		}
		g.scope.set(t, x)
	}
	_, more, err := it.next()
	if err == nil && more {
		err = raise("ValueError", "too many values to unpack (expected %d)", len(targets))
	}
	return err
}

// lambdaValue is a function that a lambda made.
type lambdaValue struct {
	e     *Expr
	scope *scope
}

func (v *lambdaValue) typeName() string { return "function" }

func (v *lambdaValue) repr(b *strings.Builder) { b.WriteString("<function <lambda>>") }

// apply calls a function that was given as an argument.
func (m *machine) apply(f column.Value, args ...column.Value) (column.Value, error) {
	if err := m.tick(1); err != nil {
		return nil, err
	}
	switch f := f.(type) {
	case *lambdaValue:
		if len(f.e.Names) != len(args) {
			return nil, raise("TypeError", "<lambda>() takes %d positional argument%s but %d were given", len(f.e.Names), ending(len(f.e.Names)), len(args))
		}
		outer := m.scope
		m.scope = &scope{names: f.e.Names, values: args, parent: f.scope}
		v, err := m.eval(f.e.Args[0])
		m.scope = outer
		return v, err
	case builtinValue:
		return m.callBuiltin(f.name, args, nil)
	case *methodValue:
		return m.applyMethod(f, args, nil)
	}
	return nil, raise("TypeError", "'%s' object is not callable", TypeName(f))
}

// builtinValue is a built-in function or type as a value.
type builtinValue struct{ name string }

func (v builtinValue) typeName() string {
	if isTypeName(v.name) {
		return "type"
	}
	return "builtin_function_or_method"
}

func (v builtinValue) repr(b *strings.Builder) {
	if isTypeName(v.name) {
		b.WriteString("<class '" + v.name + "'>")
		return
	}
	b.WriteString("<built-in function " + v.name + ">")
}

func isTypeName(name string) bool {
	switch name {
	case "str", "int", "float", "bool", "bytes", "list", "tuple", "dict", "set", "range", "enumerate", "zip", "map", "filter", "reversed":
		return true
	}
	return false
}

// viewValue is keys(), values() or items() of a dict.
type viewValue struct {
	what string // "dict_keys", "dict_values", "dict_items"
	of   *column.MapValue
}

func (v *viewValue) typeName() string { return v.what }
func (v *viewValue) size() int64      { return int64(len(v.of.Keys)) }

func (v *viewValue) elems() []column.Value {
	switch v.what {
	case "dict_keys":
		return v.of.Keys
	case "dict_values":
		return v.of.Elems
	}
	items := make([]column.Value, len(v.of.Keys))
	for i := range items {
		items[i] = &column.ListValue{Elems: []column.Value{v.of.Keys[i], v.of.Elems[i]}, Tuple: true}
	}
	return items
}

func (v *viewValue) repr(b *strings.Builder) {
	b.WriteString(v.what + "(")
	appendRepr(b, &column.ListValue{Elems: v.elems()})
	b.WriteByte(')')
}

// rangeValue is range(start, stop, step), as its first element, its step and its length.
type rangeValue struct {
	start, stop, step int64
}

func (r *rangeValue) typeName() string { return "range" }

func (r *rangeValue) repr(b *strings.Builder) {
	b.WriteString("range(" + strconv.FormatInt(r.start, 10) + ", " + strconv.FormatInt(r.stop, 10))
	if r.step != 1 {
		b.WriteString(", " + strconv.FormatInt(r.step, 10))
	}
	b.WriteByte(')')
}

// size is the number of elements; where that is beyond 64 bits, the greatest number there is.
func (r *rangeValue) size() int64 {
	var span, step uint64
	switch {
	case r.step > 0 && r.start < r.stop:
		span, step = uint64(r.stop)-uint64(r.start), uint64(r.step)
	case r.step < 0 && r.stop < r.start:
		span, step = uint64(r.start)-uint64(r.stop), -uint64(r.step)
	default:
		return 0
	}
	n := (span-1)/step + 1
	if bits.LeadingZeros64(n) == 0 {
		return 1<<63 - 1
	}
	return int64(n)
}

func (r *rangeValue) has(i int64) bool {
	if r.step > 0 && (i < r.start || i >= r.stop) || r.step < 0 && (i > r.start || i <= r.stop) {
		return false
	}
	step := uint64(r.step)
	span := uint64(i) - uint64(r.start)
	if r.step < 0 {
		step, span = -step, -span
	}
	return span%step == 0
}
