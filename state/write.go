package state

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"

	"github.com/leat-project/leat/internal/vfs"
)

// WriteFile writes a file of state, synced when it returns. A file that fails is removed. Files may be written at the same time as checkpoints.
func (s *Store) WriteFile(number int64, write func(io.Writer) error) (File, error) {
	f := File{Name: fmt.Sprintf("%s%012d", segmentPrefix, number)}
	path := filepath.Join(s.dir, f.Name)
	out, err := s.fs.Create(path)
	if err != nil {
		return f, err
	}
	counted := &counting{out: out}
	err = write(counted)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return f, errors.Join(err, s.fs.Remove(path))
	}
	f.Bytes, f.CRC = counted.bytes, counted.crc
	return f, nil
}

// NextFile returns a number for the next file of state. It may be called at any time, from any goroutine.
func (s *Store) NextFile() int64 { return s.file.Add(1) }

// LastFile returns the last number that has been given out.
func (s *Store) LastFile() int64 { return s.file.Load() }

type counting struct {
	out   vfs.File
	bytes int64
	crc   uint32
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	c.bytes += int64(n)
	c.crc = crc32.Update(c.crc, castagnoli, p[:n])
	return n, err
}

// Participant is a sink that commits by epochs: catalog.Transactional says what its methods promise.
type Participant interface {
	Recover(ctx context.Context, epoch int64, staged []byte) error
	CommitEpoch(ctx context.Context, epoch int64, staged []byte) error
}

// Recover has all sinks commit the last checkpoint, if they have not, and drop what came after it. c may be nil: there is none. Sinks are named.
func Recover(ctx context.Context, c *Checkpoint, sinks map[string]Participant) error {
	for name, sink := range sinks {
		epoch, staged := int64(0), []byte(nil)
		if c != nil {
			epoch = c.Epoch
			for _, s := range c.Sinks {
				if s.Name == name {
					staged = s.Staged
				}
			}
		}
		if err := sink.Recover(ctx, epoch, staged); err != nil {
			return &SinkError{Sink: name, Err: err}
		}
	}
	return nil
}

// SinkError is an error of one sink.
type SinkError struct {
	Sink string
	Err  error
}

func (e *SinkError) Error() string { return fmt.Sprintf("sink %q: %v", e.Sink, e.Err) }
func (e *SinkError) Unwrap() error { return e.Err }

// Decide writes the checkpoint. When it returns without an error, the epoch will be committed, by this process or another.
func (s *Store) Decide(c *Checkpoint) error {
	c.Version = Version
	text, err := c.encode()
	if err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.dir); err != nil { // the names of the files of state
		return err
	}
	return s.replace(s.manifestPath(c.Epoch), text)
}

// Commit has all sinks commit a checkpoint that is decided, and removes what no checkpoint needs any more.
func (s *Store) Commit(ctx context.Context, c *Checkpoint, sinks map[string]Participant) error {
	if len(sinks) > 0 {
		if err := s.replace(filepath.Join(s.dir, committedName), fmt.Appendf(nil, "%d\n", c.Epoch)); err != nil {
			return err
		}
	}
	for _, sink := range c.Sinks {
		if err := sinks[sink.Name].CommitEpoch(ctx, c.Epoch, sink.Staged); err != nil {
			return &SinkError{Sink: sink.Name, Err: err}
		}
	}
	return nil
}

// replace writes a file in one step: there is the old one or the new one, whole.
func (s *Store) replace(path string, data []byte) error {
	if err := s.fs.Remove(path + temporary); err != nil && !isNotExist(err) {
		return err
	}
	f, err := s.fs.Create(path + temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.fs.Rename(path+temporary, path); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

// Clean removes epochs before the last few, and files that none of those left names, but for files numbered after newest: they belong to
// a checkpoint that is being made. What cannot be removed stays for the next time.
func (s *Store) Clean(newest int64) error {
	epochs, err := s.Epochs()
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for i, epoch := range epochs {
		if i >= s.keep {
			if err := s.fs.Remove(s.manifestPath(epoch)); err != nil {
				return err
			}
			continue
		}
		c, err := s.manifest(s.manifestPath(epoch))
		if err != nil {
			continue // a torn one needs nothing
		}
		for _, p := range c.Parts {
			for _, f := range p.Files {
				needed[f.Name] = true
			}
		}
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		n, ok := numberOf(name, segmentPrefix, "")
		if ok && n <= newest && !needed[name] || strings.HasSuffix(name, temporary) {
			if err := s.fs.Remove(filepath.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
