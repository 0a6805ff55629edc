package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// tableColumn is a column of a table as the server has it.
type tableColumn struct {
	name     string
	typeName string // as SQL prints it: numeric(10,2)
	base     string // the name of its type, beneath a domain: int4
	category string // of that type, as pg_type has them: N numbers, S texts, …
	element  string // of an array: the name of its elements' type
	notNull  bool
	fills    bool // the server has a value where none is given
	never    bool // it takes no value from us: it is generated
}

const columnsOf = `
select a.attname, format_type(a.atttypid, a.atttypmod), b.typname, b.typcategory::text, coalesce(e.typname, ''), a.attnotnull or t.typnotnull,
  a.atthasdef or a.attidentity <> '' or t.typdefault is not null, a.attgenerated <> '' or a.attidentity = 'a'
from pg_attribute a join pg_type t on t.oid = a.atttypid
  join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
  left join pg_type e on e.oid = b.typelem and b.typcategory = 'A'
where a.attrelid = to_regclass($1)::oid and a.attnum > 0 and not a.attisdropped
order by a.attnum`

// readColumns returns the columns of a table, none where there is no such table.
func readColumns(ctx context.Context, conn *pgx.Conn, t table) ([]tableColumn, error) {
	rows, err := conn.Query(ctx, columnsOf, t.String())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c tableColumn, err error) {
		err = row.Scan(&c.name, &c.typeName, &c.base, &c.category, &c.element, &c.notNull, &c.fills, &c.never)
		return c, err
	})
}

const uniqueKeysOf = `
select array_agg(a.attname::text) from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey[0:i.indnkeyatts - 1])
where i.indrelid = to_regclass($1)::oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null and i.indimmediate
group by i.indexrelid`

// hasKey reports whether rows of the table are unique by exactly those columns.
func hasKey(ctx context.Context, conn *pgx.Conn, t table, key []string) (bool, error) {
	rows, err := conn.Query(ctx, uniqueKeysOf, t.String())
	if err != nil {
		return false, err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	wanted := slices.Sorted(slices.Values(key))
	return slices.ContainsFunc(keys, func(k []string) bool {
		slices.Sort(k)
		return slices.Equal(k, wanted)
	}), err
}

// newType is the type that a column of a new table gets.
func newType(t column.Type) string {
	switch t.Kind {
	case column.Bool:
		return "boolean"
	case column.Int:
		return "bigint"
	case column.Float:
		return "double precision"
	case column.String, column.Null:
		return "text"
	case column.Bytes:
		return "bytea"
	case column.Time:
		return "timestamptz"
	case column.Duration:
		return "interval"
	}
	return "jsonb"
}

// createTable is the statement that makes a table for rows of that schema.
func createTable(t table, schema column.Schema, key []string) string {
	var parts []string
	for _, f := range schema {
		part := quote(f.Name) + " " + newType(f.Type)
		if !f.Type.MayBeNull() {
			part += " not null"
		}
		parts = append(parts, part)
	}
	if len(key) > 0 {
		parts = append(parts, "primary key ("+quoteAll(key)+")")
	}
	return fmt.Sprintf("create table if not exists %s (%s)", t, strings.Join(parts, ", "))
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}

// fits reports whether a column takes the values of a type.
func (c *tableColumn) fits(t column.Type) bool {
	switch t.Kind {
	case column.Null:
		return !c.notNull
	case column.Bool:
		return c.base == "bool"
	case column.Int:
		return c.category == "N" && c.base != "money"
	case column.Float:
		return c.base == "float8" || c.base == "float4" || c.base == "numeric"
	case column.String:
		return strings.Contains("SEDTI", c.category) || c.category == "U" && c.base != "bytea"
	case column.Bytes:
		return c.base == "bytea"
	case column.Time:
		return c.base == "timestamptz" || c.base == "timestamp"
	case column.Duration:
		return c.base == "interval"
	case column.List:
		if c.category == "A" && inArray(t.Elem.Kind) {
			return (&tableColumn{base: c.element, category: elementCategory(c.element)}).fits(*t.Elem)
		}
	}
	return c.base == "json" || c.base == "jsonb"
}

// inArray reports whether lists of such values may be written to an array.
func inArray(k column.Kind) bool {
	switch k {
	case column.Bool, column.Int, column.Float, column.String, column.Bytes, column.Time, column.Null:
		return true
	}
	return false
}

// elementCategory is the category of the types that arrays are mostly made of.
func elementCategory(name string) string {
	switch name {
	case "int2", "int4", "int8", "float4", "float8", "numeric":
		return "N"
	case "text", "varchar", "bpchar":
		return "S"
	}
	return "U"
}

// check compares a table with the rows that are to be written, and returns all that does not fit.
func check(name table, cols []tableColumn, schema column.Schema, upsert []string, keyed bool) error {
	var faults []string
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.name
		if schema.Index(c.name) < 0 && c.notNull && !c.fills {
			faults = append(faults, fmt.Sprintf("column %q (%s) must not be null, and rows have no such field", c.name, c.typeName))
		}
	}
	for _, f := range schema {
		i := slices.Index(names, f.Name)
		switch {
		case i < 0:
			faults = append(faults, strings.TrimSpace(fmt.Sprintf("there is no column %q for the field of type %s. %s",
				f.Name, f.Type, diag.DidYouMean(f.Name, "columns", names))))
		case cols[i].never:
			faults = append(faults, fmt.Sprintf("column %q is generated, and takes no value", f.Name))
		case !cols[i].fits(f.Type):
			faults = append(faults, fmt.Sprintf("column %q is %s, and the field %s", f.Name, cols[i].typeName, f.Type))
		}
	}
	if len(upsert) > 0 && !keyed {
		faults = append(faults, fmt.Sprintf("rows are not unique by (%s): make that the primary key, or a unique index", strings.Join(upsert, ", ")))
	}
	if len(faults) == 0 {
		return nil
	}
	return &diag.Failure{Code: diag.TypeMismatch, Err: fmt.Errorf("rows do not fit the table %s: %s", name, strings.Join(faults, "; ")),
		Hint: "Convert the fields with MapToFields before, or change the table."}
}

// checkKey refuses a key that the rows do not have.
func checkKey(schema column.Schema, key []string) error {
	var errs []error
	for _, k := range key {
		if schema.Index(k) < 0 {
			errs = append(errs, &catalog.Problem{Key: "key", Code: diag.UnknownField, Text: fmt.Sprintf("the rows have no field %q", k),
				Hint: diag.DidYouMean(k, "fields", schema.Names())})
		}
	}
	return errors.Join(errs...)
}
