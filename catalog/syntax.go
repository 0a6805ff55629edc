package catalog

import (
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// CheckSyntax reports Python expressions of a configuration that cannot be parsed. It is for a transform whose input
// is not known, so that Lower cannot say more of them.
func CheckSyntax(t *Transform, config *Value, problems *diag.List) {
	l := &Lowering{Transform: t, Config: config}
	if l.Language() != "python" {
		return
	}
	for _, f := range t.Fields {
		switch v := config.Get(f.Name); f.Type {
		case Expression:
			checkSyntax(v, problems)
		case Expressions:
			for _, e := range v.Entries() {
				checkSyntax(e.Value, problems)
			}
		}
	}
}

func checkSyntax(v *Value, problems *diag.List) {
	if v == nil {
		return // a key without a value
	}
	parse := expr.ParsePython
	if isMap(v) {
		if callable := v.Get("callable"); callable != nil {
			v, parse = callable, expr.ParseCallable
		} else {
			v = v.Get("expression")
		}
	}
	if v == nil || v.Text() == "" {
		return
	}
	parse(expr.Source{Text: v.Text(), Span: spanOf(v)}, problems)
}
