// Command demo shows leat at work: it writes a stream of events of a small fleet of machines into a temporary folder, runs
// examples/demo.yaml over it, and shows the result, the rows set aside, the speed and the plan.
//
//	go run ./cmd/internal/demo -leat bin/leat
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

func main() {
	leat := flag.String("leat", "bin/leat", "the program to show")
	seed := flag.Uint64("seed", 7, "seed of the stream")
	only := flag.String("generate", "", "write the stream to this file and stop")
	flag.Parse()
	var err error
	if *only != "" {
		_, err = generate(*only, *seed)
	} else {
		err = show(*leat, *seed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func generate(file string, seed uint64) (int, error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := writeFleet(f, seed)
	if err != nil {
		return 0, err
	}
	return n, f.Close()
}

const example = "examples/demo.yaml"

func show(leat string, seed uint64) error {
	dir, err := os.MkdirTemp("", "leat-demo-")
	if err != nil {
		return err
	}
	events := filepath.Join(dir, "events.ndjson")
	n, err := generate(events, seed)
	if err != nil {
		return err
	}
	title("The stream", fmt.Sprintf("twelve machines, two days, %d lines, a few of them broken, some late: %s", n, events))
	if err := lines(events, 3); err != nil {
		return err
	}
	vars := []string{"--var", "input=" + events, "--var", "output=" + dir}
	title("The run", "sets bad rows aside, groups by machine in windows of ten minutes, looks for trouble")
	if err := run(leat, append([]string{"run", example}, vars...)); err != nil {
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
		files, err := filepath.Glob(filepath.Join(dir, part.file+"*"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("%s was not written", part.file)
		}
		title(part.title, part.text)
		if err := lines(files[0], part.most); err != nil {
			return err
		}
	}
	title("The plan", "what a pipeline becomes: typed nodes")
	if err := run(leat, append([]string{"plan", example}, vars...)); err != nil {
		return err
	}
	title("The graph", "the same as a Mermaid chart, for a Markdown page")
	if err := run(leat, append([]string{"plan", "--format", "mermaid", example}, vars...)); err != nil {
		return err
	}
	fmt.Printf("\nThe stream and the results stay in %s.\nRead %s next: it is the pipeline that you have seen.\n", dir, example)
	return nil
}

func title(name, text string) {
	fmt.Printf("\n── %s %s\n   %s\n\n", name, strings.Repeat("─", max(3, 90-utf8.RuneCountInString(name))), text)
}

// run shows a command and runs it.
func run(leat string, args []string) error {
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
