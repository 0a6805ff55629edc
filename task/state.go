package task

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// State is what a model remembers of the rows of one key. The zero State is that before the first row.
type State struct {
	Model   string          // the ModelID of what made it: another model starts anew
	Time    column.Instant  // of the last row
	Tensors []*infer.Tensor // one for each entry of "state", of one key
	Context *infer.Tensor   // the end of what the model was given last
}

// stateFields are the settings of models that remember.
var stateFields = []catalog.Field{
	{Name: "key", Type: catalog.TextList, Doc: "The columns by which a model with a state remembers; none: all rows are one sequence."},
	{Name: "state", Type: catalog.List, Doc: "What the model remembers from row to row of a key: a list of {output, input, initial, batch_axis}. The output becomes the input of the next row; initial is a number, by default 0; keys are stacked on batch_axis, by default the one dynamic axis, and run one by one where there is none."},
	{Name: "context", Type: catalog.Object, Doc: "{input, axis, size}: the end of what an input was given last, put before the next, zeros at first.", Fields: []catalog.Field{
		{Name: "input", Type: catalog.Text, Required: true, Doc: "The input."},
		{Name: "axis", Type: catalog.Integer, Doc: "The axis of the input, the batch being 0; by default the last."},
		{Name: "size", Type: catalog.Integer, Required: true, Doc: "How many elements along the axis are put before."},
	}},
	{Name: "gap", Type: catalog.Length, Doc: "Forget after so long without a row, by event time; by default never."},
	{Name: "chunk", Type: catalog.Object, Doc: "{input, axis, size}: cut a row's input into pieces that are run one after another; the last is filled up with zeros. Outputs become lists, one element a piece.", Fields: []catalog.Field{
		{Name: "input", Type: catalog.Text, Required: true, Doc: "The input."},
		{Name: "axis", Type: catalog.Integer, Doc: "The axis of the input, the batch being 0; by default the last."},
		{Name: "size", Type: catalog.Integer, Required: true, Doc: "Elements of a piece."},
	}},
	{Name: "audio", Type: catalog.Object, Doc: "{input, rate}: the input is fed from WAV files, as one channel of numbers from -1 to 1 at that rate.", Fields: []catalog.Field{
		{Name: "input", Type: catalog.Text, Required: true, Doc: "The input."},
		{Name: "rate", Type: catalog.Integer, Required: true, Doc: "Samples a second; a file with another rate fails its row."},
	}},
}

// Stateful is a Bound that may remember rows.
type Stateful interface {
	Bound
	// Remembers reports whether it does.
	Remembers() bool
	// Gap is how long after its last row a key is forgotten; 0: never.
	Gap() column.Span
	// Step predicts rows of different keys. states has the state of each, which it brings up to date for rows that do not fail. ran is told
	// of each run.
	Step(ctx context.Context, sessions []infer.Session, rows *Rows, states []*State, batch int, ran func(items int, took time.Duration)) (*column.Vector, []int32, []Failure, error)
}

// PredictOrdered predicts rows of different keys by a model with a state, as Predict does. states holds what is remembered of each row's
// key, times the rows' event times.
func (p *Predictor) PredictOrdered(ctx context.Context, rows *Rows, states []*State, times []column.Instant) (predictions *column.Vector, ok []int32, failures []Failure, err error) {
	s, isStateful := p.Bound.(Stateful)
	if !isStateful {
		return nil, nil, nil, fmt.Errorf("task %q keeps no state", p.Task.Name)
	}
	for i, state := range states {
		switch {
		case state.Model == "":
		case state.Model != p.ModelID, s.Gap() > 0 && int64(times[i])-int64(state.Time) > int64(s.Gap()):
			*state = State{}
			p.metrics.resets.Add(1)
		}
	}
	predictions, ok, failures, err = s.Step(ctx, p.sessions, rows, states, p.batch, p.metrics.run)
	for _, i := range ok {
		states[i].Model, states[i].Time = p.ModelID, times[i]
	}
	p.metrics.rows.Add(int64(len(ok)))
	p.metrics.failed.Add(int64(len(failures)))
	return predictions, ok, failures, err
}

// remembered is one entry of "state".
type remembered struct {
	output, input int           // numbers within the graph
	initial       *infer.Tensor // of one key
	axis          int           // on which keys are stacked; -1: they are run one by one
}

// piece is an input with a size along an axis: the context's, or a chunk's.
type piece struct {
	input int // within the graph
	axis  int // of an item: without the batch
	size  int64
}

// maxPiece is how many elements a context or a chunk may have along its axis.
const maxPiece = 1 << 30

