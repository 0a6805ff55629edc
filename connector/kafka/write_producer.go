package kafka

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/internal/vfs"
)

// transaction says which transaction holds the rows of an epoch, and where they lie besides. It is what a checkpoint keeps.
type transaction struct {
	Epoch         int64  `json:"epoch"`
	Rows          int64  `json:"rows"` // 0: there is no transaction
	ID            string `json:"id,omitempty"`
	Producer      int64  `json:"producer,omitempty"`
	ProducerEpoch int16  `json:"producer_epoch,omitempty"`
	Topic         string `json:"topic,omitempty"`
	Group         string `json:"group,omitempty"` // which keeps the last epoch that was committed
	File          string `json:"file,omitempty"`  // of the rows; "": there is none
}

// phase is how far a producer is with its transaction.
type phase uint8

const (
	idle     phase = iota
	open           // rows are written
	ending         // no more rows come, and those that came are on their way
	prepared       // all rows are there, and the epoch
)

// producer writes every other epoch.
type producer struct {
	phase phase
	transaction
	box   *outbox // nil: to be made
	stage *stage  // of the open transaction; nil: none is kept
	ended error   // why the brokers gave up the open transaction; its rows are in the stage alone
	asked bool    // whether it has been asked if that was another run
	// leaving is the box that the rows of an ending epoch are in; nil: the brokers have them, or have given them up. w.mu guards it.
	leaving *outbox
}

// disconnect gives up the client.
func (w *exactWriter) disconnect(p *producer) {
	if p.box != nil {
		p.box.close()
		w.setBox(p, nil)
	}
}

// setBox lets Metrics see another box. Whose turn it is with a producer reads it without the lock.
func (w *exactWriter) setBox(p *producer, box *outbox) {
	w.boxes.Lock()
	defer w.boxes.Unlock()
	p.box = box
}

// connect makes the client and has the brokers end whatever an earlier one of that id left open.
func (w *exactWriter) connect(ctx context.Context, p *producer) error {
	w.disconnect(p)
	return w.server.do(ctx, func(ctx context.Context) error {
		client, err := kgo.NewClient(w.settings.transactional(w.limit, p.ID)...)
		if err != nil {
			return retry.Permanent(err)
		}
		if p.Producer, p.ProducerEpoch, err = client.ProducerID(ctx); err != nil {
			client.Close()
			return explain(w.settings.topic, err)
		}
		w.setBox(p, newOutbox(client, w.settings.buffer, &w.slabs))
		return nil
	})
}

// begin opens a transaction, and a stage where there is a folder for it.
func (w *exactWriter) begin(ctx context.Context, p *producer) (err error) {
	p.transaction = transaction{ID: p.ID, Producer: p.Producer, ProducerEpoch: p.ProducerEpoch, Topic: w.settings.topic, Group: w.group}
	p.ended, p.asked, p.stage = nil, false, nil
	if w.dir != "" {
		w.stages++
		p.stage = &stage{dir: w.dir, fs: w.fs, full: w.full, who: w.who}
		if err := p.stage.create(ctx, w.stages); err != nil {
			return err
		}
		p.File = p.stage.name
	}
	p.phase = open
	if p.box == nil || p.box.failure() != nil {
		if err := w.connect(ctx, p); err != nil {
			return err
		}
	}
	if err := p.box.client.BeginTransaction(); err != nil {
		p.ended = fmt.Errorf("%w: %w", kerr.OperationNotAttempted, err)
	}
	return nil
}

// rewrite writes the rows of a stage in a new transaction, with the epoch. It does not commit.
func (w *exactWriter) rewrite(ctx context.Context, p *producer, t transaction) error {
	if err := w.connect(ctx, p); err != nil {
		return err
	}
	p.transaction = transaction{Epoch: t.Epoch, Rows: t.Rows, ID: p.ID, Producer: p.Producer, ProducerEpoch: p.ProducerEpoch, Topic: t.Topic, Group: t.Group, File: t.File}
	if err := p.box.client.BeginTransaction(); err != nil {
		return err
	}
	var rows int64
	path := filepath.Join(w.dir, t.File)
	err := readStage(path, func(s *slab) error {
		s.build(t.Topic, s.time)
		rows += int64(len(s.records))
		return p.box.send(ctx, s)
	})
	if err == nil && rows != t.Rows {
		err = fmt.Errorf("%s: %w: it holds %d rows of %d", path, errDamaged, rows, t.Rows)
	}
	if err != nil {
		return err
	}
	if err := p.box.flush(ctx); err != nil {
		return err
	}
	w.rewritten.Add(rows)
	return w.server.mark(ctx, &p.transaction, t.Epoch)
}

// drop forgets the transaction, and removes its stage: the rows are there, or shall not be.
func (p *producer) drop(fs vfs.FS, dir string) error {
	p.phase, p.ended = idle, nil
	file := p.File
	p.File, p.Rows = "", 0
	if p.stage != nil {
		_ = p.stage.close() // what it holds is of no use
		p.stage = nil
	}
	if file == "" {
		return nil
	}
	return fs.Remove(filepath.Join(dir, file))
}
