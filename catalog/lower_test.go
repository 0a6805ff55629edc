package catalog

import (
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

func TestExpressions(t *testing.T) {
	schema := column.Schema{{Name: "a", Type: column.IntType}, {Name: "a b", Type: column.StringType.OrNull()}}
	tests := []struct{ config, text, typ string }{
		{`{"keep": "a"}`, "a", "int"},
		{`{"keep": "a b"}`, "", "string?"},
		{`{"keep": 10}`, "10", "int"},
		{`{"keep": true}`, "", "bool"},
		{`{"keep": 1.5}`, "1.5", "float"},
		{`{"keep": true, "language": "python"}`, "True", "bool"},
		{`{"keep": 1000.0, "language": "python"}`, "1000.0", "float"},
		{`{"keep": {"expression": "a + 1"}, "language": "python"}`, "a + 1", "int"},
		{`{"keep": {"callable": "lambda row: row.a + 1"}, "language": "python"}`, "a + 1", "int"},
		{`{"keep": {"expression": "a", "output_type": "number"}}`, "", "float"},
		{`{"keep": {"expression": "a", "output_type": {"type": ["integer", "null"]}}}`, "", "int?"},
	}
	for _, tt := range tests {
		var problems diag.List
		l := Lowering{Transform: sample, Config: read(t, tt.config), Problems: &problems}
		e := l.Expr(l.Config.Get("keep"), schema)
		if e == nil {
			t.Errorf("%s: %s", tt.config, lines(&problems))
			continue
		}
		if tt.text != "" && e.String() != tt.text {
			t.Errorf("%s: got %s, want %s", tt.config, e, tt.text)
		}
		if e.Type.String() != tt.typ {
			t.Errorf("%s: got type %s, want %s", tt.config, e.Type, tt.typ)
		}
	}
}

func TestExpressionProblems(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{"keep": {"path": "f.py", "name": "f"}}`,
			`1:19: Python files cannot be run yet: they need a Python process, which comes later [LT0303] (Write the function as an expression, or as a callable that is a lambda.)`},
		{`{"keep": {"callable": "lambda row: 1"}}`,
			`1:11: a callable needs a language, found "generic" [LT0301] (Say "language: python" in the transform's config.)`},
		{`{"keep": {"expression": "a", "output_type": "int"}}`, `1:45: no type is named "int" [LT0401] (Did you mean "integer"?)`},
		{`{"keep": {"expression": "a", "output_type": {"type": "integer", "minimum": 3}}}`,
			`1:45: warning: only the type of output_type is checked: what else it says of values is not [LT0401] (Put a ValidateWithSchema after this transform.)`},
		{`{"keep": {"output_type": "integer"}}`, `1:10: wanted an "expression", found a map without one [LT0105]`},
		{`{"keep": {"expression": null}}`, `1:25: wanted an expression, found null [LT0301]`},
	}
	for _, tt := range tests {
		var problems diag.List
		l := Lowering{Transform: sample, Config: read(t, tt.config), Problems: &problems}
		e := l.Expr(l.Config.Get("keep"), column.Schema{{Name: "a", Type: column.IntType}})
		compare(t, tt.config, lines(&problems), tt.want)
		if (e == nil) != problems.Failed() {
			t.Errorf("%s: got %v", tt.config, e)
		}
	}
}
