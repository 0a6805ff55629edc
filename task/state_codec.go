package task

import (
	"errors"
	"fmt"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// Append appends the binary form of a state: a boxed list of the model, the time, and the tensors, each as element type, shape and elements. Elements are in the
// byte order of the machine.
func (s *State) Append(dst []byte) []byte {
	list := &column.ListValue{Elems: []column.Value{s.Model, s.Time, tensorValue(s.Context)}}
	for _, t := range s.Tensors {
		list.Elems = append(list.Elems, tensorValue(t))
	}
	return column.AppendValue(dst, list)
}

func tensorValue(t *infer.Tensor) column.Value {
	if t == nil {
		return nil
	}
	shape := &column.ListValue{}
	for _, n := range t.Shape {
		shape.Elems = append(shape.Elems, n)
	}
	elements := column.Value(t.Data)
	if t.DType == model.String {
		texts := &column.ListValue{}
		for _, s := range t.Strings {
			texts.Elems = append(texts.Elems, s)
		}
		elements = texts
	}
	return &column.ListValue{Elems: []column.Value{int64(t.DType), shape, elements}}
}

var errState = errors.New("the state of a model is damaged")

// ReadState reads what Append wrote.
func ReadState(src []byte) (*State, error) {
	v, _, err := column.ReadValue(src)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errState, err)
	}
	list, ok := v.(*column.ListValue)
	if !ok || len(list.Elems) < 3 {
		return nil, errState
	}
	s := &State{}
	s.Model, ok = list.Elems[0].(string)
	at, isTime := list.Elems[1].(column.Instant)
	if !ok || !isTime {
		return nil, errState
	}
	s.Time = at
	for i, e := range list.Elems[2:] {
		t, err := tensorOf(e)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			s.Context = t
		} else {
			s.Tensors = append(s.Tensors, t)
		}
	}
	return s, nil
}

func tensorOf(v column.Value) (*infer.Tensor, error) {
	if v == nil {
		return nil, nil
	}
	parts, ok := v.(*column.ListValue)
	if !ok || len(parts.Elems) != 3 {
		return nil, errState
	}
	kind, isInt := parts.Elems[0].(int64)
	shape, isList := parts.Elems[1].(*column.ListValue)
	if !isInt || !isList {
		return nil, errState
	}
	t := &infer.Tensor{DType: model.DType(kind)}
	for _, n := range shape.Elems {
		size, ok := n.(int64)
		if !ok {
			return nil, errState
		}
		t.Shape = append(t.Shape, size)
	}
	switch e := parts.Elems[2].(type) {
	case []byte:
		t.Data = append(make([]byte, 0, len(e)+8), e...) // of its own, where any element may begin
	case *column.ListValue:
		for _, text := range e.Elems {
			s, ok := text.(string)
			if !ok {
				return nil, errState
			}
			t.Strings = append(t.Strings, s)
		}
	default:
		return nil, errState
	}
	return t, nil
}
