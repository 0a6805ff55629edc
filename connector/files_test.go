package connector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// folder makes files in a new folder, which becomes the working directory.
func folder(t testing.TB, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	switch t := t.(type) {
	case *testing.T:
		t.Chdir(dir)
	case *testing.B:
		t.Chdir(dir)
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, time.UnixMilli(1700000000123)); err != nil {
			t.Fatal(err)
		}
	}
}

// openFiles binds ReadFromFiles and returns its whole schema, or the fields of it that are named.
func openFiles(t testing.TB, config map[string]any, names ...string) (catalog.Source, column.Schema) {
	t.Helper()
	s, err := catalog.LookUpConnector("ReadFromFiles").Source(config)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Schema(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if names == nil {
		return s, all
	}
	return s, slices.DeleteFunc(slices.Clone(all), func(f column.Field) bool { return !slices.Contains(names, f.Name) })
}

func TestReadFiles(t *testing.T) {
	folder(t, map[string]string{"d/b.csv": "a,b\n", "d/a/x.png": "\x89PNG\r\n\x1a\n", "d/c.gz": "\x1f\x8b\x08", "d/empty": ""})
	for _, batch := range []int{1, 3, 100} {
		s, schema := openFiles(t, map[string]any{"path": "d"})
		g := readAll(t, s, schema, batch)
		want := []string{
			`"d/a/x.png"|b"\x89PNG\r\n\x1a\n"|"image/png"|8|2023-11-14T22:13:20.123Z`,
			`"d/b.csv"|b"a,b\n"|"text/csv"|4|2023-11-14T22:13:20.123Z`,
			`"d/c.gz"|b"\x1f\x8b\b"|"application/x-gzip"|3|2023-11-14T22:13:20.123Z`,
			`"d/empty"|b""|"application/octet-stream"|0|2023-11-14T22:13:20.123Z`,
		}
		if !slices.Equal(g.rows, want) || len(g.bad) > 0 {
			t.Errorf("batches of %d:\n got %s\nwant %s\nbad %q", batch, strings.Join(g.rows, "\n     "), strings.Join(want, "\n     "), g.bad)
		}
	}
}

// TestReadFilesPruned makes sure that every choice of fields gives the values that all of them give.
func TestReadFilesPruned(t *testing.T) {
	folder(t, map[string]string{"a.png": "\x89PNG\r\n\x1a\n", "b": strings.Repeat("x", 3*sniffBytes), "c": ""})
	s, all := openFiles(t, map[string]any{"path": "*"})
	whole := readAll(t, s, all, 100)
	for set := range 1 << len(all) {
		var names, want []string
		for i, f := range all {
			if set&(1<<i) != 0 {
				names = append(names, f.Name)
			}
		}
		for _, row := range whole.rows {
			var some []string
			for i, value := range strings.Split(row, "|") {
				if set&(1<<i) != 0 {
					some = append(some, value)
				}
			}
			want = append(want, strings.Join(some, "|"))
		}
		s, schema := openFiles(t, map[string]any{"path": "*"}, append(names, "")...)
		if g := readAll(t, s, schema, 2); !slices.Equal(g.rows, want) {
			t.Errorf("fields %v: %q, want %q", names, g.rows, want)
		}
	}
}

// TestReadFilesUnopened shows that fields say how much of a file is read: what cannot be opened can still be listed.
func TestReadFilesUnopened(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("SKIPPED: permissions do not hold for this user")
	}
	folder(t, map[string]string{"a": "x"})
	if err := os.Chmod("a", 0); err != nil {
		t.Fatal(err)
	}
	for names, want := range map[string]string{"path": "", "size": "", "media_type": "permission denied", "bytes": "permission denied"} {
		s, schema := openFiles(t, map[string]any{"path": "a"}, names)
		g := readAll(t, s, schema, 10)
		if want == "" && len(g.rows) != 1 || want != "" && (len(g.bad) != 1 || !strings.Contains(g.bad[0], want)) {
			t.Errorf("%s: rows %q, bad %q", names, g.rows, g.bad)
		}
	}
}

