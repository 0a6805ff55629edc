package message

import (
	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector"
)

// jsonCodec is JSON: a message is an object.
type jsonCodec struct{}

func openJSON(config map[string]any) (codec, column.Schema, error) {
	schema, _ := catalog.DeclaredSchema(config, "schema")
	return jsonCodec{}, schema, nil
}

func (jsonCodec) decoder(fields column.Schema) decoder {
	return jsonDecoder{connector.NewJSONMessages(fields)}
}

type jsonDecoder struct{ *connector.JSONMessages }

func (d jsonDecoder) decode(messages [][]byte, bad func(i int, err error) error) ([]*column.Vector, []int32, error) {
	return d.Decode(messages, bad)
}

func (jsonCodec) encoder(schema column.Schema) (encoder, error) {
	return jsonEncoder{connector.NewJSONRows(schema)}, nil
}

type jsonEncoder struct{ rows *connector.JSONRows }

func (e jsonEncoder) append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	return e.rows.Append(dst, b, i), nil
}
