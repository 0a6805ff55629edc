package expr

import (
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// rowEnv is an Env over one row.
type rowEnv struct{ row *column.RowValue }

func (e rowEnv) Field(name string) (column.Value, bool) { return e.row.Get(name) }
func (e rowEnv) Row() *column.RowValue                  { return e.row }
func (e rowEnv) Meta(string) column.Value               { return nil }

func source(text string) Source {
	return Source{Text: text, Span: diag.SpanAt(diag.Place{File: "f", Line: 1, Col: 1})}
}

// evaluate parses, checks and evaluates; a problem is returned as text.
func evaluate(text string, row *column.RowValue) (v column.Value, problem string, err error) {
	problems := &diag.List{}
	src := source(text)
	e := ParsePython(src, problems)
	if e == nil || !Check(e, src, column.TypeOf(row).Fields, problems) {
		return nil, problems.Problems[0].Error(), nil
	}
	v, err = e.Eval(rowEnv{row})
	return v, "", err
}

// answer is what comes of an expression, as text: the value's repr, the exception, or the problem.
func answer(text string, row *column.RowValue) string {
	v, problem, err := evaluate(text, row)
	switch {
	case problem != "":
		return problem
	case err != nil:
		return err.Error()
	}
	return Repr(v)
}

func TestAnswers(t *testing.T) {
	row := &column.RowValue{Names: []string{"a", "b", "s", "n", "l", "d"}, Elems: []column.Value{int64(7), 2.5, "héllo", nil,
		&column.ListValue{Elems: []column.Value{int64(1), int64(2)}}, &column.RowValue{Names: []string{"e"}, Elems: []column.Value{int64(3)}}}}
	for _, c := range []struct{ text, want string }{
		{"a + b", "9.5"},
		{"s.upper()", "'HÉLLO'"},
		{"a // 0", "ZeroDivisionError: integer division or modulo by zero"},
		{"f'{a:>5} {s!r} {b=:.3f}'", `"    7 'héllo' b=2.500"`},
		{"[x * 2 for x in l if x > 1]", "[4]"},
		{"d.e", "3"},
		{"sum(l)", "3"},
		{"n or 3", "3"},
		{"'%5.2f|%s' % (b, s)", "' 2.50|héllo'"},
		{"1 < a < 10", "True"},
		{"a if n is None else b", "7"},
		{"s[::-1]", "'olléh'"},
		{"sorted(l, key=lambda x: -x)", "[2, 1]"},
		{"{k: v for k, v in enumerate(s)}", "{0: 'h', 1: 'é', 2: 'l', 3: 'l', 4: 'o'}"},
		{"any(x > 1 for x in l)", "True"},
		{"round(b)", "2"},
		{"a ** -1", "0.14285714285714285"},
		{"x", `f:1:1: no field is named "x" [LT0302]`},
		{"s + a", "f:1:1: + has no meaning for a str and an int [LT0304]"},
		{"s.uper()", `f:1:1: a str has no method "uper" [LT0305]`},
		{"len(s, s)", "f:1:1: len() takes exactly one argument (2 given) [LT0307]"},
		{"a && b", "f:1:3: expected the end of the expression, found && [LT0301]"},
		{"(a", "f:1:1: ( is not closed [LT0301]"},
		{"a = 3", "f:1:3: expected the end of the expression, found = [LT0301]"},
		{"[a, ", "f:1:1: [ is not closed [LT0301]"},
		{"a ? 1 : 2", "f:1:3: expected the end of the expression, found ? [LT0301]"},
		{"null", `f:1:1: no field is named "null" [LT0302]`},
		{"not a or b", "2.5"},
		{"-a ** 2", "-49"},
		{"s in ('x', 'héllo')", "True"},
		{"a if b", "f:1:7: expected else, found the end of the expression [LT0301]"},
		{"await a", "f:1:1: await cannot be compiled [LT0303]"},
		{"(a := 3)", "f:1:4: an assignment inside an expression cannot be compiled [LT0303]"},
		{"__row__['a']", "7"},
		{"__row__.d.e", "3"},
		{"math.floor(a)", "f:1:1: the module math cannot be used in an expression [LT0303]"},
		{"b.f", `f:1:1: a float has no attribute "f" [LT0305]`},
	} {
		if got := answer(c.text, row); got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
}
