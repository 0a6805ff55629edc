package expr

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

var (
	diffSeed  = flag.Uint64("seed", 0, "seed of the differential test; 0: a fixed one")
	diffCount = flag.Int("exprs", 1200, "expressions of the differential test")
)

// outcome is what Python says of an expression over a row.
type outcome struct {
	Value   json.RawMessage `json:"v"`
	Class   string          `json:"e"`
	Message string          `json:"m"`
	Beyond  bool            `json:"beyond"`
	Skip    bool            `json:"skip"`
}

// python asks a python3 process for the outcomes of expressions over rows. It skips the test where there is no python3.
func python(t *testing.T, texts []string, rows []*column.RowValue) [][]outcome {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: python3 is not on this machine, so nothing was compared with it")
	}
	var in bytes.Buffer
	encoded := make([]any, len(rows))
	for i, r := range rows {
		encoded[i] = encodeValue(r)
	}
	enc := json.NewEncoder(&in)
	enc.SetEscapeHTML(false)
	for _, text := range texts {
		if err := enc.Encode(map[string]any{"expr": text, "rows": encoded}); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(path, "../reference/expr_eval.py")
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all [][]outcome
	r := bufio.NewReaderSize(out, 1<<20)
	for range texts {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		var o []outcome
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("after %d answers: %v: %s", len(all), err, line)
		}
		all = append(all, o)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}

// encodeValue writes a value with its type, as reference/expr_eval.py reads it.
func encodeValue(v column.Value) any {
	list := func(values []column.Value) []any {
		out := make([]any, len(values))
		for i, e := range values {
			out[i] = encodeValue(e)
		}
		return out
	}
	switch v := v.(type) {
	case int64:
		return map[string]any{"i": strconv.FormatInt(v, 10)}
	case float64:
		return map[string]any{"f": strconv.FormatFloat(v, 'x', -1, 64)}
	case []byte:
		return map[string]any{"b": hex.EncodeToString(v)}
	case *column.ListValue:
		if v.Tuple {
			return map[string]any{"t": list(v.Elems)}
		}
		return list(v.Elems)
	case *column.MapValue:
		pairs := make([]any, len(v.Keys))
		for i := range pairs {
			pairs[i] = []any{encodeValue(v.Keys[i]), encodeValue(v.Elems[i])}
		}
		return map[string]any{"d": pairs}
	case *column.RowValue:
		pairs := make([]any, len(v.Names))
		for i := range pairs {
			pairs[i] = []any{v.Names[i], encodeValue(v.Elems[i])}
		}
		return map[string]any{"r": pairs}
	}
	return v
}

