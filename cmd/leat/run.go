package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
)

// runFlags are the flags of run.
type runFlags struct {
	fileFlags
	parallelism int
	memoryLimit string
	tempDir     string
	logFormat   string
	logRows     bool
	cpuProfile  string
	offline     bool
	listen      string
	stream      streamFlags
}

func newRun(g *global) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Runs a pipeline",
		Long: `run checks a pipeline file and runs it here. "-" reads the file from standard input.

On a terminal it shows how far each source and sink is; at the end, what was written. Interrupted once it stops, leaves
nothing unfinished behind and says what was not written; interrupted twice it ends at once.

A pipeline with a source that does not end runs as a stream, until it is interrupted or told to stop by SIGTERM. It then stops at a checkpoint, with exit code
0, and the next run goes on from there; after a crash it goes on from the last checkpoint.
All it has to say goes to standard error.`,
		Example: `  leat run pipeline.yaml
  leat run --var input='logs/*.json.gz' --var output=out/errors.json pipeline.yaml
  leat run --vars production.yaml --set streaming=false pipeline.yaml
  leat run --parallelism 4 --memory-limit 512MiB pipeline.yaml
  leat run --log-format json pipeline.yaml 2> run.log
  leat run --listen 127.0.0.1:9090 meters.yaml    then: curl http://127.0.0.1:9090/metrics
  leat run --state-dir /var/lib/leat/meters --checkpoint-interval 1s meters.yaml
  echo '{pipeline: {type: chain, transforms: [{type: Create, config: {elements: [1, 2]}}, {type: LogForTesting}]}}' | leat run -`,
		Args: wantArgs(1, 1, "one FILE"),
		RunE: func(cmd *cobra.Command, files []string) error { return g.run(cmd.Context(), files[0], &flags) },
	}
	flags.register(cmd)
	cmd.Flags().IntVar(&flags.parallelism, "parallelism", 0, "how many workers `N` to run (default: one for each processor)")
	cmd.Flags().StringVar(&flags.memoryLimit, "memory-limit", "", "the memory to stay within, by spilling to disk: a `size` such as 512MiB (default: half of the machine's or container's)")
	cmd.Flags().StringVar(&flags.tempDir, "temp-dir", "", "the `folder` for spilled state (default: the system's)")
	cmd.Flags().StringVar(&flags.logFormat, "log-format", "text", "text, or json: one object for each event")
	cmd.Flags().BoolVar(&flags.logRows, "log-rows", false, "with --log-format json: show the row that a run failed on, too")
	cmd.Flags().StringVar(&flags.cpuProfile, "cpu-profile", "", "write a profile of the run to this `file`, for go tool pprof")
	cmd.Flags().BoolVar(&flags.offline, "offline", false, "download nothing: a pipeline with models needs their runtime to be installed")
	cmd.Flags().StringVar(&flags.listen, "listen", "", "serve /metrics, /healthz and /readyz at this `address`, such as 127.0.0.1:9090 (default: nothing is served)")
	fixedValues(cmd, "log-format", "text", "json")
	flags.stream.register(cmd)
	return cmd
}

// run compiles and runs one file.
func (g *global) run(ctx context.Context, file string, flags *runFlags) error {
	options, err := flags.engineOptions()
	if err != nil {
		return err
	}
	monitor, err := listen(flags.listen)
	if err != nil {
		return err
	}
	defer monitor.close()
	log := newReporter(g, flags.logFormat == "json")
	log.rows = !log.asJSON || flags.logRows
	log.monitor = monitor
	ctx, signals := catchSignals(ctx, log)
	defer signals.release()
	p, src, problems, err := g.compile(ctx, file, &flags.fileFlags)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil: // what was found before is of no use any more
		log.interrupted(&engine.Result{})
		return exit(exitInterrupted)
	}
	log.problems(problems)
	if p == nil {
		return exit(exitBadFile)
	}
	stopProfile, err := profile(flags.cpuProfile)
	if err != nil {
		return err
	}
	defer stopProfile()
	models, closeModels := newRuntimes(log, flags.offline, options.MemoryLimit)
	defer closeModels()
	options.Models = models.Open
	if engine.IsStream(p) {
		return g.stream(ctx, p, src, flags, options, log, signals)
	}
	return execute(ctx, p, src, options, log)
}

// execute runs a plan and says how it went.
func execute(ctx context.Context, p *plan.Plan, src *source, o engine.Options, log *reporter) error {
	o.Progress, o.Log = &engine.Progress{}, log.line
	tune(o.MemoryLimit)
	spans, err := startTrace(ctx, p.Name, log)
	if err != nil {
		return err
	}
	if spans != nil {
		o.Stream.Trace = spans.event
	}
	log.monitor.serve(o.Progress)
	unwatch := func() {}
	if engine.IsStream(p) {
		log.started(o.Stream)
		unwatch = watchLate(log, o.Progress, lateEvery).stop
	}
	live := startLive(log, o.Progress)
	result, err := engine.Run(ctx, p, o)
	live.stop()
	unwatch()
	spans.close(err)
	switch {
	case err == nil:
		log.summary(p, result, endOf(&o), usage())
		return nil
	case isInterrupt(err):
		log.interrupted(result)
		return exit(exitInterrupted)
	}
	log.failure(problemOf(log.withoutRow(asFailure(err)), src), result)
	return exit(exitFailed)
}

// engineOptions checks the flags that go to the engine.
func (f *runFlags) engineOptions() (engine.Options, error) {
	o := engine.Options{Parallelism: f.parallelism, MemoryLimit: defaultMemoryLimit(), TempDir: f.tempDir}
	if f.parallelism < 0 {
		return o, fmt.Errorf("--parallelism wants a positive number, found %d", f.parallelism)
	}
	if f.logFormat != "text" && f.logFormat != "json" {
		return o, fmt.Errorf("--log-format wants text or json, found %q", f.logFormat)
	}
	if f.memoryLimit != "" {
		limit, err := parseBytes(f.memoryLimit)
		if err != nil {
			return o, fmt.Errorf("--memory-limit: %w", err)
		}
		o.MemoryLimit = limit
	}
	return o, nil
}

// gcPercent lets the heap grow to this share beyond what lives before the collector runs. A pipeline's live heap is
// small and turns over fast, so that Go's default of 100 collects every few megabytes.
const gcPercent = 200

// ownMemory is about what the program itself takes of the memory limit, in bytes: code and constants that are used.
const ownMemory = 12 << 20

// tune sets the garbage collector up for a run, unless the user has done so by Go's own variables.
func tune(memoryLimit int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" && memoryLimit > 0 {
		// Near the limit the collector works harder, whatever gcPercent says.
		debug.SetMemoryLimit(memoryLimit - min(ownMemory, memoryLimit/4))
	}
}

// profile writes a profile of the processor's time to a file until the function returned is called.
func profile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

// defaultMemoryLimit is half of the memory that this process can have, or the engine's default where that is not known.
func defaultMemoryLimit() int64 {
	if m := availableMemory(); m > 0 {
		return m / 2
	}
	return engine.DefaultMemoryLimit
}
