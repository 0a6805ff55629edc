package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/intake"
	"github.com/leat-project/leat/internal/vfs"
)

// How much the log holds, on disk and in memory, and how many messages a morsel.
const (
	diskBytes      = 1 << 30
	memoryBytes    = 2 * largestMessage
	morselMessages = 4096
)

// part is the part of the log that one worker decodes.
type part struct{ entries []intake.Entry }

// reader reads the log that the receiver fills.
type reader struct {
	source   *source
	fields   column.Schema
	files    vfs.FS
	options  intake.Options
	dir      string
	from     int64 // -1: from the beginning
	wanted   int64 // the first message that a checkpoint or a savepoint needs
	clientID string
	keep     bool // the broker keeps the session

	ctx     context.Context // until Close, or until something ends the run
	cancel  context.CancelCauseFunc
	running sync.WaitGroup
	log     *intake.Log
	seen    *seen // nil: no dedup

	next     atomic.Int64 // the offset after what was handed out
	received atomic.Int64
	dropped  atomic.Int64
	online   atomic.Bool
	begun    atomic.Bool // start has ended well
}

var (
	_ catalog.Resumable   = (*reader)(nil)
	_ catalog.Keeper      = (*reader)(nil)
	_ catalog.Partitioned = (*reader)(nil)
	_ catalog.Metered     = (*reader)(nil)
)

func newReader(s *source, fields column.Schema) *reader {
	r := &reader{source: s, fields: fields, files: vfs.OS, from: -1, wanted: math.MaxInt64, clientID: s.clientID}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	if r.clientID == "" {
		r.clientID = randomID()
	}
	return r
}

// Resume says where to go on. With a folder, the broker keeps our session under a name that stays the same.
func (r *reader) Resume(_ context.Context, at catalog.Resume) error {
	r.dir, r.keep = at.Dir, at.Dir != ""
	if r.source.clientID == "" && at.Job != "" && r.keep {
		r.clientID = "leat-" + at.Job + "-" + at.Name
	}
	if text, ok := at.Positions[""]; ok && r.keep {
		from, err := strconv.ParseInt(text, 10, 64)
		if err != nil || from < 0 {
			return fmt.Errorf("the checkpoint's position %q is not one of ReadFromMqtt", text)
		}
		r.from = from
		return r.open()
	}
	return nil
}

// open opens the log where it is not open yet. A log that does not have what the checkpoint wants is refused.
func (r *reader) open() error {
	if r.log != nil {
		return nil
	}
	o := r.options
	if o.MaxBytes == 0 {
		o.MaxBytes = diskBytes
		if r.dir == "" {
			o.MaxBytes = memoryBytes
		}
	}
	log, err := intake.Open(r.files, r.dir, o)
	if err != nil {
		return fmt.Errorf("ReadFromMqtt: %w", err)
	}
	r.log = log
	if r.from >= 0 {
		if err := log.SeekTo(r.from); err != nil {
			return fmt.Errorf("ReadFromMqtt: %s: %w", r.dir, err)
		}
	}
	return nil
}

// start begins to receive.
func (r *reader) start(ctx context.Context) error {
	if err := r.open(); err != nil {
		return err
	}
	log := r.log
	if r.source.dedup != "" {
		r.seen = newSeen(seenMost)
		if err := r.recall(ctx); err != nil {
			return fmt.Errorf("ReadFromMqtt: %w", err)
		}
	}
	r.next.Store(log.First())
	if r.from >= 0 {
		if err := log.SeekTo(r.from); err != nil {
			return fmt.Errorf("ReadFromMqtt: %s: %w", r.dir, err)
		}
		r.next.Store(r.from)
	}
	r.begun.Store(true)
	rc := newReceiver(r)
	r.running.Go(rc.connect)
	r.running.Go(rc.append)
	r.running.Go(rc.acknowledge)
	return nil
}

// recall learns the messages that were taken before.
func (r *reader) recall(ctx context.Context) error {
	if r.dir == "" {
		return nil
	}
	if err := r.seen.load(r.files, r.dir); err != nil {
		return err
	}
	first, end := r.log.First(), r.log.End()
	if err := r.log.SeekTo(first); err != nil {
		return err
	}
	var entries []intake.Entry
	for at := first; at < end; at += int64(len(entries)) {
		if err := r.log.Next(ctx, &entries, morselMessages); err != nil {
			return err
		}
		for i := range entries {
			h, err := parseHead(entries[i].Meta)
			if err != nil {
				return fmt.Errorf("message %d of the log: %w", entries[i].Offset, err)
			}
			if h.key != nil && !r.seen.add(*h.key) {
				r.seen.kept()
			}
		}
	}
	return r.log.SeekTo(first)
}

// Next fills m with the messages that are there, or waits for one.
func (r *reader) Next(ctx context.Context, m *catalog.Morsel) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !r.begun.Load() {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.ctx, func() { cancel(context.Cause(r.ctx)) })()
	p := &part{}
	if err := r.log.Next(waiting, &p.entries, morselMessages); err != nil {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case r.ctx.Err() != nil:
			return context.Cause(r.ctx)
		}
		return fmt.Errorf("ReadFromMqtt: %w", err)
	}
	first, last := p.entries[0].Offset, p.entries[len(p.entries)-1].Offset
	r.next.Store(last + 1)
	*m = catalog.Morsel{Seq: first, File: r.source.url.Host, Line: first, Part: p, Position: strconv.FormatInt(last+1, 10)}
	return nil
}

// Keep says what is not to be dropped while there is room.
func (r *reader) Keep(positions []map[string]string) { r.wanted = intake.Wanted(positions) }

// Acknowledge drops from the log what the checkpoint covers.
func (r *reader) Acknowledge(_ context.Context, positions map[string]string) error {
	text, ok := positions[""]
	if !ok || !r.begun.Load() || r.dir == "" {
		return nil
	}
	before, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("position %q: %w", text, err)
	}
	if r.seen != nil { // before the log forgets them
		if err := r.seen.save(r.files, r.dir); err != nil {
			return err
		}
	}
	return r.log.Drop(before, r.wanted)
}

// Partitions returns the one there is.
func (r *reader) Partitions() []string { return []string{""} }

// CaughtUp reports whether the log has been handed out, and the broker could send more.
func (r *reader) CaughtUp(context.Context, string) bool {
	return r.online.Load() && r.log.End() == r.next.Load()
}

// Progress returns how many messages were handed out.
func (r *reader) Progress() (done, total int64) { return r.next.Load(), -1 }

// Metrics returns the reader's figures.
func (r *reader) Metrics() []catalog.Metric {
	online, held := 0.0, 0.0
	if r.online.Load() {
		online = 1
	}
	if r.begun.Load() {
		held = float64(r.log.Held())
	}
	return []catalog.Metric{
		{Name: "received_messages", Help: "Messages that the broker sent.", Value: float64(r.received.Load()), Counter: true},
		{Name: "duplicate_messages", Help: "Messages that were dropped because they came again.", Value: float64(r.dropped.Load()), Counter: true},
		{Name: "log_bytes", Help: "How much lies in the log.", Value: held},
		{Name: "connected", Help: "Whether there is a connection to the broker.", Value: online},
	}
}

// Close ends the connection. The broker keeps the session.
func (r *reader) Close() error {
	r.cancel(errClosed)
	var err error
	if r.log != nil {
		err = r.log.Close()
	}
	r.running.Wait()
	return err
}

var errClosed = errors.New("the reader is closed")
