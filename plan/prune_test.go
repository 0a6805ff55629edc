package plan

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

func fields(names string) column.Schema {
	s := column.Schema{}
	for name := range strings.SplitSeq(names, "") {
		s = append(s, column.Field{Name: name, Type: column.IntType})
	}
	return s
}

func field(name string) *expr.Expr {
	return expr.FieldRef(column.Field{Name: name, Type: column.IntType})
}

// neg may fail, so it is computed whether it is read or not.
func neg(name string) *expr.Expr {
	return &expr.Expr{Op: expr.OpUnary, Name: "-", Type: column.IntType, Args: []*expr.Expr{field(name)}}
}

// names are the fields of a port.
func names(p *Plan, r Ref) string { return strings.Join(p.Port(r).Schema.Names(), "") }

func TestPrune(t *testing.T) {
	agg := func(b *Builder, in Ref, key, value string) *Node {
		return b.Aggregate(in, []string{key}, []Agg{{Name: "n", Fn: "sum", Arg: field(value), Type: column.IntType}})
	}
	tests := []struct {
		name  string
		build func(b *Builder, source *Node)
		want  string // the fields that the source, with fields a to f, reads in the end
	}{
		{"an aggregate reads its keys and arguments", func(b *Builder, s *Node) { agg(b, s.Main(), "b", "d") }, "bd"},
		{"a filter adds its own", func(b *Builder, s *Node) { agg(b, b.Filter(s.Main(), field("f")).Main(), "b", "b") }, "bf"},
		{"a sink reads all", func(b *Builder, s *Node) { b.Sink("S", nil, s.Main()) }, "abcdef"},
		{"nothing reads anything", func(*Builder, *Node) {}, ""},
		{"a node that nothing reads still runs", func(b *Builder, s *Node) { b.Filter(s.Main(), field("c")) }, "c"},
		{"a map drops fields that nothing reads and that cannot fail", func(b *Builder, s *Node) {
			m := b.Map(s.Main(), fields("xyz"), []*expr.Expr{field("a"), field("b"), neg("c")})
			agg(b, m.Main(), "x", "x")
		}, "ac"},
		{"an error output that is read keeps rows whole", func(b *Builder, s *Node) {
			f := b.Filter(s.Main(), field("c"))
			e, _ := f.Errors()
			b.Sink("S", nil, e)
		}, "abcdef"},
		{"a source's error output that is read keeps its fields", func(b *Builder, s *Node) {
			e, _ := s.Errors()
			b.Sink("S", nil, e)
			agg(b, s.Main(), "a", "b")
		}, "abcdef"},
		{"the whole row", func(b *Builder, s *Node) { b.Filter(s.Main(), &expr.Expr{Op: expr.OpRow}) }, "abcdef"},
		{"through route, window, time and explode", func(b *Builder, s *Node) {
			r := b.Route(s.Main(), field("a"), []string{"p", "q"}, -1)
			w := b.Window(r.Main(), Windowing{Kind: Fixed, Size: 1000})
			at := b.AssignTime(w.Main(), field("b"), nil)
			x := b.Explode(at.Main(), []string{"c"}, false, fields("abcdef"))
			agg(b, x.Main(), "d", "d")
		}, "abcd"},
		{"through a merge", func(b *Builder, s *Node) {
			other := b.Source("T", nil, fields("abcdef"), false)
			agg(b, b.Merge(s.Main(), other.Main()), "d", "f")
		}, "df"},
		{"a merge keeps its inputs alike", func(b *Builder, s *Node) {
			other := b.Source("T", nil, fields("abcdef"), false)
			b.Sink("S", nil, other.Main())
			agg(b, b.Merge(s.Main(), other.Main()), "d", "f")
		}, "abcdef"},
		{"a merge of a port and what is made of it", func(b *Builder, s *Node) {
			m := b.Merge(b.Filter(s.Main(), field("a")).Main(), s.Main())
			agg(b, m, "d", "d")
		}, "ad"},
		{"two readers", func(b *Builder, s *Node) { agg(b, s.Main(), "a", "b"); agg(b, s.Main(), "f", "b") }, "abf"},
		{"a call reads its argument", func(b *Builder, s *Node) { b.Call(s.Main(), "C", nil, field("e"), fields("z")) }, "e"},
	}
	for _, test := range tests {
		b := NewBuilder("test")
		s := b.Source("S", nil, fields("abcdef"), false)
		test.build(b, s)
		Prune(b.Plan)
		if got := names(b.Plan, s.Main()); got != test.want {
			t.Errorf("%s: the source reads %q, want %q", test.name, got, test.want)
		}
		checkPlan(t, b.Plan)
		before := b.Plan.Text()
		Prune(b.Plan)
		if after := b.Plan.Text(); after != before {
			t.Errorf("%s: pruning again changes\n%s to\n%s", test.name, before, after)
		}
		if _, err := json.Marshal(b.Plan); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// checkPlan compares the schemas of ports with each other.
func checkPlan(t *testing.T, p *Plan) {
	t.Helper()
	for _, n := range p.Nodes {
		switch op := n.Op.(type) {
		case *Map:
			if len(op.Exprs) != len(n.Out[0].Schema) {
				t.Errorf("node %d: %d expressions for %s", n.ID, len(op.Exprs), n.Out[0].Schema)
			}
		case *Filter, *Window, *AssignTime, *Route:
			if in := p.Port(n.In[0]).Schema; !in.Equal(n.Out[0].Schema) {
				t.Errorf("node %d: passes %s on as %s", n.ID, in, n.Out[0].Schema)
			}
		case *Merge:
			for _, in := range n.In {
				if !p.Port(in).Schema.Equal(n.Out[0].Schema) {
					t.Errorf("node %d: merges %s into %s", n.ID, p.Port(in).Schema, n.Out[0].Schema)
				}
			}
		}
		if e, ok := n.Errors(); ok && len(n.In) > 0 {
			if got := p.Port(e).Schema[0].Type.Fields; !got.Equal(p.Port(n.In[0]).Schema) {
				t.Errorf("node %d: errors hold %s, want %s", n.ID, got, p.Port(n.In[0]).Schema)
			}
		}
	}
}

func TestDotAndMermaidQuote(t *testing.T) {
	b := NewBuilder(`a "plan"`)
	b.At = Meta{Name: `quo"te <b> #`}
	s := b.Source("S", map[string]any{"path": `a"b\c`}, fields("a"), false)
	b.Sink("T", nil, s.Main())
	if dot := b.Plan.Dot(); !strings.Contains(dot, `quo\"te <b> #`) || !strings.Contains(dot, `digraph "a \"plan\""`) {
		t.Errorf("Dot does not quote:\n%s", dot)
	}
	if m := b.Plan.Mermaid(); strings.Contains(m, "<b> #") || !strings.Contains(m, "quo&quot;te &lt;b&gt; &num;") {
		t.Errorf("Mermaid does not quote:\n%s", m)
	}
}
