// Package diag holds places and problems: what is wrong, where, and what to do about it.
//
// It is data. Every phase appends to a List and goes on, so that a user sees all problems of a
// file at once, in the order of the file. An invented place is a bug: a Place is either read from
// the user's text or zero.
package diag

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Place is a spot in a text of the user's. The zero Place means unknown.
type Place struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1
	Col  int    `json:"col,omitempty"`  // from 1, in characters; 0 means the line as a whole
	Len  int    `json:"-"`              // characters to underline; 0 means 1
	Text string `json:"-"`              // the whole line, for the excerpt; "" means not known
}

// IsZero reports whether nothing is known of the place.
func (p Place) IsZero() bool { return p.File == "" && p.Line == 0 }

// String returns file:line:col, leaving out what is not known.
func (p Place) String() string {
	switch {
	case p.IsZero():
		return ""
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Note is a second place that explains a problem.
type Note struct {
	Place Place
	Text  string
}

// Problem is one thing that is wrong. Text is lower case without a final stop, says what was wanted and
// what was found; Hint is a full sentence that can be done.
type Problem struct {
	Place   Place
	Code    Code
	Text    string
	Hint    string
	Notes   []Note
	Warning bool // a warning does not stop a run
}

// Error returns the one-line form: file:line:col: text [code].
func (p *Problem) Error() string {
	var b strings.Builder
	if at := p.Place.String(); at != "" {
		b.WriteString(at)
		b.WriteString(": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Text)
	if p.Code != "" {
		fmt.Fprintf(&b, " [%s]", p.Code)
	}
	return b.String()
}

// List gathers problems. The zero List is ready for use.
type List struct {
	Problems []*Problem
}

// Errorf adds an error and returns it, so that a hint or a note can be set.
func (l *List) Errorf(at Place, code Code, format string, args ...any) *Problem {
	p := &Problem{Place: at, Code: code, Text: fmt.Sprintf(format, args...)}
	l.Problems = append(l.Problems, p)
	return p
}

// Warnf adds a warning and returns it.
func (l *List) Warnf(at Place, code Code, format string, args ...any) *Problem {
	p := l.Errorf(at, code, format, args...)
	p.Warning = true
	return p
}

// Failed reports whether the list holds an error, not only warnings.
func (l *List) Failed() bool {
	for _, p := range l.Problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

// Sort puts the problems in the order of the file and drops exact repetitions.
func (l *List) Sort() {
	sort.SliceStable(l.Problems, func(i, j int) bool {
		a, b := l.Problems[i].Place, l.Problems[j].Place
		if a.File != b.File {
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	kept := l.Problems[:0]
	seen := map[string]bool{}
	for _, p := range l.Problems {
		if key := p.Error(); !seen[key] {
			seen[key] = true
			kept = append(kept, p)
		}
	}
	l.Problems = kept
}

// Span places the characters of a value that was written in a file, such as an expression in a YAML
// scalar, which may stretch over lines and hold escapes.
type Span struct {
	Marks []Mark // in rising order of Offset; the first has Offset 0
}

// Mark says that the byte at Offset of the value stands at Place.
type Mark struct {
	Offset int
	Place  Place
}

// SpanAt is the span of a value written in one piece on one line.
func SpanAt(p Place) Span { return Span{Marks: []Mark{{Place: p}}} }

// At returns the place of value[start:end], value being the string the span was made for.
func (s Span) At(value string, start, end int) Place {
	if len(s.Marks) == 0 {
		return Place{}
	}
	i := sort.Search(len(s.Marks), func(i int) bool { return s.Marks[i].Offset > start }) - 1
	i = max(i, 0)
	m := s.Marks[i]
	start, end = min(max(start, m.Offset), len(value)), min(end, len(value))
	if i+1 < len(s.Marks) && end > s.Marks[i+1].Offset && s.Marks[i+1].Place.Line != m.Place.Line {
		end = s.Marks[i+1].Offset // an underline stays on its line
	}
	p := m.Place
	if p.Col > 0 {
		p.Col += len([]rune(value[min(m.Offset, start):start]))
	}
	p.Len = 1
	if end > start {
		p.Len = len([]rune(strings.TrimRight(value[start:end], "\n")))
	}
	return p
}

// Class says what may be done about a failure at run time.
type Class uint8

const (
	User    Class = iota // the pipeline or its data: a person has to change something
	Retry                // may pass when tried again
	Corrupt              // stored data is damaged
	Bug                  // a fault of leat's
)

// Failure is an error at run time, with all that is known of where it came from.
type Failure struct {
	Class     Class
	Code      Code
	Place     Place  // the transform's place in the pipeline file
	Transform string // its name
	Row       string // the row, printed and cut to a line, or ""
	Origin    string // where the row came from, "events.ndjson:17", or ""
	Hint      string
	Err       error
}

// Error returns the failure on one line.
func (f *Failure) Error() string {
	var b strings.Builder
	if at := f.Place.String(); at != "" {
		b.WriteString(at + ": ")
	}
	if f.Transform != "" {
		fmt.Fprintf(&b, "transform %q: ", f.Transform)
	}
	b.WriteString(f.Err.Error())
	if f.Origin != "" {
		b.WriteString(", at " + f.Origin)
	}
	if f.Row != "" {
		b.WriteString(", in row " + f.Row)
	}
	if f.Code != "" {
		fmt.Fprintf(&b, " [%s]", f.Code)
	}
	return b.String()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// ClassOf returns the class of err, User where it has none.
func ClassOf(err error) Class {
	var f *Failure
	if errors.As(err, &f) {
		return f.Class
	}
	return User
}
