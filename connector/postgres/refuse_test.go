package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/vfs"
)

// refusing is the surroundings of a sink whose errors somebody reads.
func refusing(env *catalog.SinkEnv) *catalog.SinkEnv {
	if env == nil {
		env = &catalog.SinkEnv{Name: "sink"}
	}
	env.Refusals = true
	return env
}

// told gathers what an engine would hand on: the messages by the id of the row, of which each comes once.
type told struct {
	t    *testing.T
	rows map[int64]string
}

func (o *told) add(rows []catalog.RefusedRows) {
	o.t.Helper()
	for _, of := range rows {
		for _, r := range of.Rows {
			id := of.Batch.Cols[0].Ints[r.Row]
			if was, twice := o.rows[id]; twice {
				o.t.Errorf("row %d is told twice: %s; %v", id, was, r.Err)
			}
			o.rows[id] = r.Err.Error()
			if want := fmt.Sprint("in:", id+1); of.Batch.Where(int(r.Row)) != want {
				o.t.Errorf("row %d is of %q", id, of.Batch.Where(int(r.Row)))
			}
			if of.Batch.Time(int(r.Row)) != column.Instant(1000+id) {
				o.t.Errorf("row %d is of %v", id, of.Batch.Time(int(r.Row)))
			}
		}
	}
}

func (o *told) ask(w catalog.Writer) {
	o.t.Helper()
	rows, err := w.(catalog.Refuser).Refusals()
	must(o.t, err)
	o.add(rows)
}

// write writes as engines do: what a batch is refused at once is told at once.
func (o *told) write(w catalog.Writer, batches ...*column.Batch) {
	o.t.Helper()
	e := w.NewEncoder()
	for _, b := range batches {
		err := e.Write(context.Background(), b)
		var refused catalog.Refused
		if errors.As(err, &refused) {
			o.add([]catalog.RefusedRows{{Batch: b, Rows: refused}})
			err = nil
		}
		must(o.t, err)
		o.ask(w)
	}
	must(o.t, e.Flush(context.Background()))
}

// finish ends as engines do.
func (o *told) finish(w catalog.Writer) {
	o.t.Helper()
	ctx := context.Background()
	if tx, ok := w.(catalog.Transactional); ok {
		data, err := tx.Prepare(ctx, 1)
		must(o.t, err)
		must(o.t, tx.CommitEpoch(ctx, 1, data))
	} else {
		must(o.t, w.(catalog.Syncer).Sync(ctx))
	}
	o.ask(w)
	if v, ok := w.(catalog.Verifier); ok {
		must(o.t, v.Verify(ctx))
	}
	_, err := w.Commit(ctx)
	must(o.t, err)
}

var picky = column.Schema{{Name: "id", Type: column.IntType}, {Name: "u", Type: column.IntType}, {Name: "v", Type: column.StringType.OrNull()}, {Name: "n", Type: column.FloatType}}

const pickyTable = `create table t (id int primary key, u int constraint once unique, v varchar(8) not null constraint short check (v <> 'bad'), n numeric(4, 2))`

// faultsOf are the ways in which a row of picky is bad, with what the server names.
var faultsOf = []struct {
	change func(row []column.Value)
	want   string
}{
	{func(r []column.Value) { r[2] = "bad" }, `"short"`},
	{func(r []column.Value) { r[2] = nil }, `"v"`},
	{func(r []column.Value) { r[1] = int64(0) }, `"once"`},
	{func(r []column.Value) { r[3] = 1000.0 }, `numeric field overflow`},
	{func(r []column.Value) { r[2] = "much too long" }, `column "v": value too long`},
	{func(r []column.Value) { r[2] = "a\x00b" }, `NUL`},
	{func(r []column.Value) { r[2] = "a\xff" }, `UTF-8`},
	{func(r []column.Value) { r[1] = int64(1) << 40 }, `out of range`},
}

