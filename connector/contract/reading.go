package contract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// workers is how many decoders run at once.
const workers = 4

// reading is one life of a reader: morsels are read by one, and decoded by several, as the engine does.
type reading struct {
	t      *testing.T
	source catalog.Source
	reader catalog.Reader
	fields column.Schema
	cancel context.CancelFunc
	ended  chan struct{} // nobody reads any more
	err    error         // of Next or Decode
	watch  chan struct{} // closed: nobody looks at figures
	look   sync.Once
	wait   sync.WaitGroup

	mu     sync.Mutex
	pieces []*piece // in the order of Next
	wrong  []string
	more   chan struct{} // closed at each change
}

// piece is what became of one morsel.
type piece struct {
	partition, position string
	seq                 int64
	done                bool
	items               []item
}

// item is a row or a bad record.
type item struct {
	name string
	row  int32
}

// open opens a reader of some fields of the source; nil: of all.
func (p *Place) open(t *testing.T, c *SourceCase, names []string) *reading {
	t.Helper()
	s, err := catalog.LookUpConnector(c.Connector).Source(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := s.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fields := column.Schema{}
	for _, f := range schema {
		if names == nil || slices.Contains(names, f.Name) {
			fields = append(fields, f)
		}
	}
	r, err := s.Open(t.Context(), fields)
	if err != nil {
		t.Fatal(err)
	}
	reading := &reading{t: t, source: s, reader: r, fields: fields, cancel: func() {}, ended: make(chan struct{}), watch: make(chan struct{}), more: make(chan struct{})}
	t.Cleanup(reading.drop)
	return reading
}

// drop ends what a test that has failed has left.
func (r *reading) drop() {
	r.cancel()
	_ = r.reader.Close()
	r.look.Do(func() { close(r.watch) })
}

// begin opens a reader, has it go on at positions, and reads until stop.
func (p *Place) begin(t *testing.T, c *SourceCase, positions map[string]string, names []string) *reading {
	t.Helper()
	r := p.open(t, c, names)
	r.figures()
	if resumable, ok := r.reader.(catalog.Resumable); ok {
		if err := resumable.Resume(t.Context(), p.resume(t, positions)); err != nil {
			t.Fatal(err)
		}
	}
	r.start()
	if p.Ready != nil {
		p.Ready(t, r.reader)
	}
	return r
}

// figures asks for them all the time: that is safe at any.
func (r *reading) figures() {
	r.wait.Go(func() {
		for {
			select {
			case <-r.watch:
				return
			case <-time.After(time.Millisecond):
			}
			r.reader.Progress()
			if m, ok := r.reader.(catalog.Metered); ok {
				for _, why := range oddMetrics(m.Metrics()) {
					r.complain("%s", why)
				}
			}
			if p, ok := r.reader.(catalog.Partitioned); ok {
				p.Partitions()
			}
		}
	})
}

// start reads.
func (r *reading) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.cancel = cancel
	type work struct {
		m *catalog.Morsel
		p *piece
	}
	queue, free := make(chan work), make(chan *catalog.Morsel, workers+1)
	for range cap(free) {
		free <- &catalog.Morsel{}
	}
	for range workers {
		d := r.reader.NewDecoder()
		r.wait.Go(func() {
			for w := range queue {
				if err := d.Decode(ctx, w.m, &out{r, w.p}); err != nil && ctx.Err() == nil {
					r.complain("Decode: %v", err)
				}
				r.change(func() { w.p.done = true })
				free <- w.m
			}
		})
	}
	r.wait.Go(func() {
		defer close(r.ended)
		defer close(queue)
		for m := range free {
			m.Partition, m.Position, m.Part, m.Bare = "", "", nil, false // as the engine does
			if r.err = r.reader.Next(ctx, m); r.err != nil {
				return
			}
			p := &piece{partition: m.Partition, position: m.Position, seq: m.Seq}
			r.change(func() { r.pieces = append(r.pieces, p) })
			queue <- work{m, p}
		}
	})
}

