package kernel

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/expr"
	"github.com/leat-project/leat/plan"
)

// testRow is a row with its time and, where it carries one, its window.
type testRow struct {
	values     []column.Value
	time       int64
	start, end int64
}

// aggCase is an aggregation under test.
type aggCase struct {
	schema   column.Schema
	keys     []string
	aggs     [][3]string // name, fn, argument
	window   plan.Windowing
	explicit bool
}

func (c *aggCase) build() *Aggregation {
	a := &plan.Aggregate{Keys: c.keys}
	var out column.Schema
	for _, k := range c.keys {
		out = append(out, c.schema[c.schema.Index(k)])
	}
	for _, g := range c.aggs {
		arg := c.schema[c.schema.Index(g[2])]
		t, ok := plan.AggType(g[1], arg.Type)
		if !ok {
			panic(fmt.Sprintf("%s of %s", g[1], arg.Type))
		}
		a.Aggs = append(a.Aggs, plan.Agg{Name: g[0], Fn: g[1], Arg: expr.FieldRef(arg), Type: t})
		out = append(out, column.Field{Name: g[0], Type: t})
	}
	return NewAggregation(a, &plan.Port{Schema: c.schema, Window: c.window, Explicit: c.explicit}, &plan.Port{Schema: out, Window: c.window, Explicit: true})
}

// batch makes a batch of rows [from, to), with a few unselected rows in between where gaps is true.
func (c *aggCase) batch(rows []testRow, from, to int, gaps bool) *column.Batch {
	builders := make([]*column.Builder, len(c.schema))
	for i, f := range c.schema {
		builders[i] = column.NewBuilder(f.Type)
	}
	b := &column.Batch{Origin: &column.Origin{Source: 1, Seq: int64(from / 1000)}}
	put := func(i int) {
		for k, v := range rows[i].values {
			if err := builders[k].Append(v); err != nil {
				panic(err)
			}
		}
		b.Times, b.Rows = append(b.Times, rows[i].time), append(b.Rows, int32(i%1000))
		if c.explicit {
			b.Starts, b.Ends = append(b.Starts, rows[i].start), append(b.Ends, rows[i].end)
		}
		b.N++
	}
	for i := from; i < to; i++ {
		if gaps {
			if i%3 == 0 {
				put(i)
			}
			b.Sel = append(b.Sel, int32(b.N))
		}
		put(i)
	}
	for _, builder := range builders {
		b.Cols = append(b.Cols, builder.Finish())
	}
	return b
}

// how says how rows are run through an aggregation.
type how struct {
	batch, tables, spillEvery int
	gaps                      bool
	limit                     int64
	out                       int
}

