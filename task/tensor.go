package task

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// Tensor runs any model: columns go to inputs by name, outputs come back by name.
var Tensor = add(Task{
	Name:    "tensor",
	Summary: "Runs any model on tensors: columns feed its inputs by name, its outputs come back by name.",
	Doc: `
Takes a column for each input of the graph, by the input's name unless "inputs" says otherwise. Where the first axis of an input is dynamic or 1, it is the batch: a row gives the rest of the
shape, as a number, as lists nested like the shape, or as one flat list of all its numbers. An input of one axis besides the batch may also be fed by several columns, a number each:
"inputs: {x: [a, b, c]}". A model without a batch axis runs row by row.

An input that is the same for all rows is given by "constants". A model with a state keeps it for each "key": rows of a key are taken by event time, then by their place in the source, those of
different keys together.

A prediction is a row with a field for each output. Numbers become floats or integers of 64 bits, tensors nested lists, maps maps whose keys are strings.
`,
	Source: "https://onnx.ai/onnx/repo-docs/IR.html",
	Fields: append([]catalog.Field{
		{Name: "outputs", Type: catalog.TextList, Doc: "The outputs that are given; by default all but states."},
		{Name: "constants", Type: catalog.Object, Doc: "Inputs that are the same for all rows, as numbers or lists of numbers in the input's own shape."},
	}, stateFields...),
	Batch: 256,
	Pool:  16,
	Bind:  bindTensor,
})

// tensorModel is a graph that is fed from columns.
type tensorModel struct {
	graph   *model.GraphFile
	inputs  []Input
	feeds   []*feed
	yields  []*yield
	outputs []int
	batched bool
	buffers sync.Pool

	constants map[int]*infer.Tensor // by number of the input
	states    []remembered
	context   *piece
	chunk     *piece
	audio     *sound
	gap       column.Span
}

func bindTensor(s *Setup) (Bound, error) {
	g, err := s.Package.Graph(model.ModelRole)
	if err != nil {
		return nil, err
	}
	m := &tensorModel{graph: g}
	if err := errors.Join(m.readState(s), m.readConstants(s), m.readSound(s)); err != nil {
		return nil, err
	}
	for i := range g.Inputs {
		in := &g.Inputs[i]
		if m.constants[i] != nil || slices.ContainsFunc(m.states, func(r remembered) bool { return r.input == i }) {
			continue
		}
		if err := m.addInput(in, slices.Repeat([]string{in.Name}, columnsOf(s.Config, in.Name)), nil); err != nil {
			return nil, err
		}
	}
	return m, m.chooseOutputs(s)
}

// columnsOf returns how many columns the configuration names for an input.
func columnsOf(config map[string]any, input string) int {
	if inputs, ok := config["inputs"].(map[string]any); ok {
		if list, ok := inputs[input].([]any); ok {
			return max(1, len(list))
		}
	}
	return 1
}

// addInput feeds an input of the graph from so many columns. names are those of the columns in errors; nil: the input's.
func (m *tensorModel) addInput(in *model.ValueInfo, columns, names []string) error {
	cols := make([]int, len(columns))
	for i := range columns {
		cols[i] = len(m.inputs) + i
	}
	f, err := newFeed(in, cols, names)
	if err != nil {
		return err
	}
	f.at = slices.IndexFunc(m.graph.Inputs, func(v model.ValueInfo) bool { return v.Name == in.Name })
	if m.chunk != nil && m.chunk.input == f.at {
		if slices.ContainsFunc(f.item[:min(m.chunk.axis, len(f.item))], func(n int64) bool { return n != 1 }) {
			return &catalog.Problem{Key: "chunk", Code: diag.BadValue, Text: fmt.Sprintf("the input %q is %s: it can be cut along its first axis besides the batch alone, and those of length 1 before it", in.Name, in)}
		}
		f.item = slices.Clone(f.item)
		f.item[m.chunk.axis] = m.chunk.size
		if m.context != nil && m.context.input == f.at && m.context.axis == m.chunk.axis && in.Shape[m.chunk.axis+1] > 0 {
			f.item[m.chunk.axis] = in.Shape[m.chunk.axis+1] - m.context.size
		}
	}
	m.feeds = append(m.feeds, f)
	kinds := f.kinds()
	if m.audio != nil && m.audio.input == f.at {
		kinds = append(kinds, column.Bytes)
	}
	for _, name := range columns {
		m.inputs = append(m.inputs, Input{Name: name, Kinds: kinds, Doc: in.String()})
	}
	m.batched = true
	for _, f := range m.feeds {
		m.batched = m.batched && f.batched
	}
	if !m.batched {
		for _, f := range m.feeds { // all of the shape is the row's
			f.batched, f.item = false, f.info.Shape
		}
	}
	return nil
}

