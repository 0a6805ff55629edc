package expr

import (
	"fmt"
	"strings"

	"github.com/leat-project/leat/column"
)

// signature says what arguments a function or method takes.
type signature struct {
	min, max int      // positional arguments; max -1: any number
	names    []string // of positional arguments that may be given by keyword; "" is positional only
	only     []string // arguments that can only be given by keyword
	any      bool     // any other keyword is an argument, too
}

// arguments are the arguments of one call, in the order of the signature.
type arguments struct {
	pos  []column.Value // as many as the signature has, absent ones included; any number where it says so
	only []column.Value // those that can only be given by keyword
	any  []named        // by keywords of the caller's own
}

// absent stands for an argument that is not given.
type absentValue struct{}

func (absentValue) typeName() string        { return "absent" }
func (absentValue) repr(b *strings.Builder) { b.WriteString("absent") }

var absent column.Value = absentValue{}

// at returns positional argument i, or otherwise where it is absent.
func (a *arguments) at(i int, otherwise column.Value) column.Value {
	if i < len(a.pos) && a.pos[i] != absent {
		return a.pos[i]
	}
	return otherwise
}

func (a *arguments) has(i int) bool { return i < len(a.pos) && a.pos[i] != absent }

// named is a keyword argument.
type named struct {
	name  string
	value column.Value
}

// bind puts arguments in the order of the signature. The error's text is without the function's name.
func (s *signature) bind(pos []column.Value, keywords []named) (*arguments, error) {
	if err := s.count(len(pos)); err != "" {
		return nil, raise("TypeError", "%s", err)
	}
	a := &arguments{pos: pos}
	if s.max > len(pos) {
		a.pos = make([]column.Value, s.max)
		copy(a.pos, pos)
		for i := len(pos); i < s.max; i++ {
			a.pos[i] = absent
		}
	}
	if len(s.only) > 0 {
		a.only = make([]column.Value, len(s.only))
		for i := range a.only {
			a.only[i] = absent
		}
	}
	for _, k := range keywords {
		into, i := s.place(a, k.name)
		switch {
		case into == nil && s.any:
			a.any = append(a.any, k)
			continue
		case into == nil:
			return nil, raise("TypeError", "got an unexpected keyword argument '%s'", k.name)
		case into[i] != absent:
			return nil, raise("TypeError", "got multiple values for argument '%s'", k.name)
		}
		into[i] = k.value
	}
	for i := range min(s.min, len(a.pos)) {
		if a.pos[i] == absent {
			return nil, raise("TypeError", "takes at least %d arguments", s.min)
		}
	}
	return a, nil
}

// place returns where the argument of that name belongs.
func (s *signature) place(a *arguments, name string) ([]column.Value, int) {
	for i, n := range s.names {
		if n == name && n != "" {
			return a.pos, i
		}
	}
	for i, n := range s.only {
		if n == name {
			return a.only, i
		}
	}
	return nil, 0
}

// count says what is wrong with n positional arguments, "" where nothing is. Keywords may still supply required ones.
func (s *signature) count(n int) string {
	least := s.min
	for i := n; i < s.min; i++ {
		if i < len(s.names) && s.names[i] != "" {
			least = n
			break
		}
	}
	switch {
	case s.max == 0 && n > 0:
		return fmt.Sprintf("takes no arguments (%d given)", n)
	case n < least && s.min == s.max:
		return fmt.Sprintf("takes exactly %s (%d given)", plural(s.min, "argument"), n)
	case n < least:
		return fmt.Sprintf("expected at least %d argument%s, got %d", s.min, ending(s.min), n)
	case s.max >= 0 && n > s.max && s.min == s.max:
		return fmt.Sprintf("takes exactly %s (%d given)", plural(s.max, "argument"), n)
	case s.max >= 0 && n > s.max:
		return fmt.Sprintf("expected at most %d argument%s, got %d", s.max, ending(s.max), n)
	}
	return ""
}

