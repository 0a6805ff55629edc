package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// FeatureExtraction turns texts into vectors.
var FeatureExtraction = add(Task{
	Name:    "feature-extraction",
	Summary: "Turns a text into a vector (an embedding), or into one for each of its tokens.",
	Doc: `
Takes "text". A prediction is a list of numbers where the package pools, as packages of sentence-transformers do (modules.json), or where "pooling" says so; else it is
a list of such lists, one for each token, special tokens among them.

A long text is truncated; with "long_texts: window" the vectors of its windows are averaged (and brought to length 1 again where the package does so).
`,
	Source: "https://huggingface.co/docs/transformers/main_classes/pipelines#transformers.FeatureExtractionPipeline",
	Fields: append([]catalog.Field{
		{Name: "pooling", Type: catalog.Text, Enum: []string{"none", "mean", "cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken"}, Doc: "How the vectors of tokens become one; by default what modules.json says, else none."},
		{Name: "normalize", Type: catalog.Boolean, Doc: "Whether vectors are brought to length 1; by default what modules.json says, else false."},
	}, textFields...),
	Pool: 16,
	Bind: bindFeatureExtraction,
})

type embedder struct {
	*textModel
	output    int // number of the output that is read
	pooled    bool
	modes     []string // poolings whose results are put one after another; none: vectors of tokens
	normalize bool
}

// tokenOutputs are the names of outputs that hold the vectors of tokens, in order of preference.
var tokenOutputs = []string{"last_hidden_state", "token_embeddings", "hidden_states"}

func bindFeatureExtraction(s *Setup) (Bound, error) {
	m, err := newTextModel(s)
	if err != nil {
		return nil, err
	}
	e := &embedder{textModel: m}
	if e.modes, e.normalize, err = readModules(s.Package); err != nil {
		return nil, err
	}
	if mode, ok := s.Config["pooling"].(string); ok {
		e.modes = nil
		if mode != "none" {
			e.modes = []string{mode}
		}
	}
	if n, ok := s.Config["normalize"].(bool); ok {
		e.normalize = n
	}
	return e, e.chooseOutput()
}

func (e *embedder) chooseOutput() error {
	outputs := e.graph.Outputs
	if len(outputs) == 0 {
		return fmt.Errorf("the graph %s has no outputs", e.graph.Name)
	}
	for i := range outputs {
		if slices.Contains(tokenOutputs, outputs[i].Name) {
			e.output = i
			break
		}
	}
	out := &outputs[e.output]
	switch len(out.Shape) {
	case 3:
		return nil
	case 2: // the graph pools by itself
		e.pooled, e.modes = true, nil
		return nil
	}
	return fmt.Errorf("wanted vectors, [batch, tokens, size] or [batch, size], found the output %q as %s", out.Name, out)
}

// readModules reads what sentence-transformers does after the encoder.
func readModules(p *model.Package) (modes []string, normalize bool, err error) {
	text, err := p.ReadFile("modules.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	var modules []struct{ Path, Type string }
	if err == nil {
		err = json.Unmarshal(text, &modules)
	}
	if err != nil {
		return nil, false, fmt.Errorf("modules.json: %w", err)
	}
	for _, m := range modules {
		switch kind := m.Type[max(0, lastDot(m.Type)):]; kind {
		case "Transformer":
		case "Normalize":
			normalize = true
		case "Pooling":
			if modes, err = readPooling(p, m.Path+"/config.json"); err != nil {
				return nil, false, err
			}
		default:
			return nil, false, fmt.Errorf("modules.json: modules of type %q are not supported; wanted Transformer, Pooling and Normalize", m.Type)
		}
	}
	return modes, normalize, nil
}

func lastDot(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return i + 1
		}
	}
	return 0
}

