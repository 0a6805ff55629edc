package expr

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// ParsePython parses one Python 3.11 expression. It returns nil after a problem, which it has added to problems.
//
// Names are not resolved yet: they are OpLocal until Check has looked at them. What Python allows and leat does
// not compile is refused here, at the very sub-expression.
func ParsePython(src Source, problems *diag.List) *Expr {
	p := newParser(src, problems)
	e := p.tuple()
	p.expectEnd()
	return p.result(e)
}

// ParseCallable parses a Python function of a row that is written as a lambda, and returns its body. The lambda's
// parameter is the row itself. Other callables are refused. It returns nil after a problem.
func ParseCallable(src Source, problems *diag.List) *Expr {
	p := newParser(src, problems)
	t := p.peek()
	if t.kind != tokName || t.text != "lambda" {
		p.refuseCallable(t)
		return nil
	}
	e := p.test()
	p.expectEnd()
	if e = p.result(e); e == nil {
		return nil
	}
	if len(e.Names) != 1 {
		problems.Errorf(src.Place(e), diag.WrongArguments, "a callable takes the row as its one argument, this one takes %d", len(e.Names)).Hint = "Write lambda row: …."
		return nil
	}
	body := e.Args[0]
	b := binder{src: src, problems: problems, row: e.Names[0]}
	b.bind(body)
	if b.failed {
		return nil
	}
	return body
}

// refuseCallable reports that a callable is no lambda.
func (p *parser) refuseCallable(t token) {
	if p.failed {
		return
	}
	if t.kind == tokEnd {
		p.failAt(t, "Write lambda row: ….", "expected a callable, found nothing")
		return
	}
	what := "this callable"
	if t.kind == tokName {
		switch t.text {
		case "def", "class", "import", "from", "async":
			what = "a callable with " + t.text
		}
	}
	p.problems.Errorf(p.src.Span.At(p.src.Text, t.start, t.end), diag.CannotCompile, "%s cannot be compiled", what).Hint = "Write it as lambda row: EXPRESSION."
	p.failed = true
}

// binder resolves the names of a callable's body: its parameter is the row, and other names are built-in functions, never
// fields.
type binder struct {
	src      Source
	problems *diag.List
	row      string
	locals   []string
	failed   bool
}

func (b *binder) isLocal(name string) bool { return slices.Contains(b.locals, name) }

func (b *binder) bind(e *Expr) {
	if e == nil {
		return
	}
	locals := len(b.locals)
	switch e.Op {
	case OpLocal:
		b.name(e)
	case OpCall:
		if !b.isLocal(e.Name) && e.Name != b.row {
			e.Value = surelyBuiltin
		}
	case OpLambda:
		b.locals = append(b.locals, e.Names...)
	case OpComp:
		for _, c := range e.Comp.Clauses {
			b.bind(c.Iter)
			b.locals = append(b.locals, c.Targets...)
			for _, cond := range c.Conds {
				b.bind(cond)
			}
		}
	}
	for _, a := range e.Args {
		b.bind(a)
	}
	for _, k := range e.Keywords {
		b.bind(k.Arg)
	}
	b.locals = b.locals[:locals]
}

func (b *binder) name(e *Expr) {
	switch {
	case b.isLocal(e.Name):
	case e.Name == b.row:
		e.Op, e.Name = OpRow, ""
	case builtins[e.Name] != nil:
		e.Op = OpBuiltin
	case isModule(e.Name), isUnsupportedBuiltin(e.Name), wordHint(e.Name) != "": // Check knows what to say
	default:
		b.failed = true
		b.problems.Errorf(b.src.Place(e), diag.UnknownName, "no variable is named %q", e.Name).Hint =
			"A field is " + b.row + "." + e.Name + ": the row is all that a callable gets."
	}
}

// parser is a recursive descent parser. After the first syntax error it is at the end of the text, so that every loop
// ends, and it goes on with nodes that nobody will see.
type parser struct {
	src      Source
	problems *diag.List
	toks     []token
	pos      int
	depth    int
	failed   bool
}

