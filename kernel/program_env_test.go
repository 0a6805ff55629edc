package kernel

import (
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// oneRow is a batch of one row with the field x, at that time.
func oneRow(x int64, ms int64) *column.Batch {
	return &column.Batch{N: 1, Cols: []*column.Vector{{Type: column.IntType, N: 1, Ints: []int64{x}}}, Times: []int64{ms}}
}

func TestMeta(t *testing.T) {
	fixed := &plan.Port{Window: plan.Windowing{Kind: plan.Fixed, Size: 10_000, Offset: 1000}}
	sliding := &plan.Port{Window: plan.Windowing{Kind: plan.Sliding, Size: 10_000, Period: 4000}}
	sessions := &plan.Port{Window: plan.Windowing{Kind: plan.Sessions, Gap: 30_000}}
	grouped := &plan.Port{Window: fixed.Window, Explicit: true}
	own := oneRow(1, 19_999)
	own.Starts, own.Ends = []int64{7000}, []int64{20_000}
	early := oneRow(1, 0)
	early.Times = nil
	global := column.EndOfGlobalWindow
	for _, c := range []struct {
		name       string
		b          *column.Batch
		port       *plan.Port
		start, end column.Instant
		text, kind string
	}{
		{"no port", oneRow(1, 5), nil, column.MinInstant, global, "GlobalWindow", "GlobalWindow"},
		{"global", oneRow(1, 5), &plan.Port{}, column.MinInstant, global, "GlobalWindow", "GlobalWindow"},
		{"fixed", oneRow(1, 12_345), fixed, 11_000, 21_000, "[11.0, 21.0)", "IntervalWindow"},
		{"fixed, before 1970", oneRow(1, -1), fixed, -9000, 1000, "[-9.0, 1.0)", "IntervalWindow"},
		{"fixed, no times", early, &plan.Port{Window: plan.Windowing{Kind: plan.Fixed, Size: 10_000}}, -9223372036860000, -9223372036850000,
			"[-9223372036860.0, -9223372036850.0)", "IntervalWindow"},
		{"sliding", oneRow(1, 9000), sliding, 8000, 18_000, "[8.0, 18.0)", "IntervalWindow"},
		{"sessions", oneRow(1, 7), sessions, 7, 30_007, "[0.007, 30.007)", "IntervalWindow"},
		{"own window", own, grouped, 7000, 20_000, "[7.0, 20.0)", "IntervalWindow"},
	} {
		env := NewEnv(column.Schema{{Name: "x", Type: column.IntType}})
		env.At(c.b, c.port, 0)
		for name, want := range map[string]column.Value{
			"timestamp": c.b.Time(0), "window_start": c.start, "window_end": c.end, "window_string": c.text, "window_type": c.kind,
			"window_object": &column.RowValue{Names: []string{"start", "end"}, Elems: []column.Value{c.start, c.end}},
			"nothing":       nil,
		} {
			if got := env.Meta(name); !same(got, want) {
				t.Errorf("%s: %s is %s, want %s", c.name, name, expr.Repr(got), expr.Repr(want))
			}
		}
		for _, name := range []string{"timestamp", "window_start", "window_end"} {
			p := Compile(&expr.Expr{Op: expr.OpMeta, Name: name, Type: column.TimeType}, nil)
			v, failures := p.Run(c.b, c.port)
			if got := v.Value(0); !p.Vectorised() || len(failures) > 0 || got != env.Meta(name) {
				t.Errorf("%s: program of %s gives %v, want %v", c.name, name, got, env.Meta(name))
			}
		}
	}
	env := NewEnv(nil)
	env.At(own, grouped, 0)
	if got := expr.Repr(env.Meta("pane_info")); got != "Row(is_first=True, is_last=True, timing='ON_TIME', index=0, nonspeculative_index=0)" {
		t.Errorf("pane_info is %s", got)
	}
}

func TestRowOf(t *testing.T) {
	schema := column.Schema{{Name: "x", Type: column.IntType}}
	if got := expr.Repr(RowOf(oneRow(7, 0), schema, 0)); got != "Row(x=7)" {
		t.Errorf("got %s", got)
	}
	env := NewEnv(schema)
	env.At(oneRow(7, 0), nil, 0)
	if v, ok := env.Field("x"); v != int64(7) || !ok {
		t.Errorf("field x is %v, %v", v, ok)
	}
	if _, ok := env.Field("y"); ok {
		t.Error("there is no field y")
	}
}

// TestColumnOfAnotherKind: a source that breaks its promise about a type costs speed, never a panic.
func TestColumnOfAnotherKind(t *testing.T) {
	schema := column.Schema{{Name: "x", Type: column.FloatType}}
	e, problems := parse("x + 1", schema)
	if e == nil {
		t.Fatal(problems.Problems)
	}
	p := Compile(e, schema)
	_, failures := p.Run(oneRow(7, 0), nil)
	if len(failures) != 1 || failures[0].Err.Error() != "TypeError: expected float, found int" {
		t.Errorf("got %v", failures)
	}
	if sel, failures := p.Select(oneRow(7, 0), nil, nil); len(sel) != 1 || len(failures) != 0 {
		t.Errorf("selected %v, failed %v", sel, failures)
	}
}

// TestFieldIsNotCopied: a field's program passes on the batch's own column.
// TestRowThatLostFields wants an attribute of an attribute to be read from its column where the row has fewer fields than its expression
// says, as after the planner has taken out what nothing reads.
func TestRowThatLostFields(t *testing.T) {
	row := func(fields ...string) column.Type {
		s := column.Schema{{Name: "inner", Type: column.RowOf(column.Schema{{Name: "x", Type: column.IntType}})}}
		for _, f := range fields {
			s = append(s, column.Field{Name: f, Type: column.StringType})
		}
		return column.RowOf(s)
	}
	checked, now := row("lost"), row()
	inner := checked.Fields[0]
	e := expr.FieldRef(column.Field{Name: "x", Type: column.IntType}).Within(inner).Within(column.Field{Name: "outer", Type: checked})
	p := Compile(e, column.Schema{{Name: "outer", Type: now}})
	x := &column.Vector{Type: column.IntType, N: 2, Ints: []int64{7, 8}}
	outer := &column.Vector{Type: now, N: 2, Children: []*column.Vector{{Type: inner.Type, N: 2, Children: []*column.Vector{x}}}}
	v, failures := p.Run(&column.Batch{N: 2, Cols: []*column.Vector{outer}}, nil)
	if !p.Vectorised() || len(failures) > 0 || v.Ints[1] != 8 {
		t.Errorf("got %v, vectorised %v, failures %v", v, p.Vectorised(), failures)
	}
}

func TestFieldIsNotCopied(t *testing.T) {
	schema := column.Schema{{Name: "x", Type: column.IntType}}
	b := oneRow(7, 0)
	if v, _ := Compile(expr.FieldRef(schema[0]), schema).Run(b, nil); v != b.Cols[0] {
		t.Error("the column was copied")
	}
}

// TestConform: a value of the right static type passes as it is; a null raises as the interpreter says.
func TestConform(t *testing.T) {
	schema := column.Schema{{Name: "x", Type: column.IntType.OrNull()}}
	b := &column.Batch{N: 2, Cols: []*column.Vector{{Type: schema[0].Type, N: 2, Ints: []int64{5, 0}, Valid: []byte{1}}}}
	e := &expr.Expr{Op: expr.OpConform, Type: column.IntType, Args: []*expr.Expr{expr.FieldRef(schema[0])}, Conform: &expr.Conform{Type: column.IntType}}
	p := Compile(e, schema)
	v, failures := p.Run(b, nil)
	if !p.Vectorised() || v.Value(0) != int64(5) || len(failures) != 1 || failures[0].Row != 1 {
		t.Errorf("got %v, %v", v.Value(0), failures)
	}
	e.Conform.Type = column.IntType.OrNull()
	e.Type = e.Conform.Type
	v, failures = Compile(e, schema).Run(b, nil)
	if v.Value(0) != int64(5) || v.Value(1) != nil || len(failures) != 0 {
		t.Errorf("nullable: got %v, %v, %v", v.Value(0), v.Value(1), failures)
	}
}

// TestSteadyState: numeric programs and texts allocate nothing once they have seen a batch.
func TestSteadyState(t *testing.T) {
	batch := benchBatch(256)
	for _, text := range benchExprs {
		e, problems := parse(text, benchSchema)
		if e == nil {
			t.Fatal(problems.Problems)
		}
		p := Compile(e, benchSchema)
		sel, _ := p.Select(batch, nil, nil)
		p.Run(batch, nil)
		if n := testing.AllocsPerRun(10, func() { p.Run(batch, nil) }); n != 0 {
			t.Errorf("%s: %v allocations in Run", text, n)
		}
		if n := testing.AllocsPerRun(10, func() { sel, _ = p.Select(batch, nil, sel) }); n != 0 {
			t.Errorf("%s: %v allocations in Select", text, n)
		}
	}
}
