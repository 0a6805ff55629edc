package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/infer/library"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/models"
	"github.com/leat-project/leat/task"
)

func newModel(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Lists, shows and verifies models",
		Long: `model looks at model packages: a folder in Hugging Face layout, a single .onnx file, or a model that comes with leat.

A package's identity is the SHA-256 of its content: of the file for a single .onnx file, otherwise of the list of its files
and their hashes, as sha256sum prints it. Model cards and weights in other formats do not count.`,
		Example: `  leat model list                                 the models that come with leat
  leat model show machine-failure                 what a model takes and gives
  leat model verify ./my-model                    read, check and load all of it`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for \"leat model\"", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newModelList(g), newModelShow(g), newModelVerify(g))
	return cmd
}

func newModelList(g *global) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Lists the models that come with leat",
		Long:  "list shows the models that come with leat, and that every command takes by their names.",
		Example: `  leat model list
  leat model list --format json`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if err := tableOrJSON(format); err != nil {
				return err
			}
			var all []packageJSON
			rows := [][]string{{"NAME", "TASK", "SIZE", "SHA-256", "ABOUT"}}
			for _, name := range models.Names() {
				m, err := describeModel(name, nil)
				if err != nil {
					return g.modelFailed(err)
				}
				all = append(all, *m)
				rows = append(rows, []string{m.Name, m.Task, formatBytes(m.Bytes), strings.TrimPrefix(m.Identity, "sha256:")[:12], m.About})
			}
			if format == "json" {
				return writeJSON(g.out, all)
			}
			_, err := fmt.Fprint(g.out, alignColumns(rows))
			return err
		},
	}
	modelFormat(cmd, &format)
	return cmd
}

func newModelShow(g *global) *cobra.Command {
	var format, taskName string
	cmd := &cobra.Command{
		Use:   "show MODEL",
		Short: "Shows what a model takes and gives, and what it consists of",
		Long: `show tells the identity of a model, its task with what that takes of a row and gives, its files with their hashes, its graphs with inputs,
outputs and operator sets, its labels and its limits. It needs no runtime.`,
		Example: `  leat model show review-sentiment
  leat model show ./my-model --format json
  leat model show net.onnx`,
		Args:              wantArgs(1, 1, "one MODEL"),
		ValidArgsFunction: completeModel,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := tableOrJSON(format); err != nil {
				return err
			}
			m, err := describeModel(args[0], &taskName)
			if err != nil {
				return g.modelFailed(err)
			}
			if format == "json" {
				return writeJSON(g.out, m)
			}
			_, err = fmt.Fprint(g.out, m.text())
			return err
		},
	}
	modelFormat(cmd, &format)
	cmd.Flags().StringVarP(&taskName, "task", "t", "", "the `TASK` to show the model for (default: what the model tells)")
	complete(cmd, "task", task.Names, cobra.ShellCompDirectiveNoFileComp)
	return cmd
}

func newModelVerify(g *global) *cobra.Command {
	var taskName string
	cmd := &cobra.Command{
		Use:   "verify MODEL [SHA256]",
		Short: "Reads, checks and loads all of a model",
		Long: `verify reads every file of a model, checks the structure of its graphs and that their weights lie inside the package, binds its
task (which reads tokenizer, labels and preprocessing), loads its graphs where the runtime is installed, and compares its
identity with the SHA-256 that is given: all of it or the first twelve digits, as predictions carry it.

Exit code 1 says that something is wrong or the identity another.`,
		Example: `  leat model verify ./my-model
  leat model verify ./my-model 3f0c8a5be91d
  leat model verify net.onnx sha256:$(sha256sum < net.onnx | cut -d' ' -f1)`,
		Args:              wantArgs(1, 2, "a MODEL and perhaps its SHA256"),
		ValidArgsFunction: completeModel,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted := ""
			if len(args) == 2 {
				wanted = strings.ToLower(strings.TrimPrefix(args[1], "sha256:"))
				if _, err := hex.DecodeString(wanted); err != nil || len(wanted) != 64 && len(wanted) != 12 {
					return fmt.Errorf("verify wants a SHA256 of 64 or 12 hex digits, found %q", args[1])
				}
			}
			return g.verifyModel(cmd.Context(), args[0], taskName, wanted)
		},
	}
	cmd.Flags().StringVarP(&taskName, "task", "t", "", "the `TASK` to bind the model to (default: what the model tells)")
	complete(cmd, "task", task.Names, cobra.ShellCompDirectiveNoFileComp)
	return cmd
}

