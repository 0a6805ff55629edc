package plan

import (
	"testing"

	"github.com/leat-project/leat/column"
)

func TestAggType(t *testing.T) {
	ints, strings := column.ListOf(column.IntType), column.StringType
	tests := []struct {
		fn        string
		arg, want column.Type
		bad       bool
	}{
		{fn: "count", arg: column.NullType, want: column.IntType},
		{fn: "all", arg: strings, want: column.BoolType},
		{fn: "any", arg: ints, want: column.BoolType},
		{fn: "group", arg: strings.OrNull(), want: column.ListOf(strings.OrNull())},
		{fn: "sum", arg: column.BoolType, want: column.IntType},
		{fn: "sum", arg: column.IntType.OrNull(), want: column.IntType},
		{fn: "sum", arg: column.FloatType, want: column.FloatType},
		{fn: "sum", arg: column.DurationType, want: column.DurationType},
		{fn: "sum", arg: column.AnyType, want: column.AnyType},
		{fn: "sum", arg: strings, bad: true},
		{fn: "sum", arg: column.TimeType, bad: true},
		{fn: "mean", arg: column.IntType, want: column.FloatType},
		{fn: "mean", arg: column.DurationType, bad: true},
		{fn: "max", arg: strings.OrNull(), want: strings},
		{fn: "max", arg: ints, want: ints},
		{fn: "min", arg: column.MapOf(strings), bad: true},
		{fn: "min", arg: column.NullType, bad: true},
		{fn: "concat", arg: ints.OrNull(), want: ints},
		{fn: "concat", arg: column.AnyType, want: column.ListOf(column.AnyType)},
		{fn: "concat", arg: strings, bad: true},
		{fn: "median", arg: column.IntType, bad: true},
	}
	for _, test := range tests {
		got, ok := AggType(test.fn, test.arg)
		if ok == test.bad || ok && !got.Equal(test.want) {
			t.Errorf("AggType(%s, %s) = %s, %v; want %s", test.fn, test.arg, got, ok, test.want)
		}
	}
}
