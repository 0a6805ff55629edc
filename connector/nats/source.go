package nats

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/envelope"
	"github.com/leat-project/leat/diag"
)

// The numbers of known.
const (
	metaSubject = iota
	metaSequence
	metaTimestamp
	metaHeaders
)

// known is what there is of each message beside its bytes.
var known = []envelope.Meta{
	metaSubject:   {Name: "subject", Type: column.StringType},
	metaSequence:  {Name: "sequence", Type: column.IntType},
	metaTimestamp: {Name: "timestamp", Type: column.TimeType},
	metaHeaders:   {Name: "headers", Type: column.MapOf(column.StringType)},
}

// ReadFromNats reads a stream of NATS JetStream.
var ReadFromNats = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromNats",
	Summary: "Reads the messages of a NATS JetStream stream.",
	Doc: "A row is a message, by its format.\n\n" +
		"**Time**: the time at which the server stored the message.\n\n" +
		"**Exactly once**: the position is the sequence of a message in the stream. The checkpoint keeps it, and not the server, so a restart reads on where " +
		"the checkpoint stands, and a stream that was made anew, or that has dropped messages which had not been read yet (`max_age`, `max_msgs`, `max_bytes`, a purge), ends the run: `leat state drop --part NAME` goes on without them. " +
		"A stream that keeps only so many messages of each subject (`max_msgs_per_subject`) drops older ones by intent, which ends nothing. A stream by interest keeps nothing for a reader that is away, and a work " +
		"queue cannot be read by position: use `limits`.\n\n" +
		"**Errors**: a message that cannot be decoded is an error record. A server that cannot be reached is tried again for ever; one that does not let us in, or " +
		"has no such stream, ends the run.",
	Source: "https://docs.nats.io/nats-concepts/jetstream",
	Stream: true,
	Fields: append(append(connectionFields(),
		catalog.Field{Name: "deliver", Type: catalog.Text, Default: "all", Enum: []string{"all", "new", "last"}, Doc: "Where a first run begins: at the oldest message, after the newest, or at the newest."},
		catalog.Field{Name: "durable", Type: catalog.Text, Doc: "How the consumer is called at the server, for those who watch it. Positions are in the checkpoint."},
	), envelope.Fields(known)...),
	Example: `# Needs a server at localhost:4222, and does not end.
pipeline:
  type: chain
  transforms:
    - type: ReadFromNats
      config:
        url: nats://localhost:4222
        stream: ORDERS
        subject: orders.>
        format: JSON
        schema: {type: object, properties: {id: {type: integer}}}
    - type: LogForTesting
`,
	Open: openSource,
})

// source is ReadFromNats with its configuration understood.
type source struct {
	*settings
	deliver string
	durable string
	look    time.Duration // how often a silent subject is compared with its stream
	rows    *envelope.Rows
}

var (
	_ catalog.Endless    = (*source)(nil)
	_ catalog.Guaranteed = (*source)(nil)
	_ catalog.Pinger     = (*source)(nil)
)

func openSource(config map[string]any) (catalog.Source, error) {
	settings, p := readSettings("ReadFromNats", config)
	s := &source{settings: settings, deliver: "all", look: lookEvery}
	if d, ok := config["deliver"].(string); ok {
		if s.deliver = d; !slices.Contains([]string{"all", "new", "last"}, d) {
			p.add("deliver", diag.BadValue, "", "wanted all, new or last, found %q", d)
		}
	}
	if s.durable, _ = config["durable"].(string); strings.ContainsAny(s.durable, " .*>/\\") {
		p.add("durable", diag.BadValue, "", "%q is no name of a consumer", s.durable)
	}
	var err error
	if s.rows, err = envelope.Open(config, known, nil); err != nil {
		p = append(p, err)
	}
	return s, p.err()
}

// Schema returns the fields of the message, and the metadata.
func (s *source) Schema(context.Context) (column.Schema, error) { return s.rows.Schema(), nil }

// Unbounded returns true: streams do not end.
func (s *source) Unbounded() bool { return true }

// ServerTimes returns true: the server notes when it stored a message.
func (s *source) ServerTimes() bool { return true }

// Guarantee returns ExactlyOnce: a stream can be read again from any position.
func (s *source) Guarantee() catalog.Guarantee { return catalog.ExactlyOnce }

// Ping asks the server for the stream.
func (s *source) Ping(ctx context.Context) error { return s.ping(ctx, s.subject) }

// Open makes a reader. It connects at the first Next.
func (s *source) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	return newReader(s, fields), nil
}

// received is a message of the stream.
type received struct {
	subject  string
	headers  nats.Header
	payload  []byte
	sequence uint64
	time     int64
}

// decoder turns messages into rows.
type decoder struct {
	rows *envelope.Decoder
	all  []envelope.Message
}

// NewDecoder returns a decoder for one worker.
func (r *reader) NewDecoder() catalog.Decoder {
	return &decoder{rows: r.source.rows.NewDecoder(r.fields, value)}
}

// Decode passes the rows of m on.
func (d *decoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	messages, _ := m.Part.([]*received)
	d.all = d.all[:0]
	for _, r := range messages {
		d.all = append(d.all, envelope.Message{Payload: r.payload, Offset: int64(r.sequence), Time: r.time, Server: true, Meta: r})
	}
	return d.rows.Decode(ctx, m.File, d.all, out)
}

func value(m *envelope.Message, meta int) column.Value {
	r := m.Meta.(*received)
	switch meta {
	case metaSubject:
		return r.subject
	case metaSequence:
		return int64(r.sequence)
	case metaTimestamp:
		return column.Instant(r.time)
	}
	out := &column.MapValue{}
	keys := make([]string, 0, len(r.headers))
	for k := range r.headers {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out.Keys, out.Elems = append(out.Keys, k), append(out.Elems, strings.Join(r.headers[k], ", "))
	}
	return out
}
