package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Why brokers do not let us in. What stays so ends the run; brokers that cannot be reached are asked again.

// refused is the answer of brokers that do not let us in, with what to do about it.
type refused struct {
	*catalog.Problem
	cause error
}

// Unwrap returns the problem, which has the remedy, and the error as the client gave it.
func (r *refused) Unwrap() []error { return []error{r.Problem, r.cause} }

// refusal gives an error of that kind its remedy; other errors are returned as they are.
func refusal(brokers string, err error) error {
	var already *refused
	hint := remedy(err)
	if hint == "" || errors.As(err, &already) {
		return err
	}
	return &refused{&catalog.Problem{Key: "bootstrap_servers", Code: diag.NoServer, Text: fmt.Sprintf("Kafka at %s does not let us in: %v", brokers, err), Hint: hint}, err}
}

// remedy says what to do about an error that stays until somebody changes something; "": it may pass.
func remedy(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		verify    *tls.CertificateVerificationError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		op        *net.OpError
	)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "Check the name and the password in sasl.jaas.config, and that the user has a password for this sasl.mechanism."
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return "Set sasl.mechanism to one that this listener of the brokers takes."
	case errors.As(err, &authority):
		return "Set ssl.truststore.location to a PEM file with the certificate of the authority that has signed the brokers' certificates."
	case errors.As(err, &name):
		return "Name the brokers, in bootstrap_servers and in their advertised.listeners, as their certificates do."
	case errors.As(err, &invalid), errors.As(err, &verify):
		return "Give the brokers a certificate that is valid now and for servers, and look at this machine's clock."
	case errors.As(err, &record):
		return "This port does not speak TLS: take another one, or set security.protocol to PLAINTEXT or SASL_PLAINTEXT."
	case strings.Contains(err.Error(), "appear to be a tls alert"): // the client has no error of its own for it
		return "This port speaks TLS: set security.protocol to SSL or SASL_SSL, or take another port."
	case errors.As(err, &op) && op.Op == "remote error" && !strings.Contains(err.Error(), "internal error"): // an alert of TLS
		return "Set ssl.keystore.location to a PEM file with a certificate that the brokers take, and its key."
	}
	return ""
}

// mostClosed is how often brokers may close connections at once, at the beginning of a run, before that counts as an answer.
const mostClosed = 8

// closings counts connections that brokers close before they have said anything: that is what they do when a client speaks another protocol
// than the port, or does not log in; and for a moment what those do that are going down.
type closings int

// count returns an error for good when there have been too many.
func (c *closings) count(brokers string, err error) error {
	var eof *kgo.ErrFirstReadEOF
	if !errors.As(err, &eof) {
		*c = 0
		return nil
	}
	if *c++; *c < mostClosed {
		return nil
	}
	return &refused{&catalog.Problem{Key: "bootstrap_servers", Code: diag.NoServer, Text: fmt.Sprintf("Kafka at %s closes each connection at once", brokers),
		Hint: "Check that security.protocol is what the brokers' port speaks (SSL and SASL_SSL are with TLS), and sasl.mechanism where it wants a login. Their log says more."}, err}
}
