package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/services"
)

const wrong = "wr0ng-s3cret"

// login is what a configuration says of a user.
func login(password string) map[string]any {
	return map[string]any{"username": services.User, "password": password}
}

// over puts parts of a configuration together.
func over(parts ...map[string]any) map[string]any {
	all := map[string]any{"format": "STRING"}
	for _, p := range parts {
		maps.Copy(all, p)
	}
	return all
}

// trusting is the key tls that knows an authority.
func trusting(authority string) map[string]any {
	return map[string]any{"tls": map[string]any{"ca": authority}}
}

// showing is the key tls that knows an authority and has a certificate.
func showing(authority, client string) map[string]any {
	return map[string]any{"tls": map[string]any{"ca": authority, "certificate": client, "key": client}}
}

func at(scheme, address string) map[string]any {
	return map[string]any{"url": scheme + "://" + address}
}

// streamAt makes a stream that no other test has, at a server that the library itself connects to.
func streamAt(t *testing.T, s services.Secured) string {
	t.Helper()
	conn, err := nats.Connect("tls://"+s.Address, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}), nats.RootCAs(s.Authority), nats.ClientCert(s.Client, s.Client),
		nats.UserInfo(services.User, services.Password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s-%d", strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()), time.Now().UnixNano())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { js.DeleteStream(context.Background(), name) })
	return name
}

// payloads is a batch of texts.
func payloads(t *testing.T, texts ...string) (column.Schema, *column.Batch) {
	t.Helper()
	b := column.NewBuilder(column.StringType)
	for _, text := range texts {
		if err := b.Append(text); err != nil {
			t.Fatal(err)
		}
	}
	return column.Schema{{Name: "payload", Type: column.StringType}}, &column.Batch{N: len(texts), Cols: []*column.Vector{b.Finish()}}
}

// writing opens a writer.
func writing(t *testing.T, config map[string]any, schema column.Schema) (*sink, *writer) {
	t.Helper()
	s, err := openSink(config, &catalog.SinkEnv{Name: "Write", Job: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Open(t.Context(), schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Abort() })
	return s.(*sink), w.(*writer)
}

// TestSecured reads and writes through servers that do not let everyone in.
func TestSecured(t *testing.T) {
	password, certificate := services.NATSTLS(t), services.NATSCertificate(t)
	for name, c := range map[string]struct {
		server services.Secured
		config map[string]any
	}{
		"a password":            {password, over(at("tls", password.Address), login(services.Password), trusting(password.Authority))},
		"a password, nats":      {password, over(at("nats", password.Address), login(services.Password), trusting(password.Authority))},
		"a password in the URL": {password, over(at("tls", services.User+":"+services.Password+"@"+password.Address), trusting(password.Authority))},
		"a certificate":         {certificate, over(at("tls", certificate.Address), showing(certificate.Authority, certificate.Client))},
	} {
		t.Run(name, func(t *testing.T) {
			stream := streamAt(t, c.server)
			config := over(c.config, map[string]any{"stream": stream, "subject": stream + ".a"})
			schema, b := payloads(t, "one", "two")
			sink, w := writing(t, config, schema)
			if err := w.NewEncoder().Write(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if err := w.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := reading(t, config, nil)
			rows, _ := take(t, r, 2)
			same(t, rows, "one", "two")
			if err := errors.Join(sink.Ping(t.Context()), r.source.Ping(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRefused has readers and writers that the server never lets in: they end, and say what to do.
func TestRefused(t *testing.T) {
	password, certificate, open := services.NATSTLS(t), services.NATSCertificate(t), services.NATS(t)
	stranger := services.Stranger(t)
	for name, c := range map[string]struct {
		config map[string]any
		hint   string // what the remedy must name
	}{
		"a wrong password":            {over(at("tls", password.Address), login(wrong), trusting(password.Authority)), `"password"`},
		"a wrong password in the URL": {over(at("tls", services.User+":"+wrong+"@"+password.Address), trusting(password.Authority)), `"password"`},
		"a wrong token":               {over(at("tls", password.Address), map[string]any{"token": wrong}, trusting(password.Authority)), `"token"`},
		"no user":                     {over(at("tls", password.Address), trusting(password.Authority)), `"password"`},
		"another authority":           {over(at("tls", password.Address), login(wrong), trusting(stranger)), `"ca"`},
		"no authority":                {over(at("tls", password.Address), login(wrong)), `"ca"`},
		"without TLS":                 {over(at("nats", password.Address), login(wrong)), `"ca"`}, // the server says that it wants TLS
		"another name":                {over(at("tls", services.Forward(t, "127.0.0.2:0", password.Address)), trusting(password.Authority)), `"url"`},
		"no certificate":              {over(at("tls", certificate.Address), trusting(certificate.Authority)), `"certificate"`},
		"a stranger's certificate":    {over(at("tls", certificate.Address), showing(certificate.Authority, stranger)), `"certificate"`},
		"TLS at a plain port":         {over(at("tls", open), trusting(password.Authority)), "nats://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := over(c.config, map[string]any{"stream": "any", "subject": "any.a"})
			s, err := openSource(config)
			if err != nil {
				t.Fatal(err)
			}
			reader, err := s.Open(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			schema, b := payloads(t, "one")
			sink, w := writing(t, config, schema)
			for what, do := range map[string]func(context.Context) error{
				"read":               func(ctx context.Context) error { return reader.Next(ctx, &catalog.Morsel{}) },
				"write":              func(ctx context.Context) error { return errors.Join(w.NewEncoder().Write(ctx, b), w.Sync(ctx)) },
				"ping of the source": s.(*source).Ping,
				"ping of the sink":   sink.Ping,
			} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := do(ctx)
				var p *catalog.Problem
				if !errors.As(err, &p) || !strings.Contains(p.Hint, c.hint) || !strings.Contains(fmt.Sprint(err), sink.host) {
					t.Errorf("%s: %v (%+v)", what, err, p)
					continue
				}
				t.Logf("%s: %v (%s)", what, err, p.Hint)
				if strings.Contains(fmt.Sprint(err, p), wrong) {
					t.Errorf("%s: the password in %v", what, err)
				}
			}
		})
	}
}
