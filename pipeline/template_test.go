package pipeline

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leat-project/leat/diag"
)

// TestTemplatePlaces: each letter of an expanded text leads to where it was written. An upper-case letter is text of the
// template, and occurs in it once; a lower-case one came out of a tag.
func TestTemplatePlaces(t *testing.T) {
	vars := map[string]any{"v": "value", "list": []any{"x", "y"}, "lines": "p\nq", "nothing": ""}
	tests := []string{
		"A {{ v }} B\nC",
		"{{ v }}A\n{{v}}{{ v }}B",
		"{% if true %}A{% else %}Q{% endif %} B",
		"{% for i in list %}\n  {{ i }}\n{% endfor %}\nA",
		"{%- for i in list -%}\n  {{- i -}}\n{%- endfor -%}\nA",
		"A\n\n  {{- v }}\nB {{ v -}}  C",
		"{# Q #}A{# Q\nQ #} B",
		"{% raw %}A {{ B }}{% endraw %} C",
		"{% macro m(x) %}[{{ x }}] {{ x }}{% endmacro %}A {{ m('z') }} B",
		"A: {{ lines }}\nB",
		"{% filter indent(4) %}A\nB\n{{ v }}{% endfilter %}C",
		"{% set s %}{{ v }}{% endset %}A {{ s }} B",
		"{% block b %}A {{ v }}{% endblock %}",
		"日本 A {{ v }} 日本 B",
		"A\r\nB {{ v }}\r\n C",
		"# {{ Q\n\n#\nA {{ v }}",
	}
	for _, text := range tests {
		var problems diag.List
		expanded, m, ok := expandTemplate(context.Background(), "f.yaml", text, vars, &problems)
		if !ok || m == nil {
			t.Errorf("%q: no map (%v)", text, problems.Problems)
			continue
		}
		lines := splitLines(text)
		for i, line := range splitLines(expanded) {
			for col, c := range []rune(line) {
				at, written, known := m.place(diag.Place{File: "x", Line: i + 1, Col: col + 1, Len: 1})
				upper, lower := c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z'
				if !upper && !lower {
					continue
				}
				if !known || written != upper || at.Line < 1 || at.Line > len(lines) {
					t.Errorf("%q: %q at %d:%d: known %v, written %v, place %v", text, c, i+1, col+1, known, written, at)
					continue
				}
				source := []rune(lines[at.Line-1])
				if upper && source[at.Col-1] != c || lower && !strings.HasPrefix(string(source[at.Col-1:]), "{{") {
					t.Errorf("%q: %q at %d:%d is placed at %v", text, c, i+1, col+1, at)
				}
			}
		}
	}
}

func TestTemplateWithoutMap(t *testing.T) {
	var problems diag.List
	expanded, m, ok := expandTemplate(context.Background(), "f.yaml", "{% set s %}abc{% endset %}{{ s | length }}", nil, &problems)
	if !ok || expanded != "3" || m != nil {
		t.Errorf("got %q, map %v, %v; want \"3\" without a map", expanded, m, ok)
	}
}

// TestTemplateFiles: files are found beside the pipeline, and places lead into them.
func TestTemplateFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("inc.yaml", "first\nINC {{ v }}\n")
	write("sub/base.yaml", "BASE\n{% block b %}none{% endblock %}\n")
	write("macros.yaml", "{% macro twice(x) %}M{{ x }}{{ x }}{% endmacro %}")
	write("loop.yaml", "{% include 'loop.yaml' %}")
	tests := []struct{ text, want, letter, file string }{
		{"{% include 'inc.yaml' %}", "first\nINC 7\n", "INC", "inc.yaml"},
		{"{% extends 'sub/base.yaml' %}{% block b %}OWN{% endblock %}", "BASE\nOWN\n", "BASE", "sub/base.yaml"},
		{"{% import 'macros.yaml' as m %}{{ m.twice(v) }}", "M77", "M", "macros.yaml"},
		{"{% from 'macros.yaml' import twice %}{{ twice(v) }}", "M77", "M", "macros.yaml"},
	}
	for _, test := range tests {
		var problems diag.List
		expanded, m, ok := expandTemplate(context.Background(), filepath.Join(dir, "main.yaml"), test.text, map[string]any{"v": 7}, &problems)
		if !ok || expanded != test.want || m == nil {
			t.Errorf("%s: %q, map %v, %v; want %q", test.text, expanded, m != nil, problems.Problems, test.want)
			continue
		}
		before, _, _ := strings.Cut(expanded, test.letter)
		line := strings.Count(before, "\n")
		col := utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:])
		at, written, _ := m.place(diag.Place{Line: line + 1, Col: col + 1})
		if at.File != filepath.Join(dir, test.file) || !written || !strings.HasPrefix(at.Text[at.Col-1:], test.letter) {
			t.Errorf("%s: %s is placed at %v (%v)", test.text, test.letter, at, written)
		}
	}
	var problems diag.List
	if _, _, ok := expandTemplate(context.Background(), filepath.Join(dir, "main.yaml"), "{% include 'loop.yaml' %}", nil, &problems); ok {
		t.Error("a file that includes itself expands")
	}
}

// TestTemplateFaults: what is wrong with a template has a place, and cannot hang or crash the program.
func TestTemplateFaults(t *testing.T) {
	vars := map[string]any{"x": 1, "field": "a", "m": map[string]any{"a": 1}}
	tests := []struct{ text, place, want string }{
		{"a: {{ nope }}", "f.yaml:1:7", `variable "nope" is not defined`},
		{"a: 1\nb: {{ x }} {{ feild }}", "f.yaml:2:15", `variable "feild" is not defined`},
		{"a: {{ x. }}", "f.yaml:1:10", "expected name or integer"},
		{"{{ m.b }}", "f.yaml:1:6", `has no "b"`},
		{"{{ x | nofilter }}", "f.yaml:1:8", `no template filter is named "nofilter"`},
		{"{% foo %}", "f.yaml:1:4", "foo"},
		{"{% include 'foo' %}", "f.yaml:1:12", `no file "foo"`},
		{"{{ datetime.now() }}", "f.yaml:1:4", `"datetime" is not defined`},
		{"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "f.yaml", "more than 50 deep"},
		{"{% block a %}{{ self.a() }}{% endblock %}", "f.yaml", "more than 50 deep"},
		{"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "f.yaml", "more than 50 deep"},
		{"{{ range(100000000) }}", "f.yaml:1", "more than 1000000 numbers"},
		{"{{ " + strings.Repeat("(", 5000) + " }}", "", ""},
		{"{{ " + strings.Repeat("not ", 5000) + "x }}", "", "more than 2000"},
		{strings.Repeat("{% if x %}", 30_000), "", "more than 20000 tags"},
		{"{% for i in range(1000) %}{% for j in range(10000) %}" + strings.Repeat("a", 10_000) + "{% endfor %}{% endfor %}", "", "more than 16777216 bytes"},
	}
	for _, test := range tests {
		var problems diag.List
		_, _, ok := expandTemplate(context.Background(), "f.yaml", test.text, vars, &problems)
		name := test.text[:min(len(test.text), 60)]
		if ok || len(problems.Problems) != 1 {
			t.Errorf("%s: expands, or has other problems: %v", name, problems.Problems)
			continue
		}
		p := problems.Problems[0]
		if test.place != "" && p.Place.String() != test.place || !strings.Contains(p.Text, test.want) || p.Code != diag.BadTemplate {
			t.Errorf("%s: %v; want %s: … %s", name, p, test.place, test.want)
		}
	}
}
