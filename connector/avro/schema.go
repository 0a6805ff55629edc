// Package avro reads and writes Avro object container files.
//
// Schemas are parsed by hamba/avro. Blocks are decoded here, driven by the schema, straight into the columns that are
// wanted: what is not wanted is skipped.
package avro

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/number"
)

// form is how a value of a schema stands in a file.
type form uint8

const (
	formNull form = iota
	formBoolean
	formInt // int and long
	formFloat
	formDouble
	formBytes
	formString
	formFixed
	formEnum
	formArray
	formMap
	formRecord
	formUnion
)

// meaning is what a logical type makes of a form.
type meaning uint8

const (
	asIs meaning = iota
	asDate
	asTime      // of the day
	asTimestamp // an instant
	asDecimal
)

// node is a schema with what becomes of it.
type node struct {
	form     form
	meaning  meaning
	typ      column.Type
	unit     int64 // of a time or timestamp: how many make a second
	scale    int   // of a decimal
	size     int   // of a fixed
	symbols  []string
	names    []string // of a record's fields
	children []*node  // fields, branches, or the one element
	null     int      // the branch of a union that is null, or -1
}

// maxSchemaDepth limits the nesting of schemas.
const maxSchemaDepth = 64

// parseSchema returns the node of the records of a file.
func parseSchema(text []byte) (*node, error) {
	schema, err := avro.ParseBytesWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("its schema cannot be read: %w", err)
	}
	b := schemaReader{open: map[string]*node{}}
	root, err := b.node(schema, 0)
	if err != nil {
		return nil, err
	}
	if root.form != formRecord {
		root = &node{form: formRecord, names: []string{"element"}, children: []*node{root}}
		root.typ = column.RowOf(column.Schema{{Name: "element", Type: root.children[0].typ}})
	}
	return root, nil
}

type schemaReader struct {
	open map[string]*node // the records around, by name: a reference to one of them is recursive
}

func (r *schemaReader) node(s avro.Schema, depth int) (*node, error) {
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("its schema is nested deeper than %d", maxSchemaDepth)
	}
	switch s := s.(type) {
	case *avro.RefSchema:
		name := s.Schema().FullName()
		if n := r.open[name]; n != nil {
			return &node{form: formRecord, typ: column.AnyType, children: []*node{n}}, nil
		}
		return r.node(s.Schema(), depth+1)
	case *avro.PrimitiveSchema:
		return primitive(s), nil
	case *avro.NullSchema:
		return &node{form: formNull, typ: column.NullType}, nil
	case *avro.FixedSchema:
		n := &node{form: formFixed, typ: column.BytesType, size: s.Size()}
		n.decimal(s.Logical())
		return n, nil
	case *avro.EnumSchema:
		return &node{form: formEnum, typ: column.StringType, symbols: s.Symbols()}, nil
	case *avro.ArraySchema:
		child, err := r.node(s.Items(), depth+1)
		if err != nil {
			return nil, err
		}
		return &node{form: formArray, typ: column.ListOf(child.typ), children: []*node{child}}, nil
	case *avro.MapSchema:
		child, err := r.node(s.Values(), depth+1)
		if err != nil {
			return nil, err
		}
		return &node{form: formMap, typ: column.MapOf(child.typ), children: []*node{child}}, nil
	case *avro.RecordSchema:
		return r.record(s, depth)
	case *avro.UnionSchema:
		return r.union(s, depth)
	}
	return nil, fmt.Errorf("its schema has a %s, which is not known", s.Type())
}

func (r *schemaReader) record(s *avro.RecordSchema, depth int) (*node, error) {
	n := &node{form: formRecord}
	r.open[s.FullName()] = n
	defer delete(r.open, s.FullName())
	var fields column.Schema
	for _, f := range s.Fields() {
		child, err := r.node(f.Type(), depth+1)
		if err != nil {
			return nil, err
		}
		n.names = append(n.names, f.Name())
		n.children = append(n.children, child)
		fields = append(fields, column.Field{Name: f.Name(), Type: child.typ})
	}
	n.typ = column.RowOf(fields)
	return n, nil
}

// union is nullable where null is a branch. Branches of one type keep it, those of several are of type any.
func (r *schemaReader) union(s *avro.UnionSchema, depth int) (*node, error) {
	n := &node{form: formUnion, typ: column.NullType, null: -1}
	kinds := 0
	for i, t := range s.Types() {
		child, err := r.node(t, depth+1)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, child)
		if child.form == formNull {
			n.null = i
			continue
		}
		if kinds == 0 {
			n.typ = child.typ
		} else if !n.typ.Equal(child.typ) {
			n.typ = column.AnyType
		}
		kinds++
	}
	if n.null >= 0 && kinds > 0 && n.typ.Kind != column.Any {
		n.typ = n.typ.OrNull()
	}
	return n, nil
}

