// Package intake is a durable, bounded log of messages that cannot be asked for again: those that a broker or a client hands over once, and
// forgets when we say that we have them. A connector appends a message, tells its sender that it is safe once the log says so, and reads the log as if it
// were the source.
//
// Offsets count messages from 0 and never come back. Messages are written in groups: one sync covers all that wait for it. Each group has a checksum, so
// after a crash what was not synced is dropped, and damage to what was synced is an error that names the file and the offset.
//
// Without a folder the log lies in memory, and what is in it is lost with the process.
package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leat-project/leat/internal/vfs"
)

// The sizes where none are given.
const (
	DefaultSegmentBytes = 16 << 20
	DefaultMaxBytes     = 1 << 30
)

// Options say how large a log may be.
type Options struct {
	SegmentBytes int64 // a file of the log; 0: DefaultSegmentBytes, a quarter of MaxBytes at most
	MaxBytes     int64 // all of it, but for the headers of files: Append waits when it is reached; 0: DefaultMaxBytes
}

// Entry is a message of the log. Its bytes stay as they are.
type Entry struct {
	Offset    int64
	Partition string
	Time      int64 // whatever the appender gave
	Meta      []byte
	Message   []byte
}

// What Append can fail with, beside errors of the file system.
var (
	ErrClosed   = errors.New("the log is closed")
	ErrTooLarge = errors.New("the message is larger than the log may be")
)

// Log is a log. Its methods are safe for use by many goroutines, but Next and SeekTo are for one reader.
type Log struct {
	fs  vfs.FS
	dir string // "": in memory
	max int64

	mu      sync.Mutex
	changed chan struct{} // closed and made anew when something below changed
	closed  bool
	group   *group // what waits for the next sync
	held    int64  // bytes of files (in memory: of messages) and of what waits
	end     int64  // the offset after the last message that is safe
	files   []*segment

	store   *store // of a folder
	writing bool   // a group is
	queue   []queued
	read    reader
}

// group is what one write and one sync make safe.
type group struct {
	data  []byte
	bytes int64 // that were counted for it
	count int
	done  []chan<- error
}

// overhead is what a group takes at most beside its messages.
const overhead = headerBytes + frameBytes

// groupBytes is how large a group may grow before Append waits.
const groupBytes = 4 << 20

// Open opens the log that lies in a folder, or makes one. The folder is made where it is missing; "": the log lies in memory.
func Open(fs vfs.FS, dir string, o Options) (*Log, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	l := &Log{fs: fs, dir: dir, max: o.MaxBytes, changed: make(chan struct{}), group: &group{}}
	if dir == "" {
		return l, nil
	}
	if err := fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("folder of the log: %w", err)
	}
	files, end, err := recoverFiles(fs, dir)
	if err != nil {
		return nil, err
	}
	l.files, l.end = files, end
	for _, f := range files {
		l.held += f.size
	}
	l.store = &store{log: l, segmentBytes: min(o.SegmentBytes, max(o.MaxBytes/4, 1)), work: make(chan struct{}, 1), drops: make(chan drop), stop: make(chan struct{})}
	if err := l.store.begin(); err != nil {
		return nil, err
	}
	l.read.next = l.files[0].first
	l.store.running.Go(l.store.run)
	return l, nil
}

// Append adds a message. The channel gives nil once the message is safe, or the error of what was tried, after which the message is not in the log (after a
// crash at that moment it may be); what waited with it shares the error. Append waits while the log is full, until ctx is done.
//
// In memory the channel gives nil once Next has handed the message out.
func (l *Log) Append(ctx context.Context, partition string, time int64, meta, message []byte) (done <-chan error) {
	c := make(chan error, 1)
	size := int64(recordSize(partition, meta, message))
	if size > l.max || size > maxRecordBytes {
		c <- ErrTooLarge
		return c
	}
	l.mu.Lock()
	for !l.closed && l.full(size+overhead) {
		if err := l.wait(ctx); err != nil {
			l.mu.Unlock()
			c <- err
			return c
		}
	}
	defer l.mu.Unlock()
	switch {
	case l.closed:
		c <- ErrClosed
	case l.dir == "":
		l.held += size
		l.queue = append(l.queue, queued{Entry{l.end, partition, time, clone(meta), clone(message)}, size, c})
		l.end++
		l.wake()
	default:
		if l.group.count == 0 {
			size += overhead
		}
		l.held += size
		l.group.data = appendRecord(l.group.data, partition, time, meta, message)
		l.group.bytes += size
		l.group.count++
		l.group.done = append(l.group.done, c)
		l.store.poke()
	}
	return c
}

// full reports whether a message of that size has to wait. What is alone has room.
func (l *Log) full(size int64) bool {
	return len(l.group.data) > groupBytes || l.held+size > l.max && !l.empty()
}

// empty reports whether nothing is held but the beginnings of files.
func (l *Log) empty() bool {
	if l.dir == "" {
		return len(l.queue) == 0
	}
	return l.group.count == 0 && !l.writing && l.end == l.files[0].first
}

// wait waits for a change. l.mu is held, but not meanwhile.
func (l *Log) wait(ctx context.Context) error {
	changed := l.changed
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
		return nil
	}
}

// wake ends all waits. l.mu is held.
func (l *Log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// First returns the offset of the first message that is held, or End where there is none.
func (l *Log) First() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir != "" {
		return l.files[0].first
	}
	return l.end - int64(len(l.queue))
}

// End returns the offset after the last message that is safe.
func (l *Log) End() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Held returns how many bytes the log takes, of MaxBytes.
func (l *Log) Held() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// Close makes safe what waits, and ends the log. Next and Append end with ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	for _, q := range l.queue {
		q.done <- ErrClosed
	}
	l.queue = nil
	l.wake()
	l.mu.Unlock()
	l.read.close()
	if l.store == nil {
		return nil
	}
	close(l.store.stop)
	l.store.running.Wait()
	return l.store.close()
}

func clone(b []byte) []byte { return append([]byte{}, b...) }
