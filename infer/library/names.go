package library

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// fileName is how the library's file is called on a system, for messages.
func fileName(goos string) string {
	switch goos {
	case "windows":
		return "onnxruntime.dll"
	case "darwin":
		return "libonnxruntime.dylib"
	}
	return "libonnxruntime.so"
}

// isRuntime reports whether a file name is that of ONNX Runtime itself on a system: libonnxruntime.so[.VERSION],
// libonnxruntime[.VERSION].dylib, or onnxruntime.dll.
func isRuntime(name, goos string) bool {
	switch goos {
	case "windows":
		return strings.EqualFold(name, "onnxruntime.dll")
	case "darwin":
		return strings.HasPrefix(name, "libonnxruntime.") && strings.HasSuffix(name, ".dylib")
	}
	return name == "libonnxruntime.so" || strings.HasPrefix(name, "libonnxruntime.so.")
}

// isLibrary reports whether a file name is that of a shared library, on any platform.
func isLibrary(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.") ||
		strings.HasSuffix(name, ".dylib") || strings.HasSuffix(name, ".dll")
}

// isProvider reports whether a file holds an execution provider, which ONNX Runtime loads by itself.
func isProvider(name string) bool {
	return strings.HasPrefix(strings.TrimPrefix(strings.ToLower(name), "lib"), "onnxruntime_providers_")
}

// isPython reports whether a library is the binding for Python, which leat has no use for.
func isPython(name string) bool { return strings.HasPrefix(name, "onnxruntime_pybind11_state") }

// isSystem reports whether a library belongs to glibc, which the process has already.
func isSystem(name string) bool {
	for _, own := range []string{"ld-linux", "libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so."} {
		if strings.HasPrefix(name, own) {
			return true
		}
	}
	return false
}

// libraryIn finds a system's ONNX Runtime in a folder: the newest where there are several.
func libraryIn(dir, goos string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	found := ""
	for _, e := range entries {
		if !isRuntime(e.Name(), goos) || e.IsDir() {
			continue
		}
		if found == "" || compareVersions(versionIn(e.Name()), versionIn(found)) > 0 {
			found = e.Name()
		}
	}
	if found == "" {
		return "", fmt.Errorf("no %s in %s: %w", fileName(goos), dir, os.ErrNotExist)
	}
	return filepath.Join(dir, found), nil
}

// versionOf is the version in the name of a library's file, or of the file that it links to.
func versionOf(path string) string {
	version := versionIn(filepath.Base(path))
	if real, err := filepath.EvalSymlinks(path); err == nil {
		if v := versionIn(filepath.Base(real)); len(v) > len(version) {
			version = v
		}
	}
	return version
}

// versionIn takes 1.31.1 from libonnxruntime.so.1.31.1 or libonnxruntime.1.31.1.dylib.
func versionIn(name string) string {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "libonnxruntime"), ".dylib")
	name = strings.TrimPrefix(strings.TrimPrefix(name, ".so"), ".")
	if strings.Trim(name, "0123456789.") != "" {
		return ""
	}
	return name
}

// compareVersions compares dotted numbers: negative, 0 or positive. A part that is missing or no number counts as 0.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if x != y {
			return x - y
		}
	}
	return 0
}

// flavourOf tells the flavour of the library in a folder by the execution providers beside it.
func flavourOf(dir string) Flavour {
	for _, f := range Flavours()[1:] {
		for _, pattern := range []string{"libonnxruntime_providers_%s.so", "libonnxruntime_providers_%s.dylib", "onnxruntime_providers_%s.dll"} {
			if _, err := os.Stat(filepath.Join(dir, fmt.Sprintf(pattern, f))); err == nil {
				return f
			}
		}
	}
	return CPU
}
