package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/leat-project/leat/infer"
)

// Serve is the child: it takes over the standard input and output, opens the library that the parent names, loads the graph that
// it sends, and runs it, as many runs at once as are asked for, until the input ends. What native code prints goes to
// the standard error, so that it is not taken for an answer. The error is that of input which is not a parent's. The caller has
// to end the process after it, whether or not runs are still under way.
func Serve(open func(Library) (infer.Runtime, error)) error {
	in, out, err := takeStdio()
	if err != nil {
		return err
	}
	return newServer(in, out, open).serve()
}

// server answers requests.
type server struct {
	*pipe
	open func(Library) (infer.Runtime, error)

	writing sync.Mutex

	mu      sync.Mutex
	runtime infer.Runtime
	session infer.Session
	cancels map[uint64]context.CancelFunc
}

func newServer(in io.Reader, out io.Writer, open func(Library) (infer.Runtime, error)) *server {
	return &server{pipe: newPipe(in, out), open: open, cancels: map[uint64]context.CancelFunc{}}
}

// serve answers requests until there are no more, each in a goroutine.
func (s *server) serve() error {
	for {
		f, err := s.read()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("this command is for leat itself, which speaks to it: %w", err)
		case f.kind == kindCancel:
			s.mu.Lock()
			if cancel := s.cancels[f.id]; cancel != nil {
				cancel()
			}
			s.mu.Unlock()
			s.recycle(f.payload)
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.mu.Lock()
		s.cancels[f.id] = cancel
		s.mu.Unlock()
		go func() {
			s.handle(ctx, f)
			s.mu.Lock()
			delete(s.cancels, f.id)
			s.mu.Unlock()
			cancel()
		}()
	}
}

// handle answers one request. A panic is an answer, too: the process lives on.
func (s *server) handle(ctx context.Context, f frame) {
	defer s.recycle(f.payload)
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				at, _, _ := strings.Cut(string(debug.Stack()), "\n\n")
				err = &infer.Error{Code: "PANIC", Text: fmt.Sprintf("leat's code for running models failed: %v", p), Hint: at}
			}
		}()
		switch f.kind {
		case kindOpen:
			return s.openLibrary(f)
		case kindLoad:
			return s.load(ctx, f)
		case kindRun:
			return s.run(ctx, f)
		}
		return errDamaged
	}()
	if err != nil {
		s.answerJSON(kindError, f.id, failureOf(err))
	}
}

func (s *server) openLibrary(f frame) error {
	var request openRequest
	if err := json.Unmarshal(f.head, &request); err != nil {
		return err
	}
	l := Library{Path: string(request.Path), MemoryLimit: request.MemoryLimit}
	for _, p := range request.Preload {
		l.Preload = append(l.Preload, string(p))
	}
	r, err := s.open(l)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.runtime = r
	s.mu.Unlock()
	s.answerJSON(kindDone, f.id, hello{Version: r.Version(), Providers: r.Providers()})
	return nil
}

func (s *server) load(ctx context.Context, f frame) error {
	var request loadRequest
	if err := json.Unmarshal(f.head, &request); err != nil {
		return err
	}
	if request.Size < 0 || request.Size > len(f.payload) {
		return errDamaged
	}
	s.mu.Lock()
	r, loaded := s.runtime, s.session != nil
	s.mu.Unlock()
	if r == nil || loaded {
		return errors.New("a model is loaded once, after the library")
	}
	o := infer.Options{Threads: request.Threads, Providers: request.Providers, Fallback: request.Fallback,
		Optimization: request.Optimization, NoArena: request.NoArena, Config: request.Config}
	if request.Log {
		o.Log = func(level, text string) { s.answerJSON(kindLog, 0, logEntry{level, text}) }
	}
	session, err := r.Load(ctx, infer.Source{Name: request.Name, Path: string(request.Path), Bytes: f.payload[:request.Size]}, o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.session = session
	s.mu.Unlock()
	s.answerJSON(kindDone, f.id, signature{session.Inputs(), session.Outputs()})
	return nil
}

func (s *server) run(ctx context.Context, f frame) error {
	s.mu.Lock()
	session := s.session
	s.mu.Unlock()
	if session == nil {
		return errors.New("no model is loaded")
	}
	d := decoder{head: f.head, payload: f.payload}
	outputs, err := d.numbers()
	if err != nil {
		return err
	}
	inputs, err := d.values()
	if err != nil {
		return err
	}
	results, err := session.Run(ctx, inputs, outputs)
	if err != nil {
		return err
	}
	defer results.Close()
	m := &message{}
	m.count(len(results.Values))
	for i, v := range results.Values {
		if err := m.value(v, 0); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return s.answer(kindDone, f.id, m)
}

// answer writes a frame. A parent that does not read any more has died, which the reader notices.
func (s *server) answer(k kind, id uint64, m *message) error {
	if err := m.check(); err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.write(k, id, m)
	return nil
}

// answerJSON writes a frame whose head is JSON, of types that can always be written so.
func (s *server) answerJSON(k kind, id uint64, v any) {
	if m, err := jsonMessage(v); err == nil {
		_ = s.answer(k, id, m)
	}
}
