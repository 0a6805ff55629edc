package transform

import "github.com/leat-project/leat/catalog"

// WindowInto sets the windowing of the rows after it.
var WindowInto = catalog.AddTransform(catalog.Transform{
	Name:    "WindowInto",
	Summary: "Puts rows into windows of event time.",
	Doc: `
Grouping transforms after it work for each window on its own. The windowing is one of

- {type: global}: all of time is one window
- {type: fixed, size, offset}: windows side by side
- {type: sliding, size, period, offset}: a window of that size begins every period; a row is in several
- {type: sessions, gap}: rows with less than a gap between them are together

Windows are half-open: a row at the end of a window is in the next one. Lengths are a number with one of the units
ms, s, m, h, d, seconds without a unit; a day has 24 hours. Windows begin at 1970-01-01 UTC plus the offset.

The key "windowing" of any other transform does the same for its inputs. Fields and times are unchanged.
`,
	Source: beamYAML + "#windowing",
	Fields: []catalog.Field{
		{Name: "windowing", Type: catalog.Windowing, Required: true, Doc: "The windowing, as {type: fixed, size: 10s}."},
	},
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{at: 3}, {at: 8}, {at: 12}]
    - type: AssignTimestamps
      config:
        timestamp: at
    - type: WindowInto
      config:
        windowing: {type: sessions, gap: 6s}
    - type: Combine
      config:
        group_by: []
        combine: {n: {value: at, fn: count}}

# Expected:
#  Row(n=3)
`,
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		w, ok := catalog.ParseWindowing(l.Config.Get("windowing"), l.Problems)
		if !ok {
			return failed()
		}
		return catalog.Main(l.Builder.Window(l.Main(), w).Main())
	},
})
