package contract

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// commitAtEnd: a stream that ends has rows that no epoch holds. Commit makes them final.
func (c *SinkCase) commitAtEnd(t *testing.T) {
	x := c.start(t)
	l := x.begin(t, c, true, 0, nil)
	l.write(numbered(0, 10), true)
	l.commit(1, l.cut(1)())
	l.write(numbered(10, 10), true)
	_, err := l.w.Commit(t.Context())
	l.must("Commit", err)
	l.must("Abort after Commit", l.w.Abort())
	x.wantSeen(t, "the stream has ended", 20)
}

// epochs: rows are seen once their epoch is committed, and no sooner.
func (c *SinkCase) epochs(t *testing.T) {
	x := c.start(t)
	l := x.begin(t, c, true, 0, nil)
	l.write(numbered(0, 5), true)
	for epoch := int64(1); epoch <= 4; epoch++ {
		from := epoch * 10
		l.write(numbered(from-5, 5), true)
		x.wantSeen(t, fmt.Sprintf("epoch %d is written", epoch), from-10)
		finish := l.cut(epoch)
		l.write(numbered(from, 3), true) // of the next one
		staged := finish()
		l.write(numbered(from+3, 2), true)
		x.wantSeen(t, fmt.Sprintf("epoch %d is prepared", epoch), from-10)
		for range 2 {
			l.commit(epoch, staged)
			x.wantSeen(t, fmt.Sprintf("epoch %d is committed", epoch), from)
		}
	}
	l.commit(5, l.cut(5)())
	x.wantSeen(t, "all is committed", 45)
}

// noRows: an epoch may be empty.
func (c *SinkCase) noRows(t *testing.T) {
	x := c.start(t)
	l := x.begin(t, c, true, 0, nil)
	l.commit(1, l.cut(1)())
	x.wantSeen(t, "an empty epoch", 0)
	l.write(numbered(0, 7), true)
	l.commit(2, l.cut(2)())
	staged := l.cut(3)()
	x.crash(l)
	l = x.begin(t, c, true, 3, staged)
	x.wantSeen(t, "an empty epoch was recovered", 7)
	l.commit(4, l.cut(4)())
	l.write(numbered(7, 7), true)
	l.commit(5, l.cut(5)())
	x.wantSeen(t, "rows after empty epochs", 14)
}

// abort: what no checkpoint holds is gone.
func (c *SinkCase) abort(t *testing.T) {
	x := c.start(t)
	l := x.begin(t, c, true, 0, nil)
	l.write(numbered(0, 10), true)
	l.write(numbered(10, 10), false)
	for range 2 {
		l.must("Abort", l.w.Abort())
	}
	x.wantSeen(t, "aborted", 0)
	l = x.begin(t, c, true, 0, nil)
	x.wantSeen(t, "begun again", 0)
	l.write(numbered(0, 4), true)
	staged := l.cut(1)()
	l.commit(1, staged)
	l.write(numbered(100, 4), true)
	l.must("Abort", l.w.Abort())
	x.wantSeen(t, "aborted in the second epoch", 4)
	l = x.begin(t, c, true, 1, staged)
	l.write(numbered(4, 4), true)
	l.commit(2, l.cut(2)())
	x.wantSeen(t, "gone on", 8)
}

// abortPrepared: what a checkpoint holds outlasts a run that is given up.
func (c *SinkCase) abortPrepared(t *testing.T) {
	x := c.start(t)
	l := x.begin(t, c, true, 0, nil)
	l.write(numbered(0, 10), true)
	staged := l.cut(1)()
	l.write(numbered(100, 10), true)
	l.must("Abort", l.w.Abort())
	x.wantSeen(t, "aborted, with an epoch prepared", 0)
	l = x.begin(t, c, true, 1, staged)
	x.wantSeen(t, "recovered", 10)
	l.write(numbered(10, 5), true)
	l.commit(2, l.cut(2)())
	x.wantSeen(t, "gone on", 15)
}

// firstRun: a state that was deleted, or a run that came to no checkpoint, leaves nothing to the next first run.
func (c *SinkCase) firstRun(t *testing.T) {
	x := c.start(t)
	l := x.begin(t, c, true, 0, nil)
	l.write(numbered(100, 10), true)
	l.cut(1)()
	l.write(numbered(200, 10), true)
	x.crash(l)
	l = x.begin(t, c, true, 0, nil)
	x.wantSeen(t, "a first run has begun", 0)
	l.write(numbered(0, 10), true)
	l.commit(1, l.cut(1)())
	x.wantSeen(t, "its first epoch", 10)
}

