package expr

import (
	"math"
	"math/big"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/leat-project/leat/column"
)

// NewConform returns a check against a type and, where schema is not nil, a JSON schema as plain data. A Conform
// made without it works, too, but compiles the schema's patterns anew for each value.
func NewConform(t column.Type, schema any) *Conform {
	return &Conform{Type: t, Schema: schema, patterns: &sync.Map{}}
}

// checkSchema reports whether a value fits a JSON schema, as the reference's validator does: fields of rows that
// are null are taken as absent. The error is a *Exception of class ValidationError that says what the first fault is.
//
// Timestamps are taken as the strings that they are written as.
func (c *Conform) checkSchema(v column.Value) error {
	return c.matches(v, c.Schema, "")
}

func invalid(path, format string, args ...any) error {
	if path != "" {
		format += " (at %s)"
		args = append(args, path)
	}
	return raise("ValidationError", format, args...)
}

// matches checks a value at path against a schema. Keywords that say nothing of a value of its kind are passed over.
func (c *Conform) matches(v column.Value, schema any, path string) error {
	s, ok := schema.(map[string]any)
	if !ok {
		if schema == false {
			return invalid(path, "False schema does not allow %s", excerpt(Repr(v)))
		}
		if name, isText := schema.(string); isText {
			return matchesType(v, name, path)
		}
		return nil
	}
	if want, ok := s["type"]; ok {
		if err := matchesType(v, want, path); err != nil {
			return err
		}
	}
	if err := matchesAny(v, s, path); err != nil {
		return err
	}
	switch v := v.(type) {
	case int64, float64:
		if err := matchesNumber(v, s, path); err != nil {
			return err
		}
	case string:
		if err := c.matchesText(v, s, path); err != nil {
			return err
		}
	case *column.ListValue:
		if err := c.matchesList(v, s, path); err != nil {
			return err
		}
	}
	if names, elems, ok := jsonObject(v); ok {
		if err := c.matchesObject(names, elems, s, path); err != nil {
			return err
		}
	}
	return c.matchesAlternatives(v, s, path)
}

// matchesType checks "type": a name or a list of names.
func matchesType(v column.Value, want any, path string) error {
	names, _ := want.([]any)
	if name, ok := want.(string); ok {
		names = []any{name}
	}
	for _, name := range names {
		if isJSONType(v, name) {
			return nil
		}
	}
	var shown []string
	for _, name := range names {
		shown = append(shown, Repr(name))
	}
	return invalid(path, "%s is not of type %s", excerpt(Repr(v)), strings.Join(shown, ", "))
}

func isJSONType(v column.Value, name any) bool {
	switch name {
	case nil, "null":
		return v == nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "integer":
		f, isFloat := v.(float64)
		_, isInt := v.(int64)
		return isInt || isFloat && f == math.Trunc(f) && !math.IsInf(f, 0)
	case "number":
		switch v.(type) {
		case int64, float64:
			return true
		}
	case "string":
		switch v.(type) {
		case string, column.Instant, column.Span:
			return true
		}
	case "bytes":
		_, ok := v.([]byte)
		return ok
	case "array":
		_, ok := v.(*column.ListValue)
		return ok
	case "object":
		_, _, ok := jsonObject(v)
		return ok
	}
	return false
}

// jsonObject returns the properties of a row or a map: the fields of a row that are not null.
func jsonObject(v column.Value) (names []string, elems []column.Value, ok bool) {
	switch v := v.(type) {
	case *column.RowValue:
		for i, e := range v.Elems {
			if e != nil {
				names, elems = append(names, v.Names[i]), append(elems, e)
			}
		}
		return names, elems, true
	case *column.MapValue:
		for i, k := range v.Keys {
			names, elems = append(names, Str(k)), append(elems, v.Elems[i])
		}
		return names, elems, true
	}
	return nil, nil, false
}

