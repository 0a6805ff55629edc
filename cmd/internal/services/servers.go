//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/leat-project/leat/internal/services"
)

// known returns all services that there are. The order is that in which they are printed.
func known(state string) []*service {
	all := []*service{kafka(state, 1, 1), postgres(state), mosquitto(state),
		nats(state, "nats", services.NATSAddress, natsOpen), nats(state, "nats-tls", services.NATSTLSAddress, natsPassword),
		nats(state, "nats-certificate", services.NATSCertificateAddress, natsCertificate)}
	for i := range clusterSize {
		all = append(all, kafka(state, i+1, clusterSize))
	}
	return all
}

const natsVersion = "v2.15.2"

// Whom a NATS server lets in.
const (
	natsOpen        = "everyone"
	natsPassword    = "TLS, with a password"
	natsCertificate = "TLS, with a client's certificate"
)

// nats returns a NATS server, built from its source at a fixed version. One server speaks TLS to all its clients, or to none.
func nats(state, name, address, lets string) *service {
	s := &service{name: name, dir: filepath.Join(state, name), address: address}
	if lets != natsOpen {
		s.also = []string{"(" + lets + ")"}
	}
	program := filepath.Join(state, "nats-server-"+natsVersion, "nats-server")
	s.install = func(string) error {
		if _, err := os.Stat(program); err == nil {
			return nil
		}
		cmd := exec.Command("go", "install", "github.com/nats-io/nats-server/v2@"+natsVersion)
		cmd.Env = append(os.Environ(), "GOBIN="+filepath.Dir(program), "CGO_ENABLED=0")
		return quiet(cmd)
	}
	s.ready = func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err != nil {
			return err
		}
		defer c.Close()
		if deadline, ok := ctx.Deadline(); ok {
			if err := c.SetReadDeadline(deadline); err != nil {
				return err
			}
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil && !strings.Contains(line, `"jetstream":true`) {
			err = fmt.Errorf("no JetStream: %s", line)
		}
		return err
	}
	s.prepare = func() (*exec.Cmd, error) {
		text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_file_store: 8GB, sync_interval: always }\n", s.address, s.file("data"))
		if lets != natsOpen {
			folder := s.file(services.CertificateFolder)
			if err := writeCertificates(folder); err != nil {
				return nil, fmt.Errorf("make certificates: %w", err)
			}
			server := filepath.Join(folder, serverFile)
			text += fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: %t }\n", server, server, filepath.Join(folder, services.AuthorityFile), lets == natsCertificate)
		}
		if lets == natsPassword {
			text += fmt.Sprintf("authorization { user: %q, password: %q }\n", services.User, services.Password)
		}
		if err := os.WriteFile(s.file("conf"), []byte(text), 0o644); err != nil {
			return nil, err
		}
		return exec.Command(program, "-c", s.file("conf")), nil
	}
	return s
}

// connects says whether a server takes connections.
func connects(ctx context.Context, address string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

func port(address string) string {
	_, port, _ := strings.Cut(address, ":")
	return port
}
