package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/services"
)

// bench is a connection of a test and a schema of its own, which goes with it.
type fixture struct {
	t      testing.TB
	url    string
	schema string
	conn   *pgx.Conn
}

func newFixture(t *testing.T) *fixture { t.Helper(); return newFixtureOf(t) }

func newFixtureOf(t testing.TB) *fixture {
	t.Helper()
	address := services.Postgres(t)
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, url: address, schema: fmt.Sprintf("leat_test_%d_%s", os.Getpid(), strings.ToLower(strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()))), conn: conn}
	if len(f.schema) > 60 {
		f.schema = f.schema[:60]
	}
	f.exec("drop schema if exists %s cascade", quote(f.schema))
	f.exec("create schema %s", quote(f.schema))
	f.exec("set search_path = %s", quote(f.schema))
	t.Cleanup(func() {
		f.exec("drop schema %s cascade", quote(f.schema))
		_ = conn.Close(ctx)
	})
	return f
}

func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.conn.Exec(context.Background(), fmt.Sprintf(sql, args...)); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// texts returns the first column of a query.
func (f *fixture) rows(sql string) []string {
	f.t.Helper()
	rows, err := f.conn.Query(context.Background(), sql)
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *fixture) wantRows(sql string, want ...string) {
	f.t.Helper()
	if got := f.rows(sql); strings.Join(got, "|") != strings.Join(want, "|") {
		f.t.Errorf("%s:\ngot  %v\nwant %v", sql, got, want)
	}
}

// config returns a configuration of the server with more keys.
func (f *fixture) config(table string, more ...any) map[string]any {
	c := map[string]any{"url": f.url}
	if table != "" {
		c["table"] = quote(f.schema) + "." + quote(table)
	}
	for i := 0; i < len(more); i += 2 {
		c[more[i].(string)] = more[i+1]
	}
	return c
}

// stream is the surroundings of a sink in a stream.
func stream(dir, job, name string) *catalog.SinkEnv {
	return &catalog.SinkEnv{Stream: true, Dir: dir, Job: job, Name: name}
}

func openWriter(t *testing.T, config map[string]any, env *catalog.SinkEnv, schema column.Schema) (catalog.Writer, error) {
	t.Helper()
	s, err := newSink(config, env)
	if err != nil {
		return nil, err
	}
	w, err := s.Open(context.Background(), schema)
	if err == nil {
		t.Cleanup(func() { _ = w.Abort() })
	}
	return w, err
}

