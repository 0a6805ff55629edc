package connector

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/file"
	"github.com/leat-project/leat/internal/number"
)

// csvLayout says what to do with the columns of one file. It travels with the file's morsels.
type csvLayout struct {
	file   string
	names  []string // of the file's columns
	wanted []int32  // for each of them its place among the fields that are read, or -1
	fixed  []int32  // the fields that are read and that the file lacks: they are null, but for the file's name
}

// maxBatchText limits the bytes of a file that make one batch, so that the texts of a column stay far below the
// 2 GiB that its offsets can address.
const maxBatchText = 8 << 20

// csvDecoder scans records straight into the columns that are wanted. Each worker has its own.
type csvDecoder struct {
	dialect  csvDialect
	nulls    *csvNulls
	filename int32 // the field that holds the file's name, or -1
	cols     []csvColumn
	scratch  []byte // an unescaped field

	// Of the current morsel.
	morsel  *catalog.Morsel
	layout  *csvLayout
	suspect bool    // the morsel holds bytes that are not UTF-8
	starts  []int32 // where each record begins
	origin  *column.Origin

	// Of the current batch.
	n     int
	rows  []int32
	batch column.Batch
}

// newCSVDecoder returns a decoder of the named fields.
func newCSVDecoder(dialect csvDialect, nulls *csvNulls, fields column.Schema, filename string) *csvDecoder {
	d := &csvDecoder{dialect: dialect, nulls: nulls, filename: -1, cols: make([]csvColumn, len(fields))}
	for i, f := range fields {
		d.cols[i] = csvColumn{name: f.Name, vector: column.Vector{Type: f.Type}}
		if filename != "" && f.Name == filename {
			d.filename = int32(i)
		}
	}
	d.batch.Cols = make([]*column.Vector, len(fields))
	for i := range d.cols {
		d.batch.Cols[i] = &d.cols[i].vector
	}
	return d
}

// Decode passes the records of m on. m.Part is the file's layout, m.Data whole records.
func (d *csvDecoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	if long, err := file.BadTooLong(m, out); long {
		return err
	}
	d.begin(m, out.BatchRows())
	data, begun := m.Data, 0
	for pos := 0; pos < len(data); {
		if c := data[pos]; c <= ' ' || c == d.dialect.comment && c != 0 {
			if next := d.dialect.blank(data, pos); next > pos {
				pos = next
				continue
			}
		}
		row := int32(len(d.starts))
		d.starts = append(d.starts, int32(pos))
		next, fault := d.record(data, pos)
		if fault != "" {
			if err := d.bad(pos, row, fault, out); err != nil {
				return err
			}
			next, _ = d.dialect.skipRecord(data, pos)
		} else {
			d.rows = append(d.rows, row)
			d.n++
		}
		pos = next
		if d.n == out.BatchRows() || d.n > 0 && pos-begun > maxBatchText {
			if err := d.flush(ctx, out); err != nil {
				return err
			}
			begun = pos
		}
	}
	return d.flush(ctx, out)
}

func (d *csvDecoder) begin(m *catalog.Morsel, rows int) {
	d.morsel, d.layout = m, m.Part.(*csvLayout)
	d.suspect = !utf8.Valid(m.Data)
	d.starts = d.starts[:0]
	d.origin = &column.Origin{File: d.layout.file}
	if m.Line > 0 {
		d.origin.Line = d.line
	}
	d.reset(rows)
}

// line returns the line on which a record of the morsel begins.
func (d *csvDecoder) line(row int32) int64 {
	if d.morsel.Line == 0 || int(row) >= len(d.starts) {
		return 0
	}
	return d.morsel.Line + int64(bytes.Count(d.morsel.Data[:d.starts[row]], []byte{'\n'}))
}

func (d *csvDecoder) reset(rows int) {
	d.n, d.rows = 0, d.rows[:0]
	for i := range d.cols {
		d.cols[i].reset(rows)
	}
}

func (d *csvDecoder) flush(ctx context.Context, out catalog.Out) error {
	if d.n == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range d.cols {
		d.cols[i].finish(d.n)
	}
	d.batch = column.Batch{N: d.n, Cols: d.batch.Cols, Origin: d.origin, Rows: d.rows}
	if err := out.Batch(&d.batch); err != nil {
		return err
	}
	d.reset(out.BatchRows())
	return nil
}

