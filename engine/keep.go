package engine

import (
	"context"
	"errors"

	"github.com/leat-project/leat/catalog"
)

// acknowledge tells a source that a checkpoint with those positions is durable, and first what one can still go back to.
func (s *stream) acknowledge(ctx context.Context, f *feed, positions map[string]string) error {
	a, ok := f.reader.(catalog.Acknowledger)
	if !ok || len(positions) == 0 {
		return nil
	}
	var keeping error
	if k, ok := f.reader.(catalog.Keeper); ok && s.opts.Store != nil {
		all, err := s.opts.Store.Positions(f.n.Name)
		k.Keep(all)
		keeping = err
	}
	return errors.Join(keeping, a.Acknowledge(ctx, positions))
}
