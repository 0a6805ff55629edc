package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt3 "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/leat-project/leat/connector/refusal"
	"github.com/leat-project/leat/connector/retry"
)

// link3 is a link of MQTT 3.1.1.
type link3 struct {
	client mqtt3.Client
	gone   chan struct{}
	once   sync.Once
}

func (s *settings) dial3(ctx context.Context, w wish) (link, error) {
	l := &link3{gone: make(chan struct{})}
	o := mqtt3.NewClientOptions()
	o.AddBroker(s.url.String()).SetClientID(w.clientID).SetCleanSession(!w.keep).SetProtocolVersion(4)
	o.SetUsername(s.username).SetPassword(s.password)
	o.SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(dialTimeout).SetKeepAlive(keepAlive).SetPingTimeout(dialTimeout).SetWriteTimeout(dialTimeout)
	o.SetOrderMatters(true).SetAutoAckDisabled(true)
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt3.ClientOptions) (net.Conn, error) { return s.connection(ctx) })
	o.SetConnectionLostHandler(func(mqtt3.Client, error) { l.end() })
	o.SetDefaultPublishHandler(func(_ mqtt3.Client, m mqtt3.Message) { received3(m, w.receive) })
	l.client = mqtt3.NewClient(o)
	token := l.client.Connect()
	if err := wait3(ctx, l, token); err != nil {
		l.close()
		return nil, connectError3(err)
	}
	if c, ok := token.(*mqtt3.ConnectToken); ok && c.SessionPresent() && w.again || len(w.filters) == 0 {
		return l, nil // a subscription that is made again brings the retained messages again
	}
	if err := s.subscribe3(ctx, l, w); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (s *settings) subscribe3(ctx context.Context, l *link3, w wish) error {
	filters := map[string]byte{}
	for _, f := range w.filters {
		filters[f] = s.qos
	}
	token := l.client.SubscribeMultiple(filters, nil)
	err := wait3(ctx, l, token)
	if t, ok := token.(*mqtt3.SubscribeToken); ok {
		for filter, granted := range t.Result() {
			if granted >= 0x80 {
				return denied(filter, "refused")
			}
			if granted < s.qos && err == nil {
				return lessQoS(filter, s.qos, granted)
			}
		}
	}
	return err
}

func received3(m mqtt3.Message, receive func(delivery)) {
	if receive != nil {
		receive(delivery{topic: m.Topic(), payload: m.Payload(), qos: m.Qos(), retained: m.Retained(), ack: m.Ack})
	}
}

// wait3 waits for a token, the end of the connection, or the context.
func wait3(ctx context.Context, l *link3, t mqtt3.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-l.gone:
		return errLost
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func connectError3(err error) error {
	for _, e := range []error{packets.ErrorRefusedBadUsernameOrPassword, packets.ErrorRefusedNotAuthorised, packets.ErrorRefusedIDRejected, packets.ErrorRefusedBadProtocolVersion} {
		if errors.Is(err, e) {
			return refused(e.Error())
		}
	}
	if errors.Is(err, packets.ErrorRefusedServerUnavailable) {
		return answered{err}
	}
	return err
}

func (l *link3) publish(ctx context.Context, p *publication) error {
	if err := wait3(ctx, l, l.client.Publish(p.topic, p.qos, p.retain, p.payload)); err != nil {
		if errors.Is(err, mqtt3.ErrInvalidTopicEmptyString) || errors.Is(err, mqtt3.ErrInvalidTopicMultilevel) {
			return retry.Permanent(refusal.Bad(err))
		}
		return fmt.Errorf("topic %q: %w", p.topic, err)
	}
	return nil
}

func (l *link3) lost() <-chan struct{} { return l.gone }

func (l *link3) end() { l.once.Do(func() { close(l.gone) }) }

func (l *link3) close() {
	l.end()
	l.client.Disconnect(uint(50 * time.Millisecond / time.Millisecond))
}
