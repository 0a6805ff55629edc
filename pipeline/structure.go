package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/plan"
)

// The types that hold other transforms.
const (
	compositeType = "composite"
	chainType     = "chain"
)

// step is a transform of the file: a leaf, or a chain or composite of steps.
type step struct {
	spec  *catalog.Value
	typ   string
	name  string     // as given; "" none
	path  string     // the names around it and its own, "Clean/Filter"
	at    diag.Place // of its type, or name
	scope *scope     // where it stands

	inputs    []*input
	noInput   bool // "input: {}", or a source: it takes none on purpose
	badInput  bool // "input" could not be understood, which has been reported
	badOutput bool // likewise "output"
	extra     bool // one of extra_transforms, or while they are read, the chain around them

	windowing *windowing // own or inherited; nil: none

	// of a leaf
	transform *catalog.Transform // nil: unknown, which has been reported
	config    *catalog.Value
	handling  *handling
	schema    *catalog.Value // output_schema
	errors    bool           // whether something reads the error output
	result    result

	// of a chain, composite or provider's transform
	nested   *scope
	provider *provider // whose body it is, or nil
	outputs  []output  // as given
	last     *step     // whose outputs are its own where none are given
}

// scope is the inside of a chain or composite: what its steps can name.
type scope struct {
	owner *step
	steps []*step
}

// input is one input of a step; several references are taken together (an implicit Flatten).
type input struct {
	alias string
	refs  []*ref
	owner *step
	flat  bool // written as a list

	// as wiring and lowering go along
	state visit
	done  bool
	ok    bool
	ref   plan.Ref
}

// ref names an output of a step.
type ref struct {
	name   string
	at     diag.Place
	step   *step   // where it is implied, as in a chain
	target *target // as resolved; nil: it could not be, which has been reported
}

// output is an output of a composite.
type output struct {
	name string
	ref  *ref
}

// handling is error_handling.
type handling struct {
	output    string
	at        diag.Place
	mainTag   string
	threshold *float64
}

// windowing is a windowing that has been understood.
type windowing struct {
	plan.Windowing
	at diag.Place
	ok bool
}

// isLeaf reports whether s is no chain, composite or provider's transform.
func (s *step) isLeaf() bool { return s.nested == nil }

// label is how problems name a step.
func (s *step) label() string {
	if s.name != "" {
		return s.name
	}
	return s.typ
}

var (
	leafKeys      = []string{"type", "name", "input", "output", "config", "windowing", "resource_hints", "output_schema"}
	compositeKeys = []string{"type", "name", "input", "output", "windowing", "resource_hints", "transforms", "source", "sink"}
	chainKeys     = append(slices.Clone(compositeKeys), "extra_transforms")
	pipelineKeys  = []string{"type", "windowing", "resource_hints", "transforms", "extra_transforms", "source", "sink"}
)

// pipeline reads the value of the key "pipeline": a map, or a list of transforms. It returns nil where there is
// nothing to go on with.
func (c *compiler) pipeline(e *catalog.Entry) *step {
	top := &step{spec: e.Value, typ: compositeType, at: e.At}
	switch e.Value.Data.(type) {
	case []*catalog.Value:
		top.nested = &scope{owner: top}
		c.steps(top, e.Value, "pipeline")
		if len(e.Value.List()) == 0 {
			c.problems.Errorf(e.Value.Place, diag.MissingKey, "the pipeline has no transforms")
		}
	case *catalog.Map:
		switch typ := c.wantText(e.Value.Get("type"), "type"); typ {
		case "", compositeType, chainType:
			if typ != "" {
				top.typ = typ
			}
		default:
			c.problems.Errorf(e.Value.Get("type").Place, diag.BadValue, "a pipeline cannot be of type %q, wanted \"chain\" or \"composite\"", typ).Hint =
				diag.DidYouMean(typ, "types", []string{chainType, compositeType})
		}
		c.keys(e.Value, "a pipeline", pipelineKeys)
		c.nest(top)
	default:
		c.problems.Errorf(e.Value.Place, diag.BadValue, "wanted a map or a list of transforms for \"pipeline\", found %s", found(e.Value))
		return nil
	}
	c.connect(top)
	c.inheritWindowing(top)
	return top
}

// keys reports the keys of a map that are not known.
func (c *compiler) keys(v *catalog.Value, owner string, known []string) {
	for _, e := range v.Entries() {
		if slices.Contains(known, e.Key) {
			continue
		}
		p := c.problems.Errorf(e.At, diag.UnknownKey, "%s has no key %q", owner, e.Key)
		switch {
		case e.Key == "extra_transforms":
			p.Hint = "Only a chain has extra_transforms; in a composite they are transforms as all others."
		case e.Key == "config":
			p.Hint = "A chain or composite has no configuration of its own."
		default:
			p.Hint = diag.DidYouMean(e.Key, "keys", known)
		}
	}
}

