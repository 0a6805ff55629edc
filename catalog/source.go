package catalog

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// SourceSpec is a connector that reads: what becomes of it is a Transform without inputs and the Connector that an
// engine opens, both called Name.
type SourceSpec struct {
	Name    string
	Summary string
	Doc     string
	Source  string
	Fields  []Field
	Example string
	// Stream says that the source may be Endless: it then takes StreamFields, too.
	Stream bool
	// Open binds a configuration: it finds files and checks values, and reads no data. It is called when a
	// pipeline is checked and again by the engine, so it must not change anything. A *Problem (or several, by
	// errors.Join) is shown at the place of its key.
	//
	// The configuration is plain data (nil, bool, int64, float64, string, []any, map[string]any) of the keys of Fields
	// that were given, but for this: a key of type Schema holds a column.Type, with the fields in the order of the
	// file (see DeclaredSchema).
	Open func(config map[string]any) (Source, error)
}

// SinkSpec is a connector that writes: a Transform with inputs and without outputs, and the Connector that an engine
// opens, both called Name.
type SinkSpec struct {
	Name    string
	Summary string
	Doc     string
	Source  string
	Fields  []Field
	Example string
	// Open binds a configuration, as SourceSpec.Open does. Nothing is written before Sink.Open.
	Open func(config map[string]any, env *SinkEnv) (Sink, error)
	// Check reports what is wrong with rows of that schema, or nil. It may be nil.
	Check func(config map[string]any, schema column.Schema) error
	// Refuses says that rows can be refused one by one (see Refused, Refuser): the transform takes error_handling.
	Refuses bool
}

// AddSource registers a reading connector. It panics as AddTransform does.
func AddSource(spec SourceSpec) *Transform {
	AddConnector(Connector{Name: spec.Name, Source: spec.Open})
	t := Transform{
		Name: spec.Name, Summary: spec.Summary, Doc: spec.Doc, Source: spec.Source, Example: spec.Example,
		Fields: spec.Fields, Inputs: NoInput, Errors: true,
		Lower: func(l *Lowering) Outputs { return lowerSource(l, spec) },
	}
	if spec.Stream {
		t.Fields = append(append([]Field{}, spec.Fields...), StreamFields()...)
		t.Languages = []string{"generic", "python"} // of "timestamp"
	}
	return AddTransform(t)
}

// AddSink registers a writing connector. It panics as AddTransform does.
func AddSink(spec SinkSpec) *Transform {
	AddConnector(Connector{Name: spec.Name, Sink: spec.Open})
	return AddTransform(Transform{
		Name: spec.Name, Summary: spec.Summary, Doc: spec.Doc, Source: spec.Source, Example: spec.Example,
		Fields: spec.Fields, Errors: spec.Refuses,
		Lower: func(l *Lowering) Outputs { return lowerSink(l, spec) },
	})
}

// DeclaredSchema returns the schema that a connector's configuration declares under key, and whether it does.
func DeclaredSchema(config map[string]any, key string) (column.Schema, bool) {
	t, ok := config[key].(column.Type)
	return t.Fields, ok
}

func lowerSource(l *Lowering, spec SourceSpec) Outputs {
	config, ok := l.connectorConfig(spec.Fields)
	if !ok {
		return Outputs{}
	}
	open, err := Resolve(config)
	if err != nil {
		l.report(err)
		return Outputs{}
	}
	source, err := spec.Open(open)
	if err != nil {
		l.report(err)
		return Outputs{}
	}
	schema, err := source.Schema(l.context())
	if err != nil {
		l.report(err)
		return Outputs{}
	}
	endless, _ := source.(Endless)
	n := l.Builder.Source(spec.Name, config, schema, endless != nil && endless.Unbounded())
	if !spec.Stream {
		return Main(n.Main(), n)
	}
	return l.timed(n)
}

// timed gives the rows of a source the event time and the watermark that its configuration says.
func (l *Lowering) timed(n *plan.Node) Outputs {
	out := Main(n.Main(), n)
	w, ok := l.Watermark(l.Config.Get("watermark"), n.Main())
	given := l.Config.Get("timestamp")
	if !ok || w == nil && (given == nil || given.Data == nil) {
		return out
	}
	var time *expr.Expr
	if given != nil && given.Data != nil {
		if time = l.Timestamp(given, n.Main()); time == nil {
			return Outputs{}
		}
		if w == nil {
			w = &plan.Watermark{Idle: plan.DefaultIdle}
		}
	}
	at := l.Builder.AssignTime(n.Main(), time, w)
	out = Main(at.Main(), at)
	out.Errors = append(out.Errors, Main(n.Main(), n).Errors...)
	return out
}

