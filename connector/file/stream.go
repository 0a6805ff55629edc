package file

import (
	"bufio"
	"compress/bzip2"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Compression is how a file is compressed.
type Compression uint8

// The compressions. Auto goes by the file's extension.
const (
	Auto Compression = iota
	None
	Gzip
	Zstd
	Bzip2
)

// CompressionNames are the values of a configuration key, as Beam has them.
var CompressionNames = map[string]Compression{"auto": Auto, "uncompressed": None, "gzip": Gzip, "zstd": Zstd, "bzip2": Bzip2}

// Of returns the compression of a file: c itself unless it is Auto.
func (c Compression) Of(path string) Compression {
	if c != Auto {
		return c
	}
	switch {
	case strings.HasSuffix(path, ".gz"):
		return Gzip
	case strings.HasSuffix(path, ".zst"):
		return Zstd
	case strings.HasSuffix(path, ".bz2"):
		return Bzip2
	}
	return None
}

// Stream reads one file, decompressed. It fails where a plain file is shorter than it was when it was opened.
type Stream struct {
	path  string
	file  *os.File
	r     io.Reader
	close func()
	size  int64 // of the file as it lies on disk
	done  *atomic.Int64
	read  int64
	plain bool
}

// OpenStream opens a file. done, if given, is raised by the bytes of the file as they are read.
func OpenStream(path string, c Compression, done *atomic.Int64) (*Stream, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, cause(err))
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot read %q: %w", path, cause(err))
	}
	s := &Stream{path: path, file: f, size: info.Size(), done: done, close: func() {}}
	raw := (*rawReader)(s)
	switch c.Of(path) {
	case Gzip:
		s.r, err = gzip.NewReader(bufio.NewReaderSize(raw, 1<<16))
	case Zstd:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxZstdWindow)); err == nil {
			s.r, s.close = d, d.Close
		}
	case Bzip2:
		s.r = bzip2.NewReader(bufio.NewReaderSize(raw, 1<<16))
	default:
		s.r, s.plain = raw, info.Mode().IsRegular()
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot decompress %q: %w", path, err)
	}
	return s, nil
}

// maxZstdWindow is how much memory one zstd stream may ask for, in bytes.
const maxZstdWindow = 512 << 20

// rawReader counts the bytes of the file as it lies on disk.
type rawReader Stream

func (r *rawReader) Read(p []byte) (int, error) {
	n, err := r.file.Read(p)
	r.read += int64(n)
	if r.done != nil {
		r.done.Add(int64(n))
	}
	return n, err
}

// Read reads decompressed bytes.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	switch {
	case err == io.EOF && s.plain && s.read < s.size:
		return n, s.changed()
	case err != nil && err != io.EOF && !s.plain:
		return n, &diag.Failure{Code: diag.BadRecord, Origin: s.path, Err: fmt.Errorf("cannot decompress: %w", err)}
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("cannot read %q: %w", s.path, cause(err))
	}
	return n, err
}

func (s *Stream) changed() error {
	return &catalog.Problem{Key: "path", Code: diag.InputChanged,
		Text: fmt.Sprintf("%q became shorter while it was read: %d bytes at first, %d now", s.path, s.size, s.read),
		Hint: "Let nothing write the input during a run."}
}

// Close closes the file.
func (s *Stream) Close() error {
	s.close()
	return s.file.Close()
}
