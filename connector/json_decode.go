package connector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
)

// jsonDecoder turns lines of JSON into columns. It writes the fields that are wanted straight into their columns; the
// others are checked and skipped.
type jsonDecoder struct {
	jsonScanner
	reader *jsonReader
	cols   []*jsonColumn
	root   *jsonObject
	rows   []int32 // the line of each row within the morsel, from 0
	batch  column.Batch
}

// jsonObject is what a decoder knows of the objects of one place: the record, or a nested row.
//
// Records of one source mostly have the same keys in the same order with the same white space between them. layout is what
// stood between the values of the record before: while a record repeats it, one comparison stands for a key and its
// punctuation. Where it does not, keys are looked up, and the new order is learned.
type jsonObject struct {
	schema column.Schema
	cols   []*jsonColumn
	index  map[string]int // of all known fields; -1: known and not wanted
	seen   []int64        // for each column the last object that had it
	turn   int64          // number of the object, from 1
	layout []jsonToken
	learn  []jsonToken
}

// jsonToken is the text before a value, from the end of the value before it, and the value's column.
type jsonToken struct {
	text []byte
	col  int // -1: not wanted
}

// unknownField is the index of a field that the schema does not have.
const unknownField = -2

// newJSONObject returns an object with columns for the fields of schema. known are further fields that are not wanted.
func newJSONObject(schema column.Schema, known column.Schema, cols []*jsonColumn) *jsonObject {
	o := &jsonObject{schema: schema, cols: cols, index: map[string]int{}, seen: make([]int64, len(schema))}
	for _, f := range known {
		o.index[f.Name] = -1
	}
	for i, f := range schema {
		o.index[f.Name] = i
	}
	return o
}

// Decode passes the records of a morsel on.
func (d *jsonDecoder) Decode(_ context.Context, m *catalog.Morsel, out catalog.Out) error {
	if long, err := file.BadTooLong(m, out); long || err != nil {
		return err
	}
	if n := len(m.Data); n == 0 || m.Data[n-1] != '\n' {
		m.Data = append(m.Data, '\n')
	}
	d.text = m.Data
	valid := utf8.Valid(d.text)
	most := out.BatchRows()
	origin := &column.Origin{File: m.File}
	if first := m.Line; first > 0 {
		origin.Line = func(row int32) int64 { return first + int64(row) }
	}
	line := int32(0)
	for p := 0; p < len(d.text); line++ {
		start := p
		if p = d.space(p); d.text[p] == '\n' {
			p++
			continue
		}
		n := len(d.rows)
		end := -1
		d.err = nil
		if valid || d.validLine(start) {
			end = d.record(p)
		}
		if end < 0 {
			for _, c := range d.cols {
				c.truncate(min(c.n, n))
			}
			next := start + bytes.IndexByte(d.text[start:], '\n')
			if err := out.Bad(d.bad(m, start, next, line)); err != nil {
				return err
			}
			p = next + 1
			continue
		}
		p = end
		if d.rows = append(d.rows, line); len(d.rows) == most {
			if err := d.flush(out, origin); err != nil {
				return err
			}
		}
	}
	return d.flush(out, origin)
}

func (d *jsonDecoder) validLine(start int) bool {
	line, _, _ := bytes.Cut(d.text[start:], []byte("\n"))
	if utf8.Valid(line) {
		return true
	}
	d.fail(errors.New("the line is not UTF-8"))
	return false
}

func (d *jsonDecoder) bad(m *catalog.Morsel, start, end int, line int32) catalog.BadRecord {
	b := catalog.BadRecord{Record: bytes.TrimRight(d.text[start:end], "\r"), Msg: d.err.Error(), File: m.File, Row: line}
	if m.Line > 0 {
		b.Line = m.Line + int64(line)
	}
	return b
}

func (d *jsonDecoder) flush(out catalog.Out, origin *column.Origin) error {
	if len(d.rows) == 0 {
		return nil
	}
	d.batch = column.Batch{N: len(d.rows), Cols: d.batch.Cols[:0], Origin: origin, Rows: d.rows}
	for _, c := range d.cols {
		d.batch.Cols = append(d.batch.Cols, c.vector())
	}
	err := out.Batch(&d.batch)
	d.rows = d.rows[:0]
	for _, c := range d.cols {
		c.reset()
	}
	return err
}

// record scans a record and the end of its line, and returns where the next line begins.
func (d *jsonDecoder) record(p int) int {
	if d.text[p] != '{' {
		if d.text[p] == '[' {
			return d.fail(errors.New(`wanted an object in each line, found an array: if the file is one array, write its elements one a line`))
		}
		return d.unexpected(p, "an object")
	}
	if p = d.object(d.root, p, 0); p < 0 {
		return -1
	}
	if p = d.space(p); d.text[p] != '\n' {
		return d.unexpected(p, "the end of the line after the object")
	}
	return p + 1
}

