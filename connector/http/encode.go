package http

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/connector/refusal"
)

// bodyBytes is how large a request grows before it is sent, however few its rows are.
const bodyBytes = 4 << 20

// NewEncoder returns an encoder for one worker.
func (w *sender) NewEncoder() catalog.Encoder {
	e := &encoder{sender: w, array: w.sink.format == formatJSON && w.sink.batchRows > 1, lines: w.sink.format == formatNDJSON}
	e.format, e.err = w.sink.encoder(w.schema)
	return e
}

// encoder gathers rows into requests.
type encoder struct {
	sender *sender
	format *message.Encoder
	err    error
	array  bool
	lines  bool
	next   request // what is gathered

	// Of the morsel that rows come from: how often each place was seen. One row may become several, and a worker is done with a
	// morsel before it takes the next, so the how manieth copy a row is does not depend on the run.
	source int
	seq    int64
	copies map[int64]int64
}

// Write gathers the rows of b. In a stream they are sent at once: nobody knows when there will be more.
func (e *encoder) Write(ctx context.Context, b *column.Batch) error {
	if e.err != nil {
		return e.err
	}
	copied := e.sender.sink.refused.Copy(b)
	err := refusal.Each(b, func(k, i int) error { return e.row(ctx, b, i, refusal.RowOf(copied, k)) })
	if _, refused := err.(catalog.Refused); e.sender.sink.stream && (err == nil || refused) {
		if err := e.Flush(ctx); err != nil {
			return err
		}
	}
	return err
}

// row adds a row to the request, and sends that when it is full.
func (e *encoder) row(ctx context.Context, b *column.Batch, i int, row refusal.Row) error {
	r := &e.next
	id := e.identity(b, i) // of each row: copies are counted
	before := len(r.body)
	if e.array {
		if r.body = append(r.body, ','); r.rows == 0 {
			r.body[0] = '['
		}
	}
	from := len(r.body)
	body, err := e.format.Append(r.body, b, i)
	if err != nil {
		r.body = r.body[:before]
		return refusal.Bad(err)
	}
	r.body = body
	if row.Known() {
		r.parts = append(r.parts, part{row, from, len(body)})
	}
	if r.rows++; r.rows == 1 {
		r.where, r.first = b.Where(i), append([]byte(nil), r.body[from:min(len(r.body), from+2*rowExcerpt)]...)
		r.key = string(id)
	}
	if e.lines {
		r.body = append(r.body, '\n')
	}
	if r.rows >= e.sender.sink.batchRows || len(r.body) >= bodyBytes {
		return e.Flush(ctx)
	}
	return nil
}

// copyOf counts the rows of one place.
func (e *encoder) copyOf(o *column.Origin, at int64) int64 {
	if e.copies == nil || e.source != o.Source || e.seq != o.Seq {
		e.source, e.seq, e.copies = o.Source, o.Seq, map[int64]int64{}
	}
	e.copies[at]++
	return e.copies[at]
}

// identity names a row by where it came from: the same row has the same key in another run. What a request says comes to it before it is sent, so that different
// rows never have one key. Rows that an aggregate made have no such place: several panes of a window may say the same and yet all count, so their
// key is new each time.
func (e *encoder) identity(b *column.Batch, i int) []byte {
	o := b.Origin
	h := sha256.New()
	if o == nil || o.File == "" {
		h.Write(e.sender.nonce[:])
		numbers(h, e.sender.made.Add(1))
		return h.Sum(nil)
	}
	h.Write([]byte(e.sender.sink.job + "\x00" + o.File + "\x00"))
	row := b.RowNumber(i)
	line := int64(0)
	if o.Line != nil {
		line = o.Line(row)
	}
	if line > 0 { // it does not depend on how the source was cut into morsels
		numbers(h, int64(o.Source), line, e.copyOf(o, line))
	} else {
		numbers(h, int64(o.Source), o.Seq, int64(row), e.copyOf(o, -1-int64(row)))
	}
	numbers(h, int64(b.Time(i)))
	if b.Starts != nil && b.Ends != nil {
		numbers(h, b.Starts[i], b.Ends[i])
	}
	return h.Sum(nil)
}

func numbers(h hash.Hash, ns ...int64) {
	for _, n := range ns {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	}
}

// Flush sends what is gathered.
func (e *encoder) Flush(ctx context.Context) error {
	if e.err != nil {
		return e.err
	}
	if e.next.rows == 0 {
		return e.sender.failure()
	}
	r := e.next
	e.next = request{}
	if e.array {
		r.body = append(r.body, ']')
	}
	r.key = keyOf(r.key, r.body)
	return e.sender.send(ctx, &r)
}

// keyOf is the Idempotency-Key of a request.
func keyOf(name string, body []byte) string {
	sum := sha256.Sum256(append([]byte(name), body...))
	return hex.EncodeToString(sum[:16])
}