func mustWriter(t *testing.T, config map[string]any, env *catalog.SinkEnv, schema column.Schema) catalog.Writer {
	t.Helper()
	w, err := openWriter(t, config, env, schema)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func batchOf(t testing.TB, schema column.Schema, rows ...[]column.Value) *column.Batch {
	t.Helper()
	b := &column.Batch{N: len(rows)}
	for c, f := range schema {
		builder := column.NewBuilder(f.Type)
		for _, r := range rows {
			if err := builder.Append(r[c]); err != nil {
				t.Fatal(err)
			}
		}
		b.Cols = append(b.Cols, builder.Finish())
	}
	return b
}

func put(w catalog.Writer, b *column.Batch) error {
	e := w.NewEncoder()
	return errors.Join(e.Write(context.Background(), b), e.Flush(context.Background()))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// collector is an Out that keeps rows as values.
type collector struct {
	rows [][]column.Value
	bad  []catalog.BadRecord
	most int
}

func (c *collector) BatchRows() int { return max(c.most, 2) }
func (c *collector) Batch(b *column.Batch) error {
	b.Each(func(i int) {
		row := []column.Value{}
		for _, v := range b.Cols {
			row = append(row, v.Value(i))
		}
		c.rows = append(c.rows, row)
	})
	return nil
}
func (c *collector) Bad(r catalog.BadRecord) error { c.bad = append(c.bad, r); return nil }

func openSource(t *testing.T, config map[string]any, names ...string) (catalog.Reader, column.Schema) {
	t.Helper()
	s, err := newSource(config)
	must(t, err)
	schema, err := s.Schema(context.Background())
	must(t, err)
	var fields column.Schema
	for _, f := range schema {
		if len(names) == 0 || strings.Contains(" "+strings.Join(names, " ")+" ", " "+f.Name+" ") {
			fields = append(fields, f)
		}
	}
	r, err := s.Open(context.Background(), fields)
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r, fields
}

func readAll(t *testing.T, r catalog.Reader) *collector {
	t.Helper()
	out, m, d := &collector{}, catalog.Morsel{}, r.NewDecoder()
	for {
		err := r.Next(context.Background(), &m)
		if err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return out
		}
		must(t, d.Decode(context.Background(), &m, out))
	}
}

var oddName = `odd "name" ⓒ.'x'\`

func TestTypesRoundTrip(t *testing.T) {
	f := newFixture(t)
	schema := column.Schema{
		{Name: "id", Type: column.IntType}, {Name: "b", Type: column.BoolType.OrNull()}, {Name: "f", Type: column.FloatType.OrNull()},
		{Name: oddName, Type: column.StringType.OrNull()}, {Name: "y", Type: column.BytesType.OrNull()}, {Name: "at", Type: column.TimeType.OrNull()},
		{Name: "l", Type: column.ListOf(column.StringType.OrNull()).OrNull()}, {Name: "x", Type: column.AnyType},
	}
	list := func(v ...column.Value) *column.ListValue { return &column.ListValue{Elems: v} }
	rows := [][]column.Value{
		{int64(1), true, 1.5, "plain", []byte{0, 255, '\\', '\n'}, column.Instant(1_700_000_000_123), list("a", nil), int64(7)},
		{int64(2), nil, nil, nil, nil, nil, nil, nil},
		{int64(math.MaxInt64), false, math.Inf(1), "tab\tnewline\nback\\slash \\N \r 'q' \"d\" é漢😀", []byte{}, column.Instant(-1), list(), "text \" \\ \n"},
		{int64(math.MinInt64), true, math.Inf(-1), `\.`, []byte("x"), column.MinInstant, list(`\`, `"`, "NULL", "{,}"), list(int64(1), 2.5, nil)},
		{int64(5), true, math.MaxFloat64, "", []byte("x"), column.MaxInstant, list("tab\t"), &column.RowValue{Names: []string{"z", "a"}, Elems: []column.Value{int64(1), true}}},
		{int64(6), true, 5e-324, "null", []byte("x"), column.Instant(-70_000_000_000_001), list(""), false},
		{int64(7), true, math.NaN(), "x", []byte("x"), column.Instant(200_000_000_000_000_0), list(""), "s"},
	}
	for _, table := range []string{"made", `we"ird.t`, "arrays"} {
		if table == "arrays" {
			f.exec(`create table arrays (id bigint, b bool, f float8, %s varchar, y bytea, at timestamptz, l text[], x json)`, quote(oddName))
		}
		w := mustWriter(t, f.config(table, "create", true), nil, schema)
		must(t, put(w, batchOf(t, schema, rows...)))
		must(t, w.(catalog.Verifier).Verify(context.Background()))
		_, err := w.Commit(context.Background())
		must(t, err)
		r, got := openSource(t, f.config(table))
		if table == "made" && got[0].Type.Nullable {
			t.Error("id was made nullable")
		}
		out := readAll(t, r)
		if len(out.rows) != len(rows) {
			t.Fatalf("%s: %d rows, want %d", table, len(out.rows), len(rows))
		}
		for i, row := range rows {
			want := row
			if i == 4 && table != "arrays" { // jsonb orders keys by length, then text
				want = append([]column.Value{}, row...)
				want[7] = &column.RowValue{Names: []string{"a", "z"}, Elems: []column.Value{true, int64(1)}}
			}
			if f, ok := out.rows[i][2].(float64); ok && math.IsNaN(f) {
				out.rows[i][2] = math.NaN() // of one and the same bits
			}
			a, b := string(column.AppendValue(nil, list(want...))), string(column.AppendValue(nil, list(out.rows[i]...)))
			if a != b {
				t.Errorf("%s row %d:\ngot  %v\nwant %v", table, i, out.rows[i], want)
			}
		}
	}
}

