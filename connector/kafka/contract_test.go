package kafka

import (
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/contract"
	"github.com/leat-project/leat/diag"
)

// login is a configuration with a password in it.
func login(kind, address string) map[string]any {
	return map[string]any{"bootstrap_servers": address, "topic": "t", kind: map[string]any{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
		"sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="s3cret-word";`}}
}

func TestContractSource(t *testing.T) {
	contract.Source(t, contract.SourceCase{
		Bound: contract.Bound{
			Connector: "ReadFromKafka", Secret: "s3cret-word", Pings: true,
			Config: func(address string) map[string]any { return login("consumer_config", address) },
			Wrong: []contract.Wrong{
				{Name: "topic and end", Set: map[string]any{"topic": "/(/", "until": "tomorrow"}, Want: map[string]diag.Code{"topic": diag.BadValue, "until": diag.BadValue}},
				{Name: "format and time", Set: map[string]any{"format": "JSON", "max_read_time_seconds": int64(-1)}, Want: map[string]diag.Code{"format": diag.CannotInfer, "max_read_time_seconds": diag.BadValue}},
				{Name: "setting", Set: map[string]any{"consumer_config": map[string]any{"fetch.min.byte": int64(1)}}, Want: map[string]diag.Code{"consumer_config": diag.UnknownKey}},
			},
		},
		Resumes: true, Acknowledges: true, Partitions: true, Meters: true, TakesBad: true,
		Start: func(t *testing.T) *contract.Place {
			rig := newRig(t, 3, nil)
			rig.settled(t)
			config := rig.with(map[string]any{"format": "JSON", "schema": column.RowOf(contract.RowSchema),
				"consumer_config": map[string]any{"fetch.max.wait.ms": int64(50), "metadata.max.age.ms": int64(200)}})
			return &contract.Place{Config: config, Parts: 3, Put: func(t *testing.T, messages []contract.Message) {
				var records []*kgo.Record
				for _, m := range messages {
					records = append(records, &kgo.Record{Partition: int32(m.ID % 3), Value: m.JSON()})
				}
				rig.produce(records...)
			}}
		},
	})
}

func TestContractSink(t *testing.T) {
	limit := "2000"
	sink := func(keys map[string]any) contract.SinkCase {
		return contract.SinkCase{
			Bound: contract.Bound{
				Connector: "WriteToKafka", Secret: "s3cret-word", Pings: true,
				Config: func(address string) map[string]any {
					config := login("producer_config_updates", address)
					config["format"] = "JSON"
					maps.Copy(config, keys)
					return config
				},
				Wrong: []contract.Wrong{
					{Name: "topic, tombstone and format", Set: map[string]any{"topic": "a b", "tombstone": "gone", "format": "YAML"},
						Want: map[string]diag.Code{"topic": diag.BadValue, "tombstone": diag.MissingKey, "format": diag.BadValue}},
					{Name: "setting", Set: map[string]any{"producer_config_updates": map[string]any{"linger": int64(1)}}, Want: map[string]diag.Code{"producer_config_updates": diag.UnknownKey}},
				},
			},
			Meters: true, Cuts: true,
			Start: func(t *testing.T) *contract.Target {
				rig := newRig(t, 3, map[string]*string{"max.message.bytes": &limit})
				rig.settled(t)
				x := &contract.Target{Job: rig.topic, Config: rig.with(map[string]any{"format": "JSON"}), Refused: strings.Repeat("x", 3000)}
				maps.Copy(x.Config, keys)
				x.Read = func(t *testing.T, schema column.Schema) [][]column.Value {
					rig.t = t
					var messages [][]byte
					for _, record := range rig.read() {
						messages = append(messages, record.Value)
					}
					return contract.Decode(t, schema, messages)
				}
				x.Types, x.TypeRows = contract.JSONTypes()
				return x
			},
		}
	}
	exact := sink(nil)
	exact.Transactional = true
	t.Run("exactly once", func(t *testing.T) { contract.Sink(t, exact) })
	plain := sink(map[string]any{"exactly_once": false})
	plain.Syncs, plain.Refuses = true, true
	t.Run("at least once", func(t *testing.T) { contract.Sink(t, plain) })
}

// settled waits until the broker knows the topic that it has just made.
func (r *rig) settled(t *testing.T) {
	t.Helper()
	admin := r.admin()
	for {
		topics, err := admin.ListTopics(t.Context(), r.topic)
		if err != nil {
			t.Fatal(err)
		}
		if topics.Error() == nil {
			return
		}
	}
}
