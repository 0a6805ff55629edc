package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer/library"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/models"
	"github.com/leat-project/leat/task"
)

// predictFlags are the flags of predict.
type predictFlags struct {
	model, task string
	set         []string // key=value
	inputs      []string // name=column
	as          string
	format      string
	offline     bool
}

func newPredict(g *global) *cobra.Command {
	var flags predictFlags
	cmd := &cobra.Command{
		Use:   "predict --model MODEL [INPUT...]",
		Short: "Predicts texts, files and tables by a model",
		Long: `predict runs a model on what it is given, here, without Python and without a server.

MODEL is a model that comes with leat ("leat model list"), a folder in Hugging Face layout, or an .onnx file. The task is
what the model tells, unless --task says otherwise; "leat explain TASK" documents it and its settings.

INPUT is, by what the task takes:
  a text      for tasks on texts, where no such file exists
  a file      .csv, .tsv, .json, .ndjson, .jsonl, .parquet, .avro: rows, whose columns feed the inputs of their names
              (--input name=column says otherwise); other files: for tasks on images and sound the file itself, for
              tasks on texts a text on each line
  a folder    the files in it and below, in the order of their names, hidden ones left out
  {"a": 1}    a row as a JSON object, for tasks that take more than one text
  -           standard input: for tasks on images and sound one file; otherwise JSON objects or, for tasks on texts, a text
              on each line. A line is predicted when it has come. It is the default where standard input is no terminal
A file that exists is that file. --as text takes every INPUT as a text, and every line of standard input.

A row of the output holds the "input" or the "file", and its "inference" or, where it failed, its "error"; the order is that of the
input. Bytes are not repeated. --format: table, json (one array), or ndjson (a row a line); by default a table on a
terminal and ndjson elsewhere.

With --task tensor, INPUT (text, .json file or -) holds requests of the Open Inference Protocol, version 2, and each is
answered by one, as JSON: {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2]}]}. Data may be flat or
nested; integers are exact to 64 bits; what JSON has no number for is "NaN", "Infinity" or "-Infinity", as in Protobuf's JSON.
With --task tensor, rows of the other files feed the inputs of the graph as they do for every task.

Runs of a single INPUT use all processors; for many rows each processor runs its own batch, which is faster. --set threads=N
says otherwise.

Exit codes: 0 done; 1 a row could not be predicted; 2 model, task, setting or file is wrong; 3 wrong usage; 130 interrupted.`,
		Example: `  leat predict --model review-sentiment "not bad at all"
  leat predict --model review-sentiment --set top_k=2 --format json "I love it" "I hate it"
  leat predict --model clothing photo.jpg
  leat predict --model clothing photos/ > predictions.ndjson
  leat predict --model machine-failure machines.csv
  leat predict --model ./my-model --input text=review reviews.parquet
  echo "what a day" | leat predict --model ./my-model --task text-classification -
  leat predict --model net.onnx --task tensor '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [0.5]}]}'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return g.predict(cmd.Context(), args, &flags) },
	}
	f := cmd.Flags()
	f.StringVarP(&flags.model, "model", "m", "", "the `MODEL`: the name of one that comes with leat, a folder, or an .onnx file")
	f.StringVarP(&flags.task, "task", "t", "", "the `TASK`, by its name on the Hub (default: what the model tells)")
	f.StringArrayVar(&flags.set, "set", nil, "a setting of the task or of the session, `key=value`; may be repeated. Lists and objects as JSON")
	f.StringArrayVar(&flags.inputs, "input", nil, "the column that feeds an input, `name=column`; repeated for an input of several columns")
	f.StringVar(&flags.as, "as", "auto", "how INPUT is read: auto, text, rows (JSON) or file")
	f.StringVar(&flags.format, "format", "auto", "table, json or ndjson")
	f.BoolVar(&flags.offline, "offline", false, "download nothing: the runtime for models needs to be installed")
	fixedValues(cmd, "format", "table", "json", "ndjson")
	fixedValues(cmd, "as", "auto", "text", "rows", "file")
	complete(cmd, "model", models.Names, cobra.ShellCompDirectiveDefault)
	complete(cmd, "task", task.Names, cobra.ShellCompDirectiveNoFileComp)
	return cmd
}

// complete offers names for a flag.
func complete(cmd *cobra.Command, flag string, names func() []string, directive cobra.ShellCompDirective) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return names(), directive
	}) // an error means that the flag does not exist
}

// predict opens the model, predicts what args name, and writes it.
func (g *global) predict(ctx context.Context, args []string, flags *predictFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	if len(args) == 0 {
		if f, ok := g.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return errors.New(`predict wants an INPUT, as in: leat predict --model review-sentiment "not bad at all"`)
		}
		args = []string{"-"}
	}
	log := newReporter(g, false)
	ctx, signals := catchSignals(ctx, log)
	defer signals.release()
	problems := &diag.List{}
	p := flags.open(problems, manyRows(args))
	log.problems(problems)
	if p == nil {
		return exit(exitBadFile)
	}
	tune(defaultMemoryLimit())
	runtimes, closeRuntimes := newRuntimes(log, flags.offline, defaultMemoryLimit())
	defer closeRuntimes()
	run := &predictRun{g: g, log: log, predictor: p, flags: flags}
	var err error
	if run.wantsRequests(args) {
		err = run.answerAll(ctx, args, runtimes.Open)
	} else {
		err = run.predictAll(ctx, args, runtimes.Open)
	}
	return run.ended(ctx, err)
}

// check refuses wrong flags.
func (f *predictFlags) check() error {
	switch {
	case f.model == "":
		return fmt.Errorf("predict wants --model: %s, a folder or an .onnx file", strings.Join(models.Names(), ", "))
	case !slices.Contains([]string{"auto", "table", "json", "ndjson"}, f.format):
		return fmt.Errorf("--format wants table, json or ndjson, found %q", f.format)
	case !slices.Contains([]string{"auto", "text", "rows", "file"}, f.as):
		return fmt.Errorf("--as wants auto, text, rows or file, found %q", f.as)
	}
	return nil
}

// ended tells an error and picks the exit code.
func (r *predictRun) ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		r.log.locked(func() { fmt.Fprintln(r.log.w, "leat: interrupted") })
		return exit(exitInterrupted)
	case err == nil && r.failed > 0:
		r.log.locked(func() { fmt.Fprintf(r.log.w, "leat: %d of %d failed\n", r.failed, r.written) })
		return exit(exitFailed)
	case err == nil:
		return nil
	}
	var problem *diag.Problem
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return err
	case errors.As(err, &problem):
		r.log.problems(&diag.List{Problems: []*diag.Problem{problem}})
		return exit(exitBadFile)
	}
	p := &diag.Problem{Text: err.Error()}
	var missing *library.NotInstalled
	if errors.As(err, &missing) {
		p.Code = diag.NoRuntime
	}
	r.log.problems(&diag.List{Problems: []*diag.Problem{p}})
	return exit(exitFailed)
}

// usageError is a wrong use of the command that only shows once its arguments are looked at.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// setPlace is where problems of settings are.
var setPlace = diag.Place{File: "--set"}

// open checks the settings and binds the task to the model. It is nil where there is a problem.
func (f *predictFlags) open(problems *diag.List, many bool) *task.Predictor {
	set, inputs, err := f.settings()
	if err != nil {
		problems.Errorf(setPlace, diag.BadValue, "%v", err)
		return nil
	}
	name := f.taskName(set)
	if name == "" {
		problems.Errorf(diag.Place{}, diag.MissingKey, "no task is named, and the model %s does not tell which it is for", f.model).Hint =
			"Say --task: one of " + strings.Join(task.Names(), ", ") + "."
		return nil
	}
	t := task.LookUp(name)
	if t == nil {
		problems.Errorf(diag.Place{File: "--task"}, diag.BadValue, "no task is named %q", name).Hint = diag.DidYouMean(name, "tasks", task.Names())
		return nil
	}
	if !catalog.CheckObject(valueOf(set), setPlace, fmt.Sprintf("task %q", name), slices.Concat(task.Fields, t.Fields), problems) {
		return nil
	}
	if _, given := set["threads"]; !given && !many {
		set["threads"] = int64(runtime.GOMAXPROCS(0))
	}
	if len(inputs) > 0 {
		set["inputs"] = inputs
	}
	p, err := task.Open(name, f.model, set)
	if err != nil {
		place := diag.Place{}
		found := &catalog.Problem{Code: diag.BadModel, Text: err.Error()}
		if errors.As(err, &found) && set[found.Key] != nil {
			place = setPlace
			found.Text = found.Key + ": " + found.Text
		}
		problems.Errorf(place, found.Code, "%s", found.Text).Hint = found.Hint
		return nil
	}
	return p
}

// taskName is the task that is given, else what the package tells.
func (f *predictFlags) taskName(set map[string]any) string {
	if f.task != "" {
		return f.task
	}
	file, _ := set["file"].(string)
	dtype, _ := set["dtype"].(string)
	p, err := model.Open(f.model, model.Options{File: file, DType: dtype})
	if err != nil {
		return task.Tensor.Name // any task says what is wrong with the package
	}
	return task.Of(p)
}

// settings reads --set and --input.
func (f *predictFlags) settings() (set, inputs map[string]any, err error) {
	set, inputs = map[string]any{}, map[string]any{}
	for _, text := range f.set {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, nil, fmt.Errorf("wanted key=value, found %q", text)
		}
		if set[name], err = settingValue(value); err != nil {
			return nil, nil, fmt.Errorf("%s: wanted JSON, found %q: %w", name, value, err)
		}
	}
	for _, text := range f.inputs {
		name, column, ok := strings.Cut(text, "=")
		if !ok || name == "" || column == "" {
			return nil, nil, fmt.Errorf("--input wants name=column, found %q", text)
		}
		list, _ := inputs[name].([]any)
		inputs[name] = append(list, column)
	}
	for name, list := range inputs {
		if l := list.([]any); len(l) == 1 {
			inputs[name] = l[0]
		}
	}
	return set, inputs, nil
}

// settingValue reads a setting: null, lists and objects as JSON, other values as they are for pipelines.
func settingValue(text string) (any, error) {
	if text == "null" {
		return nil, nil
	}
	if !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "{") {
		return scalar(text), nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the value")
	}
	return plainJSON(v), nil
}

// plainJSON turns numbers into int64 or float64, as plain data has them.
func plainJSON(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64() // a number of JSON is one; beyond the range it is infinite
		return f
	case []any:
		for i := range v {
			v[i] = plainJSON(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainJSON(v[k])
		}
	}
	return v
}

// valueOf gives plain data the form that pipelines check.
func valueOf(v any) *catalog.Value {
	out := &catalog.Value{Place: setPlace}
	switch v := v.(type) {
	case []any:
		list := make([]*catalog.Value, len(v))
		for i := range v {
			list[i] = valueOf(v[i])
		}
		out.Data = list
	case map[string]any:
		m := &catalog.Map{}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			m.Entries = append(m.Entries, catalog.Entry{Key: key, At: setPlace, Value: valueOf(v[key])})
		}
		out.Data = m
	default:
		out.Data = v
	}
	return out
}