// pickyRows returns n rows in batches, of which those that bad chooses are so, and what the table is to say of these.
func pickyRows(t testing.TB, n int, bad func(i int) bool) (batches []*column.Batch, want map[int64]string) {
	t.Helper()
	want = map[int64]string{}
	const each = 1000
	for at := 0; at < n; at += each {
		var rows [][]column.Value
		var times []int64
		for i := at; i < min(n, at+each); i++ {
			row := []column.Value{int64(i), int64(i), "v", 1.5}
			if i > 0 && bad(i) {
				f := faultsOf[len(want)%len(faultsOf)]
				f.change(row)
				want[int64(i)] = f.want
			}
			rows, times = append(rows, row), append(times, int64(1000+i))
		}
		b := batchOf(t, picky, rows...)
		b.Times = times
		b.Origin = &column.Origin{File: "in", Seq: int64(at), Line: func(row int32) int64 { return int64(at) + int64(row) + 1 }}
		batches = append(batches, b)
	}
	return batches, want
}

// check compares the table and what was told with what is wanted.
func (o *told) check(f *fixture, n int, want map[int64]string) {
	o.t.Helper()
	f.wantRows(`select count(*)::text from t`, fmt.Sprint(n-len(want)))
	if got, all := slices.Sorted(maps.Keys(o.rows)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, all) {
		o.t.Errorf("%d rows are told, wanted %d", len(got), len(all))
	}
	for id, text := range want {
		if !strings.Contains(o.rows[id], text) {
			o.t.Errorf("row %d: %q lacks %q", id, o.rows[id], text)
		}
		if !strings.Contains(text, "NUL") && !strings.Contains(text, "UTF-8") && !strings.Contains(o.rows[id], "SQLSTATE") {
			o.t.Errorf("row %d: %q is not the server's", id, o.rows[id])
		}
	}
}

var ways = map[string]func(dir string) *catalog.SinkEnv{
	"bounded":       func(string) *catalog.SinkEnv { return nil },
	"exactly once":  func(dir string) *catalog.SinkEnv { return stream(dir, "j", "s") },
	"no state":      func(string) *catalog.SinkEnv { return stream("", "j", "s") },
	"at least once": func(string) *catalog.SinkEnv { return stream("", "j", "s") },
}

// eachWay opens a writer for each way to write, in both modes.
func eachWay(t *testing.T, f *fixture, table string, test func(t *testing.T, w catalog.Writer)) {
	for _, mode := range []string{"append", "upsert"} {
		for name, env := range ways {
			t.Run(mode+" "+name, func(t *testing.T) {
				f.exec(`drop table if exists t`)
				f.exec("%s", table)
				w := mustWriter(t, f.config("t", "mode", mode, "key", "id", "exactly_once", name != "at least once"), refusing(env(t.TempDir())), picky)
				if tx, ok := w.(catalog.Transactional); ok {
					must(t, tx.Recover(context.Background(), 0, nil))
				}
				test(t, w)
			})
		}
	}
}

func TestRefusedRows(t *testing.T) {
	f := newFixture(t)
	for name, bad := range map[string]func(i int) bool{
		"few":      func(i int) bool { return i%100 == 99 },
		"clusters": func(i int) bool { return i/40%50 == 7 },
		"none":     func(int) bool { return false },
		"parts":    func(i int) bool { return i%300 == 5 },
	} {
		table := pickyTable
		if name == "parts" {
			table = strings.Replace(pickyTable, "unique", "check (u <> 0 or id = 0)", 1) + ` partition by range (id); create table if not exists lower partition of t for values from (0) to (5000);
create table if not exists upper partition of t for values from (5000) to (20000)`
		}
		t.Run(name, func(t *testing.T) {
			eachWay(t, f, table, func(t *testing.T, w catalog.Writer) {
				o := &told{t, map[int64]string{}}
				batches, want := pickyRows(t, 10_000, bad)
				o.write(w, batches...)
				o.finish(w)
				o.check(f, 10_000, want)
			})
		})
	}
}

