// Package parquet reads and writes Parquet files.
//
// The library reads footers, decompresses and decodes pages. What makes columns of pages, with all levels of nesting, is
// here. The library panics on some damaged files: every call of it is guarded, see guard.
package parquet

import (
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/internal/number"
)

// node is a field of a file, or a part of one, with what becomes of it.
//
// Rows are taken apart into leaves (Melnik et al. 2010, Dremel). A leaf has a run of levels; an entry of a node is a
// level whose repetition is at most rep and whose definition is at least exists, and it is a value where the definition is at least
// def.
type node struct {
	name     string
	typ      column.Type
	rep      int
	exists   int
	def      int
	elements int     // of lists and maps: the definition from which on there is an element
	children []*node // of rows, lists (the element) and maps (key and value)
	leaf     *scalar // of leaves
	first    int     // the first leaf below, which has the levels of the node
	last     int     // the leaf behind the last one below
}

// scalar is how a leaf's values are stored and what they mean.
type scalar struct {
	kind    parquet.Kind
	meaning meaning
	unit    int64 // of a time: how many make a second
	scale   int   // of a decimal
	maxDef  int
	maxRep  int
}

// meaning is what a logical type makes of stored values.
type meaning uint8

const (
	asIs meaning = iota
	asUnsigned
	asText
	asDate
	asTimeOfDay
	asTimestamp
	asDecimal
	asUUID
	asFloat16
	asNothing // a column of nulls alone
)

// maxDepth limits the nesting of schemas.
const maxDepth = 64

