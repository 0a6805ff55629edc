package kernel

import (
	"flag"
	"fmt"
	"math"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// testSchema has a field of each kind that programs treat in its own way.
var testSchema = column.Schema{
	{Name: "i", Type: column.IntType},
	{Name: "j", Type: column.IntType.OrNull()},
	{Name: "f", Type: column.FloatType},
	{Name: "g", Type: column.FloatType.OrNull()},
	{Name: "s", Type: column.StringType},
	{Name: "t", Type: column.StringType.OrNull()},
	{Name: "b", Type: column.BoolType},
	{Name: "c", Type: column.BoolType.OrNull()},
	{Name: "w", Type: column.TimeType},
	{Name: "v", Type: column.TimeType.OrNull()},
	{Name: "r", Type: column.RowOf(column.Schema{
		{Name: "x", Type: column.IntType.OrNull()},
		{Name: "y", Type: column.StringType},
		{Name: "z", Type: column.RowOf(column.Schema{{Name: "deep", Type: column.FloatType}})},
	})},
	{Name: "q", Type: column.RowOf(column.Schema{{Name: "x", Type: column.IntType}, {Name: "y", Type: column.StringType.OrNull()}}).OrNull()},
	{Name: "l", Type: column.ListOf(column.IntType)},
	{Name: "m", Type: column.ListOf(column.StringType.OrNull()).OrNull()},
	{Name: "u", Type: column.NullType},
	{Name: "o", Type: column.AnyType},
}

var (
	intPool    = []int64{0, 1, -1, 2, 3, 7, 10, -7, 100, 1 << 31, 1<<53 - 1, 1 << 53, 1<<53 + 1, -(1<<53 + 1), 3037000500, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1}
	floatPool  = []float64{0, math.Copysign(0, -1), 1, -1, 0.5, 1.5, 2.5, -2.5, 0.1, 1e-5, 123456.789, 1e16, 1e22, 1e300, -1e300, 5e-324, 1 << 53, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1)}
	stringPool = []string{"", "a", "ok", "OK", "error", "12345678", "123456789", " pad\t", "Straße", "日本語", "\u00a0x\u00a0", "a/b/c", "42", "-7", " 3 ", "1_000", "2.5", "1e3", "inf", "x", strings.Repeat("long ", 10), "ﬁ", "\x1fx"}
	timePool   = []int64{0, 1, -1, 999, 1_700_000_000_123, int64(column.MinInstant), int64(column.MaxInstant)}
)

// testBatch makes n rows of testSchema, with a selection for most seeds.
func testBatch(rng *rand.Rand, n int) *column.Batch {
	b := &column.Batch{N: n}
	calm := rng.Intn(3) > 0 // mostly ordinary numbers
	for _, f := range testSchema {
		bld := column.NewBuilder(f.Type)
		nulls := rng.Intn(4) > 0
		for range n {
			v := testValue(rng, f.Type, calm, nulls)
			if err := bld.Append(v); err != nil {
				panic(err)
			}
		}
		b.Cols = append(b.Cols, bld.Finish())
	}
	if rng.Intn(3) > 0 {
		b.Times = make([]int64, n)
		for i := range b.Times {
			b.Times[i] = timePool[rng.Intn(len(timePool))]
		}
	}
	if rng.Intn(4) > 0 {
		b.Sel = []int32{}
		share := rng.Intn(100)
		for i := range n {
			if rng.Intn(100) < share {
				b.Sel = append(b.Sel, int32(i))
			}
		}
	}
	return b
}

func testValue(rng *rand.Rand, t column.Type, calm, nulls bool) column.Value {
	if t.MayBeNull() && nulls && rng.Intn(4) == 0 {
		return nil
	}
	switch t.Kind {
	case column.Bool:
		return rng.Intn(2) == 0
	case column.Int:
		if calm {
			return int64(rng.Intn(21) - 10)
		}
		return intPool[rng.Intn(len(intPool))]
	case column.Float:
		if calm {
			return float64(rng.Intn(4000))/100 - 20
		}
		return floatPool[rng.Intn(len(floatPool))]
	case column.String:
		return stringPool[rng.Intn(len(stringPool))]
	case column.Time:
		return column.Instant(timePool[rng.Intn(len(timePool))])
	case column.List:
		l := &column.ListValue{}
		for range rng.Intn(4) {
			l.Elems = append(l.Elems, testValue(rng, *t.Elem, calm, nulls))
		}
		return l
	case column.Row:
		r := &column.RowValue{Names: t.Fields.Names()}
		for _, f := range t.Fields {
			r.Elems = append(r.Elems, testValue(rng, f.Type, calm, nulls))
		}
		return r
	case column.Any:
		kinds := []column.Type{column.IntType, column.FloatType, column.StringType, column.BoolType}
		return testValue(rng, kinds[rng.Intn(len(kinds))], calm, nulls)
	}
	return nil
}

