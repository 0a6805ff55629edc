package engine

import (
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
)

// noMark is the watermark of what has not begun, endMark that of what has ended.
const (
	noMark  = int64(math.MinInt64)
	endMark = int64(math.MaxInt64)
)

// tracker makes a watermark from the event times of rows, by partition, and by the values of a field within a partition.
//
// It is fed as rows pass; what it says counts only at a turn, when all rows that it has seen have been processed.
type tracker struct {
	spec plan.Watermark
	per  int // the field, or -1

	mu    sync.Mutex
	parts map[partitionKey]*marks
}

// partitionKey names a partition of a source.
type partitionKey struct {
	Source    int
	Partition string
}

// marks are the greatest times of one partition.
type marks struct {
	max    int64
	values map[string]*valueMark // by the value of the field "per"
	// the two values with the greatest times, for what is too far ahead of the others
	first, second lead
	since         time.Time // of the first row, in processing time
}

type valueMark struct {
	max  int64
	seen time.Time // in processing time
}

type lead struct {
	value string
	time  int64
	any   bool
}

func newTracker(w plan.Watermark, schema column.Schema) *tracker {
	t := &tracker{spec: w, per: -1, parts: map[partitionKey]*marks{}}
	if w.Per != "" {
		t.per = schema.Index(w.Per)
	}
	return t
}

func (t *tracker) part(k partitionKey) *marks {
	m := t.parts[k]
	if m == nil {
		m = &marks{max: noMark, since: time.Now()}
		if t.per >= 0 {
			m.values = map[string]*valueMark{}
		}
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

// observe takes the rows of a batch into account.
func (t *tracker) observe(b *column.Batch, now time.Time) {
	if b.Times == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.part(keyOf(b))
	if t.per < 0 {
		b.Each(func(i int) { m.max = max(m.max, b.Times[i]) })
		return
	}
	v := b.Cols[t.per]
	b.Each(func(i int) {
		m.max = max(m.max, b.Times[i])
		m.value(perValue(v, i), b.Times[i], now)
	})
}

func (m *marks) value(name string, at int64, now time.Time) {
	of := m.values[name]
	if of == nil {
		of = &valueMark{max: noMark}
		m.values[name] = of
	}
	of.max, of.seen = max(of.max, at), now
}

// perValue is the value of the field "per" as a text.
func perValue(v *column.Vector, i int) string {
	if v.Type.Kind == column.String && !v.IsNull(i) {
		return string(v.Bin(i))
	}
	return fmt.Sprint(v.Value(i))
}

// ahead reports whether a row of that value and time is too far ahead: of the source's own timestamp where there is one (known), else of the other values.
// What a row claims counts for the others also where the row itself is set aside, so that a jump in which two values agree is taken for time passing.
func (t *tracker) ahead(k partitionKey, value string, at, source int64, known bool) bool {
	if t.spec.Future <= 0 {
		return false
	}
	if known {
		return at-source > t.spec.Future
	}
	if t.per < 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.part(k)
	others := m.first
	if m.first.any && m.first.value == value {
		others = m.second
	}
	m.claim(value, at)
	return others.any && at-others.time > t.spec.Future
}

func (m *marks) claim(value string, at int64) {
	switch {
	case m.first.any && m.first.value == value:
		m.first.time = max(m.first.time, at)
	case !m.first.any || at > m.first.time:
		m.first, m.second = lead{value, at, true}, m.first
	case !m.second.any || m.second.value == value || at > m.second.time:
		m.second = lead{value, max(at, m.secondTime(value)), true}
	}
}

func (m *marks) secondTime(value string) int64 {
	if m.second.any && m.second.value == value {
		return m.second.time
	}
	return noMark
}

// mark returns the watermark given what feeds it; ok is false where nothing can be said. Partitions that are idle hold nothing up; when all are, those that
// have given rows count again, for what they have said stands.
func (t *tracker) mark(feeds []*feed, now time.Time) (at int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at = endMark
	quiet, anyQuiet, ended := endMark, false, true
	for _, f := range feeds {
		if f.ended() {
			continue
		}
		ended = false
		for _, partition := range f.partitions() {
			m, seen := t.parts[partitionKey{f.n.ID, partition}]
			switch {
			case f.isQuiet(partition) && !seen:
			case f.isQuiet(partition):
				quiet, anyQuiet = min(quiet, t.markOf(m, now)), true
			case !seen:
				return noMark, true
			default:
				at, ok = min(at, t.markOf(m, now)), true
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

func (t *tracker) markOf(m *marks, now time.Time) int64 {
	least := m.max
	idle := time.Duration(t.spec.Idle) * time.Millisecond
	if m.first.any && !m.second.any && now.Sub(m.since) < idle {
		return noMark // the one that has spoken may be the one with the fast clock
	}
	if t.per >= 0 {
		for name, v := range m.values {
			if idle > 0 && now.Sub(v.seen) > idle {
				delete(m.values, name) // it comes back with its next row
				continue
			}
			least = min(least, v.max)
		}
	}
	if least < noMark+t.spec.Disorder {
		return noMark
	}
	return least - t.spec.Disorder
}

// trackerState is what a checkpoint keeps of a tracker.
type trackerState struct {
	Source    string           `json:"source"`
	Partition string           `json:"partition"`
	Max       int64            `json:"max"`
	Values    map[string]int64 `json:"values,omitempty"`
}

func (t *tracker) save(nodes []*node) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []trackerState
	for k, m := range t.parts {
		s := trackerState{Partition: k.Partition, Max: m.max}
		if k.Source >= 0 {
			s.Source = nodes[k.Source].Name
		}
		for name, v := range m.values {
			if s.Values == nil {
				s.Values = map[string]int64{}
			}
			s.Values[name] = v.max
		}
		out = append(out, s)
	}
	return json.Marshal(out)
}

func (t *tracker) load(data []byte, nodes []*node) error {
	var in []trackerState
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	now := time.Now()
	for _, s := range in {
		k := partitionKey{Source: -1, Partition: s.Partition}
		for _, n := range nodes {
			if n.Name == s.Source {
				k.Source = n.ID
				break
			}
		}
		m := t.part(k)
		m.max = s.Max
		for name, at := range s.Values {
			if m.values != nil {
				m.value(name, at, now)
			}
		}
	}
	return nil
}
