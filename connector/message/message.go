// Package message turns messages into rows and rows into messages. Connectors of brokers, web servers and the like share its formats.
package message

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector"
	"github.com/leat-project/leat/diag"
)

// Names are the names of the formats.
var Names = []string{"RAW", "STRING", "JSON", "AVRO", "PROTO"}

// Payload is the one field of the formats RAW and STRING.
const Payload = "payload"

// Fields are the keys that connectors of messages share.
func Fields() []catalog.Field {
	return []catalog.Field{
		{Name: "format", Type: catalog.Text, Default: "RAW", Enum: Names,
			Doc: "What messages are: RAW (a field payload of bytes), STRING (a field payload of text), JSON (an object), AVRO (a record), PROTO (a message of Protocol Buffers)."},
		{Name: "schema", Type: catalog.Schema, Doc: "The schema of rows: of JSON a JSON schema, of AVRO an Avro schema, as text or as a map."},
		{Name: "file_descriptor_path", Type: catalog.Text, Doc: "Of PROTO: a file with a descriptor set, as protoc --include_imports --descriptor_set_out writes it."},
		{Name: "message_name", Type: catalog.Text, Doc: "Of PROTO: the full name of the message, such as shop.Order."},
	}
}

// Format is a format with its schema.
type Format struct {
	name     string
	schema   column.Schema
	framed   bool // messages begin as a schema registry wants it
	registry *registry
	subject  string
	avro     *avroFormat
	proto    *protoFormat
}

// Open reads the keys of Fields, and confluent_schema_registry_url and confluent_schema_registry_subject, where a connector has them. Every error is a *catalog.Problem, or several.
// A format without a schema can encode, but not decode.
func Open(config map[string]any) (*Format, error) {
	f := &Format{name: "RAW"}
	if name, _ := config["format"].(string); name != "" {
		f.name = strings.ToUpper(name)
	}
	if !slices.Contains(Names, f.name) { // what belongs to it cannot be told
		return nil, &catalog.Problem{Key: "format", Code: diag.BadValue, Text: fmt.Sprintf("%q is no format of messages", f.name),
			Hint: diag.DidYouMean(f.name, "formats", Names)}
	}
	err := errors.Join(f.openRegistry(config), f.unused(config))
	if err != nil {
		return nil, err
	}
	switch f.name {
	case "RAW":
		f.schema = column.Schema{{Name: Payload, Type: column.BytesType}}
	case "STRING":
		f.schema = column.Schema{{Name: Payload, Type: column.StringType}}
	case "JSON":
		f.schema, _ = catalog.DeclaredSchema(config, "schema")
	case "AVRO":
		err = f.openAvro(config["schema"])
	case "PROTO":
		err = f.openProto(config)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// unused reports keys that the format does not read.
func (f *Format) unused(config map[string]any) error {
	var errs []error
	for key, formats := range map[string]string{"schema": "JSON AVRO", "file_descriptor_path": "PROTO", "message_name": "PROTO"} {
		if config[key] != nil && !strings.Contains(formats, f.name) {
			errs = append(errs, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("format %s takes no %q", f.name, key)})
		}
	}
	return errors.Join(errs...)
}

// Name returns the format's name.
func (f *Format) Name() string { return f.name }

// Declared reports what is missing before messages can be decoded, as a *catalog.Problem.
func (f *Format) Declared() error {
	if f.name == "JSON" && f.schema == nil {
		return &catalog.Problem{Key: "format", Code: diag.CannotInfer, Text: "the fields of JSON messages are not known",
			Hint: `Declare them in "schema", such as {type: object, properties: {device: {type: string}}}.`}
	}
	if f.name == "AVRO" && f.avro == nil && f.registry == nil {
		return &catalog.Problem{Key: "format", Code: diag.MissingKey, Text: "the fields of AVRO messages are not known",
			Hint: `Give the Avro schema in "schema", or the address of a schema registry, where the connector takes one.`}
	}
	return nil
}

// Bind finds the schema of the messages of a topic, where a schema registry has it. Before it, Schema may be empty.
func (f *Format) Bind(ctx context.Context, topic string) error {
	if err := f.Declared(); err != nil {
		return err
	}
	if f.name != "AVRO" || f.avro != nil {
		return nil
	}
	return f.bindAvro(ctx, topic)
}

// Schema returns the schema of the rows, without metadata.
func (f *Format) Schema() column.Schema { return f.schema }

// decoding is what a format does to messages.
type decoding interface {
	Decode(messages [][]byte, bad func(i int, err error) error) (cols []*column.Vector, rows []int32, err error)
}

// Decoder decodes messages for one worker.
type Decoder struct {
	d   decoding
	ctx context.Context // ends questions to a schema registry
}

// NewDecoder returns a decoder of some of the fields.
func (f *Format) NewDecoder(fields column.Schema) *Decoder {
	d := &Decoder{ctx: context.Background()}
	switch f.name {
	case "RAW", "STRING":
		d.d = newRaw(fields, f.name == "STRING")
	case "JSON":
		d.d = connector.NewJSONMessages(fields)
	case "AVRO":
		d.d = f.newAvroDecoder(fields, d)
	case "PROTO":
		d.d = f.proto.newDecoder(fields)
	}
	if f.framed && f.name != "AVRO" && f.name != "RAW" && f.name != "STRING" {
		d.d = &unframed{inner: d.d, proto: f.name == "PROTO"}
	}
	return d
}

// WithContext lets ctx end what the next calls of Decode ask of a schema registry.
func (d *Decoder) WithContext(ctx context.Context) { d.ctx = ctx }

// Decode decodes messages: rows[k] is the number of the message of row k. A message that cannot be decoded is given to bad, whose
// error ends the call. Columns and rows are valid until the next call.
func (d *Decoder) Decode(messages [][]byte, bad func(i int, err error) error) (cols []*column.Vector, rows []int32, err error) {
	return d.d.Decode(messages, bad)
}

// encoding is what a format makes of rows.
type encoding interface {
	append(dst []byte, b *column.Batch, i int) ([]byte, error)
}

// Encoder makes messages for one worker.
type Encoder struct{ e encoding }

// NewEncoder returns an encoder of rows of that schema. An error is a *catalog.Problem.
func (f *Format) NewEncoder(schema column.Schema) (*Encoder, error) {
	switch f.name {
	case "RAW", "STRING":
		return newRawEncoder(f.name, schema)
	case "JSON":
		return &Encoder{jsonEncoding{connector.NewJSONRows(schema)}}, nil
	case "AVRO":
		return f.newAvroEncoder(schema)
	}
	return f.proto.newEncoder(schema)
}

// Append appends the message of row i. An error is about that row alone; what was appended then does not count.
func (e *Encoder) Append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	return e.e.append(dst, b, i)
}

type jsonEncoding struct{ rows *connector.JSONRows }

func (e jsonEncoding) append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	return e.rows.Append(dst, b.Cols, i), nil
}
