// Package envelope is what connectors of messages share: rows of a message's format with fields for what is known of it beside its bytes, and lasting ids of
// rows that are written.
package envelope

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/diag"
)

// Meta is something that a connector knows of each message.
type Meta struct {
	Name string
	Type column.Type
}

// Message is a message with its envelope.
type Message struct {
	Payload []byte
	Offset  int64 // shown in errors as the line
	Time    int64 // event time; column.MinInstant: none
	Server  bool  // Time is from the clock of a server, see column.Batch.ServerTimes
	Meta    any   // what Decoder.Value reads
}

// field is a field of rows that does not come from the message.
type field struct {
	name string
	meta int // of known
}

// Rows says what rows messages become.
type Rows struct {
	Format *message.Format
	known  []Meta
	added  []field
}

// Fields are the keys that Open reads.
func Fields(known []Meta) []catalog.Field {
	names := ""
	for i, m := range known {
		if i > 0 {
			names += ", "
		}
		names += m.Name
	}
	return append(message.Fields(),
		catalog.Field{Name: "metadata", Type: catalog.Object, Doc: "Fields to add beside the message's, such as {at: " + known[0].Name + "}: " + names + "."})
}

// Open reads the format and the metadata of a configuration. always are fields that every row has, under their own names, known by the numbers after known's.
func Open(config map[string]any, known, always []Meta) (*Rows, error) {
	format, err := message.Open(config)
	if err != nil {
		return nil, err
	}
	if err := format.Declared(); err != nil {
		return nil, err
	}
	r := &Rows{Format: format, known: append(slices.Clone(known), always...)}
	var errs []error
	problem := func(code diag.Code, hint, text string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: "metadata", Code: code, Text: fmt.Sprintf(text, args...), Hint: hint})
	}
	taken := map[string]bool{}
	for _, f := range format.Schema() {
		taken[f.Name] = true
	}
	add := func(name string, meta int) {
		if taken[name] {
			problem(diag.FieldExists, "Give it another name.", "there is a field %q already", name)
		}
		taken[name] = true
		r.added = append(r.added, field{name, meta})
	}
	given, ok := config["metadata"].(map[string]any)
	if !ok && config["metadata"] != nil {
		problem(diag.BadValue, "", "wanted a map from fields to metadata, found %v", config["metadata"])
	}
	names := make([]string, 0, len(known))
	for _, m := range known {
		names = append(names, m.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		text, _ := given[name].(string)
		i := slices.Index(names, text)
		if i < 0 {
			problem(diag.BadValue, diag.DidYouMean(text, "metadata", names), "there is no metadata %v for the field %q", given[name], name)
			continue
		}
		add(name, i)
	}
	for i, m := range always {
		add(m.Name, len(known)+i)
	}
	return r, errors.Join(errs...)
}

// Holds returns the name of the metadata that a field of rows holds; "" where it is one of the message, or none.
func (r *Rows) Holds(name string) string {
	for _, f := range r.added {
		if f.name == name {
			return r.known[f.meta].Name
		}
	}
	return ""
}

// Schema returns the schema of the rows: the message's fields, then the others.
func (r *Rows) Schema() column.Schema {
	out := slices.Clone(r.Format.Schema())
	for _, f := range r.added {
		out = append(out, column.Field{Name: f.name, Type: r.known[f.meta].Type})
	}
	return out
}

// Value returns what is known of a message, by the number of its Meta.
type Value func(m *Message, meta int) column.Value

// Decoder turns messages into rows, for one worker.
type Decoder struct {
	format   *message.Decoder
	value    Value
	places   []int // of the message's fields among the columns
	added    []extra
	cols     []*column.Vector
	payloads [][]byte
	times    []int64
	rows     []int32
}

// extra is a column that does not come from the message.
type extra struct {
	place, meta int
	builder     *column.Builder
}

// NewDecoder returns a decoder of the wanted fields.
func (r *Rows) NewDecoder(wanted column.Schema, value Value) *Decoder {
	d := &Decoder{value: value, cols: make([]*column.Vector, len(wanted))}
	var fields column.Schema
	for place, f := range wanted {
		i := slices.IndexFunc(r.added, func(a field) bool { return a.name == f.Name })
		if i < 0 {
			d.places, fields = append(d.places, place), append(fields, f)
			continue
		}
		meta := r.added[i].meta
		d.added = append(d.added, extra{place, meta, column.NewBuilder(r.known[meta].Type)})
	}
	d.format = r.Format.NewDecoder(fields)
	return d
}

// Decode passes the rows of messages on.
func (d *Decoder) Decode(ctx context.Context, file string, messages []Message, out catalog.Out) error {
	d.format.WithContext(ctx)
	all := messages
	origin := &column.Origin{File: file, Line: func(row int32) int64 { return all[row].Offset }}
	for at := 0; at < len(all); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(all)-at, max(1, out.BatchRows()))
		if err := d.some(all, at, n, origin, out); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// some passes on the rows of n messages.
func (d *Decoder) some(all []Message, at, n int, origin *column.Origin, out catalog.Out) error {
	d.payloads, d.times, d.rows = d.payloads[:0], d.times[:0], d.rows[:0]
	for i := range n {
		d.payloads = append(d.payloads, all[at+i].Payload)
	}
	cols, rows, err := d.format.Decode(d.payloads, func(i int, err error) error {
		m := &all[at+i]
		return out.Bad(catalog.BadRecord{Record: m.Payload, Msg: err.Error(), File: origin.File, Line: m.Offset, Row: int32(at + i)})
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	for i, place := range d.places {
		d.cols[place] = cols[i]
	}
	timed, server := false, true
	for _, i := range rows {
		m := &all[at+int(i)]
		d.times, d.rows = append(d.times, m.Time), append(d.rows, int32(at)+i)
		timed, server = timed || m.Time != int64(column.MinInstant), server && m.Server
	}
	for _, e := range d.added {
		e.builder.Reset()
		for _, i := range rows {
			if err := e.builder.Append(d.value(&all[at+int(i)], e.meta)); err != nil {
				return fmt.Errorf("metadata: %w", err)
			}
		}
		d.cols[e.place] = e.builder.Finish()
	}
	b := &column.Batch{N: len(rows), Cols: d.cols, Origin: origin, Rows: d.rows}
	if timed {
		b.Times, b.ServerTimes = d.times, server
	}
	return out.Batch(b)
}