func (r *reading) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.more)
	r.more = make(chan struct{})
}

func (r *reading) complain(format string, args ...any) {
	r.change(func() { r.wrong = append(r.wrong, fmt.Sprintf(format, args...)) })
}

// take waits until so many rows and bad records are there, of morsels that are done, and returns all morsels.
func (r *reading) take(n int) []*piece {
	r.t.Helper()
	late := time.After(patience)
	for {
		r.mu.Lock()
		have, done, more, wrong := 0, true, r.more, r.wrong
		for _, p := range r.pieces {
			have, done = have+len(p.items), done && p.done
		}
		pieces := slices.Clone(r.pieces)
		r.mu.Unlock()
		if len(wrong) > 0 {
			r.t.Fatalf("%d complaints: %s", len(wrong), wrong[0])
		}
		if have >= n && done {
			return pieces
		}
		select {
		case <-more:
		case <-r.ended:
			if have < n && done {
				r.t.Fatalf("reading ended after %d of %d rows: %v", have, n, r.err)
			}
			time.Sleep(time.Millisecond)
		case <-late:
			r.t.Fatalf("%d rows came, wanted %d", have, n)
		}
	}
}

// stop ends the reading, and closes the reader.
func (r *reading) stop() {
	r.t.Helper()
	r.cancel()
	r.awaitEnd("the context is done")
	if !errors.Is(r.err, context.Canceled) && !errors.Is(r.err, io.EOF) {
		r.t.Errorf("Next returned %v when the context was done", r.err)
	}
	r.close()
}

// awaitEnd waits until Next has returned for good.
func (r *reading) awaitEnd(why string) {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.t.Fatalf("%s, and Next does not return", why)
	}
}

// close closes the reader, twice, while figures are still looked at.
func (r *reading) close() {
	r.t.Helper()
	for range 2 {
		if err := r.reader.Close(); err != nil {
			r.t.Errorf("Close: %v", err)
		}
	}
	r.look.Do(func() { close(r.watch) })
	r.wait.Wait()
}

// out takes the rows of one morsel.
type out struct {
	*reading
	p *piece
}

// BatchRows is small, so that morsels become several batches.
func (o *out) BatchRows() int { return 7 }

func (o *out) Bad(b catalog.BadRecord) error {
	if b.Msg == "" {
		o.complain("a bad record without a message: %q", b.Record)
	}
	o.change(func() { o.p.items = append(o.p.items, item{"bad " + string(b.Record), b.Row}) })
	return nil
}

func (o *out) Batch(b *column.Batch) error {
	if b.N > o.BatchRows() || len(b.Cols) != len(o.fields) {
		o.complain("a batch of %d rows and %d columns, wanted up to %d, and %d", b.N, len(b.Cols), o.BatchRows(), len(o.fields))
		return nil
	}
	if b.Times != nil && len(b.Times) != b.N || b.Rows != nil && len(b.Rows) != b.N {
		o.complain("a batch of %d rows has %d times and %d row numbers", b.N, len(b.Times), len(b.Rows))
		return nil
	}
	b.Each(func(i int) {
		name := o.nameOf(b, i)
		row := b.RowNumber(i)
		b.Where(i)
		o.change(func() { o.p.items = append(o.p.items, item{name, row}) })
	})
	return nil
}

// nameOf is the values of a row that RowSchema knows.
func (r *reading) nameOf(b *column.Batch, i int) string {
	name := "row"
	for c, f := range r.fields {
		if RowSchema.Index(f.Name) >= 0 {
			name += fmt.Sprintf(" %s=%v", f.Name, b.Cols[c].Value(i))
		}
	}
	return name
}

// nameOf is what a message becomes, of those fields.
func (m Message) nameOf(schema column.Schema) string {
	if m.Bad {
		return "bad " + string(m.JSON())
	}
	name := "row"
	for _, f := range schema {
		if c := RowSchema.Index(f.Name); c >= 0 {
			name += fmt.Sprintf(" %s=%v", f.Name, m.row()[c])
		}
	}
	return name
}
