package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// every is a schema with all types, and rows of it.
func every() (column.Schema, [][]column.Value) {
	point := column.RowOf(column.Schema{{Name: "x", Type: column.IntType}, {Name: "at", Type: column.TimeType.OrNull()}})
	schema := column.Schema{
		{Name: "id", Type: column.IntType}, {Name: "b", Type: column.BoolType.OrNull()}, {Name: "f", Type: column.FloatType.OrNull()}, {Name: "s", Type: column.StringType.OrNull()},
		{Name: "raw", Type: column.BytesType.OrNull()}, {Name: "at", Type: column.TimeType.OrNull()}, {Name: "span", Type: column.DurationType.OrNull()},
		{Name: "texts", Type: column.ListOf(column.StringType.OrNull()).OrNull()}, {Name: "ints", Type: column.ListOf(column.IntType).OrNull()},
		{Name: "nested", Type: column.ListOf(column.ListOf(column.FloatType)).OrNull()}, {Name: "map", Type: column.MapOf(column.DurationType).OrNull()},
		{Name: "row", Type: point.OrNull()}, {Name: "any", Type: column.AnyType},
	}
	list := func(v ...column.Value) column.Value { return &column.ListValue{Elems: v} }
	full := []column.Value{int64(1), true, -1.5e300, "a\tb\\c\nd\r\"é", []byte{0, 1, 255}, column.Instant(1_700_000_000_123), column.Span(-1500),
		list("a,\"b\\", nil, "NULL", ""), list(int64(-1), int64(2)), list(list(1.5), list()),
		&column.MapValue{Keys: []column.Value{"k"}, Elems: []column.Value{column.Span(250)}},
		&column.RowValue{Names: []string{"x", "at"}, Elems: []column.Value{int64(3), column.Instant(5)}},
		&column.RowValue{Names: []string{"deep"}, Elems: []column.Value{list(true, nil, "x")}}}
	nulls := make([]column.Value, len(schema))
	nulls[0] = int64(2)
	ends := append([]column.Value{}, nulls...)
	ends[0], ends[5], ends[7] = int64(3), column.MinInstant, list()
	early := append([]column.Value{}, nulls...)
	early[0], early[5] = int64(4), column.Instant(-100_000_000_000_000) // BC
	return schema, [][]column.Value{full, nulls, ends, early}
}

const everyTable = `create table t (id int check (id < 0), b bool, f float8, s text, raw bytea, at timestamptz, span interval, texts text[], ints int[], nested jsonb, map jsonb, "row" jsonb, "any" jsonb)`

// TestErrorHandlingComesLater sets rows aside that were staged when nobody read the errors: they are made of the lines again.
func TestErrorHandlingComesLater(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	schema, rows := every()
	for _, mode := range []string{"append", "upsert"} {
		for _, early := range []bool{true, false} {
			f.exec(`drop table if exists t`)
			f.exec("%s", strings.Replace(everyTable, "id int", "id int primary key", 1))
			dir := t.TempDir()
			config := f.config("t", "mode", mode, "key", "id")
			env := stream(dir, "j", fmt.Sprint(mode, early))
			env.Refusals = early
			w := mustWriter(t, config, env, schema).(*epochWriter)
			must(t, w.Recover(ctx, 0, nil))
			must(t, put(w, batchOf(t, schema, append(rows, make([]column.Value, len(schema)))[:len(rows)]...)))
			data, err := w.Prepare(ctx, 1)
			must(t, err)
			if !early {
				if err := w.CommitEpoch(ctx, 1, data); err == nil || !strings.Contains(err.Error(), "t_id_check") {
					t.Fatal(err)
				}
			}
			must(t, w.Abort())
			env.Refusals = true
			w = mustWriter(t, config, env, schema).(*epochWriter)
			must(t, w.Recover(ctx, 1, data))
			refused, err := w.Refusals()
			must(t, err)
			n := 0
			for _, of := range refused {
				for _, r := range of.Rows {
					for c, v := range of.Batch.Cols {
						if got, want := column.AppendValue(nil, v.Value(int(r.Row))), column.AppendValue(nil, rows[n][c]); !bytes.Equal(got, want) {
							t.Errorf("%s early=%v row %d, field %q: got %q, wanted %q", mode, early, n, schema[c].Name, got, want)
						}
					}
					n++
				}
			}
			if n != len(rows) {
				t.Errorf("%s early=%v: %d rows are told", mode, early, n)
			}
		}
	}
}

