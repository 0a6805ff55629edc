package expr

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

var problemSchema = column.Schema{
	{Name: "age", Type: column.IntType}, {Name: "name", Type: column.StringType}, {Name: "score", Type: column.FloatType.OrNull()},
	{Name: "tags", Type: column.ListOf(column.StringType)}, {Name: "my field", Type: column.IntType}, {Name: "sum", Type: column.IntType},
	{Name: "d", Type: column.RowOf(column.Schema{{Name: "x", Type: column.IntType}})}, {Name: "any", Type: column.AnyType},
	{Name: "m", Type: column.MapOf(column.IntType)}, {Name: "raw", Type: column.BytesType},
}

func describe(problems *diag.List) string {
	var out []string
	for _, p := range problems.Problems {
		s := fmt.Sprintf("%d+%d %s %s", p.Place.Col, p.Place.Len, p.Code, p.Text)
		if p.Warning {
			s = "warning " + s
		}
		if p.Hint != "" {
			s += " | " + p.Hint
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

// TestProblems holds what is wrong with expressions, column and length of the place included.
func TestProblems(t *testing.T) {
	text, err := os.ReadFile("testdata/problems.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		line, want, _ := strings.Cut(block, "\n")
		kind, body, _ := strings.Cut(line, ": ")
		problems := &diag.List{}
		src := source(body)
		var e *Expr
		switch kind {
		case "python":
			e = ParsePython(src, problems)
		case "callable":
			e = ParseCallable(src, problems)
		case "generic":
			e = ParseGeneric(src, problemSchema, problems)
		default:
			t.Fatalf("no such kind: %s", line)
		}
		got := ""
		if e != nil && Check(e, src, problemSchema, problems) {
			got = "ok " + e.Type.String()
		}
		got = strings.TrimSpace(got + "\n" + describe(problems))
		if got != want {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", line, got, want)
		}
		out.WriteString(line + "\n" + got + "\n\n")
	}
	if os.Getenv("LEAT_REWRITE") != "" {
		if err := os.WriteFile("testdata/problems.txt", []byte(strings.TrimSpace(out.String())+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