func plural(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func ending(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// called puts the name of a function before what is wrong with its arguments: Python writes len() takes but max expected.
func called(owner, name, wrong string) string {
	if strings.HasPrefix(wrong, "expected") {
		return name + " " + wrong
	}
	return owner + name + "() " + wrong
}

// callable is a built-in function, or a method of a built-in type.
type callable struct {
	signature
	call func(m *machine, self column.Value, a *arguments) (column.Value, error)
}

// call evaluates a call of a built-in function.
func (m *machine) call(e *Expr) (column.Value, error) {
	if f, ok := m.scope.find(e.Name); ok {
		args, err := m.evalAll(e.Args)
		if err != nil {
			return nil, err
		}
		return m.apply(f, args...)
	}
	args, err := m.evalAll(e.Args)
	if err != nil {
		return nil, err
	}
	keywords, err := m.evalKeywords(e.Keywords)
	if err != nil {
		return nil, err
	}
	return m.callBuiltin(e.Name, args, keywords)
}

func (m *machine) evalKeywords(keywords []Keyword) ([]named, error) {
	if len(keywords) == 0 {
		return nil, nil
	}
	out := make([]named, len(keywords))
	for i, k := range keywords {
		v, err := m.eval(k.Arg)
		if err != nil {
			return nil, err
		}
		out[i] = named{k.Name, v}
	}
	return out, nil
}

func (m *machine) callBuiltin(name string, args []column.Value, keywords []named) (column.Value, error) {
	f := builtins[name]
	if f == nil {
		return nil, raise("NameError", "name '%s' is not defined", name)
	}
	a, err := f.bind(args, keywords)
	if err != nil {
		return nil, raise("TypeError", "%s", called("", name, err.(*Exception).Msg))
	}
	return f.call(m, nil, a)
}

// method evaluates a call of a method.
func (m *machine) method(e *Expr) (column.Value, error) {
	self, err := m.eval(e.Args[0])
	if err != nil {
		return nil, err
	}
	f := methodOf(self, e.Name)
	if f == nil {
		if t, ok := self.(builtinValue); ok && t.has(e.Name) {
			return m.callUnbound(t, e)
		}
		if v, err := attribute(self, e.Name); err == nil {
			return nil, raise("TypeError", "'%s' object is not callable", TypeName(v))
		}
		return nil, raise("AttributeError", "'%s' object has no attribute '%s'", TypeName(self), e.Name)
	}
	args, err := m.evalAll(e.Args[1:])
	if err != nil {
		return nil, err
	}
	keywords, err := m.evalKeywords(e.Keywords)
	if err != nil {
		return nil, err
	}
	return m.callMethod(f, self, e.Name, args, keywords)
}

func (m *machine) callMethod(f *callable, self column.Value, name string, args []column.Value, keywords []named) (column.Value, error) {
	a, err := f.bind(args, keywords)
	if err != nil {
		return nil, raise("TypeError", "%s", called(TypeName(self)+".", name, err.(*Exception).Msg))
	}
	return f.call(m, self, a)
}

// callUnbound evaluates str.upper(s): a method called through its type.
func (m *machine) callUnbound(t builtinValue, e *Expr) (column.Value, error) {
	args, err := m.evalAll(e.Args[1:])
	if err != nil {
		return nil, err
	}
	keywords, err := m.evalKeywords(e.Keywords)
	if err != nil {
		return nil, err
	}
	return m.applyMethod(&methodValue{of: t, name: e.Name}, args, keywords)
}

// methodValue is a method as a value: of a value (s.upper), or of a type (str.upper), which takes the value as its first
// argument.
type methodValue struct {
	of   column.Value
	name string
}

func (v *methodValue) typeName() string {
	if _, ok := v.of.(builtinValue); ok {
		return "method_descriptor"
	}
	return "builtin_function_or_method"
}

func (v *methodValue) repr(b *strings.Builder) { b.WriteString("<method '" + v.name + "'>") }

func (m *machine) applyMethod(f *methodValue, args []column.Value, keywords []named) (column.Value, error) {
	self := f.of
	if t, ok := f.of.(builtinValue); ok {
		if made, ok, err := m.fromType(t, f.name, args); ok {
			return made, err
		}
		if len(args) == 0 {
			return nil, raise("TypeError", "unbound method %s.%s() needs an argument", t.name, f.name)
		}
		if self, args = args[0], args[1:]; TypeName(self) != t.name && (t.name != "int" || TypeName(self) != "bool") {
			return nil, raise("TypeError", "descriptor '%s' for '%s' objects doesn't apply to a '%s' object", f.name, t.name, TypeName(self))
		}
	}
	return m.callMethod(methodOf(self, f.name), self, f.name, args, keywords)
}

// fromType calls the methods that make a value of a type: dict.fromkeys, bytes.fromhex. ok is false for others.
func (m *machine) fromType(t builtinValue, name string, args []column.Value) (v column.Value, ok bool, err error) {
	switch {
	case t.name == "dict" && name == "fromkeys" && len(args) > 0 && len(args) <= 2:
		keys, err := m.collect(args[0])
		if err != nil {
			return nil, true, err
		}
		d := newDict()
		for _, k := range keys {
			value := column.Value(nil)
			if len(args) == 2 {
				value = args[1]
			}
			if err := m.put(d, k, value); err != nil {
				return nil, true, err
			}
		}
		return d.value, true, nil
	case t.name == "bytes" && name == "fromhex" && len(args) == 1:
		text, err := stringArg(args[0], "fromhex")
		if err != nil {
			return nil, true, err
		}
		v, err := fromHex(text)
		return v, true, err
	case name == "fromkeys" || name == "fromhex":
		return nil, true, raise("TypeError", "%s.%s() takes other arguments (%d given)", t.name, name, len(args))
	}
	return nil, false, nil
}

// has reports whether a type has a method of that name.
func (v builtinValue) has(name string) bool {
	switch v.name {
	case "str":
		return stringMethods[name] != nil
	case "bytes":
		return bytesMethods[name] != nil || name == "fromhex"
	case "list":
		return listMethods[name] != nil
	case "tuple":
		return listMethods[name] != nil && name != "copy"
	case "dict":
		return dictMethods[name] != nil || name == "fromkeys"
	case "set":
		return setMethods[name] != nil
	case "int", "bool":
		return intMethods[name] != nil
	case "float":
		return floatMethods[name] != nil
	}
	return false
}

// methodOf returns the method of that name that a value has, or nil.
func methodOf(self column.Value, name string) *callable {
	switch v := self.(type) {
	case string:
		return stringMethods[name]
	case []byte:
		return bytesMethods[name]
	case *column.ListValue:
		if v.Tuple && name == "copy" {
			return nil
		}
		return listMethods[name]
	case *column.MapValue:
		return dictMethods[name]
	case *setValue:
		return setMethods[name]
	case column.Instant, column.Span:
		return timeMethods[name]
	case float64:
		return floatMethods[name]
	case int64, bool:
		return intMethods[name]
	case *column.RowValue:
		return rowMethods[name]
	}
	return nil
}

// argName is TypeName as Python's errors about arguments have it: None itself stands for its type.
func argName(v column.Value) string {
	if v == nil {
		return "None"
	}
	return TypeName(v)
}

func intArg(v column.Value) (int64, error) {
	i, _, isFloat, ok := asNumber(v)
	if !ok || isFloat {
		return 0, raise("TypeError", "'%s' object cannot be interpreted as an integer", TypeName(v))
	}
	return i, nil
}

// intAt returns argument i as an integer, or otherwise where it is absent.
func (a *arguments) intAt(i int, otherwise int64) (int64, error) {
	if !a.has(i) {
		return otherwise, nil
	}
	return intArg(a.pos[i])
}
