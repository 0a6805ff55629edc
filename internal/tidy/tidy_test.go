package tidy

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/leat-project/leat"
)

// source is a parsed Go file.
type source struct {
	path string // from the root, with slashes
	text []byte
	fset *token.FileSet
	file *ast.File
	test bool
}

// tree reads the checkout once.
var tree = sync.OnceValues(func() (texts map[string][]byte, err error) {
	texts = map[string][]byte{}
	err = filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			if p != root && (name == ".git" || rel == "bin" || rel == "tmp" || name == "corpus" || name == "fuzz") {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
			return err
		}
		text, err := os.ReadFile(p)
		if err == nil && !bytes.ContainsRune(text[:min(len(text), 8192)], 0) {
			texts[rel] = text
		}
		return err
	})
	return texts, err
})

func files(t *testing.T) map[string][]byte {
	t.Helper()
	texts, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	for p, text := range files(t) {
		if !strings.HasSuffix(p, ".go") || strings.Contains(p, "testdata/") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, source{path: p, text: text, fset: fset, file: f, test: strings.HasSuffix(p, "_test.go")})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].path < out[j].path })
	return out
}

func (s *source) at(p token.Pos) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(p).Line)
}

func TestLengths(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		if lines := bytes.Count(s.text, []byte("\n")); lines >= maxFileLines {
			t.Errorf("%s: has %d lines, wanted under %d: part it by subject", s.path, lines, maxFileLines)
		}
		if s.test || ast.IsGenerated(s.file) {
			continue
		}
		for name, lines := range functionLines(s.fset, s.file) {
			id := s.path + " " + name
			if lines <= maxFunctionLines {
				continue
			}
			if longFunctions[id] == "" {
				t.Errorf("%s: %s has %d lines, wanted at most %d: part it, or give a reason in longFunctions", s.path, name, lines, maxFunctionLines)
			}
			used[id] = true
		}
	}
	for id := range longFunctions {
		if !used[id] {
			t.Errorf("longFunctions: %q is short now: take it out", id)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, s := range sources(t) {
		formatted, err := format.Source(s.text)
		if err != nil || !bytes.Equal(formatted, s.text) {
			t.Errorf("%s: is not as gofmt writes it", s.path)
		}
	}
}

func TestNames(t *testing.T) {
	words := readWords(string(files(t)["docs/WORDS.md"]))
	if len(words) == 0 {
		t.Fatal("docs/WORDS.md: no table of words found")
	}
	instead := map[string]string{}
	for _, w := range words {
		for _, n := range w.not {
			instead[n] = w.say
		}
	}
	for _, s := range sources(t) {
		if name := s.file.Name.Name; bannedPackages[name] {
			t.Errorf("%s: a package called %q says nothing of what is inside", s.path, name)
		}
		for _, i := range s.file.Imports {
			imported, _ := strconv.Unquote(i.Path.Value)
			for banned, why := range bannedImports {
				if imported == banned || strings.HasPrefix(imported, banned+"/") {
					t.Errorf("%s: imports %q: %s", s.at(i.Pos()), imported, why)
				}
			}
		}
		if strings.HasPrefix(s.path, "expr/") {
			continue // Python has words of its own: operators, tuples
		}
		for _, d := range declared(s.file) {
			for _, w := range camelWords(d.Name) {
				if say := instead[w]; say != "" {
					t.Errorf("%s: %s says %q, wanted %q (docs/WORDS.md)", s.at(d.Pos()), d.Name, w, say)
				}
			}
		}
	}
}

// declared returns the names that a file declares at package level.
func declared(f *ast.File) []*ast.Ident {
	var out []*ast.Ident
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			out = append(out, d.Name)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					out = append(out, s.Name)
				case *ast.ValueSpec:
					out = append(out, s.Names...)
				}
			}
		}
	}
	return out
}

func TestComments(t *testing.T) {
	documented := map[string]bool{}
	packages := map[string]bool{}
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		if s.test {
			continue
		}
		packages[dir] = true
		documented[dir] = documented[dir] || s.file.Doc != nil
		for _, name := range undocumented(s.fset, s.file) {
			t.Errorf("%s: %s is exported and has no comment", s.at(name.Pos()), name.Name)
		}
	}
	for dir := range packages {
		if !documented[dir] {
			t.Errorf("%s: the package has no comment: what it is, what it is not, its main type", dir)
		}
	}
}

