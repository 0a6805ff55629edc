package vfs

import (
	"fmt"
	"os"
)

// OpReopen is FS.Reopen, to Faulty.
const OpReopen Op = "reopen"

// Reopener is an FS that can go on writing a file that is there.
type Reopener interface {
	Reopen(name string, length int64) (File, error)
}

// Reopen opens a file for writing on after its first length bytes; what comes after them is cut off. A file that is shorter is an error.
func Reopen(fs FS, name string, length int64) (File, error) {
	r, ok := fs.(Reopener)
	if !ok {
		return nil, fmt.Errorf("%T cannot write on", fs)
	}
	return r.Reopen(name, length)
}

// Reopen is Reopener's.
func (osFS) Reopen(name string, length int64) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	if err := cutTo(f, length); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func cutTo(f *os.File, length int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < length {
		return fmt.Errorf("it has %d bytes, wanted %d", info.Size(), length)
	}
	if err := f.Truncate(length); err != nil {
		return err
	}
	_, err = f.Seek(length, 0)
	return err
}

// Reopen is Reopener's.
func (f *Faulty) Reopen(name string, length int64) (File, error) {
	if err := f.fails(OpReopen, name); err != nil {
		return nil, err
	}
	file, err := Reopen(f.FS, name, length)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: name}, nil
}
