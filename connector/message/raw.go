package message

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// raw takes messages as they are.
type raw struct {
	v      column.Vector
	cols   []*column.Vector
	rows   []int32
	wanted bool
	text   bool
}

func newRaw(fields column.Schema, text bool) *raw {
	r := &raw{text: text, wanted: len(fields) > 0}
	if r.wanted {
		r.v.Type = fields[0].Type
		r.cols = []*column.Vector{&r.v}
	}
	return r
}

var errNotUTF8 = errors.New("the message is not UTF-8")

// Decode makes a row of each message.
func (r *raw) Decode(messages [][]byte, bad func(i int, err error) error) ([]*column.Vector, []int32, error) {
	r.rows = r.rows[:0]
	r.v.Data = r.v.Data[:0]
	r.v.Offsets = append(r.v.Offsets[:0], 0)
	for i, m := range messages {
		if r.text && !utf8.Valid(m) {
			if err := bad(i, errNotUTF8); err != nil {
				return nil, nil, err
			}
			continue
		}
		r.rows = append(r.rows, int32(i))
		if r.wanted {
			r.v.Data = append(r.v.Data, m...)
			r.v.Offsets = append(r.v.Offsets, int32(len(r.v.Data)))
		}
	}
	r.v.N = len(r.rows)
	return r.cols, r.rows, nil
}

// rawEncoding is a field as it is.
type rawEncoding struct{}

var errNullPayload = errors.New("the field is null, and a message cannot be made of that")

func newRawEncoder(format string, schema column.Schema) (*Encoder, error) {
	if len(schema) != 1 {
		return nil, &catalog.Problem{Key: "format", Code: diag.TypeMismatch,
			Text: fmt.Sprintf("format %s writes one field, and the rows have %d", format, len(schema)),
			Hint: "Choose one by MapToFields, or write JSON."}
	}
	f := schema[0]
	if k := f.Type.Kind; k != column.String && (k != column.Bytes || format == "STRING") {
		wanted := "bytes or a string"
		if format == "STRING" {
			wanted = "a string"
		}
		return nil, &catalog.Problem{Key: "format", Code: diag.TypeMismatch,
			Text: fmt.Sprintf("format %s writes %s, and field %q is of type %s", format, wanted, f.Name, f.Type)}
	}
	return &Encoder{rawEncoding{}}, nil
}

func (rawEncoding) append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	v := b.Cols[0]
	if v.IsNull(i) {
		return dst, errNullPayload
	}
	return append(dst, v.Bin(i)...), nil
}
