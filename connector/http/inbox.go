package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/intake"
	"github.com/leat-project/leat/internal/vfs"
)

// How much an inbox holds: on disk where there is a folder, else in memory.
const (
	inboxDiskBytes   = 1 << 30
	inboxMemoryBytes = 32 << 20
	segmentBytes     = 16 << 20
)

// How much one morsel holds. The log has a limit of bytes of its own.
const (
	morselMessages = 4096
	morselBytes    = 4 << 20
)

// incoming is a message on its way into an inbox.
type incoming struct {
	message []byte
	time    int64
	note    *note
	key     *key // what it is known by; nil: it is not looked for
}

// inbox is the Reader of messages that cannot be asked for again: they are kept in a log until a checkpoint covers them, and those that come
// again are known by their key. What fills it is begun by the first Next.
type inbox struct {
	rowsOf
	name    string
	largest int64 // message
	files   vfs.FS
	dir     string // "": in memory
	start   func(ctx context.Context) error
	stop    func() // of what fills it; it is called once
	figures func() []catalog.Metric

	from    int64 // where to begin, of the log, if it is resumed
	wanted  int64 // the first message that a checkpoint or a savepoint needs
	resumed bool
	window  *window
	log     *intake.Log
	begun   bool
	ctx     context.Context // until Close
	cancel  context.CancelFunc
	broken  context.Context // done when the filling has failed
	breaks  context.CancelCauseFunc
	ended   chan struct{} // closed when the filling has stopped
	halt    sync.Once
	closing sync.Once
	closed  error

	entries []intake.Entry
	taken   atomic.Int64 // messages that were handed out
	waiting atomic.Int64 // messages in the log that were not handed out yet
	counted atomic.Bool  // waiting is known
}

var (
	_ catalog.Resumable   = (*inbox)(nil)
	_ catalog.Keeper      = (*inbox)(nil)
	_ catalog.Partitioned = (*inbox)(nil)
	_ catalog.Metered     = (*inbox)(nil)
)

