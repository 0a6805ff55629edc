package postgres

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Which rows of a transaction the server refuses is found by trying: what it takes stays, what it does not is taken back to a savepoint. COPY says which row is to
// blame for most refusals; for the others, such as those of foreign keys, ever smaller parts are tried. The work is in proportion to the rows, and to those refused.

// rows are what is tried, at rising positions from 0 on.
type rows interface {
	size() int64
	// end returns where the row ends that is at a position.
	end(at int64) int64
	// try writes the rows of [lo, hi) or none of them, and says why.
	try(ctx context.Context, lo, hi int64) (verdict, error)
}

// verdict is what the server says of rows.
type verdict struct {
	of       *pgconn.PgError // nil: they are taken
	from, to int64           // the row that is to blame; 0, 0: it does not say
	sure     bool            // it is that one
}

// no is a row that the server refuses.
type no struct {
	from, to int64
	of       *pgconn.PgError
}

// leastTry is how many bytes of lines are tried at a time, where refusals are many: so much is sent in one go anyway.
const leastTry = 8 << 10

// sift writes all rows but those that the server refuses, which it returns. size is how much is tried at first. It stops after most refusals; 0: it does not.
func sift(ctx context.Context, r rows, size int64, most int) (refused []no, err error) {
	lo, last, total := int64(0), int64(0), r.size()
	among := int64(0) // a row before there is refused, where that is known
	for lo < total && (most == 0 || len(refused) < most) {
		size = min(max(size, 1), total-lo)
		hi := r.end(lo + size - 1)
		v, err := r.try(ctx, lo, hi)
		if err != nil {
			return nil, err
		}
		if v.of == nil {
			if lo, size = hi, 2*size; lo < among {
				size = (among - lo) / 2
			}
			continue
		}
		alone := hi == r.end(lo)
		if !alone && v.to > 0 { // all before that row has passed but for what is checked at the end of a statement
			before := verdict{}
			if v.from > lo {
				if before, err = r.try(ctx, lo, v.from); err != nil {
					return nil, err
				}
			}
			if before.of == nil && !v.sure {
				lo, size, among = v.from, v.to-v.from, 0 // alone
				continue
			}
			if before.of == nil {
				refused = append(refused, no{v.from, v.to, v.of})
				size = max(2*(v.to-last), leastTry)
				lo, last, among = v.to, v.to, 0
				continue
			}
			hi = v.from
			alone = hi == r.end(lo)
			v = before
		}
		if !alone {
			among, size = hi, (hi-lo)/2
			continue
		}
		refused = append(refused, no{lo, hi, v.of})
		size = hi - last
		lo, last, among = hi, hi, 0
	}
	return refused, nil
}

// foreignKey is the code of a row that refers to another one, which may come after it.
const foreignKey = "23503"

// again tries rows once more that refer to others, until none is taken any more. Rows were tried in parts: what they refer to may be there since.
func again(ctx context.Context, r rows, refused []no) ([]no, error) {
	for range 8 {
		before := len(refused)
		for i := len(refused) - 1; i >= 0; i-- { // the last first: others refer to it rather than it to them
			if refused[i].of.Code != foreignKey {
				continue
			}
			v, err := r.try(ctx, refused[i].from, refused[i].to)
			if err != nil {
				return nil, err
			}
			if v.of == nil {
				refused = slices.Delete(refused, i, i+1)
			}
		}
		if len(refused) == before {
			break
		}
	}
	return refused, nil
}

// trier tries statements, each in one round trip.
type trier struct {
	conn   *pgx.Conn
	failed bool // the last one: that is to be taken back yet
}

// attempt calls run with what goes before and after a statement.
func (t *trier) attempt(run func(before, after string) error) (of *pgconn.PgError, err error) {
	before := "savepoint leat; "
	if t.failed {
		before = "rollback to " + before
	}
	err = run(before, "; release savepoint leat")
	if errors.As(err, &of) && ofRow(of) {
		t.failed = true
		return of, nil
	}
	t.failed = false
	return nil, err
}

