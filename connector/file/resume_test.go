package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/internal/vfs"
)

// copyOf is a morsel that outlasts the next.
func copyOf(m *catalog.Morsel) catalog.Morsel {
	c := *m
	c.Data = bytes.Clone(m.Data)
	return c
}

func all(t *testing.T, l *Lines) (out []catalog.Morsel) {
	t.Helper()
	for {
		var m catalog.Morsel
		err := l.Next(context.Background(), &m)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, copyOf(&m))
	}
}

// variousLines is text with short lines and long ones, some over the limit.
func variousLines(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < size {
		n := r.IntN(100)
		switch r.IntN(4000) {
		case 0:
			n = r.IntN(3 << 20)
		case 1:
			if r.IntN(20) == 0 {
				n = MaxRecordBytes + r.IntN(1<<20)
			}
		}
		b.WriteString(strings.Repeat("x", n))
		fmt.Fprintf(&b, "%d\n", r.IntN(1e6))
	}
	return b.Bytes()
}

func TestLinesResumeAnywhere(t *testing.T) {
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	z.Write(variousLines(3, 2<<20))
	z.Close()
	long := append(bytes.Repeat([]byte("y"), MaxRecordBytes+5), "\nafter\n"...)
	var paths []string
	for i, data := range [][]byte{append([]byte("\xef\xbb\xbf"), variousLines(1, 3<<20)...), nil, gz.Bytes(), []byte("one, without its newline"), append(long, variousLines(2, 3<<20)...)} {
		name := fmt.Sprintf("%d.txt", i)
		if i == 2 {
			name += ".gz"
		}
		paths = append(paths, put(t, name, data))
	}
	want := all(t, NewLines(paths, Auto, SplitLines))
	if len(want) < 10 {
		t.Fatalf("%d morsels", len(want))
	}
	for i, after := range want {
		if after.Seq != int64(i) {
			t.Errorf("morsel %d has Seq %d", i, after.Seq)
		}
		l := NewLines(paths, Auto, SplitLines)
		if err := l.Resume(context.Background(), catalog.Resume{Positions: map[string]string{"": after.Position}}); err != nil {
			t.Fatal(err)
		}
		got := all(t, l)
		same := func(a, b catalog.Morsel) bool {
			return a.Seq == b.Seq && a.File == b.File && a.Line == b.Line && a.Position == b.Position && a.Part == b.Part && bytes.Equal(a.Data, b.Data)
		}
		if !slices.EqualFunc(got, want[i+1:], same) {
			t.Fatalf("after morsel %d (%s) the others are not the same", i, after.Position)
		}
	}
}

func TestLinesResumeOfChangedFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	os.WriteFile(path, variousLines(1, 1<<20), 0o666)
	first := all(t, NewLines([]string{path}, Auto, SplitLines))[0]
	resume := func(paths ...string) error {
		l := NewLines(paths, Auto, SplitLines)
		err := l.Resume(context.Background(), catalog.Resume{Positions: map[string]string{"": first.Position}})
		if err != nil {
			return err
		}
		var m catalog.Morsel
		defer l.Close()
		return l.Next(context.Background(), &m)
	}
	if err := resume(path); err != nil {
		t.Error(err)
	}
	if err := resume(filepath.Join(dir, "a"), path); err == nil || !strings.Contains(err.Error(), "is not where it was") {
		t.Errorf("another file before it: %v", err)
	}
	os.WriteFile(path, variousLines(2, 1<<20), 0o666)
	if err := resume(path); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("another content: %v", err)
	}
}

// lookout is a watch in a folder, with a clock of the test's.
type lookout struct {
	t   *testing.T
	dir string
	l   *Lines
}

func newLookout(t *testing.T, dir string) *lookout {
	l := OpenLines(Input{Key: "path", Pattern: filepath.Join(dir, "*.txt"), Every: time.Millisecond}, Auto, SplitLines)
	o := &lookout{t: t, dir: dir, l: l}
	t.Cleanup(func() { l.Close() })
	return o
}

// put makes a file that was whole long ago.
func (o *lookout) put(name, text string) {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		o.t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		o.t.Fatal(err)
	}
}

func (o *lookout) next() catalog.Morsel {
	o.t.Helper()
	var m catalog.Morsel
	if err := o.l.Next(context.Background(), &m); err != nil {
		o.t.Fatal(err)
	}
	return copyOf(&m)
}

func (o *lookout) want(text string) catalog.Morsel {
	o.t.Helper()
	m := o.next()
	if string(m.Data) != text {
		o.t.Fatalf("got %q of %s, wanted %q", m.Data, m.File, text)
	}
	return m
}

func (o *lookout) resume(state, position string) error {
	positions := map[string]string{}
	if position != "" {
		positions[""] = position
	}
	return o.l.Resume(context.Background(), catalog.Resume{Dir: state, Positions: positions})
}

