package avro

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/leat-project/leat/column"
)

// Records is an Avro schema of single records, as messages hold them: without a file around.
type Records struct {
	root   *node
	fields column.Schema
}

// ParseRecords reads an Avro schema: its text, or the same as plain data.
func ParseRecords(schema any) (*Records, error) {
	text, ok := schema.(string)
	if !ok {
		b, err := json.Marshal(schema)
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	root, err := parseSchema([]byte(text))
	if err != nil {
		return nil, err
	}
	return &Records{root, root.typ.Fields}, nil
}

// Schema returns the fields of the rows.
func (r *Records) Schema() column.Schema { return r.fields }

// RecordDecoder decodes single records to columns. It is of one worker.
type RecordDecoder struct {
	d       decoder
	headers map[*Records]*header
	bad     map[*Records]error // schemas whose records do not fit
}

// NewRecordDecoder returns a decoder of those fields.
func NewRecordDecoder(fields column.Schema) *RecordDecoder {
	r := reader{fields: fields}
	return &RecordDecoder{d: *r.NewDecoder().(*decoder), headers: map[*Records]*header{}, bad: map[*Records]error{}}
}

// Reset begins a batch.
func (r *RecordDecoder) Reset() { r.d.reset() }

// Append decodes one record that was written with the given schema, and appends it as a row. After an error it appends nothing.
func (r *RecordDecoder) Append(s *Records, record []byte) error {
	h, ok := r.headers[s]
	if !ok {
		h = &header{schema: s.root}
		r.headers[s] = h
		r.bad[s] = r.check(s)
	}
	if err := r.bad[s]; err != nil {
		return err
	}
	r.d.bind(h)
	c := cursor{data: record}
	r.d.record(&c)
	err := errors.Join(c.err, c.fault)
	switch {
	case errors.Is(c.err, errShort):
		err = errors.New("the message ends within the record")
	case err == nil && c.pos != len(record):
		err = fmt.Errorf("%d bytes are left after the record", len(record)-c.pos)
	}
	if err != nil {
		r.d.trim()
		return err
	}
	r.d.n++
	return nil
}

// check reports whether records of that schema make rows of the wanted fields.
func (r *RecordDecoder) check(s *Records) error {
	for _, f := range r.d.fields {
		if s.fields.Index(f.Name) < 0 && !f.Type.MayBeNull() {
			return fmt.Errorf("the schema of the message has no field %q, and it cannot be null", f.Name)
		}
	}
	if err := fits(r.d.fields, s.root); err != nil {
		return fmt.Errorf("the schema of the message: %w", err)
	}
	return nil
}

// Columns returns the rows since Reset. They are valid until the next one.
func (r *RecordDecoder) Columns() []*column.Vector {
	for i, o := range r.d.outs {
		r.d.cols[i] = o.finish()
	}
	return r.d.cols
}

// SchemaText returns the Avro schema of rows, as AppendRecord writes them.
func SchemaText(schema column.Schema) (string, error) {
	if err := checkSchema("", schema); err != nil {
		return "", err
	}
	records := 0
	return string(appendSchema(nil, column.RowOf(schema), &records)), nil
}

// AppendRecord appends row i of the columns as a record of the schema that SchemaText gives.
func AppendRecord(dst []byte, schema column.Schema, cols []*column.Vector, i int) ([]byte, error) {
	var err error
	for c, f := range schema {
		if dst, err = appendValue(dst, f.Type, cols[c], i); err != nil {
			return dst, fmt.Errorf("field %q: %w", f.Name, err)
		}
	}
	return dst, nil
}

// SameEncoding reports whether a record of r has the same bytes and means the same as one of s.
func (r *Records) SameEncoding(s *Records) bool { return r.root.same(s.root, 0) }

func (n *node) same(o *node, depth int) bool {
	if n.form != o.form || n.meaning != o.meaning || n.unit != o.unit || n.size != o.size || len(n.children) != len(o.children) || n.null != o.null || depth > maxSchemaDepth {
		return false
	}
	for i, child := range n.children {
		if n.names != nil && (o.names == nil || n.names[i] != o.names[i]) || !child.same(o.children[i], depth+1) {
			return false
		}
	}
	return true
}
