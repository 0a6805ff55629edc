package state

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/leat-project/leat/internal/vfs"
)

// Store is the checkpoints of one pipeline, in a folder of their own.
type Store struct {
	fs   vfs.FS
	dir  string
	last int64        // the last epoch that has been given out, in this run or before
	file atomic.Int64 // numbers files
	keep int
	lock func() error
}

// kept is how many epochs are kept.
const kept = 3

// Names within the folder.
const (
	manifestPrefix = "epoch-"
	manifestSuffix = ".json"
	segmentPrefix  = "seg-"
	committedName  = "COMMITTED"
	temporary      = ".tmp"
	savepoints     = "savepoints"
	sources        = "sources" // folders of their own
)

// BusyError says that another process uses the folder.
type BusyError struct{ Dir string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("another run keeps its state in %s: two runs of one name cannot overlap", e.Dir)
}

// DamagedError is a checkpoint that cannot be read although its outputs may have been committed.
type DamagedError struct {
	Dir   string
	Epoch int64
	Older int64 // the last epoch before it that is whole; 0: none
	Err   error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the checkpoint of epoch %d in %s is damaged, and its outputs have been committed: %v", e.Epoch, e.Dir, e.Err)
}

// Open opens the store in dir, makes the folder, and locks it against other processes.
func Open(files vfs.FS, dir string) (*Store, error) {
	if err := files.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make the folder of the state: %w", err)
	}
	s := &Store{fs: files, dir: dir, keep: kept}
	if files == vfs.OS {
		unlock, err := lock(filepath.Join(dir, "LOCK"))
		if err != nil {
			return nil, err
		}
		s.lock = unlock
	}
	return s, s.scan()
}

// View opens the store in dir for looking at: it is not locked, and nothing is to be written.
func View(dir string) (*Store, error) {
	s := &Store{fs: vfs.OS, dir: dir, keep: kept}
	return s, s.scan()
}

// scan learns which numbers have been used.
func (s *Store) scan() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return fmt.Errorf("read the folder of the state: %w", err)
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, temporary)
		if n, ok := numberOf(name, manifestPrefix, manifestSuffix); ok {
			s.last = max(s.last, n)
		}
		if n, ok := numberOf(name, segmentPrefix, ""); ok {
			s.file.Store(max(s.file.Load(), n))
		}
	}
	committed, err := s.committed()
	s.last = max(s.last, committed)
	return err
}

func numberOf(name, prefix, suffix string) (int64, bool) {
	rest, begins := strings.CutPrefix(name, prefix)
	rest, ends := strings.CutSuffix(rest, suffix)
	if !begins || !ends {
		return 0, false
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	return n, err == nil && n > 0
}

// Dir returns the folder.
func (s *Store) Dir() string { return s.dir }

// Close gives the folder free.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock()
}

// NextEpoch returns a number for the next checkpoint, which none had before.
func (s *Store) NextEpoch() int64 {
	s.last++
	return s.last
}

// Load returns the last checkpoint that counts, or nil where there is none, and what it passed over. The error is a *DamagedError where
// a later one would have to count.
func (s *Store) Load() (c *Checkpoint, notes []string, err error) {
	committed, err := s.committed()
	if err != nil {
		return nil, nil, err
	}
	epochs, err := s.Epochs()
	if err != nil {
		return nil, nil, err
	}
	var damage error
	for _, epoch := range epochs {
		c, err := s.Read(epoch)
		var version *VersionError
		switch {
		case errors.As(err, &version):
			return nil, nil, fmt.Errorf("the checkpoint of epoch %d in %s cannot be read: %w", epoch, s.dir, err)
		case err == nil && epoch < committed:
			return nil, nil, &DamagedError{Dir: s.dir, Epoch: committed, Older: epoch, Err: cmpErr(damage, errors.New("its manifest is missing"))}
		case err == nil:
			return c, notes, nil
		}
		notes = append(notes, fmt.Sprintf("the checkpoint of epoch %d is not whole and does not count: %v", epoch, err))
		if epoch >= committed && damage == nil || epoch == committed {
			damage = err
		}
	}
	if committed > 0 {
		return nil, nil, &DamagedError{Dir: s.dir, Epoch: committed, Err: cmpErr(damage, errors.New("its manifest is missing"))}
	}
	return nil, notes, nil
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// Epochs returns the epochs whose manifests are there, whole or not, the last one first.
func (s *Store) Epochs() ([]int64, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("read the folder of the state: %w", err)
	}
	var out []int64
	for _, name := range names {
		if n, ok := numberOf(name, manifestPrefix, manifestSuffix); ok {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out, nil
}

// Read returns the checkpoint of an epoch, if it and all its files are whole.
func (s *Store) Read(epoch int64) (*Checkpoint, error) {
	c, err := s.manifest(s.manifestPath(epoch))
	if err != nil {
		return nil, err
	}
	if c.Epoch != epoch {
		return nil, fmt.Errorf("it is that of epoch %d", c.Epoch)
	}
	for _, p := range c.Parts {
		for _, f := range p.Files {
			if err := s.check(f); err != nil {
				return nil, fmt.Errorf("file %s: %w", f.Name, err)
			}
		}
	}
	return c, nil
}

func (s *Store) manifest(path string) (*Checkpoint, error) {
	data, err := s.read(path)
	if err != nil {
		return nil, err
	}
	return decode(data)
}

func (s *Store) read(path string) ([]byte, error) {
	f, err := s.fs.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

// check compares a file with its checksum.
func (s *Store) check(f File) error {
	in, err := s.fs.Open(s.Path(f))
	if err != nil {
		return err
	}
	sum := crc32.New(castagnoli)
	n, err := io.Copy(sum, in)
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	if n != f.Bytes || sum.Sum32() != f.CRC {
		return fmt.Errorf("it has %d bytes with checksum %08x, not %d with %08x", n, sum.Sum32(), f.Bytes, f.CRC)
	}
	return nil
}

// Path returns where a file of state is.
func (s *Store) Path(f File) string { return filepath.Join(s.dir, f.Name) }

func (s *Store) manifestPath(epoch int64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s%012d%s", manifestPrefix, epoch, manifestSuffix))
}

// committed returns the last epoch whose sinks may have committed, 0 where there is none.
func (s *Store) committed() (int64, error) {
	data, err := s.read(filepath.Join(s.dir, committedName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the state: %w", err)
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s in %s holds %q, no epoch: it is damaged", committedName, s.dir, data)
	}
	return n, nil
}
