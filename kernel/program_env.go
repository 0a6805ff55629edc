package kernel

import (
	"fmt"
	"strconv"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// BatchEnv shows one row of a batch at a time to the interpreter. It is for one goroutine.
type BatchEnv struct {
	schema column.Schema
	names  []string
	index  map[string]int
	b      *column.Batch
	port   *plan.Port
	row    int
}

var _ expr.Env = (*BatchEnv)(nil)

// NewEnv returns an environment over rows of that schema. At sets the row.
func NewEnv(schema column.Schema) *BatchEnv {
	e := &BatchEnv{schema: schema, names: schema.Names(), index: make(map[string]int, len(schema))}
	for i, f := range schema {
		e.index[f.Name] = i
	}
	return e
}

// At moves to a row of a batch. The port says how the rows are windowed; nil: in the global window.
func (e *BatchEnv) At(b *column.Batch, port *plan.Port, row int) { e.b, e.port, e.row = b, port, row }

// Field returns the value of the field of that name.
func (e *BatchEnv) Field(name string) (column.Value, bool) {
	i, ok := e.index[name]
	if !ok || i >= len(e.b.Cols) {
		return nil, false
	}
	return e.b.Cols[i].Value(e.row), true
}

// Row returns the whole row, boxed.
func (e *BatchEnv) Row() *column.RowValue { return rowOf(e.b, e.names, e.row) }

// Meta returns one of expr.MetaNames, or nil for another name.
func (e *BatchEnv) Meta(name string) column.Value {
	w := windowing(e.port)
	from, to := WindowOf(w, e.b, e.row)
	start, end, global := column.Instant(from), column.Instant(to), w.Kind == plan.Global
	switch name {
	case "timestamp":
		return e.b.Time(e.row)
	case "window_start":
		return start
	case "window_end":
		return end
	case "window_string":
		if global {
			return "GlobalWindow"
		}
		return fmt.Sprintf("[%s, %s)", seconds(start), seconds(end))
	case "window_type":
		if global {
			return "GlobalWindow"
		}
		return "IntervalWindow"
	case "window_object":
		return &column.RowValue{Names: []string{"start", "end"}, Elems: []column.Value{start, end}}
	case "pane_info":
		return e.pane()
	}
	return nil
}

// pane describes the one pane that a window of bounded input fires, or the lack of one before a grouping.
func (e *BatchEnv) pane() *column.RowValue {
	timing := "UNKNOWN"
	if e.port != nil && e.port.Explicit {
		timing = "ON_TIME"
	}
	return &column.RowValue{
		Names: []string{"is_first", "is_last", "timing", "index", "nonspeculative_index"},
		Elems: []column.Value{true, true, timing, int64(0), int64(0)},
	}
}

// seconds prints an instant as Python prints the float of its seconds.
func seconds(t column.Instant) string {
	ms := int64(t)
	sec, rest := ms/1000, ms%1000
	sign := ""
	if ms < 0 {
		sign, sec, rest = "-", -sec, -rest
	}
	f, err := strconv.ParseFloat(fmt.Sprintf("%s%d.%03d", sign, sec, rest), 64)
	if err != nil {
		return strconv.FormatInt(ms/1000, 10)
	}
	return expr.Repr(f)
}

// windowing returns how the rows of a port are windowed: in the global window where there is no port.
func windowing(port *plan.Port) plan.Windowing {
	if port == nil {
		return plan.Windowing{}
	}
	return port.Window
}

// RowOf boxes row i of a batch of that schema.
func RowOf(b *column.Batch, schema column.Schema, i int) *column.RowValue {
	return rowOf(b, schema.Names(), i)
}

func rowOf(b *column.Batch, names []string, i int) *column.RowValue {
	r := &column.RowValue{Names: names, Elems: make([]column.Value, len(names))}
	for f := range names {
		if f < len(b.Cols) {
			r.Elems[f] = b.Cols[f].Value(i)
		}
	}
	return r
}
