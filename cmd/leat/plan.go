package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
)

func newPlan(g *global) *cobra.Command {
	var flags fileFlags
	var format string
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Prints the typed plan that a pipeline file becomes",
		Long: `plan shows what run would do: the nodes, the types of their rows, their windows, and the fields that are read at all.

Inferred schemas are in it, so that they can be pinned in the file. Of a stream it says what becomes of each row when the process dies.`,
		Example: `  leat plan pipeline.yaml
  leat plan --format mermaid pipeline.yaml        for a Markdown page
  leat plan --format dot pipeline.yaml | dot -Tsvg > plan.svg
  leat plan --format json pipeline.yaml | jq '.nodes[].name'`,
		Args: wantArgs(1, 1, "one FILE"),
		RunE: func(cmd *cobra.Command, files []string) error {
			switch format {
			case "text", "dot", "mermaid", "json":
			default:
				return fmt.Errorf("--format wants text, dot, mermaid or json, found %q", format)
			}
			p, src, problems, err := g.compile(cmd.Context(), files[0], &flags)
			if err != nil {
				return err
			}
			if err := g.showProblems(g.err, problems, false); err != nil {
				return err
			}
			if p == nil {
				return exit(exitBadFile)
			}
			text := ""
			switch format {
			case "text":
				if text, err = planText(p); err != nil {
					if err := g.showProblems(g.err, &diag.List{Problems: []*diag.Problem{problemOf(err, src)}}, false); err != nil {
						return err
					}
					return exit(exitBadFile)
				}
			case "dot":
				text = p.Dot()
			case "mermaid":
				text = p.Mermaid()
			case "json":
				data, err := json.MarshalIndent(p, "", "  ")
				if err != nil {
					return err
				}
				text = string(data) + "\n"
			}
			_, err = io.WriteString(g.out, text)
			return err
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&format, "format", "text", "text, dot, mermaid or json")
	fixedValues(cmd, "format", "text", "dot", "mermaid", "json")
	return cmd
}

// planText is the plan for people, with the guarantee of a stream.
func planText(p *plan.Plan) (string, error) {
	text := p.Text()
	if !engine.IsStream(p) {
		return text, nil
	}
	all, err := bindAll(p)
	if err != nil {
		return "", err
	}
	return text + "\n" + guaranteeText(all) + "\n", nil
}