// object scans an object whose brace is at p into its columns.
func (d *jsonDecoder) object(o *jsonObject, p, depth int) int {
	if depth >= maxJSONDepth {
		return d.fail(errJSONDepth)
	}
	o.turn++
	k := 0
	for k < len(o.layout) {
		t := &o.layout[k]
		if p+len(t.text) > len(d.text) || string(d.text[p:p+len(t.text)]) != string(t.text) {
			return d.learn(o, p, k, depth)
		}
		p += len(t.text)
		if t.col >= 0 {
			p = d.field(o, t.col, p, depth)
		} else {
			p = d.skip(p, depth+1)
		}
		if p < 0 {
			return -1
		}
		k++
	}
	if d.text[p] != '}' || k == 0 {
		return d.learn(o, p, k, depth)
	}
	return d.complete(o, p+1)
}

// learn scans the rest of an object whose first k tokens were as in the layout, by looking its keys up.
func (d *jsonDecoder) learn(o *jsonObject, p, k, depth int) int {
	o.learn = append(o.learn[:0], o.layout[:k]...)
	for first := k == 0; ; first = false {
		from := p
		p = d.space(p)
		switch c := d.text[p]; {
		case first: // p is at the brace
			if p = d.space(p + 1); d.text[p] == '}' {
				return d.complete(o, p+1)
			}
		case c == '}':
			o.layout, o.learn = o.learn, o.layout
			return d.complete(o, p+1)
		case c == ',':
			p = d.space(p + 1)
		default:
			return d.unexpected(p, `"," or "}"`)
		}
		key, value := d.key(p)
		if value < 0 {
			return -1
		}
		col, known := o.index[string(key)]
		if !known {
			d.reader.unknown(string(key))
			col = unknownField
		}
		t := jsonToken{text: bytes.Clone(d.text[from:value]), col: col}
		if p = value; col >= 0 {
			p = d.field(o, col, p, depth)
		} else {
			p = d.skip(p, depth+1)
		}
		if p < 0 {
			return -1
		}
		o.learn = append(o.learn, t)
	}
}

// field scans the value of a column. Of a key that is there twice, the last value counts.
func (d *jsonDecoder) field(o *jsonObject, col, p, depth int) int {
	c := o.cols[col]
	if o.seen[col] == o.turn {
		c.truncate(c.n - 1)
	}
	o.seen[col] = o.turn
	p = d.value(c, p, depth+1)
	if p < 0 {
		d.err = &jsonFieldError{name: o.schema[col].Name, err: d.err}
	}
	return p
}

// jsonFieldError says in which field a record is bad.
type jsonFieldError struct {
	name string
	err  error
}

func (e *jsonFieldError) Error() string { return fmt.Sprintf("field %q: %v", e.name, e.err) }
func (e *jsonFieldError) Unwrap() error { return e.err }

// complete appends null to the columns that the object did not have.
func (d *jsonDecoder) complete(o *jsonObject, p int) int {
	for i, c := range o.cols {
		if o.seen[i] == o.turn {
			continue
		}
		if !c.typ.MayBeNull() {
			return d.fail(fmt.Errorf("field %q is required, and not there", o.schema[i].Name))
		}
		c.null()
	}
	return p
}

// value scans a value into a column.
func (d *jsonDecoder) value(c *jsonColumn, p, depth int) int {
	b := d.text[p]
	switch c.typ.Kind {
	case column.Float:
		if b == '-' || b-'0' <= 9 {
			n, end := d.number(p)
			if end < 0 {
				return -1
			}
			f, ok := n.float(d.text[p:end])
			if !ok {
				return d.fail(fmt.Errorf("%s is beyond the range of a float", d.text[p:end]))
			}
			c.floats = append(c.floats, f)
			c.n++
			return end
		}
	case column.Int:
		if b == '-' || b-'0' <= 9 {
			n, end := d.number(p)
			if end < 0 {
				return -1
			}
			i, ok := n.integer()
			if !ok {
				return d.misfit(c, p, end)
			}
			c.ints = append(c.ints, i)
			c.n++
			return end
		}
	case column.String, column.Bytes:
		if b == '"' {
			end, plain := d.str(p)
			if end < 0 {
				return -1
			}
			text, ok := d.unquote(p, end, plain)
			if !ok {
				return -1
			}
			c.data = append(c.data, text...)
			c.offsets = append(c.offsets, int32(len(c.data)))
			c.n++
			return end + 1
		}
	default:
		return d.otherValue(c, p, depth)
	}
	return d.nullOrMisfit(c, p, depth)
}

