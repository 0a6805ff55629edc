package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// signals are what the user and the system tell a run. The first interrupt stops it: it cancels the context, or where the run can stop at a
// checkpoint asks it to. The second one ends the process.
type signals struct {
	cancel context.CancelFunc
	came   chan os.Signal
	done   chan struct{}
	wait   sync.WaitGroup

	mu   sync.Mutex
	stop chan struct{} // closed by the first interrupt; nil: the context is cancelled
}

// catchSignals begins to listen, until release is called.
func catchSignals(ctx context.Context, log *reporter) (context.Context, *signals) {
	ctx, cancel := context.WithCancel(ctx)
	s := &signals{cancel: cancel, came: make(chan os.Signal, 2), done: make(chan struct{})}
	signal.Notify(s.came, os.Interrupt, syscall.SIGTERM)
	s.wait.Go(func() { s.listen(log) })
	return ctx, s
}

func (s *signals) listen(log *reporter) {
	for seen := 0; ; seen++ {
		select {
		case <-s.done:
			return
		case <-s.came:
		}
		if seen > 0 {
			log.erase()
			os.Exit(exitInterrupted)
		}
		log.stopping()
		s.mu.Lock()
		if s.stop != nil {
			close(s.stop)
		} else {
			s.cancel()
		}
		s.mu.Unlock()
	}
}

// graceful returns what the next interrupt closes in place of cancelling the context.
func (s *signals) graceful() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = make(chan struct{})
	return s.stop
}

func (s *signals) release() {
	signal.Stop(s.came)
	close(s.done)
	s.wait.Wait()
	s.cancel()
}
