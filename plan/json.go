package plan

import (
	"encoding/json"
	"math"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
)

// MarshalJSON writes the plan whole: nodes in order, expressions as their canonical text and type, schemas as lists of
// fields. Lengths of time are in milliseconds.
func (p *Plan) MarshalJSON() ([]byte, error) {
	out := planJSON{Version: 1, Name: p.Name, Options: configJSON(p.Options), Nodes: make([]nodeJSON, len(p.Nodes))}
	for i, n := range p.Nodes {
		out.Nodes[i] = nodeJSON{ID: n.ID, Name: n.Name, Transform: n.Transform, Kind: n.Op.Kind(), Threshold: n.Threshold, Op: opJSON(n)}
		if !n.Place.IsZero() {
			at := n.Place
			out.Nodes[i].Place = &at
		}
		for _, in := range n.In {
			out.Nodes[i].In = append(out.Nodes[i].In, refJSON{Node: in.Node, Port: p.Nodes[in.Node].Out[in.Port].Name})
		}
		for _, port := range n.Out {
			out.Nodes[i].Out = append(out.Nodes[i].Out, portJSON{Name: port.Name, Schema: schemaJSON(port.Schema), Window: windowJSON(port.Window), Explicit: port.Explicit, Unbounded: port.Unbounded})
		}
	}
	return json.Marshal(out)
}

type planJSON struct {
	Version int        `json:"version"`
	Name    string     `json:"name"`
	Options any        `json:"options,omitempty"`
	Nodes   []nodeJSON `json:"nodes"`
}

type nodeJSON struct {
	ID        int            `json:"id"`
	Name      string         `json:"name"`
	Transform string         `json:"transform,omitempty"`
	Kind      string         `json:"kind"`
	Place     any            `json:"place,omitempty"`
	Threshold *float64       `json:"threshold,omitempty"`
	In        []refJSON      `json:"in,omitempty"`
	Op        map[string]any `json:"op"`
	Out       []portJSON     `json:"out,omitempty"`
}

type refJSON struct {
	Node int    `json:"node"`
	Port string `json:"port"`
}

type portJSON struct {
	Name     string         `json:"name"`
	Schema   []fieldJSON    `json:"schema"`
	Window   map[string]any `json:"window,omitempty"`
	Explicit bool           `json:"explicit,omitempty"`
	// Unbounded is left out where rows end.
	Unbounded bool `json:"unbounded,omitempty"`
}

type fieldJSON struct {
	Name string `json:"name"`
	Type any    `json:"type"`
}

func schemaJSON(s column.Schema) []fieldJSON {
	out := make([]fieldJSON, len(s))
	for i, f := range s {
		out[i] = fieldJSON{Name: f.Name, Type: typeJSON(f.Type)}
	}
	return out
}

// typeJSON is the name of a type without parameters ("int", "string?"), or an object.
func typeJSON(t column.Type) any {
	switch t.Kind {
	case column.List, column.Map:
		return parametersJSON(t, "elem", typeJSON(*t.Elem))
	case column.Row:
		return parametersJSON(t, "fields", schemaJSON(t.Fields))
	}
	return t.String()
}

func parametersJSON(t column.Type, key string, value any) any {
	out := map[string]any{"kind": t.Kind.String(), key: value}
	if t.Nullable {
		out["nullable"] = true
	}
	return out
}

func exprJSON(e *expr.Expr) map[string]any {
	return map[string]any{"text": exprText(e), "type": typeJSON(e.Type)}
}

// windowJSON is nil for the global window without more.
func windowJSON(w Windowing) map[string]any {
	if w == (Windowing{}) {
		return nil
	}
	out := map[string]any{"type": "global"}
	switch w.Kind {
	case Fixed:
		out = map[string]any{"type": "fixed", "size_ms": w.Size, "offset_ms": w.Offset}
	case Sliding:
		out = map[string]any{"type": "sliding", "size_ms": w.Size, "period_ms": w.Period, "offset_ms": w.Offset}
	case Sessions:
		out = map[string]any{"type": "sessions", "gap_ms": w.Gap}
	}
	for key, ms := range map[string]int64{"lateness_ms": w.Lateness, "early_count": w.Early.Count, "early_delay_ms": w.Early.Delay,
		"late_count": w.Late.Count, "late_delay_ms": w.Late.Delay} {
		if ms > 0 {
			out[key] = ms
		}
	}
	if w.Accumulating {
		out["accumulating"] = true
	}
	return out
}

