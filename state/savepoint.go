package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/leat-project/leat/internal/vfs"
)

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

var savepointName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Save copies a checkpoint to a savepoint of that name, which is kept until it is removed.
func (s *Store) Save(c *Checkpoint, name string) error {
	if !savepointName.MatchString(name) {
		return fmt.Errorf("%q is no name for a savepoint: use letters, digits, dots, dashes and underscores", name)
	}
	dir := filepath.Join(s.dir, savepoints, name)
	to := &Store{fs: s.fs, dir: dir}
	if _, err := s.fs.List(dir); err == nil {
		if epochs, err := to.Epochs(); err != nil || len(epochs) > 0 {
			return fmt.Errorf("there is a savepoint %q: remove it (leat state drop --savepoint %s), or choose another name", name, name)
		}
		if err := os.RemoveAll(dir); err != nil { // half of a copy
			return err
		}
	}
	if err := s.fs.MkdirAll(dir); err != nil {
		return err
	}
	if err := copyFiles(s, to, c); err != nil {
		return err
	}
	return to.Decide(c)
}

// Savepoints returns the names of the savepoints, sorted.
func (s *Store) Savepoints() ([]string, error) {
	names, err := s.fs.List(filepath.Join(s.dir, savepoints))
	if isNotExist(err) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

// Savepoint returns the checkpoint that a savepoint holds, if it is whole.
func (s *Store) Savepoint(name string) (*Checkpoint, error) {
	from := &Store{fs: s.fs, dir: filepath.Join(s.dir, savepoints, name)}
	epochs, err := from.Epochs()
	if err != nil || len(epochs) == 0 {
		known, _ := s.Savepoints()
		return nil, fmt.Errorf("there is no savepoint %q in %s (there are: %q)", name, s.dir, known)
	}
	c, err := from.Read(epochs[0])
	if err != nil {
		return nil, fmt.Errorf("savepoint %q is damaged: %w", name, err)
	}
	return c, nil
}

// Positions returns where a source is in each checkpoint and savepoint that one can go back to. One that cannot be read counts for nothing.
func (s *Store) Positions(source string) (all []map[string]string, err error) {
	epochs, err := s.Epochs()
	names, savepointErr := s.Savepoints()
	var paths []string
	for _, epoch := range epochs {
		paths = append(paths, s.manifestPath(epoch))
	}
	for _, name := range names {
		of := &Store{fs: s.fs, dir: filepath.Join(s.dir, savepoints, name)}
		epochs, _ := of.Epochs()
		for _, epoch := range epochs {
			paths = append(paths, of.manifestPath(epoch))
		}
	}
	for _, path := range paths {
		if c, err := s.manifest(path); err == nil && c.Source(source) != nil {
			all = append(all, c.Source(source).Positions)
		}
	}
	return all, errors.Join(err, savepointErr)
}

// Restore copies a savepoint's files back, and returns its checkpoint with an epoch of its own. Decide makes it the last one, for which nothing is committed
// again. The savepoint of the last checkpoint is that one, with what its sinks may still have to commit.
func (s *Store) Restore(name string) (*Checkpoint, error) {
	c, err := s.Savepoint(name)
	if err != nil {
		return nil, err
	}
	if last, _, err := s.Load(); err == nil && last != nil && last.Epoch == c.Epoch && last.Taken.Equal(c.Taken) {
		last.Restored = restored(name, c)
		return last, nil
	}
	from := &Store{fs: s.fs, dir: filepath.Join(s.dir, savepoints, name)}
	for p := range c.Parts {
		for i, f := range c.Parts[p].Files {
			number := s.NextFile()
			fresh, err := s.WriteFile(number, func(w io.Writer) error { return from.copyTo(w, f) })
			if err != nil {
				return nil, err
			}
			c.Parts[p].Files[i] = fresh
		}
	}
	c.Restored = restored(name, c)
	c.Epoch, c.Sinks = s.NextEpoch(), nil
	return c, nil
}

// restored tells a savepoint from another one that had its name before.
func restored(name string, c *Checkpoint) string {
	return name + "@" + c.Taken.UTC().Format(time.RFC3339Nano)
}

// IsRestored reports whether c came after going back to that savepoint.
func (s *Store) IsRestored(c *Checkpoint, name string) bool {
	if c == nil || c.Restored == "" {
		return false
	}
	of, err := s.Savepoint(name)
	return err == nil && c.Restored == restored(name, of)
}

// RemoveSavepoint removes a savepoint, or what is left of one.
func (s *Store) RemoveSavepoint(name string) error {
	dir := filepath.Join(s.dir, savepoints, name)
	if _, err := s.fs.List(dir); !savepointName.MatchString(name) || err != nil {
		known, _ := s.Savepoints()
		return fmt.Errorf("there is no savepoint %q in %s (there are: %q)", name, s.dir, known)
	}
	return os.RemoveAll(dir)
}

func copyFiles(from, to *Store, c *Checkpoint) error {
	for _, p := range c.Parts {
		for _, f := range p.Files {
			number, _ := numberOf(f.Name, segmentPrefix, "")
			if _, err := to.WriteFile(number, func(w io.Writer) error { return from.copyTo(w, f) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) copyTo(w io.Writer, f File) error {
	in, err := s.fs.Open(s.Path(f))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return errors.Join(err, in.Close())
}

// Rollback makes an older checkpoint the last one, with an epoch of its own. Nothing is committed again for it. The last one stays what it is: its sinks may
// still have to commit it.
func (s *Store) Rollback(epoch int64) (*Checkpoint, error) {
	c, err := s.Read(epoch)
	if err != nil {
		known, _ := s.Epochs()
		return nil, fmt.Errorf("epoch %d cannot be used (there are: %d): %w", epoch, known, err)
	}
	if last, _, err := s.Load(); err == nil && last != nil && last.Epoch == epoch {
		return c, nil
	}
	c.Epoch, c.Sinks = s.NextEpoch(), nil
	return c, s.Decide(c)
}

// Drop takes a part, the position of a source, or what a sink has staged, out of the last checkpoint.
func (s *Store) Drop(part string) error {
	c, _, err := s.Load()
	if err != nil {
		return err
	}
	var known []string
	if c != nil {
		for _, p := range c.Parts {
			known = append(known, p.Name)
		}
		for _, of := range c.Sources {
			known = append(known, of.Name)
		}
		for _, of := range c.Sinks {
			known = append(known, of.Name)
		}
	}
	if !slices.Contains(known, part) {
		return fmt.Errorf("the last checkpoint in %s has no part %q (it has: %q)", s.dir, part, known)
	}
	c.Parts = slices.DeleteFunc(c.Parts, func(p Part) bool { return p.Name == part })
	c.Sources = slices.DeleteFunc(c.Sources, func(of Source) bool { return of.Name == part })
	c.Sinks = slices.DeleteFunc(c.Sinks, func(of Sink) bool { return of.Name == part })
	return s.Decide(c) // under the same epoch: what sinks have staged may still have to be committed
}

// Remove removes all state in dir but its savepoints, and those files of sources that kept wants; nil: none.
func Remove(dir string, kept func(path string) bool) error {
	s, err := Open(vfs.OS, dir)
	if err != nil {
		return err
	}
	names, err := s.fs.List(dir)
	for _, name := range names {
		if name == savepoints || name == "LOCK" {
			continue
		}
		path := filepath.Join(dir, name)
		if name == sources && kept != nil {
			err = errors.Join(err, removeBut(path, kept))
			continue
		}
		err = errors.Join(err, os.RemoveAll(path))
	}
	return errors.Join(err, s.Close())
}

// removeBut removes the files in a folder but those that are kept.
func removeBut(dir string, kept func(path string) bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || kept(path) {
			return err
		}
		return os.Remove(path)
	})
}
