package http

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// ReadFromHttp polls a server, or reads its events.
var ReadFromHttp = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromHttp",
	Summary: "Asks an HTTP server again and again, or reads its server-sent events.",
	Doc: `With "every" the address is asked so often. An answer is one message; of format JSON it may be an array of messages, or NDJSON, and "items" says
where in it the list lies. Where the server gives an ETag or Last-Modified, it is asked for what is new alone: 304 is nothing. With "dedup", a message
that came before with the same value of that field is dropped: the last 100000 are known, after a restart, too.

With "events: true" server-sent events are read; the data of each are a message. After a break, and after a restart, the server is told the last id
(Last-Event-ID), and goes on from there, if it can. An answer of 204 ends the stream.

**Errors**: 408, 425, 429 (Retry-After counts), 5xx, and a server that cannot be reached are tried again with growing, jittered pauses. Other answers end the run.
Redirects are not followed.

**Time**: rows have the time at which they were received.

**Guarantee**: with a state folder, what a poll brought goes through a log on disk and is not lost; with "dedup" it comes once. Events come at least
once, where the server remembers them.`,
	Source: "https://www.rfc-editor.org/rfc/rfc9110, https://html.spec.whatwg.org/multipage/server-sent-events.html",
	Stream: true,
	Fields: append(append(clientFields("The address, http:// or https://."), []catalog.Field{
		{Name: "every", Type: catalog.Length, Doc: "How often to ask, such as 10s."},
		{Name: "events", Type: catalog.Boolean, Default: "false", Doc: "Read server-sent events instead of polling."},
		{Name: "items", Type: catalog.Text, Doc: "Where in an answer (JSON) the list of messages lies: names of fields, with dots between."},
		{Name: "dedup", Type: catalog.Text, Doc: "A field of messages (JSON; dots lead into objects) that names a message: it is taken once."},
		clientTLS(),
		metadataField("of a poll headers, of events event, id"),
	}...), message.Fields()...),
	Example: `# Needs a server, and does not end.
pipeline:
  type: chain
  transforms:
    - type: ReadFromHttp
      config:
        url: http://127.0.0.1:8080/readings
        every: 10s
        items: data.readings
        dedup: id
        format: JSON
        schema:
          type: object
          properties:
            id: {type: string}
            celsius: {type: number}
    - type: LogForTesting
`,
	Open: func(config map[string]any) (catalog.Source, error) { return newHTTPSource(config) },
})

// httpSource is ReadFromHttp with its configuration understood.
type httpSource struct {
	*client
	format *message.Format
	json   bool
	meta   metadata
	every  time.Duration
	events bool
	items  path
	dedup  dedup
	policy retry.Policy
}

func newHTTPSource(config map[string]any) (*httpSource, error) {
	s := &httpSource{}
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	bad := func(key string, code diag.Code, text, hint string) {
		add(&catalog.Problem{Key: key, Code: code, Text: text, Hint: hint})
	}
	var err error
	s.client, err = newClient(config)
	add(err)
	s.format, s.json, err = openFormat(config)
	add(err)
	s.events, _ = config["events"].(bool)
	names := []string{metaHeaders}
	if s.events {
		names = []string{metaEvent, metaID}
	}
	s.meta, err = readMetadata(config, schemaOf(s.format), names...)
	add(err)
	s.every, err = catalog.Duration(config, "every", 0)
	add(err)
	_, every := config["every"]
	switch {
	case every == s.events && every:
		bad("events", diag.BadValue, `"every" is for polling, "events" for server-sent events: one of both`, "")
	case every == s.events:
		bad("url", diag.MissingKey, `wanted "every" or "events"`, `"every: 10s" asks every 10 seconds; "events: true" reads server-sent events.`)
	case every && err == nil && s.every < time.Millisecond:
		bad("every", diag.BadDuration, `"every": wanted a duration above 0`, "")
	}
	items, given := config["items"].(string)
	if s.items = newPath(items); given && (!s.json || s.events) {
		bad("items", diag.BadValue, `"items" is for polling, with the format JSON`, "")
	}
	if given && items == "" {
		bad("items", diag.BadValue, `"items": wanted the name of a field`, "Leave it out where the answer is the list.")
	}
	s.dedup, err = readDedup(config, s.json, false)
	add(err)
	if s.events && s.dedup.set() {
		bad("dedup", diag.BadValue, `"dedup" is for polling: events have ids`, "")
	}
	return s, errors.Join(errs...)
}

// Schema returns the message's fields, then the metadata.
func (s *httpSource) Schema(context.Context) (column.Schema, error) {
	return append(append(column.Schema{}, s.format.Schema()...), s.meta.schema()...), nil
}

// Unbounded says that answers do not end.
func (s *httpSource) Unbounded() bool { return true }

// Guarantee is that of a stream with a state folder.
func (s *httpSource) Guarantee() catalog.Guarantee {
	if s.dedup.set() {
		return catalog.ExactlyOnce
	}
	return catalog.AtLeastOnce
}

// Ping connects to the server, and asks for nothing.
func (s *httpSource) Ping(ctx context.Context) error { return s.ping(ctx) }

// Open makes a reader. It connects from the first Next on.
func (s *httpSource) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	c := *s.client
	c.connect(1)
	rows := newRows(s.format, s.meta, fields)
	if s.events {
		return newEventReader(&c, s.policy, rows), nil
	}
	p := &poller{httpSource: s, client: &c, inbox: newInbox(c.name(), rows)}
	p.inbox.largest = maxAnswer
	p.inbox.start, p.inbox.stop, p.inbox.figures = p.start, p.stop, p.metrics
	return p.inbox, nil
}

// poller asks a server again and again, and puts the answers into its inbox.
type poller struct {
	*httpSource
	client *client
	inbox  *inbox
	figures
}

// fail names the address in an error.
func (s *httpSource) fail(format string, args ...any) error {
	return fmt.Errorf("%s: %w", s.name(), fmt.Errorf(format, args...))
}