func newParser(src Source, problems *diag.List) *parser {
	p := &parser{src: src, problems: problems}
	if len(src.Text) > MaxText {
		problems.Errorf(src.Span.At(src.Text, 0, 1), diag.BadExpression, "the expression has %d bytes, more than the limit of %d", len(src.Text), MaxText)
		p.failed = true
		p.toks = []token{{kind: tokEnd}}
		return p
	}
	for i, r := range src.Text {
		if r == utf8.RuneError && !strings.HasPrefix(src.Text[i:], string(utf8.RuneError)) {
			problems.Errorf(src.Span.At(src.Text, i, i+1), diag.BadExpression, "the expression is not valid UTF-8 here")
			p.failed = true
			p.toks = []token{{kind: tokEnd}}
			return p
		}
	}
	p.lex(0, len(src.Text))
	return p
}

// lex fills toks with the tokens of [from, to) of the text.
func (p *parser) lex(from, to int) {
	l := &lexer{src: p.src, pos: from, limit: to}
	p.toks, p.pos = l.lex(), 0
	if l.err != nil {
		if !p.failed {
			p.problems.Errorf(p.src.Span.At(p.src.Text, l.err.start, l.err.end), l.err.code, "%s", l.err.text).Hint = l.err.hint
		}
		p.failed = true
		p.toks = p.toks[len(p.toks)-1:]
	}
}

func (p *parser) result(e *Expr) *Expr {
	if p.failed {
		return nil
	}
	return e
}

func (p *parser) peek() token { return p.toks[p.pos] }

func (p *parser) peekAfter() token { return p.toks[min(p.pos+1, len(p.toks)-1)] }

func (p *parser) advance() token {
	t := p.toks[p.pos]
	if t.kind != tokEnd {
		p.pos++
	}
	return t
}

// end is where the token before the current one ended.
func (p *parser) end() int {
	if p.pos == 0 {
		return p.toks[0].start
	}
	return p.toks[p.pos-1].end
}

func (p *parser) isOp(op string) bool {
	t := p.toks[p.pos]
	return t.kind == tokOp && t.text == op
}

func (p *parser) isWord(word string) bool {
	t := p.toks[p.pos]
	return t.kind == tokName && t.text == word
}

func (p *parser) takeOp(op string) bool {
	if p.isOp(op) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) takeWord(word string) bool {
	if p.isWord(word) {
		p.pos++
		return true
	}
	return false
}

// failAt reports a syntax error at a token and moves to the end.
func (p *parser) failAt(t token, hint, format string, args ...any) {
	p.report(t.start, t.end, diag.BadExpression, hint, format, args...)
	p.pos = len(p.toks) - 1
}

// refuse reports Python that is not compiled, at [start, end).
func (p *parser) refuse(start, end int, hint, format string, args ...any) {
	p.report(start, end, diag.CannotCompile, hint, format, args...)
	p.pos = len(p.toks) - 1
}

func (p *parser) report(start, end int, code diag.Code, hint, format string, args ...any) {
	if !p.failed {
		p.problems.Errorf(p.src.Span.At(p.src.Text, start, end), code, format, args...).Hint = hint
	}
	p.failed = true
}

func (t token) describe() string {
	if t.kind == tokEnd {
		return "the end of the expression"
	}
	text := t.text
	if r := []rune(text); len(r) > 20 {
		text = string(r[:20]) + "…"
	}
	return text
}

func (p *parser) expectOp(op string, opened token) {
	if p.takeOp(op) {
		return
	}
	t := p.peek()
	if t.kind == tokEnd {
		p.failAt(opened, "Close it with "+op+".", "%s is not closed", opened.text)
		return
	}
	p.unexpected(t, op)
}

func (p *parser) expectEnd() {
	if t := p.peek(); t.kind != tokEnd {
		p.unexpected(t, "the end of the expression")
	}
}

