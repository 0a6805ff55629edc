package engine

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// noMark is the watermark of what has not begun, endMark that of what has ended.
const (
	noMark  = int64(math.MinInt64)
	endMark = int64(math.MaxInt64)
)

// tracker makes a watermark from the event times of rows, by partition, and by the values of a field within a partition.
//
// It is fed as rows pass; what it says counts only at a turn, when all rows that it has seen have been processed. It knows no clock: silence is
// measured by how long a partition has been listened to (see listened).
type tracker struct {
	spec plan.Watermark
	per  int           // the field, or -1
	idle time.Duration // 0: no value is ever idle
	made bool          // of rows that an aggregate has made: they are of no partition

	mu      sync.Mutex
	parts   map[partitionKey]*marks
	scratch []byte
}

// partitionKey names a partition of a source.
type partitionKey struct {
	Source    int
	Partition string
}

// marks are what one partition has said.
type marks struct {
	at     int64                 // the greatest time; with "per" that of the slowest value, as of when it was last asked for
	values map[string]*valueMark // by the value of the field "per": those that are not idle
	order  ranking               // of them, the slowest first
	claims claims
	since  time.Duration // when the first row came, by how long the partition had been listened to
}

type valueMark struct {
	name string
	max  int64
	seen time.Duration
}

func newTracker(w plan.Watermark, schema column.Schema) *tracker {
	t := &tracker{spec: w, per: -1, idle: time.Duration(w.Idle) * time.Millisecond, parts: map[partitionKey]*marks{}}
	if w.Per != "" {
		t.per = schema.Index(w.Per)
	}
	return t
}

func (t *tracker) part(k partitionKey, heard time.Duration) *marks {
	m := t.parts[k]
	if m == nil {
		m = &marks{at: noMark, since: heard, values: map[string]*valueMark{}, claims: claims{walked: noMark, jumped: noMark}}
		t.parts[k] = m
	}
	return m
}

func keyOf(b *column.Batch) partitionKey {
	if b.Origin == nil {
		return partitionKey{Source: -1}
	}
	return partitionKey{b.Origin.Source, b.Origin.Partition}
}

// observe takes the rows of a batch into account, but for those that are too far ahead, which it returns. server are the times that a server gave the rows;
// nil: it gave none. heard is for how long the partition has been listened to.
func (t *tracker) observe(b *column.Batch, server []int64, heard time.Duration) (ahead []kernel.Failure) {
	if b.Times == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.part(keyOf(b), heard)
	future := t.spec.Future
	b.Each(func(i int) {
		at := b.Times[i]
		if future > 0 && server != nil && at-server[i] > future {
			ahead = append(ahead, kernel.Failure{Row: int32(i), Err: errFuture})
			return
		}
		if t.per < 0 {
			m.at = max(m.at, at)
			return
		}
		name := t.perValue(b.Cols[t.per], i)
		if future > 0 && server == nil && m.claims.ahead(name, at, future, t.spec.Idle) {
			ahead = append(ahead, kernel.Failure{Row: int32(i), Err: errFuture})
			return
		}
		m.value(name, at, heard)
	})
	return ahead
}

// value takes a row of a value into account.
func (m *marks) value(name []byte, at int64, heard time.Duration) {
	of := m.values[string(name)]
	if of == nil {
		of = &valueMark{name: string(name), max: at}
		m.values[of.name] = of
		m.order.add(of)
	}
	of.max, of.seen = max(of.max, at), heard
}

// perValue is the value of the field "per" as a text, until the next call.
func (t *tracker) perValue(v *column.Vector, i int) []byte {
	switch {
	case v.IsNull(i):
	case v.Type.Kind == column.String:
		return v.Bin(i)
	case v.Type.Kind == column.Int:
		t.scratch = strconv.AppendInt(t.scratch[:0], v.Ints[i], 10)
		return t.scratch
	}
	t.scratch = fmt.Append(t.scratch[:0], v.Value(i))
	return t.scratch
}

// mark returns the watermark given what feeds it; ok is false where nothing can be said. Partitions that are idle hold nothing up; when all are, those that
// have given rows count again, for what they have said stands.
func (t *tracker) mark(feeds []*feed) (at int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at = endMark
	quiet, anyQuiet, ended := endMark, false, true
	for _, f := range feeds {
		if f.ended() {
			continue
		}
		if t.made {
			return t.markMade(), true
		}
		ended = false
		for _, partition := range f.partitions() {
			m, seen := t.parts[partitionKey{f.n.ID, partition}]
			switch {
			case f.isQuiet(partition) && !seen:
			case f.isQuiet(partition):
				quiet, anyQuiet = min(quiet, t.markOf(m, f.heard(partition))), true
			case !seen:
				return noMark, true
			default:
				at, ok = min(at, t.markOf(m, f.heard(partition))), true
			}
		}
	}
	switch {
	case ended:
		return endMark, true
	case !ok:
		return quiet, anyQuiet
	}
	return at, ok
}

// markMade returns the watermark of rows that an aggregate has made, by what they have said: nobody listens to them, and none of them is idle.
func (t *tracker) markMade() int64 {
	at := endMark
	for _, m := range t.parts {
		at = min(at, t.markOf(m, m.since))
	}
	if len(t.parts) == 0 {
		return noMark
	}
	return at
}

// markOf is the watermark of a partition. When all its values are idle, what the slowest of them had said last stands until one speaks again.
func (t *tracker) markOf(m *marks, heard time.Duration) int64 {
	if m.claims.alone() && heard-m.since < t.idle {
		return noMark // the one that has spoken may be the one with the fast clock
	}
	for t.per >= 0 && len(m.order) > 0 {
		slowest := m.order.first()
		if t.idle <= 0 || heard-slowest.seen < t.idle {
			m.at = slowest.max
			break
		}
		m.order.drop() // it comes back with its next row
		delete(m.values, slowest.name)
	}
	if m.at < noMark+t.spec.Disorder {
		return noMark
	}
	return m.at - t.spec.Disorder
}

// ranking is a heap of values by their time, the slowest first. Times only rise, so a value is put in its place when it seems to be the first.
type ranking []ranked

type ranked struct {
	at int64 // no more than of.max
	of *valueMark
}

func (r *ranking) add(of *valueMark) {
	*r = append(*r, ranked{of.max, of})
	h := *r
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up].at <= h[i].at {
			break
		}
		h[up], h[i], i = h[i], h[up], up
	}
}

// first is the slowest value. There is one.
func (r ranking) first() *valueMark {
	for r[0].at != r[0].of.max {
		r[0].at = r[0].of.max
		r.sink()
	}
	return r[0].of
}

// drop takes the first away.
func (r *ranking) drop() {
	h, last := *r, len(*r)-1
	h[0], h[last] = h[last], ranked{}
	*r = h[:last]
	r.sink()
}

// sink puts the first in its place.
func (r ranking) sink() {
	for i := 0; ; {
		least := i
		for down := 2*i + 1; down <= 2*i+2 && down < len(r); down++ {
			if r[down].at < r[least].at {
				least = down
			}
		}
		if least == i {
			return
		}
		r[i], r[least], i = r[least], r[i], least
	}
}
