package expr

import (
	"math"
	"slices"
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
