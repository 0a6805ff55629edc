// Package nats reads from and writes to streams of NATS JetStream.
package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/connector/trust"
	"github.com/leat-project/leat/diag"
)

// settings say how a server is reached.
type settings struct {
	transform string
	urls      string // without user and password
	host      string // for errors
	stream    string
	subject   string
	options   []nats.Option
	asks      *tls.Config // nil: without TLS
}

func connectionFields() []catalog.Field {
	return []catalog.Field{
		{Name: "url", Type: catalog.Text, Required: true, Doc: "The server: nats:// or tls://, host and port; several with commas."},
		{Name: "stream", Type: catalog.Text, Doc: "The name of the stream; by default the one that has the subject."},
		{Name: "subject", Type: catalog.Text, Doc: "The subject."},
		{Name: "username", Type: catalog.Text, Doc: "The user."},
		{Name: "password", Type: catalog.Text, Doc: "The user's password, as ${env:NAME} or ${file:PATH}."},
		{Name: "credentials", Type: catalog.Text, Doc: "A file with credentials (.creds)."},
		{Name: "token", Type: catalog.Text, Doc: "A token, as ${env:NAME} or ${file:PATH}."},
		{Name: "tls", Type: catalog.Object, Doc: "What a server has to show, and what is shown to it.", Fields: []catalog.Field{
			{Name: "ca", Type: catalog.Text, Doc: "A file with the certificates (PEM) that the server's is checked against; by default the system's."},
			{Name: "certificate", Type: catalog.Text, Doc: "A file with our certificate (PEM)."},
			{Name: "key", Type: catalog.Text, Doc: "A file with its key (PEM)."},
		}},
	}
}

// problems collects what is wrong with a configuration.
type problems []error

func (p *problems) add(key string, code diag.Code, hint, text string, args ...any) {
	*p = append(*p, &catalog.Problem{Key: key, Code: code, Text: fmt.Sprintf("%q: ", key) + fmt.Sprintf(text, args...), Hint: hint})
}

func (p problems) err() error { return errors.Join(p...) }

// readSettings reads the keys of connectionFields. It connects to nothing.
func readSettings(transform string, config map[string]any) (*settings, problems) {
	var p problems
	s := &settings{transform: transform}
	text := func(key string) string { v, _ := config[key].(string); return v }
	s.stream, s.subject = text("stream"), text("subject")
	user, password := text("username"), text("password")
	var urls []string
	for one := range strings.SplitSeq(text("url"), ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Hostname() == "" || u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss" {
			// The text is not shown: a password may stand in it.
			p.add("url", diag.BadValue, "For example nats://localhost:4222.", "wanted nats:// or tls:// with a host")
			continue
		}
		if u.User != nil {
			user = u.User.Username()
			password, _ = u.User.Password()
			u.User = nil
		}
		urls = append(urls, u.String())
		s.host = u.Host
	}
	s.urls = strings.Join(urls, ",")
	if s.stream == "" && s.subject == "" {
		p.add("stream", diag.MissingKey, "", `wanted "stream" or "subject"`)
	}
	if strings.ContainsAny(s.stream, " .*>/\\") {
		p.add("stream", diag.BadValue, "", "%q is no name of a stream", s.stream)
	}
	if user != "" {
		s.options = append(s.options, nats.UserInfo(user, password))
	}
	if token := text("token"); token != "" {
		s.options = append(s.options, nats.Token(token))
	}
	if file := text("credentials"); file != "" {
		if _, err := os.Stat(file); err != nil {
			p.add("credentials", diag.BadFile, "", "%v", err)
		}
		s.options = append(s.options, nats.UserCredentials(file))
	}
	s.readTLS(config, &p)
	return s, p
}

func (s *settings) readTLS(config map[string]any, p *problems) {
	given, _ := config["tls"].(map[string]any)
	if given == nil {
		return
	}
	s.options = append(s.options, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
	s.asks = &tls.Config{MinVersion: tls.VersionTLS12}
	certificate, _ := given["certificate"].(string)
	key, _ := given["key"].(string)
	switch {
	case (certificate == "") != (key == ""):
		p.add("tls", diag.MissingKey, "", `wanted both "certificate" and "key"`)
	case certificate != "":
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			p.add("tls", diag.BadFile, "", "the certificate: %v", err)
		}
		s.asks.Certificates = []tls.Certificate{pair}
		s.options = append(s.options, nats.ClientCert(certificate, key))
	}
	if ca, _ := given["ca"].(string); ca != "" {
		pem, err := os.ReadFile(ca)
		s.asks.RootCAs = x509.NewCertPool()
		if err == nil && !s.asks.RootCAs.AppendCertsFromPEM(pem) {
			err = errors.New("no certificates in it")
		}
		if err != nil {
			p.add("tls", diag.BadFile, "", "the certificates %s: %v", ca, err)
		}
		s.options = append(s.options, nats.RootCAs(ca))
	}
}

