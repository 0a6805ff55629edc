package file

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// magic are the characters that make a path a pattern.
const magic = "*?["

// pattern is a glob in the form that a walk needs.
type pattern struct {
	root  string // the folder where the walk begins, with its separator; "": the working directory
	depth int    // how many folders below root a match can lie
	deep  bool   // ** matches at any depth
	match *regexp.Regexp
}

func compileGlob(text string) (*pattern, error) {
	match, err := regexp.Compile(translate(text))
	if err != nil {
		return nil, err
	}
	before := text[:strings.IndexAny(text, magic)]
	root := before[:strings.LastIndexByte(before, filepath.Separator)+1]
	return &pattern{root: root, match: match, deep: strings.Contains(text, "**"),
		depth: strings.Count(text[len(root):], string(filepath.Separator))}, nil
}

// enters reports whether a walk goes into a folder that is that many levels below the root. Links to folders are
// followed, but under **, where they could lead in circles.
func (g *pattern) enters(e fs.DirEntry, level int) bool {
	if g.deep {
		return e.Type()&fs.ModeSymlink == 0
	}
	return level < g.depth
}

// isDir reports whether a path is a folder, or a link to one.
func isDir(path string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// translate returns the regular expression of a glob.
func translate(glob string) string {
	const within = `[^/\\]`
	var b strings.Builder
	b.WriteString(`\A(?s:`)
	for i := 0; i < len(glob); {
		switch c := glob[i]; {
		case strings.HasPrefix(glob[i:], "**"):
			b.WriteString(".*")
			i += 2
		case c == '*':
			b.WriteString(within + "*")
			i++
		case c == '?':
			b.WriteString(within)
			i++
		case c == '[':
			class, n := class(glob[i:])
			b.WriteString(class)
			i += n
		default:
			n := strings.IndexAny(glob[i:], magic)
			if n < 0 {
				n = len(glob) - i
			}
			b.WriteString(regexp.QuoteMeta(glob[i : i+n]))
			i += n
		}
	}
	b.WriteString(`)\z`)
	return b.String()
}

// class translates the [...] that glob begins with, and returns its length. A bracket that is not closed stands for itself.
func class(glob string) (string, int) {
	from, not := 1, ""
	if strings.HasPrefix(glob[from:], "!") {
		from, not = 2, "^"
	}
	if from >= len(glob) {
		return `\[`, 1
	}
	n := strings.IndexByte(glob[from+1:], ']') // a bracket that comes first is a member
	if n < 0 {
		return `\[`, 1
	}
	to := from + 1 + n
	members := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(glob[from:to])
	return "[" + not + members + "]", to + 1
}
