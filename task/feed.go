package task

import (
	"fmt"
	"math"
	"slices"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// feed turns columns into one input of a graph.
type feed struct {
	info *model.ValueInfo
	at   int   // its number within the graph
	cols []int // of Rows.Cols: one column of any shape, or several of one number each, side by side
	// item is the shape of one item: the input's without its batch axis, -1 where it is dynamic.
	item    []int64
	batched bool // the first axis is the batch
	missing bool // a null is NaN
	finite  bool // NaN (unless missing) and infinity fail their row
	names   []string
}

// newFeed finds how an input is fed by so many columns.
func newFeed(info *model.ValueInfo, cols []int, names []string) (*feed, error) {
	if info.Kind != model.TensorValue || info.DType == model.Undefined {
		return nil, fmt.Errorf("the input %q is %s: only tensors can be fed from columns", info.Name, info)
	}
	if info.DType != model.String && info.DType != model.Bool && !info.DType.IsFloat() && !info.DType.IsInteger() {
		return nil, fmt.Errorf("the input %q is %s: elements of type %s cannot be fed from columns", info.Name, info, info.DType)
	}
	f := &feed{info: info, cols: cols, names: names}
	f.batched = info.Shape == nil || len(info.Shape) > 0 && (info.Shape[0] < 0 || info.Shape[0] == 1)
	f.item = info.Shape
	if f.batched && len(f.item) > 0 {
		f.item = f.item[1:]
	}
	if len(cols) > 1 && len(f.item) == 1 && f.item[0] > 0 && f.item[0] != int64(len(cols)) {
		return nil, fmt.Errorf("the input %q takes %d numbers a row, found %d columns", info.Name, f.item[0], len(cols))
	}
	return f, nil
}

// kinds are the kinds of column that may feed the input.
func (f *feed) kinds() []column.Kind {
	scalar := []column.Kind{column.Float, column.Int, column.Bool}
	if f.info.DType == model.String {
		scalar = []column.Kind{column.String, column.Bytes}
	}
	if len(f.cols) > 1 {
		return scalar
	}
	return append(scalar, column.List)
}

// shape returns the shape of row i as an item, nil where it is the same for all rows, or why it does not fit.
func (f *feed) shape(rows *Rows, i int) ([]int64, error) {
	if len(f.cols) > 1 {
		return nil, nil
	}
	v := rows.Cols[f.cols[0]]
	if v.IsNull(i) && !f.missing {
		return nil, wrongType(f.info.Name, "a value", nil)
	}
	if v.Type.Kind != column.List && v.Type.Kind != column.Any {
		if n, fixed := f.count(); fixed && n != 1 {
			return nil, wrongCount(f.info, n, 1)
		}
		return nil, nil
	}
	nested := nesting(v, i)
	if !regular(v, i, nested) {
		return nil, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("input %s: wanted lists of equal length within each other, as %s, found lists of several lengths", f.info.Name, f.info)}
	}
	n := infer.Elements(nested)
	if want, fixed := f.count(); fixed {
		if n != want {
			return nil, wrongCount(f.info, want, n)
		}
		return nil, nil
	}
	switch {
	case f.info.Shape == nil:
		return nested, nil
	case len(nested) == len(f.item):
		for d := range nested {
			if f.item[d] >= 0 && nested[d] != f.item[d] {
				return nil, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("input %s: wanted the shape %s, found %v for a row", f.info.Name, f.info, nested)}
			}
		}
		return nested, nil
	}
	return f.unfold(n)
}

// alike reports whether all rows have the shape of the input, as far as the lengths of one column tell.
func (f *feed) alike(rows *Rows) bool {
	if len(f.cols) > 1 {
		return true
	}
	v := rows.Cols[f.cols[0]]
	want, fixed := f.count()
	if !fixed || v.HasNulls() {
		return false
	}
	if v.Type.Kind != column.List {
		return want == 1
	}
	for i := range rows.N {
		if int64(v.Offsets[i+1]-v.Offsets[i]) != want {
			return false
		}
	}
	return v.Children[0].Type.Kind != column.List
}

