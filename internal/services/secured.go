package services

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What the certificates of a server are called, in its folder.
const (
	CertificateFolder = "certificates"
	AuthorityFile     = "authority.pem"
	ClientFile        = "client.pem"
)

// Secured is a server that does not let everyone in.
type Secured struct {
	Address   string // host:port
	Authority string // a PEM file: the certificate of who vouches for the server
	Client    string // a PEM file: a client's certificate and its key, for servers that ask for it
}

// KafkaSASL returns a listener of the Kafka broker of Kafka that wants User and Password over TLS, by PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
func KafkaSASL(t testing.TB) Secured {
	t.Helper()
	return listener{"Kafka with SASL", "kafka", "LEAT_TEST_KAFKA_SASL", "LEAT_TEST_KAFKA_CERTIFICATES", KafkaSASLAddress, false}.secured(t)
}

// KafkaTLS returns a listener of the Kafka broker of Kafka that wants a client's certificate.
func KafkaTLS(t testing.TB) Secured {
	t.Helper()
	return listener{"Kafka with TLS", "kafka", "LEAT_TEST_KAFKA_TLS", "LEAT_TEST_KAFKA_CERTIFICATES", KafkaTLSAddress, false}.secured(t)
}

// MQTTTLS returns a listener of the MQTT broker of MQTT that wants User and Password over TLS.
func MQTTTLS(t testing.TB) Secured {
	t.Helper()
	return listener{"MQTT with TLS and a password", "mosquitto", "LEAT_TEST_MQTT_TLS", "LEAT_TEST_MQTT_CERTIFICATES", MQTTTLSAddress, false}.secured(t)
}

// MQTTCertificate returns a listener of the MQTT broker of MQTT that wants a client's certificate.
func MQTTCertificate(t testing.TB) Secured {
	t.Helper()
	return listener{"MQTT with a client's certificate", "mosquitto", "LEAT_TEST_MQTT_CERTIFICATE", "LEAT_TEST_MQTT_CERTIFICATES", MQTTCertificateAddress, false}.secured(t)
}

// MQTTWeb returns a listener of the MQTT broker of MQTT that wants User and Password over secure web sockets.
func MQTTWeb(t testing.TB) Secured {
	t.Helper()
	return listener{"MQTT with secure web sockets", "mosquitto", "LEAT_TEST_MQTT_WEB", "LEAT_TEST_MQTT_CERTIFICATES", MQTTWebAddress, false}.secured(t)
}

// NATSTLS returns a NATS server with JetStream that wants User and Password over TLS.
func NATSTLS(t testing.TB) Secured {
	t.Helper()
	return listener{"NATS with TLS and a password", "nats-tls", "LEAT_TEST_NATS_TLS", "LEAT_TEST_NATS_TLS_CERTIFICATES", NATSTLSAddress, true}.secured(t)
}

// NATSCertificate returns a NATS server with JetStream that wants a client's certificate.
func NATSCertificate(t testing.TB) Secured {
	t.Helper()
	return listener{"NATS with a client's certificate", "nats-certificate", "LEAT_TEST_NATS_CERTIFICATE", "LEAT_TEST_NATS_CERTIFICATE_CERTIFICATES", NATSCertificateAddress, true}.secured(t)
}

// listener is where a service listens that does not let everyone in.
type listener struct {
	name                 string
	service              string // whose folder has the certificates
	variable, folderFrom string // environment variables that name others
	usual                string
	greets               bool // the server says something before TLS
}

func (l listener) secured(t testing.TB) Secured {
	t.Helper()
	s := Secured{Address: find(t, l.name, l.variable, l.usual)}
	folder, err := l.certificates()
	if err != nil {
		t.Fatal(err)
	}
	s.Authority, s.Client = filepath.Join(folder, AuthorityFile), filepath.Join(folder, ClientFile)
	if err := s.known(l.greets); err != nil {
		missing(t, "the certificates of %s at %s are not those in %s (%v): restart the services, or set %s to the folder bin/services/%s/%s of who has started them",
			l.name, s.Address, folder, err, l.folderFrom, l.service, CertificateFolder)
	}
	return s
}

// certificates is the folder that make services puts them in, in this checkout.
func (l listener) certificates() (string, error) {
	if folder := os.Getenv(l.folderFrom); folder != "" {
		return folder, nil
	}
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return filepath.Join(at, "bin", "services", l.service, CertificateFolder), nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", fmt.Errorf("no go.mod above the working folder: set %s", l.folderFrom)
		}
		at = up
	}
}

// known reports whether the authority vouches for the server.
func (s Secured) known(greets bool) error {
	text, err := os.ReadFile(s.Authority)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	pair, err := tls.LoadX509KeyPair(s.Client, s.Client)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", s.Address, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	for said := [1]byte{}; greets && said[0] != '\n'; {
		if _, err := c.Read(said[:]); err != nil {
			return err
		}
	}
	name, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return err
	}
	return tls.Client(c, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, ServerName: name}).Handshake()
}
