package kernel

import (
	"cmp"
	"math"
	"slices"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// lister is group and concat: the values of a group by event time, then by their place in the source. Values that share both (a row
// that was exploded) keep the order in which they came.
//
// It is a log of all values, cut into chunks. Only when it is read is it sorted by group.
type lister struct {
	inRow
	arg    column.Type
	concat bool
	groups int

	chunks []logChunk
	last   logChunk
	values *column.Builder // of last
	size   int64

	// of a frozen log: the entries by group, and where each group's begin
	order []entryRef
	first []uint32
}

// logChunk is a run of values of any groups.
type logChunk struct {
	groups []uint32
	stamps []stamp
	values *column.Vector
}

// stamp is where a value stands in the order of all rows.
type stamp struct {
	time, seq   int64
	source, row int32
}

func (a stamp) compare(b stamp) int {
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.source, b.source), cmp.Compare(a.seq, b.seq), cmp.Compare(a.row, b.row))
}

// entryRef is a chunk and a row in it.
type entryRef struct{ chunk, row int32 }

const (
	chunkRows  = 4096
	chunkBytes = 1 << 20
)

func newLister(arg column.Type, concat bool) *lister {
	return &lister{arg: arg, concat: concat, values: column.NewBuilder(arg)}
}

func (l *lister) words() int { return 0 }

func (l *lister) grow(n int) { l.groups = max(l.groups, n) }

func (l *lister) add(groups []uint32, rows []int32, v *column.Vector, at *place) (int, error) {
	for i, g := range groups {
		r := int(rows[i])
		if l.concat {
			if err := l.check(v, r); err != nil {
				return i, err
			}
		}
		l.append(g, stampOf(at.batch, r), v, r)
	}
	return 0, nil
}

// check refuses what Python cannot add to a list.
func (l *lister) check(v *column.Vector, i int) error {
	if v.Type.Kind == column.List && !v.IsNull(i) {
		return nil
	}
	x := v.Value(i)
	if list, ok := x.(*column.ListValue); ok && !list.Tuple {
		return nil
	}
	return typeError("can only concatenate list (not %q) to list", expr.TypeName(x))
}

func stampOf(b *column.Batch, r int) stamp {
	s := stamp{time: int64(b.Time(r)), row: b.RowNumber(r)}
	if b.Origin != nil {
		s.source, s.seq = int32(b.Origin.Source), b.Origin.Seq
	}
	return s
}

func (l *lister) append(g uint32, s stamp, v *column.Vector, i int) {
	l.last.groups = append(l.last.groups, g)
	l.last.stamps = append(l.last.stamps, s)
	l.values.AppendFrom(v, i)
	if n := len(l.last.groups); n >= chunkRows || n&63 == 0 && l.values.Bytes() >= chunkBytes {
		l.cut()
	}
}

// cut closes the last chunk.
func (l *lister) cut() {
	if len(l.last.groups) == 0 {
		return
	}
	l.size += l.lastBytes()
	l.last.values = l.values.Finish()
	l.chunks = append(l.chunks, l.last)
	l.last = logChunk{}
}

func (l *lister) lastBytes() int64 { return int64(len(l.last.groups))*(4+24+8) + l.values.Bytes() }

// bytes counts the order that freeze makes, too.
func (l *lister) bytes() int64 { return l.size + l.lastBytes() + int64(l.groups)*8 }

func (l *lister) reset() {
	l.groups, l.chunks, l.last, l.size, l.order, l.first = 0, nil, logChunk{}, 0, nil, nil
	l.values.Reset()
}

// freeze sorts the entries by group, keeping the order in which they came.
func (l *lister) freeze() {
	l.cut()
	l.first = make([]uint32, l.groups+1)
	total := 0
	for _, c := range l.chunks {
		for _, g := range c.groups {
			l.first[g+1]++
		}
		total += len(c.groups)
	}
	for g := range l.groups {
		l.first[g+1] += l.first[g]
	}
	l.order = make([]entryRef, total)
	next := slices.Clone(l.first)
	for i, c := range l.chunks {
		for r, g := range c.groups {
			l.order[next[g]] = entryRef{int32(i), int32(r)}
			next[g]++
		}
	}
}

