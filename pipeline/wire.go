package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// target is what a reference names: an output of a leaf, or an input of the chain or composite around.
type target struct {
	step   *step
	output string // "" where only the step was named
	input  *input
}

// visit is the state of a depth-first search.
type visit uint8

const (
	unseen visit = iota
	entered
	left
)

// languageTypes are the transforms that the reference renames by their language before it looks for names, so that one
// with a name of its own is not found under its type.
var languageTypes = []string{"AssignTimestamps", "Combine", "Filter", "MapToFields", "Partition"}

// wire resolves every reference, and reports inputs that are missing or not wanted, cycles and error outputs that
// nothing reads.
func (c *compiler) wire(top *step) {
	c.resolveInputs(top)
	for _, s := range c.leaves {
		c.checkArity(s)
	}
	c.findCycles()
	for _, s := range c.leaves {
		c.consume(s)
	}
	for _, s := range c.leaves {
		if s.handling != nil && !s.errors {
			p := c.problems.Errorf(s.handling.at, diag.UnconsumedError, "nothing reads the error output \"%s.%s\"", s.label(), s.handling.output)
			p.Hint = "Make it the input of a transform, so that no row is lost."
		}
	}
}

// resolveInputs resolves the references of all inputs within s.
func (c *compiler) resolveInputs(s *step) {
	for _, inner := range s.nested.steps {
		for _, in := range inner.inputs {
			for _, r := range in.refs {
				r.target = c.resolve(s.nested, r)
			}
		}
		if inner.nested != nil {
			c.resolveInputs(inner)
		}
	}
	for i := range s.outputs {
		c.checkOutput(s, &s.outputs[i])
	}
}

// checkOutput resolves an output of a composite for its problems; where it leads is found when it is used.
func (c *compiler) checkOutput(s *step, out *output) {
	out.ref.target = c.resolve(s.nested, s.outputRef(out))
}

// outputRef is what an output of a chain or composite names. In a chain the name may be that of an output of the
// last transform alone.
func (s *step) outputRef(out *output) *ref {
	if s.typ != chainType || s.last == nil {
		return out.ref
	}
	name := out.ref.name
	if i := strings.LastIndexByte(name, '.'); i >= 0 && name[:i] == s.last.label() {
		name = name[i+1:]
	}
	if name == s.last.name || name == s.last.typ {
		return &ref{step: s.last, at: out.ref.at}
	}
	return &ref{step: s.last, name: name, at: out.ref.at}
}

// resolve finds what r names within sc. It returns nil after a problem.
func (c *compiler) resolve(sc *scope, r *ref) *target {
	if r.step != nil {
		return c.output(r.step, r.name, r.at)
	}
	if r.name == "" {
		return nil // not a name, which has been reported
	}
	if in := sc.alias(r.name); in != nil {
		return &target{input: in}
	}
	name, out := r.name, ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 && len(sc.named(name)) == 0 {
		name, out = r.name[:i], r.name[i+1:]
	}
	found := sc.named(name)
	switch len(found) {
	case 0:
		c.unknownInput(sc, r, name)
		return nil
	case 1:
		return c.output(found[0], out, r.at)
	}
	p := c.problems.Errorf(r.at, diag.AmbiguousInput, "%q names %d transforms", name, len(found))
	for _, s := range found {
		p.Notes = append(p.Notes, diag.Note{Place: s.at, Text: "this is one of them"})
	}
	p.Hint = "Give each a name of its own."
	return nil
}

// alias returns the input of that name of the chain or composite around, or nil. One without inputs of its own passes
// on those around it.
func (sc *scope) alias(name string) *input {
	for sc != nil && sc.owner != nil {
		for _, in := range sc.owner.inputs {
			if in.alias == name {
				return in
			}
		}
		if len(sc.owner.inputs) > 0 || sc.owner.noInput {
			return nil
		}
		sc = sc.owner.scope
	}
	return nil
}

