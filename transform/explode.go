package transform

import (
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// Explode replaces lists by their elements.
var Explode = catalog.AddTransform(catalog.Transform{
	Name:    "Explode",
	Summary: "Makes a row for each element of a list.",
	Doc: `
The other fields are repeated. An empty list gives no row; null is an error of the row. A string is taken as the list of its
characters, and a map as the list of its keys.

With several fields, "cross_product" says how they go together: true gives a row for each combination of elements, false
takes the lists side by side, the first elements together, then the second ones, and pads the shorter lists with null.

Time and windows are unchanged.
`,
	Source: beamUDF + "#flatmap",
	Fields: []catalog.Field{
		{Name: "fields", Type: catalog.TextList, Required: true, Doc: "The fields that hold lists."},
		{Name: "cross_product", Type: catalog.Boolean, Doc: "Whether all combinations are made; required with several fields."},
	},
	Errors: true,
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {order: 7, items: [nut, bolt]}
          - {order: 8, items: []}
    - type: Explode
      config:
        fields: items

# Expected:
#  Row(order=7, items='nut')
#  Row(order=7, items='bolt')
`,
	Lower: lowerExplode,
})

func lowerExplode(l *catalog.Lowering) catalog.Outputs {
	fields, ok := fieldNames(l, "fields")
	if len(fields) == 0 {
		l.Problems.Errorf(placeOf(l, "fields"), diag.BadValue, `"fields" names no field to explode`)
		ok = false
	}
	if len(fields) > 1 && !given(l, "cross_product") {
		l.Problems.Errorf(placeOf(l, "fields"), diag.MissingKey, `exploding several fields needs "cross_product", which is not given`).Hint =
			"Say true for all combinations, false for the lists side by side."
		ok = false
	}
	cross := len(fields) < 2 || l.Config.Get("cross_product").Bool()
	schema := slices.Clone(l.Schema())
	for i, name := range fields {
		at := schema.Index(name)
		if at < 0 || slices.Index(fields, name) < i { // reported above
			continue
		}
		elem, iterable := elementOf(schema[at].Type)
		if !iterable {
			l.Problems.Errorf(l.Config.Get("fields").Texts()[i].Place, diag.TypeMismatch,
				"wanted a list in field %q, found %s", name, schema[at].Type)
			ok = false
		}
		if !cross {
			elem.Nullable = true // the shorter lists are padded
		}
		schema[at].Type = elem
	}
	if !ok {
		return failed()
	}
	n := l.Builder.Explode(l.Main(), fields, cross, schema)
	return catalog.Main(n.Main(), n)
}

// elementOf returns the type of what Python's iteration over a value of type t gives, and whether there is one.
func elementOf(t column.Type) (elem column.Type, ok bool) {
	switch t.Kind {
	case column.List:
		return *t.Elem, true
	case column.String, column.Map:
		return column.StringType, true
	case column.Bytes:
		return column.IntType, true
	case column.Any, column.Null:
		return column.AnyType, true
	}
	return column.AnyType, false
}
