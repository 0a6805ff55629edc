package services

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What the certificates of the Kafka broker are called, in its folder.
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
	return secured(t, "Kafka with SASL", "LEAT_TEST_KAFKA_SASL", KafkaSASLAddress)
}

// KafkaTLS returns a listener of the Kafka broker of Kafka that wants a client's certificate.
func KafkaTLS(t testing.TB) Secured {
	t.Helper()
	return secured(t, "Kafka with TLS", "LEAT_TEST_KAFKA_TLS", KafkaTLSAddress)
}

func secured(t testing.TB, service, variable, usual string) Secured {
	t.Helper()
	s := Secured{Address: find(t, service, variable, usual)}
	folder, err := certificates()
	if err != nil {
		t.Fatal(err)
	}
	s.Authority, s.Client = filepath.Join(folder, AuthorityFile), filepath.Join(folder, ClientFile)
	if err := s.known(); err != nil {
		t.Fatalf("the certificates of %s at %s are not those in %s (%v): restart the services, or set LEAT_TEST_KAFKA_CERTIFICATES to the folder bin/services/kafka/%s of who has started them",
			service, s.Address, folder, err, CertificateFolder)
	}
	return s
}

// certificates is the folder that make services puts them in, in this checkout.
func certificates() (string, error) {
	if folder := os.Getenv("LEAT_TEST_KAFKA_CERTIFICATES"); folder != "" {
		return folder, nil
	}
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return filepath.Join(at, "bin", "services", "kafka", CertificateFolder), nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", errors.New("no go.mod above the working folder: set LEAT_TEST_KAFKA_CERTIFICATES")
		}
		at = up
	}
}

// known reports whether the authority vouches for the server.
func (s Secured) known() error {
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
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", s.Address, config)
	if err != nil {
		return err
	}
	return c.Close()
}
