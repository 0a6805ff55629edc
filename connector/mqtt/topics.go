package mqtt

import (
	"slices"
	"strings"

	"github.com/leat-project/leat/diag"
)

// pattern is a topic filter whose wildcards may have names.
type pattern struct {
	text   string
	filter string // as the broker takes it
	levels []level
}

// level is a part of a pattern between slashes.
type level struct {
	text string // what the topic has there, where it is no wildcard
	kind kind
	name string // of the field that takes what stands there; "": none does
}

type kind uint8

const (
	fixed kind = iota
	one        // +
	rest       // #
)

// parsePattern reads a filter: {name} is a + with a name, {name...} a #.
func parsePattern(text string) (p pattern, problem string) {
	p.text = text
	if text == "" || len(text) > 65535 || strings.ContainsRune(text, 0) {
		return p, "a topic has 1 to 65535 bytes, none of them 0"
	}
	parts := strings.Split(text, "/")
	for i, part := range parts {
		l := level{text: part}
		inner, open := strings.CutPrefix(part, "{")
		inner, closed := strings.CutSuffix(inner, "}")
		switch {
		case part == "+":
			l.kind = one
		case part == "#":
			l.kind = rest
		case open && closed:
			l.kind = one
			if name, all := strings.CutSuffix(inner, "..."); all {
				inner, l.kind = name, rest
			}
			if l.name = inner; inner == "" || strings.ContainsAny(inner, "{}+#") {
				return p, "a name such as {site} stands for a level"
			}
		case strings.ContainsAny(part, "+#{}"):
			return p, "+, # and {name} stand for a whole level: the one between two slashes"
		}
		if l.kind == rest && i != len(parts)-1 {
			return p, "# and {name...} stand at the end"
		}
		p.levels = append(p.levels, l)
		p.filter += map[kind]string{fixed: part, one: "+", rest: "#"}[l.kind]
		if i < len(parts)-1 {
			p.filter += "/"
		}
	}
	return p, ""
}

// match returns what the named levels hold for a topic.
func (p *pattern) match(topic string) (values map[string]string, ok bool) {
	at, ended := topic, false // ended: nothing is left, not even an empty level
	for i, l := range p.levels {
		if i == 0 && l.kind != fixed && strings.HasPrefix(topic, "$") {
			return nil, false
		}
		if l.kind == rest {
			if l.name != "" {
				values = with(values, l.name, at)
			}
			return values, true // "a/#" matches "a", too
		}
		if ended {
			return nil, false
		}
		head, tail, more := strings.Cut(at, "/")
		if l.kind == fixed && head != l.text {
			return nil, false
		}
		if l.name != "" {
			values = with(values, l.name, head)
		}
		at, ended = tail, !more
	}
	return values, ended
}

func with(m map[string]string, name, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[name] = value
	return m
}

// readPatterns reads the key "topics".
func readPatterns(config map[string]any, p *problems) (out []pattern) {
	var texts []string
	switch v := config["topics"].(type) {
	case string:
		texts = []string{v}
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				p.add("topics", diag.BadValue, "", "wanted texts, found %v", e)
				continue
			}
			texts = append(texts, s)
		}
	}
	if len(texts) == 0 {
		p.add("topics", diag.MissingKey, "For example site/{site}/temperature.", "wanted at least one topic")
	}
	for _, text := range texts {
		one, problem := parsePattern(text)
		if problem != "" {
			p.add("topics", diag.BadValue, "", "%q: %s", text, problem)
			continue
		}
		out = append(out, one)
	}
	return out
}

// names returns the names of levels, in order, and which of them not all patterns have.
func names(patterns []pattern) (all []string, some map[string]bool) {
	count := map[string]int{}
	for _, p := range patterns {
		for _, l := range p.levels {
			if l.name != "" {
				if count[l.name]++; !slices.Contains(all, l.name) {
					all = append(all, l.name)
				}
			}
		}
	}
	some = map[string]bool{}
	for name, n := range count {
		some[name] = n < len(patterns)
	}
	return all, some
}
