// Package message turns single messages, as brokers and HTTP carry them, into rows and rows into messages. A connector brings the bytes and what it
// knows beside them; the formats are the same for all.
package message

import (
	"fmt"
	"maps"
	"slices"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/diag"
)

// Payload is the field of the formats RAW and STRING.
const Payload = "payload"

// Fields are the keys of a configuration that say what messages hold.
func Fields() []catalog.Field {
	return []catalog.Field{
		{Name: "format", Type: catalog.Text, Enum: slices.Sorted(maps.Keys(formats)), Default: "RAW", Doc: "What a message holds: RAW and STRING have one field, payload."},
		{Name: "schema", Type: catalog.Schema, Doc: "Of JSON: the JSON schema of a message."},
	}
}

// Format is a format with its configuration understood.
type Format struct {
	Name   string
	schema column.Schema
	codec  codec
}

// codec is what each format is.
type codec interface {
	decoder(fields column.Schema) decoder
	encoder(schema column.Schema) (encoder, error)
}

type decoder interface {
	decode(messages [][]byte, bad func(i int, err error) error) (cols []*column.Vector, rows []int32, err error)
}

type encoder interface {
	append(dst []byte, b *column.Batch, i int) ([]byte, error)
}

// formats open the formats by name. They return the schema of rows; nil: what is read is not declared.
var formats = map[string]func(config map[string]any) (codec, column.Schema, error){
	"RAW": func(map[string]any) (codec, column.Schema, error) {
		return raw{column.BytesType}, payloadOf(column.BytesType), nil
	},
	"STRING": func(map[string]any) (codec, column.Schema, error) {
		return raw{column.StringType}, payloadOf(column.StringType), nil
	},
	"JSON": openJSON,
}

// Open understands the keys of Fields. Errors are *catalog.Problem.
func Open(config map[string]any) (*Format, error) {
	name, _ := config["format"].(string)
	if name == "" {
		name = "RAW"
	}
	open := formats[name]
	if open == nil {
		return nil, &catalog.Problem{Key: "format", Code: diag.BadValue, Text: fmt.Sprintf("no format is named %q", name),
			Hint: diag.DidYouMean(name, "formats", slices.Sorted(maps.Keys(formats)))}
	}
	c, schema, err := open(config)
	if err != nil {
		return nil, err
	}
	return &Format{Name: name, schema: schema, codec: c}, nil
}

// Schema returns the schema of the rows that messages become. Writing needs none.
func (f *Format) Schema() column.Schema { return f.schema }

// Declared reports whether messages can be read: whether the format, or the configuration, says what they hold.
func (f *Format) Declared() error {
	if f.schema != nil {
		return nil
	}
	return &catalog.Problem{Key: "format", Code: diag.CannotInfer, Text: fmt.Sprintf("messages of format %s need a schema, which is not given", f.Name),
		Hint: "Declare it: schema: {type: object, properties: {device: {type: string}, value: {type: number}}}."}
}

// Decoder turns messages into columns. It is for one goroutine.
type Decoder struct{ d decoder }

// NewDecoder returns a decoder of some of the fields of Schema, in their order.
func (f *Format) NewDecoder(fields column.Schema) *Decoder { return &Decoder{f.codec.decoder(fields)} }

// Decode decodes messages: row k is that of message rows[k]. bad is told of each message that cannot be decoded; its error ends the decoding. What is returned is
// valid until the next call.
func (d *Decoder) Decode(messages [][]byte, bad func(i int, err error) error) (cols []*column.Vector, rows []int32, err error) {
	return d.d.decode(messages, bad)
}

// Encoder turns rows into messages. It is for one goroutine.
type Encoder struct{ e encoder }

// NewEncoder returns an encoder of rows of that schema. The error is a *catalog.Problem where the format cannot hold them.
func (f *Format) NewEncoder(schema column.Schema) (*Encoder, error) {
	e, err := f.codec.encoder(schema)
	return &Encoder{e}, err
}

// Append appends the message of row i of b.
func (e *Encoder) Append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	return e.e.append(dst, b, i)
}