// show writes a value so that equal texts mean the same value of the same type.
func show(v any) string {
	switch v := v.(type) {
	case *column.MapValue:
		parts := make([]string, len(v.Keys))
		for i := range parts {
			parts[i] = show(v.Keys[i]) + ": " + show(v.Elems[i])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case *column.ListValue:
		parts := make([]string, len(v.Elems))
		for i := range parts {
			parts[i] = show(v.Elems[i])
		}
		if v.Tuple {
			return "(" + strings.Join(parts, ", ") + ")"
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *column.RowValue:
		parts := make([]string, len(v.Names))
		for i := range parts {
			parts[i] = v.Names[i] + "=" + show(v.Elems[i])
		}
		return "Row(" + strings.Join(parts, ", ") + ")"
	}
	return Repr(v)
}

// showEncoded is show of what Python answered.
func showEncoded(raw json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "?" + err.Error()
	}
	return show(decodeValue(v))
}

func decodeValue(v any) column.Value {
	list := func(v any) []column.Value {
		in := v.([]any)
		out := make([]column.Value, len(in))
		for i, e := range in {
			out[i] = decodeValue(e)
		}
		return out
	}
	switch v := v.(type) {
	case []any:
		return &column.ListValue{Elems: list(v)}
	case map[string]any:
		for kind, x := range v {
			switch kind {
			case "i":
				n, _ := strconv.ParseInt(x.(string), 10, 64)
				return n
			case "f":
				f, _ := strconv.ParseFloat(x.(string), 64)
				return f
			case "b":
				b, _ := hex.DecodeString(x.(string))
				return b
			case "t":
				return &column.ListValue{Elems: list(x), Tuple: true}
			case "d":
				m := &column.MapValue{}
				for _, pair := range x.([]any) {
					m.Keys = append(m.Keys, decodeValue(pair.([]any)[0]))
					m.Elems = append(m.Elems, decodeValue(pair.([]any)[1]))
				}
				return m
			case "r":
				r := &column.RowValue{}
				for _, pair := range x.([]any) {
					r.Names = append(r.Names, pair.([]any)[0].(string))
					r.Elems = append(r.Elems, decodeValue(pair.([]any)[1]))
				}
				return r
			}
		}
	}
	return v
}

// TestDifferential compares generated expressions over generated rows with python3: value, type, class of exception.
//
// go test ./expr -run Differential -seed N -exprs M repeats a run, or makes a longer one.
func TestDifferential(t *testing.T) {
	seed := *diffSeed
	if seed == 0 {
		seed = 1
	}
	t.Logf("seed %d: go test ./expr -run TestDifferential -seed %d -exprs %d", seed, seed, *diffCount)
	g := &exprGen{Rand: rand.New(rand.NewPCG(seed, 7))}
	rows := g.rows(12)
	texts := make([]string, *diffCount)
	for i := range texts {
		texts[i] = g.expr(1 + g.IntN(4))
	}
	d := &differ{t: t, rows: rows}
	answers := python(t, texts, rows)
	for i, text := range texts {
		d.compare(text, answers[i])
	}
	t.Logf("%d pairs, %d values and %d exceptions agree, %d expressions refused, %d messages differ", len(texts)*len(rows), d.values, d.exceptions, len(d.refused), d.messages)
	d.checkRefused()
	var kinds []string
	for k := range d.other {
		kinds = append(kinds, k)
	}
	sort.Slice(kinds, func(i, j int) bool { return d.other[kinds[i]] > d.other[kinds[j]] })
	if testing.Verbose() {
		for _, k := range kinds {
			t.Logf("message differs %d times: %s", d.other[k], k)
		}
	}
}

// refusal is what Check says always fails: the text at the place, and that of the node around it.
type refusal struct{ text, at, around, problem string }

type differ struct {
	t                            *testing.T
	rows                         []*column.RowValue
	values, exceptions, messages int
	failures                     int
	refused                      []refusal
	other                        map[string]int
}

func (d *differ) errorf(format string, args ...any) {
	if d.failures++; d.failures <= 40 {
		d.t.Errorf(format, args...)
	}
}

var diffSchema = column.Schema{
	{Name: "i", Type: column.IntType}, {Name: "j", Type: column.IntType}, {Name: "k", Type: column.IntType.OrNull()},
	{Name: "f", Type: column.FloatType}, {Name: "g", Type: column.FloatType.OrNull()}, {Name: "s", Type: column.StringType},
	{Name: "u", Type: column.StringType.OrNull()}, {Name: "t", Type: column.StringType}, {Name: "b", Type: column.BoolType},
	{Name: "n", Type: column.NullType}, {Name: "l", Type: column.ListOf(column.IntType)}, {Name: "m", Type: column.ListOf(column.FloatType.OrNull())},
	{Name: "w", Type: column.ListOf(column.StringType)}, {Name: "mp", Type: column.MapOf(column.IntType)}, {Name: "bs", Type: column.BytesType},
	{Name: "a", Type: column.AnyType}, {Name: "c", Type: column.AnyType},
	{Name: "d", Type: column.RowOf(column.Schema{{Name: "x", Type: column.IntType}, {Name: "y", Type: column.StringType.OrNull()},
		{Name: "z", Type: column.ListOf(column.IntType)}}).OrNull()},
}

func (d *differ) compare(text string, want []outcome) {
	problems := &diag.List{}
	src := source(text)
	e := ParsePython(src, problems)
	if e == nil {
		if want[0].Class != "SyntaxError" && problems.Problems[0].Code != diag.CannotCompile {
			d.errorf("%s\n\tdoes not parse: %v", text, problems.Problems[0])
		}
		return
	}
	if want[0].Class == "SyntaxError" {
		d.errorf("%s\n\tparses, but is a SyntaxError: %s", text, want[0].Message)
		return
	}
	if again := ParsePython(source(e.String()), &diag.List{}); again == nil || !sameTree(e, again) {
		d.errorf("%s\n\tprinted as %s\n\tdoes not parse back to the same tree", text, e)
	}
	if !Check(e, src, diffSchema, problems) {
		p := problems.Problems[0]
		for _, q := range problems.Problems {
			if !q.Warning {
				p = q
				break
			}
		}
		if p.Code != diag.CannotCompile {
			at, around := nodeAt(e, src, p.Place)
			d.refused = append(d.refused, refusal{text, at, around, p.Error()})
		}
		return
	}
	for i, row := range d.rows {
		v, err := e.Eval(rowEnv{row})
		failures := d.failures
		if d.outcome(text, e, row, v, err, want[i]); d.failures > failures {
			return // one is enough
		}
		d.nodes(text, e, row)
	}
}

// nodes makes sure that the values of the nodes under e are of their types. Those under a condition or in a comprehension
// mean nothing by themselves.
func (d *differ) nodes(text string, e *Expr, row *column.RowValue) {
	switch e.Op {
	case OpIf, OpAnd, OpOr, OpComp, OpLambda, OpFormat:
		return
	}
	for _, a := range e.Args {
		if a != nil {
			if v, err := a.Eval(rowEnv{row}); err == nil && !fits(v, a.Type) {
				d.errorf("%s\n\tover %s\n\tits part %s has type %s but is %s", text, used(a, row), a, a.Type, show(v))
			}
			d.nodes(text, a, row)
		}
	}
}

// nodeAt returns the text at a place and that of the smallest node around it.
func nodeAt(e *Expr, src Source, at diag.Place) (text, around string) {
	size := len(src.Text) + 1
	e.Walk(func(n *Expr) {
		if src.Place(n) == at {
			text = src.Text[n.Start:n.End]
		}
	})
	e.Walk(func(n *Expr) {
		inner := src.Place(n)
		if n.End-n.Start < size && inner.Col <= at.Col && inner.Col+inner.Len >= at.Col+at.Len && inner != at {
			around, size = src.Text[n.Start:n.End], n.End-n.Start
		}
	})
	if around == "" {
		around = text
	}
	return text, around
}

func (d *differ) outcome(text string, e *Expr, row *column.RowValue, v column.Value, err error, want outcome) {
	if want.Skip || strings.Contains(string(want.Value), " object at 0x") {
		return
	}
	if err != nil {
		x := err.(*Exception)
		switch {
		case strings.HasPrefix(x.Msg, "'bytes' object has no attribute"), strings.HasPrefix(x.Msg, "unsupported operand type(s) for %: 'bytes'"): // not all methods of bytes are compiled
		case want.Class == "":
			d.errorf("%s\n\tover %s\n\tgot  %v\n\twant %s", text, used(e, row), err, showEncoded(want.Value))
		case want.Class != x.Class:
			d.errorf("%s\n\tover %s\n\tgot  %v\n\twant %s: %s", text, used(e, row), err, want.Class, want.Message)
		default:
			d.exceptions++
			if x.Msg != want.Message && !want.Beyond {
				d.messages++
				if d.other == nil {
					d.other = map[string]int{}
				}
				d.other[x.Error()+" | "+want.Message]++
			}
		}
		return
	}
	if want.Class != "" {
		d.errorf("%s\n\tover %s\n\tgot  %s\n\twant %s: %s", text, used(e, row), show(v), want.Class, want.Message)
		return
	}
	if got, want := show(v), showEncoded(want.Value); got != want {
		d.errorf("%s\n\tover %s\n\tgot  %s\n\twant %s", text, used(e, row), got, want)
		return
	}
	if !fits(v, e.Type) {
		d.errorf("%s\n\tover %s\n\thas type %s but is %s", text, used(e, row), e.Type, show(v))
	}
	d.values++
}

// fits reports whether a value is of a type, strictly: a bool is no int.
func fits(v column.Value, t column.Type) bool {
	if v == nil {
		return t.MayBeNull()
	}
	all := func(values []column.Value) bool {
		for _, e := range values {
			if !fits(e, *t.Elem) {
				return false
			}
		}
		return true
	}
	switch t.Kind {
	case column.Any:
		return true
	case column.List:
		l, ok := v.(*column.ListValue)
		return ok && all(l.Elems)
	case column.Map:
		m, ok := v.(*column.MapValue)
		if ok {
			for _, k := range m.Keys {
				if _, isText := k.(string); !isText {
					return false
				}
			}
		}
		return ok && all(m.Elems)
	case column.Row:
		r, ok := v.(*column.RowValue)
		if !ok {
			return false
		}
		for _, f := range t.Fields {
			if x, ok := r.Get(f.Name); !ok || !fits(x, f.Type) {
				return false
			}
		}
		return true
	}
	return column.TypeOf(v).Kind == t.Kind
}

// used shows the fields that an expression reads.
func used(e *Expr, row *column.RowValue) string {
	names, all := e.Fields()
	if all {
		return Repr(row)
	}
	r := &column.RowValue{}
	for _, n := range names {
		v, _ := row.Get(n)
		r.Names, r.Elems = append(r.Names, n), append(r.Elems, v)
	}
	return Repr(r)
}

// sameTree compares trees but for places.
func sameTree(a, b *Expr) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Op != b.Op || a.Name != b.Name || len(a.Args) != len(b.Args) || len(a.Keywords) != len(b.Keywords) || (a.Comp == nil) != (b.Comp == nil) ||
		fmt.Sprint(a.Names) != fmt.Sprint(b.Names) || show(a.Value) != show(b.Value) {
		return false
	}
	for i := range a.Args {
		if !sameTree(a.Args[i], b.Args[i]) {
			return false
		}
	}
	for i := range a.Keywords {
		if a.Keywords[i].Name != b.Keywords[i].Name || !sameTree(a.Keywords[i].Arg, b.Keywords[i].Arg) {
			return false
		}
	}
	if a.Comp == nil {
		return true
	}
	if len(a.Comp.Clauses) != len(b.Comp.Clauses) {
		return false
	}
	for i, c := range a.Comp.Clauses {
		o := b.Comp.Clauses[i]
		if fmt.Sprint(c.Targets) != fmt.Sprint(o.Targets) || !sameTree(c.Iter, o.Iter) || len(c.Conds) != len(o.Conds) {
			return false
		}
		for k := range c.Conds {
			if !sameTree(c.Conds[k], o.Conds[k]) {
				return false
			}
		}
	}
	return true
}