// Timestamp reads an expression for the event time of rows; nil after a problem.
func (l *Lowering) Timestamp(v *Value, rows plan.Ref) *expr.Expr {
	time := l.Expr(v, l.Builder.Plan.Port(rows).Schema)
	if time == nil {
		return nil
	}
	switch time.Type.Kind {
	case column.Int, column.Float, column.String, column.Time, column.Any, column.Null:
		return time
	}
	l.Problems.Errorf(v.Place, diag.TypeMismatch, "wanted seconds, an RFC 3339 string or a timestamp, found %s", time.Type)
	return nil
}

func lowerSink(l *Lowering, spec SinkSpec) Outputs {
	config, ok := l.connectorConfig(spec.Fields)
	if !ok {
		return Outputs{}
	}
	open, err := Resolve(config)
	if err != nil {
		l.report(err)
		return Outputs{}
	}
	sink, err := spec.Open(open, &SinkEnv{Name: l.Name, Log: func(string, string) {}, Stream: l.streams()})
	if err != nil {
		l.report(err)
		return Outputs{}
	}
	if t, ok := sink.(Targeted); ok && !l.claim(t.Targets()) {
		return Outputs{}
	}
	if spec.Check != nil {
		if err := spec.Check(config, l.Schema()); err != nil {
			l.report(err)
			return Outputs{}
		}
	}
	refs := make([]plan.Ref, len(l.In))
	for i := range l.In {
		refs[i] = l.In[i].Ref
	}
	if !spec.Refuses || len(refs) == 0 {
		l.Builder.Sink(spec.Name, config, refs...)
		return Outputs{}
	}
	errors, _ := l.Builder.RefusingSink(spec.Name, config, refs...).Errors()
	return Outputs{Errors: []plan.Ref{errors}}
}

// streams reports whether the pipeline runs as a stream, as far as can be seen from what the transform reads.
func (l *Lowering) streams() bool {
	streaming, _ := l.Builder.Plan.Options["streaming"].(bool)
	return streaming || slices.ContainsFunc(l.In, func(in Input) bool { return l.Builder.Plan.Port(in.Ref).Unbounded })
}

// claim reports a target that another sink writes, and keeps the others for later sinks to meet.
func (l *Lowering) claim(targets []string) bool {
	at := l.Place
	for _, key := range []string{"path", "file_path_prefix"} {
		if v := l.Config.Get(key); v != nil {
			at = v.Place
		}
	}
	if l.Builder.Targets == nil {
		l.Builder.Targets = map[string]diag.Place{}
	}
	for _, t := range targets {
		full, err := filepath.Abs(t)
		if err != nil {
			full = filepath.Clean(t)
		}
		if first, taken := l.Builder.Targets[full]; taken {
			p := l.Problems.Errorf(at, diag.BadValue, "another sink writes %q too, and one would replace what the other wrote", t)
			p.Hint = "Give each sink a path of its own, or make both inputs those of one sink."
			p.Notes = append(p.Notes, diag.Note{Place: first, Text: "the other sink is here"})
			return false
		}
		l.Builder.Targets[full] = at
	}
	return true
}

// connectorConfig returns the given keys of fields as plain data, schemas parsed.
func (l *Lowering) connectorConfig(fields []Field) (config map[string]any, ok bool) {
	config, ok = map[string]any{}, true
	for _, f := range fields {
		v := l.Config.Get(f.Name)
		if v == nil || v.Data == nil {
			continue
		}
		if f.Type != Schema || l.avroSchema() {
			config[f.Name] = v.Plain()
			continue
		}
		t, parsed := ParseSchema(v, l.Problems)
		if parsed && t.Kind != column.Row {
			l.Problems.Errorf(v.Place, diag.BadSchema, "wanted the schema of a row (type: object), found %s", t)
			parsed = false
		}
		if parsed && NeedsSchema(v.Plain()) {
			l.Problems.Warnf(v.Place, diag.BadSchema, "only the types of this schema are used: what else it says of values is not checked").Hint =
				"Put a ValidateWithSchema after this transform."
		}
		ok = ok && parsed
		config[f.Name] = t
	}
	return config, ok
}

// avroSchema reports whether schemas of the configuration are those of Avro, which the connector reads itself.
func (l *Lowering) avroSchema() bool {
	format := l.Config.Get("format")
	return format != nil && strings.EqualFold(format.Text(), "AVRO")
}

// report adds err to the problems: a *Problem at the place of its key, anything else at the transform.
func (l *Lowering) report(err error) { l.Report(l.Config, err) }

// Report adds err to the problems: a *Problem at the place of its key within config, anything else at the transform.
func (l *Lowering) Report(config *Value, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			l.Report(config, e)
		}
		return
	}
	var p *Problem
	if !errors.As(err, &p) {
		p = &Problem{Code: diag.BadFile, Text: err.Error()}
	}
	at := l.Place
	if v := config.Get(p.Key); v != nil {
		at = v.Place
	}
	l.Problems.Errorf(at, p.Code, "%s", p.Text).Hint = p.Hint
}

func (l *Lowering) context() context.Context {
	if l.Context != nil {
		return l.Context
	}
	return context.Background()
}
