package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leat-project/leat/connector/intake"
	"github.com/leat-project/leat/internal/vfs"
	"github.com/leat-project/leat/state"
)

func newState(g *global) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Shows and keeps what streams save between runs",
		Long: `state looks at the checkpoints of a pipeline, and keeps, restores or drops them.

NAME is the pipeline's: options.job_name, or its file's name without extension. Its state lies in .leat/NAME, or where --state-dir says. list and
show may be used while the pipeline runs, and so may save; the others want it to be stopped.`,
		Example: `  leat state list                           the pipelines with state here
  leat state show meters                    where sources are, and what each transform holds
  leat state save meters before-upgrade     keep the last checkpoint as a savepoint
  leat run --from-savepoint before-upgrade meters.yaml
  leat state drop --part Old/aggregate meters
  leat state reset meters                   forget everything: input is read again`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for \"leat state\"", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.PersistentFlags().StringVar(&dir, "state-dir", "", "the `folder` of the state (default: .leat/NAME)")
	at := func(args []string) string {
		if len(args) > 0 {
			return stateDir(dir, args[0])
		}
		return stateDir(dir, "")
	}
	cmd.AddCommand(newStateList(g), newStateShow(g, at), newStateSave(g, at), newStateRollback(g, at), newStateDrop(g, at), newStateReset(g, at))
	return cmd
}

func newStateList(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Lists the pipelines that have state in .leat",
		Example: "  leat state list",
		Args:    wantArgs(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			dirs, err := os.ReadDir(".leat")
			if errors.Is(err, fs.ErrNotExist) || err == nil && len(dirs) == 0 {
				_, err = fmt.Fprintln(g.out, "no pipeline has state in .leat")
				return err
			}
			if err != nil {
				return err
			}
			rows := [][]string{{"pipeline", "epoch", "taken", "size", "savepoints"}}
			for _, d := range dirs {
				store, err := state.View(filepath.Join(".leat", d.Name()))
				if err != nil {
					continue
				}
				rows = append(rows, stateRow(d.Name(), store))
			}
			return writeColumns(g.out, rows)
		},
	}
}

func stateRow(name string, store *state.Store) []string {
	saved, _ := store.Savepoints()
	c, _, err := store.Load()
	switch {
	case err != nil:
		return []string{name, "", "damaged", "", strings.Join(saved, " ")}
	case c == nil:
		return []string{name, "", "none yet", "", strings.Join(saved, " ")}
	}
	return []string{name, fmt.Sprint(c.Epoch), c.Taken.Local().Format(time.DateTime), formatBytes(c.Bytes()), strings.Join(saved, " ")}
}

// writeColumns writes a table with its header.
func writeColumns(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(pad(cell, widths[i]) + "  ")
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// view opens the state for looking at it, and its last checkpoint.
func viewState(dir string) (*state.Store, *state.Checkpoint, error) {
	store, err := state.View(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no state in %s: \"leat state list\" shows what there is", dir)
	}
	if err != nil {
		return nil, nil, err
	}
	c, _, err := store.Load()
	if err == nil && c == nil {
		err = fmt.Errorf("no checkpoint has been made in %s yet", dir)
	}
	return store, c, err
}

func newStateShow(g *global, at func([]string) string) *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Shows the last checkpoint of a pipeline",
		Example: "  leat state show meters",
		Args:    wantArgs(1, 1, "the NAME of a pipeline"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, c, err := viewState(at(args))
			if err != nil {
				return err
			}
			fmt.Fprintf(g.out, "epoch %d, taken %s by leat %s\n", c.Epoch, c.Taken.Local().Format(time.DateTime), c.Program)
			for _, s := range c.Sources {
				fmt.Fprintf(g.out, "\nsource %s (%s)%s\n", s.Name, s.Signature, map[bool]string{true: ", has ended"}[s.Ended])
				for _, partition := range slices.Sorted(maps.Keys(s.Positions)) {
					fmt.Fprintf(g.out, "  %s at %s\n", cut(partition, 60), cut(s.Positions[partition], 120))
				}
				if s.Positions == nil && s.Morsels > 0 {
					fmt.Fprintf(g.out, "  %s read\n", count64(s.Morsels, "piece"))
				}
			}
			for _, p := range c.Parts {
				fmt.Fprintf(g.out, "\npart %s\n  %s\n", p.Name, p.Signature)
				if p.Watermark > -1<<62 && p.Watermark < 1<<62 {
					fmt.Fprintf(g.out, "  watermark %s\n", time.UnixMilli(p.Watermark).UTC().Format(time.RFC3339Nano))
				}
				size := int64(len(p.Data))
				for _, f := range p.Files {
					size += f.Bytes
				}
				fmt.Fprintf(g.out, "  %s in %s\n", formatBytes(size), count(len(p.Files), "file"))
			}
			for _, s := range c.Sinks {
				fmt.Fprintf(g.out, "\nsink %s: %s staged\n", s.Name, formatBytes(int64(len(s.Staged))))
			}
			return nil
		},
	}
}