// nest reads the transforms of a chain or composite.
func (c *compiler) nest(s *step) {
	s.nested = &scope{owner: s}
	s.windowing = c.windowing(s.spec.Get("windowing"))
	c.resourceHints(s.spec)
	source, sink, transforms := s.spec.Get("source"), s.spec.Get("sink"), s.spec.Get("transforms")
	if transforms == nil && (source == nil || sink == nil) {
		c.problems.Errorf(s.at, diag.MissingKey, "%s needs \"transforms\", or \"source\" and \"sink\"", s.describe())
		return
	}
	if source != nil {
		if t := c.step(s, source); t != nil && len(t.inputs) == 0 {
			t.noInput = true
		}
	}
	if transforms != nil {
		c.steps(s, transforms, "transforms")
	}
	if sink != nil {
		c.step(s, sink)
	}
	main := len(s.nested.steps)
	if main == 0 {
		if len(transforms.List()) == 0 {
			c.problems.Errorf(s.at, diag.MissingKey, "%s has no transforms", s.describe())
		}
		return
	}
	if extra := s.spec.Get("extra_transforms"); s.typ == chainType && extra != nil && extra.Data != nil {
		s.extra = true
		c.steps(s, extra, "extra_transforms")
		s.extra = false
	}
}

// describe names a chain, composite or the pipeline itself in problems.
func (s *step) describe() string {
	if s.scope == nil {
		return "the pipeline"
	}
	return fmt.Sprintf("%s %q", s.typ, s.label())
}

// steps reads a list of transforms into the inside of s.
func (c *compiler) steps(s *step, list *catalog.Value, key string) {
	if !c.wantList(list, key) {
		return
	}
	for _, v := range list.List() {
		c.step(s, v)
	}
}

// step reads one transform into the inside of parent. It returns nil where v is none.
func (c *compiler) step(parent *step, v *catalog.Value) *step {
	if _, ok := v.Data.(*catalog.Map); !ok {
		c.problems.Errorf(v.Place, diag.BadValue, "wanted a transform, a map with the key \"type\", found %s", found(v))
		return nil
	}
	if c.count++; c.count > MaxTransforms {
		if c.count == MaxTransforms+1 {
			c.problems.Errorf(v.Place, diag.OverLimit, "the file has more than %d transforms", MaxTransforms)
		}
		return nil
	}
	s := &step{spec: v, scope: parent.nested, at: v.Place, extra: parent.extra}
	s.typ, s.name = c.wantText(v.Get("type"), "type"), c.wantText(v.Get("name"), "name")
	if t := v.Get("type"); t != nil {
		s.at = t.Place
	}
	parent.nested.steps = append(parent.nested.steps, s)
	s.path = s.pathIn(parent)
	if s.typ == "" {
		if t := v.Get("type"); t == nil || t.Data == nil || t.Data == "" {
			c.problems.Errorf(s.at, diag.MissingKey, "a transform needs \"type\", which is not given").Hint = "Known transforms: leat explain lists them."
		}
		c.leaves = append(c.leaves, s)
		c.readInput(s)
		return s
	}
	c.readInput(s)
	switch {
	case s.typ == compositeType:
		c.keys(v, s.describe(), compositeKeys)
		c.readOutput(s)
		c.nest(s)
	case s.typ == chainType:
		c.keys(v, s.describe(), chainKeys)
		c.readOutput(s)
		c.nest(s)
	default:
		c.leaf(s)
	}
	return s
}

// pathIn is the path of s: names that occur twice in a scope get their line.
func (s *step) pathIn(parent *step) string {
	own := s.label()
	switch {
	case s.name != "":
	case s.typ == chainType:
		own = "Chain"
	case s.typ == compositeType:
		own = "Composite"
	case s.typ == "":
		own = "?"
	}
	path := own
	if parent.path != "" {
		path = parent.path + "/" + own
	}
	for _, other := range parent.nested.steps {
		if other != s && other.path == path {
			return fmt.Sprintf("%s@%d", path, s.spec.Place.Line)
		}
	}
	return path
}

