package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/internal/vfs"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/state"
)

// streamFlags are the flags of run that streams have.
type streamFlags struct {
	stateDir string
	interval string
	onStop   string
	timeout  string
	from     string
}

func (f *streamFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", "the `folder` for what a stream keeps between runs (default: .leat/NAME, with the pipeline's name)")
	cmd.Flags().StringVar(&f.interval, "checkpoint-interval", "", "how often a stream saves its state: a `time` such as 5s (default: 5s)")
	cmd.Flags().StringVar(&f.onStop, "on-stop", "checkpoint", "what a stream does when it is told to stop: checkpoint, to go on from there; or drain, which closes all windows first")
	cmd.Flags().StringVar(&f.timeout, "stop-timeout", "30s", "how long a stream may take to stop, such as while a sink is down: a `time`; then it ends, and the next run goes on from the last checkpoint")
	cmd.Flags().StringVar(&f.from, "from-savepoint", "", "go back to this savepoint (see leat state save) and go on from there")
	fixedValues(cmd, "on-stop", "checkpoint", "drain")
}

// jobName is what a pipeline is known by: its state, consumer groups and transactions.
func jobName(p *plan.Plan) string {
	if name, ok := p.Options["job_name"].(string); ok && name != "" {
		return name
	}
	return p.Name
}

// stateDir is the folder of a pipeline's state.
func stateDir(flag, job string) string {
	if flag != "" {
		return flag
	}
	return filepath.Join(".leat", strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' {
			return '_'
		}
		return r
	}, job))
}

// options opens the state of a stream and says how it runs. The store is to be closed.
func (f *streamFlags) options(p *plan.Plan, log *reporter, stop <-chan struct{}) (o engine.StreamOptions, store *state.Store, err error) {
	o = engine.StreamOptions{Job: jobName(p), Stop: stop, Drain: f.onStop == "drain", Notify: log.line, Program: version()}
	if f.onStop != "checkpoint" && f.onStop != "drain" {
		return o, nil, fmt.Errorf("--on-stop wants checkpoint or drain, found %q", f.onStop)
	}
	if o.Interval, err = lengthOf(f.interval, p.Options["checkpoint_interval"], "--checkpoint-interval"); err != nil {
		return o, nil, err
	}
	if o.MaxDrift, err = lengthOf("", p.Options["max_drift"], "max_drift"); err != nil {
		return o, nil, err
	}
	if o.StopTimeout, err = lengthOf(f.timeout, nil, "--stop-timeout"); err != nil {
		return o, nil, err
	}
	store, err = state.Open(vfs.OS, stateDir(f.stateDir, o.Job))
	if err != nil {
		return o, nil, stateFailure(err)
	}
	o.Store = store
	o.Checkpoint, o.Restored, err = f.checkpoint(store, log)
	if err != nil {
		return o, nil, errors.Join(stateFailure(err), store.Close())
	}
	return o, store, nil
}

// checkpoint returns where to go on. restored says that it is a savepoint's, and not the last one yet.
func (f *streamFlags) checkpoint(store *state.Store, log *reporter) (c *state.Checkpoint, restored bool, err error) {
	c, notes, err := store.Load()
	if f.from != "" && !store.IsRestored(c, f.from) { // whatever the last checkpoint is like
		c, err := store.Restore(f.from)
		return c, true, err
	}
	for _, note := range notes {
		log.line("WARNING", note)
	}
	if c != nil {
		text := fmt.Sprintf("going on from the checkpoint of epoch %d, taken %s", c.Epoch, c.Taken.Local().Format("2006-01-02 15:04:05"))
		if f.from != "" {
			text += fmt.Sprintf(", for savepoint %s has been gone back to; \"leat state rollback --savepoint %[1]s\" goes back again", f.from)
		}
		log.line("INFO", text)
	}
	return c, false, err
}

// stateFailure gives an error about state its code and what to do.
func stateFailure(err error) error {
	var busy *state.BusyError
	var damaged *state.DamagedError
	switch {
	case errors.As(err, &busy):
		return &diag.Failure{Code: diag.StateBusy, Err: busy, Hint: "Stop the other run; or give this one a state of its own, by options.job_name or --state-dir."}
	case errors.As(err, &damaged):
		hint := fmt.Sprintf("Restore %s from a copy; or go back to a savepoint, by --from-savepoint; or begin anew, by leat state reset, which reads again what sources can give again, and the messages that they hold.", damaged.Dir)
		if damaged.Older > 0 {
			hint += fmt.Sprintf(" leat state rollback --epoch %d goes back to the last whole checkpoint: what was put out after it comes again.", damaged.Older)
		}
		return &diag.Failure{Code: diag.StateDamaged, Err: damaged, Hint: hint}
	}
	return &diag.Failure{Code: diag.StateDamaged, Err: err}
}

// lengthOf is a length of time as the flag says, or the option.
func lengthOf(flag string, option any, name string) (time.Duration, error) {
	var v any = flag
	if flag == "" {
		if v = option; v == nil {
			return 0, nil
		}
	}
	var length column.Span
	length, ok := catalog.ParseLength(v)
	if !ok || length <= 0 {
		return 0, fmt.Errorf("%s wants a length of time such as 5s, found %q", name, v)
	}
	return time.Duration(length) * time.Millisecond, nil
}

// stream runs a plan as a stream.
func (g *global) stream(ctx context.Context, p *plan.Plan, src *source, flags *runFlags, o engine.Options, log *reporter, s *signals) error {
	var err error
	var store *state.Store
	o.Stream, store, err = flags.stream.options(p, log, s.graceful())
	if err != nil {
		var f *diag.Failure
		if !errors.As(err, &f) {
			return err
		}
		log.failure(problemOf(f, src), &engine.Result{})
		return exit(exitFailed)
	}
	defer store.Close()
	return execute(ctx, p, src, o, log)
}
