package postgres

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

// decoder makes columns of the server's binary values.
type decoder struct {
	columns  []sourceColumn
	builders []*column.Builder
	rows     []int32
	values   [][]byte
	decoded  []column.Value // of the row, where a value may be bad
}

func newDecoder(cols []sourceColumn) *decoder {
	d := &decoder{columns: cols, values: make([][]byte, len(cols)), decoded: make([]column.Value, len(cols))}
	for _, c := range cols {
		d.builders = append(d.builders, column.NewBuilder(c.Type))
	}
	return d
}

// Decode passes the rows of m on.
func (d *decoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	if len(m.Data) < 4 {
		return errShort
	}
	origin := &column.Origin{File: m.File}
	n, data := binary.BigEndian.Uint32(m.Data), m.Data[4:]
	for row := range int32(n) {
		start := data
		var err error
		if data, err = d.split(data); err != nil {
			return err
		}
		if err := d.parse(); err != nil {
			bad := catalog.BadRecord{Record: start[:len(start)-len(data)], File: m.File, Row: row, Msg: err.Error()}
			if err := out.Bad(bad); err != nil {
				return err
			}
			continue
		}
		if err := d.append(); err != nil {
			return err
		}
		d.rows = append(d.rows, row)
		if len(d.rows) == out.BatchRows() {
			if err := d.flush(ctx, origin, out); err != nil {
				return err
			}
		}
	}
	return d.flush(ctx, origin, out)
}

func (d *decoder) flush(ctx context.Context, origin *column.Origin, out catalog.Out) error {
	if len(d.rows) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b := &column.Batch{N: len(d.rows), Origin: origin, Rows: d.rows}
	for _, builder := range d.builders {
		b.Cols = append(b.Cols, builder.Finish())
	}
	err := out.Batch(b)
	d.rows = d.rows[:0]
	return err
}

var errShort = errors.New("the server sent a value of another length than its type has")

// split takes the values of one row off data.
func (d *decoder) split(data []byte) ([]byte, error) {
	for i := range d.values {
		v, rest, err := field(data)
		if err != nil {
			return nil, err
		}
		d.values[i], data = v, rest
	}
	return data, nil
}

// field takes one value off data; nil is null.
func field(data []byte) (v, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errShort
	}
	n := int32(binary.BigEndian.Uint32(data))
	data = data[4:]
	if n < 0 {
		return nil, data, nil
	}
	if int(n) > len(data) {
		return nil, nil, errShort
	}
	return data[:n:n], data[n:], nil
}

// parse decodes what may be bad, before any column has a part of the row.
func (d *decoder) parse() (err error) {
	for i := range d.columns {
		c, v := &d.columns[i], d.values[i]
		d.decoded[i] = nil
		switch {
		case v == nil:
		case c.json:
			d.decoded[i], err = parseJSON(v)
		case c.Type.Kind == column.List:
			d.decoded[i], err = parseArray(v, *c.Type.Elem)
		}
		if err != nil {
			return fmt.Errorf("column %q: %w", c.Name, err)
		}
	}
	return nil
}

// append adds a row to the columns.
func (d *decoder) append() error {
	for i, b := range d.builders {
		c, v := &d.columns[i], d.values[i]
		switch {
		case v == nil:
			b.AppendNull()
		case c.json || c.Type.Kind == column.List:
			if err := b.Append(d.decoded[i]); err != nil {
				return err
			}
		default:
			if err := appendScalar(b, c.Type.Kind, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func appendScalar(b *column.Builder, k column.Kind, v []byte) error {
	switch k {
	case column.String, column.Bytes:
		b.AppendBin(v)
		return nil
	case column.Bool:
		if len(v) != 1 {
			return errShort
		}
		b.AppendBool(v[0] != 0)
		return nil
	case column.Float:
		f, err := float(v)
		b.AppendFloat(f)
		return err
	}
	n, err := integer(v)
	if k == column.Time {
		n = instant(n)
	}
	b.AppendInt(n)
	return err
}

func integer(v []byte) (int64, error) {
	switch len(v) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(v))), nil
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v))), nil
	case 8:
		return int64(binary.BigEndian.Uint64(v)), nil
	}
	return 0, errShort
}

func float(v []byte) (float64, error) {
	switch len(v) {
	case 4:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(v))), nil
	case 8:
		return math.Float64frombits(binary.BigEndian.Uint64(v)), nil
	}
	return 0, errShort
}

// year2000 is where the server's timestamps begin, in milliseconds.
const year2000 = 946_684_800_000

// instant makes milliseconds since 1970 of microseconds since 2000, floored. The infinities are the ends of event time.
func instant(us int64) int64 {
	switch us {
	case math.MaxInt64:
		return int64(column.MaxInstant)
	case math.MinInt64:
		return int64(column.MinInstant)
	}
	ms := us / 1000
	if us%1000 < 0 {
		ms--
	}
	return ms + year2000
}

// parseArray decodes an array of one dimension: their number, a flag, the elements' type, then for each dimension its length and lower bound.
func parseArray(v []byte, elem column.Type) (column.Value, error) {
	if len(v) < 12 {
		return nil, errShort
	}
	dimensions := binary.BigEndian.Uint32(v)
	list := &column.ListValue{}
	if dimensions == 0 {
		return list, nil
	}
	if dimensions > 1 {
		return nil, fmt.Errorf("the array has %d dimensions, and only those of one are read", dimensions)
	}
	if len(v) < 20 {
		return nil, errShort
	}
	n, rest := binary.BigEndian.Uint32(v[12:]), v[20:]
	for range n {
		value, after, err := field(rest)
		if err != nil {
			return nil, err
		}
		rest = after
		e, err := scalar(value, elem.Kind)
		if err != nil {
			return nil, err
		}
		list.Elems = append(list.Elems, e)
	}
	return list, nil
}

func scalar(v []byte, k column.Kind) (column.Value, error) {
	if v == nil {
		return nil, nil
	}
	switch k {
	case column.String:
		return string(v), nil
	case column.Bytes:
		return append([]byte{}, v...), nil
	case column.Bool:
		return len(v) == 1 && v[0] != 0, nil
	case column.Float:
		return float(v)
	}
	n, err := integer(v)
	if k == column.Time {
		return column.Instant(instant(n)), err
	}
	return n, err
}

// parseJSON decodes a document; objects are rows, with their fields in the order that they have there.
func parseJSON(text []byte) (column.Value, error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	return jsonValue(d)
}

func jsonValue(d *json.Decoder) (column.Value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("the JSON cannot be read: %w", err)
	}
	switch t := token.(type) {
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n, nil
		}
		f, err := t.Float64()
		return f, err
	case json.Delim:
		if t == '[' {
			return jsonList(d)
		}
		return jsonObject(d)
	}
	return token, nil // nil, bool, string
}

func jsonList(d *json.Decoder) (column.Value, error) {
	list := &column.ListValue{}
	for d.More() {
		e, err := jsonValue(d)
		if err != nil {
			return nil, err
		}
		list.Elems = append(list.Elems, e)
	}
	_, err := d.Token()
	return list, err
}

func jsonObject(d *json.Decoder) (column.Value, error) {
	row := &column.RowValue{}
	at := map[string]int{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := jsonValue(d)
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		if i, twice := at[name]; twice { // of type json: the last one counts, as for jsonb
			row.Elems[i] = v
			continue
		}
		at[name] = len(row.Names)
		row.Names, row.Elems = append(row.Names, name), append(row.Elems, v)
	}
	_, err := d.Token()
	return row, err
}