// pauses are those between attempts to connect.
var pauses = retry.Policy{First: 200 * time.Millisecond, Most: 30 * time.Second}

// connect connects. ended is told when the connection ends for good by itself: the server does not let us in any more.
func (s *settings) connect(ended func(error)) (*nats.Conn, error) {
	options := append([]nats.Option{nats.Name("leat " + s.transform), nats.MaxReconnects(-1), nats.Timeout(10 * time.Second),
		nats.CustomReconnectDelay(func(attempts int) time.Duration { return pauses.Pause(max(1, attempts)) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if ended != nil && errors.Is(err, nats.ErrPermissionViolation) {
				ended(s.wrap(err))
			}
		}),
		nats.ClosedHandler(func(c *nats.Conn) {
			if err := c.LastError(); ended != nil && err != nil {
				ended(s.wrap(err))
			}
		}),
	}, s.options...)
	c, err := nats.Connect(s.urls, options...)
	if err == nil {
		return c, nil
	}
	hint := remedy(err)
	if hint == "" && s.asks != nil {
		hint = s.ask()
	}
	if hint != "" {
		return nil, retry.Permanent(fmt.Errorf("%s: %w", s.transform, trust.NewRefused("NATS server "+s.host, hint, err)))
	}
	return nil, s.wrap(err)
}

// remedy says what to do about a server that will not let us in next time either; "": it may.
func remedy(err error) string {
	for _, e := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrNkeysNotSupported} {
		if errors.Is(err, e) {
			return `Check "username" and "password", "token" or "credentials".`
		}
	}
	switch {
	case errors.Is(err, nats.ErrSecureConnRequired):
		return `The server wants TLS: write tls:// in "url".`
	case errors.Is(err, nats.ErrSecureConnWanted):
		return `The server does not speak TLS: write nats:// in "url", and leave "tls" out.`
	}
	return trust.Remedy(err)
}

// ask connects to the server once more to hear what it has against our certificate: see trust.Ask.
func (s *settings) ask() string {
	host, port, err := net.SplitHostPort(s.host)
	if err != nil {
		host, port = s.host, "4222"
	}
	c, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), asking)
	if err != nil {
		return ""
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(asking)); err != nil {
		return ""
	}
	for said := [1]byte{}; said[0] != '\n'; { // what a server says first is not encrypted
		if _, err := c.Read(said[:]); err != nil {
			return ""
		}
	}
	config := s.asks.Clone()
	config.ServerName = host
	hint, _ := trust.Ask(context.Background(), c, config)
	return hint
}

// asking is how long that may take.
const asking = 2 * time.Second

func (s *settings) wrap(err error) error {
	return fmt.Errorf("%s: NATS server %s: %w", s.transform, s.host, err)
}

// open connects and finds the stream, and tries again what may pass.
func (s *settings) open(ctx context.Context, subject string, ended func(error)) (conn *nats.Conn, js jetstream.JetStream, stream jetstream.Stream, err error) {
	caller := retry.Caller{Policy: pauses}
	err = caller.Do(ctx, func(ctx context.Context) error {
		if conn == nil {
			if conn, err = s.connect(ended); err != nil {
				return err
			}
		}
		if js, err = jetstream.New(conn); err != nil {
			return retry.Permanent(s.wrap(err))
		}
		stream, err = s.find(ctx, js, subject)
		return err
	})
	if err != nil && conn != nil {
		conn.Close()
	}
	return conn, js, stream, err
}

// find finds the stream.
func (s *settings) find(ctx context.Context, js jetstream.JetStream, subject string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	name := s.stream
	var err error
	if name == "" {
		name, err = js.StreamNameBySubject(ctx, subject)
	}
	var stream jetstream.Stream
	if err == nil {
		stream, err = js.Stream(ctx, name)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && s.stream != "":
		return nil, retry.Permanent(fmt.Errorf("%s: NATS server %s has no stream %q: make it first", s.transform, s.host, s.stream))
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, retry.Permanent(fmt.Errorf("%s: NATS server %s has no stream with the subject %q: make it first", s.transform, s.host, subject))
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return nil, retry.Permanent(s.wrap(err))
	case err != nil:
		return nil, s.wrap(err)
	}
	return stream, nil
}

// ping asks for the stream once.
func (s *settings) ping(ctx context.Context, subject string) error {
	conn, err := s.connect(nil)
	if err != nil {
		return retry.Plain(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return s.wrap(err)
	}
	_, err = s.find(ctx, js, subject)
	return retry.Plain(err)
}
