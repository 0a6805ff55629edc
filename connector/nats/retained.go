package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// Streams drop their oldest messages. Where messages are missing before one that came, they may have been dropped before we came to them, or be none of
// ours: of other subjects, or deleted one by one. They were not dropped if the stream still reaches back to where they are missing. A subject that is
// silent must not look as if its messages had been dropped when those of other subjects are, so we note now and then how far the stream has got
// without a message of ours.

// lookEvery is how often that is noted.
const lookEvery = 2 * time.Second

// dropped returns an error if the stream no longer has the messages from a sequence on.
func (r *reader) dropped(from uint64, info *jetstream.StreamInfo) error {
	state := info.State
	if state.FirstSeq <= from || info.Config.MaxMsgsPerSubject > 0 {
		return nil
	}
	return &catalog.Problem{Code: diag.InputChanged, Text: fmt.Sprintf("the stream %q is wanted from message %d, and the server has messages %d to %d: messages that have not been read are gone",
		r.name, from, state.FirstSeq, state.LastSeq),
		Hint: "Let the stream keep messages for longer. To go on without them, forget where this source was with leat state drop --part and the transform's name, or begin anew with leat state reset."}
}

// anew is the error of a stream that ends before what was read.
func (r *reader) anew(at int64, last uint64) error {
	return fmt.Errorf("ReadFromNats: the checkpoint stands at message %d of the stream %q, which ends at %d: it was made anew. Give the pipeline a new state folder", at, r.name, last)
}

// whole asks the server whether the messages from a sequence on were dropped. It asks until it has an answer.
func (r *reader) whole(ctx context.Context, from uint64) error {
	caller := retry.Caller{Policy: pauses}
	return caller.Do(ctx, func(ctx context.Context) error {
		if r.ctx.Err() != nil {
			return retry.Permanent(context.Cause(r.ctx))
		}
		info, err := r.info(ctx)
		if err != nil {
			return err
		}
		if info.Config.Retention == jetstream.InterestPolicy { // it drops what we have
			return nil
		}
		return retry.Permanent(r.dropped(from, info))
	})
}

func (r *reader) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return r.stream.Info(ctx)
}

// follow looks at the stream now and then, until the reader is closed. What it cannot learn it tries to learn the next time.
func (r *reader) follow() {
	tick := time.NewTicker(r.source.look)
	defer tick.Stop()
	var before uint64
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		sure := r.sure
		r.mu.Unlock()
		if sure == before { // silent
			r.passOn(r.ctx, sure)
		}
		before = sure
	}
}

// passOn notes that the stream has got further without a message of ours. It has if its end comes first, then the newest message of ours is one that
// came, and then nothing of all that has been dropped yet.
func (r *reader) passOn(ctx context.Context, sure uint64) {
	begin, err := r.info(ctx)
	if err != nil || begin.State.LastSeq < sure {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	newest, err := r.stream.GetLastMsgForSubject(ctx, r.source.subject)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && newest.Sequence >= sure {
		return
	}
	end, err := r.info(ctx)
	if err != nil || end.State.FirstSeq > sure {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sure != sure {
		return
	}
	r.sure = begin.State.LastSeq + 1
	r.upto = int64(begin.State.LastSeq)
	r.tell()
}
