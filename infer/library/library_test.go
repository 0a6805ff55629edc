package library

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// makeELF makes the smallest ELF file that has DT_NEEDED entries.
func makeELF(needed ...string) []byte {
	names := []byte{0}
	var dynamic []byte
	le := binary.LittleEndian
	for _, n := range needed {
		dynamic = le.AppendUint64(dynamic, uint64(elf.DT_NEEDED))
		dynamic = le.AppendUint64(dynamic, uint64(len(names)))
		names = append(append(names, n...), 0)
	}
	dynamic = append(dynamic, make([]byte, 16)...) // DT_NULL
	const header, section = 64, 64
	namesAt := uint64(header)
	dynamicAt := namesAt + uint64(len(names))
	sectionsAt := dynamicAt + uint64(len(dynamic))
	file := []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT), 15: 0}
	file = le.AppendUint16(file, uint16(elf.ET_DYN))
	file = le.AppendUint16(file, uint16(elf.EM_X86_64))
	file = le.AppendUint32(file, uint32(elf.EV_CURRENT))
	for _, v := range []uint64{0, 0, sectionsAt} {
		file = le.AppendUint64(file, v)
	}
	file = le.AppendUint32(file, 0)
	for _, v := range []uint16{header, 0, 0, section, 3, 1} {
		file = le.AppendUint16(file, v)
	}
	file = append(append(file, names...), dynamic...)
	add := func(kind elf.SectionType, at, size uint64, link uint32, entry uint64) {
		file = le.AppendUint32(file, 0)
		file = le.AppendUint32(file, uint32(kind))
		for _, v := range []uint64{0, 0, at, size} {
			file = le.AppendUint64(file, v)
		}
		file = le.AppendUint32(file, link)
		file = le.AppendUint32(file, 0)
		file = le.AppendUint64(file, 1)
		file = le.AppendUint64(file, entry)
	}
	add(elf.SHT_NULL, 0, 0, 0, 0)
	add(elf.SHT_STRTAB, namesAt, uint64(len(names)), 0, 0)
	add(elf.SHT_DYNAMIC, dynamicAt, uint64(len(dynamic)), 1, 16)
	return file
}