// TestAllRowsAreRefused leaves a table empty.
func TestAllRowsAreRefused(t *testing.T) {
	f := newFixture(t)
	eachWay(t, f, strings.Replace(pickyTable, "'bad'", "'v'", 1), func(t *testing.T, w catalog.Writer) {
		o := &told{t, map[int64]string{}}
		batches, want := pickyRows(t, 800, func(int) bool { return false })
		for i := range int64(800) {
			want[i] = `"short"`
		}
		o.write(w, batches...)
		o.finish(w)
		o.check(f, 800, want)
	})
}

// TestHalfOfManyRows says how long it takes.
func TestHalfOfManyRows(t *testing.T) {
	n := 50_000
	if os.Getenv("LEAT_REFUSED") == "" {
		n = 2000 // which is enough to see that it works
	}
	f := newFixture(t)
	eachWay(t, f, pickyTable, func(t *testing.T, w catalog.Writer) {
		o := &told{t, map[int64]string{}}
		batches, want := pickyRows(t, n, func(i int) bool { return (i*2654435761)>>16%2 == 0 })
		begun := time.Now()
		o.write(w, batches...)
		o.finish(w)
		t.Logf("%d of %d rows refused: %v", len(want), n, time.Since(begun).Round(time.Millisecond))
		o.check(f, n, want)
	})
}

// guesses are rows at a server that is not there.
type guesses struct {
	bad   []bool
	says  bool // which row is bad
	sure  bool
	tries int
	sent  int64
	taken []int64
}

func (g *guesses) size() int64        { return int64(len(g.bad)) }
func (g *guesses) end(at int64) int64 { return at + 1 }

func (g *guesses) try(_ context.Context, lo, hi int64) (v verdict, err error) {
	g.tries++
	for at := lo; at < hi; at++ {
		g.sent++
		if g.bad[at] {
			v.of = &pgconn.PgError{Code: "23514"}
			if g.says {
				v.from, v.to, v.sure = at, at+1, g.sure
				if !g.sure { // it names the first of ten
					v.from = max(lo, at/10*10)
					v.to = v.from + 1
				}
			}
			return v, nil
		}
	}
	for at := lo; at < hi; at++ {
		g.taken = append(g.taken, at)
	}
	return v, nil
}

// TestSift counts what it takes to find the rows that are refused.
func TestSift(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, how := range []struct{ says, sure bool }{{true, true}, {false, false}, {true, false}} {
		says := how.says
		for _, share := range []float64{0, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 1} {
			const n = 20_000
			g := &guesses{bad: make([]bool, n), says: says, sure: how.sure}
			var want []int64
			for i := range g.bad {
				if g.bad[i] = rng.Float64() < share; g.bad[i] {
					want = append(want, int64(i))
				}
			}
			refused, err := sift(t.Context(), g, n, 0)
			must(t, err)
			var got []int64
			for _, r := range refused {
				got = append(got, r.from)
			}
			all := append(slices.Clone(got), g.taken...)
			slices.Sort(all)
			if !slices.Equal(got, want) || len(all) != n || len(slices.Compact(all)) != n {
				t.Fatalf("%v %v: %d refused and %d taken", says, share, len(got), len(g.taken))
			}
			most := 2 * len(want) // the refusal, and what is before it
			if !says {            // a share of the depth of a tree
				most = len(want) * 2 * (1 + bits.Len(uint(n/max(1, len(want)))))
			}
			if !how.sure && says {
				most *= 20
			}
			if g.tries > 64+most || g.sent > int64(4*n+n*bits.Len(n)*min(1, len(want))) {
				t.Errorf("says=%v, %d of %d refused: %d tries (wanted %d) of %d rows", says, len(want), n, g.tries, most, g.sent)
			}
			t.Logf("says=%v, sure=%v, %d of %d refused: %d tries of %d rows", says, how.sure, len(want), n, g.tries, g.sent)
		}
	}
}