func modelFormat(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVar(format, "format", "text", "text or json")
	fixedValues(cmd, "format", "text", "json")
}

func tableOrJSON(format string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("--format wants text or json, found %q", format)
	}
	return nil
}

// completeModel completes the one model.
func completeModel(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return models.Names(), cobra.ShellCompDirectiveDefault // folders and files, too
}

// modelFailed says what is wrong with a model.
func (g *global) modelFailed(err error) error {
	p := &diag.Problem{Code: diag.BadModel, Text: err.Error()}
	var missing *model.NotFound
	if errors.As(err, &missing) {
		p.Hint = missing.Hint()
	}
	if err := g.showProblems(g.err, &diag.List{Problems: []*diag.Problem{p}}, false); err != nil {
		return err
	}
	return exit(exitBadFile)
}

// packageJSON is a model as a program reads it.
type packageJSON struct {
	Name     string            `json:"name"`
	Folder   string            `json:"folder,omitempty"` // "" where it is part of leat
	Identity string            `json:"identity"`
	About    string            `json:"about,omitempty"`
	Bytes    int64             `json:"bytes"`
	Task     string            `json:"task,omitempty"`
	Inputs   []taskInputJSON   `json:"inputs,omitempty"` // of the task
	Output   string            `json:"output,omitempty"` // of the task
	Problem  string            `json:"problem,omitempty"`
	Files    []packageFileJSON `json:"files"`
	Graphs   []graphJSON       `json:"graphs"`
	Labels   []string          `json:"labels,omitempty"`
	Limits   map[string]any    `json:"limits,omitempty"`
}

type taskInputJSON struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Optional bool   `json:"optional,omitempty"`
}

type packageFileJSON struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type graphJSON struct {
	Role      string           `json:"role"`
	File      string           `json:"file"`
	Inputs    []valueJSON      `json:"inputs"`
	Outputs   []valueJSON      `json:"outputs"`
	Opsets    map[string]int64 `json:"opsets"`
	Operators []string         `json:"operators"`
	Producer  string           `json:"producer,omitempty"`
	Quantised bool             `json:"quantises_while_it_runs,omitempty"`
}

type valueJSON struct {
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Datatype string  `json:"datatype,omitempty"` // in the Open Inference Protocol
	Shape    []int64 `json:"shape,omitempty"`    // -1: any
}

// describeModel reads a model. With a task it is bound to it, or to what the model tells where that is "".
func describeModel(ref string, taskName *string) (*packageJSON, error) {
	p, err := model.Open(ref, model.Options{})
	if err != nil {
		return nil, err
	}
	m := &packageJSON{Name: p.Name, Folder: p.Dir, Task: task.Of(p), Labels: p.Config.Labels, About: cardLine(p)}
	if m.Identity, err = p.ID(); err != nil {
		return nil, err
	}
	hashes, err := p.Files()
	if err != nil {
		return nil, err
	}
	for _, f := range hashes {
		size, err := fileSize(p, f.Name)
		if err != nil {
			return nil, err
		}
		m.Bytes += size
		m.Files = append(m.Files, packageFileJSON{Name: f.Name, Bytes: size, SHA256: f.SHA256})
	}
	for _, role := range p.Roles() {
		g, err := p.Graph(role)
		if err != nil {
			return nil, err
		}
		if len(p.Config.Labels) == 0 && len(g.Classes) > 0 {
			m.Labels = g.Classes
		}
		m.Graphs = append(m.Graphs, graphJSON{Role: role, File: g.Name, Inputs: valuesJSON(g.Inputs), Outputs: valuesJSON(g.Outputs),
			Opsets: g.Opsets, Operators: g.Ops, Producer: g.Producer, Quantised: g.Quantised()})
	}
	if taskName != nil {
		m.bind(ref, *taskName)
	}
	return m, nil
}

