// Package trust says why a server and its client do not trust each other over TLS, and what to do about it: with the keys "url" and "tls" that
// connectors have. Its main function is Remedy.
package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Refused is the error of a server that does not let us in, or that we do not trust, until somebody changes something.
type Refused struct {
	*catalog.Problem
	cause error
}

// NewRefused returns the error for a server such as "MQTT broker localhost:1883", with what to do about it.
func NewRefused(server, hint string, cause error) *Refused {
	return &Refused{&catalog.Problem{Key: "url", Code: diag.NoServer, Text: fmt.Sprintf("%s: %v", server, cause), Hint: hint}, cause}
}

// Unwrap returns the problem, which has the remedy, and the error as the client gave it.
func (r *Refused) Unwrap() []error { return []error{r.Problem, r.cause} }

// Remedy says what to do about an error of TLS that stays until somebody changes something; "": it may pass.
func Remedy(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		verify    *tls.CertificateVerificationError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case err == nil:
		return ""
	case errors.As(err, &authority):
		return `Set "ca" in "tls" to a PEM file with the certificate of the authority that has signed the server's certificate.`
	case errors.As(err, &name):
		return `Name the server in "url" as its certificate does.`
	case errors.As(err, &invalid), errors.As(err, &verify):
		return "Give the server a certificate that is valid now and for servers, and look at this machine's clock."
	case errors.As(err, &record):
		return `This port does not speak TLS: take another one, or a "url" without TLS.`
	case Alert(err) && !strings.Contains(err.Error(), "certificate") && !strings.Contains(err.Error(), "handshake failure"):
		return "The server does not take our TLS: its log says why."
	case Alert(err):
		return `Set "certificate" and "key" in "tls" to PEM files with a certificate that the server takes, and its key.`
	}
	return ""
}

// Alert reports whether an error is what the server says of us, in the way of TLS.
func Alert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && !strings.Contains(err.Error(), "internal error")
}

// patience is how long a server may take to say what it has against us.
const patience = 2 * time.Second

// Ask begins to speak TLS with a server and waits for what it says: what it has against our certificate is lost where it closes the connection while
// we write. It returns what to do about that, "": nothing, and ends the connection.
func Ask(ctx context.Context, c net.Conn, config *tls.Config) (remedy string, err error) {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	t := tls.Client(c, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return Remedy(err), err
	}
	_, err = t.Read(make([]byte, 1))
	return Remedy(err), nil
}