// named returns the steps of a scope that go by a name: by their own, or by their type.
func (sc *scope) named(name string) []*step {
	var found, renamed []*step
	for _, s := range sc.steps {
		switch {
		case s.name == name:
			found = append(found, s)
		case s.typ == name && (s.name == "" || !slices.Contains(languageTypes, name)):
			found = append(found, s)
		case s.typ == name:
			renamed = append(renamed, s)
		}
	}
	if len(found) == 0 {
		return renamed
	}
	return found
}

// unknownInput reports a name that nothing has.
func (c *compiler) unknownInput(sc *scope, r *ref, name string) {
	var known []string
	for _, s := range sc.steps {
		if s.label() != "" && !slices.Contains(known, s.label()) {
			known = append(known, s.label())
		}
	}
	for _, in := range sc.owner.inputs {
		known = append(known, in.alias)
	}
	p := c.problems.Errorf(r.at, diag.UnknownInput, "no transform is named %q here", name)
	p.Hint = diag.DidYouMean(name, "names", known)
	for outer := sc.owner.scope; outer != nil; outer = outer.owner.scope {
		if found := outer.named(name); len(found) > 0 {
			p.Notes = append(p.Notes, diag.Note{Place: found[0].at, Text: "this one stands outside"})
			p.Hint = fmt.Sprintf("Give it to %s as an input, and use the input's name here.", sc.owner.describe())
			return
		}
	}
}

// output finds an output of a step, through chains and composites. It returns nil after a problem.
func (c *compiler) output(s *step, name string, at diag.Place) *target {
	if s.isLeaf() {
		return &target{step: s, output: name}
	}
	if len(s.outputs) == 0 {
		if s.last != nil {
			return c.output(s.last, name, at)
		}
		if len(s.nested.steps) > 0 && !s.badOutput {
			c.problems.Errorf(at, diag.UnknownInput, "%s has no outputs", s.describe()).Hint =
				"Name them: output: {output: Name}, or output: Name where there is one."
		}
		return nil
	}
	var names []string
	for i := range s.outputs {
		out := &s.outputs[i]
		if out.name == name || name == "" && len(s.outputs) == 1 {
			return c.quietly(func() *target { return c.resolve(s.nested, s.outputRef(out)) })
		}
		names = append(names, out.name)
	}
	if name == "" {
		c.problems.Errorf(at, diag.AmbiguousInput, "%s has %d outputs: %s", s.describe(), len(names), strings.Join(names, ", ")).Hint =
			fmt.Sprintf("Name one of them: \"%s.%s\".", s.label(), names[0])
		return nil
	}
	c.problems.Errorf(at, diag.UnknownInput, "%s has no output %q", s.describe(), name).Hint = diag.DidYouMean(name, "outputs", names)
	return nil
}

// quietly drops the problems that f finds: they are reported at another place.
func (c *compiler) quietly(f func() *target) *target {
	kept := c.problems.Problems
	defer func() { c.problems.Problems = kept }()
	return f()
}

// checkArity reports inputs that are missing, too many, or not wanted.
func (c *compiler) checkArity(s *step) {
	if s.transform == nil || s.badInput {
		return
	}
	switch {
	case s.transform.Inputs == catalog.NoInput && len(s.inputs) > 0:
		at := s.at
		if e := s.spec.Entry("input"); e != nil {
			at = e.At
		}
		c.problems.Errorf(at, diag.UnwantedInput, "transform %q takes no input", s.label()).Hint =
			"Begin a chain with it, or make it a transform of a composite and use it as an input."
	case s.transform.Inputs != catalog.NoInput && len(s.inputs) == 0:
		p := c.problems.Errorf(s.at, diag.MissingInput, "transform %q needs an input, which is not given", s.label())
		p.Hint = "Write input: followed by the name of a transform."
		if s.scope.owner.typ == chainType {
			p.Hint = "Begin the chain with a transform that reads or creates rows."
		}
	case s.transform.Inputs == catalog.OneInput && len(s.inputs) > 1:
		names := make([]string, len(s.inputs))
		for i, in := range s.inputs {
			names[i] = in.alias
		}
		at := s.at
		if e := s.spec.Entry("input"); e != nil {
			at = e.At
		}
		c.problems.Errorf(at, diag.BadWiring, "transform %q takes one input, found %d: %s", s.label(), len(names), strings.Join(names, ", ")).Hint =
			"Write a list, [A, B], to take the rows of several together."
	}
	for _, in := range s.inputs {
		if len(in.refs) == 0 {
			c.problems.Errorf(s.at, diag.MissingInput, "transform %q needs an input, and its list of inputs is empty", s.label())
		}
	}
}

