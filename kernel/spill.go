package kernel

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/leat-project/leat/column"
)

// Spill holds partial groups on disk, by key group. The file is temporary: it has no meaning to another process.
type Spill struct {
	file *os.File

	mu   sync.Mutex
	size int64
	runs [KeyGroups][]run
}

// run is a piece of the file: partial groups of one key group of one table, as batches behind their length.
type run struct {
	offset, size int64
}

// How much is written and read at once.
const (
	spillBuffer = 256 << 10
	readBuffer  = 64 << 10
)

// NewSpill makes a spill file in dir.
func NewSpill(dir string) (*Spill, error) {
	f, err := os.CreateTemp(dir, "leat-spill-*")
	if err != nil {
		return nil, fmt.Errorf("could not make a file for groups that exceed the memory limit: %w", err)
	}
	return &Spill{file: f}, nil
}

// Close removes the file.
func (s *Spill) Close() error {
	err := s.file.Close()
	if gone := os.Remove(s.file.Name()); err == nil {
		err = gone
	}
	if err != nil {
		return fmt.Errorf("could not remove a spill file: %w", err)
	}
	return nil
}

// Size returns the bytes written so far.
func (s *Spill) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Spill writes all groups of the table to s, and empties the table. Tables may do so at the same time.
func (t *Table) Spill(s *Spill) error {
	t.freeze()
	s.mu.Lock()
	defer s.mu.Unlock()
	buf := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.size), spillBuffer)
	var block []byte
	parts := t.agg.newPartials()
	at := s.size
	for k, ids := range t.byKey {
		begin := at
		for len(ids) > 0 {
			n := t.take(ids, exportRows)
			block = column.AppendBatch(append(block[:0], make([]byte, 8)...), t.export(ids[:n], parts).columns(), t.agg.state)
			binary.LittleEndian.PutUint64(block, uint64(len(block)-8))
			if _, err := buf.Write(block); err != nil {
				return spillError("write", s.file.Name(), err)
			}
			at += int64(len(block))
			ids = ids[n:]
		}
		if at > begin {
			s.runs[k] = append(s.runs[k], run{begin, at - begin})
		}
	}
	if err := buf.Flush(); err != nil {
		return spillError("write", s.file.Name(), err)
	}
	s.size = at
	t.reset()
	return nil
}

func spillError(verb, name string, err error) error {
	return fmt.Errorf("could not %s the spill file %s: %w", verb, name, err)
}

// spillReader reads runs of a spill. It keeps its buffers from one run to the next.
type spillReader struct {
	in    *bufio.Reader
	block []byte
}

// each calls f with each batch of partial groups of a key group, in the order in which each table wrote them.
func (r *spillReader) each(s *Spill, group int, schema column.Schema, f func(*column.Batch) error) error {
	s.mu.Lock()
	runs := s.runs[group]
	s.mu.Unlock()
	if r.in == nil {
		r.in = bufio.NewReaderSize(nil, readBuffer)
	}
	for _, run := range runs {
		r.in.Reset(io.NewSectionReader(s.file, run.offset, run.size))
		for left := run.size; left > 0; {
			b, size, err := r.next(left, schema)
			if err != nil {
				return spillError("read", s.file.Name(), err)
			}
			left -= size
			if err := f(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// next reads a batch of a run of which that much is left, and tells its size.
func (r *spillReader) next(left int64, schema column.Schema) (b *column.Batch, size int64, err error) {
	var length [8]byte
	if _, err := io.ReadFull(r.in, length[:]); err != nil {
		return nil, 0, err
	}
	n := int64(binary.LittleEndian.Uint64(length[:]))
	if n < 0 || n > left-8 {
		return nil, 0, fmt.Errorf("a block claims %d bytes", n)
	}
	r.block = slices.Grow(r.block[:0], int(n))[:n]
	if _, err := io.ReadFull(r.in, r.block); err != nil {
		return nil, 0, err
	}
	b, _, err = column.ReadBatch(r.block, schema)
	return b, n + 8, err
}
