package expr

import (
	"math"
	"strconv"
	"strings"

	"github.com/leat-project/leat/column"
)

// String returns the canonical text of the expression. For every tree that a parser has made, it parses back to the
// same tree.
//
// Of what no parser makes, OpMeta is written __meta__.NAME and OpConform __conform__(e, TYPE).
func (e *Expr) String() string {
	p := printer{}
	p.write(e, precTuple)
	return p.b.String()
}

// How tight operators bind, the loosest first.
const (
	precTuple = iota
	precTest
	precOr
	precAnd
	precNot
	precCompare
	precBinary // and one more for each of binaryLevels
	precUnary  = precBinary + len(binaryLevels)
	precPower  = precUnary + 1
	precAtom   = precPower + 1
)

// printer writes expressions. locals are the variables in scope: a field that one of them hides is written __row__['x'].
type printer struct {
	b      strings.Builder
	locals []string
}

func precedence(e *Expr) int {
	switch e.Op {
	case OpIf, OpLambda:
		return precTest
	case OpOr:
		return precOr
	case OpAnd:
		return precAnd
	case OpNot:
		return precNot
	case OpCompare:
		return precCompare
	case OpUnary:
		return precUnary
	case OpBinary:
		if e.Name == "**" {
			return precPower
		}
		return precBinary + levelOf(e.Name)
	case OpLit:
		switch v := e.Value.(type) {
		case int64:
			if v < 0 {
				return precUnary
			}
			return precPower // 1.x is no attribute
		case float64:
			if math.Signbit(v) {
				return precUnary
			}
		}
	}
	return precAtom
}

// write writes e, in parentheses where it binds less tight than least.
func (p *printer) write(e *Expr, least int) {
	if e == nil {
		return
	}
	if precedence(e) < least {
		p.b.WriteByte('(')
		p.bare(e)
		p.b.WriteByte(')')
		return
	}
	p.bare(e)
}

func (p *printer) bare(e *Expr) {
	switch e.Op {
	case OpLit:
		p.literal(e.Value)
	case OpField:
		p.field(e.Name)
	case OpRow:
		p.b.WriteString("__row__")
	case OpLocal, OpBuiltin:
		p.b.WriteString(e.Name)
	case OpMeta:
		p.b.WriteString("__meta__." + e.Name)
	case OpUnary:
		p.unary(e)
	case OpNot:
		p.b.WriteString("not ")
		p.write(e.Args[0], precNot)
	case OpBinary:
		p.binary(e)
	case OpCompare:
		p.write(e.Args[0], precCompare+1)
		for i, op := range e.Names {
			p.b.WriteString(" " + op + " ")
			p.write(e.Args[i+1], precCompare+1)
		}
	case OpAnd:
		p.joined(e.Args, " and ", precAnd+1)
	case OpOr:
		p.joined(e.Args, " or ", precOr+1)
	case OpIf:
		p.write(e.Args[1], precTest+1)
		p.b.WriteString(" if ")
		p.write(e.Args[0], precTest+1)
		p.b.WriteString(" else ")
		p.write(e.Args[2], precTest)
	case OpFormat:
		p.format(e)
	case OpComp:
		p.comp(e)
	case OpLambda:
		p.lambda(e)
	default:
		p.compound(e)
	}
}