// findCycles reports each cycle once, all of it, and takes its closing reference out.
func (c *compiler) findCycles() {
	f := cycleFinder{c: c, seen: map[*step]visit{}}
	for _, s := range c.leaves {
		f.leaf(s)
	}
}

// link is one reference on the way that the search has come.
type link struct {
	from *step // which reads
	ref  *ref
}

type cycleFinder struct {
	c    *compiler
	seen map[*step]visit
	way  []link
}

func (f *cycleFinder) leaf(s *step) {
	if f.seen[s] != unseen {
		return
	}
	f.seen[s] = entered
	for _, in := range s.inputs {
		f.refs(in, s)
	}
	f.seen[s] = left
}

func (f *cycleFinder) refs(in *input, reader *step) {
	for _, r := range in.refs {
		if r.target == nil {
			continue
		}
		f.way = append(f.way, link{from: reader, ref: r})
		if s := r.target.step; s != nil {
			if f.seen[s] == entered {
				f.report(func(l link) bool { return l.from == s })
				r.target = nil
			} else {
				f.leaf(s)
			}
		} else if alias := r.target.input; alias.state == entered {
			f.report(func(l link) bool { return l.from == alias.owner && slices.Contains(alias.refs, l.ref) })
			r.target = nil
		} else if alias.state == unseen {
			alias.state = entered
			f.refs(alias, alias.owner)
			alias.state = left
		}
		f.way = f.way[:len(f.way)-1]
	}
}

// report tells of the cycle that the way has come to, which begins at the link that starts.
func (f *cycleFinder) report(starts func(link) bool) {
	from := len(f.way) - 1
	for from > 0 && !starts(f.way[from]) {
		from--
	}
	cycle := f.way[from:]
	// A reader stands behind what it reads, so the rows go the other way round.
	names := []string{quoted(cycle[0].from)}
	for _, l := range slices.Backward(cycle) {
		if name := quoted(l.from); name != names[len(names)-1] {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		names = append(names, names[0])
	}
	first := cycle[0]
	for _, l := range cycle {
		if l.ref.at.Line > 0 && l.ref.step == nil && (first.ref.step != nil || before(l.ref.at, first.ref.at)) {
			first = l
		}
	}
	p := f.c.problems.Errorf(first.ref.at, diag.Cycle, "these transforms feed each other: %s", strings.Join(names, " → "))
	p.Hint = "Take one of the inputs out, so that rows flow one way."
	for _, l := range cycle {
		if l != first && l.ref.step == nil {
			p.Notes = append(p.Notes, diag.Note{Place: l.ref.at, Text: fmt.Sprintf("%s reads it here", quoted(l.from))})
		}
	}
}

func before(a, b diag.Place) bool {
	return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
}

func quoted(s *step) string { return "\"" + s.path + "\"" }

// consume marks the error outputs that a leaf reads, also through the inputs of chains and composites around it.
func (c *compiler) consume(s *step) {
	seen := map[*input]bool{}
	var follow func(in *input)
	follow = func(in *input) {
		if seen[in] {
			return
		}
		seen[in] = true
		for _, r := range in.refs {
			switch t := r.target; {
			case t == nil:
			case t.input != nil:
				follow(t.input)
			case t.step.handling != nil && t.step.handling.output == t.output:
				t.step.errors = true
			}
		}
	}
	for _, in := range s.inputs {
		follow(in)
	}
}
