package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leat-project/leat/internal/vfs"
)

// ledger drives a Roll as the engine does, and remembers what the last durable checkpoint said.
type ledger struct {
	t      *testing.T
	path   string
	o      RollOptions
	epoch  int64
	staged []byte
	roll   *Roll
}

func newLedger(t *testing.T, name string, o RollOptions) *ledger {
	t.Helper()
	o.Keep = true
	l := &ledger{t: t, path: filepath.Join(t.TempDir(), name), o: o}
	l.restart()
	return l
}

// restart is what a new process does, the old one being gone without a word.
func (l *ledger) restart() {
	l.t.Helper()
	if l.roll != nil {
		for _, f := range l.roll.open {
			f.file.Close()
		}
	}
	l.roll = NewRoll(l.path, l.o)
	if err := l.roll.Recover(context.Background(), l.epoch, l.staged); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) put(window int64, rows ...string) {
	l.t.Helper()
	if err := l.roll.Put(window, []byte(strings.Join(rows, "\n")+"\n")); err != nil {
		l.t.Fatal(err)
	}
}

// checkpoint makes an epoch up to the point where it crashes: "prepare", "decide", "commit"; "": it does not.
func (l *ledger) checkpoint(crash string) {
	l.t.Helper()
	staged, err := l.roll.Prepare(context.Background(), l.epoch+1)
	if err != nil {
		l.t.Fatal(err)
	}
	if crash == "prepare" {
		l.restart()
		return
	}
	l.epoch, l.staged = l.epoch+1, staged
	if crash == "decide" {
		l.restart()
		return
	}
	if err := l.roll.CommitEpoch(context.Background(), l.epoch, staged); err != nil {
		l.t.Fatal(err)
	}
	if crash == "commit" {
		l.restart()
	}
}

// end drains the stream.
func (l *ledger) end() {
	l.t.Helper()
	if err := l.roll.Verify(context.Background()); err != nil {
		l.t.Fatal(err)
	}
	l.checkpoint("")
	if _, err := l.roll.Commit(context.Background()); err != nil {
		l.t.Fatal(err)
	}
	if err := l.roll.Abort(); err != nil {
		l.t.Fatal(err)
	}
}

// visible returns the lines of all files under final names, and the names; hidden files are counted.
func (l *ledger) visible() (lines, names []string, hidden int) {
	l.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(l.path))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			hidden++
			continue
		}
		names = append(names, e.Name())
		s, err := OpenStream(filepath.Join(filepath.Dir(l.path), e.Name()), Auto, nil)
		if err != nil {
			l.t.Fatal(err)
		}
		text, err := io.ReadAll(s)
		if err != nil {
			l.t.Fatal(err)
		}
		s.Close()
		lines = append(lines, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	return lines, names, hidden
}

func (l *ledger) want(want ...string) {
	l.t.Helper()
	got, names, _ := l.visible()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.t.Errorf("%v hold %q, wanted %q", names, got, want)
	}
}

func TestRollIsExactlyOnce(t *testing.T) {
	for _, name := range []string{"out.txt", "out.txt.gz", "out.txt.zst", "out"} {
		for _, every := range []time.Duration{time.Nanosecond, time.Hour} {
			for _, crash := range []string{"", "prepare", "decide", "commit"} {
				t.Run(fmt.Sprint(name, every, crash), func(t *testing.T) {
					l := newLedger(t, name, RollOptions{Every: every})
					l.put(GlobalWindow, "a", "b")
					l.put(60_000, "w1")
					l.checkpoint("")
					l.put(GlobalWindow, "c")
					l.checkpoint(crash)
					if crash == "prepare" { // the source reads it again
						l.put(GlobalWindow, "c")
					}
					l.put(60_000, "w2")
					l.checkpoint("")
					l.put(GlobalWindow, strings.Repeat("lost", 1000))
					if f := l.roll.open[GlobalWindow]; f != nil {
						if err := f.flush(); err != nil { // what no checkpoint knows lies on disk
							t.Fatal(err)
						}
					}
					l.restart()
					l.put(GlobalWindow, "d")
					l.end()
					l.want("a", "b", "c", "d", "w1", "w2")
					if _, _, hidden := l.visible(); hidden > 0 {
						t.Errorf("%d hidden files are left", hidden)
					}
				})
			}
		}
	}
}

