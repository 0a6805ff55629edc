package intake

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/internal/vfs"
)

func open(t *testing.T, fs vfs.FS, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(fs, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// add appends a message and waits until it is safe.
func add(t *testing.T, l *Log, message string) {
	t.Helper()
	if err := <-l.Append(t.Context(), "p", 7, []byte("m"), []byte(message)); err != nil {
		t.Fatal(err)
	}
}

// rest reads what a log holds from where it is read.
func rest(t *testing.T, l *Log) (out []string) {
	t.Helper()
	var into []Entry
	for l.read.next < l.End() {
		if err := l.Next(t.Context(), &into, 3); err != nil {
			t.Fatal(err)
		}
		for _, e := range into {
			if e.Partition != "p" || e.Time != 7 || string(e.Meta) != "m" {
				t.Fatalf("entry %+v", e)
			}
			out = append(out, fmt.Sprintf("%d=%s", e.Offset, e.Message))
		}
	}
	return out
}

func same(t *testing.T, got []string, want string) {
	t.Helper()
	if s := strings.Join(got, " "); s != want {
		t.Fatalf("got %q, wanted %q", s, want)
	}
}

func TestLogOutlastsItsProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	l := open(t, vfs.OS, dir, Options{})
	add(t, l, "one")
	add(t, l, "")
	same(t, rest(t, l), "0=one 1=")
	l.Close()
	for range 3 { // what is opened again and again stays the same
		l = open(t, vfs.OS, dir, Options{})
		same(t, rest(t, l), "0=one 1=")
		l.Close()
	}
	l = open(t, vfs.OS, dir, Options{})
	add(t, l, "three")
	if err := l.SeekTo(1); err != nil {
		t.Fatal(err)
	}
	same(t, rest(t, l), "1= 2=three")
	if names, _ := vfs.OS.List(dir); len(names) != 1 {
		t.Fatalf("files %v", names)
	}
	for _, bad := range []int64{-1, 4} {
		if err := l.SeekTo(bad); err == nil {
			t.Fatalf("it went to %d", bad)
		}
	}
}

func TestManyAppendAtOnce(t *testing.T) {
	dir := t.TempDir()
	syncs := 0
	files := &vfs.Faulty{FS: vfs.OS, Fail: func(op vfs.Op, _ string) error {
		if op == vfs.OpSync {
			syncs++
		}
		return nil
	}}
	l := open(t, files, dir, Options{SegmentBytes: 2000})
	var all sync.WaitGroup
	const appenders, each = 8, 200
	for a := range appenders {
		all.Go(func() {
			for i := range each {
				if err := <-l.Append(t.Context(), "p", 7, []byte("m"), fmt.Appendf(nil, "%d/%d", a, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := map[string]bool{}
	var into []Entry
	last := [appenders]int{}
	for len(seen) < appenders*each {
		if err := l.Next(t.Context(), &into, 100); err != nil {
			t.Fatal(err)
		}
		for _, e := range into {
			var a, i int
			fmt.Sscanf(string(e.Message), "%d/%d", &a, &i)
			if e.Offset != int64(len(seen)) || seen[string(e.Message)] || i != last[a] {
				t.Fatalf("message %q at %d", e.Message, e.Offset)
			}
			last[a]++
			seen[string(e.Message)] = true
		}
	}
	all.Wait()
	if len(l.files) < 5 {
		t.Errorf("%d files", len(l.files))
	}
	t.Logf("%d messages, %d syncs, %d files", len(seen), syncs, len(l.files))
}

func TestDropGivesRoom(t *testing.T) {
	dir := t.TempDir()
	l := open(t, vfs.OS, dir, Options{MaxBytes: 4000})
	message := strings.Repeat("x", 300)
	for i := range 100 { // far more than it holds
		for l.Held() > 3000 {
			if err := l.Drop(int64(i), int64(i)); err != nil {
				t.Fatal(err)
			}
		}
		add(t, l, message)
	}
	if err := l.Drop(100, 100); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, vfs.OS, dir, Options{MaxBytes: 4000})
	if l.End() != 100 {
		t.Fatalf("the log ends at %d", l.End())
	}
	if err := l.SeekTo(100); err != nil {
		t.Fatal(err)
	}
	add(t, l, "next")
	same(t, rest(t, l), "100=next")
}

// What someone may go back to stays while it leaves half of the room.
func TestDropKeepsWhatIsWanted(t *testing.T) {
	l := open(t, vfs.OS, t.TempDir(), Options{SegmentBytes: 100, MaxBytes: 10_000})
	message := strings.Repeat("x", 100)
	for range 20 {
		add(t, l, message)
	}
	if err := l.Drop(20, 5); err != nil || l.First() > 5 || l.First() < 3 {
		t.Fatalf("it begins at %d: %v", l.First(), err)
	}
	for range 40 {
		add(t, l, message)
	}
	if err := l.Drop(60, 5); err != nil || l.First() <= 5 || l.First() >= 55 || l.Held() > 5_000 {
		t.Fatalf("it begins at %d with %d bytes: %v", l.First(), l.Held(), err)
	}
	var p *catalog.Problem
	err := l.SeekTo(5)
	if begin := fmt.Sprintf("from %d on", l.First()); !errors.As(err, &p) || !strings.Contains(p.Hint, begin) || !strings.Contains(p.Hint, "state drop") {
		t.Errorf("%v", err)
	}
	if n, err := Messages(vfs.OS, l.dir); err != nil || n != 60-l.First() {
		t.Errorf("%d messages: %v", n, err)
	}
	for want, positions := range map[int64][]map[string]string{math.MaxInt64: nil, 7: {{"": "9"}, {"": "7"}}, 0: {{"": "9"}, nil}} {
		if got := Wanted(positions); got != want {
			t.Errorf("%v: %d", positions, got)
		}
	}
}

func TestAppendWaitsWhileFull(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		l := open(t, vfs.OS, dir, Options{MaxBytes: 2000})
		var waiting []<-chan error
		n := 0
		for {
			ctx, cancel := context.WithCancel(t.Context())
			l.mu.Lock()
			full := l.full(600)
			l.mu.Unlock()
			if full {
				cancel()
			}
			done := l.Append(ctx, "p", 7, nil, make([]byte, 550))
			cancel()
			if full {
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Fatalf("%q: a full log said %v", dir, err)
				}
				break
			}
			waiting = append(waiting, done)
			if n++; n > 3 {
				t.Fatalf("%q: the log is not bounded", dir)
			}
		}
		late := make(chan error)
		go func() { late <- <-l.Append(t.Context(), "p", 7, nil, make([]byte, 550)) }()
		var into []Entry
		for read := 0; read < n; read += len(into) {
			if err := l.Next(t.Context(), &into, 10); err != nil {
				t.Fatal(err)
			}
		}
		for _, done := range waiting {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Drop(int64(n), int64(n)); err != nil {
			t.Fatal(err)
		}
		if dir == "" {
			for len(into) == 0 || into[0].Offset < int64(n) {
				if err := l.Next(t.Context(), &into, 10); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := <-late; err != nil {
			t.Fatal(err)
		}
	}
}

// slowDisk lets syncs of files that hold messages wait.
type slowDisk struct {
	vfs.FS
	syncing, goOn chan struct{}
}

type slowFile struct {
	vfs.File
	disk   *slowDisk
	synced bool // its beginning
}

func (d *slowDisk) Create(name string) (vfs.File, error) {
	f, err := d.FS.Create(name)
	return &slowFile{File: f, disk: d}, err
}

func (f *slowFile) Sync() error {
	if f.synced {
		f.disk.syncing <- struct{}{}
		<-f.disk.goOn
	}
	f.synced = true
	return f.File.Sync()
}

// TestFullWhileWriting counts messages that are on their way to the disk.
func TestFullWhileWriting(t *testing.T) {
	disk := &slowDisk{FS: vfs.OS, syncing: make(chan struct{}), goOn: make(chan struct{})}
	l := open(t, disk, t.TempDir(), Options{MaxBytes: 2000})
	done := l.Append(t.Context(), "p", 7, nil, make([]byte, 1500))
	<-disk.syncing
	l.mu.Lock()
	if !l.full(600) {
		t.Error("there is room for 600 bytes beside 1500 of 2000")
	}
	l.mu.Unlock()
	close(disk.goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestTooLargeAndClosed(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		l := open(t, vfs.OS, dir, Options{MaxBytes: 2000})
		if err := <-l.Append(t.Context(), "p", 7, nil, make([]byte, 2500)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		ended := make(chan error)
		go func() {
			var into []Entry
			ended <- l.Next(context.Background(), &into, 1)
		}()
		l.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Next after Close: %v", err)
		}
		if err := <-l.Append(t.Context(), "p", 7, nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Append after Close: %v", err)
		}
	}
}

func TestInMemory(t *testing.T) {
	l := open(t, vfs.OS, "", Options{})
	done := l.Append(t.Context(), "p", 7, []byte("m"), []byte("one"))
	select {
	case <-done:
		t.Fatal("done before it was taken")
	default:
	}
	var into []Entry
	if err := l.Next(t.Context(), &into, 5); err != nil || len(into) != 1 || string(into[0].Message) != "one" || into[0].Offset != 0 {
		t.Fatal(into, err)
	}
	if err := <-done; err != nil || l.Held() != 0 {
		t.Fatal(err, l.Held())
	}
	lost := l.Append(t.Context(), "p", 7, nil, nil)
	l.Close()
	if err := <-lost; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// What fails is said to those who wait, what was safe stays, and what comes later is taken.
func TestFailingDisk(t *testing.T) {
	for _, failing := range []vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpCreate, vfs.OpSyncDir} {
		t.Run(string(failing), func(t *testing.T) {
			dir := t.TempDir()
			bad := errors.New("injected")
			var mu sync.Mutex
			broken := false
			files := &vfs.Faulty{FS: vfs.OS, Fail: func(op vfs.Op, _ string) error {
				mu.Lock()
				defer mu.Unlock()
				if broken && op == failing {
					return bad
				}
				return nil
			}}
			set := func(to bool) { mu.Lock(); defer mu.Unlock(); broken = to }
			l := open(t, files, dir, Options{SegmentBytes: 1}) // each group has its own file, so that Create fails, too
			add(t, l, "a")
			for range 3 {
				set(true)
				if err := <-l.Append(t.Context(), "p", 7, []byte("m"), []byte("lost")); !errors.Is(err, bad) {
					t.Fatalf("the failure was %v", err)
				}
			}
			set(false)
			add(t, l, "b")
			add(t, l, "c")
			same(t, rest(t, l), "0=a 1=b 2=c")
			l.Close()
			same(t, rest(t, open(t, vfs.OS, dir, Options{})), "0=a 1=b 2=c")
		})
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	files := &vfs.Faulty{FS: vfs.OS, Space: 1000}
	l := open(t, files, dir, Options{})
	want := []string{}
	for i := range 20 {
		message := fmt.Sprintf("%d%s", i, strings.Repeat("x", 100))
		err := <-l.Append(t.Context(), "p", 7, []byte("m"), []byte(message))
		if err == nil {
			want = append(want, fmt.Sprintf("%d=%s", i, message))
		} else if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if len(want) == 0 || len(want) == 20 {
		t.Fatalf("%d were taken", len(want))
	}
	l.Close()
	same(t, rest(t, open(t, vfs.OS, dir, Options{})), strings.Join(want, " "))
}

// A file that ends anywhere holds what was safe before that.
func TestTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	l := open(t, vfs.OS, dir, Options{})
	sizes := []int64{l.files[0].size}
	var want []string
	for i := range 6 {
		message := strings.Repeat("y", i*9)
		add(t, l, message)
		want = append(want, fmt.Sprintf("%d=%s", i, message))
		sizes = append(sizes, l.files[0].size)
	}
	name := filepath.Base(l.files[0].name)
	data, err := os.ReadFile(l.files[0].name)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for size := range int64(len(data)) + 1 {
		torn := t.TempDir()
		if err := os.WriteFile(filepath.Join(torn, name), data[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for whole < 6 && sizes[whole+1] <= size {
			whole++
		}
		l := open(t, vfs.OS, torn, Options{})
		same(t, rest(t, l), strings.Join(want[:whole], " "))
		add(t, l, "more")
		same(t, rest(t, l), fmt.Sprintf("%d=more", whole))
		l.Close()
		l = open(t, vfs.OS, torn, Options{})
		same(t, rest(t, l), strings.Join(append(append([]string{}, want[:whole]...), fmt.Sprintf("%d=more", whole)), " "))
		l.Close()
	}
}

// A changed byte loses nothing silently but the last group, which looks like one that was not synced.
func TestDamageAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	l := open(t, vfs.OS, dir, Options{SegmentBytes: 150})
	for i := range 8 {
		add(t, l, fmt.Sprintf("message %d", i))
	}
	files := l.files
	l.Close()
	for k, f := range files {
		data, err := os.ReadFile(f.name)
		if err != nil {
			t.Fatal(err)
		}
		for at := range data {
			changed := append([]byte{}, data...)
			changed[at] ^= 0x40
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(copied, filepath.Base(f.name)), changed, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(vfs.OS, copied, Options{})
			var damaged *DamagedError
			switch {
			case err == nil:
				if k != len(files)-1 || l.End() != 7 {
					t.Fatalf("file %d of %d, byte %d: opened, with %d messages", k, len(files), at, l.End())
				}
				l.Close()
			case !errors.As(err, &damaged) || filepath.Base(damaged.File) != filepath.Base(f.name):
				t.Fatalf("file %d, byte %d: %v", k, at, err)
			}
		}
	}
}

func TestMissingFile(t *testing.T) {
	dir := t.TempDir()
	l := open(t, vfs.OS, dir, Options{SegmentBytes: 1})
	for range 5 {
		add(t, l, "x")
	}
	name := l.files[2].name
	l.Close()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := Open(vfs.OS, dir, Options{}); !errors.As(err, &damaged) || damaged.Offset != 2 && damaged.Offset != 1 {
		t.Fatal(err)
	}
}

func TestDamageWhileRunning(t *testing.T) {
	dir := t.TempDir()
	l := open(t, vfs.OS, dir, Options{})
	add(t, l, "one")
	data, _ := os.ReadFile(l.files[0].name)
	data[len(data)-1]++
	if err := os.WriteFile(l.files[0].name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var into []Entry
	var damaged *DamagedError
	if err := l.Next(t.Context(), &into, 1); !errors.As(err, &damaged) || damaged.Offset != 0 {
		t.Fatal(err)
	}
}

// FuzzRecover opens whatever lies in a file: it never panics, and what it opens can be read and written.
func FuzzRecover(f *testing.F) {
	var n nonce
	frames := func(first int64, messages ...string) []byte {
		out := appendHeader(nil, n, first)
		for i, m := range messages {
			body := appendRecord(nil, "p", 7, []byte("m"), []byte(m))
			out = append(appendFrame(out, n, first+int64(i), 1, body), body...)
		}
		return out
	}
	f.Add([]byte{}, []byte{})
	f.Add(frames(0, "a", "b"), frames(2, "c"))
	f.Add(frames(0, "a", "b"), frames(1, "c"))
	f.Add(frames(5, "a")[:40], frames(5))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		dir := t.TempDir()
		for i, data := range [][]byte{one, two} {
			if err := os.WriteFile(fileName(dir, int64(i)), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := Open(vfs.OS, dir, Options{})
		if err != nil {
			return
		}
		defer l.Close()
		first, end := l.First(), l.End()
		var into []Entry
		for n := first; n < end; n += int64(len(into)) {
			if err := l.Next(t.Context(), &into, 10); err != nil {
				return // a frame with a good checksum that holds nonsense
			}
		}
		if err := <-l.Append(t.Context(), "p", 7, nil, []byte("more")); err != nil || l.End() != end+1 {
			t.Fatal(err, l.End(), end)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l, err := Open(vfs.OS, b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	message := make([]byte, 200)
	b.SetBytes(200)
	var last <-chan error
	for i := range b.N {
		last = l.Append(b.Context(), "p", 0, nil, message)
		if i%100_000 == 99_999 {
			if err := l.Drop(l.End(), l.End()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := <-last; err != nil {
		b.Fatal(err)
	}
}
