package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/leat-project/leat/infer/library"
)

func newRuntime(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runtime",
		Short: "Installs and shows the library that runs models",
		Long: `runtime fetches ONNX Runtime, the library that runs models, from the Python package index in use, and shows what is installed.

The index is that of pip: PIP_INDEX_URL and the other PIP_ variables, pip's configuration files, logins from netrc.
Packages are pinned by version and SHA-256, and unpacked into the user's cache.

leat looks for the library first where LEAT_ONNXRUNTIME says (a file, or the folder that holds it), then beside the leat
binary, then in the cache. So a machine without a network needs no installation: copy the file there.`,
		Example: `  leat runtime install                            fetch the library for the processor
  leat runtime install openvino                   fetch the one with Intel's OpenVINO
  leat runtime list                               show what there is and where
  leat runtime verify                             compare the files with their hashes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for \"leat runtime\"", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newRuntimeInstall(g), newRuntimeList(g), newRuntimeVerify(g))
	return cmd
}

func newRuntimeInstall(g *global) *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "install [FLAVOUR]",
		Short: "Fetches the library into the user's cache",
		Long: `install fetches the library into the user's cache, once; one that is there and whole stays.

FLAVOUR is cpu (the default), openvino, cuda (with TensorRT) or qnn. A process uses one of them.`,
		Example: `  leat runtime install
  leat runtime install cuda
  PIP_INDEX_URL=https://mirror.example/simple leat runtime install`,
		Args:              wantArgs(0, 1, "one FLAVOUR or none"),
		ValidArgsFunction: completeFlavour,
		RunE: func(cmd *cobra.Command, args []string) error {
			flavour, err := flavourArgument(args)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			o := library.Options{Flavour: flavour, Offline: offline}
			log := newReporter(g, false)
			done := reportDownload(log, &o)
			l, err := library.Install(ctx, o)
			done()
			if err != nil {
				return g.runtimeFailed(err)
			}
			if first, err := library.Find(o); err == nil && first.Path != l.Path {
				log.line("warning", fmt.Sprintf("%s (%s) is used before what is installed", first.Path, first.From))
			}
			_, err = fmt.Fprintf(g.out, "ONNX Runtime %s (%s) is in %s\n", l.Version, l.Flavour, l.Dir)
			return err
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "download nothing; fail where the library is not installed yet")
	return cmd
}

func newRuntimeList(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Shows which libraries there are, and where",
		Long: `list shows the libraries on this machine in the order of search, and after them every package that leat can install, for all platforms.

SIZE is that of the files where the library is on this machine, otherwise that of the download. TRIED says whether
leat's tests have run this package on its platform.`,
		Example: "  leat runtime list",
		Args:    wantArgs(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			all, err := library.List(library.Options{})
			if err != nil {
				return g.runtimeFailed(err)
			}
			_, err = fmt.Fprint(g.out, runtimeTable(all))
			return err
		},
	}
}

func newRuntimeVerify(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "verify [FLAVOUR]",
		Short: "Compares the installed files with their hashes",
		Long: `verify reads every file of the libraries in the cache and compares it with the hash taken at installation, and the package with the pinned one.

Exit code 1 says that something differs or is missing.`,
		Example: `  leat runtime verify
  leat runtime verify openvino`,
		Args:              wantArgs(0, 1, "one FLAVOUR or none"),
		ValidArgsFunction: completeFlavour,
		RunE: func(_ *cobra.Command, args []string) error {
			o := library.Options{}
			if len(args) > 0 {
				flavour, err := flavourArgument(args)
				if err != nil {
					return err
				}
				o.Flavour = flavour
			}
			if err := library.Verify(o); err != nil {
				return g.runtimeFailed(err)
			}
			all, err := library.List(o)
			if err != nil {
				return g.runtimeFailed(err)
			}
			_, err = fmt.Fprint(g.out, verifiedText(all, o.Flavour))
			return err
		},
	}
}