// leaf reads a transform that holds no others.
func (c *compiler) leaf(s *step) {
	v := s.spec
	c.leafKeys(s)
	c.resourceHints(v)
	s.config = v.Get("config")
	if s.config != nil && s.config.Data == nil {
		s.config = nil
	}
	if p := c.providers[s.typ]; p != nil {
		c.readOutput(s)
		s.windowing = c.windowing(v.Get("windowing"))
		c.expandProvider(s, p)
		return
	}
	c.leaves = append(c.leaves, s)
	if out := v.Entry("output"); out != nil && !s.inChain() {
		c.problems.Warnf(out.At, diag.BadWiring, "\"output\" has no effect here: only a chain or composite names its outputs").Hint = "Remove it."
	}
	s.transform = catalog.LookUp(s.typ)
	if s.transform == nil {
		c.unknownTransform(s)
		return
	}
	if s.typ == "WindowInto" {
		c.liftWindowing(s)
	} else {
		s.windowing = c.windowing(v.Get("windowing"))
	}
	c.readHandling(s)
	c.readOutputSchema(s)
}

// leafKeys reports unknown keys of a leaf. Often they are keys of its configuration.
func (c *compiler) leafKeys(s *step) {
	before := len(c.problems.Problems)
	c.keys(s.spec, fmt.Sprintf("transform %q", s.label()), leafKeys)
	t := catalog.LookUp(s.typ)
	if t == nil {
		return
	}
	for _, p := range c.problems.Problems[before:] {
		for _, e := range s.spec.Entries() {
			isField := slices.ContainsFunc(t.Fields, func(f catalog.Field) bool { return f.Name == e.Key })
			if e.At == p.Place && (isField || e.Key == "language" || e.Key == "error_handling") {
				p.Hint = "Put it under \"config\"."
			}
		}
	}
}

// unknownTransform reports a type that the catalog does not have.
func (c *compiler) unknownTransform(s *step) {
	if reason := refusedTransform(s.typ); reason != "" {
		c.problems.Errorf(s.at, diag.Unsupported, "transform %q cannot be used: %s", s.typ, reason)
		return
	}
	known := catalog.Names()
	for name := range c.providers {
		known = append(known, name)
	}
	c.problems.Errorf(s.at, diag.UnknownTransform, "no transform is named %q", s.typ).Hint =
		diag.DidYouMean(s.typ, "transforms", append(known, chainType, compositeType))
}

// liftWindowing moves the key "windowing" of a WindowInto to its configuration, and reads it where it is a string.
func (c *compiler) liftWindowing(s *step) {
	own := s.spec.Entry("windowing")
	if own == nil {
		own = s.config.Entry("windowing")
	}
	if own == nil {
		return
	}
	entry := *own
	entry.Value = c.parseString(entry.Value)
	c.windowing(entry.Value) // what is wrong with it shows even where the input has problems
	m := &catalog.Map{Entries: []catalog.Entry{entry}}
	for _, e := range s.config.Entries() {
		if e.Key != "windowing" {
			m.Entries = append(m.Entries, e)
		}
	}
	at := s.at
	if s.config != nil {
		at = s.config.Place
	}
	s.config = &catalog.Value{Place: at, Data: m}
}

// parseString returns the value that a string of YAML holds, or v itself where it is no such string.
func (c *compiler) parseString(v *catalog.Value) *catalog.Value {
	text, ok := v.Data.(string)
	if !ok || !strings.ContainsAny(text, ":{") {
		return v
	}
	if inner := readWithin(v, c.inner, c.problems); inner != nil {
		return inner
	}
	return &catalog.Value{Place: v.Place, Data: &catalog.Map{}}
}

// windowing reads a value of the key "windowing"; nil where there is none.
func (c *compiler) windowing(v *catalog.Value) *windowing {
	if v == nil || v.Data == nil {
		return nil
	}
	before := len(c.problems.Problems)
	v = c.parseString(v)
	if len(c.problems.Problems) > before {
		return &windowing{at: v.Place}
	}
	w, ok := catalog.ParseWindowing(v, c.problems)
	return &windowing{Windowing: w, at: v.Place, ok: ok}
}

// inheritWindowing gives the windowing of a chain or composite to the steps within it that have neither inputs nor a
// windowing of their own.
func (c *compiler) inheritWindowing(s *step) {
	for _, inner := range s.nested.steps {
		if s.windowing != nil && inner.windowing == nil && len(inner.inputs) == 0 && inner.typ != "WindowInto" {
			inner.windowing = s.windowing
		}
		if inner.nested != nil {
			c.inheritWindowing(inner)
		}
	}
}

func (c *compiler) resourceHints(v *catalog.Value) {
	if hints := v.Get("resource_hints"); hints != nil && hints.Data != nil {
		c.wantMap(hints, "resource_hints")
	}
}