// checkRefused makes sure that what Check refuses fails for every row: at the place, or around it.
func (d *differ) checkRefused() {
	var texts []string
	for _, r := range d.refused {
		texts = append(texts, r.at, r.around)
	}
	answers := python(d.t, texts, d.rows)
	for i, r := range d.refused {
		if at, ok := alwaysFails(answers[2*i]); !ok {
			if _, ok := alwaysFails(answers[2*i+1]); !ok {
				if strings.Contains(r.problem, "cannot compare") || strings.Contains(r.problem, "cannot be gone through") {
					continue // a later comparison of a chain, or an inner loop, may not be reached
				}
				d.errorf("%s\n\tis refused: %s\n\tbut %s gives %s", r.text, r.problem, r.at, at)
			}
		}
	}
}

// alwaysFails reports whether all outcomes are exceptions, or returns one that is not.
func alwaysFails(outcomes []outcome) (value string, ok bool) {
	for _, o := range outcomes {
		switch {
		case o.Skip:
			return "", true
		case o.Class == "":
			return showEncoded(o.Value), false
		case o.Class == "NameError":
			return "", true // a variable of a comprehension around it
		}
	}
	return "", true
}

// exprGen generates expressions and rows.
type exprGen struct {
	*rand.Rand
	locals []local
}

