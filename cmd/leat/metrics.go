package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leat-project/leat/engine"
)

// monitor serves what a run tells of itself by HTTP, for who watches over it: /metrics, /healthz and /readyz.
type monitor struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{}
	progress atomic.Pointer[engine.Progress] // nil: the run has not begun
}

// listen opens the address before anything runs; "" gives nil, which does nothing.
func listen(address string) (*monitor, error) {
	if address == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil || port == "":
		return nil, fmt.Errorf("--listen wants HOST:PORT such as 127.0.0.1:9090, found %q", address)
	case host == "":
		return nil, fmt.Errorf("--listen %s names no host: write 127.0.0.1:%s for this machine alone, or 0.0.0.0:%s for all who can reach it", address, port, port)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", address, netCause(err))
	}
	return &monitor{listener: l, served: make(chan struct{})}, nil
}

// netCause is what the system says of a network error, without the address that the text around it has.
func netCause(err error) error {
	if of, ok := errors.AsType[*net.OpError](err); ok {
		return of.Err
	}
	return err
}

// serve answers from now on, until close.
func (m *monitor) serve(p *engine.Progress) {
	if m == nil {
		return
	}
	m.progress.Store(p)
	registry := prometheus.NewRegistry() // of its own: what libraries register elsewhere is not asked for
	registry.MustRegister(&collector{progress: p, now: time.Now}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if why := notReady(p); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	go func() {
		defer close(m.served)
		m.server.Serve(m.listener)
	}()
}

// close stops serving; what is being answered gets a second.
func (m *monitor) close() {
	if m == nil {
		return
	}
	if m.server == nil {
		m.listener.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		m.server.Close()
	}
	<-m.served
}

// notReady says why a run does not do its work yet, or not well; "": it does.
func notReady(p *engine.Progress) string {
	s, ok := p.Stream()
	if ok {
		if s.Failing {
			return fmt.Sprintf("checkpoint %d could not be written, and is tried again", s.Epoch+1)
		}
		if s.Stalled {
			return "nothing goes on: a sink or the disk is waited for"
		}
		return ""
	}
	for _, n := range p.Snapshot() {
		if n.Kind == "source" && (n.Rows > 0 || n.Finished || n.Total >= 0) {
			return ""
		}
	}
	return "the sources are not read yet"
}
