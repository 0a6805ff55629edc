package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// epochWriter writes the rows of a stream epoch by epoch, each once. Encoders write while an epoch is committed.
type epochWriter struct {
	target    *target
	job, name string
	lineage   string // runs that go on from one another's state
	owner     string // the lineage, and this run
	temporary bool   // the folder is ours, and goes with the process
	epochs    table
	written   atomic.Int64
	last      atomic.Int64 // epoch that was committed

	staging sync.Mutex
	stage   stage

	committing sync.Mutex
	session    *session

	refusals refusals
}

func newEpochWriter(x *session, t *target, env *catalog.SinkEnv) *epochWriter {
	return &epochWriter{target: t, job: env.Job, name: env.Name, epochs: table{t.table.schema, "leat_epochs"}, session: x,
		stage: newStage(env), refusals: refusals{wanted: env.Refusals}}
}

// NewEncoder returns an encoder for one worker.
func (w *epochWriter) NewEncoder() catalog.Encoder {
	return &encoder{text: rowText{target: w.target}, whole: w.refusals.wanted, out: w.append}
}

func (w *epochWriter) append(ctx context.Context, b block) error {
	w.staging.Lock()
	defer w.staging.Unlock()
	if w.stage.dir == "" { // nothing outlasts the process, and still memory is not to hold an epoch
		dir, err := os.MkdirTemp("", "leat-postgres-*")
		if err != nil {
			return err
		}
		w.stage.dir, w.temporary = dir, true
	}
	if err := w.stage.append(ctx, b); err != nil {
		return fmt.Errorf("rows cannot be staged: %w", err)
	}
	return nil
}

// Recover commits the last durable checkpoint where that is not done, and drops what came after it.
func (w *epochWriter) Recover(ctx context.Context, epoch int64, data []byte) error {
	of := staged{}
	if data != nil {
		var err error
		if of, err = readStaged(epoch, data); err != nil {
			return err
		}
	}
	reached, err := w.reached(ctx, epoch, of.Lineage)
	if err != nil {
		return err
	}
	if epoch > 0 && reached > epoch {
		return &diag.Failure{Code: diag.StateMismatch,
			Err: fmt.Errorf("the table %s has had checkpoint %d of this pipeline, and the state is that of checkpoint %d, which is older", w.target.table, reached, epoch),
			Hint: fmt.Sprintf("Use the newest state. To go on from the older one all the same, and write the rows since then again, update the row of job %q and sink %q in %s.",
				w.job, w.name, w.epochs)}
	}
	if data != nil && reached < epoch {
		if err := w.CommitEpoch(ctx, epoch, data); err != nil {
			return err
		}
	}
	w.last.Store(epoch)
	w.staging.Lock()
	defer w.staging.Unlock()
	if w.stage.dir == "" {
		return nil
	}
	if err := w.stage.clean(); err != nil {
		return err
	}
	return w.recoverRefused(epoch, of.RefusedOf)
}

// reached returns the last epoch that the table has had, and makes this run the one that writes. A first run, whose epochs begin anew, begins a new lineage there;
// those that go on from its state have the same. Epochs of another lineage are not ours, though their numbers may be the same.
func (w *epochWriter) reached(ctx context.Context, epoch int64, lineage string) (reached int64, err error) {
	w.committing.Lock()
	defer w.committing.Unlock()
	find := fmt.Sprintf("select epoch, coalesce(owner, '') from %s where job = $1 and sink = $2 for update", w.epochs)
	claim := fmt.Sprintf("insert into %s (job, sink, epoch, owner) values ($1, $2, $3, $4) on conflict (job, sink) do update set owner = excluded.owner, epoch = excluded.epoch", w.epochs)
	err = w.session.transaction(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if err := w.createEpochs(ctx, conn); err != nil {
			return err
		}
		owner := ""
		if err := conn.QueryRow(ctx, find, w.job, w.name).Scan(&reached, &owner); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		known, process, _ := strings.Cut(owner, " ")
		switch {
		case epoch == 0:
			reached, w.lineage = 0, rand.Text()[:12]
		case lineage != "" && known != "" && known != lineage:
			return retry.Permanent(w.taken(process))
		default:
			w.lineage = cmp.Or(lineage, known, rand.Text()[:12])
		}
		w.owner = w.lineage + " " + processName()
		_, err := conn.Exec(ctx, claim, w.job, w.name, reached, w.owner)
		return err
	})
	return reached, err
}

