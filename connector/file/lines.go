package file

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
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
// NewDecoder. A byte order mark is dropped; the last record of a file may lack its newline.
type Lines struct {
	Paths       []string
	Compression Compression
	Split       Splitter

	next   int // index in Paths
	stream *Stream
	path   string
	line   int64  // of the first byte of rest
	rest   []byte // bytes read and not yet handed out
	begun  bool   // the file's first bytes have been read
	ended  bool   // stream is at its end
	done   atomic.Int64
	total  int64
}

// TooLong is the Part of a morsel that stands for a record over MaxRecordBytes. Its Data is the record's beginning.
type TooLong struct {
	Line int64
}

// NewLines returns a reader of the files.
func NewLines(paths []string, c Compression, split Splitter) *Lines {
	l := &Lines{Paths: paths, Compression: c, Split: split}
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && l.total >= 0 {
			l.total += info.Size()
		} else {
			l.total = -1
		}
	}
	return l
}

// Progress returns the bytes of files read and to read.
func (l *Lines) Progress() (done, total int64) { return l.done.Load(), l.total }

// Close closes the file that is open.
func (l *Lines) Close() error {
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
			if err := l.open(); err != nil {
				return err
			}
		}
		ok, err := l.fill(ctx, m)
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
}

func (l *Lines) open() error {
	if l.next == len(l.Paths) {
		return io.EOF
	}
	l.path = l.Paths[l.next]
	l.next++
	var err error
	l.stream, err = OpenStream(l.path, l.Compression, &l.done)
	l.line, l.rest, l.begun, l.ended = 1, l.rest[:0], false, false
	return err
}

// fill hands out the next records of the open file, or nothing at its end.
//
// No more than a record of MaxRecordBytes and its newline are gathered, so that without a whole record among them the first
// is over the limit, and with one none is.
func (l *Lines) fill(ctx context.Context, m *catalog.Morsel) (ok bool, err error) {
	const most = MaxRecordBytes + 1
	m.File, m.Line, m.Part = l.path, l.line, nil
	if cap(m.Data) > 4*MorselBytes {
		m.Data = nil // what one long record took is not held for good
	}
	m.Data = append(m.Data[:0], l.rest...)
	l.rest = l.rest[:0]
	for {
		if !l.ended {
			want := max(MorselBytes, len(m.Data)) // doubling keeps long records linear
			if m.Data, err = l.read(m.Data, min(want, most-len(m.Data))); err != nil {
				return false, err
			}
			if err := l.begin(m); err != nil {
				return false, err
			}
		}
		if l.ended && len(m.Data) < most {
			return l.cut(m, len(m.Data)), nil
		}
		if n := l.Split(m.Data); n > 0 {
			return l.cut(m, n), nil
		}
		if len(m.Data) == most {
			return true, l.tooLong(ctx, m)
		}
	}
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
	}
	return data[:from+n], nil
}

// cut hands out the first n bytes of m.Data and keeps the rest.
func (l *Lines) cut(m *catalog.Morsel, n int) bool {
	l.rest = append(l.rest[:0], m.Data[n:]...)
	m.Data = m.Data[:n]
	l.line += int64(bytes.Count(m.Data, newline))
	return n > 0
}

// tooLong hands out the beginning of a record that is over the limit, and skips to the end of its line.
func (l *Lines) tooLong(ctx context.Context, m *catalog.Morsel) error {
	m.Part = TooLong{Line: m.Line}
	for tail := m.Data; ; {
		if end := bytes.IndexByte(tail, '\n'); end >= 0 {
			l.rest = append(l.rest[:0], tail[end+1:]...)
			break
		}
		if l.ended {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		read, err := l.read(m.Data[:excerptBytes], MorselBytes) // over what is not shown
		if err != nil {
			return err
		}
		tail = read[excerptBytes:]
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