// crash leaves a writer as the end of its process does.
func (x *Target) crash(l *life) {
	if x.Crash != nil {
		x.Crash(l.w)
	}
}

// What happens in an epoch, in this order. A crash may come after each.
var steps = []string{"write", "flush", "cut", "write on", "finish", "durable", "write more", "commit"}

// crashEpochs is how many epochs a run has before the crash.
const crashEpochs = 2

// crashes: each row is there exactly once, wherever the process ends.
func (c *SinkCase) crashes(t *testing.T) {
	for epoch := int64(1); epoch <= crashEpochs; epoch++ {
		for _, step := range steps {
			t.Run(fmt.Sprintf("%s %d", step, epoch), func(t *testing.T) {
				m := &machine{t: t, c: c, x: c.start(t), crashEpoch: epoch, crashStep: step}
				m.start()
				for m.epoch < crashEpochs+2 && !m.once() {
				}
				m.x.crash(m.l)
				m.start()
				if step == "cut" || step == "durable" { // and again, before anything was done
					m.x.crash(m.l)
					m.start()
				}
				for m.crashEpoch = 0; m.epoch < crashEpochs+2; {
					m.once()
				}
				m.l.commit(m.epoch, m.l.cut(m.epoch)())
				m.x.wantSeen(t, "at the end", m.next)
			})
		}
	}
}

// machine does what the engine does: rows come from a source that can be read again, and checkpoints say how far it is.
type machine struct {
	t          *testing.T
	c          *SinkCase
	x          *Target
	l          *life
	crashEpoch int64
	crashStep  string

	epoch  int64 // under way
	next   int64 // the row that the source gives next
	cutAt  int64 // rows before the last cut
	finish func() []byte
	// The last durable checkpoint.
	durable, durableRows int64
	staged, pending      []byte
}

// start begins after a crash, or for the first time.
func (m *machine) start() {
	m.t.Helper()
	m.l = m.x.begin(m.t, m.c, true, m.durable, m.staged)
	m.epoch, m.next = m.durable+1, m.durableRows
	m.x.wantSeen(m.t, fmt.Sprintf("recovered at epoch %d", m.durable), m.durableRows)
}

// once goes through an epoch; it is true when the process ended on the way.
func (m *machine) once() bool {
	m.t.Helper()
	for _, step := range steps {
		m.do(step)
		if m.epoch == m.crashEpoch && step == m.crashStep {
			return true
		}
	}
	m.epoch++
	return false
}

func (m *machine) write(n int64, flush bool) {
	m.t.Helper()
	m.l.write(numbered(m.next, n), flush)
	m.next += n
}

func (m *machine) do(step string) {
	m.t.Helper()
	switch step {
	case "write":
		m.write(5, false)
	case "flush":
		m.write(3, true)
	case "cut":
		m.cutAt = m.next
		m.finish = m.l.cut(m.epoch)
	case "write on", "write more":
		m.write(2, true)
	case "finish":
		m.pending = m.finish()
	case "durable":
		m.durable, m.durableRows, m.staged = m.epoch, m.cutAt, m.pending
	case "commit":
		m.l.commit(m.epoch, m.staged)
		m.x.wantSeen(m.t, fmt.Sprintf("epoch %d is committed", m.epoch), m.durableRows)
	}
}

// syncs: after Sync all is there, whatever happens then.
func (c *SinkCase) syncs(t *testing.T) {
	x := c.start(t)
	l := x.begin(t, c, true, 0, nil)
	for epoch := int64(1); epoch <= 3; epoch++ {
		from := (epoch - 1) * 20
		l.write(numbered(from, 20), true)
		if c.Cuts || c.Syncs {
			l.cut(epoch)()
		}
		x.wantAtLeast(t, from+20)
		x.crash(l)
		l = x.begin(t, c, true, 0, nil)
	}
}

// wantAtLeast wants rows of numbers below n; they may be there more than once. Who looks may be told of them a little later.
func (x *Target) wantAtLeast(t *testing.T, n int64) {
	t.Helper()
	want := ids(numbered(0, n))
	for deadline := time.Now().Add(patience / 2); ; time.Sleep(20 * time.Millisecond) {
		seen := slices.Compact(ids(x.Read(t, sinkSchema)))
		if slices.Equal(seen, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after Sync readers see the rows %v, wanted %v", seen, want)
		}
	}
}

