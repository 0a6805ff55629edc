package connector

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// csvDialect is how a CSV file is written. The zero byte stands for none.
type csvDialect struct {
	delimiter byte
	quote     byte // around a field that holds delimiters, newlines or quotes, which are doubled; only where a field begins
	comment   byte // the rest of its line is no data
}

const ones, highs = 0x0101010101010101, 0x8080808080808080

// ends marks by its high bit the first byte of a word that is a newline or the delimiter, of which delimiters holds eight.
// x-ones &^ x has the high bit of a byte set where x has a zero byte; bytes above the first may be marked in error.
func ends(word, delimiters uint64) uint64 {
	x, y := word^delimiters, word^(ones*'\n')
	return ((x-ones)&^x | (y-ones)&^y) & highs
}

// fieldEnd returns the index from pos on of the first delimiter or newline, or len(data). It looks at eight bytes at a
// time.
func fieldEnd(data []byte, pos int, delimiter byte) int {
	delimiters := ones * uint64(delimiter)
	for ; pos+8 <= len(data); pos += 8 {
		if found := ends(binary.LittleEndian.Uint64(data[pos:]), delimiters); found != 0 {
			return pos + bits.TrailingZeros64(found)>>3
		}
	}
	for ; pos < len(data); pos++ {
		if data[pos] == delimiter || data[pos] == '\n' {
			return pos
		}
	}
	return pos
}

// csvField is one field of a record as it stands in the file.
type csvField struct {
	from, to int  // its bytes: without the quotes of a quoted field
	next     int  // index of what ends it: a delimiter, a newline, or the end of the data
	escaped  bool // see unescape
	open     bool // a quote is not closed
}

// quoted reads the field at pos, which begins with a quote. Text after the closing quote belongs to the field, as
// pandas and Python's csv module have it.
func (d *csvDialect) quoted(data []byte, pos int) csvField {
	f := csvField{from: pos + 1}
	for i := pos + 1; ; {
		j := bytes.IndexByte(data[i:], d.quote)
		if j < 0 {
			f.to, f.next, f.open = len(data), len(data), true
			return f
		}
		i += j + 1
		if i < len(data) && data[i] == d.quote {
			f.escaped = true
			i++
			continue
		}
		f.next = d.plainEnd(data, i)
		f.to = i - 1
		if f.next != i && !(f.next == i+1 && data[i] == '\r' && (f.next == len(data) || data[f.next] == '\n')) {
			f.to, f.escaped = f.next, true
		}
		return f
	}
}

// plainEnd is fieldEnd, or the comment that comes first.
func (d *csvDialect) plainEnd(data []byte, pos int) int {
	end := fieldEnd(data, pos, d.delimiter)
	if d.comment != 0 {
		if i := bytes.IndexByte(data[pos:end], d.comment); i >= 0 {
			return pos + i
		}
	}
	return end
}

// field reads the field at pos.
func (d *csvDialect) field(data []byte, pos int) csvField {
	if d.quote != 0 && pos < len(data) && data[pos] == d.quote {
		return d.quoted(data, pos)
	}
	end := d.plainEnd(data, pos)
	f := csvField{from: pos, to: end, next: end}
	if end > pos && data[end-1] == '\r' && (end == len(data) || data[end] == '\n') {
		f.to--
	}
	return f
}

// unescape appends the text of an escaped field to dst: doubled quotes are one, the closing quote goes, and so does a
// carriage return before the end of the line.
func (d *csvDialect) unescape(dst, data []byte, f csvField) []byte {
	body := data[f.from:f.to]
	for {
		i := bytes.IndexByte(body, d.quote)
		if i < 0 {
			return append(dst, body...)
		}
		dst = append(dst, body[:i]...)
		body = body[i+1:]
		if len(body) == 0 || body[0] != d.quote {
			break // the closing quote
		}
		dst = append(dst, d.quote)
		body = body[1:]
	}
	if f.next == len(data) || data[f.next] == '\n' {
		body = bytes.TrimSuffix(body, []byte{'\r'})
	}
	return append(dst, body...)
}

// blank returns the index after the line at pos where that line is no record: nothing or white space, perhaps before
// a comment. Else it returns pos.
func (d *csvDialect) blank(data []byte, pos int) int {
	for i := pos; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\n':
			return i + 1
		case d.comment != 0 && c == d.comment:
			return lineEnd(data, i)
		case c == d.delimiter || c != ' ' && c != '\t' && c != '\r':
			return pos
		}
	}
	return len(data)
}

// lineEnd returns the index after the newline from pos on, or len(data).
func lineEnd(data []byte, pos int) int {
	if pos < len(data) && data[pos] == '\n' {
		return pos + 1
	}
	if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(data)
}

// after returns the index of the next record or field, given the end of a field, and whether it is a record's.
func (d *csvDialect) after(data []byte, next int) (pos int, record bool) {
	if next == len(data) {
		return next, true
	}
	if data[next] == d.delimiter {
		return next + 1, false
	}
	return lineEnd(data, next), true // a newline, or a comment before it
}

// skipRecord returns the index after the record at pos, and whether a quote in it is not closed.
func (d *csvDialect) skipRecord(data []byte, pos int) (next int, open bool) {
	if d.comment == 0 && (d.quote == 0 || bytes.IndexByte(data[pos:lineEnd(data, pos)], d.quote) < 0) {
		return lineEnd(data, pos), false
	}
	for {
		f := d.field(data, pos)
		end := false
		if pos, end = d.after(data, f.next); end || f.open {
			return pos, f.open
		}
	}
}

// split returns how many bytes of data are whole records, data beginning with one. Only a newline outside quotes ends a
// record. Newlines are told apart by the quotes alone, which are far fewer than the fields: a quote opens a field
// only behind a delimiter or a newline.
func (d *csvDialect) split(data []byte) int {
	if d.comment != 0 {
		return d.splitRecords(data)
	}
	whole := 0
	for pos := 0; ; {
		quote := -1
		if d.quote != 0 {
			quote = bytes.IndexByte(data[pos:], d.quote)
		}
		if quote < 0 {
			if i := bytes.LastIndexByte(data[pos:], '\n'); i >= 0 {
				return pos + i + 1
			}
			return whole
		}
		quote += pos
		if i := bytes.LastIndexByte(data[pos:quote], '\n'); i >= 0 {
			whole = pos + i + 1
		}
		if quote > 0 && data[quote-1] != d.delimiter && data[quote-1] != '\n' {
			pos = quote + 1
			continue
		}
		f := d.quoted(data, quote)
		if f.open || f.next == len(data) {
			return whole
		}
		pos = f.next
	}
}

// splitRecords is split, one record after the other.
func (d *csvDialect) splitRecords(data []byte) int {
	for pos := 0; ; {
		next, open := pos, false
		if next = d.blank(data, pos); next == pos {
			next, open = d.skipRecord(data, pos)
		}
		if open || next == len(data) {
			if !open && next > pos && data[next-1] == '\n' {
				return next
			}
			return pos
		}
		pos = next
	}
}

// record returns the fields of the record at pos as text, the index after it, and whether a quote is not closed.
func (d *csvDialect) record(data []byte, pos int) (fields [][]byte, next int, open bool) {
	for {
		f := d.field(data, pos)
		text := data[f.from:f.to]
		if f.escaped {
			text = d.unescape(nil, data, f)
		}
		fields = append(fields, slices.Clip(text))
		end := false
		if pos, end = d.after(data, f.next); end || f.open {
			return fields, pos, f.open
		}
	}
}
