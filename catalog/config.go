package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leat-project/leat/diag"
)

// Keys of a configuration that no transform lists among its fields: the pipeline handles them for every transform.
const (
	languageKey      = "language"
	dependenciesKey  = "dependencies"
	errorHandlingKey = "error_handling"
	outputSchemaKey  = "output_schema"
)

// refusedLanguages are the expression languages that Beam knows and leat does not run, with the reason.
var refusedLanguages = map[string]string{
	"javascript": "JavaScript is not run yet",
	"java":       "Java is not run: leat has no JVM",
	"sql":        "SQL expressions are not compiled yet",
	"calcite":    "SQL expressions are not compiled yet",
}

// CheckConfig checks the configuration of a transform against its fields, and reports whether it is right. Every
// problem is added, at the place of its key or value; a missing key is at the transform's place. config may be nil.
//
// The contents of error_handling and output_schema are left to the pipeline.
func CheckConfig(t *Transform, config *Value, at diag.Place, problems *diag.List) bool {
	c := checker{transform: t, problems: problems}
	before := errorCount(problems)
	switch {
	case config != nil && config.Data != nil && !isMap(config):
		c.wrong(config, `"config"`, "a map")
	default:
		c.object(config, at, fmt.Sprintf("transform %q", t.Name), t.Fields, c.commonKeys(), t.AnyFields)
	}
	c.language(config)
	return errorCount(problems) == before
}

// CheckObject checks a map within a configuration against fields, as CheckConfig does, and reports whether it is right. owner names it
// in problems; a missing key is at the place at.
func CheckObject(v *Value, at diag.Place, owner string, fields []Field, problems *diag.List) bool {
	c := checker{transform: &Transform{}, problems: problems}
	before := errorCount(problems)
	if v != nil && v.Data != nil && !isMap(v) {
		c.wrong(v, owner, "a map")
	} else {
		c.object(v, at, owner, fields, nil, false)
	}
	return errorCount(problems) == before
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

type checker struct {
	transform *Transform
	problems  *diag.List
}

// commonKeys are the keys that the transform takes beside its fields.
func (c *checker) commonKeys() []string {
	keys := []string{outputSchemaKey}
	if c.transform.Errors {
		keys = append(keys, errorHandlingKey)
	}
	if len(c.transform.Languages) > 0 {
		keys = append(keys, languageKey, dependenciesKey)
	}
	return keys
}

// object checks the keys and values of a map. extra are keys that are known and not checked here.
func (c *checker) object(v *Value, at diag.Place, owner string, fields []Field, extra []string, anyKeys bool) {
	known := slices.Clone(extra)
	for _, f := range fields {
		known = append(known, f.Name)
		given := v.Get(f.Name)
		if given == nil || given.Data == nil && f.Type != AnyValue {
			if f.Required {
				c.problems.Errorf(at, diag.MissingKey, "%s needs %q, which is not given", owner, f.Name).Hint = "It is " + lowerFirst(f.Doc)
			}
			continue
		}
		c.field(f, given)
	}
	for _, e := range v.Entries() {
		if !anyKeys && !slices.Contains(known, e.Key) {
			c.unknownKey(e, owner, known)
		}
	}
}

func (c *checker) unknownKey(e Entry, owner string, known []string) {
	if e.Key == errorHandlingKey {
		c.problems.Errorf(e.At, diag.UnknownKey, "%s takes no %q", owner, e.Key).Hint =
			"Its rows cannot fail one by one: handle errors in the transform before it."
		return
	}
	c.problems.Errorf(e.At, diag.UnknownKey, "%s has no key %q", owner, e.Key).Hint = diag.DidYouMean(e.Key, "keys", known)
}

// field checks the value of one field, which is not null unless the field takes anything.
func (c *checker) field(f Field, v *Value) {
	name := fmt.Sprintf("%q", f.Name)
	switch f.Type {
	case Text:
		c.text(f, v, name)
	case Boolean:
		if _, ok := v.Data.(bool); !ok {
			c.wrong(v, name, "true or false")
		}
	case Integer:
		if _, ok := v.Data.(int64); !ok {
			c.wrong(v, name, "a whole number")
		}
	case Number:
		if !isNumber(v) {
			c.wrong(v, name, "a number")
		}
	case TextList:
		c.textList(v, name)
	case List:
		if _, ok := v.Data.([]*Value); !ok {
			c.wrong(v, name, "a list")
		}
	case Object:
		if !isMap(v) {
			c.wrong(v, name, "a map")
			return
		}
		c.object(v, v.Place, name, f.Fields, nil, len(f.Fields) == 0)
	case Expression:
		c.expression(v, name)
	case Expressions:
		if !isMap(v) {
			c.wrong(v, name, "a map from field names to expressions")
			return
		}
		for _, e := range v.Entries() {
			if e.Value.Data != nil { // a bare null is the null literal
				c.expression(e.Value, fmt.Sprintf("field %q", e.Key))
			}
		}
	case Schema:
		if !isMap(v) && !isText(v) { // a text is one of Avro, or the name of a type
			c.wrong(v, name, "a JSON schema, as {type: object, properties: …}")
		}
	case Windowing:
		if !isMap(v) && !isText(v) {
			c.wrong(v, name, "a windowing, as {type: fixed, size: 10s}")
		}
	case Length:
		if _, problem := parseLength(v); problem != "" {
			c.problems.Errorf(v.Place, diag.BadDuration, "%s: %s", name, problem).Hint = lengthHint
		}
	}
}

func (c *checker) text(f Field, v *Value, name string) {
	s, ok := v.Data.(string)
	if !ok {
		p := c.wrong(v, name, "a string")
		if v.Raw != "" {
			p.Hint = fmt.Sprintf("Quote it: %q.", v.Raw)
		}
		return
	}
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, s) {
		c.problems.Errorf(v.Place, diag.BadValue, "%s is %q, wanted one of %s", name, s, strings.Join(f.Enum, ", ")).Hint =
			didYouMean(s, f.Enum)
	}
}

