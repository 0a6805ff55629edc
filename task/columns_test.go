package task

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// TestFeedByColumns wants what is fed column by column to be what is fed value by value, or to be left to that.
func TestFeedByColumns(t *testing.T) {
	floats := &column.Vector{Type: column.FloatType, N: 4, Floats: []float64{1.5, -2, 1e-50, 3}}
	ints := &column.Vector{Type: column.IntType, N: 4, Ints: []int64{1, -2, 1<<53 + 1, 4}}
	nulls := &column.Vector{Type: column.FloatType.OrNull(), N: 4, Floats: []float64{1, 7, 3, 4}, Valid: []byte{0b1101}}
	nan := &column.Vector{Type: column.FloatType, N: 4, Floats: []float64{1, math.NaN(), 3, 4}}
	infinite := &column.Vector{Type: column.FloatType, N: 4, Floats: []float64{1, 2, math.Inf(1), 4}}
	texts := &column.Vector{Type: column.StringType, N: 4, Offsets: make([]int32, 5)}
	lists := &column.Vector{Type: column.ListOf(column.FloatType), N: 4, Offsets: []int32{0, 2, 4, 6, 8},
		Children: []*column.Vector{{Type: column.FloatType, N: 8, Floats: []float64{1, 2, 3, 4, 5, 6, 7, 8}}}}
	for name, c := range map[string]struct {
		cols            []*column.Vector
		finite, missing bool
		plain           bool // column by column
	}{
		"floats":                     {cols: []*column.Vector{floats, floats}, plain: true},
		"one column":                 {cols: []*column.Vector{floats}, plain: true},
		"whole numbers":              {cols: []*column.Vector{floats, ints}, finite: true, plain: true},
		"a null":                     {cols: []*column.Vector{floats, nulls}},
		"a null that may be missing": {cols: []*column.Vector{nulls, ints}, finite: true, missing: true, plain: true},
		"NaN":                        {cols: []*column.Vector{nan, ints}, plain: true},
		"NaN where it may not be":    {cols: []*column.Vector{nan, ints}, finite: true},
		"infinity":                   {cols: []*column.Vector{floats, infinite}, finite: true, missing: true},
		"texts":                      {cols: []*column.Vector{texts}},
		"lists":                      {cols: []*column.Vector{lists}, plain: true},
	} {
		for _, numbers := range [][]int32{{0, 1, 2, 3}, {1, 2}, {0, 1, 3}, {3, 1, 2}} {
			f := &feed{info: &model.ValueInfo{Name: "x", DType: model.Float32}, finite: c.finite, missing: c.missing}
			for i := range c.cols {
				f.cols = append(f.cols, i)
			}
			rows := &Rows{N: 4, Cols: c.cols}
			got, want := &elements{dtype: model.Float32}, &elements{dtype: model.Float32}
			ok := f.appendPlain(got, rows, numbers)
			if len(numbers) == rows.N && ok != c.plain || !ok && got.len() > 0 {
				t.Errorf("%s, rows %v: column by column is %v, wanted %v; fed %v", name, numbers, ok, c.plain, got.f32)
			}
			if !ok {
				continue
			}
			for _, row := range numbers {
				if err := f.append(want, rows, int(row)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if fmt.Sprint(got.f32) != fmt.Sprint(want.f32) {
				t.Errorf("%s, rows %v: fed %v, wanted %v", name, numbers, got.f32, want.f32)
			}
		}
	}
}

// TestListsOfOutputs wants outputs to be the nested lists that their shapes say, however runs and items are ordered.
func TestListsOfOutputs(t *testing.T) {
	tensor := func(from float32, shape ...int64) *infer.Tensor {
		values := make([]float32, infer.Elements(shape))
		for i := range values {
			values[i] = from + float32(i)
		}
		return infer.NewTensor(values, shape...)
	}
	type run struct {
		items []int32
		out   *infer.Tensor
	}
	for name, c := range map[string]struct {
		dims  int // of an item
		runs  []run
		items []int32
	}{
		"numbers":            {0, []run{{[]int32{0, 1}, tensor(0, 2)}, {[]int32{2}, tensor(9, 1)}}, []int32{0, 1, 2}},
		"in order":           {1, []run{{[]int32{0, 1}, tensor(0, 2, 3)}, {[]int32{2}, tensor(9, 1, 3)}}, []int32{0, 1, 2}},
		"without the first":  {1, []run{{[]int32{0, 1, 2}, tensor(0, 3, 2)}}, []int32{1, 2}},
		"out of order":       {1, []run{{[]int32{2, 0}, tensor(0, 2, 3)}, {[]int32{1}, tensor(9, 1, 3)}}, []int32{0, 1, 2}},
		"of different sizes": {2, []run{{[]int32{1}, tensor(0, 1, 2, 3)}, {[]int32{0, 2}, tensor(50, 2, 1, 2)}}, []int32{0, 1, 2}},
		"empty":              {2, []run{{[]int32{0}, tensor(0, 1, 2, 0)}, {[]int32{1}, tensor(0, 1, 0, 3)}, {[]int32{2}, tensor(7, 1, 1, 1)}}, []int32{0, 1, 2}},
		"none":               {2, []run{{[]int32{0}, tensor(0, 1, 2, 2)}}, nil},
	} {
		shape := slices.Repeat([]int64{-1}, c.dims+1)
		y := newYield(&model.ValueInfo{Name: "y", Kind: model.TensorValue, DType: model.Float32, Shape: shape}, true)
		r := newResults(y, 3)
		for _, run := range c.runs {
			if err := r.take(run.out, run.items); err != nil {
				t.Fatal(err)
			}
		}
		got, err := r.column(c.items)
		if err != nil {
			t.Fatal(err)
		}
		want := column.NewBuilder(y.typ)
		for _, item := range c.items {
			if err := want.Append(nest(unboxed(r.flat, r.from[item], r.to[item]), r.shape[item])); err != nil {
				t.Fatal(err)
			}
		}
		if w := want.Finish(); got.N != w.N || !sameRows(got, w) {
			t.Errorf("%s: %d rows, wanted %d, or they differ", name, got.N, w.N)
		}
	}
}

func sameRows(a, b *column.Vector) bool {
	for i := range a.N {
		if !reflect.DeepEqual(a.Value(i), b.Value(i)) {
			return false
		}
	}
	return true
}
