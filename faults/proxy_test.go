package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// proxy passes TCP connections on to a server, as well or as badly as a test wants.
type proxy struct {
	address string
	to      string
	end     context.Context

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	changed  chan struct{} // closed at each change of what follows
	hung     bool          // bytes stand still; connections stay
	delay    time.Duration // of each piece of bytes
	rate     int           // bytes in a second and direction; 0: any
	held     int           // bytes of clients that came while hung
	cuts     int           // connections that were cut
	wait     sync.WaitGroup
}

// newProxy passes on connections to a server. They end with the test.
func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	end, cancel := context.WithCancel(context.Background())
	p := &proxy{to: to, end: end, conns: map[net.Conn]bool{}, changed: make(chan struct{}), address: freeAddress(t)}
	p.up(t)
	t.Cleanup(func() {
		cancel()
		p.down()
		p.wait.Wait()
	})
	return p
}

// up listens, again after down.
func (p *proxy) up(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	p.wait.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			p.wait.Go(func() { p.serve(c) })
		}
	})
}

// down refuses new connections and cuts those that there are.
func (p *proxy) down() {
	p.mu.Lock()
	p.listener.Close()
	p.mu.Unlock()
	p.cut()
}

// cut ends all connections at once, in the midst of what they say.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
		p.cuts++
	}
	clear(p.conns)
}

// set changes how the proxy behaves.
func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

// stuck returns how many bytes of clients came while the proxy was hung.
func (p *proxy) stuck() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", p.to, 5*time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	if p.end.Err() != nil {
		p.mu.Unlock()
		return
	}
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client, true) })
	both.Go(func() { p.pass(client, server, false) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// pass copies bytes in one direction, until either side ends.
func (p *proxy) pass(to, from net.Conn, asks bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !p.hold(n, asks) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold waits as the proxy's settings say before n bytes go on. It returns false at the end of the test.
func (p *proxy) hold(n int, asks bool) bool {
	p.mu.Lock()
	pause := p.delay
	if p.rate > 0 {
		pause += time.Duration(n) * time.Second / time.Duration(p.rate)
	}
	if p.hung && asks {
		p.held += n
	}
	for p.hung {
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-p.end.Done():
			return false
		}
		p.mu.Lock()
	}
	p.mu.Unlock()
	if pause == 0 {
		return true
	}
	select {
	case <-time.After(pause):
		return true
	case <-p.end.Done():
		return false
	}
}

// through returns a URL whose server is behind the proxy.
func (p *proxy) through(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.address
	return u.String()
}

// hostOf returns host and port of a URL.
func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestProxy passes bytes, holds them, and cuts.
func TestProxy(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	p := newProxy(t, server.Addr().String())
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func(text string) error {
		if _, err := io.WriteString(c, text); err != nil {
			return err
		}
		got := make([]byte, len(text))
		_, err := io.ReadFull(c, got)
		if err == nil && string(got) != text {
			t.Errorf("got %s", got)
		}
		return err
	}
	if err := echo("one"); err != nil {
		t.Fatal(err)
	}
	p.set(func() { p.hung = true })
	done := make(chan error, 1)
	go func() { done <- echo("two") }()
	until(t.Context(), t, "bytes to be held", func() bool { return p.stuck() == 3 })
	p.set(func() { p.hung = false })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.cut()
	if err := echo("three"); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after a cut: %v", err)
	}
}
