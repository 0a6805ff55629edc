package transform

import (
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// AnomalyDetection scores rows by how far they are out of the ordinary.
var AnomalyDetection = catalog.AddTransform(catalog.Transform{
	Name:    "AnomalyDetection",
	Summary: "Scores each row by how far its value is from those before it, and labels outliers.",
	Doc: `
The output is the input with a field anomaly: a row of

| field | meaning |
|---|---|
| model_id | the detector's model_id, by default its type |
| score | how far the value is out of the ordinary; NaN until enough values have been seen; null for a value that is null or NaN |
| label | 0 normal, 1 an outlier, -2 where there is no score yet, null where there is none |
| threshold | from which score on a row is an outlier |
| info | empty |

The detectors are Beam's: {type, config}, where config has features (the one field that is looked at), model_id, threshold_criterion and trackers.

| detector | score | threshold |
|---|---|---|
| ZScore | distance from the mean, in standard deviations | 3 |
| IQR | distance from the quartiles, in interquartile ranges | 1.5 |
| RobustZScore | 0.6745 times the distance from the median, in median absolute deviations | 3 |

Each looks at the last 1000 values unless its trackers (sub_stat_tracker and stdev_tracker, q1_tracker and q3_tracker, mad_tracker) say otherwise, as
{type: IncSlidingMeanTracker, config: {window_size: 100}}. A threshold_criterion is {type: FixedThreshold, config: {cutoff: 4}}, or
{type: QuantileThreshold, config: {quantile: 0.99}} of the last 100 scores.

**State**: with "key" each key is looked at on its own. A value is scored before it is learned. Rows of a key are taken by event time, then by their place in the
source, so that the result is the same at any parallelism; in a stream a row waits until the watermark has passed it, and one that comes later goes to the output "late". Windowing
does not matter. Rows that wait, and what is known of each key, are kept in memory: where keys come and go, "gap" says when to forget one.

Beam's result is a row without a schema, in which the predictions are a list; here expressions can read anomaly.label.
`,
	Source: "https://beam.apache.org/releases/yamldoc/current/#anomalydetection",
	Fields: []catalog.Field{
		{Name: "detector", Type: catalog.AnyValue, Required: true, Doc: "The detector: {type: ZScore, config: {features: [value]}}."},
		{Name: "gap", Type: catalog.Length, Doc: "Forget a key after so long without a row, by event time; by default never."},
		{Name: "key", Type: catalog.TextList, Doc: "The fields by which rows are looked at apart; none: all together."},
	},
	Errors: true,
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{at: 1, v: 1}, {at: 2, v: 2}, {at: 3, v: 2}, {at: 4, v: 4}, {at: 5, v: 9}]
    - type: AssignTimestamps
      config: {timestamp: at}
    - type: AnomalyDetection
      config:
        detector: {type: ZScore, config: {features: [v]}}
    - type: MapToFields
      config:
        language: python
        fields: {v: v, label: anomaly.label}

# Expected:
#  Row(v=1, label=-2)
#  Row(v=2, label=-2)
#  Row(v=2, label=0)
#  Row(v=4, label=1)
#  Row(v=9, label=1)
`,
	Lower: lowerAnomalyDetection,
})

func lowerAnomalyDetection(l *catalog.Lowering) catalog.Outputs {
	keys, ok := fieldNames(l, "key")
	detector := l.Config.Get("detector").Plain()
	a, err := plan.ParseAnomaly(detector)
	at := placeOf(l, "detector")
	if err != nil {
		l.Problems.Errorf(at, diag.BadValue, "%v", err).Hint = "Write {type: ZScore, config: {features: [value]}}; \"leat explain AnomalyDetection\" has more."
		return failed()
	}
	schema := l.Schema()
	feature := a.Feature
	if feature == "" {
		if feature = onlyNumber(schema); feature == "" {
			l.Problems.Errorf(at, diag.MissingKey, "the detector does not say which field it looks at").Hint = "Name it: config: {features: [value]}."
			return failed()
		}
	}
	i := schema.Index(feature)
	switch {
	case i < 0:
		unknownField(l, at, feature)
		ok = false
	case !kindIs(schema[i].Type, column.Int, column.Float, column.Bool):
		l.Problems.Errorf(at, diag.TypeMismatch, "wanted a number in field %q, found %s", feature, schema[i].Type)
		ok = false
	}
	if schema.Index(anomalyField) >= 0 {
		l.Problems.Errorf(l.Place, diag.FieldExists, "the input has a field %q already", anomalyField).Hint = "Rename it before."
		ok = false
	}
	if !ok {
		return failed()
	}
	op := &plan.Ordered{Fn: "anomaly", Config: map[string]any{"detector": detector}, Keys: keys, Args: []*expr.Expr{expr.FieldRef(schema[i])}, Tag: anomalyField}
	if gap := l.Config.Get("gap"); gap != nil && gap.Data != nil {
		span, _ := catalog.ParseLength(gap.Data) // it has been checked
		op.Gap = int64(span)
	}
	n := l.Builder.Ordered(l.Main(), op, plan.AnomalyType())
	return catalog.Main(n.Main(), n)
}

// anomalyField is the field that the result is in.
const anomalyField = "anomaly"

// onlyNumber returns the one field of numbers, or "".
func onlyNumber(schema column.Schema) string {
	name := ""
	for _, f := range schema {
		if !f.Type.IsNumber() {
			continue
		}
		if name != "" {
			return ""
		}
		name = f.Name
	}
	return name
}
