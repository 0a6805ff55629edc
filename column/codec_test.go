package column

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
)

// everything is a schema with a field of each kind.
var everything = Schema{
	{"any", AnyType}, {"null", NullType}, {"bool", BoolType.OrNull()}, {"int", IntType.OrNull()}, {"float", FloatType},
	{"string", StringType.OrNull()}, {"bytes", BytesType}, {"time", TimeType}, {"span", DurationType},
	{"list", ListOf(StringType.OrNull()).OrNull()}, {"map", MapOf(IntType)},
	{"row", RowOf(Schema{{"a", IntType.OrNull()}, {"b", ListOf(FloatType)}}).OrNull()},
}

func sample(t testing.TB) *Batch {
	row := func(a Value, b ...Value) Value {
		return &RowValue{Names: []string{"a", "b"}, Elems: []Value{a, &ListValue{Elems: b}}}
	}
	deep := &RowValue{Names: []string{"x"}, Elems: []Value{&MapValue{Keys: []Value{"k"}, Elems: []Value{&ListValue{Elems: []Value{nil, true}, Tuple: true}}}}}
	columns := [][]Value{
		{int64(1), deep, nil}, {nil, nil, nil}, {true, nil, false}, {int64(-5), int64(math.MaxInt64), nil}, {1.5, math.Inf(-1), 0.0},
		{"", "grün", nil}, {[]byte{0, 1}, []byte{}, []byte("x")}, {Instant(7), MinInstant, MaxInstant}, {Span(1), Span(-1), Span(0)},
		{&ListValue{Elems: []Value{"a", nil}}, nil, &ListValue{Elems: []Value{}}},
		{&MapValue{Keys: []Value{}, Elems: []Value{}}, &MapValue{Keys: []Value{"k", "l"}, Elems: []Value{int64(1), int64(2)}}, &MapValue{Keys: []Value{"k"}, Elems: []Value{int64(3)}}},
		{row(int64(1), 2.5), nil, row(nil)},
	}
	b := &Batch{N: 3}
	for i, f := range everything {
		builder := NewBuilder(f.Type)
		for _, v := range columns[i] {
			if err := builder.Append(v); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
		}
		b.Cols = append(b.Cols, builder.Finish())
	}
	return b
}

func boxed(b *Batch) (rows [][]Value) {
	b.Each(func(i int) {
		var row []Value
		for _, c := range b.Cols {
			row = append(row, c.Value(i))
		}
		rows = append(rows, row)
	})
	return rows
}

func TestBatchRoundTrip(t *testing.T) {
	plain := sample(t)
	full := sample(t)
	full.Times, full.Starts, full.Ends, full.Rows = []int64{1, 2, 3}, []int64{4, 5, 6}, []int64{7, 8, 9}, []int32{10, 11, 12}
	full.Origin = &Origin{Source: 3, Seq: 99, File: "a.json"}
	selected := sample(t)
	selected.Sel = []int32{0, 2}
	sliced := sample(t)
	sliced.N = 2
	for i, c := range sliced.Cols {
		sliced.Cols[i] = Slice(c, 1, 3)
	}
	for name, b := range map[string]*Batch{"plain": plain, "full": full, "selected": selected, "sliced": sliced, "empty": {Cols: make([]*Vector, 0)}} {
		schema := everything
		if len(b.Cols) == 0 {
			schema = nil
		}
		raw := AppendBatch([]byte("before"), b, schema)
		got, rest, err := ReadBatch(append(raw, "after"...)[len("before"):], schema)
		if err != nil || string(rest) != "after" {
			t.Fatalf("%s: rest %q, %v", name, rest, err)
		}
		want := Compact(b)
		if !reflect.DeepEqual(boxed(got), boxed(want)) {
			t.Errorf("%s: got %v, want %v", name, boxed(got), boxed(want))
		}
		if !reflect.DeepEqual(got.Times, want.Times) || !reflect.DeepEqual(got.Starts, want.Starts) || !reflect.DeepEqual(got.Ends, want.Ends) ||
			!reflect.DeepEqual(got.Rows, want.Rows) || !reflect.DeepEqual(got.Origin, want.Origin) {
			t.Errorf("%s: times, windows, rows or origin differ", name)
		}
	}
}

func TestReadBatchRefuses(t *testing.T) {
	good := AppendBatch(nil, sample(t), everything)
	for n := range good {
		if _, _, err := ReadBatch(good[:n], everything); err == nil {
			t.Errorf("the first %d of %d bytes were read without an error", n, len(good))
		}
	}
	other := bytes.Clone(good)
	other[0]++
	if _, _, err := ReadBatch(other, everything); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("another version: %v", err)
	}
	nested := []byte(strings.Repeat("\x09\x01", maxDepth+2)) // lists of one list each
	if _, _, err := ReadValue(nested); err == nil || !strings.Contains(err.Error(), "deeper") {
		t.Errorf("deep value: %v", err)
	}
}

func FuzzReadBatch(f *testing.F) {
	f.Add(AppendBatch(nil, sample(f), everything))
	f.Add([]byte{codecVersion, 0, 0xff, 0xff, 0xff, 0xff, 0x07})
	f.Fuzz(func(t *testing.T, src []byte) {
		b, _, err := ReadBatch(src, everything)
		if err != nil {
			return
		}
		// What can be read says the same when it is written and read again.
		raw := AppendBatch(nil, b, everything)
		again, rest, err := ReadBatch(raw, everything)
		if err != nil || len(rest) != 0 {
			t.Fatalf("again: rest %d bytes, %v", len(rest), err)
		}
		if !bytes.Equal(raw, AppendBatch(nil, again, everything)) {
			t.Fatal("written, read and written again, the bytes differ")
		}
	})
}
