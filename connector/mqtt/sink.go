package mqtt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/diag"
)

// WriteToMqtt publishes rows as MQTT messages.
var WriteToMqtt = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToMqtt",
	Summary: "Publishes rows as messages of an MQTT broker.",
	Doc: "A row is a message, by its format. `{field}` in the topic stands for a field of the row; with the formats RAW and STRING, those fields are not part of " +
		"the message.\n\n" +
		"**Order**: messages of one topic keep the order in which a worker has them.\n\n" +
		"**Delivery**: with `qos` 1 or 2 each row is published at least once: after a crash, rows since the last checkpoint come again. With version 5, messages " +
		"have the user property `leat-id`, which stays the same then, so that readers can drop them; rows of aggregates have none. With `qos` 0 nobody knows " +
		"whether a message arrives.\n\n" +
		"**Errors**: a broker that cannot be reached is tried again for ever. One that does not let us in ends the run. A row that the format or a topic " +
		"cannot hold, or that the broker does not take, such as one that is too large or of a topic that we may not write, goes to the error output; with version 3.1.1 a broker " +
		"drops what it does not take, and says nothing.",
	Refuses: true,
	Source:  "https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html",
	Fields: append(append(connectionFields("What is asked of the broker: 0, 1 or 2."),
		catalog.Field{Name: "topic", Type: catalog.Text, Required: true, Doc: "The topic; {field} stands for a field of the row."},
		catalog.Field{Name: "retain", Type: catalog.Boolean, Default: "false", Doc: "Whether the broker keeps the last message of each topic for those who come later."},
	), message.Fields()...),
	Example: `# Needs a broker at localhost:1883.
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{site: north, celsius: 3.5}]
    - type: WriteToMqtt
      config:
        url: mqtt://localhost:1883
        topic: site/{site}/temperature
        format: JSON
`,
	Open:  openSink,
	Check: checkSink,
})

// sink is WriteToMqtt with its configuration understood.
type sink struct {
	*settings
	topic   []piece
	retain  bool
	plain   bool // the format has one field
	format  *message.Format
	job     string
	refused *refusal.Box
}

// piece is a part of a topic: text, or a field.
type piece struct{ text, field string }

var (
	_ catalog.Guaranteed = (*sink)(nil)
	_ catalog.Pinger     = (*sink)(nil)
)

func openSink(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
	settings, p := readSettings(config)
	s := &sink{settings: settings, refused: refusal.NewBox(env)}
	if env != nil {
		s.job = env.Job + "/" + env.Name
	}
	s.retain, _ = config["retain"].(bool)
	text, _ := config["topic"].(string)
	var problem string
	if s.topic, problem = parseTopic(text); problem != "" {
		p.add("topic", diag.BadValue, "", "%s", problem)
	}
	format, _ := config["format"].(string)
	s.plain = format == "" || format == "RAW" || format == "STRING"
	var err error
	if s.format, err = message.Open(config); err != nil {
		p = append(p, err)
	}
	return s, p.err()
}

// parseTopic reads a topic with {field}.
func parseTopic(text string) (out []piece, problem string) {
	if text == "" || strings.ContainsAny(text, "+#\x00") {
		return nil, "wanted the name of a topic, which has no + and #"
	}
	for text != "" {
		before, after, found := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return nil, "a } without a {"
		}
		if before != "" {
			out = append(out, piece{text: before})
		}
		if !found {
			return out, ""
		}
		field, rest, closed := strings.Cut(after, "}")
		if !closed || field == "" {
			return nil, "a { is not closed, or names no field"
		}
		out, text = append(out, piece{field: field}), rest
	}
	return out, ""
}

// checkSink reports fields of the topic that rows lack, and rows that the format cannot hold.
func checkSink(config map[string]any, schema column.Schema) error {
	resolved, err := catalog.Resolve(config)
	if err != nil {
		return err
	}
	bound, err := openSink(resolved, nil)
	if err != nil {
		return err
	}
	_, err = bound.(*sink).layout(schema)
	return err
}

// layout is where the parts of a message are found in rows.
type layout struct {
	topic  []int // of each piece its field, or -1
	cols   []int // of the message
	schema column.Schema
}

func (s *sink) layout(schema column.Schema) (*layout, error) {
	l := &layout{}
	var used []int
	for _, piece := range s.topic {
		i := -1
		if piece.field != "" {
			if i = schema.Index(piece.field); i < 0 {
				return nil, &catalog.Problem{Key: "topic", Code: diag.UnknownField, Text: fmt.Sprintf("the rows have no field %q", piece.field),
					Hint: diag.DidYouMean(piece.field, "fields", schema.Names())}
			}
			switch schema[i].Type.Kind {
			case column.String, column.Int, column.Bool, column.Any:
			default:
				return nil, &catalog.Problem{Key: "topic", Code: diag.TypeMismatch, Text: fmt.Sprintf("the field %q is %s: a topic is made of texts, numbers and booleans", piece.field, schema[i].Type)}
			}
			used = append(used, i)
		}
		l.topic = append(l.topic, i)
	}
	for i, f := range schema {
		if s.plain && slices.Contains(used, i) {
			continue
		}
		l.cols, l.schema = append(l.cols, i), append(l.schema, f)
	}
	_, err := s.format.NewEncoder(l.schema)
	return l, err
}

// Guarantee says what the quality of service is worth.
func (s *sink) Guarantee() catalog.Guarantee {
	if s.qos == 0 {
		return catalog.AtMostOnce
	}
	return catalog.AtLeastOnce
}

// Ping connects.
func (s *sink) Ping(ctx context.Context) error { return s.ping(ctx) }

// Open makes a writer. It connects when there is something to write.
func (s *sink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	l, err := s.layout(schema)
	if err != nil {
		return nil, err
	}
	return newWriter(s, l), nil
}
