package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// maxSchemaDepth limits the nesting of a JSON schema.
const maxSchemaDepth = 100

// jsonTypes are the atomic types of a JSON schema; bytes is Beam's extension.
var jsonTypes = map[string]column.Type{
	"boolean": column.BoolType, "integer": column.IntType, "number": column.FloatType,
	"string": column.StringType, "bytes": column.BytesType,
}

var jsonTypeNames = []string{"boolean", "integer", "number", "string", "bytes", "array", "object"}

// structureWords are the keywords that a type follows from, checkWords those that values are checked for
// (expr.Conform.Schema), noteWords those that say nothing of values.
var (
	structureWords = []string{"type", "properties", "required", "additionalProperties", "items", "oneOf", "anyOf"}
	checkWords     = []string{"enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
		"minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"}
	noteWords = []string{"title", "description", "default", "example", "examples", "format", "deprecated", "readOnly", "writeOnly",
		"$schema", "$id", "$comment"}
	refusedWords = []string{"$ref", "$defs", "definitions", "allOf", "not", "if", "then", "else", "patternProperties", "propertyNames",
		"prefixItems", "additionalItems", "contains", "minContains", "maxContains", "dependencies", "dependentRequired",
		"dependentSchemas", "unevaluatedItems", "unevaluatedProperties"}
)

// ParseSchema returns the type that a JSON schema describes. A bare type name stands for {type: name}.
//
// A property that is not in "required" may be null, and so may what says so: type: [string, "null"], or oneOf or anyOf
// with {type: "null"}. Keywords that restrict values further (enum, minimum, pattern, …) do not change the type; who
// checks values keeps the whole schema, v.Plain(), as expr.Conform.Schema. Every problem is added at its place.
func ParseSchema(v *Value, problems *diag.List) (column.Type, bool) {
	p := schemaParser{problems: problems, optional: true, ok: true}
	t := p.schema(v, 0)
	return t, p.ok
}

// parseOutputType is ParseSchema for an expression's output_type, for which Beam lets no field be null unless the
// schema says that it may.
func parseOutputType(v *Value, problems *diag.List) (column.Type, bool) {
	p := schemaParser{problems: problems, ok: true}
	t := p.schema(v, 0)
	return t, p.ok
}

// NeedsSchema reports whether a JSON schema, as plain data, says more of values than their type: whether values have
// to be checked against it.
func NeedsSchema(schema any) bool {
	m, ok := schema.(map[string]any)
	if !ok {
		return false
	}
	for k, v := range m {
		switch {
		case slices.Contains(checkWords, k), k == "additionalProperties" && v == false:
			return true
		case k == "properties":
			props, _ := v.(map[string]any)
			for _, s := range props {
				if NeedsSchema(s) {
					return true
				}
			}
		case k == "items" || k == "additionalProperties":
			if NeedsSchema(v) {
				return true
			}
		case k == "oneOf" || k == "anyOf":
			alternatives, _ := v.([]any)
			if slices.ContainsFunc(alternatives, NeedsSchema) {
				return true
			}
		}
	}
	return false
}

type schemaParser struct {
	problems *diag.List
	optional bool // properties that are not required may be null
	ok       bool
}

func (p *schemaParser) fail(at diag.Place, format string, args ...any) *diag.Problem {
	p.ok = false
	return p.problems.Errorf(at, diag.BadSchema, format, args...)
}

// schema returns the type of one schema, Any after a problem.
func (p *schemaParser) schema(v *Value, depth int) column.Type {
	if depth > maxSchemaDepth {
		p.fail(v.Place, "the schema is nested deeper than %d", maxSchemaDepth)
		return column.AnyType
	}
	if isText(v) {
		return p.typed(v, v, depth)
	}
	if !isMap(v) {
		p.fail(v.Place, "wanted a JSON schema, as {type: string}, found %s", found(v))
		return column.AnyType
	}
	p.keywords(v)
	typ := v.Get("type")
	for _, word := range []string{"oneOf", "anyOf"} {
		if e := v.Entry(word); e != nil && typ == nil {
			return p.alternatives(e, depth)
		} else if e != nil {
			p.fail(e.At, "%q beside \"type\" is not supported", word).Hint = `A value that may be null is {type: [string, "null"]}.`
		}
	}
	if typ == nil {
		p.fail(v.Place, "wanted a schema with a \"type\", found none").Hint = "Types: " + strings.Join(jsonTypeNames, ", ") + "."
		return column.AnyType
	}
	return p.typed(v, typ, depth)
}

// keywords reports those that leat refuses, and warns of those that nobody knows.
func (p *schemaParser) keywords(v *Value) {
	for _, e := range v.Entries() {
		switch {
		case slices.Contains(refusedWords, e.Key):
			p.ok = false
			p.problems.Errorf(e.At, diag.Unsupported, "the keyword %q of JSON schema is not supported", e.Key)
		case slices.Contains(checkWords, e.Key):
			p.checkWord(e)
		case slices.Contains(structureWords, e.Key), slices.Contains(noteWords, e.Key):
		default:
			known := slices.Concat(structureWords, checkWords, noteWords)
			p.problems.Warnf(e.At, diag.UnknownKey, "JSON schema has no keyword %q: it is ignored", e.Key).Hint = didYouMean(e.Key, known)
		}
	}
}

