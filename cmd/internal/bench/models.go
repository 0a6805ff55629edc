package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// models measures models in the stream: on tensors, on texts, on tables, and how soon the first prediction is there.
func models(ctx context.Context, o *options) error {
	if !anyModel(o.only) {
		return nil
	}
	fmt.Printf("\n%-42s %-24s %8s %8s %8s %10s %10s\n", "models", "", "wall s", "cpu s", "rows", "rows/cpu s", "leat ×")
	if out, err := exec.CommandContext(ctx, o.leat, "runtime", "install").CombinedOutput(); err != nil {
		skipped("models", "ONNX Runtime is not here: "+string(bytes.TrimSpace(out)))
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	// A process of its own gives all its memory back.
	tensors := exec.CommandContext(ctx, program, "-tensor", "-dir", o.dir, "-runs", fmt.Sprint(o.runs), "-scale", fmt.Sprint(o.scale), "-only", o.only)
	tensors.Stdout, tensors.Stderr = os.Stdout, os.Stderr
	if err := tensors.Run(); err != nil {
		return err
	}
	for _, measure := range []func(context.Context, *options) error{texts, tables, firstPrediction} {
		if err := measure(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// anyModel reports whether a case of models may be among those asked for.
func anyModel(only string) bool {
	if only == "" {
		return true
	}
	for _, part := range strings.Split(strings.ToLower(only), ",") {
		part, open := strings.CutSuffix(strings.TrimSpace(part), "*")
		for _, group := range []string{"tensor", "text", "tabular", "first"} {
			if strings.HasPrefix(part, group) || open && strings.HasPrefix(group, part) {
				return true
			}
		}
	}
	return false
}

// modelCase is a pipeline with a model, and what else can do the same.
type modelCase struct {
	name     string
	pipeline string // in bench/pipelines
	model    string
	input    string
	rows     int
	peer     []string // prints a line of JSON for each way that it knows; nil: there is none
}

// way is what a peer says of one way to do the work.
type way struct {
	Way       string
	CPU, Wall float64 // seconds
	Rows      int
}

// run measures leat on one worker, its start and its loading of the model included, and the ways of the peer, theirs excluded. Ratios
// are of rows by processor second, leat's over the peer's.
func (c *modelCase) run(ctx context.Context, o *options) error {
	output := filepath.Join(o.dir, "out-leat")
	argv := []string{o.leat, "run", "--parallelism", "1", "--var", "input=" + c.input, "--var", "output=" + output, "--var", "model=" + c.model,
		"bench/pipelines/" + c.pipeline + ".yaml"}
	var leat []measured
	var names []string
	rows, figures := map[string]int{}, map[string][]measured{}
	for range o.runs {
		if err := clear(output); err != nil {
			return err
		}
		m, err := measure(ctx, argv)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		leat = append(leat, m)
		ways, err := c.ask(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		for _, w := range ways {
			if rows[w.Way] == 0 {
				names = append(names, w.Way)
			}
			rows[w.Way] = w.Rows
			figures[w.Way] = append(figures[w.Way], measured{wall: w.Wall, cpu: w.CPU})
		}
	}
	base := median(leat)
	speed := float64(c.rows) / base.cpu
	fmt.Printf("%-42s %-24s %8.2f %8.2f %8d %10.0f %10s  %.0f MB\n", c.name, "leat", base.wall, base.cpu, c.rows, speed, "", base.memory)
	for _, name := range names {
		m := median(figures[name])
		theirs := float64(rows[name]) / m.cpu
		fmt.Printf("%-42s %-24s %8.2f %8.2f %8d %10.0f %10.2f\n", "", name, m.wall, m.cpu, rows[name], theirs, speed/theirs)
	}
	return clear(output)
}

// ask runs the peer.
func (c *modelCase) ask(ctx context.Context) ([]way, error) {
	if c.peer == nil {
		return nil, nil
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.peer[0], c.peer[1:]...)
	// One thread, as leat has: what several threads of a library spend on waiting for each other would count against it.
	cmd.Env, cmd.Stderr = append(os.Environ(), "OMP_NUM_THREADS=1"), &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	var ways []way
	for line := range bytes.Lines(out) {
		var w way
		if err := json.Unmarshal(line, &w); err != nil {
			return nil, fmt.Errorf("the peer says %q: %w", line, err)
		}
		ways = append(ways, w)
	}
	return ways, nil
}

// firstPrediction measures how soon one prediction is there, from the start of the command to its end.
func firstPrediction(ctx context.Context, o *options) error {
	file := filepath.Join(o.dir, "one.yaml")
	const pipeline = "{pipeline: {type: chain, transforms: [{type: Create, config: {elements: [{text: not bad at all}]}}, " +
		"{type: RunInference, config: {model_handler: {type: HuggingFacePipelineModelHandler, config: {model: review-sentiment}}}}, {type: LogForTesting}]}}\n"
	if err := os.WriteFile(file, []byte(pipeline), 0o644); err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		argv []string
	}{
		{"first prediction: predict", []string{o.leat, "predict", "--model", "review-sentiment", "not bad at all"}},
		{"first prediction: run", []string{o.leat, "run", file}},
	} {
		if !wanted(c.name, o.only) {
			continue
		}
		var figures []measured
		for range 20 {
			m, err := measure(ctx, c.argv)
			if err != nil {
				return err
			}
			figures = append(figures, m)
		}
		m := median(figures)
		fmt.Printf("%-42s %-24s %5.1f ms %5.1f ms %8d %10s %10s  %.0f MB\n", c.name, "leat", m.wall*1000, m.cpu*1000, 1, "", "", m.memory)
	}
	return nil
}

// shared is the folder of real data, which is not part of the repository.
func shared() string {
	if dir := os.Getenv("LEAT_SHARED"); dir != "" {
		return dir
	}
	return "../shared"
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// skipped says that something was not measured.
func skipped(name, why string) { fmt.Printf("%-42s SKIPPED: %s\n", name, why) }
