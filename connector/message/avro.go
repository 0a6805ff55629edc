package message

import (
	"context"
	"fmt"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/avro"
	"github.com/leat-project/leat/diag"
)

// avroFormat is a schema of records.
type avroFormat struct{ records *avro.Records }

func (f *Format) openAvro(schema any) error {
	if schema == nil {
		return nil
	}
	records, err := avro.ParseRecords(schema)
	if err != nil {
		return &catalog.Problem{Key: "schema", Code: diag.BadSchema, Text: "the Avro schema: " + err.Error()}
	}
	f.avro, f.schema = &avroFormat{records}, records.Schema()
	return nil
}

// bindAvro takes the newest schema of the subject.
func (f *Format) bindAvro(ctx context.Context, topic string) error {
	subject := f.subject
	if subject == "" {
		subject = topic + "-value"
	}
	records, err := f.registry.latest(ctx, subject)
	if err != nil {
		return err
	}
	f.avro, f.schema = &avroFormat{records}, records.Schema()
	return nil
}

// avroDecoder decodes records.
type avroDecoder struct {
	f     *Format
	owner *Decoder
	d     *avro.RecordDecoder
	rows  []int32
}

func (f *Format) newAvroDecoder(fields column.Schema, owner *Decoder) *avroDecoder {
	return &avroDecoder{f: f, owner: owner, d: avro.NewRecordDecoder(fields)}
}

// Decode makes a row of each record.
func (d *avroDecoder) Decode(messages [][]byte, bad func(i int, err error) error) ([]*column.Vector, []int32, error) {
	d.d.Reset()
	d.rows = d.rows[:0]
	for i, m := range messages {
		records, rest, fault, err := d.writer(m)
		if err != nil {
			return nil, nil, err
		}
		if fault == nil {
			fault = d.d.Append(records, rest)
		}
		if fault == nil {
			d.rows = append(d.rows, int32(i))
		} else if err := bad(i, fault); err != nil {
			return nil, nil, err
		}
	}
	return d.d.Columns(), d.rows, nil
}

// writer returns the schema that the message was written with. fault is one of the message, err one of the registry.
func (d *avroDecoder) writer(m []byte) (records *avro.Records, rest []byte, fault, err error) {
	if !d.f.framed {
		return d.f.avro.records, m, nil, nil
	}
	id, rest, fault := frame(m)
	if fault != nil {
		return nil, nil, fault, nil
	}
	records, fault, err = d.f.registry.byID(d.owner.ctx, id)
	return records, rest, fault, err
}

// avroEncoding writes records of the schema that follows from the rows.
type avroEncoding struct{ schema column.Schema }

func (f *Format) newAvroEncoder(schema column.Schema) (*Encoder, error) {
	if f.framed {
		return nil, &catalog.Problem{Key: "confluent_schema_registry_url", Code: diag.Unsupported, Text: "messages are not written with a schema registry"}
	}
	text, err := avro.SchemaText(schema)
	if err != nil {
		return nil, &catalog.Problem{Key: "format", Code: diag.TypeMismatch, Text: "format AVRO: " + err.Error()}
	}
	if f.avro == nil {
		return &Encoder{avroEncoding{schema}}, nil
	}
	own, err := avro.ParseRecords(text)
	if err != nil {
		return nil, fmt.Errorf("the Avro schema of the rows: %w", err)
	}
	if !own.SameEncoding(f.avro.records) {
		return nil, &catalog.Problem{Key: "schema", Code: diag.TypeMismatch,
			Text: fmt.Sprintf("rows of %s are not records of that schema", schema),
			Hint: "The fields must be the same in the same order, and a field that may be null is a union of null and its type. Without \"schema\" that of the rows is taken."}
	}
	return &Encoder{avroEncoding{schema}}, nil
}

func (e avroEncoding) append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	return avro.AppendRecord(dst, e.schema, b.Cols, i)
}
