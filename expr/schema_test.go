package expr

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/leat-project/leat/column"
)

// fromJSON reads a schema as plain data: whole numbers are int64.
func fromJSON(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return plainNumbers(v)
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}

// rowFromJSON reads a value whose objects are rows.
func rowFromJSON(v any) column.Value {
	switch v := v.(type) {
	case []any:
		l := &column.ListValue{}
		for _, e := range v {
			l.Elems = append(l.Elems, rowFromJSON(e))
		}
		return l
	case map[string]any:
		r := &column.RowValue{}
		for k, e := range v {
			r.Names, r.Elems = append(r.Names, k), append(r.Elems, rowFromJSON(e))
		}
		return r
	}
	return v
}

// TestSchemas compares with Python's jsonschema, which gave the answers; nulls of rows are left out before.
func TestSchemas(t *testing.T) {
	tests := []struct{ schema, value, fault string }{
		{`{"type": "integer"}`, `1`, ""},
		{`{"type": "integer"}`, `1.0`, ""},
		{`{"type": "integer"}`, `1.5`, "1.5 is not of type 'integer'"},
		{`{"type": "integer"}`, `true`, "True is not of type 'integer'"},
		{`{"type": "number"}`, `1`, ""},
		{`{"type": "number"}`, `false`, "False is not of type 'number'"},
		{`{"type": ["string", "null"]}`, `null`, ""},
		{`{"type": ["string", "null"]}`, `3`, "3 is not of type 'string', 'null'"},
		{`{"type": "array", "items": {"type": "string"}}`, `["a", 1]`, "1 is not of type 'string' (at [1])"},
		{`{"type": "object", "properties": {"a": {"minimum": 3}}}`, `{"a": 2}`, "2 is less than the minimum of 3 (at a)"},
		{`{"minimum": 3}`, `3`, ""},
		{`{"minimum": 3}`, `"x"`, ""},
		{`{"minimum": 3}`, `true`, ""},
		{`{"exclusiveMinimum": 3}`, `3`, "3 is less than or equal to the minimum of 3"},
		{`{"maximum": 3.5}`, `4`, "4 is greater than the maximum of 3.5"},
		{`{"exclusiveMaximum": 3}`, `3.0`, "3.0 is greater than or equal to the maximum of 3"},
		{`{"multipleOf": 3}`, `9`, ""},
		{`{"multipleOf": 3}`, `10`, "10 is not a multiple of 3"},
		{`{"multipleOf": 0.1}`, `0.3`, "0.3 is not a multiple of 0.1"}, // it divides floats, and finds 2.9999999999999996
		{`{"multipleOf": 0.5}`, `1e308`, ""},
		{`{"multipleOf": 0.5}`, `3`, ""},
		{`{"multipleOf": 2}`, `3.5`, "3.5 is not a multiple of 2"},
		{`{"multipleOf": 2}`, `-4.0`, ""},
		{`{"enum": [1, "a", null]}`, `1.0`, ""},
		{`{"enum": [1, "a"]}`, `true`, "True is not one of [1, 'a']"},
		{`{"enum": [true]}`, `1`, "1 is not one of [True]"},
		{`{"enum": [{"a": [1]}]}`, `{"a": [1]}`, ""},
		{`{"const": "x"}`, `"y"`, "'x' was expected"},
		{`{"minLength": 2}`, `"ä"`, "'ä' has 1 of length, at least 2 are wanted"},
		{`{"maxLength": 2}`, `"ää"`, ""},
		{`{"pattern": "^a+$"}`, `"aab"`, "'aab' does not match '^a+$'"},
		{`{"pattern": "b"}`, `"aab"`, ""},
		{`{"minItems": 1}`, `[]`, "[] has 0 of items, at least 1 are wanted"},
		{`{"uniqueItems": true}`, `[1, true]`, ""},
		{`{"uniqueItems": true}`, `[1, 1.0]`, "[1, 1.0] has non-unique elements"},
		{`{"required": ["a"]}`, `{"a": null}`, "'a' is a required property"},
		{`{"required": ["a"]}`, `{"a": 0}`, ""},
		{`{"properties": {"a": {}}, "additionalProperties": false}`, `{"b": 1}`, "Additional properties are not allowed ('b' was unexpected)"},
		{`{"properties": {"a": {}}, "additionalProperties": false}`, `{"b": null}`, ""},
		{`{"additionalProperties": {"type": "integer"}}`, `{"b": "x"}`, "'x' is not of type 'integer' (at b)"},
		{`{"properties": {"a": {"properties": {"b": {"type": "string"}}}}}`, `{"a": {"b": 1}}`, "1 is not of type 'string' (at a.b)"},
		{`{"maxProperties": 1}`, `{"a": 1, "b": null}`, ""},
		{`{"oneOf": [{"type": "null"}, {"type": "string"}]}`, `3`, "3 is not valid under any of the given schemas"},
		{`{"oneOf": [{"type": "number"}, {"type": "integer"}]}`, `3`, "3 is valid under 2 of the given schemas, wanted one"},
		{`{"anyOf": [{"type": "number"}, {"type": "integer"}]}`, `3`, ""},
		{`{"pattern": "("}`, `"x"`, "the pattern '(' cannot be understood: error parsing regexp: missing closing ): `(`"},
	}
	for _, tt := range tests {
		c := NewConform(column.AnyType, fromJSON(t, tt.schema))
		got := ""
		if err := c.Check(rowFromJSON(fromJSON(t, tt.value))); err != nil {
			got = strings.TrimPrefix(err.Error(), "ValidationError: ")
		}
		if got != tt.fault {
			t.Errorf("%s of %s: got %q, want %q", tt.schema, tt.value, got, tt.fault)
		}
	}
}

func TestFit(t *testing.T) {
	row := column.RowOf(column.Schema{{Name: "a", Type: column.FloatType}, {Name: "b", Type: column.ListOf(column.IntType).OrNull()}})
	c := NewConform(row, nil)
	v := &column.MapValue{Keys: []column.Value{"b", "a"}, Elems: []column.Value{&column.ListValue{Elems: []column.Value{true, int64(2)}}, int64(3)}}
	if err := c.Check(v); err != nil {
		t.Fatal(err)
	}
	if got := Repr(c.Fit(v)); got != "Row(a=3.0, b=[1, 2])" {
		t.Errorf("got %s", got)
	}
}
