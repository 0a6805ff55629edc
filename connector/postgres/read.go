package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// ReadFromPostgres reads a table or query.
var ReadFromPostgres = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromPostgres",
	Summary: "Reads a table or a query of PostgreSQL, once, or on and on by a rising column.",
	Stream:  true,
	Doc: `The schema is the server's. smallint, integer and bigint are int; real, double precision and numeric are float (a numeric of more than
some 15 digits loses the rest: cast it to text in a query where that matters); timestamp (taken as UTC) and timestamptz are timestamps, floored to
milliseconds; json and jsonb are any, arrays lists; dates, uuids, enums and all other types are string. Only the columns that the pipeline needs are asked for.

**In parallel**: with partition_column (of whole numbers) and num_partitions, that many connections read a range each, of one and the same
snapshot. The order of rows is not promised then.

**Follow**: with follow the source does not end. It reads the rows whose follow column is above the last one seen, in its order, and asks for more
every so often. It goes on from the last value after a restart. The column should rise by the order in which rows *become visible*: a row that is committed
late, with a value below one that was read, is never read, and so is a row of a value that was read already. Give timestamps a
follow_lag that is longer than the longest transaction that writes; for numbers, as of a sequence, let writers be one at a time,
or follow a column of timestamps. An index on the column makes that cheap. It needs PostgreSQL 13 or newer. Rows whose column is null are not read. Changed and deleted rows are not told.

**Guarantee**: exactly once with follow. A plain table has no order that a stream could go on in, so it is read anew after a restart.

**Time**: rows have no event time; give it by timestamp.

**Errors**: an array of arrays is an error record. A connection that is lost is made again with follow; else the run ends, as the snapshot is gone.

**Cost**: fetch_size rows, or a quarter megabyte, are read ahead for each connection.`,
	Source: beamIO + "#readfrompostgres",
	Fields: append(serverFields(), []catalog.Field{
		{Name: "table", Type: catalog.Text, Doc: "The table: name, or schema.name; parts with a dot or quotes in them stand in double quotes."},
		{Name: "query", Type: catalog.Text, Doc: "A SELECT, in place of a table."},
		{Name: "partition_column", Type: catalog.Text, Doc: "A column of whole numbers by whose ranges several connections read."},
		{Name: "num_partitions", Type: catalog.Integer, Doc: "How many; by default 4, where there is a partition_column."},
		{Name: "fetch_size", Type: catalog.Integer, Default: "10000", Doc: "How many rows are handed on at a time, at most."},
		{Name: "follow", Type: catalog.Text, Doc: "A rising column: read on for ever as rows are added."},
		{Name: "every", Type: catalog.Length, Default: "1s", Doc: "How often to ask for more, with follow."},
		{Name: "follow_lag", Type: catalog.Length, Default: "0", Doc: "Leave rows alone whose follow column, a timestamp, is less than this ago, as others may still come before them."},
	}...),
	Example: `# Needs a server at localhost:5432.
pipeline:
  type: chain
  transforms:
    - type: ReadFromPostgres
      config:
        url: postgres://localhost:5432/plant
        username: leat
        password: ${env:PGPASSWORD}
        query: select n, n * n as square from generate_series(1, 3) as n
# Expected:
#  Row(n=1, square=1)
#  Row(n=2, square=4)
#  Row(n=3, square=9)
`,
	Open: func(config map[string]any) (catalog.Source, error) { return newSource(config) },
})

// source is ReadFromPostgres with its configuration understood.
type source struct {
	server     *server
	table      table
	query      string // "": the table
	by         string // the partition column, or ""
	partitions int64
	fetch      int64
	follow     string // or ""
	every, lag time.Duration

	mu      sync.Mutex
	columns []sourceColumn // once described
}

func newSource(config map[string]any) (*source, error) {
	s := &source{}
	var errs [7]error
	s.server, errs[0] = newServer(config)
	errs[1] = s.readFrom(config)
	s.by, _ = config["partition_column"].(string)
	s.follow, _ = config["follow"].(string)
	s.partitions, errs[2] = whole(config, "num_partitions", 4, 1, 256)
	if s.by == "" && config["num_partitions"] == nil {
		s.partitions = 1
	}
	s.fetch, errs[3] = whole(config, "fetch_size", 10_000, 1, 1_000_000)
	s.every, errs[4] = catalog.Duration(config, "every", time.Second)
	s.lag, errs[5] = catalog.Duration(config, "follow_lag", 0)
	wrong := func(key, text string) {
		errs[6] = errors.Join(errs[6], &catalog.Problem{Key: key, Code: diag.BadValue, Text: text})
	}
	if s.partitions > 1 && s.by == "" {
		wrong("num_partitions", `"num_partitions" needs a "partition_column"`)
	}
	if s.follow != "" && s.by != "" {
		wrong("partition_column", `"partition_column" is not for "follow", which reads in order`)
	}
	if s.lag < 0 || s.lag > 0 && s.follow == "" {
		wrong("follow_lag", `"follow_lag" needs "follow", and is not negative`)
	}
	if errs[4] == nil && s.every <= 0 {
		wrong("every", `"every" is longer than nothing`)
	}
	return s, errors.Join(errs[:]...)
}

