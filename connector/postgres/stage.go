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

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/internal/vfs"
)

// staged is what a checkpoint keeps of an epoch.
type staged struct {
	Epoch int64 `json:"epoch"`
	stagedFile
	Rows   int64       `json:"rows"`
	Beside *stagedFile `json:"beside,omitempty"` // the rows whole, where refused ones are asked for
	// RefusedOf is the last epoch whose refused rows have been told: what became of them is in this checkpoint.
	RefusedOf int64  `json:"refused_of,omitempty"`
	Lineage   string `json:"lineage,omitempty"` // see epochWriter.reached
}

// stagedFile is a file, and how to know that it is whole.
type stagedFile struct {
	File  string `json:"file,omitempty"` // "" where the epoch has no rows
	Bytes int64  `json:"bytes"`
	Sum   uint32 `json:"crc32c"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The ends of the names of files.
const (
	stageSuffix  = ".rows"
	besideSuffix = ".beside"
)

// block is what an encoder hands on.
type block struct {
	lines  []byte // of COPY
	beside []byte // the same rows as pieces, where refused ones are asked for
	rows   int64
}

// stage is a folder of files, one for the rows of an epoch, or two. It is for one caller at a time.
type stage struct {
	fs      vfs.FS
	dir     string
	full    vfs.Patient // what waits while the disk is full
	who     string      // waits
	whole   bool        // rows are kept beside their lines
	passing bool        // nothing is to outlast a crash
	next    int64
	lines   *stageFile // nil: no epoch is under way
	beside  *stageFile
	rows    int64
	err     error // a part of a block may have been written: the file is of no use
}

func newStage(env *catalog.SinkEnv) stage {
	return stage{fs: vfs.OS, dir: env.Dir, full: vfs.Patient{Say: env.Log}, who: fmt.Sprintf("transform %q", env.Name), whole: env.Refusals}
}

// stageFile is a file that is being written.
type stageFile struct {
	vfs.File
	now stagedFile
}

// append adds rows to the epoch under way. While the disk is full it waits.
func (s *stage) append(ctx context.Context, b block) error {
	if s.err != nil {
		return s.err
	}
	if s.lines == nil {
		if s.err = s.full.Do(ctx, s.who, s.create); s.err != nil {
			return s.err
		}
	}
	if s.err = s.write(ctx, s.lines, b.lines); s.err == nil && s.beside != nil {
		s.err = s.write(ctx, s.beside, b.beside)
	}
	s.rows += b.rows
	return s.err
}

func (s *stage) write(ctx context.Context, f *stageFile, data []byte) error {
	if _, err := s.full.Write(ctx, s.who, f, data); err != nil {
		return err
	}
	f.now.Bytes += int64(len(data))
	f.now.Sum = crc32.Update(f.now.Sum, castagnoli, data)
	return nil
}

func (s *stage) create() error {
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return err
	}
	for {
		s.next++
		lines, err := s.createFile(stageSuffix)
		var beside *stageFile
		if err == nil && s.whole {
			if beside, err = s.createFile(besideSuffix); err != nil {
				_ = s.remove(lines)
			}
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			s.lines, s.beside, s.rows = lines, beside, 0
		}
		return err
	}
}

func (s *stage) createFile(suffix string) (*stageFile, error) {
	name := fmt.Sprintf("%d%s", s.next, suffix)
	f, err := s.fs.Create(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	return &stageFile{f, stagedFile{File: name}}, nil
}

// end closes the files, which outlast a crash then.
func (s *stage) end(epoch int64) (staged, error) {
	done, finish, err := s.cut(epoch)
	if err == nil {
		s.err = finish()
	}
	return done, s.err
}

// cut ends the epoch under way. finish, which may be called while rows of the next are appended, closes its files.
func (s *stage) cut(epoch int64) (done staged, finish func() error, err error) {
	if s.err != nil {
		return staged{}, nil, s.err
	}
	done = staged{Epoch: epoch}
	lines, beside := s.lines, s.beside
	s.lines, s.beside = nil, nil
	if lines == nil {
		return done, func() error { return nil }, nil
	}
	done.stagedFile, done.Rows = lines.now, s.rows
	if beside != nil {
		done.Beside = &beside.now
	}
	return done, func() error {
		err := s.close(lines)
		if beside != nil {
			err = errors.Join(err, s.close(beside))
		}
		if err == nil && !s.passing {
			err = s.fs.SyncDir(s.dir)
		}
		return err
	}, nil
}

func (s *stage) close(f *stageFile) error {
	if s.passing {
		return f.Close()
	}
	return errors.Join(f.Sync(), f.Close())
}

// names returns the files of the folder, none where there is no folder.
func (s *stage) names() ([]string, error) {
	names, err := s.fs.List(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// clean removes all files of rows.
func (s *stage) clean() error {
	names, err := s.names()
	for _, name := range names {
		if strings.HasSuffix(name, stageSuffix) || strings.HasSuffix(name, besideSuffix) {
			err = errors.Join(err, s.fs.Remove(filepath.Join(s.dir, name)))
		}
	}
	return err
}

// drop removes the files of the epoch under way.
func (s *stage) drop() error {
	if s.lines == nil {
		return nil
	}
	err := s.remove(s.lines)
	if s.beside != nil {
		err = errors.Join(err, s.remove(s.beside))
	}
	s.lines, s.beside = nil, nil
	return err
}

func (s *stage) remove(f *stageFile) error {
	return errors.Join(f.Close(), s.fs.Remove(filepath.Join(s.dir, f.now.File)))
}

// done removes the files of an epoch that is written. Where they stay, the next Recover removes them.
func (s *stage) done(of staged) {
	_ = s.fs.Remove(filepath.Join(s.dir, of.File))
	if of.Beside != nil {
		_ = s.fs.Remove(filepath.Join(s.dir, of.Beside.File))
	}
}

// read opens a file of an epoch, having checked that it is what was staged.
func (s *stage) read(of stagedFile) (piece, io.Closer, error) {
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