// checkWord reports a keyword whose value has the wrong form.
func (p *schemaParser) checkWord(e Entry) {
	wanted := ""
	switch e.Key {
	case "const":
	case "enum":
		if _, ok := e.Value.Data.([]*Value); !ok {
			wanted = "a list of values"
		}
	case "uniqueItems":
		if _, ok := e.Value.Data.(bool); !ok {
			wanted = "true or false"
		}
	case "pattern":
		if !isText(e.Value) {
			wanted = "a regular expression"
		} else if _, err := regexp.Compile(e.Value.Text()); err != nil {
			p.fail(e.Value.Place, "the pattern cannot be understood: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: ")).Hint =
				"Patterns are RE2: they look neither ahead nor behind, and refer to no group."
		}
	default:
		if !isNumber(e.Value) {
			wanted = "a number"
		}
	}
	if wanted != "" {
		p.fail(e.Value.Place, "wanted %s for %q, found %s", wanted, e.Key, found(e.Value))
	}
}

// typed returns the type of schema v, whose "type" is typ; of a bare type name v is typ.
func (p *schemaParser) typed(v, typ *Value, depth int) column.Type {
	name, nullable := typ, false
	if list, ok := typ.Data.([]*Value); ok {
		name = nil
		for _, e := range list {
			switch {
			case e.Data == nil || e.Text() == "null":
				nullable = true
			case name != nil:
				p.fail(typ.Place, "a column has one type, found %q and %q", scalarText(name), scalarText(e)).Hint =
					`Only "null" may stand beside a type: [string, "null"].`
				return column.AnyType
			default:
				name = e
			}
		}
		if name == nil {
			p.fail(typ.Place, "wanted a type beside \"null\", found none")
			return column.AnyType
		}
	}
	if !isText(name) {
		p.fail(name.Place, "wanted the name of a type, found %s", found(name))
		return column.AnyType
	}
	t := p.named(v, name, depth)
	t.Nullable = t.Nullable || nullable
	return t
}

func (p *schemaParser) named(v, name *Value, depth int) column.Type {
	switch name.Text() {
	case "array":
		items := v.Get("items")
		if items == nil {
			p.fail(v.Place, "the schema of an array needs \"items\", which is not given").Hint = "Say {type: array, items: {type: string}}."
			return column.AnyType
		}
		return column.ListOf(p.schema(items, depth+1))
	case "object":
		return p.object(v, depth)
	}
	t, ok := jsonTypes[name.Text()]
	if !ok {
		p.fail(name.Place, "no type is named %q", name.Text()).Hint = typeHint(name.Text())
		return column.AnyType
	}
	return t
}

// typeHint names the type that is meant, also by the names that it has elsewhere.
func typeHint(name string) string {
	others := map[string]string{
		"int": "integer", "int64": "integer", "long": "integer", "float": "number", "double": "number", "bool": "boolean", "str": "string",
		"text": "string", "list": "array", "dict": "object", "map": "object", "row": "object",
	}
	if meant, ok := others[strings.ToLower(name)]; ok {
		return fmt.Sprintf("Did you mean %q?", meant)
	}
	return diag.DidYouMean(name, "types", jsonTypeNames)
}

func (p *schemaParser) object(v *Value, depth int) column.Type {
	props := v.Get("properties")
	if props == nil {
		more := v.Get("additionalProperties")
		if more == nil || !isMap(more) {
			p.fail(v.Place, "the schema of an object needs \"properties\", or \"additionalProperties\" with a schema").Hint =
				"A row is {type: object, properties: {a: {type: string}}}, a map {type: object, additionalProperties: {type: string}}."
			return column.AnyType
		}
		return column.MapOf(p.schema(more, depth+1))
	}
	if !isMap(props) {
		p.fail(props.Place, "wanted a map from names to schemas for \"properties\", found %s", found(props))
		return column.AnyType
	}
	required := p.required(v, props)
	fields := make(column.Schema, 0, len(props.Entries()))
	for _, e := range props.Entries() {
		t := p.schema(e.Value, depth+1)
		if p.optional && !required[e.Key] {
			t.Nullable = true
		}
		fields = append(fields, column.Field{Name: e.Key, Type: t})
	}
	return column.RowOf(fields)
}

// required returns the names in "required".
func (p *schemaParser) required(v, props *Value) map[string]bool {
	names := map[string]bool{}
	list := v.Get("required")
	if list == nil {
		return names
	}
	if _, ok := list.Data.([]*Value); !ok {
		p.fail(list.Place, "wanted a list of names for \"required\", found %s", found(list))
	}
	for _, e := range list.List() {
		switch {
		case !isText(e):
			p.fail(e.Place, "wanted the name of a property, found %s", found(e))
		case props.Entry(e.Text()) == nil:
			p.fail(e.Place, "%q is required and is no property of the schema", e.Text()).Hint = didYouMean(e.Text(), propertyNames(props))
		}
		names[e.Text()] = true
	}
	return names
}

func propertyNames(props *Value) []string {
	var names []string
	for _, e := range props.Entries() {
		names = append(names, e.Key)
	}
	return names
}

// alternatives returns the type of oneOf or anyOf: one schema beside {type: "null"}.
func (p *schemaParser) alternatives(e *Entry, depth int) column.Type {
	var schema *Value
	nullable := false
	for _, a := range e.Value.List() {
		if typ := a.Get("type"); typ != nil && (typ.Data == nil || typ.Text() == "null") {
			nullable = true
			continue
		}
		if schema != nil {
			p.fail(a.Place, "a column has one type: %q may hold one schema beside {type: \"null\"}", e.Key)
			return column.AnyType
		}
		schema = a
	}
	if schema == nil {
		p.fail(e.At, "wanted a list of schemas for %q, found %s", e.Key, describeEmpty(e.Value))
		return column.AnyType
	}
	t := p.schema(schema, depth+1)
	t.Nullable = t.Nullable || nullable
	return t
}

func describeEmpty(v *Value) string {
	if list, ok := v.Data.([]*Value); ok {
		return fmt.Sprintf("%d that say nothing", len(list))
	}
	return found(v)
}
