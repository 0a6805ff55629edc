package task

import (
	"fmt"
	"math"
	"slices"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// yield turns one output of a graph into a column.
type yield struct {
	info *model.ValueInfo
	typ  column.Type
	// alone says that the output belongs to the run's one item as a whole: it has no batch axis.
	alone bool
}

// newYield finds the type of column that an output gives. batched says that its first axis is the batch.
func newYield(info *model.ValueInfo, batched bool) *yield {
	y := &yield{info: info, alone: !batched, typ: column.AnyType}
	switch {
	case info.Kind == model.TensorValue && info.Shape != nil:
		rank := len(info.Shape)
		if batched && rank > 0 {
			rank--
		}
		y.typ = elementType(info.DType)
		for range rank {
			y.typ = column.ListOf(y.typ)
		}
	case info.Kind == model.SequenceValue && info.Elem != nil && info.Elem.Kind == model.MapValue && batched:
		y.typ = column.MapOf(elementType(info.Elem.DType))
	}
	return y
}

// elementType is the type of a tensor's elements in a column.
func elementType(d model.DType) column.Type {
	switch {
	case d == model.String:
		return column.StringType
	case d == model.Bool:
		return column.BoolType
	case d.IsInteger():
		return column.IntType
	case d.IsFloat():
		return column.FloatType
	}
	return column.AnyType
}

// results are the values of one output, by item, in the order in which runs gave them.
type results struct {
	*yield
	flat *column.Vector // the elements of all items, where they are numbers or strings
	// from and to are where an item's elements lie in flat, and shape what shape they have.
	from, to []int32
	shape    [][]int64
	boxed    []column.Value // by item, where there is no flat
}

func newResults(y *yield, items int) *results {
	r := &results{yield: y, from: make([]int32, items), to: make([]int32, items), shape: make([][]int64, items)}
	leaf := y.typ
	for leaf.Kind == column.List {
		leaf = *leaf.Elem
	}
	switch leaf.Kind {
	case column.Float, column.Int:
		r.flat = &column.Vector{Type: leaf}
	default:
		r.boxed = make([]column.Value, items)
	}
	return r
}

// take keeps what a run gave for a batch of items.
func (r *results) take(v infer.Value, items []int32) error {
	switch v := v.(type) {
	case *infer.Tensor:
		return r.takeTensor(v, items)
	case *infer.Sequence:
		if r.alone || len(v.Elems) != len(items) {
			break
		}
		for i, item := range items {
			value, err := boxedOf(v.Elems[i])
			if err != nil {
				return err
			}
			r.boxed[item] = value
		}
		return nil
	}
	if r.alone && r.boxed != nil {
		value, err := boxedOf(v)
		r.boxed[items[0]] = value
		return err
	}
	return fmt.Errorf("output %s: wanted one for each of %d rows, found %s", r.info.Name, len(items), infer.KindOf(v))
}

func (r *results) takeTensor(t *infer.Tensor, items []int32) error {
	shape := t.Shape
	if !r.alone {
		if len(shape) == 0 || shape[0] != int64(len(items)) {
			return fmt.Errorf("output %s: wanted one for each of %d rows, found the shape %v", r.info.Name, len(items), shape)
		}
		shape = shape[1:]
	}
	for _, d := range shape {
		if d > math.MaxInt32 {
			return fmt.Errorf("output %s: the shape %v is too large", r.info.Name, shape)
		}
	}
	if r.flat == nil {
		return r.box(t, items, shape)
	}
	if depth := depthOf(r.typ); depth != len(shape) && (depth > 0 || infer.Elements(shape) != 1) {
		return fmt.Errorf("output %s: the graph says %s, found the shape %v for a row", r.info.Name, r.info, shape)
	}
	at := r.flat.N
	if n := infer.Elements(t.Shape); n < 0 || n > int64(math.MaxInt32-at) {
		return fmt.Errorf("output %s: %d rows at once give more than %d numbers: lower max_batch_size", r.info.Name, len(r.from), math.MaxInt32)
	}
	var err error
	switch r.flat.Type.Kind {
	case column.Float:
		r.flat.Floats, err = appendFloats(r.roomFor(len(items), t), t)
		r.flat.N = len(r.flat.Floats)
	case column.Int:
		r.flat.Ints, err = integers(t, r.flat.Ints)
		r.flat.N = len(r.flat.Ints)
	}
	if err != nil {
		return fmt.Errorf("output %s: %w", r.info.Name, err)
	}
	size := (r.flat.N - at) / len(items)
	for i, item := range items {
		r.from[item], r.to[item], r.shape[item] = int32(at+i*size), int32(at+(i+1)*size), shape
	}
	return nil
}

// maxRoom is how many numbers of later runs room is made for at the most. Items need not be alike.
const maxRoom = 1 << 23

// roomFor returns the floats, with room for those of all items if they are like the items of the first run.
func (r *results) roomFor(items int, t *infer.Tensor) []float64 {
	if cap(r.flat.Floats) > 0 {
		return r.flat.Floats
	}
	n := int(infer.Elements(t.Shape))
	return make([]float64, 0, max(n, min(n/items*len(r.from), maxRoom)))
}

// appendFloats appends the elements of a tensor.
func appendFloats(dst []float64, t *infer.Tensor) ([]float64, error) {
	if t.DType != model.Float32 {
		return t.Floats(dst)
	}
	from := infer.View[float32](t)
	dst = slices.Grow(dst, len(from))
	to := dst[len(dst) : len(dst)+len(from)]
	for i, x := range from {
		to[i] = float64(x)
	}
	return dst[:len(dst)+len(from)], nil
}

func (r *results) box(t *infer.Tensor, items []int32, shape []int64) error {
	values, err := boxes(t)
	if err != nil {
		return fmt.Errorf("output %s: %w", r.info.Name, err)
	}
	size := len(values) / len(items)
	for i, item := range items {
		r.boxed[item] = nest(values[i*size:(i+1)*size], shape)
	}
	return nil
}

// depthOf is how deep lists are nested.
func depthOf(t column.Type) int {
	depth := 0
	for ; t.Kind == column.List; t = *t.Elem {
		depth++
	}
	return depth
}

// column returns the values of the given items as a column of the yield's type.
func (r *results) column(items []int32) (*column.Vector, error) {
	if r.flat != nil && r.typ.Kind == r.flat.Type.Kind {
		return r.inOrder(items), nil
	}
	if r.flat != nil && r.nests(items) {
		return r.lists(items), nil
	}
	out := column.NewBuilder(r.typ)
	for _, item := range items {
		v := column.Value(nil)
		if r.flat != nil {
			v = nest(unboxed(r.flat, r.from[item], r.to[item]), r.shape[item])
		} else {
			v = r.boxed[item]
		}
		if err := out.Append(v); err != nil {
			return nil, fmt.Errorf("output %s: wanted %s, found a value that is something else: %w", r.info.Name, r.typ, err)
		}
	}
	return out.Finish(), nil
}

// nests reports whether the items have as many dimensions as the type has lists.
func (r *results) nests(items []int32) bool {
	depth := 0
	for t := &r.typ; t.Kind == column.List; t = t.Elem {
		depth++
	}
	return !slices.ContainsFunc(items, func(item int32) bool { return len(r.shape[item]) != depth })
}

// lists returns nested lists of numbers, without copying them where they lie in order.
func (r *results) lists(items []int32) *column.Vector {
	// The lists of each level are as many as the elements of the level above.
	outer := &column.Vector{Type: r.typ, N: len(items)}
	v := outer
	for level := 0; v.Type.Kind == column.List; level++ {
		v.Offsets = make([]int32, 1, v.N+1)
		for _, item := range items {
			shape := r.shape[item]
			for range infer.Elements(shape[:level]) {
				v.Offsets = append(v.Offsets, v.Offsets[len(v.Offsets)-1]+int32(shape[level]))
			}
		}
		child := &column.Vector{Type: *v.Type.Elem, N: int(v.Offsets[len(v.Offsets)-1])}
		if child.Type.Kind != column.List {
			child = r.inOrder(items)
		}
		v.Children = []*column.Vector{child}
		v = child
	}
	return outer
}

// inOrder returns the numbers of the items one after another.
func (r *results) inOrder(items []int32) *column.Vector {
	ordered := true
	n := 0
	for i, item := range items {
		ordered = ordered && (i == 0 || r.from[item] == r.to[items[i-1]])
		n += int(r.to[item] - r.from[item])
	}
	switch {
	case n == 0:
		return &column.Vector{Type: r.flat.Type}
	case ordered:
		return column.Slice(r.flat, int(r.from[items[0]]), int(r.from[items[0]])+n)
	}
	v := &column.Vector{Type: r.flat.Type, N: n}
	for _, item := range items {
		if r.flat.Type.Kind == column.Float {
			v.Floats = append(v.Floats, r.flat.Floats[r.from[item]:r.to[item]]...)
		} else {
			v.Ints = append(v.Ints, r.flat.Ints[r.from[item]:r.to[item]]...)
		}
	}
	return v
}

func unboxed(v *column.Vector, from, to int32) []column.Value {
	out := make([]column.Value, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, v.Value(int(i)))
	}
	return out
}

