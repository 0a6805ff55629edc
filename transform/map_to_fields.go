package transform

import (
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// MapToFields computes the fields of each row anew.
var MapToFields = catalog.AddTransform(catalog.Transform{
	Name:    "MapToFields",
	Summary: "Computes the fields of each row from expressions over the fields of the input.",
	Doc: `
Each row gives one row, with the fields of "fields" in their order. An expression that is the name of a field copies it,
and keeps its type; nothing is moved in memory. All expressions see the row as it came in, not each other's results.

With "append: true" the fields of the input come first, without those in "drop", and the new ones after them. A new field
may not have the name of one that is kept.

"output_type" beside an expression is a JSON schema or the name of a type. A value that does not fit is an error of its row, and
so is null, unless the type says [TYPE, "null"].

Time and windows are unchanged. A row for which an expression fails goes to the error output.
`,
	Source: beamUDF + "#mapping-functions",
	Fields: []catalog.Field{
		{Name: "fields", Type: catalog.Expressions, Required: true, Doc: "The expression for each new field."},
		{Name: "append", Type: catalog.Boolean, Default: "false", Doc: "Whether the fields of the input are kept, before the new ones."},
		{Name: "drop", Type: catalog.TextList, Doc: "The fields of the input that are not kept; only with append."},
	},
	Languages: []string{"generic", "python"},
	Errors:    true,
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {name: ada, born: 1815}
          - {name: alan, born: 1912}
    - type: MapToFields
      config:
        language: python
        append: true
        drop: born
        fields:
          century: born // 100 + 1
          initial: name[0].upper()

# Expected:
#  Row(name='ada', century=19, initial='A')
#  Row(name='alan', century=20, initial='A')
`,
	Lower: lowerMapToFields,
})

func lowerMapToFields(l *catalog.Lowering) catalog.Outputs {
	in := l.Schema()
	drop, ok := fieldNames(l, "drop")
	appending := l.Config.Get("append").Bool()
	if len(drop) > 0 && !appending {
		l.Problems.Errorf(l.Config.Entry("drop").At, diag.BadValue, `"drop" needs "append: true"`).Hint =
			"Without append only the fields in \"fields\" are in the output."
		ok = false
	}
	var fields column.Schema
	var exprs []*expr.Expr
	if appending {
		for _, f := range in {
			if !slices.Contains(drop, f.Name) {
				fields, exprs = append(fields, f), append(exprs, expr.FieldRef(f))
			}
		}
	}
	for _, e := range l.Config.Get("fields").Entries() {
		if fields.Index(e.Key) >= 0 {
			l.Problems.Errorf(e.At, diag.FieldExists, "the input has a field %q already", e.Key).Hint =
				"Add it to \"drop\" to replace it, or choose another name."
			ok = false
		}
		x := l.Expr(e.Value, in)
		if x == nil {
			ok = false
			continue
		}
		fields, exprs = append(fields, column.Field{Name: e.Key, Type: x.Type}), append(exprs, x)
	}
	if !ok {
		return failed()
	}
	n := l.Builder.Map(l.Main(), fields, exprs)
	return catalog.Main(n.Main(), n)
}
