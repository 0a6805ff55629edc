package services

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// recorder is a test that notes how it was left instead of leaving.
type recorder struct {
	testing.TB
	how  string
	text string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(_ string, args ...any) { r.note("skip", args) }

func (r *recorder) Fatalf(_ string, args ...any) { r.note("fail", args) }

// note keeps the first: a real test would have ended there.
func (r *recorder) note(how string, args []any) {
	if r.how == "" {
		r.how, r.text = how, fmt.Sprint(args...)
	}
}

func TestFind(t *testing.T) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	there, gone := open.Addr().String(), "postgres://user:secret@"+closed.Addr().String()+"/db"
	tests := []struct{ name, variable, must, usual, want, how string }{
		{"the variable", "elsewhere:1", "1", gone, "elsewhere:1", ""},
		{"the usual", "", "1", there, there, ""},
		{"none", "", "", gone, "", "skip"},
		{"none, and there must be", "", "1", gone, "", "fail"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("LEAT_TEST_ANY", test.variable)
			t.Setenv("LEAT_SERVICES", test.must)
			r := &recorder{TB: t}
			if got := find(r, "Any", "LEAT_TEST_ANY", test.usual); got != test.want || r.how != test.how {
				t.Errorf("got %q, %q; want %q, %q", got, r.how, test.want, test.how)
			}
			if strings.Contains(r.text, "secret") {
				t.Errorf("a password in %q", r.text)
			}
		})
	}
}

func addressOf(ask func(testing.TB) Secured) func(testing.TB) string {
	return func(t testing.TB) string { return ask(t).Address }
}

// TestServices asks for every server, so that LEAT_SERVICES=1 shows what is missing first.
func TestServices(t *testing.T) {
	for name, ask := range map[string]func(testing.TB) string{
		"kafka": Kafka, "kafka sasl": addressOf(KafkaSASL), "kafka tls": addressOf(KafkaTLS), "postgres": Postgres, "mqtt": MQTT, "mqtt password": MQTTPassword, "nats": NATS,
		"mqtt tls": addressOf(MQTTTLS), "mqtt certificate": addressOf(MQTTCertificate), "mqtt web": addressOf(MQTTWeb), "nats tls": addressOf(NATSTLS), "nats certificate": addressOf(NATSCertificate),
	} {
		t.Run(name, func(t *testing.T) {
			if address := ask(t); !Answers(address) {
				t.Errorf("nothing answers at %s", hostPort(address))
			}
		})
	}
}
