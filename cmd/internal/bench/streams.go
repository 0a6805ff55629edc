package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// streams measures pipelines from Kafka to Kafka. It needs a broker.
func streams(ctx context.Context, o *options) error {
	if !anyStream(o.only) {
		return nil
	}
	fmt.Printf("\n%-34s %-22s %8s %8s %8s %10s %8s  %s\n", "streams", "", "wall s", "cpu s", "MB", "cpu ns/row", "cpu ×", "rows")
	conn, err := net.DialTimeout("tcp", o.kafka, time.Second)
	if err != nil {
		skipped("streams", "no broker answers at "+o.kafka+": run make services")
		return nil
	}
	conn.Close()
	t, err := newTopics(o.kafka)
	if err != nil {
		return err
	}
	defer t.close()
	s := &streamBench{options: o, topics: t}
	for _, c := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"streams copy", s.copy}, {"streams exactly once", s.exact}, {"streams windows", s.windows},
		{"streams latency", s.latency}, {"streams idle", s.idle},
	} {
		if !wanted(c.name, o.only) {
			continue
		}
		if err := c.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// anyStream reports whether a case of streams may be among those asked for.
func anyStream(only string) bool {
	if only == "" {
		return true
	}
	for _, part := range strings.Split(strings.ToLower(only), ",") {
		part, open := strings.CutSuffix(strings.TrimSpace(part), "*")
		if strings.HasPrefix(part, "stream") || open && strings.HasPrefix("stream", part) {
			return true
		}
	}
	return false
}

// streamBench are the cases of streams.
type streamBench struct {
	*options
	topics *topics
	source string // the topic of events; "": not there yet
	rows   int
}

// events makes the topic that is read.
func (s *streamBench) events(ctx context.Context) error {
	if s.source != "" {
		return nil
	}
	s.rows = max(int(2_000_000*s.scale), 1000)
	file, err := shape{name: "events", rows: s.rows, devices: 1000, form: plain}.generate(s.dir)
	if err != nil {
		return err
	}
	name, err := s.topics.add(ctx, "events")
	if err != nil {
		return err
	}
	// A process of its own fills it, so that this one stays small: a child's peak of memory counts its parent's.
	if err := command(ctx, s.bareRun("", "")[0], "-fill", name+","+file, "-kafka", s.kafka); err != nil {
		return err
	}
	s.source = name
	return nil
}

// streamProgram is one way to do the work; it gets the topic to write to.
type streamProgram struct {
	name string
	argv func(output string) []string
}

// contest runs programs in turn over the events and prints their medians; ratios are to the first.
func (s *streamBench) contest(ctx context.Context, name string, programs []streamProgram) error {
	if err := s.events(ctx); err != nil {
		return err
	}
	figures, counts := make([][]measured, len(programs)), make([]int64, len(programs))
	for run := range s.runs {
		for k := range programs {
			i := (k + run) % len(programs) // who comes first changes
			output, err := s.topics.add(ctx, "out")
			if err != nil {
				return err
			}
			m, err := measure(ctx, programs[i].argv(output))
			if err != nil {
				return fmt.Errorf("%s: %w", programs[i].name, err)
			}
			if counts[i], err = s.topics.count(ctx, output); err != nil {
				return err
			}
			s.topics.remove(ctx, output)
			figures[i] = append(figures[i], m)
		}
	}
	base := median(figures[0])
	for i, p := range programs {
		m := median(figures[i])
		fmt.Printf("%-34s %-22s %8.2f %8.2f %8.0f %10.0f %8.2f  %d\n", name, p.name, m.wall, m.cpu, m.memory, m.cpu*1e9/float64(s.rows), m.cpu/base.cpu, counts[i])
	}
	return nil
}

// leatRun is leat on a pipeline, with a state of its own for each run.
func (s *streamBench) leatRun(pipeline, output string, flags ...string) []string {
	state := filepath.Join(s.dir, "state")
	_ = os.RemoveAll(state) // what is left of an earlier run would be gone on with
	argv := []string{s.leat, "run", "--state-dir", state, "--var", "brokers=" + s.kafka, "--var", "input=" + s.source, "--var", "output=" + output}
	return append(append(argv, flags...), "bench/pipelines/"+pipeline+".yaml")
}

func (s *streamBench) bareRun(input, output string, flags ...string) []string {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return append([]string{self, "-bare", input + "," + output, "-kafka", s.kafka}, flags...)
}

// copy filters and projects, against the client alone and against other programs that do the same.
func (s *streamBench) copy(ctx context.Context) error {
	programs := []streamProgram{
		{"bare client", func(output string) []string { return s.bareRun(s.source, output, "-bare-cut") }},
		{"leat", func(output string) []string {
			return s.leatRun("stream_qa", output, "--var", "exactly=false", "--var", "streaming=false")
		}},
	}
	if err := s.contest(ctx, "filter and project", programs); err != nil {
		return err
	}
	return s.others(ctx, programs[1])
}

// others measures peers, which are slow, with fewer runs.
func (s *streamBench) others(ctx context.Context, leat streamProgram) error {
	programs := []streamProgram{leat}
	if s.benthos == "" {
		skipped("streams copy: Benthos", "no program is named by -benthos")
	} else {
		programs = append(programs, streamProgram{"Benthos", func(output string) []string { return []string{s.benthos, s.kafka, s.source, output} }})
	}
	if s.bytewax == "" {
		skipped("streams copy: Bytewax", "no Python is named by -bytewax")
	} else {
		programs = append(programs, streamProgram{"Bytewax", func(output string) []string {
			return []string{s.bytewax, "bench/peers/bytewax_peer.py", s.kafka, s.source, output}
		}})
	}
	if len(programs) == 1 {
		return nil
	}
	return s.contest(ctx, "filter and project", programs)
}

// exact compares transactions and a checkpoint every second with neither.
func (s *streamBench) exact(ctx context.Context) error {
	run := func(exactly, every string) func(string) []string {
		return func(output string) []string {
			return s.leatRun("stream_qa", output, "--var", "exactly="+exactly, "--var", "streaming=true", "--checkpoint-interval", every)
		}
	}
	return s.contest(ctx, "exactly once", []streamProgram{{"leat, at least once", run("false", "1h")}, {"leat, exactly once, 1 s", run("true", "1s")}})
}

// windows aggregates by device.
func (s *streamBench) windows(ctx context.Context) error {
	return s.contest(ctx, "windows of 10 s by device", []streamProgram{{"leat", func(output string) []string { return s.leatRun("stream_window", output) }}})
}

// idle measures a pipeline to which nothing comes.
func (s *streamBench) idle(ctx context.Context) error {
	input, err := s.topics.add(ctx, "idle")
	if err != nil {
		return err
	}
	was := s.source
	s.source = input
	defer func() { s.source = was }()
	for _, seconds := range []float64{1, max(30*min(s.scale, 1), 2)} {
		argv := s.leatRun("stream_idle", "")
		cmd := exec.Command(argv[0], argv[1:]...)
		m, err := measureFor(ctx, cmd, time.Duration(seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		fmt.Printf("%-34s %-22s %8.2f %8.3f %8.0f\n", fmt.Sprintf("idle for %.0f s, start included", seconds), "leat", m.wall, m.cpu, m.memory)
	}
	return nil
}
