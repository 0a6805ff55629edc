package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/leat-project/leat/internal/vfs"
)

// A stage file holds the records of one epoch, so that they can be written again when the brokers have given up the transaction that they
// were in. It is a row of blocks, one for each slab:
//
//	length uint32, CRC-32C uint32 of what follows
//	time   varint (ms), count uvarint
//	count times: partition varint, key, value, number of headers uvarint, for each: key, value
//
// where bytes are their length plus 1 as a uvarint (0: null) and themselves.
type stage struct {
	name string // within its folder
	dir  string
	fs   vfs.FS

	full vfs.Patient // what waits while the disk is full
	who  string      // waits

	mu    sync.Mutex
	file  vfs.File
	bytes int64
	err   error // a part may have been written: nothing more can be
}

const (
	stagePrefix = "rows-"
	stageSuffix = ".stage"
	blockHeader = 8
	maxBlock    = 1<<31 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// create makes the file.
func (s *stage) create(ctx context.Context, number int64) error {
	s.name = fmt.Sprintf("%s%d%s", stagePrefix, number, stageSuffix)
	return s.full.Do(ctx, s.who, func() (err error) {
		if err = s.fs.MkdirAll(s.dir); err == nil {
			s.file, err = s.fs.Create(filepath.Join(s.dir, s.name))
		}
		return err
	})
}

// append writes one block, as appendBlock made it. While the disk is full it waits.
func (s *stage) append(ctx context.Context, block []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	n, err := s.full.Write(ctx, s.who, s.file, block)
	s.bytes += int64(n)
	s.err = err
	return err
}

// sync makes what was written outlast a crash, the file's name too.
func (s *stage) sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.err = s.file.Sync(); s.err == nil {
		s.err = s.fs.SyncDir(s.dir)
	}
	return s.err
}

// close closes the file; it stays.
func (s *stage) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	if s.err == nil {
		s.err = errors.New("the file is closed")
	}
	return err
}

// appendBlock appends the records of a slab.
func appendBlock(dst []byte, s *slab) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, blockHeader)...)
	dst = binary.AppendVarint(dst, s.time)
	dst = binary.AppendUvarint(dst, uint64(len(s.cuts)))
	first := 0
	for _, c := range s.cuts {
		dst = binary.AppendVarint(dst, int64(c.partition))
		dst = appendNullable(dst, s.bytes(c.key))
		dst = appendNullable(dst, s.bytes(c.value))
		dst = binary.AppendUvarint(dst, uint64(c.headers-first))
		for _, h := range s.heads[first:c.headers] {
			dst = binary.AppendUvarint(dst, uint64(len(h.key))+1)
			dst = append(dst, h.key...)
			dst = appendNullable(dst, s.bytes(h.value))
		}
		first = c.headers
	}
	body := dst[start+blockHeader:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(body, castagnoli))
	return dst
}

func appendNullable(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))+1), b...)
}

// readStage calls f with each record of a stage file. The records' memory is theirs.
func readStage(path string, f func(*slab) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 1<<20)
	for {
		s, err := readBlock(r)
		if err == io.EOF { // not wrapped: a torn header is another error
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := f(s); err != nil {
			return err
		}
	}
}

// readBlock reads one block into a new slab whose records are built but for their topic; io.EOF at the end.
func readBlock(r io.Reader) (*slab, error) {
	var header [blockHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(header[:])
	if length > maxBlock {
		return nil, errDamaged
	}
	s := newSlab()
	s.data = make([]byte, length)
	if _, err := io.ReadFull(r, s.data); err != nil || crc32.Checksum(s.data, castagnoli) != binary.LittleEndian.Uint32(header[4:]) {
		return nil, errDamaged
	}
	return s, s.cutBlock()
}

var errDamaged = errors.New("the file is damaged")

// cutBlock finds the records of a block in data.
func (s *slab) cutBlock() error {
	c := cursor{data: s.data}
	s.time = c.varint()
	for n := c.uvarint(); n > 0 && !c.bad; n-- {
		record := cut{partition: int32(c.varint()), key: c.nullable(), value: c.nullable()}
		for h := c.uvarint(); h > 0 && !c.bad; h-- {
			key := s.bytes(c.nullable())
			s.heads = append(s.heads, head{key: string(key), value: c.nullable()})
		}
		record.headers = len(s.heads)
		s.cuts = append(s.cuts, record)
	}
	if c.bad || c.at != len(s.data) {
		return errDamaged
	}
	return nil
}

// cursor reads a block.
type cursor struct {
	data []byte
	at   int
	bad  bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.data[c.at:])
	return uint64(c.step(int64(v), n))
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.data[c.at:])
	return c.step(v, n)
}

func (c *cursor) step(v int64, n int) int64 {
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.at += n
	return v
}

func (c *cursor) nullable() span {
	n := c.uvarint()
	if n == 0 || c.bad {
		return nullSpan
	}
	if n-1 > uint64(len(c.data)-c.at) {
		c.bad = true
		return nullSpan
	}
	from := c.at
	c.at += int(n - 1)
	return span{from, c.at}
}

// removeStages removes all stage files of a folder. A folder that is not there has none.
func removeStages(fs vfs.FS, dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, stagePrefix) && strings.HasSuffix(name, stageSuffix) {
			errs = append(errs, fs.Remove(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}
