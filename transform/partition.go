package transform

import (
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// Partition sends each row to one of several outputs.
var Partition = catalog.AddTransform(catalog.Transform{
	Name:    "Partition",
	Summary: "Sends each row to the output that an expression names.",
	Doc: `
Each row goes to exactly one output, unchanged. The expression gives the name of the output, a string. Null and names that are not
in "outputs" go to "unknown_output"; where that is not given such a row is an error.

An output is read as NAME.OUTPUT by the input of another transform. Time and windows are unchanged.
`,
	Source: beamUDF + "#partitioning",
	Fields: []catalog.Field{
		{Name: "by", Type: catalog.Expression, Required: true, Doc: "The expression that gives the name of a row's output."},
		{Name: "outputs", Type: catalog.TextList, Required: true, Doc: "The names of the outputs."},
		{Name: "unknown_output", Type: catalog.Text, Doc: "The output of rows whose name is null or not listed."},
	},
	Languages: []string{"generic", "python"},
	Errors:    true,
	Example: `
pipeline:
  transforms:
    - type: Create
      config:
        elements:
          - {id: 1, kind: bird}
          - {id: 2, kind: fish}
          - {id: 3, kind: crab}
    - type: Partition
      input: Create
      config:
        by: kind
        outputs: [bird, fish]
        unknown_output: other
    - type: AssertEqual
      input: Partition.bird
      config:
        elements: [{id: 1, kind: bird}]
    - type: AssertEqual
      input: Partition.other
      config:
        elements: [{id: 3, kind: crab}]
    - type: MapToFields
      input: Partition.fish
      config:
        fields: {fish: id}

# Expected:
#  Row(fish=2)
`,
	Lower: lowerPartition,
})

func lowerPartition(l *catalog.Lowering) catalog.Outputs {
	outputs, ok := partitionOutputs(l)
	unknown := -1
	if v := l.Config.Get("unknown_output"); v != nil && v.Data != nil {
		if unknown = slices.Index(outputs, v.Text()); unknown < 0 {
			unknown = len(outputs)
			outputs = append(outputs, v.Text())
		}
	}
	by := l.Expr(l.Config.Get("by"), l.Schema())
	if by == nil || !ok {
		return failed()
	}
	if !kindIs(by.Type, column.String) {
		l.Problems.Errorf(placeOf(l, "by"), diag.TypeMismatch, "wanted a string from \"by\", found %s", by.Type).Hint =
			"Make it a string, with str(…) in Python."
		return failed()
	}
	n := l.Builder.Route(l.Main(), by, outputs, unknown)
	out := catalog.Main(n.Main(), n)
	out.Names, out.Refs = outputs, nil
	for i := range outputs {
		ref := n.Main()
		ref.Port = i
		out.Refs = append(out.Refs, ref)
	}
	return out
}

// partitionOutputs returns the names in "outputs", each once.
func partitionOutputs(l *catalog.Lowering) (names []string, ok bool) {
	ok = true
	for _, v := range l.Config.Get("outputs").Texts() {
		if slices.Contains(names, v.Text()) {
			l.Problems.Errorf(v.Place, diag.BadValue, "output %q is listed twice", v.Text())
			ok = false
		}
		names = append(names, v.Text())
	}
	return names, ok
}
