//go:build unix

// Command services starts the real servers that tests talk to, on loopback, and ends them: Kafka, PostgreSQL, MQTT (mosquitto)
// and NATS. What is missing is installed; all state lies in one folder.
//
//	services start                  all but Kafka's cluster; those that run already are left alone
//	services start -brokers 3       a Kafka cluster of three brokers of its own: kafka-1, kafka-2, kafka-3
//	services start NAME...          only these
//	services stop [NAME...]         ends them in order; without names all
//	services kill NAME...           ends them as kill -9 does
//	services status [NAME...]       fails if one of those, or of those named, does not run
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

const usage = "usage: services start|stop|kill|status [-dir FOLDER] [-brokers 1|3] [NAME...]"

func run(args []string, out io.Writer) error {
	if len(args) == 0 || !slices.Contains([]string{"start", "stop", "kill", "status"}, args[0]) {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("services", flag.ContinueOnError)
	dir := flags.String("dir", "bin/services", "the folder of all state")
	brokers := flags.Int("brokers", 1, "3 starts a Kafka cluster of three")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *brokers != 1 && *brokers != clusterSize {
		return fmt.Errorf("-brokers %d: 1 or %d", *brokers, clusterSize)
	}
	state, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	all := known(state)
	chosen, err := choose(all, args[0], *brokers, flags.Args())
	if err != nil {
		return err
	}
	unlock, err := lock(state)
	if err != nil {
		return err
	}
	defer unlock()
	switch args[0] {
	case "start":
		return start(state, chosen, out)
	case "stop":
		return end(chosen, syscall.SIGTERM, out)
	case "kill":
		return end(chosen, syscall.SIGKILL, out)
	}
	return status(chosen, out)
}

// choose returns the services that a command is about.
func choose(all []*service, command string, brokers int, names []string) ([]*service, error) {
	var chosen []*service
	for _, name := range names {
		i := indexOf(all, name)
		if i < 0 {
			return nil, fmt.Errorf("no service %q", name)
		}
		chosen = append(chosen, all[i])
	}
	if command == "kill" && len(names) == 0 {
		return nil, errors.New("kill: name the services")
	}
	for _, s := range all {
		switch {
		case brokers > 1:
			if s.cluster && indexOf(chosen, s.name) < 0 {
				chosen = append(chosen, s)
			}
		case len(names) == 0 && (!s.cluster || command == "stop"):
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

func indexOf(all []*service, name string) int {
	for i, s := range all {
		if s.name == name {
			return i
		}
	}
	return -1
}

// lock lets one command at a time work on the folder.
func lock(state string) (func(), error) {
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(state, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// start brings up what does not run yet, all at the same time, and prints a line for each. One that cannot be had does not keep
// the others from starting.
func start(state string, chosen []*service, out io.Writer) error {
	failed := make([]error, len(chosen))
	for i, s := range chosen {
		if s.pid() == 0 {
			failed[i] = s.install(state)
		}
	}
	var wg sync.WaitGroup
	for i, s := range chosen {
		if failed[i] == nil {
			wg.Go(func() { failed[i] = s.start() })
		}
	}
	wg.Wait()
	for i, s := range chosen {
		if failed[i] != nil {
			failed[i] = fmt.Errorf("%s: %w", s.name, failed[i])
			continue
		}
		fmt.Fprintln(out, s.line())
	}
	return errors.Join(failed...)
}

func end(chosen []*service, signal syscall.Signal, out io.Writer) error {
	failed := make([]error, len(chosen))
	var wg sync.WaitGroup
	for i, s := range chosen {
		if pid := s.pid(); pid != 0 {
			fmt.Fprintf(out, "%s: ending %d\n", s.name, pid)
		}
		wg.Go(func() { failed[i] = s.end(signal) })
	}
	wg.Wait()
	return errors.Join(failed...)
}

func status(chosen []*service, out io.Writer) error {
	var failed []error
	for _, s := range chosen {
		fmt.Fprintln(out, s.line())
		if s.pid() == 0 {
			failed = append(failed, fmt.Errorf("%s does not run", s.name))
		}
	}
	return errors.Join(failed...)
}
