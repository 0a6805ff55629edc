package expr

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/leat-project/leat/column"
)

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
