package pipeline

import (
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/plan"
)

// streamOptions checks the options that streams have.
func (c *compiler) streamOptions(v *catalog.Value) {
	for key, wanted := range map[string]string{"job_name": "a string", "streaming": "true or false", "checkpoint_interval": "a length of time, such as 5s", "max_drift": "a length of time, such as 1m"} {
		given, ok := c.builder.Plan.Options[key]
		if !ok || given == nil {
			continue
		}
		switch key {
		case "job_name":
			_, ok = given.(string)
		case "streaming":
			_, ok = given.(bool)
		default:
			var length column.Span
			length, ok = catalog.ParseLength(given)
			ok = ok && time.Duration(length) > 0
		}
		if ok {
			continue
		}
		at := diag.Place{File: c.file}
		if v != nil {
			if e := v.Entry(key); e != nil {
				at = e.Value.Place
			}
		}
		c.problems.Errorf(at, diag.BadValue, "wanted %s for the option %q, found %v", wanted, key, given)
	}
}

// checkStream reports what would never give a row in unbounded input.
func (c *compiler) checkStream(p *plan.Plan) {
	for _, n := range p.Nodes {
		if _, ok := n.Op.(*plan.Aggregate); !ok {
			continue
		}
		in := p.Port(n.In[0])
		if !in.Unbounded || in.Window.Kind != plan.Global || in.Window.Early != (plan.Firing{}) {
			continue
		}
		c.problems.Errorf(n.Place, diag.NeverFires, "transform %q groups unbounded rows in the global window, which never ends: it would never give a row", n.Name).Hint =
			"Give it windows, as windowing: {type: fixed, size: 1m}; or a trigger, as windowing: {type: global, trigger: {delay: 10s}, accumulation: accumulating}."
	}
}

// checkShared refuses what keeps a state of rows whose partitions may go on in another process.
func (c *compiler) checkShared(p *plan.Plan) {
	from := make([]*plan.Node, len(p.Nodes)) // the shared source that rows come from; nil: none
	for _, n := range p.Nodes {
		if op, ok := n.Op.(*plan.Source); ok && n.Out[0].Unbounded && shared(op) {
			from[n.ID] = n
		}
		for _, in := range n.In {
			if from[n.ID] == nil {
				from[n.ID] = from[in.Node]
			}
		}
		if source := from[n.ID]; source != nil && keepsState(n.Op) {
			c.problems.Errorf(n.Place, diag.Unsupported, "transform %q keeps a state, and %q shares its partitions with other processes: their rows may go on elsewhere, and the state would stay here", n.Name, source.Name).Hint =
				"Let one process read all partitions (without assignment: group); or do what keeps a state in a pipeline of its own, which reads what this one writes."
		}
	}
}

func shared(op *plan.Source) bool {
	connector := catalog.LookUpConnector(op.Connector)
	config, err := catalog.Resolve(op.Config)
	if connector == nil || connector.Source == nil || err != nil {
		return false
	}
	source, err := connector.Source(config)
	if err != nil {
		return false
	}
	s, ok := source.(catalog.Shared)
	return ok && s.Shared()
}

// keepsState reports whether a node remembers rows, or something of them, for later ones.
func keepsState(op plan.Op) bool {
	switch op := op.(type) {
	case *plan.Aggregate, *plan.Ordered:
		return true
	case *plan.Infer:
		return op.Ordered
	}
	return false
}
