package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"
	"unicode"
)

// limit is a named constant that bounds something.
type limit struct {
	room, name, value, doc string
}

// limitPage lists the constants of the rooms that are called Max… or Default…: everything has a limit with a name.
func limitPage(root string) (string, error) {
	var all []limit
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "cmd" || name == "internal" || name == "testdata" || name == "bin") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		found, err := limitsIn(path, filepath.ToSlash(rel))
		all = append(all, found...)
		return err
	})
	if err != nil {
		return "", err
	}
	sort.Slice(all, func(i, j int) bool { return all[i].room+"."+all[i].name < all[j].room+"."+all[j].name })
	var b strings.Builder
	b.WriteString("# Limits\n\n" + generated + "Everything has a limit with a name and a default.\n\n| Limit | Value | What |\n|---|---|---|\n")
	for _, l := range all {
		fmt.Fprintf(&b, "| `%s.%s` | `%s` | %s |\n", l.room, l.name, l.value, l.doc)
	}
	return b.String(), nil
}

func limitsIn(path, room string) ([]limit, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var out []limit
	for _, d := range file.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, s := range group.Specs {
			spec := s.(*ast.ValueSpec)
			if len(spec.Values) != 1 || !isLimit(spec.Names[0].Name) {
				continue
			}
			var value bytes.Buffer
			if err := printer.Fprint(&value, fset, spec.Values[0]); err != nil {
				return nil, err
			}
			out = append(out, limit{room: room, name: spec.Names[0].Name, value: value.String(), doc: comment(spec, group)})
		}
	}
	return out, nil
}

// isLimit reports whether a name is that of a limit: MaxDepth, maxDepth, DefaultBatchRows.
func isLimit(name string) bool {
	for _, prefix := range []string{"Max", "max", "Default", "default"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && unicode.IsUpper([]rune(rest)[0]) {
			return true
		}
	}
	return false
}

// comment is what is said of a constant, in one line.
func comment(spec *ast.ValueSpec, group *ast.GenDecl) string {
	for _, c := range []*ast.CommentGroup{spec.Comment, spec.Doc, group.Doc} {
		if c != nil {
			text := strings.Join(strings.Fields(c.Text()), " ")
			return strings.ReplaceAll(text, "|", `\|`)
		}
	}
	return ""
}
