package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

var idValue = column.Schema{{Name: "id", Type: column.IntType}, {Name: "v", Type: column.StringType.OrNull()}}

func idRows(t testing.TB, seq int64, rows ...any) *column.Batch {
	t.Helper()
	var out [][]column.Value
	for i := 0; i < len(rows); i += 2 {
		out = append(out, []column.Value{int64(rows[i].(int)), rows[i+1]})
	}
	b := batchOf(t, idValue, out...)
	b.Origin = &column.Origin{File: "in", Seq: seq, Line: func(row int32) int64 { return int64(row) + 1 }}
	return b
}

func commitBounded(t *testing.T, w catalog.Writer) {
	t.Helper()
	must(t, w.(catalog.Verifier).Verify(context.Background()))
	_, err := w.Commit(context.Background())
	must(t, err)
}

const all = `select id || '=' || coalesce(v, 'null') from t order by id, v`

func TestBoundedIsOneTransaction(t *testing.T) {
	f := newFixture(t)
	f.exec(`create table t (id int primary key, v text, extra timestamptz default now())`)
	w := mustWriter(t, f.config("t"), nil, idValue)
	must(t, put(w, idRows(t, 0, 1, "a", 2, nil)))
	f.wantRows(all)
	must(t, w.Abort())
	must(t, w.Abort())
	f.wantRows(all)
	w = mustWriter(t, f.config("t"), nil, idValue)
	must(t, put(w, idRows(t, 0, 1, "a", 2, nil)))
	commitBounded(t, w)
	must(t, w.Abort())
	f.wantRows(all, "1=a", "2=null")
}

func TestUpsert(t *testing.T) {
	f := newFixture(t)
	config := f.config("t", "mode", "upsert", "key", "id", "create", true)
	w := mustWriter(t, config, nil, idValue)
	// Written out of order, as workers do: the row that stands last in the source wins.
	must(t, put(w, idRows(t, 2, 1, "late", 3, "c")))
	must(t, put(w, idRows(t, 1, 1, "early", 1, "middle", 2, "b")))
	must(t, put(w, idRows(t, 3, 3, "x", 3, "last")))
	commitBounded(t, w)
	f.wantRows(all, "1=late", "2=b", "3=last")
	w = mustWriter(t, config, stream("", "j", "s"), idValue)
	must(t, w.(catalog.Transactional).Recover(context.Background(), 0, nil))
	must(t, put(w, idRows(t, 1, 2, "B", 4, "d")))
	_, err := w.Commit(context.Background())
	must(t, err)
	f.wantRows(all, "1=late", "2=B", "3=last", "4=d")
}

func TestTableDoesNotFit(t *testing.T) {
	f := newFixture(t)
	f.exec(`create table t (id text, needed int not null, g int generated always as (1) stored, w numeric)`)
	schema := column.Schema{{Name: "id", Type: column.IntType}, {Name: "weight", Type: column.FloatType}, {Name: "g", Type: column.IntType}}
	_, err := openWriter(t, f.config("t", "mode", "upsert", "key", "id"), nil, schema)
	for _, want := range []string{`column "id" is text`, `"needed"`, `no column "weight"`, `"g" is generated`, "not unique by (id)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: lacks %s", err, want)
		}
	}
	if _, err = openWriter(t, f.config("missing"), nil, schema); err == nil || !strings.Contains(err.Error(), "has no table") {
		t.Error(err)
	}
	w := mustWriter(t, f.config("made", "create", true), nil, idValue)
	if err := put(w, idRows(t, 0, 1, "ok", 2, "a\x00b")); err == nil || !strings.Contains(err.Error(), "NUL") || !strings.Contains(err.Error(), `"v"`) {
		t.Errorf("NUL: %v", err)
	}
}

func TestRowsThatAreNotTaken(t *testing.T) {
	f := newFixture(t)
	f.exec(`create table other (id int primary key)`)
	f.exec(`insert into other select generate_series(0, 5000)`)
	cases := map[string]struct{ table, want, constraint string }{
		"unique":  {`id int constraint pk primary key, v text`, "id=7", "pk"},
		"check":   {`id int primary key, v text constraint short check (v <> 'bad')`, "id=3000", "short"},
		"null":    {`id int primary key, v text not null`, "id=3001", "v"},
		"range":   {`id smallint primary key, v text`, "id=100000", "smallint"},
		"long":    {`id int primary key, v varchar(8)`, "id=3002", "varying(8)"},
		"foreign": {`id int primary key references other, v text`, "id=100000", "t_id_fkey"},
		"delayed": {`id int primary key references other deferrable initially deferred, v text`, "id=100000", "t_id_fkey"},
	}
	var rows []any
	for i := range 5000 {
		v := any("v")
		switch {
		case i == 3000:
			v = "bad"
		case i == 3002:
			v = "much too long"
		}
		rows = append(rows, i, v)
	}
	for name, c := range cases {
		for _, mode := range []string{"append", "upsert"} {
			for _, how := range []*catalog.SinkEnv{nil, stream(t.TempDir(), "j", name+mode)} {
				if name == "unique" && mode == "upsert" {
					continue
				}
				f.exec(`drop table if exists t`)
				f.exec(`create table t (%s)`, c.table)
				given := append([]any{}, rows...)
				switch name {
				case "unique":
					given = append(given, 7, "again")
				case "range", "foreign", "delayed":
					given = append(given, 100000, "v", 6, "w")[:len(given)+2]
				case "null":
					given[2*3001+1] = nil
				}
				w := mustWriter(t, f.config("t", "mode", mode, "key", "id"), how, idValue)
				if tx, ok := w.(catalog.Transactional); ok {
					must(t, tx.Recover(context.Background(), 0, nil))
				}
				err := put(w, idRows(t, 0, given...))
				if err == nil {
					_, err = w.Commit(context.Background())
				}
				if err == nil {
					t.Fatalf("%s %s: taken", name, mode)
				}
				// The end of a bounded run knows the row only from what the server says.
				if full := fmt.Sprintf("%+v", err) + rowOf(err); how != nil && !strings.Contains(full, c.want) || !strings.Contains(full, c.constraint) {
					t.Errorf("%s %s stream=%v: %v; row %s", name, mode, how != nil, err, rowOf(err))
				}
				must(t, w.Abort())
				f.wantRows(all)
			}
		}
	}
}

