package pipeline_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/leat-project/leat/connector/all"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/pipeline"
	_ "github.com/leat-project/leat/transform"
)

var rewrite = flag.Bool("rewrite", false, "write what is found into the files of testdata")

// TestCheck compiles every file of testdata/check and compares its problems with the comments in it:
//
//   - type: Creat  # ERROR 13 `no transform is named "Creat"`
//
// The number is the column, 0 for a line as a whole. "# WARNING" is a warning; "# ERROR@+2" is about the second line
// after, "# ERROR@-1" about the one before, "# ERROR@0" about the file as a whole. A comment "# VAR name=value" at the
// top gives the template a variable. -rewrite puts the comments that are missing at the end of their lines, and corrects
// the others.
func TestCheck(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata/check: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, problems := pipeline.Compile(context.Background(), file, text, pipeline.Options{Vars: fileVars(string(text))})
			got := map[int][]string{}
			for _, p := range problems.Problems {
				line := p.Place.Line
				got[line] = append(got[line], finding(p))
				if err := checkForm(p); err != nil {
					t.Errorf("%v: %v", p, err)
				}
			}
			want := expectations(t, string(text))
			if *rewrite && !equal(got, want) {
				if err := os.WriteFile(file, []byte(rewritten(string(text), got)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for line := range max(lastKey(got), lastKey(want)) + 1 {
				if !slices.Equal(got[line], want[line]) {
					t.Errorf("%s:%d\n got: %s\nwant: %s", file, line, strings.Join(got[line], "\n      "), strings.Join(want[line], "\n      "))
				}
			}
		})
	}
}

func lastKey(m map[int][]string) int {
	last := 0
	for k := range m {
		last = max(last, k)
	}
	return last
}

func equal(a, b map[int][]string) bool {
	for line := range max(lastKey(a), lastKey(b)) + 1 {
		if !slices.Equal(a[line], b[line]) {
			return false
		}
	}
	return true
}

// finding is a problem as the comments have it.
func finding(p *diag.Problem) string {
	kind := "ERROR"
	if p.Warning {
		kind = "WARNING"
	}
	text := "`" + p.Text + "`"
	if strings.ContainsAny(p.Text, "`\n") {
		text = strconv.Quote(p.Text)
	}
	return fmt.Sprintf("%s %d %s", kind, p.Place.Col, text)
}

// checkForm checks the style of problems: lower case, no full stop, hints that are sentences.
func checkForm(p *diag.Problem) error {
	switch {
	case p.Code == "":
		return fmt.Errorf("it has no code")
	case p.Text == "" || strings.HasSuffix(p.Text, ".") && !strings.HasSuffix(p.Text, "…"):
		return fmt.Errorf("its text ends with a full stop, or is empty")
	case p.Text[0] >= 'A' && p.Text[0] <= 'Z' && !regexp.MustCompile(`^(YAML|UTF|JSON|[A-Z]+\b|[A-Z]\w*Error\b)`).MatchString(p.Text):
		return fmt.Errorf("its text begins with a capital")
	case p.Hint != "" && !strings.ContainsAny(p.Hint[len(p.Hint)-1:], ".?…=)") && !strings.HasSuffix(p.Hint, "…"):
		return fmt.Errorf("its hint %q is no sentence", p.Hint)
	case p.Place.Line > 0 && p.Place.Text == "" && p.Place.Col > 0:
		return fmt.Errorf("its line is not shown")
	}
	return nil
}

var expectation = regexp.MustCompile("(ERROR|WARNING)(@[-+]?[0-9]+)? ([0-9]+) (`[^`]*`|\"(?:[^\"\\\\]|\\\\.)*\")")

// expectations reads the comments of a file, by line.
func expectations(t *testing.T, text string) map[int][]string {
	want := map[int][]string{}
	for i, line := range strings.Split(text, "\n") {
		for _, m := range expectation.FindAllStringSubmatch(commentOf(line), -1) {
			at := i + 1
			if m[2] != "" {
				n, err := strconv.Atoi(m[2][1:])
				if err != nil {
					t.Fatal(err)
				}
				at += n
				if n == 0 {
					at = 0
				}
			}
			want[at] = append(want[at], m[1]+" "+m[3]+" "+m[4])
		}
	}
	return want
}

func commentOf(line string) string {
	if i := strings.Index(line, "# ERROR"); i >= 0 {
		return line[i:]
	}
	if i := strings.Index(line, "# WARNING"); i >= 0 {
		return line[i:]
	}
	return ""
}

// rewritten is text with its comments replaced: those on other lines than their own stay where they are.
func rewritten(text string, got map[int][]string) string {
	lines := strings.Split(text, "\n")
	told := map[int]bool{}
	for i, line := range lines {
		comment := commentOf(line)
		m := expectation.FindStringSubmatch(comment)
		if comment == "" || m != nil && m[2] == "" {
			continue
		}
		if m == nil || m[2] == "" {
			continue
		}
		n, _ := strconv.Atoi(m[2][1:])
		at := i + 1 + n
		if n == 0 {
			at = 0
		}
		told[at] = true
		var parts []string
		for _, f := range got[at] {
			parts = append(parts, strings.Replace(f, " ", m[2]+" ", 1))
		}
		lines[i] = strings.TrimSuffix(line, comment)
		if parts != nil {
			lines[i] += "# " + strings.Join(parts, " ")
		}
	}
	for i, line := range lines {
		comment := commentOf(line)
		if m := expectation.FindStringSubmatch(comment); m != nil && m[2] == "" {
			lines[i] = strings.TrimRight(strings.TrimSuffix(line, comment), " ")
		}
		if found := got[i+1]; found != nil && !told[i+1] {
			lines[i] += "  # " + strings.Join(found, " ")
		}
	}
	out := strings.Join(lines, "\n")
	if got[0] != nil && !told[0] {
		var parts []string
		for _, f := range got[0] {
			parts = append(parts, strings.Replace(f, " ", "@0 ", 1))
		}
		out += "# " + strings.Join(parts, " ") + "\n"
	}
	return out
}

// fileVars reads the template's variables from the comments of a file.
func fileVars(text string) map[string]any {
	vars := map[string]any{}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "# VAR "); ok {
			name, value, _ := strings.Cut(v, "=")
			vars[name] = value
		}
	}
	return vars
}