// folderOf writes files into a new folder.
func folderOf(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestPreloadOrder(t *testing.T) {
	cases := []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"none", map[string][]byte{"libonnxruntime.so.1": makeELF("libc.so.6"), "libmore.so": makeELF()}, ""},
		{"as OpenVINO's", map[string][]byte{
			"libonnxruntime.so.1":                  makeELF("libc.so.6"),
			"libonnxruntime_providers_openvino.so": makeELF("libopenvino_onnx_frontend.so.2541", "libopenvino.so.2541", "libonnxruntime_providers_shared.so"),
			"libonnxruntime_providers_shared.so":   makeELF(),
			"libopenvino_onnx_frontend.so.2541":    makeELF("libopenvino.so.2541"),
			"libopenvino.so.2541":                  makeELF("libdl.so.2", "libtbb.so.12"),
			"libtbb.so.12":                         makeELF("libc.so.6"),
			"libopenvino_intel_cpu_plugin.so":      makeELF("libopenvino.so.2541"),
		}, "libtbb.so.12 libopenvino.so.2541 libopenvino_onnx_frontend.so.2541"},
		{"in the system's folder", map[string][]byte{"libonnxruntime.so.1": makeELF("libc.so.6", "libz.so.1"), "libc.so.6": makeELF(), "libz.so.1": makeELF()}, "libz.so.1"},
		{"a circle", map[string][]byte{"libonnxruntime.so.1": makeELF("liba.so"), "liba.so": makeELF("libb.so"), "libb.so": makeELF("liba.so")}, "libb.so liba.so"},
		{"no ELF", map[string][]byte{"libonnxruntime.so.1": []byte("text"), "libonnxruntime_providers_cuda.so": nil}, ""},
		{"cut ELF", map[string][]byte{"libonnxruntime.so.1": makeELF("liba.so")[:80], "liba.so": nil}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			found, err := preloadOrder(folderOf(t, c.files), "libonnxruntime.so.1")
			if err != nil || strings.Join(found, " ") != c.want {
				t.Errorf("found %q (%v), wanted %q", found, err, c.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: the files are named as on Linux")
	}
	one := folderOf(t, map[string][]byte{"libonnxruntime.so.1.9.0": makeELF(), "libonnxruntime.so.1.31.1": makeELF(), "libonnxruntime_providers_openvino.so": makeELF("libtbb.so"), "libtbb.so": makeELF()})
	cache := t.TempDir()
	t.Run("a folder", func(t *testing.T) {
		t.Setenv(Variable, one)
		l, err := Find(Options{CacheDir: cache, Flavour: CUDA}) // what the variable names is taken as it is
		if err != nil || l.Version != "1.31.1" || l.Flavour != OpenVINO || l.From != FromVariable ||
			l.Path != filepath.Join(one, "libonnxruntime.so.1.31.1") || !slices.Equal(l.Preload, []string{filepath.Join(one, "libtbb.so")}) {
			t.Errorf("found %+v, %v", l, err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		t.Setenv(Variable, filepath.Join(one, "libonnxruntime.so.1.9.0"))
		if l, err := Find(Options{CacheDir: cache}); err != nil || l.Version != "1.9.0" || l.Dir != one {
			t.Errorf("found %+v, %v", l, err)
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		for _, path := range []string{t.TempDir(), filepath.Join(one, "none.so")} {
			t.Setenv(Variable, path)
			if l, err := Find(Options{CacheDir: cache}); err == nil || !strings.Contains(err.Error(), Variable) || !strings.Contains(err.Error(), path) {
				t.Errorf("found %+v, %v", l, err)
			}
		}
	})
	t.Run("not installed", func(t *testing.T) {
		t.Setenv(Variable, "")
		for _, f := range Flavours() {
			_, err := Ensure(context.Background(), Options{CacheDir: cache, Flavour: f, Offline: true})
			var missing *NotInstalled
			if !errors.As(err, &missing) || missing.Flavour != f || !strings.Contains(err.Error(), "leat runtime install "+string(f)) ||
				!strings.Contains(err.Error(), "--offline") {
				t.Errorf("%s: found %v", f, err)
			}
		}
		if _, err := Find(Options{Flavour: "tpu"}); err == nil || !strings.Contains(err.Error(), "cpu, openvino, cuda, qnn") {
			t.Errorf("found %v", err)
		}
	})
}

func TestFindInCache(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: the files are named as on Linux")
	}
	p, err := findPin(CPU, runtime.GOOS, runtime.GOARCH)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	t.Setenv(Variable, "")
	cache := t.TempDir()
	dir := filepath.Join(cache, p.dirName())
	wheel := filepath.Join(t.TempDir(), "wheel")
	if err := os.WriteFile(wheel, makeWheel(t, goodWheel()), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unpack(context.Background(), wheel, dir, p); err != nil {
		t.Fatal(err)
	}
	var warned string
	o := Options{CacheDir: cache, Log: func(_, text string) { warned += text }}
	l, err := Ensure(context.Background(), o)
	if err != nil || l.Dir != dir || l.From != FromCache {
		t.Fatalf("found %+v, %v", l, err)
	}
	if err := Verify(o); err != nil {
		t.Error(err)
	}
	all, err := List(o)
	if err != nil {
		t.Fatal(err)
	}
	here := 0
	for _, one := range all {
		if one.Path != "" {
			here++
		}
	}
	if here != 1 || len(all) != len(pins) {
		t.Errorf("%d of %d are here, wanted 1 of %d", here, len(all), len(pins))
	}
	if err := os.WriteFile(l.Path, []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	var missing *NotInstalled
	if _, err := Find(o); !errors.As(err, &missing) || !strings.Contains(warned, "not whole") {
		t.Errorf("found %v, warned %q", err, warned)
	}
	if err := Verify(o); err == nil || !strings.Contains(err.Error(), "wanted SHA-256") {
		t.Errorf("found %v", err)
	}
	if err := Verify(Options{CacheDir: t.TempDir(), Flavour: CPU}); !errors.As(err, &missing) {
		t.Errorf("found %v", err)
	}
	if err := Verify(Options{CacheDir: t.TempDir()}); err != nil {
		t.Errorf("nothing installed, found %v", err)
	}
}

func TestManifestNames(t *testing.T) {
	for _, name := range []string{"../libonnxruntime.so", "/etc/passwd", ".."} {
		dir := folderOf(t, map[string][]byte{manifestName: []byte(`{"library":"libonnxruntime.so","preload":["` + name + `"]}`)})
		if _, err := openInstalled(dir); err == nil || !strings.Contains(err.Error(), "wanted file names") {
			t.Errorf("%s: found %v", name, err)
		}
	}
}

func isRuntimeAnywhere(name string) bool {
	return isRuntime(name, "linux") || isRuntime(name, "darwin") || isRuntime(name, "windows")
}

func TestNames(t *testing.T) {
	cases := []struct {
		name     string
		runtime  bool
		version  string
		library  bool
		provider bool
	}{
		{"libonnxruntime.so", true, "", true, false},
		{"libonnxruntime.so.1.31.1", true, "1.31.1", true, false},
		{"libonnxruntime.1.31.1.dylib", true, "1.31.1", true, false},
		{"libonnxruntime.dylib", true, "", true, false},
		{"onnxruntime.dll", true, "", true, false},
		{"libonnxruntime_providers_cuda.so", false, "", true, true},
		{"onnxruntime_providers_shared.dll", false, "", true, true},
		{"libtbb.so.12", false, "", true, false},
		{"LICENSE", false, "", false, false},
	}
	for _, c := range cases {
		if isRuntimeAnywhere(c.name) != c.runtime || versionIn(c.name) != c.version || isLibrary(c.name) != c.library || isProvider(c.name) != c.provider {
			t.Errorf("%s: found runtime %t, version %q, library %t, provider %t", c.name, isRuntimeAnywhere(c.name), versionIn(c.name), isLibrary(c.name), isProvider(c.name))
		}
	}
	for _, f := range []struct{ name, want string }{{"", "cpu"}, {"coreml", "cpu"}, {"tensorrt", "cuda"}, {"openvino", "openvino"}} {
		if found, err := ParseFlavour(f.name); err != nil || string(found) != f.want {
			t.Errorf("%q: found %s, %v", f.name, found, err)
		}
	}
}

func TestCheckSystem(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: it is about Linux")
	}
	linux := func(wheel string) *pin {
		return &pin{Flavour: CPU, Version: "9", OS: "linux", Arch: "amd64", Wheel: wheel}
	}
	alpine := t.TempDir()
	if err := os.MkdirAll(filepath.Join(alpine, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(alpine, "lib", "ld-musl-x86_64.so.1"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := linux(wheelName).checkSystem(alpine); err == nil || !strings.Contains(err.Error(), "musl") {
		t.Errorf("found %v", err)
	}
	out, err := exec.Command("getconf", "GNU_LIBC_VERSION").Output()
	if err != nil {
		t.Skipf("SKIPPED: getconf does not tell of glibc: %v", err)
	}
	if want := strings.TrimSpace(strings.TrimPrefix(string(out), "glibc")); glibcVersion("/") != want {
		t.Errorf("found glibc %q, wanted %q", glibcVersion("/"), want)
	}
	if err := linux(wheelName).checkSystem("/"); err != nil {
		t.Error(err)
	}
	if err := linux("x-9-cp311-cp311-manylinux_2_99_x86_64.whl").checkSystem("/"); err == nil || !strings.Contains(err.Error(), "glibc 2.99") {
		t.Errorf("found %v", err)
	}
}
