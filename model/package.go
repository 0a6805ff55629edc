package model

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/models"
)

// Package is a model package. It may be used by many goroutines at once.
type Package struct {
	Name   string // how its user names it
	Dir    string // its folder on disk; "" where it is part of the binary
	Config *Config

	fsys   fs.FS
	file   string            // the one ONNX file that was named, instead of a folder
	graphs map[string]string // files by role
	id     func() (string, error)

	mu   sync.Mutex
	read map[string]*GraphFile // by role: what has been read
}

// Options choose among the files of a package.
type Options struct {
	File  string // of the graph, relative to the package
	DType string // a variant by its name in file names: fp32, fp16, q8, int8, uint8, q4, q4f16, bnb4
}

// ModelRole is the role of the graph of a package that has but one.
const ModelRole = "model"

// Limits on the files of a package.
const (
	MaxConfigBytes = 64 << 20 // of config.json, tokenizer.json and other files that are read whole
	MaxFiles       = 10_000   // of a package
	MaxGraphBytes  = 2 << 30  // of an ONNX file; protobuf allows no more. External data may be larger
)

// variants are the endings of file names by dtype, as exporters for the Hub write them.
var variants = map[string]string{"fp32": "", "fp16": "_fp16", "q8": "_quantized", "int8": "_int8", "uint8": "_uint8", "q4": "_q4",
	"q4f16": "_q4f16", "bnb4": "_bnb4"}

// Open opens the package that ref names: a folder in Hugging Face layout, an .onnx file, or a model that comes with leat. It
// reads config.json and looks for the graphs' files, which are not read yet.
func Open(ref string, o Options) (*Package, error) {
	p := &Package{Name: ref}
	info, err := os.Stat(ref)
	switch {
	case ref == "":
		return nil, errors.New("no model is named")
	case err == nil && info.IsDir():
		p.Name, p.Dir = filepath.Base(filepath.Clean(ref)), ref
		if p.fsys, err = folder(ref); err != nil {
			return nil, err
		}
	case err == nil:
		if path.Ext(ref) != ".onnx" {
			return nil, fmt.Errorf("model %s: wanted a folder or an .onnx file", ref)
		}
		p.Name, p.Dir, p.file = strings.TrimSuffix(filepath.Base(ref), ".onnx"), filepath.Dir(ref), filepath.Base(ref)
		if p.fsys, err = folder(p.Dir); err != nil {
			return nil, err
		}
	case slices.Contains(models.Names(), ref):
		if p.fsys, err = fs.Sub(models.FS(), ref); err != nil {
			return nil, err
		}
	default:
		return nil, &NotFound{Ref: ref}
	}
	if err := p.load(o); err != nil {
		return nil, fmt.Errorf("model %s: %w", ref, err)
	}
	p.id = sync.OnceValues(p.hash)
	return p, nil
}

// NotFound is the error for a name that no package has.
type NotFound struct{ Ref string }

func (e *NotFound) Error() string {
	return fmt.Sprintf("no model is named %q: there is no such folder or .onnx file, and the models that come with leat are %s",
		e.Ref, strings.Join(models.Names(), ", "))
}

// Hint says what to do.
func (e *NotFound) Hint() string {
	if s := diag.Suggest(e.Ref, models.Names()); s != "" {
		return fmt.Sprintf("Did you mean %q?", s)
	}
	if strings.Count(e.Ref, "/") == 1 && !strings.HasPrefix(e.Ref, ".") {
		return "If it is the name of a repository of the Hub: download it first, and name its folder."
	}
	return ""
}

// folder opens a folder such that no path leaves it. A snapshot in the Hub's cache consists of links into the folder of its
// repository, which is then the one not to leave.
func folder(dir string) (fs.FS, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	top, sub := abs, "."
	if snapshots := filepath.Dir(abs); filepath.Base(snapshots) == "snapshots" {
		top, sub = filepath.Dir(snapshots), path.Join("snapshots", filepath.Base(abs))
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	return fs.Sub(root.FS(), sub)
}

func (p *Package) load(o Options) error {
	p.Config = &Config{}
	if p.file == "" {
		text, err := p.ReadFile("config.json")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			if p.Config, err = ParseConfig(text); err != nil {
				return fmt.Errorf("config.json: %w", err)
			}
		}
	}
	graphs, err := p.chooseGraphs(o)
	p.graphs = graphs
	return err
}

