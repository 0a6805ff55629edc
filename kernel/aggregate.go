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
	in, out  *plan.Port
	aggs     []plan.Agg
	keys     []int // columns of the input
	schema   column.Schema
	boxed    bool          // keys carry how they look
	width    int           // of a group's row, in words
	state    column.Schema // of partial groups, see partials
	extras   []int         // of each aggregate: how many columns its state has beside words
	stream   bool          // windows fire one after another
	explicit bool          // each row has its window: its own, or it is taken once for each that it is in
	panes    bool          // windows may fire more than once: a group's last word says how many of its rows have been in a pane
	scratch  sync.Pool     // tables that Emit merges into
}

// NewAggregation prepares an aggregation of rows of port in into rows of port out.
func NewAggregation(a *plan.Aggregate, in, out *plan.Port) *Aggregation {
	return newAggregation(a, in, out, false)
}

func newAggregation(a *plan.Aggregate, in, out *plan.Port, panes bool) *Aggregation {
	g := &Aggregation{in: in, out: out, aggs: a.Aggs, schema: out.Schema, panes: panes, explicit: in.Explicit || panes}
	for _, name := range a.Keys {
		i := in.Schema.Index(name)
		g.keys = append(g.keys, i)
		g.boxed = g.boxed || looks(in.Schema[i].Type)
	}
	states := newAggregators(g.aggs)
	g.width = firstState(g.boxed)
	for _, s := range states {
		g.width += s.words()
	}
	if panes {
		g.width++
	}
	for i := range g.width {
		g.state = append(g.state, column.Field{Name: fmt.Sprint("word", i), Type: column.IntType})
	}
	g.state = append(g.state, column.Field{Name: "key", Type: column.BytesType}, column.Field{Name: "look", Type: column.BytesType})
	for _, s := range states {
		g.state = append(g.state, s.extraSchema()...)
		g.extras = append(g.extras, len(s.extraSchema()))
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
	frozen   bool
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
	t := &Table{agg: a, states: newAggregators(a.aggs), cols: make([]*column.Vector, len(a.keys)), window: newWindows(a.in.Window)}
	t.keys.boxed = a.boxed
	t.groups.boxed = a.boxed
	t.groups.width = a.width
	if a.stream && !a.Rewrites() {
		t.groups.ends.all = map[int64]struct{}{}
	}
	at := firstState(a.boxed)
	for _, s := range t.states {
		s.bind(&t.groups.words, at)
		at += s.words()
	}
	return t
}

// Add puts the rows of b that count into their groups. It returns nil, or the first row that fails; then the table is spoilt. The table
// keeps nothing of b.
func (t *Table) Add(b *column.Batch) *RowFailure {
	if b.Len() == 0 {
		return nil
	}
	if t.frozen {
		t.thaw()
	}
	rows, starts, ends := t.window.of(b, t.selected(b), t.agg.explicit)
	for i, c := range t.agg.keys {
		t.cols[i] = b.Cols[c]
	}
	t.keys.encode(t.cols, rows)
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
	t.thaw()
}

func (t *Table) thaw() {
	t.freezing, t.frozen, t.byKey = sync.Once{}, false, [KeyGroups][]uint32{}
}

// freeze sorts the groups by key group. After that the table is only read, until it is reset or rows are added.
func (t *Table) freeze() {
	t.freezing.Do(func() {
		t.frozen = true
		g := &t.groups
		var counts [KeyGroups]int
		for n := range uint32(g.n) {
			counts[keyGroupOf(g.row(n)[wordHash])]++
		}
		all := make([]uint32, 0, g.n)
		for k, c := range counts {
			t.byKey[k] = all[len(all) : len(all) : len(all)+c]
			all = all[:len(all)+c]
		}
		for n := range uint32(g.n) {
			k := keyGroupOf(g.row(n)[wordHash])
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

// export puts groups of a frozen table into p.
func (t *Table) export(ids []uint32, p *partials) *partials {
	p.reset(len(ids))
	keyEnds, lookEnds := binOf(p.key, p.n), binOf(p.look, p.n)
	for i, id := range ids {
		r := p.row(i)
		copy(r, t.groups.row(id))
		if isLong(r[wordKey1]) {
			p.key.Data = append(p.key.Data, t.groups.longKey(r)...)
		}
		keyEnds[i] = int32(len(p.key.Data))
		p.look.Data = append(p.look.Data, t.groups.look(r)...)
		lookEnds[i] = int32(len(p.look.Data))
	}
	extra := p.extra
	for i, s := range t.states {
		s.export(ids, extra[:t.agg.extras[i]])
		extra = extra[t.agg.extras[i]:]
	}
	return p
}

// merge adds partial groups. starts and ends are the windows that they go to; nil: their own.
func (t *Table) merge(p *partials, starts, ends []int64) error {
	if starts == nil {
		starts, ends = p.windows()
	}
	t.keys.load(p)
	t.found = resize(t.found, p.n)
	t.groups.find(&t.keys, starts, ends, t.found)
	for i, g := range t.found {
		t.groups.row(g)[wordRows] += p.row(i)[wordRows] - 1 // find has counted one
		if t.agg.panes {
			t.groups.row(g)[t.agg.width-1] += p.row(i)[t.agg.width-1]
		}
	}
	extra := p.extra
	for i, s := range t.states {
		s.grow(t.groups.n)
		if err := s.merge(t.found, p, extra[:t.agg.extras[i]]); err != nil {
			return fmt.Errorf("aggregate %q: %w", t.agg.aggs[i].Name, err)
		}
		extra = extra[t.agg.extras[i]:]
	}
	return nil
}

func (t *Table) startOf(n uint32) int64 { return int64(t.groups.row(n)[wordStart]) }
func (t *Table) endOf(n uint32) int64   { return int64(t.groups.row(n)[wordEnd]) }
