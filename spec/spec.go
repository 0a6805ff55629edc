// Package spec runs the executable specification: files of pipelines with literal answers, which any engine can
// be held to. README.md in this folder describes their language.
package spec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/pipeline"
	"github.com/leat-project/leat/plan"
)

// Case is one case of a specification file.
type Case struct {
	File     string
	Line     int // of its title
	Title    string
	Sections []Section
}

// Section is a part of a case: a keyword, perhaps a name, and text.
type Section struct {
	Kind string // pipeline, file, rows, output, error, problems, plan
	Name string
	Text string
}

// Engine runs a plan to its end.
type Engine func(ctx context.Context, p *plan.Plan) error

// Parse reads a specification file.
func Parse(file string, text []byte) ([]*Case, error) {
	var cases []*Case
	for number, line := range strings.SplitAfter(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "=== "):
			cases = append(cases, &Case{File: file, Line: number + 1, Title: strings.TrimSpace(line[4:])})
		case len(cases) == 0:
			if t := strings.TrimSpace(line); t != "" && !strings.HasPrefix(t, "#") {
				return nil, fmt.Errorf("%s:%d: text before the first ===", file, number+1)
			}
		case strings.HasPrefix(line, "--- "):
			kind, name, _ := strings.Cut(strings.TrimSpace(line[4:]), " ")
			switch kind {
			case "pipeline", "file", "rows", "output", "error", "problems", "plan":
			default:
				return nil, fmt.Errorf("%s:%d: no section is called %q", file, number+1, kind)
			}
			c := cases[len(cases)-1]
			c.Sections = append(c.Sections, Section{Kind: kind, Name: name})
		default:
			c := cases[len(cases)-1]
			if len(c.Sections) > 0 {
				c.Sections[len(c.Sections)-1].Text += line
			} else if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
				return nil, fmt.Errorf("%s:%d: text between === and the first ---", file, number+1)
			}
		}
	}
	return cases, nil
}

// Format is the inverse of Parse for one case, without comments.
func (c *Case) Format() string {
	var b strings.Builder
	fmt.Fprintf(&b, "=== %s\n", c.Title)
	for _, s := range c.Sections {
		b.WriteString(strings.TrimRight("--- "+s.Kind+" "+s.Name, " ") + "\n" + s.Text)
	}
	return b.String()
}

// Run runs the case in the empty folder dir and returns its sections as they came out: equal to c.Sections if the
// case holds.
func (c *Case) Run(ctx context.Context, dir string, engine Engine) ([]Section, error) {
	collected.reset()
	var text string
	for _, s := range c.Sections {
		switch s.Kind {
		case "pipeline":
			text = s.Text
		case "file":
			path := filepath.Join(dir, s.Name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(path, []byte(unescape(s.Text)), 0o644); err != nil {
				return nil, err
			}
		}
	}
	p, problems := pipeline.Compile(ctx, filepath.Join(dir, "pipeline.yaml"), []byte(text), pipeline.Options{Name: "pipeline", Vars: map[string]any{"dir": dir}})
	var failure error
	if !problems.Failed() {
		failure = engine(ctx, p)
	}
	out := make([]Section, 0, len(c.Sections))
	for _, s := range c.Sections {
		if err := c.answer(&s, dir, p, problems, failure); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, c.unexpected(problems, failure)
}

// unexpected returns an error where something went wrong that the case does not speak of.
func (c *Case) unexpected(problems *diag.List, failure error) error {
	for _, s := range c.Sections {
		if s.Kind == "problems" || s.Kind == "error" && failure != nil {
			return nil
		}
	}
	if problems.Failed() {
		var b bytes.Buffer
		diag.Render(&b, problems, false)
		return errors.New(b.String())
	}
	return failure
}

// answer sets the section's text to what came out.
func (c *Case) answer(s *Section, dir string, p *plan.Plan, problems *diag.List, failure error) error {
	var lines []string
	switch s.Kind {
	case "rows":
		lines = collected.rows(s.Name)
	case "output":
		data, err := os.ReadFile(filepath.Join(dir, s.Name))
		if err != nil {
			lines = []string{"(no such file)"}
		} else {
			lines = strings.Split(strings.TrimSuffix(escape(string(data)), "\n"), "\n")
		}
	case "problems":
		for _, problem := range problems.Problems {
			lines = append(lines, strings.TrimPrefix(problem.Error(), filepath.Join(dir, "pipeline.yaml")+":"))
			if problem.Hint != "" {
				lines = append(lines, "  hint: "+problem.Hint)
			}
		}
	case "error":
		if failure != nil {
			lines = strings.Split(escape(failure.Error()), "\n")
		}
	case "plan":
		if p != nil {
			lines = strings.Split(strings.TrimRight(p.Text(), "\n"), "\n")
		}
	default:
		return nil
	}
	want := strings.Split(strings.TrimRight(s.Text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(strings.ReplaceAll(lines[i], dir, "DIR"), " ")
	}
	if (s.Kind == "rows" || s.Kind == "output") && sameLines(want, lines) {
		return nil // in another order: the text stands
	}
	tail := s.Text[len(strings.TrimRight(s.Text, "\n")):]
	s.Text = ""
	if len(lines) > 0 {
		s.Text = strings.Join(lines, "\n")
		tail = "\n" + strings.TrimPrefix(tail, "\n")
	}
	s.Text += tail
	return nil
}

func sameLines(a, b []string) bool {
	if len(b) == 0 {
		b = []string{""}
	}
	a, b = append([]string(nil), a...), append([]string(nil), b...)
	sort.Strings(a)
	sort.Strings(b)
	return strings.Join(a, "\n") == strings.Join(b, "\n")
}

// unescape lets a file hold bytes that a specification cannot show: \xNN stands for a byte, \\ for a backslash
// before x, and a last line that ends in \c has no newline.
func unescape(s string) string {
	s = strings.TrimRight(s, "\n") + "\n"
	s = strings.TrimSuffix(s, "\\c\n")
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && i+4 <= len(s) {
			var c int
			if _, err := fmt.Sscanf(s[i+2:i+4], "%02x", &c); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// escape shows carriage returns and bytes that are not text.
func escape(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\\xff") {
		if r == '\r' {
			b.WriteString(`\x0d`)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