// run aggregates and returns the rows as text, in the order in which they came.
func (c *aggCase) run(t testing.TB, rows []testRow, h how) []string {
	t.Helper()
	a := c.build()
	tables := make([]*Table, h.tables)
	for i := range tables {
		tables[i] = a.NewTable()
	}
	var spill *Spill
	if h.spillEvery > 0 {
		var err error
		if spill, err = NewSpill(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := spill.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	n := 0
	for from := 0; from < len(rows); {
		to := min(from+h.batch, len(rows), (from/1000+1)*1000)
		table := tables[from/1000%len(tables)]
		if f := table.Add(c.batch(rows, from, to, h.gaps)); f != nil {
			t.Fatalf("row %d of aggregate %s: %v", f.Row, f.Agg, f.Err)
		}
		if n++; h.spillEvery > 0 && n%h.spillEvery == 0 {
			if err := table.Spill(spill); err != nil {
				t.Fatal(err)
			}
			if got := table.groups.n; got != 0 {
				t.Fatalf("%d groups after a spill", got)
			}
		}
		from = to
	}
	// Key groups are emitted at the same time, as engines do.
	var out [KeyGroups][]string
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			for g := w; g < KeyGroups; g += 4 {
				err := a.Emit(context.Background(), g, tables, spill, h.out, h.limit, func(b *column.Batch) error {
					if b.N > h.out || b.N == 0 {
						t.Errorf("batch of %d rows", b.N)
					}
					for i := range b.N {
						out[g] = append(out[g], rowText(b, i))
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	return slices.Concat(out[:]...)
}

func rowText(b *column.Batch, i int) string {
	parts := []string{fmt.Sprintf("[%d,%d)@%d", b.Starts[i], b.Ends[i], b.Times[i])}
	for _, c := range b.Cols {
		parts = append(parts, valueText(c.Value(i)))
	}
	return strings.Join(parts, " ")
}

func valueText(v column.Value) string {
	switch v := v.(type) {
	case float64:
		return fmt.Sprintf("%x", v)
	case string:
		return fmt.Sprintf("%q", v)
	case *column.ListValue:
		parts := []string{}
		for _, e := range v.Elems {
			parts = append(parts, valueText(e))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case *column.RowValue:
		return fmt.Sprint(v.Names) + valueText(&column.ListValue{Elems: v.Elems})
	}
	return fmt.Sprint(v)
}

// naive computes the same by brute force: every row in every window, every group a list of rows.
func (c *aggCase) naive(rows []testRow) []string {
	type group struct {
		start, end int64
		rows       []int
	}
	byKey, byWindow := map[string][]*group{}, map[string]*group{}
	add := func(key string, start, end int64, row int) {
		id := fmt.Sprint(key, start, end)
		if g := byWindow[id]; g != nil {
			g.rows = append(g.rows, row)
			return
		}
		byWindow[id] = &group{start, end, []int{row}}
		byKey[key] = append(byKey[key], byWindow[id])
	}
	seen := map[string]bool{}
	var keyOrder []string
	for i, r := range rows {
		key := ""
		for _, k := range c.keys {
			key += valueText(normal(r.values[c.schema.Index(k)])) + "|"
		}
		if !seen[key] {
			seen[key], keyOrder = true, append(keyOrder, key)
		}
		switch w := c.window; {
		case c.explicit:
			add(key, r.start, r.end, i)
		case w.Kind == plan.Global:
			add(key, int64(column.MinInstant), int64(column.EndOfGlobalWindow), i)
		case w.Kind == plan.Sessions:
			add(key, r.time, r.time+w.Gap, i)
		default:
			period := w.Period
			if w.Kind == plan.Fixed {
				period = w.Size
			}
			for s := int64(-300_000) + w.Offset; s <= 300_000; s += period {
				if s <= r.time && r.time < s+w.Size {
					add(key, s, s+w.Size, i)
				}
			}
		}
	}
	var out []string
	for _, key := range keyOrder {
		groups := byKey[key]
		for merged := c.window.Kind == plan.Sessions; merged; { // any two that overlap, until none do
			merged = false
			for i, g := range groups {
				for k := i + 1; k < len(groups); k++ {
					if o := groups[k]; g.start < o.end && o.start < g.end {
						*g = group{min(g.start, o.start), max(g.end, o.end), append(g.rows, o.rows...)}
						groups, merged = slices.Delete(groups, k, k+1), true
						k--
					}
				}
			}
		}
		for _, g := range groups {
			out = append(out, c.naiveRow(rows, g.start, g.end, g.rows))
		}
	}
	return out
}

func normal(v column.Value) column.Value {
	switch x := v.(type) {
	case bool:
		if x {
			return 1.0
		}
		return 0.0
	case int64:
		return float64(x)
	case float64:
		return x + 0
	}
	return v
}

func (c *aggCase) naiveRow(rows []testRow, start, end int64, members []int) string {
	sort.Ints(members)
	sort.SliceStable(members, func(i, k int) bool { return rows[members[i]].time < rows[members[k]].time })
	parts := []string{fmt.Sprintf("[%d,%d)@%d", start, end, end-1)}
	for _, k := range c.keys {
		i := c.schema.Index(k)
		shown := rows[members[0]].values[i]
		for _, m := range members {
			if v := rows[m].values[i]; string(column.AppendValue(nil, v)) < string(column.AppendValue(nil, shown)) {
				shown = v
			}
		}
		if f, ok := shown.(float64); ok && f == 0 && c.schema[i].Type.Kind == column.Float {
			shown = 0.0
		}
		parts = append(parts, valueText(shown))
	}
	for _, g := range c.aggs {
		var values []column.Value
		for _, m := range members {
			values = append(values, rows[m].values[c.schema.Index(g[2])])
		}
		parts = append(parts, valueText(naiveFn(g[1], values)))
	}
	return strings.Join(parts, " ")
}

func naiveFn(fn string, values []column.Value) column.Value {
	switch fn {
	case "count":
		return int64(len(values))
	case "group":
		return &column.ListValue{Elems: values}
	case "concat":
		out := &column.ListValue{}
		for _, v := range values {
			out.Elems = append(out.Elems, v.(*column.ListValue).Elems...)
		}
		return out
	case "all", "any":
		for _, v := range values {
			if expr.Truthy(v) == (fn == "any") {
				return fn == "any"
			}
		}
		return fn == "all"
	case "max", "min":
		best := values[0]
		for _, v := range values[1:] {
			a, b := best, v
			if fn == "min" {
				a, b = b, a
			}
			if less, err := expr.Less(a, b); err != nil {
				panic(err)
			} else if less {
				best = v
			}
		}
		return best
	}
	sum, real := new(big.Float).SetPrec(2400), false
	for _, v := range values {
		switch v := v.(type) {
		case int64:
			sum.Add(sum, new(big.Float).SetInt64(v))
		case bool:
			if v {
				sum.Add(sum, big.NewFloat(1))
			}
		case float64:
			real = true
			sum.Add(sum, new(big.Float).SetFloat64(v))
		}
	}
	f, _ := sum.Float64()
	if fn == "mean" {
		return f / float64(len(values))
	}
	if real {
		return f
	}
	i, _ := sum.Int64()
	return i
}

var aggSchema = column.Schema{
	{Name: "name", Type: column.StringType.OrNull()}, {Name: "id", Type: column.IntType}, {Name: "odd", Type: column.AnyType},
	{Name: "x", Type: column.FloatType}, {Name: "n", Type: column.IntType}, {Name: "flag", Type: column.BoolType.OrNull()}, {Name: "text", Type: column.StringType},
	{Name: "mixed", Type: column.AnyType}, {Name: "list", Type: column.ListOf(column.IntType)}, {Name: "zero", Type: column.FloatType.OrNull()},
	{Name: "row", Type: column.RowOf(column.Schema{{Name: "a", Type: column.IntType}, {Name: "b", Type: column.StringType.OrNull()}}).OrNull()},
	{Name: "when", Type: column.TimeType}, {Name: "span", Type: column.DurationType.OrNull()}, {Name: "raw", Type: column.BytesType},
}

func randomRows(r *rand.Rand, n, keys int, span int64) []testRow {
	rows := make([]testRow, n)
	for i := range rows {
		k := r.IntN(keys)
		name := column.Value(fmt.Sprintf("k%d", k))
		switch {
		case k%7 == 0:
			name = nil
		case k%5 == 0:
			name = strings.Repeat("long key ", k%4) + fmt.Sprint(k)
		}
		odd := []column.Value{int64(k % 3), float64(k % 3), k%3 == 1, "s", nil, 0.5}[r.IntN(6)]
		mixed := []column.Value{int64(r.IntN(100)), r.NormFloat64()}[r.IntN(2)]
		list := &column.ListValue{Elems: []column.Value{}}
		for range r.IntN(3) {
			list.Elems = append(list.Elems, int64(r.IntN(9)))
		}
		flag := []column.Value{true, true, true, false, nil}[r.IntN(5)]
		t := r.Int64N(span) - span/2
		start := t / 1000 * 1000
		rows[i] = testRow{
			values: []column.Value{name, int64(k), odd, math.Ldexp(r.NormFloat64(), r.IntN(90)-45), int64(r.IntN(1000) - 500), flag, fmt.Sprintf("t%03d", r.IntN(500)),
				mixed, list, []column.Value{0.0, math.Copysign(0, -1), nil, 1.0}[r.IntN(4)],
				[]column.Value{nil, &column.RowValue{Names: []string{"a", "b"}, Elems: []column.Value{int64(k % 4), name}}}[r.IntN(2)],
				column.Instant(k), []column.Value{nil, column.Span(k % 3)}[r.IntN(2)], []byte{byte(k), 0}},
			time: t, start: start, end: start + 1000*(1+r.Int64N(3)),
		}
	}
	return rows
}

var aggCases = map[string]aggCase{
	"string key, global": {keys: []string{"name"}, aggs: [][3]string{{"c", "count", "name"}, {"s", "sum", "x"}, {"m", "mean", "x"}, {"h", "max", "x"}, {"l", "min", "x"}}},
	"int key, fixed": {keys: []string{"id"}, aggs: [][3]string{{"s", "sum", "n"}, {"m", "mean", "n"}, {"h", "max", "n"}, {"l", "min", "n"}, {"f", "sum", "flag2"}},
		window: plan.Windowing{Kind: plan.Fixed, Size: 10_000, Offset: 3000}},
	"no key, fixed": {aggs: [][3]string{{"a", "all", "flag"}, {"o", "any", "flag"}, {"h", "max", "text"}, {"l", "min", "text"}},
		window: plan.Windowing{Kind: plan.Fixed, Size: 1000}},
	"two keys, sliding": {keys: []string{"name", "id"}, aggs: [][3]string{{"c", "count", "name"}, {"s", "sum", "x"}, {"g", "group", "n"}},
		window: plan.Windowing{Kind: plan.Sliding, Size: 9000, Period: 6000, Offset: 1000}},
	"much overlap": {keys: []string{"name"}, aggs: [][3]string{{"c", "count", "id"}, {"s", "sum", "x"}, {"m", "mean", "n"}, {"h", "max", "text"}, {"l", "min", "mixed"}},
		window: plan.Windowing{Kind: plan.Sliding, Size: 30_000, Period: 2000, Offset: 500}},
	"much overlap, odd": {keys: []string{"odd"}, aggs: [][3]string{{"c", "count", "id"}, {"a", "all", "n"}},
		window: plan.Windowing{Kind: plan.Sliding, Size: 23_000, Period: 1500, Offset: 100}},
	"sliding with gaps": {keys: []string{"id"}, aggs: [][3]string{{"c", "count", "id"}, {"m", "mean", "mixed"}},
		window: plan.Windowing{Kind: plan.Sliding, Size: 2000, Period: 5000}},
	"any key, sessions": {keys: []string{"odd"}, aggs: [][3]string{{"c", "count", "id"}, {"s", "sum", "mixed"}, {"g", "group", "text"}, {"k", "concat", "list"}},
		window: plan.Windowing{Kind: plan.Sessions, Gap: 40}},
	"string key, sessions": {keys: []string{"name"}, aggs: [][3]string{{"c", "count", "id"}, {"h", "max", "text"}},
		window: plan.Windowing{Kind: plan.Sessions, Gap: 200}},
	"explicit, global":   {keys: []string{"id"}, aggs: [][3]string{{"c", "count", "id"}, {"h", "max", "mixed"}, {"l", "min", "mixed"}}, explicit: true},
	"explicit, sessions": {keys: []string{"id"}, aggs: [][3]string{{"c", "count", "id"}}, explicit: true, window: plan.Windowing{Kind: plan.Sessions, Gap: 10}},
	"explicit, sliding": {keys: []string{"id"}, aggs: [][3]string{{"c", "count", "id"}}, explicit: true,
		window: plan.Windowing{Kind: plan.Sliding, Size: 2000, Period: 1000}},
	"nested keys": {keys: []string{"row", "list"}, aggs: [][3]string{{"c", "count", "id"}, {"h", "max", "when"}, {"l", "min", "list"}, {"s", "min", "raw"}}},
	"many keys": {keys: []string{"flag", "when", "span", "raw", "zero"}, aggs: [][3]string{{"c", "count", "id"}, {"h", "max", "raw"}},
		window: plan.Windowing{Kind: plan.Fixed, Size: 20_000}},
	"zeros": {keys: []string{"zero"}, aggs: [][3]string{{"c", "count", "id"}, {"k", "concat", "list"}, {"a", "all", "n"}, {"o", "any", "zero"}}},
}

func TestAggregationMatchesNaive(t *testing.T) {
	hows := []how{
		{batch: 4096, tables: 1, limit: 1 << 40, out: 4096},
		{batch: 7, tables: 1, limit: 1 << 40, out: 3, gaps: true},
		{batch: 1, tables: 3, limit: 1 << 40, out: 1},
		{batch: 100, tables: 4, limit: 1 << 40, out: 100},
		{batch: 100, tables: 2, spillEvery: 5, limit: 1 << 40, out: 100},
		{batch: 200, tables: 3, spillEvery: 1, limit: 4000, out: 7, gaps: true},
		{batch: 1000, tables: 2, limit: 2500, out: 1000},
	}
	for name, c := range aggCases {
		t.Run(name, func(t *testing.T) {
			c.schema = append(slices.Clone(aggSchema), column.Field{Name: "flag2", Type: column.BoolType})
			r := rand.New(rand.NewPCG(7, uint64(len(name))))
			for _, size := range []struct{ rows, keys int }{{1, 1}, {40, 3}, {2000, 5}, {2000, 300}} {
				rows := randomRows(r, size.rows, size.keys, 60_000)
				for i := range rows {
					rows[i].values = append(rows[i].values, i%2 == 0)
				}
				want := c.naive(rows)
				slices.Sort(want)
				var first []string
				for _, h := range hows {
					got := c.run(t, rows, h)
					if first == nil {
						first = got
						sorted := slices.Sorted(slices.Values(got))
						if !slices.Equal(sorted, want) {
							t.Fatalf("%d rows, %d keys, %+v: got %d rows, want %d\n%s", size.rows, size.keys, h, len(got), len(want), difference(sorted, want))
						}
					}
					if !slices.Equal(got, first) {
						t.Fatalf("%d rows, %d keys: the rows or their order depend on %+v\n%s", size.rows, size.keys, h, difference(got, first))
					}
				}
			}
		})
	}
}

func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return "missing " + want[i]
		case i >= len(want):
			return "too much " + got[i]
		case got[i] != want[i]:
			return "got  " + got[i] + "\nwant " + want[i]
		}
	}
	return ""
}

func TestAggregationFailures(t *testing.T) {
	schema := column.Schema{{Name: "k", Type: column.IntType}, {Name: "n", Type: column.IntType.OrNull()}, {Name: "s", Type: column.StringType.OrNull()},
		{Name: "a", Type: column.AnyType}}
	null := []column.Value{int64(1), nil, nil, nil}
	fine := []column.Value{int64(1), int64(2), "x", int64(3)}
	text := []column.Value{int64(1), int64(2), "x", "y"}
	tests := []struct {
		fn, arg string
		rows    [][]column.Value
		row     int32
		want    string
	}{
		{"sum", "n", [][]column.Value{fine, null}, 1, "TypeError: unsupported operand type(s) for +: 'int' and 'NoneType'"},
		{"mean", "n", [][]column.Value{null}, 0, "TypeError: unsupported operand type(s) for +: 'int' and 'NoneType'"},
		{"max", "n", [][]column.Value{fine, null}, 1, "TypeError: '>' not supported between instances of 'NoneType' and 'int'"},
		{"min", "s", [][]column.Value{fine, null}, 1, "TypeError: '<' not supported between instances of 'NoneType' and 'str'"},
		{"max", "a", [][]column.Value{fine, text}, 1, "TypeError: '>' not supported between instances of 'str' and 'int'"},
		{"sum", "a", [][]column.Value{fine, text}, 1, "TypeError: unsupported operand type(s) for +: 'int' and 'str'"},
		{"concat", "a", [][]column.Value{text}, 0, `TypeError: can only concatenate list (not "str") to list`},
	}
	for _, test := range tests {
		c := aggCase{schema: schema, keys: []string{"k"}, aggs: [][3]string{{"out", test.fn, test.arg}}}
		var rows []testRow
		for _, r := range test.rows {
			rows = append(rows, testRow{values: r})
		}
		f := c.build().NewTable().Add(c.batch(rows, 0, len(rows), false))
		if f == nil || f.Row != test.row || f.Agg != "out" || f.Err.Error() != test.want {
			t.Errorf("%s of %s: got %+v, want row %d: %s", test.fn, test.arg, f, test.row, test.want)
		}
	}
}

func TestSumOverflows(t *testing.T) {
	c := aggCase{schema: column.Schema{{Name: "k", Type: column.StringType}, {Name: "n", Type: column.IntType}}, keys: []string{"k"}, aggs: [][3]string{{"out", "sum", "n"}}}
	row := func(n int64) testRow { return testRow{values: []column.Value{"a", n}} }
	a := c.build()
	emit := func(rows ...testRow) (out []string, err error) {
		table := a.NewTable()
		table.Add(c.batch(rows, 0, len(rows), false))
		for g := range KeyGroups {
			if e := a.Emit(context.Background(), g, []*Table{table}, nil, 10, 1<<30, func(b *column.Batch) error {
				out = append(out, valueText(b.Cols[1].Value(0)))
				return nil
			}); e != nil {
				err = e
			}
		}
		return out, err
	}
	// What runs over in between and comes back is no error.
	if out, err := emit(row(math.MaxInt64), row(math.MaxInt64), row(-math.MaxInt64)); err != nil || !reflect.DeepEqual(out, []string{fmt.Sprint(int64(math.MaxInt64))}) {
		t.Errorf("got %v, %v", out, err)
	}
	_, err := emit(row(math.MaxInt64), row(1))
	if want := `aggregate "out" of Row(k='a'): OverflowError: integer sum does not fit 64 bits`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestKeyOfNaN(t *testing.T) {
	c := aggCase{schema: column.Schema{{Name: "k", Type: column.FloatType}}, keys: []string{"k"}, aggs: [][3]string{{"c", "count", "k"}, {"h", "max", "k"}, {"l", "min", "k"}}}
	odd := math.Float64frombits(math.Float64bits(math.NaN()) ^ 1<<63)
	rows := []testRow{{values: []column.Value{math.NaN()}}, {values: []column.Value{odd}}}
	got := c.run(t, rows, how{batch: 10, tables: 1, limit: 1 << 30, out: 10})
	if len(got) != 1 || !strings.HasSuffix(got[0], "NaN 2 NaN NaN") {
		t.Errorf("got %q", got)
	}
}

// TestHashIsStable pins the hash and the form of keys: state that is kept between runs depends on them.
func TestHashIsStable(t *testing.T) {
	if hashVersion != 1 {
		t.Fatal("a new version: pin its hashes here")
	}
	tests := []struct {
		value column.Value
		want  uint64
	}{
		{nil, 0xbf9f3733a419b713}, {int64(1), 0x77598477852248d2}, {1.0, 0x77598477852248d2}, {true, 0x77598477852248d2},
		{1.5, 0xde222b4c800e3b1d}, {"", 0x44eb070449fcd101}, {"d987", 0xbc163cc6a5226364}, {"fourteen bytes", 0x6ed90c55aa7c996d},
		{"fifteen bytes..", 0xbeaac36df064da16}, {"much longer than what two words hold", 0x8497a35b56da629e},
		{[]byte("d987"), 0xec748479d165621f}, {column.Instant(1), 0x211256e8ea41c238}, {column.Span(1), 0x15e346fbbf3a5338},
		{&column.ListValue{Elems: []column.Value{int64(1), "a"}}, 0xf4544183eaa3a8f7},
	}
	for _, test := range tests {
		k := keys{boxed: false}
		k.reset(1)
		k.put(0, appendKeyValue(nil, test.value, true))
		if k.hash[0] != test.want {
			t.Errorf("hash of %s is %#x, want %#x", expr.Repr(test.value), k.hash[0], test.want)
		}
	}
}

func TestSpillFails(t *testing.T) {
	if _, err := NewSpill(t.TempDir() + "/gone"); err == nil || !strings.Contains(err.Error(), "could not make a file") {
		t.Errorf("no folder: %v", err)
	}
	c := aggCase{schema: column.Schema{{Name: "k", Type: column.IntType}}, keys: []string{"k"}, aggs: [][3]string{{"c", "count", "k"}}}
	a := c.build()
	table := a.NewTable()
	table.Add(c.batch([]testRow{{values: []column.Value{int64(1)}}}, 0, 1, false))
	s, err := NewSpill(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Spill(s); err != nil {
		t.Fatal(err)
	}
	emit := func(ctx context.Context) (err error) {
		for g := range KeyGroups {
			if e := a.Emit(ctx, g, []*Table{table}, s, 10, 1<<30, func(*column.Batch) error { return nil }); e != nil {
				err = e
			}
		}
		return err
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := emit(cancelled); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	if err := s.file.Truncate(s.size / 2); err != nil {
		t.Fatal(err)
	}
	if err := emit(context.Background()); err == nil || !strings.Contains(err.Error(), "could not read the spill file "+s.file.Name()) {
		t.Errorf("cut file: %v", err)
	}
	name := s.file.Name()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	table.Add(c.batch([]testRow{{values: []column.Value{int64(1)}}}, 0, 1, false))
	if err := table.Spill(s); err == nil || !strings.Contains(err.Error(), "could not write the spill file") {
		t.Errorf("closed file: %v", err)
	}
}

// TestBytesIsTrue compares what a table says it takes with what the heap has grown by.
func TestBytesIsTrue(t *testing.T) {
	for name, c := range map[string]aggCase{
		"numbers": {keys: []string{"id"}, aggs: [][3]string{{"s", "sum", "x"}, {"h", "max", "n"}}},
		"texts":   {keys: []string{"name"}, aggs: [][3]string{{"h", "max", "text"}}},
		"lists":   {keys: []string{"id"}, aggs: [][3]string{{"g", "group", "text"}}},
		"wide":    {keys: []string{"id"}, aggs: [][3]string{{"s", "sum", "wide"}}},
	} {
		c.schema = column.Schema{{Name: "name", Type: column.StringType}, {Name: "id", Type: column.IntType}, {Name: "x", Type: column.FloatType},
			{Name: "n", Type: column.IntType}, {Name: "text", Type: column.StringType}, {Name: "wide", Type: column.FloatType}}
		var batches []*column.Batch
		for from := 0; from < 100_000; from += 1000 {
			rows := make([]testRow, 1000)
			for i := range rows {
				k := int64(from+i) / 2
				rows[i].values = []column.Value{fmt.Sprint("a longer name ", k), k, 0.5, k, fmt.Sprint("text ", i), []float64{1e-100, 1e100}[i%2]}
			}
			batches = append(batches, c.batch(rows, 0, 1000, false))
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		table := c.build().NewTable()
		for _, b := range batches {
			table.Add(b)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		grown := float64(after.HeapAlloc) - float64(before.HeapAlloc)
		if ratio := float64(table.Bytes()) / grown; ratio < 0.8 || ratio > 1.25 {
			t.Errorf("%s: table says %d bytes, the heap grew by %.0f: ratio %.2f", name, table.Bytes(), grown, ratio)
		}
		runtime.KeepAlive(batches)
	}
}
