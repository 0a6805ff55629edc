package transform

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/task"
)

// RunInference predicts each row by a model.
var RunInference = catalog.AddTransform(catalog.Transform{
	Name:    "RunInference",
	Summary: "Predicts each row by a model, here, without Python and without a server.",
	Doc: `
The output is the input's row and the field "inference", a row of "example" (what was predicted: the row, or what "preprocess" makes of it), "inference" (the prediction, whose
type follows from task and model) and "model_id" (the model's name and the beginning of its SHA-256). Time, windows and the order of rows stay as they are.

"model_handler" is {type, config}. HuggingFacePipelineModelHandler takes a package in Hugging Face layout and one of leat's tasks: ` + strings.Join(task.Names(), ", ") + `. ONNXModelHandler takes any ONNX model; its task is
tensor unless given. "model" is a folder, an .onnx file, or a model that comes with leat. "inputs" names the columns, as in {text: review}; by default a column of the input's name feeds it, or the one
column that fits a task of one input. "leat explain" and the name of a task, as in "leat explain text-classification", tell what it takes and gives.

A row that cannot be predicted goes to the error output, or fails the job. What a row gets does not depend on the rows beside it, nor on parallelism; a model that quantises while it runs is
therefore run row by row, unless "batch_variant" is true. Rows are predicted as they arrive, in batches of those that are there: none waits for others. Cost: that of the model; columns are passed on without a
copy, and "example" is there only where it is read.
`,
	Source: "https://beam.apache.org/releases/yamldoc/current/#runinference",
	Fields: []catalog.Field{
		{Name: "model_handler", Type: catalog.Object, Required: true, Doc: "What runs which model.", Fields: []catalog.Field{
			{Name: "type", Type: catalog.Text, Required: true, Doc: "The handler: HuggingFacePipelineModelHandler or ONNXModelHandler."},
			{Name: "config", Type: catalog.Object, Required: true, Doc: "The model, its task, and their settings."},
		}},
		{Name: "inference_tag", Type: catalog.Text, Default: "inference", Doc: "The field for the prediction."},
		{Name: "inference_args", Type: catalog.Object, Doc: "Settings of the task, as Hugging Face's pipelines take them when they are called."},
	},
	Errors: true,
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {Type: M, "Air temperature [K]": 298.1, "Process temperature [K]": 308.6, "Rotational speed [rpm]": 1551, "Torque [Nm]": 42.8, "Tool wear [min]": 0}
          - {Type: L, "Air temperature [K]": 298.9, "Process temperature [K]": 309.1, "Rotational speed [rpm]": 2861, "Torque [Nm]": 4.6, "Tool wear [min]": 143}
    - type: RunInference
      config:
        model_handler:
          type: HuggingFacePipelineModelHandler
          config:
            task: tabular-classification
            model: machine-failure
    - type: MapToFields
      config:
        language: python
        fields:
          rpm: __row__["Rotational speed [rpm]"]
          verdict: inference.inference.label

# Expected:
#  Row(rpm=1551, verdict='ok')
#  Row(rpm=2861, verdict='failure')
`,
	Lower: lowerRunInference,
})

// The handlers that a pipeline may name.
const (
	huggingFaceHandler = "HuggingFacePipelineModelHandler"
	onnxHandler        = "ONNXModelHandler"
)

// refusedHandlers are known to Beam and not run here, with the reason.
var refusedHandlers = map[string]string{
	"VertexAIModelHandlerJSON": "it calls a service of Google's: leat runs models here, and what is private stays here",
}

// refusedSettings are what Beam's handler takes and only Python can do.
var refusedSettings = map[string]string{
	"load_pipeline_args": "they are for Python's pipelines: say file, dtype, threads and the settings of the task instead",
	"inference_fn":       "it is a Python function, and Python processes come later",
}

func lowerRunInference(l *catalog.Lowering) catalog.Outputs {
	handler := l.Config.Get("model_handler")
	config := handler.Get("config")
	defaultTask, known := handlerTask(l, handler.Get("type"))
	ok := checkHandler(l, config)
	if !known || !ok && config.Get("model").Text() == "" {
		return failed()
	}
	ref := config.Get("model").Text()
	name := taskName(config, ref, defaultTask)
	if name == "" {
		l.Problems.Errorf(config.Place, diag.MissingKey, "no task is named, and the package %s does not tell which it is for", ref).Hint = "Say task: one of " + strings.Join(task.Names(), ", ") + "."
		return failed()
	}
	t := task.LookUp(name)
	if t == nil {
		l.Problems.Errorf(placeIn(config, "task"), diag.BadValue, "no task is named %q", name).Hint = diag.DidYouMean(name, "tasks", task.Names())
		return failed()
	}
	owner := fmt.Sprintf("task %q", name)
	if !catalog.CheckObject(config, config.Place, owner, slices.Concat(handlerFields, task.Fields, t.Fields), l.Problems) || !ok {
		return failed()
	}
	plain, isMap := config.Plain().(map[string]any)
	if !isMap || !addArgs(l, plain, t) {
		return failed()
	}
	predictor, err := task.Open(name, ref, plain)
	if err != nil {
		l.Report(config, err)
		return failed()
	}
	return addInfer(l, config, plain, predictor)
}

// handlerFields are the settings of the handlers beside those of task and session.
var handlerFields = []catalog.Field{
	{Name: "task", Type: catalog.Text, Doc: "The task, by its name on the Hub; by default what the package tells."},
	{Name: "model", Type: catalog.Text, Required: true, Doc: "The model: a folder, an .onnx file, or a model that comes with leat."},
	{Name: "inputs", Type: catalog.Object, Doc: "The column for each input, or a list of columns."},
	{Name: "preprocess", Type: catalog.AnyValue, Doc: "What is predicted, as a function of the row: {callable: \"lambda row: row.text\"}."},
	{Name: "postprocess", Type: catalog.AnyValue, Doc: "What becomes of a prediction, as a function of its example, inference and model_id."},
	{Name: "load_pipeline_args", Type: catalog.Object, Doc: "Refused: for Python's pipelines."},
	{Name: "inference_fn", Type: catalog.AnyValue, Doc: "Refused: a Python function."},
}

// handlerTask returns the task that a handler has by default, and whether there is such a handler.
func handlerTask(l *catalog.Lowering, typ *catalog.Value) (task string, ok bool) {
	switch name := typ.Text(); name {
	case huggingFaceHandler:
		return "", true
	case onnxHandler:
		return "tensor", true
	default:
		if reason, known := refusedHandlers[name]; known {
			l.Problems.Errorf(typ.Place, diag.Unsupported, "the handler %s is refused: %s", name, reason).Hint = "Export the model to ONNX and name it in an ONNXModelHandler."
			return "", false
		}
		l.Problems.Errorf(typ.Place, diag.BadValue, "no model handler is named %q", name).Hint = diag.DidYouMean(name, "handlers", []string{huggingFaceHandler, onnxHandler})
		return "", false
	}
}

// checkHandler refuses what only Python can do, and a handler without a model.
func checkHandler(l *catalog.Lowering, config *catalog.Value) bool {
	ok := true
	for _, key := range slices.Sorted(maps.Keys(refusedSettings)) {
		if v := config.Get(key); v != nil && v.Data != nil {
			l.Problems.Errorf(v.Place, diag.Unsupported, "%q is refused: %s", key, refusedSettings[key])
			ok = false
		}
	}
	switch m := config.Get("model"); {
	case m.Text() != "":
	case m != nil && m.Data != nil && m.Data != "":
		l.Problems.Errorf(m.Place, diag.BadValue, "wanted a string for \"model\"").Hint = "It is a folder, an .onnx file, or a model that comes with leat."
		ok = false
	default:
		l.Problems.Errorf(config.Place, diag.MissingKey, "no \"model\" is named").Hint = "It is a folder, an .onnx file, or a model that comes with leat."
		ok = false
	}
	return ok
}

// taskName is the task that is given, else the handler's, else what the package tells.
func taskName(config *catalog.Value, ref, byHandler string) string {
	if name := config.Get("task").Text(); name != "" {
		return name
	}
	if byHandler != "" {
		return byHandler
	}
	p, err := model.Open(ref, model.Options{File: config.Get("file").Text(), DType: config.Get("dtype").Text()})
	if err != nil {
		return "tensor" // any task will say what is wrong with the package
	}
	return task.Of(p)
}

// addArgs takes inference_args among the settings, where the task has such.
func addArgs(l *catalog.Lowering, config map[string]any, t *task.Task) bool {
	args := l.Config.Get("inference_args")
	// Truncation and padding are done here in any case.
	fields := slices.Concat(t.Fields, []catalog.Field{{Name: "truncation", Type: catalog.AnyValue}, {Name: "padding", Type: catalog.AnyValue}})
	if !catalog.CheckObject(args, l.Place, fmt.Sprintf("task %q", t.Name), fields, l.Problems) {
		return false
	}
	for _, e := range args.Entries() {
		if e.Key != "truncation" && e.Key != "padding" {
			config[e.Key] = e.Value.Plain()
		}
	}
	return true
}

// addInfer adds the nodes.
func addInfer(l *catalog.Lowering, config *catalog.Value, plain map[string]any, p *task.Predictor) catalog.Outputs {
	schema := l.Schema()
	op := &plan.Infer{Task: p.Task.Name, Model: config.Get("model").Text(), Tag: "inference"}
	if tag := l.Config.Get("inference_tag").Text(); tag != "" {
		op.Tag = tag
	}
	if schema.Index(op.Tag) >= 0 {
		l.Problems.Errorf(l.Place, diag.FieldExists, "the input has a field %q already", op.Tag).Hint = "Name another by inference_tag."
		return failed()
	}
	if pre := config.Get("preprocess"); pre != nil && pre.Data != nil {
		if op.Example = l.ExprIn("python", pre, schema); op.Example == nil || !feedExample(l, op, pre, p) {
			return failed()
		}
	} else if !feedColumns(l, op, config.Get("inputs"), p) {
		return failed()
	}
	for _, key := range []string{"task", "model", "preprocess", "postprocess"} {
		delete(plain, key)
	}
	op.Config = plain
	if s, ok := p.Bound.(task.Stateful); ok && s.Remembers() {
		op.Ordered = true
		if !takeKeys(l, op, config.Get("key")) {
			return failed()
		}
	}
	n := l.Builder.Infer(l.Main(), op, p.Output())
	post := config.Get("postprocess")
	if post == nil || post.Data == nil {
		return catalog.Main(n.Main(), n)
	}
	last := postprocess(l, n, op.Tag, post)
	if last == nil {
		return failed()
	}
	return catalog.Main(last.Main(), n, last)
}

// feedExample feeds the one input of the task with what preprocess makes.
func feedExample(l *catalog.Lowering, op *plan.Infer, pre *catalog.Value, p *task.Predictor) bool {
	inputs := p.Inputs()
	if len(inputs) != 1 {
		l.Problems.Errorf(pre.Place, diag.WrongInput, "task %q takes %d inputs, and preprocess makes one", p.Task.Name, len(inputs)).Hint = `Name their columns by "inputs".`
		return false
	}
	if !inputs[0].Accepts(op.Example.Type) {
		l.Problems.Errorf(pre.Place, diag.WrongInput, "the input %q of task %q is %s, and preprocess makes %s", inputs[0].Name, p.Task.Name, inputs[0].Wants(), op.Example.Type)
		return false
	}
	op.Inputs = []*expr.Expr{op.Example}
	return true
}

// feedColumns finds the column of each input of the task.
func feedColumns(l *catalog.Lowering, op *plan.Infer, given *catalog.Value, p *task.Predictor) bool {
	schema, inputs := l.Schema(), p.Inputs()
	var known []string
	for i := range inputs {
		known = append(known, inputs[i].Name)
	}
	ok := true
	for _, e := range given.Entries() {
		if !slices.Contains(known, e.Key) {
			l.Problems.Errorf(e.At, diag.WrongInput, "task %q with the model %s has no input %q", p.Task.Name, p.Package.Name, e.Key).Hint = diag.DidYouMean(e.Key, "inputs", slices.Compact(known))
			ok = false
		}
	}
	seen := map[string]int{} // an input may be fed by several columns, one after another
	for i := range inputs {
		in := &inputs[i]
		columns := columnsFor(given.Get(in.Name))
		at := l.Place
		name := ""
		switch {
		case seen[in.Name] < len(columns):
			name, at = columns[seen[in.Name]].Text(), columns[seen[in.Name]].Place
		case schema.Index(in.Name) >= 0:
			name = in.Name
		case len(inputs) == 1:
			name = onlyFit(schema, in)
		}
		seen[in.Name]++
		switch k := schema.Index(name); {
		case name == "" && in.Optional:
			op.Inputs = append(op.Inputs, nil)
		case name == "":
			l.Problems.Errorf(at, diag.WrongInput, "no column feeds the input %q (%s) of the model %s", in.Name, in.Wants(), p.Package.Name).Hint =
				fmt.Sprintf("Name it: inputs: {%q: COLUMN}. Columns: %s.", in.Name, strings.Join(schema.Names(), ", "))
			ok = false
		case k < 0:
			unknownField(l, at, name)
			ok = false
		case !in.Accepts(schema[k].Type):
			l.Problems.Errorf(at, diag.WrongInput, "the input %q of the model %s wants %s, and the column %q is %s", in.Name, p.Package.Name, in.Wants(), name, schema[k].Type)
			ok = false
		default:
			op.Inputs = append(op.Inputs, expr.FieldRef(schema[k]))
		}
	}
	for _, e := range given.Entries() {
		if columns := columnsFor(e.Value); len(columns) > seen[e.Key] && slices.Contains(known, e.Key) {
			l.Problems.Errorf(columns[seen[e.Key]].Place, diag.WrongInput, "the input %q of the model %s takes %d columns, and %d are named", e.Key, p.Package.Name, seen[e.Key], len(columns))
			ok = false
		}
	}
	return ok
}

// takeKeys reads the columns by which a model with a state remembers.
func takeKeys(l *catalog.Lowering, op *plan.Infer, keys *catalog.Value) bool {
	ok := true
	for _, key := range keys.Texts() {
		if l.Schema().Index(key.Text()) < 0 {
			unknownField(l, key.Place, key.Text())
			ok = false
		}
		op.Keys = append(op.Keys, key.Text())
	}
	return ok
}

// columnsFor returns the columns named for an input: one, or a list.
func columnsFor(v *catalog.Value) []*catalog.Value {
	if v == nil || v.Data == nil {
		return nil
	}
	if list := v.List(); list != nil {
		return list
	}
	return []*catalog.Value{v}
}

// onlyFit returns the one column that an input accepts, or "".
func onlyFit(schema column.Schema, in *task.Input) string {
	name := ""
	for _, f := range schema {
		if !slices.Contains(in.Kinds, f.Type.Kind) {
			continue
		}
		if name != "" {
			return ""
		}
		name = f.Name
	}
	return name
}

// postprocess adds a map that replaces the prediction by a function of it.
func postprocess(l *catalog.Lowering, n *plan.Node, tag string, post *catalog.Value) *plan.Node {
	schema := n.Out[0].Schema
	field := schema[schema.Index(tag)]
	e := l.ExprIn("python", post, field.Type.Fields)
	if e == nil {
		return nil
	}
	exprs, out := make([]*expr.Expr, len(schema)), append(column.Schema{}, schema...)
	for i, f := range schema {
		exprs[i] = expr.FieldRef(f)
	}
	last := schema.Index(tag)
	exprs[last], out[last].Type = e.Within(field), e.Type
	return l.Builder.Map(n.Main(), out, exprs)
}

func placeIn(config *catalog.Value, key string) diag.Place {
	if v := config.Get(key); v != nil {
		return v.Place
	}
	return config.Place
}