// taken is the error of a run whose place another one has taken.
func (w *epochWriter) taken(process string) error {
	return &diag.Failure{Code: diag.StateBusy, Err: fmt.Errorf("another run of the pipeline %q has taken over the table %s: %s", w.job, w.target.table, process),
		Hint: fmt.Sprintf("Give each pipeline a job_name of its own, and run each once. To go on here, stop that run and delete the row of job %q and sink %q in %s: what this one has staged "+
			"is written then.", w.job, w.name, w.epochs)}
}

// processName tells people where this run is.
func processName() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("process %d on %s, %s", os.Getpid(), host, rand.Text()[:8])
}

// createEpochs makes leat_epochs where it is missing. It asks first, as who may write there may not be allowed to create.
func (w *epochWriter) createEpochs(ctx context.Context, conn *pgx.Conn) error {
	var there, owned bool
	err := conn.QueryRow(ctx, "select to_regclass($1) is not null, exists (select from pg_attribute where attrelid = to_regclass($1) and attname = 'owner' and not attisdropped)",
		w.epochs.String()).Scan(&there, &owned)
	if err != nil || owned {
		return err
	}
	make := fmt.Sprintf("create table if not exists %s (job text, sink text, epoch bigint not null, owner text, primary key (job, sink))", w.epochs)
	if there { // of an earlier release
		make = fmt.Sprintf("alter table %s add column if not exists owner text", w.epochs)
	}
	_, err = conn.Exec(ctx, make)
	if isRace(err) {
		return fmt.Errorf("another one made %s at the same time: %s", w.epochs, err) // and is there when this is tried again
	}
	if err = w.session.server.explain(err); retry.IsPermanent(err) {
		var f *diag.Failure
		if errors.As(err, &f) {
			f.Hint = "exactly_once needs a table of its own. Have it made and granted to this role: " + make + ". Or set exactly_once: false."
		}
	}
	return err
}

// Prepare ends an epoch: its rows are in a file that outlasts a crash.
func (w *epochWriter) Prepare(ctx context.Context, epoch int64) ([]byte, error) {
	return w.Cut(epoch)(ctx)
}