// matchesAny checks the keywords for values of any kind.
func matchesAny(v column.Value, s map[string]any, path string) error {
	if list, ok := s["enum"].([]any); ok && !slices.ContainsFunc(list, func(e any) bool { return sameJSON(v, e) }) {
		return invalid(path, "%s is not one of %s", excerpt(Repr(v)), excerpt(Repr(asValue(list))))
	}
	if want, ok := s["const"]; ok && !sameJSON(v, want) {
		return invalid(path, "%s was expected", excerpt(Repr(asValue(want))))
	}
	return nil
}

// sameJSON reports whether a value is the plain data want. true is not 1.
func sameJSON(v column.Value, want any) bool {
	if _, a := v.(bool); a {
		return v == want
	}
	switch want := want.(type) {
	case bool:
		return false
	case []any:
		l, ok := v.(*column.ListValue)
		if !ok || len(l.Elems) != len(want) {
			return false
		}
		for i, e := range l.Elems {
			if !sameJSON(e, want[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		names, elems, ok := jsonObject(v)
		if !ok || len(names) != len(want) {
			return false
		}
		for i, name := range names {
			if w, ok := want[name]; !ok || !sameJSON(elems[i], w) {
				return false
			}
		}
		return true
	}
	return Equal(v, want)
}

// asValue returns plain data as a value, for messages.
func asValue(data any) column.Value {
	switch d := data.(type) {
	case []any:
		l := &column.ListValue{}
		for _, e := range d {
			l.Elems = append(l.Elems, asValue(e))
		}
		return l
	case map[string]any:
		m := &column.MapValue{}
		for k := range d {
			m.Keys = append(m.Keys, k)
		}
		sort.Slice(m.Keys, func(i, j int) bool { return m.Keys[i].(string) < m.Keys[j].(string) })
		for _, k := range m.Keys {
			m.Elems = append(m.Elems, asValue(d[k.(string)]))
		}
		return m
	}
	return data
}

// matchesNumber checks the keywords for numbers. NaN is beyond no bound, as in Python.
func matchesNumber(v column.Value, s map[string]any, path string) error {
	bounds := []struct {
		key, text string
		broken    func(a, b column.Value) bool
	}{
		{"minimum", "is less than the minimum of", func(a, b column.Value) bool { return below(a, b) }},
		{"maximum", "is greater than the maximum of", func(a, b column.Value) bool { return below(b, a) }},
		{"exclusiveMinimum", "is less than or equal to the minimum of", func(a, b column.Value) bool { return below(a, b) || Equal(a, b) }},
		{"exclusiveMaximum", "is greater than or equal to the maximum of", func(a, b column.Value) bool { return below(b, a) || Equal(a, b) }},
	}
	for _, b := range bounds {
		if bound, ok := s[b.key]; ok && isJSONType(bound, "number") && b.broken(v, bound) {
			return invalid(path, "%s %s %s", Repr(v), b.text, Repr(bound))
		}
	}
	if of, ok := s["multipleOf"]; ok && !isMultiple(v, of) {
		return invalid(path, "%s is not a multiple of %s", Repr(v), Repr(of))
	}
	return nil
}

func below(a, b column.Value) bool {
	less, err := Less(a, b)
	return err == nil && less
}

// isMultiple reports whether v divided by of is whole, in floats where of is one, as the reference computes it.
func isMultiple(v, of column.Value) bool {
	whole, ok := of.(int64)
	if n, isInt := v.(int64); ok && isInt {
		return whole != 0 && n%whole == 0
	}
	f, _ := fit(v, column.FloatType).(float64)
	by, isNumber := fit(of, column.FloatType).(float64)
	switch {
	case !isNumber:
		return true
	case ok:
		return math.Mod(f, by) == 0
	}
	q := f / by
	if math.IsInf(q, 0) && !math.IsInf(f, 0) && by != 0 { // too large for a fraction that counts
		exact, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
		divisor := new(big.Rat).SetFloat64(by)
		return ok && divisor != nil && exact.Quo(exact, divisor).IsInt()
	}
	return q == math.Trunc(q) && !math.IsInf(q, 0)
}

// matchesText checks the keywords for strings. Lengths count characters.
func (c *Conform) matchesText(v string, s map[string]any, path string) error {
	if err := matchesCount(charCount(v), v, s, "Length", path); err != nil {
		return err
	}
	text, ok := s["pattern"].(string)
	if !ok {
		return nil
	}
	re, err := c.pattern(text)
	if err != nil {
		return invalid(path, "the pattern %s cannot be understood: %s", Repr(text), err)
	}
	if !re.MatchString(v) {
		return invalid(path, "%s does not match %s", excerpt(Repr(v)), Repr(text))
	}
	return nil
}

// pattern compiles a regular expression, once where there is a cache.
func (c *Conform) pattern(text string) (*regexp.Regexp, error) {
	if c.patterns == nil {
		return regexp.Compile(text)
	}
	if re, ok := c.patterns.Load(text); ok {
		return re.(*regexp.Regexp), nil
	}
	re, err := regexp.Compile(text)
	if err == nil {
		c.patterns.Store(text, re)
	}
	return re, err
}

// matchesCount checks min… and max… for what has n parts.
func matchesCount(n int, v column.Value, s map[string]any, suffix, path string) error {
	if least, ok := s["min"+suffix]; ok && below(int64(n), least) {
		return invalid(path, "%s has %d of %s, at least %s are wanted", excerpt(Repr(v)), n, strings.ToLower(suffix), Repr(least))
	}
	if most, ok := s["max"+suffix]; ok && below(most, int64(n)) {
		return invalid(path, "%s has %d of %s, at most %s are wanted", excerpt(Repr(v)), n, strings.ToLower(suffix), Repr(most))
	}
	return nil
}

func (c *Conform) matchesList(v *column.ListValue, s map[string]any, path string) error {
	if err := matchesCount(len(v.Elems), v, s, "Items", path); err != nil {
		return err
	}
	if s["uniqueItems"] == true {
		for i, e := range v.Elems {
			for _, f := range v.Elems[:i] {
				if _, a := e.(bool); Equal(e, f) && a == isJSONType(f, "boolean") {
					return invalid(path, "%s has non-unique elements", excerpt(Repr(v)))
				}
			}
		}
	}
	if items, ok := s["items"]; ok {
		for i, e := range v.Elems {
			if err := c.matches(e, items, path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Conform) matchesObject(names []string, elems []column.Value, s map[string]any, path string) error {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if text, ok := name.(string); ok && !slices.Contains(names, text) {
			return invalid(path, "%s is a required property", Repr(text))
		}
	}
	if err := matchesCount(len(names), "the object", s, "Properties", path); err != nil {
		return err
	}
	properties, _ := s["properties"].(map[string]any)
	more, limited := s["additionalProperties"]
	for i, name := range names {
		schema, known := properties[name]
		switch {
		case known:
		case more == false:
			return invalid(path, "Additional properties are not allowed (%s was unexpected)", Repr(name))
		case limited:
			schema = more
		default:
			continue
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		if err := c.matches(elems[i], schema, at); err != nil {
			return err
		}
	}
	return nil
}

// matchesAlternatives checks oneOf and anyOf.
func (c *Conform) matchesAlternatives(v column.Value, s map[string]any, path string) error {
	count := func(list []any) (n int) {
		for _, schema := range list {
			if c.matches(v, schema, path) == nil {
				n++
			}
		}
		return n
	}
	if list, ok := s["anyOf"].([]any); ok && count(list) == 0 {
		return invalid(path, "%s is not valid under any of the given schemas", excerpt(Repr(v)))
	}
	if list, ok := s["oneOf"].([]any); ok {
		switch n := count(list); {
		case n == 0:
			return invalid(path, "%s is not valid under any of the given schemas", excerpt(Repr(v)))
		case n > 1:
			return invalid(path, "%s is valid under %d of the given schemas, wanted one", excerpt(Repr(v)), n)
		}
	}
	return nil
}