// takeBack takes back what failed last.
func (t *trier) takeBack(ctx context.Context) error {
	if !t.failed {
		return nil
	}
	t.failed = false
	_, err := t.conn.PgConn().Exec(ctx, "rollback to savepoint leat; release savepoint leat").ReadAll()
	return err
}

// lines are tried by COPY; positions are bytes.
type lines struct {
	trier
	target *target
	piece  piece
}

func (l *lines) size() int64        { return l.piece.size }
func (l *lines) end(at int64) int64 { return lineAfter(l.piece, at, l.piece.size) }

func (l *lines) try(ctx context.Context, lo, hi int64) (v verdict, err error) {
	v.of, err = l.attempt(func(before, after string) error {
		if l.target.key == nil {
			after = "; set constraints all immediate" + after
		}
		_, err := l.conn.PgConn().CopyFrom(ctx, io.NewSectionReader(l.piece.from, lo, hi-lo), before+l.target.copyText()+after)
		return err
	})
	if v.of != nil {
		if n := lineNumber(v.of); n > 0 {
			v.from, v.to = nthLine(piece{io.NewSectionReader(l.piece.from, lo, hi-lo), hi - lo}, n)
			v.from, v.to, v.sure = v.from+lo, v.to+lo, l.target.plain || l.target.key != nil
		}
	}
	return v, err
}

// refusedLine is a row that the server does not take.
type refusedLine struct {
	row int64 // counted from 0 among the lines
	of  *pgconn.PgError
}

// sift writes the lines of a piece, but those that the server refuses, which it returns: all, or the first of them.
func (t *target) sift(ctx context.Context, conn *pgx.Conn, p piece, first bool) ([]refusedLine, error) {
	if err := t.begin(ctx, conn); err != nil {
		return nil, err
	}
	most := 0
	if first {
		most = 1
	}
	l := &lines{trier{conn: conn}, t, p}
	refused, err := sift(ctx, l, p.size, most)
	if err == nil && !first {
		refused, err = again(ctx, l, refused)
	}
	if err = errors.Join(err, l.takeBack(ctx)); err != nil {
		return nil, err
	}
	out, err := numbered(p, refused)
	if err != nil || t.key == nil || first && len(out) > 0 {
		return out, err
	}
	merged, err := t.siftMerge(ctx, conn, out, most)
	out = append(out, merged...)
	slices.SortFunc(out, func(a, b refusedLine) int { return cmp.Compare(a.row, b.row) })
	return out, err
}

// numbered counts the lines before refused ones.
func numbered(p piece, refused []no) ([]refusedLine, error) {
	var out []refusedLine
	var buf [64 << 10]byte
	at, n := int64(0), int64(0)
	for _, r := range refused {
		for at < r.from {
			got, err := p.from.ReadAt(buf[:min(int64(len(buf)), r.from-at)], at)
			for _, c := range buf[:got] {
				if c == '\n' {
					n++
				}
			}
			if at += int64(got); err != nil && at < r.from {
				return nil, err
			}
		}
		out = append(out, refusedLine{n, r.of})
	}
	return out, nil
}

// copyLine is how COPY says which row an error is about. Before it, functions of triggers may have their say.
var copyLine = regexp.MustCompile(`(?m)^COPY .*?, line ([0-9]+)(?:, column ([^\n]*?)(?:: |$))?`)

// lineNumber returns the line that an error of COPY names, from 1; 0: none.
func lineNumber(pg *pgconn.PgError) int {
	match := copyLine.FindStringSubmatch(pg.Where)
	if match == nil {
		return 0
	}
	n, _ := strconv.Atoi(match[1]) // 0 where it is no number
	return n
}

