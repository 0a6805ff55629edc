// Package mqtt reads from and writes to MQTT brokers, versions 3.1.1 and 5.
package mqtt

import (
	"context"
	"fmt"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/envelope"
	"github.com/leat-project/leat/diag"
)

// The numbers of known.
const (
	metaTopic = iota
	metaRetained
	metaQoS
	metaID
	metaLevels // the named levels follow
)

// known is what there is of each message beside its bytes.
var known = []envelope.Meta{
	metaTopic:    {Name: "topic", Type: column.StringType},
	metaRetained: {Name: "retained", Type: column.BoolType},
	metaQoS:      {Name: "qos", Type: column.IntType},
	metaID:       {Name: "message_id", Type: column.StringType.OrNull()},
}

// ReadFromMqtt reads the messages of MQTT topics.
var ReadFromMqtt = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromMqtt",
	Summary: "Reads messages from an MQTT broker.",
	Doc: "A row is a message, by its format, with a field for each named level of the topic: `site/{site}/+/temp` makes a field `site`, " +
		"and `{name...}` at the end takes all levels that are left. Where topics overlap, the first one that fits gives the fields.\n\n" +
		"**Time**: MQTT messages have no time of their own, and when they arrived says nothing of when something happened. Rows have no event time: give " +
		"`timestamp`.\n\n" +
		"**Nothing is lost**: with a state folder, the broker is told that a message arrived once it lies in a log in that folder, synced. The " +
		"log is read as if it were the source, and what a checkpoint covers is dropped from it. The broker keeps the session while the pipeline is away. When " +
		"the log is full (1 GiB), nothing is taken until there is room. " +
		"With QoS 0 the broker sends each message once, whether it arrives or not.\n\n" +
		"**Exactly once**: a broker sends a message again when it does not know that it arrived. With `dedup` those are dropped: it is a field that names " +
		"a message, of its own or the metadata `message_id` (the MQTT 5 user property `leat-id`, `message_id`, `message-id` or `id`). The last 100,000 are known, " +
		"also after a restart.\n\n" +
		"**Errors**: a message that cannot be decoded is an error record. A broker that cannot be reached is tried again for ever; one that does not let us in ends the " +
		"run.",
	Source: "https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html",
	Stream: true,
	Fields: append(append(connectionFields("What the broker promises: 0, 1 or 2."),
		catalog.Field{Name: "topics", Type: catalog.TextList, Required: true, Doc: "Topics, with +, # and named levels such as {site}."},
		catalog.Field{Name: "shared", Type: catalog.Text, Doc: "The name of a shared subscription: each message goes to one of those who have it."},
		catalog.Field{Name: "retained", Type: catalog.Text, Default: "take", Enum: []string{"take", "skip"}, Doc: "Whether the messages that the broker has kept are read at the beginning."},
		catalog.Field{Name: "dedup", Type: catalog.Text, Doc: "A field that names a message: one that comes again is dropped."},
	), envelope.Fields(known)...),
	Example: `# Needs a broker at localhost:1883, and does not end.
pipeline:
  type: chain
  transforms:
    - type: ReadFromMqtt
      config:
        url: mqtt://localhost:1883
        topics: site/{site}/temperature
        format: JSON
        schema: {type: object, properties: {ts: {type: string}, celsius: {type: number}}}
        timestamp: ts
    - type: LogForTesting
`,
	Open: openSource,
})

// source is ReadFromMqtt with its configuration understood.
type source struct {
	*settings
	patterns []pattern
	filters  []string
	levels   []string // names
	skip     bool     // retained messages
	rows     *envelope.Rows
	dedup    string // a field; "": none
	dedupID  bool   // the metadata message_id
}

var (
	_ catalog.Endless    = (*source)(nil)
	_ catalog.Guaranteed = (*source)(nil)
	_ catalog.Pinger     = (*source)(nil)
)

func openSource(config map[string]any) (catalog.Source, error) {
	settings, p := readSettings(config)
	s := &source{settings: settings, patterns: readPatterns(config, &p)}
	shared, _ := config["shared"].(string)
	if _, given := config["shared"].(string); given {
		if one, problem := parsePattern(shared); problem != "" || len(one.levels) != 1 || one.levels[0].kind != fixed {
			p.add("shared", diag.BadValue, "", "wanted a name without /, + and #, found %q", shared)
		}
	}
	for _, one := range s.patterns {
		if shared != "" {
			one.filter = "$share/" + shared + "/" + one.filter
		}
		s.filters = append(s.filters, one.filter)
	}
	switch v := config["retained"]; v {
	case nil, "take":
	case "skip":
		s.skip = true
	default:
		p.add("retained", diag.BadValue, "", "wanted take or skip, found %v", v)
	}
	var some map[string]bool
	s.levels, some = names(s.patterns)
	var always []envelope.Meta
	for _, name := range s.levels {
		m := envelope.Meta{Name: name, Type: column.StringType}
		if some[name] {
			m.Type = column.StringType.OrNull()
		}
		always = append(always, m)
	}
	var err error
	if s.rows, err = envelope.Open(config, known, always); err != nil {
		p = append(p, err)
	} else {
		s.readDedup(config, &p)
	}
	return s, p.err()
}

