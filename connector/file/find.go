package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Find returns the files that a pattern names, sorted. *, ? and [...] match within a folder, ** any number of folders.
// Hidden files are not matched by a pattern that does not name the dot. An error is a *catalog.Problem at key.
func Find(key, pattern string) ([]string, error) {
	if pattern == "" {
		return nil, &catalog.Problem{Key: key, Code: diag.BadValue, Text: "the path is empty", Hint: "Name a file, or a pattern such as data/*.json."}
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return findOne(key, pattern)
	}
	paths, err := glob(pattern)
	if err != nil {
		return nil, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("%q is not a pattern: %v", pattern, err), Hint: "Write [[] for a bracket that is meant as such."}
	}
	if len(paths) == 0 {
		return nil, &catalog.Problem{Key: key, Code: diag.NoSuchFile, Text: fmt.Sprintf("no file matches %q", pattern), Hint: nearest(pattern)}
	}
	sort.Strings(paths)
	return paths, nil
}

func findOne(key, path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &catalog.Problem{Key: key, Code: diag.NoSuchFile, Text: fmt.Sprintf("no file %q", path), Hint: nearest(path)}
	case err != nil:
		return nil, &catalog.Problem{Key: key, Code: diag.BadFile, Text: fmt.Sprintf("cannot read %q: %v", path, cause(err))}
	case info.IsDir():
		return nil, &catalog.Problem{Key: key, Code: diag.BadFile, Text: fmt.Sprintf("%q is a folder", path),
			Hint: fmt.Sprintf("Name its files: %s", filepath.Join(path, "*"))}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &catalog.Problem{Key: key, Code: diag.BadFile, Text: fmt.Sprintf("cannot read %q: %v", path, cause(err))}
	}
	return []string{path}, f.Close()
}

// cause is the reason without the operation and the path, which the message has already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// nearest hints at a file of a like name in the same folder, or at the first folder that is missing.
func nearest(path string) string {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		if strings.ContainsAny(dir, "*?[") {
			return ""
		}
		return fmt.Sprintf("There is no folder %q.", dir)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if near := diag.Suggest(filepath.Base(path), names); near != "" {
		return fmt.Sprintf("Did you mean %q?", filepath.Join(dir, near))
	}
	return ""
}

// glob is filepath.Glob with ** and without folders.
func glob(pattern string) ([]string, error) {
	before, after, deep := strings.Cut(pattern, "**")
	if !deep {
		found, err := filepath.Glob(pattern)
		return onlyFiles(found, pattern), err
	}
	roots, err := filepath.Glob(filepath.Dir(before + "x"))
	if err != nil {
		return nil, err
	}
	after = strings.TrimPrefix(after, string(filepath.Separator))
	seen := map[string]bool{}
	var found []string
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil // a folder that cannot be read has no files to offer
			}
			inner, err := glob(filepath.Join(path, after))
			for _, p := range inner {
				if !seen[p] {
					seen[p] = true
					found = append(found, p)
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func onlyFiles(paths []string, pattern string) []string {
	files := paths[:0]
	hidden := strings.HasPrefix(filepath.Base(pattern), ".")
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && !info.IsDir() && (hidden || !strings.HasPrefix(filepath.Base(p), ".")) {
			files = append(files, p)
		}
	}
	return files
}