// opJSON is what a node does, by the names of the op's fields.
func opJSON(n *Node) map[string]any {
	switch op := n.Op.(type) {
	case *Source:
		return map[string]any{"connector": op.Connector, "config": configJSON(op.Config)}
	case *Sink:
		return map[string]any{"connector": op.Connector, "config": configJSON(op.Config)}
	case *Map:
		list := make([]map[string]any, len(op.Exprs))
		for i, e := range op.Exprs {
			list[i] = exprJSON(e)
			list[i]["name"] = n.Out[0].Schema[i].Name
		}
		return map[string]any{"fields": list, "context": op.Context}
	case *Filter:
		return map[string]any{"keep": exprJSON(op.Keep)}
	case *Explode:
		return map[string]any{"fields": op.Fields, "cross": op.Cross}
	case *Route:
		return map[string]any{"by": exprJSON(op.By), "outputs": op.Outputs, "unknown": op.Unknown}
	case *AssignTime:
		out := map[string]any{}
		if op.Time != nil {
			out["time"] = exprJSON(op.Time)
		}
		if w := op.Watermark; w != nil {
			out["watermark"] = map[string]any{"disorder_ms": w.Disorder, "per": w.Per, "idle_ms": w.Idle, "future_ms": w.Future}
		}
		return out
	case *Ordered:
		args := make([]any, len(op.Args))
		for i, e := range op.Args {
			args[i] = exprJSON(e)
		}
		out := map[string]any{"fn": op.Fn, "config": configJSON(op.Config), "keys": op.Keys, "args": args, "tag": op.Tag}
		if op.Gap > 0 {
			out["gap_ms"] = op.Gap
		}
		return out
	case *Window:
		return map[string]any{"windowing": windowJSON(op.Windowing)}
	case *Aggregate:
		aggs := make([]map[string]any, len(op.Aggs))
		for i, a := range op.Aggs {
			aggs[i] = map[string]any{"name": a.Name, "fn": a.Fn, "arg": exprJSON(a.Arg), "type": typeJSON(a.Type)}
		}
		return map[string]any{"keys": op.Keys, "aggs": aggs}
	case *Call:
		return map[string]any{"connector": op.Connector, "config": configJSON(op.Config), "arg": exprJSON(op.Arg)}
	case *Infer:
		out := map[string]any{"task": op.Task, "model": op.Model, "config": configJSON(op.Config), "tag": op.Tag}
		inputs := make([]any, len(op.Inputs))
		for i, e := range op.Inputs {
			if e != nil {
				inputs[i] = exprJSON(e)
			}
		}
		out["inputs"] = inputs
		if op.Example != nil {
			out["example"] = exprJSON(op.Example)
		}
		if op.Ordered {
			out["keys"] = op.Keys
		}
		return out
	}
	return map[string]any{}
}

// configJSON makes configuration fit for JSON: types, and numbers and bytes that JSON lacks, are objects with one key.
func configJSON(v any) any {
	switch v := v.(type) {
	case column.Type:
		return map[string]any{"$type": typeJSON(v)}
	case float64:
		switch {
		case math.IsNaN(v):
			return map[string]any{"$float": "nan"}
		case math.IsInf(v, 1):
			return map[string]any{"$float": "inf"}
		case math.IsInf(v, -1):
			return map[string]any{"$float": "-inf"}
		}
	case []byte:
		return map[string]any{"$bytes": v}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = configJSON(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = configJSON(e)
		}
		return out
	case *column.RowValue:
		fields := make([]any, len(v.Names))
		for i, name := range v.Names {
			fields[i] = []any{name, configJSON(v.Elems[i])}
		}
		return map[string]any{"$row": fields}
	case *column.ListValue:
		out := make([]any, len(v.Elems))
		for i, e := range v.Elems {
			out[i] = configJSON(e)
		}
		return out
	case *column.MapValue:
		entries := make([]any, len(v.Keys))
		for i, k := range v.Keys {
			entries[i] = []any{configJSON(k), configJSON(v.Elems[i])}
		}
		return map[string]any{"$map": entries}
	}
	return v
}
