//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/leat-project/leat/internal/services"
)

// mosquitto returns the MQTT broker: one listener for everyone, others with a password, with TLS, or both.
func mosquitto(state string) *service {
	s := &service{name: "mosquitto", dir: filepath.Join(state, "mosquitto"), address: services.MQTTAddress,
		also: []string{services.MQTTPasswordAddress + " (with a password)", services.MQTTTLSAddress + " (TLS, with a password)",
			services.MQTTCertificateAddress + " (TLS, with a client's certificate)", services.MQTTWebAddress + " (secure web sockets, with a password)"}}
	s.install = func(string) error { return program(onPath("mosquitto"), "mosquitto", "mosquitto") }
	s.ready = func(ctx context.Context) error {
		return errors.Join(connects(ctx, services.MQTTAddress), connects(ctx, services.MQTTPasswordAddress), connects(ctx, services.MQTTTLSAddress),
			connects(ctx, services.MQTTCertificateAddress), connects(ctx, services.MQTTWebAddress))
	}
	s.prepare = func() (*exec.Cmd, error) {
		program, err := onPath("mosquitto")()
		if err != nil {
			return nil, err
		}
		if err := quiet(exec.Command("mosquitto_passwd", "-b", "-c", s.file("passwords"), services.User, services.Password)); err != nil {
			return nil, err
		}
		if err := writeCertificates(s.file(services.CertificateFolder)); err != nil {
			return nil, fmt.Errorf("make certificates: %w", err)
		}
		if err := os.WriteFile(s.file("conf"), []byte(strings.Join(s.mosquitto(), "\n")+"\n"), 0o644); err != nil {
			return nil, err
		}
		return exec.Command(program, "-c", s.file("conf")), nil
	}
	return s
}

// mosquitto is the broker's configuration.
func (s *service) mosquitto() []string {
	lines := []string{
		"user root", // as root it would become a user who cannot write here; others stay who they are
		"per_listener_settings true",
		"log_dest stderr",
		"persistence true",
		"persistence_location " + s.dir + "/",
		"autosave_interval 1",
		"max_queued_messages 0", // no limit: it would drop what a slow test has not taken yet
	}
	folder := s.file(services.CertificateFolder)
	everyone := []string{"allow_anonymous true"}
	password := []string{"allow_anonymous false", "password_file " + s.file("passwords")}
	tls := []string{"certfile " + filepath.Join(folder, serverFile), "keyfile " + filepath.Join(folder, serverFile)}
	client := []string{"require_certificate true", "cafile " + filepath.Join(folder, services.AuthorityFile)}
	for _, l := range []struct {
		address string
		lines   [][]string
	}{
		{services.MQTTAddress, [][]string{everyone}},
		{services.MQTTPasswordAddress, [][]string{password}},
		{services.MQTTTLSAddress, [][]string{password, tls}},
		{services.MQTTCertificateAddress, [][]string{everyone, tls, client}},
		{services.MQTTWebAddress, [][]string{{"protocol websockets"}, password, tls}},
	} {
		lines = append(lines, "listener "+port(l.address)+" 127.0.0.1")
		for _, more := range l.lines {
			lines = append(lines, more...)
		}
	}
	return lines
}
