package transform

import (
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// ValidateWithSchema checks each row against a JSON schema.
var ValidateWithSchema = catalog.AddTransform(catalog.Transform{
	Name:    "ValidateWithSchema",
	Summary: "Checks each row against a JSON schema.",
	Doc: `
Rows that fit pass unchanged; the others go to the error output. Null fields are left out before a row is checked: null in a property
that is not required fits, null in a required one does not.

Before anything runs, the types of the fields are compared with the schema: a field of another type than its property, a required
property that is no field, and, with "additionalProperties: false", a field that is no property are problems of the file. An integer
field does not fit a property of type number. Fields whose type is not known are only checked row by row.
`,
	Source: beamRef + "#validatewithschema",
	Fields: []catalog.Field{
		{Name: "schema", Type: catalog.Schema, Required: true, Doc: "The JSON schema of a row."},
	},
	Errors: true,
	Example: `
pipeline:
  transforms:
    - type: Create
      config:
        elements: [{name: ada, age: 36}, {name: bob, age: -1}]
    - type: ValidateWithSchema
      input: Create
      config:
        schema:
          type: object
          properties:
            name: {type: string}
            age: {type: integer, minimum: 0}
        error_handling: {output: bad}
    - type: AssertEqual
      input: ValidateWithSchema
      config:
        elements: [{name: ada, age: 36}]
    - type: StripErrorMetadata
      input: ValidateWithSchema.bad

# Expected:
#  Row(name='bob', age=-1)
`,
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		schema := l.Config.Get("schema")
		t, ok := catalog.ParseSchema(schema, l.Problems)
		if !ok {
			return failed()
		}
		in := column.RowOf(l.Schema())
		if t.Kind != column.Row {
			l.Problems.Errorf(schema.Place, diag.TypeMismatch, "wanted the schema of a row, with properties, found %s", t)
			return failed()
		}
		c := compatibility{problems: l.Problems, ok: true}
		c.check(in, t, schema, "the rows")
		if !c.ok {
			return failed()
		}
		// A row is never None, so what decides is whether it conforms. Of type Any, the comparison cannot be decided
		// before the run.
		conform := &expr.Expr{Op: expr.OpConform, Args: []*expr.Expr{row(l.Schema())}, Type: column.AnyType,
			Conform: expr.NewConform(column.AnyType, schema.Plain())}
		keep := &expr.Expr{Op: expr.OpCompare, Names: []string{"is not"}, Args: []*expr.Expr{conform, expr.Lit(nil)}, Type: column.BoolType}
		n := l.Builder.Filter(l.Main(), keep)
		return catalog.Main(n.Main(), n)
	},
})

// compatibility compares inferred types with a declared schema.
type compatibility struct {
	problems *diag.List
	ok       bool
}

func (c *compatibility) fail(at diag.Place, format string, args ...any) {
	c.ok = false
	c.problems.Errorf(at, diag.TypeMismatch, format, args...)
}

// check compares the type of what with the type want of schema v. Types that JSON schema has no word for fit anything.
func (c *compatibility) check(have, want column.Type, v *catalog.Value, what string) {
	switch have.Kind {
	case column.Any, column.Null, column.Time, column.Duration:
		return
	case column.Map:
		if want.Kind == column.Map {
			c.check(*have.Elem, *want.Elem, v.Get("additionalProperties"), "a value of "+what)
			return
		}
	case column.List:
		if want.Kind == column.List {
			c.check(*have.Elem, *want.Elem, v.Get("items"), "an element of "+what)
			return
		}
	case column.Row:
		if want.Kind == column.Row {
			c.fields(have.Fields, want.Fields, v, what)
			return
		}
	}
	if have.Kind != want.Kind {
		at := diag.Place{}
		if v != nil {
			at = v.Place
		}
		c.fail(at, "the schema wants %s for %s, found %s", want.NotNull(), what, have.NotNull())
	}
}

func (c *compatibility) fields(have, want column.Schema, v *catalog.Value, what string) {
	properties := v.Get("properties")
	for _, name := range v.Get("required").List() {
		if have.Index(name.Text()) < 0 {
			c.fail(name.Place, "the schema requires %q, which is no field of %s", name.Text(), what)
		}
	}
	closed := false
	if more := v.Get("additionalProperties"); more != nil {
		closed = more.Data == false
	}
	for _, f := range have {
		switch at := want.Index(f.Name); {
		case at >= 0:
			c.check(f.Type, want[at].Type, properties.Get(f.Name), "field \""+f.Name+"\"")
		case closed:
			c.fail(v.Get("additionalProperties").Place, "the schema has no property %q and allows no others, and it is a field of %s", f.Name, what)
		}
	}
}