// readFrom reads what is to be read.
func (s *source) readFrom(config map[string]any) (err error) {
	s.query, _ = config["query"].(string)
	name, _ := config["table"].(string)
	s.query = strings.TrimRight(strings.TrimSpace(s.query), "; \n\t")
	switch {
	case (name == "") == (s.query == ""):
		return &catalog.Problem{Key: "table", Code: diag.MissingKey, Text: `wanted either "table" or "query"`}
	case s.query == "":
		s.table, err = tableOf(config)
	}
	return err
}

// from is what stands after FROM. The end of a line closes a comment at the end of the query.
func (s *source) from() string {
	if s.query == "" {
		return s.table.String() + " as leat_source"
	}
	return "(" + s.query + "\n) as leat_source"
}

// Unbounded says whether it follows.
func (s *source) Unbounded() bool { return s.follow != "" }

// Guarantee says what rows can rely on: only what is followed can be read again in the same order.
func (s *source) Guarantee() catalog.Guarantee {
	if s.follow != "" {
		return catalog.ExactlyOnce
	}
	return catalog.AtLeastOnce
}

// Ping asks whether the server lets us in.
func (s *source) Ping(ctx context.Context) error { return s.server.ping(ctx) }

// Schema asks the server.
func (s *source) Schema(ctx context.Context) (column.Schema, error) {
	cols, err := s.described(ctx)
	if err != nil {
		return nil, err
	}
	schema := make(column.Schema, len(cols))
	for i, c := range cols {
		schema[i] = c.Field
	}
	return schema, nil
}

// described returns the columns, which are asked for once.
func (s *source) described(ctx context.Context) ([]sourceColumn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.columns != nil {
		return s.columns, nil
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	conn, err := s.server.connect(ctx)
	if err != nil {
		return nil, s.problem(err)
	}
	defer closeConn(conn)
	cols, err := s.describe(ctx, conn)
	if err == nil {
		err = s.checkColumns(cols)
	}
	if err != nil {
		return nil, s.problem(err)
	}
	s.columns = cols
	return cols, nil
}

// checkColumns refuses keys that name a column which is not there, or of a type that they cannot do with.
func (s *source) checkColumns(cols []sourceColumn) error {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	for key, name := range map[string]string{"partition_column": s.by, "follow": s.follow} {
		if name == "" {
			continue
		}
		c := find(cols, name)
		if c == nil {
			return &catalog.Problem{Key: key, Code: diag.UnknownField, Text: fmt.Sprintf("there is no column %q", name), Hint: diag.DidYouMean(name, "columns", names)}
		}
		if key == "partition_column" && c.Type.Kind != column.Int {
			return &catalog.Problem{Key: key, Code: diag.TypeMismatch, Text: fmt.Sprintf("wanted a column of whole numbers, and %q is %s", name, c.typeName)}
		}
		if key == "follow" && s.lag > 0 && c.Type.Kind != column.Time {
			return &catalog.Problem{Key: "follow_lag", Code: diag.TypeMismatch, Text: fmt.Sprintf("wanted a follow column of timestamps, and %q is %s", name, c.typeName)}
		}
		if key == "follow" && (c.json || c.Type.Kind == column.List) {
			return &catalog.Problem{Key: key, Code: diag.TypeMismatch, Text: fmt.Sprintf("%q is %s, which has no order to follow", name, c.typeName)}
		}
	}
	return nil
}

func find(cols []sourceColumn, name string) *sourceColumn {
	for i := range cols {
		if cols[i].Name == name {
			return &cols[i]
		}
	}
	return nil
}

// Open begins reading. Nothing is asked of the server before the first Next.
func (s *source) Open(ctx context.Context, fields column.Schema) (catalog.Reader, error) {
	all, err := s.described(ctx)
	if err != nil {
		return nil, err
	}
	cols := make([]sourceColumn, len(fields))
	for i, f := range fields {
		c := find(all, f.Name)
		if c == nil {
			return nil, &catalog.Problem{Code: diag.UnknownField, Text: fmt.Sprintf("there is no column %q", f.Name)}
		}
		cols[i] = *c
	}
	base := reader{source: s, columns: cols}
	if s.follow != "" {
		return newFollowReader(base, find(all, s.follow)), nil
	}
	return newBoundedReader(base), nil
}

// reader is what both readers share.
type reader struct {
	source  *source
	columns []sourceColumn
}

// selected are the wanted columns, as SQL.
func (r *reader) selected() string {
	cols := make([]string, len(r.columns))
	for i := range r.columns {
		cols[i] = r.columns[i].sql()
	}
	return strings.Join(cols, ", ")
}

// Metrics are the figures of the connections.
func (r *reader) Metrics() []catalog.Metric { return r.source.server.metrics() }
