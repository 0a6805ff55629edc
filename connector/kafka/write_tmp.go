package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
)

func messageFields() []catalog.Field {
	return []catalog.Field{{Name: "format", Type: catalog.Text, Doc: "x."}}
}

type rawEncoder struct{}

func (rawEncoder) Append(dst []byte, b *column.Batch, i int) ([]byte, error) {
	return append(dst, b.Cols[0].Bin(i)...), nil
}

type tmpFormat struct{}

func openFormat(map[string]any) (*tmpFormat, error) { return &tmpFormat{}, nil }

func (*tmpFormat) NewEncoder(s column.Schema) (rowEncoder, error) {
	if len(s) != 1 {
		return nil, errors.New("one field")
	}
	return rawEncoder{}, nil
}

func ownClientOptions(config map[string]any) ([]kgo.Opt, error) {
	return []kgo.Opt{kgo.SeedBrokers(config["bootstrap_servers"].(string))}, nil
}
