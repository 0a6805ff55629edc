package contract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// SinkCase is a sink and what it promises.
type SinkCase struct {
	Bound
	// Start makes a new, empty target at a server.
	Start func(t *testing.T) *Target
	// What its Writer of a stream is; each is wrong if it is not so.
	Transactional, Syncs, Cuts, Refuses, Meters bool
	// BoundedUndo says that a run that ends and is aborted leaves nothing.
	BoundedUndo bool
	// BoundedOnly says that it is not for streams.
	BoundedOnly bool
}

// Target is where rows go to.
type Target struct {
	Config map[string]any
	// Read returns the rows that a reader sees who looks at committed rows only, of that schema, in any order.
	Read func(t *testing.T, schema column.Schema) [][]column.Value
	// Types are rows of all types that come back equal; nil: RowSchema alone is tried.
	Types    column.Schema
	TypeRows [][]column.Value
	// TypesConfig is the configuration for rows of Types; nil: Config.
	TypesConfig map[string]any
	// Refused is the text of a row that is never taken, by the sink or its server; "": there is none.
	Refused string
	// Crash, if any, ends connections as the end of the process does. Else the writer is left as it is.
	Crash func(w catalog.Writer)
	// Job is the name of the pipeline; "": any.
	Job string

	dir string
}

// sinkSchema is that of rows that tests write: RowSchema, whose first field is the number.
var sinkSchema = RowSchema

// Sink tests a sink.
func Sink(t *testing.T, c SinkCase) {
	open := func(config map[string]any) (catalog.Sink, error) {
		env := &catalog.SinkEnv{Name: "Write", Stream: !c.BoundedOnly, Job: "contract", Dir: t.TempDir()}
		return catalog.LookUpConnector(c.Connector).Sink(config, env)
	}
	c.run(t, "Configuration", func(t *testing.T) {
		c.configurations(t, func(config map[string]any) error {
			_, err := open(config)
			return err
		})
	})
	pings := func(config map[string]any, there bool) func(t *testing.T) {
		return func(t *testing.T) {
			if config == nil {
				config = c.start(t).Config
			}
			s, err := open(config)
			if err != nil {
				t.Fatal(err)
			}
			c.ping(t, s, there)
		}
	}
	c.run(t, "Ping", pings(nil, true))
	c.run(t, "PingNobody", pings(c.Config(silentAddress), false))
	c.run(t, "OpenNobody", c.openNobody)
	c.run(t, "BoundedTypes", func(t *testing.T) { c.types(t, false) })
	c.run(t, "BoundedEncoders", func(t *testing.T) { c.encoders(t, false) })
	c.run(t, "BoundedAbort", c.boundedAbort)
	c.run(t, "BoundedRefused", func(t *testing.T) { c.refused(t, false) })
	if c.BoundedOnly {
		return
	}
	c.run(t, "Interfaces", c.interfaces)
	c.run(t, "Types", func(t *testing.T) { c.types(t, true) })
	c.run(t, "Encoders", func(t *testing.T) { c.encoders(t, true) })
	c.run(t, "Commit", c.commitAtEnd)
	c.run(t, "Refused", func(t *testing.T) { c.refused(t, true) })
	if c.Transactional {
		c.run(t, "RefusedCrash", c.refusedCrash)
		c.run(t, "Epochs", c.epochs)
		c.run(t, "NoRows", c.noRows)
		c.run(t, "Abort", c.abort)
		c.run(t, "AbortPrepared", c.abortPrepared)
		c.run(t, "Crash", c.crashes)
		c.run(t, "FirstRun", c.firstRun)
	} else {
		c.run(t, "Sync", c.syncs)
	}
}

func (c *SinkCase) start(t *testing.T) *Target {
	t.Helper()
	x := c.Start(t)
	x.dir, x.Job = t.TempDir(), cmp.Or(x.Job, fmt.Sprintf("contract-%d", time.Now().UnixNano()))
	return x
}

// life is one life of a writer.
type life struct {
	t      *testing.T
	w      catalog.Writer
	e      catalog.Encoder
	target *Target
	schema column.Schema
	seq    int64
}

// open begins a life. Recover has not been called.
func (x *Target) open(t *testing.T, c *SinkCase, stream, refusals bool, schema column.Schema) *life {
	t.Helper()
	env := &catalog.SinkEnv{Name: "Write", Stream: stream, Job: x.Job, Dir: x.dir, Refusals: refusals, Log: func(_, text string) { t.Log(text) }}
	s, err := catalog.LookUpConnector(c.Connector).Sink(x.Config, env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := s.Open(ctx, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Abort() })
	return &life{t: t, w: w, target: x, schema: schema}
}