type local struct{ name, kind string }

var (
	genInts    = []int64{0, 1, -1, 2, 3, -3, 7, 10, 12, -17, 64, 100, 255, 1000, 12345, -99999, 1 << 31, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1}
	genFloats  = []float64{0, math.Copysign(0, -1), 1, -1, 0.5, 1.5, 2.5, -2.5, 0.1, 2.675, 3.14159, 1e16, 1e22, 123456.789, -1e-5, 1e100, 1e308, 5e-324, math.Inf(1), math.Inf(-1), 9007199254740993, 1e15}
	genStrings = []string{"", "a", "abc", "Hello World", "  pad\t", "12", "-7", "3.5", "1e3", "x,y,,z", "line1\nline2\r\nline3", "ÄÖü ß", "日本語", "😀x😀", "it's", `q"q'`, "nan", "A\u0301", "İı", "ǅ", "aXbXc", "0x1f", "1_000", "True", "%d%%", "{}", "ΑΣ", "\x00\x7f", "²³½", "٣"}
)

func pick[T any](g *exprGen, from []T) T { return from[g.IntN(len(from))] }

func (g *exprGen) rows(n int) []*column.RowValue {
	rows := make([]*column.RowValue, n)
	for i := range rows {
		r := &column.RowValue{}
		for _, f := range diffSchema {
			r.Names, r.Elems = append(r.Names, f.Name), append(r.Elems, g.value(f.Type))
		}
		rows[i] = r
	}
	return rows
}

func (g *exprGen) value(t column.Type) column.Value {
	if t.Nullable && g.IntN(4) == 0 {
		return nil
	}
	switch t.Kind {
	case column.Int:
		return pick(g, genInts[:8+g.IntN(len(genInts)-7)])
	case column.Float:
		return pick(g, genFloats)
	case column.String:
		return pick(g, genStrings)
	case column.Bool:
		return g.IntN(2) == 0
	case column.Bytes:
		return []byte(pick(g, genStrings))
	case column.List:
		l := &column.ListValue{Elems: []column.Value{}}
		for range g.IntN(5) {
			l.Elems = append(l.Elems, g.value(*t.Elem))
		}
		return l
	case column.Map:
		m := &column.MapValue{}
		for _, k := range []string{"a", "b", "abc", "é"} {
			if g.IntN(2) == 0 {
				m.Keys, m.Elems = append(m.Keys, k), append(m.Elems, g.value(*t.Elem))
			}
		}
		return m
	case column.Row:
		r := &column.RowValue{}
		for _, f := range t.Fields {
			r.Names, r.Elems = append(r.Names, f.Name), append(r.Elems, g.value(f.Type))
		}
		return r
	case column.Any:
		f := diffSchema[g.IntN(15)]
		return g.value(f.Type)
	}
	return nil
}

func (g *exprGen) expr(depth int) string {
	return g.of(pick(g, []string{"int", "int", "float", "num", "str", "str", "bool", "list", "strs", "dict", "any", "bytes", "tuple"}), depth)
}

// of returns an expression that probably is of that kind.
func (g *exprGen) of(kind string, depth int) string {
	if g.IntN(40) == 0 {
		kind = pick(g, []string{"int", "float", "str", "bool", "list", "none", "dict", "any", "strs", "row", "bytes", "tuple"})
	}
	if len(g.locals) > 0 && g.IntN(3) == 0 {
		l := pick(g, g.locals)
		if l.kind == kind || g.IntN(10) == 0 {
			return l.name
		}
	}
	if depth <= 0 {
		return g.leaf(kind)
	}
	if g.IntN(12) == 0 {
		a, b := g.of(kind, depth-1), g.of(kind, depth-1)
		return pick(g, []string{"(" + a + " if " + g.of("bool", depth-1) + " else " + b + ")", "(" + a + " or " + b + ")", "(" + a + " and " + b + ")", "(" + a + ")"})
	}
	return g.expand(pick(g, templates[kind]), depth-1)
}

