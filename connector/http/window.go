package http

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/leat-project/leat/internal/vfs"
)

// windowKeys is how many messages are remembered, to know them when they come again.
const windowKeys = 100_000

// key is what a message is known by.
type key [16]byte

func newKey(name string) key {
	sum := sha256.Sum256([]byte(name))
	return key(sum[:len(key{})])
}

// window remembers the last messages. It is safe for use by many goroutines.
type window struct {
	mu      sync.Mutex
	most    int
	kept    map[key]struct{}
	order   []key // of kept, a ring once it is full
	oldest  int
	pending map[key]chan struct{} // messages that are not kept yet; closed when that is decided
	changed bool                  // since it was saved
	state   string                // where a poll goes on
}

func newWindow(most int) *window {
	return &window{most: most, kept: map[key]struct{}{}, pending: map[key]chan struct{}{}}
}

// begin says whether a message is new: then end must follow. Where it is not, decided is closed once it is known whether the other one was kept.
func (w *window) begin(k key) (fresh bool, decided <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.kept[k]; ok {
		return false, closed
	}
	if d, ok := w.pending[k]; ok {
		return false, d
	}
	w.pending[k] = make(chan struct{})
	return true, nil
}

// closed is a channel that is.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// end says whether a message is kept.
func (w *window) end(k key, kept bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d, ok := w.pending[k]; ok {
		delete(w.pending, k)
		close(d)
	}
	if kept {
		w.keep(k)
	}
}

// has reports whether a message is kept.
func (w *window) has(k key) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.kept[k]
	return ok
}

// add remembers a message that was read from the log.
func (w *window) add(k key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keep(k)
}

func (w *window) keep(k key) {
	if _, ok := w.kept[k]; ok {
		return
	}
	w.changed = true
	w.kept[k] = struct{}{}
	if len(w.order) < w.most {
		w.order = append(w.order, k)
		return
	}
	delete(w.kept, w.order[w.oldest])
	w.order[w.oldest] = k
	w.oldest = (w.oldest + 1) % w.most
}

func (w *window) setState(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = w.changed || w.state != s
	w.state = s
}

func (w *window) getState() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// The file of a window: the magic, the length of the state, the state, keys from the oldest, a checksum of all before.
const (
	windowFile  = "seen"
	windowMagic = "leat seen 1\n"
)

// save writes the window to a folder, so that messages of the log that it covers may be dropped.
func (w *window) save(files vfs.FS, dir string) error {
	data, changed := w.encode()
	if !changed {
		return nil
	}
	err := replaceFile(files, dir, windowFile, data)
	if err != nil {
		w.mu.Lock()
		w.changed = true // it was not saved
		w.mu.Unlock()
	}
	return err
}

func (w *window) encode() (data []byte, changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.changed {
		return nil, false
	}
	w.changed = false
	data = append(data, windowMagic...)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(w.state)))
	data = append(data, w.state...)
	for i := range w.order {
		k := w.order[(w.oldest+i)%len(w.order)]
		data = append(data, k[:]...)
	}
	return binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data)), true
}

// replaceFile writes a file so that it is there as a whole, or as it was before.
func replaceFile(files vfs.FS, dir, name string, data []byte) error {
	full := filepath.Join(dir, name)
	next := full + ".next"
	if err := files.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := files.Create(next)
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
	if err := files.Rename(next, full); err != nil {
		return err
	}
	return files.SyncDir(dir)
}

// load reads the window from a folder, where it was saved there.
func (w *window) load(dir string) error {
	name := filepath.Join(dir, windowFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.decode(data); err != nil {
		return fmt.Errorf("%s: %w: without this file, messages that come again are not known", name, err)
	}
	return nil
}

var errDamaged = errors.New("the file is damaged")

func (w *window) decode(data []byte) error {
	n := len(data) - 4
	if n < len(windowMagic)+4 || !bytes.HasPrefix(data, []byte(windowMagic)) || crc32.ChecksumIEEE(data[:n]) != binary.LittleEndian.Uint32(data[n:]) {
		return errDamaged
	}
	data = data[len(windowMagic):n]
	length := int(binary.LittleEndian.Uint32(data))
	if data = data[4:]; length > len(data) || (len(data)-length)%len(key{}) != 0 {
		return errDamaged
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = string(data[:length])
	for data = data[length:]; len(data) > 0; data = data[len(key{}):] {
		w.keep(key(data[:len(key{})]))
	}
	w.changed = false
	return nil
}