// unexpected reports a token where something else was wanted, with what to do about operators of other languages.
func (p *parser) unexpected(t token, wanted string) {
	hint := ""
	if t.kind == tokOp {
		for _, n := range notPython {
			if n.op == t.text {
				hint = n.hint
			}
		}
		switch {
		case t.text == ":=":
			p.refuse(t.start, t.end, "Write the value twice, or compute it in a field of its own first.", "an assignment inside an expression cannot be compiled")
			return
		case t.text == "@":
			p.refuse(t.start, t.end, "", "the operator @ cannot be compiled")
			return
		case len(t.text) > 1 && strings.HasSuffix(t.text, "=") && hint == "":
			hint = "An expression cannot assign."
		}
	}
	if t.kind == tokName && isKeyword(t.text) && hint == "" {
		hint = keywordHint(t.text)
	}
	if (t.kind == tokName || t.kind == tokInt || t.kind == tokFloat || t.kind == tokString) && wanted == "the end of the expression" && hint == "" {
		hint = "There is no operator before it."
	}
	p.failAt(t, hint, "expected %s, found %s", wanted, t.describe())
}

func keywordHint(word string) string {
	switch word {
	case "for":
		return "Put a comprehension in brackets: [… for … in …]."
	case "if":
		return "Write A if CONDITION else B."
	case "import", "from", "def", "class", "return", "while", "with", "try", "del", "global", "assert", "raise", "pass":
		return "Only an expression can stand here, not a statement."
	}
	return ""
}

func isKeyword(name string) bool {
	switch name {
	case "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
		"finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try",
		"while", "with", "yield":
		return true
	}
	return false
}

// enter counts a level of nesting, and reports one too many.
func (p *parser) enter() bool {
	p.depth++
	if p.depth > MaxNesting {
		p.failAt(p.peek(), "Compute a part of it in a field of its own first.", "the expression is nested more than %d deep", MaxNesting)
		return false
	}
	return true
}

func (p *parser) leave() { p.depth-- }

func dummy(t token) *Expr { return &Expr{Op: OpLit, Start: t.start, End: t.end} }

func (p *parser) node(op Op, start int, args ...*Expr) *Expr {
	return &Expr{Op: op, Start: start, End: p.end(), Args: args}
}

// tuple parses test (',' test)* [','].
func (p *parser) tuple() *Expr {
	start := p.peek().start
	first := p.test()
	if !p.isOp(",") {
		return first
	}
	args := []*Expr{first}
	for p.takeOp(",") && !p.endsList() {
		args = append(args, p.test())
	}
	return p.node(OpTuple, start, args...)
}

func (p *parser) endsList() bool {
	t := p.peek()
	return t.kind == tokEnd || t.kind == tokOp && (t.text == ")" || t.text == "]" || t.text == "}")
}

// test parses a lambda or conditional expression.
func (p *parser) test() *Expr {
	if !p.enter() {
		return dummy(p.peek())
	}
	defer p.leave()
	t := p.peek()
	if t.kind == tokName {
		switch t.text {
		case "lambda":
			return p.lambda()
		case "yield", "await", "async":
			p.refuse(t.start, t.end, "", "%s cannot be compiled", t.text)
			return dummy(t)
		}
	}
	if t.kind == tokOp && (t.text == "*" || t.text == "**") {
		p.advance()
		p.test()
		p.refuse(t.start, p.end(), "Join lists with +.", "unpacking with %s cannot be compiled", t.text)
		return dummy(t)
	}
	value := p.disjunction()
	if p.isOp(":=") {
		p.unexpected(p.peek(), "an operator")
	}
	if !p.takeWord("if") {
		return value
	}
	cond := p.disjunction()
	if !p.takeWord("else") {
		p.failAt(p.peek(), "Write A if CONDITION else B.", "expected else, found %s", p.peek().describe())
		return value
	}
	otherwise := p.test()
	e := p.node(OpIf, value.Start, cond, value, otherwise)
	return e
}

