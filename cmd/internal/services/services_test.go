//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestChoose(t *testing.T) {
	tests := []struct {
		name    string
		command string
		brokers int
		names   string
		want    string
	}{
		{"all but the cluster", "start", 1, "", "kafka postgres mosquitto nats nats-tls nats-certificate"},
		{"all end", "stop", 1, "", "kafka postgres mosquitto nats nats-tls nats-certificate kafka-1 kafka-2 kafka-3"},
		{"a cluster", "start", 3, "", "kafka-1 kafka-2 kafka-3"},
		{"a cluster and more", "start", 3, "nats kafka-2", "nats kafka-2 kafka-1 kafka-3"},
		{"one", "kill", 1, "kafka-2", "kafka-2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			chosen, err := choose(known(t.TempDir()), test.command, test.brokers, strings.Fields(test.names))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, s := range chosen {
				names = append(names, s.name)
			}
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestWrongCommands(t *testing.T) {
	for _, args := range []string{"", "kill", "start kafka-4", "start -brokers 2", "begin nats"} {
		err := run(strings.Fields(args), &strings.Builder{})
		if err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestStranger has a process id in the file that belongs to someone else by now: it is not ended.
func TestStranger(t *testing.T) {
	s := &service{name: "any", dir: t.TempDir()}
	if err := os.WriteFile(s.file("pid"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		t.Fatal(err)
	}
	if pid := s.pid(); pid != 0 {
		t.Fatalf("process %d is taken for ours", pid)
	}
	if err := s.end(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestEnd ends a process of ours, known by the folder in its command line.
func TestEnd(t *testing.T) {
	s := &service{name: "any", dir: t.TempDir()}
	cmd := exec.Command("sh", "-c", "while :; do sleep 1; done", filepath.Join(s.dir, "conf"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := os.WriteFile(s.file("pid"), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
	if pid := s.pid(); pid != 0 {
		t.Errorf("%d still runs", pid)
	}
}
