package kernel

import (
	"fmt"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// aggregator is one aggregate of a table: what it has gathered so far for each group, its state.
//
// Merging states is exact, so a result depends neither on the order of rows (but for group and concat, which restore it) nor on how rows
// were divided among tables.
type aggregator interface {
	// grow makes empty states for groups below n.
	grow(n int)
	// add adds row rows[i] of v to group groups[i]. An error is that of row rows[bad], the first that fails.
	add(groups []uint32, rows []int32, v *column.Vector, at *place) (bad int, err error)
	// stateSchema says what columns a state is written as.
	stateSchema() column.Schema
	// export writes the states of those groups to columns of the state schema, whose memory it reuses. It may run at the same time as
	// others.
	export(groups []uint32, cols []*column.Vector)
	// weight is roughly how many bytes the state of a group takes as columns, above a few words.
	weight(group uint32) int
	// merge adds the states in row i of cols to groups[i].
	merge(groups []uint32, cols []*column.Vector) error
	// finish returns the results of those groups. An error is that of groups[bad].
	finish(groups []uint32) (v *column.Vector, bad int, err error)
	// bytes is the memory that the states take.
	bytes() int64
	// freeze prepares for export: nothing is added before the next reset.
	freeze()
	// reset drops all states.
	reset()
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
			return &extreme{arg: arg, least: fn == "min"}
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

// pythonType names the type of a value as Python's messages do.
func pythonType(v column.Value) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case []byte:
		return "bytes"
	case column.Instant:
		return "Timestamp"
	case column.Span:
		return "Duration"
	case *column.ListValue:
		if v.Tuple {
			return "tuple"
		}
		return "list"
	case *column.MapValue:
		return "dict"
	}
	return "Row"
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

// counter is count. It counts nulls, too.
type counter struct{ counts paged[int64] }

func (c *counter) grow(n int) { c.counts.grow(n) }

func (c *counter) add(groups []uint32, _ []int32, _ *column.Vector, _ *place) (int, error) {
	for _, g := range groups {
		*c.counts.at(g)++
	}
	return 0, nil
}

func (c *counter) stateSchema() column.Schema {
	return column.Schema{{Name: "count", Type: column.IntType}}
}

func (c *counter) export(groups []uint32, cols []*column.Vector) {
	exportInts(&c.counts, groups, cols[0])
}

func (c *counter) weight(uint32) int { return 0 }

func (c *counter) merge(groups []uint32, cols []*column.Vector) error {
	for i, g := range groups {
		*c.counts.at(g) += cols[0].Ints[i]
	}
	return nil
}

func (c *counter) finish(groups []uint32) (*column.Vector, int, error) {
	v := &column.Vector{Type: column.IntType}
	exportInts(&c.counts, groups, v)
	return v, 0, nil
}

func (c *counter) bytes() int64 { return int64(c.counts.used) * 8 }
func (c *counter) freeze()      {}
func (c *counter) reset()       { c.counts.reset() }

// resize returns a slice of length n, in the memory of s if that suffices.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// intsOf, boolsOf and binOf make v a column of n rows, in the memory that it has, and return what is to be filled.
func intsOf(v *column.Vector, n int) []int64 {
	v.N, v.Ints = n, resize(v.Ints, n)
	return v.Ints
}

func boolsOf(v *column.Vector, n int) []bool {
	v.N, v.Bools = n, resize(v.Bools, n)
	return v.Bools
}

func binOf(v *column.Vector, n int) (offsets []int32) {
	v.N, v.Data, v.Offsets = n, v.Data[:0], resize(v.Offsets, n+1)
	v.Offsets[0] = 0
	return v.Offsets[1:]
}

func exportInts(from *paged[int64], groups []uint32, v *column.Vector) {
	for i, out := 0, intsOf(v, len(groups)); i < len(out); i++ {
		out[i] = *from.at(groups[i])
	}
}

// truth is all and any: whether a value that decides was seen, one that is false or true.
type truth struct {
	any     bool
	decided paged[bool]
}

func (a *truth) grow(n int) { a.decided.grow(n) }

func (a *truth) add(groups []uint32, rows []int32, v *column.Vector, _ *place) (int, error) {
	for i, g := range groups {
		if d := a.decided.at(g); !*d && truthy(v, int(rows[i])) == a.any {
			*d = true
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

func (a *truth) stateSchema() column.Schema {
	return column.Schema{{Name: "decided", Type: column.BoolType}}
}

func (a *truth) export(groups []uint32, cols []*column.Vector) { a.fill(groups, cols[0], true) }

func (a *truth) weight(uint32) int { return 0 }

// fill says for each group whether it is decided as want says.
func (a *truth) fill(groups []uint32, v *column.Vector, want bool) {
	out := boolsOf(v, len(groups))
	for i, g := range groups {
		out[i] = *a.decided.at(g) == want
	}
}

func (a *truth) merge(groups []uint32, cols []*column.Vector) error {
	for i, g := range groups {
		if cols[0].Bools[i] {
			*a.decided.at(g) = true
		}
	}
	return nil
}

func (a *truth) finish(groups []uint32) (*column.Vector, int, error) {
	v := &column.Vector{Type: column.BoolType}
	a.fill(groups, v, a.any)
	return v, 0, nil
}

func (a *truth) bytes() int64 { return int64(a.decided.used) }
func (a *truth) freeze()      {}
func (a *truth) reset()       { a.decided.reset() }
