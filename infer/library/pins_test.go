package library

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"go/format"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "make the table of pins anew from the index in use")

// wanted are the releases to pin.
func wanted() []pin {
	var all []pin
	platforms := []pin{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}, {OS: "darwin", Arch: "arm64"},
		{OS: "darwin", Arch: "amd64"}, {OS: "windows", Arch: "amd64"}, {OS: "windows", Arch: "arm64"}}
	for _, release := range []pin{
		{Flavour: CPU, Wheel: "onnxruntime", Version: "1.31.1"},
		{Flavour: OpenVINO, Wheel: "onnxruntime_openvino", Version: "1.24.1"},
		{Flavour: CUDA, Wheel: "onnxruntime_gpu", Version: "1.31.1"},
		{Flavour: QNN, Wheel: "onnxruntime_qnn", Version: "1.24.4"},
	} {
		for _, p := range platforms {
			release.OS, release.Arch = p.OS, p.Arch
			one := release
			if one.Flavour == CPU && one.platform() == "darwin/amd64" {
				one.Version = "1.23.2"
			}
			all = append(all, one)
		}
	}
	return all
}

// tag matches the end of the wheels for a platform.
func tag(p *pin) *regexp.Regexp {
	processor := map[string]string{"linux/amd64": `manylinux_[0-9_]+_x86_64`, "linux/arm64": `manylinux_[0-9_]+_aarch64`,
		"darwin/arm64": `macosx_[0-9_]+_arm64`, "darwin/amd64": `macosx_[0-9_]+_x86_64`, "windows/amd64": `win_amd64`, "windows/arm64": `win_arm64`}
	return regexp.MustCompile(`^` + regexp.QuoteMeta(p.Wheel+"-"+p.Version) + `-.*-` + processor[p.platform()] + `\.whl$`)
}

// pinned makes the table from the index in use.
func pinned(t *testing.T) []pin {
	t.Helper()
	c, err := loadConfig(configFiles(os.Getenv), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	web, err := newClient(c, os.Getenv, func(level, text string) { t.Log(level, text) })
	if err != nil {
		t.Fatal(err)
	}
	lists := map[string][]link{}
	var table []pin
	for _, p := range wanted() {
		if lists[p.project()] == nil {
			u := mustURL(t, strings.TrimRight(c.indexes[0], "/")+"/"+p.project()+"/")
			if lists[p.project()], err = web.files(context.Background(), u); err != nil {
				t.Fatal(err)
			}
		}
		best := link{}
		for _, l := range lists[p.project()] {
			if tag(&p).MatchString(l.name) && (best.name == "" || l.size < best.size || l.size == best.size && l.name < best.name) {
				best = l
			}
		}
		if best.name == "" {
			t.Logf("no wheel of %s %s for %s", p.Wheel, p.Version, p.platform())
			continue
		}
		if best.sha256 == "" || best.size == 0 {
			t.Skipf("SKIPPED: the index in use does not tell the hash or the size of %s", best.name)
		}
		p.Wheel, p.Size, p.SHA256 = best.name, best.size, best.sha256
		table = append(table, p)
	}
	return table
}

// TestPins compares the table with the index in use, and with -update makes it anew.
func TestPins(t *testing.T) {
	if testing.Short() || os.Getenv("LEAT_OFFLINE") != "" {
		t.Skip("SKIPPED: the index is not asked with -short or LEAT_OFFLINE")
	}
	table := pinned(t)
	if *update {
		writePins(t, table)
		return
	}
	for i, p := range table {
		if i >= len(pins) || pins[i] != p {
			t.Errorf("the index has %+v; make the table anew with -update", p)
		}
	}
	if len(pins) != len(table) {
		t.Errorf("%d pins, and %d packages on the index", len(pins), len(table))
	}
}

// writePins puts the table into pins.go, with the date.
func writePins(t *testing.T, table []pin) {
	t.Helper()
	old, err := os.ReadFile("pins.go")
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := bytes.Cut(old, []byte("var pins = []pin{\n"))
	if !ok {
		t.Fatal("pins.go has no table")
	}
	head = regexp.MustCompile(`Made on [0-9-]+`).ReplaceAll(head, []byte("Made on "+time.Now().UTC().Format(time.DateOnly)))
	text := bytes.NewBuffer(head)
	text.WriteString("var pins = []pin{\n")
	for _, p := range table {
		fmt.Fprintf(text, "{Flavour: %q, Version: %q, OS: %q, Arch: %q, Size: %d,\nWheel: %q,\nSHA256: %q},\n", p.Flavour, p.Version, p.OS, p.Arch, p.Size, p.Wheel, p.SHA256)
	}
	text.WriteString("}\n")
	formatted, err := format.Source(text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("pins.go", formatted, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPinsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for i := range pins {
		p := &pins[i]
		if len(p.SHA256) != 64 || strings.Trim(p.SHA256, "0123456789abcdef") != "" || p.Size < 1<<20 || !strings.Contains(p.Wheel, "-"+p.Version+"-") || seen[p.dirName()] {
			t.Errorf("found %+v", p)
		}
		seen[p.dirName()] = true
	}
	for _, c := range []struct{ goos, goarch string }{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}} {
		if _, err := findPin(CPU, c.goos, c.goarch); err != nil {
			t.Error(err)
		}
	}
	if _, err := findPin(QNN, "linux", "amd64"); err == nil || !strings.Contains(err.Error(), "windows/arm64") {
		t.Errorf("found %v", err)
	}
}
