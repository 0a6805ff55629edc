package transform

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// MatchAll lists the files that patterns match.
var MatchAll = catalog.AddTransform(catalog.Transform{
	Name:    "MatchAll",
	Summary: "Lists the files that a pattern in each row matches.",
	Doc: `
Each file gives a row of "path", "size_in_bytes" and "last_updated_in_seconds" (since 1970-01-01 UTC), by path. In a pattern * is any text without a
slash, ** any text, ? any character and [abc] one of several. Relative patterns count from the working directory.

A pattern that matches nothing gives no row, or is an error of the row where "empty_match_treatment" does not allow it. Time and
windows are those of the row with the pattern.
`,
	Source: beamRef + "#matchall",
	Fields: []catalog.Field{
		{Name: "file_pattern", Type: catalog.Text, Doc: "The field that holds the pattern; not needed where there is one field."},
		{Name: "empty_match_treatment", Type: catalog.Text, Enum: emptyTreatments, Default: "ALLOW",
			Doc: "Whether a pattern may match nothing: always, never, or only where it has wildcards."},
	},
	Errors: true,
	Example: `
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{pattern: "no/such/place/*.csv"}]
    - type: MatchAll
      config:
        file_pattern: pattern
    - type: AssertEqual
      config:
        elements: []
`,
	Lower: lowerMatchAll,
})

var emptyTreatments = []string{"ALLOW", "DISALLOW", "ALLOW_IF_WILDCARD"}

func lowerMatchAll(l *catalog.Lowering) catalog.Outputs {
	in := l.Schema()
	at := 0
	switch name := l.Config.Get("file_pattern").Text(); {
	case name != "":
		if at = in.Index(name); at < 0 {
			unknownField(l, placeOf(l, "file_pattern"), name)
			return failed()
		}
	case len(in) != 1:
		l.Problems.Errorf(l.Place, diag.MissingKey, "the input has %d fields, so \"file_pattern\" has to name the one with the pattern", len(in)).Hint =
			"Fields: " + strings.Join(in.Names(), ", ") + "."
		return failed()
	}
	treatment := l.Config.Get("empty_match_treatment").Text()
	if treatment == "" {
		treatment = emptyTreatments[0]
	}
	files := column.Schema{
		{Name: "path", Type: column.StringType}, {Name: "size_in_bytes", Type: column.IntType},
		{Name: "last_updated_in_seconds", Type: column.FloatType.OrNull()},
	}
	n := l.Builder.Call(l.Main(), "MatchAll", map[string]any{"empty_match_treatment": treatment}, expr.FieldRef(in[at]), files)
	return catalog.Main(n.Main(), n)
}

var _ = catalog.AddConnector(catalog.Connector{
	Name: "MatchAll",
	Caller: func(config map[string]any) (catalog.Caller, error) {
		treatment, _ := config["empty_match_treatment"].(string)
		return &matcher{treatment: treatment}, nil
	},
})

type matcher struct {
	treatment string
}

var _ catalog.Caller = (*matcher)(nil)

// Call returns the files that the pattern matches, by path.
func (m *matcher) Call(ctx context.Context, arg column.Value) ([]*column.RowValue, error) {
	if arg == nil {
		return nil, &expr.Exception{Class: "TypeError", Msg: "wanted a file pattern, found None"}
	}
	pattern := expr.Str(arg)
	files, err := matchFiles(ctx, pattern)
	if err != nil {
		return nil, &expr.Exception{Class: "BeamIOError", Msg: fmt.Sprintf("Match operation failed for %s: %v", pattern, err)}
	}
	if len(files) == 0 && (m.treatment == "DISALLOW" || m.treatment == "ALLOW_IF_WILDCARD" && !strings.Contains(pattern, "*")) {
		return nil, &expr.Exception{Class: "BeamIOError", Msg: "Empty match for pattern " + pattern + ". Disallowed."}
	}
	return files, nil
}

// wildcards are the characters that make a path a pattern.
const wildcards = "*?["

func matchFiles(ctx context.Context, pattern string) ([]*column.RowValue, error) {
	if strings.HasSuffix(pattern, "/") {
		pattern += "*"
	}
	first := strings.IndexAny(pattern, wildcards)
	if first < 0 {
		info, err := os.Stat(pattern)
		if err != nil {
			return nil, nil // as a pattern it matches nothing
		}
		return []*column.RowValue{fileRow(pattern, info)}, nil
	}
	matches, err := regexp.Compile(patternRegexp(pattern))
	if err != nil {
		return nil, err
	}
	// Every match lies under the directory that stands before the first wildcard.
	dir := pattern[:strings.LastIndex(pattern[:first], "/")+1]
	root := filepath.Clean(dir + ".")
	deep := strings.Contains(pattern, "**")
	var files []*column.RowValue
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || path == root {
			return nil // a directory that is not there or cannot be read holds no match
		}
		below, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := dir + filepath.ToSlash(below)
		if d.IsDir() {
			if !deep && strings.Count(name, "/") >= strings.Count(pattern, "/") {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := os.Stat(path); err == nil && !info.IsDir() && matches.MatchString(name) {
			files = append(files, fileRow(name, info))
		}
		return nil
	})
	sort.Slice(files, func(i, j int) bool { return files[i].Elems[0].(string) < files[j].Elems[0].(string) })
	return files, err
}

func fileRow(path string, info fs.FileInfo) *column.RowValue {
	return &column.RowValue{Names: []string{"path", "size_in_bytes", "last_updated_in_seconds"},
		Elems: []column.Value{path, info.Size(), float64(info.ModTime().UnixNano()) / 1e9}}
}

// patternRegexp translates a file pattern as Beam does.
func patternRegexp(pattern string) string {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); {
		c, size := utf8.DecodeRuneInString(pattern[i:])
		i += size
		switch c {
		case '*':
			if i < len(pattern) && pattern[i] == '*' {
				i++
				b.WriteString(".*")
			} else {
				b.WriteString(`[^/\\]*`)
			}
		case '?':
			b.WriteString(".")
		case '[':
			end := classEnd(pattern, i)
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			b.WriteString(classRegexp(pattern[i:end]))
			i = end + 1
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString(`\z`)
	return b.String()
}

// classEnd returns where the class that begins at from ends, or -1.
func classEnd(pattern string, from int) int {
	j := from
	if j < len(pattern) && pattern[j] == '!' {
		j++
	}
	if j < len(pattern) && pattern[j] == ']' {
		j++
	}
	if end := strings.IndexByte(pattern[min(j, len(pattern)):], ']'); end >= 0 {
		return j + end
	}
	return -1
}

func classRegexp(class string) string {
	class = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`).Replace(class)
	switch {
	case strings.HasPrefix(class, "!"):
		class = "^" + class[1:]
	case strings.HasPrefix(class, "^"):
		class = `\` + class
	}
	return "[" + class + "]"
}
