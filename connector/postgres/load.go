package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// target is a table and the fields that go there.
type target struct {
	table   table
	schema  column.Schema
	columns []tableColumn // one for each field
	key     []string      // of upsert; nil: append
	plain   bool          // rows are stored one by one, as COPY names them: no row goes to another server
}

// staging is the temporary table that rows of an upsert go to first. It has its own names for columns, so that none can be taken twice.
const staging = "pg_temp.leat_rows"

// begin makes what a transaction needs before rows are copied.
func (t *target) begin(ctx context.Context, conn *pgx.Conn) error {
	if t.key == nil {
		return nil
	}
	cols := make([]string, len(t.schema))
	for i, f := range t.schema {
		cols[i] = fmt.Sprintf("%s as c%d", quote(f.Name), i)
	}
	// Made from the table, so that each column has its type; the two columns beside them say which row came last.
	_, err := conn.Exec(ctx, fmt.Sprintf("create temporary table leat_rows on commit drop as "+
		"select 0 as source, 0::bigint as seq, 0 as number, %s from %s with no data", strings.Join(cols, ", "), t.table))
	if err == nil {
		_, err = conn.Exec(ctx, "alter table "+staging+" add column arrival bigserial")
	}
	return err
}

// stagedColumns are the columns of staging that hold the fields.
func (t *target) stagedColumns() string {
	cols := make([]string, len(t.schema))
	for i := range cols {
		cols[i] = fmt.Sprintf("c%d", i)
	}
	return strings.Join(cols, ", ")
}

// copyText is the statement that takes rows as lines.
func (t *target) copyText() string {
	if t.key != nil {
		return fmt.Sprintf("copy %s (source, seq, number, %s) from stdin", staging, t.stagedColumns())
	}
	return fmt.Sprintf("copy %s (%s) from stdin", t.table, quoteAll(t.schema.Names()))
}

// copy sends rows as lines of COPY.
func (t *target) copy(ctx context.Context, conn *pgx.Conn, lines io.Reader) error {
	_, err := conn.PgConn().CopyFrom(ctx, lines, t.copyText())
	return err
}

// arrivalOrder is the order of staged rows of a key, the last first.
const arrivalOrder = "source desc, seq desc, number desc, arrival desc"

// mergeText is the statement that takes the rows of an upsert over into the table, the first one of each key in that order.
func (t *target) mergeText(from, order string) string {
	var key, set []string
	for i, f := range t.schema {
		if slices.Contains(t.key, f.Name) {
			key = append(key, fmt.Sprintf("c%d", i))
		} else {
			set = append(set, fmt.Sprintf("%s = excluded.%[1]s", quote(f.Name)))
		}
	}
	conflict := "do nothing"
	if len(set) > 0 {
		conflict = "do update set " + strings.Join(set, ", ")
	}
	return fmt.Sprintf("insert into %s (%s) select distinct on (%s) %s from %s order by %[3]s, %[6]s on conflict (%[7]s) %[8]s",
		t.table, quoteAll(t.schema.Names()), strings.Join(key, ", "), t.stagedColumns(), from, order, quoteAll(t.key), conflict)
}

// finish merges, and has the server check what it would check at the commit.
func (t *target) finish(ctx context.Context, conn *pgx.Conn) error {
	if t.key != nil {
		if _, err := conn.Exec(ctx, t.mergeText(staging, arrivalOrder)); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "set constraints all immediate")
	return err
}

// piece is where lines can be read from more than once.
type piece struct {
	from io.ReaderAt
	size int64
}

func blockPiece(block []byte) piece { return piece{bytes.NewReader(block), int64(len(block))} }

// load writes all of a piece in the transaction that is under way.
func (t *target) load(ctx context.Context, conn *pgx.Conn, p piece) error {
	if err := t.begin(ctx, conn); err != nil {
		return err
	}
	if err := t.copy(ctx, conn, p.reader()); err != nil {
		return err
	}
	return t.finish(ctx, conn)
}

// blame turns an error of a row's into one that names the row. It needs a connection of its own, and writes nothing.
func (t *target) blame(ctx context.Context, s *server, p piece, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || !ofRow(pg) {
		return err
	}
	line := lineOf(p, pg)
	if line == nil {
		conn, connectErr := s.connect(ctx)
		if connectErr != nil {
			return s.explain(err) // which says less, but is as true
		}
		defer closeConn(conn)
		if line, of := t.search(ctx, conn, p); line != nil {
			return t.refused(s, line, of)
		}
		return s.explain(err)
	}
	return t.refused(s, line, pg)
}

