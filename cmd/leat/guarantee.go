package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
)

// bound is a source or sink of a plan with its connector bound to its configuration. Nothing is connected.
type bound struct {
	node      *plan.Node
	connector any // a catalog.Source or catalog.Sink
	sink      bool
}

// bindAll binds the sources and sinks of a plan, as a run would.
func bindAll(p *plan.Plan) ([]bound, error) {
	var out []bound
	for _, n := range p.Nodes {
		var err error
		b := bound{node: n}
		switch op := n.Op.(type) {
		case *plan.Source:
			b.connector, err = bindSource(op)
		case *plan.Sink:
			b.sink = true
			b.connector, err = bindSink(p, n, op)
		default:
			continue
		}
		if err != nil {
			return nil, &diag.Failure{Code: diag.BadValue, Place: n.Place, Transform: n.Name, Err: err}
		}
		out = append(out, b)
	}
	return out, nil
}

func bindSource(op *plan.Source) (catalog.Source, error) {
	c := catalog.LookUpConnector(op.Connector)
	if c == nil || c.Source == nil {
		return nil, fmt.Errorf("no source connector is named %q", op.Connector)
	}
	config, err := catalog.Resolve(op.Config)
	if err != nil {
		return nil, err
	}
	return c.Source(config)
}

func bindSink(p *plan.Plan, n *plan.Node, op *plan.Sink) (catalog.Sink, error) {
	c := catalog.LookUpConnector(op.Connector)
	if c == nil || c.Sink == nil {
		return nil, fmt.Errorf("no sink connector is named %q", op.Connector)
	}
	config, err := catalog.Resolve(op.Config)
	if err != nil {
		return nil, err
	}
	env := &catalog.SinkEnv{Name: n.Name, Log: func(string, string) {}}
	if engine.IsStream(p) {
		job := jobName(p)
		env.Stream, env.Job, env.Dir = true, job, filepath.Join(stateDir("", job), "sinks", "plan")
	}
	return c.Sink(config, env)
}

// promise is what a connector can keep in a stream; see catalog.Guaranteed.
func (b bound) promise() catalog.Guarantee {
	if g, ok := b.connector.(catalog.Guaranteed); ok {
		return g.Guarantee()
	}
	if b.sink {
		return catalog.AtLeastOnce
	}
	return catalog.ExactlyOnce
}

// guaranteeText says what becomes of each row of a stream when its process dies: the weakest of its sources and sinks counts.
func guaranteeText(all []bound) string {
	weakest := catalog.ExactlyOnce
	for _, b := range all {
		weakest = min(weakest, b.promise())
	}
	var whys []string
	for _, b := range all {
		if b.promise() == weakest && weakest != catalog.ExactlyOnce {
			whys = append(whys, b.why(weakest))
		}
	}
	text := "guarantee: " + weakest.String()
	if len(whys) > 0 {
		text += ": " + strings.Join(whys, "; ")
	}
	return text
}

// why says what a connector that promises less does.
func (b bound) why(g catalog.Guarantee) string {
	switch {
	case g == catalog.AtMostOnce && b.sink:
		return fmt.Sprintf("what sink %s has taken since the last checkpoint may be lost with the process", b.node.Name)
	case g == catalog.AtMostOnce:
		return fmt.Sprintf("what %s has read since the last checkpoint is lost with the process", b.node.Name)
	case b.sink:
		return fmt.Sprintf("sink %s may be given rows again after a crash", b.node.Name)
	}
	if s, ok := b.connector.(catalog.Shared); ok && s.Shared() {
		return fmt.Sprintf("%s may read rows again after a crash, and when partitions pass from one process to another", b.node.Name)
	}
	return fmt.Sprintf("%s may read rows again after a crash", b.node.Name)
}

// pingLimit is how long a server may take to answer check --ping.
const pingLimit = 5 * time.Second

// pingAll asks the servers of all connectors whether they are there, side by side, and adds what is wrong to the problems.
func pingAll(ctx context.Context, p *plan.Plan, src *source, problems *diag.List) {
	all, err := bindAll(p)
	if err != nil {
		problems.Problems = append(problems.Problems, problemOf(err, src))
		return
	}
	found := make([]error, len(all))
	var wait sync.WaitGroup
	for i, b := range all {
		if pinger, ok := b.connector.(catalog.Pinger); ok {
			wait.Go(func() { found[i] = pingOne(ctx, pinger) })
		}
	}
	wait.Wait()
	for i, err := range found {
		if err != nil {
			n := all[i].node
			hint := "Is the server running, may this machine reach it, and are the address and the login right?"
			if p := (*catalog.Problem)(nil); errors.As(err, &p) && p.Hint != "" {
				hint = p.Hint
			}
			problems.Problems = append(problems.Problems, problemOf(&diag.Failure{Code: diag.NoServer, Place: n.Place, Transform: n.Name, Err: err, Hint: hint}, src))
		}
	}
}

// pingOne asks one server. It does not wait for a connector that does not heed the limit.
func pingOne(ctx context.Context, p catalog.Pinger) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- p.Ping(ctx) }()
	select {
	case err := <-answer:
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the server did not answer within %s: %w", pingLimit, err)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("the server did not answer within %s", pingLimit)
	}
}