// begin opens a writer and recovers.
func (x *Target) begin(t *testing.T, c *SinkCase, stream bool, epoch int64, staged []byte) *life {
	t.Helper()
	l := x.open(t, c, stream, false, sinkSchema)
	l.recover(epoch, staged)
	return l
}

func (l *life) recover(epoch int64, staged []byte) {
	l.t.Helper()
	if tx, ok := l.w.(catalog.Transactional); ok {
		l.must("Recover", tx.Recover(l.t.Context(), epoch, slices.Clone(staged)))
	}
	l.e = l.w.NewEncoder()
}

func (l *life) must(what string, err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
}

// numbered makes rows of those numbers.
func numbered(from, n int64) (rows [][]column.Value) {
	for i := range n {
		rows = append(rows, Message{ID: from + i}.row())
	}
	return rows
}

// write writes rows, and flushes where told to.
func (l *life) write(rows [][]column.Value, flush bool) {
	l.t.Helper()
	if len(rows) > 0 {
		l.must("Write", l.e.Write(l.t.Context(), l.batch(rows)))
	}
	if flush {
		l.must("Flush", l.e.Flush(l.t.Context()))
	}
}

// batch makes the next batch of rows. Every other one has rows that a filter has taken out.
func (l *life) batch(rows [][]column.Value) *column.Batch {
	l.t.Helper()
	l.seq++
	if l.seq%2 == 0 {
		return batchOf(l.t, l.schema, l.seq, rows)
	}
	var all [][]column.Value
	var sel []int32
	for _, row := range rows {
		all = append(all, row, row)
		sel = append(sel, int32(len(all)-1))
	}
	b := batchOf(l.t, l.schema, l.seq, all)
	b.Sel = sel
	return b
}

// cut ends an epoch, or says that all so far is to be safe. finish does the rest.
func (l *life) cut(epoch int64) (finish func() []byte) {
	l.t.Helper()
	if c, ok := l.w.(catalog.Cutter); ok {
		rest := c.Cut(epoch)
		return func() []byte {
			l.t.Helper()
			staged, err := rest(l.t.Context())
			l.must("the end of Cut", err)
			return staged
		}
	}
	switch w := l.w.(type) {
	case catalog.Transactional:
		staged, err := w.Prepare(l.t.Context(), epoch)
		l.must("Prepare", err)
		return func() []byte { return staged }
	case catalog.Syncer:
		l.must("Sync", w.Sync(l.t.Context()))
	}
	return func() []byte { return nil }
}

func (l *life) commit(epoch int64, staged []byte) {
	l.t.Helper()
	if tx, ok := l.w.(catalog.Transactional); ok {
		l.must("CommitEpoch", tx.CommitEpoch(l.t.Context(), epoch, slices.Clone(staged)))
	}
}

// finish makes all rows visible: by an epoch, or as a run that ends.
func (l *life) finish(stream bool, epoch int64) {
	l.t.Helper()
	if stream {
		l.commit(epoch, l.cut(epoch)())
		return
	}
	if v, ok := l.w.(catalog.Verifier); ok {
		l.must("Verify", v.Verify(l.t.Context()))
	}
	_, err := l.w.Commit(l.t.Context())
	l.must("Commit", err)
}

// wantSeen compares all that readers see with the rows of numbers below n.
func (x *Target) wantSeen(t *testing.T, when string, n int64) {
	t.Helper()
	x.wantRows(t, when, sinkSchema, numbered(0, n))
}

// wantRows waits for rows that are missing: servers may show them some time after they have said that they are there. Rows too many are wrong at once.
func (x *Target) wantRows(t *testing.T, when string, schema column.Schema, rows [][]column.Value) {
	t.Helper()
	want := texts(rows)
	for deadline := time.Now().Add(patience / 2); ; time.Sleep(20 * time.Millisecond) {
		seen := x.Read(t, schema)
		got := texts(seen)
		if slices.Equal(got, want) {
			return
		}
		if len(less(got, want)) == 0 && time.Now().Before(deadline) {
			continue
		}
		if schema[0].Name == "id" && !slices.Equal(ids(seen), ids(rows)) {
			t.Fatalf("%s: readers see the rows %v, wanted %v", when, ids(seen), ids(rows))
		}
		t.Fatalf("%s: readers see %d rows, wanted %d\nmissing:  %q\ntoo many: %q", when, len(got), len(want), less(want, got), less(got, want))
	}
}

