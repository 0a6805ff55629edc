package library

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
)

// preloadOrder lists the files of a folder that the library and its execution providers need, each after what it needs
// itself. ONNX Runtime and its providers are not among them: it loads these by itself. Only ELF files tell; elsewhere
// the list is empty, and the loader looks in the library's own folder.
func preloadOrder(dir, library string) ([]string, error) {
	if !strings.Contains(library, ".so") {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	g := graph{dir: dir, library: library, present: map[string]bool{}, seen: map[string]bool{}}
	roots := []string{library}
	for _, e := range entries {
		if e.IsDir() || !isLibrary(e.Name()) {
			continue
		}
		g.present[e.Name()] = true
		if isProvider(e.Name()) {
			roots = append(roots, e.Name())
		}
	}
	for _, root := range roots {
		if err := g.visit(root); err != nil {
			return nil, err
		}
	}
	return g.order, nil
}

// graph walks the dependencies among the libraries of one folder.
type graph struct {
	dir     string
	library string // ONNX Runtime itself
	present map[string]bool
	seen    map[string]bool
	order   []string // each after what it needs
}

// visit appends a library's dependencies, and then the library. A circle, which loaders allow, is cut where it closes.
func (g *graph) visit(name string) error {
	if g.seen[name] {
		return nil
	}
	g.seen[name] = true
	needed, err := neededBy(filepath.Join(g.dir, name))
	if err != nil {
		return err
	}
	for _, n := range needed {
		if g.present[n] && !isSystem(n) {
			if err := g.visit(n); err != nil {
				return err
			}
		}
	}
	if name != g.library && !isProvider(name) {
		g.order = append(g.order, name)
	}
	return nil
}

// neededBy reads the DT_NEEDED entries of an ELF file. A file of another format, or a broken one, has none to tell; the
// loader will say what is wrong with it.
func neededBy(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	object, err := elf.NewFile(f)
	if err != nil {
		return nil, nil
	}
	needed, err := object.ImportedLibraries()
	if err != nil {
		return nil, nil
	}
	return needed, nil
}
