package transform

import (
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// StripErrorMetadata turns error records into the rows that failed.
var StripErrorMetadata = catalog.AddTransform(catalog.Transform{
	Name:    "StripErrorMetadata",
	Summary: "Turns the records of an error output back into the rows that failed.",
	Doc: `
An error record holds the failed row in the field "failed_row", "element" or "record", the first that there is; that row is the output.
Where the field holds no row (a line of a file that could not be decoded, say) the output has that one field.

Time and windows are unchanged.
`,
	Source: beamErrors,
	Example: `
pipeline:
  transforms:
    - type: Create
      config:
        elements: [{a: 6, b: 3}, {a: 6, b: 0}]
    - type: MapToFields
      name: Divide
      input: Create
      config:
        language: python
        fields: {ratio: a / b}
        error_handling: {output: errors}
    - type: AssertEqual
      input: Divide
      config:
        elements: [{ratio: 2}]
    - type: StripErrorMetadata
      input: Divide.errors

# Expected:
#  Row(a=6, b=0)
`,
	Lower: lowerStripErrorMetadata,
})

var errorFields = []string{"failed_row", "element", "record"}

func lowerStripErrorMetadata(l *catalog.Lowering) catalog.Outputs {
	for _, name := range errorFields {
		at := l.Schema().Index(name)
		if at < 0 {
			continue
		}
		field := l.Schema()[at]
		whole := expr.FieldRef(field)
		fields, exprs := column.Schema{field}, []*expr.Expr{whole}
		if field.Type.Kind == column.Row {
			fields, exprs = field.Type.Fields, nil
			for _, f := range fields {
				exprs = append(exprs, &expr.Expr{Op: expr.OpAttr, Name: f.Name, Args: []*expr.Expr{whole}, Type: f.Type})
			}
		}
		return catalog.Main(l.Builder.Map(l.Main(), fields, exprs).Main())
	}
	l.Problems.Errorf(l.Place, diag.TypeMismatch, "the input is no error output: it has no field %s", strings.Join(errorFields, ", ")).Hint =
		"Read the output that error_handling names, as NAME.errors."
	return failed()
}