// readInput reads the key "input" of a step.
func (c *compiler) readInput(s *step) {
	e := s.spec.Entry("input")
	if e == nil {
		return
	}
	if s.inChain() {
		p := c.problems.Errorf(e.At, diag.BadWiring, "\"input\" is not allowed within a chain: the input is the transform before")
		p.Hint = "Remove it, or make the chain a composite."
		s.badInput = true
		if m, ok := e.Value.Data.(*catalog.Map); !ok || len(m.Entries) > 0 {
			return
		}
	}
	switch d := e.Value.Data.(type) {
	case string:
		s.inputs = []*input{{alias: "input", refs: []*ref{{name: d, at: e.Value.Place}}, owner: s}}
	case []*catalog.Value:
		s.inputs = []*input{{alias: "input", refs: c.refs(e.Value), owner: s, flat: true}}
	case *catalog.Map:
		s.noInput = len(d.Entries) == 0
		for _, in := range d.Entries {
			_, list := in.Value.Data.([]*catalog.Value)
			s.inputs = append(s.inputs, &input{alias: in.Key, refs: c.refs(in.Value), owner: s, flat: list})
		}
	default:
		c.problems.Errorf(e.Value.Place, diag.BadWiring, "wanted the name of a transform, a list or a map of names for \"input\", found %s", found(e.Value)).Hint =
			"Write {} for no input."
		s.noInput, s.badInput = true, true
	}
}

// inChain reports whether s is one of the chained transforms of a chain, not an extra one.
func (s *step) inChain() bool { return s.scope.owner.typ == chainType && !s.extra }

// refs reads a name or a list of names.
func (c *compiler) refs(v *catalog.Value) []*ref {
	list := []*catalog.Value{v}
	if l, ok := v.Data.([]*catalog.Value); ok {
		list = l
	}
	var refs []*ref
	for _, e := range list {
		name, ok := e.Data.(string)
		if !ok {
			c.problems.Errorf(e.Place, diag.BadWiring, "wanted the name of a transform, found %s", found(e))
		}
		refs = append(refs, &ref{name: name, at: e.Place})
	}
	return refs
}

// readOutput reads the key "output" of a chain or composite: a name, or a map of names.
func (c *compiler) readOutput(s *step) {
	e := s.spec.Entry("output")
	if e == nil {
		return
	}
	if s.inChain() {
		c.problems.Errorf(e.At, diag.BadWiring, "\"output\" is not allowed within a chain: the output goes to the transform after").Hint =
			"Make the chain a composite."
		s.badOutput = true
		return
	}
	switch d := e.Value.Data.(type) {
	case string:
		s.outputs = []output{{name: plan.MainPort, ref: &ref{name: d, at: e.Value.Place}}}
	case *catalog.Map:
		for _, out := range d.Entries {
			name, ok := out.Value.Data.(string)
			if !ok {
				c.problems.Errorf(out.Value.Place, diag.BadWiring, "wanted the name of a transform, found %s", found(out.Value))
				continue
			}
			s.outputs = append(s.outputs, output{name: out.Key, ref: &ref{name: name, at: out.Value.Place}})
		}
	default:
		c.problems.Errorf(e.Value.Place, diag.BadWiring, "wanted the name of a transform or a map of names for \"output\", found %s", found(e.Value))
	}
}

// connect gives inputs to the steps within s that do not name theirs: those of a chain, of a composite that has inputs
// and names nothing within, and the body of a provider's transform. It goes from the outside to the inside, because
// a step may pass on the inputs that it has been given.
func (c *compiler) connect(s *step) {
	switch {
	case s.provider != nil:
		c.connectBody(s)
	case s.typ == chainType:
		c.chain(s)
	default:
		c.implicitChain(s)
	}
	for _, inner := range s.nested.steps {
		if inner.nested != nil {
			c.connect(inner)
		}
	}
}

// chain connects the steps of a chain, each to the one before.
func (c *compiler) chain(s *step) {
	var steps []*step
	for _, t := range s.nested.steps {
		if t.extra {
			continue
		}
		steps = append(steps, t)
		if out := t.spec.Entry("output"); out != nil && t.isLeaf() {
			c.problems.Errorf(out.At, diag.BadWiring, "\"output\" is not allowed within a chain: the output goes to the transform after").Hint =
				"Make the chain a composite."
		}
	}
	s.link(steps)
}

