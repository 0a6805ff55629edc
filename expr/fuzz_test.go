package expr

import (
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

func addSeeds(f *testing.F) {
	for kind := range templates {
		for _, t := range templates[kind] {
			g := &exprGen{Rand: newRand(1)}
			f.Add(g.expand(t, 1))
		}
	}
	for _, s := range []string{"f'{a!r:>{w}}'", "[x for x in [1] if x for y in [2]]", "lambda a, b: a", "'a' * 10**9", "[[0] * 10000] * 10000", "range(10**12)", "((((((", "f'{f\"{1}\"}'", "1_0.5e-3", "a.b[c:d:e](f)[g]",
		"'%*.*f' % (9999999, 9999999, 1.0)", "f'{1:999999999d}'", "'x'.center(999999999)", "sum(i for i in range(10**9))", "'\\ud800'", "b'\\xff' 'a'", "{1:2, **{}}", "x if y else z if w else v", "not not not a", "--+-~1", "-9223372036854775808", "1if 1else 2"} {
		f.Add(s)
	}
}

// FuzzParsePython: parsing ends, and what it takes prints to text that parses back to the same tree.
func FuzzParsePython(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		problems := &diag.List{}
		src := source(text)
		e := ParsePython(src, problems)
		ParseCallable(src, &diag.List{})
		ParseGeneric(src, diffSchema, &diag.List{})
		if (e == nil) != problems.Failed() {
			t.Fatalf("tree %v, problems %v", e, problems.Problems)
		}
		if e == nil {
			return
		}
		e.Walk(func(n *Expr) {
			if n.Start < 0 || n.End > len(text) || n.Start > n.End {
				t.Fatalf("%s stands at [%d, %d) of %q", n, n.Start, n.End, text)
			}
		})
		again := ParsePython(source(e.String()), problems)
		if again == nil && len(e.String()) <= MaxText {
			t.Fatalf("%q prints as %q: %v", text, e, problems.Problems)
		}
		if again != nil && !sameTree(e, again) {
			t.Fatalf("%q prints as %q, which is another tree: %q", text, e, again)
		}
	})
}

// FuzzEval: whatever Check takes is evaluated without a panic, in bounded time, to a value of its type.
func FuzzEval(f *testing.F) {
	addSeeds(f)
	g := &exprGen{Rand: newRand(2)}
	rows := g.rows(3)
	f.Fuzz(func(t *testing.T, text string) {
		src := source(text)
		e := ParsePython(src, &diag.List{})
		if e == nil {
			return
		}
		checked := Check(e, src, diffSchema, &diag.List{})
		for _, row := range rows {
			v, err := e.Eval(rowEnv{row}) // what runs for ever, go test ends: MaxSteps bounds it
			if _, ok := err.(*Exception); err != nil && !ok {
				t.Fatalf("%q: %T is no *Exception", text, err)
			}
			if checked && err == nil && !fits(v, e.Type) {
				t.Fatalf("%q over %s has type %s but is %s", text, Repr(row), e.Type, column.TypeOf(v))
			}
		}
	})
}
