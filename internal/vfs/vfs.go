// Package vfs is the part of a file system that writers of files need, so that tests can let it fail.
package vfs

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// FS creates, reads, renames and removes files.
type FS interface {
	// Create makes a new file; the error is fs.ErrExist where there is one of that name.
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	MkdirAll(dir string) error
	// Open opens a file for reading.
	Open(name string) (io.ReadCloser, error)
	// List returns the names of what is in a folder, sorted; the error is fs.ErrNotExist where there is none.
	List(dir string) ([]string, error)
	// SyncDir makes renames in dir outlast a crash, where the file system can promise that.
	SyncDir(dir string) error
}

// File is a file that is being written.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// OS is the machine's file system. Permissions of new files and folders follow the umask.
var OS FS = osFS{}

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err // not f: a nil *os.File would be a File that is not nil
	}
	return f, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(name string) error     { return os.Remove(name) }
func (osFS) MkdirAll(dir string) error    { return os.MkdirAll(dir, 0o777) }

func (osFS) Open(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // a file system that cannot sync folders has nothing better to offer
	}
	return errors.Join(err, d.Close())
}
