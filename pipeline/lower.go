package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// result is what a leaf has been lowered to.
type result struct {
	done  bool
	ok    bool
	names []string
	refs  []plan.Ref
	err   *plan.Ref // the error output, where error_handling names one
	late  *plan.Ref // the output "late", of what groups
}

// lower lowers all leaves, those that others read first.
func (c *compiler) lower() {
	for _, s := range c.leaves {
		c.lowerLeaf(s)
	}
}

// lowerLeaf adds the nodes of a leaf to the plan, after those that it reads. Where an input cannot be had, only the
// configuration and the syntax of its expressions are checked.
func (c *compiler) lowerLeaf(s *step) {
	if s.result.done {
		return
	}
	s.result.done = true
	if s.transform == nil {
		return
	}
	ok := c.ctx.Err() == nil && catalog.CheckConfig(s.transform, s.config, s.at, c.problems)
	if !ok && c.ctx.Err() != nil {
		c.problems.Errorf(diag.Place{File: c.file}, diag.BadFile, "checking was given up: %v", c.ctx.Err())
	}
	in, fed := c.inputsOf(s)
	if !fed || !ok || s.windowing != nil && !s.windowing.ok {
		catalog.CheckSyntax(s.transform, s.config, c.problems)
		return
	}
	c.at(s, "")
	before, from := errorCount(c.problems), len(c.builder.Plan.Nodes)
	if s.windowing != nil {
		for i := range in {
			in[i].Ref = c.window(s, in[i].Ref, in[i].Alias)
		}
	}
	c.at(s, "")
	config := s.config
	if config == nil {
		config = &catalog.Value{Place: s.at, Data: &catalog.Map{}}
	}
	l := &catalog.Lowering{Transform: s.transform, Name: s.path, Place: s.at, Config: config, In: in, Builder: c.builder,
		Problems: c.problems, Dir: dirOf(c.file), Context: c.ctx}
	out := s.transform.Lower(l)
	if errorCount(c.problems) > before {
		return
	}
	if s.schema != nil {
		if out, ok = c.outputSchema(s, out); !ok {
			return
		}
	}
	s.result.names, s.result.refs, s.result.late = out.Names, out.Refs, out.Late
	if s.handling != nil && !c.handleErrors(s, out, in, from) {
		return
	}
	if s.windowing != nil && len(s.inputs) == 0 {
		c.windowOutputs(s)
	}
	s.result.ok = true
}

func errorCount(problems *diag.List) int {
	n := 0
	for _, p := range problems.Problems {
		if !p.Warning {
			n++
		}
	}
	return n
}

// at sets where the nodes come from that are added next: s, or a part of it.
func (c *compiler) at(s *step, part string) {
	c.builder.At = plan.Meta{Name: s.path, Transform: s.typ, Place: s.at}
	if part != "" {
		c.builder.At.Name += "/" + part
		c.builder.At.Transform, _, _ = strings.Cut(part, "[")
	}
}

func (c *compiler) window(s *step, ref plan.Ref, what string) plan.Ref {
	c.at(s, "WindowInto["+what+"]")
	return c.builder.Window(ref, s.windowing.Windowing).Main()
}

// windowOutputs windows the outputs of a leaf without inputs.
func (c *compiler) windowOutputs(s *step) {
	refs := slices.Clone(s.result.refs)
	for i := range refs {
		refs[i] = c.window(s, refs[i], s.result.names[i])
	}
	s.result.refs = refs
	if s.result.err != nil {
		ref := c.window(s, *s.result.err, s.handling.output)
		s.result.err = &ref
	}
}

// inputsOf returns the inputs of a leaf; ok is false where one cannot be had.
func (c *compiler) inputsOf(s *step) (in []catalog.Input, ok bool) {
	ok = true
	for _, i := range s.inputs {
		if s.transform.Inputs == catalog.ManyInputs && i.flat {
			for k, r := range i.refs {
				ref, known := c.follow(r)
				ok = ok && known
				in = append(in, catalog.Input{Alias: fmt.Sprintf("%s%d", i.alias, k), Ref: ref})
			}
			continue
		}
		ref, known := c.lowerInput(i, s)
		ok = ok && known
		in = append(in, catalog.Input{Alias: i.alias, Ref: ref})
	}
	switch s.transform.Inputs {
	case catalog.NoInput:
		ok = ok && len(s.inputs) == 0
	case catalog.OneInput:
		ok = ok && len(s.inputs) == 1
	default:
		ok = ok && len(in) > 0
	}
	return in, ok
}

