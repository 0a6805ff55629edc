package kafka

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	refuse "github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/expr"
)

// sender takes slabs.
type sender interface {
	slab() *slab
	// send writes the records of a slab, which is not the caller's any more. block is memory to work with.
	send(ctx context.Context, s *slab, block *[]byte) error
}

// layout says which fields of a row become what; -1: none does.
type layout struct {
	key, headers, partition, tombstone int
	value                              []int // the fields of the message
	schema                             column.Schema
}

// newLayout finds the fields, and what is wrong with them.
func newLayout(s *writeSettings, schema column.Schema, onePayload bool) (l layout, problems []error) {
	l = layout{key: -1, headers: -1, partition: -1, tombstone: -1}
	find := func(key, name string, to *int, wanted string, kinds ...column.Kind) {
		if name == "" {
			return
		}
		bad := func(code diag.Code, hint, format string, args ...any) {
			problems = append(problems, &catalog.Problem{Key: key, Code: code, Text: fmt.Sprintf(format, args...), Hint: hint})
		}
		if *to = schema.Index(name); *to < 0 {
			bad(diag.UnknownField, diag.DidYouMean(name, "fields", schema.Names()), "the rows have no field %q", name)
			return
		}
		for _, k := range append(kinds, column.Any, column.Null) {
			if schema[*to].Type.Kind == k {
				return
			}
		}
		bad(diag.TypeMismatch, "", "the field %q: wanted %s, found %s", name, wanted, schema[*to].Type)
	}
	find("key", s.key, &l.key, "a text, bytes or a number", column.String, column.Bytes, column.Int, column.Float, column.Bool, column.Time)
	find("headers", s.headers, &l.headers, "a map", column.Map)
	find("partition", s.partition, &l.partition, "a whole number", column.Int)
	find("tombstone", s.tombstone, &l.tombstone, "true or false", column.Bool)
	for i, f := range schema {
		if i != l.headers && i != l.partition && i != l.tombstone && (i != l.key || !onePayload) {
			l.value, l.schema = append(l.value, i), append(l.schema, f)
		}
	}
	return l, problems
}

// encoder makes records of rows, on behalf of one worker.
type encoder struct {
	to     sender
	layout layout
	format *message.Encoder
	err    error // why there is no format
	topic  string
	limit  int         // bytes of a record
	rows   *refuse.Box // for what brokers refuse later; nil: that ends the run

	slab  *slab
	block []byte
	view  column.Batch // with the columns of the message
	cols  []*column.Vector
	names map[string]string // of headers, so that each is one string
}

