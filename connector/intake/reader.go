package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// nextBytes is how many bytes of messages Next returns at most, but for the last message.
const nextBytes = 4 << 20

// queued is a message of a log in memory.
type queued struct {
	Entry
	size int64
	done chan<- error
}

// reader is where a log is read.
type reader struct {
	mu    sync.Mutex // Close may come while a file is read
	next  int64      // the offset that Next returns next
	file  io.ReadCloser
	of    *segment
	pos   int64  // the offset of the frame that file stands before
	at    int64  // and its byte
	body  []byte // what is left of a frame: from next on
	count int
	names map[string]string // partitions
}

// Next reads on: it fills into with some messages, most at most, which are safe. It waits until there is one, and returns the context's error when that is
// done, ErrClosed after Close, or a *DamagedError.
func (l *Log) Next(ctx context.Context, into *[]Entry, most int) error {
	*into = (*into)[:0]
	most = max(most, 1)
	if l.dir == "" {
		return l.take(ctx, into, most)
	}
	r := &l.read
	for size := 0; len(*into) < most && size < nextBytes; {
		if r.count == 0 {
			found, err := l.available(ctx, len(*into) == 0)
			if err != nil {
				return err
			}
			if found == nil {
				return nil
			}
			if err := r.load(l, found); err != nil {
				return err
			}
		}
		for ; r.count > 0 && len(*into) < most && size < nextBytes; r.count-- {
			e, err := r.entry()
			if err != nil {
				return err
			}
			*into = append(*into, e)
			size += len(e.Message) + len(e.Meta)
		}
	}
	return nil
}

// available returns the file that has the next message. Where there is none, it waits, or returns nil.
func (l *Log) available(ctx context.Context, wait bool) (*segment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && l.read.next >= l.end {
		if !wait {
			return nil, nil
		}
		if err := l.wait(ctx); err != nil {
			return nil, err
		}
	}
	if l.closed {
		return nil, ErrClosed
	}
	for _, f := range l.files {
		if f.first <= l.read.next && l.read.next < f.end {
			return f, nil
		}
	}
	return nil, fmt.Errorf("message %d of the log has been dropped", l.read.next)
}

// load reads the frame of a file that has the next message.
func (r *reader) load(l *Log, s *segment) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of != s {
		if err := r.open(l, s); err != nil {
			return err
		}
	}
	for {
		var head [frameBytes]byte
		if _, err := io.ReadFull(r.file, head[:]); err != nil {
			return r.damage(err)
		}
		f, ok := parseFrame(head[:], s.nonce)
		if !ok || f.first != r.pos || f.length > maxRecordBytes+2*groupBytes {
			return r.damage(nil)
		}
		body := make([]byte, f.length)
		if _, err := io.ReadFull(r.file, body); err != nil {
			return r.damage(err)
		}
		if !f.holds(body) {
			return r.damage(nil)
		}
		r.pos, r.at = f.end(), r.at+frameBytes+int64(f.length)
		if f.end() > r.next {
			r.body, r.count = body, f.count
			return r.skip(f.first)
		}
	}
}

// skip passes over the messages of a frame that stand before the next one.
func (r *reader) skip(first int64) error {
	next := r.next
	for r.next = first; r.next < next; r.count-- {
		if _, err := r.entry(); err != nil {
			r.next = next
			return err
		}
	}
	return nil
}

// open begins to read a file.
func (r *reader) open(l *Log, s *segment) error {
	r.shut()
	file, err := l.fs.Open(s.name)
	if err != nil {
		return fmt.Errorf("file of the log: %w", err)
	}
	r.file, r.of, r.pos, r.at = file, s, s.first, headerBytes
	var head [headerBytes]byte
	if _, err := io.ReadFull(file, head[:]); err != nil {
		return r.damage(err)
	}
	return nil
}

// entry reads the next message of the frame. r.count is the caller's to change.
func (r *reader) entry() (Entry, error) {
	e, partition, rest, err := parseRecord(r.body)
	if err != nil {
		return e, &DamagedError{File: r.of.name, Offset: r.next, At: -1}
	}
	name, known := r.names[string(partition)]
	if !known {
		if r.names == nil || len(r.names) > 10_000 {
			r.names = map[string]string{}
		}
		name = string(partition)
		r.names[name] = name
	}
	e.Offset, e.Partition = r.next, name
	r.body, r.next = rest, r.next+1
	return e, nil
}

// damage is the error where the next frame cannot be read. Then the file is read from its beginning again.
func (r *reader) damage(err error) error {
	damaged := &DamagedError{File: r.of.name, Offset: r.pos, At: r.at}
	r.shut()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", damaged.File, err)
	}
	return damaged
}

// shut closes the file.
func (r *reader) shut() {
	if r.file != nil {
		r.file.Close() //nolint:errcheck // it was only read
	}
	r.file, r.of, r.body, r.count = nil, nil, nil, 0
}

func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		r.file.Close() //nolint:errcheck // it was only read
		r.file, r.of = nil, nil
	}
}

// SeekTo says which message Next returns next: one that is held, or the one after the last.
func (l *Log) SeekTo(offset int64) error {
	first, end := l.First(), l.End()
	switch {
	case offset > end:
		return fmt.Errorf("the log ends before message %d, and %d is wanted: it is not the one that the position is of", end, offset)
	case offset < first:
		return &catalog.Problem{Code: diag.InputChanged, Text: fmt.Sprintf("messages from %d on are wanted, and the log begins at %d: a later checkpoint had covered those between, and they were dropped for want of room", offset, first),
			Hint: fmt.Sprintf("Nobody else has them. Go on from the newest checkpoint (without --from-savepoint). Or go on without them: leat state rollback goes back, leat state drop --part and the transform's name then forgets its position, and messages from %d on are read.", first)}
	}
	if l.dir == "" {
		if offset != first {
			return errors.New("a log in memory is read once, from its beginning")
		}
		return nil
	}
	l.read.mu.Lock()
	defer l.read.mu.Unlock()
	l.read.shut()
	l.read.next = offset
	return nil
}

// take is Next in memory: what it returns is gone.
func (l *Log) take(ctx context.Context, into *[]Entry, most int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && len(l.queue) == 0 {
		if err := l.wait(ctx); err != nil {
			return err
		}
	}
	if l.closed {
		return ErrClosed
	}
	size, n := 0, 0
	for ; n < min(most, len(l.queue)) && size < nextBytes; n++ {
		q := l.queue[n]
		*into = append(*into, q.Entry)
		l.held -= q.size
		size += len(q.Message) + len(q.Meta)
		q.done <- nil
		l.queue[n] = queued{}
	}
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	l.wake()
	return nil
}
