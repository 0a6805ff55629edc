package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/diag"
)

// client sends requests to one address.
type client struct {
	url    *url.URL
	header http.Header
	tls    *tls.Config
	http   *http.Client
}

// clientFields are the keys that newClient reads.
func clientFields(what string) []catalog.Field {
	return []catalog.Field{
		{Name: "url", Type: catalog.Text, Required: true, Doc: what},
		{Name: "headers", Type: catalog.Object, Doc: "Headers of each request, such as {Authorization: \"Bearer ${env:TOKEN}\"}."},
	}
}

// clientTLS is the key "tls" of a client.
func clientTLS() catalog.Field {
	return catalog.Field{Name: "tls", Type: catalog.Object, Doc: "What an https server has to show, and what is shown to it.", Fields: []catalog.Field{
		{Name: "ca", Type: catalog.Text, Doc: "A file with the certificates (PEM) that the server's is checked against; by default the system's."},
		{Name: "certificate", Type: catalog.Text, Doc: "A file with our certificate (PEM)."},
		{Name: "key", Type: catalog.Text, Doc: "A file with its key (PEM)."},
	}}
}

// newClient reads url, headers and tls. It connects to nothing.
func newClient(config map[string]any) (*client, error) {
	c := &client{header: http.Header{}}
	var errs []error
	text, _ := config["url"].(string)
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// The text is not shown: a password may stand in it.
		errs = append(errs, &catalog.Problem{Key: "url", Code: diag.BadValue, Text: `"url": wanted an address that begins with http:// or https://`})
	}
	c.url = u
	if c.header, err = configHeaders(config); err != nil {
		errs = append(errs, err)
	}
	if c.tls, err = readTLS(config, false); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// configHeaders reads the key "headers".
func configHeaders(config map[string]any) (http.Header, error) {
	out := http.Header{"User-Agent": {"leat"}}
	given, _ := config["headers"].(map[string]any)
	var errs []error
	for _, name := range sortedKeys(given) {
		value, ok := given[name].(string)
		if n, isInt := given[name].(int64); isInt {
			value, ok = strconv.FormatInt(n, 10), true
		}
		switch {
		case !isToken(name):
			errs = append(errs, &catalog.Problem{Key: "headers", Code: diag.BadValue, Text: fmt.Sprintf("%q is no name of a header", name)})
		case !ok || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			errs = append(errs, &catalog.Problem{Key: "headers", Code: diag.BadValue, Text: fmt.Sprintf("the value of the header %q is no text in one line", name)})
		default:
			out.Set(name, value)
		}
	}
	return out, errors.Join(errs...)
}

// isToken reports whether a text can be a header's name or a method.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// readTLS reads the key "tls". A server needs a certificate, and checks its clients' against "ca" where that is given.
func readTLS(config map[string]any, server bool) (*tls.Config, error) {
	given, ok := config["tls"].(map[string]any)
	if !ok {
		return nil, nil
	}
	bad := func(text string, err error) error {
		return &catalog.Problem{Key: "tls", Code: diag.BadFile, Text: fmt.Sprintf("\"tls\": %s: %v", text, err)}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	certificate, _ := given["certificate"].(string)
	key, _ := given["key"].(string)
	if (certificate == "") != (key == "") || server && certificate == "" {
		return nil, &catalog.Problem{Key: "tls", Code: diag.MissingKey, Text: `"tls": wanted both "certificate" and "key"`}
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, bad("the certificate", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if ca, _ := given["ca"].(string); ca != "" {
		pem, err := os.ReadFile(ca)
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(pem) {
			err = errors.New("no certificates in it")
		}
		if err != nil {
			return nil, bad("the file "+ca, err)
		}
		if c.RootCAs = pool; server {
			c.ClientCAs, c.ClientAuth = pool, tls.RequireAndVerifyClientCert
		}
	}
	return c, nil
}

// connect makes the pool of connections, of which at most so many are kept.
func (c *client) connect(connections int) {
	c.http = &http.Client{
		// Redirects are not followed: rows and tokens go where the configuration says, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:       c.tls,
			TLSHandshakeTimeout:   dialTimeout,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   connections,
			IdleConnTimeout:       90 * time.Second,
			ResponseHeaderTimeout: headerTimeout,
			ExpectContinueTimeout: time.Second,
		},
	}
}

// How long a server may take to let us in, and to begin its answer.
const (
	dialTimeout   = 10 * time.Second
	headerTimeout = time.Minute
)

func (c *client) close() {
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
}

// name is the address as errors show it: without user, password and query, which may hold secrets.
func (c *client) name() string { return c.url.Scheme + "://" + c.url.Host + c.url.EscapedPath() }

// do sends a request. Its error says whether it may pass (see package retry); an answer without error has a status of 2xx or 304, and its body must be closed.
func (c *client) do(ctx context.Context, method string, header http.Header, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url.String(), body)
	if err != nil {
		return nil, retry.Permanent(fmt.Errorf("%s %s: no request can be made", method, c.name()))
	}
	request.Header = header
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.failed(method, err)
	}
	if answer.StatusCode/100 == 2 || answer.StatusCode == http.StatusNotModified {
		return answer, nil
	}
	return nil, c.refused(method, answer)
}

// failed is the error of a request without an answer. It may pass, but for a certificate that does not fit.
func (c *client) failed(method string, err error) error {
	var u *url.Error
	if errors.As(err, &u) { // it would show the address with its query
		err = u.Err
	}
	out := fmt.Errorf("%s %s: %w", method, c.name(), err)
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return retry.Permanent(out)
	}
	return out
}

// answerExcerpt is how much of an answer an error shows.
const answerExcerpt = 200

// refused is the error of an answer that is none of 2xx.
func (c *client) refused(method string, answer *http.Response) error {
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, answerExcerpt))
	err := fmt.Errorf("%s %s: the server answers %s", method, c.name(), answer.Status)
	if location := answer.Header.Get("Location"); location != "" && answer.StatusCode/100 == 3 {
		err = fmt.Errorf("%w: redirects are not followed; if it is right, set \"url\" to where it points", err)
	}
	if len(text) > 0 {
		err = fmt.Errorf("%w: %q", err, text)
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		err = refusal.Bad(err) // of what was sent; others, such as a wrong token, are of all requests
	}
	if !mayPass(answer.StatusCode) {
		return retry.Permanent(err)
	}
	return retry.After(err, retryAfter(answer.Header.Get("Retry-After"), time.Now()))
}

// mayPass reports whether the same request may get another answer later.
func mayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// retryAfter reads a Retry-After header: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// ping connects, and sends nothing.
func (c *client) ping(ctx context.Context) error {
	port := c.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.url.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	address := net.JoinHostPort(c.url.Hostname(), port)
	var conn net.Conn
	var err error
	if c.url.Scheme == "https" {
		conn, err = (&tls.Dialer{Config: c.tls}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be reached: %w", c.name(), err)
	}
	return conn.Close()
}
