package expr

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// ParseGeneric parses an expression of Beam's generic language: the exact name of a field, whatever its characters; a
// whole number; a decimal number; a string in double quotes; or two of these with < > <= >= == != between them. Beyond
// Beam, whose own grammar accepts only < and > between numbers of 32 bits, true, false and null are constants. A field
// that has the text as its name comes before all other meanings.
//
// It returns nil after a problem. A schema of nil means that the fields are not known: any text that is nothing else
// is then taken for a name.
func ParseGeneric(src Source, schema column.Schema, problems *diag.List) *Expr {
	from, to := trimmed(src.Text, 0, len(src.Text))
	if from == to {
		problems.Errorf(src.Span.At(src.Text, 0, 1), diag.BadGeneric, "expected an expression, found nothing")
		return nil
	}
	g := generic{src: src, schema: schema}
	if e := g.atom(from, to); e != nil {
		return e
	}
	if e := g.comparison(from, to); e != nil {
		return e
	}
	g.explain(from, to, problems)
	return nil
}

type generic struct {
	src    Source
	schema column.Schema
}

func trimmed(text string, from, to int) (int, int) {
	for from < to && strings.IndexByte(" \t\r\n", text[from]) >= 0 {
		from++
	}
	for from < to && strings.IndexByte(" \t\r\n", text[to-1]) >= 0 {
		to--
	}
	return from, to
}

// atom returns the field or constant that [from, to) says, or nil.
func (g *generic) atom(from, to int) *Expr {
	text := g.src.Text[from:to]
	e := &Expr{Op: OpLit, Start: from, End: to}
	if i := g.schema.Index(text); i >= 0 {
		e.Op, e.Name, e.Type = OpField, text, g.schema[i].Type
		return e
	}
	switch text {
	case "true", "false":
		e.Value, e.Type = text == "true", column.BoolType
		return e
	case "null":
		e.Type = column.NullType
		return e
	}
	if v, ok := genericNumber(text); ok {
		e.Value, e.Type = v, column.TypeOf(v)
		return e
	}
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' && !strings.ContainsAny(text[1:n-1], `"\`) {
		e.Value, e.Type = text[1:n-1], column.StringType
		return e
	}
	if g.schema == nil && !strings.ContainsAny(text, `<>=!"`) {
		e.Op, e.Name, e.Type = OpField, text, column.AnyType
		return e
	}
	return nil
}

// genericNumber reads -?\d+ within 64 bits, or -?\d+\.\d*.
func genericNumber(text string) (column.Value, bool) {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" {
		return nil, false
	}
	if point {
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// comparison returns what [from, to) says as "atom op atom", or nil. An operator may be part of a field's name, so
// every split is tried, the widest operator first.
func (g *generic) comparison(from, to int) *Expr {
	for _, op := range [...]string{"<=", ">=", "==", "!=", "<", ">"} {
		for at := from; at < to; at++ {
			next := strings.Index(g.src.Text[at:to], op)
			if next < 0 {
				break
			}
			at += next
			leftFrom, leftTo := trimmed(g.src.Text, from, at)
			rightFrom, rightTo := trimmed(g.src.Text, at+len(op), to)
			if leftFrom == leftTo || rightFrom == rightTo {
				continue
			}
			left, right := g.atom(leftFrom, leftTo), g.atom(rightFrom, rightTo)
			if left != nil && right != nil {
				return &Expr{Op: OpCompare, Names: []string{op}, Args: []*Expr{left, right}, Type: column.BoolType, Start: from, End: to}
			}
		}
	}
	return nil
}

// explain says what is wrong with [from, to), at the part of it that is wrong where that can be told.
func (g *generic) explain(from, to int, problems *diag.List) {
	for _, op := range [...]string{"<=", ">=", "==", "!=", "<", ">"} {
		at := strings.Index(g.src.Text[from:to], op)
		if at < 0 {
			continue
		}
		at += from
		leftFrom, leftTo := trimmed(g.src.Text, from, at)
		rightFrom, rightTo := trimmed(g.src.Text, at+len(op), to)
		if leftFrom == leftTo || rightFrom == rightTo {
			problems.Errorf(g.src.Span.At(g.src.Text, at, at+len(op)), diag.BadGeneric, "expected a field, number or string on both sides of %s", op)
			return
		}
		for _, side := range [2][2]int{{leftFrom, leftTo}, {rightFrom, rightTo}} {
			if g.atom(side[0], side[1]) == nil {
				g.explainAtom(side[0], side[1], problems)
			}
		}
		return
	}
	g.explainAtom(from, to, problems)
}

const needsLanguage = "For more than a field, a constant or a comparison of two, add language: python."

func (g *generic) explainAtom(from, to int, problems *diag.List) {
	text := g.src.Text[from:to]
	place := g.src.Span.At(g.src.Text, from, to)
	if isIdentifier(text) || isKeyword(text) && text[0] < 'a' {
		p := problems.Errorf(place, diag.UnknownField, "no field is named %q", text)
		p.Hint = genericHint(text, g.schema)
		return
	}
	p := problems.Errorf(place, diag.BadGeneric, "expected a field, number or string in double quotes, found %s", text)
	switch {
	case isHugeInt(text):
		p.Text, p.Hint = "the integer "+text+" does not fit 64 bits", "Write it as a decimal number, with .0 at its end."
	case len(text) >= 2 && text[0] == '\'' && text[len(text)-1] == '\'':
		p.Hint = `Write a string in double quotes: '"` + text[1:len(text)-1] + `"' in YAML.`
	case strings.Contains(text, "=") && !strings.ContainsAny(text, "<>!+-*/()"):
		p.Hint = "To compare, write ==."
	default:
		p.Hint = needsLanguage
	}
}

func isHugeInt(text string) bool {
	n, ok := new(big.Int).SetString(text, 10)
	return ok && len(text) < 1000 && !n.IsInt64()
}

func genericHint(text string, schema column.Schema) string {
	switch text {
	case "True", "False":
		return "Write " + strings.ToLower(text) + "."
	case "None":
		return "Write null."
	}
	hint := diag.DidYouMean(text, "fields", schema.Names())
	if !strings.HasPrefix(hint, "Did you mean") {
		hint = strings.TrimSpace(hint + ` To mean text, write it in double quotes: '"` + text + `"' in YAML.`)
	}
	return hint
}