func TestRollShowsOnlyWhatIsCommitted(t *testing.T) {
	l := newLedger(t, "out.json", RollOptions{Every: time.Nanosecond})
	l.put(GlobalWindow, "1")
	l.want()
	if _, err := l.roll.Prepare(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	l.want()
	l.checkpoint("") // of the epoch after it, which knows the file, too
	l.want("1")
	if err := l.roll.CommitEpoch(context.Background(), l.epoch, l.staged); err != nil {
		t.Errorf("a second time: %v", err)
	}
	l.want("1")
}

func TestRollNames(t *testing.T) {
	l := newLedger(t, "events.json.gz", RollOptions{Header: []byte("h\n")})
	l.put(GlobalWindow, "g")
	l.put(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixMilli(), "w")
	l.end()
	_, names, _ := l.visible()
	if want := []string{"events-00000.json.gz", "events-2026-01-31T12-00-00Z-00001.json.gz"}; !slices.Equal(names, want) {
		t.Errorf("got %q, wanted %q", names, want)
	}
	l.want("h", "g", "h", "w")
	l.epoch, l.staged = 0, nil // a new job does not overwrite what is there
	l.restart()
	l.put(GlobalWindow, "more")
	l.end()
	l.want("h", "g", "h", "w", "h", "more")
}

func TestRollBySize(t *testing.T) {
	l := newLedger(t, "out", RollOptions{Bytes: 10, Every: time.Hour})
	for i := range 10 {
		l.put(GlobalWindow, fmt.Sprintf("row %d", i))
	}
	l.checkpoint("")
	if _, names, _ := l.visible(); len(names) != 5 {
		t.Errorf("got %q, wanted 5 files", names)
	}
}

func TestRollBoundsOpenFiles(t *testing.T) {
	l := newLedger(t, "out", RollOptions{Every: time.Hour})
	var want []string
	for i := range 2 * maxOpenFiles {
		l.put(int64(i)*1000, fmt.Sprint(i))
		want = append(want, fmt.Sprint(i))
	}
	if n := len(l.roll.open); n != maxOpenFiles {
		t.Errorf("%d files are open", n)
	}
	l.checkpoint("decide")
	l.end()
	l.want(want...)
}

func TestRollLeavesOthersAlone(t *testing.T) {
	l := newLedger(t, "events.json", RollOptions{})
	dir := filepath.Dir(l.path)
	for _, name := range []string{".leat-events-late-00000.json.inprogress", ".leat-events-00000.csv.inprogress", ".events-00000.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	l.restart()
	if _, _, hidden := l.visible(); hidden != 3 {
		t.Errorf("%d of 3 hidden files of others are left", hidden)
	}
}

func TestRollDiskFull(t *testing.T) {
	disk := &vfs.Faulty{FS: vfs.OS}
	full := true
	disk.Fail = func(op vfs.Op, _ string) error {
		if op == vfs.OpWrite && full {
			return syscall.ENOSPC
		}
		return nil
	}
	l := newLedger(t, "out.gz", RollOptions{FS: disk, Every: time.Nanosecond})
	l.put(GlobalWindow, "kept")
	if _, err := l.roll.Prepare(context.Background(), 1); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Fatalf("got %v, wanted that the disk is full", err)
	}
	full = false
	l.put(GlobalWindow, "too")
	l.checkpoint("")
	l.want("kept", "too")
}

func TestRollFailures(t *testing.T) {
	injected := errors.New("injected")
	for _, op := range []vfs.Op{vfs.OpSync, vfs.OpRename, vfs.OpSyncDir, vfs.OpCreate, vfs.OpClose} {
		t.Run(string(op), func(t *testing.T) {
			disk := &vfs.Faulty{FS: vfs.OS}
			l := newLedger(t, "out", RollOptions{FS: disk, Every: time.Nanosecond})
			l.put(GlobalWindow, "a")
			l.checkpoint("")
			disk.Fail = func(o vfs.Op, _ string) error {
				if o == op {
					return injected
				}
				return nil
			}
			err := l.roll.Put(GlobalWindow, []byte("b\n"))
			staged, errPrepare := l.roll.Prepare(context.Background(), 2)
			committed := err == nil && errPrepare == nil
			if committed {
				l.epoch, l.staged = 2, staged
				errPrepare = l.roll.CommitEpoch(context.Background(), 2, staged)
			}
			if errors.Join(err, errPrepare) == nil {
				t.Fatal("nothing failed")
			}
			if err := l.roll.Abort(); err != nil {
				t.Error(err)
			}
			disk.Fail = nil
			l.restart()
			if !committed {
				l.put(GlobalWindow, "b")
			}
			l.end()
			l.want("a", "b")
		})
	}
}

func TestRollFolderGone(t *testing.T) {
	l := newLedger(t, "deep/out", RollOptions{Every: time.Nanosecond})
	l.put(GlobalWindow, "a")
	staged, err := l.roll.Prepare(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(l.path)); err != nil {
		t.Fatal(err)
	}
	if err := l.roll.CommitEpoch(context.Background(), 1, staged); err == nil {
		t.Error("files of a folder that is gone were committed")
	}
}

func TestRollMissingInProgress(t *testing.T) {
	l := newLedger(t, "out", RollOptions{})
	l.put(GlobalWindow, "a")
	l.checkpoint("")
	if err := os.Remove(l.roll.temp("out-00000")); err != nil {
		t.Fatal(err)
	}
	err := NewRoll(l.path, l.o).Recover(context.Background(), l.epoch, l.staged)
	if err == nil || !strings.Contains(err.Error(), "cannot go on with") {
		t.Errorf("got %v", err)
	}
	l.roll.Abort()
}

func TestRollTakenAway(t *testing.T) {
	l := newLedger(t, "out", RollOptions{Every: time.Nanosecond})
	l.put(GlobalWindow, "a")
	l.checkpoint("")
	if err := os.Remove(l.path + "-00000"); err != nil { // by whoever uses the files
		t.Fatal(err)
	}
	l.restart()
	l.put(GlobalWindow, "b")
	l.end()
	l.want("b")
}

func TestRollWithoutCheckpoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	r := NewRoll(path, RollOptions{})
	if err := errors.Join(r.Recover(context.Background(), 0, nil), r.Put(GlobalWindow, []byte("a\n")), r.Abort(), r.Abort()); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) > 0 {
		t.Errorf("%v is left", entries)
	}
}