// generator writes Python expressions over testSchema. Most of them have a type; some do not, or fail in some rows.
type generator struct{ rng *rand.Rand }

func (g generator) one(options ...string) string { return options[g.rng.Intn(len(options))] }

func (g generator) any(depth int) string {
	switch g.rng.Intn(5) {
	case 0:
		return g.integer(depth)
	case 1:
		return g.real(depth)
	case 2:
		return g.text(depth)
	case 3:
		return g.one("w", "v", "l", "m", "r", "q", "u", "o", "None", "r.z")
	}
	return g.boolean(depth)
}

func (g generator) number(depth int) string {
	if g.rng.Intn(2) == 0 {
		return g.integer(depth)
	}
	return g.real(depth)
}

func (g generator) integer(depth int) string {
	if depth <= 0 || g.rng.Intn(4) == 0 {
		return g.one("i", "j", "i", "0", "1", "-1", "2", "7", "1000000", "9007199254740993", "9223372036854775807", "r.x", "q.x", "b", "c", "l[0]", "l[-1]", "l[2]")
	}
	d := depth - 1
	switch g.rng.Intn(12) {
	case 0, 1, 2, 3:
		return fmt.Sprintf("(%s %s %s)", g.integer(d), g.one("+", "-", "*", "//", "%"), g.integer(d))
	case 4:
		return fmt.Sprintf("len(%s)", g.one(g.text(d), "l", "m"))
	case 5:
		return fmt.Sprintf("int(%s)", g.one(g.real(d), g.text(d), g.integer(d), g.boolean(d)))
	case 6:
		return fmt.Sprintf("abs(%s)", g.integer(d))
	case 7:
		return fmt.Sprintf("%s(%s, %s)", g.one("min", "max"), g.integer(d), g.integer(d))
	case 8:
		return fmt.Sprintf("(%s%s)", g.one("-", "+", "~", "- "), g.integer(d))
	case 9:
		return fmt.Sprintf("(%s if %s else %s)", g.integer(d), g.any(d), g.integer(d))
	case 10:
		return fmt.Sprintf("(%s %s %s)", g.integer(d), g.one("and", "or"), g.integer(d))
	}
	return fmt.Sprintf("(%s // %s)", g.one("w.micros", "v.micros", "i"), g.one("1000000", "3", "1", "-2", "4"))
}

func (g generator) real(depth int) string {
	if depth <= 0 || g.rng.Intn(4) == 0 {
		return g.one("f", "g", "f", "0.0", "1.5", "-0.5", "20.0", "1e16", "r.z.deep")
	}
	d := depth - 1
	switch g.rng.Intn(10) {
	case 0, 1, 2:
		return fmt.Sprintf("(%s %s %s)", g.real(d), g.one("+", "-", "*", "/", "//", "%"), g.number(d))
	case 3:
		return fmt.Sprintf("(%s %s %s)", g.number(d), g.one("+", "-", "*", "/", "//", "%", "**"), g.real(d))
	case 4:
		return fmt.Sprintf("(%s / %s)", g.integer(d), g.integer(d))
	case 5:
		return fmt.Sprintf("float(%s)", g.one(g.number(d), g.text(d)))
	case 6:
		return fmt.Sprintf("round(%s%s)", g.real(d), g.one(", 2", ", 0", ", 5", "", ", -1"))
	case 7:
		return fmt.Sprintf("%s(%s, %s)", g.one("min", "max"), g.real(d), g.real(d))
	case 8:
		return fmt.Sprintf("(-%s)", g.real(d))
	}
	return fmt.Sprintf("(%s if %s else %s)", g.real(d), g.any(d), g.one(g.real(d), "None"))
}

