package mqtt

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	mqtt3 "github.com/eclipse/paho.mqtt.golang"

	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
	"github.com/leat-project/leat/connector/trust"
)

// delivery is a message that a broker handed over.
type delivery struct {
	topic    string
	payload  []byte
	qos      byte
	retained bool
	id       string // what the sender knows it by; "": nothing
	ack      func() // tells the broker that it may forget the message; later than the connection it does nothing
}

// publication is a message for a broker.
type publication struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
	id      string
	row     refusal.Row // that it was made of
}

// link is a connection to a broker. It ends for good when it is lost.
type link interface {
	// publish sends a message and waits until the broker has it, as far as the quality of service goes.
	publish(ctx context.Context, p *publication) error
	// lost is closed when the connection is.
	lost() <-chan struct{}
	close()
}

// wish says what a link is for.
type wish struct {
	clientID string
	keep     bool // the broker keeps subscriptions and messages while we are away
	filters  []string
	again    bool // it was subscribed before, by this process
	skip     bool // retained messages are not wanted
	receive  func(delivery)
}

// The names of the user property that says what a message is known by, the first that is there counts. We write the first one.
var idProperties = []string{"leat-id", "message_id", "message-id", "id"}

const (
	dialTimeout = 10 * time.Second
	keepAlive   = 30 * time.Second
	// receiveMaximum is how many messages a broker may send before we have acknowledged one.
	receiveMaximum = 500
	// largestMessage is the largest that we let a broker send.
	largestMessage = 64 << 20
)

// dial connects and subscribes. Errors that will not pass are permanent.
func (s *settings) dial(ctx context.Context, w wish) (link, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	connect := s.dial5
	if s.version == version3 {
		connect = s.dial3
	}
	l, err := connect(ctx, w)
	if err == nil {
		return l, nil
	}
	server := "MQTT broker " + s.url.Host
	if hint := s.remedy(ctx, err); hint != "" {
		return nil, retry.Permanent(trust.NewRefused(server, hint, retry.Plain(err)))
	}
	wrapped := fmt.Errorf("%s: %w", server, err)
	if retry.IsPermanent(err) {
		return nil, retry.Permanent(wrapped)
	}
	return nil, wrapped
}

// connection opens a connection to the broker.
func (s *settings) connection(ctx context.Context) (net.Conn, error) {
	if s.url.Scheme == "ws" || s.url.Scheme == "wss" {
		return mqtt3.NewWebsocket(s.url.String(), s.tls, dialTimeout, nil, nil)
	}
	d := &net.Dialer{Timeout: dialTimeout}
	if s.tls != nil {
		return (&tls.Dialer{NetDialer: d, Config: s.tls}).DialContext(ctx, "tcp", s.url.Host)
	}
	return d.DialContext(ctx, "tcp", s.url.Host)
}

// refused is the error of a broker that does not let us in.
type refused string

// Error says why.
func (r refused) Error() string { return "it does not let us in: " + string(r) }

// answered is the error of a broker that speaks with us, and has no time now.
type answered struct{ error }

// denied is the error of a subscription that the broker did not accept.
func denied(filter, reason string) error {
	return retry.Permanent(fmt.Errorf("it does not let us subscribe to %q (%s)", filter, reason))
}

// lessQoS is the error of a broker that promises less than is wanted.
func lessQoS(filter string, wanted, granted byte) error {
	return retry.Permanent(fmt.Errorf(`it sends %q with QoS %d at most, and "qos" is %d`, filter, granted, wanted))
}
