package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/leat-project/leat/internal/vfs"
)

// staged is what a checkpoint keeps of an epoch.
type staged struct {
	Epoch int64  `json:"epoch"`
	File  string `json:"file,omitempty"` // "" where the epoch has no rows
	Bytes int64  `json:"bytes"`
	Rows  int64  `json:"rows"`
	Sum   uint32 `json:"crc32c"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const stageSuffix = ".rows"

// stage is a folder of files, one for the rows of an epoch. It is for one caller at a time.
type stage struct {
	fs   vfs.FS
	dir  string
	full vfs.Patient // what waits while the disk is full
	who  string      // waits
	next int64
	open vfs.File
	now  staged // of the open file
	err  error  // a part of a block may have been written: the file is of no use
}

// append adds lines to the file of the epoch under way. While the disk is full it waits.
func (s *stage) append(ctx context.Context, block []byte, rows int64) error {
	if s.err != nil {
		return s.err
	}
	if s.open == nil {
		if s.err = s.full.Do(ctx, s.who, s.create); s.err != nil {
			return s.err
		}
	}
	if _, s.err = s.full.Write(ctx, s.who, s.open, block); s.err != nil {
		return s.err
	}
	s.now.Bytes += int64(len(block))
	s.now.Rows += rows
	s.now.Sum = crc32.Update(s.now.Sum, castagnoli, block)
	return nil
}

func (s *stage) create() error {
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return err
	}
	for {
		s.next++
		name := fmt.Sprintf("%d%s", s.next, stageSuffix)
		f, err := s.fs.Create(filepath.Join(s.dir, name))
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		s.open, s.now = f, staged{File: name}
		return err
	}
}

// end closes the file, which outlasts a crash then.
func (s *stage) end(epoch int64) (staged, error) {
	if s.err != nil {
		return staged{}, s.err
	}
	done := s.now
	done.Epoch = epoch
	if s.open != nil {
		if s.err = errors.Join(s.open.Sync(), s.open.Close()); s.err == nil {
			s.err = s.fs.SyncDir(s.dir)
		}
	}
	s.open, s.now = nil, staged{}
	return done, s.err
}

// clean removes all files but one.
func (s *stage) clean(keep string) error {
	names, err := s.fs.List(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if strings.HasSuffix(name, stageSuffix) && name != keep {
			err = errors.Join(err, s.fs.Remove(filepath.Join(s.dir, name)))
		}
	}
	return err
}

// drop removes the file of the epoch under way.
func (s *stage) drop() error {
	if s.open == nil {
		return nil
	}
	err := errors.Join(s.open.Close(), s.fs.Remove(filepath.Join(s.dir, s.now.File)))
	s.open, s.now = nil, staged{}
	return err
}

// read opens the file of an epoch, having checked that it is what was staged.
func (s *stage) read(of staged) (piece, io.Closer, error) {
	f, err := s.fs.Open(filepath.Join(s.dir, of.File))
	if err != nil {
		return piece{}, nil, err
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		return piece{}, nil, errors.Join(errors.New("the file system cannot read at an offset"), f.Close())
	}
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, f)
	if err == nil && (n != of.Bytes || sum.Sum32() != of.Sum) {
		err = fmt.Errorf("wanted %d bytes with checksum %08x, found %d with %08x", of.Bytes, of.Sum, n, sum.Sum32())
	}
	if err != nil {
		return piece{}, nil, errors.Join(err, f.Close())
	}
	return piece{at, n}, f, nil
}