func transactional(t *testing.T, f *fixture, dir, job, name string) catalog.Transactional {
	t.Helper()
	return mustWriter(t, f.config("t"), stream(dir, job, name), idValue).(catalog.Transactional)
}

func TestExactlyOnce(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	f.exec(`create table t (id int, v text)`)
	dir, other := t.TempDir(), t.TempDir()
	w := transactional(t, f, dir, "job", "sink")
	must(t, w.Recover(ctx, 0, nil))
	o := transactional(t, f, other, "job", "other")
	must(t, o.Recover(ctx, 0, nil))

	must(t, put(w, idRows(t, 0, 1, "a")))
	first, err := w.Prepare(ctx, 1)
	must(t, err)
	must(t, put(w, idRows(t, 1, 2, "b"))) // of the next epoch, while the first is not committed
	f.wantRows(all)
	must(t, w.CommitEpoch(ctx, 1, first))
	must(t, w.CommitEpoch(ctx, 1, first))
	f.wantRows(all, "1=a")
	must(t, put(o, idRows(t, 0, 100, "o")))
	late := transactional(t, f, dir, "job", "sink") // knows nothing of what was done
	must(t, late.Recover(ctx, 1, first))
	f.wantRows(all, "1=a")
	data, err := o.Prepare(ctx, 1)
	must(t, err)
	must(t, o.CommitEpoch(ctx, 1, data))
	f.wantRows(all, "1=a", "100=o")

	// Killed before Prepare: what was written is dropped.
	w = transactional(t, f, dir, "job", "sink")
	must(t, w.Recover(ctx, 1, first))
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	must(t, put(w, idRows(t, 1, 2, "b")))
	second, err := w.Prepare(ctx, 2)
	must(t, err)
	must(t, put(w, idRows(t, 2, 9, "lost")))
	_, err = w.Prepare(ctx, 3) // never durable
	must(t, err)
	must(t, w.Abort())

	// Killed after Prepare: the next one commits, once.
	w = transactional(t, f, dir, "job", "sink")
	must(t, w.Recover(ctx, 2, second))
	f.wantRows(all, "1=a", "2=b", "100=o")
	w = transactional(t, f, dir, "job", "sink")
	must(t, w.Recover(ctx, 2, second))
	f.wantRows(all, "1=a", "2=b", "100=o")
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	empty, err := w.Prepare(ctx, 3)
	must(t, err)
	must(t, w.CommitEpoch(ctx, 3, empty))

	// State that is older than the table is refused.
	w = transactional(t, f, dir, "job", "sink")
	if err := w.Recover(ctx, 1, first); err == nil || !strings.Contains(err.Error(), "older") {
		t.Errorf("older state: %v", err)
	}
	// A first run begins anew.
	w = transactional(t, f, t.TempDir(), "job", "sink")
	must(t, w.Recover(ctx, 0, nil))
	must(t, put(w, idRows(t, 0, 1, "anew")))
	data, err = w.Prepare(ctx, 1)
	must(t, err)
	must(t, w.CommitEpoch(ctx, 1, data))
	f.wantRows(all, "1=a", "1=anew", "2=b", "100=o")
}

