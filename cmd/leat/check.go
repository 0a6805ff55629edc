package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leat-project/leat/diag"
)

func newCheck(g *global) *cobra.Command {
	var flags fileFlags
	var format string
	var ping bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Finds every problem in pipeline files without running them",
		Long: `check reads the files as run would and shows all their problems at once, each with its place and what to do.

It looks at the input files as far as it must: that they are there, and a sample where the schema is inferred.
The exit code is 2 where a file has an error; warnings alone give 0. "leat explain CODE" says more about a code.`,
		Example: `  leat check pipeline.yaml
  leat check --var input=events.ndjson --var output=/tmp/out pipeline.yaml
  leat check --ping meters.yaml                   and ask the servers whether they are there
  leat check --format json examples/*.yaml        one JSON object for each problem
  cat pipeline.yaml | leat check -`,
		Args: wantArgs(1, -1, "at least one FILE"),
		RunE: func(cmd *cobra.Command, files []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--format wants text or json, found %q", format)
			}
			failed := false
			for _, file := range files {
				p, src, problems, err := g.compile(cmd.Context(), file, &flags)
				if err != nil {
					return err
				}
				if ping && p != nil {
					pingAll(cmd.Context(), p, src, problems)
				}
				failed = failed || problems.Failed()
				if err := g.showProblems(g.out, problems, format == "json"); err != nil {
					return err
				}
				if format == "text" {
					verdict(g, file, problems, !problems.Failed())
				}
			}
			if failed {
				return exit(exitBadFile)
			}
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().BoolVar(&ping, "ping", false, "ask the server of every source and sink whether it is there and lets us in, for 5 s at the most")
	fixedValues(cmd, "format", "text", "json")
	return cmd
}

// verdict says in a line how a file came out.
func verdict(g *global, file string, problems *diag.List, good bool) {
	wrong, warnings := 0, 0
	for _, p := range problems.Problems {
		if p.Warning {
			warnings++
		} else {
			wrong++
		}
	}
	switch {
	case !good:
		fmt.Fprintf(g.out, "\n%s: %s\n", file, count(wrong, "error"))
	case warnings > 0:
		fmt.Fprintf(g.out, "\n%s: ok, %s\n", file, count(warnings, "warning"))
	default:
		fmt.Fprintf(g.out, "%s: ok\n", file)
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// fixedValues completes a flag that takes one of a few words.
func fixedValues(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag is not there: our mistake, seen by the first test
	}
}
