package catalog

import (
	"strings"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// read makes a value of JSON text; it stands at line 1 of f.yaml.
func read(t *testing.T, text string) *Value {
	t.Helper()
	v, err := parseJSON(&Value{Span: diag.SpanAt(diag.Place{File: "f.yaml", Line: 1, Col: 1})}, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// lines are the problems of a list, with their hints.
func lines(l *diag.List) string {
	l.Sort()
	var out []string
	for _, p := range l.Problems {
		s := strings.TrimPrefix(p.Error(), "f.yaml:")
		if p.Hint != "" {
			s += " (" + p.Hint + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

func compare(t *testing.T, what, got, want string) {
	t.Helper()
	if want = strings.TrimSpace(want); got != want {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", what, got, want)
	}
}

var sample = &Transform{
	Name: "Sample", Languages: []string{"generic", "python"}, Errors: true,
	Fields: []Field{
		{Name: "keep", Type: Expression, Required: true, Doc: "The condition."},
		{Name: "names", Type: TextList, Doc: "Names."},
		{Name: "count", Type: Integer, Doc: "How many."},
		{Name: "share", Type: Number, Doc: "A share."},
		{Name: "mode", Type: Text, Enum: []string{"fast", "slow"}, Doc: "A mode."},
		{Name: "sure", Type: Boolean, Doc: "Whether."},
		{Name: "fields", Type: Expressions, Doc: "Fields."},
		{Name: "wait", Type: Length, Doc: "A time."},
		{Name: "rows", Type: List, Doc: "Rows."},
		{Name: "shape", Type: Schema, Doc: "A schema."},
		{Name: "window", Type: Windowing, Doc: "A windowing."},
		{Name: "any", Type: AnyValue, Doc: "Anything."},
		{Name: "nested", Type: Object, Doc: "A map.", Fields: []Field{{Name: "deep", Type: Integer, Required: true, Doc: "A number."}}},
	},
}

func TestCheckConfig(t *testing.T) {
	tests := []struct{ name, config, want string }{
		{"right", `{"keep": "a", "names": ["x"], "count": 1, "share": 0.5, "mode": "fast", "sure": true, "fields": {"a": "b", "c": {"callable": "lambda row: 1",
			"output_type": "integer"}}, "wait": "1.5s", "rows": [], "shape": {}, "window": {}, "any": null, "nested": {"deep": 1},
			"language": "python", "error_handling": {"output": "errors"}, "output_schema": {}}`, ""},
		{"scalars are expressions", `{"keep": 3}`, ""},
		{"null is not given", `{"keep": true, "names": null}`, ""},
		{"missing", `{}`, `9:1: transform "Sample" needs "keep", which is not given [LT0105] (It is the condition.)`},
		{"required is null", `{"keep": null}`, `9:1: transform "Sample" needs "keep", which is not given [LT0105] (It is the condition.)`},
		{"unknown keys, all at once", `{"kep": "a", "zzzzzz": 1}`, `
1:2: transform "Sample" has no key "kep" [LT0103] (Did you mean "keep"?)
1:14: transform "Sample" has no key "zzzzzz" [LT0103] (Known keys: any, count, dependencies, error_handling, fields, keep, language, mode, names, nested, output_schema, rows, …)
9:1: transform "Sample" needs "keep", which is not given [LT0105] (It is the condition.)`},
		{"wrong forms", `{"keep": [1], "names": 3, "count": 1.5, "share": "x", "sure": "yes", "rows": "r", "shape": 1, "window": 2, "nested": 3}`, `
1:10: wanted an expression for "keep", found a list [LT0106]
1:24: wanted a string or a list of strings for "names", found a number [LT0106]
1:36: wanted a whole number for "count", found a number [LT0106]
1:50: wanted a number for "share", found a string [LT0106]
1:63: wanted true or false for "sure", found a string [LT0106]
1:78: wanted a list for "rows", found a string [LT0106]
1:92: wanted a JSON schema, as {type: object, properties: …} for "shape", found a number [LT0106]
1:105: wanted a windowing, as {type: fixed, size: 10s} for "window", found a number [LT0106]
1:118: wanted a map for "nested", found a number [LT0106]`},
		{"lists of strings", `{"keep": "a", "names": ["x", 3, true]}`, `
1:30: wanted a string for an element of "names", found a number [LT0106] (Quote it: "3".)
1:33: wanted a string for an element of "names", found a boolean [LT0106]`},
		{"enum", `{"keep": "a", "mode": "fats"}`, `1:23: "mode" is "fats", wanted one of fast, slow [LT0106] (Did you mean "fast"?)`},
		{"text is a number", `{"keep": "a", "mode": 5}`, `1:23: wanted a string for "mode", found a number [LT0106] (Quote it: "5".)`},
		{"nested", `{"keep": "a", "nested": {"deap": 1}}`, `
1:25: "nested" needs "deep", which is not given [LT0105] (It is a number.)
1:26: "nested" has no key "deap" [LT0103] (Did you mean "deep"?)`},
		{"duration", `{"keep": "a", "wait": "5 weeks"}`,
			`1:23: "wait": wanted a duration, found "5 weeks", whose unit " weeks" is unknown [LT0502] (Write a number with one of the units ms, s, m, h, d; without a unit it is seconds.)`},
		{"expression of two kinds", `{"keep": {"expression": "a", "callable": "lambda x: x"}}`,
			`1:10: "keep" has both an expression and a callable, wanted one of them [LT0106]`},
		{"path alone", `{"keep": {"path": "a.py"}}`, `1:10: "keep" needs "path" and "name" together, found one of them [LT0106]`},
		{"empty expression", `{"keep": {"output_type": "integer", "expresion": "a"}}`, `
1:10: "keep" needs "expression", "callable", or "path" and "name" [LT0105]
1:37: "keep": an expression has no key "expresion" [LT0103] (Did you mean "expression"?)`},
		{"fields", `{"keep": "a", "fields": {"x": null, "y": []}}`, `1:42: wanted an expression for field "y", found a list [LT0106]`},
		{"language", `{"keep": "a", "language": "pyton"}`, `1:27: no language is named "pyton" [LT0106] (Did you mean "python"?)`},
		{"javascript", `{"keep": "a", "language": "javascript"}`,
			`1:27: language "javascript" cannot be used here: JavaScript is not run yet [LT0110] (Write the expressions in one of the languages generic, python.)`},
		{"dependencies", `{"keep": "a", "dependencies": ["numpy"]}`,
			`1:15: packages for expressions cannot be used yet: they need a Python process [LT0110] (Leave out "dependencies" where the expressions use no package.)`},
		{"no map", `[1]`, `1:1: wanted a map for "config", found a list [LT0106]`},
	}
	for _, tt := range tests {
		var problems diag.List
		ok := CheckConfig(sample, read(t, tt.config), diag.Place{File: "f.yaml", Line: 9, Col: 1}, &problems)
		compare(t, tt.name, lines(&problems), tt.want)
		if ok != (strings.TrimSpace(tt.want) == "") {
			t.Errorf("%s: CheckConfig returned %v", tt.name, ok)
		}
	}
}

func TestCheckConfigWithoutConfig(t *testing.T) {
	var problems diag.List
	plain := &Transform{Name: "Plain"}
	if !CheckConfig(plain, nil, diag.Place{}, &problems) {
		t.Errorf("no config: %s", lines(&problems))
	}
	CheckConfig(plain, read(t, `{"error_handling": {}, "language": "python"}`), diag.Place{}, &problems)
	compare(t, "plain", lines(&problems), `
1:2: transform "Plain" takes no "error_handling" [LT0103] (Its rows cannot fail one by one: handle errors in the transform before it.)
1:24: transform "Plain" has no key "language" [LT0103] (Known keys: output_schema.)`)
}

func TestParseSchema(t *testing.T) {
	tests := []struct{ schema, want string }{
		{`{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["b"]}`, "row<a: int?, b: string>"},
		{`"number"`, "float"},
		{`{"type": "bytes"}`, "bytes"},
		{`{"type": ["string", "null"]}`, "string?"},
		{`{"type": ["null", "boolean"]}`, "bool?"},
		{`{"oneOf": [{"type": "null"}, {"type": "integer", "minimum": 3}]}`, "int?"},
		{`{"anyOf": [{"type": "integer"}]}`, "int"},
		{`{"type": "array", "items": {"type": "array", "items": {"type": "number"}}}`, "list<list<float>>"},
		{`{"type": "object", "additionalProperties": {"type": "string"}}`, "map<string>"},
		{`{"type": "object", "properties": {}, "additionalProperties": false}`, "row<>"},
		{`{"type": "string", "enum": ["a"], "pattern": "^a", "title": "A"}`, "string"},
	}
	for _, tt := range tests {
		var problems diag.List
		typ, ok := ParseSchema(read(t, tt.schema), &problems)
		if !ok || typ.String() != tt.want || len(problems.Problems) > 0 {
			t.Errorf("%s: got %s, %v, %s; want %s", tt.schema, typ, ok, lines(&problems), tt.want)
		}
	}
}

func TestParseSchemaProblems(t *testing.T) {
	tests := []struct{ schema, want string }{
		{`{"type": "strin"}`, `1:10: no type is named "strin" [LT0401] (Did you mean "string"?)`},
		{`{}`, `1:1: wanted a schema with a "type", found none [LT0401] (Types: boolean, integer, number, string, bytes, array, object.)`},
		{`{"type": "array"}`, `1:1: the schema of an array needs "items", which is not given [LT0401] (Say {type: array, items: {type: string}}.)`},
		{`{"type": ["string", "integer"]}`, `1:10: a column has one type, found "string" and "integer" [LT0401] (Only "null" may stand beside a type: [string, "null"].)`},
		{`{"type": ["null"]}`, `1:10: wanted a type beside "null", found none [LT0401]`},
		{`{"type": 3}`, `1:10: wanted the name of a type, found a number [LT0401]`},
		{`[1]`, `1:1: wanted a JSON schema, as {type: string}, found a list [LT0401]`},
		{`{"type": "string", "allOf": []}`, `1:20: the keyword "allOf" of JSON schema is not supported [LT0110]`},
		{`{"type": "string", "minLenght": 3}`, `1:20: warning: JSON schema has no keyword "minLenght": it is ignored [LT0103] (Did you mean "minLength"?)`},
		{`{"type": "object", "properties": {"a": {"type": "x"}}, "required": ["zebra"]}`, `
1:49: no type is named "x" [LT0401] (Known types: array, boolean, bytes, integer, number, object, string.)
1:69: "zebra" is required and is no property of the schema [LT0401]`},
		{`{"oneOf": [{"type": "string"}, {"type": "integer"}]}`, `1:32: a column has one type: "oneOf" may hold one schema beside {type: "null"} [LT0401]`},
		{`{"type": "string", "pattern": "a(?=b)", "minLength": "x", "enum": 3, "uniqueItems": 1}`, `
1:31: the pattern cannot be understood: invalid or unsupported Perl syntax: ` + "`(?=`" + ` [LT0401] (Patterns are RE2: they look neither ahead nor behind, and refer to no group.)
1:54: wanted a number for "minLength", found a string [LT0401]
1:67: wanted a list of values for "enum", found a number [LT0401]
1:85: wanted true or false for "uniqueItems", found a number [LT0401]`},
		{`{"oneOf": []}`, `1:2: wanted a list of schemas for "oneOf", found 0 that say nothing [LT0401]`},
		{`{"type": "object"}`, `1:1: the schema of an object needs "properties", or "additionalProperties" with a schema [LT0401] (A row is {type: object, properties: {a: {type: string}}}, a map {type: object, additionalProperties: {type: string}}.)`},
	}
	for _, tt := range tests {
		var problems diag.List
		_, ok := ParseSchema(read(t, tt.schema), &problems)
		compare(t, tt.schema, lines(&problems), tt.want)
		if ok == problems.Failed() {
			t.Errorf("%s: ok is %v", tt.schema, ok)
		}
	}
}

func TestParseSchemaDeep(t *testing.T) {
	v := &Value{Data: "string"}
	for range 2 * maxSchemaDepth {
		v = &Value{Data: &Map{Entries: []Entry{{Key: "type", Value: &Value{Data: "array"}}, {Key: "items", Value: v}}}}
	}
	var problems diag.List
	if _, ok := ParseSchema(v, &problems); ok || len(problems.Problems) != 1 {
		t.Errorf("a deep schema gave %s", lines(&problems))
	}
}

func TestOutputTypeAllowsNullOnlyWhereItSaysSo(t *testing.T) {
	const schema = `{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}}}`
	var problems diag.List
	got, ok := parseOutputType(read(t, schema), &problems)
	want := column.RowOf(column.Schema{{Name: "a", Type: column.IntType}, {Name: "b", Type: column.StringType.OrNull()}})
	if !ok || !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNeedsSchema(t *testing.T) {
	tests := map[string]bool{
		`{"type": "string"}`: false,
		`{"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}}`:                             true,
		`{"type": "object", "properties": {}, "additionalProperties": false}`:                                    true,
		`{"type": "array", "items": {"enum": [1]}}`:                                                              true,
		`{"oneOf": [{"type": "null"}, {"type": "string", "maxLength": 3}]}`:                                      true,
		`{"type": "object", "properties": {"a": {"type": "integer", "description": "x"}}, "required": ["a"]}`:    false,
		`{"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string", "const": 1}}}`: true,
	}
	for schema, want := range tests {
		if got := NeedsSchema(read(t, schema).Plain()); got != want {
			t.Errorf("%s: got %v", schema, got)
		}
	}
}

func TestParseWindowing(t *testing.T) {
	tests := []struct{ windowing, want string }{
		{`{"type": "global"}`, "global"},
		{`{"type": "fixed", "size": 60}`, "fixed(1m)"},
		{`{"type": "fixed", "size": "1d"}`, "fixed(1d)"},
		{`{"type": "fixed", "size": 0.1}`, "fixed(100ms)"},
		{`{"type": "fixed", "size": "0.3s"}`, "fixed(300ms)"},
		{`{"type": "fixed", "size": "10s", "offset": "-3s"}`, "fixed(10s offset 7s)"},
		{`{"type": "fixed", "size": "10s", "offset": "23s"}`, "fixed(10s offset 3s)"},
		{`{"type": "sliding", "size": "1m", "period": "10s"}`, "sliding(1m every 10s)"},
		{`{"type": "sessions", "gap": "1.5h"}`, "sessions(90m)"},
		{`{"type": "fixed", "size": "10s", "allowed_lateness": "1m", "accumulation": "accumulating", "trigger": {"early": {"delay": "1s"}, "late": {"count": 5}}}`,
			"fixed(10s), lateness 1m, early after 1s, late after 5 rows, accumulating"},
		{`{"type": "global", "trigger": {"count": 3, "delay": 2}}`, "global, early after 3 rows, early after 2s"},
		{`"{\"type\": \"fixed\", \"size\": \"250ms\"}"`, "fixed(250ms)"},
	}
	for _, tt := range tests {
		var problems diag.List
		w, ok := ParseWindowing(read(t, tt.windowing), &problems)
		if !ok || w.String() != tt.want || len(problems.Problems) > 0 {
			t.Errorf("%s: got %s, %v, %s; want %s", tt.windowing, w, ok, lines(&problems), tt.want)
		}
	}
}

func TestParseWindowingProblems(t *testing.T) {
	const hint = "(Write a number with one of the units ms, s, m, h, d; without a unit it is seconds.)"
	tests := []struct{ windowing, want string }{
		{`{}`, `1:1: a windowing needs "type", which is not given [LT0105] (Types of windowing: global, fixed, sliding, sessions.)`},
		{`{"type": null}`, `1:1: a windowing needs "type", which is not given [LT0105] (Types of windowing: global, fixed, sliding, sessions.)`},
		{`{"type": "fixd"}`, `1:10: no type of windowing is named "fixd" [LT0501] (Did you mean "fixed"?)`},
		{`{"type": "fixed", "sise": "1s"}`, `
1:1: windowing of type "fixed" needs "size", which is not given [LT0105]
1:19: windowing of type "fixed" has no key "sise" [LT0103] (Did you mean "size"?)`},
		{`{"type": "sessions", "gap": "1s", "size": 3}`, `1:35: windowing of type "sessions" has no key "size" [LT0103] (It has gap.)`},
		{`{"type": "fixed", "size": "0s"}`, `1:27: "size" must be longer than zero, found 0s [LT0502]`},
		{`{"type": "sliding", "size": "1m", "period": -1}`, `1:45: "period" must be longer than zero, found -1 [LT0502]`},
		{`{"type": "fixed", "size": "1y"}`, `1:27: "size": wanted a duration, found "1y", whose unit "y" is unknown [LT0502] ` + hint},
		{`{"type": "fixed", "size": "ms"}`, `1:27: "size": wanted a duration, found "ms" [LT0502] ` + hint},
		{`{"type": "fixed", "size": ""}`, `1:27: "size": wanted a duration, found "" [LT0502] ` + hint},
		{`{"type": "fixed", "size": [1]}`, `1:27: "size": wanted a duration, found a list [LT0502] ` + hint},
		{`{"type": "fixed", "size": "1.0005s"}`, `1:27: "size": the duration 1.0005s is no whole number of milliseconds [LT0502] ` + hint},
		{`{"type": "fixed", "size": 1e300}`, `1:27: "size": the duration 1e+300 is too long [LT0502] ` + hint},
		{`{"type": "sliding", "size": "30d", "period": "1ms"}`, `1:46: each row would be in 2592000000 windows, at most 100000 are allowed [LT0501] (Make the period longer.)`},
		{`{"type": "sliding", "size": "1s", "period": "2s"}`, `1:45: warning: the period is longer than the size: rows between two windows are in none and are dropped [LT0501]`},
		{`{"type": "global", "trigger": "x"}`, `1:31: wanted a trigger, as {early: {delay: 1s}}, found a string [LT0501]`},
		{`{"type": "global", "trigger": {"delai": 1}}`, `1:32: a trigger of the global window has no key "delai" [LT0103] (It has delay and count.)`},
		{`{"type": "fixed", "size": 1, "accumulation": "all"}`, `1:46: no accumulation is named "all" [LT0501] (Known modes: accumulating, discarding.)`},
		{`{"type": "fixed", "size": 1, "accumulation_mode": "discarding"}`, `1:30: "accumulation_mode" of a windowing cannot be given [LT0110] (It is called "accumulation" here.)`},
		{`{"type": "fixed", "size": 1, "trigger": {"late": {"count": 0}}}`, `1:60: wanted a whole number of at least 1 for "count", found 0 [LT0501]`},
		{`"fixed"`, `1:1: a windowing that is a string must be JSON, found "fixed" [LT0501] (Write it without quotes, as a map: {type: fixed, size: 10s}.)`},
		{`3`, `1:1: wanted a windowing, as {type: fixed, size: 10s}, found a number [LT0501]`},
	}
	for _, tt := range tests {
		var problems diag.List
		_, ok := ParseWindowing(read(t, tt.windowing), &problems)
		compare(t, tt.windowing, lines(&problems), tt.want)
		if ok == problems.Failed() {
			t.Errorf("%s: ok is %v", tt.windowing, ok)
		}
	}
}

func FuzzParseLength(f *testing.F) {
	for _, s := range []string{"10s", "1.5h", "-3", "1e3ms", "d", "", "0x10s", "1e-999999", "١s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ms, problem := parseLengthText(text)
		if problem == "" && (ms > maxLength || ms < -maxLength) {
			t.Errorf("%q gave %d ms", text, ms)
		}
	})
}

func FuzzParseWindowing(f *testing.F) {
	f.Add(`{"type": "fixed", "size": "10s"}`)
	f.Add(`{"type": "sliding", "size": 60, "period": 0.5, "offset": "1d"}`)
	f.Fuzz(func(t *testing.T, text string) {
		v := &Value{Data: text, Span: diag.SpanAt(diag.Place{File: "f", Line: 1, Col: 1})}
		var problems diag.List
		w, ok := ParseWindowing(v, &problems)
		if ok == problems.Failed() {
			t.Errorf("%q: ok is %v", text, ok)
		}
		if ok && (w.Size < 0 || w.Period < 0 || w.Gap < 0 || w.Offset < 0) {
			t.Errorf("%q gave %s", text, w)
		}
	})
}

func TestExplain(t *testing.T) {
	tr := &Transform{Name: "T", Summary: "Does it.", Doc: "\nAll of it.\n", Source: "https://example.org", Example: "\npipeline: x\n", Errors: true,
		Languages: []string{"generic"},
		Fields: []Field{
			{Name: "a", Type: TextList, Required: true, Doc: "The a."},
			{Name: "level", Type: Text, Enum: []string{"x", "y"}, Default: "x", Doc: "The level."},
		}}
	compare(t, "text", strings.TrimSpace(Explain(tr)), `
T: Does it.

All of it.

Config:
  a               string or list of strings; required
                    The a.
  level           string, one of x, y; default: x
                    The level.
  language        string, one of generic; default: generic
                    The language of the expressions.
  error_handling  map
                    {output: NAME} sends rows that fail to that output, instead of failing the job.

Inputs: one
Defined by: https://example.org

Example:

  pipeline: x`)
	if md := ExplainMarkdown(tr); !strings.Contains(md, "| `level` | string, one of x, y; default: x | The level. |") {
		t.Errorf("Markdown:\n%s", md)
	}
}
