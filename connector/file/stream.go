package file

import (
	"bufio"
	"compress/bzip2"
	"errors"
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

// String returns the compression's name in CompressionNames.
func (c Compression) String() string {
	return [...]string{"auto", "uncompressed", "gzip", "zstd", "bzip2"}[c]
}

// Of returns the compression of a file: c itself unless it is Auto. A shard's number after the extension does not
// count: out.json.gz-00000-of-00001 is gzip.
func (c Compression) Of(path string) Compression {
	if c != Auto {
		return c
	}
	switch path = withoutShard(path); {
	case strings.HasSuffix(path, ".gz"):
		return Gzip
	case strings.HasSuffix(path, ".zst"):
		return Zstd
	case strings.HasSuffix(path, ".bz2"):
		return Bzip2
	}
	return None
}

// withoutShard drops a shard's number as DefaultTemplate writes it.
func withoutShard(path string) string {
	const digits = "0123456789"
	of := strings.TrimRight(path, digits)
	number := strings.TrimSuffix(of, "-of-")
	name := strings.TrimSuffix(strings.TrimRight(number, digits), "-")
	if of == path || number == of || len(number)-len(name) < 2 {
		return path
	}
	return name
}

// Stream is a file that is read from its beginning to its end, decompressed.
type Stream struct {
	path        string
	file        *os.File
	compression Compression
	before      os.FileInfo
	r           io.Reader // nil: not begun
	release     func()    // of the decompressor's memory
	done        *atomic.Int64
	read        int64 // bytes of the file as it lies on disk
	ended       bool  // the file, as it lies on disk, has been read to its end
}

// OpenStream opens a file. done, if given, is raised by the bytes of the file as they are read. A named pipe is opened
// once something opens its other end.
func OpenStream(path string, c Compression, done *atomic.Int64) (*Stream, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, unreadable(path, err)
	}
	return &Stream{path: path, file: f, compression: c.Of(path), before: info, done: done, release: func() {}}, nil
}

// maxZstdWindow is how much memory one zstd stream may ask for, in bytes.
const maxZstdWindow = 128 << 20

// compressedBuffer is how many compressed bytes are read at once.
const compressedBuffer = 256 << 10

// begin sets up decompression. An empty file holds nothing, whatever its extension.
func (s *Stream) begin() error {
	raw := (*rawReader)(s)
	if s.compression == None {
		s.r = raw
		return nil
	}
	buffered := bufio.NewReaderSize(raw, compressedBuffer)
	s.r = buffered
	if _, err := buffered.Peek(1); err != nil {
		return err
	}
	switch s.compression {
	case Gzip:
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return err
		}
		s.r = z
	case Zstd:
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return err
		}
		s.r, s.release = z, z.Close
	case Bzip2:
		s.r = bzip2.NewReader(buffered)
	}
	return nil
}

// rawReader counts the bytes of the file as it lies on disk.
type rawReader Stream

func (r *rawReader) Read(p []byte) (int, error) {
	n, err := r.file.Read(p)
	r.read += int64(n)
	r.ended = err == io.EOF
	if r.done != nil {
		r.done.Add(int64(n))
	}
	return n, err
}

// Read reads decompressed bytes. At the end, and where decompressing fails, it makes sure that the file is what it was
// when it was opened; diag.InputChanged tells where it is not.
func (s *Stream) Read(p []byte) (int, error) {
	var n int
	var err error
	if s.r == nil {
		err = s.begin()
	}
	if err == nil {
		n, err = s.r.Read(p)
	}
	if err == nil {
		return n, nil
	}
	if changed := s.changed(); changed != nil {
		return n, changed
	}
	var failed *os.PathError
	switch {
	case err == io.EOF:
		return n, err
	case errors.As(err, &failed):
		return n, unreadable(s.path, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the file is cut short")
	}
	return n, &diag.Failure{Code: diag.BadRecord, Origin: s.path, Err: fmt.Errorf("cannot decompress as %s: %w", s.compression, err)}
}

// skip passes over the first n decompressed bytes. It is called before the first Read.
func (s *Stream) skip(n int64) error {
	if s.compression == None && s.before.Mode().IsRegular() {
		at, err := s.file.Seek(n, io.SeekStart)
		if err != nil {
			return unreadable(s.path, err)
		}
		if s.read = at; s.done != nil {
			s.done.Add(at)
		}
		return nil
	}
	_, err := io.CopyN(io.Discard, s, n)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%q has become shorter: %d bytes of it were read before", s.path, n)
	}
	return err
}

// changed returns a *catalog.Problem where the file is not what it was.
func (s *Stream) changed() error {
	if !s.before.Mode().IsRegular() {
		return nil
	}
	after, err := s.file.Stat()
	if err != nil {
		return unreadable(s.path, err)
	}
	was, is := s.before.Size(), after.Size()
	how := ""
	switch {
	case is < was:
		how = fmt.Sprintf("it became shorter, from %d bytes to %d", was, is)
	case is > was:
		how = fmt.Sprintf("it grew from %d bytes to %d", was, is)
	case !after.ModTime().Equal(s.before.ModTime()):
		how = "it was written to"
	case s.ended && s.read != was && was > 0: // the files of /proc say 0
		how = fmt.Sprintf("%d of %d bytes could be read", s.read, was)
	default:
		return nil
	}
	return &catalog.Problem{Key: "path", Code: diag.InputChanged, Text: fmt.Sprintf("%q changed while it was read: %s", s.path, how),
		Hint: "Read a copy of it, or run again when its writer is done."}
}

// Close closes the file.
func (s *Stream) Close() error {
	s.release()
	return s.file.Close()
}