// Cut lets rows that come go to the next file, while that of the epoch is made to outlast a crash.
func (w *epochWriter) Cut(epoch int64) func(context.Context) ([]byte, error) {
	w.staging.Lock()
	defer w.staging.Unlock()
	of, finish, err := w.stage.cut(epoch)
	of.RefusedOf, of.Lineage = w.refusals.last(), w.lineage
	return func(context.Context) ([]byte, error) {
		if err == nil {
			if err = finish(); err != nil {
				w.staging.Lock()
				w.stage.err = err
				w.staging.Unlock()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("rows cannot be staged: %w", err)
		}
		return json.Marshal(of)
	}
}

// CommitEpoch writes the rows of an epoch, unless the table has had them.
func (w *epochWriter) CommitEpoch(ctx context.Context, epoch int64, data []byte) error {
	of, err := readStaged(epoch, data)
	if err != nil {
		return err
	}
	if of.File == "" {
		w.forgetRefused(of.RefusedOf)
		return nil
	}
	w.committing.Lock()
	defer w.committing.Unlock()
	if epoch <= w.last.Load() {
		return nil
	}
	err = w.session.transaction(ctx, func(ctx context.Context, conn *pgx.Conn) error { return w.loadOnce(ctx, conn, epoch, of) })
	if err != nil {
		return err
	}
	w.last.Store(epoch)
	w.written.Add(of.Bytes)
	w.stage.done(of)
	w.forgetRefused(of.RefusedOf)
	return w.awaitRefused(epoch)
}

func readStaged(epoch int64, data []byte) (of staged, err error) {
	if err := json.Unmarshal(data, &of); err != nil {
		return of, damaged(fmt.Errorf("what epoch %d has staged cannot be read: %w", epoch, err))
	}
	if of.File != "" && of.File != filepath.Base(of.File) || of.Beside != nil && of.Beside.File != filepath.Base(of.Beside.File) {
		return of, damaged(fmt.Errorf("epoch %d names a file beyond its folder", epoch))
	}
	return of, nil
}

// loadOnce writes an epoch and notes it, if it is not noted yet. Who tries the same at the same time waits at that note.
func (w *epochWriter) loadOnce(ctx context.Context, conn *pgx.Conn, epoch int64, of staged) error {
	tag, err := conn.Exec(ctx, fmt.Sprintf("insert into %s as leat_epochs (job, sink, epoch, owner) values ($1, $2, $3, $4) on conflict (job, sink) do update "+
		"set epoch = excluded.epoch where leat_epochs.epoch < excluded.epoch and leat_epochs.owner = excluded.owner", w.epochs), w.job, w.name, epoch, w.owner)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return w.checkOwner(ctx, conn)
	}
	p, file, err := w.stage.read(of.stagedFile)
	if err != nil {
		return damaged(fmt.Errorf("the rows of epoch %d, staged in %s: %w", epoch, filepath.Join(w.stage.dir, of.File), err))
	}
	defer file.Close()
	if w.refusals.wanted {
		return w.loadSifted(ctx, conn, epoch, of, p)
	}
	if err = w.target.load(ctx, conn, p); err != nil {
		return w.target.blame(ctx, w.session.server, p, err)
	}
	return nil
}

// checkOwner returns an error where another run writes in place of this one.
func (w *epochWriter) checkOwner(ctx context.Context, conn *pgx.Conn) error {
	owner := ""
	err := conn.QueryRow(ctx, fmt.Sprintf("select coalesce(owner, '') from %s where job = $1 and sink = $2", w.epochs), w.job, w.name).Scan(&owner)
	if err != nil || owner == w.owner {
		return err
	}
	_, process, _ := strings.Cut(owner, " ")
	return retry.Permanent(w.taken(process))
}

func damaged(err error) error {
	return &diag.Failure{Class: diag.Corrupt, Code: diag.StateDamaged, Err: err, Hint: "Restore the state from a copy, or begin anew with an empty one."}
}

// Commit ends a stream. Rows that no epoch has are written as one more.
func (w *epochWriter) Commit(ctx context.Context) (catalog.Written, error) {
	epoch := w.last.Load() + 1
	data, err := w.Prepare(ctx, epoch)
	if err == nil {
		err = w.CommitEpoch(ctx, epoch, data)
	}
	if err == nil {
		err = w.nothingToTell()
	}
	if err != nil {
		return catalog.Written{}, err
	}
	return catalog.Written{Bytes: w.written.Load()}, w.Abort()
}

// Abort drops rows that no epoch has. What was prepared stays: a checkpoint may hold it.
func (w *epochWriter) Abort() error {
	w.committing.Lock()
	defer w.committing.Unlock()
	w.session.close()
	w.staging.Lock()
	defer w.staging.Unlock()
	err := w.stage.drop()
	if w.temporary {
		err = errors.Join(err, os.RemoveAll(w.stage.dir))
		w.stage.dir, w.temporary = "", false
	}
	return err
}

// Metrics are the figures of the connection, and the last epoch.
func (w *epochWriter) Metrics() []catalog.Metric {
	return append(w.session.server.metrics(), catalog.Metric{Name: "postgres_epoch", Help: "The last checkpoint whose rows the table has.", Value: float64(w.last.Load())})
}
