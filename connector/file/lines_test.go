package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// put writes a file of that name in a new folder.
func put(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func zip(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// drain reads to the end: the records' bytes, and the lines of those that are too long.
func drain(l *Lines) (data []byte, long []int64, err error) {
	defer l.Close()
	var m catalog.Morsel
	line := map[string]int64{}
	for {
		if err := l.Next(context.Background(), &m); err != nil {
			if err == io.EOF {
				err = nil
			}
			return data, long, err
		}
		if want := line[m.File] + 1; m.Line != want {
			return nil, nil, fmt.Errorf("a morsel of %s begins at line %d, want %d", m.File, m.Line, want)
		}
		if _, ok := m.Part.(TooLong); ok {
			long = append(long, m.Line)
			line[m.File]++
			continue
		}
		line[m.File] += int64(bytes.Count(m.Data, newline))
		data = append(data, m.Data...)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("a fairly long line of text, many times over\n", 30_000)
	tests := []struct {
		name string
		file string
		data []byte
		want string
	}{
		{"two lines", "x", []byte("a\nb\n"), "a\nb\n"},
		{"no newline at the end", "x", []byte("a\nb"), "a\nb"},
		{"empty", "x", nil, ""},
		{"empty gzip", "x.gz", nil, ""},
		{"empty zstd", "x.zst", nil, ""},
		{"empty bzip2", "x.bz2", nil, ""},
		{"gzip", "x.gz", zip(t, []byte("a\nb\n")), "a\nb\n"},
		{"gzip of nothing", "x.gz", zip(t, nil), ""},
		{"gzip members", "x.gz", append(zip(t, []byte("a\n")), zip(t, []byte("b\n"))...), "a\nb\n"},
		{"byte order mark", "x", []byte("\xef\xbb\xbfa\n"), "a\n"},
		{"a mark further on is text", "x", []byte("a\n\xef\xbb\xbfb\n"), "a\n\xef\xbb\xbfb\n"},
		{"many morsels", "x", []byte(long), long},
		{"a line of many morsels", "x", []byte(strings.Repeat("x", 3*MorselBytes) + "\ny\n"), strings.Repeat("x", 3*MorselBytes) + "\ny\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := put(t, test.file, test.data)
			got, tooLong, err := drain(NewLines([]string{path, filepath.Dir(path) + "/./" + test.file}, Auto, SplitLines))
			if err != nil || len(tooLong) > 0 || string(got) != test.want+test.want {
				t.Errorf("read %d bytes, %v, %v; want %d twice", len(got), tooLong, err, len(test.want))
			}
		})
	}
}

func TestRecordLimit(t *testing.T) {
	record := func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }
	tests := []struct {
		name string
		data []byte
		rest int // bytes that are handed out
		long int // records that are too long
	}{
		{"at the limit", append(record(MaxRecordBytes), "\nnext\n"...), MaxRecordBytes + 6, 0},
		{"over it", append(record(MaxRecordBytes+1), "\nnext\n"...), 5, 1},
		{"at the limit at the end", record(MaxRecordBytes), MaxRecordBytes, 0},
		{"over it at the end", record(MaxRecordBytes + 1), 0, 1},
		{"far over it, after another", append([]byte("first\n"), append(record(2*MaxRecordBytes), "\nnext"...)...), 10, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, long, err := drain(NewLines([]string{put(t, "x", test.data)}, Auto, SplitLines))
			if err != nil || len(data) != test.rest || len(long) != test.long {
				t.Errorf("%d bytes, too long %v, %v; want %d bytes and %d", len(data), long, err, test.rest, test.long)
			}
		})
	}
}