// TestReadFilesDepth counts bytes where permissions do not hold: the decoder is given a file that is more than its head.
func TestReadFilesDepth(t *testing.T) {
	folder(t, map[string]string{"a": strings.Repeat("x", 10*sniffBytes)})
	for name, want := range map[string]int{"path": 0, "media_type": sniffBytes, "bytes": 10 * sniffBytes} {
		s, schema := openFiles(t, map[string]any{"path": "a"}, name)
		r, err := s.Open(context.Background(), schema)
		if err != nil {
			t.Fatal(err)
		}
		content, _, err := r.NewDecoder().(*filesDecoder).read("a")
		if err != nil || len(content) != want {
			t.Errorf("for %s %d bytes are read, want %d; %v", name, len(content), want, err)
		}
	}
}

func TestReadFilesErrors(t *testing.T) {
	folder(t, map[string]string{"a": "1", "large": "12345678", "gone": "x", "turned": "x", "z": "2"})
	if err := os.Symlink("loop", "loop"); err != nil {
		t.Skip("SKIPPED: no symbolic links here:", err)
	}
	if err := os.Symlink("nothing", "dangling"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"0: dangling: the file cannot be read: no such file or directory",
		"0: gone: the file cannot be read: no such file or directory",
		"0: large: the file has 8 bytes, more than the 7 of max_bytes",
		"0: loop: the file cannot be read: too many levels of symbolic links",
		"0: turned: it is a folder: one that cannot be listed, or that took the place of a file",
	}
	rows := []string{`"a"`, `"z"`}
	if runtime.GOOS == "linux" {
		if err := os.Symlink("/dev/null", "device"); err != nil {
			t.Fatal(err)
		}
		want = slices.Insert(want, 1, "0: device: it is a pipe, a device or a socket, wanted a regular file")
		if err := os.WriteFile("m\xff", []byte("x"), 0o666); err == nil { // some file systems refuse such names
			want = slices.Insert(want, 5, "0: m\xff: the path is not UTF-8: rename the file to read it")
		}
	}
	for _, fields := range [][]string{{"path"}, {"path", "media_type"}, {"path", "bytes"}} {
		if err := os.WriteFile("gone", []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.RemoveAll("turned"), os.WriteFile("turned", nil, 0o666)); err != nil {
			t.Fatal(err)
		}
		s, schema := openFiles(t, map[string]any{"path": "*", "max_bytes": int64(7)}, fields...)
		if err := errors.Join(os.Remove("gone"), os.Remove("turned"), os.Mkdir("turned", 0o777)); err != nil {
			t.Fatal(err)
		}
		g := readAll(t, s, schema, 100)
		if !slices.Equal(g.bad, want) {
			t.Errorf("%v:\n got %q\nwant %q", fields, g.bad, want)
		}
		for i := range g.rows {
			g.rows[i], _, _ = strings.Cut(g.rows[i], "|")
		}
		if !slices.Equal(g.rows, rows) {
			t.Errorf("%v: rows %q, want %q", fields, g.rows, rows)
		}
	}
}

func TestAppendFile(t *testing.T) {
	long := strings.Repeat("0123456789", 500)
	for _, c := range []struct {
		text       string
		size, most int64 // size: what the file was said to have
		fault      string
	}{
		{text: "", size: 0, most: 10},
		{text: "0123456789", size: 10, most: 10},
		{text: long, size: 0, most: 5000},
		{text: "0123456789", size: 100, most: 100},
		{text: long, size: 10, most: 4999, fault: "the file has more than the 4999 bytes of max_bytes"},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text)), iotest.DataErrReader(strings.NewReader(c.text))} {
			got, err := appendFile([]byte("x"), r, c.size, c.most)
			if c.fault != "" {
				if err == nil || err.Error() != c.fault {
					t.Errorf("%d bytes, said to be %d: error %v, want %s", len(c.text), c.size, err, c.fault)
				}
			} else if err != nil || string(got) != "x"+c.text {
				t.Errorf("%d bytes, said to be %d: %d bytes, %v", len(c.text), c.size, len(got)-1, err)
			}
		}
	}
	if _, err := appendFile(nil, iotest.ErrReader(io.ErrNoProgress), 5, 5); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want %v", err, io.ErrNoProgress)
	}
}