func (g generator) text(depth int) string {
	if depth <= 0 || g.rng.Intn(4) == 0 {
		return g.one("s", "t", "s", "'ok'", "''", "'Ä'", "r.y", "q.y", "m[0]", "m[-1]")
	}
	d := depth - 1
	switch g.rng.Intn(9) {
	case 0, 1:
		return fmt.Sprintf("(%s + %s)", g.text(d), g.text(d))
	case 2:
		return fmt.Sprintf("str(%s)", g.any(d))
	case 3:
		return fmt.Sprintf("%s.%s()", g.text(d), g.one("lower", "upper", "strip", "lstrip", "rstrip", "title"))
	case 4:
		return fmt.Sprintf("%s.replace(%s, %s)", g.text(d), g.one("'a'", "'o'", "'1'", "''", "'ok'"), g.one("'xx'", "''", "'é'"))
	case 5:
		return fmt.Sprintf("(%s if %s else %s)", g.text(d), g.any(d), g.one(g.text(d), "None"))
	case 6:
		return fmt.Sprintf("(%s %s %s)", g.text(d), g.one("and", "or"), g.text(d))
	case 7:
		return fmt.Sprintf(`f"{%s:%s}|{%s:%s}"`, g.noQuotes(g.real(d)), g.one(".4f", ".2f", "08.3f", ".0f", ".1e", "10.1f"), g.noQuotes(g.integer(d)), g.one("d", "05d", "8d", ".1f", "05"))
	}
	return fmt.Sprintf(`f"<{%s}/{%s}/{%s}>"`, g.noQuotes(g.any(d)), g.noQuotes(g.number(d)), g.noQuotes(g.text(d)))
}