// readState reads the settings of a model that remembers.
func (m *tensorModel) readState(s *Setup) error {
	list, _ := s.Config["state"].([]any)
	for _, e := range list {
		r, err := m.readRemembered(e)
		if err != nil {
			return &catalog.Problem{Key: "state", Code: diag.BadValue, Text: err.Error()}
		}
		if slices.ContainsFunc(m.states, func(o remembered) bool { return o.input == r.input }) {
			return &catalog.Problem{Key: "state", Code: diag.BadValue, Text: fmt.Sprintf("the input %q is named twice", m.graph.Inputs[r.input].Name)}
		}
		m.states = append(m.states, r)
	}
	for key, to := range map[string]**piece{"context": &m.context, "chunk": &m.chunk} {
		if s.Config[key] == nil {
			continue
		}
		p, err := m.readPiece(s.Config[key])
		if err != nil {
			return &catalog.Problem{Key: key, Code: diag.BadValue, Text: err.Error()}
		}
		*to = p
	}
	if err := m.fitPiece(); err != nil {
		return err
	}
	if gap := s.Config["gap"]; gap != nil {
		span, ok := catalog.ParseLength(gap)
		if !ok || span <= 0 {
			return &catalog.Problem{Key: "gap", Code: diag.BadDuration, Text: fmt.Sprintf("wanted a length of time, found %v", gap)}
		}
		m.gap = span
	}
	return nil
}

// fitPiece refuses a chunk, or a context, that an axis of fixed size has no room for.
func (m *tensorModel) fitPiece() error {
	room := func(p *piece) int64 { return m.graph.Inputs[p.input].Shape[p.axis+1] }
	joined := m.context != nil && m.chunk != nil && m.context.input == m.chunk.input && m.context.axis == m.chunk.axis
	if c := m.context; c != nil && room(c) >= 0 && room(c) <= c.size {
		return &catalog.Problem{Key: "context", Code: diag.BadValue, Text: fmt.Sprintf("the input %q is %s: wanted a size below %d, found %d", m.graph.Inputs[c.input].Name, &m.graph.Inputs[c.input], room(c), c.size)}
	}
	if c := m.chunk; c != nil && room(c) >= 0 {
		wanted := room(c)
		if joined {
			wanted -= m.context.size
		}
		if c.size != wanted {
			return &catalog.Problem{Key: "chunk", Code: diag.BadValue, Text: fmt.Sprintf("the input %q is %s: wanted pieces of %d, without the context, found %d", m.graph.Inputs[c.input].Name, &m.graph.Inputs[c.input], wanted, c.size)}
		}
	}
	return nil
}

func (m *tensorModel) readRemembered(e any) (remembered, error) {
	config, _ := e.(map[string]any)
	output, _ := config["output"].(string)
	input, _ := config["input"].(string)
	r := remembered{axis: -1,
		output: slices.IndexFunc(m.graph.Outputs, func(v model.ValueInfo) bool { return v.Name == output }),
		input:  slices.IndexFunc(m.graph.Inputs, func(v model.ValueInfo) bool { return v.Name == input })}
	switch {
	case r.output < 0:
		return r, fmt.Errorf("wanted {output, input}, the output one of %v, found %v", names(m.graph.Outputs), e)
	case r.input < 0:
		return r, fmt.Errorf("wanted {output, input}, the input one of %v, found %v", names(m.graph.Inputs), e)
	}
	for key := range config {
		if !slices.Contains([]string{"output", "input", "initial", "batch_axis"}, key) {
			return r, fmt.Errorf("it has no key %q; there are output, input, initial and batch_axis", key)
		}
	}
	info, from := &m.graph.Inputs[r.input], &m.graph.Outputs[r.output]
	if from.DType != info.DType {
		return r, fmt.Errorf("the output %q is %s, and the input %q is %s", output, from, input, info)
	}
	shape := slices.Clone(info.Shape)
	for d, n := range shape {
		if n >= 0 {
			continue
		}
		if r.axis >= 0 {
			return r, fmt.Errorf("the input %q is %s: wanted one dynamic axis at the most", info.Name, info)
		}
		r.axis, shape[d] = d, 1
	}
	if given := config["batch_axis"]; given != nil {
		axis, ok := given.(int64)
		if !ok {
			return r, fmt.Errorf("batch_axis: wanted a whole number, found %v", given)
		}
		if axis < 0 || int(axis) >= len(shape) || shape[axis] != 1 {
			return r, fmt.Errorf("the input %q is %s: %d is not an axis of it on which keys can be stacked", info.Name, info, axis)
		}
		if info.Shape[axis] < 0 {
			r.axis = int(axis)
		}
	}
	var err error
	r.initial, err = filled(info.DType, shape, config["initial"])
	return r, err
}

