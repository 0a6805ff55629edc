package file

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// standardName is what standard input is called where a file would be named.
const standardName = "standard input"

// standardBytes is how much of standard input is read at once. As much again waits to be taken.
const standardBytes = 64 << 10

// standardInput reads standard input so that waiting for it can be given up.
type standardInput struct {
	from   io.Reader       // nil: os.Stdin
	ctx    context.Context // of the call of Next that is under way
	pieces chan []byte     // closed at the end, or when err is set
	free   chan []byte
	err    error
	rest   []byte
	piece  []byte // that rest is of
	closed chan struct{}
	done   *atomic.Int64
}

// open begins reading. It is called once: standard input does not begin again.
func (s *standardInput) open(done *atomic.Int64) error {
	if s.pieces != nil {
		return io.EOF
	}
	if s.from == nil {
		s.from = os.Stdin
	}
	s.done, s.pieces, s.free, s.closed = done, make(chan []byte), make(chan []byte, 2), make(chan struct{})
	s.free <- make([]byte, standardBytes)
	s.free <- make([]byte, standardBytes)
	go s.pump()
	return nil
}

// pump reads until the end. A read that waits for a terminal or a pipe cannot be broken off: at the end of the run it ends with the process.
func (s *standardInput) pump() {
	defer close(s.pieces)
	for {
		var buf []byte
		select {
		case buf = <-s.free:
		case <-s.closed:
			return
		}
		n, err := s.from.Read(buf[:standardBytes])
		if n > 0 {
			select {
			case s.pieces <- buf[:n]:
			case <-s.closed:
				return
			}
		} else {
			s.free <- buf
		}
		if err != nil {
			if err != io.EOF {
				s.err = fmt.Errorf("cannot read standard input: %w", cause(err))
			}
			return
		}
	}
}

// Read waits for something and returns what is there.
func (s *standardInput) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.piece != nil {
			s.free <- s.piece
			s.piece = nil
		}
		select {
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		case piece, ok := <-s.pieces:
			if !ok && s.err != nil {
				return 0, s.err
			}
			if !ok {
				return 0, io.EOF
			}
			s.rest, s.piece = piece, piece
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	s.done.Add(int64(n))
	return n, nil
}

// Close lets reading end.
func (s *standardInput) Close() error {
	close(s.closed)
	return nil
}
