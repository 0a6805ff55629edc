// Package tidy keeps the rules of style that a machine can keep: its test fails where one is broken, and says what to
// do. It has no use outside tests.
package tidy

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

// The limits of a file and of a function, in lines: a function fits a screen.
const (
	maxFileLines     = 1000
	maxFunctionLines = 80
)

// longFunctions are allowed to be longer, each for a reason.
var longFunctions = map[string]string{}

// bannedPackages are names that say nothing of what is inside.
var bannedPackages = map[string]bool{"util": true, "utils": true, "common": true, "helper": true, "helpers": true, "misc": true, "manager": true, "base": true}

// bannedImports are packages that the project does without.
var bannedImports = map[string]string{
	"github.com/stretchr/testify": "tests compare with plain Go",
	"github.com/onsi/gomega":      "tests compare with plain Go",
	"github.com/onsi/ginkgo":      "tests are plain Go",
	"github.com/pkg/errors":       "fmt.Errorf wraps errors",
	"io/ioutil":                   "os and io have what it had",
}

// machinePath finds paths that exist on one person's machine only.
var machinePath = regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])(/work/|/root/|/home/[a-z]|/Users/[a-z]|[A-Z]:\\Users)`)

// link finds the target of a Markdown link.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// functionLines returns the name and length of each function of a file.
func functionLines(fset *token.FileSet, f *ast.File) map[string]int {
	out := map[string]int{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			out[functionName(fn)] = fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
		}
	}
	return out
}

// functionName is Type.Method or Function.
func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	return receiver(fn.Recv.List[0].Type) + "." + fn.Name.Name
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// undocumented returns the exported identifiers of a file that have no comment. In a group of constants, variables or
// functions of one line each, one comment above them will do; methods that implement well-known interfaces need none.
func undocumented(fset *token.FileSet, f *ast.File) []*ast.Ident {
	var out []*ast.Ident
	grouped := 0 // the line after a documented function of one line
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			first, last := fset.Position(d.Pos()).Line, fset.Position(d.End()).Line
			documented := d.Doc != nil || first == grouped
			if documented && first == last {
				grouped = last + 1
			}
			if d.Name.IsExported() && !documented && (d.Recv == nil || !wellKnown[d.Name.Name] && ast.IsExported(receiver(d.Recv.List[0].Type))) {
				out = append(out, d.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						out = append(out, s.Name)
					}
				case *ast.ValueSpec:
					if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						out = append(out, s.Names[0])
					}
				}
			}
		}
	}
	return out
}

// wellKnown are methods whose meaning everybody knows.
var wellKnown = map[string]bool{"Error": true, "Kind": true, "Unwrap": true, "String": true, "Close": true, "Len": true, "Less": true, "Swap": true, "Read": true, "Write": true}

// word is a term of docs/WORDS.md, with the names that must not be used in its place.
type word struct {
	say string
	not []string
}

// readWords reads the table of docs/WORDS.md: | Say | Meaning | Not |.
func readWords(markdown string) []word {
	var out []word
	for line := range strings.Lines(markdown) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(strings.TrimSpace(cells[0]), "--") || strings.TrimSpace(cells[0]) == "Say" {
			continue
		}
		w := word{say: strings.Trim(strings.TrimSpace(cells[0]), "*")}
		for _, n := range strings.Split(cells[2], ",") {
			if n = strings.TrimSpace(n); n != "" {
				w.not = append(w.not, strings.ToLower(n))
			}
		}
		out = append(out, w)
	}
	return out
}

// camelWords splits an identifier: maxDetailWidth gives max, detail, width.
func camelWords(name string) []string {
	var out []string
	start := 0
	for i := 1; i <= len(name); i++ {
		if i == len(name) || name[i] >= 'A' && name[i] <= 'Z' || name[i] == '_' {
			if w := strings.ToLower(strings.Trim(name[start:i], "_")); w != "" {
				out = append(out, w)
			}
			start = i
		}
	}
	return out
}