// nthLine returns where a line begins and ends, counted from 1; 0, 0 where there are fewer.
func nthLine(p piece, n int) (from, to int64) {
	in := bufio.NewReaderSize(p.reader(), int(min(p.size, 64<<10)))
	for {
		text, err := in.ReadSlice('\n')
		to += int64(len(text))
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return 0, 0
		}
		if n--; n == 0 {
			return from, to
		}
		from = to
	}
}

// ranked is the temporary table of an upsert's rows in the order in which they count, made where the server refuses some.
const ranked = "pg_temp.leat_ranked"

// ranks are tried by merging; positions are those of ranked.
type ranks struct {
	trier
	target *target
	total  int64
}

func (r *ranks) size() int64        { return r.total }
func (r *ranks) end(at int64) int64 { return at + 1 }

func (r *ranks) try(ctx context.Context, lo, hi int64) (v verdict, err error) {
	v.of, err = r.attempt(func(before, after string) error {
		merge := r.target.mergeText(fmt.Sprintf("%s where rank >= %d and rank < %d", ranked, lo, hi), "rank desc")
		_, err := r.conn.PgConn().Exec(ctx, before+merge+"; set constraints all immediate"+after).ReadAll()
		return err
	})
	return v, err
}

// siftMerge merges the rows of an upsert that are staged, which are all lines but those of without, and returns the lines of those that the server refuses.
func (t *target) siftMerge(ctx context.Context, conn *pgx.Conn, without []refusedLine, most int) ([]refusedLine, error) {
	r := &ranks{trier{conn: conn}, t, 0}
	of, err := r.attempt(func(before, after string) error {
		_, err := conn.PgConn().Exec(ctx, before+t.mergeText(staging, arrivalOrder)+"; set constraints all immediate"+after).ReadAll()
		return err
	})
	if of == nil || err != nil {
		return nil, err
	}
	err = r.takeBack(ctx)
	if err == nil {
		_, err = conn.PgConn().Exec(ctx, fmt.Sprintf("create temporary table leat_ranked on commit drop as select row_number() over (order by source, seq, number, arrival) - 1 as rank, "+
			"row_number() over (order by arrival) - 1 as line, %s from %s; create unique index on %s (rank); analyze %[3]s", t.stagedColumns(), staging, ranked)).ReadAll()
	}
	if err == nil {
		err = conn.QueryRow(ctx, "select count(*) from "+ranked).Scan(&r.total)
	}
	if err != nil {
		return nil, err
	}
	refused, err := sift(ctx, r, r.total/2, most)
	if err = errors.Join(err, r.takeBack(ctx)); err != nil {
		return nil, err
	}
	out, err := linesOf(ctx, conn, refused)
	if err == nil {
		_, err = conn.Exec(ctx, "drop table "+ranked)
	}
	skip := int64(0)
	for i := range out { // among all lines, not those staged alone
		for skip < int64(len(without)) && without[skip].row <= out[i].row+skip {
			skip++
		}
		out[i].row += skip
	}
	return out, err
}

// linesOf returns which staged lines refused ranks are, in the order of the lines.
func linesOf(ctx context.Context, conn *pgx.Conn, refused []no) ([]refusedLine, error) {
	var at []int64
	for _, r := range refused {
		at = append(at, r.from)
	}
	found, err := conn.Query(ctx, "select line from "+ranked+" where rank = any($1) order by rank", at)
	if err != nil {
		return nil, err
	}
	rows, err := pgx.CollectRows(found, pgx.RowTo[int64])
	if err == nil && len(rows) != len(refused) {
		err = fmt.Errorf("%d of %d refused rows are found again", len(rows), len(refused))
	}
	if err != nil {
		return nil, err
	}
	out := make([]refusedLine, len(rows))
	for i, row := range rows {
		out[i] = refusedLine{row, refused[i].of}
	}
	slices.SortFunc(out, func(a, b refusedLine) int { return cmp.Compare(a.row, b.row) })
	return out, nil
}