func TestBadFiles(t *testing.T) {
	whole := zip(t, []byte(strings.Repeat("some text\n", 1000)))
	tests := []struct {
		name string
		file string
		data []byte
		want string
	}{
		{"UTF-16", "x", []byte("\xff\xfea\x00\n\x00"), "UTF-16"},
		{"not gzip", "x.gz", []byte("plain text\n"), "as gzip"},
		{"gzip cut short", "x.gz", whole[:len(whole)/2], "cut short"},
		{"not zstd", "x.zst", []byte("plain text\n"), "as zstd"},
		{"not bzip2", "x.bz2", []byte("plain text\n"), "as bzip2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := drain(NewLines([]string{put(t, test.file, test.data)}, Auto, SplitLines))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// noise returns lines that gzip hardly shrinks.
func noise(n int) []byte { return allNoise()[:n] }

var allNoise = sync.OnceValue(func() []byte {
	b := make([]byte, 6*compressedBuffer)
	x := uint64(1)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x>>57) | 0x40
		if i%50 == 49 {
			b[i] = '\n'
		}
	}
	return b
})

func TestInputChanged(t *testing.T) {
	text := noise(6 * compressedBuffer)
	other := append([]byte("!"), text[1:]...)
	tests := []struct {
		name string
		file string
		data []byte
		then func(path string) error
	}{
		{"rewritten", "x", text, func(path string) error { return os.WriteFile(path, other, 0o666) }},
		{"shrunk", "x", text, func(path string) error { return os.Truncate(path, 3*compressedBuffer) }},
		{"emptied", "x", text, func(path string) error { return os.Truncate(path, 0) }},
		{"grown", "x", text, func(path string) error { return os.WriteFile(path, append(other, "more\n"...), 0o666) }},
		{"compressed, rewritten", "x.gz", zip(t, text), func(path string) error { return os.WriteFile(path, zip(t, other), 0o666) }},
		{"compressed, shrunk", "x.gz", zip(t, text), func(path string) error { return os.Truncate(path, 3*compressedBuffer) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := put(t, test.file, test.data)
			past := time.Now().Add(-time.Hour)
			if err := os.Chtimes(path, past, past); err != nil { // or the rewrite might fall into the same tick
				t.Fatal(err)
			}
			l := NewLines([]string{path}, Auto, SplitLines)
			var m catalog.Morsel
			if err := l.Next(context.Background(), &m); err != nil {
				t.Fatal(err)
			}
			if err := test.then(path); err != nil {
				t.Fatal(err)
			}
			var err error
			for err == nil {
				err = l.Next(context.Background(), &m)
			}
			var p *catalog.Problem
			if !errors.As(err, &p) || p.Code != diag.InputChanged || !strings.Contains(p.Text, path) {
				t.Errorf("error %v, want %s", err, diag.InputChanged)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNextHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var m catalog.Morsel
	if err := NewLines([]string{put(t, "x", []byte("1\n"))}, Auto, SplitLines).Next(ctx, &m); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skip(err)
	}
	if _, err := Find("path", path); err != nil { // it must not wait for a writer
		t.Fatal(err)
	}
	var p *catalog.Problem
	err := Sample([]string{path}, Auto, SplitLines, 1000, func(*catalog.Morsel, bool) error { return nil })
	if !errors.As(err, &p) || p.Code != diag.CannotInfer || !strings.Contains(p.Hint, "schema") {
		t.Errorf("sampling a pipe: %v, want %s", err, diag.CannotInfer)
	}
	want := strings.Repeat("some text\n", 100_000)
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(path, []byte(want), 0) }()
	got, _, err := drain(NewLines([]string{path}, Auto, SplitLines))
	if err != nil || string(got) != want {
		t.Errorf("read %d bytes of %d from a pipe, %v", len(got), len(want), err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

func TestSample(t *testing.T) {
	lines := func(n int) []byte {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, "%07d\n", i)
		}
		return b.Bytes()
	}
	tests := []struct {
		name   string
		file   string
		data   []byte
		pieces int
		most   int // bytes of the sample
	}{
		{"small", "x", lines(100), 1, 800},
		{"large", "x", lines(1_000_000), 3, 3 * 40_000},
		{"large, compressed", "x.gz", zip(t, lines(1_000_000)), 1, 3 * 40_000},
		{"empty", "x", nil, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pieces, size := 0, 0
			err := Sample([]string{put(t, test.file, test.data)}, Auto, SplitLines, 120_000, func(m *catalog.Morsel, first bool) error {
				if len(m.Data)%8 != 0 || m.Data[7] != '\n' || first != (pieces == 0) {
					t.Errorf("piece %d begins with %q and has %d bytes", pieces, m.Data[:8], len(m.Data))
				}
				pieces++
				size += len(m.Data)
				return nil
			})
			if err != nil || pieces != test.pieces || size > test.most {
				t.Errorf("%d pieces of %d bytes, %v; want %d of at most %d", pieces, size, err, test.pieces, test.most)
			}
		})
	}
}
