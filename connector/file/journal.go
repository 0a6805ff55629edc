package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"unicode/utf8"

	"github.com/leat-project/leat/internal/vfs"
)

// journal is the list of the files that a watch has taken, in order. Each is on disk before it is read, so that positions need only say its number.
type journal struct {
	fs   vfs.FS
	path string
	file vfs.File
}

// journalLine is a line of the journal.
type journalLine struct {
	Number int64  `json:"n"`
	Path   string `json:"path,omitempty"`
	Raw    []byte `json:"raw,omitempty"` // a path that is not UTF-8
	Size   int64  `json:"size"`
	Time   int64  `json:"time"`
}

const journalName = "files.ndjson"

// openJournal opens the journal of a folder and returns what is in it; with wanted it has to be there, else it begins anew.
func openJournal(fsys vfs.FS, dir string, wanted bool) (*journal, []Taken, error) {
	j := &journal{fs: fsys, path: filepath.Join(dir, journalName)}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, nil, cannotWrite(j.path, err)
	}
	var entries []Taken
	length := int64(0)
	if wanted {
		var err error
		if entries, length, err = readJournal(fsys, j.path); err != nil {
			return nil, nil, fmt.Errorf("the list of files that were read cannot be read: %w", err)
		}
	}
	err := j.open(length)
	return j, entries, err
}

// open opens the journal for adding after its first length bytes.
func (j *journal) open(length int64) (err error) {
	j.file, err = vfs.Reopen(j.fs, j.path, length)
	if errors.Is(err, fs.ErrNotExist) {
		if j.file, err = j.fs.Create(j.path); err == nil {
			err = j.fs.SyncDir(filepath.Dir(j.path))
		}
	}
	if err != nil {
		return cannotWrite(j.path, err)
	}
	return nil
}

// readJournal returns the entries, and how many bytes are whole lines: a crash may have torn the last.
func readJournal(fsys vfs.FS, path string) (entries []Taken, length int64, err error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, 0, err
	}
	for line := range bytes.Lines(text) {
		var e journalLine
		if line[len(line)-1] != '\n' {
			break
		}
		if err := json.Unmarshal(line, &e); err != nil {
			break // torn
		}
		if e.Raw != nil {
			e.Path = string(e.Raw)
		}
		entries = append(entries, Taken{Number: e.Number, Path: e.Path, Size: e.Size, Time: e.Time})
		length += int64(len(line))
	}
	return entries, length, nil
}

// add puts files on disk. A nil journal keeps nothing.
func (j *journal) add(files []Taken) error {
	if j == nil || len(files) == 0 {
		return nil
	}
	if _, err := j.file.Write(encodeJournal(files)); err != nil {
		return cannotWrite(j.path, err)
	}
	if err := j.file.Sync(); err != nil {
		return cannotWrite(j.path, err)
	}
	return nil
}

func encodeJournal(files []Taken) []byte {
	var text []byte
	for _, f := range files {
		e := journalLine{Number: f.Number, Path: f.Path, Size: f.Size, Time: f.Time}
		if !utf8.ValidString(f.Path) {
			e.Path, e.Raw = "", []byte(f.Path)
		}
		line, _ := json.Marshal(e) // texts and numbers
		text = append(append(text, line...), '\n')
	}
	return text
}

// rewrite replaces the journal, without the files that have been forgotten.
func (j *journal) rewrite(files []*watched) error {
	taken := make([]Taken, len(files))
	for i, f := range files {
		taken[i] = f.Taken
	}
	text := encodeJournal(taken)
	next := j.path + ".next"
	if err := j.fs.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannotWrite(next, err)
	}
	f, err := j.fs.Create(next)
	if err != nil {
		return cannotWrite(next, err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = j.fs.Rename(next, j.path)
	}
	if err == nil {
		err = j.fs.SyncDir(filepath.Dir(j.path))
	}
	if err != nil {
		return cannotWrite(j.path, err)
	}
	j.file.Close() // the one that was replaced
	return j.open(int64(len(text)))
}

func (j *journal) close() error {
	if j == nil || j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}
