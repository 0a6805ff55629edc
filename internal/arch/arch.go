// Package arch holds the house to its picture: the block of rooms in docs/ARCHITECTURE.md says who may import whom, and
// this package's test reads it and the imports of every file. It has no use outside tests.
package arch

import (
	"fmt"
	"slices"
	"strings"
)

// Rules are the rooms of the picture, in its order, with the rooms that each may import. "*" stands for all.
type Rules struct {
	Rooms []string
	May   map[string][]string
}

// Parse reads the block that begins with ```rooms. A room may only name rooms above it.
func Parse(markdown string) (*Rules, error) {
	_, rest, found := strings.Cut(markdown, "```rooms\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		return nil, fmt.Errorf("no block of rooms found")
	}
	rules := &Rules{May: map[string][]string{}}
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, list, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, fmt.Errorf("wanted \"room: rooms\", found %q", line)
		}
		if _, twice := rules.May[name]; twice {
			return nil, fmt.Errorf("room %q stands there twice", name)
		}
		may := strings.Fields(list)
		for _, m := range may {
			if m != "*" && !slices.Contains(rules.Rooms, m) {
				return nil, fmt.Errorf("room %q may import %q, which does not stand above it", name, m)
			}
		}
		rules.Rooms = append(rules.Rooms, name)
		rules.May[name] = may
	}
	return rules, nil
}

// Allowed reports whether a file of one room may import another.
func (r *Rules) Allowed(from, to string) bool {
	may := r.May[from]
	return from == to || to == "internal" || slices.Contains(may, "*") || slices.Contains(may, to)
}