// entries returns the entries of group g in their order.
func (l *lister) entries(g uint32) []entryRef {
	refs := l.order[l.first[g]:l.first[g+1]]
	byStamp := func(a, b entryRef) int {
		return l.chunks[a.chunk].stamps[a.row].compare(l.chunks[b.chunk].stamps[b.row])
	}
	if slices.IsSortedFunc(refs, byStamp) {
		return refs
	}
	refs = slices.Clone(refs) // others may read at the same time
	slices.SortStableFunc(refs, byStamp)
	return refs
}

func (l *lister) extraSchema() column.Schema {
	return column.Schema{{Name: "log", Type: column.ListOf(column.RowOf(column.Schema{
		{Name: "time", Type: column.IntType}, {Name: "source", Type: column.IntType}, {Name: "seq", Type: column.IntType},
		{Name: "row", Type: column.IntType}, {Name: "value", Type: l.arg}}))}}
}

func (l *lister) export(groups []uint32, cols []*column.Vector) {
	out := cols[0]
	out.N, out.Offsets = len(groups), append(out.Offsets[:0], 0)
	var ints [4][]int64
	values := column.NewBuilder(l.arg)
	for _, g := range groups {
		for _, ref := range l.entries(g) {
			c := &l.chunks[ref.chunk]
			s := c.stamps[ref.row]
			for i, x := range [4]int64{s.time, int64(s.source), s.seq, int64(s.row)} {
				ints[i] = append(ints[i], x)
			}
			values.AppendFrom(c.values, int(ref.row))
		}
		out.Offsets = append(out.Offsets, int32(values.Len()))
	}
	row := &column.Vector{Type: *out.Type.Elem, N: values.Len()}
	for _, x := range ints {
		row.Children = append(row.Children, &column.Vector{Type: column.IntType, N: len(x), Ints: x})
	}
	row.Children = append(row.Children, values.Finish())
	out.Children = []*column.Vector{row}
}

// weight takes all values for equally large.
func (l *lister) weight(group uint32) int {
	n := int64(l.first[group+1] - l.first[group])
	return int(n * (l.size/int64(max(1, len(l.order))) + 8))
}

func (l *lister) merge(groups []uint32, _ *partials, cols []*column.Vector) error {
	v := cols[0]
	fields := v.Children[0].Children
	for i, g := range groups {
		for k := v.Offsets[i]; k < v.Offsets[i+1]; k++ {
			s := stamp{time: fields[0].Ints[k], source: int32(fields[1].Ints[k]), seq: fields[2].Ints[k], row: int32(fields[3].Ints[k])}
			l.append(g, s, fields[4], int(k))
		}
	}
	return nil
}

// listBytes is the most that the lists of a batch may take: offsets are of 31 bits.
const listBytes = math.MaxInt32

var errListSize = &expr.Exception{Class: "OverflowError", Msg: "list takes more than 2 GiB"}

// finish returns the lists of values, or with concat the elements of all lists as one.
func (l *lister) finish(groups []uint32) (*column.Vector, int, error) {
	elem := l.arg
	if l.concat {
		elem = column.AnyType
		if l.arg.Kind == column.List {
			elem = *l.arg.Elem
		}
	}
	values := column.NewBuilder(elem)
	out := &column.Vector{Type: column.ListOf(elem), N: len(groups), Offsets: make([]int32, 1, len(groups)+1)}
	for i, g := range groups {
		for k, ref := range l.entries(g) {
			if k&0xfff == 0 && values.Bytes() > listBytes/2 && l.weight(g) > listBytes/2 {
				return nil, i, errListSize
			}
			v, r := l.chunks[ref.chunk].values, int(ref.row)
			switch {
			case !l.concat:
				values.AppendFrom(v, r)
			case v.Type.Kind == column.List:
				for k := v.Offsets[r]; k < v.Offsets[r+1]; k++ {
					values.AppendFrom(v.Children[0], int(k))
				}
			default:
				for _, x := range v.Boxed[r].(*column.ListValue).Elems {
					if err := values.Append(x); err != nil {
						return nil, i, err
					}
				}
			}
		}
		out.Offsets = append(out.Offsets, int32(values.Len()))
	}
	out.Children = []*column.Vector{values.Finish()}
	return out, 0, nil
}
