package engine

import (
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
)

// piece is a morsel on its way from a source to a worker.
type piece struct {
	feed   *feed
	morsel catalog.Morsel
	order  int64 // within the feed
	read   time.Time
}

// queue hands pieces to workers, and holds the workers between two pieces while a turn is made.
//
// A piece that has been taken is processed before pause returns; one that has not stays in the queue. So at a turn each piece is either wholly in
// the state and the sinks, or not at all.
type queue struct {
	mu     sync.Mutex
	more   sync.Cond // there is a piece, or nothing will come, or the pause is over
	quiet  sync.Cond // no worker is busy
	pieces []*piece
	busy   int
	paused bool
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.more.L, q.quiet.L = &q.mu, &q.mu
	return q
}

// put adds a piece. The feeds' tokens bound how many there are.
func (q *queue) put(p *piece) {
	q.mu.Lock()
	q.pieces = append(q.pieces, p)
	q.mu.Unlock()
	q.more.Signal()
}

// take returns the next piece. Where there is none and the worker still holds something back, it returns nil at once, so that the worker can pass it on.
// ok is false when the queue is closed. After each take that is ok comes done.
func (q *queue) take(holds bool) (p *piece, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.closed:
			return nil, false
		case q.paused:
		case len(q.pieces) > 0:
			p = q.pieces[0]
			q.pieces[0] = nil
			if q.pieces = q.pieces[1:]; len(q.pieces) == 0 {
				q.pieces = nil
			}
			q.busy++
			return p, true
		case holds:
			q.busy++
			return nil, true
		}
		q.more.Wait()
	}
}

func (q *queue) done() {
	q.mu.Lock()
	q.busy--
	idle := q.busy == 0
	q.mu.Unlock()
	if idle {
		q.quiet.Broadcast()
	}
}

// pause returns when all workers stand between two pieces. They stay there until resume.
func (q *queue) pause() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.paused = true
	for q.busy > 0 {
		q.quiet.Wait()
	}
}

func (q *queue) resume() {
	q.mu.Lock()
	q.paused = false
	q.mu.Unlock()
	q.more.Broadcast()
}

// close lets workers end. Pieces that are in the queue are left there.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.more.Broadcast()
}

// length returns how many pieces wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.pieces)
}
