package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// command runs leat to its end, and returns what it said.
func command(t *testing.T, dir string, args ...string) (text string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, leat(t), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// damages are ways in which a disk may spoil a file.
var damages = []struct {
	name  string
	spoil func([]byte) []byte
}{
	{"cut", func(b []byte) []byte { return b[:len(b)/2] }},
	{"flipped", func(b []byte) []byte { b[len(b)/2] ^= 4; return b }},
	{"zeros", func(b []byte) []byte { return bytes.Repeat([]byte{0}, len(b)) }},
	{"empty", func([]byte) []byte { return nil }},
}

// TestFaultDamage spoils the last checkpoint when its outputs are out. A run refuses, and each of the remedies that it names works.
func TestFaultDamage(t *testing.T) {
	remedies := map[string]func(t *testing.T, dir, job string, older int) (args []string){
		"rollback": func(t *testing.T, dir, job string, older int) []string {
			if text, code := command(t, dir, "state", "rollback", job, "--epoch", strconv.Itoa(older)); code != 0 {
				t.Fatalf("rollback: %d\n%s", code, text)
			}
			return nil
		},
		"reset": func(t *testing.T, dir, job string, _ int) []string {
			if text, code := command(t, dir, "state", "reset", job); code != 0 {
				t.Fatalf("reset: %d\n%s", code, text)
			}
			return nil
		},
		"savepoint": func(*testing.T, string, string, int) []string { return []string{"--from-savepoint", "kept"} },
	}
	for i, name := range []string{"rollback", "reset", "savepoint", "rollback"} {
		damage := damages[i%len(damages)]
		t.Run(name+" "+damage.name, func(t *testing.T) {
			f := newFeed(t, "damage", uint64(20+i))
			dir := t.TempDir()
			file, job := f.pipeline(dir, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			p := start(t, dir, file)
			f.begun(p, job, ctx)
			if text, code := command(t, dir, "state", "save", job, "kept"); code != 0 {
				t.Fatalf("save: %d\n%s", code, text)
			}
			for range 3 {
				f.begun(p, job, ctx)
			}
			p.kill(t)
			epoch, older := f.spoil(filepath.Join(dir, ".leat", job), damage.spoil)
			text, code := command(t, dir, "run", file)
			if code != 1 || !strings.Contains(text, "LT0904") || !strings.Contains(text, strconv.Itoa(epoch)) {
				t.Fatalf("exit code %d, wanted 1; the text is to have LT0904 and epoch %d:\n%s", code, epoch, text)
			}
			for _, choice := range []string{"rollback", "reset", "savepoint"} {
				if !strings.Contains(text, choice) {
					t.Errorf("%q is not offered:\n%s", choice, text)
				}
			}
			t.Logf("leat says: %s", text)
			args := remedies[name](t, dir, job, older)
			f.recovers(ctx, dir, file, job, args)
		})
	}
}

// spoil damages the manifest of the newest epoch, and returns that epoch and the one before.
func (f *feed) spoil(dir string, how func([]byte) []byte) (epoch, older int) {
	f.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "epoch-*.json"))
	if err != nil || len(files) < 2 {
		f.t.Fatalf("%d checkpoints in %s: %v", len(files), dir, err)
	}
	var epochs []int
	path := map[int]string{}
	for _, file := range files {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(file), "epoch-%d.json", &n); err != nil {
			f.t.Fatal(err)
		}
		epochs, path[n] = append(epochs, n), file
	}
	slices.Sort(epochs)
	epoch, older = epochs[len(epochs)-1], epochs[len(epochs)-2]
	text, err := os.ReadFile(path[epoch])
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path[epoch], how(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return epoch, older
}

// recovers runs the pipeline to the end of its input. All that an undisturbed run gives comes out; what came out before may come again.
func (f *feed) recovers(ctx context.Context, dir, file, job string, args []string) {
	f.t.Helper()
	p := start(f.t, dir, file, append(args, "--on-stop", "drain")...)
	f.send(5000)
	until(ctx, f.t, "all rows to be read", func() bool {
		select {
		case <-p.done:
			f.t.Fatalf("leat ended by itself: %v\n%s", p.err, p.log)
		default:
		}
		return f.consumed(job) == int64(f.sent)
	})
	p.stop(f.t)
	f.t.Logf("the last run: %s", p.log)
	for where, groups := range map[string][]group{"topic": f.results(), "table": f.rows()} {
		different := map[string]bool{}
		for _, g := range groups {
			key := g.Device + g.Start
			different[key] = true
			if want := f.want[key]; want != g {
				f.t.Errorf("%s: got %+v, want %+v", where, g, want)
			}
		}
		f.t.Logf("%s: %d groups of %d rows, of which %d came again", where, len(different), f.sent, len(groups)-len(different))
		if len(different) != len(f.want) {
			f.t.Errorf("%s: %d groups, want %d", where, len(different), len(f.want))
		}
	}
}
