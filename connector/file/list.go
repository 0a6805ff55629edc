package file

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// List returns the files that a path names, sorted, whether or not they can be read. An error is a *catalog.Problem at key.
//
// Patterns are those of Find. A folder stands for the files below it at any depth, but for hidden ones (names that begin
// with a dot, and all in a folder of such a name) and for links to folders. A folder in it that cannot be listed is itself
// returned, so that whoever reads the files meets the error.
func List(key, path string) ([]string, error) {
	if path == "" {
		return nil, &catalog.Problem{Key: key, Code: diag.BadValue, Text: "the path is empty", Hint: "Name a file, a folder, or a pattern such as data/*.jpg."}
	}
	_, err := os.Lstat(path)
	if err != nil && strings.ContainsAny(path, magic) {
		return listPattern(key, path)
	}
	if err != nil {
		p := unreadable(path, err)
		p.Key = key
		return nil, p
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return listFolder(key, path)
	}
	return []string{path}, nil
}

func listPattern(key, pattern string) ([]string, error) {
	paths, err := glob(pattern)
	if err != nil {
		return nil, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("%q is not a pattern: %v", pattern, err),
			Hint: "Write [[] for a bracket that is meant as such."}
	}
	if len(paths) == 0 {
		return nil, &catalog.Problem{Key: key, Code: diag.NoSuchFile, Text: fmt.Sprintf("no file matches %q", pattern), Hint: nearestFolder(pattern)}
	}
	return paths, nil
}

func listFolder(key, folder string) ([]string, error) {
	var found []string
	root := strings.TrimRight(folder, string(filepath.Separator)) + string(filepath.Separator) // so that a link is followed
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		hidden := path != root && strings.HasPrefix(e.Name(), ".")
		switch {
		case err != nil && path == root:
			return err
		case err != nil:
			found = append(found, path)
		case hidden && e.IsDir():
			return fs.SkipDir
		case !hidden && !isDir(path, e):
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		p := unreadable(folder, err)
		p.Key = key
		return nil, p
	}
	if len(found) == 0 {
		return nil, &catalog.Problem{Key: key, Code: diag.NoSuchFile, Text: fmt.Sprintf("no file is in the folder %q", folder),
			Hint: fmt.Sprintf("Hidden files are left out; %s finds them, too.", filepath.Join(folder, "**"))}
	}
	slices.Sort(found)
	return found, nil
}
