package mqtt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/services"
)

var idSchema = column.Schema{{Name: "id", Type: column.IntType}}

const wrong = "wr0ng-s3cret"

// login is what a configuration says of a user.
func login(password string) map[string]any {
	return map[string]any{"username": services.User, "password": password}
}

// over puts parts of a configuration together.
func over(parts ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, p := range parts {
		maps.Copy(all, p)
	}
	return all
}

// trusting is the key tls that knows an authority.
func trusting(authority string) map[string]any {
	return map[string]any{"tls": map[string]any{"ca": authority}}
}

// showing is the key tls that knows an authority and has a certificate.
func showing(authority, client string) map[string]any {
	return map[string]any{"tls": map[string]any{"ca": authority, "certificate": client, "key": client}}
}

// TestSecured reads and writes through brokers that do not let everyone in.
func TestSecured(t *testing.T) {
	password, certificate, web := services.MQTTTLS(t), services.MQTTCertificate(t), services.MQTTWeb(t)
	for name, config := range map[string]map[string]any{
		"a password":            over(map[string]any{"url": "mqtts://" + password.Address}, login(services.Password), trusting(password.Authority)),
		"a password in the URL": over(map[string]any{"url": "ssl://leat:leat@" + password.Address}, trusting(password.Authority)),
		"a certificate":         over(map[string]any{"url": "mqtts://" + certificate.Address}, showing(certificate.Authority, certificate.Client)),
		"web sockets":           over(map[string]any{"url": "wss://" + web.Address}, login(services.Password), trusting(web.Authority)),
	} {
		for _, version := range versions {
			t.Run(name+" "+version, func(t *testing.T) {
				config := over(config, map[string]any{"version": version})
				topic := topicFor(t)
				source := openedSource(t, over(config, map[string]any{"topics": topic, "format": "STRING"}))
				r := reading(t, source, nil)
				begin(t, r)
				w := opened(t, over(config, map[string]any{"topic": topic, "format": "JSON"}), idSchema)
				write(t, w, 1)
				write(t, w, 2)
				if err := w.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				rows, _ := take(t, r, 2)
				slices.Sort(rows)
				same(t, rows, `{"id":1}`, `{"id":2}`)
				if err := source.Ping(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestRefused has readers and writers that the broker never lets in: they end, and say what to do.
func TestRefused(t *testing.T) {
	password, certificate, web, open := services.MQTTTLS(t), services.MQTTCertificate(t), services.MQTTWeb(t), services.MQTT(t)
	stranger := services.Stranger(t)
	at := func(scheme, address string) map[string]any { return map[string]any{"url": scheme + "://" + address} }
	for name, c := range map[string]struct {
		config map[string]any
		hint   string // what the remedy must name
	}{
		"a wrong password":               {over(at("mqtts", password.Address), login(wrong), trusting(password.Authority)), `"password"`},
		"a wrong password in the URL":    {over(at("mqtts", "leat:"+wrong+"@"+password.Address), trusting(password.Authority)), `"password"`},
		"no user":                        {over(at("mqtts", password.Address), trusting(password.Authority)), `"password"`},
		"another authority":              {over(at("mqtts", password.Address), login(wrong), trusting(stranger)), `"ca"`},
		"no authority":                   {over(at("mqtts", password.Address), login(wrong)), `"ca"`},
		"another name":                   {over(at("mqtts", services.Forward(t, "127.0.0.2:0", password.Address)), trusting(password.Authority)), `"url"`},
		"no certificate":                 {over(at("mqtts", certificate.Address), trusting(certificate.Authority)), `"certificate"`},
		"a stranger's certificate":       {over(at("mqtts", certificate.Address), showing(certificate.Authority, stranger)), `"certificate"`},
		"TLS at a plain port":            {over(at("mqtts", open), trusting(password.Authority)), "mqtt://"},
		"without TLS at a TLS port":      {over(at("mqtt", password.Address), login(wrong)), "mqtts://"},
		"web sockets without TLS":        {over(at("ws", web.Address), login(wrong)), "wss://"},
		"web sockets, a wrong password":  {over(at("wss", web.Address), login(wrong), trusting(web.Authority)), `"password"`},
		"web sockets, another authority": {over(at("wss", web.Address), login(wrong), trusting(stranger)), `"ca"`},
	} {
		for _, version := range versions {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				config := over(c.config, map[string]any{"version": version})
				source := openedSource(t, over(config, map[string]any{"topics": "x"}))
				reader, err := source.Open(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer reader.Close()
				w := opened(t, over(config, map[string]any{"topic": "x", "format": "JSON"}), idSchema)
				write(t, w, 1)
				for what, do := range map[string]func(context.Context) error{
					"read":  func(ctx context.Context) error { return reader.Next(ctx, &catalog.Morsel{}) },
					"write": w.Sync,
					"ping":  source.Ping,
				} {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := do(ctx)
					var p *catalog.Problem
					if !errors.As(err, &p) || !strings.Contains(p.Hint, c.hint) || !strings.Contains(fmt.Sprint(err), source.url.Host) {
						t.Errorf("%s: %v (%+v)", what, err, p)
						continue
					}
					t.Logf("%s: %v (%s)", what, err, p.Hint)
					if strings.Contains(fmt.Sprint(err, p), wrong) {
						t.Errorf("%s: the password in %v", what, err)
					}
				}
			})
		}
	}
}