// compound writes what has brackets, and what is reached by a dot.
func (p *printer) compound(e *Expr) {
	switch e.Op {
	case OpIndex:
		p.write(e.Args[0], precAtom)
		p.b.WriteByte('[')
		p.write(e.Args[1], precTuple)
		p.b.WriteByte(']')
	case OpSlice:
		p.write(e.Args[0], precAtom)
		p.b.WriteByte('[')
		p.write(e.Args[1], precTest)
		p.b.WriteByte(':')
		p.write(e.Args[2], precTest)
		if e.Args[3] != nil {
			p.b.WriteByte(':')
			p.write(e.Args[3], precTest)
		}
		p.b.WriteByte(']')
	case OpAttr:
		p.write(e.Args[0], precAtom)
		p.b.WriteString("." + e.Name)
	case OpCall:
		if e.Value == surelyBuiltin {
			p.b.WriteString(builtinsName + ".")
		}
		p.b.WriteString(e.Name)
		p.arguments(e.Args, e.Keywords)
	case OpMethod:
		p.write(e.Args[0], precAtom)
		p.b.WriteString("." + e.Name)
		p.arguments(e.Args[1:], e.Keywords)
	case OpList:
		p.b.WriteByte('[')
		p.joined(e.Args, ", ", precTest)
		p.b.WriteByte(']')
	case OpTuple:
		p.b.WriteByte('(')
		p.joined(e.Args, ", ", precTest)
		if len(e.Args) == 1 {
			p.b.WriteByte(',')
		}
		p.b.WriteByte(')')
	case OpSet:
		p.b.WriteByte('{')
		p.joined(e.Args, ", ", precTest)
		p.b.WriteByte('}')
	case OpDict:
		p.b.WriteByte('{')
		for i := 0; i+1 < len(e.Args); i += 2 {
			if i > 0 {
				p.b.WriteString(", ")
			}
			p.write(e.Args[i], precTest)
			p.b.WriteString(": ")
			p.write(e.Args[i+1], precTest)
		}
		p.b.WriteByte('}')
	case OpConform:
		p.b.WriteString("__conform__(")
		p.write(e.Args[0], precTest)
		p.b.WriteString(", " + e.Conform.Type.String() + ")")
	default:
		p.b.WriteString("?")
	}
}

func (p *printer) joined(args []*Expr, sep string, least int) {
	for i, a := range args {
		if i > 0 {
			p.b.WriteString(sep)
		}
		p.write(a, least)
	}
}

func (p *printer) arguments(args []*Expr, keywords []Keyword) {
	p.b.WriteByte('(')
	p.joined(args, ", ", precTest)
	for i, k := range keywords {
		if i > 0 || len(args) > 0 {
			p.b.WriteString(", ")
		}
		p.b.WriteString(k.Name + "=")
		p.write(k.Arg, precTest)
	}
	p.b.WriteByte(')')
}

func (p *printer) unary(e *Expr) {
	p.b.WriteString(e.Name)
	if a := e.Args[0]; a.Op == OpLit && e.Name == "-" && precedence(a) > precUnary {
		p.b.WriteByte('(') // a sign before a number is part of the number
		p.bare(a)
		p.b.WriteByte(')')
		return
	}
	p.write(e.Args[0], precUnary)
}

func (p *printer) binary(e *Expr) {
	if e.Name == "**" {
		p.write(e.Args[0], precAtom)
		p.b.WriteString(" ** ")
		p.write(e.Args[1], precUnary)
		return
	}
	prec := precedence(e)
	p.write(e.Args[0], prec)
	p.b.WriteString(" " + e.Name + " ")
	p.write(e.Args[1], prec+1)
}

// isIdentifier reports whether Python can spell the name.
func isIdentifier(name string) bool {
	if name == "" || isKeyword(name) {
		return false
	}
	l := lexer{src: Source{Text: name}, limit: len(name)}
	l.next()
	return l.err == nil && len(l.toks) == 1 && l.toks[0].kind == tokName && l.toks[0].text == name
}

func (p *printer) field(name string) {
	hidden := name == "__row__" || !isIdentifier(name)
	for _, l := range p.locals {
		hidden = hidden || l == name
	}
	if hidden {
		p.b.WriteString("__row__[" + reprString(name) + "]")
		return
	}
	p.b.WriteString(name)
}

func (p *printer) literal(v column.Value) {
	if f, ok := v.(float64); ok {
		switch {
		case math.IsInf(f, 1):
			p.b.WriteString("1e999")
			return
		case math.IsInf(f, -1):
			p.b.WriteString("-1e999")
			return
		case math.IsNaN(f):
			p.b.WriteString("float('nan')")
			return
		}
	}
	p.b.WriteString(Repr(v))
}

