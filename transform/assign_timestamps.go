package transform

import "github.com/leat-project/leat/catalog"

// AssignTimestamps gives each row its event time.
var AssignTimestamps = catalog.AddTransform(catalog.Transform{
	Name:    "AssignTimestamps",
	Summary: "Gives each row the event time that an expression says.",
	Doc: `
The time is a number, of seconds since 1970-01-01 UTC, a string in RFC 3339 form ("2025-01-31T10:00:00Z"), or a timestamp. Event
time counts milliseconds; what is finer is rounded down. Null, or a string of another form, is an error of the row.

The fields are unchanged. Windows follow the new time, also where windowing was set before. Rows of files and of Create have
no time of their own before: they are at the beginning of all time.

In an unbounded stream "watermark" says how far the new times may be out of order: {disorder: 5s, per: device, idle: 30s, future: 1h}, see docs/STREAMS.md. Without
it rows are taken to come in order within each partition, and what does not may come too late for its window.
`,
	Source: beamRef + "#assigntimestamps",
	Fields: []catalog.Field{
		{Name: "timestamp", Type: catalog.Expression, Required: true, Doc: "The expression that gives the event time."},
		catalog.WatermarkField(),
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
          - {n: 1, at: 3}
          - {n: 2, at: 8}
          - {n: 3, at: 12}
    - type: AssignTimestamps
      config:
        timestamp: at
    - type: Combine
      windowing: {type: fixed, size: 10s}
      config:
        group_by: []
        combine: {n: sum}

# Expected:
#  Row(n=3)
#  Row(n=3)
`,
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		time := l.Timestamp(l.Config.Get("timestamp"), l.Main())
		w, ok := l.Watermark(l.Config.Get("watermark"), l.Main())
		if time == nil || !ok {
			return failed()
		}
		n := l.Builder.AssignTime(l.Main(), time, w)
		return catalog.Main(n.Main(), n)
	},
})
