package task

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// tabularFields are the settings of the tasks on tables.
var tabularFields = []catalog.Field{
	{Name: "missing", Type: catalog.Text, Default: "error", Enum: []string{"error", "nan"},
		Doc: "What a feature that is null or NaN is: an error of its row, or NaN to the model, as boosted trees take it."},
}

const tabularDoc = `
Takes a column for each feature. The package names them, in their order, under "leat.features" in config.json, as names or as
"{name, dtype, values}", where "values" are all that a feature of strings may be; without that, the graph's inputs are the features, and a graph with one input for all of
them takes its columns from "inputs: {X: [a, b, c]}".

A null, NaN or infinity fails its row, but for "missing: nan" (or "leat.missing": "nan" in config.json), which hands null and NaN to the model.
`

// feature is one column of a table, as the package describes it.
type feature struct {
	name   string
	values []string // all that it may be; nil: anything
}

// tableModel is a graph over the features of a table.
type tableModel struct {
	*tensorModel
	features []feature // by column of Rows.Cols; nil: the inputs are not described
}

func newTableModel(s *Setup) (*tableModel, error) {
	g, err := s.Package.Graph(model.ModelRole)
	if err != nil {
		return nil, err
	}
	features, err := readFeatures(s.Package.Config)
	if err != nil {
		return nil, err
	}
	m := &tableModel{tensorModel: &tensorModel{graph: g}}
	if len(g.Inputs) == 1 && len(features) != 1 {
		err = m.oneInput(s, &g.Inputs[0], features)
	} else {
		err = m.manyInputs(s, features)
	}
	if err != nil {
		return nil, err
	}
	for i := range m.features { // a feature is one value, not a list
		m.inputs[i].Kinds = slices.DeleteFunc(m.inputs[i].Kinds, func(k column.Kind) bool { return k == column.List || k == column.Bytes })
	}
	missing := s.Config["missing"] == "nan" || s.Config["missing"] == nil && s.Package.Config.Leat["missing"] == "nan"
	for _, f := range m.feeds {
		f.finite, f.missing = true, missing
	}
	if !m.batched {
		return nil, fmt.Errorf("wanted a graph whose inputs begin with the batch, found %s as %s", g.Inputs[0].Name, &g.Inputs[0])
	}
	return m, nil
}

// readFeatures reads leat.features.
func readFeatures(c *model.Config) ([]feature, error) {
	v, ok := c.Leat["features"]
	if !ok {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("config.json: leat.features: wanted a list, found %T", v)
	}
	var out []feature
	for i, e := range list {
		switch e := e.(type) {
		case string:
			out = append(out, feature{name: e})
			continue
		case map[string]any:
			if name, ok := e["name"].(string); ok {
				f := feature{name: name}
				if e["values"] != nil {
					f.values = textList(e["values"])
				}
				out = append(out, f)
				continue
			}
		}
		return nil, fmt.Errorf("config.json: leat.features: wanted a name or {name: …} at %d, found %v", i, e)
	}
	return out, nil
}

// oneInput feeds one input with all features, side by side.
func (m *tableModel) oneInput(s *Setup, in *model.ValueInfo, features []feature) error {
	var columns []string
	for _, f := range features {
		columns = append(columns, f.name)
	}
	if features == nil {
		return m.addInput(in, slices.Repeat([]string{in.Name}, columnsOf(s.Config, in.Name)), nil)
	}
	m.features = features
	return m.addInput(in, columns, columns)
}

// manyInputs feeds each input with a feature: that of its name, else that of its place.
func (m *tableModel) manyInputs(s *Setup, features []feature) error {
	g := m.graph
	if features != nil && len(features) != len(g.Inputs) {
		return fmt.Errorf("config.json names %d features, and the graph %s has %d inputs", len(features), g.Name, len(g.Inputs))
	}
	for i := range g.Inputs {
		in := &g.Inputs[i]
		f := feature{name: in.Name}
		if features != nil {
			f = features[i]
			if k := slices.IndexFunc(features, func(f feature) bool { return f.name == in.Name }); k >= 0 {
				f = features[k]
			}
		}
		m.features = append(m.features, f)
		if err := m.addInput(in, []string{f.name}, []string{f.name}); err != nil {
			return err
		}
	}
	return nil
}

