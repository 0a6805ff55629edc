// Package services tells tests where the real servers are that they talk to. `make services` starts them on this machine;
// LEAT_TEST_KAFKA, LEAT_TEST_POSTGRES, LEAT_TEST_MQTT and LEAT_TEST_NATS name others. LEAT_TEST_KAFKA_CERTIFICATES is the folder of
// certificates of a Kafka broker that another checkout has started; the other servers have such variables, too.
package services

import (
	"cmp"
	"net"
	"net/url"
	"os"
	"testing"
	"time"
)

// Where `make services` puts the servers. They listen on loopback only.
const (
	KafkaAddress           = "127.0.0.1:19092"
	KafkaSASLAddress       = "127.0.0.1:19093"
	KafkaTLSAddress        = "127.0.0.1:19094"
	PostgresAddress        = "127.0.0.1:15432"
	PostgresURL            = "postgres://leat:leat@" + PostgresAddress + "/leat"
	MQTTAddress            = "127.0.0.1:11883"
	MQTTPasswordAddress    = "127.0.0.1:11884"
	MQTTTLSAddress         = "127.0.0.1:11885"
	MQTTCertificateAddress = "127.0.0.1:11886"
	MQTTWebAddress         = "127.0.0.1:11887"
	NATSAddress            = "127.0.0.1:14222"
	NATSTLSAddress         = "127.0.0.1:14223"
	NATSCertificateAddress = "127.0.0.1:14224"
)

// Name and password of the servers that ask for them.
const (
	User     = "leat"
	Password = "leat"
)

// Kafka returns the address, host:port, of a Kafka broker. The test is skipped when there is none, and fails when there is none
// and LEAT_SERVICES=1 says that there must be; the other functions do the same.
func Kafka(t testing.TB) string {
	t.Helper()
	return find(t, "Kafka", "LEAT_TEST_KAFKA", KafkaAddress)
}

// Postgres returns the URL of a PostgreSQL database, with user and password. The user may do everything.
func Postgres(t testing.TB) string {
	t.Helper()
	return find(t, "PostgreSQL", "LEAT_TEST_POSTGRES", PostgresURL)
}

// MQTT returns the address, host:port, of an MQTT broker that lets everyone in.
func MQTT(t testing.TB) string {
	t.Helper()
	return find(t, "MQTT", "LEAT_TEST_MQTT", MQTTAddress)
}

// MQTTPassword returns the address, host:port, of an MQTT broker that asks for User and Password.
func MQTTPassword(t testing.TB) string {
	t.Helper()
	return find(t, "MQTT with a password", "LEAT_TEST_MQTT_PASSWORD", MQTTPasswordAddress)
}

// NATS returns the address, host:port, of a NATS server with JetStream.
func NATS(t testing.TB) string {
	t.Helper()
	return find(t, "NATS", "LEAT_TEST_NATS", NATSAddress)
}

// find returns what the variable says, unasked: a wrong address must fail the test, not skip it. Else the usual address, if
// something answers there.
func find(t testing.TB, service, variable, usual string) string {
	t.Helper()
	if address := os.Getenv(variable); address != "" {
		return address
	}
	if Answers(usual) {
		return usual
	}
	missing(t, "no %s at %s: run make services, or set %s", service, hostPort(usual), variable)
	return ""
}

// missing ends a test that cannot have its server: it fails where all servers were promised, and else is skipped.
func missing(t testing.TB, text string, args ...any) {
	t.Helper()
	if os.Getenv("LEAT_SERVICES") == "1" {
		t.Fatalf(text, args...)
	}
	t.Skipf(text, args...)
}

// Answers says whether something takes connections at an address, a host:port or a URL.
func Answers(address string) bool {
	c, err := net.DialTimeout("tcp", hostPort(address), 200*time.Millisecond)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// hostPort leaves user and password out of a URL.
func hostPort(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return cmp.Or(u.Host, address)
}
