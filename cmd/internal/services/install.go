//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program makes sure that a program is there, by a package of Debian if it is not.
func program(find func() (string, error), name string, packages ...string) error {
	if _, err := find(); err == nil {
		return nil
	}
	if err := apt(packages); err != nil {
		return fmt.Errorf("%s is missing, and installing %s failed: %w", name, strings.Join(packages, " "), err)
	}
	if _, err := find(); err != nil {
		return fmt.Errorf("%s is missing though %s is installed: %w", name, strings.Join(packages, " "), err)
	}
	return nil
}

func apt(packages []string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("there is no apt-get; install it by hand")
	}
	var before []string
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return errors.New("neither root nor sudo; install it by hand")
		}
		before = []string{"sudo", "-n"}
	}
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)} {
		args = append(append(before[:len(before):len(before)], "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"), args...)
		if err := quiet(exec.Command(args[0], args[1:]...)); err != nil {
			return err
		}
	}
	return nil
}

// quiet runs a command and shows what it printed only if it fails.
func quiet(cmd *exec.Cmd) error {
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(text)))
	}
	return nil
}

// onPath finds a program as a shell does, and where Debian keeps those of administrators.
func onPath(name string) func() (string, error) {
	return func() (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
				return path, nil
			}
		}
		return path, err
	}
}
