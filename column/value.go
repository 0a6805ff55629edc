package column

import "math"

// Value is one boxed value, as rows of unknown type, the slow path of expressions, and configuration hold it:
//
//	nil          null
//	bool, int64, float64, string
//	[]byte       bytes
//	Instant      a timestamp
//	Span         a duration
//	*ListValue   list; Python tuples are lists with Tuple set
//	*MapValue    map, keys in order of insertion (Python's dict)
//	*RowValue    row
//
// Values are immutable once made.
type Value = any

// Instant is a point in event time: milliseconds since 1970-01-01 UTC.
type Instant int64

// Span is a length of time in milliseconds.
type Span int64

// The ends of event time, as Beam has them. Rows of sources without timestamps are at MinInstant.
const (
	MinInstant Instant = math.MinInt64 / 1000
	MaxInstant Instant = math.MaxInt64 / 1000
	// EndOfGlobalWindow is where the global window ends, a day before MaxInstant; its groups have the instant before.
	EndOfGlobalWindow Instant = MaxInstant - 24*60*60*1000
)

// ListValue is a list, or a Python tuple.
type ListValue struct {
	Elems []Value
	Tuple bool
}

// MapValue maps keys (strings, but for Python dicts inside an expression) to values, in order of insertion.
type MapValue struct {
	Keys  []Value
	Elems []Value
}

// RowValue is a row: values under names.
type RowValue struct {
	Names []string
	Elems []Value
}

// Get returns the value under that name and whether the row has it.
func (r *RowValue) Get(name string) (Value, bool) {
	for i, n := range r.Names {
		if n == name {
			return r.Elems[i], true
		}
	}
	return nil, false
}

// TypeOf returns the narrowest type of a value.
func TypeOf(v Value) Type {
	switch v := v.(type) {
	case nil:
		return NullType
	case bool:
		return BoolType
	case int64:
		return IntType
	case float64:
		return FloatType
	case string:
		return StringType
	case []byte:
		return BytesType
	case Instant:
		return TimeType
	case Span:
		return DurationType
	case *ListValue:
		return ListOf(unifyAll(v.Elems))
	case *MapValue:
		for _, k := range v.Keys {
			if _, ok := k.(string); !ok {
				return AnyType
			}
		}
		return MapOf(unifyAll(v.Elems))
	case *RowValue:
		fields := make(Schema, len(v.Names))
		for i, n := range v.Names {
			fields[i] = Field{Name: n, Type: TypeOf(v.Elems[i])}
		}
		return RowOf(fields)
	}
	return AnyType
}

func unifyAll(values []Value) Type {
	if len(values) == 0 {
		return NullType
	}
	t := TypeOf(values[0])
	for _, v := range values[1:] {
		t = Unify(t, TypeOf(v))
	}
	return t
}
