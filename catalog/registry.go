package catalog

import (
	"fmt"
	"sort"
	"sync"
)

// registry is the one global of the project: transforms and connectors register themselves when their package is
// loaded. It is frozen at the first look-up.
var registry = struct {
	sync.Mutex
	frozen     bool
	transforms map[string]*Transform
	connectors map[string]*Connector
}{transforms: map[string]*Transform{}, connectors: map[string]*Connector{}}

// AddTransform registers a transform and returns it. It panics where the entry is incomplete or repeated, so that a
// mistake stops the first test.
func AddTransform(t Transform) *Transform {
	registry.Lock()
	defer registry.Unlock()
	switch {
	case registry.frozen:
		panic(fmt.Sprintf("catalog: transform %q registered after the first look-up", t.Name))
	case t.Name == "" || t.Summary == "" || t.Example == "" || t.Lower == nil:
		panic(fmt.Sprintf("catalog: transform %q is incomplete: it needs Name, Summary, Example and Lower", t.Name))
	case registry.transforms[t.Name] != nil:
		panic(fmt.Sprintf("catalog: transform %q is registered twice", t.Name))
	}
	for _, f := range t.Fields {
		if f.Name == "" || f.Doc == "" {
			panic(fmt.Sprintf("catalog: transform %q has an undocumented field %q", t.Name, f.Name))
		}
	}
	registry.transforms[t.Name] = &t
	return &t
}

// AddConnector registers a connector and returns it. It panics as AddTransform does.
func AddConnector(c Connector) *Connector {
	registry.Lock()
	defer registry.Unlock()
	if registry.frozen || c.Name == "" || registry.connectors[c.Name] != nil {
		panic(fmt.Sprintf("catalog: connector %q is late, unnamed or registered twice", c.Name))
	}
	registry.connectors[c.Name] = &c
	return &c
}

// LookUp returns the transform of that name, or nil.
func LookUp(name string) *Transform {
	registry.Lock()
	defer registry.Unlock()
	registry.frozen = true
	return registry.transforms[name]
}

// LookUpConnector returns the connector of that name, or nil.
func LookUpConnector(name string) *Connector {
	registry.Lock()
	defer registry.Unlock()
	registry.frozen = true
	return registry.connectors[name]
}

// Names returns the names of all transforms, sorted.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	registry.frozen = true
	names := make([]string, 0, len(registry.transforms))
	for n := range registry.transforms {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