func (m *tensorModel) chooseOutputs(s *Setup) error {
	wanted := textList(s.Config["outputs"])
	for _, name := range wanted {
		if m.graph.Output(name) == nil {
			return &catalog.Problem{Key: "outputs", Code: diag.BadValue, Text: fmt.Sprintf("the graph has no output %q", name),
				Hint: diag.DidYouMean(name, "outputs", names(m.graph.Outputs))}
		}
	}
	for i := range m.graph.Outputs {
		out := &m.graph.Outputs[i]
		state := slices.ContainsFunc(m.states, func(r remembered) bool { return r.output == i })
		if len(wanted) == 0 && !state || slices.Contains(wanted, out.Name) {
			m.outputs = append(m.outputs, i)
			m.yields = append(m.yields, newYield(out, m.batched))
		}
	}
	if len(m.outputs) == 0 {
		return errors.New("the graph has no outputs")
	}
	return nil
}

func names(values []model.ValueInfo) []string {
	var out []string
	for i := range values {
		out = append(out, values[i].Name)
	}
	return out
}

// textList reads a string or a list of strings.
func textList(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
		return out
	}
	return nil
}

func (m *tensorModel) Inputs() []Input { return m.inputs }
func (m *tensorModel) Roles() []string { return []string{model.ModelRole} }

func (m *tensorModel) MaxBatch() int {
	if !m.batched {
		return 1
	}
	if n := fixedBatch(m.graph.Graph); n > 0 {
		return n
	}
	return int(max(1, maxRunNumbers/max(1, m.numbers())))
}

// maxRunNumbers is about how many numbers the inputs and outputs of one run have at the most; maxChunkNumbers those of the rows that are
// split at once. Each takes up to 8 bytes. What is found is what the graph tells: dimensions that it leaves open count as one.
const (
	maxRunNumbers   = 1 << 22
	maxChunkNumbers = 1 << 23
)

// numbers is how many numbers an item has, inputs and outputs together, as far as the graph tells.
func (m *tensorModel) numbers() int64 {
	sum := int64(0)
	count := func(shape []int64) {
		n := int64(1)
		for _, d := range shape {
			if d > 0 && n < 1<<40/d {
				n *= d
			}
		}
		sum += n
	}
	for _, f := range m.feeds {
		count(f.item)
	}
	for _, y := range m.yields {
		count(y.info.Shape)
	}
	return sum
}

func (m *tensorModel) Output() column.Type {
	fields := column.Schema{}
	for _, y := range m.yields {
		t := y.typ
		if m.chunk != nil {
			t = column.ListOf(t)
		}
		fields = append(fields, column.Field{Name: y.info.Name, Type: t})
	}
	return column.RowOf(fields)
}

func (m *tensorModel) Split(rows *Rows) (Work, []Failure) {
	w, failures := m.split(rows)
	return w, failures
}

// tensorWork is rows as they are: an item is a row.
type tensorWork struct {
	m       *tensorModel
	in      *Rows
	rows    []int32
	shapes  [][][]int64 // by item and feed; nil where all items are alike
	mu      sync.Mutex  // guards results
	results []*results
	states  []*State                            // by row, of a model that remembers
	ran     func(items int, took time.Duration) // of such a model
	pieces  [][]float64                         // by item: what the input that is cut, or heard, is fed with
}

