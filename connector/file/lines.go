package file

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
)

// Limits of line formats.
const (
	// MorselBytes is how much a morsel holds: large enough that handing it out costs nothing, small enough for the cache.
	MorselBytes = 256 << 10
	// MaxRecordBytes is the longest record. A longer one is a bad record.
	MaxRecordBytes = 16 << 20
)

// Splitter returns how many bytes of data, which begins with a record, make whole records: 0 where there is none yet.
type Splitter func(data []byte) int

// SplitLines ends records at newlines.
func SplitLines(data []byte) int { return bytes.LastIndexByte(data, '\n') + 1 }

// Lines hands out the files of a line format in morsels of whole records. It does everything of catalog.Reader but
// NewDecoder.
type Lines struct {
	Paths       []string
	Compression Compression
	Split       Splitter

	next   int // index in Paths
	stream *Stream
	path   string
	line   int64  // of the first byte of rest
	rest   []byte // bytes read and not yet handed out
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
func (l *Lines) Next(_ context.Context, m *catalog.Morsel) error {
	for {
		if l.stream == nil {
			if err := l.open(); err != nil {
				return err
			}
		}
		ok, err := l.fill(m)
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
	l.line, l.rest, l.ended = 1, l.rest[:0], false
	return err
}

// fill hands out the next records of the open file, or nothing at its end.
func (l *Lines) fill(m *catalog.Morsel) (ok bool, err error) {
	m.File, m.Line, m.Part = l.path, l.line, nil
	m.Data = append(m.Data[:0], l.rest...)
	l.rest = l.rest[:0]
	for {
		if !l.ended {
			if m.Data, err = l.read(m.Data); err != nil {
				return false, err
			}
			if l.line == 1 && m.Line == 1 {
				m.Data = bytes.TrimPrefix(m.Data, byteOrderMark)
			}
		}
		if l.ended {
			return l.cut(m, len(m.Data)), nil
		}
		if n := l.Split(m.Data); n > 0 {
			return l.cut(m, n), nil
		}
		if len(m.Data) > MaxRecordBytes {
			return true, l.tooLong(m)
		}
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// read appends up to a morsel of bytes.
func (l *Lines) read(data []byte) ([]byte, error) {
	want := max(MorselBytes, len(data)) // doubling keeps long records linear
	from := len(data)
	if cap(data) < from+want {
		grown := make([]byte, from, from+want)
		copy(grown, data)
		data = grown
	}
	data = data[:from+want]
	n := 0
	for n < want {
		k, err := l.stream.Read(data[from+n:])
		n += k
		if err == io.EOF {
			l.ended = true
			break
		}
		if err != nil {
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

var newline = []byte("\n")

// tooLong hands out the beginning of a record that is over the limit, and skips to the end of its line.
func (l *Lines) tooLong(m *catalog.Morsel) error {
	m.Part = TooLong{Line: m.Line}
	tail := m.Data
	for {
		if end := bytes.IndexByte(tail, '\n'); end >= 0 {
			l.rest = append(l.rest[:0], tail[end+1:]...)
			break
		}
		if l.ended {
			l.rest = l.rest[:0]
			break
		}
		var err error
		if tail, err = l.read(nil); err != nil {
			return err
		}
	}
	m.Data = m.Data[:1024]
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