func (s *source) readDedup(config map[string]any, p *problems) {
	s.dedup, _ = config["dedup"].(string)
	if s.dedup == "" {
		return
	}
	own := s.rows.Format.Schema().Index(s.dedup) >= 0
	s.dedupID = !own && (s.dedup == "message_id" || s.rows.Holds(s.dedup) == "message_id")
	if s.dedupID && s.version == version3 {
		p.add("dedup", diag.BadValue, "Give a field of the message, or use version 5.", "messages of MQTT 3.1.1 have no message_id")
	}
	if !own && !s.dedupID {
		p.add("dedup", diag.UnknownField, diag.DidYouMean(s.dedup, "fields", append(s.rows.Format.Schema().Names(), "message_id")),
			"the message has no field %q", s.dedup)
	}
}

// Schema returns the fields of the message, the metadata, and the named levels.
func (s *source) Schema(context.Context) (column.Schema, error) { return s.rows.Schema(), nil }

// Unbounded returns true: topics do not end.
func (s *source) Unbounded() bool { return true }

// Guarantee says what the quality of service and dedup are worth.
func (s *source) Guarantee() catalog.Guarantee {
	switch {
	case s.qos == 0:
		return catalog.AtMostOnce
	case s.dedup != "":
		return catalog.ExactlyOnce
	}
	// QoS 2, too: what a broker sends again to a process that has died in between cannot be told from a new message.
	return catalog.AtLeastOnce
}

// Ping connects, and subscribes to nothing.
func (s *source) Ping(ctx context.Context) error { return s.ping(ctx) }

func (s *settings) ping(ctx context.Context) error {
	l, err := s.dial(ctx, wish{clientID: randomID()})
	if err != nil {
		return err
	}
	l.close()
	return nil
}

// Open makes a reader. It connects at the first Next.
func (s *source) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	return newReader(s, fields), nil
}

// decoder turns the entries of the log into rows.
type decoder struct {
	source *source
	rows   *envelope.Decoder
	all    []envelope.Message
}

// NewDecoder returns a decoder for one worker.
func (r *reader) NewDecoder() catalog.Decoder {
	return &decoder{source: r.source, rows: r.source.rows.NewDecoder(r.fields, value)}
}

// Decode passes the rows of m on.
func (d *decoder) Decode(ctx context.Context, m *catalog.Morsel, out catalog.Out) error {
	part, _ := m.Part.(*part)
	if part == nil {
		return nil
	}
	d.all = d.all[:0]
	for i := range part.entries {
		e := &part.entries[i]
		h, err := parseHead(e.Meta)
		if err != nil {
			return fmt.Errorf("%s: message %d of the log: %w", m.File, e.Offset, err)
		}
		d.source.levelsOf(h)
		d.all = append(d.all, envelope.Message{Payload: e.Message, Offset: e.Offset, Time: int64(column.MinInstant), Meta: h})
	}
	return d.rows.Decode(ctx, m.File, d.all, out)
}

// levelsOf finds what the named levels of a message's topic hold.
func (s *source) levelsOf(h *head) {
	h.levels = make([]column.Value, len(s.levels))
	if len(s.levels) == 0 {
		return
	}
	for i := range s.patterns {
		values, ok := s.patterns[i].match(h.topic)
		if !ok {
			continue
		}
		for k, name := range s.levels {
			if v, there := values[name]; there {
				h.levels[k] = v
			}
		}
		return
	}
	for k := range h.levels {
		h.levels[k] = "" // a topic of an older configuration
	}
}

func value(m *envelope.Message, meta int) column.Value {
	h := m.Meta.(*head)
	switch meta {
	case metaTopic:
		return h.topic
	case metaRetained:
		return h.retained
	case metaQoS:
		return int64(h.qos)
	case metaID:
		if h.id == "" {
			return nil
		}
		return h.id
	}
	return h.levels[meta-metaLevels]
}
