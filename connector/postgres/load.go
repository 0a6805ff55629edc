package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
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

// copy sends rows as lines of COPY.
func (t *target) copy(ctx context.Context, conn *pgx.Conn, lines io.Reader) error {
	to := fmt.Sprintf("%s (%s)", t.table, quoteAll(t.schema.Names()))
	if t.key != nil {
		cols := make([]string, len(t.schema))
		for i := range cols {
			cols[i] = fmt.Sprintf("c%d", i)
		}
		to = fmt.Sprintf("%s (source, seq, number, %s)", staging, strings.Join(cols, ", "))
	}
	_, err := conn.PgConn().CopyFrom(ctx, lines, "copy "+to+" from stdin")
	return err
}

// merge takes the rows of an upsert over into the table, the last one of each key.
func (t *target) merge(ctx context.Context, conn *pgx.Conn) error {
	if t.key == nil {
		return nil
	}
	var cols, key, set []string
	for i, f := range t.schema {
		cols = append(cols, fmt.Sprintf("c%d", i))
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
	by := strings.Join(key, ", ")
	_, err := conn.Exec(ctx, fmt.Sprintf("insert into %s (%s) select distinct on (%s) %s from %s order by %[3]s, source desc, seq desc, number desc, arrival desc "+
		"on conflict (%[6]s) %[7]s", t.table, quoteAll(t.schema.Names()), by, strings.Join(cols, ", "), staging, quoteAll(t.key), conflict))
	return err
}

// finish merges, and has the server check what it would check at the commit.
func (t *target) finish(ctx context.Context, conn *pgx.Conn) error {
	if err := t.merge(ctx, conn); err != nil {
		return err
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
		Hint: t.remedy(pg)}
}

var copyLine = regexp.MustCompile(`^COPY .*, line ([0-9]+)`)

// lineOf returns the line that an error of COPY names, or nil.
func lineOf(p piece, pg *pgconn.PgError) []byte {
	match := copyLine.FindStringSubmatch(pg.Where)
	if match == nil {
		return nil
	}
	n, err := strconv.Atoi(match[1])
	if err != nil {
		return nil
	}
	lines := bufio.NewReader(p.reader())
	for i := 1; ; i++ {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil
		}
		if i == n {
			return line
		}
	}
}

// search finds the first row that the server does not take, by halves: what it takes stays, within a transaction that is rolled back.
func (t *target) search(ctx context.Context, conn *pgx.Conn, p piece) (line []byte, of *pgconn.PgError) {
	if _, err := conn.Exec(ctx, "begin"); err != nil {
		return nil, nil
	}
	if err := t.begin(ctx, conn); err != nil {
		return nil, nil
	}
	// The row is within [lo, hi), if it is there at all.
	lo, hi := int64(0), p.size
	for lo < hi {
		mid := lineAfter(p, (lo+hi)/2, hi)
		if mid >= hi {
			mid = lineAfter(p, lo, hi)
		}
		pg, err := t.attempt(ctx, conn, p, lo, mid)
		switch {
		case err != nil:
			return nil, nil
		case pg == nil:
			lo = mid
			continue
		case lineAfter(p, lo, mid) == mid: // it is one row alone
			line = make([]byte, mid-lo)
			if _, err := p.from.ReadAt(line, lo); err != nil && !errors.Is(err, io.EOF) {
				return nil, nil
			}
			return line, pg
		}
		hi = mid
	}
	return nil, nil
}

// attempt writes the lines of [lo, hi), and takes that back where the server refuses.
func (t *target) attempt(ctx context.Context, conn *pgx.Conn, p piece, lo, hi int64) (of *pgconn.PgError, err error) {
	if _, err = conn.Exec(ctx, "savepoint leat"); err != nil {
		return nil, err
	}
	err = t.copy(ctx, conn, io.NewSectionReader(p.from, lo, hi-lo))
	if err == nil {
		err = t.finish(ctx, conn)
	}
	if err == nil {
		if t.key != nil {
			_, err = conn.Exec(ctx, "truncate "+staging)
		}
		return nil, err
	}
	if !errors.As(err, &of) || !ofRow(of) {
		return nil, err
	}
	_, err = conn.Exec(ctx, "rollback to savepoint leat")
	return of, err
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

func (p piece) reader() io.Reader { return io.NewSectionReader(p.from, 0, p.size) }