// schemaOf returns the fields of a file.
func schemaOf(root *parquet.Column) ([]*node, error) {
	b := schemaReader{}
	nodes := make([]*node, 0, len(root.Columns()))
	for _, c := range root.Columns() {
		n, err := b.node(c, 0, 0, 0, 0)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name(), err)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

type schemaReader struct {
	leaves int
}

// node reads a column below a parent whose values have that definition and repetition.
func (r *schemaReader) node(c *parquet.Column, def, rep, exists, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	if c.Repeated() { // a list without a name of its own, as old writers have it
		n := &node{name: c.Name(), rep: rep, exists: exists, def: def, elements: def + 1, first: r.leaves}
		elem, err := r.content(c, def+1, rep+1, def+1, depth)
		if err != nil {
			return nil, err
		}
		n.children, n.typ, n.last = []*node{elem}, column.ListOf(elem.typ), r.leaves
		return n, nil
	}
	if c.Optional() {
		def++
	}
	n, err := r.content(c, def, rep, exists, depth)
	if err == nil && c.Optional() && n.typ.Kind != column.Null {
		n.typ = n.typ.OrNull()
	}
	return n, err
}

// content reads what a column holds where it is not null.
func (r *schemaReader) content(c *parquet.Column, def, rep, exists, depth int) (*node, error) {
	n := &node{name: c.Name(), rep: rep, exists: exists, def: def, first: r.leaves}
	err := r.fill(n, c, depth)
	n.last = r.leaves
	return n, err
}

func (r *schemaReader) fill(n *node, c *parquet.Column, depth int) error {
	if c.Leaf() {
		r.leaves++
		n.leaf = &scalar{kind: c.Type().Kind(), maxDef: n.def, maxRep: n.rep}
		var err error
		n.typ, err = n.leaf.interpret(c)
		return err
	}
	columns := c.Columns()
	if len(columns) == 0 {
		return fmt.Errorf("the group %q has no columns", c.Name())
	}
	isList, isMap := annotation(c)
	if (isList || isMap) && len(columns) == 1 && columns[0].Repeated() {
		return r.repeated(n, c, columns[0], isMap, depth)
	}
	var fields column.Schema
	for _, child := range columns {
		k, err := r.node(child, n.def, n.rep, n.exists, depth+1)
		if err != nil {
			return err
		}
		if fields.Index(k.name) >= 0 {
			return fmt.Errorf("two columns are named %q", k.name)
		}
		n.children = append(n.children, k)
		fields = append(fields, column.Field{Name: k.name, Type: k.typ})
	}
	n.typ = column.RowOf(fields)
	return nil
}

// repeated reads the group within a list or map. The rules for lists of old writers are those of parquet-format's
// LogicalTypes.md.
func (r *schemaReader) repeated(n *node, c, group *parquet.Column, isMap bool, depth int) error {
	n.elements = n.def + 1
	inner := group.Columns()
	if isMap && len(inner) == 2 {
		key, err := r.node(inner[0], n.elements, n.rep+1, n.elements, depth+1)
		if err != nil {
			return err
		}
		value, err := r.node(inner[1], n.elements, n.rep+1, n.elements, depth+1)
		if err != nil {
			return err
		}
		n.children = []*node{key, value}
		if key.typ.Kind == column.String && !key.typ.Nullable {
			n.typ = column.MapOf(value.typ)
			return nil
		}
		entry := &node{name: group.Name(), rep: n.rep + 1, exists: n.elements, def: n.elements, children: n.children, first: key.first, last: value.last}
		entry.typ = column.RowOf(column.Schema{{Name: "key", Type: key.typ}, {Name: "value", Type: value.typ}})
		n.children, n.typ = []*node{entry}, column.ListOf(entry.typ)
		return nil
	}
	var elem *node
	var err error
	if group.Leaf() || len(inner) != 1 || group.Name() == "array" || group.Name() == c.Name()+"_tuple" {
		elem, err = r.content(group, n.elements, n.rep+1, n.elements, depth+1)
	} else {
		elem, err = r.node(inner[0], n.elements, n.rep+1, n.elements, depth+1)
	}
	if err != nil {
		return err
	}
	n.children, n.typ = []*node{elem}, column.ListOf(elem.typ)
	return nil
}

// annotation reports whether a group is a list or a map.
func annotation(c *parquet.Column) (isList, isMap bool) {
	if t := c.Type(); t != nil {
		if l := t.LogicalType(); l != nil {
			switch l.Value.(type) {
			case *format.ListType:
				return true, false
			case *format.MapType:
				return false, true
			}
		}
		if k := t.ConvertedType(); k != nil {
			isMap := *k == deprecated.Map || *k == deprecated.MapKeyValue
			return *k == deprecated.List, isMap
		}
	}
	return false, false
}

// interpret returns the type of a leaf's values.
func (s *scalar) interpret(c *parquet.Column) (column.Type, error) {
	var logical format.LogicalTypeValue
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case *format.NullType:
		s.meaning = asNothing
		return column.NullType, nil
	case *format.IntType:
		if !l.IsSigned {
			s.meaning = asUnsigned
		}
	case *format.TimestampType:
		s.meaning, s.unit = asTimestamp, unitOf(l.Unit)
		return column.TimeType, nil
	case *format.TimeType:
		s.meaning, s.unit = asTimeOfDay, unitOf(l.Unit)
		return column.StringType, nil
	case *format.DateType:
		s.meaning = asDate
		return column.StringType, nil
	case *format.DecimalType:
		s.meaning, s.scale = asDecimal, int(l.Scale)
		if l.Precision <= number.ExactDigits {
			return column.FloatType, nil
		}
		return column.StringType, nil
	case *format.StringType, *format.EnumType, *format.JsonType:
		s.meaning = asText
		return column.StringType, nil
	case *format.UUIDType:
		s.meaning = asUUID
		return column.StringType, nil
	case *format.Float16Type:
		s.meaning = asFloat16
		return column.FloatType, nil
	}
	switch s.kind {
	case parquet.Boolean:
		return column.BoolType, nil
	case parquet.Int32, parquet.Int64:
		return column.IntType, nil
	case parquet.Int96:
		s.meaning = asTimestamp
		return column.TimeType, nil
	case parquet.Float, parquet.Double:
		return column.FloatType, nil
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return column.BytesType, nil
	}
	return column.Type{}, fmt.Errorf("its physical type %s is not known", s.kind)
}

func unitOf(u format.TimeUnit) int64 {
	switch u.Value.(type) {
	case *format.MicroSeconds:
		return 1e6
	case *format.NanoSeconds:
		return 1e9
	}
	return 1e3
}

// guard calls f and makes a failure that names the file of an error or a panic of the library.
func guard(path string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = corrupt(path, fmt.Errorf("%v", p))
		}
	}()
	return f()
}

// corrupt is a failure that names a file.
func corrupt(path string, err error) error {
	return &diag.Failure{Class: diag.Corrupt, Code: diag.BadRecord, Origin: path, Err: fmt.Errorf("the Parquet file cannot be read: %w", err),
		Hint: "The file is damaged, or was not written to its end: write it again."}
}
