package kafka

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/connector/retry"
)

// rewriteTries is how often the rows of an epoch are written again because the brokers gave up their transaction.
const rewriteTries = 10

// parseStaged reads what Prepare returned.
func parseStaged(epoch int64, staged []byte) (t transaction, err error) {
	if len(staged) == 0 {
		return transaction{Epoch: epoch}, nil
	}
	if err := json.Unmarshal(staged, &t); err != nil {
		return t, fmt.Errorf("what the checkpoint says of epoch %d is damaged: %w", epoch, err)
	}
	if t.Epoch != epoch {
		return t, fmt.Errorf("the checkpoint of epoch %d holds epoch %d", epoch, t.Epoch)
	}
	return t, nil
}

// Recover commits the last epoch, if that did not happen yet, and drops what was written after it.
func (w *exactWriter) Recover(ctx context.Context, epoch int64, staged []byte) error {
	t, err := parseStaged(epoch, staged)
	if err != nil {
		return err
	}
	// From here on an earlier run of that name that is still there finds that it has been replaced.
	if err := w.server.setOffset(ctx, w.ownerGroup(), w.settings.topic, offset{note: w.owner}); err != nil {
		return explain(w.settings.topic, err)
	}
	if t.Rows > 0 {
		p := &producer{transaction: transaction{ID: t.ID}} // its own: the job may have had another name
		err := w.settle(ctx, p, t)
		w.disconnect(p)
		if err != nil {
			return err
		}
	}
	for _, p := range w.producers {
		if err := w.connect(ctx, p); err != nil {
			return err
		}
	}
	if err := removeStages(w.fs, w.dir); err != nil {
		return err
	}
	w.stages = time.Now().UnixNano()
	w.mu.Lock()
	w.committed = epoch
	w.mu.Unlock()
	// Brokers forget a group after some days in which nothing is committed (offsets.retention.minutes), and a state that was removed begins at epoch 0
	// again.
	return explain(w.settings.topic, w.server.setOffset(ctx, w.group, w.settings.topic, offset{at: epoch}))
}

// settle commits an epoch that was prepared, by this run or another one, however long ago.
func (w *exactWriter) settle(ctx context.Context, p *producer, t transaction) error {
	// Without asking first, the commit could be that of a later transaction of the same producer.
	last, err := w.server.getOffset(ctx, t.Group, t.Topic, false)
	if err != nil {
		return explain(t.Topic, err)
	}
	if last.at >= t.Epoch {
		return nil
	}
	if err := w.server.endTransaction(ctx, &t); err != nil && !transactionEnded(err) {
		return explain(t.Topic, err)
	}
	if last, err = w.server.getOffset(ctx, t.Group, t.Topic, true); err == nil && last.at >= t.Epoch {
		return nil
	}
	// The brokers gave up the transaction, as it was open for too long.
	return w.whileEnded(ctx, func(ctx context.Context) error { return w.commitAgain(ctx, p, t) })
}

// commitAgain writes the rows of an epoch again and commits them, unless that has happened.
func (w *exactWriter) commitAgain(ctx context.Context, p *producer, t transaction) error {
	if err := w.connect(ctx, p); err != nil { // ends whatever is open
		return err
	}
	last, err := w.server.getOffset(ctx, t.Group, t.Topic, true)
	if err != nil || last.at >= t.Epoch {
		return err
	}
	if t.File == "" {
		return retry.Permanent(fmt.Errorf("the brokers gave up the transaction of epoch %d, and without a state directory its rows are not kept", t.Epoch))
	}
	if _, err := os.Stat(filepath.Join(w.dir, t.File)); errors.Is(err, os.ErrNotExist) && last.at < 0 {
		return nil // it was removed after the commit; only the brokers forgot, after days
	}
	if err := w.rewrite(ctx, p, t); err != nil {
		return err
	}
	return p.box.client.EndTransaction(ctx, kgo.TryCommit)
}

// whileEnded calls f until it works, and gives up when another run has taken over, or when brokers end one transaction after the other.
func (w *exactWriter) whileEnded(ctx context.Context, f func(context.Context) error) error {
	call := w.server.call
	call.Policy.Attempts, call.Policy.First = rewriteTries, 250*time.Millisecond
	err := call.Do(ctx, func(ctx context.Context) error {
		if err := w.checkOwner(ctx); err != nil {
			return retry.Permanent(err)
		}
		err := f(ctx)
		if rewritable(err) && !isLocal(err) {
			return err
		}
		return retry.Permanent(err)
	})
	if transactionEnded(err) {
		return fmt.Errorf("the brokers end transactions before they are written: raise transaction.timeout.ms in producer_config_updates, or make checkpoint_interval shorter: %w", err)
	}
	return explain(w.settings.topic, err)
}

// isLocal reports whether an error is one of this machine's disk.
func isLocal(err error) bool {
	var path *os.PathError
	return errors.As(err, &path) || errors.Is(err, errDamaged)
}

// newOwner returns what tells this run from others, and people where it is.
func newOwner() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("process %d on %s, %s", os.Getpid(), host, rand.Text()[:8])
}

// ownerGroup names the group that keeps whose turn it is. It is not the group of epochs: a commit outside of a transaction would count as
// newer than what an open transaction holds.
func (w *exactWriter) ownerGroup() string { return w.group + ".owner" }

// checkOwner returns an error where another run has taken over.
func (w *exactWriter) checkOwner(ctx context.Context) error {
	o, err := w.server.getOffset(ctx, w.ownerGroup(), w.settings.topic, false)
	if err != nil {
		return err
	}
	if o.note == w.owner || o.at < 0 {
		return nil
	}
	return fmt.Errorf("%w: %s (%s). Give each pipeline a job_name of its own, and run each once", errFenced, w.group, o.note)
}