func (g *exprGen) leaf(kind string) string {
	switch kind {
	case "int":
		if g.IntN(2) == 0 {
			return pick(g, []string{"0", "1", "2", "3", "5", "-1", "-2", "10", "0x1F", "1_000", "0b101", "9223372036854775807", "-9223372036854775808", "7"})
		}
		return pick(g, []string{"i", "j", "k", "__row__.i", "d.x", "l[0]"})
	case "small":
		return pick(g, []string{"0", "1", "2", "3", "-1", "-2", "5", "8"})
	case "float":
		if g.IntN(2) == 0 {
			return pick(g, []string{"0.0", "1.5", "-2.5", ".1", "1e3", "2.", "1e-7", "1e300", "0.5", "100.25", "-0.0"})
		}
		return pick(g, []string{"f", "g", "m[0]"})
	case "num":
		return g.leaf(pick(g, []string{"int", "float", "bool"}))
	case "str":
		if g.IntN(2) == 0 {
			return pick(g, []string{"''", "'a'", "'abc'", `"b"`, "'é'", "'X'", "','", "' '", "'%s'", "r'\\n'", "'\\n'", "'😀'", "'12'", "'a' 'b'", "u'x'", "'''t'''"})
		}
		return pick(g, []string{"s", "u", "t", "d.y", "__row__['s']"})
	case "bool":
		return pick(g, []string{"b", "True", "False"})
	case "none":
		return pick(g, []string{"n", "None"})
	case "list":
		return pick(g, []string{"l", "m", "[]", "[1, 2, 3]", "[i, j]", "d.z", "[f, i]", "[3, 1, 2]"})
	case "strs":
		return pick(g, []string{"w", "['a', 'b']", "[s, t]", "[]"})
	case "tuple":
		return pick(g, []string{"()", "(1,)", "(1, 'a')", "(i, s)", "(f, j, b)"})
	case "dict":
		return pick(g, []string{"mp", "{}", "{'a': 1}", "{'a': i, 'b': s}", "{1: 2}", "{1: 'x', True: 'y', 1.0: 'z'}"})
	case "bytes":
		return pick(g, []string{"bs", "b''", "b'abc'", "b'\\xff\\n'"})
	case "row":
		return "d"
	}
	return pick(g, []string{"a", "c", "n", "i", "s", "f", "d", "l", "mp"})
}

// expand fills in a template: $kind is an expression of that kind, @ a new variable.
func (g *exprGen) expand(template string, depth int) string {
	var b strings.Builder
	whole := template
	kept := len(g.locals)
	// A comprehension's clauses come after its element in the text, but bind its variables: [$x:int for @x=int in …].
	for i := strings.Index(template, "@"); i >= 0; i = strings.Index(template, "@") {
		end := i + 1 + strings.IndexAny(template[i+1:], " ,")
		name, kind, _ := strings.Cut(template[i+1:end], "=")
		name += strconv.Itoa(len(g.locals))
		g.locals = append(g.locals, local{name, kind})
		template = template[:i] + name + template[end:]
	}
	for {
		i := strings.IndexByte(template, '$')
		if i < 0 {
			break
		}
		b.WriteString(template[:i])
		end := i + 1
		for end < len(template) && template[end] >= 'a' && template[end] <= 'z' {
			end++
		}
		kind := template[i+1 : end]
		field := g.of(kind, depth)
		for strings.HasPrefix(whole, "f'") && strings.ContainsAny(field, "'\"\\{!:") {
			field = g.leaf(kind) // Python 3.11 cannot nest quotes
		}
		b.WriteString(field)
		template = template[end:]
	}
	b.WriteString(template)
	g.locals = g.locals[:kept]
	return b.String()
}