func (c *SinkCase) interfaces(t *testing.T) {
	l := c.start(t).open(t, c, true, true, sinkSchema)
	_, transactional := l.w.(catalog.Transactional)
	_, syncs := l.w.(catalog.Syncer)
	_, cuts := l.w.(catalog.Cutter)
	_, refuses := l.w.(catalog.Refuser)
	_, meters := l.w.(catalog.Metered)
	wantIs(t, l.w, is{"Transactional", transactional, c.Transactional}, is{"Syncer", syncs, c.Syncs}, is{"Cutter", cuts, c.Cuts}, is{"Refuser", refuses, c.Refuses},
		is{"Metered", meters, c.Meters})
	if transactional && syncs {
		t.Errorf("%T is both Transactional and a Syncer, which is without transactions", l.w)
	}
}

// openNobody: where nobody listens, Open ends with its context, and no error tells the secret.
func (c *SinkCase) openNobody(t *testing.T) {
	if !c.Pings {
		t.Skip("there is no server")
	}
	noLeaks(t)
	for _, stream := range []bool{!c.BoundedOnly, false} {
		s, err := catalog.LookUpConnector(c.Connector).Sink(c.Config(silentAddress), &catalog.SinkEnv{Name: "Write", Stream: stream, Job: "contract", Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		w, err := s.Open(ctx, sinkSchema)
		if err == nil { // it connects later
			if tx, ok := w.(catalog.Transactional); ok {
				err = tx.Recover(ctx, 0, nil)
			}
			e := w.NewEncoder()
			err = errors.Join(err, e.Write(ctx, batchOf(t, sinkSchema, 1, numbered(0, 3))), e.Flush(ctx))
			if syncer, ok := w.(catalog.Syncer); ok {
				err = errors.Join(err, syncer.Sync(ctx))
			}
			_ = w.Abort()
		}
		if err == nil {
			t.Errorf("stream %v: rows were written, and nobody listens", stream)
		}
		if c.leaks(err) {
			t.Errorf("stream %v: the secret is in the error", stream)
		}
		cancel()
	}
}

// types: values of all types come back as they were.
func (c *SinkCase) types(t *testing.T, stream bool) {
	x := c.start(t)
	schema, rows := x.Types, x.TypeRows
	if schema == nil {
		schema, rows = sinkSchema, numbered(0, 20)
	}
	if x.TypesConfig != nil && x.Types != nil {
		x.Config = x.TypesConfig
	}
	l := x.open(t, c, stream, false, schema)
	l.recover(0, nil)
	for i := range rows {
		l.write(rows[i:i+1], i%3 == 0)
	}
	l.write(nil, true)
	l.finish(stream, 1)
	x.wantRows(t, "all types", schema, rows)
}

// encoders: several workers write at once, while figures are looked at.
func (c *SinkCase) encoders(t *testing.T, stream bool) {
	const batches, size = 25, 20
	x := c.start(t)
	l := x.begin(t, c, stream, 0, nil)
	done := make(chan struct{})
	var look, wait sync.WaitGroup
	look.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			if m, ok := l.w.(catalog.Metered); ok {
				for _, why := range oddMetrics(m.Metrics()) {
					t.Error(why)
				}
			}
		}
	})
	for worker := range int64(workers) {
		e := l.w.NewEncoder()
		wait.Go(func() {
			for i := range int64(batches) {
				at := worker*batches + i
				if err := e.Write(t.Context(), batchOf(t, sinkSchema, at, numbered(at*size, size))); err != nil {
					t.Errorf("Write: %v", err)
				}
			}
			if err := e.Flush(t.Context()); err != nil {
				t.Errorf("Flush: %v", err)
			}
		})
	}
	wait.Wait()
	l.must("Flush of one that was given nothing", l.w.NewEncoder().Flush(t.Context()))
	l.finish(stream, 1)
	close(done)
	look.Wait()
	x.wantSeen(t, "all workers are done", workers*batches*size)
}

// boundedAbort: a run that ends is all or nothing, if the sink says so.
func (c *SinkCase) boundedAbort(t *testing.T) {
	x := c.start(t)
	l := x.begin(t, c, false, 0, nil)
	l.write(numbered(0, 30), true)
	for range 2 {
		l.must("Abort", l.w.Abort())
	}
	if c.BoundedUndo {
		x.wantSeen(t, "aborted", 0)
		l = x.begin(t, c, false, 0, nil)
		l.write(numbered(0, 30), true)
		x.wantSeen(t, "not committed", 0)
		l.finish(false, 0)
		l.must("Abort after Commit", l.w.Abort())
		x.wantSeen(t, "committed", 30)
	}
}
