package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// program is one way to do a task.
type program struct {
	name   string
	output string // prefix of the files written
	argv   []string
}

// measured are the figures of one run.
type measured struct {
	wall, cpu float64 // seconds
	memory    float64 // MB at the peak
}

// run measures a task on all programs and prints a line for each.
func (t *task) run(ctx context.Context, o *options, python string) error {
	input, err := t.input.generate(o.dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(input)
	if err != nil {
		return err
	}
	programs := t.programs(o, python, input)
	figures := make([][]measured, len(programs))
	for range o.runs {
		for i, p := range programs {
			if err := clear(p.output); err != nil {
				return err
			}
			m, err := measure(ctx, p.argv)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			figures[i] = append(figures[i], m)
		}
	}
	base := median(figures[0])
	for i, p := range programs {
		m := median(figures[i])
		verdict := ""
		if i > 0 {
			verdict = sameRows(ctx, programs[0].output, p.output)
		}
		fmt.Printf("%-30s %-8s %8.2f %8.2f %8.0f %8.2f %8.2f %8.2f  %s\n", t.name, p.name, m.wall, m.cpu, m.memory,
			m.wall/base.wall, m.cpu/base.cpu, m.cpu*1e9/float64(info.Size()), verdict)
	}
	for _, p := range programs {
		if err := clear(p.output); err != nil {
			return err
		}
	}
	return nil
}

// programs are leat first, then the peers that can do the task.
func (t *task) programs(o *options, python, input string) []program {
	out := func(name string) string { return filepath.Join(o.dir, "out-"+name) }
	file := "bench/pipelines/" + t.pipeline + ".yaml"
	leat := append([]string{o.leat, "run", "--var", "input=" + input, "--var", "output=" + out("leat")}, t.args...)
	all := []program{{"leat", out("leat"), append(leat, file)}}
	if python != "" {
		all = append(all, program{"DuckDB", out("duckdb"), []string{python, "bench/peers/duckdb_peer.py", t.pipeline, input, out("duckdb")}})
		if t.polars {
			all = append(all, program{"Polars", out("polars"), []string{python, "bench/peers/polars_peer.py", t.pipeline, input, out("polars")}})
		}
	}
	if t.beam && o.beam != "" {
		vars := fmt.Sprintf(`{"input": %q, "output": %q}`, input, out("beam"))
		all = append(all, program{"Beam", out("beam"), []string{o.beam, "-m", "apache_beam.yaml.main", "--yaml_pipeline_file=" + file, "--jinja_variables=" + vars}})
	}
	return all
}

// measure runs a command to its end. Memory is that of the process itself.
func measure(ctx context.Context, argv []string) (measured, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr = &stderr
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start).Seconds()
	if err != nil {
		return measured{}, fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	return used(cmd, wall), nil
}

// used is what a command that has ended has used.
func used(cmd *exec.Cmd, wall float64) measured {
	state := cmd.ProcessState
	m := measured{wall: wall, cpu: (state.UserTime() + state.SystemTime()).Seconds()}
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		m.memory = float64(u.Maxrss) * 1024 / 1e6
	}
	return m
}

func median(all []measured) measured {
	of := func(f func(measured) float64) float64 {
		var values []float64
		for _, m := range all {
			values = append(values, f(m))
		}
		slices.Sort(values)
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return measured{
		wall:   of(func(m measured) float64 { return m.wall }),
		cpu:    of(func(m measured) float64 { return m.cpu }),
		memory: of(func(m measured) float64 { return m.memory }),
	}
}

// clear removes the files of a result: out, and out-00000-of-00001 and so on.
func clear(output string) error {
	files, err := filepath.Glob(output + "*")
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return nil
}

// sameRows compares two results in a process of its own, so that this one stays small: a child's peak of memory counts its
// parent's size at the start.
func sameRows(ctx context.Context, a, b string) string {
	self, err := os.Executable()
	if err != nil {
		return err.Error()
	}
	out, err := exec.CommandContext(ctx, self, "-compare", a, b).CombinedOutput()
	if err != nil {
		return "DIFFERS: " + string(bytes.TrimSpace(out))
	}
	return "same rows"
}

const smallPipeline = "{pipeline: {type: chain, transforms: [{type: Create, config: {elements: [1, 2, 3]}}, {type: LogForTesting}]}}\n"

// startup measures a pipeline of three rows, from the start of the process to its end.
func startup(ctx context.Context, o *options) error {
	file := filepath.Join(o.dir, "three.yaml")
	if err := os.WriteFile(file, []byte(smallPipeline), 0o644); err != nil {
		return err
	}
	var figures []measured
	for range 20 {
		m, err := measure(ctx, []string{o.leat, "run", file})
		if err != nil {
			return err
		}
		figures = append(figures, m)
	}
	m := median(figures)
	fmt.Printf("%-30s %-8s %5.1f ms %5.1f ms %8.0f\n", "start, three rows, end", "leat", m.wall*1000, m.cpu*1000, m.memory)
	return nil
}