// split makes items of rows, and refuses values that a feature cannot be.
func (m *tableModel) split(rows *Rows) (*tensorWork, []Failure) {
	w, failures := m.tensorModel.split(rows)
	for k, f := range m.features {
		if f.values == nil {
			continue
		}
		w.rows = slices.DeleteFunc(w.rows, func(row int32) bool {
			v := rows.Cols[k]
			if f.allows(v, int(row)) {
				return false
			}
			failures = append(failures, Failure{Row: row, Err: &expr.Exception{Class: "ValueError",
				Msg: fmt.Sprintf("%s: wanted one of %v, found %s", f.name, f.values, expr.Repr(v.Value(int(row))))}})
			return true
		})
	}
	slices.SortFunc(failures, func(a, b Failure) int { return int(a.Row - b.Row) })
	return w, failures
}

// allows reports whether the value of a row is one that the feature may have. Other types than strings are refused when they are fed.
func (f *feature) allows(v *column.Vector, row int) bool {
	if v.Type.Kind == column.String && !v.IsNull(row) {
		value := v.Bin(row)
		return slices.ContainsFunc(f.values, func(s string) bool { return s == string(value) })
	}
	s, ok := v.Value(row).(string)
	return !ok || slices.Contains(f.values, s)
}

// TabularRegression predicts a number from the features of a row.
var TabularRegression = add(Task{
	Name:    "tabular-regression",
	Summary: "Predicts a number from the fields of a row, with a model exported from scikit-learn, XGBoost or LightGBM.",
	Doc:     tabularDoc + "\nA prediction is a number, or a list of numbers where the model gives several for a row.\n",
	Source:  "https://huggingface.co/tasks/tabular-regression",
	Fields:  tabularFields,
	Batch:   1024,
	Pool:    4,
	Bind: func(s *Setup) (Bound, error) {
		t, err := newTableModel(s)
		if err != nil {
			return nil, err
		}
		r := &tabularRegressor{tableModel: t}
		return r, r.chooseOutput()
	},
})

type tabularRegressor struct{ *tableModel }

func (r *tabularRegressor) chooseOutput() error {
	if len(r.graph.Outputs) == 0 {
		return fmt.Errorf("the graph %s has no outputs", r.graph.Name)
	}
	out := &r.graph.Outputs[0]
	y := newYield(out, true)
	if rank := len(out.Shape); out.Kind != model.TensorValue || out.Shape != nil && (rank > 2 || rank == 0) || !out.DType.IsFloat() && !out.DType.IsInteger() {
		return fmt.Errorf("wanted a number for each row, found the output %q as %s", out.Name, out)
	} else if rank == 2 && out.Shape[1] == 1 || out.Shape == nil {
		y.typ = column.FloatType
	} else if rank == 1 {
		y.typ = column.FloatType
	} else {
		y.typ = column.ListOf(column.FloatType)
	}
	r.outputs, r.yields = []int{0}, []*yield{y}
	return nil
}

func (r *tabularRegressor) Output() column.Type { return r.yields[0].typ }

func (r *tabularRegressor) Split(rows *Rows) (Work, []Failure) {
	w, failures := r.split(rows)
	return &regressWork{w}, failures
}

type regressWork struct{ *tensorWork }

func (w *regressWork) Predict(ctx context.Context, sessions []infer.Session, items []int32) error {
	return w.predictNumbers(ctx, sessions, items, 0)
}

