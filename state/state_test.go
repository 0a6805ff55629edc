package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/internal/vfs"
)

// fill makes checkpoints of epochs 1 to n, whose sinks have committed, and returns the folder.
func fill(t *testing.T, n int, sinks bool) string {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	participants := map[string]Participant{}
	if sinks {
		participants["out"] = &simSink{server: &server{}, step: func() {}}
	}
	for range n {
		epoch := s.NextEpoch()
		f, err := s.WriteFile(s.NextFile(), func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "state of epoch %d", epoch)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		c := &Checkpoint{Job: "test", Epoch: epoch, Parts: []Part{{Name: "p", Files: []File{f}}}}
		if sinks {
			c.Sinks = []Sink{{Name: "out", Staged: []byte("[]")}}
		}
		last := s.LastFile()
		if err := s.Decide(c); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), c, participants); err != nil {
			t.Fatal(err)
		}
		if err := s.Clean(last); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// damage changes a byte in the middle of the files that match.
func damage(t *testing.T, dir, pattern string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) != 1 {
		t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 0x20
	if err := os.WriteFile(names[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedCheckpoints(t *testing.T) {
	tests := []struct {
		name   string
		sinks  bool
		damage string // a file of epoch 5, the last
		want   int64  // the epoch that counts; 0: a DamagedError of epoch 5 that names epoch 4
	}{
		{"nothing", true, "", 5},
		{"manifest, outputs are out", true, "epoch-*5.json", 0},
		{"state, outputs are out", true, "seg-*5", 0},
		{"manifest, no outputs", false, "epoch-*5.json", 4},
		{"state, no outputs", false, "seg-*5", 4},
		{"an older one", true, "epoch-*4.json", 5},
	}
	for _, test := range tests {
		dir := fill(t, 5, test.sinks)
		if test.damage != "" {
			damage(t, dir, test.damage)
		}
		s, err := Open(vfs.OS, dir)
		if err != nil {
			t.Fatal(err)
		}
		c, notes, err := s.Load()
		var damaged *DamagedError
		switch {
		case test.want == 0:
			if !errors.As(err, &damaged) || damaged.Epoch != 5 || damaged.Older != 4 {
				t.Errorf("%s: got %v, %v", test.name, c, err)
			}
		case err != nil || c == nil || c.Epoch != test.want:
			t.Errorf("%s: got %v, %v", test.name, c, err)
		case test.want == 4 && len(notes) != 1:
			t.Errorf("%s: notes %q", test.name, notes)
		}
		if next := s.NextEpoch(); next != 6 {
			t.Errorf("%s: the next epoch is %d", test.name, next)
		}
		s.Close()
	}
}

func TestOldEpochsAreRemoved(t *testing.T) {
	dir := fill(t, 9, true)
	for pattern, want := range map[string]int{"epoch-*": kept, "seg-*": kept, "*.tmp": 0} {
		if names, _ := filepath.Glob(filepath.Join(dir, pattern)); len(names) != want {
			t.Errorf("%s: %q, want %d", pattern, names, want)
		}
	}
}

func TestTwoRunsCannotOverlap(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := Open(vfs.OS, dir); !errors.As(err, &busy) {
		t.Errorf("a second run: %v", err)
	}
	if _, err := View(dir); err != nil {
		t.Errorf("a look at it: %v", err)
	}
	s.Close()
	again, err := Open(vfs.OS, dir)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	again.Close()
}

func TestSavepoints(t *testing.T) {
	dir := fill(t, 2, true)
	s, err := Open(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := s.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(c, "before"); err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]string{"before": "there is a savepoint", "../x": "no name", "": "no name"} {
		if err := s.Save(c, name); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("save %q: %v", name, err)
		}
	}
	if names, err := s.Savepoints(); err != nil || len(names) != 1 || names[0] != "before" {
		t.Errorf("savepoints: %q, %v", names, err)
	}
	if _, err := s.Restore("beore"); err == nil || !strings.Contains(err.Error(), `"before"`) {
		t.Errorf("restore of another: %v", err)
	}
	restored, err := s.Restore("before")
	if err != nil || restored.Epoch != 3 || len(restored.Sinks) != 0 {
		t.Fatalf("restore: %+v, %v", restored, err)
	}
	if loaded, _, err := s.Load(); err != nil || loaded.Epoch == 3 || s.IsRestored(loaded, "before") {
		t.Errorf("before it is decided: %+v, %v", loaded, err)
	}
	if err := s.Decide(restored); err != nil {
		t.Fatal(err)
	}
	if loaded, _, err := s.Load(); err != nil || loaded.Epoch != 3 || !s.IsRestored(loaded, "before") {
		t.Errorf("load: %+v, %v", loaded, err)
	}
	if err := s.RemoveSavepoint("beore"); err == nil {
		t.Error("a savepoint is removed that is not there")
	}
	if err := s.RemoveSavepoint("before"); err != nil {
		t.Error(err)
	}
	if names, err := s.Savepoints(); err != nil || len(names) > 0 {
		t.Errorf("savepoints: %q, %v", names, err)
	}
	if err := s.Drop("q"); err == nil || !strings.Contains(err.Error(), `"p"`) {
		t.Errorf("drop of another part: %v", err)
	}
	if err := s.Drop("p"); err != nil {
		t.Error(err)
	}
	if loaded, _, err := s.Load(); err != nil || len(loaded.Parts) != 0 {
		t.Errorf("after drop: %+v, %v", loaded, err)
	}
}

// TestManifestOfALaterRelease is refused by its version, whatever else it holds.
func TestManifestOfALaterRelease(t *testing.T) {
	dir := fill(t, 1, true)
	s, err := Open(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := &Checkpoint{Version: Version + 1, Epoch: 2, Program: "v9.9"}
	text, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.replace(s.manifestPath(2), text); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "v9.9") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	text, err := (&Checkpoint{Version: Version, Epoch: 3, Parts: []Part{{Name: "p", Data: []byte{1}}}}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("crc32c 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := decode(data); err == nil && c.Version != Version {
			t.Errorf("version %d was read", c.Version)
		}
	})
}

// TestGoingBackToWhatIsNotCommitted goes back to the last checkpoint, by a savepoint or by its epoch, when the machine has crashed before the sinks committed it.
// Its rows are put out all the same, once, however often it is done.
func TestGoingBackToWhatIsNotCommitted(t *testing.T) {
	back := map[string]func(s *Store, c *Checkpoint) (*Checkpoint, error){
		"savepoint": func(s *Store, c *Checkpoint) (*Checkpoint, error) {
			if err := s.Save(c, "saved"); err != nil {
				return nil, err
			}
			c, err := s.Restore("saved")
			if err != nil {
				return nil, err
			}
			return c, s.Decide(c)
		},
		"epoch": func(s *Store, c *Checkpoint) (*Checkpoint, error) { return s.Rollback(c.Epoch) },
	}
	for name, f := range back {
		s, err := Open(vfs.OS, fill(t, 2, true))
		if err != nil {
			t.Fatal(err)
		}
		sink := &simSink{server: &server{epoch: 2}, step: func() {}}
		c := &Checkpoint{Job: "test", Epoch: s.NextEpoch(), Taken: time.Now(), Sinks: []Sink{{Name: "out", Staged: []byte("[7]")}}}
		if err := s.Decide(c); err != nil {
			t.Fatal(err)
		}
		if c, _, err = s.Load(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if c, err = f(s, c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := Recover(t.Context(), c, map[string]Participant{"out": sink}); err != nil {
				t.Fatal(err)
			}
			if name == "savepoint" {
				if err := s.RemoveSavepoint("saved"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(sink.rows) != 1 {
			t.Errorf("%s: the sink has the rows %d, want 7 alone", name, sink.rows)
		}
		s.Close()
	}
}
