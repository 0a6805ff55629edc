// Package contract is the tests that every connector has in common: what package catalog asks of sources and sinks, asked of a real server. The test of a
// connector fills in a SourceCase or a SinkCase, and calls Source or Sink. It has no use outside tests.
package contract

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// patience is how long what must happen may take. No test says how fast it is to be.
const patience = time.Minute

// Wrong is a configuration that Open refuses.
type Wrong struct {
	Name string
	Set  map[string]any       // over the keys of Config
	Want map[string]diag.Code // by key: all that is wrong, and nothing else
}

// Bound is what sources and sinks have in common.
type Bound struct {
	Connector string // its name
	// Config returns a configuration of a server at host:port. Secret is a password, or the like, that stands in it.
	Config func(address string) map[string]any
	Secret string
	Wrong  []Wrong
	Pings  bool // it is a catalog.Pinger
	// Skip says, by the name of a test such as "Close", why the connector does not keep that promise.
	Skip map[string]string
}

// run runs a test, unless the case says why not.
func (c *Bound) run(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		if why := c.Skip[name]; why != "" {
			t.Skipf("NOT KEPT by %s: %s", c.Connector, why)
		}
		test(t)
	})
}

// configurations opens wrong configurations, and a right one, at an address where someone listens: nobody may call.
func (c *Bound) configurations(t *testing.T, open func(config map[string]any) error) {
	door := listen(t)
	most := 0
	for _, w := range c.Wrong {
		config := c.Config(door.address)
		for key, value := range w.Set {
			if config[key] = value; value == nil {
				delete(config, key)
			}
		}
		err := open(config)
		most = max(most, len(w.Want))
		if c.leaks(err) {
			t.Errorf("%s: the secret is in the error", w.Name)
		}
		got, rest := problems(err)
		if fmt.Sprint(got) != fmt.Sprint(w.Want) || len(rest) > 0 {
			t.Errorf("%s: got problems %v, and %q; wanted %v", w.Name, got, rest, w.Want)
		}
	}
	if most < 2 {
		t.Error("the case has no configuration with two mistakes: nothing shows that both are told")
	}
	if err := open(c.Config(door.address)); err != nil {
		t.Errorf("the right configuration: %v", err)
	}
	door.wantNobody(t)
}

// ping asks a server that is there, and one that is not.
func (c *Bound) ping(t *testing.T, bound any, there bool) {
	t.Helper()
	pinger, ok := bound.(catalog.Pinger)
	if ok != c.Pings {
		t.Fatalf("%T is a Pinger: %v, and the case says %v", bound, ok, c.Pings)
	}
	if !ok {
		t.Skip("there is no server to ask")
	}
	noLeaks(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := pinger.Ping(ctx)
	if there {
		if err != nil {
			t.Errorf("Ping: %v", err)
		}
		return
	}
	switch {
	case ctx.Err() != nil:
		t.Error("Ping goes on for ever where nobody answers")
	case err == nil:
		t.Error("Ping is pleased, and nobody listens")
	case !strings.Contains(full(err), silentAddress):
		t.Errorf("the error does not say where: %s", full(err))
	case c.leaks(err):
		t.Error("the secret is in the error")
	}
}

// silentAddress is one where nothing listens: the port is reserved.
const silentAddress = "127.0.0.1:1"

func (c *Bound) leaks(err error) bool {
	return err != nil && c.Secret != "" && strings.Contains(full(err), c.Secret)
}

// full is all that anyone may print of an error.
func full(err error) string {
	text := fmt.Sprintf("%v %+v", err, err)
	var p *catalog.Problem
	if errors.As(err, &p) {
		text += " " + p.Hint
	}
	var f *diag.Failure
	if errors.As(err, &f) {
		text += fmt.Sprintf(" %+v", *f)
	}
	return text
}

// problems are the mistakes that an error names, by key, and what is no Problem.
func problems(err error) (byKey map[string]diag.Code, rest []string) {
	byKey = map[string]diag.Code{}
	var walk func(err error)
	walk = func(err error) {
		switch e := err.(type) {
		case nil:
		case *catalog.Problem:
			byKey[e.Key] = e.Code
			if e.Text == "" {
				rest = append(rest, "a problem without a text: "+e.Key)
			}
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				walk(one)
			}
		default:
			rest = append(rest, err.Error())
		}
	}
	walk(err)
	return byKey, rest
}

// door is an address where someone listens and says nothing.
type door struct {
	address string
	listen  net.Listener
}

func listen(t *testing.T) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &door{address: l.Addr().String(), listen: l}
}

// wantNobody calls itself: who called before comes first.
func (d *door) wantNobody(t *testing.T) {
	t.Helper()
	self, err := net.Dial("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	first, err := d.listen.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if first.RemoteAddr().String() != self.LocalAddr().String() {
		t.Error("Open has connected to the server")
	}
}

var metricName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// oddMetrics says what is wrong with figures.
func oddMetrics(all []catalog.Metric) (out []string) {
	for _, m := range all {
		if !metricName.MatchString(m.Name) || m.Help == "" {
			out = append(out, fmt.Sprintf("the figure %q is not in snake case, or does not say what it is: %q", m.Name, m.Help))
		}
	}
	return out
}

var goroutine = regexp.MustCompile(`(?m)^goroutine (\d+) `)

// stacks returns those of all goroutines, by number.
func stacks() map[string]string {
	buf := make([]byte, 4<<20)
	out := map[string]string{}
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if m := goroutine.FindStringSubmatch(stack); m != nil {
			out[m[1]] = stack
		}
	}
	return out
}

// noLeaks fails the test if goroutines are left at its end that were not there before.
func noLeaks(t *testing.T) {
	t.Helper()
	before := stacks()
	t.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(patience / 2); ; time.Sleep(5 * time.Millisecond) {
			left = left[:0]
			for number, stack := range stacks() {
				if before[number] == "" && !strings.Contains(stack, "testing.tRunner") {
					left = append(left, stack)
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				break
			}
		}
		t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	})
}
