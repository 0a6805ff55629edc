package column

// Holds reports whether a column of type t can take the values of a column of type u as they are: Any takes all of
// them, a nullable type those that are not, and rows must have the same fields in the same order.
func Holds(t, u Type) bool {
	switch {
	case t.Kind == Any:
		return true
	case u.Kind == Null:
		return t.MayBeNull()
	case t.Kind != u.Kind || u.MayBeNull() && !t.MayBeNull():
		return false
	case t.Kind == List || t.Kind == Map:
		return Holds(*t.Elem, *u.Elem)
	case t.Kind == Row:
		if len(t.Fields) != len(u.Fields) {
			return false
		}
		for i, f := range t.Fields {
			if u.Fields[i].Name != f.Name || !Holds(f.Type, u.Fields[i].Type) {
				return false
			}
		}
	}
	return true
}
