package column

import "testing"

func TestHolds(t *testing.T) {
	row := func(fields ...Field) Type { return RowOf(fields) }
	for _, c := range []struct {
		t, u Type
		want bool
	}{
		{AnyType, IntType.OrNull(), true}, {IntType, AnyType, false}, {IntType.OrNull(), IntType, true}, {IntType, IntType.OrNull(), false},
		{FloatType, IntType, false}, {IntType.OrNull(), NullType, true}, {IntType, NullType, false},
		{ListOf(AnyType), ListOf(IntType), true}, {ListOf(IntType), ListOf(IntType.OrNull()), false},
		{row(Field{"a", IntType.OrNull()}), row(Field{"a", IntType}), true}, {row(Field{"a", IntType}), row(Field{"b", IntType}), false},
		{row(Field{"a", IntType}), row(), false},
	} {
		if got := Holds(c.t, c.u); got != c.want {
			t.Errorf("Holds(%s, %s) = %v, want %v", c.t, c.u, got, c.want)
		}
	}
}
