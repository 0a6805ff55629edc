package transform

import (
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// ExtractWindowingInfo makes fields of a row's time and window.
var ExtractWindowingInfo = catalog.AddTransform(catalog.Transform{
	Name:    "ExtractWindowingInfo",
	Summary: "Makes fields of the time and the window of each row.",
	Doc: `
The fields are added after those of the input:

- timestamp: the event time
- window_start, window_end: the window, its end not included, as timestamps
- window_string: the window in text, as [0.0, 10.0) in seconds, or GlobalWindow
- window_type: IntervalWindow or GlobalWindow
- window_object: the window as a value
- pane_info: a row of is_first, is_last, timing, index and nonspeculative_index

A row that is in several windows gives a row for each of them.
`,
	Source: beamRef + "#extractwindowinginfo",
	Fields: []catalog.Field{
		{Name: "fields", Type: catalog.AnyValue, Default: "[timestamp, window_start, window_end]",
			Doc: "What to add: a list of the names above, or a map from new names to them."},
	},
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{at: 3}, {at: 12}]
    - type: AssignTimestamps
      config:
        timestamp: at
    - type: ExtractWindowingInfo
      windowing: {type: fixed, size: 10s}
      config:
        fields: {window: window_string}

# Expected:
#  Row(at=3, window='[0.0, 10.0)')
#  Row(at=12, window='[10.0, 20.0)')
`,
	Lower: lowerExtractWindowingInfo,
})

// metaType returns the type of one of expr.MetaNames.
func metaType(name string) column.Type {
	switch name {
	case "timestamp", "window_start", "window_end":
		return column.TimeType
	case "window_string", "window_type":
		return column.StringType
	case "pane_info":
		return column.RowOf(column.Schema{
			{Name: "is_first", Type: column.BoolType}, {Name: "is_last", Type: column.BoolType}, {Name: "timing", Type: column.StringType},
			{Name: "index", Type: column.IntType}, {Name: "nonspeculative_index", Type: column.IntType},
		})
	}
	return column.AnyType
}

// extraction is one field to add: what it is called and what it holds.
type extraction struct {
	name, meta string
	at         diag.Place
}

func lowerExtractWindowingInfo(l *catalog.Lowering) catalog.Outputs {
	extractions, ok := extractionsOf(l)
	fields := slices.Clone(l.Schema())
	exprs := make([]*expr.Expr, 0, len(fields)+len(extractions))
	for _, f := range fields {
		exprs = append(exprs, expr.FieldRef(f))
	}
	for _, x := range extractions {
		if fields.Index(x.name) >= 0 {
			l.Problems.Errorf(x.at, diag.FieldExists, "the input has a field %q already", x.name).Hint =
				"Give the new field another name: fields: {NAME: " + x.meta + "}."
			ok = false
		}
		t := metaType(x.meta)
		fields = append(fields, column.Field{Name: x.name, Type: t})
		exprs = append(exprs, &expr.Expr{Op: expr.OpMeta, Name: x.meta, Type: t})
	}
	if !ok {
		return failed()
	}
	return catalog.Main(l.Builder.Map(l.Main(), fields, exprs).Main())
}

func extractionsOf(l *catalog.Lowering) (out []extraction, ok bool) {
	if !given(l, "fields") {
		for _, name := range []string{"timestamp", "window_start", "window_end"} {
			out = append(out, extraction{name: name, meta: name, at: l.Place})
		}
		return out, true
	}
	v := l.Config.Get("fields")
	switch v.Data.(type) {
	case []*catalog.Value:
		for _, e := range v.List() {
			out = append(out, extraction{name: e.Text(), meta: e.Text(), at: e.Place})
		}
	case *catalog.Map:
		for _, e := range v.Entries() {
			out = append(out, extraction{name: e.Key, meta: e.Value.Text(), at: e.At})
		}
	default:
		l.Problems.Errorf(v.Place, diag.BadValue, `wanted a list or a map for "fields"`).Hint = "Say fields: [timestamp, window_start]."
		return nil, false
	}
	for _, x := range out {
		if !slices.Contains(expr.MetaNames, x.meta) {
			l.Problems.Errorf(x.at, diag.BadValue, "a row's windowing has no %q", x.meta).Hint = diag.DidYouMean(x.meta, "values", expr.MetaNames)
			return nil, false
		}
	}
	return out, true
}
