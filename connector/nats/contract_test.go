package nats

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/contract"
	"github.com/leat-project/leat/diag"
)

const contractSecret = "s3cret-word"

func bound(connector string, more map[string]any, wrong ...contract.Wrong) contract.Bound {
	return contract.Bound{
		Connector: connector, Secret: contractSecret, Pings: true, Wrong: wrong,
		Config: func(address string) map[string]any {
			config := map[string]any{"url": "nats://u:" + contractSecret + "@" + address, "stream": "s", "format": "JSON"}
			maps.Copy(config, more)
			return config
		},
	}
}

func TestContractSource(t *testing.T) {
	schema := map[string]any{"schema": column.RowOf(contract.RowSchema)}
	contract.Source(t, contract.SourceCase{
		Bound: bound("ReadFromNats", schema,
			contract.Wrong{Name: "server, stream and beginning", Set: map[string]any{"url": "http://u:" + contractSecret + "@h", "stream": "a b", "deliver": "some"},
				Want: map[string]diag.Code{"url": diag.BadValue, "stream": diag.BadValue, "deliver": diag.BadValue}},
			contract.Wrong{Name: "format and consumer", Set: map[string]any{"format": "YAML", "durable": "a.b"}, Want: map[string]diag.Code{"format": diag.BadValue, "durable": diag.BadValue}},
		),
		Resumes: true, Partitions: true, Meters: true, TakesBad: true,
		Start: func(t *testing.T) *contract.Place {
			js, name, config := server(t)
			config["format"] = "JSON"
			maps.Copy(config, schema)
			return &contract.Place{Config: config, Put: func(t *testing.T, messages []contract.Message) {
				for _, m := range messages {
					if _, err := js.Publish(t.Context(), name+".a", m.JSON()); err != nil {
						t.Fatal(err)
					}
				}
			}}
		},
	})
}

func TestContractSink(t *testing.T) {
	contract.Sink(t, contract.SinkCase{
		Bound: bound("WriteToNats", map[string]any{"subject": "a.b"},
			contract.Wrong{Name: "server, subject and format", Set: map[string]any{"url": "h", "subject": "a.*", "format": "YAML"},
				Want: map[string]diag.Code{"url": diag.BadValue, "subject": diag.BadValue, "format": diag.BadValue}}),
		Syncs: true, Refuses: true, Meters: true,
		Start: func(t *testing.T) *contract.Target {
			js, name, config := server(t)
			config["format"], config["subject"] = "JSON", name+".a"
			x := &contract.Target{Config: config, Refused: strings.Repeat("x", 2<<20)} // the server takes 1 MiB
			x.Read = func(t *testing.T, schema column.Schema) [][]column.Value {
				return contract.Decode(t, schema, stored(t, js, name))
			}
			x.Types, x.TypeRows = contract.JSONTypes()
			return x
		},
	})
}

// stored are the messages of a stream.
func stored(t *testing.T, js jetstream.JetStream, name string) (out [][]byte) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for at := info.State.FirstSeq; at <= info.State.LastSeq; at++ {
		m, err := stream.GetMsg(t.Context(), at)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m.Data)
	}
	return out
}
