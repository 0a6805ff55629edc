package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Limits of line formats.
const (
	// MorselBytes is how much a morsel holds: large enough that handing it out costs nothing, small enough for the cache.
	MorselBytes = 256 << 10
	// MaxRecordBytes is the longest record, without its newline. A longer one is a bad record.
	MaxRecordBytes = 16 << 20
	// excerptBytes is how much is shown of a record that is longer.
	excerptBytes = 1 << 10
)

// Splitter returns how many bytes of data, which begins with a record, make whole records: 0 where there is none yet.
type Splitter func(data []byte) int

// SplitLines ends records at newlines.
func SplitLines(data []byte) int { return bytes.LastIndexByte(data, '\n') + 1 }

// Lines hands out the files of a line format in morsels of whole records. It does everything of catalog.Reader but
// NewDecoder, and of catalog.Resumable. A byte order mark is dropped; the last record of a file may lack its newline.
//
// Where a morsel ends depends only on where it begins, so that reading that goes on in the middle makes the same ones.
type Lines struct {
	*Cursor
	Compression Compression
	Split       Splitter

	standard *standardInput // instead of files
	stream   byteStream
	path     string
	at       int64  // the byte that comes next, of the file as it is decompressed
	line     int64  // of that
	buf      []byte // bytes read; those from off on are not yet handed out
	off      int
	begun    bool // the file's first bytes have been read
	ended    bool // stream is at its end
	done     atomic.Int64
	total    int64
}

// byteStream is a *Stream or a *standardInput.
type byteStream interface {
	io.Reader
	Close() error
}

// TooLong is the Part of a morsel that stands for a record over MaxRecordBytes. Its Data is the record's beginning.
type TooLong struct {
	Line int64
}

// NewLines returns a reader of the files.
func NewLines(paths []string, c Compression, split Splitter) *Lines {
	return OpenLines(Input{Key: "path", Paths: paths}, c, split)
}

// OpenLines returns a reader of an input. Nothing is opened before the first Next.
func OpenLines(in Input, c Compression, split Splitter) *Lines {
	l := &Lines{Cursor: NewCursor(in), Compression: c, Split: split, total: in.bytes()}
	if in.Standard() {
		l.standard = &standardInput{}
	}
	return l
}

// Progress returns the bytes of files read and to read.
func (l *Lines) Progress() (done, total int64) { return l.done.Load(), l.total }

// Close closes the file that is open, and what the cursor keeps.
func (l *Lines) Close() error { return errors.Join(l.closeFile(), l.Cursor.Close()) }

func (l *Lines) closeFile() error {
	if l.stream == nil {
		return nil
	}
	err := l.stream.Close()
	l.stream = nil
	return err
}

// Next fills m with whole records of one file.
func (l *Lines) Next(ctx context.Context, m *catalog.Morsel) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.stream == nil {
			if err := l.open(ctx); err != nil {
				return err
			}
		}
		if l.standard != nil {
			l.standard.ctx = ctx
		}
		ok, err := l.fill(ctx, m)
		if err != nil {
			return err
		}
		if ok {
			l.Mark(m, l.at, l.line, l.ended && l.left() == 0)
			return nil
		}
		if err := l.closeFile(); err != nil {
			return err
		}
	}
}

func (l *Lines) open(ctx context.Context) error {
	l.buf, l.off, l.begun, l.ended = l.buf[:0], 0, false, false
	if l.standard != nil {
		l.path, l.at, l.line = standardName, 0, 1
		if err := l.standard.open(&l.done); err != nil {
			return err
		}
		l.stream = l.standard
		return nil
	}
	var err error
	if l.path, l.at, l.line, err = l.Cursor.Open(ctx); err != nil {
		return err
	}
	stream, err := OpenStream(l.path, l.Compression, &l.done)
	if err != nil {
		return err
	}
	l.stream = stream
	if l.at > 0 {
		l.begun = true
		return stream.skip(l.at)
	}
	return nil
}

// fill hands out the next records of the open file, or nothing at its end. They are looked for in the next MorselBytes; where there is no whole record
// in them, in twice as many, and so on.
//
// No more than a record of MaxRecordBytes and its newline are gathered, so that without a whole record among them the first
// is over the limit, and with one none is.
func (l *Lines) fill(ctx context.Context, m *catalog.Morsel) (ok bool, err error) {
	const most = MaxRecordBytes + 1
	m.File, m.Line, m.Part = l.path, l.line, nil
	if cap(m.Data) > 4*MorselBytes {
		m.Data = nil // what one long record took is not held for good
	}
	m.Data = m.Data[:0]
	for want := MorselBytes; ; {
		if m.Data, err = l.gather(m.Data, want); err != nil {
			return false, err
		}
		if err := l.begin(m); err != nil {
			return false, err
		}
		all := l.ended && l.left() == 0
		if all && len(m.Data) < most {
			return l.cut(m, len(m.Data)), nil
		}
		if n := l.Split(m.Data); n > 0 {
			return l.cut(m, n), nil
		}
		if len(m.Data) == most {
			return true, l.tooLong(ctx, m)
		}
		if len(m.Data) >= want {
			want = min(2*want, most)
		}
	}
}