func (d *jsonDecoder) otherValue(c *jsonColumn, p, depth int) int {
	b := d.text[p]
	switch {
	case c.typ.Kind == column.Any:
		v, end := d.boxed(p, depth)
		if end < 0 {
			return -1
		}
		c.boxed = append(c.boxed, v)
		c.n++
		return end
	case c.typ.Kind == column.Bool && (b == 't' || b == 'f'):
		end := d.skip(p, depth)
		if end < 0 {
			return -1
		}
		c.bools = append(c.bools, b == 't')
		c.n++
		return end
	case c.typ.Kind == column.Time && b == '"':
		return d.time(c, p)
	case c.typ.Kind == column.List && b == '[':
		elem := c.children[0]
		end := d.elements(p, depth, func(p int) int { return d.value(elem, p, depth+1) })
		if end < 0 {
			return -1
		}
		c.offsets = append(c.offsets, int32(elem.n))
		c.n++
		return end
	case c.typ.Kind == column.Map && b == '{':
		keys, elem := c.children[0], c.children[1]
		end := d.members(p, depth, func(key []byte, p int) int {
			keys.data = append(keys.data, key...)
			keys.offsets = append(keys.offsets, int32(len(keys.data)))
			keys.n++
			return d.value(elem, p, depth+1)
		})
		if end < 0 {
			return -1
		}
		c.offsets = append(c.offsets, int32(elem.n))
		c.n++
		return end
	case c.typ.Kind == column.Row && b == '{':
		end := d.object(c.object, p, depth)
		if end >= 0 {
			c.n++
		}
		return end
	}
	return d.nullOrMisfit(c, p, depth)
}

// time reads a timestamp as the sinks write it.
func (d *jsonDecoder) time(c *jsonColumn, p int) int {
	end, plain := d.str(p)
	if end < 0 {
		return -1
	}
	text, ok := d.unquote(p, end, plain)
	if !ok {
		return -1
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return d.fail(fmt.Errorf("%q is no RFC 3339 time, such as 2026-01-31T12:00:00Z", text))
	}
	c.ints = append(c.ints, t.UnixMilli())
	c.n++
	return end + 1
}

func (d *jsonDecoder) nullOrMisfit(c *jsonColumn, p, depth int) int {
	end := d.skip(p, depth)
	if end < 0 {
		return -1
	}
	if d.text[p] == 'n' && c.typ.MayBeNull() {
		c.null()
		return end
	}
	return d.misfit(c, p, end)
}

// misfit is the failure of a value that is not of the column's type.
func (d *jsonDecoder) misfit(c *jsonColumn, p, end int) int {
	text := d.text[p:end]
	found := "string"
	switch b := text[0]; {
	case b == '{':
		found = "object"
	case b == '[':
		found = "array"
	case b == 't' || b == 'f':
		found = "bool"
	case b == 'n':
		found = "null"
	case b != '"' && c.typ.Kind == column.Int && !bytes.ContainsAny(text, ".eE"):
		return d.fail(fmt.Errorf("%s does not fit 64 bits", text))
	case b != '"':
		found = "number"
	}
	if len(text) > 40 {
		text = append(bytes.Clone(text[:40]), "…"...)
	}
	return d.fail(fmt.Errorf("wanted %s, found the %s %s (declare the field's type in \"schema\", or raise \"sample_rows\")", c.typ.NotNull(), found, text))
}

// boxed reads a value of any type.
func (s *jsonScanner) boxed(p, depth int) (v column.Value, end int) {
	switch c := s.text[p]; {
	case c == '"':
		end, plain := s.str(p)
		if end < 0 {
			return nil, -1
		}
		text, ok := s.unquote(p, end, plain)
		if !ok {
			return nil, -1
		}
		return string(text), end + 1
	case c == '-' || c-'0' <= 9:
		n, end := s.number(p)
		if end < 0 {
			return nil, -1
		}
		if i, ok := n.integer(); ok {
			return i, end
		}
		f, ok := n.float(s.text[p:end])
		if n.whole || !ok {
			return nil, s.fail(fmt.Errorf("%s does not fit 64 bits", s.text[p:end]))
		}
		return f, end
	case c == '[':
		list := &column.ListValue{}
		end := s.elements(p, depth, func(p int) int {
			v, end := s.boxed(p, depth+1)
			list.Elems = append(list.Elems, v)
			return end
		})
		return list, end
	case c == '{':
		row := &column.RowValue{}
		end := s.members(p, depth, func(key []byte, p int) int {
			name := string(key)
			v, end := s.boxed(p, depth+1)
			setField(row, name, v)
			return end
		})
		return row, end
	}
	end = s.skip(p, depth)
	if end < 0 || s.text[p] == 'n' {
		return nil, end
	}
	return s.text[p] == 't', end
}

// setField sets a field of a row that is being made. The last value of a name counts.
func setField(row *column.RowValue, name string, v column.Value) {
	for i, n := range row.Names {
		if n == name {
			row.Elems[i] = v
			return
		}
	}
	row.Names, row.Elems = append(row.Names, name), append(row.Elems, v)
}
