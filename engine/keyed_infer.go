package engine

import (
	"context"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/plan"
	"github.com/leat-project/leat/task"
)

// inferStepper runs a model with a state: in each turn the next row of every key.
type inferStepper struct {
	steps []*inferStep // one for each worker
	gap   int64
}

func newInferStepper(r *run, n *node, op *plan.Infer) *inferStepper {
	s := &inferStepper{steps: make([]*inferStep, len(r.workers))}
	for i, w := range r.workers {
		s.steps[i] = newInferStep(base{w: w, n: n, in: r.plan.Port(n.In[0])}, op)
	}
	if of, ok := n.predictor.Bound.(task.Stateful); ok {
		s.gap = int64(of.Gap())
	}
	return s
}

func (s *inferStepper) forget() int64 { return s.gap }

func (s *inferStepper) append(dst []byte, value any) []byte {
	state, ok := value.(*task.State)
	if !ok {
		state = &task.State{}
	}
	return state.Append(dst)
}

func (s *inferStepper) load(src []byte) (any, error) { return task.ReadState(src) }

func (s *inferStepper) run(ctx context.Context, w *worker, _ *node, b *column.Batch, of []keyRun) error {
	for turn := 0; ; turn++ {
		var rows []int32
		var states []*task.State
		for _, r := range of {
			if r.from+turn >= r.to {
				continue
			}
			if r.state.value == nil {
				r.state.value = &task.State{}
			}
			rows, states = append(rows, int32(r.from+turn)), append(states, r.state.value.(*task.State))
		}
		if len(rows) == 0 {
			return nil
		}
		if err := s.steps[w.id].predictStates(ctx, take(b, rows), states); err != nil {
			return err
		}
	}
}
