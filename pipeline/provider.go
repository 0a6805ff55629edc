package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// maxProviderDepth limits how deep providers' transforms may be made of each other.
const maxProviderDepth = 50

// provider is a transform that the file defines by a body (type: yaml).
type provider struct {
	name   string
	schema *catalog.Value // config_schema
	inputs bool           // requires_inputs
	body   *catalog.Value
}

// refusedProviders are the kinds of provider that leat does not run, with the reason.
var refusedProviders = map[string]string{
	"javaJar":       "leat has no JVM",
	"mavenJar":      "leat has no JVM",
	"beamJar":       "leat has no JVM",
	"python":        "Python is not run yet",
	"pythonPackage": "Python is not run yet",
	"remote":        "expansion services are not called",
	"docker":        "containers are not started",
	"renaming":      "it renames the keys of other providers' transforms, and those are not run",
}

var (
	providerKeys     = []string{"type", "transforms", "config"}
	yamlProviderKeys = []string{"config_schema", "requires_inputs", "description", "body"}
)

// refusedTransform says why a transform that Beam knows is not there.
func refusedTransform(name string) string {
	switch name {
	case "Sql", "Join":
		return "it is not there yet"
	case "PyTransform":
		return "Python is not run yet"
	case "MLTransform", "Enrichment":
		return "it is not there yet"
	}
	if service, read := strings.CutPrefix(name, "ReadFrom"); read || strings.HasPrefix(name, "WriteTo") {
		if !read {
			service = strings.TrimPrefix(name, "WriteTo")
		}
		known := []string{"PubSub", "PubSubLite", "Kinesis", "Jms", "IbmMQ", "Jdbc", "MySql", "Oracle", "SqlServer", "BigQuery",
			"Spanner", "SpannerCDC", "BigTable", "Firestore", "MongoDB", "Snowflake", "Debezium", "Datadog", "Iceberg", "IcebergCDC", "Delta", "DeltaCDC"}
		if slices.Contains(known, service) {
			return "leat has no connector for " + service + " yet" + map[string]string{"Jdbc": ": PostgreSQL is read and written by ReadFromPostgres and WriteToPostgres",
				"PubSub": ": Google's emulator and accounts cannot be tested here", "Kinesis": ": AWS accounts cannot be tested here"}[service]
		}
	}
	return ""
}

// readProviders reads the list of providers.
func (c *compiler) readProviders(v *catalog.Value) {
	c.providers = map[string]*provider{}
	if v == nil || v.Data == nil || !c.wantList(v, "providers") {
		return
	}
	for _, p := range v.List() {
		c.readProvider(p, c.file, 0)
	}
}

// readProvider reads a provider, or a file of providers; from is the file that names it.
func (c *compiler) readProvider(v *catalog.Value, from string, depth int) {
	if !c.wantMap(v, "providers") {
		return
	}
	if include := v.Entry("include"); include != nil {
		c.keys(v, "an included provider", []string{"include"})
		c.includeProviders(include.Value, from, depth)
		return
	}
	c.keys(v, "a provider", providerKeys)
	kind := v.Get("type")
	switch name := c.wantText(kind, "type"); {
	case kind == nil || kind.Data == nil:
		c.problems.Errorf(v.Place, diag.MissingKey, "a provider needs \"type\", which is not given")
	case name == "yaml":
		c.readYAMLProvider(v)
	case refusedProviders[name] != "":
		c.problems.Errorf(kind.Place, diag.Unsupported, "providers of type %q cannot be used: %s", name, refusedProviders[name]).Hint =
			"Providers of type \"yaml\" can be used."
	case name != "":
		c.problems.Errorf(kind.Place, diag.BadValue, "no type of provider is named %q", name).Hint = diag.DidYouMean(name, "types", []string{"yaml"})
	}
}

// includeProviders reads a file that is a list of providers.
func (c *compiler) includeProviders(v *catalog.Value, from string, depth int) {
	path := c.wantText(v, "include")
	if path == "" {
		return
	}
	if scheme, _, remote := strings.Cut(path, "://"); remote {
		c.problems.Errorf(v.Place, diag.Unsupported, "providers cannot be included from %s: what runs must not depend on the network", scheme).Hint =
			"Copy the file beside the pipeline."
		return
	}
	if depth > maxProviderDepth {
		c.problems.Errorf(v.Place, diag.OverLimit, "files of providers include each other more than %d deep", maxProviderDepth)
		return
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dirOf(from), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		c.problems.Errorf(v.Place, diag.BadFile, "the file of providers cannot be read: %v", err)
		return
	}
	list := readYAML(path, text, c.problems)
	if list == nil || !c.wantList(list, "providers") {
		return
	}
	for _, p := range list.List() {
		c.readProvider(p, path, depth+1)
	}
}

// readYAMLProvider reads the transforms of a provider of type yaml.
func (c *compiler) readYAMLProvider(v *catalog.Value) {
	transforms := v.Get("transforms")
	if transforms == nil || transforms.Data == nil {
		c.problems.Errorf(v.Place, diag.MissingKey, "a provider needs \"transforms\", which is not given")
		return
	}
	if !c.wantMap(transforms, "transforms") {
		return
	}
	for _, e := range transforms.Entries() {
		if !c.wantMap(e.Value, e.Key) {
			continue
		}
		owner := fmt.Sprintf("transform %q of the provider", e.Key)
		c.keys(e.Value, owner, yamlProviderKeys)
		p := &provider{name: e.Key, inputs: true, schema: e.Value.Get("config_schema"), body: e.Value.Get("body")}
		if p.body == nil || p.body.Data == nil {
			c.problems.Errorf(e.At, diag.MissingKey, "%s needs \"body\", which is not given", owner)
			continue
		}
		if requires := e.Value.Get("requires_inputs"); requires != nil && requires.Data != nil {
			b, ok := requires.Data.(bool)
			if !ok {
				c.problems.Errorf(requires.Place, diag.BadValue, "wanted true or false for \"requires_inputs\", found %s", found(requires))
			}
			p.inputs = b
		}
		c.providers[e.Key] = p
	}
}

