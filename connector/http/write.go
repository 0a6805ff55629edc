package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/connector/message"
	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// The bounds of WriteToHttp's numbers.
const (
	defaultInFlight = 8
	mostInFlight    = 1024
	mostBatchRows   = 100_000
)

// The formats of WriteToHttp.
const (
	formatJSON   = "JSON"
	formatNDJSON = "NDJSON"
	formatRaw    = "RAW"
	formatString = "STRING"
)

// WriteToHttp sends rows to a server.
var WriteToHttp = catalog.AddSink(catalog.SinkSpec{
	Name:    "WriteToHttp",
	Summary: "Sends rows to an HTTP server.",
	Doc: `Each request holds up to batch_rows rows: of format JSON one object, or, where batch_rows is over 1, an array; of NDJSON an object a line; of RAW and
STRING the one field of a row. In a stream a request does not wait for more rows.

**Order**: none is promised; with max_in_flight: 1 requests are sent one after another.

**Errors**: 408, 425, 429 (Retry-After counts), 5xx, and a server that cannot be reached are tried again with growing, jittered pauses, for ever or as
"retry" says. After "failures" in a row the server counts as down, and is left alone for the pause of "breaker". Rows that are answered 400, 409, 413 or 422, or
that were tried as often as "retry" allows, go to the error output; of a request of several rows those are found by sending halves of it. Another answer than
2xx, and any where there is no error output, ends the run, with the row and the first bytes of the answer. Redirects are not followed.

**Guarantee**: at least once. Each request has an Idempotency-Key, which is the same when it is tried again, and, of rows as they came from a source with
batch_rows: 1, in another run: a server that minds it has them once. The rows of a window are named anew in each run.`,
	Source: "https://www.rfc-editor.org/rfc/rfc9110, https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/",
	Fields: append(append(clientFields("The address, http:// or https://."), []catalog.Field{
		{Name: "method", Type: catalog.Text, Default: "POST", Enum: []string{"POST", "PUT", "PATCH"}, Doc: "The method of requests."},
		{Name: "format", Type: catalog.Text, Default: formatJSON, Enum: []string{formatJSON, formatNDJSON, formatRaw, formatString}, Doc: "What a request holds."},
		{Name: "batch_rows", Type: catalog.Integer, Default: "1", Doc: "At most so many rows in one request."},
		{Name: "max_in_flight", Type: catalog.Integer, Default: "8", Doc: "At most so many requests at a time."},
		clientTLS(),
	}...), retry.Fields()...),
	Example: `# Needs a server.
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements: [{device: pump-1, celsius: 61.5}]
    - type: WriteToHttp
      config:
        url: http://127.0.0.1:8080/readings
        headers:
          Authorization: Bearer ${env:READINGS_TOKEN}
        batch_rows: 100
`,
	Refuses: true,
	Open: func(config map[string]any, env *catalog.SinkEnv) (catalog.Sink, error) {
		return newHTTPSink(config, env)
	},
	Check: func(config map[string]any, schema column.Schema) error {
		s := &httpSink{format: formatJSON}
		if f, ok := config["format"].(string); ok {
			s.format = f
		}
		_, err := s.encoder(schema)
		return err
	},
})

// httpSink is WriteToHttp with its configuration understood.
type httpSink struct {
	*client
	method      string
	format      string
	batchRows   int
	maxInFlight int
	caller      *retry.Caller
	stream      bool
	job         string // names the pipeline and the transform
	refused     *refusal.Box
}

func newHTTPSink(config map[string]any, env *catalog.SinkEnv) (*httpSink, error) {
	s := &httpSink{method: http.MethodPost, format: formatJSON, batchRows: 1, maxInFlight: defaultInFlight, refused: refusal.NewBox(env)}
	if env != nil {
		s.stream, s.job = env.Stream, env.Job+"\x00"+env.Name
	}
	var errs []error
	var err error
	if s.client, err = newClient(config); err != nil {
		errs = append(errs, err)
	}
	if s.caller, err = retry.FromConfig(config); err != nil {
		errs = append(errs, err)
	}
	if m, ok := config["method"].(string); ok {
		s.method = strings.ToUpper(m)
	}
	if f, ok := config["format"].(string); ok {
		s.format = f
	}
	for key, number := range map[string]struct {
		to   *int
		most int64
	}{"batch_rows": {&s.batchRows, mostBatchRows}, "max_in_flight": {&s.maxInFlight, mostInFlight}} {
		n, ok := config[key].(int64)
		if !ok {
			continue
		}
		if *number.to = int(n); n < 1 || n > number.most {
			errs = append(errs, &catalog.Problem{Key: key, Code: diag.BadValue, Text: fmt.Sprintf("%q: wanted 1 to %d, found %d", key, number.most, n)})
		}
	}
	if s.batchRows > 1 && (s.format == formatRaw || s.format == formatString) {
		errs = append(errs, &catalog.Problem{Key: "batch_rows", Code: diag.BadValue, Text: fmt.Sprintf("a request of format %s holds one row", s.format)})
	}
	return s, errors.Join(errs...)
}

// encoder returns what makes messages of rows of that schema.
func (s *httpSink) encoder(schema column.Schema) (*message.Encoder, error) {
	name := s.format
	if name == formatNDJSON {
		name = formatJSON
	}
	f, err := message.Open(map[string]any{"format": name})
	if err != nil {
		return nil, err
	}
	return f.NewEncoder(schema)
}

// contentType is that of requests.
func (s *httpSink) contentType() string {
	return map[string]string{formatJSON: "application/json", formatNDJSON: "application/x-ndjson", formatRaw: "application/octet-stream",
		formatString: "text/plain; charset=utf-8"}[s.format]
}

// Guarantee is at least once.
func (s *httpSink) Guarantee() catalog.Guarantee { return catalog.AtLeastOnce }

// Ping connects to the server, and sends nothing.
func (s *httpSink) Ping(ctx context.Context) error { return s.ping(ctx) }

// Open makes a writer. It connects when there is something to send.
func (s *httpSink) Open(_ context.Context, schema column.Schema) (catalog.Writer, error) {
	if _, err := s.encoder(schema); err != nil {
		return nil, err
	}
	c := *s.client
	c.connect(s.maxInFlight)
	if c.header = c.header.Clone(); c.header.Get("Content-Type") == "" {
		c.header.Set("Content-Type", s.contentType())
	}
	return newSender(s, &c, schema), nil
}
