package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-project/leat/internal/services"
)

const mib = 1 << 20

// memory follows how much memory a process holds at the most.
type memory struct {
	stop chan struct{}
	wait sync.WaitGroup
	all  atomic.Int64 // bytes, with the pages of the program's own file
	own  atomic.Int64 // without them: the system drops those at will
}

// watchMemory looks often until peak is called.
func watchMemory(p *process) *memory {
	m := &memory{stop: make(chan struct{})}
	m.wait.Go(func() {
		for {
			m.look(p.cmd.Process.Pid)
			select {
			case <-m.stop:
				return
			case <-p.done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return m
}

// look reads what the process holds now, where the system tells.
func (m *memory) look(pid int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return
	}
	read := func(key string) int64 {
		for line := range bytes.Lines(text) {
			if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
				kib, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
				if err == nil {
					return kib << 10
				}
			}
		}
		return 0
	}
	m.all.Store(max(m.all.Load(), read("VmRSS:")))
	m.own.Store(max(m.own.Load(), read("RssAnon:")))
}

// peak returns the most there was.
func (m *memory) peak() (all, own int64) {
	close(m.stop)
	m.wait.Wait()
	return m.all.Load(), m.own.Load()
}

// TestFaultConnection cuts, delays and throttles what leat says to a broker and to PostgreSQL. It goes on by itself.
func TestFaultConnection(t *testing.T) {
	brokers := newBrokers(t, 1)
	servers, direct := addresses(brokers)
	table := newProxy(t, hostOf(t, services.Postgres(t)))
	both := []*proxy{brokers[0].proxy, table}
	f := newFeedOn(t, direct, 1, "connection", 4)
	dir := t.TempDir()
	file, job := f.pipeline(dir, map[string]string{"servers": servers, "postgres": table.through(t, services.Postgres(t))})
	p := start(t, dir, file, "--memory-limit", "256MiB", "--on-stop", "drain")
	held := watchMemory(p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	f.begun(p, job, ctx)
	cuts, rows := scale(300), scale(1_000_000)
	for i := range cuts {
		f.send(rows / cuts / 3)
		time.Sleep(time.Duration(50+f.rng.IntN(300)) * time.Millisecond)
		both[i%2].cut()
	}
	worse := func(rows int, change func(x *proxy)) {
		for _, x := range both {
			x.set(func() { change(x) })
		}
		f.send(rows)
		until(ctx, t, "the rows to be read", func() bool { return f.consumed(job) == int64(f.sent) })
	}
	worse(rows/3, func(x *proxy) { x.delay = 50 * time.Millisecond })
	worse(min(rows/3, 50_000), func(x *proxy) { x.delay, x.rate = 0, 200_000 }) // more would take minutes, and show no more
	for _, x := range both {
		x.set(func() { x.rate = 0 })
	}
	peak, _ := held.peak()
	p.stop(t)
	t.Logf("the run: %s", p.log)
	t.Logf("%d cuts of %d connections to Kafka and %d to PostgreSQL, then 50 ms of delay, then 200 kB/s; %.0f MiB of memory at the most",
		cuts, both[0].cuts, both[1].cuts, float64(peak)/mib)
	if peak > 256*mib*12/10 {
		t.Errorf("%.0f MiB of memory with --memory-limit 256MiB", float64(peak)/mib)
	}
	f.compare("topic", f.results())
	f.compare("table", f.rows())
}
