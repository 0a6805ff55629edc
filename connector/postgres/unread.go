package postgres

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leat-project/leat/column"
)

// An epoch may have been staged before anybody asked for refused rows: that is how a pipeline gets its error_handling, when a row has ended its run. Then there are
// only the lines to make rows of. Event time and where they came from are not in these.

// rowsOfLines makes rows of some lines, which rise.
func (t *target) rowsOfLines(p piece, lines []refusedLine, f func(b *column.Batch, of []refusedLine) error) error {
	const most = 4096
	in, at := bufio.NewReaderSize(p.reader(), 64<<10), int64(0)
	for len(lines) > 0 {
		some := lines[:min(len(lines), most)]
		builders := make([]*column.Builder, len(t.schema))
		for i, field := range t.schema {
			builders[i] = column.NewBuilder(field.Type)
		}
		for _, l := range some {
			for ; at < l.row; at++ {
				if _, err := in.ReadSlice('\n'); errors.Is(err, bufio.ErrBufferFull) {
					at-- // the line goes on
				} else if err != nil {
					return err
				}
			}
			text, err := in.ReadString('\n')
			at++
			if err == nil {
				err = t.appendLine(builders, strings.TrimSuffix(text, "\n"))
			}
			if err != nil {
				return fmt.Errorf("line %d: %w", l.row+1, err)
			}
		}
		b := &column.Batch{N: len(some)}
		for _, of := range builders {
			b.Cols = append(b.Cols, of.Finish())
		}
		if err := f(b, some); err != nil {
			return err
		}
		lines = lines[len(some):]
	}
	return nil
}

// appendLine appends a line of COPY, the reverse of rowText.
func (t *target) appendLine(to []*column.Builder, line string) error {
	cells := strings.Split(line, "\t")
	if t.key != nil {
		cells = cells[min(3, len(cells)):]
	}
	if len(cells) != len(to) {
		return fmt.Errorf("found %d values, wanted %d", len(cells), len(to))
	}
	for i, cell := range cells {
		if cell == `\N` {
			if !t.schema[i].Type.MayBeNull() { // JSON has no NaN
				return fmt.Errorf("field %q is null", t.schema[i].Name)
			}
			to[i].AppendNull()
			continue
		}
		v, err := t.columns[i].read(unescape([]byte(cell)), t.schema[i].Type)
		if err == nil {
			err = to[i].Append(v)
		}
		if err != nil {
			return fmt.Errorf("field %q: %w", t.schema[i].Name, err)
		}
	}
	return nil
}

// read reads what a column was sent.
func (c *tableColumn) read(text string, t column.Type) (column.Value, error) {
	switch {
	case t.Kind == column.List && c.category == "A":
		return readArray(text, *t.Elem)
	case t.Kind == column.Bytes && (c.category == "A" || c.base != "bytea"), t.Kind == column.List, t.Kind == column.Map, t.Kind == column.Row, t.Kind == column.Any:
		v, err := parseJSON([]byte(text))
		if err != nil {
			return nil, err
		}
		return fromJSON(v, t)
	}
	return readPlain(text, t)
}

func readPlain(text string, t column.Type) (column.Value, error) {
	switch t.Kind {
	case column.Bool:
		return text == "t", nil
	case column.Int:
		return strconv.ParseInt(text, 10, 64)
	case column.Float:
		return strconv.ParseFloat(text, 64)
	case column.Bytes:
		return hex.DecodeString(strings.TrimPrefix(text, `\x`))
	case column.Time:
		return readTime(text)
	case column.Duration:
		seconds, err := strconv.ParseFloat(strings.TrimSuffix(text, " seconds"), 64)
		return spanOf(seconds), err
	}
	return text, nil
}

func spanOf(seconds float64) column.Span {
	if seconds < 0 {
		return -spanOf(-seconds)
	}
	return column.Span(seconds*1000 + 0.5)
}

func readTime(text string) (column.Value, error) {
	switch text {
	case "-infinity":
		return column.MinInstant, nil
	case "infinity":
		return column.MaxInstant, nil
	}
	text, before := strings.CutSuffix(text, " BC")
	number, rest, _ := strings.Cut(text, "-")
	year, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	if before {
		year = 1 - year
	}
	at, err := time.Parse("2006-01-02 15:04:05.000+00", "2000-"+rest)
	return column.Instant(at.AddDate(year-2000, 0, 0).UnixMilli()), err
}

// readArray reads the text of an array, the reverse of arrayText.
func readArray(text string, elem column.Type) (column.Value, error) {
	list := &column.ListValue{}
	if text = strings.TrimPrefix(text, "{"); text == "}" {
		return list, nil
	}
	for more := true; more; {
		var cell []byte
		quoted := strings.HasPrefix(text, `"`)
		i := 0
		if quoted {
			for i = 1; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' && i+1 < len(text) {
					i++
				}
				cell = append(cell, text[i])
			}
			i++
		} else {
			for ; i < len(text) && text[i] != ',' && text[i] != '}'; i++ {
				cell = append(cell, text[i])
			}
		}
		if i >= len(text) {
			return nil, errors.New("an array ends early")
		}
		more, text = text[i] == ',', text[i+1:]
		if !quoted && string(cell) == "NULL" {
			list.Elems = append(list.Elems, nil)
			continue
		}
		v, err := readPlain(string(cell), elem)
		if err != nil {
			return nil, err
		}
		list.Elems = append(list.Elems, v)
	}
	return list, nil
}

// fromJSON gives a value that was sent as JSON its type again.
func fromJSON(v column.Value, t column.Type) (column.Value, error) {
	text, _ := v.(string)
	number, _ := v.(float64)
	if n, ok := v.(int64); ok {
		number = float64(n)
	}
	if v == nil {
		if t.Kind == column.Float && !t.Nullable {
			return strconv.ParseFloat("NaN", 64)
		}
		return nil, nil
	}
	switch t.Kind {
	case column.Float:
		return number, nil
	case column.Duration:
		return spanOf(number), nil
	case column.Bytes:
		return base64.StdEncoding.DecodeString(text)
	case column.Time:
		at, err := time.Parse(time.RFC3339, text)
		return column.Instant(at.UnixMilli()), err
	case column.List:
		list, ok := v.(*column.ListValue)
		if !ok {
			return v, nil
		}
		for i := range list.Elems {
			var err error
			if list.Elems[i], err = fromJSON(list.Elems[i], *t.Elem); err != nil {
				return nil, err
			}
		}
		return list, nil
	case column.Map, column.Row:
		return objectFromJSON(v, t)
	}
	return v, nil
}

func objectFromJSON(v column.Value, t column.Type) (_ column.Value, err error) {
	row, ok := v.(*column.RowValue)
	if !ok {
		return v, nil
	}
	out := &column.MapValue{Elems: row.Elems}
	for i, name := range row.Names {
		of := column.AnyType
		if t.Kind == column.Map {
			of = *t.Elem
		} else if k := column.Schema(t.Fields).Index(name); k >= 0 {
			of = t.Fields[k].Type
		}
		if row.Elems[i], err = fromJSON(row.Elems[i], of); err != nil {
			return nil, err
		}
		out.Keys = append(out.Keys, name)
	}
	if t.Kind == column.Row {
		return row, nil
	}
	return out, nil
}
