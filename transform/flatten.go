package transform

import (
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// Flatten is the union of its inputs.
var Flatten = catalog.AddTransform(catalog.Transform{
	Name:    "Flatten",
	Summary: "Takes the rows of all its inputs together.",
	Doc: `
Every row of every input is in the output once, in no particular order. The output has the fields of all inputs, in the order of
their first appearance; where an input lacks a field its rows hold null there. A field with different types in two inputs may
hold any value.

The inputs must have the same windowing. Time and windows of the rows are unchanged. A list of inputs of any other transform
is flattened in the same way.
`,
	Source: beamRef + "#flatten",
	Inputs: catalog.ManyInputs,
	Example: `
pipeline:
  transforms:
    - type: Create
      name: Cats
      config:
        elements: [{name: tom}]
    - type: Create
      name: Mice
      config:
        elements: [{name: jerry, cheese: 3}]
    - type: Flatten
      input: [Cats, Mice]

# Expected:
#  Row(name='tom', cheese=None)
#  Row(name='jerry', cheese=3)
`,
	Lower: lowerFlatten,
})

func lowerFlatten(l *catalog.Lowering) catalog.Outputs {
	first := l.Builder.Plan.Port(l.Main())
	for _, in := range l.In[1:] {
		if w := l.Builder.Plan.Port(in.Ref).Window; w != first.Window {
			l.Problems.Errorf(l.Place, diag.BadWindowing, "the inputs have different windowing: %s and %s", first.Window, w).Hint =
				"Put a WindowInto before, so that all are windowed alike."
			return failed()
		}
	}
	merged := mergeSchemas(l)
	refs := make([]plan.Ref, len(l.In))
	var nodes []*plan.Node
	for i, in := range l.In {
		refs[i] = in.Ref
		schema := l.Builder.Plan.Port(in.Ref).Schema
		if schema.Equal(merged) {
			continue
		}
		exprs := make([]*expr.Expr, len(merged))
		for f, field := range merged {
			if at := schema.Index(field.Name); at >= 0 {
				exprs[f] = expr.FieldRef(schema[at])
			} else {
				exprs[f] = expr.Lit(nil)
			}
		}
		n := l.Builder.Map(in.Ref, merged, exprs)
		refs[i], nodes = n.Main(), append(nodes, n)
	}
	return catalog.Main(l.Builder.Merge(refs...), nodes...)
}

// mergeSchemas returns the fields of all inputs, all nullable.
func mergeSchemas(l *catalog.Lowering) column.Schema {
	var merged column.Schema
	merge := mergeTypes
	if allErrors(l) {
		merge = column.Unify // so that StripErrorMetadata has rows to give
	}
	for _, in := range l.In {
		for _, f := range l.Builder.Plan.Port(in.Ref).Schema {
			if at := merged.Index(f.Name); at < 0 {
				merged = append(merged, column.Field{Name: f.Name, Type: column.Unify(f.Type, column.NullType)})
			} else {
				merged[at].Type = merge(merged[at].Type, f.Type)
			}
		}
	}
	return merged
}

// allErrors reports whether all inputs are error outputs.
func allErrors(l *catalog.Lowering) bool {
	for _, in := range l.In {
		schema := l.Builder.Plan.Port(in.Ref).Schema
		if len(schema) == 0 || !schema.Equal(plan.ErrorSchema(schema[0].Type)) {
			return false
		}
	}
	return true
}

// mergeTypes unifies two types, unless that would change values: rows with different fields stay what they are.
func mergeTypes(a, b column.Type) column.Type {
	if !sameFields(a, b) {
		return column.AnyType
	}
	return column.Unify(a, b)
}

// sameFields reports whether rows within a and b have the same fields in the same order.
func sameFields(a, b column.Type) bool {
	if a.Kind != b.Kind {
		return true
	}
	switch a.Kind {
	case column.List, column.Map:
		return sameFields(*a.Elem, *b.Elem)
	case column.Row:
		if len(a.Fields) != len(b.Fields) {
			return false
		}
		for i := range a.Fields {
			if a.Fields[i].Name != b.Fields[i].Name || !sameFields(a.Fields[i].Type, b.Fields[i].Type) {
				return false
			}
		}
	}
	return true
}