func (m *tensorModel) split(rows *Rows) (*tensorWork, []Failure) {
	w := &tensorWork{m: m, in: rows, rows: make([]int32, 0, rows.N)}
	var failures []Failure
	if m.alike(rows) {
		for i := range int32(rows.N) {
			w.rows = append(w.rows, i)
		}
	} else {
		failures = w.splitEach()
	}
	for _, y := range m.yields {
		w.results = append(w.results, newResults(y, len(w.rows)))
	}
	return w, failures
}

// alike reports whether all rows are items of the shape that the inputs have, as far as that is quickly told.
func (m *tensorModel) alike(rows *Rows) bool {
	return m.chunk == nil && m.audio == nil && !slices.ContainsFunc(m.feeds, func(f *feed) bool { return !f.alike(rows) })
}

// splitEach makes items of rows one by one, and returns those that fail.
func (w *tensorWork) splitEach() (failures []Failure) {
	m, rows := w.m, w.in
	for i := range rows.N {
		if m.chunk != nil || m.audio != nil {
			if err := w.cut(i); err != nil {
				failures = append(failures, Failure{Row: int32(i), Err: err})
			}
			continue
		}
		shapes, err := m.shapes(rows, i)
		if err != nil {
			failures = append(failures, Failure{Row: int32(i), Err: err})
			continue
		}
		if shapes != nil && w.shapes == nil {
			w.shapes = make([][][]int64, len(w.rows), rows.N)
		}
		w.rows = append(w.rows, int32(i))
		if w.shapes != nil {
			w.shapes = append(w.shapes, shapes)
		}
	}
	return failures
}

// shapes returns what shape row i has for each feed; nil where they are those of every row.
func (m *tensorModel) shapes(rows *Rows, i int) ([][]int64, error) {
	var out [][]int64
	for k, f := range m.feeds {
		s, err := f.shape(rows, i)
		if err != nil {
			return nil, err
		}
		if s != nil {
			if out == nil {
				out = make([][]int64, len(m.feeds))
			}
			out[k] = s
		}
	}
	return out, nil
}

func (w *tensorWork) Rows() []int32 { return w.rows }

// Length puts items of like shape together.
func (w *tensorWork) Length(item int) int {
	if w.shapes == nil {
		return 0
	}
	n := 0
	for _, s := range w.shapes[item] {
		n += int(max(0, infer.Elements(s)))
	}
	return n
}

// Predict runs the items of equal shape together.
func (w *tensorWork) Predict(ctx context.Context, sessions []infer.Session, items []int32) error {
	return eachAlike(items, w.alike, func(items []int32) error { return w.run(ctx, sessions[0], items) })
}

