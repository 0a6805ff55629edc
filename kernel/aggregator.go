package kernel

import (
	"fmt"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// aggregator is one aggregate of a table: what it has gathered so far for each group, its state. What of that has a fixed size is words of
// the group's row; the rest, if any, is in the aggregator.
//
// Merging states is exact, so a result depends neither on the order of rows (but for group and concat, which restore it) nor on how rows
// were divided among tables.
type aggregator interface {
	// words returns how many words of a row the state takes. Zeros are the empty state.
	words() int
	// bind says where the words are: in those rows, from word at on.
	bind(rows *words, at int)
	// grow makes empty states for groups below n.
	grow(n int)
	// add adds row rows[i] of v to group groups[i]. An error is that of row rows[bad], the first that fails.
	add(groups []uint32, rows []int32, v *column.Vector, at *place) (bad int, err error)
	// extraSchema says what columns hold the part of the state that is not words.
	extraSchema() column.Schema
	// export writes that part of the states of groups to columns, whose memory it reuses. It may run at the same time as others.
	export(groups []uint32, cols []*column.Vector)
	// weight is roughly how many bytes that part takes.
	weight(group uint32) int
	// merge adds the state of partial group i of p to groups[i]; cols are its extra columns.
	merge(groups []uint32, p *partials, cols []*column.Vector) error
	// finish returns the results of those groups. An error is that of groups[bad].
	finish(groups []uint32) (v *column.Vector, bad int, err error)
	// bytes is the memory that the states take beside words.
	bytes() int64
	// freeze prepares for export: nothing is added before the next reset.
	freeze()
	// reset drops all states. Rows are reset by their owner.
	reset()
}

// inRow is the part of an aggregator whose whole state is words of the row.
type inRow struct {
	rows *words
	at   int
}

func (r *inRow) bind(rows *words, at int)          { r.rows, r.at = rows, at }
func (r *inRow) grow(int)                          {}
func (r *inRow) extraSchema() column.Schema        { return nil }
func (r *inRow) export([]uint32, []*column.Vector) {}
func (r *inRow) weight(uint32) int                 { return 0 }
func (r *inRow) bytes() int64                      { return 0 }
func (r *inRow) freeze()                           {}
func (r *inRow) reset()                            {}

// state returns the words of group g.
func (r *inRow) state(g uint32) []uint64 { return stateAt(r.rows.pages, r.rows.width, r.at, g) }

// stateAt is state for loops that keep what does not change in variables: the compiler would load it anew for each group.
func stateAt(pages [][]uint64, width, at int, g uint32) []uint64 {
	return pages[g>>pageBits][int(g&pageMask)*width+at:]
}

// place is where the rows of a batch stand in the order of all rows.
type place struct {
	batch *column.Batch
}

// newAggregator returns the aggregator of a function over values of type arg, as plan.AggType allows them.
func newAggregator(fn string, arg column.Type) aggregator {
	switch fn {
	case "count":
		return &counter{}
	case "sum", "mean":
		return newSummer(fn == "mean", arg)
	case "max", "min":
		switch arg.Kind {
		case column.Bool, column.Int, column.Time, column.Duration, column.Float:
			return newExtreme(arg, fn == "min")
		case column.String, column.Bytes:
			return &extremeBin{arg: arg, least: fn == "min"}
		}
		return &extremeAny{arg: arg, least: fn == "min"}
	case "all", "any":
		return &truth{any: fn == "any"}
	case "group", "concat":
		return newLister(arg, fn == "concat")
	}
	panic("kernel: no aggregate is called " + fn) // plan.AggType refuses it
}

func typeError(format string, args ...any) error {
	return &expr.Exception{Class: "TypeError", Msg: fmt.Sprintf(format, args...)}
}

// firstNull returns the index in rows of the first null of v, or -1.
func firstNull(v *column.Vector, rows []int32) int {
	if !v.HasNulls() {
		return -1
	}
	for i, r := range rows {
		if v.IsNull(int(r)) {
			return i
		}
	}
	return -1
}

// counter is count. It counts nulls, too: it is the number of rows, which every group keeps.
type counter struct{ inRow }

func (c *counter) words() int { return 0 }

func (c *counter) add([]uint32, []int32, *column.Vector, *place) (int, error) { return 0, nil }

func (c *counter) merge([]uint32, *partials, []*column.Vector) error { return nil }

func (c *counter) finish(groups []uint32) (*column.Vector, int, error) {
	v := &column.Vector{Type: column.IntType}
	for i, out := 0, intsOf(v, len(groups)); i < len(out); i++ {
		out[i] = int64(c.rows.row(groups[i])[wordRows])
	}
	return v, 0, nil
}

// resize returns a slice of length n, in the memory of s if that suffices.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// intsOf and binOf make v a column of n rows, in the memory that it has, and return what is to be filled.
func intsOf(v *column.Vector, n int) []int64 {
	v.N, v.Ints = n, resize(v.Ints, n)
	return v.Ints
}

func binOf(v *column.Vector, n int) (offsets []int32) {
	v.N, v.Data, v.Offsets = n, v.Data[:0], resize(v.Offsets, n+1)
	v.Offsets[0] = 0
	return v.Offsets[1:]
}

// truth is all and any: whether a value that decides was seen, one that is false or true.
type truth struct {
	inRow
	any bool
}

func (a *truth) words() int { return 1 }

func (a *truth) add(groups []uint32, rows []int32, v *column.Vector, _ *place) (int, error) {
	for i, g := range groups {
		if w := a.state(g); w[0] == 0 && truthy(v, int(rows[i])) == a.any {
			w[0] = 1
		}
	}
	return 0, nil
}

// truthy is Python's truth of row i of v.
func truthy(v *column.Vector, i int) bool {
	if v.IsNull(i) {
		return false
	}
	switch v.Type.Kind {
	case column.Bool:
		return v.Bools[i]
	case column.Int:
		return v.Ints[i] != 0
	case column.Float:
		return v.Floats[i] != 0
	case column.String, column.Bytes, column.List, column.Map:
		return v.Offsets[i] != v.Offsets[i+1]
	}
	return expr.Truthy(v.Value(i))
}

func (a *truth) merge(groups []uint32, p *partials, _ []*column.Vector) error {
	for i, g := range groups {
		a.state(g)[0] |= p.row(i)[a.at]
	}
	return nil
}

func (a *truth) finish(groups []uint32) (*column.Vector, int, error) {
	v := &column.Vector{Type: column.BoolType, N: len(groups), Bools: make([]bool, len(groups))}
	for i, g := range groups {
		v.Bools[i] = (a.state(g)[0] == 1) == a.any
	}
	return v, 0, nil
}
