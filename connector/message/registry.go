package message

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/avro"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

const registryKey = "confluent_schema_registry_url"

// registry asks a Confluent schema registry for schemas. A number stands for the same schema for ever.
type registry struct {
	client *sr.Client
	call   retry.Caller

	mu    sync.Mutex
	known map[int]found
}

// found is what there is of a number: a schema, or why it cannot be used.
type found struct {
	records *avro.Records
	fault   error
}

// openRegistry reads the keys of the registry. It does not connect.
func (f *Format) openRegistry(config map[string]any) error {
	f.subject, _ = config["confluent_schema_registry_subject"].(string)
	address, _ := config[registryKey].(string)
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return &catalog.Problem{Key: registryKey, Code: diag.BadValue, Text: "the address of the schema registry is no URL", Hint: "Write it as https://registry:8081."}
	}
	opts := []sr.ClientOpt{sr.HTTPClient(&http.Client{Timeout: 15 * time.Second}), sr.UserAgent("leat")}
	if u.User != nil {
		password, _ := u.User.Password()
		opts = append(opts, sr.BasicAuth(u.User.Username(), password))
		u.User = nil
	}
	client, err := sr.NewClient(append(opts, sr.URLs(u.String()))...)
	if err != nil {
		return &catalog.Problem{Key: registryKey, Code: diag.BadValue, Text: "the schema registry: " + err.Error()}
	}
	f.framed = true
	f.registry = &registry{client: client, known: map[int]found{}, call: retry.Caller{Policy: retry.Policy{First: 100 * time.Millisecond, Most: 10 * time.Second}}}
	return nil
}

// latest returns the newest schema of a subject. It asks a few times only, as somebody waits.
func (r *registry) latest(ctx context.Context, subject string) (*avro.Records, error) {
	call := retry.Caller{Policy: retry.Policy{First: 100 * time.Millisecond, Most: time.Second, Attempts: 4}}
	var schema sr.SubjectSchema
	err := call.Do(ctx, func(ctx context.Context) (err error) {
		schema, err = r.client.SchemaByVersion(ctx, subject, -1)
		return lasting(err)
	})
	if err != nil {
		return nil, &catalog.Problem{Key: registryKey, Code: diag.NoServer, Text: fmt.Sprintf("the schema registry gives no schema for subject %q: %v", subject, err), Hint: remedy(err)}
	}
	records, err := parseRegistered(schema.Schema)
	if err != nil {
		return nil, &catalog.Problem{Key: registryKey, Code: diag.BadSchema, Text: fmt.Sprintf("subject %q: %v", subject, err)}
	}
	return records, nil
}

// byID returns the schema of a number. fault says that there is none, or none that can be used; err that the registry does not answer.
func (r *registry) byID(ctx context.Context, id int) (records *avro.Records, fault, err error) {
	r.mu.Lock()
	f, ok := r.known[id]
	r.mu.Unlock()
	if ok {
		return f.records, f.fault, nil
	}
	var schema sr.Schema
	err = r.call.Do(ctx, func(ctx context.Context) (err error) {
		schema, err = r.client.SchemaByID(ctx, id)
		return lasting(err)
	})
	var answer *sr.ResponseError
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("the schema registry has no schema %d", id), nil // not kept: it may be registered yet
	case err != nil:
		return nil, nil, fmt.Errorf("the schema registry, asked for schema %d: %w", id, err)
	}
	f.records, f.fault = parseRegistered(schema)
	if f.fault != nil {
		f.fault = fmt.Errorf("schema %d of the registry: %w", id, f.fault)
	}
	r.mu.Lock()
	r.known[id] = f
	r.mu.Unlock()
	return f.records, f.fault, nil
}

// remedy says what to do when the registry gives no schema.
func remedy(err error) string {
	var answer *sr.ResponseError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &verify):
		return "Let this machine trust the authority of the registry's certificate: by the system's store, or by the variable SSL_CERT_FILE."
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return "Write the user and the password into the address: https://${env:USER}:${env:PASSWORD}@registry:8081."
	}
	return `Name the subject in "confluent_schema_registry_subject", or give the Avro schema in "schema".`
}

func parseRegistered(s sr.Schema) (*avro.Records, error) {
	switch {
	case s.Type != sr.TypeAvro:
		return nil, fmt.Errorf("the schema is one of %s, not of Avro", s.Type)
	case len(s.References) > 0:
		return nil, errors.New("the schema refers to other subjects, which is not read")
	}
	return avro.ParseRecords(s.Schema)
}

// lasting marks errors that asking again does not help.
func lasting(err error) error {
	var answer *sr.ResponseError
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return retry.Permanent(err)
	}
	if errors.As(err, &answer) && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusRequestTimeout {
		return retry.Permanent(err)
	}
	return err
}
