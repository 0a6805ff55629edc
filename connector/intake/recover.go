package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/leat-project/leat/internal/vfs"
)

// segment is a file of the log: messages [first, end).
type segment struct {
	name   string // with its folder
	serial int64
	nonce  nonce
	first  int64
	end    int64
	size   int64 // bytes up to end; what follows was given up
}

const suffix = ".log"

// DamagedError says that what was safe cannot be read any more.
type DamagedError struct {
	File   string
	Offset int64 // of the first message that is lost
	At     int64 // byte of the file; -1: not known
}

func (e *DamagedError) Error() string {
	at := ""
	if e.At >= 0 {
		at = fmt.Sprintf(" at byte %d", e.At)
	}
	return fmt.Sprintf("%s: the log is damaged%s: message %d cannot be read", e.File, at, e.Offset)
}

// recoverFiles finds the files of a log, in order, and how far each can be read.
//
// Messages that a file holds from the first offset of the next file on were given up: they were written, but their sync failed. So an end
// that is torn, or not synced, is that of a crash or of a failed write; anything else that cannot be read is damage.
func recoverFiles(fs vfs.FS, dir string) (files []*segment, end int64, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("folder of the log: %w", err)
	}
	var torn *segment            // the last file whose end cannot be read
	for _, base := range names { // rising: serials have the same width
		serial, ok := parseName(base)
		if !ok {
			continue
		}
		s := &segment{name: filepath.Join(dir, base), serial: serial, first: -1}
		scanned, err := s.scan(fs)
		if err != nil {
			return nil, 0, err
		}
		if s.first < 0 { // a file whose making failed
			files = append(files, s)
			continue
		}
		if last := lastOf(files); last != nil {
			if last.end < s.first || s.first < last.first {
				return nil, 0, lost(last, torn, s)
			}
			if err := last.cut(fs, s.first); err != nil {
				return nil, 0, err
			}
		}
		files, end, torn = append(files, s), s.end, nil
		if !scanned {
			torn = s
		}
	}
	return files, end, nil
}

// lastOf returns the last file that has a beginning.
func lastOf(files []*segment) *segment {
	for i := len(files) - 1; i >= 0; i-- {
		if files[i].first >= 0 {
			return files[i]
		}
	}
	return nil
}

// lost is the error where messages between two files are missing.
func lost(last, torn, next *segment) error {
	if torn != nil {
		return &DamagedError{File: torn.name, Offset: torn.end, At: torn.size}
	}
	return fmt.Errorf("%w, which %s continues", &DamagedError{File: last.name, Offset: last.end, At: -1}, next.name)
}

// IsFile reports whether a file of that name, without its folder, is of a log.
func IsFile(base string) bool {
	_, ok := parseName(base)
	return ok
}

// Messages counts the messages of a log that nobody writes.
func Messages(fs vfs.FS, dir string) (int64, error) {
	files, end, err := recoverFiles(fs, dir)
	if err != nil || lastOf(files) == nil {
		return 0, err
	}
	for _, f := range files {
		if f.first >= 0 {
			return end - f.first, nil
		}
	}
	return 0, nil
}

func parseName(base string) (serial int64, ok bool) {
	digits, found := strings.CutSuffix(base, suffix)
	serial, err := strconv.ParseInt(digits, 10, 64)
	return serial, found && err == nil && len(digits) == 19 && serial >= 0
}

func fileName(dir string, serial int64) string {
	return filepath.Join(dir, fmt.Sprintf("%019d%s", serial, suffix))
}

// scan reads a file up to where it ends or cannot be read; whole says which. It is an error when whole frames follow what cannot be read.
// A file without a beginning keeps first -1.
func (s *segment) scan(fs vfs.FS) (whole bool, err error) {
	data, err := readFile(fs, s.name)
	if err != nil {
		return false, err
	}
	n, first, ok := parseHeader(data)
	if !ok {
		if len(data) > headerBytes { // frames follow only when the header is safe
			return false, &DamagedError{File: s.name, Offset: 0, At: 0}
		}
		return false, nil
	}
	s.nonce, s.first = n, first
	if whole = s.frames(data, -1); whole {
		return true, nil
	}
	if at := laterFrame(data, s.size, s.nonce, s.end); at >= 0 {
		return false, &DamagedError{File: s.name, Offset: s.end, At: s.size}
	}
	return false, nil
}

// frames follows the frames of a file up to that offset (-1: all), and sets end and size.
func (s *segment) frames(data []byte, limit int64) (whole bool) {
	s.end, s.size = s.first, headerBytes
	for s.end != limit && s.size < int64(len(data)) {
		rest := data[s.size:]
		f, ok := parseFrame(rest, s.nonce)
		if !ok || f.first != s.end || f.length > len(rest)-frameBytes || !f.holds(rest[frameBytes:frameBytes+f.length]) {
			return false
		}
		s.end, s.size = f.end(), s.size+frameBytes+int64(f.length)
	}
	return true
}

// laterFrame returns where a whole frame with a later offset stands after that byte, or -1. Such a one was written after what stands before it was safe.
func laterFrame(data []byte, from int64, n nonce, offset int64) int64 {
	for at := from + 1; at+frameBytes <= int64(len(data)); at++ {
		next := bytes.Index(data[at:], n[:])
		if next < 0 {
			return -1
		}
		at += int64(next)
		rest := data[at:]
		if f, ok := parseFrame(rest, n); ok && f.first > offset && f.length <= len(rest)-frameBytes && f.holds(rest[frameBytes:frameBytes+f.length]) {
			return at
		}
	}
	return -1
}

// cut ends a file at an offset, because the next one begins there.
func (s *segment) cut(fs vfs.FS, offset int64) error {
	if s.end == offset {
		return nil
	}
	data, err := readFile(fs, s.name)
	if err != nil {
		return err
	}
	if s.frames(data, offset); s.end != offset {
		return &DamagedError{File: s.name, Offset: s.end, At: s.size}
	}
	return nil
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}
