// Command demo shows leat at work. It writes a stream of events of a small fleet of machines into a temporary folder, runs
// examples/demo.yaml over it, and shows the result, the rows set aside and the speed. Then it writes the readings of milling
// machines, has a model watch them by examples/machine_alarms.yaml, and shows the alarms and the plan. At last it watches this machine, live, by
// examples/host_metrics.yaml.
//
//	go run ./cmd/internal/demo -leat bin/leat
package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

func main() {
	leat := flag.String("leat", "bin/leat", "the program to show")
	seed := flag.Uint64("seed", 7, "seed of the streams")
	only := flag.String("generate", "", "write the stream of the fleet to this file and stop")
	flag.Parse()
	var err error
	if *only != "" {
		_, err = generate(*only, *seed, writeFleet)
	} else {
		err = show(*leat, *seed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// generate writes a stream to a file and returns the number of lines.
func generate(file string, seed uint64, write func(io.Writer, uint64) (int, error)) (int, error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := write(f, seed)
	if err != nil {
		return 0, err
	}
	return n, f.Close()
}

const (
	fleetExample = "examples/demo.yaml"
	millsExample = "examples/machine_alarms.yaml"
)

func show(leat string, seed uint64) error {
	dir, err := os.MkdirTemp("", "leat-demo-")
	if err != nil {
		return err
	}
	if err := showFleet(leat, seed, dir); err != nil {
		return err
	}
	if err := showMills(leat, seed, dir); err != nil {
		return err
	}
	if err := showHost(leat, dir); err != nil {
		return err
	}
	fmt.Printf("\nThe streams and the results stay in %s.\n", dir)
	fmt.Printf("Read %s, %s and %s next: they are the pipelines that you have seen.\n", fleetExample, millsExample, hostExample)
	return nil
}

func showFleet(leat string, seed uint64, dir string) error {
	events := filepath.Join(dir, "events.ndjson")
	n, err := generate(events, seed, writeFleet)
	if err != nil {
		return err
	}
	title("The stream", fmt.Sprintf("twelve machines, two days, %d lines, a few of them broken, some late: %s", n, events))
	if err := lines(events, 3); err != nil {
		return err
	}
	title("The run", "sets bad rows aside, groups by machine in windows of ten minutes, looks for trouble")
	if err := run(leat, "run", fleetExample, "--var", "input="+events, "--var", "output="+dir); err != nil {
		return err
	}
	for _, part := range []struct {
		title, text, file string
		most              int
	}{
		{"The incidents", "what went wrong with the machines: windows in trouble that follow each other", "incidents.json", 20},
		{"The rows that failed", "readings without a temperature: what went wrong, and the whole row", "failed.json", 3},
		{"The lines that are no events", "where they stood, what is wrong with them, and the text as it came", "malformed.json", 4},
	} {
		file, err := output(dir, part.file)
		if err != nil {
			return err
		}
		title(part.title, part.text)
		if err := lines(file, part.most); err != nil {
			return err
		}
	}
	return nil
}

func showMills(leat string, seed uint64, dir string) error {
	readings := filepath.Join(dir, "mills.ndjson")
	n, err := generate(readings, seed, writeMills)
	if err != nil {
		return err
	}
	title("A model in the stream", fmt.Sprintf("eight milling machines, one day, %d readings: %s", n, readings))
	if err := lines(readings, 2); err != nil {
		return err
	}
	fmt.Print("\nEach is scored by the model machine-failure, which comes with leat. It needs ONNX Runtime, which leat fetches once: 30 MB.\n\n")
	vars := []string{millsExample, "--var", "input=" + readings, "--var", "output=" + dir}
	if err := run(leat, append([]string{"run"}, vars...)...); err != nil {
		return fmt.Errorf("the model did not run, the rest did: %w", err)
	}
	alarms, err := output(dir, "alarms.csv")
	if err != nil {
		return err
	}
	title("The alarms", `by hour and machine, of 360 readings each, with the highest score, and what was measured on average: mill-6 was driven too
   hard (watts), the cooling of mill-2 clogged (kelvin), a tool of mill-4 was not changed (minutes), the belt of mill-7 slipped (watts)`)
	if err := table(os.Stdout, alarms); err != nil {
		return err
	}
	title("The plan", "what a pipeline becomes: typed nodes; --format mermaid draws it")
	return run(leat, append([]string{"plan"}, vars...)...)
}

// output returns the one file of an output.
func output(dir, name string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, name+"*"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("%s was not written", name)
	}
	return files[0], nil
}

func title(name, text string) {
	fmt.Printf("\n── %s %s\n   %s\n\n", name, strings.Repeat("─", max(3, 90-utf8.RuneCountInString(name))), text)
}

// run shows a command and runs it.
func run(leat string, args ...string) error {
	fmt.Printf("$ leat %s\n", strings.Join(args, " "))
	cmd := exec.Command(leat, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout // in order, whoever reads it
	return cmd.Run()
}

// lines shows the first lines of a file, and how many there are.
func lines(file string, most int) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	n := 0
	s := bufio.NewScanner(f)
	for s.Scan() {
		if n++; n <= most {
			fmt.Println(shorten(s.Text(), 200))
		}
	}
	if n > most {
		fmt.Printf("… %d lines in all\n", n)
	}
	return s.Err()
}

func shorten(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// table shows the records of a CSV file in columns, sorted by their texts. A file of the engine has no order.
func table(w io.Writer, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(records) == 0 {
		return errors.Join(err, fmt.Errorf("%s has no header", file))
	}
	slices.SortFunc(records[1:], slices.Compare[[]string])
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, r := range records {
		fmt.Fprintln(t, "   "+strings.Join(r, "\t"))
	}
	return t.Flush()
}
