package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/kernel"
)

// keyed is the state by key of a node that takes the rows of each key in order. Rows are held until the watermark has passed them, then they are taken by
// key, by event time, and by their place in the source. All of it lies in memory.
type keyed struct {
	cols    []int // of the key
	stepper stepper

	mu     sync.Mutex
	held   []*held
	first  atomic.Int64 // the least time of a row that is held
	states [kernel.KeyGroups]map[string]*keyState
	forgot int64 // the watermark when old keys were last looked for
}

// keyState is what is remembered of a key. It is nil before its first row.
type keyState struct {
	value any
	last  int64 // the event time of its last row
}

// stepper is what a node does with rows in order.
type stepper interface {
	// run takes rows of several keys, those of one key one after another, and emits what becomes of them.
	run(ctx context.Context, w *worker, n *node, b *column.Batch, of []keyRun) error
	append(dst []byte, value any) []byte
	load(src []byte) (any, error)
	// forget is after how many milliseconds without a row a key is dropped; 0: never.
	forget() int64
}

// keyRun is the rows [from, to) of a batch, all of one key.
type keyRun struct {
	state    *keyState
	before   int64 // the time of the key's last row before these; noMark: there was none
	from, to int
}

// held are rows of one batch that wait for the watermark.
type held struct {
	b      *column.Batch
	keys   [][]byte
	groups []uint8
}

func newKeyed(cols []int, s stepper) *keyed {
	k := &keyed{cols: cols, stepper: s}
	k.first.Store(endMark)
	for g := range k.states {
		k.states[g] = map[string]*keyState{}
	}
	return k
}

// due reports whether rows are held that the watermark has passed.
func (k *keyed) due(mark int64) bool { return k.first.Load() < mark }

// hold keeps the rows of a batch that count.
func (k *keyed) hold(b *column.Batch) {
	rows := make([]int32, 0, b.Len())
	b.Each(func(i int) { rows = append(rows, int32(i)) })
	own := take(b, rows)
	if own.Times == nil {
		own.Times = make([]int64, own.N)
		for i := range own.Times {
			own.Times[i] = int64(column.MinInstant)
		}
	}
	h := &held{b: own, keys: make([][]byte, own.N), groups: make([]uint8, own.N)}
	cols := make([]*column.Vector, len(k.cols))
	for i, c := range k.cols {
		cols[i] = own.Cols[c]
	}
	least := endMark
	for i := range own.N {
		h.keys[i] = kernel.AppendKey(nil, cols, i)
		h.groups[i] = uint8(kernel.KeyGroup(h.keys[i]))
		least = min(least, own.Times[i])
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = append(k.held, h)
	k.first.Store(min(k.first.Load(), least))
}

// heldRow is a row that is held.
type heldRow struct {
	of  *held
	row int
}

func (r heldRow) compare(o heldRow) int {
	a, b := r.of.b, o.of.b
	return cmp.Or(bytes.Compare(r.of.keys[r.row], o.of.keys[o.row]), cmp.Compare(a.Times[r.row], b.Times[o.row]),
		cmp.Compare(a.Origin.Source, b.Origin.Source), cmp.Compare(a.Origin.Seq, b.Origin.Seq), cmp.Compare(a.RowNumber(r.row), b.RowNumber(o.row)))
}

// fireKeyed takes the rows that the watermark has passed through the node. The workers stand still.
func (s *stream) fireKeyed(ctx context.Context, n *node, mark int64) error {
	k := n.keyed
	if k.due(mark) {
		s.changed.Store(true)
		err := s.each(ctx, n, func(ctx context.Context, w *worker) error {
			rows := k.ready(mark, func(g uint8) bool { return int(g)%len(s.workers) == w.id })
			slices.SortFunc(rows, heldRow.compare)
			for len(rows) > 0 {
				count := min(len(rows), s.run.opts.BatchRows)
				if err := k.runRows(ctx, n, w, rows[:count]); err != nil {
					return err
				}
				rows = rows[count:]
			}
			return nil
		})
		if err != nil {
			return err
		}
		k.drop(mark)
	}
	if after := k.stepper.forget(); after > 0 && mark-k.forgot > after/8 { // it looks at all keys
		k.forgetOld(mark, after)
		k.forgot = mark
	}
	return nil
}

// ready returns the rows before mark of some key groups.
func (k *keyed) ready(mark int64, mine func(group uint8) bool) (rows []heldRow) {
	for _, h := range k.held {
		for i := range h.b.N {
			if (h.b.Times[i] < mark || mark == endMark) && mine(h.groups[i]) {
				rows = append(rows, heldRow{h, i})
			}
		}
	}
	return rows
}

// runRows takes sorted rows through the stepper.
func (k *keyed) runRows(ctx context.Context, n *node, w *worker, rows []heldRow) error {
	schema := w.run.plan.Port(n.In[0]).Schema
	b := gatherHeld(schema, rows)
	b.Origin = &column.Origin{Source: n.ID}
	var runs []keyRun
	for i, r := range rows {
		key := r.of.keys[r.row]
		if i > 0 && bytes.Equal(key, rows[i-1].of.keys[rows[i-1].row]) {
			runs[len(runs)-1].to++
		} else {
			states := k.states[r.of.groups[r.row]] // a key group is one worker's
			of := states[string(key)]
			if of == nil {
				of = &keyState{last: noMark}
				states[string(key)] = of
			}
			runs = append(runs, keyRun{state: of, before: of.last, from: i, to: i + 1})
		}
		runs[len(runs)-1].state.last = b.Times[i]
	}
	return k.stepper.run(ctx, w, n, b, runs)
}

// gatherHeld makes a batch of rows of several.
func gatherHeld(schema column.Schema, rows []heldRow) *column.Batch {
	b := &column.Batch{N: len(rows), Times: make([]int64, len(rows)), Rows: make([]int32, len(rows))}
	for c, f := range schema {
		builder := column.NewBuilder(f.Type)
		for _, r := range rows {
			builder.AppendFrom(r.of.b.Cols[c], r.row)
		}
		b.Cols = append(b.Cols, builder.Finish())
	}
	for i, r := range rows {
		b.Times[i], b.Rows[i] = r.of.b.Times[r.row], int32(i)
		if r.of.b.Starts != nil {
			b.Starts, b.Ends = append(b.Starts, r.of.b.Starts[r.row]), append(b.Ends, r.of.b.Ends[r.row])
		}
	}
	return b
}

// drop lets go of the rows before mark.
func (k *keyed) drop(mark int64) {
	least := endMark
	var left []*held
	for _, h := range k.held {
		var rows []int32
		for i := range h.b.N {
			if h.b.Times[i] >= mark && mark != endMark {
				rows = append(rows, int32(i))
				least = min(least, h.b.Times[i])
			}
		}
		switch {
		case len(rows) == 0:
		case len(rows) == h.b.N:
			left = append(left, h)
		default:
			rest := &held{b: take(h.b, rows)}
			for _, i := range rows {
				rest.keys, rest.groups = append(rest.keys, h.keys[i]), append(rest.groups, h.groups[i])
			}
			left = append(left, rest)
		}
	}
	k.held = left
	k.first.Store(least)
}

// forgetOld drops the state of keys that have had no row for so long. A key that comes back begins anew in any case.
func (k *keyed) forgetOld(mark, after int64) {
	if mark == endMark || mark < noMark+after {
		return
	}
	for _, states := range k.states {
		for key, s := range states {
			if s.last < mark-after {
				delete(states, key)
			}
		}
	}
}

const keyedVersion = 1

// save returns all states and the rows that are held. The workers stand still.
func (k *keyed) save(schema column.Schema) []byte {
	out := []byte{keyedVersion}
	for _, states := range k.states {
		out = binary.AppendUvarint(out, uint64(len(states)))
		for key, s := range states {
			value := k.stepper.append(nil, s.value)
			out = appendBytes(out, []byte(key))
			out = binary.AppendVarint(out, s.last)
			out = appendBytes(out, value)
		}
	}
	out = binary.AppendUvarint(out, uint64(len(k.held)))
	for _, h := range k.held {
		out = appendBytes(out, column.AppendBatch(nil, h.b, schema))
	}
	return out
}

func appendBytes(dst, p []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(p))), p...)
}