// nest folds values into lists of that shape; no dimensions: the one value.
func nest(values []column.Value, shape []int64) column.Value {
	if len(shape) == 0 {
		if len(values) == 0 {
			return nil
		}
		return values[0]
	}
	n := int(shape[0])
	list := &column.ListValue{Elems: make([]column.Value, n)}
	for i := range n {
		size := len(values) / n
		list.Elems[i] = nest(values[i*size:(i+1)*size], shape[1:])
	}
	return list
}

// integers appends the elements of an integer or bool tensor.
func integers(t *infer.Tensor, dst []int64) ([]int64, error) {
	if t.DType == model.Int64 {
		return append(dst, infer.View[int64](t)...), nil
	}
	wide, err := t.Floats(nil) // exact for integers of up to 53 bits
	if t.DType == model.Uint64 {
		for _, x := range infer.View[uint64](t) {
			if x > 1<<63-1 {
				return dst, fmt.Errorf("%d does not fit an integer of 64 bits with a sign", x)
			}
			dst = append(dst, int64(x))
		}
		return dst, nil
	}
	for _, x := range wide {
		dst = append(dst, int64(x))
	}
	return dst, err
}

// boxes returns the elements of a tensor as single values.
func boxes(t *infer.Tensor) ([]column.Value, error) {
	var out []column.Value
	switch {
	case t.DType == model.String:
		for _, s := range t.Strings {
			out = append(out, s)
		}
	case t.DType == model.Bool:
		for _, b := range infer.View[bool](t) {
			out = append(out, b)
		}
	case t.DType.IsInteger():
		ints, err := integers(t, nil)
		if err != nil {
			return nil, err
		}
		for _, x := range ints {
			out = append(out, x)
		}
	default:
		wide, err := t.Floats(nil)
		if err != nil {
			return nil, err
		}
		for _, x := range wide {
			out = append(out, x)
		}
	}
	return out, nil
}

// boxedOf turns a whole output into a value: a tensor into nested lists, a sequence into a list, a map into a map whose keys
// are strings.
func boxedOf(v infer.Value) (column.Value, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case *infer.Tensor:
		values, err := boxes(v)
		return nest(values, v.Shape), err
	case *infer.Sequence:
		list := &column.ListValue{}
		for _, e := range v.Elems {
			value, err := boxedOf(e)
			if err != nil {
				return nil, err
			}
			list.Elems = append(list.Elems, value)
		}
		return list, nil
	case *infer.Map:
		keys, err := boxes(v.Keys)
		if err != nil {
			return nil, err
		}
		values, err := boxes(v.Values)
		if err != nil {
			return nil, err
		}
		for i := range keys {
			keys[i] = fmt.Sprint(keys[i])
		}
		return &column.MapValue{Keys: keys, Elems: values}, nil
	}
	return nil, fmt.Errorf("found %s", infer.KindOf(v))
}