// record scans the record at pos into row d.n and returns the index after it, or what is wrong with it.
func (d *csvDecoder) record(data []byte, pos int) (next int, fault string) {
	start, wanted := pos, d.layout.wanted
	delimiter, quote, plain := d.dialect.delimiter, d.dialect.quote, d.dialect.comment == 0
	delimiters := ones * uint64(delimiter)
	for i := 0; ; i++ {
		var text []byte
		var end int
		if plain && pos < len(data) && (data[pos] != quote || quote == 0) {
			var word, found uint64
			if pos+8 <= len(data) {
				word = binary.LittleEndian.Uint64(data[pos:])
				found = ends(word, delimiters)
			}
			if found != 0 {
				end = pos + bits.TrailingZeros64(found)>>3
				if i < len(wanted) && end > pos && data[end] == delimiter && d.putShort(wanted[i], word, end-pos) {
					pos = end + 1
					continue
				}
			} else {
				end = fieldEnd(data, pos, delimiter)
			}
			text = data[pos:end]
			if n := len(text); n > 0 && text[n-1] == '\r' && (end == len(data) || data[end] == '\n') {
				text = text[:n-1]
			}
		} else {
			f := d.dialect.field(data, pos)
			if f.open {
				return 0, "a quoted field is not closed before the end of the file"
			}
			text, end = data[f.from:f.to], f.next
			if f.escaped {
				d.scratch = d.dialect.unescape(d.scratch[:0], data, f)
				text = d.scratch
			}
		}
		if i >= len(wanted) {
			return 0, d.tooMany(data, start)
		}
		if w := wanted[i]; w >= 0 && !d.cols[w].put(d.n, text, d.nulls) {
			return 0, d.cols[w].misfit(text)
		}
		if end < len(data) && data[end] == delimiter {
			pos = end + 1
			continue
		}
		if end < len(data) {
			end = lineEnd(data, end)
		}
		if i+1 == len(wanted) && len(d.layout.fixed) == 0 && !d.suspect {
			return end, ""
		}
		return end, d.complete(data[start:end], wanted[i+1:])
	}
}

// putShort writes a field of one to eight bytes, the lowest ones of word, where that is all there is to do: it is not
// wanted, a whole number without a sign, or a text that is no null.
func (d *csvDecoder) putShort(wanted int32, word uint64, size int) bool {
	if wanted < 0 {
		return true
	}
	switch v := &d.cols[wanted].vector; v.Type.Kind {
	case column.Int:
		n, ok := number.ParseShort(word, size)
		if !ok || d.nulls.numeric {
			return false
		}
		v.Ints[d.n] = n
		return true
	case column.String:
		if d.nulls.first[byte(word)] {
			return false
		}
		to := len(v.Data) + size
		v.Data = binary.LittleEndian.AppendUint64(v.Data, word)[:to] // cheaper than a copy of the right size
		v.Offsets[d.n+1] = int32(to)
		return true
	}
	return false
}

// complete gives null to the fields that a record lacks.
func (d *csvDecoder) complete(record []byte, missing []int32) (fault string) {
	if d.suspect && !utf8.Valid(record) {
		return fmt.Sprintf("the record is not UTF-8 at its byte %d", invalidByte(record)+1)
	}
	for _, w := range missing {
		if w >= 0 && !d.cols[w].putNull(d.n) {
			return fmt.Sprintf("field %q is missing: the record has fewer fields than the %d of the file, and the schema wants a value",
				d.cols[w].name, len(d.layout.wanted))
		}
	}
	for _, w := range d.layout.fixed {
		c := &d.cols[w]
		switch {
		case w == d.filename:
			c.putText(d.n, []byte(d.layout.file))
		case !c.putNull(d.n):
			return fmt.Sprintf("field %q is missing: the file has no such column, and the schema wants a value", c.name)
		}
	}
	return ""
}

func (d *csvDecoder) tooMany(data []byte, start int) string {
	fields, _, _ := d.dialect.record(data, start)
	return fmt.Sprintf("wanted %s, found %d", countOf(len(d.layout.wanted), "field"), len(fields))
}

// bad takes back what the record has put into the columns and hands it on.
func (d *csvDecoder) bad(pos int, row int32, fault string, out catalog.Out) error {
	for i := range d.cols {
		d.cols[i].undo(d.n)
	}
	next, _ := d.dialect.skipRecord(d.morsel.Data, pos)
	record := bytes.TrimSuffix(bytes.TrimSuffix(d.morsel.Data[pos:next], []byte{'\n'}), []byte{'\r'})
	return out.Bad(catalog.BadRecord{Record: record, Msg: fault, File: d.layout.file, Line: d.line(row), Row: row})
}

