package transform_test

import (
	"cmp"
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	_ "github.com/leat-project/leat/connector/all"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer/infertest"
	"github.com/leat-project/leat/pipeline"
	"github.com/leat-project/leat/plan"
)

// TestExamples runs the example of every transform: it gives the rows that it says, at any batch size and parallelism.
// All run in one folder, and those that write first, for others read what they have written.
func TestExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("in.json", []byte("{\"n\": 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	names := slices.DeleteFunc(catalog.Names(), func(name string) bool { return name == "capture" })
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			example := catalog.LookUp(name).Example
			if strings.Contains(example, "# Needs") {
				t.Skip("it needs a server, or does not end: the connector's own tests run it")
			}
			want, compared := expectedRows(example)
			for _, o := range []engine.Options{{Parallelism: 1, BatchRows: 1}, {Parallelism: 4, BatchRows: 4096}} {
				if strings.Contains(example, "RunInference") {
					o.Models = infertest.Opener(t)
				}
				if !compared {
					if _, err := engine.Run(context.Background(), compile(t, example), o); err != nil {
						t.Error(err)
					}
					continue
				}
				if got := run(t, example, o); !slices.Equal(got, want) {
					t.Errorf("rows of the example at parallelism %d\n got: %s\nwant: %s", o.Parallelism, strings.Join(got, "\n      "),
						strings.Join(want, "\n      "))
				}
			}
		})
	}
}

func rank(name string) int {
	if strings.HasPrefix(name, "WriteTo") {
		return 0
	}
	return 1
}

// expectedRows are the rows under "# Expected:", sorted, and whether there is such a line.
func expectedRows(example string) (rows []string, ok bool) {
	_, after, ok := strings.Cut(example, "# Expected:")
	for line := range strings.Lines(after) {
		if row := strings.TrimSpace(strings.TrimPrefix(line, "#")); row != "" {
			rows = append(rows, row)
		}
	}
	slices.Sort(rows)
	return rows, ok
}

// compile compiles a pipeline that has no problems.
func compile(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, problems := pipeline.Compile(context.Background(), "test.yaml", []byte(text), pipeline.Options{Name: "test", Vars: map[string]any{"tmp": "."}})
	if problems.Failed() {
		t.Fatalf("the pipeline has problems:\n%s", problemLines(problems))
	}
	return p
}

func problemLines(problems *diag.List) string {
	var out []string
	for _, p := range problems.Problems {
		s := p.Error()
		if p.Hint != "" {
			s += " (" + p.Hint + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

// run runs a pipeline and returns the rows of its last transform, sorted; none where that has no output.
func run(t *testing.T, text string, o engine.Options) []string {
	t.Helper()
	rows := &captured{}
	p := compile(t, capturing(text))
	for _, n := range p.Nodes {
		if op, ok := n.Op.(*plan.Sink); ok && op.Connector == "capture" {
			op.Config = map[string]any{"to": rows}
		}
	}
	if _, err := engine.Run(context.Background(), p, o); err != nil {
		t.Fatalf("run: %v", err)
	}
	slices.Sort(rows.rows)
	return rows.rows
}

// capturing returns the pipeline with a transform at its end that keeps the rows of the last one.
func capturing(text string) string {
	text, _, _ = strings.Cut(text, "# Expected:")
	text = strings.TrimRight(text, "\n") + "\n    - type: capture\n"
	if strings.Contains(text, "  type: chain\n") {
		return text
	}
	last := transformLine.FindAllStringSubmatch(text, -1)
	name := last[len(last)-2]
	return text + "      input: " + name[1] + name[2] + "\n"
}

// transformLine is the first line of a transform, with its name where that stands on it, and else its type.
var transformLine = regexp.MustCompile(`(?m)^ +- \{?type: (?:\w+, name: (\w+)|(\w+))`)

// captured is a sink that keeps its rows as text.
type captured struct {
	mu     sync.Mutex
	rows   []string
	schema column.Schema
}

var _ = catalog.AddTransform(catalog.Transform{Name: "capture", Summary: "Keeps rows for a test.", Example: "none",
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		l.Builder.Sink("capture", nil, l.Main())
		return catalog.Outputs{}
	}})

var _ = catalog.AddConnector(catalog.Connector{Name: "capture",
	Sink: func(config map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) {
		return config["to"].(*captured), nil
	}})

func (c *captured) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	c.schema = schema
	return c, nil
}

func (c *captured) NewEncoder() catalog.Encoder                     { return c }
func (c *captured) Commit(context.Context) (catalog.Written, error) { return catalog.Written{}, nil }
func (c *captured) Abort() error                                    { return nil }
func (c *captured) Flush(context.Context) error                     { return nil }
func (c *captured) Write(_ context.Context, b *column.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.Each(func(i int) {
		r := &column.RowValue{Names: c.schema.Names(), Elems: make([]column.Value, len(b.Cols))}
		for f, v := range b.Cols {
			r.Elems[f] = v.Value(i)
		}
		c.rows = append(c.rows, expr.Repr(r))
	})
	return nil
}
