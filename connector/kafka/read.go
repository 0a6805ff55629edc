package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/envelope"
	"github.com/leat-project/leat/diag"
)

// readMeta is what is known of a record beside its value.
var readMeta = []envelope.Meta{
	{Name: "key", Type: column.BytesType.OrNull()}, {Name: "headers", Type: column.MapOf(column.BytesType)}, {Name: "topic", Type: column.StringType},
	{Name: "partition", Type: column.IntType}, {Name: "offset", Type: column.IntType}, {Name: "timestamp", Type: column.TimeType},
}

// ReadFromKafka reads topics.
var ReadFromKafka = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromKafka",
	Summary: "Reads the records of Kafka topics, a row each.",
	Doc: `
The value of a record becomes a row by "format". "metadata" adds fields: key (bytes), headers (a map to bytes), topic, partition, offset, timestamp.

**Time**: rows have the record's timestamp, by partition; "timestamp" and "watermark" say otherwise.

**Where it begins**: a first run begins where "auto_offset_reset_config" says; after that the checkpoint says where, not the consumer group. The group
(group.id, by default leat. and the job's name) is told after each checkpoint, for who looks on. Partitions and topics that are new while it runs are read from their beginning.

**Errors**: a record that cannot be decoded is an error record (element: the value; file: topic and partition; line: offset). When the broker has removed
records that the checkpoint still needs, the run fails.

**Several processes**: with assignment: group those that have the same group.id share the partitions, and the others take over from one that goes. Each has its own job_name and state directory. Positions are
committed to the group when a checkpoint has made the rows durable; what was read since is read again by who takes over (at least once), so the pipeline may
keep no state: aggregates, AnomalyDetection and models with a state are refused. A partition without a commit begins where auto_offset_reset_config says.
session.timeout.ms is how long a process may be silent (45 s unless set), heartbeat.interval.ms how often it says that it is there.

**Tombstones**: a record without a value is an error record, too, unless the metadata key is asked for: then it is a row whose other fields are null, and every field of
the value may be null.

**Schema registry**: with confluent_schema_registry_url, values begin with the number of their schema, as Confluent's serializers write them. Of AVRO the fields are
those of the subject's newest schema, unless "schema" gives others; each value is read by the schema that it was written with, and a field that it lacks is null.

**Exactly once**: positions are part of the checkpoint. Transactions that are not committed are not seen (isolation.level: read_committed).

**Logging in**: consumer_config takes the Java client's keys for PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and TLS with PEM files. Brokers that do not let us in end the run; those that
cannot be reached are asked again.

**Cost**: values are decoded in parallel straight into columns, the needed fields only.
`,
	Source: "https://beam.apache.org/releases/yamldoc/current/#readfromkafka",
	Stream: true,
	Fields: append([]catalog.Field{
		{Name: "bootstrap_servers", Type: catalog.Text, Required: true, Doc: "The brokers, host:port, several with commas."},
		{Name: "topic", Type: catalog.AnyValue, Required: true, Doc: "A topic, a list of them, or a pattern in slashes: /meters-.*/."},
		{Name: "consumer_config", Type: catalog.Object, Doc: "Settings by the names of the Java client: security.protocol, sasl.*, ssl.*, group.id, isolation.level, fetch.*, session.timeout.ms, heartbeat.interval.ms."},
		{Name: "auto_offset_reset_config", Type: catalog.Text, Enum: []string{"earliest", "latest"}, Default: "earliest", Doc: "Where a first run begins."},
		{Name: "confluent_schema_registry_url", Type: catalog.Text, Doc: "The address of a Confluent schema registry; a user and a password may stand in it."},
		{Name: "confluent_schema_registry_subject", Type: catalog.Text, Doc: "The subject of the values; by default the topic's name and -value."},
		{Name: "max_read_time_seconds", Type: catalog.Number, Doc: "End after so long."},
		{Name: "until", Type: catalog.Text, Doc: "End at what is there now (latest), or at this time (RFC 3339) of the records."},
		{Name: "assignment", Type: catalog.Text, Enum: []string{"checkpoint", "group"}, Default: "checkpoint", Doc: "Who says which partitions are read: this process reads all (checkpoint), or the members of a consumer group share them (group)."},
	}, envelope.Fields(readMeta)...),
	Example: `# Needs a broker at 127.0.0.1:9092.
pipeline:
  type: chain
  transforms:
    - type: ReadFromKafka
      config:
        bootstrap_servers: 127.0.0.1:9092
        topic: meters
        format: JSON
        schema: {type: object, properties: {device: {type: string}, value: {type: number}, at: {type: string}}}
        timestamp: at
        watermark: {disorder: 5s}
    - type: Combine
      windowing: {type: fixed, size: 1m}
      config:
        group_by: device
        combine: {value: mean}
    - type: LogForTesting
`,
	Open: func(config map[string]any) (catalog.Source, error) { return newReadSource(config) },
})

