package retry

import (
	"errors"
	"fmt"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Fields are the keys "retry" and "breaker" of a connector, which FromConfig reads.
func Fields() []catalog.Field {
	return []catalog.Field{
		{Name: "retry", Type: catalog.Object, Doc: "How often, and with what pauses, what may pass is tried again.", Fields: []catalog.Field{
			{Name: "attempts", Type: catalog.Integer, Doc: "After so many attempts the rows are errors; by default it waits on."},
			{Name: "first", Type: catalog.Length, Default: "500ms", Doc: "The first pause; each is twice the one before, and jittered."},
			{Name: "most", Type: catalog.Length, Default: "1m", Doc: "The longest pause."},
		}},
		{Name: "breaker", Type: catalog.Object, Doc: "When a server counts as down, and is left alone for a while.", Fields: []catalog.Field{
			{Name: "failures", Type: catalog.Integer, Default: "10", Doc: "So many failures in a row; 0: never."},
			{Name: "pause", Type: catalog.Length, Default: "30s", Doc: "How long it is left alone, until one call tries it again."},
		}},
	}
}

// FromConfig returns what the keys of Fields say.
func FromConfig(config map[string]any) (*Caller, error) {
	c := &Caller{Policy: Policy{First: DefaultFirst, Most: DefaultMost}}
	failures, pause := int64(DefaultFailures), DefaultPause
	var attempts int64
	r := &section{name: "retry"}
	r.read(config)
	r.count("attempts", 1, &attempts)
	r.length("first", &c.Policy.First)
	r.length("most", &c.Policy.Most)
	if r.data["most"] == nil {
		c.Policy.Most = max(c.Policy.Most, c.Policy.First)
	}
	if c.Policy.Most < c.Policy.First {
		r.problem(diag.BadValue, `"most" is less than "first"`, "")
	}
	b := &section{name: "breaker"}
	b.read(config)
	b.count("failures", 0, &failures)
	b.length("pause", &pause)
	if err := errors.Join(append(r.errs, b.errs...)...); err != nil {
		return nil, err
	}
	c.Policy.Attempts = int(attempts)
	c.Breaker = NewBreaker(int(failures), pause)
	return c, nil
}

// section reads one map of a configuration.
type section struct {
	name string
	data map[string]any
	errs []error
}

func (s *section) read(config map[string]any) {
	v, given := config[s.name]
	var ok bool
	if s.data, ok = v.(map[string]any); given && v != nil && !ok {
		s.problem(diag.BadValue, fmt.Sprintf("wanted a map, found %v", v), "")
	}
}

func (s *section) problem(code diag.Code, text, hint string) {
	s.errs = append(s.errs, &catalog.Problem{Key: s.name, Code: code, Text: fmt.Sprintf("%q: %s", s.name, text), Hint: hint})
}

func (s *section) count(key string, least int64, to *int64) {
	v, ok := s.data[key]
	if !ok || v == nil {
		return
	}
	n, ok := v.(int64)
	if !ok || n < least || n > 1<<31-1 {
		s.problem(diag.BadValue, fmt.Sprintf("%q wants a whole number of at least %d, found %v", key, least, v), "")
		return
	}
	*to = n
}

func (s *section) length(key string, to *time.Duration) {
	d, err := catalog.Duration(s.data, key, *to)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q: wanted a duration above 0, found %v", key, s.data[key])
	}
	if err != nil {
		var p *catalog.Problem
		hint := ""
		if errors.As(err, &p) {
			hint = p.Hint
		}
		s.problem(diag.BadDuration, err.Error(), hint)
		return
	}
	*to = d
}
