package library

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// platform names the pin's platform.
func (p *pin) platform() string { return p.OS + "/" + p.Arch }

// dirName is the pin's folder in the cache.
func (p *pin) dirName() string {
	return strings.Join([]string{string(p.Flavour), p.Version, p.OS, p.Arch}, "-")
}

// project is the name of the pin's package on the index, normalized.
func (p *pin) project() string {
	name, _, _ := strings.Cut(p.Wheel, "-")
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// run reports whether leat has been run with this wheel; of others it knows no more than the hash.
func (p *pin) run() bool {
	return p.platform() == "linux/amd64" && (p.Flavour == CPU || p.Flavour == OpenVINO)
}

// note says what the machine must have besides the wheel, empty for nothing.
func (p *pin) note() string {
	_, tag, _ := strings.Cut(p.Wheel, "macosx_")
	release, _, _ := strings.Cut(tag, "_")
	switch {
	case release != "":
		return "needs macOS " + release + " or newer"
	case p.Flavour == CUDA:
		return "needs CUDA 13 and cuDNN 9 (for TensorRT its libraries as well), which this does not install"
	case p.Flavour == OpenVINO && p.OS == "windows":
		return "needs the libraries of OpenVINO 2025.4 in the PATH, which this does not install"
	}
	return ""
}

// findPin finds the wheel of a flavour for a platform.
func findPin(f Flavour, goos, goarch string) (*pin, error) {
	var others []string
	for i := range pins {
		p := &pins[i]
		if p.Flavour != f {
			continue
		}
		if p.OS == goos && p.Arch == goarch {
			return p, nil
		}
		others = append(others, p.platform())
	}
	return nil, fmt.Errorf("ONNX Runtime (%s) has no package for %s/%s, only for %s; set %s to a library of your own, or use another flavour",
		f, goos, goarch, strings.Join(others, ", "), Variable)
}

// loaders are where Linux has the loader of glibc, by processor.
func loaders() []string {
	return []string{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib64/ld-linux-aarch64.so.1"}
}

// checkSystem says why the pin's library could not be loaded on this system: on Linux it needs glibc, as new as the
// wheel's name says. root is the root of the file system.
func (p *pin) checkSystem(root string) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	loader := ""
	for _, path := range loaders() {
		if _, err := os.Stat(filepath.Join(root, path)); err == nil {
			loader = path
		}
	}
	musl, _ := filepath.Glob(filepath.Join(root, "lib/ld-musl-*"))
	if loader == "" && len(musl) > 0 {
		return fmt.Errorf("the packages of ONNX Runtime need glibc, this system has musl (%s); "+
			"use an image with glibc such as debian:stable-slim, or set %s to a library built for musl", filepath.Base(musl[0]), Variable)
	}
	want := p.glibc()
	if have := glibcVersion(root); want != "" && have != "" && compareVersions(have, want) < 0 {
		return fmt.Errorf("ONNX Runtime %s (%s) needs glibc %s or newer, this system has %s; "+
			"use a newer system, or set %s to a library built for it", p.Version, p.Flavour, want, have, Variable)
	}
	return nil
}

// glibc is the version that a wheel named ...manylinux_2_28_x86_64.whl needs; empty where the name does not tell.
func (p *pin) glibc() string {
	_, tag, ok := strings.Cut(p.Wheel, "manylinux_")
	parts := strings.SplitN(tag, "_", 3)
	if !ok || len(parts) < 3 {
		return ""
	}
	return parts[0] + "." + parts[1]
}

// glibcVersion is the newest version that the system's libc defines; empty where it is not found.
func glibcVersion(root string) string {
	for _, dir := range []string{"lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "usr/lib64", "usr/lib", "lib"} {
		f, err := elf.Open(filepath.Join(root, dir, "libc.so.6"))
		if err != nil {
			continue
		}
		versions, err := f.DynamicVersions()
		f.Close()
		if err != nil {
			continue
		}
		newest := ""
		for _, v := range versions {
			if number, ok := strings.CutPrefix(v.Name, "GLIBC_2."); ok && compareVersions("2."+number, newest) > 0 {
				newest = "2." + number
			}
		}
		if newest != "" {
			return newest
		}
	}
	return ""
}
