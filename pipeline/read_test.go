package pipeline

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// TestResolve: unquoted scalars are read as PyYAML's SafeLoader reads them. The answers are the reference's own.
func TestResolve(t *testing.T) {
	tests := []struct {
		text      string
		want      any
		surprises bool
	}{
		{"", nil, false}, {"~", nil, false}, {"null", nil, false}, {"Null", nil, false}, {"nULL", "nULL", false},
		{"true", true, false}, {"False", false, false}, {"tRUE", "tRUE", false},
		{"yes", true, true}, {"No", false, true}, {"ON", true, true}, {"off", false, true}, {"y", "y", false}, {"n", "n", false}, {"yEs", "yEs", false},
		{"0", int64(0), false}, {"-0", int64(0), false}, {"12", int64(12), false}, {"+12", int64(12), false}, {"1_000", int64(1000), false},
		{"012", int64(10), true}, {"-012", int64(-10), true}, {"08", "08", false}, {"0x1F", int64(31), false}, {"-0x1f", int64(-31), false}, {"0b101", int64(5), false},
		{"0o17", "0o17", false}, {"1:30", int64(90), true}, {"-1:30", int64(-90), true}, {"1:30:00", int64(5400), true}, {"1:60", "1:60", false}, {"1:30.5", 90.5, true},
		{"9223372036854775807", int64(math.MaxInt64), false}, {"-9223372036854775808", int64(math.MinInt64), false}, {"9223372036854775808", 9223372036854775808.0, false},
		{"1.5", 1.5, false}, {"1.", 1.0, false}, {".5", 0.5, false}, {"-1.5", -1.5, false}, {"-.5", "-.5", false}, {"1.5e3", "1.5e3", true}, {"1.5e+3", 1500.0, false},
		{"1e5", "1e5", true}, {"1e-3", "1e-3", true}, {".inf", math.Inf(1), false}, {"-.INF", math.Inf(-1), false}, {"inf", "inf", false}, {"nan", "nan", false},
		{"2024-01-01", "2024-01-01", true}, {"2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z", true}, {"2024-1-1", "2024-1-1", false},
		{"1.2.3", "1.2.3", false}, {"a", "a", false}, {"-", "-", false}, {"+", "+", false}, {"=", "=", false}, {"_1", "_1", false}, {".", ".", false},
	}
	for _, test := range tests {
		got, surprise := resolve(test.text)
		if got != test.want || (surprise != "") != test.surprises {
			t.Errorf("resolve(%q) = %v (%T), surprise %q; want %v (%T), surprise %v", test.text, got, got, surprise, test.want, test.want, test.surprises)
		}
	}
	if f, _ := resolve(".NaN"); !math.IsNaN(f.(float64)) {
		t.Errorf("resolve(.NaN) = %v", f)
	}
}

// TestSpans: each letter of a scalar's value is found where it is written.
func TestSpans(t *testing.T) {
	tests := []string{
		"k: plain",
		"k: plain  # comment",
		"k: two\n  lines\n  of it\nz: 1",
		"k: two\n\n  parts\n\n\n  of\nz: 1",
		"k: 'single'",
		"k: 'it''s a''b'",
		"k: 'two\n  lines\n\n  more'",
		`k: "double"`,
		`k: "a\"b\\c\td\u00e9e\x41f"`,
		"k: \"two\n  lines\n\n  more\"",
		"k: \"esc\\\n   aped \\\n  breaks\"",
		"k: |\n  literal\n    more\n\n  end\nz: 1",
		"k: |-\n  strip\n  it\n",
		"k: |2\n    indented\n  less\n",
		"k: |\n\n\n  late\n",
		"k: >\n  folded\n  text\n\n  para\n    code\n    more\n  end\nz: 1",
		"k: >-\n  strip\n  it\n",
		"k: >1\n   indented\n less\n",
		"k:\n  - below",
		"k:\n  below\n  it",
		"k: &anchor value",
		"k: !!str value",
		"k: &a !!str 'val'",
		"k: {f: in flow, g: [and, lists]}",
		"k: 日本語 ab",
		"k: '日本 ''語'",
		"k: \"日\\t本\"",
		"k: |\n  日本\n  ab",
		"? complex\n: k",
		"k: |\r\n  crlf\r\n  line\r\nz: 'a\r\n  b'\r\n",
	}
	for _, text := range tests {
		var problems diag.List
		root := readYAML("f.yaml", []byte(text), &problems)
		if root == nil || problems.Failed() {
			t.Errorf("%q cannot be read: %v", text, problems.Problems)
			continue
		}
		lines := splitLines(text)
		n := 0
		eachScalar(root, func(v *catalog.Value) {
			s, _ := v.Data.(string)
			for i, c := range s {
				if c == ' ' || c == '\n' || c == '\t' || c == '"' || c == '\'' || c == '\\' || c == 'é' || c == 'A' {
					continue // may be written otherwise
				}
				n++
				p := v.Span.At(s, i, i+utf8.RuneLen(c))
				if p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > utf8.RuneCountInString(lines[p.Line-1]) ||
					[]rune(lines[p.Line-1])[p.Col-1] != c {
					t.Errorf("%q: %q at byte %d of %q is placed at %d:%d", text, c, i, s, p.Line, p.Col)
					return
				}
			}
		})
		if n == 0 {
			t.Errorf("%q has no letters to look for", text)
		}
	}
}