// readSource is ReadFromKafka with its configuration understood.
type readSource struct {
	rows    *envelope.Rows
	brokers string
	keyed   bool // the metadata key is asked for: tombstones are rows
	connect []kgo.Opt
	fetch   []kgo.Opt
	topics  []string
	pattern *regexp.Regexp
	latest  bool
	group   string
	// With assignment: group.
	assigned   bool
	membership []kgo.Opt
	until      int64 // milliseconds; 0: no end; math.MaxInt64: what is there
	most       time.Duration
	refresh    time.Duration
}

var (
	_ catalog.Endless    = (*readSource)(nil)
	_ catalog.Guaranteed = (*readSource)(nil)
	_ catalog.Pinger     = (*readSource)(nil)
	_ catalog.Shared     = (*readSource)(nil)
)

func newReadSource(config map[string]any) (*readSource, error) {
	s := &readSource{refresh: 10 * time.Second}
	var errs []error
	fail := func(key string, code diag.Code, hint, format string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: key, Code: code, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	var err error
	if s.rows, err = envelope.Open(config, readMeta, nil); err != nil {
		errs = append(errs, err)
	} else if err := s.rows.Format.Declared(); err != nil {
		errs = append(errs, err)
	}
	if given, ok := config["metadata"].(map[string]any); ok {
		for _, what := range given {
			s.keyed = s.keyed || what == "key"
		}
	}
	s.brokers, _ = config["bootstrap_servers"].(string)
	if s.connect, err = newClientOptions(config); err != nil {
		errs = append(errs, err)
	}
	if err := s.topic(config["topic"]); err != nil {
		errs = append(errs, err)
	}
	s.latest = config["auto_offset_reset_config"] == "latest"
	s.assigned = config["assignment"] == "group"
	if s.pattern != nil && config["confluent_schema_registry_url"] != nil && config["confluent_schema_registry_subject"] == nil && config["format"] == "AVRO" && config["schema"] == nil {
		fail("topic", diag.MissingKey, `Give "confluent_schema_registry_subject", or "schema".`, "a pattern does not say which subject of the schema registry has the fields")
	}
	errs = append(errs, s.ending(config))
	settings, _ := config["consumer_config"].(map[string]any)
	errs = append(errs, s.consumer(settings))
	if s.assigned {
		errs = append(errs, s.groupSettings())
	}
	return s, errors.Join(errs...)
}

// ending reads when the source ends.
func (s *readSource) ending(config map[string]any) error {
	var errs []error
	problem := func(key, format string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf(format, args...)})
	}
	switch until, _ := config["until"].(string); until {
	case "":
	case "latest":
		s.until = math.MaxInt64
	default:
		at, err := time.Parse(time.RFC3339, until)
		if err != nil {
			problem("until", `wanted "latest", or a time such as 2026-01-31T12:00:00Z, found %q`, until)
		}
		s.until = at.UnixMilli()
	}
	switch v := config["max_read_time_seconds"].(type) {
	case int64:
		s.most = time.Duration(v) * time.Second
	case float64:
		s.most = time.Duration(v * float64(time.Second))
	}
	if s.most < 0 {
		problem("max_read_time_seconds", "wanted a positive number")
	}
	return errors.Join(errs...)
}

// topic reads the key "topic".
func (s *readSource) topic(v any) error {
	problem := func(format string, args ...any) error {
		return &catalog.Problem{Key: "topic", Code: diag.BadValue, Text: fmt.Sprintf(format, args...), Hint: "Write a name, a list of names, or a pattern in slashes."}
	}
	switch v := v.(type) {
	case string:
		if len(v) > 2 && v[0] == '/' && strings.HasSuffix(v, "/") {
			p, err := regexp.Compile("^(?:" + v[1:len(v)-1] + ")$")
			if err != nil {
				return problem("the pattern cannot be understood: %v", err)
			}
			s.pattern = p
			return nil
		}
		s.topics = []string{v}
	case []any:
		for _, e := range v {
			name, ok := e.(string)
			if !ok {
				return problem("wanted the name of a topic, found %v", e)
			}
			s.topics = append(s.topics, name)
		}
	default:
		return problem("wanted the name of a topic, found %v", v)
	}
	if len(s.topics) == 0 || slices.Contains(s.topics, "") {
		return problem("wanted the name of a topic, found none")
	}
	slices.Sort(s.topics)
	s.topics = slices.Compact(s.topics)
	return nil
}

// Memory that what is read ahead may take, unless consumer_config says otherwise.
const (
	fetchBytes     = 16 << 20
	partitionBytes = 1 << 20
)

