package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// followReader reads on as rows are added.
type followReader struct {
	reader
	on      *sourceColumn
	session session
	reading sync.Mutex // the session, by Next or by Close
	closed  context.Context
	close   context.CancelFunc
	at      position
	wait    bool  // there was nothing more
	limit   int64 // rows to ask for: fewer than fetch_size where they are large; 0: fetch_size
	rows    atomic.Int64
	all     atomic.Bool // everything that there was has been handed out
}

// position is where to go on.
type position struct {
	Rows int64  `json:"rows"`           // that were read before
	Last string `json:"last,omitempty"` // the follow column of the last one, as the server prints it
	Any  bool   `json:"any,omitempty"`  // there was one
}

func newFollowReader(base reader, on *sourceColumn) *followReader {
	r := &followReader{reader: base, on: on, session: session{server: base.source.server, caller: base.source.server.caller(true)}}
	r.closed, r.close = context.WithCancel(context.Background())
	return r
}

// errClosed is the error of Next when the reader is closed meanwhile.
var errClosed = errors.New("the reader is closed")

// Resume goes on from a checkpoint.
func (r *followReader) Resume(_ context.Context, from catalog.Resume) error {
	text, ok := from.Positions[""]
	if !ok {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &r.at); err != nil {
		return &diag.Failure{Code: diag.StateMismatch, Err: fmt.Errorf("the checkpoint's position %q is none of ReadFromPostgres with follow", text),
			Hint: "Begin anew with an empty state, or name the transform as it was."}
	}
	return nil
}

// Next hands on the rows since the last call, waiting for them.
func (r *followReader) Next(ctx context.Context, m *catalog.Morsel) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	open, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.closed, cancel)()
	err := r.next(open, m)
	if err != nil && ctx.Err() == nil && r.closed.Err() != nil {
		return errClosed
	}
	return err
}

func (r *followReader) next(ctx context.Context, m *catalog.Morsel) error {
	for {
		if r.wait {
			if err := retry.Sleep(ctx, r.source.every); err != nil {
				return err
			}
		}
		var last string
		var rows int64
		var cut bool
		asked := min(cmp.Or(r.limit, r.source.fetch), r.source.fetch)
		err := r.session.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
			m.Data, last, rows, cut, err = r.read(ctx, conn, m.Data[:0], asked)
			return err
		})
		if err != nil {
			return err
		}
		r.wait = rows < asked && !cut
		if r.limit = 2 * asked; cut {
			r.limit = rows
		}
		if rows == 0 {
			r.all.Store(true)
			continue
		}
		m.Seq, m.File, m.Line, m.Partition = r.at.Rows, r.source.label(), 0, ""
		r.at = position{Rows: r.at.Rows + rows, Last: last, Any: true}
		text, err := json.Marshal(r.at)
		m.Position = string(text)
		r.rows.Add(rows)
		r.all.Store(r.wait)
		return err
	}
}

// statement asks for the next rows. Rows that share the last value come along with it, so that none of them is left behind.
func (r *followReader) statement(most int64) string {
	on := "leat_source." + quote(r.on.Name) // not the text of the same name that is selected
	cols := on + "::text"
	if len(r.columns) > 0 {
		cols = r.selected() + ", " + cols
	}
	where := on + " is not null"
	if r.at.Any {
		where = fmt.Sprintf("%s > %s::%s", on, literal(r.at.Last), r.on.typeName)
	}
	if r.source.lag > 0 {
		where += fmt.Sprintf(" and %s <= now() - interval '%d milliseconds'", on, r.source.lag.Milliseconds())
	}
	return fmt.Sprintf("select %s from %s where %s order by %s fetch first %d rows with ties", cols, r.source.from(), where, on, most)
}

// followBytes is how much a morsel holds at most, but for rows that share a value.
const followBytes = 8 << 20

// read takes rows of one answer. What goes beyond followBytes is passed over, and asked for again in smaller numbers.
func (r *followReader) read(ctx context.Context, conn *pgx.Conn, data []byte, most int64) (_ []byte, last string, rows int64, cut bool, err error) {
	data = append(data, 0, 0, 0, 0)
	result := conn.PgConn().ExecParams(ctx, r.statement(most), nil, nil, nil, binaryResults)
	for result.NextRow() {
		values := result.Values()
		at := values[len(r.columns)]
		if cut = cut || len(data) >= followBytes && string(at) != last; cut {
			continue
		}
		data = appendRow(data, values[:len(r.columns)])
		last = string(at)
		rows++
	}
	_, err = result.Close()
	binary.BigEndian.PutUint32(data, uint32(rows))
	return data, last, rows, cut, err
}

// Partitions is the one that there is.
func (r *followReader) Partitions() []string { return []string{""} }

// CaughtUp reports whether the last answer held all that there was.
func (r *followReader) CaughtUp(context.Context, string) bool { return r.all.Load() }

// Progress is in rows, without end.
func (r *followReader) Progress() (done, total int64) { return r.rows.Load(), -1 }

// Close ends Next and closes the connection.
func (r *followReader) Close() error {
	r.close()
	r.reading.Lock()
	defer r.reading.Unlock()
	r.session.close()
	return nil
}

var (
	_ catalog.Resumable   = (*followReader)(nil)
	_ catalog.Partitioned = (*followReader)(nil)
	_ catalog.Endless     = (*source)(nil)
)