func TestReadTypes(t *testing.T) {
	f := newFixture(t)
	f.exec(`create type mood as enum ('sad', 'ok')`)
	f.exec(`create domain small as int check (value < 100)`)
	query := `select 1::int2 as i2, 2::int4 as i4, 3::small as dom, 1.25::numeric as n, 'NaN'::numeric as nan, 2.5::real as r, 'ok'::mood as e,
'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as u, date '2024-02-29' as d, time '12:30' as tm, timestamp '1969-12-31 23:59:59.9995' as ts,
'{"a": [1, 2.5, null]}'::jsonb as j, array[1, null]::int[] as ai, array[1.5]::numeric[] as an, array['ok']::mood[] as ae, 'x'::char(3) as c, interval '1 day' as iv -- end`
	query = strings.ReplaceAll(query, "::mood", `::`+quote(f.schema)+`.mood`)
	query = strings.ReplaceAll(query, "::small", `::`+quote(f.schema)+`.small`)
	r, schema := openSource(t, f.config("", "query", query+"\n;"))
	want := `i2: int?, i4: int?, dom: int?, n: float?, nan: float?, r: float?, e: string?, u: string?, d: string?, tm: string?, ts: timestamp?, j: any, ai: list<int?>?, an: list<float?>?, ae: list<string?>?, c: string?, iv: string?`
	if got := schema.String(); got != want {
		t.Errorf("schema\ngot  %s\nwant %s", got, want)
	}
	out := readAll(t, r)
	if len(out.rows) != 1 || len(out.bad) != 0 {
		t.Fatalf("rows %v, bad %v", out.rows, out.bad)
	}
	row := out.rows[0]
	if row[10] != column.Instant(-1) {
		t.Errorf("timestamp %v, want -1: floored", row[10])
	}
	for i, want := range map[int]column.Value{0: int64(1), 2: int64(3), 3: 1.25, 6: "ok", 7: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 8: "2024-02-29", 9: "12:30:00", 15: "x", 16: "1 day"} {
		if row[i] != want {
			t.Errorf("%s: %v, want %v", schema[i].Name, row[i], want)
		}
	}
	r, _ = openSource(t, f.config("", "query", "select n, array[[1,2],[3,4]] as m from generate_series(1,2) n"))
	if out := readAll(t, r); len(out.bad) != 2 || len(out.rows) != 0 {
		t.Errorf("arrays of arrays: %v, bad %v", out.rows, out.bad)
	}
}

func TestPartitionedReadEqualsPlain(t *testing.T) {
	f := newFixture(t)
	f.exec(`create table t (id int, v text)`)
	f.exec(`insert into t select case when n %% 1000 = 0 then null else n * 7 - 20000 end, repeat('x', n %% 50) from generate_series(1, 30000) n`)
	r, _ := openSource(t, f.config("t"))
	count := func(c *collector) map[string]int {
		m := map[string]int{}
		for _, row := range c.rows {
			m[fmt.Sprint(row...)]++
		}
		return m
	}
	plain := count(readAll(t, r))
	for _, n := range []int64{1, 2, 7} {
		r, _ := openSource(t, f.config("t", "partition_column", "id", "num_partitions", n, "fetch_size", int64(100)))
		got := count(readAll(t, r))
		if fmt.Sprint(len(got)) != fmt.Sprint(len(plain)) {
			t.Fatalf("%d partitions: %d rows, want %d", n, len(got), len(plain))
		}
		for k, v := range plain {
			if got[k] != v {
				t.Fatalf("%d partitions: row %s %d times, want %d", n, k, got[k], v)
			}
		}
	}
	r, _ = openSource(t, f.config("t", "partition_column", "id"), "none")
	if out := readAll(t, r); len(out.rows) != 30000 {
		t.Errorf("without fields %d rows", len(out.rows))
	}
	f.exec(`truncate t`)
	r, _ = openSource(t, f.config("t", "partition_column", "id"))
	if out := readAll(t, r); len(out.rows) != 0 {
		t.Errorf("%d rows of an empty table", len(out.rows))
	}
	f.exec(`insert into t values (1), (2), (3)`)
	r, _ = openSource(t, f.config("t", "fetch_size", int64(1))) // closed while rows wait
	must(t, r.Next(context.Background(), &catalog.Morsel{}))
}