func (p *parser) lambda() *Expr {
	start := p.advance().start
	e := &Expr{Op: OpLambda, Start: start}
	for !p.isOp(":") && p.peek().kind != tokEnd {
		t := p.peek()
		switch {
		case t.kind == tokName && !isKeyword(t.text):
			p.advance()
			for _, n := range e.Names {
				if n == t.text {
					p.failAt(t, "", "the lambda has two parameters called %s", t.text)
				}
			}
			e.Names = append(e.Names, t.text)
		case t.kind == tokOp && (t.text == "*" || t.text == "**" || t.text == "/"):
			p.refuse(t.start, t.end, "", "%s in the parameters of a lambda cannot be compiled", t.text)
			return e
		default:
			p.unexpected(t, "a parameter of the lambda")
			return e
		}
		if t := p.peek(); p.isOp("=") {
			p.refuse(t.start, t.end, "", "default values of a lambda's parameters cannot be compiled")
			return e
		}
		if !p.takeOp(",") {
			break
		}
	}
	if !p.takeOp(":") {
		p.unexpected(p.peek(), ":")
		return e
	}
	e.Args = []*Expr{p.test()}
	e.End = p.end()
	return e
}

func (p *parser) disjunction() *Expr { return p.chain("or", OpOr, p.conjunction) }
func (p *parser) conjunction() *Expr { return p.chain("and", OpAnd, p.inversion) }

func (p *parser) chain(word string, op Op, operand func() *Expr) *Expr {
	first := operand()
	if !p.isWord(word) {
		return first
	}
	args := []*Expr{first}
	for p.takeWord(word) {
		args = append(args, operand())
	}
	return p.node(op, first.Start, args...)
}

func (p *parser) inversion() *Expr {
	t := p.peek()
	if !p.takeWord("not") {
		return p.comparison()
	}
	if !p.enter() {
		return dummy(t)
	}
	defer p.leave()
	arg := p.inversion()
	return p.node(OpNot, t.start, arg)
}

// comparisonOperator takes a comparison operator, if there is one.
func (p *parser) comparisonOperator() string {
	t := p.peek()
	switch {
	case t.kind == tokOp:
		switch t.text {
		case "<", "<=", ">", ">=", "==", "!=":
			p.advance()
			return t.text
		}
	case t.kind == tokName && t.text == "in":
		p.advance()
		return "in"
	case t.kind == tokName && t.text == "not" && p.peekAfter().text == "in" && p.peekAfter().kind == tokName:
		p.advance()
		p.advance()
		return "not in"
	case t.kind == tokName && t.text == "is":
		p.advance()
		if p.takeWord("not") {
			return "is not"
		}
		return "is"
	}
	return ""
}

func (p *parser) comparison() *Expr {
	first := p.binary(0)
	op := p.comparisonOperator()
	if op == "" {
		return first
	}
	e := &Expr{Op: OpCompare, Start: first.Start, Args: []*Expr{first}}
	for ; op != ""; op = p.comparisonOperator() {
		e.Names = append(e.Names, op)
		e.Args = append(e.Args, p.binary(0))
	}
	e.End = p.end()
	return e
}

// binaryLevels are the binary operators, the loosest first. ** is apart.
var binaryLevels = [...][]string{{"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%"}}

func levelOf(op string) int {
	for i, level := range binaryLevels {
		for _, o := range level {
			if o == op {
				return i
			}
		}
	}
	return -1
}

// binary parses operators of that level and tighter ones.
func (p *parser) binary(level int) *Expr {
	left := p.factor()
	for {
		t := p.peek()
		if t.kind == tokOp && t.text == "@" {
			p.refuse(t.start, t.end, "", "the operator @ cannot be compiled")
		}
		at := -1
		if t.kind == tokOp {
			at = levelOf(t.text)
		}
		if at < level {
			return left
		}
		p.advance()
		right := p.binary(at + 1)
		left = p.node(OpBinary, left.Start, left, right)
		left.Name = t.text
	}
}