// completeFlavour completes the one argument.
func completeFlavour(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, f := range library.Flavours() {
		names = append(names, string(f))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// flavourArgument reads the flavour that a command is given, CPU for none.
func flavourArgument(args []string) (library.Flavour, error) {
	if len(args) == 0 {
		return library.CPU, nil
	}
	return library.ParseFlavour(args[0])
}

// runtimeFailed says what failed and picks the exit code.
func (g *global) runtimeFailed(err error) error {
	if isInterrupt(err) || errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintln(g.err, "leat: interrupted; nothing was installed")
		return exit(exitInterrupted)
	}
	fmt.Fprintf(g.err, "leat: %v\n", err)
	return exit(exitFailed)
}

// runtimeTable draws the list of libraries.
func runtimeTable(all []library.Installed) string {
	rows := [][]string{{"FLAVOUR", "VERSION", "PLATFORM", "SIZE", "TRIED", "WHERE"}}
	for _, l := range all {
		tried, where := "not run", "not installed"
		if l.Run {
			tried = "run"
		}
		if l.Path != "" {
			where = fmt.Sprintf("%s (%s)", l.Path, l.From)
		}
		if l.From == library.FromVariable || l.From == library.FromBinary {
			tried = "unknown" // whatever lies there
		}
		version := l.Version
		if version == "" {
			version = "unknown"
		}
		rows = append(rows, []string{string(l.Flavour), version, l.Platform, formatBytes(l.Size), tried, where})
	}
	return alignColumns(rows) + runtimeNotes(all)
}

// runtimeNotes says what packages need besides themselves.
func runtimeNotes(all []library.Installed) string {
	var b strings.Builder
	platforms := map[string][]string{}
	for _, l := range all {
		if l.Note != "" {
			key := fmt.Sprintf("%s %s", l.Flavour, l.Note)
			platforms[key] = append(platforms[key], l.Platform)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(platforms)) {
		fmt.Fprintf(&b, "\n%s (%s)", key, strings.Join(platforms[key], ", "))
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// alignColumns writes rows with two spaces between columns.
func alignColumns(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// verifiedText says which installations are whole.
func verifiedText(all []library.Installed, wanted library.Flavour) string {
	var b strings.Builder
	for _, l := range all {
		if l.From == library.FromCache && (wanted == "" || wanted == l.Flavour) {
			fmt.Fprintf(&b, "ONNX Runtime %s (%s): every file of %s has its hash\n", l.Version, l.Flavour, l.Path)
		}
	}
	if b.Len() == 0 {
		return "nothing is installed in the cache; \"leat runtime install\" does it\n"
	}
	return b.String()
}

// reportDownload lets an installation show its progress: a bar in place on a terminal, plain lines elsewhere. The
// function that it returns takes the bar off the screen.
func reportDownload(log *reporter, o *library.Options) (done func()) {
	o.Log = log.line
	if !isTerminal(log.w) {
		return func() {}
	}
	width := 80
	if f, ok := log.w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			width = w
		}
	}
	start, drawn := time.Now(), time.Time{}
	o.Progress = func(done, total int64) {
		now := time.Now()
		if now.Sub(drawn) < redrawEvery && done < total {
			return
		}
		if done <= 1<<16 {
			start = now // another attempt begins anew
		}
		drawn = now
		text := downloadLine(done, total, now.Sub(start))
		log.locked(func() {
			fmt.Fprintln(log.w, cut(text, width-1))
			log.drawn = 1
		})
	}
	return log.erase
}

// downloadLine draws how much of a download is done, and how long the rest will take at the pace so far.
func downloadLine(done, total int64, elapsed time.Duration) string {
	part := min(float64(done)/float64(max(total, 1)), 1)
	filled := int(part * barCells)
	text := fmt.Sprintf("%s%s %3.0f%%  %s of %s", strings.Repeat("█", filled), strings.Repeat("░", barCells-filled), part*100,
		formatBytes(done), formatBytes(total))
	if part > 0.01 && part < 1 {
		text += "  " + timeLeft(time.Duration(float64(elapsed)*(1-part)/part)) + " left"
	}
	return text
}