func TestWatch(t *testing.T) {
	o := newLookout(t, t.TempDir())
	for _, name := range []string{".hidden.txt", "_part.txt", "x.txt.tmp", "x.txt.part", "other"} {
		o.put(name, "no\n")
	}
	o.put("b.txt", "b\n")
	o.put("a.txt", "a\n")
	o.want("a\n")
	o.want("b\n")
	o.put("0.txt", "0\n") // new, though its name comes before
	o.want("0\n")
	o.put("a.txt", "changed\n")
	o.put("c.txt", "c")
	o.want("c")
	if notes := o.l.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "a.txt") {
		t.Errorf("notes: %q", notes)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var m catalog.Morsel
	if err := o.l.Next(ctx, &m); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWatchLeavesFilesThatChange(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	w := newWatch(Input{Pattern: filepath.Join(dir, "*"), Every: time.Hour}, func(string) {})
	w.now = func() time.Time { return now }
	path := filepath.Join(dir, "a")
	look := func(want int) {
		t.Helper()
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
		if len(w.queue) != want {
			t.Fatalf("%d files were taken, wanted %d", len(w.queue), want)
		}
	}
	os.WriteFile(path, []byte("1"), 0o666)
	look(0)
	os.WriteFile(path, []byte("12"), 0o666)
	look(0)
	look(1)
}

func TestWatchResume(t *testing.T) {
	dir, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
	o := newLookout(t, dir)
	if err := o.resume(state, ""); err != nil {
		t.Fatal(err)
	}
	long := string(variousLines(9, 700<<10))
	o.put("b.txt", "b\n")
	o.put("c.txt", long)
	o.put("d.txt", "d\n")
	after := []catalog.Morsel{o.want("b\n"), o.next()}
	o.put("a.txt", "a\n")
	for len(after) < 6 && !strings.HasSuffix(after[len(after)-1].File, "a.txt") {
		after = append(after, o.next())
	}
	for i, m := range after {
		again := newLookout(t, dir)
		if err := again.resume(state, m.Position); err != nil {
			t.Fatal(err)
		}
		for _, want := range after[i+1:] {
			got := again.next()
			if got.File != want.File || got.Seq != want.Seq || !bytes.Equal(got.Data, want.Data) || got.Position != want.Position {
				t.Fatalf("after morsel %d: got %s at %s, wanted %s at %s", i, got.File, got.Position, want.File, want.Position)
			}
		}
		if i == len(after)-1 {
			again.put("e.txt", "e\n")
			again.want("e\n")
		}
		again.l.Close()
	}
}

func TestWatchResumeWithoutTheFile(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	o := newLookout(t, dir)
	if err := o.resume(state, ""); err != nil {
		t.Fatal(err)
	}
	o.put("a.txt", string(variousLines(9, 700<<10)))
	o.put("b.txt", "b\n")
	m := o.next()
	o.l.Close()
	os.Remove(filepath.Join(dir, "a.txt"))
	again := newLookout(t, dir)
	if err := again.resume(state, m.Position); err != nil {
		t.Fatal(err)
	}
	again.want("b\n")
	if notes := again.l.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "was gone") {
		t.Errorf("notes: %q", notes)
	}
}

func TestWatchReplacedFile(t *testing.T) {
	dir := t.TempDir()
	w := newWatch(Input{Pattern: filepath.Join(dir, "*.txt"), Every: time.Millisecond}, func(string) {})
	o := &lookout{t: t, dir: dir}
	taken := func(want int64) {
		t.Helper()
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
		if w.number != want {
			t.Fatalf("%d files were taken, wanted %d", w.number, want)
		}
	}
	o.put("a.txt", "1")
	info, _ := os.Stat(filepath.Join(dir, "a.txt"))
	taken(1)
	os.Remove(filepath.Join(dir, "a.txt"))
	taken(1)
	o.put("a.txt", "1") // a disk that was away for a while
	os.Chtimes(filepath.Join(dir, "a.txt"), info.ModTime(), info.ModTime())
	taken(1)
	os.Remove(filepath.Join(dir, "a.txt"))
	taken(1)
	o.put("a.txt", "other")
	taken(2)
}

func TestJournalTornLine(t *testing.T) {
	dir := t.TempDir()
	j, _, err := openJournal(vfs.OS, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.add([]Taken{{Number: 0, Path: "a"}, {Number: 1, Path: "not UTF-8 \xff"}}), j.close()); err != nil {
		t.Fatal(err)
	}
	f, _ := os.OpenFile(filepath.Join(dir, journalName), os.O_APPEND|os.O_WRONLY, 0)
	f.WriteString(`{"n":2,"pa`)
	f.Close()
	j, entries, err := openJournal(vfs.OS, dir, true)
	if err != nil || len(entries) != 2 || entries[1].Path != "not UTF-8 \xff" {
		t.Fatalf("got %v, %v", entries, err)
	}
	if err := errors.Join(j.add([]Taken{{Number: 2, Path: "c"}}), j.close()); err != nil {
		t.Fatal(err)
	}
	if entries, _, _ = readJournal(vfs.OS, j.path); len(entries) != 3 {
		t.Errorf("got %v", entries)
	}
}

func TestStandardInput(t *testing.T) {
	r, w := io.Pipe()
	l := OpenLines(Input{Key: "path", Pattern: Dash}, Auto, SplitLines)
	l.standard.from = r
	defer l.Close()
	var m catalog.Morsel
	next := func(want string, line int64) {
		t.Helper()
		if err := l.Next(context.Background(), &m); err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != want || m.Line != line {
			t.Fatalf("got %q at line %d, wanted %q at line %d", m.Data, m.Line, want, line)
		}
	}
	go io.WriteString(w, "a\nb\nhalf")
	next("a\nb\n", 1)
	go func() {
		io.WriteString(w, " a line\nlast")
		w.Close()
	}()
	next("half a line\n", 3)
	next("last", 4)
	for range 2 {
		if err := l.Next(context.Background(), &m); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v at the end", err)
		}
	}
}

func TestStandardInputGivenUp(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	l := OpenLines(Input{Key: "path", Pattern: Dash}, Auto, SplitLines)
	l.standard.from = r
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	var m catalog.Morsel
	if err := l.Next(ctx, &m); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestStandardOutput(t *testing.T) {
	var out bytes.Buffer
	s := &standardOutput{to: &out, header: []byte("h\n")}
	if err := errors.Join(s.Put(0, []byte("a\n")), s.Put(1, nil), s.Put(1, []byte("b\n"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(context.Background()); err != nil || out.String() != "h\na\nb\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}