// factor parses a sign, or a power. A sign before a number is part of it.
func (p *parser) factor() *Expr {
	t := p.peek()
	if t.kind != tokOp || t.text != "-" && t.text != "+" && t.text != "~" {
		return p.power()
	}
	if !p.enter() {
		return dummy(t)
	}
	defer p.leave()
	p.advance()
	if n := p.peek(); t.text == "-" && n.kind == tokInt && !p.powerFollows() {
		p.advance()
		return p.intLiteral(n, t.start, true)
	}
	arg := p.factor()
	if v, ok := arg.Value.(float64); ok && t.text == "-" && arg.Op == OpLit && !math.Signbit(v) {
		e := p.node(OpLit, t.start)
		e.Value, e.Type = -v, column.FloatType
		return e
	}
	e := p.node(OpUnary, t.start, arg)
	e.Name = t.text
	return e
}

// powerFollows reports whether what stands after the current number binds tighter than a sign.
func (p *parser) powerFollows() bool {
	n := p.peekAfter()
	return n.kind == tokOp && (n.text == "**" || n.text == "." || n.text == "[" || n.text == "(")
}

func (p *parser) power() *Expr {
	if t := p.peek(); t.kind == tokName && t.text == "await" {
		p.refuse(t.start, t.end, "", "await cannot be compiled")
		return dummy(t)
	}
	base := p.primary()
	if !p.takeOp("**") {
		return base
	}
	if !p.enter() {
		return base
	}
	defer p.leave()
	exponent := p.factor()
	e := p.node(OpBinary, base.Start, base, exponent)
	e.Name = "**"
	return e
}

// primary parses an atom and what follows it: attributes, calls, indices.
func (p *parser) primary() *Expr {
	start := p.peek().start
	e := p.atom()
	for !p.failed {
		t := p.peek()
		switch {
		case p.takeOp("."):
			name := p.peek()
			if name.kind != tokName || isKeyword(name.text) {
				hint := ""
				if name.kind == tokName {
					hint = fmt.Sprintf("A field with the name of a keyword is reached by __row__[%q].", name.text)
				}
				p.failAt(name, hint, "expected a name after the dot, found %s", name.describe())
				return e
			}
			p.advance()
			e = p.node(OpAttr, start, e)
			e.Name = name.text
		case t.kind == tokOp && t.text == "(":
			e = p.call(start, e)
		case t.kind == tokOp && t.text == "[":
			e = p.subscript(start, e)
		default:
			return e
		}
	}
	return e
}

// surelyBuiltin is the Value of an OpCall that means the built-in function even where a field has its name, as in a
// callable. Its text is __builtins__.max(…).
const (
	surelyBuiltin = "builtin"
	builtinsName  = "__builtins__"
)

func (p *parser) call(start int, f *Expr) *Expr {
	opened := p.advance()
	var args []*Expr
	var keywords []Keyword
	for !p.endsList() {
		t := p.peek()
		if t.kind == tokName && p.peekAfter().kind == tokOp && p.peekAfter().text == "=" && !isKeyword(t.text) {
			p.advance()
			p.advance()
			for _, k := range keywords {
				if k.Name == t.text {
					p.failAt(t, "", "the keyword argument %s is given twice", t.text)
				}
			}
			keywords = append(keywords, Keyword{Name: t.text, Arg: p.test()})
		} else {
			arg := p.test()
			if p.isWord("for") || p.isWord("async") {
				arg = p.comprehension("generator", arg.Start, arg)
				if len(args) > 0 || len(keywords) > 0 || !p.isOp(")") {
					p.failAt(token{start: arg.Start, end: arg.End}, "Put it in parentheses.", "a generator beside other arguments needs parentheses")
				}
			}
			if len(keywords) > 0 {
				p.failAt(token{start: arg.Start, end: arg.End}, "", "a positional argument follows a keyword argument")
			}
			args = append(args, arg)
		}
		if !p.takeOp(",") {
			break
		}
	}
	p.expectOp(")", opened)
	switch f.Op {
	case OpLocal:
		e := p.node(OpCall, start, args...)
		e.Name, e.Keywords = f.Name, keywords
		return e
	case OpAttr:
		if f.Args[0].Op == OpLocal && f.Args[0].Name == builtinsName {
			e := p.node(OpCall, start, args...)
			e.Name, e.Keywords, e.Value = f.Name, keywords, surelyBuiltin
			return e
		}
		e := p.node(OpMethod, start, append([]*Expr{f.Args[0]}, args...)...)
		e.Name, e.Keywords = f.Name, keywords
		return e
	}
	p.refuse(start, p.end(), "Only built-in functions and methods can be called.", "calling this value cannot be compiled")
	return f
}

