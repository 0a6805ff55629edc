package vfs

import (
	"io/fs"
	"sync/atomic"
	"syscall"
)

// Op is an operation that Faulty may let fail.
type Op string

// The operations.
const (
	OpCreate  Op = "create"
	OpWrite   Op = "write"
	OpSync    Op = "sync"
	OpClose   Op = "close"
	OpRename  Op = "rename"
	OpRemove  Op = "remove"
	OpMkdir   Op = "mkdir"
	OpSyncDir Op = "syncdir"
)

// Faulty is a file system that fails by rule. It is for tests.
type Faulty struct {
	FS
	// Fail returns the error of an operation that fails. Name is that of the file, of a rename the new one. nil:
	// nothing fails.
	Fail func(op Op, name string) error
	// Space is how many bytes all files together may take before the disk is full; 0: any number.
	Space int64

	used atomic.Int64
}

var _ FS = (*Faulty)(nil)

func (f *Faulty) fails(op Op, name string) error {
	if f.Fail == nil {
		return nil
	}
	return f.Fail(op, name)
}

// Create is FS.Create. Writing to the file may fail, too.
func (f *Faulty) Create(name string) (File, error) {
	if err := f.fails(OpCreate, name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, fs: f, name: name}, nil
}

// Rename is FS.Rename.
func (f *Faulty) Rename(from, to string) error {
	if err := f.fails(OpRename, to); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

// Remove is FS.Remove.
func (f *Faulty) Remove(name string) error {
	if err := f.fails(OpRemove, name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// MkdirAll is FS.MkdirAll.
func (f *Faulty) MkdirAll(dir string) error {
	if err := f.fails(OpMkdir, dir); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir)
}

// SyncDir is FS.SyncDir.
func (f *Faulty) SyncDir(dir string) error {
	if err := f.fails(OpSyncDir, dir); err != nil {
		return err
	}
	return f.FS.SyncDir(dir)
}

type faultyFile struct {
	File
	fs   *Faulty
	name string
}

// Write writes what the disk has space for.
func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.fs.fails(OpWrite, f.name); err != nil {
		return 0, err
	}
	if over := f.fs.used.Add(int64(len(p))) - f.fs.Space; f.fs.Space > 0 && over > 0 {
		n, err := f.File.Write(p[:max(0, int64(len(p))-over)])
		if err == nil {
			err = &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
		}
		return n, err
	}
	return f.File.Write(p)
}

// Sync is File.Sync.
func (f *faultyFile) Sync() error {
	if err := f.fs.fails(OpSync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

// Close closes the file even where it fails, as the machine's does.
func (f *faultyFile) Close() error {
	err := f.File.Close()
	if injected := f.fs.fails(OpClose, f.name); injected != nil {
		return injected
	}
	return err
}
