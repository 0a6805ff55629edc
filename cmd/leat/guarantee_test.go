package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/engine"
	"github.com/leat-project/leat/plan"
)

type promising catalog.Guarantee

func (p promising) Guarantee() catalog.Guarantee { return catalog.Guarantee(p) }

type sharing struct{ promising }

func (sharing) Shared() bool { return true }

func TestGuaranteeText(t *testing.T) {
	node := func(name string) *plan.Node { return &plan.Node{Name: name} }
	in, out := bound{node: node("In")}, bound{node: node("Out"), sink: true} // that say nothing
	tests := []struct {
		all  []bound
		want string
	}{
		{[]bound{in, {node("Out"), promising(catalog.ExactlyOnce), true}}, "guarantee: exactly once"},
		{[]bound{in, out}, "guarantee: at least once: sink Out may be given rows again after a crash"},
		{[]bound{{node("In"), sharing{promising(catalog.AtLeastOnce)}, false}, {node("Out"), promising(catalog.ExactlyOnce), true}},
			"guarantee: at least once: In may read rows again after a crash, and when partitions pass from one process to another"},
		{[]bound{{node("In"), promising(catalog.AtMostOnce), false}, out}, "guarantee: at most once: what In has read since the last checkpoint is lost with the process"},
	}
	for _, test := range tests {
		if got := guaranteeText(test.all); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestPlanOfStream(t *testing.T) {
	text, _ := watched(t)
	if out, errs, code := leat(t, "", "plan", text); code != 0 || !strings.HasSuffix(out, "\n\nguarantee: exactly once\n") {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
	if out, _, _ := leat(t, strings.ReplaceAll(good, "+ n", ""), "plan", "-"); strings.Contains(out, "guarantee") {
		t.Errorf("a bounded plan:\n%s", out)
	}
}

// TestPing wants a server that is not there to be a problem at its transform, without the password.
func TestPing(t *testing.T) {
	t.Setenv("LEAT_TEST_PASSWORD", "hunter2!x")
	text := `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{a: 1}]}
    - type: WriteToHttp
      config: {url: "http://` + freeAddress(t) + `/${env:LEAT_TEST_PASSWORD}", format: JSON}
`
	out, errs, code := leat(t, text, "check", "--ping", "-")
	if code != exitBadFile || !strings.Contains(out, string(diag.NoServer)) || !strings.Contains(out, "<stdin>:7") && !strings.Contains(out, "-:7") {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
	if strings.Contains(out+errs, "hunter2") {
		t.Errorf("the secret is shown:\n%s", out)
	}
}

// TestNoSecrets wants the reporter to keep secrets out of all that it prints.
func TestNoSecrets(t *testing.T) {
	t.Setenv("LEAT_TEST_PASSWORD", `pa"ss wörd\1`)
	config, err := catalog.Resolve(map[string]any{"password": "${env:LEAT_TEST_PASSWORD}"})
	if err != nil {
		t.Fatal(err)
	}
	secret := config["password"].(string)
	for _, asJSON := range []bool{false, true} {
		var errs safeBuffer
		log := newReporter(&global{streams: streams{err: &errs}}, asJSON)
		f := &diag.Failure{Code: diag.NoServer, Err: errors.New("no login with " + secret), Hint: "not " + secret, Row: secret}
		log.failure(problemOf(f, nil), &engine.Result{})
		log.line("WARNING", "again "+secret)
		log.summary(&plan.Plan{}, &engine.Result{Notes: []string{"seen " + secret}}, nil, resources{})
		if said := errs.String(); strings.Contains(said, "wörd") || strings.Count(said, "${env:LEAT_TEST_PASSWORD}") != 5 {
			t.Errorf("it says:\n%s", said)
		}
	}
}
