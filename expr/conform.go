package expr

import (
	"github.com/leat-project/leat/column"
)

// Check reports whether a value fits, as Beam's validators do at run time: an integer is an int (a bool is one),
// a number is an int or a float, and null fits a nullable type only. The error is a *Exception of class TypeError.
// Where there is a Schema, the value is checked against that, too; the error is then of class ValidationError.
func (c *Conform) Check(v column.Value) error {
	if !conforms(v, c.Type) {
		return raise("TypeError", "%s violates schema %s", excerpt(Str(v)), c.Type)
	}
	if c.Schema != nil {
		return c.checkSchema(v)
	}
	return nil
}

// excerpt cuts a text that is to be part of an error.
func excerpt(s string) string {
	const most = 200
	if charCount(s) <= most {
		return s
	}
	return s[:charOffset(s, most)] + "…"
}

func conforms(v column.Value, t column.Type) bool {
	if v == nil {
		return t.MayBeNull()
	}
	switch t.Kind {
	case column.Any:
		return true
	case column.Bool:
		_, ok := v.(bool)
		return ok
	case column.Int:
		_, _, isFloat, ok := asNumber(v)
		return ok && !isFloat
	case column.Float:
		_, _, _, ok := asNumber(v)
		return ok
	case column.List:
		l, ok := v.(*column.ListValue)
		return ok && allConform(l.Elems, *t.Elem)
	case column.Map:
		m, ok := v.(*column.MapValue)
		if !ok {
			return false
		}
		return allConform(m.Keys, column.StringType) && allConform(m.Elems, *t.Elem)
	case column.Row:
		return rowConforms(v, t.Fields)
	}
	return column.TypeOf(v).Kind == t.Kind
}

func allConform(values []column.Value, t column.Type) bool {
	for _, v := range values {
		if !conforms(v, t) {
			return false
		}
	}
	return true
}

// rowConforms takes rows, and dicts with the fields as keys.
func rowConforms(v column.Value, fields column.Schema) bool {
	for _, f := range fields {
		var field column.Value
		ok := false
		switch v := v.(type) {
		case *column.RowValue:
			field, ok = v.Get(f.Name)
		case *column.MapValue:
			for i, k := range v.Keys {
				if k == f.Name {
					field, ok = v.Elems[i], true
				}
			}
		default:
			return false
		}
		if !ok && !f.Type.MayBeNull() || ok && !conforms(field, f.Type) {
			return false
		}
	}
	return true
}

// Fit returns a value that Check has passed as a value of exactly the type: whole numbers and bools become floats or
// ints where the type says so, dicts become rows, and rows get the type's fields in its order.
func (c *Conform) Fit(v column.Value) column.Value { return fit(v, c.Type) }

func fit(v column.Value, t column.Type) column.Value {
	switch t.Kind {
	case column.Float, column.Int:
		i, f, isFloat, ok := asNumber(v)
		switch {
		case !ok:
			return v
		case t.Kind == column.Int:
			return i
		case isFloat:
			return f
		}
		return float64(i)
	case column.List:
		if l, ok := v.(*column.ListValue); ok {
			return &column.ListValue{Elems: fitAll(l.Elems, *t.Elem)}
		}
	case column.Map:
		if m, ok := v.(*column.MapValue); ok {
			return &column.MapValue{Keys: m.Keys, Elems: fitAll(m.Elems, *t.Elem)}
		}
	case column.Row:
		return fitRow(v, t.Fields)
	}
	return v
}

func fitAll(values []column.Value, t column.Type) []column.Value {
	out := make([]column.Value, len(values))
	for i, v := range values {
		out[i] = fit(v, t)
	}
	return out
}

func fitRow(v column.Value, fields column.Schema) column.Value {
	names, elems := []string(nil), []column.Value(nil)
	switch v := v.(type) {
	case *column.RowValue:
		names, elems = v.Names, v.Elems
	case *column.MapValue:
		for i, k := range v.Keys {
			if name, ok := k.(string); ok {
				names, elems = append(names, name), append(elems, v.Elems[i])
			}
		}
	default:
		return v
	}
	given := column.RowValue{Names: names, Elems: elems}
	out := &column.RowValue{Names: fields.Names(), Elems: make([]column.Value, len(fields))}
	for i, f := range fields {
		value, _ := given.Get(f.Name)
		out.Elems[i] = fit(value, f.Type)
	}
	return out
}
