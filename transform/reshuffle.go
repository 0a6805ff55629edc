package transform

import (
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Reshuffle passes rows through.
var Reshuffle = catalog.AddTransform(catalog.Transform{
	Name:    "Reshuffle",
	Summary: "Passes its rows through; on a cluster it spreads them anew.",
	Doc: `
Rows, times and windows are unchanged. On one machine it does nothing, at no cost, because batches are
spread over all workers as they are read.
`,
	Source: beamRef + "#reshuffle",
	Fields: []catalog.Field{
		{Name: "num_buckets", Type: catalog.Integer, Doc: "The most keys to spread rows by on a cluster."},
	},
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{n: 1}, {n: 2}]
    - type: Reshuffle
    - type: Filter
      config:
        keep: n > 1

# Expected:
#  Row(n=2)
`,
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		if given(l, "num_buckets") && l.Config.Get("num_buckets").Int() < 1 {
			l.Problems.Errorf(placeOf(l, "num_buckets"), diag.BadValue, `wanted 1 or more for "num_buckets", found %d`, l.Config.Get("num_buckets").Int())
		}
		return catalog.Main(l.Main())
	},
})
