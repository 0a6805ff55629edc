package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// sourceColumn is a column of a table or query that is read.
type sourceColumn struct {
	column.Field
	typeName string // as SQL prints it
	base     string // as pg_type has it
	cast     string // the type that the server is asked for; "": the column's own
	json     bool   // the text is JSON
}

// sql is the column as it is asked for.
func (c *sourceColumn) sql() string {
	if c.cast == "" {
		return quote(c.Name)
	}
	return quote(c.Name) + "::" + c.cast
}

// columnType returns what a type of the server becomes, and the cast that makes it one of the few whose binary form is read.
func columnType(base string) (t column.Type, cast string, json bool) {
	switch base {
	case "bool":
		return column.BoolType, "", false
	case "int2", "int4", "int8":
		return column.IntType, "", false
	case "oid":
		return column.IntType, "int8", false
	case "float4", "float8":
		return column.FloatType, "", false
	case "numeric":
		return column.FloatType, "float8", false
	case "text":
		return column.StringType, "", false
	case "bytea":
		return column.BytesType, "", false
	case "timestamp", "timestamptz":
		return column.TimeType, "", false
	case "json", "jsonb":
		return column.AnyType, "text", true
	}
	return column.StringType, "text", false
}

// describe asks the server for the columns of the source, without reading any row.
func (s *source) describe(ctx context.Context, conn *pgx.Conn) ([]sourceColumn, error) {
	statement, err := conn.PgConn().Prepare(ctx, "", "select * from "+s.from(), nil)
	if err != nil {
		return nil, err
	}
	ids := make([]uint32, len(statement.Fields))
	for i, f := range statement.Fields {
		ids[i] = f.DataTypeOID
	}
	types, err := readTypes(ctx, conn, ids)
	if err != nil {
		return nil, err
	}
	required := map[string]bool{}
	if s.query == "" {
		cols, err := readColumns(ctx, conn, s.table)
		if err != nil {
			return nil, err
		}
		for _, c := range cols {
			required[c.name] = c.notNull
		}
	}
	out := make([]sourceColumn, len(statement.Fields))
	seen := map[string]bool{}
	for i, f := range statement.Fields {
		if seen[f.Name] || f.Name == "?column?" {
			return nil, &catalog.Problem{Key: "query", Code: diag.FieldExists, Text: fmt.Sprintf("the query has more than one column %q, or one without a name", f.Name),
				Hint: "Name each column with AS."}
		}
		seen[f.Name] = true
		c := types[f.DataTypeOID]
		c.Name = f.Name
		if !required[f.Name] {
			c.Type = c.Type.OrNull()
		}
		out[i] = c
	}
	return out, nil
}

// readTypes returns what columns of those types become.
func readTypes(ctx context.Context, conn *pgx.Conn, ids []uint32) (map[uint32]sourceColumn, error) {
	rows, err := conn.Query(ctx, `select t.oid, format_type(t.oid, null), t.typname, coalesce(e.typname, '')
from pg_type t left join pg_type e on e.oid = t.typelem and t.typcategory = 'A' where t.oid = any($1)`, ids)
	if err != nil {
		return nil, err
	}
	out := map[uint32]sourceColumn{}
	var id uint32
	var c sourceColumn
	var element string
	_, err = pgx.ForEachRow(rows, []any{&id, &c.typeName, &c.base, &element}, func() error {
		c.Type, c.cast, c.json = columnType(c.base)
		if element != "" {
			t, cast, json := columnType(element)
			if c.cast = ""; json {
				t = column.StringType
			}
			if cast != "" {
				c.cast = cast + "[]"
			}
			c.Type, c.json = column.ListOf(t.OrNull()), false
		}
		out[id] = c
		return nil
	})
	return out, err
}

// problem is an error of the server's as checking a pipeline shows it.
func (s *source) problem(err error) error {
	var p *catalog.Problem
	if errors.As(err, &p) {
		return p
	}
	err = retry.Plain(s.server.explain(err))
	p = &catalog.Problem{Key: "url", Code: diag.NoServer, Text: err.Error(), Hint: "Check that the server runs, and that \"url\" leads there."}
	var f *diag.Failure
	if !errors.As(err, &f) {
		return p
	}
	p.Code, p.Text, p.Hint = f.Code, f.Err.Error(), f.Hint
	var of *serverError
	if errors.As(f.Err, &of) && strings.HasPrefix(of.pg.Code, "42") {
		if p.Key = "query"; s.query == "" {
			p.Key = "table"
		}
	}
	return p
}