// refused is the error of a row that the server does not take.
func (t *target) refused(s *server, line []byte, pg *pgconn.PgError) error {
	return &diag.Failure{Code: diag.CannotWrite, Row: t.describe(line),
		Err:  &serverError{fmt.Errorf("PostgreSQL does not take a row into %s: %s; nothing of its transaction was written", t.table, s.hide(describe(pg))), pg},
		Hint: t.remedy(pg) + " Or set such rows aside with error_handling."}
}

// lineOf returns the line that an error of COPY names, or nil.
func lineOf(p piece, pg *pgconn.PgError) []byte {
	n := lineNumber(pg)
	if n == 0 {
		return nil
	}
	return p.line(nthLine(p, n))
}

// search finds the first row that the server does not take, within a transaction that is given up.
func (t *target) search(ctx context.Context, conn *pgx.Conn, p piece) (line []byte, of *pgconn.PgError) {
	if _, err := conn.Exec(ctx, "begin"); err != nil {
		return nil, nil
	}
	refused, err := t.sift(ctx, conn, p, true)
	if err != nil || len(refused) == 0 {
		return nil, nil
	}
	return p.line(nthLine(p, int(refused[0].row)+1)), refused[0].of
}

// lineAfter returns where the line that holds the byte at ends, at most hi.
func lineAfter(p piece, at, hi int64) int64 {
	var buf [4096]byte
	for at < hi {
		n, err := p.from.ReadAt(buf[:min(int64(len(buf)), hi-at)], at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i) + 1
		}
		if at += int64(n); err != nil || n == 0 {
			return hi
		}
	}
	return hi
}

// The limits of what is shown of a row.
const (
	maxShownFields = 12
	maxShownText   = 60
)

// describe prints a line of COPY as a row, the key first.
func (t *target) describe(line []byte) string {
	values := bytes.Split(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\t'})
	if t.key != nil {
		values = values[min(3, len(values)):]
	}
	var first, rest []string
	for i, v := range values {
		if i >= len(t.schema) {
			break
		}
		text := "null"
		if string(v) != `\N` {
			text = unescape(v)
		}
		if r := []rune(text); len(r) > maxShownText {
			text = string(r[:maxShownText]) + "…"
		}
		text = fmt.Sprintf("%s=%s", t.schema[i].Name, text)
		if slices.Contains(t.key, t.schema[i].Name) {
			first = append(first, text)
		} else {
			rest = append(rest, text)
		}
	}
	all := append(first, rest...)
	if len(all) > maxShownFields {
		all = append(all[:maxShownFields], "…")
	}
	return "Row(" + strings.Join(all, ", ") + ")"
}

// remedy says what to do about a row that the server does not take.
func (t *target) remedy(pg *pgconn.PgError) string {
	at := ""
	if pg.ConstraintName != "" {
		at = fmt.Sprintf(" (constraint %q)", pg.ConstraintName)
	} else if pg.ColumnName != "" {
		at = fmt.Sprintf(" (column %q)", pg.ColumnName)
	}
	switch pg.Code {
	case "23505":
		return "A row of that key is there already" + at + ": use mode: upsert with its key, or drop what comes again before."
	case "23502":
		return "The column must not be null" + at + ": drop such rows with Filter, or give them a value with MapToFields."
	case "23503":
		return "The row that it refers to is missing" + at + ": write that one first, or drop the constraint."
	case "23514":
		return "The table's check fails" + at + ": drop such rows with Filter before they come here."
	case "22003":
		return "The value is beyond the column's type: make the column wider (bigint, double precision, numeric), or limit the value with MapToFields."
	case "22001":
		return "The text is longer than the column: make that text, or cut it with MapToFields."
	}
	return "Drop or change such rows before they come here, with Filter or MapToFields, or change the table."
}

// line returns what is in [from, to), nil where that is nothing or cannot be read.
func (p piece) line(from, to int64) []byte {
	line := make([]byte, to-from)
	if _, err := p.from.ReadAt(line, from); len(line) == 0 || err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	return line
}

func (p piece) reader() io.Reader { return io.NewSectionReader(p.from, 0, p.size) }
