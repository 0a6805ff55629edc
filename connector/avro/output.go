package avro

import "github.com/leat-project/leat/column"

// output is a vector that grows row by row. What is appended can be taken back with trim.
type output struct {
	column.Vector
	nulls    bool
	children []*output
}

func newOutput(t column.Type) *output {
	o := &output{}
	o.Type = t
	switch t.Kind {
	case column.List:
		o.children = []*output{newOutput(*t.Elem)}
	case column.Map:
		o.children = []*output{newOutput(column.StringType), newOutput(*t.Elem)}
	case column.Row:
		for _, f := range t.Fields {
			o.children = append(o.children, newOutput(f.Type))
		}
	}
	for _, c := range o.children {
		o.Children = append(o.Children, &c.Vector)
	}
	o.reset()
	return o
}

func (o *output) reset() {
	o.N, o.nulls = 0, false
	o.Valid = o.Valid[:0]
	o.Bools, o.Ints, o.Floats, o.Data, o.Boxed = o.Bools[:0], o.Ints[:0], o.Floats[:0], o.Data[:0], nil
	o.Offsets = append(o.Offsets[:0], 0)
	for _, c := range o.children {
		c.reset()
	}
}

// mark counts a row.
func (o *output) mark(valid bool) {
	if o.N&7 == 0 {
		o.Valid = append(o.Valid, 0xff)
	}
	if !valid {
		o.nulls = true
		o.SetNull(o.N)
	}
	o.N++
}

func (o *output) null() {
	o.mark(false)
	switch o.Type.Kind {
	case column.Bool:
		o.Bools = append(o.Bools, false)
	case column.Int, column.Time, column.Duration:
		o.Ints = append(o.Ints, 0)
	case column.Float:
		o.Floats = append(o.Floats, 0)
	case column.String, column.Bytes, column.List, column.Map:
		o.Offsets = append(o.Offsets, o.Offsets[len(o.Offsets)-1])
	case column.Any:
		o.Boxed = append(o.Boxed, nil)
	case column.Row:
		for _, c := range o.children {
			c.null()
		}
	}
}

func (o *output) bool(v bool)     { o.mark(true); o.Bools = append(o.Bools, v) }
func (o *output) int(v int64)     { o.mark(true); o.Ints = append(o.Ints, v) }
func (o *output) float(v float64) { o.mark(true); o.Floats = append(o.Floats, v) }

func (o *output) bytes(v []byte) {
	o.mark(true)
	o.Data = append(o.Data, v...)
	o.Offsets = append(o.Offsets, int32(len(o.Data)))
}

func (o *output) boxed(v column.Value) {
	o.mark(v != nil)
	o.Boxed = append(o.Boxed, v)
}

// list ends a row of a list or map, whose elements have been appended to the children.
func (o *output) list() {
	o.mark(true)
	o.Offsets = append(o.Offsets, int32(o.children[0].N))
}

// trim drops the rows from n on.
func (o *output) trim(n int) {
	if o.N <= n {
		return
	}
	o.N = n
	o.Valid = o.Valid[:(n+7)/8]
	if n&7 != 0 {
		o.Valid[n>>3] |= 0xff << (n & 7)
	}
	switch o.Type.Kind {
	case column.Bool:
		o.Bools = o.Bools[:n]
	case column.Int, column.Time, column.Duration:
		o.Ints = o.Ints[:n]
	case column.Float:
		o.Floats = o.Floats[:n]
	case column.String, column.Bytes:
		o.Offsets = o.Offsets[:n+1]
		o.Data = o.Data[:o.Offsets[n]]
	case column.Any:
		o.Boxed = o.Boxed[:n]
	case column.Row:
		for _, c := range o.children {
			c.trim(n)
		}
	case column.List, column.Map:
		o.Offsets = o.Offsets[:n+1]
		for _, c := range o.children {
			c.trim(int(o.Offsets[n]))
		}
	}
}

// finish makes the vector ready to be read.
func (o *output) finish() *column.Vector {
	if !o.nulls {
		o.Valid = nil
	}
	for _, c := range o.children {
		c.finish()
	}
	return &o.Vector
}

// size returns roughly how many bytes the rows take.
func (o *output) size() int {
	n := len(o.Valid) + len(o.Bools) + 8*len(o.Ints) + 8*len(o.Floats) + 4*len(o.Offsets) + len(o.Data) + 64*len(o.Boxed)
	for _, c := range o.children {
		n += c.size()
	}
	return n
}