func (p *parser) subscript(start int, of *Expr) *Expr {
	opened := p.advance()
	if t := p.peek(); p.isOp("]") {
		p.failAt(t, "", "expected an index, found ]")
		return of
	}
	index, slice := p.sliceOrTest()
	if !slice && p.isOp(",") {
		args := []*Expr{index[0]}
		for p.takeOp(",") && !p.endsList() {
			more, slice := p.sliceOrTest()
			if slice {
				p.refuse(opened.start, p.end(), "", "slices with commas cannot be compiled")
				return of
			}
			args = append(args, more[0])
		}
		index = []*Expr{p.node(OpTuple, args[0].Start, args...)}
	} else if slice && p.isOp(",") {
		p.refuse(opened.start, p.peek().end, "", "slices with commas cannot be compiled")
		return of
	}
	p.expectOp("]", opened)
	if slice {
		return p.node(OpSlice, start, of, index[0], index[1], index[2])
	}
	return p.node(OpIndex, start, of, index[0])
}

// sliceOrTest parses an index, or the three parts of a slice.
func (p *parser) sliceOrTest() (parts []*Expr, slice bool) {
	parts = make([]*Expr, 3)
	if !p.isOp(":") {
		parts[0] = p.test()
	}
	if !p.takeOp(":") {
		return parts[:1], false
	}
	if !p.isOp(":") && !p.isOp("]") && !p.isOp(",") {
		parts[1] = p.test()
	}
	if p.takeOp(":") && !p.isOp("]") && !p.isOp(",") {
		parts[2] = p.test()
	}
	return parts, true
}

func (p *parser) atom() *Expr {
	t := p.peek()
	switch t.kind {
	case tokInt:
		p.advance()
		return p.intLiteral(t, t.start, false)
	case tokFloat:
		p.advance()
		f, _ := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64) // out of range is infinite, as in Python
		e := p.node(OpLit, t.start)
		e.Value, e.Type = f, column.FloatType
		return e
	case tokString:
		return p.strings()
	case tokName:
		return p.nameAtom(t)
	case tokOp:
		switch t.text {
		case "(":
			return p.parenthesised()
		case "[":
			return p.list()
		case "{":
			return p.braces()
		case "...":
			p.refuse(t.start, t.end, "", "... cannot be compiled")
			return dummy(t)
		}
	}
	p.unexpected(t, "a value")
	return dummy(t)
}

func (p *parser) nameAtom(t token) *Expr {
	p.advance()
	e := p.node(OpLit, t.start)
	switch t.text {
	case "None":
		e.Type = column.NullType
		return e
	case "True", "False":
		e.Value, e.Type = t.text == "True", column.BoolType
		return e
	case "__row__":
		e.Op = OpRow
		return e
	}
	if isKeyword(t.text) {
		p.pos--
		p.unexpected(t, "a value")
		return e
	}
	e.Op, e.Name = OpLocal, t.text
	return e
}

