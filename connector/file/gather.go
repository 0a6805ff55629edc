package file

import (
	"errors"
	"maps"
	"slices"

	"github.com/leat-project/leat/column"
)

// Gather keeps the records of one encoder by window until they make a large piece.
type Gather struct {
	out     Output
	bytes   int // of a large piece
	seal    Seal
	sealed  []byte
	single  run           // of rows without windows
	windows map[int64]run // of the others
	held    int
	at      int64 // the window that Begin was last called for
}

// run is some records of one window.
type run struct {
	buf     []byte
	records int64
}

// Seal appends a block of records to dst, as container formats have it: compressed, and with their number.
type Seal func(dst, records []byte, n int64) ([]byte, error)

// NewGather returns the Gather of one worker. Windows are told apart only where the output does.
func NewGather(out Output) *Gather { return NewBlocks(out, FlushBytes, nil) }

// NewBlocks returns a Gather that seals records before it hands them on, of some so many bytes at once.
func NewBlocks(out Output, bytes int, seal Seal) *Gather {
	g := &Gather{out: out, bytes: bytes, seal: seal, at: GlobalWindow}
	if _, ok := out.(*Roll); ok {
		g.windows = map[int64]run{}
	}
	return g
}

// Begin returns what row i of b is to be appended to. Where that fails, End is not called, and the row is left out.
func (g *Gather) Begin(b *column.Batch, i int) []byte {
	if g.windows == nil || b.Starts == nil || b.Starts[i] <= GlobalWindow {
		g.at = GlobalWindow
		return g.single.buf
	}
	g.at = b.Starts[i]
	return g.windows[g.at].buf
}

// End takes back what Begin returned, with the record, and hands all on where it is much.
func (g *Gather) End(buf []byte) error {
	if g.at == GlobalWindow {
		g.single = run{buf, g.single.records + 1}
		if g.held+len(buf) >= g.bytes {
			return g.Flush()
		}
		return nil
	}
	before := g.windows[g.at]
	g.held += len(buf) - len(before.buf)
	g.windows[g.at] = run{buf, before.records + 1}
	if g.held >= g.bytes || len(g.windows) > maxOpenFiles {
		return g.Flush()
	}
	return nil
}

// Flush hands all records on.
func (g *Gather) Flush() error {
	err := g.put(GlobalWindow, g.single)
	g.single = run{buf: g.single.buf[:0]}
	if len(g.windows) == 0 {
		return err
	}
	errs := []error{err}
	for _, window := range slices.Sorted(maps.Keys(g.windows)) {
		errs = append(errs, g.put(window, g.windows[window]))
	}
	clear(g.windows)
	g.held = 0
	return errors.Join(errs...)
}

func (g *Gather) put(window int64, r run) error {
	if r.records == 0 {
		return nil
	}
	if g.seal == nil {
		return g.out.Put(window, r.buf)
	}
	var err error
	if g.sealed, err = g.seal(g.sealed[:0], r.buf, r.records); err != nil {
		return err
	}
	return g.out.Put(window, g.sealed)
}
