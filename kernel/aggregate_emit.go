package kernel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// Emit merges the partial groups of one key group (0 to KeyGroups-1) of all tables and of the spill (nil: none), and passes the groups on
// in batches of at most batchRows: the keys, then the aggregates, with windows, and the end of the window less 1 ms as the time.
//
// The groups are sorted by hash, key and window. If those of the key group take more than memLimit they are merged part by part, by
// further bits of the hash; a single key is never divided. No table may change meanwhile; other key groups may be emitted at the
// same time. An error is out's, the disk's, or that of an aggregate that has no result.
func (a *Aggregation) Emit(ctx context.Context, group int, tables []*Table, s *Spill, batchRows int, memLimit int64,
	out func(*column.Batch) error) error {
	e := &emitter{agg: a, group: group, batchRows: max(batchRows, 1), limit: memLimit, out: out}
	if s == nil {
		return e.run(ctx, tables, nil)
	}
	return e.run(ctx, tables, []*Spill{s})
}

// run emits what the tables and spills hold of the key group.
func (e *emitter) run(ctx context.Context, tables []*Table, spills []*Spill) error {
	for _, t := range tables {
		t.freeze()
		if len(t.byKey[e.group]) > 0 {
			e.tables = append(e.tables, t)
		}
	}
	for _, s := range spills {
		if s.has(e.group) {
			e.spills = append(e.spills, s)
		}
	}
	if len(e.tables) == 0 && len(e.spills) == 0 {
		return nil
	}
	e.partials, e.loaded = e.agg.newPartials(), partials{width: e.agg.width}
	return e.emit(ctx, hashPart{bits: 8, prefix: uint64(e.group)})
}

// emitter emits one key group.
type emitter struct {
	agg       *Aggregation
	group     int
	tables    []*Table // that hold groups of it
	spills    []*Spill // so do these
	fire      *firing  // nil: all groups come out
	reader    spillReader
	partials  *partials
	loaded    partials
	batchRows int
	limit     int64
	out       func(*column.Batch) error
}

// hashPart is the hashes that begin with those bits.
type hashPart struct {
	bits   uint
	prefix uint64
}

func (p hashPart) has(hash uint64) bool { return hash>>(64-p.bits) == p.prefix }

// splitBits is by how many bits a part is divided that takes too much memory.
const splitBits = 3

// errTooLarge says that a part takes more than the limit.
var errTooLarge = errors.New("part is too large")

func (e *emitter) emit(ctx context.Context, p hashPart) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := e.emitPart(ctx, p)
	if err != errTooLarge {
		return err
	}
	for i := range uint64(1) << splitBits {
		if err := e.emit(ctx, hashPart{p.bits + splitBits, p.prefix<<splitBits | i}); err != nil {
			return err
		}
	}
	return nil
}

// emitPart merges and emits one part, or returns errTooLarge before anything is emitted.
func (e *emitter) emitPart(ctx context.Context, p hashPart) error {
	var t *Table
	var ids []uint32
	if len(e.tables) == 1 && len(e.spills) == 0 && !(e.fire != nil && e.agg.panes) { // panes mark groups, and the table may be read by others
		t = e.tables[0]
		ids = e.fire.alive(t, t.within(e.group, p))
	} else {
		t = e.agg.borrow()
		defer e.agg.giveBack(t)
		if err := e.mergeAll(t, p); err != nil {
			return err
		}
		t.freeze()
		ids = t.byKey[e.group]
	}
	if e.fire != nil && e.fire.into != nil {
		return e.move(t, ids, e.fire.into)
	}
	if kind := e.agg.in.Window.Kind; kind == plan.Sliding && !e.agg.explicit || kind == plan.Sessions {
		w := e.agg.borrow()
		defer e.agg.giveBack(w)
		if err := (&windowMerge{emitter: e, part: p, from: t, to: w}).run(t.sorted(ids)); err != nil {
			return err
		}
		w.freeze()
		t, ids = w, w.byKey[e.group]
	}
	ids = t.sorted(ids)
	if e.fire != nil && e.fire.rest != nil {
		return e.settle(ctx, t, ids)
	}
	return e.finish(ctx, t, ids)
}

// borrow returns an empty table to merge into: windows are kept as they are, none is derived.
func (a *Aggregation) borrow() *Table {
	if t, ok := a.scratch.Get().(*Table); ok {
		return t
	}
	return a.newTable()
}

func (a *Aggregation) giveBack(t *Table) {
	t.reset()
	a.scratch.Put(t)
}

// within returns the groups of a key group that belong to the part.
func (t *Table) within(group int, p hashPart) (ids []uint32) {
	if p.bits == 8 {
		return t.byKey[group]
	}
	for _, n := range t.byKey[group] {
		if p.has(t.groups.row(n)[wordHash]) {
			ids = append(ids, n)
		}
	}
	return ids
}

// mergeAll merges the part of the spill and of all tables into t, what was spilled first: so rows that share a place keep the order in
// which they came.
func (e *emitter) mergeAll(t *Table, p hashPart) error {
	add := func(groups *partials) error {
		if err := t.merge(groups, nil, nil); err != nil {
			return err
		}
		return e.checkSize(t, p)
	}
	for _, s := range e.spills {
		err := e.reader.each(s, e.group, e.agg.state, func(b *column.Batch) error {
			if b = e.fire.aliveOf(p.of(b)); b.N == 0 {
				return nil
			}
			e.loaded.load(b)
			return add(&e.loaded)
		})
		if err != nil {
			return err
		}
	}
	for _, from := range e.tables {
		ids := e.fire.alive(from, from.within(e.group, p))
		for len(ids) > 0 {
			n := from.take(ids, exportRows)
			if err := add(from.export(ids[:n], e.partials)); err != nil {
				return err
			}
			ids = ids[n:]
		}
	}
	return nil
}

