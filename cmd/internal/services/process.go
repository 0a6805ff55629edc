//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/leat-project/leat/internal/services"
)

// patience is how long a server may take to come up, or to end.
const patience = 90 * time.Second

// service is one server. Its folder holds its configuration, data, log and process id; the folder's path stands in its command
// line, and so tells its process from a stranger that got the same id later.
type service struct {
	name    string
	dir     string
	address string
	also    []string // further addresses, with what they are for
	cluster bool     // a part of the Kafka cluster

	install func(state string) error        // gets the programs
	prepare func() (*exec.Cmd, error)       // writes what is missing in dir, and says how to start
	ready   func(ctx context.Context) error // asks the server something
	calm    syscall.Signal                  // asks the server to end in order; SIGTERM when 0
}

// line is what is printed about a service: a line, and one for each further address.
func (s *service) line() string {
	state := "not running"
	if pid := s.pid(); pid != 0 {
		state = "pid " + strconv.Itoa(pid)
	}
	line := fmt.Sprintf("%-16s %-42s %s", s.name, s.address, state)
	for _, a := range s.also {
		line += fmt.Sprintf("\n%-16s %s", "", a)
	}
	return line
}

func (s *service) file(name string) string { return filepath.Join(s.dir, name) }

// pid returns the id of the service's process, 0 if it does not run.
func (s *service) pid() int {
	pid := s.lastPid()
	if pid == 0 || !strings.Contains(commandLine(pid), s.dir+string(filepath.Separator)) {
		return 0
	}
	return pid
}

// lastPid returns the id in the file, which may be that of a process long gone.
func (s *service) lastPid() int {
	text, err := os.ReadFile(s.file("pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return max(0, pid)
}

// settle waits, for a while, until the system has collected a process that has ended. Till then PostgreSQL takes the old process
// for a running one, and refuses to start.
func (s *service) settle() {
	pid := s.lastPid()
	for range 200 {
		if pid == 0 || commandLine(pid) != "" || syscall.Kill(pid, 0) != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// commandLine returns how a process was started, empty if there is none or if it has ended and was not collected yet.
func commandLine(pid int) string {
	if _, err := os.Stat("/proc/self/cmdline"); err == nil {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return ""
		}
		return string(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
	}
	text, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return string(text)
}

// start starts the server unless it runs, and waits until it answers.
func (s *service) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.pid() != 0 {
		return s.wait(ctx, nil)
	}
	s.settle()
	if services.Answers(s.address) {
		return fmt.Errorf("a process that is not ours listens at its address")
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	cmd, err := s.prepare()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true // it outlives this program and its terminal
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(s.file("pid"), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return s.wait(ctx, ended)
}

// wait waits until the server answers. If it ends first, the error has the last lines of its log.
func (s *service) wait(ctx context.Context, ended <-chan error) error {
	for {
		asked, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.ready(asked)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case cause := <-ended:
			return fmt.Errorf("it ended at once (%v); the end of %s:\n%s", cause, s.file("log"), tail(s.file("log")))
		case <-ctx.Done():
			return fmt.Errorf("it does not answer (%w); the end of %s:\n%s", err, s.file("log"), tail(s.file("log")))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// end sends the signal and waits until the process is gone. A server that does not end in order is killed.
func (s *service) end(signal syscall.Signal) error {
	if signal == syscall.SIGTERM && s.calm != 0 {
		signal = s.calm
	}
	begin := time.Now()
	for pid := s.pid(); pid != 0; pid = s.pid() {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%s: end %d: %w", s.name, pid, err)
		}
		for range 100 {
			if s.pid() == 0 {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		switch waited := time.Since(begin); {
		case waited > patience:
			return fmt.Errorf("%s: process %d does not end", s.name, pid)
		case waited > patience/3:
			signal = syscall.SIGKILL
		}
	}
	s.settle()
	if err := os.Remove(s.file("pid")); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
