package library

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	attempts     = 4                      // of a request that fails by something that may pass
	firstBackOff = 500 * time.Millisecond // doubled after each attempt
	maxRedirects = 10                     // that a request follows
	idleLimit    = 60 * time.Second       // without a byte, a connection counts as broken
)

// client fetches from the index in use, with its credentials, and never tells them.
type client struct {
	http    *http.Client
	config  config
	env     func(string) string
	backOff time.Duration
	idle    time.Duration
	log     func(level, text string)
}

// newClient makes a client that follows pip's configuration.
func newClient(c config, env func(string) string, log func(level, text string)) (*client, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: idleLimit,
	}
	if c.proxy != "" {
		u, err := url.Parse(c.proxy)
		if err != nil || u.Host == "" {
			return nil, errors.New("pip's option proxy: wanted an address such as http://proxy.example:3128, found none")
		}
		transport.Proxy = http.ProxyURL(u)
	}
	if c.cert != "" {
		text, err := os.ReadFile(c.cert)
		if err != nil {
			return nil, fmt.Errorf("pip's option cert: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("pip's option cert: no certificate in %s", c.cert)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	made := &client{config: c, env: env, backOff: firstBackOff, idle: idleLimit, log: log}
	made.http = &http.Client{Transport: newTrusting(transport, c.trusted), CheckRedirect: made.redirect}
	return made, nil
}

// trusting does not check the certificates of hosts that pip is told to trust.
type trusting struct {
	strict, lax *http.Transport
	hosts       []string
}

func newTrusting(strict *http.Transport, hosts []string) http.RoundTripper {
	if len(hosts) == 0 {
		return strict
	}
	lax := strict.Clone()
	lax.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // the user's trusted-host; the wheel's hash is pinned
	return &trusting{strict: strict, lax: lax, hosts: hosts}
}

// RoundTrip implements http.RoundTripper.
func (t *trusting) RoundTrip(r *http.Request) (*http.Response, error) {
	if isTrusted(r.URL, t.hosts) {
		return t.lax.RoundTrip(r)
	}
	return t.strict.RoundTrip(r)
}

func isTrusted(u *url.URL, hosts []string) bool {
	return slices.Contains(hosts, u.Host) || slices.Contains(hosts, u.Hostname())
}

// checkSecure refuses addresses without TLS as pip does, because they would carry credentials in the clear.
func (c *client) checkSecure(u *url.URL) error {
	host := u.Hostname()
	ip := net.ParseIP(host)
	if u.Scheme == "https" || host == "localhost" || ip != nil && ip.IsLoopback() || isTrusted(u, c.config.trusted) {
		return nil
	}
	if u.Scheme == "http" {
		return fmt.Errorf("%s is not secure; use https, or name the host in pip's option trusted-host", show(u))
	}
	return fmt.Errorf("wanted an https address of an index, found the scheme %q", u.Scheme)
}

// redirect follows an index to the place of its files. The standard library keeps credentials from other hosts.
func (c *client) redirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return c.checkSecure(r.URL)
}

// credentials are those in the address, else those of an index on the same host, else netrc's.
func (c *client) credentials(u *url.URL) (login, bool) {
	if u.User != nil {
		return userLogin(u.User), true
	}
	for _, index := range c.config.indexes {
		if i, err := url.Parse(index); err == nil && i.User != nil && i.Host == u.Host && i.Scheme == u.Scheme {
			return userLogin(i.User), true
		}
	}
	return netrcLogin(c.env, u.Hostname())
}

func userLogin(u *url.Userinfo) login {
	password, _ := u.Password()
	return login{user: u.Username(), password: password}
}

// statusError is an answer that is not 200.
type statusError struct {
	code int
	url  string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s answered %d %s", e.url, e.code, http.StatusText(e.code))
	if e.code == http.StatusUnauthorized || e.code == http.StatusForbidden {
		text += "; put the login into the index's address or into netrc"
	}
	return text
}

// get fetches an address and hands its answer to read, again and again while what fails may pass.
func (c *client) get(ctx context.Context, u *url.URL, accept string, read func(*http.Response) error) error {
	if err := c.checkSecure(u); err != nil {
		return err
	}
	wait := c.backOff
	for attempt := 1; ; attempt++ {
		err := c.once(ctx, u, accept, read)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if attempt == attempts || !mayPass(err) {
			return err
		}
		c.log("warning", fmt.Sprintf("%v; attempt %d of %d follows", err, attempt+1, attempts))
		pause := wait + rand.N(wait/2+1) // so that many that failed together do not come back together
		wait *= 2
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// once is one attempt.
func (c *client) once(ctx context.Context, u *url.URL, accept string, read func(*http.Response) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	plain := *u
	plain.User = nil
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, plain.String(), nil)
	if err != nil {
		return errors.New(hide(err.Error()))
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "leat")
	if l, ok := c.credentials(u); ok {
		request.SetBasicAuth(l.user, l.password)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return &networkError{url: show(u), err: withoutURL(err)}
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return &statusError{code: response.StatusCode, url: show(u)}
	}
	idle := time.AfterFunc(c.idle, func() { cancel(errIdle) })
	defer idle.Stop()
	response.Body = &watched{ReadCloser: response.Body, ctx: ctx, url: show(u), restart: func() { idle.Reset(c.idle) }}
	return read(response)
}

// networkError is what fails between here and the index.
type networkError struct {
	url string
	err error
}

func (e *networkError) Error() string { return fmt.Sprintf("%s: %s", e.url, hide(e.err.Error())) }
func (e *networkError) Unwrap() error { return e.err }

// errIdle ends a connection over which nothing comes any more.
var errIdle = errors.New("nothing came for too long")

// watched is the body of an answer; its errors are network errors, and each read starts the time to errIdle anew.
type watched struct {
	io.ReadCloser
	ctx     context.Context
	url     string
	restart func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.restart()
	if context.Cause(w.ctx) == errIdle {
		err = errIdle
	}
	if err != nil && err != io.EOF {
		err = &networkError{url: w.url, err: err}
	}
	return n, err
}

// mayPass reports whether a failure is one that another attempt may not meet.
func mayPass(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		switch status.code {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var network *networkError
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case !errors.As(err, &network), errors.As(err, &certificate):
		return false
	case errors.As(err, &name) && name.IsNotFound:
		return false
	}
	return true
}

// withoutURL takes off net/http's mention of the address, which after a redirect may hold a signature.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// show writes an address for people: without credentials and query.
func show(u *url.URL) string {
	plain := *u
	if plain.User != nil {
		plain.User = url.User("***")
	}
	plain.RawQuery, plain.Fragment, plain.RawFragment = "", "", ""
	return strings.Replace(plain.String(), "%2A%2A%2A@", "***@", 1)
}

// userInfo matches the credentials of an address in a text.
var userInfo = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`//[^/\s"']*@`) })

// hide takes the credentials off all addresses in a text.
func hide(text string) string { return userInfo().ReplaceAllString(text, "//***@") }
