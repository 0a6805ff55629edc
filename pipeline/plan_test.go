package pipeline_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/pipeline"
	"github.com/leat-project/leat/plan"
)

// TestPlans compiles every file of testdata/plan and compares the printed plan with the file's .txt. -rewrite writes it.
func TestPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/plan: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			p := compile(t, file)
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *rewrite {
				if err := os.WriteFile(golden, []byte(p.Text()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Text(); got != string(want) {
				t.Errorf("the plan is\n%s\nwant\n%s", got, want)
			}
			checkInvariants(t, p)
		})
	}
}

// compile compiles a file that has no errors.
func compile(t *testing.T, file string) *plan.Plan {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, problems := pipeline.Compile(context.Background(), file, text, pipeline.Options{Vars: fileVars(string(text))})
	if p == nil {
		var b strings.Builder
		if err := diag.Render(&b, problems, false); err != nil {
			t.Fatal(err)
		}
		t.Fatal(b.String())
	}
	return p
}

// checkInvariants checks what package plan promises of every plan.
func checkInvariants(t *testing.T, p *plan.Plan) {
	t.Helper()
	for i, n := range p.Nodes {
		if n.ID != i {
			t.Errorf("node %d has ID %d", i, n.ID)
		}
		for _, in := range n.In {
			if in.Node >= i || in.Port >= len(p.Nodes[in.Node].Out) {
				t.Errorf("node %d reads %v", i, in)
			}
		}
		if n.Name == "" || n.Transform == "" || n.Place.Line == 0 {
			t.Errorf("node %d has no name, transform or place: %q %q %v", i, n.Name, n.Transform, n.Place)
		}
		if m, ok := n.Op.(*plan.Map); ok && len(m.Exprs) != len(n.Out[0].Schema) {
			t.Errorf("node %d maps %d expressions to %d fields", i, len(m.Exprs), len(n.Out[0].Schema))
		}
		if _, ok := n.Op.(*plan.Merge); ok {
			for _, in := range n.In {
				if !p.Port(in).Schema.Equal(n.Out[0].Schema) {
					t.Errorf("node %d merges %s into %s", i, p.Port(in).Schema, n.Out[0].Schema)
				}
			}
		}
	}
	if _, err := json.Marshal(p); err != nil {
		t.Errorf("the plan cannot be written as JSON: %v", err)
	}
}

// FuzzCompile: no file panics or is compiled into a plan that breaks its promises. Templates are left to the tests of
// their own: a template may run as long as its limits allow.
func FuzzCompile(f *testing.F) {
	for _, pattern := range []string{"testdata/check/*.yaml", "testdata/plan/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "{#") || strings.Contains(text, "ReadFrom") {
			t.Skip("templates and files are not fuzzed here")
		}
		p, problems := pipeline.Compile(context.Background(), "fuzz.yaml", []byte(text), pipeline.Options{})
		if (p == nil) != problems.Failed() {
			t.Fatalf("a plan %v, and problems %v", p != nil, problems.Problems)
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + 1
		for _, problem := range problems.Problems {
			if problem.Place.Line > lines {
				t.Errorf("a problem at line %d of %d", problem.Place.Line, lines)
			}
		}
		if p != nil {
			checkInvariants(t, p)
			_ = p.Text() + p.Dot() + p.Mermaid()
		}
	})
}
