//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/leat-project/leat/internal/services"
)

// serverFile holds a server's certificate and key; clients have no business with it.
const serverFile = "server.pem"

// writeCertificates makes an authority that nobody else knows, and what it vouches for: a server, and a client. The key of the authority
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
		secret, err := x509.MarshalPKCS8PrivateKey(key) // Kafka reads keys in this form only
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