// unfold gives a flat list the shape of the input, where that leaves but one dimension open.
func (f *feed) unfold(n int64) ([]int64, error) {
	shape, open, known := append([]int64(nil), f.item...), -1, int64(1)
	for d, size := range shape {
		if size >= 0 {
			known *= size
		} else if open >= 0 {
			return nil, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("input %s: wanted lists nested as %s, found %d numbers in one list", f.info.Name, f.info, n)}
		} else {
			open = d
		}
	}
	if open < 0 || known == 0 || n%known != 0 {
		return nil, &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("input %s: wanted the shape %s, found %d numbers for a row", f.info.Name, f.info, n)}
	}
	shape[open] = n / known
	return shape, nil
}

func wrongCount(info *model.ValueInfo, want, found int64) error {
	return &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("input %s: wanted %d numbers for each row, found %d", info.Name, want, found)}
}

// count returns how many elements an item has, where its shape is fixed.
func (f *feed) count() (int64, bool) {
	if f.info.Shape == nil {
		return 0, false
	}
	n := infer.Elements(f.item)
	return n, n >= 0
}

// regular reports whether all lists of a value have the lengths of the first ones.
func regular(v *column.Vector, i int, shape []int64) bool {
	switch {
	case v.Type.Kind == column.Any:
		return boxedRegular(v.Value(i), shape)
	case v.Type.Kind != column.List:
		return len(shape) == 0
	case len(shape) == 0 || v.IsNull(i) || int64(v.Offsets[i+1]-v.Offsets[i]) != shape[0]:
		return len(shape) == 0 && v.IsNull(i)
	}
	child := v.Children[0]
	if child.Type.Kind != column.List && child.Type.Kind != column.Any {
		return true
	}
	for k := v.Offsets[i]; k < v.Offsets[i+1]; k++ {
		if !regular(child, int(k), shape[1:]) {
			return false
		}
	}
	return true
}

func boxedRegular(v column.Value, shape []int64) bool {
	list, ok := v.(*column.ListValue)
	if !ok || len(shape) == 0 {
		return !ok && len(shape) == 0
	}
	if int64(len(list.Elems)) != shape[0] {
		return false
	}
	for _, e := range list.Elems {
		if !boxedRegular(e, shape[1:]) {
			return false
		}
	}
	return true
}

// nesting returns the lengths of a nested list, by its first elements.
func nesting(v *column.Vector, i int) []int64 {
	if v.Type.Kind == column.Any {
		return boxedNesting(v.Value(i))
	}
	var shape []int64
	for v.Type.Kind == column.List {
		from, to := v.Offsets[i], v.Offsets[i+1]
		shape = append(shape, int64(to-from))
		if from == to {
			break
		}
		v, i = v.Children[0], int(from)
	}
	return shape
}

func boxedNesting(v column.Value) []int64 {
	var shape []int64
	for {
		list, ok := v.(*column.ListValue)
		if !ok {
			return shape
		}
		shape = append(shape, int64(len(list.Elems)))
		if len(list.Elems) == 0 {
			return shape
		}
		v = list.Elems[0]
	}
}

// elements receives the elements of an input, whatever their type.
type elements struct {
	dtype   model.DType
	f32     []float32
	f64     []float64
	ints    []int64
	strings []string
}

func (e *elements) reset(d model.DType) {
	e.dtype, e.f32, e.f64, e.ints, e.strings = d, e.f32[:0], e.f64[:0], e.ints[:0], e.strings[:0]
}

func (e *elements) len() int { return len(e.f32) + len(e.f64) + len(e.ints) + len(e.strings) }

// float appends a number. It reports whether the element type can hold it.
func (e *elements) float(x float64) bool {
	switch {
	case e.dtype == model.Float64:
		e.f64 = append(e.f64, x)
	case e.dtype.IsFloat():
		e.f32 = append(e.f32, float32(x))
	case x == math.Trunc(x) && math.Abs(x) < 1<<53:
		return e.int(int64(x))
	default:
		return false
	}
	return true
}

// ranges are the least and the greatest value of integers.
var ranges = map[model.DType][2]int64{
	model.Bool: {0, 1}, model.Int8: {math.MinInt8, math.MaxInt8}, model.Int16: {math.MinInt16, math.MaxInt16}, model.Int32: {math.MinInt32, math.MaxInt32},
	model.Int64: {math.MinInt64, math.MaxInt64}, model.Uint8: {0, math.MaxUint8}, model.Uint16: {0, math.MaxUint16}, model.Uint32: {0, math.MaxUint32}, model.Uint64: {0, math.MaxInt64},
}

