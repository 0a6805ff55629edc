package kernel

import (
	"bytes"
	"math"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// extreme is max and min of values that are numbers or instants. Each value is turned into a word that sorts as it does; for min all bits are
// inverted, so that the greatest is kept in both. The empty state is less than all.
//
// Not a number wins over all numbers, and 0.0 is greater than -0.0: Python's answer depends on the order of rows there.
type extreme struct {
	inRow
	arg  column.Type
	flip uint64 // all ones for min
}

func newExtreme(arg column.Type, least bool) *extreme {
	e := &extreme{arg: arg}
	if least {
		e.flip = math.MaxUint64
	}
	return e
}

func (e *extreme) words() int { return 1 }

func (e *extreme) add(groups []uint32, rows []int32, v *column.Vector, _ *place) (int, error) {
	if bad := firstNull(v, rows); bad >= 0 {
		return bad, noOrder(e.flip != 0, "NoneType", kindName(e.arg.Kind))
	}
	pages, width, at := e.rows.pages, e.rows.width, e.at
	switch e.arg.Kind {
	case column.Float:
		for i, g := range groups {
			w := stateAt(pages, width, at, g)
			w[0] = max(w[0], e.ofFloat(v.Floats[rows[i]]))
		}
	case column.Bool:
		for i, g := range groups {
			x := int64(0)
			if v.Bools[rows[i]] {
				x = 1
			}
			w := stateAt(pages, width, at, g)
			w[0] = max(w[0], e.ofInt(x))
		}
	default:
		for i, g := range groups {
			w := stateAt(pages, width, at, g)
			w[0] = max(w[0], e.ofInt(v.Ints[rows[i]]))
		}
	}
	return 0, nil
}

const signBit = 1 << 63

// ofInt and ofFloat turn a value into a word, toInt and toFloat a word into the value. A float is not a number where its word is the greatest.
func (e *extreme) ofInt(x int64) uint64 { return uint64(x) ^ signBit ^ e.flip }
func (e *extreme) toInt(w uint64) int64 { return int64(w ^ signBit ^ e.flip) }

func (e *extreme) ofFloat(x float64) uint64 {
	if x != x {
		return math.MaxUint64
	}
	b := int64(math.Float64bits(x))
	return e.ofInt(b ^ int64(uint64(b>>63)>>1))
}

func (e *extreme) toFloat(w uint64) float64 {
	if w == math.MaxUint64 {
		return math.NaN()
	}
	b := e.toInt(w)
	return math.Float64frombits(uint64(b ^ int64(uint64(b>>63)>>1)))
}

func (e *extreme) merge(groups []uint32, p *partials, _ []*column.Vector) error {
	for i, g := range groups {
		w := e.state(g)
		w[0] = max(w[0], p.row(i)[e.at])
	}
	return nil
}

func (e *extreme) finish(groups []uint32) (*column.Vector, int, error) {
	v := &column.Vector{Type: e.arg.NotNull(), N: len(groups)}
	switch e.arg.Kind {
	case column.Float:
		v.Floats = make([]float64, v.N)
		for i, g := range groups {
			v.Floats[i] = e.toFloat(e.state(g)[0])
		}
	case column.Bool:
		v.Bools = make([]bool, v.N)
		for i, g := range groups {
			v.Bools[i] = e.toInt(e.state(g)[0]) != 0
		}
	default:
		v.Ints = make([]int64, v.N)
		for i, g := range groups {
			v.Ints[i] = e.toInt(e.state(g)[0])
		}
	}
	return v, 0, nil
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

// extremeBin is max and min of strings and bytes, which Python compares by code point and byte: both are the order of their bytes.
//
// Its words are where the best value lies, and its length and how much may be overwritten there, or 0 while there is no value.
type extremeBin struct {
	inRow
	arg   column.Type
	least bool
	arena arena
}

func (e *extremeBin) words() int { return 2 }

// best returns the best value of a state, nil where there is none.
func (e *extremeBin) best(w []uint64) []byte {
	if w[1] == 0 {
		return nil
	}
	return e.arena.get(w[0], int(w[1]&math.MaxUint32))
}

// offer lets x be the best value of group g if it is.
func (e *extremeBin) offer(g uint32, x []byte) {
	w := e.state(g)
	room := w[1] >> 32
	if room > 0 {
		if order := bytes.Compare(x, e.best(w)); order == 0 || order > 0 == e.least {
			return
		}
	}
	if room <= uint64(len(x)) {
		room = uint64(len(x)+8) &^ 7
		w[0] = e.arena.room(int(room))
	}
	w[1] = room<<32 | uint64(copy(e.arena.get(w[0], len(x)), x))
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

func (e *extremeBin) extraSchema() column.Schema {
	return column.Schema{{Name: "best", Type: e.arg.NotNull()}}
}

func (e *extremeBin) export(groups []uint32, cols []*column.Vector) {
	v := cols[0]
	ends := binOf(v, len(groups))
	for i, g := range groups {
		v.Data = append(v.Data, e.best(e.state(g))...)
		ends[i] = int32(len(v.Data))
	}
}

func (e *extremeBin) weight(g uint32) int { return len(e.best(e.state(g))) }

func (e *extremeBin) merge(groups []uint32, _ *partials, cols []*column.Vector) error {
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

func (e *extremeBin) bytes() int64 { return e.arena.bytes }
func (e *extremeBin) reset()       { e.arena.reset() }

// extremeAny is max and min of values of types that are known row by row, and of lists and rows.
type extremeAny struct {
	inRow
	arg   column.Type
	least bool
	best  []column.Value
	size  int64
}

func (e *extremeAny) words() int { return 0 }

func (e *extremeAny) grow(n int) {
	if n > len(e.best) {
		e.best = append(e.best, make([]column.Value, n-len(e.best))...)
	}
}

// offer lets x be the best value of group g if it is. Of values that are equal, 1 and 1.0, that is the best whose binary form sorts
// first: the result does not depend on the order of rows.
func (e *extremeAny) offer(g uint32, x column.Value) error {
	best := &e.best[g]
	if x == nil {
		return noOrder(e.least, "NoneType", expr.TypeName(*best))
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
			return noOrder(e.least, expr.TypeName(x), expr.TypeName(*best))
		}
		more, err := expr.Less(*best, x)
		if err != nil {
			return noOrder(e.least, expr.TypeName(x), expr.TypeName(*best))
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

func (e *extremeAny) extraSchema() column.Schema {
	return column.Schema{{Name: "best", Type: column.AnyType}}
}

func (e *extremeAny) export(groups []uint32, cols []*column.Vector) {
	v := cols[0]
	v.N, v.Boxed = len(groups), resize(v.Boxed, len(groups))
	for i, g := range groups {
		v.Boxed[i] = e.best[g]
	}
}

func (e *extremeAny) weight(group uint32) int { return int(valueBytes(e.best[group])) }

func (e *extremeAny) merge(groups []uint32, _ *partials, cols []*column.Vector) error {
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

func (e *extremeAny) bytes() int64 { return int64(cap(e.best))*16 + e.size }
func (e *extremeAny) reset()       { clear(e.best); e.best, e.size = e.best[:0], 0 }
