package http

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
)

// item is one message of a morsel.
type item struct {
	note    note
	meta    []byte // the note as the log keeps it; nil: note is it
	message []byte
	time    int64 // event time
	number  int64 // within the source, from 1: errors show it as the line
}

// rowsOf is what all readers of this package share: the format, and the fields that are wanted.
type rowsOf struct {
	format *message.Format
	fields column.Schema // of the message
	meta   metadata
}

// newRows parts the fields that are wanted. Those of the message stand first.
func newRows(f *message.Format, meta metadata, wanted column.Schema) rowsOf {
	r := rowsOf{format: f, meta: meta.pick(wanted)}
	r.fields = wanted[:len(wanted)-len(r.meta)]
	return r
}

// newDecoder returns a decoder for one worker.
func (r *rowsOf) newDecoder() catalog.Decoder {
	d := &decoder{rows: r, format: r.format.NewDecoder(r.fields)}
	for _, f := range r.meta {
		d.meta = append(d.meta, column.NewBuilder(metaTypes[f.name]))
	}
	return d
}

// decoder turns items into rows.
type decoder struct {
	rows     *rowsOf
	format   *message.Decoder
	meta     []*column.Builder
	items    []*item // of messages
	messages [][]byte
}

// Decode passes the rows of m on.
func (d *decoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	items, _ := m.Part.([]item)
	if len(items) == 0 {
		return nil
	}
	first := items[0].number
	origin := &column.Origin{File: m.File, Line: func(row int32) int64 { return first + int64(row) }}
	for len(items) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(items), max(1, out.BatchRows()))
		if err := d.some(items[:n], origin, first, out); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

// some passes the rows of some items on.
func (d *decoder) some(items []item, origin *column.Origin, first int64, out catalog.Out) error {
	d.items, d.messages = d.items[:0], d.messages[:0]
	bad := func(it *item, text string) error {
		return out.Bad(catalog.BadRecord{Record: it.message, Msg: text, File: origin.File, Line: it.number, Row: int32(it.number - first)})
	}
	for i := range items {
		it := &items[i]
		if it.meta != nil {
			if err := json.Unmarshal(it.meta, &it.note); err != nil {
				return fmt.Errorf("%s: message %d: what the log says of it cannot be read: %w", origin.File, it.number, err)
			}
			it.meta = nil
		}
		if it.note.Bad != "" {
			if err := bad(it, it.note.Bad); err != nil {
				return err
			}
			continue
		}
		d.items, d.messages = append(d.items, it), append(d.messages, it.message)
	}
	if len(d.items) == 0 {
		return nil
	}
	cols, rows, err := d.format.Decode(d.messages, func(i int, err error) error { return bad(d.items[i], err.Error()) })
	if err != nil || len(rows) == 0 {
		return err
	}
	b := &column.Batch{N: len(rows), Cols: append([]*column.Vector{}, cols...), Times: make([]int64, len(rows)), Rows: make([]int32, len(rows)), Origin: origin}
	for k, i := range rows {
		b.Times[k], b.Rows[k] = d.items[i].time, int32(d.items[i].number-first)
	}
	for f, builder := range d.meta {
		for _, i := range rows {
			if err := builder.Append(d.items[i].note.value(d.rows.meta[f].name)); err != nil {
				return fmt.Errorf("metadata %q: %w", d.rows.meta[f].name, err)
			}
		}
		b.Cols = append(b.Cols, builder.Finish())
	}
	return out.Batch(b)
}