func TestFollow(t *testing.T) {
	f := newFixture(t)
	f.exec(`create table t (id bigint, at timestamptz, v text)`)
	f.exec(`insert into t select n, now() - interval '1 h' + n * interval '1 s', 'v' || n from generate_series(1, 10) n`)
	config := f.config("t", "follow", "id", "every", "10ms", "fetch_size", int64(4))
	next := func(r catalog.Reader) (values []string, position string, seq int64) {
		t.Helper()
		var m catalog.Morsel
		must(t, r.Next(context.Background(), &m))
		var out collector
		must(t, r.NewDecoder().Decode(context.Background(), &m, &out))
		for _, row := range out.rows {
			values = append(values, fmt.Sprint(row...))
		}
		return values, m.Position, m.Seq
	}
	r, _ := openSource(t, config, "v")
	first, position, seq := next(r)
	if fmt.Sprint(first) != "[v1 v2 v3 v4]" || seq != 0 {
		t.Errorf("first %v at %d", first, seq)
	}
	next(r)
	again, _ := openSource(t, config, "v")
	must(t, again.(catalog.Resumable).Resume(context.Background(), catalog.Resume{Positions: map[string]string{"": position}}))
	got, _, seq := next(again)
	if fmt.Sprint(got) != "[v5 v6 v7 v8]" || seq != 4 {
		t.Errorf("resumed %v at %d", got, seq)
	}
	next(again)
	f.exec(`insert into t values (11, now(), 'a'), (11, now(), 'b'), (11, now(), 'c'), (11, now(), 'd'), (11, now(), 'e'), (null, now(), 'never')`)
	if got, _, _ := next(again); len(got) != 5 {
		t.Errorf("rows of one value were parted: %v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := again.Next(ctx, &catalog.Morsel{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	lag, _ := openSource(t, f.config("t", "follow", "at", "follow_lag", "30m"), "v")
	if got, _, _ := next(lag); len(got) != 10 {
		t.Errorf("with lag %v", got)
	}
}

func TestFollowLargeRows(t *testing.T) {
	f := newFixture(t)
	f.exec(`create table t (id bigint, v text)`)
	f.exec(`insert into t select n, repeat('x', 1 << 20) from generate_series(1, 30) n`)
	r, _ := openSource(t, f.config("t", "follow", "id", "every", "10ms"))
	var out collector
	for len(out.rows) < 30 {
		var m catalog.Morsel
		must(t, r.Next(context.Background(), &m))
		if len(m.Data) > followBytes+2<<20 {
			t.Errorf("a morsel of %d bytes", len(m.Data))
		}
		must(t, r.NewDecoder().Decode(context.Background(), &m, &out))
	}
	for i, row := range out.rows {
		if row[0] != int64(i+1) {
			t.Fatalf("row %d is %v", i, row[0])
		}
	}
}

func TestServerDown(t *testing.T) {
	config := map[string]any{"url": "postgres://u:secretpw@127.0.0.1:1/db", "table": "t", "retry": map[string]any{"attempts": int64(2), "first": "1ms", "most": "1ms"}}
	_, err := openWriter(t, config, nil, idValue)
	if err == nil || !strings.Contains(err.Error(), "tried 2 times") || strings.Contains(err.Error(), "secretpw") {
		t.Error(err)
	}
	delete(config, "retry")
	s, err := newSink(config, stream("", "j", "s"))
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s.server.retry.Failed = func(error) { cancel() } // it would go on for ever
	if _, err := s.Open(ctx, idValue); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestConfigProblems(t *testing.T) {
	for name, c := range map[string]map[string]any{
		"no scheme":    {"url": "mysql://secretpw@h/db", "table": "t"},
		"bad port":     {"url": "postgres://u:secretpw@h:xx/db", "table": "t"},
		"parameter":    {"url": "postgres://u:secretpw@h/db?nope=1", "table": "t"},
		"both":         {"url": "postgres://h/db", "table": "t", "query": "select 1"},
		"partitions":   {"url": "postgres://h/db", "table": "t", "num_partitions": int64(3)},
		"lag":          {"url": "postgres://h/db", "table": "t", "follow_lag": "1s"},
		"name":         {"url": "postgres://h/db", "table": "a.b.c"},
		"open quote":   {"url": "postgres://h/db", "table": `"a`},
		"follow and n": {"url": "postgres://h/db", "table": "t", "follow": "a", "partition_column": "b"},
	} {
		if _, err := newSource(c); err == nil || strings.Contains(err.Error(), "secretpw") {
			t.Errorf("%s: %v", name, err)
		} else if p := (*catalog.Problem)(nil); !errors.As(err, &p) {
			t.Errorf("%s: %T", name, err)
		}
	}
	c, err := parseServer(map[string]any{"url": "jdbc:postgresql://h:99/db?user=u&password=p%20w&ssl=true&currentSchema=s"})
	must(t, err)
	if c.Host != "h" || c.Port != 99 || c.User != "u" || c.Password != "p w" || c.TLSConfig == nil || c.RuntimeParams["search_path"] != "s" {
		t.Errorf("JDBC: %+v", c)
	}
}

func TestWrongPassword(t *testing.T) {
	f := newFixture(t)
	u, err := url.Parse(f.url)
	must(t, err)
	u.User = url.UserPassword("nobody_here", "secretpw")
	s, err := newSource(map[string]any{"url": u.String(), "table": "t"})
	must(t, err)
	err = s.Ping(context.Background())
	if err == nil || strings.Contains(err.Error(), "secretpw") {
		t.Errorf("%v", err)
	}
	if _, err := s.Schema(context.Background()); err == nil || strings.Contains(err.Error(), "secretpw") {
		t.Errorf("%v", err)
	}
}
