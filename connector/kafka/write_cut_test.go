package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-project/leat/catalog"
)

// cutter cuts connections where it is told to.
type cutter struct {
	mu sync.Mutex
	// cut is asked for each request: whether the connection breaks before it goes out, or after, so that its answer is lost.
	cut  func(key int16) (before, after bool)
	cuts int
	// down: connections break, and new ones are not made; silent: in such a way that they time out
	down, silent bool
	conns        []net.Conn
}

// set ends all connections, or lets them be made again.
func (c *cutter) set(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down = down; down {
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.conns = nil
	}
}

// noAnswer is the error of a connection that is not made in time.
type noAnswer struct{ error }

func (noAnswer) Timeout() bool   { return true }
func (noAnswer) Temporary() bool { return true }

// errCut is what the client sees; not one that it knows to pass.
var errCut = errors.New("cut")

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	down := c.down
	c.mu.Unlock()
	switch {
	case down && c.silent:
		return nil, &net.OpError{Op: "dial", Net: network, Err: noAnswer{errCut}}
	case down:
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	return &cutConn{Conn: conn, c: c}, nil
}

type cutConn struct {
	net.Conn
	c *cutter
}

// Write is given whole requests: length, key, …
func (c *cutConn) Write(p []byte) (int, error) {
	if len(p) < 6 {
		return c.Conn.Write(p)
	}
	c.c.mu.Lock()
	before, after := c.c.cut(int16(binary.BigEndian.Uint16(p[4:])))
	if before || after {
		c.c.cuts++
	}
	c.c.mu.Unlock()
	if before {
		_ = c.Conn.Close()
		return 0, errCut
	}
	n, err := c.Conn.Write(p)
	if after {
		_ = c.Conn.(*net.TCPConn).CloseWrite() // the broker has it whole
		_ = c.Conn.(*net.TCPConn).SetReadDeadline(time.Unix(1, 0))
	}
	return n, err
}

// through opens a writer whose connections the cutter cuts.
func (r *rig) through(c *cutter, stream bool, opts ...kgo.Opt) catalog.Writer {
	r.t.Helper()
	s, err := newSink(r.config, &catalog.SinkEnv{Name: "Write", Job: r.topic, Dir: r.dir, Stream: stream})
	if err != nil {
		r.t.Fatal(err)
	}
	s.settings.connect = append(append(s.settings.connect, kgo.Dialer(c.dial)), opts...)
	w, err := s.Open(r.t.Context(), payloadSchema)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = w.Abort() })
	return w
}

// TestExactOutlivesCuts cuts the connection at each kind of request, once before it goes out and once before its answer is there.
func TestExactOutlivesCuts(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit, kmsg.OffsetCommit} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s before %v", key.Name(), before), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 2, nil)
				count := 0
				c := &cutter{cut: func(k int16) (bool, bool) {
					if k != key.Int16() {
						return false, false
					}
					count++
					hit := count == 1 || count == 4
					return hit && before, hit && !before
				}}
				w := r.through(c, true).(*exactSink)
				if err := w.Recover(t.Context(), 0, nil); err != nil {
					t.Fatal(err)
				}
				run := &run{rig: r, w: w, e: w.NewEncoder()}
				var want []string
				for epoch := int64(1); epoch <= 6; epoch++ {
					want = append(want, run.put(fmt.Sprint(epoch, "-"), 50)...)
					run.commit(epoch, run.prepare(epoch))
				}
				r.see("at the end", want)
				if c.cuts == 0 {
					t.Error("nothing was cut")
				}
			})
		}
	}
}

// TestCutsAtRandom cuts connections at any request.
func TestCutsAtRandom(t *testing.T) {
	for _, exact := range []bool{true, false} {
		t.Run(fmt.Sprint("exact ", exact), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 3, nil)
			rng := rand.New(rand.NewPCG(3, 4))
			c := &cutter{cut: func(int16) (bool, bool) {
				n := rng.IntN(30)
				return n == 0 && exact, n == 1
			}}
			w := r.through(c, exact)
			tx, _ := w.(catalog.Transactional)
			if exact {
				if err := tx.Recover(t.Context(), 0, nil); err != nil {
					t.Fatal(err)
				}
			}
			e := w.NewEncoder()
			var want []string
			for epoch := int64(1); epoch <= 15; epoch++ {
				b, rows := payloads(t, fmt.Sprint(epoch, "-"), 300)
				write(t, e, b)
				want = append(want, rows...)
				if !exact {
					continue
				}
				staged, err := tx.Prepare(t.Context(), epoch)
				if err == nil {
					err = tx.CommitEpoch(t.Context(), epoch, staged)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			slices.Sort(want)
			r.see("at the end", want) // an idempotent producer repeats nothing within a run, either
		})
	}
}

// TestExactWithoutAnswer: where the client gives up and cannot know whether its commit happened, it is found out.
func TestExactWithoutAnswer(t *testing.T) {
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprint("before ", before), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 2, nil)
			count := 0
			c := &cutter{cut: func(k int16) (bool, bool) {
				if k != kmsg.EndTxn.Int16() {
					return false, false
				}
				count++
				hit := count >= 2 && count <= 5
				return hit && before, hit && !before
			}}
			w := r.through(c, true, kgo.RequestRetries(1)).(*exactSink)
			if err := w.Recover(t.Context(), 0, nil); err != nil {
				t.Fatal(err)
			}
			run := &run{rig: r, w: w, e: w.NewEncoder()}
			var want []string
			for epoch := int64(1); epoch <= 6; epoch++ {
				want = append(want, run.put(fmt.Sprint(epoch, "-"), 50)...)
				run.commit(epoch, run.prepare(epoch))
			}
			r.see("at the end", want)
		})
	}
}

// TestOutage writes while no broker can be reached.
func TestOutage(t *testing.T) {
	for _, exact := range []bool{true, false} {
		for _, silent := range []bool{true, false} {
			t.Run(fmt.Sprint("exact ", exact, " silent ", silent), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 2, nil)
				c := &cutter{cut: func(int16) (bool, bool) { return false, false }, silent: silent}
				w := r.through(c, exact)
				tx, _ := w.(catalog.Transactional)
				if exact {
					if err := tx.Recover(t.Context(), 0, nil); err != nil {
						t.Fatal(err)
					}
				}
				e := w.NewEncoder()
				var want []string
				for epoch := int64(1); epoch <= 6; epoch++ {
					switch epoch {
					case 1, 4: // before the first connection of the producer, and later
						c.set(true)
						time.AfterFunc(2*time.Second, func() { c.set(false) })
					}
					b, rows := payloads(t, fmt.Sprint(epoch, "-"), 300)
					write(t, e, b)
					want = append(want, rows...)
					if !exact {
						if err := w.(catalog.Syncer).Sync(t.Context()); err != nil {
							t.Fatal(err)
						}
						continue
					}
					staged, err := tx.Prepare(t.Context(), epoch)
					if err != nil {
						t.Fatal(err)
					}
					if epoch == 5 {
						c.set(true)
						time.AfterFunc(2*time.Second, func() { c.set(false) })
					}
					if err := tx.CommitEpoch(t.Context(), epoch, staged); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := w.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				r.see("at the end", want)
			})
		}
	}
}