// expandProvider puts the body of a provider's transform, with the configuration as its variables, inside s.
func (c *compiler) expandProvider(s *step, p *provider) {
	s.nested, s.provider = &scope{owner: s}, p
	if c.depth >= maxProviderDepth {
		c.problems.Errorf(s.at, diag.OverLimit, "transforms of providers are made of each other more than %d deep", maxProviderDepth)
		return
	}
	if !c.checkProviderConfig(s, p) {
		return
	}
	body := c.providerBody(s, p)
	if body == nil {
		return
	}
	c.depth++
	defer func() { c.depth-- }()
	s.last = c.step(s, body)
}

// connectBody gives the inputs of a provider's transform to its body.
func (c *compiler) connectBody(s *step) {
	if s.provider.inputs && len(s.inputs) == 0 && !s.noInput {
		c.problems.Errorf(s.at, diag.MissingInput, "transform %q needs an input, which is not given", s.label()).Hint =
			"Write input: followed by the name of a transform."
	}
	for _, body := range s.nested.steps {
		switch {
		case len(body.inputs) > 0 || body.noInput || !s.provider.inputs:
		case len(s.inputs) == 0:
			body.badInput = true
		default:
			body.inputs = passOn(s, body)
		}
	}
}

// checkProviderConfig checks a configuration against the provider's config_schema: its keys, and their simple types.
func (c *compiler) checkProviderConfig(s *step, p *provider) bool {
	if s.config != nil && !c.wantMap(s.config, "config") {
		return false
	}
	before := errorCount(c.problems)
	properties := p.schema.Get("properties")
	var known []string
	for _, e := range properties.Entries() {
		known = append(known, e.Key)
	}
	more := p.schema.Get("additionalProperties")
	for _, e := range s.config.Entries() {
		want := properties.Get(e.Key)
		switch {
		case want == nil && (more == nil || more.Data == false):
			c.problems.Errorf(e.At, diag.UnknownKey, "transform %q has no key %q", p.name, e.Key).Hint = diag.DidYouMean(e.Key, "keys", known)
		case want != nil && !fits(e.Value, want.Get("type").Text()):
			c.problems.Errorf(e.Value.Place, diag.BadValue, "wanted %s for %q, found %s", want.Get("type").Text(), e.Key, found(e.Value))
		}
	}
	for _, r := range p.schema.Get("required").List() {
		if s.config.Get(r.Text()) == nil {
			c.problems.Errorf(s.at, diag.MissingKey, "transform %q needs %q, which is not given", p.name, r.Text())
		}
	}
	return errorCount(c.problems) == before
}

// fits reports whether a value is of a JSON schema's type; an unknown type fits all.
func fits(v *catalog.Value, typ string) bool {
	ok := true
	switch typ {
	case "string":
		_, ok = v.Data.(string)
	case "boolean":
		_, ok = v.Data.(bool)
	case "integer":
		_, ok = v.Data.(int64)
	case "number":
		switch v.Data.(type) {
		case int64, float64:
		default:
			ok = false
		}
	case "array":
		_, ok = v.Data.([]*catalog.Value)
	case "object":
		_, ok = v.Data.(*catalog.Map)
	}
	return ok
}

// providerBody returns the body as a transform, its template expanded with the configuration.
func (c *compiler) providerBody(s *step, p *provider) *catalog.Value {
	vars, _ := s.config.Plain().(map[string]any)
	text, ok := p.body.Data.(string)
	if !ok {
		return c.expandValue(p.body, vars)
	}
	expanded, ok := c.expandText(p.body, text, vars)
	if !ok {
		return nil
	}
	v := *p.body
	v.Data = expanded
	if expanded != text {
		v.Span = diag.Span{} // what was expanded is placed at the body
	}
	return readWithin(&v, p.body.Place.File, c.problems)
}

// expandText expands the template within a string, problems at its place.
func (c *compiler) expandText(v *catalog.Value, text string, vars map[string]any) (string, bool) {
	if !hasTags(text) {
		return text, true
	}
	var inner diag.List
	expanded, _, ok := expandTemplate(c.ctx, c.file, text, vars, &inner)
	for _, problem := range inner.Problems {
		problem.Place = v.Place
		problem.Hint = "Its variables are the keys of the configuration."
		c.problems.Problems = append(c.problems.Problems, problem)
	}
	return expanded, ok
}

// expandValue returns a copy of a body in which the templates within strings are expanded.
func (c *compiler) expandValue(v *catalog.Value, vars map[string]any) *catalog.Value {
	out := *v
	switch d := v.Data.(type) {
	case string:
		text, ok := c.expandText(v, d, vars)
		if !ok {
			return nil
		}
		if text != d {
			out.Span, out.Raw = diag.SpanAt(v.Place), text
		}
		out.Data = text
	case []*catalog.Value:
		list := make([]*catalog.Value, len(d))
		for i, e := range d {
			if list[i] = c.expandValue(e, vars); list[i] == nil {
				return nil
			}
		}
		out.Data = list
	case *catalog.Map:
		m := &catalog.Map{Entries: slices.Clone(d.Entries)}
		for i, e := range m.Entries {
			if m.Entries[i].Value = c.expandValue(e.Value, vars); m.Entries[i].Value == nil {
				return nil
			}
		}
		out.Data = m
	}
	return &out
}
