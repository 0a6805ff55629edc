package kernel

import "github.com/leat-project/leat/column"

// partials are partial groups on their way from one table to another, or to disk: the rows of words, the keys that are long and how the
// keys look, and of each aggregate what its words do not hold. They are scratch memory.
type partials struct {
	n     int
	width int
	all   []uint64 // the rows, one after another
	key   *column.Vector
	look  *column.Vector
	extra []*column.Vector

	starts, ends []int64
	batch        column.Batch
}

func (a *Aggregation) newPartials() *partials {
	p := &partials{width: a.width}
	for _, f := range a.state {
		p.batch.Cols = append(p.batch.Cols, &column.Vector{Type: f.Type})
	}
	p.key, p.look, p.extra = p.batch.Cols[a.width], p.batch.Cols[a.width+1], p.batch.Cols[a.width+2:]
	return p
}

// reset makes room for n groups.
func (p *partials) reset(n int) {
	p.n = n
	p.all = resize(p.all, n*p.width)
}

// row returns the words of partial group i.
func (p *partials) row(i int) []uint64 {
	i *= p.width
	return p.all[i : i+p.width : i+p.width]
}

// windows returns the window of each group.
func (p *partials) windows() (starts, ends []int64) {
	p.starts, p.ends = resize(p.starts, p.n), resize(p.ends, p.n)
	for i := range p.n {
		r := p.row(i)
		p.starts[i], p.ends[i] = int64(r[wordStart]), int64(r[wordEnd])
	}
	return p.starts, p.ends
}

// columns returns the groups as a batch of the aggregation's state schema.
func (p *partials) columns() *column.Batch {
	p.batch.N = p.n
	for w := range p.width {
		out := intsOf(p.batch.Cols[w], p.n)
		for i := range out {
			out[i] = int64(p.all[i*p.width+w])
		}
	}
	return &p.batch
}

// load takes the groups of a batch of the state schema.
func (p *partials) load(b *column.Batch) {
	p.reset(b.N)
	for w := range p.width {
		for i, x := range b.Cols[w].Ints {
			p.all[i*p.width+w] = uint64(x)
		}
	}
	p.key, p.look, p.extra = b.Cols[p.width], b.Cols[p.width+1], b.Cols[p.width+2:]
}
