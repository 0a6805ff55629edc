package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/refusal"
)

// rowText writes rows as COPY's text: values with tabs between, a line each. \N is null, and backslashes are escapes.
type rowText struct {
	target  *target
	scratch []byte
}

// append appends row i of b as a line.
func (e *rowText) append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	if e.target.key != nil { // where the row stands, so that the last one of a key wins
		source, seq := 0, int64(0)
		if b.Origin != nil {
			source, seq = b.Origin.Source, b.Origin.Seq
		}
		dst = append(strconv.AppendInt(dst, int64(source), 10), '\t')
		dst = append(strconv.AppendInt(dst, seq, 10), '\t')
		dst = append(strconv.AppendInt(dst, int64(b.RowNumber(i)), 10), '\t')
	}
	for c, v := range b.Cols {
		if c > 0 {
			dst = append(dst, '\t')
		}
		var err error
		if dst, err = e.cell(dst, c, v, i); err != nil {
			return dst, fmt.Errorf("field %q: %w", e.target.schema[c].Name, err)
		}
	}
	return append(dst, '\n'), nil
}

// cell appends one value.
func (e *rowText) cell(dst []byte, c int, v *column.Vector, i int) (_ []byte, err error) {
	if v.IsNull(i) {
		return append(dst, `\N`...), nil
	}
	col := &e.target.columns[c]
	switch v.Type.Kind {
	case column.Bool, column.Int, column.Float, column.Time:
		return plainText(dst, v, i)
	case column.Bytes:
		if col.category != "A" && col.base == "bytea" {
			return hex.AppendEncode(append(dst, `\\x`...), v.Bin(i)), nil
		}
	case column.String:
		if col.base != "json" && col.base != "jsonb" {
			if err := checkText(v.Bin(i)); err != nil {
				return dst, err
			}
			return escape(dst, v.Bin(i)), nil
		}
	case column.Duration:
		return append(strconv.AppendFloat(dst, float64(v.Ints[i])/1000, 'f', -1, 64), " seconds"...), nil
	case column.List:
		if col.category == "A" {
			e.scratch, err = arrayText(e.scratch[:0], v, i)
			return escape(dst, e.scratch), err
		}
	}
	return e.json(dst, col, v, i)
}

// json appends a value of a column of json or jsonb. A text that goes there is JSON already.
func (e *rowText) json(dst []byte, col *tableColumn, v *column.Vector, i int) ([]byte, error) {
	if v.Type.Kind == column.String {
		if err := checkText(v.Bin(i)); err != nil {
			return dst, err
		}
		return escape(dst, v.Bin(i)), nil
	}
	value := v.Value(i)
	if value == nil {
		return append(dst, `\N`...), nil
	}
	e.scratch = appendJSON(e.scratch[:0], value)
	if col.base == "jsonb" && hasNull(value) {
		return dst, errNUL
	}
	return escape(dst, e.scratch), nil
}

var errNUL = fmt.Errorf("the text holds a NUL byte, which PostgreSQL does not take; remove it with MapToFields")

