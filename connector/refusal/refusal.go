// Package refusal keeps rows that are under way until a server has taken them, for those that it refuses for good: they go to the error output of the sink.
//
// Its main type is Box. It knows no protocol: which refusals are for good is for who sends to say.
package refusal

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// Box gathers what a server has refused. The zero Box keeps nothing: nobody asks for it.
type Box struct {
	wanted bool
	any    atomic.Bool
	mu     sync.Mutex
	list   []catalog.RefusedRows
}

// NewBox returns a box for a sink; refusals are kept where an error output takes them.
func NewBox(env *catalog.SinkEnv) *Box { return &Box{wanted: env != nil && env.Refusals} }

// Wanted reports whether refused rows are asked for. Without that, a refusal ends the run.
func (b *Box) Wanted() bool { return b.wanted }

// Row is one row of a copy of a batch. The zero Row is none.
type Row struct {
	batch *column.Batch
	row   int32
}

// Known reports whether there is a row to refuse.
func (r Row) Known() bool { return r.batch != nil }

// Copy returns the rows that count as a batch of its own, which outlasts the call that b was passed to. nil where refusals are not wanted.
func (b *Box) Copy(of *column.Batch) *column.Batch {
	if !b.wanted || of.Len() == 0 {
		return nil
	}
	from := *of
	if from.Sel == nil {
		from.Sel = make([]int32, from.N)
		for i := range from.Sel {
			from.Sel[i] = int32(i)
		}
	}
	out := column.Compact(&from)
	if o := of.Origin; o != nil && o.Line != nil { // it may look at memory that goes with the batch
		origin, lines := *o, map[int32]int64{}
		for _, row := range out.Rows {
			lines[row] = o.Line(row)
		}
		origin.Line = func(row int32) int64 { return lines[row] }
		out.Origin = &origin
	}
	return out
}

// RowOf returns row k of a Copy, which may be nil.
func RowOf(copied *column.Batch, k int) Row { return Row{copied, int32(k)} }

// Add puts a row in. It reports whether it did: else nobody asks for it.
func (b *Box) Add(r Row, err error) bool {
	if !b.wanted || !r.Known() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at := slices.IndexFunc(b.list, func(of catalog.RefusedRows) bool { return of.Batch == r.batch })
	if at < 0 {
		at = len(b.list)
		b.list = append(b.list, catalog.RefusedRows{Batch: r.batch})
	}
	b.list[at].Rows = append(b.list[at].Rows, catalog.Refusal{Row: r.row, Err: err})
	b.any.Store(true)
	return true
}

// Refusals returns what is in the box, and empties it.
func (b *Box) Refusals() ([]catalog.RefusedRows, error) {
	if !b.any.Load() {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.list
	b.list = nil
	b.any.Store(false)
	for k := range out {
		// The batch may still be under way in part, and rows of it come again in another call: who gets it may change its times.
		batch := *out[k].Batch
		batch.Times = slices.Clone(batch.Times)
		out[k].Batch = &batch
		slices.SortFunc(out[k].Rows, func(a, b catalog.Refusal) int { return int(a.Row - b.Row) })
	}
	return out, nil
}

// Each calls write for each row i of b that counts, the k-th of them, and gathers those whose error is marked Bad. Another error ends it.
func Each(b *column.Batch, write func(k, i int) error) error {
	var refused catalog.Refused
	var ended error
	k := -1
	b.Each(func(i int) {
		if ended != nil {
			return
		}
		k++
		err := write(k, i)
		if of, ok := err.(bad); ok { // not one within: it may be an earlier row's, which ends all
			refused = append(refused, catalog.Refusal{Row: int32(i), Err: of.error})
		} else if err != nil {
			ended = err
		}
	})
	if ended != nil {
		return ended
	}
	if len(refused) > 0 {
		return refused
	}
	return nil
}

// bad is the error of a row.
type bad struct{ error }

func (b bad) Unwrap() error { return b.error }

// Bad marks an error as one of the row, which another row may not have.
func Bad(err error) error {
	if err == nil {
		return nil
	}
	return bad{err}
}

// IsBad reports whether an error is marked so.
func IsBad(err error) bool {
	var b bad
	return errors.As(err, &b)
}