// implicitChain connects the steps of a composite that has inputs, where none of them names inputs or outputs.
func (c *compiler) implicitChain(s *step) {
	if len(s.inputs) == 0 {
		return
	}
	for _, t := range s.nested.steps {
		if len(t.inputs) > 0 || t.badInput || len(t.outputs) > 0 || len(t.spec.Get("output").Entries()) > 0 || t.spec.Get("output").Text() != "" {
			return
		}
	}
	s.link(s.nested.steps)
}

// link makes each of the steps within s the input of the next one. The first gets the inputs of s.
func (s *step) link(steps []*step) {
	for i, t := range steps {
		switch {
		case i > 0:
			t.inputs = []*input{{alias: "input", refs: []*ref{{step: steps[i-1], at: t.at}}, owner: t}}
		case !t.noInput:
			t.inputs = passOn(s, t)
		}
		s.last = t
	}
}

// passOn returns inputs for t that are the inputs of the chain or composite s around it.
func passOn(s, t *step) []*input {
	var inputs []*input
	for _, in := range s.inputs {
		inputs = append(inputs, &input{alias: in.alias, refs: []*ref{{name: in.alias, at: t.at}}, owner: t})
	}
	return inputs
}

var (
	handlingKeys = []string{"output", "threshold", "main_tag"}
	// refusedHandling are keys that the reference hands to its Python runner.
	refusedHandling = map[string]string{
		"exc_class":           "every exception of a row is handled",
		"use_subprocess":      "rows cannot bring down the process here",
		"threshold_windowing": "the threshold holds for each window of the rows",
		"timeout":             "expressions have no time limit",
		"partial":             "a row fails as a whole",
		"on_failure_callback": "Python is not run",
	}
)

// readHandling reads error_handling.
func (c *compiler) readHandling(s *step) {
	e := s.config.Entry("error_handling")
	if e == nil || !s.transform.Errors || e.Value.Data == nil {
		return
	}
	if !c.wantMap(e.Value, "error_handling") {
		return
	}
	h := &handling{at: e.At, mainTag: "good"}
	for _, k := range e.Value.Entries() {
		if reason := refusedHandling[k.Key]; reason != "" {
			c.problems.Errorf(k.At, diag.Unsupported, "%q of error_handling cannot be used: %s", k.Key, reason).Hint = "Leave it out."
		} else if !slices.Contains(handlingKeys, k.Key) {
			c.problems.Errorf(k.At, diag.UnknownKey, "error_handling has no key %q", k.Key).Hint = diag.DidYouMean(k.Key, "keys", handlingKeys)
		}
	}
	out := e.Value.Get("output")
	if out == nil || out.Data == nil {
		c.problems.Errorf(e.At, diag.MissingKey, "error_handling needs \"output\", the name of the error output").Hint =
			"Write error_handling: {output: errors}, and read \"" + s.label() + ".errors\"."
		return
	}
	h.at = out.Place
	if h.output = c.wantText(out, "output"); h.output == "" {
		return
	}
	if tag := c.wantText(e.Value.Get("main_tag"), "main_tag"); tag != "" {
		h.mainTag = tag
	}
	if h.mainTag == h.output {
		c.problems.Errorf(h.at, diag.BadWiring, "the error output is called %q as the main output is", h.output)
	}
	if t := e.Value.Get("threshold"); t != nil && t.Data != nil {
		h.threshold = c.threshold(t)
	}
	s.handling = h
}

func (c *compiler) threshold(v *catalog.Value) *float64 {
	var f float64
	switch d := v.Data.(type) {
	case int64:
		f = float64(d)
	case float64:
		f = d
	default:
		c.problems.Errorf(v.Place, diag.BadValue, "wanted a number for \"threshold\", found %s", found(v))
		return nil
	}
	if !(f >= 0 && f <= 1) {
		c.problems.Errorf(v.Place, diag.BadValue, "wanted a share from 0 to 1 for \"threshold\", found %s", v.Raw).Hint =
			"The threshold is the share of rows that may fail: 0.05 is one in twenty."
		return nil
	}
	return &f
}

// readOutputSchema reads output_schema, which stands in the configuration or beside it.
func (c *compiler) readOutputSchema(s *step) {
	e := s.config.Entry("output_schema")
	if e == nil {
		e = s.spec.Entry("output_schema")
	}
	if e == nil || e.Value.Data == nil || !c.wantMap(e.Value, "output_schema") {
		return
	}
	if inner := e.Value.Entry("error_handling"); inner != nil {
		c.problems.Errorf(inner.At, diag.BadWiring, "error_handling is not allowed within output_schema").Hint =
			"Give error_handling to the transform; rows that do not fit go there."
		return
	}
	s.schema = e.Value
}
