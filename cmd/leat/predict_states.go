package main

import (
	"context"
	"fmt"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/task"
)

// maxKeys is how many keys predict remembers rows of.
const maxKeys = 100_000

// states is what a model with a state remembers: of each file, or of the rows of each key.
type states struct {
	predictor *task.Predictor
	keys      []string // the columns of the key; none: all rows are one sequence
	byKey     map[string]*task.State
}

// newStates returns nil for a model that remembers nothing.
func newStates(p *task.Predictor, flags *predictFlags) *states {
	if s, ok := p.Bound.(task.Stateful); !ok || !s.Remembers() {
		return nil
	}
	out := &states{predictor: p, byKey: map[string]*task.State{}}
	set, _, _ := flags.settings() // they have been read before
	switch key := set["key"].(type) {
	case string:
		out.keys = []string{key}
	case []any:
		for _, k := range key {
			out.keys = append(out.keys, fmt.Sprint(k))
		}
	}
	return out
}

// predict predicts the rows of a lot one after another.
func (s *states) predict(ctx context.Context, l *lot) (*column.Vector, []int32, []task.Failure, error) {
	out := column.NewBuilder(s.predictor.Output())
	var all []int32
	var failures []task.Failure
	for i := range l.n {
		state, err := s.of(l.label(i))
		if err != nil {
			failures = append(failures, task.Failure{Row: int32(i), Err: err})
			continue
		}
		row := &task.Rows{N: 1, Cols: make([]*column.Vector, len(l.cols))}
		for k, v := range l.cols {
			if v != nil {
				row.Cols[k] = column.Slice(v, i, i+1)
			}
		}
		predictions, ok, failed, err := s.predictor.PredictOrdered(ctx, row, []*task.State{state}, []column.Instant{column.MinInstant})
		if err != nil {
			return nil, nil, nil, err
		}
		for _, f := range failed {
			failures = append(failures, task.Failure{Row: int32(i), Err: f.Err})
		}
		for k := range ok {
			out.AppendFrom(predictions, k)
			all = append(all, int32(i))
		}
	}
	return out.Finish(), all, failures, nil
}

// of returns what is remembered of the row's key.
func (s *states) of(l label) (*task.State, error) {
	if l.input == nil {
		return &task.State{}, nil // a file is a sequence of its own
	}
	var key []byte
	row, _ := l.input.(*column.RowValue)
	for _, name := range s.keys {
		if row == nil {
			break
		}
		v, ok := row.Get(name)
		if !ok {
			return nil, fmt.Errorf("the row has no %q, which is the key", name)
		}
		key = column.AppendValue(key, v)
	}
	state := s.byKey[string(key)]
	if state == nil {
		if len(s.byKey) >= maxKeys {
			return nil, fmt.Errorf("there are more than %d keys", maxKeys)
		}
		state = &task.State{}
		s.byKey[string(key)] = state
	}
	return state, nil
}
