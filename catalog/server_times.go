package catalog

import "github.com/leat-project/leat/plan"

// ServerTimes is a Source whose rows may have their event time from the clock of a server that they came through, not from who made them, nor from the clock
// of this machine. "future" of a watermark is judged by it. Batches say which rows do (column.Batch.ServerTimes).
type ServerTimes interface {
	ServerTimes() bool
}

// serverTimes reports whether the rows of a stream may have such times, so that another time can be compared with them.
func serverTimes(p *plan.Plan, rows plan.Ref) bool {
	n := p.Nodes[rows.Node]
	switch op := n.Op.(type) {
	case *plan.Source:
		connector := LookUpConnector(op.Connector)
		config, err := Resolve(op.Config)
		if connector == nil || connector.Source == nil || err != nil {
			return false
		}
		source, err := connector.Source(config)
		if err != nil {
			return false
		}
		s, ok := source.(ServerTimes)
		return ok && s.ServerTimes()
	case *plan.AssignTime:
		if op.Time != nil {
			return false
		}
	case *plan.Aggregate, *plan.Ordered: // what they give has the time of windows, or is put together anew
		return false
	case *plan.Infer:
		if op.Ordered {
			return false
		}
	}
	for _, in := range n.In {
		if serverTimes(p, in) {
			return true
		}
	}
	return false
}
