package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/internal/vfs"
)

// names returns the names of the files in a folder, joined by spaces.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestShards(t *testing.T) {
	tests := []struct {
		name    string
		path    string
		options ShardOptions
		want    string // the files
		body    string // of all shards
	}{
		{"one", "out.json", ShardOptions{}, "out.json-00000-of-00001", "1\n2\n3\n"},
		{"two", "out", ShardOptions{Num: 2}, "out-00000-of-00002 out-00001-of-00002", "1\n3\n2\n"},
		{"gzip", "out.json.gz", ShardOptions{}, "out.json.gz-00000-of-00001", "1\n2\n3\n"},
		{"zstd", "out.zst", ShardOptions{}, "out.zst-00000-of-00001", "1\n2\n3\n"},
		{"suffix", "out", ShardOptions{Suffix: ".gz"}, "out-00000-of-00001.gz", "1\n2\n3\n"},
		{"template", "out", ShardOptions{Template: "-N-SS", Suffix: ".txt"}, "out-1-00.txt", "1\n2\n3\n"},
		{"headers", "out", ShardOptions{Num: 2, Header: []byte("h\n")}, "out-00000-of-00002 out-00001-of-00002", "h\n1\n3\nh\n2\n"},
		{"a folder that is missing", "sub/out", ShardOptions{}, "sub", "1\n2\n3\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Create(filepath.Join(dir, test.path), test.options)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{"1\n", "2\n", "3\n"} {
				if err := s.Write([]byte(line)); err != nil {
					t.Fatal(err)
				}
			}
			if found, err := Find("path", filepath.Join(dir, "**")); err == nil {
				t.Errorf("before the commit there is %v", found)
			}
			w, err := s.Commit(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Abort(); err != nil { // does nothing now
				t.Fatal(err)
			}
			if got := names(t, dir); got != test.want {
				t.Errorf("wrote %s, want %s", got, test.want)
			}
			body, _, err := drain(NewLines(w.Files, Auto, SplitLines))
			if err != nil || string(body) != test.body {
				t.Errorf("read back %q, %v; want %q", body, err, test.body)
			}
		})
	}
}

func TestShardsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder-00000-of-00001"), 0o777); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		path    string
		options ShardOptions
		key     string
	}{
		{"no path", "", ShardOptions{}, "path"},
		{"negative", dir + "/x", ShardOptions{Num: -1}, "num_shards"},
		{"too many", dir + "/x", ShardOptions{Num: MaxShards + 1}, "num_shards"},
		{"one name for two", dir + "/x", ShardOptions{Num: 2, Template: "-N"}, "shard_name_template"},
		{"bzip2", dir + "/x.bz2", ShardOptions{}, "path"},
		{"a folder", dir + "/folder", ShardOptions{}, "path"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var p *catalog.Problem
			if _, err := Create(test.path, test.options); !errors.As(err, &p) || p.Key != test.key {
				t.Errorf("error %v, want one at %s", err, test.key)
			}
		})
	}
	if got := names(t, dir); got != "folder-00000-of-00001" {
		t.Errorf("refused, and wrote %s", got)
	}
}

// TestFailingDisk lets each step of writing three shards fail: whatever fails, the error says so with a remedy, nothing
// lies under a final name, and nothing temporary is left.
func TestFailingDisk(t *testing.T) {
	second := func(op vfs.Op, err error) func() func(vfs.Op, string) error {
		return func() func(vfs.Op, string) error {
			n := 0
			return func(o vfs.Op, _ string) error {
				if o != op {
					return nil
				}
				if n++; n == 2 {
					return err
				}
				return nil
			}
		}
	}
	first := func(op vfs.Op, err error) func() func(vfs.Op, string) error {
		return func() func(vfs.Op, string) error {
			return func(o vfs.Op, _ string) error {
				if o == op {
					return err
				}
				return nil
			}
		}
	}
	tests := []struct {
		name  string
		fail  func() func(vfs.Op, string) error
		space int64
		want  string
	}{
		{"disk full while writing", nil, 1000, "Free space"},
		{"quota", second(vfs.OpWrite, syscall.EDQUOT), 0, "Free space"},
		{"folder", first(vfs.OpMkdir, syscall.EACCES), 0, "may write to"},
		{"create", second(vfs.OpCreate, syscall.EACCES), 0, "may write to"},
		{"read-only", first(vfs.OpCreate, syscall.EROFS), 0, "only be read"},
		{"too many files", second(vfs.OpCreate, syscall.EMFILE), 0, "num_shards"},
		{"sync", second(vfs.OpSync, syscall.EIO), 0, "Check the folder"},
		{"close", second(vfs.OpClose, syscall.ENOSPC), 0, "Free space"},
		{"rename", second(vfs.OpRename, syscall.EACCES), 0, "may write to"},
		{"sync of the folder", first(vfs.OpSyncDir, syscall.EIO), 0, "Check the folder"},
	}
	for _, test := range tests {
		for _, ext := range []string{"", ".gz", ".zst"} {
			t.Run(test.name+ext, func(t *testing.T) {
				dir := t.TempDir()
				disk := &vfs.Faulty{FS: vfs.OS, Space: test.space}
				if test.fail != nil {
					disk.Fail = test.fail()
				}
				err := writeNoise(filepath.Join(dir, "out"+ext), ShardOptions{Num: 3, FS: disk})
				var p *catalog.Problem
				if !errors.As(err, &p) || p.Code != diag.CannotWrite || !strings.Contains(p.Text, dir+"/out") || !strings.Contains(p.Hint, test.want) {
					t.Errorf("error %#v, want %s, the path, and the hint %q", err, diag.CannotWrite, test.want)
				}
				if left := names(t, dir); left != "" {
					t.Errorf("left %s", left)
				}
			})
		}
	}
}

// writeNoise does as an engine does: it aborts after an error.
func writeNoise(path string, o ShardOptions) error {
	s, err := Create(path, o)
	if err != nil {
		return err
	}
	err = func() error {
		for range 6 {
			if err := s.Write(noise(MorselBytes / 4)); err != nil {
				return err
			}
		}
		_, err := s.Commit(context.Background())
		return err
	}()
	return errors.Join(err, s.Abort())
}

// TestNoCommitAfterAFailedWrite: a shard with a gap must not become final, even if nobody looked at the error.
func TestNoCommitAfterAFailedWrite(t *testing.T) {
	dir := t.TempDir()
	s, err := Create(filepath.Join(dir, "out"), ShardOptions{FS: &vfs.Faulty{FS: vfs.OS, Space: 10}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Write([]byte("0123456789abcdef\n")) == nil {
		t.Error("wrote more than there is space for")
	}
	if _, err := s.Commit(context.Background()); err == nil {
		t.Error("committed a file with a gap")
	}
	if err := s.Abort(); err != nil {
		t.Error(err)
	}
	if left := names(t, dir); left != "" {
		t.Errorf("left %s", left)
	}
}

func TestCommitOverAFolder(t *testing.T) {
	dir := t.TempDir()
	s, err := Create(filepath.Join(dir, "out"), ShardOptions{Num: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "out-00001-of-00002"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(context.Background()); err == nil {
		t.Error("committed over a folder")
	}
	if left := names(t, dir); left != "out-00001-of-00002" {
		t.Errorf("left %s", left)
	}
}

func TestUmask(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "out")
	s, err := Create(path, ShardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Commit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(w.Files[0])
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640", info.Mode(), err)
	}
}