// checkSize refuses a table that takes more than the limit where a division would help.
func (e *emitter) checkSize(t *Table, p hashPart) error {
	if t.Bytes() <= e.limit || p.bits+splitBits > 64 {
		return nil
	}
	first := t.groups.row(0)[wordHash]
	for n := 1; n < t.groups.n; n++ {
		if t.groups.row(uint32(n))[wordHash] != first {
			return errTooLarge
		}
	}
	return nil
}

// of returns the rows of b that belong to the part.
func (p hashPart) of(b *column.Batch) *column.Batch {
	if p.bits == 8 {
		return b
	}
	var rows []int32
	for i, h := range b.Cols[wordHash].Ints {
		if p.has(uint64(h)) {
			rows = append(rows, int32(i))
		}
	}
	out := *b
	out.Sel = rows
	if rows == nil {
		out.Sel = []int32{}
	}
	return column.Compact(&out)
}

// sorted returns groups of one key group sorted by hash, key and window. Hashes are spread evenly, so that a table of as many buckets as
// there are groups all but sorts them.
func (t *Table) sorted(ids []uint32) []uint32 {
	type entry struct {
		hash uint64
		id   uint32
	}
	size := bits.Len(uint(len(ids)))
	bucket := func(hash uint64) int { return int(hash << 8 >> (64 - size)) } // the first 8 bits are the same
	ends := make([]uint32, 1<<size)
	for _, n := range ids {
		ends[bucket(t.groups.row(n)[wordHash])]++
	}
	sum := uint32(0)
	for i, n := range ends {
		ends[i] = sum
		sum += n
	}
	entries := make([]entry, len(ids))
	for _, n := range ids {
		hash := t.groups.row(n)[wordHash]
		b := bucket(hash)
		entries[ends[b]] = entry{hash, n}
		ends[b]++
	}
	byHash := func(a, b entry) int {
		if c := cmp.Compare(a.hash, b.hash); c != 0 {
			return c
		}
		return t.compare(a.id, b.id)
	}
	from := uint32(0)
	for _, to := range ends {
		if to-from > 1 {
			slices.SortFunc(entries[from:to], byHash)
		}
		from = to
	}
	out := make([]uint32, len(ids))
	for i, e := range entries {
		out[i] = e.id
	}
	return out
}

// compare orders groups of one hash by key and window.
func (t *Table) compare(a, b uint32) int {
	var bufA, bufB [16]byte
	if c := bytes.Compare(t.groups.key(a, &bufA), t.groups.key(b, &bufB)); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(t.startOf(a), t.startOf(b)), cmp.Compare(t.endOf(a), t.endOf(b)))
}

// finish passes the groups on as rows.
func (e *emitter) finish(ctx context.Context, t *Table, ids []uint32) error {
	for len(ids) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := t.take(ids, e.batchRows)
		b, err := t.results(ids[:n])
		if err != nil {
			return err
		}
		if err := e.out(b); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// results makes the rows of groups.
func (t *Table) results(ids []uint32) (*column.Batch, error) {
	b := &column.Batch{N: len(ids), Times: make([]int64, len(ids)), Starts: make([]int64, len(ids)), Ends: make([]int64, len(ids))}
	for i, n := range ids {
		start, end := t.startOf(n), t.endOf(n)
		b.Times[i], b.Starts[i], b.Ends[i] = end-1, start, end
	}
	keys, err := t.keyColumns(ids)
	if err != nil {
		return nil, err
	}
	b.Cols = keys
	for i, s := range t.states {
		v, bad, err := s.finish(ids)
		if err != nil {
			return nil, fmt.Errorf("aggregate %q%s: %w", t.agg.aggs[i].Name, t.describe(ids[bad]), err)
		}
		if v, err = column.Convert(v, t.agg.schema[len(keys)+i].Type); err != nil {
			return nil, fmt.Errorf("aggregate %q: %w", t.agg.aggs[i].Name, err)
		}
		b.Cols = append(b.Cols, v)
	}
	return b, nil
}

// keyColumns decodes the keys of groups.
func (t *Table) keyColumns(ids []uint32) ([]*column.Vector, error) {
	builders := make([]*column.Builder, len(t.agg.keys))
	for i := range builders {
		builders[i] = column.NewBuilder(t.agg.schema[i].Type)
	}
	var buf [16]byte
	for _, n := range ids {
		if t.agg.boxed {
			rest := t.groups.look(t.groups.row(n))
			for _, b := range builders {
				v, after, err := column.ReadValue(rest)
				if err == nil {
					err = b.Append(v)
				}
				if err != nil {
					return nil, fmt.Errorf("read a key: %w", err)
				}
				rest = after
			}
			continue
		}
		rest := t.groups.key(n, &buf)
		for i, b := range builders {
			rest = readKey(b, t.agg.schema[i].Type, rest, i == len(builders)-1)
		}
	}
	cols := make([]*column.Vector, len(builders))
	for i, b := range builders {
		cols[i] = b.Finish()
	}
	return cols, nil
}

// describe names a group by its key, for errors.
func (t *Table) describe(n uint32) string {
	cols, err := t.keyColumns([]uint32{n})
	if err != nil || len(cols) == 0 {
		return ""
	}
	row := &column.RowValue{Names: t.agg.schema[:len(cols)].Names()}
	for _, c := range cols {
		row.Elems = append(row.Elems, c.Value(0))
	}
	return " of " + expr.Repr(row)
}