func (e *elements) int(x int64) bool {
	if e.dtype.IsFloat() {
		return e.float(float64(x))
	}
	r, ok := ranges[e.dtype]
	if !ok || x < r[0] || x > r[1] {
		return false
	}
	e.ints = append(e.ints, x)
	return true
}

// tensor returns what was received as a tensor. It is valid until the next reset.
func (e *elements) tensor(shape []int64) *infer.Tensor {
	switch e.dtype {
	case model.String:
		return infer.NewStrings(e.strings, shape...)
	case model.Float64:
		return infer.NewTensor(e.f64, shape...)
	case model.Float32:
		return infer.NewTensor(e.f32, shape...)
	case model.Int64:
		return infer.NewTensor(e.ints, shape...)
	case model.Float16, model.BFloat16:
		halves := make([]uint16, len(e.f32))
		for i, x := range e.f32 {
			if e.dtype == model.Float16 {
				halves[i] = infer.ToHalf(x)
			} else {
				halves[i] = infer.ToBFloat16(x)
			}
		}
		t := infer.NewTensor(halves, shape...)
		t.DType = e.dtype
		return t
	case model.Bool:
		bools := make([]bool, len(e.ints))
		for i, x := range e.ints {
			bools[i] = x != 0
		}
		return infer.NewTensor(bools, shape...)
	case model.Int8:
		return narrow[int8](e.ints, shape)
	case model.Int16:
		return narrow[int16](e.ints, shape)
	case model.Int32:
		return narrow[int32](e.ints, shape)
	case model.Uint8:
		return narrow[uint8](e.ints, shape)
	case model.Uint16:
		return narrow[uint16](e.ints, shape)
	case model.Uint32:
		return narrow[uint32](e.ints, shape)
	}
	return narrow[uint64](e.ints, shape)
}

func narrow[T int8 | int16 | int32 | uint8 | uint16 | uint32 | uint64](values []int64, shape []int64) *infer.Tensor {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = T(v)
	}
	return infer.NewTensor(out, shape...)
}

// appendPlain appends the elements of many rows at once, where they are numbers on their way to single precision, which is how most tables and
// vectors come. It reports false, and appends nothing, where they are not: row by row it is then found which one it is.
func (f *feed) appendPlain(e *elements, rows *Rows, numbers []int32) bool {
	if e.dtype != model.Float32 || len(numbers) == 0 {
		return false
	}
	if len(f.cols) == 1 && rows.Cols[f.cols[0]].Type.Kind == column.List {
		return f.appendLists(e, rows.Cols[f.cols[0]], numbers)
	}
	width := len(f.cols)
	e.f32 = slices.Grow(e.f32[:0], len(numbers)*width)[:len(numbers)*width]
	first, last := int(numbers[0]), int(numbers[len(numbers)-1])
	together := last-first == len(numbers)-1 && slices.IsSorted(numbers) // as they are but after failures
	for k, c := range f.cols {
		v := rows.Cols[c]
		if !f.plain(v, numbers) {
			e.f32 = e.f32[:0]
			return false
		}
		to := e.f32[k:]
		switch {
		case v.Type.Kind == column.Int && together:
			copyStrided(to, width, v.Ints[first:last+1])
		case v.Type.Kind == column.Int:
			gatherStrided(to, width, v.Ints, numbers)
		case together:
			copyStrided(to, width, v.Floats[first:last+1])
		default:
			gatherStrided(to, width, v.Floats, numbers)
		}
		if v.Valid == nil {
			continue
		}
		for i, row := range numbers {
			if v.IsNull(int(row)) {
				to[i*width] = float32(math.NaN())
			}
		}
	}
	return true
}

// plain reports whether rows of a column are numbers that the input takes.
func (f *feed) plain(v *column.Vector, numbers []int32) bool {
	if v.HasNulls() && !f.missing {
		return false
	}
	return v.Type.Kind == column.Int ||
		v.Type.Kind == column.Float && !(f.finite && slices.ContainsFunc(numbers, func(row int32) bool { return !f.usable(v.Floats[row]) }))
}

