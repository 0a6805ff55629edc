package transform

import (
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// Combine groups rows and computes aggregates of each group.
var Combine = catalog.AddTransform(catalog.Transform{
	Name:    "Combine",
	Summary: "Groups rows by fields and window, and computes aggregates of each group.",
	Doc: `
The output has the fields of "group_by", then those of "combine", and a row for each group in each window. With "group_by: []" all
rows of a window are one group. Without any row there is no group, and no row.

Each aggregate is {value: EXPRESSION, fn: NAME}; "name: fn" is short for {value: name, fn: fn}. The value is a Python expression
whatever the language. The functions:

| fn | gives | null |
|---|---|---|
| sum | the sum; of floats exactly rounded, of integers beyond 64 bits an error | an error |
| max, min | the greatest or least value | an error |
| all, any | whether all are, or any is, true as in Python | counts as false |
| mean | the sum divided by the count, a float | an error |
| count | the number of rows | is counted |
| group | the list of the values, by event time, then by their place in the source | is kept |
| concat | the lists of the values, one after another, in the same order | an error |

Null is a key like any other: rows with null in a key are a group. 1 and 1.0 are equal keys.

The time of an output row is the end of its window less 1 ms. Groups are kept in memory and go to disk past the memory limit.
A value that cannot be aggregated fails the job: Combine has no error output.
`,
	Source: beamCombine,
	Fields: []catalog.Field{
		{Name: "group_by", Type: catalog.TextList, Required: true, Doc: "The fields that make a group; [] for one group of all rows."},
		{Name: "combine", Type: catalog.Object, Required: true, Doc: "The aggregates by the name of their field: a function, or {value, fn}."},
	},
	Languages: []string{"generic", "python"},
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {shop: north, price: 4}
          - {shop: south, price: 5}
          - {shop: north, price: 6}
    - type: Combine
      config:
        group_by: shop
        combine:
          price: sum
          sales: {value: price, fn: count}

# Expected:
#  Row(shop='north', price=10, sales=2)
#  Row(shop='south', price=5, sales=1)
`,
	Lower: lowerCombine,
})

var combineFns = []string{"sum", "max", "min", "all", "any", "mean", "count", "group", "concat"}

func lowerCombine(l *catalog.Lowering) catalog.Outputs {
	keys, ok := fieldNames(l, "group_by")
	var aggs []plan.Agg
	for _, e := range l.Config.Get("combine").Entries() {
		if slices.Contains(keys, e.Key) {
			l.Problems.Errorf(e.At, diag.FieldExists, "%q is a field of \"group_by\" already", e.Key).Hint = "Give the aggregate another name."
			ok = false
		}
		agg, fine := aggregate(l, e)
		ok = ok && fine
		aggs = append(aggs, agg)
	}
	if !ok {
		return failed()
	}
	n := l.Builder.Aggregate(l.Main(), keys, aggs)
	return catalog.Main(n.Main(), n)
}

// aggregate reads one entry of "combine".
func aggregate(l *catalog.Lowering, e catalog.Entry) (agg plan.Agg, ok bool) {
	fn, value := e.Value, (*catalog.Value)(nil)
	if _, isMap := e.Value.Data.(*catalog.Map); isMap {
		if fn, value, ok = aggregateKeys(l, e); !ok {
			return agg, false
		}
	}
	agg.Name = e.Key
	if agg.Fn, ok = aggregateFn(l, e, fn); !ok {
		return agg, false
	}
	at := e.At
	if value != nil {
		at = value.Place
		agg.Arg = l.ExprIn("python", value, l.Schema())
	} else {
		agg.Arg = ownField(l, e)
	}
	if agg.Arg == nil {
		return agg, false
	}
	agg.Type, ok = plan.AggType(agg.Fn, agg.Arg.Type)
	if !ok {
		l.Problems.Errorf(at, diag.BadOperands, "%q cannot be taken of %s", agg.Fn, agg.Arg.Type)
	}
	return agg, ok
}

// aggregateKeys reads {value: …, fn: …}.
func aggregateKeys(l *catalog.Lowering, e catalog.Entry) (fn, value *catalog.Value, ok bool) {
	ok = true
	for _, k := range e.Value.Entries() {
		switch k.Key {
		case "fn":
			fn = k.Value
		case "value":
			value = k.Value
		default:
			l.Problems.Errorf(k.At, diag.UnknownKey, "aggregate %q has no key %q", e.Key, k.Key).Hint =
				diag.DidYouMean(k.Key, "keys", []string{"fn", "value"})
			ok = false
		}
	}
	if fn == nil {
		l.Problems.Errorf(e.At, diag.MissingKey, "aggregate %q needs \"fn\", which is not given", e.Key).Hint =
			diag.DidYouMean("", "functions", combineFns)
		ok = false
	}
	return fn, value, ok
}

// aggregateFn returns the name of the function in "fn": a name, or {type: name}.
func aggregateFn(l *catalog.Lowering, e catalog.Entry, fn *catalog.Value) (name string, ok bool) {
	for _, k := range fn.Entries() {
		if k.Key != "type" && k.Key != "config" {
			l.Problems.Errorf(k.At, diag.UnknownKey, "\"fn\" has no key %q", k.Key).Hint = diag.DidYouMean(k.Key, "keys", []string{"type", "config"})
			return "", false
		}
	}
	config := fn.Entry("config")
	if typ := fn.Get("type"); typ != nil {
		fn = typ
	}
	name, isText := fn.Data.(string)
	switch known := slices.Contains(combineFns, name); {
	case !isText:
		l.Problems.Errorf(fn.Place, diag.BadValue, "wanted the name of a function for aggregate %q", e.Key).Hint =
			diag.DidYouMean("", "functions", combineFns)
		return "", false
	case !known && l.Language() == "python" && diag.Suggest(name, combineFns) == "":
		l.Problems.Errorf(fn.Place, diag.Unsupported, "the Python function %q cannot aggregate yet: it needs a Python process", name).Hint =
			diag.DidYouMean(name, "functions", combineFns)
		return "", false
	case !known:
		l.Problems.Errorf(fn.Place, diag.UnknownName, "no aggregate function is named %q", name).Hint = diag.DidYouMean(name, "functions", combineFns)
		return "", false
	case config != nil && len(config.Value.Entries()) > 0:
		l.Problems.Errorf(config.At, diag.UnknownKey, "the function %q takes no config", name)
		return "", false
	}
	return name, true
}

// ownField is the value of an aggregate that names none: the field of the same name.
func ownField(l *catalog.Lowering, e catalog.Entry) *expr.Expr {
	if at := l.Schema().Index(e.Key); at >= 0 {
		return expr.FieldRef(l.Schema()[at])
	}
	l.Problems.Errorf(e.At, diag.UnknownField, "aggregate %q has no value, and the input has no field of that name", e.Key).Hint =
		"Say what is aggregated: {value: FIELD, fn: …}."
	return nil
}
