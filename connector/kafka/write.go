package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	refuse "github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// WriteToKafka writes rows to a topic of Apache Kafka.
var WriteToKafka = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToKafka",
	Summary: "Writes rows to a topic of Apache Kafka.",
	Doc: `A row becomes a record. Its value is the row in the given format, without the fields of headers, partition and tombstone. The field of key stays in the
value, but in RAW and STRING, which hold one field.

**Key and partition**: a record with a key goes to the partition that the Java client would choose (murmur2), one without to any. A text or bytes is the key as
it is; numbers, true and false, and timestamps are written as text. A null is no key.

**Time**: a record has the time at which it was written, as in Beam. An event time that readers shall have goes into a field.

**Exactly once**: in a stream, unless exactly_once is false, the rows of an epoch are one transaction, which is committed when the checkpoint is durable. Readers need
isolation.level=read_committed to see nothing else, and see rows as late as checkpoint_interval. Rows are kept in the state directory besides, until
they are committed: when the process is down for longer than transaction.timeout.ms (10 minutes unless set), brokers give up the transaction, and the
rows are written again at the next start. Without a state directory such rows are lost, and the run ends with an error. Transactional ids and groups are called leat.JOB_NAME.TRANSFORM; a second run of that name takes over, and the
first one ends with an error. The user needs Write and Describe for the topic and for the transactional ids, and Read for the topic and the groups. After a downtime longer than the brokers' offsets.retention.minutes (7 days), rows of the last epoch may come twice, if the process
died in the moment between the checkpoint and the commit.

With exactly_once: false, and in bounded runs, rows are visible at once. What a crash interrupts comes again: at least once.

**Errors**: what may pass (a broker that is down, a partition without a leader) is tried again for ever, unless retry, retries or delivery.timeout.ms say otherwise. A row that
cannot be a record of the topic (larger than max.request.size or the topic's max.message.bytes, a value that the schema does not hold, a null where it has to
have a key or partition) goes to the error output; with exactly_once: false also one that the brokers refuse, or that retries and delivery.timeout.ms give up. A topic that is not there and that brokers do not create ends the run.

**Cost**: rows are sent at once, and gathered to batches while the brokers are busy. Up to buffer.memory (32 MiB) waits; then the pipeline does.`,
	Source: "https://beam.apache.org/releases/yamldoc/current/#writetokafka",
	Fields: append(append([]catalog.Field{
		{Name: "bootstrap_servers", Type: catalog.Text, Required: true, Doc: "The brokers to ask first: host:port, separated by commas."},
		{Name: "topic", Type: catalog.Text, Required: true, Doc: "The topic to write to."},
		{Name: "key", Type: catalog.Text, Doc: "The field that is the record's key."},
		{Name: "headers", Type: catalog.Text, Doc: "The field, a map, that is the record's headers."},
		{Name: "partition", Type: catalog.Text, Doc: "The field that is the number of the partition; null: as the key says."},
		{Name: "tombstone", Type: catalog.Text, Doc: "A field that is true where the record is to delete its key: it has no value then."},
		{Name: "exactly_once", Type: catalog.Boolean, Default: "true", Doc: "Whether a stream writes in transactions, each row once."},
		{Name: "producer_config_updates", Type: catalog.Object,
			Doc: "Settings by their names in the Java client: acks, linger.ms, compression.type, enable.idempotence, transaction.timeout.ms, delivery.timeout.ms, max.request.size, buffer.memory, security.protocol, sasl.mechanism, sasl.jaas.config, ssl.*."},
	}, message.Fields()...), retryField()),
	Example: `# Needs a broker at localhost:9092.
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {device: a, temp: 21.5}
          - {device: b, temp: 19.0}
    - type: WriteToKafka
      config:
        bootstrap_servers: localhost:9092
        topic: readings
        format: JSON
        key: device
`,
	Refuses: true,
	Open:    func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) { return newSink(config, env) },
	Check:   checkSink,
})

// retryField is the key "retry". There is no breaker: the client leaves brokers alone that are down.
func retryField() catalog.Field {
	for _, f := range retry.Fields() {
		if f.Name == "retry" {
			return f
		}
	}
	panic("retry has no such field")
}

// sink is WriteToKafka with its configuration understood.
type sink struct {
	settings *writeSettings
	format   *message.Format
	one      bool // the format holds one field
	env      *catalog.SinkEnv
}