// copyStrided sets every width-th element to the next number.
func copyStrided[T int64 | float64](to []float32, width int, from []T) {
	for i, x := range from {
		to[i*width] = float32(float64(x))
	}
}

// gatherStrided sets every width-th element to the number of the next row.
func gatherStrided[T int64 | float64](to []float32, width int, from []T, numbers []int32) {
	for i, row := range numbers {
		to[i*width] = float32(float64(from[row]))
	}
}

func (f *feed) appendLists(e *elements, v *column.Vector, numbers []int32) bool {
	child := v.Children[0]
	if v.Valid != nil || child.Type.Kind != column.Float || child.Valid != nil || f.finite {
		return false
	}
	for _, row := range numbers {
		list := child.Floats[v.Offsets[row]:v.Offsets[row+1]]
		at := len(e.f32)
		e.f32 = slices.Grow(e.f32, len(list))[:at+len(list)]
		to := e.f32[at:]
		for i, x := range list {
			to[i] = float32(x)
		}
	}
	return true
}

// append appends the elements of row i.
func (f *feed) append(e *elements, rows *Rows, i int) error {
	for k, c := range f.cols {
		name := f.info.Name
		if f.names != nil {
			name = f.names[k]
		}
		if err := f.appendValue(e, rows.Cols[c], i, name); err != nil {
			return err
		}
	}
	return nil
}

// appendValue appends a value of a column, the elements of lists one after another.
func (f *feed) appendValue(e *elements, v *column.Vector, i int, name string) error {
	if v.IsNull(i) {
		if f.missing && e.float(math.NaN()) {
			return nil
		}
		return wrongType(name, "a value", nil)
	}
	ok := true
	switch v.Type.Kind {
	case column.Float:
		if f.finite && !f.usable(v.Floats[i]) {
			return notFinite(name, v.Floats[i])
		}
		ok = e.dtype != model.String && e.float(v.Floats[i])
	case column.Int:
		ok = e.dtype != model.String && e.int(v.Ints[i])
	case column.Bool:
		x := int64(0)
		if v.Bools[i] {
			x = 1
		}
		ok = e.dtype != model.String && e.int(x)
	case column.String, column.Bytes:
		if ok = e.dtype == model.String; ok {
			e.strings = append(e.strings, string(v.Bin(i)))
		}
	case column.List:
		for k := v.Offsets[i]; k < v.Offsets[i+1]; k++ {
			if err := f.appendValue(e, v.Children[0], int(k), name); err != nil {
				return err
			}
		}
	default:
		return f.appendBoxed(e, v.Value(i), name)
	}
	if !ok {
		return unfit(name, e.dtype, v.Value(i))
	}
	return nil
}

func (f *feed) appendBoxed(e *elements, v column.Value, name string) error {
	ok := e.dtype != model.String
	switch v := v.(type) {
	case nil:
		if f.missing && e.float(math.NaN()) {
			return nil
		}
		return wrongType(name, "a value", nil)
	case float64:
		if f.finite && !f.usable(v) {
			return notFinite(name, v)
		}
		ok = ok && e.float(v)
	case int64:
		ok = ok && e.int(v)
	case bool:
		x := int64(0)
		if v {
			x = 1
		}
		ok = ok && e.int(x)
	case string:
		if ok = !ok; ok {
			e.strings = append(e.strings, v)
		}
	case []byte:
		if ok = !ok; ok {
			e.strings = append(e.strings, string(v))
		}
	case *column.ListValue:
		for _, x := range v.Elems {
			if err := f.appendBoxed(e, x, name); err != nil {
				return err
			}
		}
		return nil
	default:
		ok = false
	}
	if !ok {
		return unfit(name, e.dtype, v)
	}
	return nil
}

func (f *feed) usable(x float64) bool {
	return !math.IsInf(x, 0) && (f.missing || !math.IsNaN(x))
}

func notFinite(name string, x float64) error {
	return &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("%s: wanted a number, found %s", name, expr.Str(x))}
}

func unfit(name string, d model.DType, v column.Value) error {
	return &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("%s: wanted a value that fits %s, found %s", name, d, expr.Repr(v))}
}
