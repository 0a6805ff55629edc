package catalog

import "github.com/leat-project/leat/diag"

// Value is a value of a pipeline file with its place.
type Value struct {
	Place diag.Place
	Span  diag.Span // of a scalar's text
	// Data is nil, bool, int64, float64, string, []*Value or *Map.
	Data any
	// Raw is a scalar's text as written, without quotes ("" for lists and maps). An expression may be written as a
	// bare number or boolean, and then means its text.
	Raw    string
	Quoted bool // written in quotes or as a block, so that it is text whatever it looks like
}

// Map is an object of a pipeline file, keys in order.
type Map struct {
	Entries []Entry
}

// Entry is a key and its value.
type Entry struct {
	Key   string
	At    diag.Place // of the key
	Value *Value
}

// Entry returns the entry of that key, or nil. It may be called on a value that is no map, or on nil.
func (v *Value) Entry(key string) *Entry {
	if v == nil {
		return nil
	}
	if m, ok := v.Data.(*Map); ok {
		for i := range m.Entries {
			if m.Entries[i].Key == key {
				return &m.Entries[i]
			}
		}
	}
	return nil
}

// Get returns the value of that key, or nil where it is absent.
func (v *Value) Get(key string) *Value {
	if e := v.Entry(key); e != nil {
		return e.Value
	}
	return nil
}

// Entries returns the entries of a map, none for any other value.
func (v *Value) Entries() []Entry {
	if v == nil {
		return nil
	}
	if m, ok := v.Data.(*Map); ok {
		return m.Entries
	}
	return nil
}

// List returns the elements of a list, none for any other value.
func (v *Value) List() []*Value {
	if v == nil {
		return nil
	}
	l, _ := v.Data.([]*Value)
	return l
}

// Text returns the string that v holds, or "".
func (v *Value) Text() string {
	if v == nil {
		return ""
	}
	s, _ := v.Data.(string)
	return s
}

// Bool returns the boolean that v holds, or false.
func (v *Value) Bool() bool {
	if v == nil {
		return false
	}
	b, _ := v.Data.(bool)
	return b
}

// Int returns the whole number that v holds, or 0.
func (v *Value) Int() int64 {
	if v == nil {
		return 0
	}
	n, _ := v.Data.(int64)
	return n
}

// Texts returns the strings of a TextList: one string, or a list of them.
func (v *Value) Texts() []*Value {
	if v == nil {
		return nil
	}
	if _, ok := v.Data.(string); ok {
		return []*Value{v}
	}
	return v.List()
}

// Plain returns v as plain data: nil, bool, int64, float64, string, []any, map[string]any. The order of keys is lost.
func (v *Value) Plain() any {
	if v == nil {
		return nil
	}
	switch d := v.Data.(type) {
	case []*Value:
		list := make([]any, len(d))
		for i, e := range d {
			list[i] = e.Plain()
		}
		return list
	case *Map:
		m := make(map[string]any, len(d.Entries))
		for _, e := range d.Entries {
			m[e.Key] = e.Value.Plain()
		}
		return m
	}
	return v.Data
}
