package kernel

import (
	"bytes"
	"math"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// extreme is max and min of values that are numbers or instants. Each value is turned into an integer that sorts as it does; for min
// all bits are inverted, so that the greatest is kept in both.
//
// Not a number wins over all numbers, and 0.0 is greater than -0.0: Python's answer depends on the order of rows there.
type extreme struct {
	arg   column.Type
	least bool
	best  paged[int64]
}

func (e *extreme) grow(n int) {
	old := e.best.used
	e.best.grow(n)
	for ; old < n; old++ {
		*e.best.at(uint32(old)) = math.MinInt64
	}
}

func (e *extreme) add(groups []uint32, rows []int32, v *column.Vector, _ *place) (int, error) {
	if bad := firstNull(v, rows); bad >= 0 {
		return bad, noOrder(e.least, "NoneType", kindName(e.arg.Kind))
	}
	flip := int64(0)
	if e.least {
		flip = -1
	}
	switch e.arg.Kind {
	case column.Float:
		for i, g := range groups {
			x := sortable(v.Floats[rows[i]], e.least) ^ flip
			if best := e.best.at(g); x > *best {
				*best = x
			}
		}
	case column.Bool:
		for i, g := range groups {
			x := flip
			if v.Bools[rows[i]] {
				x = 1 ^ flip
			}
			if best := e.best.at(g); x > *best {
				*best = x
			}
		}
	default:
		for i, g := range groups {
			x := v.Ints[rows[i]] ^ flip
			if best := e.best.at(g); x > *best {
				*best = x
			}
		}
	}
	return 0, nil
}

// sortable turns a float into an integer that sorts as it does. Not a number is the extreme that is looked for.
func sortable(x float64, least bool) int64 {
	b := int64(math.Float64bits(x))
	if x != x {
		if least {
			return math.MinInt64
		}
		return math.MaxInt64
	}
	return b ^ int64(uint64(b>>63)>>1)
}

func unsortable(x int64) float64 {
	if x == math.MinInt64 || x == math.MaxInt64 {
		return math.NaN()
	}
	return math.Float64frombits(uint64(x ^ int64(uint64(x>>63)>>1)))
}

// noOrder is Python's error for a pair that max or min cannot compare.
func noOrder(least bool, a, b string) error {
	op := ">"
	if least {
		op = "<"
	}
	return typeError("'%s' not supported between instances of '%s' and '%s'", op, a, b)
}

// kindName is the Python type of values of that kind, in messages.
func kindName(k column.Kind) string {
	switch k {
	case column.Bool:
		return "bool"
	case column.Int:
		return "int"
	case column.Float:
		return "float"
	case column.String:
		return "str"
	case column.Bytes:
		return "bytes"
	case column.Time:
		return "Timestamp"
	case column.Duration:
		return "Duration"
	case column.List:
		return "list"
	}
	return "Row"
}

func (e *extreme) stateSchema() column.Schema {
	return column.Schema{{Name: "best", Type: column.IntType}}
}

func (e *extreme) export(groups []uint32, cols []*column.Vector) {
	exportInts(&e.best, groups, cols[0])
}

func (e *extreme) weight(uint32) int { return 0 }

func (e *extreme) merge(groups []uint32, cols []*column.Vector) error {
	for i, g := range groups {
		best := e.best.at(g)
		*best = max(*best, cols[0].Ints[i])
	}
	return nil
}

func (e *extreme) finish(groups []uint32) (*column.Vector, int, error) {
	flip := int64(0)
	if e.least {
		flip = -1
	}
	v := &column.Vector{Type: e.arg.NotNull(), N: len(groups)}
	switch e.arg.Kind {
	case column.Float:
		v.Floats = make([]float64, v.N)
		for i, g := range groups {
			v.Floats[i] = unsortable(*e.best.at(g) ^ flip)
		}
	case column.Bool:
		v.Bools = make([]bool, v.N)
		for i, g := range groups {
			v.Bools[i] = *e.best.at(g)^flip != 0
		}
	default:
		exportInts(&e.best, groups, v)
		for i := range v.Ints {
			v.Ints[i] ^= flip
		}
	}
	return v, 0, nil
}

func (e *extreme) bytes() int64 { return int64(e.best.used) * 8 }
func (e *extreme) freeze()      {}
func (e *extreme) reset()       { e.best.reset() }

// extremeBin is max and min of strings and bytes, which Python compares by code point and byte: both are the order of their bytes.
type extremeBin struct {
	arg   column.Type
	least bool
	best  paged[binRef]
	arena arena
}

// binRef is where a group's best value lies. room is what may be overwritten there.
type binRef struct {
	ref        uint64
	size, room uint32 // room 0: no value yet
}

func (e *extremeBin) grow(n int) { e.best.grow(n) }

func (e *extremeBin) offer(g uint32, x []byte) {
	best := e.best.at(g)
	if best.room > 0 {
		order := bytes.Compare(x, e.arena.get(best.ref, int(best.size)))
		if order == 0 || order > 0 == e.least {
			return
		}
	}
	if best.room < uint32(len(x))+1 {
		room := (len(x) + 8) &^ 7
		best.ref, best.room = e.arena.room(room), uint32(room)
	}
	best.size = uint32(copy(e.arena.get(best.ref, len(x)), x))
}

func (e *extremeBin) add(groups []uint32, rows []int32, v *column.Vector, _ *place) (int, error) {
	if bad := firstNull(v, rows); bad >= 0 {
		return bad, noOrder(e.least, "NoneType", kindName(e.arg.Kind))
	}
	for i, g := range groups {
		e.offer(g, v.Bin(int(rows[i])))
	}
	return 0, nil
}

func (e *extremeBin) stateSchema() column.Schema {
	return column.Schema{{Name: "best", Type: e.arg.NotNull()}}
}

func (e *extremeBin) export(groups []uint32, cols []*column.Vector) {
	v := cols[0]
	offsets := binOf(v, len(groups))
	for i, g := range groups {
		best := e.best.at(g)
		v.Data = append(v.Data, e.arena.get(best.ref, int(best.size))...)
		offsets[i] = int32(len(v.Data))
	}
}

func (e *extremeBin) weight(group uint32) int { return int(e.best.at(group).size) }

func (e *extremeBin) merge(groups []uint32, cols []*column.Vector) error {
	for i, g := range groups {
		e.offer(g, cols[0].Bin(i))
	}
	return nil
}

func (e *extremeBin) finish(groups []uint32) (*column.Vector, int, error) {
	v := &column.Vector{Type: e.arg.NotNull()}
	e.export(groups, []*column.Vector{v})
	return v, 0, nil
}

func (e *extremeBin) bytes() int64 { return int64(e.best.used)*16 + e.arena.bytes }
func (e *extremeBin) freeze()      {}
func (e *extremeBin) reset()       { e.best.reset(); e.arena.reset() }

// extremeAny is max and min of values of types that are known row by row, and of lists and rows.
type extremeAny struct {
	arg   column.Type
	least bool
	best  paged[column.Value]
	size  int64
}

func (e *extremeAny) grow(n int) { e.best.grow(n) }

// offer lets x be the best value of group g if it is. Of values that are equal, 1 and 1.0, that is the best whose binary form sorts
// first: the result does not depend on the order of rows.
func (e *extremeAny) offer(g uint32, x column.Value) error {
	best := e.best.at(g)
	if x == nil {
		return noOrder(e.least, "NoneType", pythonType(*best))
	}
	wins := *best == nil
	if !wins {
		if f, ok := (*best).(float64); ok && f != f {
			return nil
		}
		if f, ok := x.(float64); ok && f != f {
			x, wins = math.NaN(), true
		}
	}
	if !wins {
		less, err := expr.Less(x, *best)
		if err != nil {
			return noOrder(e.least, pythonType(x), pythonType(*best))
		}
		more, err := expr.Less(*best, x)
		if err != nil {
			return noOrder(e.least, pythonType(x), pythonType(*best))
		}
		switch {
		case less != more:
			wins = less == e.least
		default:
			wins = bytes.Compare(column.AppendValue(nil, x), column.AppendValue(nil, *best)) < 0
		}
	}
	if wins {
		e.size += valueBytes(x) - valueBytes(*best)
		*best = x
	}
	return nil
}

// valueBytes is roughly the memory that a boxed value takes beyond its interface.
func valueBytes(v column.Value) int64 {
	switch v := v.(type) {
	case nil, bool:
		return 0
	case string:
		return 16 + int64(len(v))
	case []byte:
		return 24 + int64(len(v))
	case *column.ListValue:
		return 32 + valuesBytes(v.Elems)
	case *column.MapValue:
		return 48 + valuesBytes(v.Keys) + valuesBytes(v.Elems)
	case *column.RowValue:
		return 48 + valuesBytes(v.Elems)
	}
	return 8
}

func valuesBytes(values []column.Value) (n int64) {
	for _, v := range values {
		n += 16 + valueBytes(v)
	}
	return n
}

func (e *extremeAny) add(groups []uint32, rows []int32, v *column.Vector, _ *place) (int, error) {
	for i, g := range groups {
		if err := e.offer(g, v.Value(int(rows[i]))); err != nil {
			return i, err
		}
	}
	return 0, nil
}

func (e *extremeAny) stateSchema() column.Schema {
	return column.Schema{{Name: "best", Type: column.AnyType}}
}

func (e *extremeAny) export(groups []uint32, cols []*column.Vector) {
	v := cols[0]
	v.N, v.Boxed = len(groups), resize(v.Boxed, len(groups))
	for i, g := range groups {
		v.Boxed[i] = *e.best.at(g)
	}
}

func (e *extremeAny) weight(group uint32) int { return int(valueBytes(*e.best.at(group))) }

func (e *extremeAny) merge(groups []uint32, cols []*column.Vector) error {
	for i, g := range groups {
		if err := e.offer(g, cols[0].Boxed[i]); err != nil {
			return err
		}
	}
	return nil
}

func (e *extremeAny) finish(groups []uint32) (*column.Vector, int, error) {
	boxed := &column.Vector{Type: column.AnyType}
	e.export(groups, []*column.Vector{boxed})
	v, err := column.Convert(boxed, e.arg.NotNull())
	return v, 0, err
}

func (e *extremeAny) bytes() int64 { return int64(e.best.used)*16 + e.size }
func (e *extremeAny) freeze()      {}
func (e *extremeAny) reset()       { e.best.reset(); e.size = 0 }