// chooseGraphs finds the file of each role.
func (p *Package) chooseGraphs(o Options) (map[string]string, error) {
	if p.file != "" {
		return map[string]string{ModelRole: p.file}, nil
	}
	if o.File != "" {
		if !p.Has(o.File) {
			return nil, fmt.Errorf("wanted the file %s, found %s", o.File, strings.Join(p.onnxFiles(), ", "))
		}
		return map[string]string{ModelRole: o.File}, nil
	}
	suffix := ""
	if o.DType != "" {
		var ok bool
		if suffix, ok = variants[o.DType]; !ok {
			return nil, fmt.Errorf("no dtype is named %q; there are fp32, fp16, q8, int8, uint8, q4, q4f16 and bnb4", o.DType)
		}
	}
	if len(p.Config.Graphs) > 0 {
		graphs := map[string]string{}
		for role, file := range p.Config.Graphs {
			if suffix != "" {
				file = strings.TrimSuffix(file, ".onnx") + suffix + ".onnx"
			}
			if !p.Has(file) {
				return nil, fmt.Errorf("config.json: leat.graphs.%s: there is no file %s", role, file)
			}
			graphs[role] = file
		}
		return graphs, nil
	}
	for _, name := range []string{"onnx/model" + suffix + ".onnx", "model" + suffix + ".onnx"} {
		if p.Has(name) {
			return map[string]string{ModelRole: name}, nil
		}
	}
	files := p.onnxFiles()
	switch {
	case o.DType != "":
		return nil, fmt.Errorf("wanted onnx/model%s.onnx for dtype %s, found %s", suffix, o.DType, orNone(files))
	case len(files) == 1:
		return map[string]string{ModelRole: files[0]}, nil
	case len(files) == 0:
		return nil, errors.New("there is no .onnx file in it: export the model to ONNX first")
	}
	return nil, fmt.Errorf("it is ambiguous which graph to take of %s: say file or dtype", strings.Join(files, ", "))
}

func orNone(files []string) string {
	if len(files) == 0 {
		return "no .onnx file"
	}
	return strings.Join(files, ", ")
}

func (p *Package) onnxFiles() []string {
	var out []string
	_ = p.walk(func(name string) error { // what cannot be read is not there
		if path.Ext(name) == ".onnx" {
			out = append(out, name)
		}
		return nil
	})
	return out
}

// walk calls f with the files of the package in order, hidden ones left out.
func (p *Package) walk(f func(name string) error) error {
	count := 0
	return fs.WalkDir(p.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		if count++; count > MaxFiles {
			return fmt.Errorf("it has more than %d files", MaxFiles)
		}
		return f(name)
	})
}

// Has reports whether the package has a file of that name.
func (p *Package) Has(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	info, err := fs.Stat(p.fsys, name)
	return err == nil && info.Mode().IsRegular()
}

// open opens a regular file. Anything else, such as a named pipe, might never let go of who opens it.
func (p *Package) open(name string) (fs.File, error) {
	info, err := fs.Stat(p.fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return p.fsys.Open(name)
}

// ReadFile returns a small file of the package, of MaxConfigBytes at the most. A name that leads out of the package is refused.
func (p *Package) ReadFile(name string) ([]byte, error) {
	return p.readFile(name, MaxConfigBytes)
}

func (p *Package) readFile(name string, limit int64) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("the path %q leads out of the package", name)
	}
	f, err := p.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are allowed", name, info.Size(), limit)
	}
	var b bytes.Buffer
	if info, err := f.Stat(); err == nil {
		b.Grow(int(info.Size()) + bytes.MinRead) // read at once, without copies on the way
	}
	_, err = b.ReadFrom(io.LimitReader(f, limit))
	return b.Bytes(), err
}

// Roles returns the roles of the package's graphs, sorted.
func (p *Package) Roles() []string {
	var out []string
	for role := range p.graphs {
		out = append(out, role)
	}
	slices.Sort(out)
	return out
}