// refused: a row that is refused is named, and all others are written.
func (c *SinkCase) refused(t *testing.T, stream bool) {
	x := c.start(t)
	if x.Refused == "" {
		t.Skip("it does not refuse rows one by one")
	}
	l := x.open(t, c, stream, true, sinkSchema)
	l.recover(0, nil)
	named := map[int64]int{}
	var good [][]column.Value
	for epoch := int64(1); epoch <= 3; epoch++ {
		rows := numbered(epoch*10, 10)
		for i := range rows {
			if i == 3 || i == 9 {
				rows[i][1] = x.Refused
			} else {
				good = append(good, rows[i])
			}
		}
		c.offer(t, l, named, rows)
		if stream {
			l.commit(epoch, l.cut(epoch)())
			c.ask(t, l, named)
		}
	}
	if !stream {
		if syncer, ok := l.w.(catalog.Syncer); ok { // as the engine does, before it asks for the last time
			l.must("Sync", syncer.Sync(t.Context()))
			c.ask(t, l, named)
		}
		if v, ok := l.w.(catalog.Verifier); ok {
			l.must("Verify", v.Verify(t.Context()))
		}
		c.ask(t, l, named)
		_, err := l.w.Commit(context.WithoutCancel(t.Context()))
		l.must("Commit", err)
		c.ask(t, l, named)
	}
	x.wantRows(t, "all but the refused rows", sinkSchema, good)
	if want := map[int64]int{13: 1, 19: 1, 23: 1, 29: 1, 33: 1, 39: 1}; !maps.Equal(named, want) {
		t.Errorf("refused were (row: times) %v, wanted %v", named, want)
	}
}

// offer writes rows of which some may be refused.
func (c *SinkCase) offer(t *testing.T, l *life, named map[int64]int, rows [][]column.Value) {
	t.Helper()
	var told catalog.Refused
	b := l.batch(rows)
	if err := l.e.Write(t.Context(), b); errors.As(err, &told) {
		for _, r := range told {
			c.name(t, named, b.Cols[0].Value(int(r.Row)), r.Err)
		}
	} else {
		l.must("Write", err)
	}
	l.must("Flush", l.e.Flush(t.Context()))
	c.ask(t, l, named)
}

// refusedCrash: what was refused before a checkpoint that is durable is not told again. What was refused since comes again with its rows.
func (c *SinkCase) refusedCrash(t *testing.T) {
	x := c.start(t)
	if x.Refused == "" {
		t.Skip("it does not refuse rows one by one")
	}
	begin := func(epoch int64, staged []byte, named map[int64]int) *life {
		l := x.open(t, c, true, true, sinkSchema)
		l.recover(epoch, staged)
		c.ask(t, l, named)
		return l
	}
	batch := func(from int64) [][]column.Value {
		rows := numbered(from, 4)
		rows[2][1] = x.Refused
		return rows
	}
	kept, lost := map[int64]int{}, map[int64]int{}
	l := begin(0, nil, kept)
	c.offer(t, l, kept, batch(0))
	staged := l.cut(1)()
	c.offer(t, l, lost, batch(10)) // no checkpoint has that, or what was told of it
	x.crash(l)
	late := map[int64]int{} // what the server refuses when it commits
	l = begin(1, staged, late)
	l.commit(1, staged)
	c.ask(t, l, late)
	again := map[int64]int{}
	c.offer(t, l, again, batch(10))
	staged = l.cut(2)()
	c.ask(t, l, again)
	l.commit(2, staged)
	c.ask(t, l, again)
	for id, n := range late {
		kept[id] += n
	}
	for id, n := range again {
		kept[id] += n
	}
	if want := map[int64]int{2: 1, 12: 1}; !maps.Equal(kept, want) {
		t.Errorf("refused were (row: times) %v, wanted %v", kept, want)
	}
	good := append(batch(0)[:2], batch(0)[3], batch(10)[0], batch(10)[1], batch(10)[3])
	x.wantRows(t, "all but the refused rows", sinkSchema, good)
}

// ask takes what has been refused so far.
func (c *SinkCase) ask(t *testing.T, l *life, named map[int64]int) {
	t.Helper()
	r, ok := l.w.(catalog.Refuser)
	if !ok {
		return
	}
	all, err := r.Refusals()
	l.must("Refusals", err)
	for _, of := range all {
		for _, row := range of.Rows {
			c.name(t, named, of.Batch.Cols[0].Value(int(row.Row)), row.Err)
		}
	}
}

// name counts one row that was refused.
func (c *SinkCase) name(t *testing.T, named map[int64]int, id column.Value, err error) {
	t.Helper()
	number, _ := id.(int64)
	named[number]++
	if err == nil || err.Error() == "" {
		t.Errorf("row %d is refused without a reason", number)
	}
	if c.leaks(err) {
		t.Errorf("row %d: the secret is in the error", number)
	}
}
