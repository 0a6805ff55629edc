package process

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/infer"
	"github.com/leat-project/leat/model"
)

// The pauses before a replacement starts. The first one starts at once; as long as no run ends in between, each further one
// waits twice as long as the one before.
const (
	firstPause   = 10 * time.Millisecond
	longestPause = time.Second
)

// pauseAfter returns how long after a replacement the next one may start, given how many there were in a row.
func pauseAfter(replacements int) time.Duration {
	const doublings = 7 // firstPause<<7 is more than longestPause
	return min(firstPause<<min(max(replacements, 1)-1, doublings), longestPause)
}

// signature is what a graph takes and gives.
type signature struct {
	Inputs, Outputs []model.ValueInfo
}

// session is a graph in a child, or in one after another.
type session struct {
	signature
	r       *Runtime
	source  infer.Source
	options infer.Options

	mu     sync.RWMutex // read by runs, written by Close
	closed bool

	current      atomic.Pointer[child]
	turn         chan struct{} // held by who replaces the child
	next         time.Time     // when a replacement may start; of who has the turn
	replacements atomic.Int64  // since a run has ended
}

var _ infer.Session = (*session)(nil)

func (s *session) Inputs() []model.ValueInfo  { return s.signature.Inputs }
func (s *session) Outputs() []model.ValueInfo { return s.signature.Outputs }

// load loads the graph in a child: in the one given, if it is alive, else in a new one.
func (s *session) load(ctx context.Context, c *child) (*child, signature, error) {
	var sig signature
	if c == nil || !c.alive() {
		var err error
		if c, _, err = s.r.start(ctx); err != nil {
			return nil, sig, fmt.Errorf("model %s cannot be loaded: %w", s.source.Name, err)
		}
	}
	o := s.options
	c.logTo(o.Log)
	err := c.exchange(ctx, kindLoad, loadRequest{Name: s.source.Name, Path: []byte(s.source.Path), Size: len(s.source.Bytes), Threads: o.Threads, Providers: o.Providers,
		Fallback: o.Fallback, Optimization: o.Optimization, NoArena: o.NoArena, Config: o.Config, Log: o.Log != nil}, s.source.Bytes, &sig)
	if err == nil {
		return c, sig, nil
	}
	c.stop()
	if errors.Is(err, infer.ErrCrashed) {
		err = fmt.Errorf("model %s cannot be loaded: %w", s.source.Name, err)
	}
	return nil, sig, err
}

// Run has the child compute outputs. It costs two copies of the inputs and two of the outputs, and some ten microseconds. After
// a cancellation it takes until the child has ended the run, and the grace of Config at most.
func (s *session) Run(ctx context.Context, inputs []infer.Value, outputs []int) (*infer.Results, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, fmt.Errorf("model %s: the session is closed", s.source.Name)
	}
	m, err := s.request(inputs, outputs)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", s.source.Name, err)
	}
	c, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	f, err := c.call(ctx, kindRun, m)
	if !errors.Is(err, infer.ErrCrashed) {
		s.replacements.Store(0)
	}
	if err != nil {
		if errors.Is(err, infer.ErrCrashed) {
			err = fmt.Errorf("model %s: %w", s.source.Name, err)
		}
		return nil, err
	}
	d := decoder{head: f.head, payload: f.payload}
	values, err := d.values()
	if err != nil {
		c.kill(fmt.Sprintf("it was ended, since its answer is damaged: %v", err))
		<-c.dead
		return nil, fmt.Errorf("model %s: %w", s.source.Name, c.death)
	}
	return infer.NewResults(values, func() { c.recycle(f.payload) }), nil
}

// request makes the message of a run.
func (s *session) request(inputs []infer.Value, outputs []int) (*message, error) {
	if len(inputs) != len(s.signature.Inputs) {
		return nil, fmt.Errorf("wanted %d inputs, found %d", len(s.signature.Inputs), len(inputs))
	}
	m := &message{}
	m.numbers(outputs)
	m.count(len(inputs))
	for i, v := range inputs {
		if err := m.value(v, 0); err != nil {
			return nil, fmt.Errorf("input %q: %w", s.signature.Inputs[i].Name, err)
		}
	}
	return m, nil
}

// live returns a child that has the graph, starting one where the last has died.
func (s *session) live(ctx context.Context) (*child, error) {
	if c := s.current.Load(); c.alive() {
		return c, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := s.current.Load(); c.alive() {
		return c, nil
	}
	if s.replacements.Load() > 0 {
		select {
		case <-time.After(time.Until(s.next)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c, sig, err := s.load(ctx, nil)
	s.next = time.Now().Add(pauseAfter(int(s.replacements.Add(1))))
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(sig, s.signature) {
		c.stop()
		return nil, fmt.Errorf("model %s: the graph has changed since it was loaded: wanted the same inputs and outputs; start the pipeline again", s.source.Name)
	}
	s.current.Store(c)
	return c, nil
}

// Close ends the child, after the runs that are under way.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.current.Load().stop()
	s.r.release()
	return nil
}