// bind adds what the task tells of the model.
func (m *packageJSON) bind(ref, taskName string) {
	if taskName != "" {
		m.Task = taskName
	}
	if m.Task == "" {
		return
	}
	p, err := task.Open(m.Task, ref, map[string]any{})
	if err != nil {
		m.Problem = err.Error()
		return
	}
	for _, in := range p.Inputs() {
		m.Inputs = append(m.Inputs, taskInputJSON{Name: in.Name, Type: in.Wants(), Optional: in.Optional})
	}
	m.Output = p.Output().String()
	m.Limits = limitsOf(p)
}

// limitsOf gathers the limits that the files of a package tell.
func limitsOf(p *task.Predictor) map[string]any {
	limits := map[string]any{}
	if n := p.MaxBatch(); n > 0 {
		limits["max_batch"] = n
	}
	for _, key := range []string{"max_position_embeddings", "image_size"} {
		if n, ok := p.Package.Config.Raw[key].(float64); ok && n < 1e6 {
			limits[key] = int64(n)
		}
	}
	if text, err := p.Package.ReadFile("tokenizer_config.json"); err == nil {
		if config, err := model.ParseConfig(text); err == nil {
			if n, ok := config.Raw["model_max_length"].(float64); ok && n < 1e6 { // "no limit" is written as a huge number
				limits["model_max_length"] = int64(n)
			}
		}
	}
	return limits
}

func valuesJSON(values []model.ValueInfo) []valueJSON {
	out := []valueJSON{}
	for i := range values {
		v := &values[i]
		j := valueJSON{Name: v.Name, Type: v.String(), Shape: v.Shape}
		if v.Kind == model.TensorValue {
			j.Datatype = v.DType.Datatype()
		}
		out = append(out, j)
	}
	return out
}

// fileSize returns the bytes of a file of a package.
func fileSize(p *model.Package, name string) (int64, error) {
	var info fs.FileInfo
	var err error
	if p.Dir == "" {
		info, err = fs.Stat(models.FS(), path.Join(p.Name, name))
	} else {
		info, err = os.Stat(filepath.Join(p.Dir, filepath.FromSlash(name)))
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// cardLine returns the first sentence of a model card, "" where there is none.
func cardLine(p *model.Package) string {
	text, err := p.ReadFile("README.md")
	if err != nil {
		return ""
	}
	if rest, ok := bytes.CutPrefix(text, []byte("---\n")); ok {
		_, text, _ = bytes.Cut(rest, []byte("\n---\n"))
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		sentence, _, _ := strings.Cut(line, ". ")
		sentence = strings.ReplaceAll(strings.TrimSuffix(sentence, "."), "`", "")
		return cut(oneLine(sentence), 2*maxCellWidth)
	}
	return ""
}

// labelsShown is how many labels are shown to people.
const labelsShown = 20

// text shows a model to people.
func (m *packageJSON) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("name", "%s", m.Name)
	if m.About != "" {
		line("about", "%s", m.About)
	}
	if m.Folder != "" {
		line("folder", "%s", m.Folder)
	}
	line("identity", "%s", m.Identity)
	line("size", "%s", formatBytes(m.Bytes))
	switch {
	case m.Task == "":
		line("task", "not told; --task shows the model for one")
	case m.Problem != "":
		line("task", "%s, but: %s", m.Task, m.Problem)
	default:
		line("task", "%s", m.Task)
		for _, in := range m.Inputs {
			line("  takes", "%s: %s", in.Name, in.Type)
		}
		line("  gives", "%s", m.Output)
	}
	if len(m.Labels) > 0 {
		line("labels", "%s", labelText(m.Labels))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Limits)) {
		line("limit", "%s: %v", key, m.Limits[key])
	}
	for _, g := range m.Graphs {
		b.WriteString(g.text())
	}
	b.WriteString("files\n")
	var rows [][]string
	for _, f := range m.Files {
		rows = append(rows, []string{"  " + f.Name, formatBytes(f.Bytes), f.SHA256})
	}
	return b.String() + alignColumns(rows)
}

