package http

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
)

// budget limits how many bytes all requests together hold. Who asks first is served first.
type budget struct {
	mu      sync.Mutex
	free    int64
	waiting []*waiter
}

type waiter struct {
	n     int64
	ready chan struct{}
}

// take waits until there are n bytes.
func (b *budget) take(ctx context.Context, n int64) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, w); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	} else {
		b.free += n // it came at the same moment
	}
	b.serve()
	return context.Cause(ctx)
}

// give returns n bytes.
func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.serve()
}

func (b *budget) serve() {
	for len(b.waiting) > 0 && b.free >= b.waiting[0].n {
		b.free -= b.waiting[0].n
		close(b.waiting[0].ready)
		b.waiting = b.waiting[1:]
	}
}

// share is what one request has taken of a budget.
type share struct {
	of    *budget
	taken int64
}

func (s *share) take(ctx context.Context, n int64) error {
	if err := s.of.take(ctx, n); err != nil {
		return errors.Join(errBusy, err)
	}
	s.taken += n
	return nil
}

func (s *share) release() { s.of.give(s.taken); s.taken = 0 }

// What reading a body may end with.
var (
	errTooLarge = errors.New("the body is too large")
	errBusy     = errors.New("too much is under way")
)

// headBytes of each body are read before it takes anything of the budget: small bodies never wait, and a client that announces much and sends nothing holds
// nothing. The number of connections bounds how much that is.
const headBytes = 4 << 10

// readBody reads all of in, at most limit bytes. What is known of its length in advance is size, -1: nothing. It takes all at once: bodies that each have some
// memory and wait for more would wait for ever.
func readBody(ctx context.Context, in io.Reader, size, limit int64, s *share) ([]byte, error) {
	body, whole, err := fill(make([]byte, 0, headBytes), in)
	if err == nil && !whole {
		if size < 0 || size > limit {
			size = limit
		}
		if err := s.take(ctx, max(size+1, headBytes)); err != nil {
			return nil, err
		}
		body, whole, err = fill(append(make([]byte, 0, max(size+1, headBytes)), body...), in)
	}
	switch {
	case err != nil:
		return nil, err
	case !whole || int64(len(body)) > limit:
		return nil, errTooLarge
	}
	return body, nil
}

// fill reads until the capacity of body is used, or in has ended: then it is whole.
func fill(body []byte, in io.Reader) (filled []byte, whole bool, err error) {
	for len(body) < cap(body) {
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return body, true, nil
		}
		if err != nil {
			return body, false, err
		}
	}
	return body, false, nil
}

// limited is a listener that accepts so many connections at a time; others wait with the system.
type limited struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func limit(l net.Listener, connections int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, connections), done: make(chan struct{})}
}

// Accept waits for a connection and a slot.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slot{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// slot is a connection that frees its slot when it is closed.
type slot struct {
	net.Conn
	free func()
}

func (s *slot) Close() error {
	defer s.free()
	return s.Conn.Close()
}