func eachScalar(v *catalog.Value, f func(*catalog.Value)) {
	switch d := v.Data.(type) {
	case []*catalog.Value:
		for _, e := range d {
			eachScalar(e, f)
		}
	case *catalog.Map:
		for _, e := range d.Entries {
			eachScalar(e.Value, f)
		}
	default:
		f(v)
	}
}

func TestMergeKeys(t *testing.T) {
	var problems diag.List
	root := readYAML("f.yaml", []byte("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 0}\nd: {<<: *b}\ne: {'<<': 1}\n"), &problems)
	if problems.Failed() {
		t.Fatal(problems.Problems[0])
	}
	if got, want := fmt.Sprint(root.Get("c").Plain()), "map[x:0 y:2 z:4]"; got != want {
		t.Errorf("c is %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(root.Get("d").Plain()), "map[y:3 z:4]"; got != want {
		t.Errorf("d is %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(root.Get("e").Plain()), "map[<<:1]"; got != want {
		t.Errorf("e is %s, want %s", got, want)
	}
}

func TestLimits(t *testing.T) {
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 10 {
		laughs += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	tests := []struct{ name, text, want string }{
		{"aliases", laughs, "more than 1048576 values"},
		{"flow nesting", strings.Repeat("[", MaxDepth+10) + strings.Repeat("]", MaxDepth+10), "nested deeper than 100"},
		{"deep flow nesting", strings.Repeat("[", 200_000), ""},
		{"block nesting", strings.Repeat("- ", MaxDepth+10) + "x", "nested deeper than 100"},
		{"deep maps", strings.Repeat("? ", 50_000) + "x", ""},
		{"not UTF-8", "a: \xff\xfe", "is not UTF-8"},
		{"control character", "a: \x01", "control character"},
		{"size", strings.Repeat("#", MaxFileBytes+1), "at most 16777216"},
	}
	for _, test := range tests {
		var problems diag.List
		readYAML("f.yaml", []byte(test.text), &problems)
		if len(problems.Problems) == 0 || !strings.Contains(problems.Problems[0].Text, test.want) {
			t.Errorf("%s: problems %v, want %q", test.name, problems.Problems, test.want)
		}
		if len(problems.Problems) > 50 {
			t.Errorf("%s: %d problems", test.name, len(problems.Problems))
		}
	}
}

// FuzzReadYAML: no text panics, places lie within the text, and letters are where spans say.
func FuzzReadYAML(f *testing.F) {
	for _, seed := range []string{"a: 1", "a: |\n  b\n c", "a: \"\\u00e9\\\n x\"", "a: 'b''c\n\n d'", "&a [*a, {<<: *a}]", "a: >\n b\n\n  c", "? [a]\n: b", "---\na\n---\nb",
		"a: !!int x", "- - - 012\n- yes\n- 1:30"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var problems diag.List
		root := readYAML("f.yaml", []byte(text), &problems)
		lines := splitLines(strings.TrimPrefix(text, "\ufeff"))
		for _, p := range problems.Problems {
			if p.Place.Line > len(lines) || p.Place.Line < 0 {
				t.Errorf("a problem at line %d of %d: %v", p.Place.Line, len(lines), p)
			}
		}
		if root == nil {
			if !problems.Failed() {
				t.Error("no value and no problem")
			}
			return
		}
		eachScalar(root, func(v *catalog.Value) {
			s, _ := v.Data.(string)
			last := -1
			for _, m := range v.Span.Marks {
				if m.Offset <= last && last >= 0 || m.Offset > len(v.Raw) || m.Place.Line < 1 || m.Place.Line > len(lines) {
					t.Errorf("a mark at byte %d, line %d of %q", m.Offset, m.Place.Line, v.Raw)
				}
				last = m.Offset
			}
			for i := range s {
				v.Span.At(s, i, i+1)
			}
		})
	})
}
