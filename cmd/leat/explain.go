package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/model"
	"github.com/leat-project/leat/models"
	"github.com/leat-project/leat/task"
)

func newExplain(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [NAME]",
		Short: "Documents a transform, a task of models, or a code of a problem",
		Long: `explain documents a transform, with an example that runs, or a task of models, from the same definition that checks it.

It explains the codes of problems as well. Without a name it lists all transforms and tasks.`,
		Example: `  leat explain
  leat explain Combine
  leat explain text-classification
  leat explain LT0206`,
		Args: wantArgs(0, 1, "one NAME or none"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return slices.Concat(catalog.Names(), task.Names()), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				_, err := io.WriteString(g.out, transformList())
				return err
			}
			text, ok := explanation(args[0])
			if !ok {
				hint := diag.DidYouMean(args[0], "transforms", catalog.Names())
				if near := diag.Suggest(args[0], task.Names()); near != "" {
					hint = diag.DidYouMean(args[0], "tasks", task.Names())
				}
				fmt.Fprintf(g.err, "leat: no transform or task is named %q\n  hint: %s\n", args[0], hint)
				return exit(exitUsage)
			}
			_, err := io.WriteString(g.out, text)
			return err
		},
	}
}

// explanation documents a transform, a task or a code, whatever the case of its name.
func explanation(name string) (string, bool) {
	if t := catalog.LookUp(name); t != nil {
		return catalog.Explain(t), true
	}
	for _, known := range catalog.Names() {
		if strings.EqualFold(known, name) {
			return catalog.Explain(catalog.LookUp(known)), true
		}
	}
	for _, known := range task.Names() {
		if strings.EqualFold(known, name) {
			return explainTask(task.LookUp(known)), true
		}
	}
	for _, c := range diag.Codes {
		if strings.EqualFold(string(c.Code), name) {
			return explainCode(&c), true
		}
	}
	return "", false
}

// explainTask documents a task, in the form in which transforms are documented.
func explainTask(t *task.Task) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n%s\n", t.Name, t.Summary, strings.TrimSpace(t.Doc))
	if len(t.Fields) > 0 {
		fmt.Fprintf(&b, "\nSettings of the task:\n%s", explainFields(t.Fields))
	}
	fmt.Fprintf(&b, "\nSettings of every task:\n%s\nDefined by: %s\n", explainFields(task.Fields), t.Source)
	var shipped []string
	for _, name := range models.Names() {
		if p, err := model.Open(name, model.Options{}); err == nil && task.Of(p) == t.Name {
			shipped = append(shipped, name)
		}
	}
	if len(shipped) > 0 {
		fmt.Fprintf(&b, "Models that come with leat: %s\n", strings.Join(shipped, ", "))
	}
	return b.String()
}

func explainFields(fields []catalog.Field) string {
	width := 0
	for _, f := range fields {
		width = max(width, len(f.Name))
	}
	var b strings.Builder
	for _, f := range fields {
		facts := f.Type.String()
		if len(f.Enum) > 0 {
			facts += ", one of " + strings.Join(f.Enum, ", ")
		}
		if f.Default != "" {
			facts += "; default: " + f.Default
		}
		fmt.Fprintf(&b, "  %-*s  %s\n  %-*s    %s\n", width, f.Name, facts, width, "", f.Doc)
	}
	return b.String()
}

func explainCode(c *diag.CodeInfo) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s.\n", c.Code, c.Title)
	if example := strings.Trim(c.Example, "\n"); example != "" {
		b.WriteString("\nA file that has the problem:\n\n")
		for _, line := range strings.Split(example, "\n") {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	return b.String()
}

// transformList lists all transforms by what they do to a pipeline, and the tasks of models.
func transformList() string {
	var b strings.Builder
	names := catalog.Names()
	width := 0
	for _, n := range slices.Concat(names, task.Names()) {
		width = max(width, len(n))
	}
	groups := []struct {
		title  string
		member func(name string) bool
	}{
		{"Transforms", func(n string) bool { return !isReading(n) && !isWriting(n) }},
		{"Reading", isReading},
		{"Writing", isWriting},
	}
	for i, group := range groups {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(group.title + "\n")
		for _, n := range names {
			if group.member(n) {
				fmt.Fprintf(&b, "  %-*s  %s\n", width, n, catalog.LookUp(n).Summary)
			}
		}
	}
	b.WriteString("\nTasks of models\n")
	for _, n := range task.Names() {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, n, task.LookUp(n).Summary)
	}
	b.WriteString("\n\"leat explain NAME\" documents one of them.\n")
	return b.String()
}

func isReading(name string) bool { return strings.HasPrefix(name, "ReadFrom") }
func isWriting(name string) bool { return strings.HasPrefix(name, "WriteTo") }