// TestBeside keeps what batches say of their rows.
func TestBeside(t *testing.T) {
	schema, rows := every()
	b := batchOf(t, schema, append(rows, rows...)...)
	b.Times, b.Starts, b.Ends = []int64{1, 2, 3, 4, 5, 6, 7, 8}, make([]int64, 8), []int64{8, 7, 6, 5, 4, 3, 2, 1}
	b.Rows = []int32{5, 6, 7, 9, 10, 20, 21, 22}
	asked := 0
	lines := map[int32]int64{5: 100, 6: 101, 7: 102, 9: 104, 10: 110, 20: 130, 21: 131, 22: 0}
	b.Origin = &column.Origin{Source: 3, Seq: 7, File: "f", Line: func(row int32) int64 { asked++; return lines[row] }}
	b.Sel = []int32{0, 1, 2, 3, 4, 5, 6}
	data := appendPiece(nil, b, schema)
	data = appendPiece(data, &column.Batch{N: 1, Cols: batchOf(t, schema, rows[1]).Cols}, schema)
	var refused []refusedLine
	for i := range int64(8) {
		refused = append(refused, refusedLine{row: i})
	}
	n := 0
	must(t, wholeRows(strings.NewReader(string(data)), schema, refused, func(got *column.Batch, of []refusedLine) error {
		for k := range of {
			if n == 7 {
				if got.Where(k) != "" || got.Times != nil {
					t.Errorf("the last row has come from %q", got.Where(k))
				}
				continue
			}
			if got.Where(k) != fmt.Sprint("f:", lines[b.Rows[n]]) || got.Time(k) != b.Time(n) || got.Ends[k] != b.Ends[n] || got.Origin.Seq != 7 || got.RowNumber(k) != b.RowNumber(n) {
				t.Errorf("row %d is %s, %v", n, got.Where(k), got.Time(k))
			}
			for c := range schema {
				if !reflect.DeepEqual(got.Cols[c].Value(k), b.Cols[c].Value(n)) {
					t.Errorf("row %d: %v", n, got.Cols[c].Value(k))
				}
			}
			n++
		}
		return nil
	}))
	if n != 7 || asked > 100 {
		t.Errorf("%d rows; %d lines were asked for", n, asked)
	}
	for cut := range len(data) {
		if err := wholeRows(strings.NewReader(string(data[:cut])), schema, refused, func(*column.Batch, []refusedLine) error { return nil }); err == nil {
			t.Errorf("cut to %d bytes: it is read", cut)
		}
	}
}

// TestRefusedFileIsDamaged does not lose rows in silence.
func TestRefusedFileIsDamaged(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	f.exec(`create table t (id int, v text not null)`)
	dir := t.TempDir()
	w := mustWriter(t, f.config("t"), refusing(stream(dir, "j", "s")), idValue).(*epochWriter)
	must(t, w.Recover(ctx, 0, nil))
	must(t, put(w, idRows(t, 0, 1, nil, 2, "b")))
	data, err := w.Prepare(ctx, 1)
	must(t, err)
	must(t, w.CommitEpoch(ctx, 1, data))
	name := filepath.Join(dir, "1.refused")
	good, err := os.ReadFile(name)
	must(t, err)
	for i := range good {
		bad := append([]byte{}, good...)
		bad[i] ^= 1
		must(t, os.WriteFile(name, bad, 0o600))
		if _, err := w.Refusals(); err == nil || !strings.Contains(err.Error(), "1.refused") {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	must(t, os.WriteFile(name, good, 0o600))
	if got, err := w.Refusals(); err != nil || len(got) != 1 || len(got[0].Rows) != 1 {
		t.Errorf("%v %v", got, err)
	}
}

// TestWholeServerRefuses ends where the table is at fault rather than a row.
func TestWholeServerRefuses(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	for name, env := range ways {
		f.exec(`drop table if exists t`)
		f.exec(`create table t (id int, v text)`)
		w := mustWriter(t, f.config("t", "exactly_once", name != "at least once"), refusing(env(t.TempDir())), idValue)
		if tx, ok := w.(catalog.Transactional); ok {
			must(t, tx.Recover(ctx, 0, nil))
		}
		f.exec(`drop table t`)
		err := put(w, idRows(t, 0, 1, "a"))
		if err == nil {
			_, err = w.Commit(ctx)
		}
		if err == nil || !strings.Contains(err.Error(), `does not exist`) {
			t.Errorf("%s: %v", name, err)
		}
		if refused, err := w.(catalog.Refuser).Refusals(); err != nil || len(refused) > 0 {
			t.Errorf("%s: refused %v %v", name, refused, err)
		}
		must(t, w.Abort())
	}
}

// TestTriggerRefuses knows the row that a function of the table raises an error for.
func TestTriggerRefuses(t *testing.T) {
	f := newFixture(t)
	f.exec(`create table t (id int primary key, v text)`)
	f.exec(`create function no() returns trigger language plpgsql as $$ begin if new.v = 'bad' then raise exception 'no %% here', new.id using hint = 'go away'; end if; return new; end $$`)
	f.exec(`create trigger no before insert on t for each row execute function no()`)
	w := mustWriter(t, f.config("t"), refusing(nil), idValue).(*siftingWriter)
	must(t, put(w, idRows(t, 0, 1, "a", 2, "bad", 3, "c")))
	must(t, w.Sync(context.Background()))
	refused, err := w.Refusals()
	must(t, err)
	if len(refused) != 1 || len(refused[0].Rows) != 1 || !strings.Contains(refused[0].Rows[0].Err.Error(), "no 2 here; go away (SQLSTATE P0001)") {
		t.Errorf("%v", refused)
	}
	must(t, put(w, idRows(t, 0, 4, "d", 5, "bad"))) // after a Sync
	must(t, w.Sync(context.Background()))
	refused, err = w.Refusals()
	must(t, err)
	if len(refused) != 1 {
		t.Errorf("%v", refused)
	}
	_, err = w.Commit(context.Background())
	must(t, err)
	f.wantRows(all, "1=a", "3=c", "4=d")
}