// intLiteral makes a constant of an integer token.
func (p *parser) intLiteral(t token, start int, negative bool) *Expr {
	e := p.node(OpLit, start)
	e.Type, e.Value = column.IntType, int64(0)
	n, ok := new(big.Int).SetString(strings.ReplaceAll(strings.TrimLeft(t.text, "0_"), "_", ""), 0)
	if lower := strings.ToLower(t.text); len(lower) > 1 && lower[0] == '0' && strings.ContainsAny(lower[1:2], "xob") {
		n, ok = new(big.Int).SetString(strings.ReplaceAll(lower, "_", ""), 0)
	} else if strings.Trim(t.text, "0_") == "" {
		n, ok = new(big.Int), true
	}
	if !ok {
		p.failAt(t, "", "%s is not a number", t.text)
		return e
	}
	if negative {
		n.Neg(n)
	}
	if !n.IsInt64() {
		p.refuse(start, t.end, "Write it as a float, with .0 at its end.", "the integer %s does not fit 64 bits", p.src.Text[start:t.end])
		return e
	}
	e.Value = n.Int64()
	return e
}

// parenthesised parses (), (a), (a, b) and generators.
func (p *parser) parenthesised() *Expr {
	opened := p.advance()
	if p.takeOp(")") {
		return p.node(OpTuple, opened.start)
	}
	if !p.enter() {
		return dummy(opened)
	}
	defer p.leave()
	if p.isWord("yield") {
		return p.test()
	}
	e := p.test()
	switch {
	case p.isWord("for") || p.isWord("async"):
		e = p.comprehension("generator", opened.start, e)
		p.expectOp(")", opened)
		e.End = p.end()
		return e
	case p.isOp(","):
		args := []*Expr{e}
		for p.takeOp(",") && !p.endsList() {
			args = append(args, p.test())
		}
		p.expectOp(")", opened)
		return p.node(OpTuple, opened.start, args...)
	}
	p.expectOp(")", opened)
	return e
}

func (p *parser) list() *Expr {
	opened := p.advance()
	var args []*Expr
	for !p.endsList() {
		arg := p.test()
		if len(args) == 0 && (p.isWord("for") || p.isWord("async")) {
			e := p.comprehension("list", opened.start, arg)
			p.expectOp("]", opened)
			e.End = p.end()
			return e
		}
		args = append(args, arg)
		if !p.takeOp(",") {
			break
		}
	}
	p.expectOp("]", opened)
	return p.node(OpList, opened.start, args...)
}

// braces parses a dict or set, or a comprehension of one.
func (p *parser) braces() *Expr {
	opened := p.advance()
	var args []*Expr
	op := OpDict
	for first := true; !p.endsList(); first = false {
		args = append(args, p.test())
		if first && !p.isOp(":") {
			op = OpSet
		}
		if op == OpDict {
			if !p.takeOp(":") {
				p.unexpected(p.peek(), ":")
			}
			args = append(args, p.test())
		} else if p.isOp(":") {
			p.unexpected(p.peek(), ", or }")
		}
		if first && (p.isWord("for") || p.isWord("async")) {
			kind := "dict"
			if op == OpSet {
				kind = "set"
			}
			e := p.comprehension(kind, opened.start, args...)
			p.expectOp("}", opened)
			e.End = p.end()
			return e
		}
		if !p.takeOp(",") {
			break
		}
	}
	p.expectOp("}", opened)
	return p.node(op, opened.start, args...)
}

// comprehension parses the clauses after the element.
func (p *parser) comprehension(kind string, start int, element ...*Expr) *Expr {
	e := &Expr{Op: OpComp, Name: kind, Start: start, Args: element, Comp: &Comp{}}
	for !p.failed {
		t := p.peek()
		if p.isWord("async") {
			p.refuse(t.start, t.end, "", "async cannot be compiled")
			break
		}
		if !p.takeWord("for") {
			break
		}
		if !p.enter() { // clauses are nested loops
			break
		}
		c := Clause{Targets: p.targets()}
		if !p.takeWord("in") {
			p.unexpected(p.peek(), "in")
			break
		}
		c.Iter = p.disjunction()
		for p.takeWord("if") {
			c.Conds = append(c.Conds, p.disjunction())
		}
		e.Comp.Clauses = append(e.Comp.Clauses, c)
	}
	p.depth -= len(e.Comp.Clauses)
	e.End = p.end()
	return e
}

