// Command leat runs Beam YAML pipelines on this machine, checks them, and shows what they do.
//
// Standard output is for what was asked for: the findings of check, the plan, the documentation of a transform. Whatever
// tells how a run goes (progress, log, summary, failures) is on standard error, so that a pipeline may write to
// standard output and be part of a shell's pipeline.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	_ "github.com/leat-project/leat/connector/all"
	_ "github.com/leat-project/leat/transform"
)

// The exit codes, the same for every command.
const (
	exitFailed      = 1   // the pipeline failed while running
	exitBadFile     = 2   // the file is wrong
	exitUsage       = 3   // the command was used wrongly
	exitInterrupted = 130 // by a signal, as shells have it
)

// exit ends a command with a code, everything having been said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	os.Exit(commandLine(context.Background(), os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// streams are the standard streams; tests have their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// commandLine runs a command and returns the exit code.
func commandLine(ctx context.Context, args []string, s streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var code exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	// What is no exit is cobra's: an unknown command, a bad flag, a missing argument.
	fmt.Fprintf(s.err, "leat: %v\n  hint: \"leat --help\" and \"leat COMMAND --help\" show what there is, with examples.\n", err)
	return exitUsage
}

// global are the flags of all commands.
type global struct {
	streams
	noColor bool
}

func newRoot(s streams) *cobra.Command {
	g := &global{streams: s}
	root := &cobra.Command{
		Use:   "leat",
		Short: "Runs Beam YAML pipelines on this machine, fast",
		Long: `leat runs Beam YAML pipelines on this machine, on columns, without a cluster.

Exit codes: 0 done; 1 the pipeline failed while running; 2 the file is wrong; 3 wrong usage; 130 interrupted.`,
		Example: `  leat run pipeline.yaml                          run a pipeline
  leat check *.yaml                               find every problem without running
  leat plan --format mermaid pipeline.yaml        draw what would run
  leat explain Combine                            document a transform
  leat predict --model review-sentiment "so good" predict texts, files and tables by a model
  leat model list                                 show the models that come with leat`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.PersistentFlags().BoolVar(&g.noColor, "no-color", false, "never colour; the variable NO_COLOR has the same effect")
	root.AddCommand(newRun(g), newCheck(g), newPlan(g), newExplain(g), newVersion(g), newRuntime(g), newPredict(g), newModel(g), newState(g))
	root.AddCommand(newInferWorker())
	return root
}

// wantArgs refuses other numbers of arguments, in words.
func wantArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return fmt.Errorf("%s wants %s, found %d arguments", cmd.Name(), what, len(args))
		}
		return nil
	}
}

// isInterrupt reports whether err is the end that an interrupt brings.
func isInterrupt(err error) bool { return errors.Is(err, context.Canceled) }
