package plan

import "github.com/leat-project/leat/column"

// AggType returns the type of the aggregate fn over values of type arg; ok is false where fn cannot take such values
// or there is no such fn. A null among the values is no matter of types: sum, max, min, mean and concat fail on it.
func AggType(fn string, arg column.Type) (result column.Type, ok bool) {
	switch fn {
	case "count":
		return column.IntType, true
	case "all", "any":
		return column.BoolType, true
	case "group":
		return column.ListOf(arg), true
	case "sum":
		switch arg.Kind {
		case column.Bool, column.Int:
			return column.IntType, true
		case column.Float, column.Duration, column.Any:
			return arg.NotNull(), true
		}
	case "mean":
		switch arg.Kind {
		case column.Bool, column.Int, column.Float, column.Any:
			return column.FloatType, true
		}
	case "max", "min":
		switch arg.Kind {
		case column.Null, column.Map: // neither has an order
			return column.Type{}, false
		}
		return arg.NotNull(), true
	case "concat":
		switch arg.Kind {
		case column.List:
			return arg.NotNull(), true
		case column.Any:
			return column.ListOf(column.AnyType), true
		}
	}
	return column.Type{}, false
}