// Write sends the rows of b: a record does not wait for the next batch.
func (e *encoder) Write(ctx context.Context, b *column.Batch) error {
	if e.err != nil {
		return e.err
	}
	e.view = *b
	e.cols = e.cols[:0]
	for _, i := range e.layout.value {
		e.cols = append(e.cols, b.Cols[i])
	}
	e.view.Cols = e.cols
	var refused catalog.Refused
	var copied *column.Batch
	if e.rows != nil {
		copied = e.rows.Copy(b)
	}
	for k := range b.Len() {
		i := k
		if b.Sel != nil {
			i = int(b.Sel[k])
		}
		if e.slab == nil {
			e.slab = e.to.slab()
		}
		data, heads := len(e.slab.data), len(e.slab.heads)
		if err := e.add(b, i); err != nil {
			e.slab.data, e.slab.heads = e.slab.data[:data], e.slab.heads[:heads]
			refused = append(refused, catalog.Refusal{Row: int32(i), Err: fmt.Errorf("topic %q: %w", e.topic, err)})
			continue
		}
		if copied != nil {
			e.slab.rows = append(e.slab.rows, refuse.RowOf(copied, k))
		}
		if e.slab.full() {
			if err := e.Flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := e.Flush(ctx); err != nil || len(refused) == 0 {
		return err
	}
	return refused
}

// Flush sends what is there.
func (e *encoder) Flush(ctx context.Context) error {
	s := e.slab
	if s == nil || len(s.cuts) == 0 {
		return nil
	}
	e.slab = nil
	return e.to.send(ctx, s, &e.block)
}

// add appends row i as a record.
func (e *encoder) add(b *column.Batch, i int) (err error) {
	s, l := e.slab, &e.layout
	start := len(s.data)
	c := cut{key: nullSpan, value: nullSpan, partition: anyPartition}
	if l.key >= 0 && !b.Cols[l.key].IsNull(i) {
		if s.data, err = appendText(s.data, b.Cols[l.key], i); err != nil {
			return fmt.Errorf("the key: %w", err)
		}
		c.key = span{start, len(s.data)}
	}
	if l.partition >= 0 && !b.Cols[l.partition].IsNull(i) {
		n, ok := intAt(b.Cols[l.partition], i)
		if !ok || n < 0 || n > 1<<31-1 {
			return fmt.Errorf("the partition: wanted a whole number from 0, found %v", b.Cols[l.partition].Value(i))
		}
		c.partition = int32(n)
	}
	if l.headers >= 0 && !b.Cols[l.headers].IsNull(i) {
		if err := e.addHeaders(b.Cols[l.headers], i); err != nil {
			return err
		}
	}
	if l.tombstone >= 0 && trueAt(b.Cols[l.tombstone], i) {
		if c.key == nullSpan {
			return fmt.Errorf("it is to delete its key, and has none")
		}
	} else {
		from := len(s.data)
		if s.data, err = e.format.Append(s.data, &e.view, i); err != nil {
			return err
		}
		c.value = span{from, len(s.data)}
	}
	if size := len(s.data) - start + recordOverhead; size > e.limit {
		return fmt.Errorf("a record of %d bytes with %s is larger than the %d bytes that are allowed: raise max.request.size in producer_config_updates, and max.message.bytes of the topic",
			size, describeKey(s.bytes(c.key)), e.limit)
	}
	c.headers = len(s.heads)
	s.cuts = append(s.cuts, c)
	return nil
}

// recordOverhead is more than what a record and its batch take beside the bytes of the row.
const recordOverhead = 128

// addHeaders appends the entries of a map as headers.
func (e *encoder) addHeaders(v *column.Vector, i int) (err error) {
	s := e.slab
	if v.Type.Kind != column.Map {
		m, ok := v.Value(i).(*column.MapValue)
		if !ok {
			return fmt.Errorf("the headers: wanted a map, found %v", v.Value(i))
		}
		for k, name := range m.Keys {
			h := head{key: e.name([]byte(expr.Str(name))), value: nullSpan}
			if m.Elems[k] != nil {
				from := len(s.data)
				s.data = appendValueText(s.data, m.Elems[k])
				h.value = span{from, len(s.data)}
			}
			s.heads = append(s.heads, h)
		}
		return nil
	}
	for k := int(v.Offsets[i]); k < int(v.Offsets[i+1]); k++ {
		h := head{key: e.name(v.Children[0].Bin(k)), value: nullSpan}
		if elems := v.Children[1]; !elems.IsNull(k) {
			from := len(s.data)
			if s.data, err = appendText(s.data, elems, k); err != nil {
				return fmt.Errorf("the header %q: %w", h.key, err)
			}
			h.value = span{from, len(s.data)}
		}
		s.heads = append(s.heads, h)
	}
	return nil
}

// name returns one string for all headers of that name.
func (e *encoder) name(b []byte) string {
	if n, ok := e.names[string(b)]; ok {
		return n
	}
	if e.names == nil || len(e.names) > 1000 {
		e.names = map[string]string{}
	}
	n := string(b)
	e.names[n] = n
	return n
}

// appendText appends row i as text: bytes as they are.
func appendText(dst []byte, v *column.Vector, i int) ([]byte, error) {
	switch v.Type.Kind {
	case column.String, column.Bytes:
		return append(dst, v.Bin(i)...), nil
	case column.Int:
		return strconv.AppendInt(dst, v.Ints[i], 10), nil
	case column.List, column.Map, column.Row:
		return dst, fmt.Errorf("wanted a text, bytes or a number, found %s", v.Type)
	}
	return appendValueText(dst, v.Value(i)), nil
}

func appendValueText(dst []byte, v column.Value) []byte {
	switch v := v.(type) {
	case []byte:
		return append(dst, v...)
	case bool:
		return strconv.AppendBool(dst, v)
	case column.Instant:
		return time.UnixMilli(int64(v)).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	return append(dst, expr.Str(v)...)
}

func intAt(v *column.Vector, i int) (int64, bool) {
	if v.Type.Kind == column.Int {
		return v.Ints[i], true
	}
	n, ok := v.Value(i).(int64)
	return n, ok
}

func trueAt(v *column.Vector, i int) bool {
	if v.Type.Kind == column.Bool {
		return !v.IsNull(i) && v.Bools[i]
	}
	b, _ := v.Value(i).(bool)
	return b
}
