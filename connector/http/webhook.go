package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/diag"
)

// The defaults of ReadFromWebhook.
const (
	defaultListen   = "127.0.0.1:8080"
	defaultMaxBytes = 1 << 20
	mostMaxBytes    = 64 << 20
)

// ReadFromWebhook takes what is posted to it.
var ReadFromWebhook = catalog.AddSource(catalog.SourceSpec{
	Name:    "ReadFromWebhook",
	Summary: "Listens for HTTP requests, and takes what they bring.",
	Doc: `POST and PUT requests to the path are taken. A body is one message; of format JSON it may be an array of messages, or NDJSON
(Content-Type: application/x-ndjson). Bodies may be gzipped.

**Answers**: 202 when all of the request is on disk (without a state folder: when it is on its way through the pipeline). 400: not
readable as HTTP, or no CloudEvent where those are wanted. 401: not the token. 404, 405: another path or method. 413: too large. 415: an unknown encoding. 503 with
Retry-After: more comes than the pipeline takes, or it is stopping: send it again. A message that does not fit the schema gets 202 and is an error
row, so that nothing is lost.

**CloudEvents** 1.0 are taken as structured, batched and binary requests. Their data are the message. An event that comes again, by source and
id, is dropped.

**Dedup**: with "dedup", a message that comes again with the same value of that field is dropped. The last 100000 are known, after a restart, too. A request
with an Idempotency-Key is known by that where "dedup" is header:Idempotency-Key.

**Time**: rows have the time of the event (CloudEvents), else that of the request.

**Guarantee**: with a state folder nothing that was answered by 202 is lost, and with CloudEvents or "dedup" nothing comes twice.

**Security**: it listens on this machine alone unless "listen" says otherwise. Set a token (and tls) then.`,
	Source: "https://www.rfc-editor.org/rfc/rfc9110, https://github.com/cloudevents/spec",
	Stream: true,
	Fields: append([]catalog.Field{
		{Name: "listen", Type: catalog.Text, Default: defaultListen, Doc: "The address and port to listen on; 0.0.0.0:8080 is that of all networks."},
		{Name: "path", Type: catalog.Text, Default: "/", Doc: "The path of requests."},
		{Name: "cloud_events", Type: catalog.Boolean, Default: "false", Doc: "Requests are CloudEvents: what they say of themselves is metadata, and id deduplicates."},
		{Name: "dedup", Type: catalog.Text, Doc: "A field of messages (JSON; dots lead into objects), or header:NAME, that names a message: it is taken once."},
		{Name: "token", Type: catalog.Text, Doc: "What requests have to bring, as a bearer; write ${env:NAME}."},
		{Name: "max_bytes", Type: catalog.Integer, Default: "1048576", Doc: "The largest body, also after decompression."},
		{Name: "tls", Type: catalog.Object, Doc: "To listen for https.", Fields: []catalog.Field{
			{Name: "certificate", Type: catalog.Text, Required: true, Doc: "A file with the certificate (PEM)."},
			{Name: "key", Type: catalog.Text, Required: true, Doc: "A file with its key (PEM)."},
			{Name: "ca", Type: catalog.Text, Doc: "A file with the certificates (PEM) that clients' are checked against; by default clients need none."},
		}},
		metadataField("path, query, headers, and of CloudEvents id, source, type, subject, time"),
	}, message.Fields()...),
	Example: `# Needs no server, it is one: it does not end.
pipeline:
  type: chain
  transforms:
    - type: ReadFromWebhook
      config:
        listen: 127.0.0.1:8080
        path: /readings
        token: ${env:WEBHOOK_TOKEN}
        format: JSON
        schema:
          type: object
          properties:
            device: {type: string}
            celsius: {type: number}
    - type: LogForTesting
`,
	Open: func(config map[string]any) (catalog.Source, error) { return newWebhook(config) },
})

// webhook is ReadFromWebhook with its configuration understood.
type webhook struct {
	format      *message.Format
	json        bool
	meta        metadata
	listen      string
	path        string
	cloudEvents bool
	dedup       dedup
	token       string
	maxBytes    int64
	tls         *tls.Config
	limits      limits
}