// predictNumbers runs a batch, and fails the rows for which an output is NaN.
func (w *tensorWork) predictNumbers(ctx context.Context, sessions []infer.Session, items []int32, output int) error {
	err := w.Predict(ctx, sessions, items)
	failed := ItemErrors{}
	if err != nil && !errors.As(err, &failed) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.results[output]
	for _, item := range items {
		if r.flat == nil || r.flat.Type.Kind != column.Float || failed[item] != nil {
			continue
		}
		if slices.ContainsFunc(r.flat.Floats[r.from[item]:r.to[item]], math.IsNaN) {
			failed[item] = &expr.Exception{Class: "ValueError", Msg: fmt.Sprintf("the model's output %q is not a number (NaN)", r.info.Name)}
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (w *regressWork) Join(rows []int32) (*column.Vector, error) {
	items, _ := w.itemsOf(rows)
	return w.results[0].column(items)
}

// TabularClassification tells which class a row belongs to.
var TabularClassification = add(Task{
	Name:    "tabular-classification",
	Summary: "Tells which class a row belongs to by its fields, with a model exported from scikit-learn, XGBoost or LightGBM.",
	Doc: tabularDoc + `
A prediction is a row of "label", what the model decides, and "score", its probability; or a list of such rows, the most probable first, where "top_k" is given. Labels that are
numbers are named by id2label in config.json.
`,
	Source: "https://huggingface.co/tasks/tabular-classification",
	Fields: append(tabularFields, catalog.Field{Name: "top_k", Type: catalog.AnyValue, Default: "1, without a list",
		Doc: "How many classes a prediction lists, the most probable first; null for all."}),
	Batch: 1024,
	Pool:  4,
	Bind:  bindTabularClassification,
})

// tabularClassifier reads labels and probabilities.
type tabularClassifier struct {
	*tableModel
	*scorer
	label int // of the outputs that are run; -1: the class of the highest score
	score int
}

func bindTabularClassification(s *Setup) (Bound, error) {
	t, err := newTableModel(s)
	if err != nil {
		return nil, err
	}
	scores, err := newScorer(s, 0)
	if err != nil {
		return nil, err
	}
	scores.apply = "none"
	c := &tabularClassifier{tableModel: t, scorer: scores, label: -1, score: -1}
	for i := range t.graph.Outputs {
		out := &t.graph.Outputs[i]
		switch {
		case c.label < 0 && out.Kind == model.TensorValue && (out.DType == model.Int64 || out.DType == model.Int32 || out.DType == model.String):
			c.label = c.use(i, elementType(out.DType))
		case c.score < 0 && out.Kind == model.TensorValue && out.DType.IsFloat():
			c.score = c.use(i, column.ListOf(column.FloatType))
		case c.score < 0 && out.Kind == model.SequenceValue && out.Elem != nil && out.Elem.Kind == model.MapValue:
			c.score = c.use(i, column.AnyType)
		}
	}
	if c.score < 0 {
		return nil, fmt.Errorf("wanted an output of probabilities, [batch, classes] or a map for each row, found %v", describe(t.graph.Outputs))
	}
	c.nameClasses()
	if c.list && len(c.labels) == 0 && t.graph.Outputs[c.outputs[c.score]].Kind == model.TensorValue {
		return nil, &catalog.Problem{Key: "top_k", Code: diag.BadModel, Text: "the classes have no names: wanted id2label in config.json"}
	}
	return c, nil
}

func describe(values []model.ValueInfo) []string {
	var out []string
	for i := range values {
		out = append(out, values[i].Name+": "+values[i].String())
	}
	return out
}

// use runs an output and returns its number among those that are run.
func (c *tabularClassifier) use(output int, t column.Type) int {
	y := newYield(&c.graph.Outputs[output], true)
	y.typ = t
	c.outputs, c.yields = append(c.outputs, output), append(c.yields, y)
	return len(c.outputs) - 1
}

// nameClasses gives the classes of a probability tensor their names: those of the labels that the graph holds, by id2label where they
// are numbers.
func (c *tabularClassifier) nameClasses() {
	if len(c.graph.Classes) == 0 {
		return
	}
	named := make([]string, len(c.graph.Classes))
	for i, class := range c.graph.Classes {
		named[i] = c.nameOf(class)
	}
	c.labels = named
}

// nameOf names a class by its label in the model: by id2label where that has it.
func (c *tabularClassifier) nameOf(label string) string {
	for i, name := range c.config.Labels {
		if fmt.Sprint(i) == label {
			return name
		}
	}
	return label
}

func (c *tabularClassifier) Output() column.Type { return c.output() }

func (c *tabularClassifier) Split(rows *Rows) (Work, []Failure) {
	w, failures := c.split(rows)
	return &tableWork{tensorWork: w, c: c}, failures
}

type tableWork struct {
	*tensorWork
	c *tabularClassifier
}

func (w *tableWork) Predict(ctx context.Context, sessions []infer.Session, items []int32) error {
	return w.predictNumbers(ctx, sessions, items, w.c.score)
}

func (w *tableWork) Join(rows []int32) (*column.Vector, error) {
	items, _ := w.itemsOf(rows)
	if best := w.best(items); best != nil {
		return best, nil
	}
	out := column.NewBuilder(w.c.output())
	scores, err := w.results[w.c.score].column(items)
	if err != nil {
		return nil, err
	}
	var labels *column.Vector
	if w.c.label >= 0 {
		if labels, err = w.results[w.c.label].column(items); err != nil {
			return nil, err
		}
	}
	for i := range items {
		label := column.Value(nil)
		if labels != nil {
			label = labels.Value(i)
		}
		if err := out.Append(w.c.predict(label, scores.Value(i))); err != nil {
			return nil, err
		}
	}
	return out.Finish(), nil
}

// best returns the class that the model decides for each item and its score, column by column. It is nil where they do not lie in
// columns, or a prediction is a list.
func (w *tableWork) best(items []int32) *column.Vector {
	scores := w.results[w.c.score]
	if w.c.list || w.c.label < 0 || scores.flat == nil || !scores.nests(items) {
		return nil
	}
	labels := w.results[w.c.label]
	if labels.boxed == nil && labels.flat.N != len(labels.from) {
		return nil
	}
	names := &column.Vector{Type: column.StringType, N: len(items), Offsets: make([]int32, 1, len(items)+1)}
	values := &column.Vector{Type: column.FloatType, N: len(items), Floats: make([]float64, len(items))}
	classes := map[column.Value]class{}
	for i, item := range items {
		var label column.Value
		if labels.boxed != nil {
			label = labels.boxed[item]
		} else {
			label = labels.flat.Ints[labels.from[item]]
		}
		of := scores.flat.Floats[scores.from[item]:scores.to[item]]
		k, known := classes[label]
		if !known {
			k = w.c.classOf(label, len(of))
			classes[label] = k
		}
		names.Data = append(names.Data, k.name...)
		names.Offsets = append(names.Offsets, int32(len(names.Data)))
		values.Floats[i] = k.score(of)
	}
	return &column.Vector{Type: scoreType, N: len(items), Children: []*column.Vector{names, values}}
}

// class is what a label of the model stands for.
type class struct {
	name string
	at   int // among the scores; -1: none of them is the label's
}

func (k class) score(of []float64) float64 {
	if k.at >= 0 && k.at < len(of) {
		return of[k.at]
	}
	score := 0.0
	for _, v := range of {
		score = max(score, v)
	}
	return score
}

// classOf finds the class of a label among n scores.
func (c *tabularClassifier) classOf(label column.Value, n int) class {
	k := class{name: c.nameOf(fmt.Sprint(label)), at: -1}
	for i := n - 1; i >= 0; i-- {
		if c.scorer.label(i) == k.name {
			k.at = i
		}
	}
	return k
}

// predict makes a prediction of a row's label (nil: the model gives none) and its scores, a list or a map.
func (c *tabularClassifier) predict(label, scores column.Value) column.Value {
	names, values := c.classes(scores)
	if c.list || label == nil {
		return c.ranked(names, values)
	}
	name := c.nameOf(fmt.Sprint(label))
	score := 0.0
	if k := slices.Index(names, name); k >= 0 {
		score = values[k]
	} else {
		for _, v := range values {
			score = max(score, v)
		}
	}
	return scored(name, score)
}

func scored(label string, score float64) *column.RowValue {
	return &column.RowValue{Names: []string{"label", "score"}, Elems: []column.Value{label, score}}
}

// classes returns the names and scores of a row's classes.
func (c *tabularClassifier) classes(scores column.Value) (names []string, values []float64) {
	switch s := scores.(type) {
	case *column.ListValue:
		for i, v := range s.Elems {
			x, _ := v.(float64)
			names, values = append(names, c.scorer.label(i)), append(values, x)
		}
	case *column.MapValue:
		for i, v := range s.Elems {
			x, _ := v.(float64)
			names, values = append(names, c.nameOf(fmt.Sprint(s.Keys[i]))), append(values, x)
		}
	}
	return names, values
}

func (c *tabularClassifier) ranked(names []string, values []float64) column.Value {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	if c.top > 0 && c.top < len(order) {
		order = order[:c.top]
	}
	list := &column.ListValue{}
	for _, k := range order {
		list.Elems = append(list.Elems, scored(names[k], values[k]))
	}
	if !c.list && len(list.Elems) > 0 {
		return list.Elems[0]
	}
	return list
}
