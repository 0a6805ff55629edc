package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Find returns the files that a pattern names, sorted, having made sure that each can be read. An error is a
// *catalog.Problem at key, or several of them joined.
//
// Patterns are Beam's: * matches within a folder, ** across folders, ? one character, [ab] and [!ab] one character that
// is, or is not, among those. A file that is really called as the pattern is itself. Unfinished output of leat's is
// not found.
func Find(key, pattern string) ([]string, error) {
	if pattern == "" {
		return nil, &catalog.Problem{Key: key, Code: diag.BadValue, Text: "the path is empty", Hint: "Name a file, or a pattern such as data/*.json."}
	}
	paths := []string{pattern}
	if _, err := os.Stat(pattern); err != nil && strings.ContainsAny(pattern, magic) {
		if paths, err = glob(pattern); err != nil {
			return nil, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("%q is not a pattern: %v", pattern, err),
				Hint: "Write [[] for a bracket that is meant as such."}
		}
		if len(paths) == 0 {
			return nil, &catalog.Problem{Key: key, Code: diag.NoSuchFile, Text: fmt.Sprintf("no file matches %q", pattern), Hint: nearestFolder(pattern)}
		}
	}
	var errs []error
	for _, path := range paths {
		if p := readable(path); p != nil && len(errs) < maxUnreadable {
			p.Key = key
			errs = append(errs, p)
		}
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return paths, errors.Join(errs...)
}

// maxUnreadable is how many files that cannot be read are told at once.
const maxUnreadable = 10

// readable returns nil where the file can be read.
func readable(path string) *catalog.Problem {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return unreadable(path, err)
	case info.IsDir():
		return &catalog.Problem{Code: diag.BadFile, Text: fmt.Sprintf("%q is a folder", path),
			Hint: fmt.Sprintf("Name its files: %s", filepath.Join(path, "*"))}
	case !info.Mode().IsRegular():
		return nil // to open a pipe, even for a moment, is to disturb its writer
	}
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	f.Close()
	return nil
}

// unreadable says why a file cannot be read, and what might help.
func unreadable(path string, err error) *catalog.Problem {
	p := &catalog.Problem{Key: "path", Code: diag.BadFile, Text: fmt.Sprintf("cannot read %q: %v", path, cause(err))}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Code, p.Text, p.Hint = diag.NoSuchFile, fmt.Sprintf("no file %q", path), nearest(path)
	case errors.Is(err, fs.ErrPermission):
		p.Hint = "Give yourself the permission to read it."
	}
	return p
}

// cause is the reason without the operation and the path, which the message has already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// nearest hints at a file of a like name in the same folder, or at the first folder that is missing.
func nearest(path string) string {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nearestFolder(path)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if near := diag.Suggest(filepath.Base(path), names); near != "" {
		return fmt.Sprintf("Did you mean %q?", filepath.Join(dir, near))
	}
	if working, err := os.Getwd(); err == nil && !filepath.IsAbs(path) {
		return fmt.Sprintf("Relative paths begin at the working directory, %q.", working)
	}
	return ""
}

// nearestFolder says which folder of a path, or of what comes before the wildcards of a pattern, is missing.
func nearestFolder(path string) string {
	dir := filepath.Dir(path)
	if i := strings.IndexAny(path, magic); i >= 0 {
		dir = filepath.Dir(path[:i] + "x")
	}
	missing := ""
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		missing, dir = dir, filepath.Dir(dir)
	}
	if missing == "" {
		return "The folder is there, but no file in it has such a name."
	}
	return fmt.Sprintf("There is no folder %q.", missing)
}

// glob returns the files that match, sorted. Folders that cannot be read have no files to offer.
func glob(pattern string) ([]string, error) {
	g, err := compileGlob(pattern)
	if err != nil {
		return nil, err
	}
	var found []string
	var visit func(dir string, level int)
	visit = func(dir string, level int) {
		list := dir
		if list == "" {
			list = "."
		}
		entries, err := os.ReadDir(list)
		if err != nil {
			return
		}
		for _, e := range entries {
			path := dir + e.Name()
			switch folder := isDir(path, e); {
			case folder && g.enters(e, level):
				visit(path+string(filepath.Separator), level+1)
			case !folder && !strings.HasPrefix(e.Name(), temporary) && g.match.MatchString(path):
				found = append(found, path)
			}
		}
	}
	visit(g.root, 0)
	slices.Sort(found)
	return found, nil
}