// TestDoc wants the root's doc.go to name every room, in a line with a link.
func TestDoc(t *testing.T) {
	doc := string(files(t)["doc.go"])
	_, rest, _ := strings.Cut(string(files(t)["docs/ARCHITECTURE.md"]), "```rooms\n")
	block, _, _ := strings.Cut(rest, "```")
	for line := range strings.Lines(block) {
		room, _, ok := strings.Cut(line, ":")
		room = strings.TrimSpace(room)
		if !ok || room == "internal" || room == "cmd" {
			continue
		}
		if !strings.Contains(doc, "["+module+"/"+room+"]") {
			t.Errorf("doc.go: does not name the room %q, as [%s/%s]", room, module, room)
		}
	}
}

// TestLinks resolves the relative links of every document.
func TestLinks(t *testing.T) {
	for p, text := range files(t) {
		if !strings.HasSuffix(p, ".md") {
			continue
		}
		for n, line := range strings.Split(string(text), "\n") {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				target, _, _ := strings.Cut(m[1], "#")
				if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				if _, err := os.Stat(filepath.Join(root, path.Dir(p), target)); err != nil {
					t.Errorf("%s:%d: the link %q leads nowhere", p, n+1, m[1])
				}
			}
		}
	}
}

func TestMachinePaths(t *testing.T) {
	for p, text := range files(t) {
		if p == "internal/tidy/tidy.go" {
			continue
		}
		for n, line := range strings.Split(string(text), "\n") {
			if machinePath.MatchString(line) {
				t.Errorf("%s:%d: a path of one machine: %s", p, n+1, strings.TrimSpace(line))
			}
		}
	}
}

// TestDependencies compares the table of docs/DEPENDENCIES.md with what the code imports.
func TestDependencies(t *testing.T) {
	var modules []string
	requirement := regexp.MustCompile(`(?m)^\s*(?:require\s+)?([a-z0-9.-]+\.[a-z]+/\S+)\s+v`)
	for _, m := range requirement.FindAllStringSubmatch(string(files(t)["go.mod"]), -1) {
		modules = append(modules, m[1])
	}
	direct := map[string]string{}
	for _, s := range sources(t) {
		for _, i := range s.file.Imports {
			imported, _ := strconv.Unquote(i.Path.Value)
			if m := moduleOf(imported, modules); m != "" {
				direct[m] = s.path
			}
		}
	}
	documented := map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	for _, m := range row.FindAllStringSubmatch(string(files(t)["docs/DEPENDENCIES.md"]), -1) {
		documented[m[1]] = true
		if direct[m[1]] == "" {
			t.Errorf("docs/DEPENDENCIES.md: nothing imports %q any more", m[1])
		}
	}
	for m, by := range direct {
		if !documented[m] {
			t.Errorf("docs/DEPENDENCIES.md: %q has no line; %s imports it", m, by)
		}
	}
}

// moduleOf returns the longest of the modules that a package can lie in.
func moduleOf(imported string, modules []string) string {
	best := ""
	for _, m := range modules {
		if (imported == m || strings.HasPrefix(imported, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

func TestCamelWords(t *testing.T) {
	if got, want := camelWords("maxDetailWidth"), []string{"max", "detail", "width"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUndocumented(t *testing.T) {
	const text = `package p
type A int
// B is one.
type B int
func (B) String() string { return "" }
func (B) Go() {}
// F and G are one group.
func F() {}
func G() {}

func H() {}
const ( C = 1 )
// Group.
const ( D = 1; E = 2 )
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range undocumented(fset, f) {
		got = append(got, name.Name)
	}
	if want := []string{"A", "Go", "H", "C"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestDifferences wants a case of the specification for each line of docs/DIFFERENCES.md, and a line for each case.
func TestDifferences(t *testing.T) {
	numbers := func(file, pattern string) []string {
		var out []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(files(t)[file]), -1) {
			out = append(out, m[1])
		}
		return out
	}
	listed := numbers("docs/DIFFERENCES.md", `(?m)^\| (D\d+) \|`)
	tested := numbers("spec/differences.txt", `(?m)^=== (D\d+): `)
	if len(listed) == 0 || !slices.Equal(listed, tested) {
		t.Errorf("docs/DIFFERENCES.md lists %v, spec/differences.txt has cases for %v", listed, tested)
	}
}
