package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/contract"
	"github.com/leat-project/leat/diag"
)

const contractSecret = "s3cret-word"

func bound(connector string, more map[string]any, wrong ...contract.Wrong) contract.Bound {
	return contract.Bound{
		Connector: connector, Secret: contractSecret, Pings: true, Wrong: wrong,
		Config: func(address string) map[string]any {
			config := map[string]any{"url": "postgres://u:" + contractSecret + "@" + address + "/db", "table": "t"}
			for key, value := range more {
				config[key] = value
			}
			return config
		},
	}
}

func TestContractSource(t *testing.T) {
	contract.Source(t, contract.SourceCase{
		Bound: bound("ReadFromPostgres", map[string]any{"follow": "id"},
			contract.Wrong{Name: "server and table", Set: map[string]any{"url": "mysql://u:" + contractSecret + "@h/db", "table": "a.b.c"},
				Want: map[string]diag.Code{"url": diag.BadValue, "table": diag.BadValue}},
			contract.Wrong{Name: "numbers", Set: map[string]any{"fetch_size": int64(0), "num_partitions": int64(3), "every": "soon"},
				Want: map[string]diag.Code{"fetch_size": diag.BadValue, "num_partitions": diag.BadValue, "every": diag.BadDuration}},
			contract.Wrong{Name: "lag", Set: map[string]any{"follow": nil, "follow_lag": "1s"}, Want: map[string]diag.Code{"follow_lag": diag.BadValue}},
		),
		Resumes: true, Partitions: true, Meters: true,
		Start: func(t *testing.T) *contract.Place {
			f := newFixture(t)
			f.exec(`create table t (id bigint, text text, value double precision, even bool)`)
			return &contract.Place{Config: f.config("t", "follow", "id", "every", "10ms", "fetch_size", int64(9)), Put: func(t *testing.T, messages []contract.Message) {
				var batch pgx.Batch
				for _, m := range messages {
					batch.Queue(`insert into t values ($1, $2, $3, $4)`, m.ID, m.Text(), m.Value(), m.Even())
				}
				must(t, f.conn.SendBatch(t.Context(), &batch).Close())
			}}
		},
	})
}

// allTypes are rows of the types that columns hold.
func allTypes() (column.Schema, [][]column.Value) {
	schema := column.Schema{
		{Name: "id", Type: column.IntType}, {Name: "b", Type: column.BoolType.OrNull()}, {Name: "f", Type: column.FloatType.OrNull()}, {Name: "s", Type: column.StringType.OrNull()},
		{Name: "y", Type: column.BytesType.OrNull()}, {Name: "at", Type: column.TimeType.OrNull()}, {Name: "x", Type: column.AnyType},
	}
	return schema, [][]column.Value{
		{int64(1), true, 1.5, "plain", []byte{0, 255, '\\', '\n'}, column.Instant(1_700_000_000_123), int64(7)},
		{int64(2), nil, nil, nil, nil, nil, nil},
		{int64(3), false, -5e-324, "tab\tline\n\\N é漢😀", []byte{}, column.Instant(-1), "text \" \\ \n"},
		{int64(4), true, 1e300, `\.`, []byte("x"), column.MinInstant, false},
	}
}

func TestContractSink(t *testing.T) {
	sink := func(keys map[string]any) contract.SinkCase {
		return contract.SinkCase{
			Bound: bound("WriteToPostgres", keys,
				contract.Wrong{Name: "server, table and size", Set: map[string]any{"url": "mysql://u:" + contractSecret + "@h/db", "table": "a.b.c", "batch_size": int64(0)},
					Want: map[string]diag.Code{"url": diag.BadValue, "table": diag.BadValue, "batch_size": diag.BadValue}},
				contract.Wrong{Name: "mode", Set: map[string]any{"mode": "upsert"}, Want: map[string]diag.Code{"mode": diag.MissingKey}},
				contract.Wrong{Name: "key", Set: map[string]any{"mode": "upsert", "key": []any{"a", "a"}}, Want: map[string]diag.Code{"key": diag.BadValue}},
			),
			Refuses: true, Meters: true, BoundedUndo: true,
			Start: func(t *testing.T) *contract.Target {
				f := newFixture(t)
				f.exec(`create table t (id bigint, text text constraint wanted check (text <> 'refuse me'), value double precision, even bool)`)
				x := &contract.Target{Config: f.config("t"), TypesConfig: f.config("types", "create", true), Refused: "refuse me"}
				for key, value := range keys {
					x.Config[key], x.TypesConfig[key] = value, value
				}
				x.Read = func(t *testing.T, schema column.Schema) [][]column.Value {
					if schema.Index("text") < 0 {
						return contract.ReadAll(t, "ReadFromPostgres", f.config("types"))
					}
					return contract.ReadAll(t, "ReadFromPostgres", f.config("t"))
				}
				x.Types, x.TypeRows = allTypes()
				return x
			},
		}
	}
	exact := sink(nil)
	exact.Transactional, exact.Cuts = true, true
	t.Run("exactly once", func(t *testing.T) { contract.Sink(t, exact) })
	plain := sink(map[string]any{"exactly_once": false})
	plain.Syncs = true
	t.Run("at least once", func(t *testing.T) { contract.Sink(t, plain) })
}
