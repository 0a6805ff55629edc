package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/diag"
)

const beamIO = "https://beam.apache.org/releases/yamldoc/current/"

// WriteToPostgres writes rows to a table.
var WriteToPostgres = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToPostgres",
	Summary: "Writes rows to a table of PostgreSQL, by COPY or as an upsert.",
	Doc: `Each field goes to the column of its name. Columns that rows do not have get their default. That the table fits is checked before the
first row is written, and all that does not is told at once.

**Modes**: append copies rows in. upsert replaces the row of the same key, for which the table needs a primary key or unique index; of
several rows of a key the one that stands last in the source wins. Rows from elsewhere, such as an aggregate's, win in the order in which they come.

**Types**: bool, bigint (or any number), double precision (or real, numeric), text (or what reads text, such as uuid, date, an enum, or
json), bytea, timestamptz, interval; jsonb for lists, maps, rows and any. A list goes to an array, too. "create: true" makes a missing table
with those types, NOT NULL where a field cannot be null, and the key as primary key. The least and the greatest timestamp are -infinity and
infinity.

**Guarantee**: a run that ends is one transaction: all rows, or none. In a stream rows are there exactly once: those of a
checkpoint are staged in a file, then written in one transaction that also notes the checkpoint in the table leat_epochs, so it needs the right to
create that table once, in the schema of the table that it writes. A stream whose state was deleted begins anew there. With "exactly_once: false" rows are
written as they come, batch_size at a time, and may come twice after a crash.

**Errors**: a row that the server does not take (a constraint, a value beyond its column, a trigger's error) or that cannot be sent (a NUL byte, not UTF-8) ends the run,
naming the row and the constraint; nothing of its checkpoint is written. With error_handling it goes there whole instead, with what the server says, and the
others are written: exactly once, in the checkpoint after theirs, and also where a crash comes between. Each such row costs the server some tries, half a
millisecond or so. Of an upsert's rows of a key the last one wins that is taken; those that it replaces may not be tried. A run that ends holds its rows in the system's folder for
temporary files until all are there. A missing table, or a right, is no row's fault, and ends the run. A server that is down, restarts, or reports a deadlock is tried again: in a stream for ever,
in a run that ends 8 times, unless "retry" says otherwise. A run that ends and loses its connection while it writes ends, with nothing written.`,
	Source: beamIO + "#writetopostgres",
	Fields: append(serverFields(), []catalog.Field{
		{Name: "table", Type: catalog.Text, Required: true, Doc: "The table: name, or schema.name; parts with a dot or quotes in them stand in double quotes."},
		{Name: "mode", Type: catalog.Text, Default: "append", Enum: []string{"append", "upsert"}, Doc: "append adds rows; upsert replaces those of the same key."},
		{Name: "key", Type: catalog.TextList, Doc: "The fields that rows of an upsert are the same by."},
		{Name: "create", Type: catalog.Boolean, Default: "false", Doc: "Make the table where it is missing."},
		{Name: "batch_size", Type: catalog.Integer, Default: "1000", Doc: "How many rows are written at a time, with exactly_once: false."},
		{Name: "exactly_once", Type: catalog.Boolean, Default: "true", Doc: "In a stream: write each row once, at each checkpoint; false: as they come, at least once."},
	}...),
	Example: `# Needs a server at localhost:5432.
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{device: a, temperature: 21.5}, {device: b, temperature: 19.0}]
    - type: WriteToPostgres
      config:
        url: postgres://localhost:5432/plant
        username: leat
        password: ${env:PGPASSWORD}
        table: readings
        mode: upsert
        key: device
        create: true
`,
	Refuses: true,
	Open:    func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) { return newSink(config, env) },
	Check: func(config map[string]any, schema column.Schema) error {
		return checkKey(schema, texts(config["key"]))
	},
})

// sink is WriteToPostgres with its configuration understood.
type sink struct {
	server      *server
	env         catalog.SinkEnv
	table       table
	key         []string // nil: append
	create      bool
	createKey   []string
	batch       int64
	exactlyOnce bool
}