// lowerInput returns the port of an input: of a leaf, or of a chain or composite, which windows it.
func (c *compiler) lowerInput(in *input, s *step) (plan.Ref, bool) {
	if in.done {
		return in.ref, in.ok
	}
	in.done = true
	refs := make([]plan.Ref, len(in.refs))
	ok := len(refs) > 0
	for i, r := range in.refs {
		ref, known := c.follow(r)
		refs[i] = ref
		ok = ok && known
	}
	if !ok {
		return plan.Ref{}, false
	}
	in.ref, in.ok = refs[0], true
	if len(refs) > 1 {
		in.ref, in.ok = c.flatten(s, "Flatten["+in.alias+"]", refs)
	}
	if in.ok && !s.isLeaf() && s.windowing != nil {
		if in.ok = s.windowing.ok; in.ok {
			in.ref = c.window(s, in.ref, in.alias)
		}
	}
	return in.ref, in.ok
}

// flatten is the union of ports with schemas that may differ, as the transform Flatten has it.
func (c *compiler) flatten(s *step, part string, refs []plan.Ref) (plan.Ref, bool) {
	t := catalog.LookUp("Flatten")
	if t == nil {
		c.at(s, part)
		return c.builder.Merge(refs...), true
	}
	l := &catalog.Lowering{Transform: t, Name: s.path + "/" + part, Place: s.at, Builder: c.builder, Problems: c.problems,
		Config: &catalog.Value{Place: s.at, Data: &catalog.Map{}}, Dir: dirOf(c.file), Context: c.ctx}
	for i, ref := range refs {
		l.In = append(l.In, catalog.Input{Alias: fmt.Sprintf("input%d", i), Ref: ref})
	}
	before := errorCount(c.problems)
	c.at(s, part)
	out := t.Lower(l)
	if errorCount(c.problems) > before || len(out.Refs) == 0 {
		return plan.Ref{}, false
	}
	return out.Refs[0], true
}

// follow returns the port that a reference names. ok is false where it cannot be had.
func (c *compiler) follow(r *ref) (plan.Ref, bool) {
	t := r.target
	switch {
	case t == nil:
		return plan.Ref{}, false
	case t.input != nil:
		return c.lowerInput(t.input, t.input.owner)
	}
	c.lowerLeaf(t.step)
	if !t.step.result.ok {
		return plan.Ref{}, false
	}
	return c.port(t.step, t.output, r.at)
}

// port returns the output of a lowered leaf with that name, or the only one there is.
func (c *compiler) port(s *step, name string, at diag.Place) (plan.Ref, bool) {
	out := &s.result
	switch {
	case name == "" && len(out.names) == 1:
		return out.refs[0], true
	case name == "" && len(out.names) > 1:
		c.problems.Errorf(at, diag.AmbiguousInput, "transform %q has %d outputs: %s", s.label(), len(out.names), strings.Join(out.names, ", ")).Hint =
			fmt.Sprintf("Name one of them: \"%s.%s\".", s.label(), out.names[0])
		return plan.Ref{}, false
	case name == "":
		c.problems.Errorf(at, diag.UnknownInput, "transform %q gives no output", s.label()).Hint = "It only writes: read what it reads."
		return plan.Ref{}, false
	case s.handling != nil && name == s.handling.output:
		return *out.err, true
	case slices.Contains(out.names, name):
		return out.refs[slices.Index(out.names, name)], true
	case len(out.names) == 1 && slices.Contains(s.mainNames(), name):
		return out.refs[0], true
	case name == plan.LatePort && out.late != nil:
		return *out.late, true
	}
	p := c.problems.Errorf(at, diag.UnknownInput, "transform %q has no output %q", s.label(), name)
	known := slices.Clone(out.names)
	if s.handling != nil {
		known = append(known, s.handling.output)
	}
	p.Hint = diag.DidYouMean(name, "outputs", known)
	if s.handling == nil && s.transform.Errors && strings.HasPrefix(name, "err") {
		p.Hint = fmt.Sprintf("Give transform %q error_handling: {output: %s}.", s.label(), name)
	}
	return plan.Ref{}, false
}

