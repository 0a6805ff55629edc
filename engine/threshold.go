package engine

import (
	"fmt"
	"sync"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/kernel"
	"github.com/leat-project/leat/plan"
)

// threshold counts a node's rows and errors by window, for error_handling's threshold. A nil threshold counts nothing.
type threshold struct {
	most float64
	mu   sync.Mutex
	of   map[span]*share
}

type span struct{ start, end int64 }

type share struct{ rows, errors int64 }

func newThreshold(n *plan.Node) *threshold {
	if n.Threshold == nil {
		return nil
	}
	return &threshold{most: *n.Threshold, of: map[span]*share{}}
}

// rows counts the rows that came in.
func (t *threshold) rows(w plan.Windowing, b *column.Batch) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.Kind == plan.Global && b.Starts == nil {
		t.at(span{}).rows += int64(b.Len())
		return
	}
	b.Each(func(i int) {
		kernel.EachWindow(w, b, i, func(start, end int64) { t.at(span{start, end}).rows++ })
	})
}

// failed counts one row of b that failed.
func (t *threshold) failed(w plan.Windowing, b *column.Batch, row int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.Kind == plan.Global && b.Starts == nil {
		t.at(span{}).errors++
		return
	}
	kernel.EachWindow(w, b, row, func(start, end int64) { t.at(span{start, end}).errors++ })
}

// badRecord counts a record that could not be decoded, which has no window yet.
func (t *threshold) badRecord() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.at(span{})
	s.rows++
	s.errors++
}

func (t *threshold) at(w span) *share {
	s := t.of[w]
	if s == nil {
		s = &share{}
		t.of[w] = s
	}
	return s
}

// passed checks the windows that end by mark, and forgets them.
func (t *threshold) passed(mark int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w, s := range t.of {
		if w == (span{}) || w.end > mark {
			continue
		}
		delete(t.of, w)
		if err := t.over(s); err != nil {
			return err
		}
	}
	return nil
}

func (t *threshold) over(s *share) error {
	if part := float64(s.errors) / float64(s.rows); s.errors > 0 && part > t.most {
		return fmt.Errorf("exceeded threshold: %d / %d = %g > %g", s.errors, s.rows, part, t.most)
	}
	return nil
}

// check returns an error for a window with too many errors.
func (t *threshold) check() error {
	for _, s := range t.of {
		if err := t.over(s); err != nil {
			return err
		}
	}
	return nil
}
