package contract

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// SourceCase is a source and what it promises.
type SourceCase struct {
	Bound
	// Start makes a new, empty place at a server.
	Start func(t *testing.T) *Place
	// What its reader is, beside a Reader; each is wrong if it is not so.
	Resumes, Acknowledges, Partitions, Meters bool
	// TakesBad says that the server takes messages that are no JSON.
	TakesBad bool
	// OwnRows says that nothing can be put into it: rows come by themselves. Most tests are left out then.
	OwnRows bool
}

// Place is where rows come from: a topic, a table, a folder.
type Place struct {
	Config map[string]any
	// Put puts messages there, in their order, and returns when the server has them. A reader is running.
	Put func(t *testing.T, messages []Message)
	// Ready, if any, returns once the reader would get what is put now: servers that keep nothing are not asked too soon.
	Ready func(t *testing.T, r catalog.Reader)
	// Parts is how many partitions Put fills; 0: one.
	Parts int

	job, dir string
	put      int64
}

// Source tests a source.
func Source(t *testing.T, c SourceCase) {
	open := func(config map[string]any) (catalog.Source, error) {
		return catalog.LookUpConnector(c.Connector).Source(config)
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
	c.run(t, "ReadNobody", c.readNobody)
	c.run(t, "Interfaces", c.interfaces)
	c.run(t, "Context", c.context)
	c.run(t, "ContextAtOnce", c.contextAtOnce)
	c.run(t, "Close", c.closeWhileNextBlocks)
	c.run(t, "CloseUnread", c.closeUnread)
	if c.OwnRows {
		return
	}
	c.run(t, "Fields", c.unreadFields)
	c.run(t, "OutErrors", c.outErrors)
	c.run(t, "Latency", c.oneByOne)
	if !c.Resumes {
		return
	}
	c.run(t, "Readings", c.sameReadings)
	c.run(t, "Resume", c.resumeAnywhere)
	if c.Partitions {
		c.run(t, "Partitions", c.partitions)
	}
	if c.Acknowledges {
		c.run(t, "Acknowledge", c.acknowledge)
	}
}

// start makes a place. noLeaks comes after it: what the test itself needs of a server is not counted.
func (c *SourceCase) start(t *testing.T) *Place {
	t.Helper()
	p := c.Start(t)
	p.dir, p.job = t.TempDir(), fmt.Sprintf("contract-%d", time.Now().UnixNano())
	p.Parts = max(p.Parts, 1)
	return p
}

// add puts n more messages in, in some goes. The numbers go on.
func (p *Place) add(t *testing.T, c *SourceCase, n int) (out []Message) {
	t.Helper()
	for range n {
		out = append(out, Message{ID: p.put, Bad: c.TakesBad && p.put%17 == 5})
		p.put++
	}
	const goes = 6
	for i := range goes {
		if some := out[i*n/goes : (i+1)*n/goes]; len(some) > 0 {
			p.Put(t, some)
		}
	}
	return out
}

// names are what messages become when all fields are read.
func names(messages []Message) []string {
	out := make([]string, len(messages))
	for i, m := range messages {
		out[i] = m.nameOf(RowSchema)
	}
	return out
}

// is is one interface, and whether it should be there.
type is struct {
	name         string
	got, promise bool
}

func wantIs(t *testing.T, of any, all ...is) {
	t.Helper()
	for _, i := range all {
		if i.got != i.promise {
			t.Errorf("%T is a %s: %v, and the case says %v", of, i.name, i.got, i.promise)
		}
	}
}

func (c *SourceCase) interfaces(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.open(t, c, nil)
	_, resumes := r.reader.(catalog.Resumable)
	_, acknowledges := r.reader.(catalog.Acknowledger)
	_, parts := r.reader.(catalog.Partitioned)
	_, meters := r.reader.(catalog.Metered)
	wantIs(t, r.reader, is{"Resumable", resumes, c.Resumes}, is{"Acknowledger", acknowledges, c.Acknowledges}, is{"Partitioned", parts, c.Partitions}, is{"Metered", meters, c.Meters})
	if e, ok := r.source.(catalog.Endless); !ok || !e.Unbounded() {
		t.Errorf("%T is not endless, and the suite is for streams", r.source)
	}
	if g, ok := r.source.(catalog.Guaranteed); ok && g.Guarantee() > catalog.AtMostOnce && !c.Resumes {
		t.Errorf("it promises %s, and cannot be resumed", g.Guarantee())
	}
	if err := r.reader.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// readNobody: where nobody listens, Next ends with its context, and no error tells the secret.
func (c *SourceCase) readNobody(t *testing.T) {
	if !c.Pings {
		t.Skip("there is no server")
	}
	noLeaks(t)
	s, err := catalog.LookUpConnector(c.Connector).Source(c.Config(silentAddress))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	schema, err := s.Schema(ctx)
	if err == nil {
		var r catalog.Reader
		if r, err = s.Open(ctx, schema); err == nil {
			for err == nil {
				err = r.Next(ctx, &catalog.Morsel{})
			}
			if closing := r.Close(); closing != nil {
				t.Errorf("Close: %v", closing)
			}
		}
	}
	if c.leaks(err) {
		t.Error("the secret is in the error")
	}
	if err == nil {
		t.Error("rows come, and nobody listens")
	}
}

// context: Next blocks, until the context is done.
func (c *SourceCase) context(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.begin(t, c, nil, nil)
	if !c.OwnRows {
		r.take(len(p.add(t, c, 12)))
	}
	time.Sleep(50 * time.Millisecond) // most likely it blocks by now
	r.stop()
}

// contextAtOnce: the context is done before Next is called, or while it connects.
func (c *SourceCase) contextAtOnce(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	for _, pause := range []time.Duration{-1, 0, 3 * time.Millisecond} {
		r := p.open(t, c, nil)
		if resumable, ok := r.reader.(catalog.Resumable); ok {
			if err := resumable.Resume(t.Context(), p.resume(t, nil)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		if pause < 0 {
			cancel()
		} else {
			time.AfterFunc(pause, cancel)
		}
		var err error
		for err == nil { // rows that come by themselves, and marks without rows
			err = r.reader.Next(ctx, &catalog.Morsel{})
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Next returned %v when the context was done", err)
		}
		cancel()
		if err := r.reader.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// closeWhileNextBlocks: whoever gives up may do so from elsewhere. Next may not be left behind.
func (c *SourceCase) closeWhileNextBlocks(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.begin(t, c, nil, nil)
	if !c.OwnRows {
		r.take(len(p.add(t, c, 12)))
	}
	time.Sleep(50 * time.Millisecond)
	closed := make(chan error)
	go func() { closed <- r.reader.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Errorf("Close: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Close does not return while Next blocks")
	}
	r.awaitEnd("the reader is closed")
	r.cancel()
	r.close()
}

// closeUnread: a reader that nobody has asked for anything leaves nothing.
func (c *SourceCase) closeUnread(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.open(t, c, nil)
	if resumable, ok := r.reader.(catalog.Resumable); ok {
		if err := resumable.Resume(t.Context(), p.resume(t, nil)); err != nil {
			t.Fatal(err)
		}
	}
	r.figures()
	r.close()
}

// unreadFields: a part of the schema gives the same values.
func (c *SourceCase) unreadFields(t *testing.T) {
	choices := map[string][]string{"all": nil, "none": {}, "two": {"id", "value"}}
	for _, f := range RowSchema {
		choices[f.Name] = []string{f.Name}
	}
	for name, choice := range choices {
		t.Run(name, func(t *testing.T) {
			p := c.start(t)
			noLeaks(t)
			r := p.begin(t, c, nil, choice)
			if choice == nil {
				for _, f := range RowSchema {
					if i := r.fields.Index(f.Name); i < 0 || r.fields[i].Type.Kind != f.Type.Kind {
						t.Fatalf("the schema %s lacks %s %s", r.fields, f.Name, f.Type)
					}
				}
			}
			var want []string
			for _, m := range p.add(t, c, 60) {
				want = append(want, m.nameOf(r.fields))
			}
			if choice == nil {
				wantSame(t, "all fields", r.take(len(want)), want)
			} else { // what is not decoded may be bad: those rows may come, as rows or not
				wantPart(t, r, want)
			}
			r.stop()
		})
	}
}

// outErrors: the errors of who takes rows are handed on.
func (c *SourceCase) outErrors(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.begin(t, c, nil, nil)
	pieces := r.take(len(p.add(t, c, 8)))
	r.stop()
	if len(pieces) == 0 {
		t.Fatal("no morsels")
	}
	if !c.Resumes {
		return
	}
	r = p.open(t, c, nil)
	defer r.reader.Close()
	if err := r.reader.(catalog.Resumable).Resume(t.Context(), p.resume(t, nil)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var m catalog.Morsel
	var told refuse
	for told.asked == 0 {
		if err := r.reader.Next(ctx, &m); err != nil {
			t.Fatal(err)
		}
		if err := r.reader.NewDecoder().Decode(ctx, &m, &told); told.asked > 0 && !errors.Is(err, errRefuse) {
			t.Errorf("Decode returned %v, wanted the error of Out", err)
		}
	}
	if told.asked > 1 {
		t.Errorf("Out was asked %d times after it had failed", told.asked-1)
	}
}

var errRefuse = errors.New("not taken")

// refuse is an Out that takes nothing.
type refuse struct{ asked int }

func (r *refuse) BatchRows() int { return 7 }

func (r *refuse) Batch(*column.Batch) error {
	r.asked++
	return errRefuse
}

func (r *refuse) Bad(catalog.BadRecord) error {
	r.asked++
	return errRefuse
}

// oneByOne: a row does not wait for others.
func (c *SourceCase) oneByOne(t *testing.T) {
	p := c.start(t)
	noLeaks(t)
	r := p.begin(t, c, nil, nil)
	var all []string
	for range 5 {
		all = append(all, names(p.add(t, c, 1))...)
		wantSame(t, "one more row", r.take(len(all)), all)
	}
	r.stop()
}