func primitive(s *avro.PrimitiveSchema) *node {
	n := &node{}
	switch s.Type() {
	case avro.Boolean:
		n.form, n.typ = formBoolean, column.BoolType
	case avro.Int, avro.Long:
		n.form, n.typ = formInt, column.IntType
		n.time(s)
	case avro.Float:
		n.form, n.typ = formFloat, column.FloatType
	case avro.Double:
		n.form, n.typ = formDouble, column.FloatType
	case avro.Bytes:
		n.form, n.typ = formBytes, column.BytesType
		n.decimal(s.Logical())
	case avro.Null:
		n.form, n.typ = formNull, column.NullType
	default:
		n.form, n.typ = formString, column.StringType
	}
	return n
}

// time sets what the logical type of a whole number says.
func (n *node) time(s *avro.PrimitiveSchema) {
	logical, _ := s.Prop("logicalType").(string)
	if l := s.Logical(); l != nil {
		logical = string(l.Type())
	}
	switch {
	case logical == "date":
		n.meaning, n.typ = asDate, column.StringType
		return
	case strings.HasSuffix(logical, "-millis"):
		n.unit = 1e3
	case strings.HasSuffix(logical, "-micros"):
		n.unit = 1e6
	case strings.HasSuffix(logical, "-nanos"):
		n.unit = 1e9
	default:
		return
	}
	if strings.HasPrefix(logical, "time-") {
		n.meaning, n.typ = asTime, column.StringType
	} else {
		n.meaning, n.typ = asTimestamp, column.TimeType
	}
}

func (n *node) decimal(l avro.LogicalSchema) {
	d, ok := l.(*avro.DecimalLogicalSchema)
	if !ok {
		return
	}
	n.meaning, n.scale = asDecimal, d.Scale()
	n.typ = column.StringType
	if d.Precision() <= number.ExactDigits {
		n.typ = column.FloatType
	}
}

// validName reports whether Avro takes a text for a name.
func validName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// checkSchema reports a field that Avro has no schema for.
func checkSchema(path string, fields column.Schema) error {
	for _, f := range fields {
		if !validName(f.Name) {
			return fmt.Errorf("field %q has a name that Avro does not take: letters, digits and _ only, no digit first", path+f.Name)
		}
		if err := checkType(path+f.Name, f.Type); err != nil {
			return err
		}
	}
	return nil
}

func checkType(path string, t column.Type) error {
	switch t.Kind {
	case column.Any:
		return fmt.Errorf("field %q is of no known type, and Avro wants one: give the expression that makes it an \"output_type\"", path)
	case column.List, column.Map:
		return checkType(path, *t.Elem)
	case column.Row:
		return checkSchema(path+".", t.Fields)
	}
	return nil
}

// appendSchema appends the JSON of the schema of t. records counts the records, whose names must differ.
func appendSchema(dst []byte, t column.Type, records *int) []byte {
	if t.Nullable && t.Kind != column.Null {
		dst = append(dst, `["null",`...)
		dst = appendSchema(dst, t.NotNull(), records)
		return append(dst, ']')
	}
	switch t.Kind {
	case column.Bool:
		return append(dst, `"boolean"`...)
	case column.Int, column.Duration:
		return append(dst, `"long"`...)
	case column.Float:
		return append(dst, `"double"`...)
	case column.String:
		return append(dst, `"string"`...)
	case column.Bytes:
		return append(dst, `"bytes"`...)
	case column.Time:
		return append(dst, `{"type":"long","logicalType":"timestamp-millis"}`...)
	case column.List:
		dst = append(dst, `{"type":"array","items":`...)
		return append(appendSchema(dst, *t.Elem, records), '}')
	case column.Map:
		dst = append(dst, `{"type":"map","values":`...)
		return append(appendSchema(dst, *t.Elem, records), '}')
	case column.Row:
		*records++
		dst = append(dst, `{"type":"record","name":"row`...)
		dst = strconv.AppendInt(dst, int64(*records), 10)
		dst = append(dst, `","fields":[`...)
		for i, f := range t.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"name":`...)
			dst = strconv.AppendQuote(dst, f.Name)
			dst = append(dst, `,"type":`...)
			dst = appendSchema(dst, f.Type, records)
			dst = append(dst, '}')
		}
		return append(dst, "]}"...)
	}
	return append(dst, `"null"`...)
}

func float32At(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }
func float64At(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