// templates are the ways to make a value of a kind.
var templates = map[string][]string{
	"small": {"$int % 5", "len($str)", "1", "2", "-1"},
	"int": {"$int + $int", "$int - $int", "$int * $int", "$int // $int", "$int % $int", "$int ** $small", "-$int", "+$int", "~$int", "$int & $int", "$int | $int", "$int ^ $int",
		"$int << $small", "$int >> $small", "len($str)", "len($list)", "len($strs)", "len($dict)", "abs($int)", "int($float)", "int($str)", "int($str, $small)", "round($float)", "round($int, $small)",
		"sum($list)", "min($int, $int)", "max($int, $int)", "max($list)", "$str.count($str)", "$str.find($str)", "$str.rfind($str, $small)", "$str.index($str)", "$list[$small]", "$list.index($int)",
		"$list.count($int)", "ord($str)", "$dict['a']", "$dict.get('a', $int)", "divmod($int, $int)[0]", "pow($int, $small)", "pow($int, $int, $int)", "sum($int for @x=int in $list)", "$row.x",
		"sum(1 for @x=any in $any)", "$bool + $bool", "($int)", "next(iter($list))", "next(($int for @x=int in $list if $bool), -1)", "next($any, 0)", "next(filter(None, $list), $int)", "min($list, default=$int)", "sum($list, $int)", "bs[$small]", "int($bool)", "len($tuple)", "$float.__class__ if False else 1", "(lambda: 1) and 1"},
	"float": {"$float + $float", "$float - $num", "$float * $float", "$num / $num", "$float // $num", "$float % $num", "$float ** $small", "$num ** 0.5", "-$float", "float($str)", "float($int)", "abs($float)",
		"round($float, $small)", "round($num, 2)", "max($float, $num)", "min($list)", "sum($list)", "$num / 3", "$list[$small]", "divmod($float, $num)[1]", "2.0 ** $small", "$int / $int"},
	"num": {"$int", "$float", "$num + $num", "$num * $num", "$num - $num", "$num % $num", "$num // $num", "max($num, $num, $num)", "abs($num)", "$bool"},
	"str": {"$str + $str", "$str * $small", "str($any)", "repr($any)", "str($float)", "repr($str)", "$str.upper()", "$str.lower()", "$str.strip()", "$str.title()", "$str.capitalize()", "$str.swapcase()", "$str.casefold()",
		"$str.lstrip($str)", "$str.rstrip()", "$str.replace($str, $str)", "$str.replace($str, $str, $small)", "$str.join($strs)", "$str[$small]", "$str[$small:]", "$str[:$small]", "$str[$small:$small]", "$str[::$small]", "$str[$small:$small:$small]",
		"$str.zfill($small)", "$str.center($small)", "$str.center(9, '*')", "$str.ljust(6)", "$str.rjust(6, 'é')", "$str.removeprefix($str)", "$str.removesuffix($str)", "$str.expandtabs()", "$str.expandtabs($small)",
		"f'{$int}'", "f'{$float:.2f}|{$str!r}'", "f'{$float:10.3e}'", "f'{$int:,}'", "f'{$int:>8}'", "f'{$str:^7}'", "f'{$float:g}'", "f'{$num:08.2f}'", "f'{$int:#x} {$int:b}'", "f'{$float:%}'", "f'{$int:+d}'", "f'{$float:_.1f}'",
		"f'{$num}{{}}'", "f'{$str:.2}'", "f'{$any}'", "f'{$bool:>{$small}}'", "f'{$num:.3}'", "f'{$float:012,.1f}'", "f'{$num:e}'", "f'{$int:010,}'", "f'{$float!r:>10}'", "f'{$int=}'", "f'{$float:+.4g}'", "f'{$int:c}'", "f'{$float:z.1f}'",
		"'%s' % $any", "'%d' % $num", "'%5.2f' % $num", "'%s-%s' % ($any, $str)", "'%x' % $int", "'%r' % ($str,)", "'%05d|%-6d|%+d' % ($int, $int, $int)", "'%e %g' % ($float, $float)", "'%(a)s' % $dict", "'%.3s' % $str", "'%c' % $small", "'%#o' % $int",
		"'%*d' % (5, $int)", "'{} {}'.format($any, $str)", "'{a}{b:>4}'.format(a=$any, b=$str)", "'{0}{x}'.format($any, x=$num)", "str.upper($any)", "str.join($str, $strs)", "'{0:>5}{1!r}'.format($str, $any)", "'{:.2f}'.format($num)", "chr($small + 65)", "hex($int)", "oct($int)", "bin($int)", "max($str, $str)", "min($strs)", "$strs[$small]",
		"$str.partition($str)[0]", "$str.rpartition($str)[2]", "$row.y", "format($num, '.3f')", "format($int, ',')", "ascii($str)", "$bytes.decode()", "$bytes.hex()", "''.join(@x=str for x in [])", "str($list)", "str($dict)", "str($tuple)", "format($any, '')"},
	"bool": {"$int < $int", "$num <= $num", "$num == $num", "$num != $num", "$float > $num", "$int >= $float", "$str < $str", "$str == $str", "$str in $str", "$int in $list", "$str in $strs", "$str in $dict", "not $any", "$any == $any", "$any is None",
		"$any is not None", "$int < $int < $int", "$num == $num != $num", "$bool and $bool", "$bool or $bool", "any($list)", "all($list)", "any($int > 1 for @x=int in $list)", "all($bool for @x=str in $str)", "$str.isdigit()", "$str.isalpha()", "$str.isalnum()",
		"$str.isspace()", "$str.isupper()", "$str.islower()", "$str.isnumeric()", "$str.isdecimal()", "$str.isidentifier()", "$str.istitle()", "$str.startswith($str)", "$str.endswith($str)", "$str.startswith(($str, $str))", "bool($any)", "$list == $list",
		"$list < $list", "isinstance($any, int)", "isinstance($any, (str, float))", "$any in $any", "$int not in $list", "$tuple == $tuple", "$any < $any", "$bool & $bool", "$bool ^ $bool", "$tuple < $tuple", "$str.isprintable()", "$str.isascii()", "$dict == $dict",
		"{$int, $int} == {$int}", "$int in {1, 2, $int}", "$int in range($small)", "$bytes == $bytes", "$any != $any"},
	"list": {"[$int, $int]", "[$num, $num, $num]", "$list + $list", "$list * $small", "$list[$small:]", "$list[::-1]", "[$int for @x=int in $list]", "[$num for @x=num in $list if $bool]", "sorted($list)", "sorted($list, reverse=True)", "sorted($list, key=lambda @x=int : $int)",
		"list(range($small))", "list(range($small, $small, $small))", "list(reversed($list))", "list(map(abs, $list))", "list(map(lambda @x=int : $num, $list))", "list(filter(None, $list))", "[len($str) for @x=str in $strs]", "list($bytes)", "list($dict.values())",
		"[$int for @x=int in $list for @y=int in $list]", "list(set($list)) and []", "$row.z", "list(zip($list, $strs))", "list(enumerate($strs))", "[$any for @x=int , @y=str in enumerate($strs)]", "sorted($strs, key=len)", "list($dict.items())", "[*$list]", "$list.copy()",
		"next(iter($list), []) and []", "list(iter($list))", "list(filter(lambda @x=int : $bool, $list))", "list($tuple)", "sorted({$int, $int, $int})", "sorted($any)"},
	"strs":  {"$str.split()", "$str.split($str)", "$str.split($str, $small)", "$str.rsplit(None, $small)", "$str.rsplit($str, 1)", "$str.splitlines()", "$str.splitlines(True)", "[$str for @x=str in $strs]", "[$str, $str]", "list($str)", "sorted($strs)", "list(map(str, $list))", "$strs + $strs", "list($dict)", "list($dict.keys())", "list(map(str.upper, $strs))", "sorted($strs, key=str.lower)", "sorted($dict, key=$dict.get)", "list(filter($str.startswith, $strs))", "list(map(str.strip, $any))", "sorted($strs, key=lambda @x=str : $any)", "[@x=any for x in []]"},
	"tuple": {"($int, $str)", "($num, $num, $num)", "$tuple + $tuple", "$tuple * $small", "tuple($list)", "divmod($num, $num)", "$str.partition($str)", "$str.rpartition($str)", "tuple($str)", "$tuple[$small:]", "($any,)"},
	"dict":  {"{$str: $any, $str: $int}", "{@x=int : $str for x in $list}", "{$str: $int for @x=int , @y=str in enumerate($strs)}", "dict(zip($strs, $list))", "dict($dict)", "dict(a=$int, b=$str)", "dict($dict, a=$any)", "dict.fromkeys($strs, $int)", "dict.fromkeys($any)", "$dict | $dict", "{$any: $any}", "$dict.copy()"},
	"bytes": {"$str.encode()", "$bytes + $bytes", "$bytes * $small", "$bytes[$small:]", "bytes($list)", "bytes.fromhex($str)", "bytes.fromhex('0a ff')", "$str.encode('ascii', 'replace')", "$str.encode('latin-1')", "$bytes[::$small]"},
	"none":  {"None", "n", "$dict.get($str)"},
	"row":   {"d", "__row__.d", "__row__['d']"},
	"any": {"$int", "$float", "$str", "$bool", "$list", "$dict", "$none", "$any or $any", "$any and $any", "($any if $any else $any)", "$any + $any", "$any * $any", "$any - $any", "$any[$small]", "$any[$any]", "$tuple", "$any.x", "$any % $any", "$any / $any", "-$any", "$any ** $small", "$any < $any",
		"$any[$small:$small]", "len($any)", "min($any)", "max($any, $any)", "sum($any)", "sorted($any)", "round($any, $small)", "abs($any)", "$any.upper()", "$any.get($str)", "$any.split()", "$any // $any", "list($any)", "tuple($any)", "$any & $any", "[$any for @x=any in $any]", "float($any)", "int($any)", "str($any)",
		"any($any)", "dict($any)", "$any.lower().strip()", "divmod($any, $any)", "max($any)", "min($any, $any)", "$any.x.y", "$any.index($any)", "$any.count($any)", "sum($any, $any)", "$any.join($any)", "$any.items()", "enumerate($any)", "ord($any)", "chr($any)", "hex($any)", "pow($any, $any)"},
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// TestDifferentialFormats compares what the generator of expressions seldom makes: format specifications, % formats,
// numbers as text, and the optional arguments of methods.
func TestDifferentialFormats(t *testing.T) {
	seed := max(*diffSeed, 1)
	t.Logf("seed %d: go test ./expr -run TestDifferentialFormats -seed %d -exprs %d", seed, seed, *diffCount)
	g := &exprGen{Rand: newRand(seed + 1000)}
	rows := g.rows(10)
	texts := make([]string, *diffCount)
	for i := range texts {
		texts[i] = g.detail()
	}
	d := &differ{t: t, rows: rows}
	for i, answer := range python(t, texts, rows) {
		d.compare(texts[i], answer)
	}
	d.checkRefused()
	t.Logf("%d pairs, %d values and %d exceptions agree, %d expressions refused, %d messages differ", len(texts)*len(rows), d.values, d.exceptions, len(d.refused), d.messages)
	if testing.Verbose() {
		for k, n := range d.other {
			t.Logf("message differs %d times: %s", n, k)
		}
	}
}

func (g *exprGen) maybe(s ...string) string {
	if g.IntN(3) == 0 {
		return pick(g, s)
	}
	return ""
}

func (g *exprGen) formatSpec() string {
	return g.maybe("<", ">", "^", "=", "*<", "é>", "0=", "x^", "<<", "}}>") + g.maybe("+", "-", " ") + g.maybe("z") + g.maybe("#") + g.maybe("0") +
		g.maybe("1", "5", "8", "12", "20", "3") + g.maybe(",", "_", ",_") + g.maybe(".0", ".1", ".2", ".5", ".17", ".30", ".") +
		g.maybe("d", "f", "e", "g", "s", "x", "X", "b", "o", "c", "n", "%", "E", "F", "G", "q", "dd", "r")
}

func (g *exprGen) percentSpec() string {
	return "%" + g.maybe("-") + g.maybe("+", " ") + g.maybe("#") + g.maybe("0") + g.maybe("1", "5", "8", "12", "20") + g.maybe(".0", ".1", ".3", ".10", ".") + g.maybe("l", "h") +
		pick(g, []string{"d", "i", "u", "s", "r", "a", "f", "e", "g", "G", "E", "F", "x", "X", "o", "c", "%", "q"})
}

// detail returns an expression about one detail.
func (g *exprGen) detail() string {
	value := func() string {
		return pick(g, []string{"i", "j", "k", "f", "g", "b", "s", "u", "t", "m[0]", "a", "n", "-3", "1234567.891", "0.0", "-0.0", "999999.5", "1e15", "1e16", "123456789", "0", "1e-5", "0.0001", "2.5", "0.5", "True", "l", "'é'", "12345.678"})
	}
	text := func() string {
		return pick(g, []string{"s", "u", "t", "'a,b,,c'", "' a  b '", "'aXaXa'", "'😀é😀'", "w[0]", "'x'"})
	}
	bound := func() string {
		return pick(g, []string{"", "0", "1", "2", "-1", "-2", "5", "100", "-100", "None", "i", "b", "9223372036854775807", "-9223372036854775808"})
	}
	sub := func() string { return pick(g, []string{"'a'", "''", "','", "'X'", "' '", "'é'", "s", "'aX'", "n"}) }
	switch g.IntN(12) {
	case 0, 1, 2:
		return "format(" + value() + ", '" + strings.ReplaceAll(g.formatSpec(), "}}", "}") + "')"
	case 3:
		return "'" + g.percentSpec() + "' % " + pick(g, []string{value(), "(" + value() + ",)"})
	case 4:
		return "'{:" + strings.ReplaceAll(g.formatSpec(), "}}", "") + "}'.format(" + value() + ")"
	case 5:
		return text() + "[" + bound() + ":" + bound() + pick(g, []string{"", ":" + bound()}) + "]"
	case 6:
		return pick(g, []string{"l", "m", "w", "bs", "(1, 2, 3)", "[1, 2, 3, 4, 5]"}) + "[" + bound() + ":" + bound() + pick(g, []string{"", ":" + bound()}) + "]"
	case 7:
		method := pick(g, []string{"find", "rfind", "index", "rindex", "count", "startswith", "endswith"})
		args := sub()
		for range g.IntN(3) {
			args += ", " + pick(g, []string{"0", "1", "-1", "3", "-3", "100", "None", "-100"})
		}
		return text() + "." + method + "(" + args + ")"
	case 8:
		number := pick(g, []string{"'12'", "' -7 '", "'+5'", "'1_000'", "'0x1F'", "'0b11'", "'1e3'", "'٣٤'", "'1__0'", "'_1'", "'0o17'", "'z'", "'9223372036854775808'", "'-9223372036854775808'", "'1.5'", "''", "'+-1'", "'inf'", "'-Infinity'", "'NaN'", "'1e400'", "'0x1p3'", "'.5'", "'5.'", "'.'", "'1_0.0_1'", "'1_.0'", "'\\u00a05\\u3000'", "'007'", "'1e'", "'infinit'", "t", "s", "'०.५'"})
		return pick(g, []string{"int(" + number + ")", "float(" + number + ")", "int(" + number + ", " + pick(g, []string{"0", "2", "8", "10", "16", "36"}) + ")", "int(" + value() + ")", "float(" + value() + ")"})
	case 9:
		return "round(" + value() + ", " + pick(g, []string{"0", "1", "2", "5", "-1", "-2", "-5", "15", "20", "400", "-400", "n", "b"}) + ")"
	case 10:
		return text() + "." + pick(g, []string{"split(" + sub() + ", " + bound() + ")", "rsplit(" + sub() + ", " + bound() + ")", "replace(" + sub() + ", " + sub() + ", " + bound() + ")", "split(maxsplit=1)", "rsplit(None, 1)", "split(sep=',')",
			"splitlines()", "splitlines(keepends=True)", "strip(" + sub() + ")", "lstrip(" + sub() + ")", "partition(" + sub() + ")", "rpartition(" + sub() + ")", "center(" + pick(g, []string{"4", "5", "6", "7", "9"}) + ", 'é')", "zfill(6)", "ljust(7, '.')", "expandtabs(4)", "join(['1', '2'])", "encode('ascii', 'ignore')"})
	}
	op := pick(g, []string{"==", "<", "<=", ">", "!=", "%", "//", "/", "-", "+", "*", "**"})
	return value() + " " + op + " " + value()
}
