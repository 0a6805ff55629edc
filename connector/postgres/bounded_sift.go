package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/diag"
)

// siftingWriter writes a run that ends in one transaction, without the rows that the server refuses. Which these are can be found when all are there: until then
// they lie in a temporary folder.
type siftingWriter struct {
	boundedWriter
	refused *refusal.Box

	staging sync.Mutex
	stage   stage
}

func newSiftingWriter(x *session, t *target, env *catalog.SinkEnv) *siftingWriter {
	w := &siftingWriter{boundedWriter: boundedWriter{session: x, target: t}, refused: refusal.NewBox(env), stage: newStage(env)}
	w.stage.dir, w.stage.passing = "", true
	return w
}

// NewEncoder returns an encoder for one worker.
func (w *siftingWriter) NewEncoder() catalog.Encoder {
	return &encoder{text: rowText{target: w.target}, whole: true, out: w.append}
}

func (w *siftingWriter) append(ctx context.Context, b block) (err error) {
	w.staging.Lock()
	defer w.staging.Unlock()
	if w.stage.dir == "" {
		if w.stage.dir, err = os.MkdirTemp("", "leat-postgres-*"); err != nil {
			return err
		}
	}
	if err := w.stage.append(ctx, b); err != nil {
		return fmt.Errorf("rows cannot be staged: %w", err)
	}
	return nil
}

// Sync writes what is staged, in the transaction of the run. What the server refuses is known then.
func (w *siftingWriter) Sync(ctx context.Context) error {
	w.staging.Lock()
	defer w.staging.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || w.stage.lines == nil {
		return w.err
	}
	if w.err = w.load(ctx); w.err != nil {
		w.session.close()
	}
	return w.err
}

func (w *siftingWriter) load(ctx context.Context) error {
	of, err := w.stage.end(0)
	if err != nil {
		return err
	}
	p, file, err := w.stage.read(of.stagedFile)
	if err != nil {
		return fmt.Errorf("rows staged in %s: %w", w.stage.dir, err)
	}
	defer file.Close()
	beside, besideFile, err := w.stage.read(*of.Beside)
	if err != nil {
		return fmt.Errorf("rows staged in %s: %w", w.stage.dir, err)
	}
	defer besideFile.Close()
	refused, err := w.sift(ctx, p)
	if err != nil {
		return err
	}
	w.bytes += of.Bytes
	w.begun, w.finished = true, true
	w.stage.done(of)
	return w.target.setAside(w.session.server, w.refused, beside, refused)
}

// sift tries again where the connection is lost, as long as the transaction has nothing else.
func (w *siftingWriter) sift(ctx context.Context, p piece) (refused []refusedLine, err error) {
	if w.begun {
		if w.target.key != nil {
			_, err = w.session.conn.Exec(ctx, "drop table "+staging)
		}
		if err == nil {
			refused, err = w.target.sift(ctx, w.session.conn, p, false)
		}
		if err != nil {
			err = w.final(ctx, err)
		}
		return refused, err
	}
	err = w.session.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "begin"); err != nil {
			return err
		}
		refused, err = w.target.sift(ctx, conn, p, false)
		return err
	})
	return refused, err
}

// Refusals returns the rows that the server does not take.
func (w *siftingWriter) Refusals() ([]catalog.RefusedRows, error) { return w.refused.Refusals() }

// Verify has the server take all rows. Nobody asks for refused ones any more.
func (w *siftingWriter) Verify(ctx context.Context) error {
	if err := w.Sync(ctx); err != nil {
		return err
	}
	refused, err := w.refused.Refusals()
	if err == nil && len(refused) > 0 {
		err = &diag.Failure{Code: diag.CannotWrite, Err: refused[0].Rows}
	}
	return err
}

// Commit makes all rows visible at once.
func (w *siftingWriter) Commit(ctx context.Context) (catalog.Written, error) {
	if err := w.Verify(ctx); err != nil {
		return catalog.Written{}, err
	}
	written, err := w.boundedWriter.Commit(ctx)
	return written, errors.Join(err, w.clear())
}

// Abort gives the transaction up.
func (w *siftingWriter) Abort() error { return errors.Join(w.boundedWriter.Abort(), w.clear()) }

// clear removes what is staged.
func (w *siftingWriter) clear() error {
	w.staging.Lock()
	defer w.staging.Unlock()
	err := w.stage.drop()
	if w.stage.dir != "" {
		err = errors.Join(err, os.RemoveAll(w.stage.dir))
		w.stage.dir = ""
	}
	return err
}
