package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// morselBytes is how much a morsel holds, whatever fetch_size says.
const morselBytes = 256 << 10

// boundedReader reads all rows once, by one connection or by several that share a snapshot.
type boundedReader struct {
	reader
	ctx    context.Context
	cancel context.CancelFunc
	start  sync.Once
	wg     sync.WaitGroup
	blocks chan []byte // of rows; the first 4 bytes are their number
	free   chan []byte
	done   atomic.Int64
	failed atomic.Pointer[error]
}

func newBoundedReader(base reader) *boundedReader {
	n := int(base.source.partitions) + 1
	r := &boundedReader{reader: base, blocks: make(chan []byte, n), free: make(chan []byte, 2*n)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Next hands on a block of rows.
func (r *boundedReader) Next(ctx context.Context, m *catalog.Morsel) error {
	r.start.Do(func() {
		r.wg.Go(func() {
			defer close(r.blocks)
			if err := r.run(r.ctx); err != nil {
				r.fail(err)
			}
		})
	})
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case block, ok := <-r.blocks:
		if !ok {
			if err := r.failed.Load(); err != nil {
				return *err
			}
			return io.EOF
		}
		rows := int64(binary.BigEndian.Uint32(block))
		m.Line, m.Data = 0, append(m.Data[:0], block...)
		m.File = r.source.label()
		r.done.Add(rows)
		select {
		case r.free <- block:
		default:
		}
		return nil
	}
}

func (s *source) label() string {
	if s.query != "" {
		return "query"
	}
	return s.table.String()
}

// fail keeps the first error, and ends the others.
func (r *boundedReader) fail(err error) {
	err = retry.Plain(r.source.server.explain(err))
	var f *diag.Failure
	if !errors.As(err, &f) {
		err = &diag.Failure{Code: diag.NoServer, Err: err, Hint: "The snapshot that was read is gone: run it again."}
	}
	r.failed.CompareAndSwap(nil, &err)
	r.cancel()
}

// run reads everything.
func (r *boundedReader) run(ctx context.Context) error {
	first := session{server: r.source.server, caller: r.source.server.caller(false)}
	defer func() { first.close() }()
	var bounds []string
	var snapshot string
	err := first.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if _, err = conn.Exec(ctx, "begin isolation level repeatable read read only"); err == nil && r.source.partitions > 1 {
			if err = conn.QueryRow(ctx, "select pg_export_snapshot()").Scan(&snapshot); err == nil {
				bounds, err = r.bounds(ctx, conn)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(bounds) <= 1 {
		return r.read(ctx, first.conn, "")
	}
	var others sync.WaitGroup
	for _, where := range bounds[1:] {
		others.Go(func() {
			if err := r.partition(ctx, snapshot, where); err != nil {
				r.fail(err)
			}
		})
	}
	err = r.read(ctx, first.conn, bounds[0])
	if err != nil {
		r.fail(err)
	}
	others.Wait() // the snapshot ends with the first connection's transaction
	return nil
}

// partition reads one range, by a connection of its own.
func (r *boundedReader) partition(ctx context.Context, snapshot, where string) error {
	x := session{server: r.source.server, caller: r.source.server.caller(false)}
	defer func() { x.close() }()
	err := x.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "begin isolation level repeatable read read only")
		if err == nil {
			_, err = conn.Exec(ctx, "set transaction snapshot "+literal(snapshot))
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.read(ctx, x.conn, where)
}

// bounds cuts the column's values into ranges, as conditions. Rows without a value are in the first.
func (r *boundedReader) bounds(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	by := quote(r.source.by)
	var least, most *int64
	err := conn.QueryRow(ctx, fmt.Sprintf("select min(%s)::int8, max(%[1]s)::int8 from %s", by, r.source.from())).Scan(&least, &most)
	if err != nil || least == nil {
		return nil, err
	}
	// The range may be wider than 64 bits.
	lo, width := big.NewInt(*least), new(big.Int).Sub(big.NewInt(*most), big.NewInt(*least))
	var cuts []string
	for i := int64(1); i < r.source.partitions; i++ {
		cut := new(big.Int).Mul(width, big.NewInt(i))
		cut.Add(cut.Div(cut, big.NewInt(r.source.partitions)), lo)
		if text := cut.String(); (len(cuts) == 0 || cuts[len(cuts)-1] != text) && cut.Cmp(lo) > 0 {
			cuts = append(cuts, text)
		}
	}
	if len(cuts) == 0 {
		return []string{""}, nil
	}
	where := []string{fmt.Sprintf("(%s < %s or %[1]s is null)", by, cuts[0])}
	for i, cut := range cuts {
		to := ""
		if i+1 < len(cuts) {
			to = fmt.Sprintf(" and %s < %s", by, cuts[i+1])
		}
		where = append(where, fmt.Sprintf("%s >= %s%s", by, cut, to))
	}
	return where, nil
}

// read hands on the rows of one statement. The server waits while nobody takes them.
func (r *boundedReader) read(ctx context.Context, conn *pgx.Conn, where string) error {
	sql := fmt.Sprintf("select %s from %s", r.selected(), r.source.from())
	if where != "" {
		sql += " where " + where
	}
	result := conn.PgConn().ExecParams(ctx, sql, nil, nil, nil, binaryResults)
	block, rows := r.block(), 0
	for result.NextRow() {
		block = appendRow(block, result.Values())
		if rows++; rows < int(r.source.fetch) && len(block) < morselBytes {
			continue
		}
		if err := r.hand(ctx, block, rows); err != nil {
			conn.PgConn().Conn().Close() // rather than read what is left
			return err
		}
		block, rows = r.block(), 0
	}
	if _, err := result.Close(); err != nil {
		return err
	}
	if rows == 0 {
		return nil
	}
	return r.hand(ctx, block, rows)
}

var binaryResults = []int16{1}

func (r *boundedReader) block() []byte {
	select {
	case b := <-r.free:
		return b[:4]
	default:
		return make([]byte, 4, morselBytes+4096)
	}
}

func (r *boundedReader) hand(ctx context.Context, block []byte, rows int) error {
	binary.BigEndian.PutUint32(block, uint32(rows))
	select {
	case r.blocks <- block:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// appendRow appends the values of a row: their length, -1 for null, and their bytes.
func appendRow(dst []byte, values [][]byte) []byte {
	for _, v := range values {
		if v == nil {
			dst = binary.BigEndian.AppendUint32(dst, ^uint32(0))
			continue
		}
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(v))), v...)
	}
	return dst
}

// NewDecoder returns a decoder for one worker.
func (r *reader) NewDecoder() catalog.Decoder { return newDecoder(r.columns) }

// Progress is in rows, of which nobody knows how many there are.
func (r *boundedReader) Progress() (done, total int64) { return r.done.Load(), -1 }

// Close ends all connections.
func (r *boundedReader) Close() error {
	r.cancel()
	r.wg.Wait()
	return nil
}
