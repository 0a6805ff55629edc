package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/internal/vfs"
)

// exactWriter writes each row exactly once, in transactions.
//
// Two producers take turns by epoch: while the checkpoint of one epoch is made durable, rows of the next are written in a transaction of the other. What is
// committed with the rows of an epoch is the number of that epoch, as an offset of a group: it says without doubt which epoch came last. All
// records lie in a stage file, too, until their epoch is committed: brokers give up a transaction that stays open too long, such as
// while this process is down, and its rows have to be written again then.
type exactWriter struct {
	rowCounts
	settings *writeSettings
	server   *server
	fs       vfs.FS
	dir      string // of stages; "": none are kept
	full     vfs.Patient
	who      string // keeps stages
	group    string // which keeps the epoch
	owner    string // this run
	limit    int    // bytes that the topic takes at once
	slabs    sync.Pool
	stages   int64 // numbers stages; no number comes twice

	mu        sync.Mutex // guards what follows, and phases, rows and ends of producers
	producers [2]*producer
	current   int           // which of them rows go to
	committed int64         // the last epoch
	changed   chan struct{} // closed when an epoch is committed
	closed    bool

	boxes sync.Mutex // of producers

	rewritten, epochs atomic.Int64
}

func newExactWriter(s *writeSettings, env *catalog.SinkEnv, srv *server, limit int) *exactWriter {
	name := "leat." + env.Job + "." + env.Name
	w := &exactWriter{settings: s, server: srv, fs: vfs.OS, dir: env.Dir, full: vfs.Patient{Say: env.Log}, who: fmt.Sprintf("transform %q", env.Name), group: name, owner: newOwner(), limit: limit, changed: make(chan struct{})}
	w.slabs.New = func() any { return newSlab() }
	for i := range w.producers {
		w.producers[i] = &producer{transaction: transaction{ID: fmt.Sprintf("%s.%d", name, i)}}
	}
	return w
}

// slab returns an empty slab.
func (w *exactWriter) slab() *slab { return w.slabs.Get().(*slab) }

// send writes the records of a slab in the transaction of the epoch. block is memory to work with.
func (w *exactWriter) send(ctx context.Context, s *slab, block *[]byte) error {
	p, ended, err := w.enter(ctx, int64(len(s.cuts)))
	if err != nil {
		return err
	}
	s.build(w.settings.topic, time.Now().UnixMilli())
	if p.stage != nil {
		*block = appendBlock((*block)[:0], s)
		if err := p.stage.append(ctx, *block); err != nil {
			return fmt.Errorf("cannot keep rows until they are committed: %w", err)
		}
	}
	w.count(s)
	if ended == nil {
		err := p.box.send(ctx, s)
		if err == nil {
			return nil
		}
		return w.end(ctx, p, err)
	}
	s.reset()
	w.slabs.Put(s)
	return w.end(ctx, p, ended)
}

// enter returns the producer that so many rows go to, with its transaction open, and why that is no more. Where that producer's last transaction is still
// to be committed, it waits for that, and where the other's rows are on their way, until they are there.
func (w *exactWriter) enter(ctx context.Context, rows int64) (p *producer, ended, err error) {
	for {
		w.mu.Lock()
		p := w.producers[w.current]
		if w.closed {
			w.mu.Unlock()
			return nil, nil, kgo.ErrClientClosed
		}
		if p.phase == prepared || p.phase == ending {
			changed := w.changed
			w.mu.Unlock()
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, nil, context.Cause(ctx)
			}
		}
		if other := w.producers[w.current^1]; other.phase == ending && other.leaving != nil {
			box := other.leaving
			w.mu.Unlock()
			if err := w.await(ctx, other, box); err != nil {
				return nil, nil, err
			}
			continue
		}
		if p.phase == idle {
			if err := w.begin(ctx, p); err != nil {
				w.mu.Unlock()
				return nil, nil, err
			}
		}
		p.Rows += rows
		ended = p.ended
		w.mu.Unlock()
		return p, ended, nil
	}
}

// await waits until the brokers have the rows of an epoch that is ending, so that those of the next come after them: a key keeps its order, and readers of
// committed rows see all of the epoch. What fails is for who prepares it.
func (w *exactWriter) await(ctx context.Context, p *producer, box *outbox) error {
	if err := box.flush(ctx); err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.leaving = nil
	return nil
}

// end notes that the open transaction is no more, where err says so. Its rows are kept, and written again by Prepare.
func (w *exactWriter) end(ctx context.Context, p *producer, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !rewritable(err) {
		return err
	}
	w.mu.Lock()
	if p.ended == nil {
		p.ended = err
	}
	asked := p.asked
	p.asked = true
	w.mu.Unlock()
	if !asked {
		if err := w.checkOwner(ctx); err != nil {
			return err
		}
	}
	if p.stage == nil {
		return fmt.Errorf("the transaction was given up, and without a state directory its rows are not kept: %w", err)
	}
	return nil
}

// Prepare waits until all rows are at the brokers, with the epoch, and on disk.
func (w *exactWriter) Prepare(ctx context.Context, epoch int64) ([]byte, error) {
	return w.Cut(epoch)(ctx)
}