// GraphFile is a graph of a package and where it lies.
type GraphFile struct {
	*Graph
	Name  string // of the file, relative to the package
	Path  string // of the file on disk; "" where it is part of the binary
	Bytes []byte // of the file, where it is part of the binary
}

// Graph reads the graph of a role and checks where its weights lie. The file is read once, and not kept in memory.
func (p *Package) Graph(role string) (*GraphFile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.read[role]; g != nil {
		return g, nil
	}
	g, err := p.readGraph(role)
	if err == nil {
		if p.read == nil {
			p.read = map[string]*GraphFile{}
		}
		p.read[role] = g
	}
	return g, err
}

func (p *Package) readGraph(role string) (*GraphFile, error) {
	name, ok := p.graphs[role]
	if !ok {
		return nil, fmt.Errorf("model %s: wanted a graph for the role %q, found %s", p.Name, role, strings.Join(p.Roles(), ", "))
	}
	b, err := p.readFile(name, MaxGraphBytes)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", p.Name, err)
	}
	g, err := ReadGraph(b)
	if err != nil {
		return nil, fmt.Errorf("model %s: %s: %w", p.Name, name, err)
	}
	for _, external := range g.External {
		file := path.Join(path.Dir(name), external)
		if external == "" || path.IsAbs(external) || strings.Contains(external, `\`) || !fs.ValidPath(file) || strings.HasPrefix(path.Clean(external), "..") {
			return nil, fmt.Errorf("model %s: %s keeps weights at %q, which leads out of the package", p.Name, name, external)
		}
		if !p.Has(file) {
			return nil, fmt.Errorf("model %s: %s keeps weights in %s, which is not there", p.Name, name, file)
		}
	}
	f := &GraphFile{Graph: g, Name: name}
	if p.Dir != "" {
		f.Path = filepath.Join(p.Dir, filepath.FromSlash(name))
	} else {
		f.Bytes = b
	}
	return f, nil
}

// ID returns the package's identity: "sha256:" and the hash of its content in hex. A single .onnx file has the hash of the
// file; a folder that of the list of its files and their hashes, as sha256sum prints it, without model cards and weights in
// other forms, which do not matter to what is predicted.
func (p *Package) ID() (string, error) { return p.id() }

// ShortID returns what predictions carry: the name and the first twelve digits of the hash.
func (p *Package) ShortID() (string, error) {
	id, err := p.ID()
	if err != nil {
		return "", err
	}
	return p.Name + "@" + id[:len("sha256:")+12], nil
}

// FileHash is a file and its SHA-256 in hex.
type FileHash struct{ Name, SHA256 string }

// Files returns the files that make up the package's identity, with their hashes, in order.
func (p *Package) Files() ([]FileHash, error) {
	wanted, err := p.content()
	if err != nil {
		return nil, err
	}
	var out []FileHash
	for _, name := range wanted {
		sum, err := p.sum(name)
		if err != nil {
			return nil, err
		}
		out = append(out, FileHash{name, sum})
	}
	return out, nil
}

func (p *Package) sum(name string) (string, error) {
	f, err := p.open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// content lists the files that matter.
func (p *Package) content() ([]string, error) {
	chosen := map[string]bool{}
	for _, role := range p.Roles() {
		g, err := p.Graph(role)
		if err != nil {
			return nil, err
		}
		chosen[g.Name] = true
		for _, external := range g.External {
			chosen[path.Join(path.Dir(g.Name), external)] = true
		}
	}
	var out []string
	if p.file != "" {
		for name := range chosen {
			out = append(out, name)
		}
		slices.Sort(out)
		return out, nil
	}
	err := p.walk(func(name string) error {
		if ext := path.Ext(name); chosen[name] || ext == ".json" || ext == ".txt" || ext == ".model" {
			out = append(out, name)
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

func (p *Package) hash() (string, error) {
	files, err := p.Files()
	if err != nil {
		return "", fmt.Errorf("model %s: %w", p.Name, err)
	}
	if p.file != "" && len(files) == 1 {
		return "sha256:" + files[0].SHA256, nil
	}
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s  %s\n", f.SHA256, f.Name)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