func TestUnchanged(t *testing.T) {
	for name, c := range map[string]struct {
		change func() error
		read   int64
		ok     bool
	}{
		"not":      {func() error { return nil }, 3, true},
		"longer":   {func() error { return os.WriteFile("a", []byte("1234"), 0o666) }, 3, false},
		"shorter":  {func() error { return os.Truncate("a", 1) }, 3, false},
		"written":  {func() error { return os.Chtimes("a", time.Time{}, time.UnixMilli(5)) }, 3, false},
		"cut read": {func() error { return nil }, 2, false},
	} {
		folder(t, map[string]string{"a": "123"})
		before, err := os.Stat("a")
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open("a")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if err := unchanged(f, before, c.read); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
}

// TestReadFilesMorsels bounds what a worker holds, by number and by bytes, and follows the progress.
func TestReadFilesMorsels(t *testing.T) {
	files := map[string]string{"b": strings.Repeat("x", 2*maxBatchText+1), "c": strings.Repeat("x", maxMorselFileBytes), "d": "1"}
	for i := range 2 * maxMorselFiles {
		files[fmt.Sprintf("a%02d", i)] = "x"
	}
	folder(t, files)
	for field, want := range map[string]string{"bytes": "32 32 1 1 1", "path": "32 32 3"} {
		s, schema := openFiles(t, map[string]any{"path": "*"}, field)
		r, err := s.Open(context.Background(), schema)
		if err != nil {
			t.Fatal(err)
		}
		var m catalog.Morsel
		var got []string
		d := r.NewDecoder()
		for r.Next(context.Background(), &m) == nil {
			run := m.Part.(fileRun)
			got = append(got, fmt.Sprint(len(run)))
			if err := d.Decode(context.Background(), &m, &gathered{batch: 10}); err != nil {
				t.Fatal(err)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("for %s morsels of %s files, want %s", field, s, want)
		}
		if done, total := r.Progress(); done != total || total != 2*maxMorselFiles+2*maxBatchText+maxMorselFileBytes+2 {
			t.Errorf("progress %d of %d", done, total)
		}
		if held := cap(d.(*filesDecoder).bytes.Data); held > 2*maxBatchText {
			t.Errorf("%d bytes are held at the end", held)
		}
	}
}

// TestReadFilesParallel decodes morsels in several workers and puts the rows in the order of the source.
func TestReadFilesParallel(t *testing.T) {
	files := map[string]string{}
	for i := range 300 {
		files[fmt.Sprintf("d/%d/%03d.txt", i%7, i)] = fmt.Sprint(i)
	}
	folder(t, files)
	s, schema := openFiles(t, map[string]any{"path": "d"})
	alone := readAll(t, s, schema, 7)
	if len(alone.rows) != len(files) || !slices.IsSorted(alone.rows) {
		t.Fatalf("%d rows, sorted: %v", len(alone.rows), slices.IsSorted(alone.rows))
	}
	r, err := s.Open(context.Background(), schema)
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		pieces = map[int]*gathered{}
	)
	for range 4 {
		wg.Go(func() {
			d := r.NewDecoder()
			var m catalog.Morsel
			for {
				g := &gathered{batch: 5}
				mu.Lock()
				err := r.Next(context.Background(), &m)
				if err == nil {
					pieces[int(m.Seq)] = g
				}
				mu.Unlock()
				if err != nil {
					return
				}
				if err := d.Decode(context.Background(), &m, g); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var together []string
	for i := range len(files) {
		if g := pieces[i]; g != nil {
			together = append(together, g.rows...)
		}
	}
	if !slices.Equal(together, alone.rows) {
		t.Error("four workers give other rows than one")
	}
}

func TestReadFilesCancelled(t *testing.T) {
	folder(t, map[string]string{"a": "x"})
	s, schema := openFiles(t, map[string]any{"path": "a"})
	r, err := s.Open(context.Background(), schema)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Next(ctx, &catalog.Morsel{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v", err)
	}
	if err := r.NewDecoder().Decode(ctx, &catalog.Morsel{Part: fileRun{{path: "a"}}}, &gathered{batch: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("Decode: %v", err)
	}
	if _, err := s.Open(ctx, schema); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}

func TestInstantOf(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want column.Instant
	}{
		{time.Unix(1, 1999999), 1001},
		{time.Unix(0, -1), -1},
		{time.Unix(1<<62, 0), column.MaxInstant},
		{time.Unix(-1<<62, 0), column.MinInstant},
	} {
		if got := instantOf(c.at); got != c.want {
			t.Errorf("instantOf(%d s) = %d, want %d", c.at.Unix(), got, c.want)
		}
	}
}

func TestReadFilesConfig(t *testing.T) {
	folder(t, map[string]string{"d/.hidden": "x", "a.txt": "x"})
	for _, c := range []struct {
		config map[string]any
		want   string
	}{
		{map[string]any{"path": "*.jpg"}, `path: no file matches "*.jpg"`},
		{map[string]any{"path": "d"}, `path: no file is in the folder "d"`},
		{map[string]any{"path": "b.txt"}, `path: no file "b.txt"`},
		{map[string]any{"path": ""}, "path: the path is empty"},
		{map[string]any{"path": "a.txt", "max_bytes": int64(0)}, "max_bytes: wanted 1 to 1073741824 bytes, found 0"},
		{map[string]any{"path": "a.txt", "max_bytes": int64(MaxFileBytes + 1)}, "max_bytes: wanted 1 to 1073741824 bytes, found 1073741825"},
	} {
		_, err := catalog.LookUpConnector("ReadFromFiles").Source(c.config)
		var p *catalog.Problem
		if !errors.As(err, &p) || p.Key+": "+p.Text != c.want {
			t.Errorf("%v: %v, want %s", c.config, err, c.want)
		}
	}
}

func BenchmarkReadFiles(b *testing.B) {
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("%04d.jpg", i)] = "\xff\xd8\xff" + strings.Repeat("x", 20<<10)
	}
	folder(b, files)
	for _, names := range [][]string{{"path"}, {"path", "media_type"}, {"path", "bytes", "media_type"}} {
		b.Run(strings.Join(names, "+"), func(b *testing.B) {
			for b.Loop() {
				s, schema := openFiles(b, map[string]any{"path": "."}, names...)
				if g := readCount(b, s, schema); g != len(files) {
					b.Fatal(g)
				}
			}
			b.ReportMetric(float64(b.N*len(files))/b.Elapsed().Seconds(), "files/s")
		})
	}
}

// counted counts rows.
type counted struct{ rows int }

func (c *counted) BatchRows() int              { return 4096 }
func (c *counted) Batch(b *column.Batch) error { c.rows += b.Len(); return nil }
func (c *counted) Bad(catalog.BadRecord) error { return errors.New("bad") }

func readCount(t testing.TB, s catalog.Source, fields column.Schema) int {
	t.Helper()
	r, err := s.Open(context.Background(), fields)
	if err != nil {
		t.Fatal(err)
	}
	d, c := r.NewDecoder(), &counted{}
	var m catalog.Morsel
	for r.Next(context.Background(), &m) == nil {
		if err := d.Decode(context.Background(), &m, c); err != nil {
			t.Fatal(err)
		}
	}
	return c.rows
}