func (p *printer) comp(e *Expr) {
	open, shut := "(", ")"
	switch e.Name {
	case "list":
		open, shut = "[", "]"
	case "set", "dict":
		open, shut = "{", "}"
	}
	// The element comes first in the text, but the clauses bind its names.
	outer := p.locals
	var clauses printer
	clauses.locals = append(clauses.locals, outer...)
	for _, c := range e.Comp.Clauses {
		clauses.b.WriteString(" for " + strings.Join(c.Targets, ", ") + " in ")
		clauses.write(c.Iter, precOr)
		clauses.locals = append(clauses.locals, c.Targets...)
		for _, cond := range c.Conds {
			clauses.b.WriteString(" if ")
			clauses.write(cond, precOr)
		}
	}
	p.locals = clauses.locals
	p.b.WriteString(open)
	p.write(e.Args[0], precTest)
	if e.Name == "dict" {
		p.b.WriteString(": ")
		p.write(e.Args[1], precTest)
	}
	p.b.WriteString(clauses.b.String() + shut)
	p.locals = outer
}

func (p *printer) lambda(e *Expr) {
	outer := p.locals
	p.locals = append(outer[:len(outer):len(outer)], e.Names...)
	p.b.WriteString("lambda")
	if len(e.Names) > 0 {
		p.b.WriteString(" " + strings.Join(e.Names, ", "))
	}
	p.b.WriteString(": ")
	p.write(e.Args[0], precTest)
	p.locals = outer
}

func (p *printer) format(e *Expr) {
	p.b.WriteString("f'")
	p.pieces(e, false)
	p.b.WriteByte('\'')
}

func (p *printer) pieces(e *Expr, spec bool) {
	for _, a := range e.Args {
		if a.Op == OpLit {
			text, _ := a.Value.(string)
			text = quoted(text, '\'')
			if spec { // a brace in a spec cannot be doubled
				text = strings.NewReplacer("{", `\x7b`, "}", `\x7d`).Replace(text)
			} else {
				text = strings.NewReplacer("{", "{{", "}", "}}").Replace(text)
			}
			p.b.WriteString(text)
			continue
		}
		p.replacementField(a)
	}
}

func (p *printer) replacementField(a *Expr) {
	inner := printer{locals: p.locals}
	least := precOr // a lambda or its like has a colon of its own
	inner.write(a.Args[0], least)
	text := inner.b.String()
	p.b.WriteByte('{')
	if strings.HasPrefix(text, "{") {
		p.b.WriteByte(' ')
	}
	p.b.WriteString(text)
	if a.Name != "" {
		p.b.WriteString("!" + a.Name)
	}
	if a.Args[1] != nil {
		p.b.WriteByte(':')
		p.pieces(a.Args[1], true)
	}
	p.b.WriteByte('}')
}

// quoted escapes s for a string in that quote, without the quotes.
func quoted(s string, quote byte) string {
	var b strings.Builder
	appendQuoted(&b, s, rune(quote))
	return b.String()
}

func appendQuoted(b *strings.Builder, s string, quote rune) {
	const hex = "0123456789abcdef"
	for i, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			b.WriteString(`\x` + string(hex[r>>4]) + string(hex[r&15]))
		case r < 0x7f:
			b.WriteByte(byte(r))
		case r == '\ufffd' && !strings.HasPrefix(s[i:], "\ufffd"):
			b.WriteString(`\udc` + strconv.FormatUint(uint64(s[i]), 16)) // not UTF-8: as Python's surrogateescape
		case isPrintable(r):
			b.WriteRune(r)
		case r <= 0xff:
			b.WriteString(`\x` + string(hex[r>>4]) + string(hex[r&15]))
		case r <= 0xffff:
			b.WriteString(`\u` + pad0(strconv.FormatInt(int64(r), 16), 4))
		default:
			b.WriteString(`\U` + pad0(strconv.FormatInt(int64(r), 16), 8))
		}
	}
}

func pad0(s string, width int) string {
	return strings.Repeat("0", max(width-len(s), 0)) + s
}