// mainNames are the names that a single output goes by.
func (s *step) mainNames() []string {
	names := []string{plan.MainPort, "out"}
	if s.handling != nil {
		names = append(names, "good", s.handling.mainTag)
	}
	return names
}

// handleErrors makes the error output of a leaf, and puts its threshold on the nodes that have been added from node
// number from on.
func (c *compiler) handleErrors(s *step, out catalog.Outputs, in []catalog.Input, from int) bool {
	h := s.handling
	if slices.Contains(out.Names, h.output) && (len(out.Names) > 1 || h.output == plan.MainPort) {
		c.problems.Errorf(h.at, diag.BadWiring, "the error output is called %q as another output is", h.output)
		return false
	}
	if h.threshold != nil {
		for _, n := range c.builder.Plan.Nodes[from:] {
			if _, fails := n.Errors(); fails {
				n.Threshold = h.threshold
			}
		}
	}
	ref, ok := plan.Ref{}, true
	switch {
	case len(out.Errors) == 0:
		ref = c.noErrors(s, in)
	case c.sameSchemas(out.Errors):
		c.at(s, "Errors")
		ref = c.builder.Merge(out.Errors...)
	default:
		ref, ok = c.flatten(s, "Errors", out.Errors)
	}
	s.result.err = &ref
	return ok
}

func (c *compiler) sameSchemas(refs []plan.Ref) bool {
	first := c.builder.Plan.Port(refs[0]).Schema
	return !slices.ContainsFunc(refs, func(r plan.Ref) bool { return !c.builder.Plan.Port(r).Schema.Equal(first) })
}

// noErrors is the error output of a transform that never fails: no rows.
func (c *compiler) noErrors(s *step, in []catalog.Input) plan.Ref {
	c.at(s, "Errors")
	b := c.builder
	var none plan.Ref
	element := column.AnyType
	switch {
	case len(in) > 0:
		none = in[0].Ref
		element = column.RowOf(b.Plan.Port(none).Schema)
	case len(s.result.refs) > 0:
		none = s.result.refs[0]
		element = column.RowOf(b.Plan.Port(none).Schema)
	}
	never := b.Filter(none, expr.Lit(false))
	fields := plan.ErrorSchema(element)
	row := &expr.Expr{Op: expr.OpRow, Type: element}
	return b.Map(never.Main(), fields, []*expr.Expr{row, expr.Lit(""), expr.Lit("")}).Main()
}

// outputSchema checks the main output of a leaf with ValidateWithSchema; rows that do not fit join its errors.
func (c *compiler) outputSchema(s *step, out catalog.Outputs) (catalog.Outputs, bool) {
	main := 0
	switch {
	case len(out.Names) == 0:
		c.problems.Errorf(s.schema.Place, diag.BadWiring, "transform %q has no output to check", s.label())
		return out, false
	case slices.Contains(out.Names, "output"):
		main = slices.Index(out.Names, "output")
	case slices.Contains(out.Names, "good"):
		main = slices.Index(out.Names, "good")
	case len(out.Names) > 1:
		c.problems.Errorf(s.schema.Place, diag.BadWiring, "output_schema checks one output, and transform %q has %s", s.label(),
			strings.Join(out.Names, ", ")).Hint = "Put a ValidateWithSchema behind each output."
		return out, false
	}
	t := catalog.LookUp("ValidateWithSchema")
	if t == nil {
		return out, true
	}
	config := &catalog.Value{Place: s.schema.Place, Data: &catalog.Map{Entries: []catalog.Entry{{Key: "schema", At: s.schema.Place, Value: s.schema}}}}
	if !catalog.CheckConfig(t, config, s.at, c.problems) {
		return out, false
	}
	c.at(s, "ValidateWithSchema")
	before := errorCount(c.problems)
	checked := t.Lower(&catalog.Lowering{Transform: t, Name: s.path + "/ValidateWithSchema", Place: s.at, Config: config, Builder: c.builder,
		In: []catalog.Input{{Alias: "input", Ref: out.Refs[main]}}, Problems: c.problems, Dir: dirOf(c.file), Context: c.ctx})
	if errorCount(c.problems) > before || len(checked.Refs) == 0 {
		return out, false
	}
	out.Refs = slices.Clone(out.Refs)
	out.Refs[main] = checked.Refs[0]
	out.Errors = append(slices.Clone(out.Errors), checked.Errors...)
	return out, true
}