// invalidByte returns the index of the first byte that is not UTF-8.
func invalidByte(b []byte) int {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(b)
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// csvColumn is a column under construction. Row n is written again and again until its record is known to be good.
type csvColumn struct {
	name   string
	vector column.Vector
	valid  []byte // the bitmap's memory
	nulls  bool   // a null has been put
}

// reset makes room for that many rows.
func (c *csvColumn) reset(rows int) {
	v := &c.vector
	c.valid, c.nulls = column.AllValid(c.valid, rows), false
	switch v.Type.Kind {
	case column.Bool:
		v.Bools = grown(v.Bools, rows)
	case column.Int:
		v.Ints = grown(v.Ints, rows)
	case column.Float:
		v.Floats = grown(v.Floats, rows)
	default:
		v.Offsets = grown(v.Offsets, rows+1)
		v.Data = v.Data[:0]
		v.Offsets[0] = 0
	}
}

func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func (c *csvColumn) finish(n int) {
	v := &c.vector
	v.N, v.Valid = n, nil
	if c.nulls {
		v.Valid = c.valid[:(n+7)/8]
	}
	switch v.Type.Kind {
	case column.Bool:
		v.Bools = v.Bools[:n]
	case column.Int:
		v.Ints = v.Ints[:n]
	case column.Float:
		v.Floats = v.Floats[:n]
	default:
		v.Offsets = v.Offsets[:n+1]
	}
}

// undo makes row n as if it had not been written.
func (c *csvColumn) undo(n int) {
	c.valid[n>>3] |= 1 << (n & 7)
	if c.vector.Offsets != nil {
		c.vector.Data = c.vector.Data[:c.vector.Offsets[n]]
	}
}

func (c *csvColumn) putText(n int, text []byte) {
	c.vector.Data = append(c.vector.Data, text...)
	c.vector.Offsets[n+1] = int32(len(c.vector.Data))
}

// putNull reports false where the column takes no null.
func (c *csvColumn) putNull(n int) bool {
	if !c.vector.Type.Nullable {
		return false
	}
	c.nulls = true
	c.valid[n>>3] &^= 1 << (n & 7)
	switch v := &c.vector; v.Type.Kind {
	case column.Bool:
		v.Bools[n] = false
	case column.Int:
		v.Ints[n] = 0
	case column.Float:
		v.Floats[n] = 0
	default:
		v.Offsets[n+1] = int32(len(v.Data))
	}
	return true
}

// put writes a field and reports whether it fits.
func (c *csvColumn) put(n int, text []byte, nulls *csvNulls) bool {
	switch v := &c.vector; v.Type.Kind {
	case column.Int:
		i, err := number.ParseInt(text)
		if err != nil {
			return c.putOdd(n, text, nulls)
		}
		v.Ints[n] = i
	case column.Float:
		f, err := number.ParseFloat(text)
		if err != nil || f > math.MaxFloat64 || f < -math.MaxFloat64 {
			return c.putOdd(n, text, nulls)
		}
		v.Floats[n] = f
	case column.Bool:
		b, ok := csvBool(text)
		if !ok {
			return nulls.is(text) && c.putNull(n)
		}
		v.Bools[n] = b
	default:
		if nulls.first[firstByte(text)] && nulls.is(text) {
			return c.putNull(n)
		}
		c.putText(n, text)
		return true
	}
	if nulls.numeric && nulls.is(text) {
		return c.putNull(n)
	}
	return true
}

// putOdd writes a number that is null, has white space around it, or has a name.
func (c *csvColumn) putOdd(n int, text []byte, nulls *csvNulls) bool {
	if nulls.is(text) {
		return c.putNull(n)
	}
	text = trimmed(text)
	var err error
	if v := &c.vector; v.Type.Kind == column.Int {
		v.Ints[n], err = number.ParseInt(text)
	} else {
		v.Floats[n], err = csvFloat(text)
	}
	return err == nil
}

// misfit says why the last field that was put does not fit.
func (c *csvColumn) misfit(text []byte) string {
	const most = 60
	wanted := c.vector.Type.NotNull()
	found := csvKindOf(text, &defaultNulls)
	shown := string(text)
	if len(shown) > most {
		shown = strings.ToValidUTF8(shown[:most], "") + "…"
	}
	switch {
	case found == column.Null:
		return fmt.Sprintf("field %q is empty, wanted %s: say that it may be null in \"schema\"", c.name, wanted)
	case wanted.Kind == column.Int && found == column.String:
		if _, err := number.ParseInt(trimmed(text)); err == number.ErrRange {
			return fmt.Sprintf("field %q is %s, which 64 bits do not hold, wanted int: declare it as a string in \"schema\"", c.name, shown)
		}
	}
	return fmt.Sprintf("field %q is %q (%s), wanted %s: declare its type in \"schema\", or raise \"sample_rows\" so that it is seen",
		c.name, shown, found, wanted)
}
