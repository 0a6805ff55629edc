package spec

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// Collect is a sink for specifications: it keeps rows for the rows section of its name.
var _ = catalog.AddTransform(catalog.Transform{
	Name:    "Collect",
	Summary: "Keeps rows for a specification to compare.",
	Fields: []catalog.Field{
		{Name: "as", Type: catalog.Text, Doc: "The name of the rows section.", Default: ""},
		{Name: "time", Type: catalog.Boolean, Doc: "Whether to show each row's event time.", Default: "false"},
		{Name: "window", Type: catalog.Boolean, Doc: "Whether to show each row's window.", Default: "false"},
		{Name: "types", Type: catalog.Boolean, Doc: "Whether to show the schema first.", Default: "false"},
	},
	Example: "pipeline:\n  type: chain\n  transforms:\n    - {type: Create, config: {elements: [1]}}\n    - {type: Collect}\n",
	Lower: func(l *catalog.Lowering) catalog.Outputs {
		config := map[string]any{"as": l.Config.Get("as").Text(), "time": l.Config.Get("time").Bool(),
			"window": l.Config.Get("window").Bool(), "types": l.Config.Get("types").Bool()}
		l.Builder.Sink("Collect", config, l.Main())
		return catalog.Outputs{}
	},
})

var _ = catalog.AddConnector(catalog.Connector{
	Name: "Collect",
	Sink: func(config map[string]any, _ *catalog.SinkEnv) (catalog.Sink, error) {
		c := &collect{time: config["time"] == true, window: config["window"] == true, types: config["types"] == true}
		c.name, _ = config["as"].(string)
		return c, nil
	},
})

// collected holds the rows of the case that runs: cases run one after the other.
var collected = &collection{}

type collection struct {
	mu sync.Mutex
	of map[string][]string
}

func (c *collection) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of = map[string][]string{}
}

func (c *collection) add(name string, lines ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[name] = append(c.of[name], lines...)
}

func (c *collection) rows(name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := c.of[name]
	sort.Strings(rows)
	return rows
}

// collect is the sink, the writer and the encoder of a Collect.
type collect struct {
	name                string
	time, window, types bool
	schema              column.Schema
}

func (c *collect) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	c.schema = schema
	if c.types {
		collected.add(c.name, "("+schema.String()+")")
	}
	return c, nil
}

func (c *collect) NewEncoder() catalog.Encoder                     { return c }
func (c *collect) Flush(context.Context) error                     { return nil }
func (c *collect) Abort() error                                    { return nil }
func (c *collect) Commit(context.Context) (catalog.Written, error) { return catalog.Written{}, nil }

func (c *collect) Write(_ context.Context, b *column.Batch) error {
	b.Each(func(i int) {
		row := &column.RowValue{Names: c.schema.Names()}
		for _, col := range b.Cols {
			row.Elems = append(row.Elems, col.Value(i))
		}
		line := expr.Repr(row)
		if c.time {
			line += fmt.Sprintf(" @ %d", b.Time(i))
		}
		if c.window && b.Starts != nil {
			line += fmt.Sprintf(" [%d, %d)", b.Starts[i], b.Ends[i])
		}
		collected.add(c.name, line)
	})
	return nil
}
