package intake

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/leat-project/leat/internal/vfs"
)

// store writes the files of a log, from one goroutine.
type store struct {
	log          *Log
	segmentBytes int64
	work         chan struct{} // something waits in log.group
	drops        chan drop
	stop         chan struct{}
	running      sync.WaitGroup

	// Of the goroutine:
	file   vfs.File // of the last of log.files; nil after a failure
	serial int64    // of the last file
	buf    []byte
}

type drop struct {
	before int64
	wanted int64
	done   chan error
}

// begin makes the file that is written from now on. What lay in the last one is copied to a new file, as its end may be torn, or not be on disk yet.
func (s *store) begin() error {
	l := s.log
	if n := len(l.files); n > 0 {
		s.serial = l.files[n-1].serial
	}
	old := slices.Clone(l.files)
	last := lastOf(old)
	var frames []byte
	first := l.end
	if last != nil && last.end > last.first {
		data, err := readFile(l.fs, last.name)
		if err != nil {
			return err
		}
		first, frames = last.first, data[:last.size]
	}
	l.files = slices.DeleteFunc(l.files, func(f *segment) bool { return f == last || f.first < 0 })
	made, err := s.create(first, frames, last)
	if err != nil {
		return err
	}
	l.files = append(l.files, made)
	l.held += made.size
	for _, f := range old {
		if !slices.Contains(l.files, f) {
			l.held -= f.size
			if err := l.fs.Remove(f.name); err != nil {
				return errors.Join(fmt.Errorf("an old file of the log: %w", err), s.close())
			}
		}
	}
	return nil
}

// create makes the next file, with its header and, where old is given, with that one's frames.
func (s *store) create(first int64, data []byte, old *segment) (*segment, error) {
	l := s.log
	s.serial++
	made := &segment{name: fileName(l.dir, s.serial), serial: s.serial, first: first, end: first}
	rand.Read(made.nonce[:]) //nolint:errcheck // it never fails
	buf := appendHeader(nil, made.nonce, first)
	if old != nil && data != nil {
		for at := headerBytes; at < len(data); {
			f, _ := parseFrame(data[at:], old.nonce) // recovery has checked it
			body := data[at+frameBytes : at+frameBytes+f.length]
			buf = append(appendFrame(buf, made.nonce, f.first, f.count, body), body...)
			at, made.end = at+frameBytes+f.length, f.end()
		}
	}
	made.size = int64(len(buf))
	file, err := l.fs.Create(made.name)
	if err != nil {
		return nil, fmt.Errorf("file of the log: %w", err)
	}
	if _, err = file.Write(buf); err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("file of the log: %w", err), file.Close())
		l.fs.Remove(made.name) //nolint:errcheck // recovery passes over it
		return nil, err
	}
	s.file = file
	return made, nil
}

// poke says that something waits.
func (s *store) poke() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// run writes groups until the log is closed.
func (s *store) run() {
	for {
		select {
		case <-s.work:
			s.commit()
		case d := <-s.drops:
			d.done <- s.drop(d.before, d.wanted)
		case <-s.stop:
			s.commit()
			return
		}
	}
}

// commit makes safe what waits, and tells those who wait for it.
func (s *store) commit() {
	l := s.log
	l.mu.Lock()
	g := l.group
	if g.count == 0 {
		l.mu.Unlock()
		return
	}
	l.group, l.writing = &group{}, true
	l.wake() // there is room for the next group
	l.mu.Unlock()
	written, err := s.write(g)
	l.mu.Lock()
	l.held += written - g.bytes
	l.writing = false
	l.wake()
	l.mu.Unlock()
	for _, c := range g.done {
		c <- err
	}
}

// write writes a group as one frame, and syncs it. After a failure nobody knows what of it is on disk: what follows goes to a new file, which begins
// with the same offset, so that the frame does not count.
func (s *store) write(g *group) (written int64, err error) {
	l := s.log
	active := l.files[len(l.files)-1]
	if s.file == nil || active.size >= s.segmentBytes {
		if active, err = s.roll(active.end); err != nil {
			return 0, err
		}
		written = active.size
	}
	s.buf = append(appendFrame(s.buf[:0], active.nonce, active.end, g.count, g.data), g.data...)
	if _, err = s.file.Write(s.buf); err == nil {
		err = s.file.Sync()
	}
	if cap(s.buf) > 2*groupBytes {
		s.buf = nil
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("file of the log: %w", err), s.close())
		return written, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	size := int64(frameBytes + len(g.data))
	active.size, active.end = active.size+size, active.end+int64(g.count)
	l.end = active.end
	return written + size, nil
}

// roll begins a new file.
func (s *store) roll(first int64) (*segment, error) {
	l := s.log
	if err := s.close(); err != nil {
		return nil, err
	}
	made, err := s.create(first, nil, nil)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.files = append(l.files, made)
	l.mu.Unlock()
	return made, nil
}

// drop removes the files all of whose messages lie before an offset. The one that is written is replaced first where that gives back much. Files with messages
// that are wanted stay as long as they leave half of the room.
func (s *store) drop(before, wanted int64) error {
	l := s.log
	active := l.files[len(l.files)-1]
	if before >= active.end && (active.size >= max(s.segmentBytes/2, headerBytes+1) || active.size > headerBytes && l.Held() > l.max/2) {
		made, err := s.roll(active.end)
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.held += made.size
		l.mu.Unlock()
	}
	for len(l.files) > 1 && l.files[0].end <= before && (l.files[0].end <= wanted || l.Held() > l.max/2) {
		oldest := l.files[0]
		if err := l.fs.Remove(oldest.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("file of the log: %w", err)
		}
		l.mu.Lock()
		l.files = l.files[1:]
		l.held -= oldest.size
		l.wake()
		l.mu.Unlock()
	}
	return nil
}

func (s *store) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// Drop gives back the room of messages before an offset. Those from wanted on may be read again, where someone goes back: they stay while they take no more
// than half of the room. It removes whole files, so some others may be read again all the same.
func (l *Log) Drop(before, wanted int64) error {
	if l.store == nil {
		return nil // what was handed out is gone
	}
	d := drop{before: before, wanted: wanted, done: make(chan error, 1)}
	select {
	case l.store.drops <- d:
		return <-d.done
	case <-l.store.stop:
		return ErrClosed
	}
}