// gather appends what comes next to data, up to want bytes in all: first of buf, then of the file.
func (l *Lines) gather(data []byte, want int) ([]byte, error) {
	if n := min(l.left(), want-len(data)); n > 0 {
		data = append(data, l.buf[l.off:l.off+n]...)
		l.off += n
	}
	if l.ended || len(data) >= want {
		return data, nil
	}
	return l.read(data, want-len(data))
}

var (
	newline   = []byte("\n")
	utf8Mark  = []byte("\xef\xbb\xbf")
	utf16Mark = [][]byte{[]byte("\xff\xfe"), []byte("\xfe\xff")}
)

// begin looks at the first bytes of a file for a byte order mark.
func (l *Lines) begin(m *catalog.Morsel) error {
	if l.begun {
		return nil
	}
	l.begun = true
	for _, mark := range utf16Mark {
		if bytes.HasPrefix(m.Data, mark) {
			return &catalog.Problem{Key: "path", Code: diag.BadFile, Text: fmt.Sprintf("%q is written in UTF-16, wanted UTF-8", l.path),
				Hint: "Convert it: iconv -f UTF-16 -t UTF-8."}
		}
	}
	if bytes.HasPrefix(m.Data, utf8Mark) {
		m.Data = m.Data[:copy(m.Data, m.Data[len(utf8Mark):])]
		l.at += int64(len(utf8Mark))
	}
	return nil
}

// read appends up to want bytes.
func (l *Lines) read(data []byte, want int) ([]byte, error) {
	from := len(data)
	if cap(data) < from+want {
		// One byte more, for the newline that a decoder may append to a last record.
		grown := make([]byte, from, from+want+1)
		copy(grown, data)
		data = grown
	}
	data = data[:from+want]
	n := 0
	for n < want && !l.ended {
		k, err := l.stream.Read(data[from+n:])
		n += k
		if err == io.EOF {
			l.ended = true
		} else if err != nil {
			return nil, err
		}
		if l.standard != nil && n > 0 {
			break // what is there is handed on
		}
	}
	return data[:from+n], nil
}

// cut hands out the first n bytes of m.Data and keeps the rest.
func (l *Lines) cut(m *catalog.Morsel, n int) bool {
	l.keep(m.Data[n:])
	m.Data = m.Data[:n]
	l.at += int64(n)
	l.line += int64(bytes.Count(m.Data, newline))
	return n > 0
}

// left is how many bytes are read and not yet handed out.
func (l *Lines) left() int { return len(l.buf) - l.off }

// keep takes back the last of what gather returned.
func (l *Lines) keep(rest []byte) {
	if l.left() > 0 { // then rest is of buf, too
		l.off -= len(rest)
		return
	}
	l.buf, l.off = append(l.buf[:0], rest...), 0
}

// tooLong hands out the beginning of a record that is over the limit, and skips to the end of its line.
func (l *Lines) tooLong(ctx context.Context, m *catalog.Morsel) error {
	m.Part = TooLong{Line: m.Line}
	l.at += int64(len(m.Data))
	for tail := m.Data; ; {
		if end := bytes.IndexByte(tail, '\n'); end >= 0 {
			l.keep(tail[end+1:])
			l.at -= int64(len(tail) - end - 1)
			break
		}
		if l.ended && l.left() == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		next, err := l.gather(m.Data[:excerptBytes], excerptBytes+MorselBytes) // over what is not shown
		if err != nil {
			return err
		}
		tail = next[excerptBytes:]
		l.at += int64(len(tail))
	}
	m.Data = m.Data[:excerptBytes]
	l.line++
	return nil
}

// BadTooLong passes the record of a TooLong morsel on as a bad one, and reports whether m is such a morsel. Decoders of
// line formats call it first.
func BadTooLong(m *catalog.Morsel, out catalog.Out) (bool, error) {
	t, ok := m.Part.(TooLong)
	if !ok {
		return false, nil
	}
	return true, out.Bad(catalog.BadRecord{Record: m.Data, File: m.File, Line: t.Line,
		Msg: fmt.Sprintf("the record is longer than %d MiB, the most that is read", MaxRecordBytes>>20)})
}
