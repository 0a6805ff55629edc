package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/connector/trust"
)

// remedy says what to do about a broker that will not let us in next time either; "": it may.
func (s *settings) remedy(ctx context.Context, err error) string {
	var no refused
	var answer answered
	var op *net.OpError
	switch hint := trust.Remedy(err); {
	case errors.As(err, &no):
		return `Check "username", "password" and "client_id".`
	case hint != "":
		return hint
	case errors.As(err, &answer), retry.IsPermanent(err), errors.As(err, &op) && op.Op == "dial":
		return ""
	}
	// Brokers close connections without a word, also for a moment when they go down. So we ask which language they speak.
	if s.tls == nil {
		return s.askInTLS(ctx)
	}
	return s.askInPlain(ctx)
}

// patience is how long a broker may take to say what it does not like.
const patience = 2 * time.Second

// dialPlain opens a connection that ends soon.
func (s *settings) dialPlain(ctx context.Context) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", s.url.Host)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(patience))
}

// askInTLS finds out whether a port that we took for a plain one speaks TLS. Nothing is trusted, and nothing said.
func (s *settings) askInTLS(ctx context.Context) string {
	c, err := s.dialPlain(ctx)
	if err != nil {
		return ""
	}
	defer c.Close()
	err = tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}).HandshakeContext(ctx)
	if err == nil || trust.Alert(err) {
		return "This port speaks TLS: write mqtts:// or wss://, or take another port."
	}
	return ""
}

// askInPlain finds out what a broker has against our TLS, which is lost where it closes the connection while we write; and whether its port speaks
// MQTT without TLS. It says nothing of who we are.
func (s *settings) askInPlain(ctx context.Context) string {
	c, err := s.dialPlain(ctx)
	if err != nil {
		return ""
	}
	if hint, err := trust.Ask(ctx, c, s.tls); err == nil || hint != "" || s.url.Scheme == "wss" {
		return hint
	}
	c, err = s.dialPlain(ctx)
	if err != nil {
		return ""
	}
	defer c.Close()
	connect := []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 10, 0, 1, '?'}
	answer := make([]byte, 4)
	if _, err := c.Write(connect); err != nil {
		return ""
	}
	if _, err := io.ReadFull(c, answer); err == nil && answer[0] == 0x20 {
		return "This port does not speak TLS: write mqtt://, or take another port."
	}
	return ""
}
