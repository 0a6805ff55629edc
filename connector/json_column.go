package connector

import (
	"github.com/leat-project/leat/column"
)

// jsonColumn is a column that a JSON decoder fills. Its memory is used again for each batch.
type jsonColumn struct {
	typ      column.Type
	n        int
	seen     int64 // the number of the last object of its place that had it
	floats   []float64
	ints     []int64
	offsets  []int32
	data     []byte
	bools    []bool
	valid    []byte
	nulls    bool // whether valid holds a null
	boxed    []column.Value
	children []*jsonColumn
	object   *jsonObject // of a Row
	out      column.Vector
}

// newJSONColumn returns a column. path is that of the fields in it, where it is a row.
func newJSONColumn(path string, t column.Type) *jsonColumn {
	c := &jsonColumn{typ: t}
	switch t.Kind {
	case column.List:
		c.children = []*jsonColumn{newJSONColumn(path, *t.Elem)}
	case column.Map:
		c.children = []*jsonColumn{newJSONColumn(path, column.StringType), newJSONColumn(path, *t.Elem)}
	case column.Row:
		for _, f := range t.Fields {
			c.children = append(c.children, newJSONColumn(path+f.Name+".", f.Type))
		}
		c.object = newJSONObject(path, t.Fields, c.children)
	}
	c.reset()
	return c
}

// reset empties the column.
func (c *jsonColumn) reset() {
	if c.offsets == nil {
		c.offsets = append(c.offsets, 0)
	}
	c.truncate(0)
	if c.nulls {
		c.nulls = false
		for i := range c.valid {
			c.valid[i] = 0xff
		}
	}
}

// truncate takes rows from the end away, down to n, as when a record fails half way.
func (c *jsonColumn) truncate(n int) {
	for i := n; c.nulls && i < min(c.n, 8*len(c.valid)); i++ { // valid reaches no further than the last null
		c.valid[i>>3] |= 1 << (i & 7)
	}
	c.n = n
	switch c.typ.Kind {
	case column.Bool:
		c.bools = c.bools[:n]
	case column.Int, column.Time, column.Duration:
		c.ints = c.ints[:n]
	case column.Float:
		c.floats = c.floats[:n]
	case column.String, column.Bytes:
		c.offsets = c.offsets[:n+1]
		c.data = c.data[:c.offsets[n]]
	case column.Any:
		clear(c.boxed[n:])
		c.boxed = c.boxed[:n]
	case column.List, column.Map:
		c.offsets = c.offsets[:n+1]
		for _, child := range c.children {
			child.truncate(min(child.n, int(c.offsets[n])))
		}
	case column.Row:
		for _, child := range c.children {
			child.truncate(min(child.n, n))
		}
	}
}

// null appends a null.
func (c *jsonColumn) null() {
	for len(c.valid) <= c.n>>3 {
		c.valid = append(c.valid, 0xff)
	}
	c.valid[c.n>>3] &^= 1 << (c.n & 7)
	c.nulls = true
	c.n++
	switch c.typ.Kind {
	case column.Bool:
		c.bools = append(c.bools, false)
	case column.Int, column.Time, column.Duration:
		c.ints = append(c.ints, 0)
	case column.Float:
		c.floats = append(c.floats, 0)
	case column.String, column.Bytes:
		c.offsets = append(c.offsets, int32(len(c.data)))
	case column.Any:
		c.boxed = append(c.boxed, nil)
	case column.List, column.Map:
		c.offsets = append(c.offsets, int32(c.children[len(c.children)-1].n))
	case column.Row:
		for _, child := range c.children {
			child.null()
		}
	}
}

// appendText appends a string.
func (c *jsonColumn) appendText(text []byte) {
	c.data = append(c.data, text...)
	c.offsets = append(c.offsets, int32(len(c.data)))
	c.n++
}

// vector returns the column's rows, valid until the next reset.
func (c *jsonColumn) vector() *column.Vector {
	v := &c.out
	v.Type, v.N, v.Valid = c.typ, c.n, nil
	if c.nulls && c.typ.Kind != column.Any {
		for len(c.valid) < (c.n+7)/8 {
			c.valid = append(c.valid, 0xff)
		}
		v.Valid = c.valid[:(c.n+7)/8]
	}
	v.Bools, v.Ints, v.Floats, v.Offsets, v.Data, v.Boxed = c.bools, c.ints, c.floats, c.offsets, c.data, c.boxed
	v.Children = v.Children[:0]
	for _, child := range c.children {
		v.Children = append(v.Children, child.vector())
	}
	return v
}
