package kernel

import (
	"fmt"
	"sync"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// Aggregation is a grouping by keys and window with its aggregates. It is immutable and shared by all workers. Each worker
// adds rows to its own Table; at the end Emit merges the tables, key group by key group.
//
// Groups come out the same, bit for bit and in the same order, whatever the batches, the number of tables and the memory.
type Aggregation struct {
	in, out *plan.Port
	aggs    []plan.Agg
	keys    []int // columns of the input
	schema  column.Schema
	boxed   bool          // keys carry how they look
	state   column.Schema // of partial groups
	widths  []int         // of each aggregate: how many columns its state has
	scratch sync.Pool     // tables that Emit merges into
}

// NewAggregation prepares an aggregation of rows of port in into rows of port out.
func NewAggregation(a *plan.Aggregate, in, out *plan.Port) *Aggregation {
	g := &Aggregation{in: in, out: out, aggs: a.Aggs, schema: out.Schema}
	for _, name := range a.Keys {
		i := in.Schema.Index(name)
		g.keys = append(g.keys, i)
		g.boxed = g.boxed || looks(in.Schema[i].Type)
	}
	g.state = column.Schema{{Name: "hash", Type: column.IntType}, {Name: "start", Type: column.IntType}, {Name: "end", Type: column.IntType},
		{Name: "key", Type: column.BytesType}, {Name: "look", Type: column.BytesType}}
	for _, s := range newAggregators(g.aggs) {
		g.state = append(g.state, s.stateSchema()...)
		g.widths = append(g.widths, len(s.stateSchema()))
	}
	return g
}

func newAggregators(aggs []plan.Agg) []aggregator {
	out := make([]aggregator, len(aggs))
	for i, a := range aggs {
		out[i] = newAggregator(a.Fn, a.Arg.Type)
	}
	return out
}

// RowFailure is a row that cannot be aggregated.
type RowFailure struct {
	Row int32  // physical row of the batch
	Err error  // *expr.Exception
	Agg string // the aggregate's name
}

// Table holds the partial groups of one worker. It is for one goroutine, but for Emit, which only reads.
type Table struct {
	agg    *Aggregation
	args   []*Program
	states []aggregator
	groups groups
	window windows

	keys  keys
	cols  []*column.Vector
	found []uint32
	rows  []int32

	freezing sync.Once
	byKey    [KeyGroups][]uint32 // of a frozen table: the groups of each key group
}

// NewTable returns an empty table.
func (a *Aggregation) NewTable() *Table {
	t := a.newTable()
	t.groups.merging = a.in.Window.Kind == plan.Sessions
	for _, g := range a.aggs {
		t.args = append(t.args, Compile(g.Arg, a.in.Schema))
	}
	return t
}

// newTable returns a table that takes partial groups alone.
func (a *Aggregation) newTable() *Table {
	t := &Table{agg: a, states: newAggregators(a.aggs), cols: make([]*column.Vector, len(a.keys))}
	t.keys.boxed = a.boxed
	t.groups.boxed = a.boxed
	t.window = newWindows(a.in.Window)
	return t
}

// Add puts the rows of b that count into their groups. It returns nil, or the first row that fails; then the table is spoilt. The table
// keeps nothing of b.
func (t *Table) Add(b *column.Batch) *RowFailure {
	if b.Len() == 0 {
		return nil
	}
	rows, starts, ends := t.window.of(b, t.selected(b), t.agg.in.Explicit)
	for i, c := range t.agg.keys {
		t.cols[i] = b.Cols[c]
	}
	t.keys.encode(t.cols, rows)
	if ends != nil && !t.groups.ending {
		t.groups.keepEnds(t.window.width)
	} else if ends == nil && t.groups.ending {
		ends = t.window.endsOf(starts)
	}
	t.found = resize(t.found, len(rows))
	t.groups.find(&t.keys, starts, ends, t.found)

	var first *RowFailure
	fail := func(row int32, i int, err error) {
		if first == nil || row < first.Row {
			first = &RowFailure{Row: row, Err: err, Agg: t.agg.aggs[i].Name}
		}
	}
	at := &place{batch: b}
	for i, s := range t.states {
		s.grow(t.groups.n)
		v, failures := t.args[i].Run(b, t.agg.in)
		if len(failures) > 0 {
			fail(failures[0].Row, i, failures[0].Err)
			continue
		}
		if bad, err := s.add(t.found, rows, v, at); err != nil {
			fail(rows[bad], i, err)
		}
	}
	return first
}

// selected returns the rows of b that count.
func (t *Table) selected(b *column.Batch) []int32 {
	if b.Sel != nil {
		return b.Sel
	}
	for i := len(t.rows); i < b.N; i++ {
		t.rows = append(t.rows, int32(i))
	}
	return t.rows[:b.N]
}

// Bytes returns the memory that the groups take. It costs little.
func (t *Table) Bytes() int64 {
	n := t.groups.bytes()
	for _, s := range t.states {
		n += s.bytes()
	}
	return n
}

// reset drops all groups.
func (t *Table) reset() {
	t.groups.reset()
	for _, s := range t.states {
		s.reset()
	}
	t.freezing = sync.Once{}
	t.byKey = [KeyGroups][]uint32{}
}

// freeze sorts the groups by key group. After that the table is only read, until it is reset.
func (t *Table) freeze() {
	t.freezing.Do(func() {
		g := &t.groups
		var counts [KeyGroups]int
		for n := range uint32(g.n) {
			counts[keyGroupOf(g.keys.at(n).hash)]++
		}
		all := make([]uint32, 0, g.n)
		for k, c := range counts {
			t.byKey[k] = all[len(all) : len(all) : len(all)+c]
			all = all[:len(all)+c]
		}
		for n := range uint32(g.n) {
			k := keyGroupOf(g.keys.at(n).hash)
			t.byKey[k] = append(t.byKey[k], n)
		}
		for _, s := range t.states {
			s.freeze()
		}
	})
}

// Partial groups are exported and merged in batches of about so many groups and bytes.
const (
	exportRows  = 1024
	exportBytes = 1 << 20
)

// take returns how many of those groups make a batch of at most rows groups and about exportBytes.
func (t *Table) take(ids []uint32, rows int) int {
	bytes := 0
	for i, id := range ids[:min(len(ids), rows)] {
		for _, s := range t.states {
			bytes += s.weight(id)
		}
		if bytes > exportBytes {
			return max(i, 1)
		}
	}
	return min(len(ids), rows)
}

// partials are partial groups as columns of the aggregation's state schema. They are scratch memory.
type partials struct{ batch column.Batch }

// The first columns of the state schema.
const (
	colHash = iota
	colStart
	colEnd
	colKey
	colLook
	colStates
)

func (a *Aggregation) newPartials() *partials {
	p := &partials{}
	for _, f := range a.state {
		p.batch.Cols = append(p.batch.Cols, &column.Vector{Type: f.Type})
	}
	return p
}

// export puts groups of a frozen table into p.
func (t *Table) export(ids []uint32, p *partials) *column.Batch {
	b, n := &p.batch, len(ids)
	b.N = n
	hash, start, end := intsOf(b.Cols[colHash], n), intsOf(b.Cols[colStart], n), intsOf(b.Cols[colEnd], n)
	key, looks := b.Cols[colKey], b.Cols[colLook]
	keyEnds, lookEnds := binOf(key, n), binOf(looks, n)
	var buf [16]byte
	for i, id := range ids {
		r := t.groups.keys.at(id)
		hash[i], start[i], end[i] = int64(r.hash), r.start, t.endOf(id)
		key.Data = append(key.Data, t.groups.key(id, &buf)...)
		keyEnds[i] = int32(len(key.Data))
		looks.Data = append(looks.Data, t.groups.look(id)...)
		lookEnds[i] = int32(len(looks.Data))
	}
	cols := b.Cols[colStates:]
	for i, s := range t.states {
		s.export(ids, cols[:t.agg.widths[i]])
		cols = cols[t.agg.widths[i]:]
	}
	return b
}

// endOf returns the end of group n's window.
func (t *Table) endOf(n uint32) int64 {
	if t.groups.ending {
		return *t.groups.ends.at(n)
	}
	return t.groups.keys.at(n).start + t.window.width
}

// merge adds partial groups, in those windows.
func (t *Table) merge(b *column.Batch, starts, ends []int64) error {
	k := &t.keys
	k.load(b.Cols[colKey], b.Cols[colLook], b.Cols[colHash].Ints)
	t.found = resize(t.found, b.N)
	t.groups.keepEnds(t.window.width)
	t.groups.find(k, starts, ends, t.found)
	cols := b.Cols[colStates:]
	for i, s := range t.states {
		s.grow(t.groups.n)
		if err := s.merge(t.found, cols[:t.agg.widths[i]]); err != nil {
			return fmt.Errorf("aggregate %q: %w", t.agg.aggs[i].Name, err)
		}
		cols = cols[t.agg.widths[i]:]
	}
	return nil
}