func newStateSave(g *global, at func([]string) string) *cobra.Command {
	return &cobra.Command{
		Use:     "save NAME SAVEPOINT",
		Short:   "Keeps the last checkpoint as a savepoint",
		Example: "  leat state save meters before-upgrade",
		Args:    wantArgs(2, 2, "the NAME of a pipeline and that of the SAVEPOINT"),
		RunE: func(_ *cobra.Command, args []string) error {
			var c *state.Checkpoint
			for try := 1; ; try++ {
				store, last, err := viewState(at(args))
				if err != nil {
					return err
				}
				c = last
				if err = store.Save(c, args[1]); err == nil {
					break
				}
				if try == 5 || !errors.Is(err, fs.ErrNotExist) { // a run may have made the next checkpoint, and removed this one
					return err
				}
			}
			_, err := fmt.Fprintf(g.out, "savepoint %s holds epoch %d, taken %s\n", args[1], c.Epoch, c.Taken.Local().Format(time.DateTime))
			return err
		},
	}
}

func newStateRollback(g *global, at func([]string) string) *cobra.Command {
	var epoch int64
	var savepoint string
	cmd := &cobra.Command{
		Use:     "rollback NAME --epoch N | --savepoint SAVEPOINT",
		Short:   "Goes back to an older checkpoint: what was put out after it comes again",
		Example: "  leat state rollback meters --epoch 41\n  leat state rollback meters --savepoint before-upgrade",
		Args:    wantArgs(1, 1, "the NAME of a pipeline"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := state.Open(vfs.OS, at(args))
			if err != nil {
				return stateFailureText(err)
			}
			defer store.Close()
			if savepoint != "" {
				c, err := store.Restore(savepoint)
				if err == nil {
					err = store.Decide(c)
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(g.out, "the next run goes on from savepoint %s (now called epoch %d)\n", savepoint, c.Epoch)
				return err
			}
			c, err := store.Rollback(epoch)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(g.out, "the next run goes on from epoch %d (now called %d)\n", epoch, c.Epoch)
			return err
		},
	}
	cmd.Flags().Int64Var(&epoch, "epoch", 0, "the `epoch` to go back to")
	cmd.Flags().StringVar(&savepoint, "savepoint", "", "the `savepoint` to go back to")
	cmd.MarkFlagsOneRequired("epoch", "savepoint")
	cmd.MarkFlagsMutuallyExclusive("epoch", "savepoint")
	return cmd
}

func newStateDrop(g *global, at func([]string) string) *cobra.Command {
	var part, savepoint string
	cmd := &cobra.Command{
		Use:     "drop NAME --part PART | --savepoint SAVEPOINT",
		Short:   "Drops the state of one transform, the position of a source, what a sink has staged, or a savepoint",
		Example: "  leat state drop meters --part Count/aggregate\n  leat state drop meters --savepoint before-upgrade",
		Args:    wantArgs(1, 1, "the NAME of a pipeline"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := state.Open(vfs.OS, at(args))
			if err != nil {
				return stateFailureText(err)
			}
			defer store.Close()
			if savepoint != "" {
				if err := store.RemoveSavepoint(savepoint); err != nil {
					return err
				}
				_, err = fmt.Fprintf(g.out, "savepoint %s is gone\n", savepoint)
				return err
			}
			if err := store.Drop(part); err != nil {
				return err
			}
			_, err = fmt.Fprintf(g.out, "the state of %s is dropped\n", part)
			return err
		},
	}
	cmd.Flags().StringVar(&part, "part", "", "the `part`, source or sink, as show names it")
	cmd.Flags().StringVar(&savepoint, "savepoint", "", "the `savepoint`")
	cmd.MarkFlagsOneRequired("part", "savepoint")
	cmd.MarkFlagsMutuallyExclusive("part", "savepoint")
	return cmd
}

func newStateReset(g *global, at func([]string) string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "reset NAME",
		Short: "Forgets all state but savepoints: the next run reads its input again",
		Long: `reset forgets where sources are, and what transforms and sinks hold: the next run reads again what sources can give again. Savepoints stay.

Messages of MQTT and webhooks were acknowledged to their senders, and exist nowhere but in the pipeline's own log. What lies there stays, and is read again
from its beginning, unless --all is given.`,
		Example: "  leat state reset meters\n  leat state reset --all meters",
		Args:    wantArgs(1, 1, "the NAME of a pipeline"),
		RunE: func(_ *cobra.Command, args []string) error {
			kept := func(path string) bool { return intake.IsFile(filepath.Base(path)) }
			if all {
				kept = nil
			}
			if err := state.Remove(at(args), kept); err != nil {
				return stateFailureText(err)
			}
			fmt.Fprintf(g.out, "the state in %s is gone, but for savepoints\n", at(args))
			return showLogs(g.out, filepath.Join(at(args), "sources"))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "messages, too, that were acknowledged to their senders, and that nobody else has")
	return cmd
}

// showLogs says what sources hold of messages that nobody else has.
func showLogs(w io.Writer, dir string) error {
	names, err := vfs.OS.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		n, damage := intake.Messages(vfs.OS, filepath.Join(dir, name))
		if damage != nil {
			fmt.Fprintf(w, "the messages that %s was sent are kept, but cannot be read: %v\n", name, damage)
		} else if n > 0 {
			fmt.Fprintf(w, "%s that %s was sent and has acknowledged are kept, and are read again: nobody else has them (--all forgets them, too)\n", count64(n, "message"), name)
		}
	}
	return err
}

// stateFailureText is an error about state as the command line shows it.
func stateFailureText(err error) error {
	var busy *state.BusyError
	if errors.As(err, &busy) {
		return fmt.Errorf("%w: stop that run first", busy)
	}
	return err
}
