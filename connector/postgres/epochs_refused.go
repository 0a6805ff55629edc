package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// refusals are the epochs whose refused rows lie in files of the stage.
type refusals struct {
	wanted bool
	any    atomic.Bool
	mu     sync.Mutex
	wait   []int64 // epochs that have not been told, rising
	told   int64   // the last one that has
}

// last returns the last epoch that has been told.
func (r *refusals) last() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told
}

// Refusals returns the rows that the server has refused of epochs that are committed. The epoch that is prepared next says that they have been told.
func (w *epochWriter) Refusals() (out []catalog.RefusedRows, err error) {
	r := &w.refusals
	if !r.any.Load() {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, epoch := range r.wait {
		rows, err := w.stage.refused(epoch, w.target.schema)
		if err != nil {
			return nil, damaged(fmt.Errorf("the refused rows of epoch %d in %s: %w", epoch, filepath.Join(w.stage.dir, refusedName(epoch)), err))
		}
		out = append(out, rows...)
	}
	if n := len(r.wait); n > 0 {
		r.told = r.wait[n-1]
	}
	r.wait = nil
	r.any.Store(false)
	return out, nil
}

// nothingToTell fails where refused rows would be lost with the process. Those in a folder that stays are for the next run.
func (w *epochWriter) nothingToTell() error {
	if !w.temporary {
		return nil
	}
	refused, err := w.Refusals()
	if err == nil && len(refused) > 0 {
		of := refused[0]
		err = &diag.Failure{Code: diag.CannotWrite, Origin: of.Batch.Where(int(of.Rows[0].Row)), Err: fmt.Errorf("it ended before the error output had all rows: %w", of.Rows),
			Hint: "Give the stream a folder for its state, or let it end by itself (--on-stop drain)."}
	}
	return err
}

// awaitRefused has the refused rows of an epoch that is committed be told.
func (w *epochWriter) awaitRefused(epoch int64) error {
	r := &w.refusals
	if !r.wanted {
		return nil
	}
	f, err := w.stage.fs.Open(filepath.Join(w.stage.dir, refusedName(epoch)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait = append(r.wait, epoch)
	r.any.Store(true)
	return f.Close()
}

// forgetRefused removes the refused rows of epochs up to one. Files that stay are known by their numbers.
func (w *epochWriter) forgetRefused(to int64) {
	if to == 0 {
		return
	}
	epochs, _ := w.stage.refusedEpochs()
	for _, epoch := range epochs {
		if epoch <= to {
			_ = w.stage.forget(epoch)
		}
	}
}

// recoverRefused finds the refused rows that the last checkpoint, of that epoch, does not know to be told.
func (w *epochWriter) recoverRefused(epoch, told int64) error {
	r := &w.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	epochs, err := w.stage.refusedEpochs()
	if err != nil {
		return err
	}
	r.told, r.wait = told, nil
	for _, of := range epochs {
		if of > told && of <= epoch {
			r.wait = append(r.wait, of)
		} else {
			err = errors.Join(err, w.stage.forget(of))
		}
	}
	r.any.Store(len(r.wait) > 0)
	if len(r.wait) > 0 && !r.wanted {
		return errors.Join(err, &diag.Failure{Code: diag.StateMismatch, Err: fmt.Errorf("checkpoint %d has rows that the server has refused, and nothing takes them any more", r.wait[0]),
			Hint: "Give the transform its error_handling again, at least for a run."})
	}
	return err
}

// loadSifted writes the rows of an epoch that the server takes, and keeps the others.
func (w *epochWriter) loadSifted(ctx context.Context, conn *pgx.Conn, epoch int64, of staged, p piece) error {
	if err := w.stage.forget(epoch); err != nil { // of a transaction that was not committed
		return w.notKept(epoch, err)
	}
	refused, err := w.target.sift(ctx, conn, p, false)
	if err != nil || len(refused) == 0 {
		return err
	}
	whole := func(f func(*column.Batch, []refusedLine) error) error { return w.target.rowsOfLines(p, refused, f) }
	if of.Beside != nil {
		beside, file, err := w.stage.read(*of.Beside)
		if err != nil {
			return damaged(fmt.Errorf("the rows of epoch %d, staged in %s: %w", epoch, filepath.Join(w.stage.dir, of.Beside.File), err))
		}
		defer file.Close()
		whole = func(f func(*column.Batch, []refusedLine) error) error {
			return wholeRows(beside.reader(), w.target.schema, refused, f)
		}
	}
	err = w.stage.keepRefused(epoch, func(to *refusedWriter) error {
		return whole(func(b *column.Batch, of []refusedLine) error {
			var texts []string
			for _, r := range of {
				texts = append(texts, w.target.why(w.session.server, r.of))
			}
			return to.add(b, w.target.schema, texts)
		})
	}, func(f func() error) error { return w.stage.full.Do(ctx, w.stage.who, f) })
	if err != nil {
		return w.notKept(epoch, err)
	}
	return nil
}

func (w *epochWriter) notKept(epoch int64, err error) error {
	return &diag.Failure{Code: diag.CannotWrite, Err: fmt.Errorf("refused rows of epoch %d cannot be kept in %s: %w", epoch, w.stage.dir, err)}
}