func newInbox(name string, rows rowsOf) *inbox {
	b := &inbox{rowsOf: rows, name: name, files: vfs.OS, window: newWindow(windowKeys), largest: defaultMaxBytes, wanted: math.MaxInt64}
	b.broken, b.breaks = context.WithCancelCause(context.Background())
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// NewDecoder returns a decoder for one worker.
func (b *inbox) NewDecoder() catalog.Decoder { return b.newDecoder() }

// Resume says where to go on.
func (b *inbox) Resume(_ context.Context, r catalog.Resume) error {
	b.dir = r.Dir
	if text, ok := r.Positions[""]; ok {
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil || at < 0 {
			return fmt.Errorf("%s: the checkpoint's position %q is none of an inbox", b.name, text)
		}
		b.from, b.resumed = at, true
	}
	if b.dir != "" && b.resumed {
		return b.open()
	}
	return nil
}

// ready begins, the first time.
func (b *inbox) ready(ctx context.Context) error {
	if b.begun {
		return nil
	}
	if err := b.begin(ctx); err != nil {
		return err
	}
	b.begun = true
	return nil
}

// open opens the log where it is not open yet. A log that does not have what the checkpoint wants is refused.
func (b *inbox) open() error {
	if b.log != nil {
		return nil
	}
	o := intake.Options{SegmentBytes: segmentBytes, MaxBytes: inboxDiskBytes}
	if b.dir == "" {
		o.MaxBytes = inboxMemoryBytes
	} else if err := b.files.MkdirAll(b.dir); err != nil {
		return fmt.Errorf("%s: its folder: %w", b.name, err)
	}
	o.MaxBytes = max(o.MaxBytes, 4*b.largest)
	var err error
	if b.log, err = intake.Open(b.files, b.dir, o); err != nil {
		return fmt.Errorf("%s: its log: %w", b.name, err)
	}
	if b.dir != "" && b.resumed {
		if err := b.log.SeekTo(b.from); err != nil {
			return fmt.Errorf("%s: its log: %w", b.name, err)
		}
	}
	return nil
}

// begin looks through what lies in the log, and starts what fills it.
func (b *inbox) begin(ctx context.Context) error {
	if err := b.open(); err != nil {
		return err
	}
	if b.dir != "" {
		if err := b.window.load(b.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		if err := b.recover(ctx); err != nil {
			return fmt.Errorf("%s: its log: %w", b.name, err)
		}
	}
	b.counted.Store(true)
	return b.start(ctx)
}

// recover reads what lies in the log, so that messages that come again are known.
func (b *inbox) recover(ctx context.Context) error {
	first, end := b.log.First(), b.log.End()
	if err := b.log.SeekTo(first); err != nil {
		return err
	}
	for at := first; at < end; {
		var entries []intake.Entry
		if err := b.log.Next(ctx, &entries, morselMessages); err != nil {
			return err
		}
		for i := range entries {
			e := &entries[i]
			at = e.Offset + 1
			k, text, err := splitMeta(e.Meta)
			if err != nil {
				return err
			}
			if k != nil {
				b.window.add(*k)
			}
			if err := b.recoverState(text); err != nil {
				return err
			}
		}
	}
	if !b.resumed {
		b.from = first
	}
	b.waiting.Store(end - b.from)
	return b.log.SeekTo(b.from)
}

// recoverState takes where a poll goes on, if a message says so.
func (b *inbox) recoverState(text []byte) error {
	if !bytes.Contains(text, []byte(`"state"`)) { // reading JSON takes long
		return nil
	}
	var n note
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	if n.State != "" {
		b.window.setState(n.State)
	}
	return nil
}

// meta is how the log keeps what is known of a message: the length of the key, the key, the note as JSON.
func (in *incoming) meta() ([]byte, error) {
	text, err := json.Marshal(in.note)
	if err != nil {
		return nil, err
	}
	if in.key == nil {
		return append([]byte{0}, text...), nil
	}
	return append(append([]byte{byte(len(in.key))}, in.key[:]...), text...), nil
}

// splitMeta parts what meta has made.
func splitMeta(meta []byte) (*key, []byte, error) {
	if len(meta) < 1 || meta[0] != 0 && (int(meta[0]) != len(key{}) || len(meta) < 1+len(key{})) {
		return nil, nil, errDamaged
	}
	if meta[0] == 0 {
		return nil, meta[1:], nil
	}
	k := key(meta[1 : 1+len(key{})])
	return &k, meta[1+len(key{}):], nil
}

// put keeps messages, and returns when they are safe, with how many of them had come before. After an error all of them may be sent again.
func (b *inbox) put(ctx context.Context, messages []incoming) (known int, err error) {
	var doubles []<-chan struct{}
	var keys []key // of doubles
	type sent struct {
		key  *key
		done <-chan error
	}
	under := make([]sent, 0, len(messages))
	for i := range messages {
		in := &messages[i]
		if in.key != nil {
			fresh, decided := b.window.begin(*in.key)
			if !fresh {
				doubles, keys = append(doubles, decided), append(keys, *in.key)
				continue
			}
		}
		meta, metaErr := in.meta()
		if metaErr != nil {
			err = metaErr
			b.forget(in.key)
			break
		}
		b.waiting.Add(1)
		under = append(under, sent{in.key, b.log.Append(ctx, "", in.time, meta, in.message)})
	}
	for _, s := range under {
		kept, one := b.settle(ctx, s.done)
		if s.key != nil {
			b.window.end(*s.key, kept)
		}
		if !kept {
			b.waiting.Add(-1)
		}
		if err == nil {
			err = one
		}
	}
	for i, decided := range doubles {
		select {
		case <-decided:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		if !b.window.has(keys[i]) && err == nil {
			err = errOtherFailed
		}
	}
	return len(doubles), err
}

// errOtherFailed is the error of a message whose double was not kept: it has to be sent again.
var errOtherFailed = errors.New("the same message is under way, and could not be kept")

func (b *inbox) forget(k *key) {
	if k != nil {
		b.window.end(*k, false)
	}
}

// settle waits until a message is safe. In memory that is when it is taken; where that takes too long it will be all the same, but who sent it is not told so.
func (b *inbox) settle(ctx context.Context, done <-chan error) (kept bool, err error) {
	select {
	case err = <-done:
		return err == nil, err
	case <-ctx.Done():
	}
	if b.dir != "" { // it is being written: that ends, well or not
		err = <-done
		return err == nil, err
	}
	select {
	case err = <-done:
		return err == nil, err
	default:
		return true, context.Cause(ctx)
	}
}

// Next hands out messages, once there are some.
func (b *inbox) Next(ctx context.Context, m *catalog.Morsel) error {
	if err := b.ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(b.broken, func() { cancel(context.Cause(b.broken)) })
	defer stop()
	if err := b.log.Next(ctx, &b.entries, morselMessages); err != nil {
		if ctx.Err() == nil {
			return fmt.Errorf("%s: its log: %w", b.name, err)
		}
		b.end() // it answers what is under way while the rest of the pipeline ends
		return context.Cause(ctx)
	}
	return b.fill(m)
}

// fill makes a morsel of the entries.
func (b *inbox) fill(m *catalog.Morsel) error {
	items := make([]item, len(b.entries))
	for i := range b.entries {
		e := &b.entries[i]
		k, text, err := splitMeta(e.Meta)
		if err != nil {
			return fmt.Errorf("%s: message %d of its log: %w", b.name, e.Offset, err)
		}
		if k != nil { // it is safe; who put it there may not have been told yet
			b.window.add(*k)
		}
		items[i] = item{meta: text, message: e.Message, time: e.Time, number: e.Offset + 1}
	}
	n := int64(len(items))
	b.waiting.Add(-n)
	b.taken.Add(n)
	last := b.entries[len(b.entries)-1].Offset
	m.Seq, m.File, m.Data, m.Part = b.entries[0].Offset, b.name, nil, items
	m.Partition, m.Position = "", strconv.FormatInt(last+1, 10)
	return nil
}

// Keep says what is not to be dropped while there is room.
func (b *inbox) Keep(positions []map[string]string) { b.wanted = intake.Wanted(positions) }

// Acknowledge drops what a checkpoint covers, once its keys are safe.
func (b *inbox) Acknowledge(_ context.Context, positions map[string]string) error {
	text, ok := positions[""]
	if !ok || b.log == nil {
		return nil
	}
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%s: the position %q is none of an inbox", b.name, text)
	}
	if b.dir != "" {
		if err := b.window.save(b.files, b.dir); err != nil {
			return fmt.Errorf("%s: what it has seen: %w", b.name, err)
		}
	}
	return b.log.Drop(at, b.wanted)
}

// Partitions returns the one there is.
func (b *inbox) Partitions() []string { return []string{""} }

// CaughtUp reports whether all messages have been handed out.
func (b *inbox) CaughtUp(context.Context, string) bool {
	return b.counted.Load() && b.waiting.Load() <= 0
}

// Progress returns how many messages were handed out.
func (b *inbox) Progress() (done, total int64) { return b.taken.Load(), -1 }

// Metrics returns the figures of the inbox and of what fills it.
func (b *inbox) Metrics() []catalog.Metric {
	return append(b.figures(), catalog.Metric{Name: "waiting_messages", Help: "Messages that were received and are not read yet.", Value: float64(max(0, b.waiting.Load()))})
}

// end stops what fills the inbox. In memory nobody takes what is left, and those who wait for that are told.
func (b *inbox) end() {
	b.halt.Do(func() {
		b.ended = make(chan struct{})
		go func() {
			defer close(b.ended)
			if b.dir == "" && b.log != nil {
				_ = b.log.Close()
			}
			b.stop()
		}()
	})
}

// Close stops what fills the inbox, waits until it has, and closes the log.
func (b *inbox) Close() error {
	b.closing.Do(func() {
		b.end()
		<-b.ended
		b.cancel()
		if b.log != nil && b.dir != "" {
			b.closed = b.log.Close()
		}
	})
	return b.closed
}