// poolings are the keys of a Pooling module's configuration, in the order in which their results stand.
var poolings = []struct{ key, mode string }{
	{"pooling_mode_cls_token", "cls"}, {"pooling_mode_max_tokens", "max"}, {"pooling_mode_mean_tokens", "mean"},
	{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"}, {"pooling_mode_weightedmean_tokens", "weightedmean"}, {"pooling_mode_lasttoken", "lasttoken"},
}

func readPooling(p *model.Package, file string) ([]string, error) {
	text, err := p.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var modes []string
	for _, pool := range poolings {
		if config[pool.key] == true {
			modes = append(modes, pool.mode)
		}
	}
	if mode, ok := config["pooling_mode"].(string); ok && len(modes) == 0 {
		modes = append(modes, mode)
	}
	if len(modes) == 0 {
		return nil, fmt.Errorf("%s: names no way of pooling", file)
	}
	return modes, nil
}

func (e *embedder) single() bool { return e.pooled || len(e.modes) > 0 }

func (e *embedder) Output() column.Type {
	if e.single() {
		return column.ListOf(column.FloatType)
	}
	return column.ListOf(column.ListOf(column.FloatType))
}

func (e *embedder) Split(rows *Rows) (Work, []Failure) {
	w, failures := e.split(rows.Cols[0])
	return &embedWork{textWork: w, e: e, vectors: make([][]float32, len(w.items)), size: make([]int, len(w.items))}, failures
}

type embedWork struct {
	*textWork
	e       *embedder
	vectors [][]float32 // by item: one vector, or those of all tokens
	size    []int       // by item: numbers of a vector
}

func (w *embedWork) Predict(ctx context.Context, sessions []infer.Session, items []int32) error {
	return w.e.run(ctx, sessions[0], w.textWork, items, []int{w.e.output}, func(length int, r *infer.Results) error {
		return eachItem(r, items, func(item int32, x []float32) error {
			t := w.items[item]
			v, size := x, len(x)
			if !w.e.pooled {
				size = len(x) / length
				first := w.e.first(t, length)
				v = x[first*size : (first+max(1, len(t.ids)))*size]
			}
			if size == 0 {
				return &expr.Exception{Class: "ValueError", Msg: "the model gave a vector without numbers"}
			}
			w.size[item] = size * max(1, len(w.e.modes))
			w.vectors[item] = w.e.vector(v, size)
			return nil
		})
	})
}

// vector pools the vectors of an item's tokens, each of the given size.
func (e *embedder) vector(tokens []float32, size int) []float32 {
	if !e.single() {
		return append([]float32(nil), tokens...)
	}
	var out []float32
	if e.pooled {
		out = append(out, tokens...)
	}
	for _, mode := range e.modes {
		out = pool(out, mode, tokens, size)
	}
	if e.normalize {
		normalize(out)
	}
	return out
}

// pool appends one vector made of many, as sentence-transformers makes it.
func pool(out []float32, mode string, tokens []float32, size int) []float32 {
	n := len(tokens) / size
	at := len(out)
	switch mode {
	case "cls":
		return append(out, tokens[:size]...)
	case "lasttoken":
		return append(out, tokens[(n-1)*size:]...)
	case "max":
		out = append(out, tokens[:size]...)
		for i := size; i < len(tokens); i++ {
			out[at+i%size] = max(out[at+i%size], tokens[i])
		}
		return out
	}
	out = append(out, make([]float32, size)...)
	var weights float32
	for t := range n {
		weight := float32(1)
		if mode == "weightedmean" {
			weight = float32(t + 1)
		}
		weights += weight
		for i := range size {
			out[at+i] += float32(tokens[t*size+i] * weight)
		}
	}
	if mode == "mean_sqrt_len" {
		weights = float32(math.Sqrt(float64(weights)))
	}
	for i := range size {
		out[at+i] /= weights
	}
	return out
}

// normalize brings a vector to length 1.
func normalize(v []float32) {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	length := float32(max(math.Sqrt(sum), 1e-12))
	for i := range v {
		v[i] /= length
	}
}

func (w *embedWork) Join(rows []int32) (*column.Vector, error) {
	b := newListBuilder(w.e.single())
	item := 0
	for _, row := range rows {
		for item < len(w.rows) && w.rows[item] < row {
			item++
		}
		from := item
		for item < len(w.rows) && w.rows[item] == row {
			item++
		}
		if w.e.single() {
			b.vector(w.mean(from, item))
			continue
		}
		for i := from; i < item; i++ { // the vectors of all windows, one after another
			b.vectors(w.vectors[i], w.size[i])
		}
		b.endRow()
	}
	return b.finish(), nil
}

// mean averages the vectors of a row's items.
func (w *embedWork) mean(from, to int) []float32 {
	out := w.vectors[from]
	if to-from == 1 {
		return out
	}
	out = append([]float32(nil), out...)
	for i := from + 1; i < to; i++ {
		for k, x := range w.vectors[i] {
			out[k] += x
		}
	}
	for k := range out {
		out[k] /= float32(to - from)
	}
	if w.e.normalize {
		normalize(out)
	}
	return out
}

// listBuilder makes a column of lists of numbers, or of lists of such lists, without boxing.
type listBuilder struct {
	single bool
	inner  *column.Vector // list<float>
	outer  []int32        // offsets into inner, where there are lists of lists
}

func newListBuilder(single bool) *listBuilder {
	values := &column.Vector{Type: column.FloatType}
	return &listBuilder{single: single, outer: []int32{0},
		inner: &column.Vector{Type: column.ListOf(column.FloatType), Offsets: []int32{0}, Children: []*column.Vector{values}}}
}

func (b *listBuilder) vector(v []float32) {
	values := b.inner.Children[0]
	for _, x := range v {
		values.Floats = append(values.Floats, float64(x))
	}
	values.N = len(values.Floats)
	b.inner.N++
	b.inner.Offsets = append(b.inner.Offsets, int32(values.N))
}

func (b *listBuilder) vectors(v []float32, size int) {
	for from := 0; from < len(v); from += size {
		b.vector(v[from : from+size])
	}
}

func (b *listBuilder) endRow() { b.outer = append(b.outer, int32(b.inner.N)) }

func (b *listBuilder) finish() *column.Vector {
	if b.single {
		return b.inner
	}
	return &column.Vector{Type: column.ListOf(b.inner.Type), N: len(b.outer) - 1, Offsets: b.outer, Children: []*column.Vector{b.inner}}
}
