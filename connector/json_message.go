package connector

import (
	"bytes"
	"errors"

	"github.com/leat-project/leat/column"
)

// JSONMessages decodes messages that are one JSON object each, as ReadFromJson decodes lines. It is of one worker.
type JSONMessages struct {
	d    jsonDecoder
	cols []*column.Vector
}

// NewJSONMessages returns a decoder of the given fields. What messages have beside them is checked and skipped.
func NewJSONMessages(fields column.Schema) *JSONMessages {
	m := &JSONMessages{cols: make([]*column.Vector, len(fields))}
	m.d.reader = &jsonReader{extra: map[string]int64{}} // it counts what is not wanted
	for _, f := range fields {
		m.d.cols = append(m.d.cols, newJSONColumn(f.Name+".", f.Type))
	}
	m.d.root = newJSONObject("", fields, m.d.cols)
	return m
}

var (
	errJSONNoMessage = errors.New("the message is empty, wanted an object")
	errJSONNotUTF8   = errors.New("the message is not UTF-8")
)

// Decode returns the columns, and for each row the number of its message. A message that cannot be decoded is given to bad, whose error ends
// the call. Both are valid until the next call.
func (m *JSONMessages) Decode(messages [][]byte, bad func(i int, err error) error) (cols []*column.Vector, rows []int32, err error) {
	d := &m.d
	for _, c := range d.cols {
		c.reset()
	}
	d.rows = d.rows[:0]
	m.join(messages)
	valid := validUTF8(d.text)
	start := 0
	for i, message := range messages {
		n := len(d.rows)
		d.err = nil
		switch {
		case !valid && !validUTF8(message):
			d.fail(errJSONNotUTF8)
		case m.message(start):
			d.rows = append(d.rows, int32(i))
		}
		start += len(message) + 1
		if d.err == nil {
			continue
		}
		for _, c := range d.cols {
			c.truncate(min(c.n, n))
		}
		if err := bad(i, d.err); err != nil {
			return nil, nil, err
		}
	}
	for _, t := range d.extra {
		t.hits = 0
	}
	for i, c := range d.cols {
		m.cols[i] = c.vector()
	}
	return m.cols, d.rows, nil
}

// join makes a line of each message. A line break within one stands between values, where a carriage return is as good, or within a string, where
// both are errors.
func (m *JSONMessages) join(messages [][]byte) {
	text := m.d.text[:0]
	for _, message := range messages {
		from := len(text)
		text = append(text, message...)
		for {
			i := bytes.IndexByte(text[from:], '\n')
			if i < 0 {
				break
			}
			text[from+i] = '\r'
			from += i + 1
		}
		text = append(text, '\n')
	}
	m.d.text = text
}

// message scans the message that begins at p.
func (m *JSONMessages) message(p int) bool {
	d := &m.d
	p = d.space(p)
	switch d.text[p] {
	case '{':
	case '\n':
		d.fail(errJSONNoMessage)
		return false
	default:
		d.unexpected(p, "an object")
		return false
	}
	if p = d.object(d.root, p, 0); p < 0 {
		return false
	}
	if p = d.space(p); d.text[p] != '\n' {
		d.unexpected(p, "the end of the message after the object")
		return false
	}
	return true
}

// JSONRows writes rows as JSON objects, as WriteToJson does.
type JSONRows struct{ fields []jsonField }

// NewJSONRows returns a writer of rows of that schema.
func NewJSONRows(schema column.Schema) *JSONRows { return &JSONRows{newJSONFields(schema)} }

// Append appends row i of the columns, without a line break.
func (r *JSONRows) Append(dst []byte, cols []*column.Vector, i int) []byte {
	return appendJSONRow(dst, r.fields, cols, i)
}
