package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/leat-project/leat/diag"
)

// isTerminal reports whether a person reads w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// color reports whether w may be coloured.
func (g *global) color(w io.Writer) bool {
	return !g.noColor && os.Getenv("NO_COLOR") == "" && isTerminal(w)
}

// problemOf shows a failure of a run as problems are shown, with the line of the pipeline file.
func problemOf(err error, src *source) *diag.Problem {
	var f *diag.Failure
	if !errors.As(err, &f) {
		return &diag.Problem{Text: err.Error()}
	}
	p := &diag.Problem{Place: f.Place, Code: f.Code, Text: f.Err.Error(), Hint: f.Hint}
	if f.Transform != "" {
		p.Text = fmt.Sprintf("transform %q: %s", f.Transform, p.Text)
	}
	if p.Place.Text == "" && src != nil && p.Place.File == src.name {
		lines := strings.Split(string(src.text), "\n")
		if at := p.Place.Line; at > 0 && at <= len(lines) {
			p.Place.Text = strings.TrimSuffix(lines[at-1], "\r")
		}
	}
	if f.Row != "" {
		p.Notes = append(p.Notes, diag.Note{Text: "the row is " + f.Row})
	}
	if f.Origin != "" {
		p.Notes = append(p.Notes, diag.Note{Text: "it came from " + f.Origin})
	}
	if f.Class == diag.Bug && p.Hint == "" {
		p.Hint = "This is a fault of leat's: please report it with the pipeline and this text."
	}
	return p
}

// problemJSON is a problem as a program reads it.
type problemJSON struct {
	Event    string      `json:"event"` // problem
	Severity string      `json:"severity"`
	Place    *diag.Place `json:"place,omitempty"`
	Code     diag.Code   `json:"code,omitempty"`
	Text     string      `json:"text"`
	Hint     string      `json:"hint,omitempty"`
	Notes    []noteJSON  `json:"notes,omitempty"`
}

type noteJSON struct {
	Place *diag.Place `json:"place,omitempty"`
	Text  string      `json:"text"`
}

func newProblemJSON(p *diag.Problem) problemJSON {
	out := problemJSON{Event: "problem", Severity: "error", Place: placeJSON(p.Place), Code: p.Code, Text: p.Text, Hint: p.Hint}
	if p.Warning {
		out.Severity = "warning"
	}
	for _, n := range p.Notes {
		out.Notes = append(out.Notes, noteJSON{Place: placeJSON(n.Place), Text: n.Text})
	}
	return out
}

func placeJSON(p diag.Place) *diag.Place {
	if p.IsZero() {
		return nil
	}
	return &p
}

// writeJSON writes v on a line of its own.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// showProblems writes problems for people, or one JSON object for each.
func (g *global) showProblems(w io.Writer, problems *diag.List, asJSON bool) error {
	problems = &diag.List{Problems: slices.Clone(problems.Problems)}
	for i, p := range problems.Problems {
		problems.Problems[i] = redacted(p)
	}
	if !asJSON {
		return diag.Render(w, problems, g.color(w))
	}
	for _, p := range problems.Problems {
		if err := writeJSON(w, newProblemJSON(p)); err != nil {
			return err
		}
	}
	return nil
}
