// Package pipeline turns a Beam YAML file into a plan: it expands the template, reads the YAML, checks the structure,
// wires inputs to outputs, and lets each transform lower itself.
//
// It is not where transforms are known: those are in catalog. Every problem of the file is gathered, with its place,
// before anything runs; a transform whose inputs have problems is checked as far as it can be and makes no further
// noise. The main function is Compile.
package pipeline

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/plan"
)

// Options are what a caller may add to a file.
type Options struct {
	Vars map[string]any // the template's variables
	Set  map[string]any // options, which win over the file's; a key "a.b" sets b within a
	Name string         // of the pipeline; "": the file's name without extension
}

// Compile returns the plan of a pipeline file and all problems of it, in the order of the file. The plan is nil where
// there is an error among them. file is shown in places, and relative files of templates and providers are looked for
// beside it; "-" is standard input. Compile may read a sample of the input files, until ctx ends.
func Compile(ctx context.Context, file string, text []byte, o Options) (*plan.Plan, *diag.List) {
	problems := &diag.List{}
	if len(text) > MaxFileBytes {
		problems.Errorf(diag.Place{File: file}, diag.OverLimit, "the file has %d bytes, at most %d are allowed", len(text), MaxFileBytes)
		return nil, problems
	}
	expanded, origins, ok := expandTemplate(ctx, file, string(text), o.Vars, problems)
	if !ok {
		problems.Sort()
		return nil, problems
	}
	templated := expanded != string(text)
	inner := file
	if templated {
		inner = expandedName
	}
	var p *plan.Plan
	if root := readYAML(inner, []byte(expanded), problems); root != nil {
		c := &compiler{ctx: ctx, file: file, inner: inner, problems: problems, builder: plan.NewBuilder(pipelineName(file, o.Name))}
		p = c.compile(root, o)
	}
	if templated {
		relocate(p, problems, file, origins)
	}
	problems.Sort()
	if problems.Failed() {
		return nil, problems
	}
	return p, problems
}

// expandedName is the name of the expanded text in places, until relocate replaces them. No file has such a name.
const expandedName = "\x00expanded"

// relocate replaces places of the expanded text by the places where that was written. Where those are not known the
// line of the expanded text is shown.
func relocate(p *plan.Plan, problems *diag.List, file string, origins *originMap) {
	move := func(at diag.Place) (diag.Place, bool) {
		if at.File != expandedName {
			return at, true
		}
		if origins != nil {
			if moved, written, known := origins.place(at); known {
				return moved, written
			}
		}
		at.File = file + " (expanded)"
		return at, true
	}
	for _, problem := range problems.Problems {
		shown := problem.Place.Text
		var written bool
		if problem.Place, written = move(problem.Place); !written && shown != "" {
			problem.Notes = append(problem.Notes, diag.Note{Text: "the template expands to: " + strings.TrimSpace(shown)})
		}
		for i := range problem.Notes {
			problem.Notes[i].Place, _ = move(problem.Notes[i].Place)
		}
	}
	if p == nil {
		return
	}
	for _, n := range p.Nodes {
		n.Place, _ = move(n.Place)
	}
}

func pipelineName(file, name string) string {
	if name != "" {
		return name
	}
	if file == "" || file == "-" {
		return "pipeline"
	}
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// compiler compiles one file.
type compiler struct {
	ctx       context.Context
	file      string // as the user knows it
	inner     string // as places have it meanwhile
	problems  *diag.List
	builder   *plan.Builder
	providers map[string]*provider
	leaves    []*step // in the order of the file
	count     int     // of transforms
	depth     int     // of providers' bodies
}

var topKeys = []string{"pipeline", "providers", "options", "tests"}

// compile reads the top of the file.
func (c *compiler) compile(root *catalog.Value, o Options) *plan.Plan {
	if _, ok := root.Data.(*catalog.Map); !ok {
		c.problems.Errorf(root.Place, diag.BadValue, "wanted a map with the key \"pipeline\", found %s", found(root))
		return nil
	}
	for _, e := range root.Entries() {
		if !slices.Contains(topKeys, e.Key) {
			c.problems.Warnf(e.At, diag.UnknownKey, "the key %q beside \"pipeline\" has no meaning", e.Key).Hint = diag.DidYouMean(e.Key, "keys", topKeys)
		}
	}
	c.builder.Plan.Options = c.options(root.Get("options"), o.Set)
	c.streamOptions(root.Get("options"))
	if tests := root.Get("tests"); tests != nil && tests.Data != nil {
		c.wantList(tests, "tests")
	}
	c.readProviders(root.Get("providers"))
	spec := root.Entry("pipeline")
	if spec == nil {
		p := c.problems.Errorf(root.Place, diag.MissingKey, "the key \"pipeline\" is not given")
		p.Hint = "Put the transforms under \"pipeline:\"."
		return nil
	}
	top := c.pipeline(spec)
	if top == nil {
		return nil
	}
	c.wire(top)
	c.lower()
	c.checkStream(c.builder.Plan)
	c.checkShared(c.builder.Plan)
	if c.problems.Failed() {
		return nil
	}
	plan.Prune(c.builder.Plan)
	return c.builder.Plan
}

// options returns the options of the file, those of the caller put over them.
func (c *compiler) options(v *catalog.Value, set map[string]any) map[string]any {
	out := map[string]any{}
	if v != nil && v.Data != nil {
		plain, ok := v.Plain().(map[string]any)
		if !ok {
			c.problems.Errorf(v.Place, diag.BadValue, "wanted a map for \"options\", found %s", found(v))
		}
		maps.Copy(out, plain)
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		into := out
		parts := strings.Split(key, ".")
		for _, part := range parts[:len(parts)-1] {
			next, ok := into[part].(map[string]any)
			if !ok {
				next = map[string]any{}
				into[part] = next
			}
			into = next
		}
		into[parts[len(parts)-1]] = set[key]
	}
	return out
}

func (c *compiler) wantList(v *catalog.Value, key string) bool {
	if _, ok := v.Data.([]*catalog.Value); !ok {
		c.problems.Errorf(v.Place, diag.BadValue, "wanted a list for %q, found %s", key, found(v))
		return false
	}
	return true
}

func (c *compiler) wantMap(v *catalog.Value, key string) bool {
	if _, ok := v.Data.(*catalog.Map); !ok {
		c.problems.Errorf(v.Place, diag.BadValue, "wanted a map for %q, found %s", key, found(v))
		return false
	}
	return true
}

// wantText returns the string under key, "" where there is none or it is something else, which is reported.
func (c *compiler) wantText(v *catalog.Value, key string) string {
	if v == nil || v.Data == nil {
		return ""
	}
	s, ok := v.Data.(string)
	if !ok {
		p := c.problems.Errorf(v.Place, diag.BadValue, "wanted a string for %q, found %s", key, found(v))
		if v.Raw != "" {
			p.Hint = fmt.Sprintf("Quote it: %q.", v.Raw)
		}
	}
	return s
}

// found names the form of a value, as problems do.
func found(v *catalog.Value) string {
	switch v.Data.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case string:
		return "a string"
	case []*catalog.Value:
		return "a list"
	}
	return "a map"
}
