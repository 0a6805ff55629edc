package mqtt

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/contract"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/internal/services"
)

const contractSecret = "s3cret-word"

func bound(connector, version string, more map[string]any, wrong ...contract.Wrong) contract.Bound {
	return contract.Bound{
		Connector: connector, Secret: contractSecret, Pings: true, Wrong: wrong,
		Config: func(address string) map[string]any {
			config := map[string]any{"url": "mqtt://u:" + contractSecret + "@" + address, "version": version, "format": "JSON"}
			maps.Copy(config, more)
			return config
		},
	}
}

func TestContractSource(t *testing.T) {
	for _, version := range versions {
		keys := map[string]any{"schema": column.RowOf(contract.RowSchema), "dedup": "id", "topics": "t", "qos": int64(1)}
		known := version == version5 // bad messages, too: else a broker that sends them again is believed
		if known {
			keys["dedup"] = "message_id"
		}
		t.Run(version, func(t *testing.T) {
			contract.Source(t, contract.SourceCase{
				Bound: bound("ReadFromMqtt", version, keys,
					contract.Wrong{Name: "broker, quality and topics", Set: map[string]any{"url": "http://u:" + contractSecret + "@h", "qos": int64(3), "topics": "a/#/b"},
						Want: map[string]diag.Code{"url": diag.BadValue, "qos": diag.BadValue, "topics": diag.BadValue}},
					contract.Wrong{Name: "sharing and dedup", Set: map[string]any{"shared": "a/b", "dedup": "nothing"}, Want: map[string]diag.Code{"shared": diag.BadValue, "dedup": diag.UnknownField}},
				),
				Resumes: true, Acknowledges: true, Partitions: true, Meters: true, TakesBad: known,
				Start: func(t *testing.T) *contract.Place {
					address := services.MQTT(t)
					config := map[string]any{"url": "mqtt://" + address, "version": version, "format": "JSON"}
					maps.Copy(config, keys)
					topic := topicFor(t)
					config["topics"] = topic
					l := publisher(t, address, version)
					return &contract.Place{
						Config: config,
						Ready:  func(t *testing.T, r catalog.Reader) { until(t, func() bool { return r.(*reader).online.Load() }) },
						Put: func(t *testing.T, messages []contract.Message) {
							for _, m := range messages {
								send(t, l, publication{topic: topic, payload: m.JSON(), qos: 1, id: fmt.Sprint(m.ID)})
							}
						},
					}
				},
			})
		})
	}
}

func TestContractSink(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			contract.Sink(t, contract.SinkCase{
				Bound: bound("WriteToMqtt", version, map[string]any{"topic": "t"},
					contract.Wrong{Name: "broker, quality and topic", Set: map[string]any{"url": "h", "qos": int64(7), "topic": "a/#"},
						Want: map[string]diag.Code{"url": diag.BadValue, "qos": diag.BadValue, "topic": diag.BadValue}}),
				Syncs: true, Refuses: true, Meters: true,
				Start: func(t *testing.T) *contract.Target {
					address, topic := services.MQTT(t), topicFor(t)
					var mu sync.Mutex
					var got [][]byte
					s, p := readSettings(map[string]any{"url": "mqtt://" + address, "version": version})
					if p != nil {
						t.Fatal(p.err())
					}
					l, err := s.dial(t.Context(), wish{clientID: randomID(), filters: []string{topic}, receive: func(d delivery) {
						mu.Lock()
						defer mu.Unlock()
						got = append(got, slices.Clone(d.payload))
						d.ack()
					}})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(l.close)
					x := &contract.Target{Config: map[string]any{"url": "mqtt://" + address, "version": version, "topic": topic, "format": "JSON"}}
					x.Read = func(t *testing.T, schema column.Schema) [][]column.Value {
						mu.Lock()
						defer mu.Unlock()
						return contract.Decode(t, schema, got)
					}
					x.Types, x.TypeRows = contract.JSONTypes()
					return x
				},
			})
		})
	}
}