// eachAlike calls run with each run of items that are alike. Items that fail are gathered; another error ends it.
func eachAlike(items []int32, alike func(a, b int32) bool, run func(items []int32) error) error {
	failed := ItemErrors{}
	for len(items) > 0 {
		n := 1
		for n < len(items) && alike(items[0], items[n]) {
			n++
		}
		var single ItemErrors
		if err := run(items[:n]); errors.As(err, &single) {
			maps.Copy(failed, single)
		} else if err != nil {
			return err
		}
		items = items[n:]
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (w *tensorWork) alike(a, b int32) bool {
	return w.shapes == nil || slices.EqualFunc(w.shapes[a], w.shapes[b], func(s, t []int64) bool { return slices.Equal(s, t) })
}

// appendItems appends what a batch of items feeds to an input. It returns the items that do not fit.
func (w *tensorWork) appendItems(f *feed, e *elements, items []int32) ItemErrors {
	if w.pieces == nil {
		numbers := make([]int32, len(items))
		for i, item := range items {
			numbers[i] = w.rows[item]
		}
		if f.appendPlain(e, w.in, numbers) {
			return nil
		}
	}
	var failed ItemErrors
	for _, item := range items {
		if err := w.appendItem(f, e, item); err != nil {
			if failed == nil {
				failed = ItemErrors{}
			}
			failed[item] = err
		}
	}
	return failed
}

// runBuffers are the elements of the inputs of one run, kept for the next.
type runBuffers struct{ inputs []elements }

func (w *tensorWork) run(ctx context.Context, session infer.Session, items []int32) error {
	buffers, _ := w.m.buffers.Get().(*runBuffers)
	if buffers == nil {
		buffers = &runBuffers{make([]elements, len(w.m.feeds))}
	}
	defer w.m.buffers.Put(buffers)
	inputs := make([]infer.Value, len(w.m.graph.Inputs))
	for at, t := range w.m.constants {
		inputs[at] = t
	}
	for k, f := range w.m.feeds {
		e := &buffers.inputs[k]
		e.reset(f.info.DType)
		if failed := w.appendItems(f, e, items); len(failed) > 0 {
			return w.without(ctx, session, items, failed)
		}
		inputs[f.at] = e.tensor(w.shapeOf(k, items, e.len()))
	}
	outputs := w.m.outputs
	if w.states != nil {
		if err := w.stateInputs(inputs, items); err != nil {
			return err
		}
		outputs = slices.Clone(outputs)
		for _, r := range w.m.states {
			outputs = append(outputs, r.output)
		}
	}
	r, err := session.Run(ctx, inputs, outputs)
	if err != nil {
		return err
	}
	defer r.Close()
	w.mu.Lock() // results of several runs lie one after another
	defer w.mu.Unlock()
	for i := range w.results {
		if err := w.results[i].take(r.Values[i], items); err != nil {
			return err
		}
	}
	if w.states != nil {
		return w.remember(inputs, r, items)
	}
	return nil
}

// without runs a batch again without the items whose values do not fit.
func (w *tensorWork) without(ctx context.Context, session infer.Session, items []int32, failed ItemErrors) error {
	rest := slices.DeleteFunc(slices.Clone(items), func(item int32) bool { return failed[item] != nil })
	if len(rest) > 0 {
		err := w.run(ctx, session, rest)
		var more ItemErrors
		switch {
		case errors.As(err, &more):
			for item, err := range more {
				failed[item] = err
			}
		case err != nil && len(rest) == 1:
			failed[rest[0]] = err
		case err != nil: // which of them is it?
			for _, item := range rest {
				if err := w.run(ctx, session, []int32{item}); err != nil {
					failed[item] = err
				}
			}
		}
	}
	return failed
}

// shapeOf returns the shape of an input of a run.
func (w *tensorWork) shapeOf(k int, items []int32, n int) []int64 {
	f := w.m.feeds[k]
	item := f.item
	if w.shapes != nil && w.shapes[items[0]] != nil && w.shapes[items[0]][k] != nil {
		item = w.shapes[items[0]][k]
	} else if f.info.Shape == nil {
		item = []int64{int64(n / len(items))}
	} else if infer.Elements(item) < 0 { // scalars that fill the one open dimension
		item = []int64{int64(n / len(items))}
	}
	if !f.batched {
		return item
	}
	return append([]int64{int64(len(items))}, item...)
}

func (w *tensorWork) Join(rows []int32) (*column.Vector, error) {
	out := &column.Vector{Type: w.m.Output(), N: len(rows)}
	items, offsets := w.itemsOf(rows)
	for _, r := range w.results {
		c, err := r.column(items)
		if err != nil {
			return nil, err
		}
		if w.m.chunk != nil {
			c = &column.Vector{Type: column.ListOf(c.Type), N: len(rows), Offsets: offsets, Children: []*column.Vector{c}}
		}
		out.Children = append(out.Children, c)
	}
	return out, nil
}

// itemsOf returns the items of rows, and where those of each row begin among them.
func (w *tensorWork) itemsOf(rows []int32) (items, offsets []int32) {
	items, offsets = make([]int32, 0, len(rows)), make([]int32, 1, len(rows)+1)
	item := 0
	for _, row := range rows {
		for item < len(w.rows) && w.rows[item] < row {
			item++
		}
		for ; item < len(w.rows) && w.rows[item] == row; item++ {
			items = append(items, int32(item))
		}
		offsets = append(offsets, int32(len(items)))
	}
	return items, offsets
}