func (c *checker) textList(v *Value, name string) {
	const wanted = "a string or a list of strings"
	if isText(v) {
		return
	}
	list, ok := v.Data.([]*Value)
	if !ok {
		c.wrong(v, name, wanted)
		return
	}
	for _, e := range list {
		if !isText(e) {
			p := c.wrong(e, "an element of "+name, "a string")
			if e.Raw != "" {
				p.Hint = fmt.Sprintf("Quote it: %q.", e.Raw)
			}
		}
	}
}

var expressionKeys = []string{"expression", "callable", "path", "name", "output_type"}

// expression checks the form of an expression; its text is parsed when the transform is lowered.
func (c *checker) expression(v *Value, name string) {
	if !isMap(v) {
		if !isScalar(v) || v.Data == nil {
			c.wrong(v, name, "an expression")
		}
		return
	}
	for _, e := range v.Entries() {
		if !slices.Contains(expressionKeys, e.Key) {
			c.problems.Errorf(e.At, diag.UnknownKey, "%s: an expression has no key %q", name, e.Key).Hint =
				diag.DidYouMean(e.Key, "keys", expressionKeys)
		}
	}
	given := func(key string) bool { x := v.Get(key); return x != nil && x.Data != nil }
	switch {
	case given("expression") && given("callable"):
		c.problems.Errorf(v.Place, diag.BadValue, "%s has both an expression and a callable, wanted one of them", name)
	case (given("expression") || given("callable")) && (given("path") || given("name")):
		c.problems.Errorf(v.Place, diag.BadValue, "%s has an expression or a callable as well as a path or a name, wanted one of them", name)
	case given("path") != given("name"):
		c.problems.Errorf(v.Place, diag.BadValue, `%s needs "path" and "name" together, found one of them`, name)
	case !given("expression") && !given("callable") && !given("path"):
		c.problems.Errorf(v.Place, diag.MissingKey, `%s needs "expression", "callable", or "path" and "name"`, name)
	}
	for _, key := range []string{"callable", "path", "name"} {
		if given(key) && !isText(v.Get(key)) {
			c.wrong(v.Get(key), fmt.Sprintf("%q", key), "a string")
		}
	}
	if given("expression") && !isScalar(v.Get("expression")) {
		c.wrong(v.Get("expression"), `"expression"`, "the text of an expression")
	}
}

// language checks the keys language and dependencies.
func (c *checker) language(config *Value) {
	known := c.transform.Languages
	if len(known) == 0 {
		return
	}
	if e := config.Entry(dependenciesKey); e != nil && e.Value.Data != nil {
		c.problems.Errorf(e.At, diag.Unsupported, "packages for expressions cannot be used yet: they need a Python process").Hint =
			"Leave out \"dependencies\" where the expressions use no package."
	}
	v := config.Get(languageKey)
	if v == nil || v.Data == nil {
		return
	}
	s, ok := v.Data.(string)
	switch reason, refused := refusedLanguages[s]; {
	case !ok:
		c.wrong(v, `"language"`, "a string")
	case slices.Contains(known, s):
	case refused:
		c.problems.Errorf(v.Place, diag.Unsupported, "language %q cannot be used here: %s", s, reason).Hint =
			"Write the expressions in one of the languages " + strings.Join(known, ", ") + "."
	default:
		c.problems.Errorf(v.Place, diag.BadValue, "no language is named %q", s).Hint = diag.DidYouMean(s, "languages", known)
	}
}

func (c *checker) wrong(v *Value, name, wanted string) *diag.Problem {
	return c.problems.Errorf(v.Place, diag.BadValue, "wanted %s for %s, found %s", wanted, name, found(v))
}

// found names the form of a value, as problems do.
func found(v *Value) string {
	if v == nil {
		return "nothing"
	}
	switch d := v.Data.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case string:
		return "a string"
	case []*Value:
		return "a list"
	case *Map:
		return "a map"
	default:
		return fmt.Sprintf("%T", d)
	}
}

// didYouMean is a hint only where a near name is known: the others stand in the text of the problem.
func didYouMean(word string, known []string) string {
	if s := diag.Suggest(word, known); s != "" {
		return fmt.Sprintf("Did you mean %q?", s)
	}
	return ""
}

func isMap(v *Value) bool  { _, ok := v.Data.(*Map); return ok }
func isText(v *Value) bool { _, ok := v.Data.(string); return ok }

func isNumber(v *Value) bool {
	switch v.Data.(type) {
	case int64, float64:
		return true
	}
	return false
}

// isScalar reports whether v is null, a boolean, a number or a string.
func isScalar(v *Value) bool {
	switch v.Data.(type) {
	case []*Value, *Map:
		return false
	}
	return true
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
