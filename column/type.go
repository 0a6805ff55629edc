// Package column holds rows: types, schemas, batches of columns in Arrow's memory layout, and single values.
//
// A batch owns nothing that outlives the call it is passed to: who keeps rows copies them. A column that is part
// of a batch is never written again, so columns may be shared between batches.
package column

import (
	"fmt"
	"strings"
)

// Kind is the outermost constructor of a type.
type Kind uint8

// The kinds. Any is the zero Kind: a column of values whose types are not known before the run.
const (
	Any      Kind = iota
	Null          // a column that holds nothing but null
	Bool          // Go bool
	Int           // 64 bits, signed
	Float         // IEEE 754, 64 bits
	String        // UTF-8
	Bytes         // any bytes
	Time          // milliseconds since 1970-01-01 UTC
	Duration      // milliseconds
	List          // any number of Elem
	Map           // strings to Elem, in order
	Row           // named fields
)

var kindNames = [...]string{"any", "null", "bool", "int", "float", "string", "bytes", "timestamp", "duration", "list", "map", "row"}

// String returns the kind's name as plans and errors print it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", k)
}

// Type is the type of a column. Types are values: compare them with Equal, never change one that is in use.
type Type struct {
	Kind     Kind
	Nullable bool   // nulls may occur; Any and Null are nullable whatever this says
	Elem     *Type  // of List and Map
	Fields   Schema // of Row
}

// Types without parameters.
var (
	AnyType      = Type{Kind: Any}
	NullType     = Type{Kind: Null}
	BoolType     = Type{Kind: Bool}
	IntType      = Type{Kind: Int}
	FloatType    = Type{Kind: Float}
	StringType   = Type{Kind: String}
	BytesType    = Type{Kind: Bytes}
	TimeType     = Type{Kind: Time}
	DurationType = Type{Kind: Duration}
)

// ListOf, MapOf and RowOf build types with parameters.
func ListOf(elem Type) Type      { return Type{Kind: List, Elem: &elem} }
func MapOf(elem Type) Type       { return Type{Kind: Map, Elem: &elem} }
func RowOf(fields Schema) Type   { return Type{Kind: Row, Fields: fields} }
func (t Type) OrNull() Type      { t.Nullable = true; return t }
func (t Type) NotNull() Type     { t.Nullable = false; return t }
func (t Type) MayBeNull() bool   { return t.Nullable || t.Kind == Any || t.Kind == Null }
func (t Type) IsNumber() bool    { return t.Kind == Int || t.Kind == Float }
func (t Type) Equal(u Type) bool { return t.Nullable == u.Nullable && t.SameKind(u) }

// SameKind reports whether the types are equal but for the outermost nullability.
func (t Type) SameKind(u Type) bool {
	if t.Kind != u.Kind {
		return false
	}
	switch t.Kind {
	case List, Map:
		return t.Elem.Equal(*u.Elem)
	case Row:
		return t.Fields.Equal(u.Fields)
	}
	return true
}

// String prints the type as plans and errors show it: int, string?, list<float>, row<a: int, b: string?>.
func (t Type) String() string {
	var s string
	switch t.Kind {
	case List, Map:
		s = t.Kind.String() + "<" + t.Elem.String() + ">"
	case Row:
		s = "row<" + t.Fields.String() + ">"
	default:
		s = t.Kind.String()
	}
	if t.Nullable && t.Kind != Any && t.Kind != Null {
		s += "?"
	}
	return s
}

// Unify returns the narrowest type that holds the values of both: a type and null give the nullable type, rows unify by
// field name, and two kinds that differ (int and float, too, as in Beam) give Any.
func Unify(a, b Type) Type {
	switch {
	case a.Kind == Null:
		return b.orNullUnlessAny()
	case b.Kind == Null:
		return a.orNullUnlessAny()
	case a.Kind != b.Kind:
		return AnyType
	}
	u := a
	u.Nullable = a.Nullable || b.Nullable
	switch a.Kind {
	case List, Map:
		elem := Unify(*a.Elem, *b.Elem)
		u.Elem = &elem
	case Row:
		u.Fields = unifyFields(a.Fields, b.Fields)
	}
	return u
}

func (t Type) orNullUnlessAny() Type {
	if t.Kind != Any && t.Kind != Null {
		t.Nullable = true
	}
	return t
}

// unifyFields keeps a's order, appends what only b has, and makes nullable what one of them lacks.
func unifyFields(a, b Schema) Schema {
	out := make(Schema, 0, len(a))
	for _, f := range a {
		if j := b.Index(f.Name); j >= 0 {
			f.Type = Unify(f.Type, b[j].Type)
		} else {
			f.Type = f.Type.orNullUnlessAny()
		}
		out = append(out, f)
	}
	for _, f := range b {
		if a.Index(f.Name) < 0 {
			f.Type = f.Type.orNullUnlessAny()
			out = append(out, f)
		}
	}
	return out
}

// Field is a named column of a schema. Any string may be a name.
type Field struct {
	Name string
	Type Type
}

// Schema is an ordered list of fields with distinct names.
type Schema []Field

// Index returns the position of the field with that name, or -1.
func (s Schema) Index(name string) int {
	for i := range s {
		if s[i].Name == name {
			return i
		}
	}
	return -1
}

// Names returns the fields' names in order.
func (s Schema) Names() []string {
	names := make([]string, len(s))
	for i := range s {
		names[i] = s[i].Name
	}
	return names
}

// Equal reports whether both schemas have the same fields in the same order.
func (s Schema) Equal(t Schema) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range s {
		if s[i].Name != t[i].Name || !s[i].Type.Equal(t[i].Type) {
			return false
		}
	}
	return true
}

// String prints the schema as name: type, in order.
func (s Schema) String() string {
	var b strings.Builder
	for i, f := range s {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.Name + ": " + f.Type.String())
	}
	return b.String()
}
