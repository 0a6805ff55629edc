package expr

import (
	"sort"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

func (c *checker) call(e *Expr) static {
	for _, v := range c.vars {
		if v.name == e.Name {
			c.inferCallArgs(e.Args, e.Keywords)
			return c.errorf(e, diag.CannotCompile, "Only built-in functions and methods can be called.", "calling the variable %s cannot be compiled", e.Name)
		}
	}
	switch i := c.schema.Index(e.Name); {
	case i < 0:
		e.Value = nil
	case e.Value == nil:
		c.inferCallArgs(e.Args, e.Keywords)
		hint := ""
		if builtins[e.Name] != nil {
			hint = "The field " + e.Name + " hides the built-in function: rename the field first."
		}
		return c.errorf(e, diag.BadOperands, hint, "the field %q cannot be called", e.Name)
	}
	args := c.inferCallArgs(e.Args, e.Keywords)
	f := builtins[e.Name]
	if f == nil {
		return c.unknownFunction(e)
	}
	if !c.arguments(e, "", &f.signature, len(e.Args)) {
		return anyStatic
	}
	return c.builtin(e, args)
}

func (c *checker) unknownFunction(e *Expr) static {
	if isUnsupportedBuiltin(e.Name) || isModule(e.Name) {
		return c.errorf(e, diag.CannotCompile, "", "the function %s cannot be compiled", e.Name)
	}
	known := sortedNames(builtins)
	return c.errorf(e, diag.UnknownName, diag.DidYouMean(e.Name, "functions", known), "no function is named %q", e.Name)
}

func sortedNames(of map[string]*callable) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (c *checker) inferCallArgs(args []*Expr, keywords []Keyword) []static {
	for _, k := range keywords {
		c.infer(k.Arg)
	}
	return c.inferAll(args)
}

// ownerName is a type's name before a method, "str.".
func ownerName(s static) string {
	switch {
	case s.shape == tupleOf:
		return "tuple."
	case s.shape == setOf:
		return "set."
	case s.is(column.String):
		return "str."
	case s.is(column.Map):
		return "dict."
	}
	return s.Kind.String() + "."
}

// arguments checks the number of arguments, and the keywords.
func (c *checker) arguments(e *Expr, owner string, s *signature, n int) bool {
	name := e.Name + "()"
	if text := s.count(n); text != "" {
		c.errorf(e, diag.WrongArguments, "", "%s", called(owner, e.Name, text))
		return false
	}
	given := map[string]bool{}
	for i := range min(n, len(s.names)) {
		given[s.names[i]] = true
	}
	for _, k := range e.Keywords {
		allowed := s.any
		var known []string
		for _, names := range [2][]string{s.names, s.only} {
			for _, o := range names {
				allowed = allowed || o == k.Name
				if o != "" {
					known = append(known, o)
				}
			}
		}
		switch {
		case !allowed:
			c.errorf(k.Arg, diag.WrongArguments, diag.DidYouMean(k.Name, "keyword arguments", known), "%s takes no argument called %s", name, k.Name)
			return false
		case given[k.Name]:
			c.errorf(k.Arg, diag.WrongArguments, "", "%s gets its argument %s twice", name, k.Name)
			return false
		}
		given[k.Name] = true
	}
	for i := n; i < s.min; i++ {
		if !given[s.names[i]] {
			c.errorf(e, diag.WrongArguments, "", "%s lacks its argument %s", name, s.names[i])
			return false
		}
	}
	return true
}

// builtin checks the arguments of a built-in function and infers its result.
func (c *checker) builtin(e *Expr, args []static) static {
	arg := func(i int) static {
		if i < len(args) {
			return args[i]
		}
		return anyStatic
	}
	a := arg(0)
	switch e.Name {
	case "len":
		if a.known() && !sized(a) {
			return c.errorf(e.Args[0], diag.BadOperands, "", "%s has no length", a.name())
		}
		return intStatic
	case "str", "repr", "ascii", "chr", "bin", "hex", "oct", "format":
		return c.textual(e, a)
	case "ord":
		return intStatic
	case "int", "float":
		if len(args) > 0 && a.known() && !a.number() && !a.is(column.String) && !a.is(column.Bytes) && !a.is(column.Time) && !a.is(column.Duration) {
			return c.errorf(e.Args[0], diag.BadOperands, "", "%s cannot be made a number", a.name())
		}
		if e.Name == "int" {
			return intStatic
		}
		return floatStatic
	case "bool", "isinstance":
		return boolStatic
	case "bytes":
		return bytesStatic
	case "all", "any":
		c.wantIterable(e, args, 0)
		return boolStatic
	case "abs", "round", "pow", "divmod":
		return c.numeric(e, args)
	case "min", "max":
		return c.extreme(e, args)
	case "sum":
		c.wantIterable(e, args, 0)
		return c.sum(e, args)
	}
	return c.sequenceCall(e, args)
}

func sized(s static) bool {
	switch s.shape {
	case tupleOf, setOf, rangeOf, viewOf:
		return true
	case plain:
		switch s.Kind {
		case column.Any, column.String, column.Bytes, column.List, column.Map, column.Row:
			return true
		}
	}
	return false
}

func (c *checker) textual(e *Expr, a static) static {
	switch e.Name {
	case "chr", "bin", "hex", "oct":
		if a.known() && !a.whole() {
			return c.errorf(e.Args[0], diag.BadOperands, "", "%s() takes an int, found %s", e.Name, a.name())
		}
	}
	return strStatic
}

func (c *checker) wantIterable(e *Expr, args []static, i int) {
	if i < len(args) && !args[i].iterable() {
		hint := ""
		if args[i].number() {
			hint = "Put several values in a list: [a, b]."
		}
		c.errorf(e.Args[i], diag.BadOperands, hint, "%s() takes a list or another sequence, found %s", e.Name, args[i].name())
	}
}

func (c *checker) numeric(e *Expr, args []static) static {
	for i, a := range args {
		if a.known() && !a.number() && !(i > 0 && a.MayBeNull()) {
			return c.errorf(e.Args[i], diag.BadOperands, "", "%s() takes numbers, found %s", e.Name, a.name())
		}
	}
	if len(args) == 0 || !args[0].number() {
		return anyStatic
	}
	a := args[0]
	switch e.Name {
	case "abs":
		if a.whole() {
			return intStatic
		}
		return floatStatic
	case "round":
		switch {
		case a.whole() || len(args) == 1 && len(e.Keywords) == 0:
			return intStatic
		case len(args) == 2 && args[1].whole() && !args[1].MayBeNull():
			return floatStatic
		}
	case "divmod":
		if args[1].number() {
			t := intStatic
			if a.is(column.Float) || args[1].is(column.Float) {
				t = floatStatic
			}
			return tupleStatic(t, t)
		}
	case "pow":
		if len(args) == 2 && args[1].number() {
			return numberResult(&Expr{Name: "**", Args: e.Args}, a, args[1])
		}
		if len(args) == 3 {
			return anyStatic
		}
	}
	return anyStatic
}

// extreme infers min and max. Their keys must be functions.
func (c *checker) extreme(e *Expr, args []static) static {
	u := anyStatic
	if len(args) == 1 {
		c.wantIterable(e, args, 0)
		u = args[0].element()
		if u.is(column.Null) {
			u = anyStatic
		}
	} else if len(args) > 1 {
		u = args[0]
		for i, a := range args[1:] {
			if len(e.Keywords) == 0 && args[i].known() && a.known() && !ordered(args[i], a) && !a.is(column.Null) && !args[i].is(column.Null) {
				return c.errorf(e, diag.BadOperands, "", "%s() cannot compare %s and %s", e.Name, args[i].name(), a.name())
			}
			u = unify(u, a)
		}
		if len(e.Keywords) == 0 && u.shape == plain && u.Kind != column.Any && u.Kind != column.Null {
			u.Type = u.NotNull() // a null among them does not compare
		}
	}
	for _, k := range e.Keywords {
		if k.Name == "default" {
			u = unify(u, static{Type: k.Arg.Type})
			if k.Arg.Type.Kind == column.List {
				u = anyStatic
			}
		}
	}
	return u
}

// sum of an empty sequence is the int 0, so that the sum of floats may be either.
func (c *checker) sum(e *Expr, args []static) static {
	if len(args) == 0 {
		return anyStatic
	}
	elem := args[0].element()
	if elem.known() && elem.is(column.String) && len(args) == 1 && len(e.Keywords) == 0 {
		c.warnf(e.Args[0], diag.BadOperands, "Write ''.join(…).", "sum() does not add text, it fails unless there is none")
	}
	start := intStatic
	if len(args) > 1 {
		start = args[1]
	} else if len(e.Keywords) > 0 {
		return anyStatic
	}
	switch {
	case elem.whole() && start.whole():
		if start.Kind == column.Int && !start.MayBeNull() {
			return intStatic
		}
		return anyStatic
	case elem.number() && start.is(column.Float) && !start.MayBeNull():
		return floatStatic
	case elem.is(column.Float) && start.number() && c.notEmpty(e.Args[0]):
		return floatStatic
	}
	return anyStatic
}

// notEmpty reports whether a list certainly has elements.
func (c *checker) notEmpty(e *Expr) bool {
	return (e.Op == OpList || e.Op == OpTuple) && len(e.Args) > 0
}

// sequenceCall infers the functions that make sequences.
func (c *checker) sequenceCall(e *Expr, args []static) static {
	for i, a := range args {
		if e.Name == "range" {
			if a.known() && !a.whole() {
				return c.errorf(e.Args[i], diag.BadOperands, "", "range() takes ints, found %s", a.name())
			}
			continue
		}
		if e.Name == "next" {
			break
		}
		takes := e.Name != "map" && e.Name != "filter" || i > 0
		if takes && !(e.Name == "enumerate" && i == 1) {
			c.wantIterable(e, args, i)
		}
	}
	elem := of(column.NullType)
	if len(args) > 0 {
		elem = args[0].element()
	}
	switch e.Name {
	case "list", "sorted":
		return listStatic(elem)
	case "tuple":
		if len(args) > 0 && args[0].shape == tupleOf {
			return args[0]
		}
		return static{Type: column.ListOf(storable(elem)), shape: tupleOf, elem: &elem}
	case "set":
		return sequence(setOf, elem)
	case "iter":
		return sequence(iterOf, elem)
	case "next":
		return c.next(e, args)
	case "dict":
		return c.dictCall(e, args, elem)
	case "range":
		return sequence(rangeOf, intStatic)
	case "reversed":
		return sequence(iterOf, elem)
	case "enumerate":
		return sequence(iterOf, tupleStatic(intStatic, elem))
	case "zip":
		elems := make([]static, len(args))
		for i, a := range args {
			elems[i] = a.element()
		}
		return sequence(iterOf, tupleStatic(elems...))
	case "map":
		return sequence(iterOf, c.applied(e.Args[0], args))
	case "filter":
		return sequence(iterOf, args[1].element())
	}
	return anyStatic
}

// next is the next element of an iterator, or its second argument.
func (c *checker) next(e *Expr, args []static) static {
	if args[0].known() && args[0].shape != iterOf {
		return c.errorf(e.Args[0], diag.BadOperands, "Write next(iter(…)).", "next() takes an iterator, found %s", args[0].name())
	}
	if len(args) == 1 {
		return args[0].element()
	}
	return unify(args[0].element(), args[1])
}

// dictCall infers dict(pairs, name=value, …).
func (c *checker) dictCall(e *Expr, args []static, elem static) static {
	given := of(column.NullType)
	for _, k := range e.Keywords {
		given = of(column.Unify(given.Type, k.Arg.Type))
	}
	t := dictOf(args, elem)
	if len(e.Keywords) > 0 && t.is(column.Map) {
		return of(column.MapOf(column.Unify(*t.Elem, given.Type)))
	}
	return t
}

func dictOf(args []static, elem static) static {
	switch {
	case len(args) == 0:
		return of(column.MapOf(column.NullType))
	case args[0].is(column.Map):
		return of(args[0].NotNull())
	case elem.shape == tupleOf && len(elem.elems) == 2:
		return dictStatic(elem.elems[0], elem.elems[1], false)
	}
	return anyStatic
}

// applied is the result of a function that is given as an argument. A lambda is checked again, with the types of what it
// is applied to.
func (c *checker) applied(f *Expr, args []static) static {
	if f.Op == OpLambda {
		if len(f.Names) != len(args)-1 {
			return c.errorf(f, diag.WrongArguments, "", "the lambda takes %d arguments, it gets %d", len(f.Names), len(args)-1)
		}
		if c.failed {
			return anyStatic
		}
		vars := len(c.vars)
		for i, n := range f.Names {
			c.vars = append(c.vars, variable{n, args[i+1].element()})
		}
		t := c.infer(f.Args[0])
		c.vars = c.vars[:vars]
		return t
	}
	if f.Op == OpBuiltin {
		switch f.Name {
		case "str", "repr", "chr", "hex", "bin", "oct", "ascii", "format":
			return strStatic
		case "int", "len", "ord":
			return intStatic
		case "float":
			return floatStatic
		case "bool", "any", "all":
			return boolStatic
		}
	}
	return anyStatic
}

// staticMethods returns the methods of a known type; nil where it is not known.
func staticMethods(s static) map[string]*callable {
	switch s.shape {
	case tupleOf:
		return listMethods
	case setOf:
		return setMethods
	case plain:
	default:
		return nil
	}
	switch s.Kind {
	case column.String:
		return stringMethods
	case column.Bytes:
		return bytesMethods
	case column.List:
		return listMethods
	case column.Map:
		return dictMethods
	case column.Time, column.Duration:
		return timeMethods
	case column.Float:
		return floatMethods
	case column.Int, column.Bool:
		return intMethods
	case column.Row:
		return rowMethods
	}
	return nil
}

func (c *checker) method(e *Expr) static {
	if e.Args[0].Op == OpLocal && c.schema.Index(e.Args[0].Name) < 0 && isModule(e.Args[0].Name) && !c.bound(e.Args[0].Name) {
		return c.unknownName(e.Args[0])
	}
	self := c.infer(e.Args[0])
	args := c.inferCallArgs(e.Args[1:], e.Keywords)
	if t := e.Args[0]; t.Op == OpBuiltin {
		if !(builtinValue{t.Name}).has(e.Name) {
			return c.errorf(e, diag.UnknownName, "", "%s has no method %q", t.Name, e.Name)
		}
		return anyStatic
	}
	if !self.known() {
		return c.anyMethod(e)
	}
	methods := staticMethods(self)
	f := methods[e.Name]
	if f == nil {
		return c.unknownMethod(e, self, methods)
	}
	if !c.arguments(e, ownerName(self), &f.signature, len(e.Args)-1) {
		return anyStatic
	}
	if self.shape != plain {
		return methodOfSequence(e.Name, self)
	}
	switch self.Kind {
	case column.String:
		return c.stringMethod(e, args)
	case column.Map:
		return dictMethod(e.Name, self, args)
	case column.List:
		if e.Name == "copy" {
			return of(self.NotNull())
		}
		return intStatic
	case column.Bytes:
		return bytesMethod(e.Name)
	case column.Row:
		return c.rowAsDict(self)
	}
	return numberMethod(e.Name, self)
}

func (c *checker) bound(name string) bool {
	for _, v := range c.vars {
		if v.name == name {
			return true
		}
	}
	return false
}

// anyMethod allows every method that some type has.
func (c *checker) anyMethod(e *Expr) static {
	for _, methods := range []map[string]*callable{stringMethods, listMethods, dictMethods, setMethods, bytesMethods, timeMethods, floatMethods, intMethods, rowMethods} {
		if methods[e.Name] != nil {
			return anyStatic
		}
	}
	if isMutator(e.Name) {
		return c.mutates(e)
	}
	return c.errorf(e, diag.UnknownName, "", "no type has a method %q", e.Name)
}

func isMutator(name string) bool {
	switch name {
	case "append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update", "setdefault", "popitem", "add", "discard":
		return true
	}
	return false
}

func (c *checker) mutates(e *Expr) static {
	hint := "Make a new value instead."
	switch e.Name {
	case "append", "extend":
		hint = "Make a new list: a + [b]."
	case "sort":
		hint = "Write sorted(…)."
	case "reverse":
		hint = "Write list(reversed(…)), or […][::-1]."
	case "update":
		hint = "Make a new dict: a | b."
	}
	return c.errorf(e, diag.CannotCompile, hint, "the method %s changes its value, which cannot be compiled", e.Name)
}

func (c *checker) unknownMethod(e *Expr, self static, methods map[string]*callable) static {
	if isMutator(e.Name) && methods != nil && !self.is(column.String) && !self.number() {
		return c.mutates(e)
	}
	if self.is(column.Row) && e.Args[0].Op == OpRow && c.schema == nil {
		return anyStatic
	}
	if self.is(column.Row) {
		if self.Fields.Index(e.Name) >= 0 {
			return c.errorf(e, diag.BadOperands, "Leave out the parentheses.", "the field %q cannot be called", e.Name)
		}
		return c.errorf(e, diag.UnknownName, "", "a row has no method %q", e.Name)
	}
	known := sortedNames(methods)
	if self.is(column.Bytes) && (stringMethods[e.Name] != nil || e.Name == "fromhex") {
		return c.errorf(e, diag.CannotCompile, "Decode the bytes first: ….decode().", "the method %s of bytes cannot be compiled", e.Name)
	}
	if self.is(column.String) && (e.Name == "maketrans" || e.Name == "translate" || e.Name == "format_map") {
		return c.errorf(e, diag.CannotCompile, "", "the method %s of a str cannot be compiled", e.Name)
	}
	hint := diag.DidYouMean(e.Name, "methods", known)
	if self.is(column.Null) {
		hint = ""
	}
	return c.errorf(e, diag.UnknownName, hint, "%s has no method %q", self.name(), e.Name)
}

func (c *checker) stringMethod(e *Expr, args []static) static {
	switch e.Name {
	case "split", "rsplit", "splitlines":
		return listStatic(strStatic)
	case "partition", "rpartition":
		return tupleStatic(strStatic, strStatic, strStatic)
	case "find", "rfind", "index", "rindex", "count":
		return intStatic
	case "startswith", "endswith", "isdigit", "isalpha", "isalnum", "isspace", "isupper", "islower", "isnumeric", "isdecimal", "isidentifier", "istitle",
		"isascii", "isprintable":
		return boolStatic
	case "encode":
		return bytesStatic
	case "join":
		if len(args) == 1 {
			if !args[0].iterable() {
				return c.errorf(e.Args[1], diag.BadOperands, "", "join() takes a list or another sequence of text, found %s", args[0].name())
			}
			if elem := args[0].element(); args[0].known() && elem.number() {
				c.warnf(e.Args[1], diag.BadOperands, "Write [str(x) for x in …].", "join() joins text but each element is %s, it fails unless there is none", elem.name())
			}
		}
	}
	return strStatic
}

func (c *checker) rowAsDict(self static) static {
	elem := column.NullType
	for i, f := range self.Fields {
		if i == 0 {
			elem = f.Type
		} else {
			elem = column.Unify(elem, f.Type)
		}
	}
	return of(column.MapOf(elem))
}

func bytesMethod(name string) static {
	switch name {
	case "decode", "hex":
		return strStatic
	case "startswith", "endswith":
		return boolStatic
	case "find", "rfind", "index", "rindex", "count":
		return intStatic
	case "split", "rsplit":
		return listStatic(bytesStatic)
	}
	return bytesStatic
}

func methodOfSequence(name string, self static) static {
	switch name {
	case "copy", "union", "intersection", "difference", "symmetric_difference":
		if self.shape == setOf {
			return sequence(setOf, anyStatic)
		}
		return self
	case "issubset", "issuperset", "isdisjoint":
		return boolStatic
	}
	return intStatic
}

func dictMethod(name string, self static, args []static) static {
	value := of(*self.Elem)
	switch name {
	case "get":
		otherwise := of(column.NullType)
		if len(args) > 1 {
			otherwise = args[1]
		}
		return unify(value, otherwise)
	case "keys":
		return sequence(viewOf, strStatic)
	case "values":
		return sequence(viewOf, value)
	case "items":
		return sequence(viewOf, tupleStatic(strStatic, value))
	}
	return of(self.NotNull())
}

func numberMethod(name string, self static) static {
	switch name {
	case "is_integer":
		return boolStatic
	case "hex", "to_rfc3339":
		return strStatic
	case "conjugate":
		if self.is(column.Float) {
			return floatStatic
		}
	}
	return intStatic
}