// newSink reads a configuration.
func newSink(config map[string]any, env *catalog.SinkEnv) (*sink, error) {
	s := &writeSettings{acks: kgo.AllISRAcks(), idempotent: true, exactlyOnce: true, maxRequest: defaultMaxRequest, buffer: defaultBuffer, transaction: defaultTransaction}
	var errs []error
	problem := func(key string, code diag.Code, hint, format string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: key, Code: code, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	s.fields(config)
	if !validTopic(s.topic) {
		problem("topic", diag.BadValue, "A topic has up to 249 letters, digits, dots, underscores and hyphens.", "%q cannot be the name of a topic", s.topic)
	}
	if s.tombstone != "" && s.key == "" {
		problem("tombstone", diag.MissingKey, `Name the field that is the key by "key".`, "a record without a key cannot delete one")
	}
	if given, ok := config["exactly_once"].(bool); ok {
		s.exactlyOnce = given
	}
	updates, _ := config["producer_config_updates"].(map[string]any)
	errs = append(errs, s.producerOptions(updates))
	if env.Stream && s.exactlyOnce && !s.idempotent {
		problem("producer_config_updates", diag.BadValue, "Set exactly_once: false, or leave acks and enable.idempotence as they are.", "writing exactly once needs acks: all and idempotence")
	}
	if config["retry"] != nil {
		call, err := retry.FromConfig(map[string]any{"retry": config["retry"]})
		if err == nil {
			s.retry = &call.Policy
		}
		errs = append(errs, err)
	}
	connect, err := newClientOptions(config)
	s.connect = connect
	s.brokers, _ = config["bootstrap_servers"].(string)
	errs = append(errs, err)
	format, err := message.Open(config)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := kgo.ValidateOpts(s.producer(s.maxRequest)...); err != nil {
		return nil, &catalog.Problem{Key: "producer_config_updates", Code: diag.BadValue, Text: "the settings do not fit together: " + err.Error()}
	}
	return &sink{settings: s, format: format, one: onePayload(config), env: env}, nil
}

// onePayload reports whether the format holds one field.
func onePayload(config map[string]any) bool {
	name, _ := config["format"].(string)
	return name == "" || strings.EqualFold(name, "RAW") || strings.EqualFold(name, "STRING")
}

// validTopic reports whether brokers would take that name.
func validTopic(name string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}
	return name != "" && len(name) <= 249 && name != "." && name != ".." && !strings.ContainsFunc(name, other)
}

// checkSink reports which rows it cannot write. Of the configuration, whose secrets are still references, it needs no more than fields and format.
func checkSink(config map[string]any, schema column.Schema) error {
	format, err := message.Open(config)
	if err != nil {
		return err
	}
	s := &sink{settings: &writeSettings{}, format: format, one: onePayload(config)}
	s.settings.fields(config)
	_, _, err = s.layout(schema)
	return err
}

// layout finds what becomes of the fields, and an encoder of the message.
func (s *sink) layout(schema column.Schema) (layout, *message.Encoder, error) {
	l, problems := newLayout(s.settings, schema, s.one)
	if len(problems) > 0 {
		return l, nil, errors.Join(problems...)
	}
	enc, err := s.format.NewEncoder(l.schema)
	return l, enc, err
}

// Guarantee says what a stream can rely on.
func (s *sink) Guarantee() catalog.Guarantee {
	switch {
	case s.settings.acks == kgo.NoAck():
		return catalog.AtMostOnce
	case s.settings.exactlyOnce:
		return catalog.ExactlyOnce
	}
	return catalog.AtLeastOnce
}

// Ping asks the brokers for the topic.
func (s *sink) Ping(ctx context.Context) error {
	srv, err := newServer(s.settings)
	if err != nil {
		return err
	}
	defer srv.close()
	err = srv.topicOnce(ctx, s.settings.topic, false)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil // it may be created by the first row; Open says so where not
	}
	return explain(s.settings.topic, refusal(s.settings.brokers, err))
}

// Open finds the topic, and begins writing.
func (s *sink) Open(ctx context.Context, schema column.Schema) (catalog.Writer, error) {
	l, _, err := s.layout(schema)
	if err != nil {
		return nil, err
	}
	srv, err := newServer(s.settings)
	if err != nil {
		return nil, err
	}
	limit, err := srv.open(ctx, s.settings)
	if err != nil {
		srv.close()
		return nil, err
	}
	rows := refuse.NewBox(s.env)
	newEncoder := func(to sender) catalog.Encoder {
		format, err := s.format.NewEncoder(l.schema)
		return &encoder{to: to, layout: l, format: format, err: err, topic: s.settings.topic, limit: limit, rows: rows}
	}
	if s.env.Stream && s.settings.exactlyOnce {
		rows = nil // a record that fails ends its transaction
		return &exactSink{exactWriter: newExactWriter(s.settings, s.env, srv, limit), encoder: newEncoder}, nil
	}
	srv.close()
	w, err := newPlainWriter(s.settings, limit, rows)
	if err != nil {
		return nil, err
	}
	return &plainSink{plainWriter: w, encoder: newEncoder}, nil
}

// open finds the topic, and how large a record may be.
func (s *server) open(ctx context.Context, settings *writeSettings) (limit int, err error) {
	if err := s.findTopic(ctx, settings.topic); err != nil {
		return 0, err
	}
	limit = settings.maxRequest
	if most := s.topicLimit(ctx, settings.topic); most > 0 {
		limit = min(limit, max(most, 512))
	}
	return limit, nil
}

type exactSink struct {
	*exactWriter
	encoder func(sender) catalog.Encoder
}

// NewEncoder returns an encoder for one worker.
func (s *exactSink) NewEncoder() catalog.Encoder { return s.encoder(s.exactWriter) }

type plainSink struct {
	*plainWriter
	encoder func(sender) catalog.Encoder
}

// NewEncoder returns an encoder for one worker.
func (s *plainSink) NewEncoder() catalog.Encoder { return s.encoder(s.plainWriter) }

var (
	_ catalog.Transactional = (*exactSink)(nil)
	_ catalog.Cutter        = (*exactSink)(nil)
	_ catalog.Metered       = (*exactSink)(nil)
	_ catalog.Syncer        = (*plainSink)(nil)
	_ catalog.Refuser       = (*plainSink)(nil)
	_ catalog.Cutter        = (*plainSink)(nil)
	_ catalog.Metered       = (*plainSink)(nil)
	_ catalog.Guaranteed    = (*sink)(nil)
	_ catalog.Pinger        = (*sink)(nil)
)