func newSink(config map[string]any, env *catalog.SinkEnv) (*sink, error) {
	s := &sink{exactlyOnce: config["exactly_once"] != false, create: config["create"] == true}
	if env != nil {
		s.env = *env
	}
	var serverErr, tableErr, batchErr, keyErr error
	s.server, serverErr = newServer(config)
	s.table, tableErr = tableOf(config)
	s.batch, batchErr = whole(config, "batch_size", 1000, 1, 1_000_000)
	s.createKey = texts(config["key"])
	if config["mode"] == "upsert" {
		s.key = s.createKey
		if len(s.key) == 0 {
			keyErr = &catalog.Problem{Key: "mode", Code: diag.MissingKey, Text: `"mode: upsert" needs "key": the fields that rows are the same by`}
		}
	}
	if sorted := slices.Sorted(slices.Values(s.createKey)); len(slices.Compact(sorted)) < len(s.createKey) {
		keyErr = &catalog.Problem{Key: "key", Code: diag.BadValue, Text: `"key" names a field twice`}
	}
	if err := errors.Join(serverErr, tableErr, batchErr, keyErr); err != nil {
		return nil, err
	}
	return s, nil
}

func tableOf(config map[string]any) (table, error) {
	text, _ := config["table"].(string)
	t, err := parseTable(text)
	if err != nil {
		return t, &catalog.Problem{Key: "table", Code: diag.BadValue, Text: err.Error()}
	}
	return t, nil
}

// texts reads a text, or a list of texts.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []string:
		return v
	case []any:
		var out []string
		for _, e := range v {
			if text, ok := e.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

// Guarantee says what a stream's rows can rely on.
func (s *sink) Guarantee() catalog.Guarantee {
	if s.exactlyOnce {
		return catalog.ExactlyOnce
	}
	return catalog.AtLeastOnce
}

// Ping asks whether the server lets us in.
func (s *sink) Ping(ctx context.Context) error { return s.server.ping(ctx) }

// Open checks the table, or makes it.
func (s *sink) Open(ctx context.Context, schema column.Schema) (catalog.Writer, error) {
	if err := checkKey(schema, s.createKey); err != nil {
		return nil, err
	}
	if len(schema) == 0 {
		return nil, &catalog.Problem{Code: diag.TypeMismatch, Text: "rows without fields cannot be written to a table"}
	}
	t := &target{table: s.table, schema: schema, key: s.key}
	x := &session{server: s.server, caller: s.server.caller(s.env.Stream)}
	if err := x.do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return s.prepare(ctx, conn, t) }); err != nil {
		x.close()
		return nil, err
	}
	switch {
	case !s.env.Stream && s.env.Refusals:
		return newSiftingWriter(x, t, &s.env), nil
	case !s.env.Stream:
		return &boundedWriter{session: x, target: t}, nil
	case s.exactlyOnce:
		return newEpochWriter(x, t, &s.env), nil
	}
	return &batchWriter{session: x, target: t, most: s.batch, refused: refusal.NewBox(&s.env)}, nil
}

// prepare makes the table where it is to, and fills in the columns of t.
func (s *sink) prepare(ctx context.Context, conn *pgx.Conn, t *target) error {
	cols, err := readColumns(ctx, conn, t.table)
	if err == nil && len(cols) == 0 && s.create {
		if _, err = conn.Exec(ctx, createTable(t.table, t.schema, s.createKey)); isRace(err) {
			err = nil // another one made it meanwhile
		}
		if err == nil {
			cols, err = readColumns(ctx, conn, t.table)
		}
	}
	if err != nil {
		return err
	}
	if len(cols) == 0 {
		return &diag.Failure{Code: diag.CannotWrite, Err: fmt.Errorf("PostgreSQL at %s has no table %s", s.server.where(), t.table),
			Hint: "Check its name and schema, or let it be made with \"create: true\"."}
	}
	keyed := true
	if t.key != nil {
		if keyed, err = hasKey(ctx, conn, t.table, t.key); err != nil {
			return err
		}
	}
	if err := check(t.table, cols, t.schema, t.key, keyed); err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, "select relkind = 'r' from pg_class where oid = to_regclass($1)::oid", t.table.String()).Scan(&t.plain); err != nil {
		return err
	}
	t.columns = make([]tableColumn, len(t.schema))
	for i, f := range t.schema {
		t.columns[i] = cols[slices.IndexFunc(cols, func(c tableColumn) bool { return c.name == f.Name })]
	}
	return nil
}

// isRace reports whether something could not be made because another transaction made it at the same time.
func isRace(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P07" || pg.Code == "23505")
}
