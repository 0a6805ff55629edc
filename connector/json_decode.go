package connector

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
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
	rows   []int32      // the line of each row within the morsel, from 0
	extra  []*jsonToken // of fields that are not wanted, at any place
	batch  column.Batch
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
	valid := validUTF8(d.text)
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
	d.count()
	return d.flush(out, origin)
}

// count tells the reader which fields were passed over.
func (d *jsonDecoder) count() {
	for _, t := range d.extra {
		if t.hits > 0 {
			d.reader.unwanted(t.name, t.hits)
			t.hits = 0
		}
	}
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

// value scans a value into a column.
func (d *jsonDecoder) value(c *jsonColumn, p, depth int) int {
	b := d.text[p]
	switch c.typ.Kind {
	case column.Float:
		if f, end := d.shortFloat(p); end >= 0 {
			c.floats = append(c.floats, f)
			c.n++
			return end
		}
		if b == '-' || b-'0' <= 9 {
			return d.float(c, p)
		}
	case column.Int:
		if i, end := d.shortInt(p); end >= 0 {
			c.ints = append(c.ints, i)
			c.n++
			return end
		}
		if b == '-' || b-'0' <= 9 {
			return d.int(c, p)
		}
	case column.String:
		if b == '"' {
			if c.data, p = d.appendString(c.data, p); p >= 0 {
				c.offsets = append(c.offsets, int32(len(c.data)))
				c.n++
			}
			return p
		}
	case column.Row:
		if b == '{' {
			if p = d.object(c.object, p, depth); p >= 0 {
				c.n++
			}
			return p
		}
	case column.List:
		if b == '[' {
			return d.list(c, p, depth)
		}
	case column.Bool:
		if b == 't' || b == 'f' {
			if p = d.skip(p, depth); p >= 0 {
				c.bools = append(c.bools, b == 't')
				c.n++
			}
			return p
		}
	case column.Map:
		if b == '{' {
			return d.dict(c, p, depth)
		}
	case column.Time:
		if b == '"' {
			return d.time(c, p)
		}
	case column.Bytes:
		if b == '"' {
			return d.bytes(c, p)
		}
	case column.Any:
		v, end := d.boxed(p, depth)
		if end >= 0 {
			c.boxed = append(c.boxed, v)
			c.n++
		}
		return end
	}
	return d.nullOrMisfit(c, p, depth)
}

// float reads a number of any length.
func (d *jsonDecoder) float(c *jsonColumn, p int) int {
	n, end := d.number(p)
	if end < 0 {
		return -1
	}
	f, ok := n.float(d.text[p:end])
	if !ok {
		return d.fail(fmt.Errorf("%s is beyond the range of a float", excerptJSON(d.text[p:end])))
	}
	c.floats = append(c.floats, f)
	c.n++
	return end
}

// int reads a whole number of any length.
func (d *jsonDecoder) int(c *jsonColumn, p int) int {
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

func (d *jsonDecoder) list(c *jsonColumn, p, depth int) int {
	if depth >= maxJSONDepth {
		return d.fail(errJSONDepth)
	}
	elem := c.children[0]
	if p = d.space(p + 1); d.text[p] == ']' {
		p++
	} else {
		for more := true; more; {
			if p = d.value(elem, p, depth+1); p < 0 {
				return -1
			}
			if p, more = d.comma(p, ']'); p < 0 {
				return -1
			}
		}
	}
	c.offsets = append(c.offsets, int32(elem.n))
	c.n++
	return p
}

// dict scans an object into a map. Of a key that is there twice, the last value counts, at its place.
func (d *jsonDecoder) dict(c *jsonColumn, p, depth int) int {
	keys, elem := c.children[0], c.children[1]
	from := int(c.offsets[c.n])
	last := map[string]int{} // where the value of a key begins that counts
	repeated := false
	end := d.members(p, depth, func(key []byte, p int) int {
		if _, ok := last[string(key)]; ok {
			repeated = true
		}
		last[string(key)] = p
		keys.appendText(key)
		return d.value(elem, p, depth+1)
	})
	if end < 0 {
		return -1
	}
	if repeated {
		keys.truncate(from)
		elem.truncate(from)
		d.members(p, depth, func(key []byte, p int) int {
			if last[string(key)] != p {
				return d.skip(p, depth+1)
			}
			keys.appendText(key)
			return d.value(elem, p, depth+1)
		})
	}
	c.offsets = append(c.offsets, int32(elem.n))
	c.n++
	return end
}

// bytes reads base64, as the sinks write it.
func (d *jsonDecoder) bytes(c *jsonColumn, p int) int {
	end, plain := d.str(p)
	if end < 0 {
		return -1
	}
	text, ok := d.unquote(p, end, plain)
	if !ok {
		return -1
	}
	from := len(c.data)
	data, err := base64.StdEncoding.AppendDecode(c.data, text)
	if err != nil {
		c.data = c.data[:from]
		return d.fail(fmt.Errorf("wanted bytes as base64, found the string %s", excerptJSON(d.text[p:end+1])))
	}
	c.data = data
	c.offsets = append(c.offsets, int32(len(c.data)))
	c.n++
	return end + 1
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
	kind := "number"
	switch b := d.text[p]; {
	case b == '"':
		kind = "string"
	case b == '{':
		kind = "object"
	case b == '[':
		kind = "array"
	case b == 't' || b == 'f':
		kind = "bool"
	case b == 'n':
		return d.fail(fmt.Errorf("wanted %s, found null", c.typ.NotNull()))
	case c.typ.Kind == column.Int && !bytes.ContainsAny(text, ".eE"):
		return d.fail(fmt.Errorf("%s does not fit 64 bits", excerptJSON(text)))
	}
	found := fmt.Sprintf("the %s %s", kind, excerptJSON(text))
	return d.fail(fmt.Errorf("wanted %s, found %s (declare the field's type in \"schema\", or raise \"sample_rows\")", c.typ.NotNull(), found))
}

// excerptJSON is the beginning of a value that an error shows, in whole characters.
func excerptJSON(text []byte) []byte {
	const most = 40
	if len(text) <= most {
		return text
	}
	n := most
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return append(bytes.Clone(text[:n]), "…"...)
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
		return s.boxedRow(p, depth)
	}
	end = s.skip(p, depth)
	if end < 0 || s.text[p] == 'n' {
		return nil, end
	}
	return s.text[p] == 't', end
}

// boxedRow reads an object of any fields. Of a key that is there twice, the last value counts.
func (s *jsonScanner) boxedRow(p, depth int) (v column.Value, end int) {
	const few = 16 // names up to which comparing them all is faster than a map
	row := &column.RowValue{}
	var index map[string]int
	end = s.members(p, depth, func(key []byte, p int) int {
		name := string(key)
		v, end := s.boxed(p, depth+1)
		i, ok := index[name]
		if index == nil {
			i = slices.Index(row.Names, name)
			ok = i >= 0
		}
		if ok {
			row.Elems[i] = v
			return end
		}
		row.Names, row.Elems = append(row.Names, name), append(row.Elems, v)
		switch n := len(row.Names); {
		case n > few:
			index[name] = n - 1
		case n == few:
			index = make(map[string]int, 2*few)
			for i, name := range row.Names {
				index[name] = i
			}
		}
		return end
	})
	return row, end
}