// filled returns a tensor of one number throughout.
func filled(d model.DType, shape []int64, number any) (*infer.Tensor, error) {
	x := 0.0
	switch n := number.(type) {
	case nil:
	case int64:
		x = float64(n)
	case float64:
		x = n
	default:
		return nil, fmt.Errorf("initial: wanted a number, found %v", number)
	}
	n := infer.Elements(shape)
	if n < 0 || n > infer.MaxTensorBytes/8 {
		return nil, fmt.Errorf("a state of shape %v is too large", shape)
	}
	var e elements
	e.reset(d)
	for range n {
		if !e.float(x) {
			return nil, fmt.Errorf("initial: %v does not fit %s", number, d)
		}
	}
	return e.tensor(shape).Clone(), nil
}

func (m *tensorModel) readPiece(v any) (*piece, error) {
	config, _ := v.(map[string]any)
	name, _ := config["input"].(string)
	size, _ := config["size"].(int64)
	k := slices.IndexFunc(m.graph.Inputs, func(v model.ValueInfo) bool { return v.Name == name })
	if k < 0 || size < 1 || size > maxPiece {
		return nil, fmt.Errorf("wanted {input, size}, the input one of %v, the size from 1 to %d, found %v", names(m.graph.Inputs), maxPiece, v)
	}
	rank := len(m.graph.Inputs[k].Shape)
	axis := int64(rank - 1)
	if a, ok := config["axis"].(int64); ok {
		axis = a
	}
	if axis < 1 || axis >= int64(rank) {
		return nil, fmt.Errorf("the input %q is %s: wanted an axis from 1 to %d, found %d", name, &m.graph.Inputs[k], rank-1, axis)
	}
	return &piece{input: k, axis: int(axis) - 1, size: size}, nil
}

// Remembers reports whether rows depend on those before them.
func (m *tensorModel) Remembers() bool { return len(m.states) > 0 || m.context != nil }

// Gap is how long after its last row a key is forgotten.
func (m *tensorModel) Gap() column.Span { return m.gap }

// Step predicts rows of different keys, piece by piece: the n-th pieces of all rows are run together.
func (m *tensorModel) Step(ctx context.Context, sessions []infer.Session, rows *Rows, states []*State, batch int, ran func(items int, took time.Duration)) (*column.Vector, []int32, []Failure, error) {
	w, failures := m.split(rows)
	w.states, w.ran = states, ran
	failed := map[int32]error{}
	for _, f := range failures {
		failed[f.Row] = f.Err
	}
	before := make(map[int32]State, len(w.rows)) // to go back to where a row fails half-way
	for _, row := range w.rows {
		if _, seen := before[row]; !seen {
			before[row] = *states[row]
		}
	}
	if !m.stacks() {
		batch = 1
	}
	for _, round := range w.rounds() {
		round = slices.DeleteFunc(round, func(item int32) bool { return failed[w.rows[item]] != nil })
		for part := range slices.Chunk(round, batch) {
			if err := w.step(ctx, sessions, part, failed); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	ok := make([]int32, 0, rows.N)
	failures = failures[:0]
	for row := range int32(rows.N) {
		if err := failed[row]; err != nil {
			if s, touched := before[row]; touched {
				*states[row] = s
			}
			failures = append(failures, Failure{Row: row, Err: err})
		} else {
			ok = append(ok, row)
		}
	}
	out, err := w.Join(ok)
	return out, ok, failures, err
}

// stacks reports whether keys can be run together.
func (m *tensorModel) stacks() bool {
	if !m.batched || fixedBatch(m.graph.Graph) == 1 && len(m.feeds) > 0 && m.feeds[0].info.Shape != nil && m.feeds[0].info.Shape[0] == 1 {
		return false
	}
	return !slices.ContainsFunc(m.states, func(r remembered) bool { return r.axis < 0 })
}

// rounds lists the items so that each round has one item of a row at the most, in their order.
func (w *tensorWork) rounds() [][]int32 {
	var out [][]int32
	turn := 0
	for item := range w.rows {
		if item > 0 && w.rows[item] == w.rows[item-1] {
			turn++
		} else {
			turn = 0
		}
		if turn == len(out) {
			out = append(out, nil)
		}
		out[turn] = append(out[turn], int32(item))
	}
	return out
}

// step runs a part of a round; where that fails its items are run one by one.
func (w *tensorWork) step(ctx context.Context, sessions []infer.Session, items []int32, failed map[int32]error) error {
	start := time.Now()
	err := w.Predict(ctx, sessions, items)
	w.ran(len(items), time.Since(start))
	var single ItemErrors
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &single):
		for item, err := range single {
			failed[w.rows[item]] = err
		}
	case len(items) == 1 || errors.Is(err, infer.ErrCrashed):
		for _, item := range items {
			failed[w.rows[item]] = err
		}
	default:
		for _, item := range items {
			if err := w.step(ctx, sessions, []int32{item}, failed); err != nil {
				return err
			}
		}
	}
	return nil
}