// consumerNumbers are the settings of the Java client's consumer that hold a number and change something here.
var consumerNumbers = map[string]func(s *readSource, n int32){
	"fetch.min.bytes":           func(s *readSource, n int32) { s.fetch = append(s.fetch, kgo.FetchMinBytes(n)) },
	"fetch.max.bytes":           func(s *readSource, n int32) { s.fetch = append(s.fetch, kgo.FetchMaxBytes(n)) },
	"max.partition.fetch.bytes": func(s *readSource, n int32) { s.fetch = append(s.fetch, kgo.FetchMaxPartitionBytes(n)) },
	"fetch.max.wait.ms":         func(s *readSource, n int32) { s.fetch = append(s.fetch, kgo.FetchMaxWait(millis(n))) },
	"session.timeout.ms":        func(s *readSource, n int32) { s.membership = append(s.membership, kgo.SessionTimeout(millis(n))) },
	"heartbeat.interval.ms":     func(s *readSource, n int32) { s.membership = append(s.membership, kgo.HeartbeatInterval(millis(n))) },
	"metadata.max.age.ms": func(s *readSource, n int32) {
		s.refresh = max(millis(n), 100*time.Millisecond)
		s.fetch = append(s.fetch, kgo.MetadataMinAge(100*time.Millisecond))
	},
}

// consumerIgnored are those that have a good value here, or that something else decides.
var consumerIgnored = []string{"auto.offset.reset", "enable.auto.commit", "auto.commit.interval.ms", "max.poll.records", "max.poll.interval.ms", "request.timeout.ms",
	"partition.assignment.strategy", "default.api.timeout.ms", "key.deserializer", "value.deserializer", "check.crcs", "client.rack"}

func millis(n int32) time.Duration { return time.Duration(n) * time.Millisecond }

// consumer reads the settings of the Java client that are the consumer's.
func (s *readSource) consumer(settings map[string]any) error {
	isolation := kgo.ReadCommitted()
	s.fetch = []kgo.Opt{kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(partitionBytes), kgo.FetchMaxWait(500 * time.Millisecond), kgo.MaxConcurrentFetches(2)}
	var errs []error
	bad := func(code diag.Code, hint, format string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: "consumer_config", Code: code, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		value := fmt.Sprint(settings[key])
		number := consumerNumbers[key]
		switch {
		case number != nil:
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil || n < 0 {
				bad(diag.BadValue, "", "wanted a number for %s, found %q", key, value)
				continue
			}
			number(s, int32(n))
		case key == "group.id":
			s.group = value
		case key == "isolation.level" && value == "read_uncommitted":
			isolation = kgo.ReadUncommitted()
		case key == "isolation.level" && value != "read_committed":
			bad(diag.BadValue, "It is read_committed or read_uncommitted.", "no isolation.level is named %q", value)
		case key != "isolation.level" && !slices.Contains(consumerIgnored, key) && !isConnectionKey(key):
			known := append(slices.Sorted(maps.Keys(consumerNumbers)), "group.id", "isolation.level")
			bad(diag.UnknownKey, diag.DidYouMean(key, "keys", known), "the consumer has no key %q", key)
		}
	}
	s.fetch = append(s.fetch, kgo.FetchIsolationLevel(isolation))
	return errors.Join(errs...)
}

// Unbounded reports whether it goes on for ever.
func (s *readSource) Unbounded() bool { return s.until == 0 && s.most == 0 }

// ServerTimes returns true: brokers set the time of records where the topic asks for it.
func (s *readSource) ServerTimes() bool { return true }

// Guarantee is exactly once where positions are part of the checkpoint.
func (s *readSource) Guarantee() catalog.Guarantee {
	if s.assigned {
		return catalog.AtLeastOnce
	}
	return catalog.ExactlyOnce
}

// Schema returns that of the format, and the metadata. A schema registry is asked where it has the fields.
func (s *readSource) Schema(ctx context.Context) (column.Schema, error) {
	topic := ""
	if len(s.topics) > 0 {
		topic = s.topics[0]
	}
	if err := s.rows.Format.Bind(ctx, topic); err != nil {
		return nil, err
	}
	schema := s.rows.Schema()
	for i := range schema {
		if s.keyed && s.rows.Holds(schema[i].Name) == "" && schema[i].Type.Kind != column.Any {
			schema[i].Type = schema[i].Type.OrNull()
		}
	}
	return schema, nil
}

// Ping asks the brokers who they are.
func (s *readSource) Ping(ctx context.Context) error {
	client, err := kgo.NewClient(s.connect...)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kadm.NewClient(client).BrokerMetadata(ctx)
	return refusal(s.brokers, err)
}

// Open makes a reader. Nothing is asked of the brokers before the first Next.
func (s *readSource) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	if s.assigned {
		return &member{reader: newReader(s, fields)}, nil
	}
	return newReader(s, fields), nil
}