// newWebhook reads the configuration.
func newWebhook(config map[string]any) (*webhook, error) {
	w := &webhook{listen: defaultListen, path: "/", maxBytes: defaultMaxBytes, limits: defaultLimits}
	var errs []error
	bad := func(key, hint, text string, args ...any) {
		errs = append(errs, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("%q: "+text, append([]any{key}, args...)...), Hint: hint})
	}
	var err error
	if w.format, w.json, err = openFormat(config); err != nil {
		errs = append(errs, err)
	}
	w.cloudEvents, _ = config["cloud_events"].(bool)
	names := []string{metaPath, metaQuery, metaHeaders}
	if w.cloudEvents {
		names = append(names, metaID, metaSource, metaType, metaSubject, metaTime)
	}
	if w.meta, err = readMetadata(config, schemaOf(w.format), names...); err != nil {
		errs = append(errs, err)
	}
	if s, ok := config["listen"].(string); ok {
		w.listen = s
	}
	if host, port, err := net.SplitHostPort(w.listen); err != nil || port == "" {
		bad("listen", "Write an address and a port, such as 127.0.0.1:8080.", "wanted an address and a port, found %q", w.listen)
	} else if host == "" {
		bad("listen", "127.0.0.1"+w.listen+" is for this machine alone, 0.0.0.0"+w.listen+" for all networks.", "%q does not say which networks may connect", w.listen)
	}
	if s, ok := config["path"].(string); ok {
		w.path = s
	}
	if !strings.HasPrefix(w.path, "/") || strings.ContainsAny(w.path, "?#") {
		bad("path", "", "wanted a path that begins with /, found %q", w.path)
	}
	if s, ok := config["token"].(string); ok {
		if w.token = s; s == "" {
			bad("token", "Leave the key out where no token is wanted.", "the token is empty")
		}
	}
	if n, ok := config["max_bytes"].(int64); ok {
		if w.maxBytes = n; n < 1 || n > mostMaxBytes {
			bad("max_bytes", "", "wanted 1 to %d, found %d", mostMaxBytes, n)
		}
	}
	if w.dedup, err = readDedup(config, w.json, true); err != nil {
		errs = append(errs, err)
	}
	if w.tls, err = readTLS(config, true); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return w, nil
}

// openFormat reads the keys of the format, and says whether it is JSON, which has lists and fields that are found before it is decoded.
func openFormat(config map[string]any) (f *message.Format, isJSON bool, err error) {
	name, _ := config["format"].(string)
	isJSON = strings.EqualFold(name, "JSON")
	if f, err = message.Open(config); err == nil {
		err = f.Declared()
	}
	return f, isJSON, err
}

func schemaOf(f *message.Format) column.Schema {
	if f == nil {
		return nil
	}
	return f.Schema()
}

// Schema returns the message's fields, then the metadata.
func (w *webhook) Schema(context.Context) (column.Schema, error) {
	return append(append(column.Schema{}, w.format.Schema()...), w.meta.schema()...), nil
}

// Unbounded says that requests do not end.
func (w *webhook) Unbounded() bool { return true }

// Guarantee is that of a stream with a state folder.
func (w *webhook) Guarantee() catalog.Guarantee {
	if w.cloudEvents || w.dedup.set() {
		return catalog.ExactlyOnce
	}
	return catalog.AtLeastOnce // who gets no answer sends again
}

// name is how errors call it.
func (w *webhook) name() string { return w.listen + w.path }

// Open makes a reader. It listens from the first Next on.
func (w *webhook) Open(_ context.Context, fields column.Schema) (catalog.Reader, error) {
	return w.open(fields).inbox, nil
}

func (w *webhook) open(fields column.Schema) *server {
	box := newInbox(w.name(), newRows(w.format, w.meta, fields))
	box.largest = w.maxBytes
	s := &server{webhook: w, inbox: box, bodies: &budget{free: max(w.limits.memory, 2*w.maxBytes)},
		parsed: &budget{free: max(w.limits.memory, maxMessages*messageMemory)}}
	box.start, box.stop, box.figures = s.start, s.stop, s.metrics
	return s
}
