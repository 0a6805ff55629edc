package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/internal/services"
)

// jaas is how users of the Java client write a login.
func jaas(mechanism, password string) map[string]any {
	module := "scram.Scram"
	if mechanism == "PLAIN" {
		module = "plain.Plain"
	}
	return map[string]any{"sasl.mechanism": mechanism,
		"sasl.jaas.config": fmt.Sprintf(`org.apache.kafka.common.security.%sLoginModule required username="%s" password="%s";`, module, services.User, password)}
}

// keys puts settings of the Java client together.
func keys(all ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// way is how to connect to a broker.
type way struct {
	name     string
	address  string
	settings map[string]any
}

// over is the configuration of a reader or writer that connects so.
func (r *rig) over(w way) map[string]any {
	return r.with(map[string]any{"bootstrap_servers": w.address, "format": "STRING", "consumer_config": w.settings, "producer_config_updates": w.settings})
}

// withTLS trusts the authority of the tests.
func withTLS(protocol, authority string) map[string]any {
	return map[string]any{"security.protocol": protocol, "ssl.truststore.type": "PEM", "ssl.truststore.location": authority}
}

// ways are those that the broker takes.
func ways(t *testing.T) []way {
	sasl, tls := services.KafkaSASL(t), services.KafkaTLS(t)
	text, err := os.ReadFile(tls.Client)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(tls.Authority)
	if err != nil {
		t.Fatal(err)
	}
	all := []way{
		{"mutual TLS", tls.Address, keys(withTLS("SSL", tls.Authority), map[string]any{"ssl.keystore.type": "PEM", "ssl.keystore.location": tls.Client})},
		{"mutual TLS in text", tls.Address, map[string]any{"security.protocol": "SSL", "ssl.truststore.certificates": string(authority),
			"ssl.keystore.certificate.chain": string(text), "ssl.keystore.key": string(text)}},
		{"mutual TLS by the names of librdkafka", tls.Address, map[string]any{"security.protocol": "SSL", "ssl.ca.location": tls.Authority,
			"ssl.certificate.location": tls.Client, "ssl.key.location": tls.Client}},
	}
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		all = append(all, way{m, sasl.Address, keys(withTLS("SASL_SSL", sasl.Authority), jaas(m, services.Password))})
	}
	return all
}

func TestSecured(t *testing.T) {
	for _, w := range ways(t) {
		t.Run(w.name, func(t *testing.T) {
			rig := newRig(t, 2, nil)
			config := rig.over(w)
			plain := rig.open(config, false, payloadSchema)
			b, want := payloads(t, "plain-", 20)
			write(t, plain.NewEncoder(), b)
			if _, err := plain.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			exact := rig.start(config, 0, nil)
			want = append(want, exact.put("exact-", 20)...)
			exact.commit(1, exact.prepare(1))
			unseen := exact.put("unseen-", 5)
			staged := exact.prepare(2)
			exact.crash()
			rig.start(config, 2, staged) // another process commits what this one had prepared
			want = append(want, unseen...)
			rig.see("written", want)
			config["until"] = "latest"
			s, err := newReadSource(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			r := rig.begin(s, nil).all()
			var got []string
			for _, row := range r.rows {
				_, value, _ := strings.Cut(row, " ")
				got = append(got, value)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("read %q, wanted %q", got, want)
			}
		})
	}
}

const wrong = "wr0ng-s3cret"

// refusals are ways that the broker does not take, and what the remedy must name.
func refusals(t *testing.T) map[string]struct {
	way
	text, hint string
} {
	sasl, tls, plain := services.KafkaSASL(t), services.KafkaTLS(t), services.Kafka(t)
	stranger := services.Stranger(t)
	client := map[string]any{"ssl.keystore.location": tls.Client}
	type refusal = struct {
		way
		text, hint string
	}
	all := map[string]refusal{
		"another authority":       {way{"", tls.Address, keys(withTLS("SSL", stranger), client)}, "unknown authority", "ssl.truststore.location"},
		"no authority":            {way{"", tls.Address, keys(map[string]any{"security.protocol": "SSL"}, client)}, "unknown authority", "ssl.truststore.location"},
		"no client's certificate": {way{"", tls.Address, withTLS("SSL", tls.Authority)}, "certificate", "ssl.keystore.location"},
		"a stranger's certificate": {way{"", tls.Address, keys(withTLS("SSL", tls.Authority), map[string]any{"ssl.keystore.location": stranger})},
			"certificate", "ssl.keystore.location"},
		"without TLS":    {way{"", tls.Address, nil}, "", "security.protocol"},
		"TLS at a plain": {way{"", plain, withTLS("SSL", tls.Authority)}, "", "security.protocol"},
		"without SASL":   {way{"", sasl.Address, withTLS("SSL", sasl.Authority)}, "", "sasl.mechanism"},
		"SASL without TLS": {way{"", sasl.Address, keys(map[string]any{"security.protocol": "SASL_PLAINTEXT"}, jaas("PLAIN", services.Password))},
			"", "security.protocol"},
		"another name": {way{"", services.Forward(t, "127.0.0.2:0", tls.Address), keys(withTLS("SSL", tls.Authority), client)}, "127.0.0.2", "advertised.listeners"},
	}
	for _, m := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		all["a wrong password, "+m] = refusal{way{"", sasl.Address, keys(withTLS("SASL_SSL", sasl.Authority), jaas(m, wrong))}, "SASL_AUTHENTICATION_FAILED", "sasl.jaas.config"}
	}
	return all
}

