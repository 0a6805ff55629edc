package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
)

// link5 is a link of MQTT 5.
type link5 struct {
	client *paho.Client
}

func (s *settings) dial5(ctx context.Context, w wish) (link, error) {
	conn, err := s.connection(ctx)
	if err != nil {
		return nil, err
	}
	l := &link5{}
	l.client = paho.NewClient(paho.ClientConfig{
		Conn:                       packets.NewThreadSafeConn(conn),
		PacketTimeout:              dialTimeout,
		EnableManualAcknowledgment: true,
		SendAcksInterval:           2 * time.Millisecond,
		OnPublishReceived:          []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) { l.received(r, w.receive); return true, nil }},
	})
	answer, err := l.client.Connect(ctx, s.connect5(w))
	if err != nil {
		if answer != nil && permanent5(answer.ReasonCode) {
			return nil, refused(reason5(answer.ReasonCode))
		}
		if answer != nil {
			return nil, answered{fmt.Errorf("it refused: %s", reason5(answer.ReasonCode))}
		}
		return nil, err
	}
	if err := s.subscribe5(ctx, l.client, w); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (s *settings) connect5(w wish) *paho.Connect {
	most, largest, expiry := uint16(receiveMaximum), uint32(largestMessage), uint32(0)
	if w.keep {
		expiry = math.MaxUint32 // never
	}
	return &paho.Connect{
		ClientID: w.clientID, KeepAlive: uint16(keepAlive / time.Second), CleanStart: !w.keep,
		Username: s.username, UsernameFlag: s.username != "", Password: []byte(s.password), PasswordFlag: s.password != "",
		Properties: &paho.ConnectProperties{ReceiveMaximum: &most, MaximumPacketSize: &largest, SessionExpiryInterval: &expiry, RequestProblemInfo: true},
	}
}

func (s *settings) subscribe5(ctx context.Context, c *paho.Client, w wish) error {
	if len(w.filters) == 0 {
		return nil
	}
	sub := &paho.Subscribe{}
	for _, f := range w.filters {
		o := paho.SubscribeOptions{Topic: f, QoS: s.qos}
		if w.keep {
			o.RetainHandling = 1 // not when the subscription was there already
		}
		if w.skip {
			o.RetainHandling = 2
		}
		sub.Subscriptions = append(sub.Subscriptions, o)
	}
	answer, err := c.Subscribe(ctx, sub)
	if answer == nil {
		return err
	}
	for i, code := range answer.Reasons {
		if i < len(w.filters) && code >= 0x80 {
			return denied(w.filters[i], reason5(code))
		}
		if i < len(w.filters) && code < s.qos {
			return lessQoS(w.filters[i], s.qos, code)
		}
	}
	return err
}

func (l *link5) received(r paho.PublishReceived, receive func(delivery)) {
	p := r.Packet
	d := delivery{topic: p.Topic, payload: p.Payload, qos: p.QoS, retained: p.Retain, ack: func() {
		l.client.Ack(p) //nolint:errcheck // after the connection is lost, the broker sends the message again
	}}
	if p.Properties != nil {
		for _, name := range idProperties {
			if d.id = p.Properties.User.Get(name); d.id != "" {
				break
			}
		}
	}
	if receive != nil {
		receive(d)
	}
}

func (l *link5) publish(ctx context.Context, p *publication) error {
	message := &paho.Publish{Topic: p.topic, QoS: p.qos, Retain: p.retain, Payload: p.payload, Properties: &paho.PublishProperties{}}
	if p.id != "" {
		message.Properties.User.Add(idProperties[0], p.id)
	}
	// A connection that is lost ends the waiting.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-l.client.Done():
			cancel(errLost)
		case <-ctx.Done():
		}
	}()
	answer, err := l.client.Publish(ctx, message)
	if answer != nil && answer.ReasonCode >= 0x80 {
		err = fmt.Errorf("it does not take messages of the topic %q: %s", p.topic, reason5(answer.ReasonCode))
		switch answer.ReasonCode {
		case 0x87, 0x90, 0x95, 0x99: // of this message: another topic or payload may do
			err = refusal.Bad(err)
		}
		if permanent5(answer.ReasonCode) {
			return retry.Permanent(err)
		}
		return err
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

var errLost = errors.New("the connection was lost")

func (l *link5) lost() <-chan struct{} { return l.client.Done() }

func (l *link5) close() {
	l.client.Disconnect(&paho.Disconnect{}) //nolint:errcheck // the connection is closed in any case
	<-l.client.Done()
}

// permanent5 reports whether a reason code will be the same next time.
func permanent5(code byte) bool {
	switch code {
	case 0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x90, 0x95, 0x99, 0x9A, 0x9B, 0x9D:
		return true
	}
	return false
}

// reason5 says what a reason code means.
func reason5(code byte) string {
	text, ok := map[byte]string{
		0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error", 0x83: "implementation specific error", 0x84: "MQTT 5 is not supported",
		0x85: "the client id is not valid", 0x86: "bad user name or password", 0x87: "not authorized", 0x88: "server unavailable", 0x89: "server busy",
		0x8A: "banned", 0x8C: "bad authentication method", 0x8F: "the filter is not valid", 0x90: "the topic name is not valid", 0x95: "the message is too large",
		0x97: "quota exceeded", 0x99: "the payload format is not valid", 0x9A: "retained messages are not supported", 0x9B: "this QoS is not supported",
		0x9C: "use another server", 0x9D: "the server has moved", 0x9E: "shared subscriptions are not supported", 0x9F: "connection rate exceeded",
		0xA2: "wildcards are not supported",
	}[code]
	if !ok {
		return fmt.Sprintf("reason 0x%02X", code)
	}
	return text
}