// stateInputs adds what is remembered of the items' keys to the inputs of a run.
func (w *tensorWork) stateInputs(inputs []infer.Value, items []int32) error {
	for k, r := range w.m.states {
		parts := make([]*infer.Tensor, len(items))
		for i, item := range items {
			parts[i] = r.initial
			if s := w.states[w.rows[item]]; s.Tensors != nil {
				parts[i] = s.Tensors[k]
			}
		}
		inputs[r.input] = concat(parts, max(0, r.axis))
	}
	c := w.m.context
	if c == nil {
		return nil
	}
	given, ok := inputs[c.input].(*infer.Tensor)
	if !ok || given.DType == model.String {
		return fmt.Errorf("the context needs a tensor of numbers")
	}
	parts := make([]*infer.Tensor, len(items))
	for i, item := range items {
		if parts[i] = w.states[w.rows[item]].Context; parts[i] == nil {
			shape := slices.Clone(given.Shape)
			shape[0], shape[c.axis+1] = 1, c.size
			parts[i] = &infer.Tensor{DType: given.DType, Shape: shape, Data: make([]byte, given.DType.Bytes(infer.Elements(shape)))}
		}
	}
	inputs[c.input] = concat([]*infer.Tensor{concat(parts, 0), given}, c.axis+1)
	return nil
}

// remember keeps what a run gave for the next rows of the items' keys.
func (w *tensorWork) remember(inputs []infer.Value, results *infer.Results, items []int32) error {
	first := len(w.m.outputs)
	given := make([]*infer.Tensor, len(w.m.states))
	for k, r := range w.m.states { // all are looked at before one is kept
		t, err := results.Tensor(first + k)
		if err != nil {
			return err
		}
		axis := max(0, r.axis)
		if len(t.Shape) != len(r.initial.Shape) || axis >= len(t.Shape) || r.axis >= 0 && t.Shape[axis] != int64(len(items)) {
			return fmt.Errorf("output %s: wanted a state like %v for each of %d keys, found the shape %v", w.m.graph.Outputs[r.output].Name, r.initial.Shape, len(items), t.Shape)
		}
		given[k] = t
	}
	for k, r := range w.m.states {
		t, axis := given[k], max(0, r.axis)
		for i, item := range items {
			s := w.states[w.rows[item]]
			kept := t.Clone()
			if r.axis >= 0 {
				kept = part(t, axis, int64(i), 1)
			}
			s.Tensors = slices.Clone(s.Tensors) // the state before may be gone back to
			if s.Tensors == nil {
				s.Tensors = make([]*infer.Tensor, len(w.m.states))
			}
			s.Tensors[k] = kept
		}
	}
	if c := w.m.context; c != nil {
		last := inputs[c.input].(*infer.Tensor)
		for i, item := range items {
			row := part(last, 0, int64(i), 1)
			w.states[w.rows[item]].Context = part(row, c.axis+1, row.Shape[c.axis+1]-c.size, c.size)
		}
	}
	return nil
}

// concat joins tensors along an axis. They have the same type, and the same shape but for that axis.
func concat(parts []*infer.Tensor, axis int) *infer.Tensor {
	if len(parts) == 1 {
		return parts[0]
	}
	shape := slices.Clone(parts[0].Shape)
	outer := infer.Elements(shape[:axis])
	shape[axis] = 0
	size := 0
	for _, p := range parts {
		shape[axis] += p.Shape[axis]
		size += len(p.Data)
	}
	out := &infer.Tensor{DType: parts[0].DType, Shape: shape, Data: make([]byte, 0, size)}
	for o := range outer {
		for _, p := range parts {
			run := int64(len(p.Data)) / outer
			out.Data = append(out.Data, p.Data[o*run:(o+1)*run]...)
		}
	}
	return out
}

// part copies n elements of a tensor along an axis, from the given one.
func part(t *infer.Tensor, axis int, from, n int64) *infer.Tensor {
	shape := slices.Clone(t.Shape)
	shape[axis] = n
	outer := infer.Elements(t.Shape[:axis])
	inner := t.DType.Bytes(infer.Elements(t.Shape[axis+1:]))
	out := &infer.Tensor{DType: t.DType, Shape: shape, Data: make([]byte, 0, outer*n*inner)}
	for o := range outer {
		at := (o*t.Shape[axis] + from) * inner
		out.Data = append(out.Data, t.Data[at:at+n*inner]...)
	}
	return out
}
