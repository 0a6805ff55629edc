package mqtt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/leat-project/leat/internal/vfs"
)

// seenMost is how many messages are remembered, to know them when they come again.
const seenMost = 100_000

// key is what a message is known by.
type key [16]byte

func keyOf(id []byte) key {
	sum := sha256.Sum256(id)
	return key(sum[:16])
}

// seen remembers the last messages. Those whose log entry is not on disk yet are known, too, but are not saved: they may still be lost, and have to be taken
// when they come again then.
type seen struct {
	mu    sync.Mutex
	most  int
	known map[key]struct{}
	order []key // of known, from the oldest
	safe  int   // so many of order are on disk
	saved bool  // as they are
}

func newSeen(most int) *seen { return &seen{most: most, known: map[key]struct{}{}, saved: true} }

// add remembers a message, and reports whether it was known.
func (s *seen) add(k key) (known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known = s.known[k]; known {
		return true
	}
	s.known[k] = struct{}{}
	s.order = append(s.order, k)
	if over := len(s.order) - 2*s.most; over >= 0 { // now and then, and all at once
		s.forget(len(s.order) - s.most)
	}
	return false
}

// forget drops the oldest ones.
func (s *seen) forget(n int) {
	for _, k := range s.order[:n] {
		delete(s.known, k)
	}
	s.order = append(s.order[:0], s.order[n:]...)
	s.safe = max(0, s.safe-n)
}

// kept says that the oldest message that was not on disk is there now.
func (s *seen) kept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.safe = min(s.safe+1, len(s.order))
	s.saved = false
}

const (
	seenFile  = "seen"
	seenMagic = "leat mqtt seen 1\n"
)

var errSeen = errors.New("the file is damaged")

// save writes what is on disk to a file, before the log drops it.
func (s *seen) save(files vfs.FS, dir string) error {
	s.mu.Lock()
	if s.saved {
		s.mu.Unlock()
		return nil
	}
	s.saved = true
	data := []byte(seenMagic)
	for _, k := range s.order[max(0, s.safe-s.most):s.safe] {
		data = append(data, k[:]...)
	}
	s.mu.Unlock()
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
	if err := replace(files, dir, data); err != nil {
		s.mu.Lock()
		s.saved = false
		s.mu.Unlock()
		return fmt.Errorf("ids of messages: %w", err)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// replace writes the file so that it is there as a whole, or as it was before.
func replace(files vfs.FS, dir string, data []byte) error {
	name := filepath.Join(dir, seenFile)
	next := name + ".next"
	if err := files.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := files.Create(next)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := files.Rename(next, name); err != nil {
		return err
	}
	return files.SyncDir(dir)
}

// load reads what was saved, if anything was.
func (s *seen) load(files vfs.FS, dir string) error {
	name := filepath.Join(dir, seenFile)
	f, err := files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	data, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	n := len(data) - 4
	if n < len(seenMagic) || !bytes.HasPrefix(data, []byte(seenMagic)) || (n-len(seenMagic))%16 != 0 ||
		crc32.Checksum(data[:n], castagnoli) != binary.LittleEndian.Uint32(data[n:]) {
		return fmt.Errorf("%s: %w: without it, messages that come again would not be known", name, errSeen)
	}
	for rest := data[len(seenMagic):n]; len(rest) > 0; rest = rest[16:] {
		s.add(key(rest[:16]))
		s.kept()
	}
	s.saved = true
	return nil
}