// Cut lets the other producer take the rows that come. The epoch before is committed by then, so that one is idle.
func (w *exactWriter) Cut(epoch int64) func(context.Context) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.producers[w.current]
	if p.phase != open {
		return func(context.Context) ([]byte, error) { return json.Marshal(transaction{Epoch: epoch}) }
	}
	p.phase, p.leaving = ending, p.box
	w.current ^= 1
	return func(ctx context.Context) ([]byte, error) { return w.prepare(ctx, p, epoch) }
}

func (w *exactWriter) prepare(ctx context.Context, p *producer, epoch int64) ([]byte, error) {
	synced := make(chan error, 1)
	go func() { synced <- p.keep() }()
	err := w.finish(ctx, p, epoch)
	if failed := <-synced; failed != nil {
		return nil, fmt.Errorf("cannot keep rows until they are committed: %w", failed)
	}
	if err != nil {
		if err = w.end(ctx, p, err); err == nil {
			err = w.whileEnded(ctx, func(ctx context.Context) error { return w.rewrite(ctx, p, p.transaction) })
		}
	}
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p.phase, p.ended = prepared, nil
	return json.Marshal(p.transaction)
}

// keep makes the stage outlast a crash.
func (p *producer) keep() error {
	if p.stage == nil {
		return nil
	}
	return errors.Join(p.stage.sync(), p.stage.close())
}

// finish makes the transaction whole.
func (w *exactWriter) finish(ctx context.Context, p *producer, epoch int64) error {
	p.Epoch = epoch
	if p.ended != nil {
		return p.ended
	}
	if err := p.box.flush(ctx); err != nil {
		return err
	}
	return explain(p.Topic, w.server.mark(ctx, &p.transaction, epoch))
}

// CommitEpoch makes the rows of an epoch visible.
func (w *exactWriter) CommitEpoch(ctx context.Context, epoch int64, staged []byte) error {
	t, err := parseStaged(epoch, staged)
	if err != nil {
		return err
	}
	w.mu.Lock()
	var p *producer
	for _, q := range w.producers {
		if q.phase == prepared && q.Epoch == epoch {
			p = q
		}
	}
	done := epoch <= w.committed || t.Rows == 0
	w.mu.Unlock()
	switch {
	case done:
		return w.passed(epoch, nil)
	case p == nil:
		return fmt.Errorf("epoch %d was not prepared by this run", epoch)
	}
	if err := p.box.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx) // Recover of the next run commits it
		}
		w.disconnect(p) // the client cannot know whether it is in a transaction
		if err := w.settle(ctx, p, t); err != nil {
			return err
		}
	}
	w.epochs.Add(1)
	return w.passed(epoch, p)
}

// passed notes that an epoch is committed. p held it, nil: none did.
func (w *exactWriter) passed(epoch int64, p *producer) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.committed = max(w.committed, epoch)
	var err error
	if p != nil {
		err = p.drop(w.fs, w.dir)
	}
	close(w.changed)
	w.changed = make(chan struct{})
	return err
}

// Commit commits what no epoch holds, and ends.
func (w *exactWriter) Commit(ctx context.Context) (catalog.Written, error) {
	p := w.producers[w.current]
	if p.phase == open {
		if _, err := w.Prepare(ctx, w.committed+1); err != nil {
			return catalog.Written{}, err
		}
		if err := p.box.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			w.disconnect(p)
			if err := w.settle(ctx, p, p.transaction); err != nil {
				return catalog.Written{}, err
			}
		}
		if err := p.drop(w.fs, w.dir); err != nil {
			return catalog.Written{}, err
		}
	}
	w.close(ctx)
	return w.written(), nil
}

// Abort ends. What has been prepared stays as it is: the next run commits it. What has not is given up.
func (w *exactWriter) Abort() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	w.close(ctx)
	return nil
}

// Metrics returns what is under way, and what has been done.
func (w *exactWriter) Metrics() []catalog.Metric {
	w.boxes.Lock()
	var boxes []*outbox
	for _, p := range w.producers {
		if p.box != nil {
			boxes = append(boxes, p.box)
		}
	}
	w.boxes.Unlock()
	return append(boxMetrics(boxes...),
		catalog.Metric{Name: "committed_epochs_total", Help: "Transactions that were committed.", Value: float64(w.epochs.Load()), Counter: true},
		catalog.Metric{Name: "rewritten_rows_total", Help: "Rows that were written again, as the brokers gave up their transaction.", Value: float64(w.rewritten.Load()), Counter: true})
}

// close ends the clients.
func (w *exactWriter) close(ctx context.Context) {
	w.mu.Lock()
	done := w.closed
	w.closed = true
	w.mu.Unlock()
	if done {
		return
	}
	for _, p := range w.producers {
		if p.box == nil {
			continue
		}
		if p.phase == open || p.phase == ending {
			// The brokers do it after a while, too, but readers would wait until then.
			_ = p.box.client.AbortBufferedRecords(ctx)
			_ = p.box.client.EndTransaction(ctx, kgo.TryAbort)
			_ = p.drop(w.fs, w.dir)
		}
		p.box.close()
	}
	w.server.close()
}