// TestTwoRunsOfOneName lets the run that began last write, and tells the other one so. What that had staged is written when it runs again.
func TestTwoRunsOfOneName(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	f.exec(`create table t (id int, v text)`)
	dir := t.TempDir()
	one := transactional(t, f, dir, "job", "sink")
	must(t, one.Recover(ctx, 0, nil))
	must(t, put(one, idRows(t, 0, 1, "one")))
	first, err := one.Prepare(ctx, 1)
	must(t, err)
	two := transactional(t, f, t.TempDir(), "job", "sink")
	must(t, two.Recover(ctx, 0, nil))
	must(t, put(two, idRows(t, 0, 2, "two")))
	data, err := two.Prepare(ctx, 1)
	must(t, err)
	must(t, two.CommitEpoch(ctx, 1, data))
	var failure *diag.Failure
	if err := one.CommitEpoch(ctx, 1, first); !errors.As(err, &failure) || failure.Code != diag.StateBusy {
		t.Errorf("the first run: %v", err)
	}
	f.wantRows(all, "2=two")
	must(t, one.Abort())
	one = transactional(t, f, dir, "job", "sink") // both have an epoch 1
	if err := one.Recover(ctx, 1, first); !errors.As(err, &failure) || failure.Code != diag.StateBusy {
		t.Errorf("the first run, again: %v", err)
	}
	f.exec(`delete from leat_epochs where job = 'job'`) // as the error says
	must(t, one.Recover(ctx, 1, first))
	f.wantRows(all, "1=one", "2=two")
}

func TestDamagedStage(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	f.exec(`create table t (id int, v text)`)
	for _, damage := range []string{"remove", "change", "cut"} {
		dir := t.TempDir()
		w := transactional(t, f, dir, "job", damage)
		must(t, w.Recover(ctx, 0, nil))
		must(t, put(w, idRows(t, 0, 1, "a", 2, "b")))
		data, err := w.Prepare(ctx, 1)
		must(t, err)
		var of staged
		must(t, json.Unmarshal(data, &of))
		name := filepath.Join(dir, of.File)
		switch damage {
		case "remove":
			must(t, os.Remove(name))
		case "change":
			must(t, os.WriteFile(name, []byte("1\ta\n2\tx\n"), 0o600))
		case "cut":
			must(t, os.Truncate(name, 4))
		}
		if err := w.CommitEpoch(ctx, 1, data); err == nil || !strings.Contains(err.Error(), "epoch 1") {
			t.Errorf("%s: %v", damage, err)
		}
		f.wantRows(all)
	}
}

// proxy hands connections on to a server, and cuts them when told.
type proxy struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	open     []net.Conn
	after    int64 // cut a connection after so many bytes from the client; 0: never
	cuts     int   // so often
	wg       sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, to: to}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.cut(); p.wg.Wait() })
	return p
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer s.Close()
	p.mu.Lock()
	limit := int64(1) << 60
	if p.cuts > 0 {
		p.cuts--
		limit = p.after
	}
	p.open = append(p.open, c, s)
	p.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(c, s); _ = c.Close() })
	_, _ = io.CopyN(s, c, limit)
	_ = c.Close()
	_ = s.Close()
	wg.Wait()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

func TestConnectionsAreCut(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	f.exec(`create table t (id int primary key, v text)`)
	u, err := url.Parse(f.url)
	must(t, err)
	p := newProxy(t, u.Host)
	u.Host = p.listener.Addr().String()
	u.RawQuery = "sslmode=disable"
	quick := map[string]any{"first": "1ms", "most": "2ms"}
	var total []any
	for i := range 2000 {
		total = append(total, i, "some value")
	}
	epoch := int64(0)
	for _, after := range []int64{1, 300, 600, 1000, 5000, 20000, 36000} {
		epoch++
		f.exec(`truncate t`)
		config := f.config("t", "url", u.String(), "retry", quick)
		w := mustWriter(t, config, stream(t.TempDir(), "job", "cut"), idValue).(catalog.Transactional)
		must(t, w.Recover(ctx, 0, nil))
		must(t, put(w, idRows(t, 0, total...)))
		data, err := w.Prepare(ctx, epoch)
		must(t, err)
		p.mu.Lock()
		p.after, p.cuts = after, 3
		p.mu.Unlock()
		p.cut()
		must(t, w.CommitEpoch(ctx, epoch, data))
		f.wantRows(`select count(*)::text from t`, "2000")
		must(t, w.Abort())
	}
	f.exec(`truncate t`)
	w := mustWriter(t, f.config("t", "url", u.String(), "retry", quick, "exactly_once", false, "mode", "upsert", "key", "id", "batch_size", int64(300)), stream("", "job", "often"), idValue)
	p.cut()
	must(t, put(w, idRows(t, 0, total...)))
	must(t, w.(catalog.Syncer).Sync(ctx))
	f.wantRows(`select count(*)::text from t`, "2000")

	f.exec(`truncate t`)
	w = mustWriter(t, f.config("t", "url", u.String(), "retry", quick), nil, idValue)
	must(t, put(w, idRows(t, 0, 1, "a")))
	p.cut()
	if _, err := w.Commit(ctx); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("bounded: %v", err)
	}
	f.wantRows(all)

	f.exec(`insert into t select n, 'v' from generate_series(1, 5) n`)
	r, _ := openSource(t, f.config("t", "url", u.String(), "retry", quick, "follow", "id", "fetch_size", int64(2)))
	var out collector
	for range 3 {
		p.cut()
		var m catalog.Morsel
		must(t, r.Next(ctx, &m))
		must(t, r.NewDecoder().Decode(ctx, &m, &out))
	}
	if len(out.rows) != 5 {
		t.Errorf("followed %v", out.rows)
	}
}
