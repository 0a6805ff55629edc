// Package library finds the ONNX Runtime shared library on this machine, or fetches it from the Python package index
// in use, pinned by version and SHA-256. It knows files and never loads one.
package library

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Variable names the environment variable that names the library: the file, or the folder that holds it. It comes
// before every other place.
const Variable = "LEAT_ONNXRUNTIME"

// Flavour is a build of ONNX Runtime. A process loads one of them.
type Flavour string

// The flavours, named by what they add to the processor.
const (
	CPU      Flavour = "cpu"      // the processor; on macOS also Core ML
	OpenVINO Flavour = "openvino" // Intel's OpenVINO, which runs on other processors as well
	CUDA     Flavour = "cuda"     // NVIDIA's CUDA and TensorRT, whose own libraries the machine must have
	QNN      Flavour = "qnn"      // Qualcomm's NPUs
)

// Flavours lists the flavours, the one that fits everywhere first.
func Flavours() []Flavour { return []Flavour{CPU, OpenVINO, CUDA, QNN} }

// ParseFlavour reads the name of a flavour, or of an execution provider that is in one of them: tensorrt is in CUDA,
// coreml in CPU. The empty name is CPU.
func ParseFlavour(name string) (Flavour, error) {
	switch f := Flavour(name); f {
	case CPU, OpenVINO, CUDA, QNN:
		return f, nil
	case "", "coreml":
		return CPU, nil
	case "tensorrt":
		return CUDA, nil
	}
	return "", fmt.Errorf("wanted a flavour of ONNX Runtime (%s), found %q", joined(Flavours()), name)
}

// Library is an ONNX Runtime on this machine.
type Library struct {
	Flavour Flavour // as its files tell
	Version string  // such as 1.31.1; empty where the file's name does not tell
	Path    string  // the library itself, absolute
	Dir     string  // the folder that holds it, and the execution providers that it loads by itself

	// Preload are the absolute paths of the dependent libraries that lie beside it, in the order in which to load
	// them, all before Path. Most flavours have none.
	Preload []string

	From string // where it was found: "LEAT_ONNXRUNTIME", "beside the binary" or "cache"
}

// The places where a library is found, in the order of search.
const (
	FromVariable = Variable
	FromBinary   = "beside the binary"
	FromCache    = "cache"
)

// Options say which library is wanted and how to get it. The zero value is the CPU flavour in the user's cache.
type Options struct {
	Flavour  Flavour
	Offline  bool                     // nothing is downloaded
	Progress func(done, total int64)  // bytes of a download, from one goroutine; nil for none
	Log      func(level, text string) // what the user may want to know (level "info" or "warning"); nil for none
	CacheDir string                   // "" is the folder leat/runtime in the user's cache
}

// NotInstalled is the error where no library is found. Its text says what to do.
type NotInstalled struct {
	Flavour Flavour
	Version string   // the pinned one; empty where this platform has none
	Places  []string // where the search was
	Offline bool     // a download was not allowed
}

// Error implements error.
func (e *NotInstalled) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ONNX Runtime (%s) is not installed: not found in %s; ", strings.TrimSpace(string(e.Flavour)+" "+e.Version), strings.Join(e.Places, ", "))
	if e.Offline {
		b.WriteString("--offline forbids the download; with a network ")
	}
	fmt.Fprintf(&b, "run \"leat runtime install %s\", or set %s to the library's file, or put the file beside the leat binary", e.Flavour, Variable)
	return b.String()
}

// Find finds the library: what LEAT_ONNXRUNTIME names, else beside the binary, else in the cache. Every library has the
// CPU, so beside the binary any flavour will do for it; what LEAT_ONNXRUNTIME names is taken as it is. Find reads no
// whole file, which Verify does. The error is a *NotInstalled where there is none.
func Find(o Options) (Library, error) {
	flavour, err := ParseFlavour(string(o.Flavour))
	if err != nil {
		return Library{}, err
	}
	if named := os.Getenv(Variable); named != "" {
		l, err := open(named, FromVariable)
		if err != nil {
			return Library{}, fmt.Errorf("%s: wanted the ONNX Runtime library (%s) or the folder that holds it: %w", Variable, fileName(runtime.GOOS), err)
		}
		return l, nil
	}
	places := []string{Variable}
	if dir := binaryDir(); dir != "" {
		places = append(places, dir)
		l, err := open(dir, FromBinary)
		if err == nil && (flavour == CPU || l.Flavour == flavour) {
			return l, nil
		}
	}
	cache, err := o.cacheDir()
	if err != nil {
		return Library{}, err
	}
	missing := &NotInstalled{Flavour: flavour, Offline: o.Offline, Places: append(places, cache)}
	p, err := findPin(flavour, runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return Library{}, missing
	}
	missing.Version = p.Version
	l, err := openInstalled(filepath.Join(cache, p.dirName()))
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			o.log("warning", fmt.Sprintf("the ONNX Runtime in the cache is not used: %v", err))
		}
		return Library{}, missing
	}
	return l, nil
}

// Ensure finds the library, or installs it unless o.Offline.
func Ensure(ctx context.Context, o Options) (Library, error) {
	l, err := Find(o)
	var missing *NotInstalled
	if err == nil || o.Offline || !errors.As(err, &missing) {
		return l, err
	}
	return Install(ctx, o)
}

// cacheDir is the folder of all installed libraries; it need not exist.
func (o Options) cacheDir() (string, error) {
	if o.CacheDir != "" {
		return filepath.Abs(o.CacheDir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the ONNX Runtime library: %w; set HOME, or %s to the library's file", err, Variable)
	}
	return filepath.Join(cache, "leat", "runtime"), nil
}

func (o Options) log(level, text string) {
	if o.Log != nil {
		o.Log(level, text)
	}
}

// binaryDir is the folder of this program, past links; empty where the system does not tell.
func binaryDir() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return filepath.Dir(path)
}

// open describes the library at a path, which is a file or a folder that holds one.
func open(path, from string) (Library, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Library{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return Library{}, err
	}
	dir := path
	if info.IsDir() {
		if path, err = libraryIn(dir, runtime.GOOS); err != nil {
			return Library{}, err
		}
	} else {
		dir = filepath.Dir(path)
	}
	l := Library{Flavour: flavourOf(dir), Version: versionOf(path), Path: path, Dir: dir, From: from}
	names, err := preloadOrder(dir, filepath.Base(path))
	if err != nil {
		return Library{}, err
	}
	l.Preload = inDir(dir, names)
	return l, nil
}

// inDir makes file names absolute paths.
func inDir(dir string, names []string) []string {
	var paths []string
	for _, n := range names {
		paths = append(paths, filepath.Join(dir, n))
	}
	return paths
}

func joined(flavours []Flavour) string {
	names := make([]string, len(flavours))
	for i, f := range flavours {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}
