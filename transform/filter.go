package transform

import (
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// Filter keeps the rows for which an expression is true.
var Filter = catalog.AddTransform(catalog.Transform{
	Name:    "Filter",
	Summary: "Keeps the rows for which an expression is true.",
	Doc: `
True is what is true in Python: not false, zero, empty or null. Comparing null with < or > is an error of the row, not false;
write "x is not None and x > 3" in Python.

Fields, order, time and windows are unchanged. No row is copied. A row for which the expression fails goes to the error output.
`,
	Source: beamUDF + "#filtering",
	Fields: []catalog.Field{
		{Name: "keep", Type: catalog.Expression, Required: true, Doc: "The condition for a row to be kept."},
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
    - type: Filter
      config:
        keep: born > 1900

# Expected:
#  Row(name='alan', born=1912)
`,
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		keep := l.Expr(l.Config.Get("keep"), l.Schema())
		if keep == nil {
			return failed()
		}
		n := l.Builder.Filter(l.Main(), keep)
		return catalog.Main(n.Main(), n)
	},
})

// row is the expression that is the row itself.
func row(fields column.Schema) *expr.Expr {
	return &expr.Expr{Op: expr.OpRow, Type: column.RowOf(fields)}
}