// targets parses the names that a for binds.
func (p *parser) targets() []string {
	opened := p.peek()
	parenthesised := p.takeOp("(")
	var names []string
	comma := false
	for {
		t := p.peek()
		if t.kind != tokName || isKeyword(t.text) {
			if len(names) > 0 && (p.isWord("in") || p.isOp(")")) {
				break
			}
			if t.kind == tokOp && (t.text == "(" || t.text == "[" || t.text == "*") {
				p.refuse(t.start, t.end, "Bind plain names.", "nested targets of a for cannot be compiled")
			} else {
				p.unexpected(t, "a name")
			}
			return names
		}
		p.advance()
		if p.isOp(".") || p.isOp("[") {
			p.refuse(t.start, p.peek().end, "Bind plain names.", "a target of a for that is no name cannot be compiled")
			return names
		}
		names = append(names, t.text)
		if !p.takeOp(",") {
			break
		}
		comma = true
	}
	if parenthesised {
		p.expectOp(")", opened)
	}
	if comma && len(names) == 1 {
		p.refuse(opened.start, p.end(), "Bind the whole and take [0] of it.", "unpacking a single element cannot be compiled")
	}
	return names
}

// strings parses adjacent string literals, which are one string.
func (p *parser) strings() *Expr {
	first := p.peek()
	if !p.enter() {
		return dummy(first)
	}
	defer p.leave()
	var args []*Expr
	text := func(s string, t token) {
		if n := len(args); n > 0 && args[n-1].Op == OpLit {
			args[n-1].Value = args[n-1].Value.(string) + s
			args[n-1].End = t.end
		} else if s != "" {
			args = append(args, &Expr{Op: OpLit, Value: s, Type: column.StringType, Start: t.start, End: t.end})
		}
	}
	var bytes []byte
	for p.peek().kind == tokString && !p.failed {
		t := p.advance()
		switch {
		case t.str.bytes != first.str.bytes:
			p.failAt(t, "", "bytes and text cannot stand side by side")
		case t.str.bytes:
			bytes = append(bytes, t.str.text...)
		case !t.str.format:
			text(t.str.text, t)
		default:
			for _, piece := range t.str.pieces {
				if piece.field {
					args = append(args, p.replacement(piece))
				} else {
					text(piece.text, t)
				}
			}
		}
	}
	e := p.node(OpLit, first.start)
	switch {
	case first.str.bytes:
		e.Value, e.Type = append([]byte{}, bytes...), column.BytesType
	case len(args) == 0:
		e.Value, e.Type = "", column.StringType
	case len(args) == 1 && args[0].Op == OpLit:
		e.Value, e.Type = args[0].Value, column.StringType
	default:
		e.Op, e.Args = OpFormat, args
	}
	return e
}

// replacement parses the expression of an f-string's replacement field.
func (p *parser) replacement(f piece) *Expr {
	e := &Expr{Op: OpFormatted, Name: f.conversion, Start: f.start, End: f.end}
	if !p.enter() {
		return e
	}
	defer p.leave()
	toks, pos := p.toks, p.pos
	p.lex(f.start, f.end)
	value := p.tuple()
	p.expectEnd()
	p.toks, p.pos = toks, pos
	if p.failed {
		p.pos = len(p.toks) - 1
		return e
	}
	e.Args = []*Expr{value, nil}
	if f.hasSpec {
		e.Args[1] = p.spec(f)
	}
	return e
}

// spec makes an OpFormat of a format spec. An empty one is as good as none.
func (p *parser) spec(f piece) *Expr {
	spec := &Expr{Op: OpFormat, Start: f.end, End: f.end}
	for _, piece := range f.spec {
		if piece.field {
			spec.Args = append(spec.Args, p.replacement(piece))
		} else {
			spec.Args = append(spec.Args, &Expr{Op: OpLit, Value: piece.text, Type: column.StringType, Start: f.end, End: f.end})
		}
	}
	if len(spec.Args) == 0 {
		return nil
	}
	return spec
}