func labelText(labels []string) string {
	if len(labels) > labelsShown {
		return fmt.Sprintf("%s, … (%d)", strings.Join(labels[:labelsShown], ", "), len(labels))
	}
	return strings.Join(labels, ", ")
}

func (g *graphJSON) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "graph      %s (%s)\n", g.Role, g.File)
	for _, v := range g.Inputs {
		fmt.Fprintf(&b, "  input    %s: %s\n", v.Name, v.Type)
	}
	for _, v := range g.Outputs {
		fmt.Fprintf(&b, "  output   %s: %s\n", v.Name, v.Type)
	}
	var opsets []string
	for _, domain := range slices.Sorted(maps.Keys(g.Opsets)) {
		opsets = append(opsets, fmt.Sprintf("%s %d", domain, g.Opsets[domain]))
	}
	fmt.Fprintf(&b, "  opsets   %s\n  runs     %s\n", strings.Join(opsets, ", "), strings.Join(g.Operators, ", "))
	if g.Quantised {
		b.WriteString("  note     it quantises while it runs, so rows are run one by one\n")
	}
	return b.String()
}

// verifyModel checks a model in steps, and says of each what was found.
func (g *global) verifyModel(ctx context.Context, ref, taskName, wanted string) error {
	m, err := describeModel(ref, &taskName)
	var missing *model.NotFound
	switch {
	case errors.As(err, &missing):
		return g.modelFailed(err)
	case err != nil:
		fmt.Fprintf(g.err, "leat: %v\n", err)
		return exit(exitFailed)
	}
	say := func(format string, args ...any) { fmt.Fprintf(g.out, format+"\n", args...) }
	say("files: %s with %s read", count64(int64(len(m.Files)), "file"), formatBytes(m.Bytes))
	for _, graph := range m.Graphs {
		say("graph %s: %s is well-formed, its weights are inside the package", graph.Role, graph.File)
	}
	say("identity: %s", m.Identity)
	if found := strings.TrimPrefix(m.Identity, "sha256:"); !strings.HasPrefix(found, wanted) {
		fmt.Fprintf(g.err, "leat: model %s: wanted the identity sha256:%s, found %s\n", m.Name, wanted, m.Identity)
		return exit(exitFailed)
	}
	if m.Problem != "" {
		fmt.Fprintf(g.err, "leat: %s\n", m.Problem)
		return exit(exitFailed)
	}
	if m.Task == "" {
		m.Task = task.Tensor.Name // which takes any model
	}
	loaded, err := g.loadModel(ctx, m.Task, ref)
	switch {
	case err != nil:
		fmt.Fprintf(g.err, "leat: %v\n", err)
		return exit(exitFailed)
	case loaded:
		say("task: %s binds it, and the runtime loads and runs it", m.Task)
	default:
		say("task: %s binds it; it was not loaded, as the runtime is not installed (leat runtime install)", m.Task)
	}
	return nil
}

// loadModel loads a model, and runs it once where its task can. It downloads nothing; loaded is false where there is no runtime.
func (g *global) loadModel(ctx context.Context, taskName, ref string) (loaded bool, err error) {
	p, err := task.Open(taskName, ref, map[string]any{})
	if err != nil {
		return false, err
	}
	log := newReporter(g, false)
	runtimes, closeRuntimes := newRuntimes(log, true, defaultMemoryLimit())
	defer closeRuntimes()
	err = p.Start(ctx, runtimes.Open, log.line)
	var missing *library.NotInstalled
	if errors.As(err, &missing) {
		return false, nil
	}
	return err == nil, errors.Join(err, p.Close())
}
