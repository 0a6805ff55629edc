package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
)

// maxDetail limits the characters of what a node does, in a printed plan.
const maxDetail = 100

// Text prints the plan for people: a line for each node with what it reads, does, and where it stands in the file, and
// under it a line for each output whose rows are of another kind than the input's, or that is not the main one.
func (p *Plan) Text() string {
	rows := make([][]string, len(p.Nodes))
	for i, n := range p.Nodes {
		rows[i] = []string{fmt.Sprintf("#%d", n.ID), n.Op.Kind(), n.Name, n.inputs(), n.detail(p)}
	}
	widths := make([]int, 5)
	for _, row := range rows {
		for i, cell := range row[:4] {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "plan %q", p.Name)
	if len(p.Options) > 0 {
		fmt.Fprintf(&b, ", options %s", compact(p.Options))
	}
	b.WriteString("\n\n")
	for i, n := range p.Nodes {
		var line strings.Builder
		for c, cell := range rows[i] {
			line.WriteString(cell)
			if c < 4 {
				line.WriteString(strings.Repeat(" ", widths[c]-utf8.RuneCountInString(cell)+2))
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n.Place.Line > 0 {
			text += fmt.Sprintf("  (line %d)", n.Place.Line)
		}
		b.WriteString(text + "\n")
		p.ports(&b, n, widths)
	}
	return b.String()
}

// ports prints the outputs of a node that have something to tell.
func (p *Plan) ports(b *strings.Builder, n *Node, widths []int) {
	for i := range n.Out {
		port, ref := &n.Out[i], Ref{Node: n.ID, Port: i}
		readers := p.Consumers(ref)
		if (port.Name == ErrorsPort || port.Name == LatePort) && len(readers) == 0 {
			continue
		}
		if i == 0 && len(n.Out) <= 3 && port.Name == MainPort && len(n.In) > 0 {
			in := p.Port(n.In[0])
			if in.Schema.Equal(port.Schema) && in.Window == port.Window {
				continue
			}
		}
		what := port.Schema.String()
		if len(port.Schema) == 0 {
			what = "no fields"
		}
		if port.Window.Kind != Global {
			what += "  in " + port.Window.String()
		}
		if port.Name != MainPort {
			what += to(readers)
		}
		fmt.Fprintf(b, "%s%s: %s\n", strings.Repeat(" ", widths[0]+2+widths[1]+2), port.Name, what)
	}
}

// to names the readers of a port.
func to(readers []*Node) string {
	if len(readers) == 0 {
		return "  → nowhere"
	}
	ids := make([]string, len(readers))
	for i, n := range readers {
		ids[i] = fmt.Sprintf("#%d", n.ID)
	}
	return "  → " + strings.Join(slices.Compact(ids), ", ")
}

// inputs names what n reads: "← #1, #3".
func (n *Node) inputs() string {
	if len(n.In) == 0 {
		return ""
	}
	ids := make([]string, len(n.In))
	for i, in := range n.In {
		ids[i] = fmt.Sprintf("#%d", in.Node)
		if in.Port > 0 {
			ids[i] += "." + strconv.Itoa(in.Port)
		}
	}
	return "← " + strings.Join(ids, ", ")
}

// detail says what a node does, on one line.
func (n *Node) detail(p *Plan) string {
	s := n.does(p)
	if n.Threshold != nil {
		s += fmt.Sprintf("; fails when more than %g of the rows do", *n.Threshold)
	}
	return short(s)
}

func (n *Node) does(p *Plan) string {
	switch op := n.Op.(type) {
	case *Source:
		return op.Connector + " " + compact(op.Config)
	case *Sink:
		return op.Connector + " " + compact(op.Config)
	case *Map:
		var in column.Schema
		if len(n.In) > 0 {
			in = p.Port(n.In[0]).Schema
		}
		return op.text(n.Out[0].Schema, in)
	case *Filter:
		return exprText(op.Keep)
	case *Explode:
		if op.Cross {
			return strings.Join(op.Fields, " × ")
		}
		return strings.Join(op.Fields, ", ")
	case *Route:
		return "by " + exprText(op.By)
	case *AssignTime:
		return op.text()
	case *Ordered:
		return op.text()
	case *Window:
		return op.Windowing.String()
	case *Aggregate:
		return op.text()
	case *Call:
		return op.Connector + "(" + exprText(op.Arg) + ")"
	case *Infer:
		return op.text()
	}
	return ""
}

// text prints an assignment of time.
func (op *AssignTime) text() string {
	s := "the time that rows have"
	if op.Time != nil {
		s = exprText(op.Time)
	}
	w := op.Watermark
	if w == nil {
		return s
	}
	s += ", disorder " + millis(w.Disorder)
	if w.Per != "" {
		s += " per " + w.Per
	}
	if w.Future > 0 {
		s += ", future " + millis(w.Future)
	}
	return s + ", idle " + millis(w.Idle)
}

// text prints a function with a state.
func (op *Ordered) text() string {
	args := make([]string, len(op.Args))
	for i, e := range op.Args {
		args[i] = exprText(e)
	}
	s := op.Tag + " = " + op.Fn + "(" + strings.Join(args, ", ") + ")"
	if len(op.Keys) > 0 {
		s += " by " + strings.Join(op.Keys, ", ")
	}
	if op.Gap > 0 {
		s += ", gap " + millis(op.Gap)
	}
	return s
}

// text prints a prediction: the task, the model, and what feeds it.
func (op *Infer) text() string {
	inputs := make([]string, 0, len(op.Inputs))
	for _, e := range op.Inputs {
		if e != nil {
			inputs = append(inputs, exprText(e))
		}
	}
	s := op.Tag + " = " + op.Task + " " + op.Model + "(" + strings.Join(inputs, ", ") + ")"
	if op.Ordered {
		s += " by " + strings.Join(append([]string{}, op.Keys...), ", ")
	}
	return s
}

// text prints a map: "*" for fields that are passed on under their names.
func (m *Map) text(out, in column.Schema) string {
	var parts []string
	passed := 0
	for i, e := range m.Exprs {
		s, name := exprText(e), out[i].Name
		if s == name && in.Index(name) >= 0 {
			passed++
			continue
		}
		parts = append(parts, name+" = "+s)
	}
	if passed > 0 && passed == len(in) {
		return strings.Join(append([]string{"*"}, parts...), ", ")
	}
	parts = nil
	for i, e := range m.Exprs {
		s, name := exprText(e), out[i].Name
		if s != name {
			s = name + " = " + s
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func (a *Aggregate) text() string {
	parts := make([]string, len(a.Aggs))
	for i, g := range a.Aggs {
		parts[i] = g.Name + " = " + g.Fn + "(" + exprText(g.Arg) + ")"
	}
	s := strings.Join(parts, ", ")
	if len(a.Keys) > 0 {
		s += " by " + strings.Join(a.Keys, ", ")
	}
	return s
}

// compact prints configuration on one line, keys sorted.
func compact(config map[string]any) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(config)) {
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(k + "=" + compactValue(config[k]))
		if b.Len() > 4*maxDetail {
			break
		}
	}
	return short(b.String())
}

func compactValue(v any) string {
	switch v := v.(type) {
	case []any:
		if len(v) > 3 {
			return fmt.Sprintf("[%d values]", len(v))
		}
	case column.Type:
		return v.String()
	}
	text, err := json.Marshal(configJSON(v))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// short cuts a text to a line of at most maxDetail characters.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > maxDetail {
		s = string([]rune(s)[:maxDetail-1]) + "…"
	}
	return s
}

// Dot prints the plan in the language of Graphviz.
func (p *Plan) Dot() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=\"Helvetica\"];\n  edge [fontname=\"Helvetica\", fontsize=10];\n", p.Name)
	for _, n := range p.Nodes {
		shape := ""
		switch n.Op.(type) {
		case *Source, *Sink:
			shape = ", shape=cylinder"
		case *Aggregate:
			shape = ", shape=box3d"
		}
		label := n.Name + "\n" + n.Op.Kind() + "\n" + wrap(n.detail(p), 40)
		fmt.Fprintf(&b, "  n%d [label=%s%s];\n", n.ID, dotString(label), shape)
	}
	p.edges(func(from, to int, label string, errors bool) {
		style := ""
		if errors {
			style = ", style=dashed, color=red"
		}
		fmt.Fprintf(&b, "  n%d -> n%d [label=%s%s];\n", from, to, dotString(label), style)
	})
	b.WriteString("}\n")
	return b.String()
}

// Mermaid prints the plan as a Mermaid flow chart, as Markdown pages show it.
func (p *Plan) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	for _, n := range p.Nodes {
		label := "<b>" + mermaidText(n.Name) + "</b><br/>" + n.Op.Kind() + "<br/>" + strings.ReplaceAll(mermaidText(wrap(n.detail(p), 40)), "\n", "<br/>")
		open, shut := "[", "]"
		switch n.Op.(type) {
		case *Source, *Sink:
			open, shut = "[(", ")]"
		case *Aggregate:
			open, shut = "[[", "]]"
		}
		fmt.Fprintf(&b, "  n%d%s\"%s\"%s\n", n.ID, open, label, shut)
	}
	p.edges(func(from, to int, label string, errors bool) {
		arrow := "-->"
		if errors {
			arrow = "-.->"
		}
		if label == "" {
			fmt.Fprintf(&b, "  n%d %s n%d\n", from, arrow, to)
		} else {
			fmt.Fprintf(&b, "  n%d %s|\"%s\"| n%d\n", from, arrow, mermaidText(label), to)
		}
	})
	return b.String()
}

// edges calls f for each edge. label is the port's name but for a main one, and the windowing but for a global one.
func (p *Plan) edges(f func(from, to int, label string, errors bool)) {
	for _, n := range p.Nodes {
		for _, in := range n.In {
			port := p.Port(in)
			var label []string
			if port.Name != MainPort {
				label = append(label, port.Name)
			}
			if port.Window.Kind != Global {
				label = append(label, port.Window.String())
			}
			f(in.Node, n.ID, strings.Join(label, " "), port.Name == ErrorsPort)
		}
	}
}

func dotString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

func mermaidText(s string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;", "#", "&num;").Replace(s)
}

// wrap breaks a text at spaces into lines of about width characters.
func wrap(s string, width int) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(s) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+n+1 > width:
			b.WriteString("\n")
			at = 0
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// exprText prints an expression in its canonical form.
func exprText(e any) string { return fmt.Sprint(e) }
