package parquet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
)

// Limits of a row group.
const (
	groupRows  = 128 << 10
	groupBytes = 64 << 20
)

// output is where row groups go.
type output interface {
	begin(window int64) (*rowGroup, error)
	windowed() bool // windows are kept apart
}

// rowGroup is one that is being gathered by an encoder.
type rowGroup struct {
	group  *parquet.ConcurrentRowGroupWriter
	end    func(add func() error) error // calls add, which alone writes to the file meanwhile
	leaves [][]parquet.Value
	bytes  int // roughly
}

func newRowGroup(f *parquetFile, end func(add func() error) error) *rowGroup {
	group := f.BeginRowGroup()
	return &rowGroup{group: group, end: end, leaves: make([][]parquet.Value, len(group.ColumnWriters()))}
}

// encoder gathers row groups, one for each window where these are kept apart.
type encoder struct {
	schema column.Schema
	out    output
	groups map[int64]*rowGroup
	most   int // row groups at once
	rows   int
	bytes  int
	split  map[int64][]int32 // the rows of a batch by window
}

func newEncoder(schema column.Schema, out output) *encoder {
	leaves := 0
	for _, f := range schema {
		leaves += leavesOf(f.Type)
	}
	// Each column of a row group takes a page's memory from its first row on.
	most := max(1, min(64, groupBytes/(leaves*parquet.DefaultPageBufferSize)))
	return &encoder{schema: schema, out: out, groups: map[int64]*rowGroup{}, most: most, split: map[int64][]int32{}}
}

// Write appends the rows of b.
func (e *encoder) Write(ctx context.Context, b *column.Batch) error {
	if b.Starts == nil || !e.out.windowed() {
		return e.append(ctx, file.GlobalWindow, b)
	}
	b.Each(func(i int) {
		window := max(b.Starts[i], file.GlobalWindow)
		e.split[window] = append(e.split[window], int32(i))
	})
	defer clear(e.split)
	for _, window := range slices.Sorted(maps.Keys(e.split)) {
		some := *b
		some.Sel = e.split[window]
		if err := e.append(ctx, window, &some); err != nil {
			return err
		}
	}
	return nil
}

// append appends rows of one window.
func (e *encoder) append(ctx context.Context, window int64, b *column.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	g := e.groups[window]
	if g == nil {
		if len(e.groups) >= e.most {
			if err := e.Flush(ctx); err != nil {
				return err
			}
		}
		var err error
		if g, err = e.out.begin(window); err != nil {
			return err
		}
		e.groups[window] = g
	}
	before := g.bytes
	if err := g.append(e.schema, b); err != nil {
		return err
	}
	e.rows += b.Len()
	e.bytes += g.bytes - before
	if e.rows >= groupRows || e.bytes >= groupBytes {
		return e.Flush(ctx)
	}
	return nil
}

// Flush writes all row groups.
func (e *encoder) Flush(context.Context) error {
	var errs []error
	for _, window := range slices.Sorted(maps.Keys(e.groups)) {
		errs = append(errs, e.groups[window].flush())
	}
	clear(e.groups)
	e.rows, e.bytes = 0, 0
	return errors.Join(errs...)
}

// flush compresses what is left, then writes the row group.
func (g *rowGroup) flush() error {
	failed := g.group.Flush()
	return g.end(func() error {
		if failed != nil {
			return failed
		}
		_, err := g.group.Commit()
		return err
	})
}

// append appends the rows of b.
func (g *rowGroup) append(schema column.Schema, b *column.Batch) error {
	leaf := 0
	for c, f := range schema {
		var err error
		b.Each(func(i int) {
			if err == nil {
				err = g.shred(f.Type, b.Cols[c], i, leaf, 0, 0, 0)
			}
		})
		if err != nil {
			return fmt.Errorf("field %q: %w", f.Name, err)
		}
		leaf += leavesOf(f.Type)
	}
	for i, w := range g.group.ColumnWriters() {
		if _, err := w.WriteRowValues(g.leaves[i]); err != nil {
			return err
		}
		g.bytes += 8 * len(g.leaves[i])
		g.leaves[i] = g.leaves[i][:0]
	}
	return nil
}

// shred appends row i of v, a column of type t, to the leaves from leaf on. rep is the repetition of the first value, depth how many lists
// are around, def the definition of what is around.
func (g *rowGroup) shred(t column.Type, v *column.Vector, i, leaf, rep, depth, def int) error {
	if t.Nullable || t.Kind == column.Null {
		if v.IsNull(i) {
			g.absent(t, leaf, rep, def)
			return nil
		}
		def++
	} else if v.IsNull(i) {
		return fmt.Errorf("a null in a field of type %s", t)
	}
	switch t.Kind {
	case column.Row:
		for c, f := range t.Fields {
			if err := g.shred(f.Type, v.Children[c], i, leaf, rep, depth, def); err != nil {
				return err
			}
			leaf += leavesOf(f.Type)
		}
		return nil
	case column.List, column.Map:
		from, to := int(v.Offsets[i]), int(v.Offsets[i+1])
		if from == to {
			g.absent(t, leaf, rep, def)
		}
		for k := from; k < to; k++ {
			value := leaf
			if t.Kind == column.Map {
				if err := g.shred(column.StringType, v.Children[0], k, leaf, rep, depth+1, def+1); err != nil {
					return err
				}
				value++
			}
			if err := g.shred(*t.Elem, v.Children[len(v.Children)-1], k, value, rep, depth+1, def+1); err != nil {
				return err
			}
			rep = depth + 1
		}
		return nil
	}
	if t.Kind == column.String || t.Kind == column.Bytes {
		g.bytes += len(v.Bin(i))
	}
	g.put(leaf, scalarValue(v, i), rep, def)
	return nil
}

// absent appends to all leaves of a type that there is nothing.
func (g *rowGroup) absent(t column.Type, leaf, rep, def int) {
	for k := range leavesOf(t) {
		g.put(leaf+k, parquet.NullValue(), rep, def)
	}
}

func (g *rowGroup) put(leaf int, v parquet.Value, rep, def int) {
	g.leaves[leaf] = append(g.leaves[leaf], v.Level(rep, def, leaf))
}

// scalarValue returns row i of a column that is a leaf. Bytes are not copied: the writer does.
func scalarValue(v *column.Vector, i int) parquet.Value {
	switch v.Type.Kind {
	case column.Bool:
		return parquet.BooleanValue(v.Bools[i])
	case column.Float:
		return parquet.DoubleValue(v.Floats[i])
	case column.String, column.Bytes:
		return parquet.ByteArrayValue(v.Bin(i))
	}
	return parquet.Int64Value(v.Ints[i])
}

// leavesOf returns how many leaves a column of type t has.
func leavesOf(t column.Type) int {
	switch t.Kind {
	case column.List:
		return leavesOf(*t.Elem)
	case column.Map:
		return 1 + leavesOf(*t.Elem)
	case column.Row:
		n := 0
		for _, f := range t.Fields {
			n += leavesOf(f.Type)
		}
		return n
	}
	return 1
}
