package diag

import (
	"fmt"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	place := func(text string, col, length int) Place {
		return Place{File: "filter.yaml", Line: 3, Col: col, Len: length, Text: text}
	}
	tests := []struct {
		name    string
		problem Problem
		want    string
	}{
		{"whole", Problem{Place: place("    - type: Creat", 13, 5), Code: UnknownTransform, Text: `no transform is named "Creat"`, Hint: `Did you mean "Create"?`},
			`filter.yaml:3:13: no transform is named "Creat" [LT0102]
     3 |     - type: Creat
       |             ^^^^^
  hint: Did you mean "Create"?
`},
		{"tabs are kept before the caret", Problem{Place: place("\ta\tb", 4, 1), Text: "x"},
			"filter.yaml:3:4: x\n     3 | \ta\tb\n       | \t \t^\n"},
		{"wide characters take two cells", Problem{Place: place("日本 x語", 4, 2), Text: "x"},
			"filter.yaml:3:4: x\n     3 | 日本 x語\n       |      ^^^\n"},
		{"combining characters take none", Problem{Place: place("e\u0301 x", 4, 1), Text: "x"},
			"filter.yaml:3:4: x\n     3 | e\u0301 x\n       |   ^\n"},
		{"a place behind the line", Problem{Place: place("ab", 5, 1), Text: "x"}, "filter.yaml:3:5: x\n     3 | ab\n       |     ^\n"},
		{"a line without a column", Problem{Place: place("ab", 0, 0), Text: "x"}, "filter.yaml:3: x\n     3 | ab\n"},
		{"escapes cannot colour the terminal", Problem{Place: place("a\x1b[31m", 1, 1), Text: "b\x1b[0m"},
			"filter.yaml:3:1: b\ufffd[0m\n     3 | a\ufffd[31m\n       | ^\n"},
		{"a warning with a note", Problem{Place: place("ab", 1, 2), Text: "x", Warning: true, Notes: []Note{{Place: place("cd", 2, 1), Text: "here"}, {Text: "there"}}},
			"filter.yaml:3:1: warning: x\n     3 | ab\n       | ^^\n  note: filter.yaml:3:2: here\n     3 | cd\n       |  ^\n  note: there\n"},
		{"no place", Problem{Text: "x", Code: Internal}, "x [LT0799]\n"},
	}
	for _, test := range tests {
		var b strings.Builder
		if err := Render(&b, &List{Problems: []*Problem{&test.problem}}, false); err != nil {
			t.Fatal(err)
		}
		if b.String() != test.want {
			t.Errorf("%s\n got:\n%s\nwant:\n%s", test.name, b.String(), test.want)
		}
	}
}

func TestRenderCutsLongLines(t *testing.T) {
	text := strings.Repeat("a", 1000) + "X" + strings.Repeat("b", 1000)
	var b strings.Builder
	if err := Render(&b, &List{Problems: []*Problem{{Place: Place{File: "f", Line: 1, Col: 1001, Text: text}, Text: "x"}}}, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if len([]rune(lines[1])) > 200 {
		t.Errorf("the excerpt has %d characters", len([]rune(lines[1])))
	}
	if at := len([]rune(lines[2])) - 1; []rune(lines[1])[at] != 'X' {
		t.Errorf("the caret does not point at X:\n%s\n%s", lines[1], lines[2])
	}
}

func TestRenderCap(t *testing.T) {
	var l List
	for i := range 70 {
		l.Warnf(Place{File: "f", Line: i + 1}, AmbiguousScalar, "warning %d", i)
	}
	for i := range 40 {
		l.Errorf(Place{File: "f", Line: i + 100}, BadYAML, "error %d", i)
	}
	var b strings.Builder
	if err := Render(&b, &l, false); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "[LT0101]"); n != 40 {
		t.Errorf("%d errors are shown, want all 40", n)
	}
	if n := strings.Count(b.String(), "[LT0109]"); n != 10 {
		t.Errorf("%d warnings are shown, want 10", n)
	}
	if want := fmt.Sprintf("%d more problems are not shown\n", 60); !strings.HasSuffix(b.String(), want) {
		t.Errorf("it does not end in %q", want)
	}
}

func TestRenderColor(t *testing.T) {
	var b strings.Builder
	if err := Render(&b, &List{Problems: []*Problem{{Place: Place{File: "f", Line: 1, Col: 1, Text: "a"}, Text: "x"}}}, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), red+"^"+plain) {
		t.Errorf("the caret has no colour: %q", b.String())
	}
}
