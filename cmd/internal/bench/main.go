// Command bench runs leat and its peers in turn over the same files, compares what they write, and prints medians of wall
// time, processor time and memory, and ratios. bench/README.md says more.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// options are the flags.
type options struct {
	leat         string
	dir          string
	python       string
	beam         string
	runs         int
	transformers string // Pythons of the peers of models; "": none
	trees        string
	scale        float64
	only         string
	peers        bool
	kafka        string // the broker of streams
	benthos      string // peers of streams; "": none
	bytewax      string
}

func main() {
	var o options
	var compare, tensor bool
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	flag.StringVar(&o.leat, "leat", "", "the program to measure; built where none is given")
	flag.StringVar(&o.dir, "dir", filepath.Join(cache, "leat-bench"), "folder for inputs, results and the peers")
	flag.StringVar(&o.beam, "beam", "", "a Python that has apache-beam[yaml]; without it Beam is left out")
	flag.StringVar(&o.transformers, "transformers", "", "a Python that has bench/requirements-transformers.txt; without it texts are left out")
	flag.StringVar(&o.trees, "trees", "", "a Python that has bench/requirements-trees.txt; without it leat's tables have no peer")
	flag.StringVar(&o.python, "python", "python3", "the Python to install the other peers with")
	flag.IntVar(&o.runs, "runs", 5, "runs of each program")
	flag.Float64Var(&o.scale, "scale", 1, "share of the usual rows, 0.01 for a quick look")
	flag.StringVar(&o.only, "only", "", "cases to run, separated by commas; \"CSV*\" are all whose names begin so")
	flag.BoolVar(&o.peers, "peers", true, "install and run DuckDB and Polars")
	flag.BoolVar(&compare, "compare", false, "compare two results, and nothing else: used by bench itself")
	flag.BoolVar(&tensor, "tensor", false, "run models on tensors, and nothing else: used by bench itself")
	flag.StringVar(&o.kafka, "kafka", broker(), "the broker of streams")
	flag.StringVar(&o.benthos, "benthos", "", "the program that bench/peers/benthos builds; without it Benthos is left out")
	flag.StringVar(&o.bytewax, "bytewax", "", "a Python that has bytewax[kafka] and orjson; without it Bytewax is left out")
	copied := flag.String("bare", "", "copy this topic to that one, INPUT,OUTPUT, with the client alone, and nothing else: used by bench itself")
	cut := flag.Bool("bare-cut", false, "of -bare: stop at what is there, and copy half of the records, cut: used by bench itself")
	stamps := flag.String("stamp", "", "write records with the time to this topic, and nothing else: used by bench itself")
	filled := flag.String("fill", "", "write the lines of a file to a topic, TOPIC,FILE, and nothing else: used by bench itself")
	seconds := flag.Float64("seconds", 1, "of -stamp: for so long")
	flag.Parse()
	if *stamps != "" {
		err = stamp(context.Background(), o.kafka, *stamps, *seconds)
	} else if *filled != "" {
		err = fillTopic(context.Background(), o.kafka, *filled)
	} else if *copied != "" {
		err = copyBare(context.Background(), &o, *copied, *cut)
	} else if compare {
		err = compareFiles(flag.Arg(0), flag.Arg(1))
	} else if tensor {
		err = tensors(context.Background(), &o)
	} else {
		err = bench(context.Background(), &o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// task is one piece of work: a pipeline over a shape of input.
type task struct {
	name     string
	pipeline string // in bench/pipelines, and the peers' name of the work
	input    shape
	args     []string // further arguments of leat
	polars   bool
	beam     bool
}

// tasks are all pieces of work. What stands first in peers' tables comes first.
func tasks(scale float64) []task {
	rows := func(n int) int { return max(int(float64(n)*scale), 100) }
	two, twenty, one := rows(2_000_000), rows(20_000_000), rows(1_000_000)
	events := func(name string, f form, devices int) shape {
		return shape{name: name, rows: two, devices: devices, form: f}
	}
	sensors := events("events", plain, 1000)
	readings := shape{name: "readings", rows: one, devices: 1000, form: asCSV}
	return []task{
		{name: "Q-A", pipeline: "qa", input: sensors, polars: true},
		{name: "Q-B", pipeline: "qb", input: sensors, polars: true},
		{name: "Q-A keys in changing order", pipeline: "qa", input: events("reordered", reordered, 1000)},
		{name: "Q-A escapes", pipeline: "qa", input: events("escaped", escaped, 1000)},
		{name: "Q-A nested records", pipeline: "qa", input: events("nested", nested, 1000)},
		{name: "Q-A 3 fields", pipeline: "qa", input: events("narrow", narrow, 1000)},
		{name: "Q-A 40 fields", pipeline: "qa", input: events("wide", wide, 1000)},
		{name: "10 keys", pipeline: "keys", input: events("events", plain, 10)},
		{name: "1 M keys", pipeline: "keys", input: events("events", plain, 1_000_000)},
		{name: "1 M keys in 64 MiB", pipeline: "keys", input: events("events", plain, 1_000_000), args: []string{"--memory-limit", "64MiB"}},
		{name: "Q-A 20 M events", pipeline: "qa", input: shape{name: "events", rows: twenty, devices: 1000, form: plain}},
		{name: "Q-B 20 M events", pipeline: "qb", input: shape{name: "events", rows: twenty, devices: 1000, form: plain}},
		{name: "CSV agg", pipeline: "agg", input: readings, beam: true},
		{name: "CSV map", pipeline: "map", input: readings, beam: true},
		{name: "CSV window", pipeline: "window", input: readings, beam: true},
	}
}

func bench(ctx context.Context, o *options) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	if o.leat == "" {
		o.leat = filepath.Join(o.dir, "leat")
		if err := command(ctx, "go", "build", "-trimpath", "-o", o.leat, "./cmd/leat"); err != nil {
			return err
		}
	}
	python := ""
	if o.peers {
		var err error
		if python, err = install(ctx, o); err != nil {
			return err
		}
	}
	fmt.Printf("%s/%s, %d processors, medians of %d runs in turn\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.runs)
	fmt.Printf("%-30s %-8s %8s %8s %8s %8s %8s %8s  %s\n", "", "", "wall s", "cpu s", "MB", "wall ×", "cpu ×", "ns/byte", "result")
	for _, t := range tasks(o.scale) {
		if !wanted(t.name, o.only) {
			continue
		}
		if err := t.run(ctx, o, python); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if err := startup(ctx, o); err != nil {
		return err
	}
	if err := models(ctx, o); err != nil {
		return err
	}
	return streams(ctx, o)
}

// broker is where the broker of make services listens, unless LEAT_TEST_KAFKA says otherwise.
func broker() string {
	if address := os.Getenv("LEAT_TEST_KAFKA"); address != "" {
		return address
	}
	return "127.0.0.1:19092"
}

// wanted reports whether a task is among those asked for: by its name, or its beginning and "*".
func wanted(name, only string) bool {
	if only == "" {
		return true
	}
	for _, part := range strings.Split(only, ",") {
		part = strings.TrimSpace(part)
		prefix, open := strings.CutSuffix(part, "*")
		if strings.EqualFold(part, name) || open && len(name) >= len(prefix) && strings.EqualFold(prefix, name[:len(prefix)]) {
			return true
		}
	}
	return false
}

// install makes a virtual environment with the peers at the versions of bench/requirements.txt, and returns its Python.
func install(ctx context.Context, o *options) (string, error) {
	venv := filepath.Join(o.dir, "venv")
	python := filepath.Join(venv, "bin", "python")
	want, err := os.ReadFile("bench/requirements.txt")
	if err != nil {
		return "", err
	}
	stamp := filepath.Join(venv, "installed.txt")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == string(want) {
		return python, nil
	}
	if err := command(ctx, o.python, "-m", "venv", venv); err != nil {
		return "", err
	}
	if err := command(ctx, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "bench/requirements.txt"); err != nil {
		return "", err
	}
	return python, os.WriteFile(stamp, want, 0o644)
}

func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
