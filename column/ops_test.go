package column

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// randomValue makes a value of that type, null now and then where it may be.
func randomValue(r *rand.Rand, t Type) Value {
	if t.MayBeNull() && r.IntN(4) == 0 {
		return nil
	}
	list := func(t Type) []Value {
		out := []Value{}
		for range r.IntN(4) {
			out = append(out, randomValue(r, t))
		}
		return out
	}
	switch t.Kind {
	case Any:
		return []Value{int64(r.IntN(9)), "text", 0.5, true}[r.IntN(4)]
	case Bool:
		return r.IntN(2) == 0
	case Int:
		return r.Int64()
	case Time:
		return Instant(r.Int64())
	case Duration:
		return Span(r.Int64())
	case Float:
		return r.NormFloat64()
	case String:
		return strings.Repeat("ä", r.IntN(4))
	case Bytes:
		return make([]byte, r.IntN(4))
	case List:
		return &ListValue{Elems: list(*t.Elem)}
	case Map:
		m := &MapValue{Keys: []Value{}, Elems: list(*t.Elem)}
		for i := range m.Elems {
			m.Keys = append(m.Keys, fmt.Sprint("k", i))
		}
		return m
	case Row:
		row := &RowValue{Names: t.Fields.Names()}
		for _, f := range t.Fields {
			row.Elems = append(row.Elems, randomValue(r, f.Type))
		}
		return row
	}
	return nil
}

func vectorOf(t testing.TB, typ Type, values ...Value) *Vector {
	t.Helper()
	b := NewBuilder(typ)
	for _, v := range values {
		if err := b.Append(v); err != nil {
			t.Fatal(err)
		}
	}
	return b.Finish()
}

func valuesOf(v *Vector) []Value {
	out := make([]Value, v.N)
	for i := range out {
		out[i] = v.Value(i)
	}
	return out
}

func TestOpsOfAllTypes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range everything {
		values := make([]Value, 40)
		for i := range values {
			values[i] = randomValue(r, f.Type)
		}
		v := vectorOf(t, f.Type, values...)
		if got := valuesOf(v); !reflect.DeepEqual(got, values) {
			t.Errorf("%s: built %v, want %v", f.Name, got, values)
		}
		for _, cut := range [][2]int{{0, 40}, {8, 20}, {3, 3}, {5, 37}} {
			part := Slice(v, cut[0], cut[1])
			if got := valuesOf(part); !reflect.DeepEqual(got, values[cut[0]:cut[1]]) {
				t.Errorf("%s: slice %v is %v, want %v", f.Name, cut, got, values[cut[0]:cut[1]])
			}
			idx, want := []int32{}, []Value{}
			for range r.IntN(2 * (part.N + 1)) {
				if part.N > 0 {
					k := r.IntN(part.N)
					idx, want = append(idx, int32(k)), append(want, values[cut[0]+k])
				}
			}
			if got := valuesOf(Gather(part, idx)); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: rows %v of slice %v are %v, want %v", f.Name, idx, cut, got, want)
			}
			copied := NewBuilder(f.Type)
			for i := range part.N {
				copied.AppendFrom(part, i)
			}
			if got := valuesOf(copied.Finish()); !reflect.DeepEqual(got, values[cut[0]:cut[1]]) {
				t.Errorf("%s: copied slice %v is %v", f.Name, cut, got)
			}
		}
	}
}

func TestBuilderRefuses(t *testing.T) {
	tests := []struct {
		typ   Type
		value Value
		want  string
	}{
		{IntType, nil, "wanted int, found null"},
		{IntType, "x", "wanted int, found string"},
		{FloatType, int64(1), "wanted float, found int"},
		{ListOf(IntType), &ListValue{Elems: []Value{int64(1), 0.5}}, "element 1: wanted int, found float"},
		{RowOf(Schema{{"a", IntType}}), &RowValue{Names: []string{"b"}, Elems: []Value{nil}}, `field "a": wanted int, found null`},
		{MapOf(IntType), &MapValue{Keys: []Value{int64(1)}, Elems: []Value{int64(1)}}, "element 0: wanted string, found int"},
	}
	for _, test := range tests {
		b := NewBuilder(test.typ)
		if err := b.Append(test.value); err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.typ, err, test.want)
		}
		if b.Len() != 0 {
			t.Errorf("%s: a refused value was appended", test.typ)
		}
	}
}

func TestBuilderStartsAfresh(t *testing.T) {
	b := NewBuilder(ListOf(StringType))
	add := func(s string) {
		if err := b.Append(&ListValue{Elems: []Value{s}}); err != nil {
			t.Fatal(err)
		}
	}
	add("first")
	first := b.Finish()
	add("other")
	second := b.Finish()
	if got := fmt.Sprint(valuesOf(first.Children[0]), valuesOf(second.Children[0])); got != "[first] [other]" {
		t.Error(got)
	}
}

