package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// boundedWriter writes a run that ends in one transaction.
type boundedWriter struct {
	session *session
	target  *target

	mu       sync.Mutex
	begun    bool
	finished bool  // merged and checked
	err      error // the transaction is lost
	bytes    int64
}

// NewEncoder returns an encoder for one worker.
func (w *boundedWriter) NewEncoder() catalog.Encoder {
	return &encoder{text: rowText{target: w.target}, out: w.write}
}

// write copies a block. Each is a statement of its own, so that a row that is not taken can be told from the block's others.
func (w *boundedWriter) write(ctx context.Context, b block) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	w.bytes += int64(len(b.lines))
	p := blockPiece(b.lines)
	return w.step(ctx, p, func(conn *pgx.Conn) error { return w.target.copy(ctx, conn, p.reader()) })
}

// step does something in the transaction, which it begins. A failure is that of the whole run.
func (w *boundedWriter) step(ctx context.Context, p piece, f func(conn *pgx.Conn) error) error {
	if !w.begun {
		w.err = w.session.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, "begin"); err != nil {
				return err
			}
			return w.target.begin(ctx, conn)
		})
		w.begun = w.err == nil
		if w.err != nil {
			return w.err
		}
	}
	err := f(w.session.conn)
	if err == nil {
		return nil
	}
	w.session.close()
	if p.size > 0 {
		err = w.target.blame(ctx, w.session.server, p, err)
	}
	w.err = w.final(ctx, err)
	return w.err
}

// final gives the error that ended the transaction its form: what would pass cannot be tried again here, as the rows are gone.
func (w *boundedWriter) final(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err = w.session.server.explain(err)
	if retry.IsPermanent(err) {
		return retry.Plain(err)
	}
	var f *diag.Failure
	if errors.As(err, &f) {
		return err
	}
	return &diag.Failure{Code: diag.NoServer, Err: fmt.Errorf("the transaction was lost, and nothing was written: %w", err), Hint: "Run it again when the server is well."}
}

// Verify merges an upsert, and has the server check every constraint.
func (w *boundedWriter) Verify(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.finished || !w.begun {
		return w.err
	}
	err := w.step(ctx, piece{}, func(conn *pgx.Conn) error { return w.target.finish(ctx, conn) })
	w.finished = err == nil
	return err
}

// Commit makes all rows visible at once.
func (w *boundedWriter) Commit(ctx context.Context) (catalog.Written, error) {
	if err := w.Verify(ctx); err != nil {
		return catalog.Written{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun {
		if err := commit(ctx, w.session.conn); err != nil {
			w.session.close()
			w.err = w.final(ctx, err)
			return catalog.Written{}, w.err
		}
	}
	w.end()
	return catalog.Written{Bytes: w.bytes}, nil
}

// end closes: nothing can be written any more.
func (w *boundedWriter) end() {
	w.session.close()
	w.begun = false
	if w.err == nil {
		w.err = errEnded
	}
}

var errEnded = errors.New("the writer has ended")

// Abort gives the transaction up: the server rolls it back as the connection closes.
func (w *boundedWriter) Abort() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	return nil
}

// Metrics are the figures of the connection.
func (w *boundedWriter) Metrics() []catalog.Metric { return w.session.server.metrics() }