// TestRowsThatReferToEachOther takes a row that refers to a later one, though others are refused.
func TestRowsThatReferToEachOther(t *testing.T) {
	f := newFixture(t)
	eachWay(t, f, `create table t (id int primary key, u int references t, v varchar(8), n numeric)`, func(t *testing.T, w catalog.Writer) {
		if strings.Contains(t.Name(), "upsert") {
			t.Skip("a row of an upsert is not tried twice, as it might replace a later one")
		}
		var rows [][]column.Value
		for i := range int64(10) {
			rows = append(rows, []column.Value{i, (i + 1) % 10, "v", 1.5}) // 0 refers to 1, and so on
		}
		rows[9][1] = int64(9)
		rows[4][1] = int64(77) // which is not there; 0 to 3 refer to it
		b := batchOf(t, picky, rows...)
		b.Times = []int64{1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009}
		b.Origin = &column.Origin{File: "in", Line: func(row int32) int64 { return int64(row) + 1 }}
		o := &told{t, map[int64]string{}}
		o.write(w, b)
		o.finish(w)
		want := map[int64]string{}
		for i := range int64(5) {
			want[i] = "t_u_fkey"
		}
		o.check(f, 10, want)
	})
}

// TestUpsertOfRefusedRows lets the last row of a key win that the server takes.
func TestUpsertOfRefusedRows(t *testing.T) {
	f := newFixture(t)
	for name, env := range ways {
		t.Run(name, func(t *testing.T) {
			f.exec(`drop table if exists t`)
			f.exec(`create table t (id int primary key, v text check (v not like 'bad%%'))`)
			w := mustWriter(t, f.config("t", "mode", "upsert", "key", "id", "exactly_once", name != "at least once"), refusing(env(t.TempDir())), idValue)
			if tx, ok := w.(catalog.Transactional); ok {
				must(t, tx.Recover(context.Background(), 0, nil))
			}
			must(t, put(w, idRows(t, 2, 1, "late", 1, "bad last", 2, "only", 3, "bad")))
			if name != "at least once" { // which writes them as they come
				must(t, put(w, idRows(t, 1, 1, "early", 3, "fine", 4, "x")))
			}
			rows := 0
			if tx, ok := w.(catalog.Transactional); ok {
				data, err := tx.Prepare(context.Background(), 1)
				must(t, err)
				must(t, tx.CommitEpoch(context.Background(), 1, data))
			} else {
				must(t, w.(catalog.Syncer).Sync(context.Background()))
			}
			refused, err := w.(catalog.Refuser).Refusals()
			must(t, err)
			for _, of := range refused {
				for _, r := range of.Rows {
					if rows++; !strings.HasPrefix(of.Batch.Cols[1].Value(int(r.Row)).(string), "bad") {
						t.Errorf("refused %v", of.Batch.Cols[1].Value(int(r.Row)))
					}
				}
			}
			_, err = w.Commit(context.Background())
			must(t, err)
			if rows != 2 {
				t.Errorf("%d rows are refused", rows)
			}
			if name == "at least once" {
				f.wantRows(all, "1=late", "2=only")
			} else {
				f.wantRows(all, "1=late", "2=only", "3=fine", "4=x")
			}
		})
	}
}

// hooked is a file system that says when it has renamed a file.
type hooked struct {
	vfs.FS
	renamed func(name string)
}

func (h hooked) Rename(from, to string) error {
	err := h.FS.Rename(from, to)
	h.renamed(to)
	return err
}

