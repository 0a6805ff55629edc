package postgres

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/refusal"
)

// batchWriter writes rows of a stream as they come, each batch in a transaction of its own.
type batchWriter struct {
	session *session
	target  *target
	most    int64
	refused *refusal.Box

	mu    sync.Mutex
	bytes int64
}

// NewEncoder returns an encoder for one worker.
func (w *batchWriter) NewEncoder() catalog.Encoder {
	return &encoder{text: rowText{target: w.target}, whole: w.refused.Wanted(), most: w.most, out: w.write}
}

func (w *batchWriter) write(ctx context.Context, b block) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += int64(len(b.lines))
	p := blockPiece(b.lines)
	if !w.refused.Wanted() {
		return w.session.transaction(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			err := w.target.load(ctx, conn, p)
			if err != nil {
				err = w.target.blame(ctx, w.session.server, p, err)
			}
			return err
		})
	}
	var refused []refusedLine
	err := w.session.transaction(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		refused, err = w.target.sift(ctx, conn, p, false)
		return err
	})
	if err != nil {
		return err
	}
	return w.target.setAside(w.session.server, w.refused, piece{bytes.NewReader(b.beside), int64(len(b.beside))}, refused)
}

// setAside puts the rows of refused lines in the box.
func (t *target) setAside(s *server, box *refusal.Box, beside piece, refused []refusedLine) error {
	return wholeRows(beside.reader(), t.schema, refused, func(b *column.Batch, of []refusedLine) error {
		for k, r := range of {
			box.Add(refusal.RowOf(b, k), errors.New(t.why(s, r.of)))
		}
		return nil
	})
}

// Refusals returns the rows that the server does not take.
func (w *batchWriter) Refusals() ([]catalog.RefusedRows, error) { return w.refused.Refusals() }

// Sync has nothing to do: what encoders have flushed is committed.
func (w *batchWriter) Sync(context.Context) error { return nil }

// Commit ends.
func (w *batchWriter) Commit(context.Context) (catalog.Written, error) {
	return catalog.Written{Bytes: w.bytes}, w.Abort()
}

// Abort closes the connection. What is written stays.
func (w *batchWriter) Abort() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session.close()
	return nil
}

// Metrics are the figures of the connection.
func (w *batchWriter) Metrics() []catalog.Metric { return w.session.server.metrics() }

var (
	_ catalog.Syncer        = (*batchWriter)(nil)
	_ catalog.Verifier      = (*boundedWriter)(nil)
	_ catalog.Verifier      = (*siftingWriter)(nil)
	_ catalog.Syncer        = (*siftingWriter)(nil)
	_ catalog.Transactional = (*epochWriter)(nil)
	_ catalog.Refuser       = (*epochWriter)(nil)
	_ catalog.Refuser       = (*batchWriter)(nil)
	_ catalog.Refuser       = (*siftingWriter)(nil)
)