func TestCompact(t *testing.T) {
	b := &Batch{N: 4, Cols: []*Vector{vectorOf(t, IntType, int64(0), int64(1), int64(2), int64(3))}, Times: []int64{10, 11, 12, 13},
		Starts: []int64{0, 0, 1, 1}, Ends: []int64{5, 5, 6, 6}, Origin: &Origin{Seq: 7}}
	if Compact(b) != b {
		t.Error("a batch whose rows all count was copied")
	}
	b.Sel = []int32{1, 3}
	got := Compact(b)
	want := &Batch{N: 2, Cols: []*Vector{vectorOf(t, IntType, int64(1), int64(3))}, Times: []int64{11, 13}, Starts: []int64{0, 1}, Ends: []int64{5, 6},
		Origin: b.Origin, Rows: []int32{1, 3}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.Sel = []int32{}
	if got := Compact(b); got.N != 0 || got.Cols[0].N != 0 {
		t.Errorf("no rows: %+v", got)
	}
}

func TestConvert(t *testing.T) {
	row := func(names string, elems ...Value) *RowValue {
		return &RowValue{Names: strings.Fields(names), Elems: elems}
	}
	list := func(elems ...Value) *ListValue { return &ListValue{Elems: append([]Value{}, elems...)} }
	narrow, wide := RowOf(Schema{{"a", IntType}}), RowOf(Schema{{"b", StringType.OrNull()}, {"a", IntType.OrNull()}})
	tests := []struct {
		from, to Type
		in       []Value
		want     []Value // nil: refused
	}{
		{IntType, IntType, []Value{int64(1)}, []Value{int64(1)}},
		{IntType, IntType.OrNull(), []Value{int64(1)}, []Value{int64(1)}},
		{IntType.OrNull(), IntType, []Value{int64(1)}, []Value{int64(1)}},
		{IntType.OrNull(), IntType, []Value{int64(1), nil}, nil},
		{IntType, FloatType, []Value{int64(1)}, []Value{1.0}},
		{IntType.OrNull(), FloatType.OrNull(), []Value{int64(1), nil}, []Value{1.0, nil}},
		{IntType.OrNull(), FloatType, []Value{int64(1), nil}, nil},
		{FloatType, IntType, []Value{1.0}, nil},
		{IntType.OrNull(), AnyType, []Value{int64(1), nil}, []Value{int64(1), nil}},
		{AnyType, IntType.OrNull(), []Value{int64(1), nil}, []Value{int64(1), nil}},
		{AnyType, IntType, []Value{"x"}, nil},
		{NullType, StringType.OrNull(), []Value{nil}, []Value{nil}},
		{NullType, StringType, []Value{nil}, nil},
		{narrow, wide, []Value{row("a", int64(1))}, []Value{row("b a", nil, int64(1))}},
		{narrow, RowOf(Schema{{"a", IntType}, {"b", IntType}}), []Value{row("a", int64(1))}, nil},
		{ListOf(narrow), ListOf(wide), []Value{list(row("a", int64(1))), list()}, []Value{list(row("b a", nil, int64(1))), list()}},
		{ListOf(NullType), ListOf(IntType), []Value{list(), list()}, []Value{list(), list()}},
		{ListOf(IntType), ListOf(AnyType), []Value{list(int64(1))}, []Value{list(int64(1))}},
		{ListOf(IntType), ListOf(StringType), []Value{list(int64(1))}, nil},
		{StringType, BytesType, []Value{"x"}, nil},
	}
	for _, test := range tests {
		got, err := Convert(vectorOf(t, test.from, test.in...), test.to)
		switch {
		case err != nil && test.want != nil:
			t.Errorf("%s to %s: %v", test.from, test.to, err)
		case err == nil && test.want == nil:
			t.Errorf("%s to %s: got %v, want an error", test.from, test.to, valuesOf(got))
		case err == nil && (!got.Type.Equal(test.to) || !reflect.DeepEqual(valuesOf(got), test.want)):
			t.Errorf("%s to %s: got %v as %s, want %v", test.from, test.to, valuesOf(got), got.Type, test.want)
		}
	}
}

// TestSliceIgnoresOthers: a decoder may leave memory in slices that are not of the vector's kind.
func TestSliceIgnoresOthers(t *testing.T) {
	v := &Vector{Type: IntType, N: 3, Ints: []int64{1, 2, 3}, Offsets: []int32{0}, Floats: []float64{}}
	if got := Slice(v, 1, 3); got.N != 2 || got.Value(0) != int64(2) || got.Offsets != nil {
		t.Errorf("%+v", got)
	}
}
