//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-project/leat/internal/services"
)

// The listeners of the single broker that do not let everyone in: SECRET asks for a name and a password over TLS, CLOSED for a client's
// certificate.

// serverFile holds the broker's certificate and key; clients have no business with it.
const serverFile = "server.pem"

// secured are the broker's settings for those listeners. Its stores are of the type PEM, which has no password of its own.
func (b *broker) secured() []string {
	folder := b.file(services.CertificateFolder)
	scram := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	plain := fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required user_%s="%s";`, services.User, services.Password)
	return []string{
		"ssl.keystore.type=PEM",
		"ssl.keystore.location=" + filepath.Join(folder, serverFile),
		"ssl.truststore.type=PEM",
		"ssl.truststore.location=" + filepath.Join(folder, services.AuthorityFile),
		"listener.name.closed.ssl.client.auth=required",
		"listener.name.secret.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"listener.name.secret.plain.sasl.jaas.config=" + plain,
		"listener.name.secret.scram-sha-256.sasl.jaas.config=" + scram,
		"listener.name.secret.scram-sha-512.sasl.jaas.config=" + scram,
	}
}

// answers asks the broker something, and tells the single one the password of its user, which it keeps for SCRAM among its data.
func (b *broker) answers(ctx context.Context) error {
	if err := b.ask(ctx); err != nil || b.nodes > 1 {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // a user stands in a request once
		user := kadm.UpsertSCRAM{User: services.User, Password: services.Password, Mechanism: mechanism, Iterations: 4096}
		done, err := kadm.NewClient(client).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{user})
		if err := errors.Join(err, done.Error()); err != nil {
			return err
		}
	}
	return errors.Join(connects(ctx, services.KafkaSASLAddress), connects(ctx, services.KafkaTLSAddress))
}

// writeCertificates makes an authority that nobody else knows, and what it vouches for: the broker, and a client. The key of the authority
// is not kept.
func writeCertificates(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	authority := certificate("leat tests")
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(folder, services.AuthorityFile), 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return err
	}
	server := certificate("localhost")
	server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	for file, template := range map[string]*x509.Certificate{serverFile: server, services.ClientFile: certificate(services.User)} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), authorityKey)
		if err != nil {
			return err
		}
		secret, err := x509.MarshalPKCS8PrivateKey(key) // the broker reads keys in this form only
		if err != nil {
			return err
		}
		if err := writePEM(filepath.Join(folder, file), 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return err
		}
	}
	return nil
}

// certificate returns one for a name, good for both ends of a connection, to be signed.
func certificate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
}

func writePEM(file string, mode os.FileMode, blocks ...*pem.Block) error {
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(b)...)
	}
	return os.WriteFile(file, text, mode)
}
