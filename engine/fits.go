package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/state"
)

// fits refuses a checkpoint that holds what the pipeline has no place for: dropped without a word, it would be lost, or put out twice.
func (s *stream) fits(c *state.Checkpoint) error {
	if c == nil {
		return nil
	}
	if c.Job != "" && s.opts.Job != "" && c.Job != s.opts.Job {
		return &diag.Failure{Code: diag.StateMismatch, Err: fmt.Errorf("the state in %s is that of the pipeline %q, and this one is called %q", s.opts.Store.Dir(), c.Job, s.opts.Job),
			Hint: fmt.Sprintf("Give it the name that it had, options.job_name: %s, by which servers know it, too; or give this one a state of its own, by --state-dir.", c.Job)}
	}
	if err := s.fitsParts(c); err != nil {
		return err
	}
	if err := s.fitsSources(c); err != nil {
		return err
	}
	for _, sink := range c.Sinks {
		if _, ok := s.sinks[sink.Name]; !ok && len(sink.Staged) > 0 {
			return missing(c, "what was staged for the sink", sink.Name, "Rows of the last checkpoint that the sink has not put out yet are lost then.")
		}
	}
	return nil
}

// missing is the error of a part, source or sink of a checkpoint that the pipeline does not have.
func missing(c *state.Checkpoint, what, name, consequence string) error {
	return &diag.Failure{Code: diag.StateMismatch, Err: fmt.Errorf("the checkpoint of epoch %d holds %s %q, which the pipeline does not have any more", c.Epoch, what, name),
		Hint: fmt.Sprintf("Give the transform its old name again; or drop that: leat state drop --part %q. %s Or begin anew: leat state reset, or another options.job_name.", name, consequence)}
}

func (s *stream) fitsParts(c *state.Checkpoint) error {
	now := map[string]*node{}
	for _, n := range s.nodes {
		if n.agg != nil || n.keyed != nil {
			now[s.partName(n)] = n
		}
	}
	for _, p := range c.Parts {
		if p.Signature == "watermark" {
			continue
		}
		n := now[p.Name]
		if n == nil {
			return missing(c, "state of", p.Name, "Windows that are open are lost then.")
		}
		if was, is := p.Signature, s.signature(n); was != is {
			return &diag.Failure{Code: diag.StateMismatch, Place: n.Place, Transform: n.Name,
				Err:  fmt.Errorf("its state in the checkpoint of epoch %d does not fit: it was {%s} and is {%s}", c.Epoch, was, is),
				Hint: fmt.Sprintf("Undo the change; or give the transform a new name, and drop the old state: leat state drop --part %q; or begin anew: leat state reset.", p.Name)}
		}
	}
	return nil
}

// fitsSources refuses sources that are gone or something else, and says which are new.
func (s *stream) fitsSources(c *state.Checkpoint) error {
	sources := map[string]*node{}
	for _, f := range s.feeds {
		sources[f.n.Name] = f.n
	}
	for _, old := range c.Sources {
		n := sources[old.Name]
		if n == nil && (len(old.Positions) > 0 || old.Morsels > 0) {
			return missing(c, "the position of the source", old.Name, "A source of another name is read from its beginning.")
		}
		if n != nil && old.Signature != sourceSignature(n) {
			return &diag.Failure{Code: diag.StateMismatch, Place: n.Place, Transform: n.Name,
				Err:  fmt.Errorf("the checkpoint of epoch %d knows it as %s, now it is %s", c.Epoch, old.Signature, sourceSignature(n)),
				Hint: fmt.Sprintf("Undo the change; or drop its position, to read it from the beginning: leat state drop --part %q.", old.Name)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if c.Source(name) == nil {
			s.opts.Notify("INFO", fmt.Sprintf("source %q is new: it is read from its beginning", name))
		}
	}
	return nil
}
