//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
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
	all := []*service{kafka(state, 1, 1), postgres(state), mosquitto(state), nats(state)}
	for i := range clusterSize {
		all = append(all, kafka(state, i+1, clusterSize))
	}
	return all
}

// mosquitto returns the MQTT broker: one listener for everyone, a second with a password.
func mosquitto(state string) *service {
	s := &service{name: "mosquitto", dir: filepath.Join(state, "mosquitto"), address: services.MQTTAddress,
		also: []string{services.MQTTPasswordAddress + " (with a password)"}}
	s.install = func(string) error { return program(onPath("mosquitto"), "mosquitto", "mosquitto") }
	s.ready = func(ctx context.Context) error {
		return errors.Join(connects(ctx, services.MQTTAddress), connects(ctx, services.MQTTPasswordAddress))
	}
	s.prepare = func() (*exec.Cmd, error) {
		program, err := onPath("mosquitto")()
		if err != nil {
			return nil, err
		}
		passwords := s.file("passwords")
		if err := quiet(exec.Command("mosquitto_passwd", "-b", "-c", passwords, services.User, services.Password)); err != nil {
			return nil, err
		}
		lines := []string{
			"user root", // as root it would become a user who cannot write here; others stay who they are
			"per_listener_settings true",
			"log_dest stderr",
			"persistence true",
			"persistence_location " + s.dir + "/",
			"autosave_interval 1",
			"max_queued_messages 0", // no limit: it would drop what a slow test has not taken yet
			"listener " + port(services.MQTTAddress) + " 127.0.0.1",
			"allow_anonymous true",
			"listener " + port(services.MQTTPasswordAddress) + " 127.0.0.1",
			"allow_anonymous false",
			"password_file " + passwords,
		}
		if err := os.WriteFile(s.file("conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return nil, err
		}
		return exec.Command(program, "-c", s.file("conf")), nil
	}
	return s
}

const natsVersion = "v2.15.2"

// nats returns the NATS server, built from its source at a fixed version.
func nats(state string) *service {
	s := &service{name: "nats", dir: filepath.Join(state, "nats"), address: services.NATSAddress}
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
