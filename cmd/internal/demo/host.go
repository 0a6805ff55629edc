package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const hostExample = "examples/host_metrics.yaml"

// How long the machine is watched, and when something out of the ordinary is done to it, for how long.
const (
	hostWatched = 10 * time.Second
	hostCalm    = 6 * time.Second
	hostBusy    = 1500 * time.Millisecond
)

// showHost runs a stream: the machine's own figures, live, until it is told to stop.
func showHost(leat, dir string) error {
	title("A stream", fmt.Sprintf(`this machine, watched live for %v: how busy its processors are, in windows of half a second, each scored by how far it is from
   those before. After %v the demo keeps a processor busy`, hostWatched, hostCalm))
	cmd := exec.Command(leat, "run", "--state-dir", filepath.Join(dir, "host-state"), hostExample)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	time.Sleep(hostCalm)
	for end := time.Now().Add(hostBusy); time.Now().Before(end); {
	}
	time.Sleep(hostWatched - hostCalm - hostBusy)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the stream did not end well: %w", err)
	}
	fmt.Printf("\nIt stopped at a checkpoint: run it again with the same --state-dir, and it goes on with what it has learned.\n")
	return nil
}
