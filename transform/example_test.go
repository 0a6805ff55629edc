package transform_test

import (
	"cmp"
	"context"
	"os"
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
	names := catalog.Names()
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			example := catalog.LookUp(name).Example
			want, compared := expectedRows(example)
			for _, o := range []engine.Options{{Parallelism: 1, BatchRows: 1}, {Parallelism: 4, BatchRows: 4096}} {
				got := run(t, example, o)
				if compared && !slices.Equal(got, want) {
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

// run runs a pipeline and returns its result, sorted: the rows of the last output that nothing reads, or
// where all are read of the last output that there is.
func run(t *testing.T, text string, o engine.Options) []string {
	t.Helper()
	p := compile(t, text)
	rows := capture(p)
	if _, err := engine.Run(context.Background(), p, o); err != nil {
		t.Fatalf("run: %v", err)
	}
	slices.Sort(rows.rows)
	return rows.rows
}

// capture adds a sink that keeps the result's rows.
func capture(p *plan.Plan) *captured {
	c := &captured{}
	result, found, dangling := plan.Ref{}, false, false
	for _, n := range p.Nodes {
		for i, port := range n.Out {
			ref := plan.Ref{Node: n.ID, Port: i}
			free := len(p.Consumers(ref)) == 0
			if port.Name != plan.ErrorsPort && (free || !dangling) {
				result, found, dangling = ref, true, dangling || free
			}
		}
	}
	if found {
		b := plan.Builder{Plan: p, At: plan.Meta{Name: "capture", Transform: "capture"}}
		b.Sink("capture", map[string]any{"to": c}, result)
	}
	return c
}

// captured is a sink that keeps its rows as text.
type captured struct {
	mu    sync.Mutex
	rows  []string
	names []string
}

var _ = catalog.AddConnector(catalog.Connector{Name: "capture",
	Sink: func(config map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) {
		return config["to"].(*captured), nil
	}})

func (c *captured) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	c.names = schema.Names()
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
		r := &column.RowValue{Names: c.names, Elems: make([]column.Value, len(b.Cols))}
		for f, v := range b.Cols {
			r.Elems[f] = v.Value(i)
		}
		c.rows = append(c.rows, expr.Repr(r))
	})
	return nil
}