var errKeyed = errors.New("the state by key is damaged")

// load takes what save returned.
func (k *keyed) load(data []byte, schema column.Schema) error {
	if len(data) == 0 || data[0] != keyedVersion {
		return fmt.Errorf("%w: it is of another version", errKeyed)
	}
	r := bytesReader{data[1:], nil}
	for g := range k.states {
		for range r.number() {
			key, last, value := r.bytes(), r.signed(), r.bytes()
			if r.err != nil {
				return r.err
			}
			v, err := k.stepper.load(value)
			if err != nil {
				return err
			}
			k.states[g][string(key)] = &keyState{value: v, last: last}
		}
	}
	for range r.number() {
		b, _, err := column.ReadBatch(r.bytes(), schema)
		if err := errors.Join(err, r.err); err != nil {
			return err
		}
		k.hold(b)
	}
	return r.err
}

// bytesReader reads numbers and byte strings. After an error it reads nothing.
type bytesReader struct {
	src []byte
	err error
}

func (r *bytesReader) number() uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 || r.err != nil {
		r.err = errKeyed
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *bytesReader) signed() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 || r.err != nil {
		r.err = errKeyed
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *bytesReader) bytes() []byte {
	n := r.number()
	if r.err != nil || n > uint64(len(r.src)) {
		r.err = errKeyed
		return nil
	}
	out := r.src[:n]
	r.src = r.src[n:]
	return out
}

// keyedStep holds rows for their turn.
type keyedStep struct{ base }

func (s *keyedStep) push(ctx context.Context, b *column.Batch, _ int) error {
	mark := s.n.inMark
	var late []int32
	b.Each(func(i int) {
		if int64(b.Time(i)) < mark {
			late = append(late, int32(i))
		}
	})
	if len(late) > 0 {
		gone, failures := *b, make([]kernel.Failure, len(late))
		gone.Sel = late
		for i, row := range late {
			failures[i].Row = row
		}
		if err := s.w.emitLate(ctx, s.n, &gone); err != nil {
			return err
		}
		b = without(b, failures)
	}
	if b.Len() > 0 {
		s.n.keyed.hold(b)
	}
	return nil
}
