package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
)

// batchWriter writes rows of a stream as they come, each batch in a transaction of its own.
type batchWriter struct {
	session *session
	target  *target
	most    int64

	mu    sync.Mutex
	bytes int64
}

// NewEncoder returns an encoder for one worker.
func (w *batchWriter) NewEncoder() catalog.Encoder {
	return &encoder{text: rowText{target: w.target}, most: w.most, out: w.write}
}

func (w *batchWriter) write(ctx context.Context, block []byte, _ int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += int64(len(block))
	return w.session.transaction(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		err := w.target.load(ctx, conn, blockPiece(block))
		if err != nil {
			err = w.target.blame(ctx, w.session.server, blockPiece(block), err)
		}
		return err
	})
}

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
	_ catalog.Transactional = (*epochWriter)(nil)
)