// noQuotes drops expressions that cannot stand inside an f-string of Python 3.11.
func (g generator) noQuotes(e string) string {
	if strings.ContainsAny(e, `"\`) {
		return "i"
	}
	return e
}

func (g generator) boolean(depth int) string {
	if depth <= 0 || g.rng.Intn(5) == 0 {
		return g.one("b", "c", "True", "False", "t is None", "u is None", "q is not None", "g == None")
	}
	d := depth - 1
	op := g.one("==", "!=", "<", "<=", ">", ">=")
	switch g.rng.Intn(11) {
	case 0, 1:
		return fmt.Sprintf("(%s %s %s)", g.number(d), op, g.number(d))
	case 2:
		return fmt.Sprintf("(%s %s %s)", g.text(d), op, g.text(d))
	case 3:
		return fmt.Sprintf("(%s %s %s %s %s)", g.number(d), op, g.number(d), g.one("<", "<=", ">", "!="), g.number(d))
	case 4:
		return fmt.Sprintf("(%s %s %s)", g.one("w", "v"), op, g.one("w", "v"))
	case 5:
		return fmt.Sprintf("(%s %s %s)", g.any(d), g.one("and", "or"), g.boolean(d))
	case 6:
		return fmt.Sprintf("(not %s)", g.any(d))
	case 7:
		return fmt.Sprintf("(%s %s [%s])", g.integer(d), g.one("in", "not in"), g.one("1, 2, 3", "", "0", "1,2,3,4,5,6,7,8,9,10"))
	case 8:
		return fmt.Sprintf("(%s %s (%s))", g.text(d), g.one("in", "not in"), g.one("'ok',", "'ok', 'error', ''", "s, t", "'a','b','c','d','e','f','g','h','ok'"))
	case 9:
		return fmt.Sprintf("(%s %s %s)", g.text(d), g.one("in", "not in"), g.text(d))
	}
	return fmt.Sprintf("%s.%s(%s)", g.text(d), g.one("startswith", "endswith"), g.one("'o'", "'ok'", "''", "'語'"))
}

// parse returns the checked expression, or nil where check refuses it.
func parse(text string, schema column.Schema) (*expr.Expr, *diag.List) {
	problems := &diag.List{}
	src := expr.Source{Text: text, Span: diag.SpanAt(diag.Place{File: "test.yaml", Line: 1, Col: 1})}
	e := expr.ParsePython(src, problems)
	if e == nil || !expr.Check(e, src, schema, problems) {
		return nil, problems
	}
	return e, nil
}

var programSeed = flag.Int64("program.seed", 0, "seed of TestProgramEqualsInterpreter; 0: the time")

// TestProgramEqualsInterpreter runs generated expressions over generated batches by both, row by row.
func TestProgramEqualsInterpreter(t *testing.T) {
	seed := *programSeed
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	t.Logf("repeat with: go test ./kernel -run ProgramEqualsInterpreter -program.seed=%d", seed)
	until := time.Now().Add(2 * time.Second)
	rng := rand.New(rand.NewSource(seed))
	total, refused, vectorised := 0, 0, 0
	for time.Now().Before(until) && !t.Failed() {
		text := generator{rng}.any(1 + rng.Intn(4))
		e, _ := parse(text, testSchema)
		total++
		if e == nil {
			refused++
			continue
		}
		p := Compile(e, testSchema)
		if p.Vectorised() {
			vectorised++
		}
		for range 3 {
			checkProgram(t, text, p, testBatch(rng, []int{0, 1, 7, 64, 100}[rng.Intn(5)]))
		}
		if total%50 == 0 {
			checkProgram(t, text, p, testBatch(rng, 4096))
		}
	}
	t.Logf("%d expressions, %d refused by check, %d with vector steps", total, refused, vectorised)
	if vectorised*4 < total-refused {
		t.Errorf("too few expressions have vector steps")
	}
}

// FuzzProgram gives any text that the checker accepts to both.
func FuzzProgram(f *testing.F) {
	for seed := range int64(60) {
		f.Add(generator{rand.New(rand.NewSource(seed))}.any(3), seed)
	}
	f.Fuzz(func(t *testing.T, text string, seed int64) {
		e, _ := parse(text, testSchema)
		if e == nil {
			return
		}
		checkProgram(t, text, Compile(e, testSchema), testBatch(rand.New(rand.NewSource(seed)), 9))
	})
}

// checkProgram compares Run and Select with the interpreter.
func checkProgram(t *testing.T, text string, p *Program, b *column.Batch) {
	t.Helper()
	port := &plan.Port{Schema: testSchema, Window: plan.Windowing{Kind: plan.Fixed, Size: 1000}}
	before := snapshot(b)
	v, failures := p.Run(b, port)
	if v.N != b.N || !v.Type.Equal(p.e.Type) {
		t.Fatalf("%s: vector of %d rows of %v, want %d of %v", text, v.N, v.Type, b.N, p.e.Type)
	}
	env := NewEnv(testSchema)
	var truthy, failed []int32
	b.Each(func(i int) {
		env.At(b, port, i)
		want, err := p.e.Eval(env)
		if err != nil {
			failed = append(failed, int32(i))
			if k := slices.IndexFunc(failures, func(f Failure) bool { return f.Row == int32(i) }); k < 0 {
				t.Errorf("%s: row %d %s: got %s, want %v", text, i, expr.Repr(env.Row()), expr.Repr(v.Value(i)), err)
			} else if failures[k].Err.Error() != err.Error() {
				t.Errorf("%s: row %d %s: failed with %v, want %v", text, i, expr.Repr(env.Row()), failures[k].Err, err)
			}
			return
		}
		if got := v.Value(i); !same(got, want) {
			t.Errorf("%s: row %d %s: got %s, want %s", text, i, expr.Repr(env.Row()), expr.Repr(got), expr.Repr(want))
		}
		if expr.Truthy(want) {
			truthy = append(truthy, int32(i))
		}
	})
	for i := range b.N {
		v.Value(i) // rows that do not count are valid, too
	}
	checkRows(t, text, failures, failed)
	sel, failures := p.Select(b, port, nil)
	checkRows(t, text+" (select)", failures, failed)
	if !slices.Equal(sel, truthy) || sel == nil {
		t.Errorf("%s: selected %v, want %v", text, sel, truthy)
	}
	if after := snapshot(b); !reflect.DeepEqual(before, after) {
		t.Errorf("%s: the batch was changed", text)
	}
}

func checkRows(t *testing.T, text string, failures []Failure, want []int32) {
	t.Helper()
	var rows []int32
	for _, f := range failures {
		rows = append(rows, f.Row)
		if _, ok := f.Err.(*expr.Exception); !ok {
			t.Errorf("%s: failure is a %T", text, f.Err)
		}
	}
	if !slices.Equal(rows, want) {
		t.Errorf("%s: rows %v failed, want %v", text, rows, want)
	}
}

// snapshot prints all that a batch holds.
func snapshot(b *column.Batch) string {
	var out strings.Builder
	for _, c := range b.Cols {
		for i := range b.N {
			fmt.Fprintf(&out, "%v ", expr.Repr(c.Value(i)))
		}
	}
	fmt.Fprint(&out, b.Sel, b.Times)
	return out.String()
}

// same is equality of type and value to the bit, but for the kinds of NaN, and that a column has lists for tuples.
func same(a, b column.Value) bool {
	switch x := a.(type) {
	case float64:
		y, ok := b.(float64)
		return ok && (math.Float64bits(x) == math.Float64bits(y) || x != x && y != y)
	case *column.ListValue:
		y, ok := b.(*column.ListValue)
		return ok && slices.EqualFunc(x.Elems, y.Elems, same)
	case *column.MapValue:
		y, ok := b.(*column.MapValue)
		return ok && slices.EqualFunc(x.Keys, y.Keys, same) && slices.EqualFunc(x.Elems, y.Elems, same)
	case *column.RowValue:
		y, ok := b.(*column.RowValue)
		return ok && slices.Equal(x.Names, y.Names) && slices.EqualFunc(x.Elems, y.Elems, same)
	}
	return reflect.DeepEqual(a, b)
}
