package kernel

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/leat-project/leat/column"
)

// Spill holds partial groups on disk, by key group: a temporary file that tables are added to, or a segment of a checkpoint.
type Spill struct {
	file *os.File
	temp bool
	ends []int64 // of a segment: see Table.Ends

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
	return &Spill{file: f, temp: true}, nil
}

// Close closes the file, and removes it where it is temporary.
func (s *Spill) Close() error {
	err := s.file.Close()
	if s.temp {
		if gone := os.Remove(s.file.Name()); err == nil {
			err = gone
		}
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

// Ends returns the ends of a segment's windows: see Table.Ends.
func (s *Spill) Ends() []int64 { return s.ends }

func (s *Spill) has(group int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.runs[group]) > 0
}

// Spill writes all groups of the table to s, and empties the table. Tables may do so at the same time.
func (t *Table) Spill(s *Spill) error {
	t.freeze()
	s.mu.Lock()
	defer s.mu.Unlock()
	buf := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.size), spillBuffer)
	w := runWriter{out: buf, at: s.size, runs: &s.runs}
	for k := range t.byKey {
		if err := w.write(t, k); err != nil {
			return spillError("write", s.file.Name(), err)
		}
	}
	if err := buf.Flush(); err != nil {
		return spillError("write", s.file.Name(), err)
	}
	s.size = w.at
	t.reset()
	return nil
}

// runWriter writes runs of partial groups and notes where they are.
type runWriter struct {
	out   io.Writer
	at    int64
	runs  *[KeyGroups][]run
	block []byte
}

// write writes the groups of a key group of a frozen table.
func (w *runWriter) write(t *Table, group int) error {
	begin := w.at
	parts := t.agg.newPartials()
	for ids := t.byKey[group]; len(ids) > 0; {
		n := t.take(ids, exportRows)
		w.block = column.AppendBatch(append(w.block[:0], make([]byte, 8)...), t.export(ids[:n], parts).columns(), t.agg.state)
		binary.LittleEndian.PutUint64(w.block, uint64(len(w.block)-8))
		if _, err := w.out.Write(w.block); err != nil {
			return err
		}
		w.at += int64(len(w.block))
		ids = ids[n:]
	}
	if w.at > begin {
		w.runs[group] = append(w.runs[group], run{begin, w.at - begin})
	}
	return nil
}

// A segment is what a spill file holds, then where its runs are and when its windows end, then a tail of fixed size: the length of that
// part and its checksum. It names its version, and that of the hash, so that a later release can tell.
const (
	segmentMagic   = "leatseg\x01"
	segmentTail    = 8 + 4 + len(segmentMagic)
	maxSegmentRuns = 1 << 24
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WriteSegment writes the groups of tables, which do not change any more, as a segment. Tables may be read at the same time.
func WriteSegment(out io.Writer, tables []*Table) error {
	var runs [KeyGroups][]run
	ends := map[int64]struct{}{}
	buf := bufio.NewWriterSize(out, spillBuffer)
	w := runWriter{out: buf, runs: &runs}
	for _, t := range tables {
		t.freeze()
		for _, end := range t.Ends() {
			ends[end] = struct{}{}
		}
		for k := range t.byKey {
			if err := w.write(t, k); err != nil {
				return err
			}
		}
	}
	index := binary.AppendUvarint(nil, hashVersion)
	for _, of := range runs {
		index = binary.AppendUvarint(index, uint64(len(of)))
		for _, r := range of {
			index = binary.AppendUvarint(binary.AppendUvarint(index, uint64(r.offset)), uint64(r.size))
		}
	}
	sorted := make([]int64, 0, len(ends))
	for end := range ends {
		sorted = append(sorted, end)
	}
	slices.Sort(sorted)
	index = binary.AppendUvarint(index, uint64(len(sorted)))
	for _, end := range sorted {
		index = binary.AppendVarint(index, end)
	}
	tail := binary.LittleEndian.AppendUint64(nil, uint64(len(index)))
	tail = binary.LittleEndian.AppendUint32(tail, crc32.Checksum(index, castagnoli))
	for _, part := range [][]byte{index, tail, []byte(segmentMagic)} {
		if _, err := buf.Write(part); err != nil {
			return err
		}
	}
	return buf.Flush()
}

// OpenSegment opens a segment. Its bytes have been compared with their checksum before.
func OpenSegment(name string) (*Spill, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	s := &Spill{file: f}
	if err := s.readIndex(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is no segment of this version: %w", name, err), f.Close())
	}
	return s, nil
}

func (s *Spill) readIndex() error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	tail := make([]byte, segmentTail)
	if _, err := s.file.ReadAt(tail, info.Size()-int64(segmentTail)); err != nil {
		return err
	}
	length := binary.LittleEndian.Uint64(tail)
	if string(tail[12:]) != segmentMagic || length > uint64(info.Size())-uint64(segmentTail) {
		return errors.New("its end is not that of a segment")
	}
	s.size = info.Size() - int64(segmentTail) - int64(length)
	index := make([]byte, length)
	if _, err := s.file.ReadAt(index, s.size); err != nil {
		return err
	}
	if crc32.Checksum(index, castagnoli) != binary.LittleEndian.Uint32(tail[8:]) {
		return errors.New("its index does not have its checksum")
	}
	return s.parseIndex(index)
}

func (s *Spill) parseIndex(index []byte) error {
	bad := false
	number := func() uint64 {
		v, n := binary.Uvarint(index)
		if n <= 0 || bad {
			bad = true
			return 0
		}
		index = index[n:]
		return v
	}
	if v := number(); v != hashVersion {
		return fmt.Errorf("its keys are hashed by version %d, this program hashes by version %d", v, hashVersion)
	}
	for k := range s.runs {
		count := number()
		if count > maxSegmentRuns {
			return errors.New("its index is damaged")
		}
		for range count {
			r := run{int64(number()), int64(number())}
			if bad || r.offset < 0 || r.size < 0 || r.offset+r.size > s.size {
				return errors.New("its index is damaged")
			}
			s.runs[k] = append(s.runs[k], r)
		}
	}
	for range number() {
		v, n := binary.Varint(index)
		if n <= 0 {
			return errors.New("its index is damaged")
		}
		index = index[n:]
		s.ends = append(s.ends, v)
	}
	if bad {
		return errors.New("its index is damaged")
	}
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
