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

// evaluate parses, checks and evaluates; problems are returned as text.
func evaluate(text string, row *column.RowValue) (v column.Value, err error, problem string) {
	problems := &diag.List{}
	src := source(text)
	schema := column.TypeOf(row).Fields
	e := ParsePython(src, problems)
	if e == nil || !Check(e, src, schema, problems) {
		return nil, nil, problems.Problems[0].Error()
	}
	v, err = e.Eval(rowEnv{row})
	return v, err, ""
}

func TestSmoke(t *testing.T) {
	row := &column.RowValue{Names: []string{"a", "b", "s", "n", "l", "d"}, Elems: []column.Value{int64(7), 2.5, "héllo", nil,
		&column.ListValue{Elems: []column.Value{int64(1), int64(2)}}, &column.RowValue{Names: []string{"e"}, Elems: []column.Value{int64(3)}}}}
	for _, text := range []string{"a + b", "s.upper()", "a // 0", "f'{a:>5} {s!r} {b=:.3f}'", "[x * 2 for x in l if x > 1]", "d.e", "sum(l)", "n or 3",
		"'%5.2f|%s' % (b, s)", "1 < a < 10", "a if n is None else b", "s[::-1]", "sorted(l, key=lambda x: -x)", "{k: v for k, v in enumerate(s)}",
		"any(x > 1 for x in l)", "round(b)", "a ** -1", "x", "s + a", "s.uper()", "len(s, s)", "a && b", "(a", "a = 3", "[a, ", "a ? 1 : 2", "null",
		"not a or b", "-a ** 2", "s in ('x', 'héllo')", "a if b", "await a", "(a := 3)", "__row__['a']", "__row__.d.e", "math.floor(a)", "b.f"} {
		v, err, problem := evaluate(text, row)
		switch {
		case problem != "":
			t.Logf("%-30s problem %s", text, problem)
		case err != nil:
			t.Logf("%-30s %v", text, err)
		default:
			t.Logf("%-30s %s", text, Repr(v))
		}
	}
}
