package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/envelope"
)

// NewDecoder returns a decoder for one worker.
func (r *reader) NewDecoder() catalog.Decoder {
	s := r.source
	fields := slices.Clone(r.fields)
	for _, f := range s.rows.Schema() {
		if at := fields.Index(f.Name); at >= 0 {
			fields[at].Type = f.Type // a value may not hold the nulls of tombstones
		}
	}
	return &readDecoder{reader: r, rows: s.rows.NewDecoder(fields, metaOf)}
}

// readDecoder decodes records for one worker.
type readDecoder struct {
	reader   *reader
	rows     *envelope.Decoder
	messages []envelope.Message
	nulls    []*column.Builder // of tombstones
}

// Decode passes the rows of a morsel on.
func (d *readDecoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	list := m.Part.([]*kgo.Record)
	if len(list) == 0 {
		return nil
	}
	if list[0].Value == nil {
		return d.tombstones(list, m.File, out)
	}
	d.messages = d.messages[:0]
	for _, record := range list {
		d.messages = append(d.messages, envelope.Message{Payload: record.Value, Offset: record.Offset, Time: timeOf(record), Server: ofBroker(record), Meta: record})
	}
	if d.reader.source.keyed {
		out = typed{out, d.reader.fields}
	}
	return d.rows.Decode(ctx, m.File, d.messages, out)
}

// timeOf is the time of a record; very old producers give none.
func timeOf(record *kgo.Record) int64 {
	if ms := record.Timestamp.UnixMilli(); ms >= 0 {
		return ms
	}
	return int64(column.MinInstant)
}

// ofBroker reports whether the broker has set the time of a record, as message.timestamp.type=LogAppendTime of the topic asks for. Else the producer has.
func ofBroker(record *kgo.Record) bool { return record.Attrs.TimestampType() == 1 }

// typed gives columns the types of a schema in which they may be null.
type typed struct {
	catalog.Out
	fields column.Schema
}

// Batch passes rows on.
func (t typed) Batch(b *column.Batch) error {
	for i, c := range b.Cols {
		c.Type = t.fields[i].Type
	}
	return t.Out.Batch(b)
}

// tombstones passes records without values on.
func (d *readDecoder) tombstones(list []*kgo.Record, file string, out catalog.Out) error {
	if !d.reader.source.keyed {
		for i, record := range list {
			if err := out.Bad(catalog.BadRecord{Msg: "the record has no value (a tombstone): with the metadata key it would be a row of nulls",
				File: file, Line: record.Offset, Row: int32(i)}); err != nil {
				return err
			}
		}
		return nil
	}
	if d.nulls == nil {
		for _, f := range d.reader.fields {
			d.nulls = append(d.nulls, column.NewBuilder(f.Type))
		}
	}
	origin := &column.Origin{File: file, Line: func(row int32) int64 { return list[row].Offset }}
	for at := 0; at < len(list); {
		n := min(len(list)-at, max(1, out.BatchRows()))
		b, err := d.nullRows(list, at, n)
		if err != nil {
			return err
		}
		b.Origin = origin
		if err := out.Batch(b); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// nullRows returns the rows of some tombstones.
func (d *readDecoder) nullRows(list []*kgo.Record, at, n int) (*column.Batch, error) {
	b := &column.Batch{N: n, ServerTimes: true}
	for c, f := range d.reader.fields {
		builder := d.nulls[c]
		builder.Reset()
		meta := slices.IndexFunc(readMeta, func(m envelope.Meta) bool { return m.Name == d.reader.source.rows.Holds(f.Name) })
		for _, record := range list[at : at+n] {
			if meta < 0 {
				builder.AppendNull()
			} else if err := builder.Append(metaOf(&envelope.Message{Meta: record}, meta)); err != nil {
				return nil, err
			}
		}
		b.Cols = append(b.Cols, builder.Finish())
	}
	for i, record := range list[at : at+n] {
		b.Rows, b.Times = append(b.Rows, int32(at+i)), append(b.Times, timeOf(record))
		b.ServerTimes = b.ServerTimes && ofBroker(record)
	}
	return b, nil
}

// metaOf is what is known of a record, in the order of readMeta.
func metaOf(m *envelope.Message, meta int) column.Value {
	record := m.Meta.(*kgo.Record)
	switch meta {
	case 0:
		if record.Key == nil {
			return nil
		}
		return record.Key
	case 1:
		headers := &column.MapValue{}
		for _, h := range record.Headers {
			value := column.Value(h.Value)
			if h.Value == nil {
				value = []byte{}
			}
			if i := slices.Index(headers.Keys, column.Value(h.Key)); i >= 0 {
				headers.Elems[i] = value // the last one counts
				continue
			}
			headers.Keys, headers.Elems = append(headers.Keys, h.Key), append(headers.Elems, value)
		}
		return headers
	case 2:
		return record.Topic
	case 3:
		return int64(record.Partition)
	case 4:
		return record.Offset
	}
	return column.Instant(record.Timestamp.UnixMilli())
}