func checkText(text []byte) error {
	ascii := true
	for _, c := range text {
		if c == 0 {
			return errNUL
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.Valid(text) {
		return fmt.Errorf("the text is not UTF-8")
	}
	return nil
}

// plainText appends a value whose text needs no escapes.
func plainText(dst []byte, v *column.Vector, i int) ([]byte, error) {
	switch v.Type.Kind {
	case column.Bool:
		if v.Bools[i] {
			return append(dst, 't'), nil
		}
		return append(dst, 'f'), nil
	case column.Int:
		return strconv.AppendInt(dst, v.Ints[i], 10), nil
	case column.Float:
		return appendFloat(dst, v.Floats[i]), nil
	}
	return appendTime(dst, column.Instant(v.Ints[i]))
}

func appendFloat(dst []byte, f float64) []byte {
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// The years that a timestamp of the server's can have.
var (
	firstTime = time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	lastTime  = time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() - 1
)

// appendTime appends a timestamp. The ends of event time are the server's infinities.
func appendTime(dst []byte, t column.Instant) ([]byte, error) {
	switch {
	case t == column.MinInstant:
		return append(dst, "-infinity"...), nil
	case t == column.MaxInstant:
		return append(dst, "infinity"...), nil
	case int64(t) < firstTime || int64(t) > lastTime:
		return dst, fmt.Errorf("the timestamp %d ms is beyond the years that PostgreSQL has (4713 BC to 294276)", t)
	}
	at := time.UnixMilli(int64(t)).UTC()
	year, suffix := at.Year(), "+00"
	if year <= 0 { // the year before 1 is 1 BC
		year, suffix = 1-year, "+00 BC"
	}
	if year < 1000 {
		dst = append(dst, "000"[:4-len(strconv.Itoa(year))]...)
	}
	dst = strconv.AppendInt(dst, int64(year), 10)
	return append(at.AppendFormat(dst, "-01-02 15:04:05.000"), suffix...), nil
}

// escape appends text with COPY's escapes.
func escape(dst, text []byte) []byte {
	from := 0
	for i, c := range text {
		if c != '\\' && c != '\n' && c != '\t' && c != '\r' {
			continue
		}
		dst = append(append(dst, text[from:i]...), '\\')
		switch c {
		case '\n':
			c = 'n'
		case '\t':
			c = 't'
		case '\r':
			c = 'r'
		}
		dst = append(dst, c)
		from = i + 1
	}
	return append(dst, text[from:]...)
}

// unescape is the reverse of escape.
func unescape(text []byte) string {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' && i+1 < len(text) {
			i++
			switch c = text[i]; c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 'r':
				c = '\r'
			}
		}
		out = append(out, c)
	}
	return string(out)
}

// arrayText appends a list as the text of an array, not yet escaped for COPY.
func arrayText(dst []byte, v *column.Vector, i int) ([]byte, error) {
	elems := v.Children[0]
	dst = append(dst, '{')
	for k := v.Offsets[i]; k < v.Offsets[i+1]; k++ {
		if k > v.Offsets[i] {
			dst = append(dst, ',')
		}
		var err error
		switch j := int(k); {
		case elems.Type.Kind == column.Null || elems.IsNull(j):
			dst = append(dst, "NULL"...)
		case elems.Type.Kind == column.Bytes:
			dst = append(hex.AppendEncode(append(dst, `"\\x`...), elems.Bin(j)), '"')
		case elems.Type.Kind == column.String:
			if err = checkText(elems.Bin(j)); err == nil {
				dst = arrayQuoted(dst, elems.Bin(j))
			}
		case elems.Type.Kind == column.Time:
			dst = append(dst, '"')
			dst, err = plainText(dst, elems, j)
			dst = append(dst, '"')
		default:
			dst, err = plainText(dst, elems, j)
		}
		if err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func arrayQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// blockBytes is how much an encoder gathers before it hands it on.
const blockBytes = 512 << 10

// encoder writes rows for one worker.
type encoder struct {
	text  rowText
	now   block
	whole bool    // rows are kept beside their lines
	taken []int32 // rows of the batch at hand that are to be put there
	most  int64   // rows of a block; 0: any number
	out   func(ctx context.Context, b block) error
}

// Write appends the rows of b, but those that no table takes.
func (e *encoder) Write(ctx context.Context, b *column.Batch) error {
	e.taken = e.taken[:0]
	err := refusal.Each(b, func(_, i int) error {
		before := len(e.now.lines)
		lines, err := e.text.append(e.now.lines, b, i)
		if err != nil {
			e.now.lines = lines[:before]
			return refusal.Bad(err)
		}
		e.now.lines = lines
		if e.whole {
			e.taken = append(e.taken, int32(i))
		}
		if e.now.rows++; len(lines) >= blockBytes || e.now.rows == e.most {
			e.keep(b)
			return e.Flush(ctx)
		}
		return nil
	})
	e.keep(b)
	return err
}

// keep puts the rows of b that are taken beside their lines.
func (e *encoder) keep(b *column.Batch) {
	if len(e.taken) == 0 {
		return
	}
	part := *b
	if b.Sel != nil || len(e.taken) < b.N {
		part.Sel = e.taken
	}
	e.now.beside = appendPiece(e.now.beside, &part, e.text.target.schema)
	e.taken = e.taken[:0]
}

// Flush hands the rows on.
func (e *encoder) Flush(ctx context.Context) error {
	if e.now.rows == 0 {
		return nil
	}
	err := e.out(ctx, e.now)
	if err == nil {
		e.now = block{lines: e.now.lines[:0], beside: e.now.beside[:0]}
	}
	return err
}