// TestKilledWithRefusedRows ends a stream at each step. Nothing is lost, and nothing is told twice that a checkpoint knows to be told.
func TestKilledWithRefusedRows(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	f.exec("%s", pickyTable)
	dir := t.TempDir()
	config := f.config("t")
	open := func() *epochWriter {
		return mustWriter(t, config, refusing(stream(dir, "j", "s")), picky).(*epochWriter)
	}
	batches, want := pickyRows(t, 4000, func(i int) bool { return i%10 == 9 })
	o := &told{t, map[int64]string{}}
	lost := func(w *epochWriter) { // told to an epoch that never was
		t.Helper()
		before := maps.Clone(o.rows)
		o.ask(w)
		o.rows = before
	}
	prepare := func(w *epochWriter, epoch int64, b *column.Batch) []byte {
		t.Helper()
		o.write(w, b)
		data, err := w.Prepare(ctx, epoch)
		must(t, err)
		return data
	}

	w := open()
	must(t, w.Recover(ctx, 0, nil))
	first := prepare(w, 1, batches[0])
	must(t, w.Abort()) // killed after the checkpoint

	w = open()
	killed, kill := context.WithCancel(ctx)
	w.stage.fs = hooked{w.stage.fs, func(name string) {
		if strings.HasSuffix(name, refusedSuffix) {
			kill()
		}
	}}
	if err := w.Recover(killed, 1, first); !errors.Is(err, context.Canceled) { // killed before the commit
		t.Fatal(err)
	}
	must(t, w.Abort())
	f.wantRows(`select count(*)::text from t`, "0")
	if _, err := os.Stat(dir + "/1.refused"); err != nil {
		t.Error(err)
	}

	w = open()
	must(t, w.Recover(ctx, 1, first))
	must(t, w.Abort()) // killed after the commit
	w = open()
	must(t, w.Recover(ctx, 1, first))
	lost(w)
	prepare(w, 2, pickyOf(t, batches[1])) // which is not durable
	must(t, w.Abort())

	w = open()
	must(t, w.Recover(ctx, 1, first))
	o.ask(w)
	o.ask(w)
	second := prepare(w, 2, batches[1])
	must(t, w.Abort()) // killed after the checkpoint: the first ones are told
	w = open()
	must(t, w.Recover(ctx, 2, second))
	if _, err := os.Stat(dir + "/1.refused"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("refused rows of the first epoch are there yet: %v", err)
	}
	o.ask(w)
	third, err := w.Prepare(ctx, 3) // an epoch without rows
	must(t, err)
	must(t, w.Abort())
	w = open()
	must(t, w.Recover(ctx, 3, third))
	fourth := prepare(w, 4, batches[2])
	must(t, w.CommitEpoch(ctx, 4, fourth))
	must(t, w.CommitEpoch(ctx, 4, fourth))
	o.ask(w)
	fifth := prepare(w, 5, batches[3])
	must(t, w.CommitEpoch(ctx, 5, fifth))
	must(t, w.Abort())

	w = mustWriter(t, config, stream(dir, "j", "s"), picky).(*epochWriter) // whose errors nobody reads
	if err := w.Recover(ctx, 5, fifth); err == nil || !strings.Contains(err.Error(), "nothing takes them") {
		t.Error(err)
	}
	w = open()
	must(t, w.Recover(ctx, 5, fifth))
	o.ask(w)
	o.check(f, 4000, want)
	sixth, err := w.Prepare(ctx, 6)
	must(t, err)
	must(t, w.CommitEpoch(ctx, 6, sixth))
	if names, _ := os.ReadDir(dir); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

// TestNobodyIsTold fails rather than lose refused rows with the process.
func TestNobodyIsTold(t *testing.T) {
	f := newFixture(t)
	f.exec(`create table t (id int, v text not null)`)
	for _, env := range []*catalog.SinkEnv{nil, stream("", "j", "s")} {
		w := mustWriter(t, f.config("t"), refusing(env), idValue)
		if tx, ok := w.(catalog.Transactional); ok {
			must(t, tx.Recover(t.Context(), 0, nil))
		}
		must(t, put(w, idRows(t, 0, 1, "a", 2, nil)))
		if _, err := w.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), "not-null") {
			t.Error(err)
		}
	}
}

// pickyOf returns the rows of b that are taken at once.
func pickyOf(t *testing.T, b *column.Batch) *column.Batch {
	t.Helper()
	out := *b
	for i := range b.N {
		if text, _ := b.Cols[2].Value(i).(string); !strings.Contains(text, "\x00") && utf8.ValidString(text) {
			out.Sel = append(out.Sel, int32(i))
		}
	}
	return &out
}
