package file

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Dash is the path that stands for standard input or output.
const Dash = "-"

// Output takes the whole records that encoders of line formats make.
type Output interface {
	// Put appends records of the window that begins then. It may be called by several workers at once; p is not kept.
	Put(window int64, p []byte) error
}

// Put appends whole records to one of the shards, whatever their window.
func (s *Shards) Put(_ int64, p []byte) error { return s.Write(p) }

// standardOutput writes to standard output. What an encoder hands on is written at once and in one piece. When the reader of a pipe has gone, the
// system ends the program at the next write, as it does with other tools.
type standardOutput struct {
	mu     sync.Mutex
	to     io.Writer
	header []byte // not written yet
	bytes  int64
}

// Put writes whole records.
func (s *standardOutput) Put(_ int64, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return err
	}
	return s.write(p)
}

// begin writes the header once.
func (s *standardOutput) begin() error {
	header := s.header
	s.header = nil
	return s.write(header)
}

func (s *standardOutput) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n, err := s.to.Write(p)
	s.bytes += int64(n)
	if err != nil {
		return &diag.Failure{Code: diag.CannotWrite, Err: fmt.Errorf("cannot write to standard output: %w", cause(err))}
	}
	return nil
}

// Sync has nothing left to do: what was put has been written. Pipes and terminals keep nothing.
func (s *standardOutput) Sync(context.Context) error { return nil }

// Commit says how much was written. A header comes even where no row does.
func (s *standardOutput) Commit(context.Context) (catalog.Written, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.begin()
	return catalog.Written{Bytes: s.bytes}, err
}

// Abort leaves what was written: it is gone.
func (s *standardOutput) Abort() error { return nil }
