package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a disk of so many bytes in memory.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("SKIPPED: no small disk can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}

// TestFaultDisk fills the disk of the state while leat runs, and frees it: leat says so, waits, goes on, and loses nothing.
func TestFaultDisk(t *testing.T) {
	f := newFeed(t, "disk", 9)
	disk := smallDisk(t, 8<<20)
	dir, at := t.TempDir(), filepath.Join(disk, "state")
	file, job := f.pipeline(dir, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	p := start(t, dir, file, "--state-dir", at, "--on-stop", "drain")
	f.begun(p, job, ctx)
	rounds, rows, said := scale(30), scale(300_000), 0
	for range rounds {
		before := strings.Count(p.log.String(), "ERROR")
		fill(t, filepath.Join(disk, "full"))
		f.send(rows / rounds / 2)
		until(ctx, t, "leat to say that the disk is full", func() bool {
			select {
			case <-p.done:
				t.Fatalf("leat ended by itself: %v\n%s", p.err, p.log)
			default:
			}
			f.send(100)
			return strings.Count(p.log.String(), "ERROR") > before
		})
		said++
		f.send(rows / rounds / 2)
		if err := os.Remove(filepath.Join(disk, "full")); err != nil {
			t.Fatal(err)
		}
		until(ctx, t, "all rows to be read", func() bool { return f.consumed(job) == int64(f.sent) })
	}
	p.stop(t)
	t.Logf("the run: %s", p.log)
	t.Logf("the disk was full %d times, and %d times leat said so", rounds, said)
	f.compare("topic", f.results())
	f.compare("table", f.rows())
}
