package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

func TestRemedy(t *testing.T) {
	alert := func(text string) error { return &net.OpError{Op: "remote error", Err: errors.New("tls: " + text)} }
	for _, c := range []struct {
		err  error
		hint string // "": it may pass
	}{
		{nil, ""},
		{errors.New("something"), ""},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, ""},
		{x509.UnknownAuthorityError{}, `"ca"`},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, `"url"`},
		{x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}, "clock"},
		{tls.RecordHeaderError{Msg: "not TLS"}, "does not speak TLS"},
		{alert("certificate required"), `"certificate"`},
		{alert("handshake failure"), `"certificate"`},
		{alert("protocol version not supported"), "log"},
		{alert("internal error"), ""},
	} {
		if hint := Remedy(fmt.Errorf("around: %w", c.err)); c.err != nil && ((hint == "") != (c.hint == "") || !strings.Contains(hint, c.hint)) {
			t.Errorf("%v: %q, wanted %q", c.err, hint, c.hint)
		}
	}
	if hint := Remedy(nil); hint != "" {
		t.Errorf("no error: %q", hint)
	}
}

func TestRefused(t *testing.T) {
	cause := x509.UnknownAuthorityError{}
	err := fmt.Errorf("around: %w", NewRefused("MQTT broker h:1", "Do it.", cause))
	var p *catalog.Problem
	var same x509.UnknownAuthorityError
	if !errors.As(err, &p) || p.Hint != "Do it." || p.Code != diag.NoServer || !errors.As(err, &same) || !strings.HasPrefix(err.Error(), "around: MQTT broker h:1: x509") {
		t.Errorf("%v (%+v)", err, p)
	}
}

// TestAsk has a server that wants a certificate.
func TestAsk(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for _, c := range []struct {
		roots *x509.CertPool
		hint  string
	}{{roots, `"certificate"`}, {x509.NewCertPool(), `"ca"`}} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		hint, _ := Ask(t.Context(), conn, &tls.Config{RootCAs: c.roots, ServerName: "example.com", MinVersion: tls.VersionTLS12})
		if !strings.Contains(hint, c.hint) {
			t.Errorf("%q, wanted %q", hint, c.hint)
		}
	}
}