// TestRefused has readers and writers that the broker never lets in: they end, and say what to do.
func TestRefused(t *testing.T) {
	rig := newRig(t, 1, nil)
	for name, c := range refusals(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := rig.over(c.way)
			source, err := newReadSource(config)
			if err != nil {
				t.Fatal(err)
			}
			reader, err := source.Open(t.Context(), payloadSchema)
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			sink, err := newSink(config, &catalog.SinkEnv{Name: "Write", Job: rig.topic, Dir: t.TempDir(), Stream: true})
			if err != nil {
				t.Fatal(err)
			}
			for what, do := range map[string]func(context.Context) error{
				"read":  func(ctx context.Context) error { return reader.Next(ctx, &catalog.Morsel{}) },
				"write": func(ctx context.Context) error { _, err := sink.Open(ctx, payloadSchema); return err },
			} {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				err := do(ctx)
				var p *catalog.Problem
				if !errors.As(err, &p) || p.Code != diag.NoServer || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), c.address) || !strings.Contains(p.Hint, c.hint) {
					t.Errorf("%s: %v (%+v)", what, err, p)
				}
				t.Logf("%s: %v (%s)", what, err, p.Hint)
				if strings.Contains(fmt.Sprint(err, p), wrong) {
					t.Errorf("%s: the password in %v", what, err)
				}
			}
			for what, ping := range map[string]catalog.Pinger{"ping of the source": source, "ping of the sink": sink} {
				if err := ping.Ping(t.Context()); err == nil || strings.Contains(err.Error(), wrong) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// TestAnyName takes certificates of other names where the configuration says so, but not those of other authorities.
func TestAnyName(t *testing.T) {
	rig, tls := newRig(t, 1, nil), services.KafkaTLS(t)
	address := services.Forward(t, "127.0.0.2:0", tls.Address)
	any := map[string]any{"ssl.endpoint.identification.algorithm": "", "ssl.keystore.location": tls.Client}
	for authority, known := range map[string]bool{tls.Authority: true, services.Stranger(t): false} {
		s, err := newReadSource(rig.over(way{"", address, keys(withTLS("SSL", authority), any)}))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); (err == nil) != known {
			t.Errorf("known %v: %v", known, err)
		}
	}
}

// TestUnreachable has a broker that is not there yet: that may pass.
func TestUnreachable(t *testing.T) {
	rig, tls := newRig(t, 1, nil), services.KafkaTLS(t)
	rig.produce(text(0, "a")...)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	s, err := newReadSource(rig.over(way{"", address, keys(withTLS("SSL", tls.Authority), map[string]any{"ssl.keystore.location": tls.Client})}))
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.Open(t.Context(), payloadSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := in.Next(ctx, &catalog.Morsel{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("nobody there: %v", err)
	}
	services.Forward(t, address, tls.Address)
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := in.Next(ctx, &catalog.Morsel{}); err != nil {
		t.Error(err)
	}
}

// TestConnectionProblems are found without a broker, and do not show secrets.
func TestConnectionProblems(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "store.jks")
	if err := os.WriteFile(empty, []byte("\xfe\xed\xfe\xed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		settings map[string]any
		text     string
	}{
		{map[string]any{"security.protocol": "SASL_SSL", "sasl.jaas.config": "x"}, "username and password"},
		{keys(map[string]any{"security.protocol": "SASL_PLAINTEXT"}, jaas("PLAIN", "")), "username and password"},
		{keys(map[string]any{"security.protocol": "SASL_SSL"}, jaas("GSSAPI", wrong)), "GSSAPI"},
		{map[string]any{"security.protocol": "TLS"}, "TLS"},
		{map[string]any{"security.protocol": "SSL", "ssl.truststore.type": "JKS"}, "only PEM"},
		{map[string]any{"security.protocol": "SSL", "ssl.truststore.location": empty}, "no PEM certificate"},
		{map[string]any{"security.protocol": "SSL", "ssl.truststore.password": wrong}, "ssl.truststore.password"},
		{map[string]any{"security.protocol": "SSL", "ssl.key.password": wrong}, "ssl.key.password"},
		{map[string]any{"security.protocol": "SSL", "ssl.keystore.location": "/no/such/file.pem"}, "client's certificate"},
		{map[string]any{"security.protocol": "SSL", "ssl.keystore.certificate.chain": "-----BEGIN", "ssl.keystore.key": wrong}, "client's key"},
		{map[string]any{"security.protocol": "SSL", "ssl.certificate.location": empty}, "client's key"},
		{map[string]any{"sasl.oauthbearer.token": wrong}, "sasl.oauthbearer.token"},
	} {
		_, err := newClientOptions(map[string]any{"bootstrap_servers": "localhost:1", "consumer_config": c.settings})
		var p *catalog.Problem
		if !errors.As(err, &p) || !strings.Contains(err.Error(), c.text) || p.Key != "consumer_config" || strings.Contains(fmt.Sprint(err, p), wrong) {
			t.Errorf("%v: %v", c.settings, err)
		}
	}
}
