//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leat-project/leat/internal/services"
)

// postgres returns the database. It does not run as root: there it becomes the user postgres, who owns its data then.
func postgres(state string) *service {
	s := &service{name: "postgres", dir: filepath.Join(state, "postgres"), address: services.PostgresURL}
	s.calm = syscall.SIGINT // ends without waiting for clients to leave
	s.install = func(string) error { return program(postgresBin, "PostgreSQL", "postgresql") }
	s.ready = askPostgres
	s.prepare = func() (*exec.Cmd, error) {
		bin, err := postgresBin()
		if err != nil {
			return nil, err
		}
		who, err := nonRoot()
		if err != nil {
			return nil, err
		}
		data := s.file("data")
		if err := initialise(bin, data, who); err != nil {
			return nil, err
		}
		cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", port(services.PostgresAddress),
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200")
		cmd.Dir, cmd.SysProcAttr = data, who
		return cmd, nil
	}
	return s
}

// postgresBin finds the folder of the newest version's programs; Debian does not put them on the path.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	path, err := exec.LookPath("initdb")
	return filepath.Dir(path), err
}

// nonRoot says as whom to run: nil is as we are.
func nonRoot() (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("it does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// initialise makes an empty database whose only user may do everything. A folder that was left half made is made again.
func initialise(bin, data string, who *syscall.SysProcAttr) error {
	done := filepath.Join(filepath.Dir(data), "initialised")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	password := filepath.Join(filepath.Dir(data), "password")
	if err := os.WriteFile(password, []byte(services.Password+"\n"), 0o644); err != nil {
		return err
	}
	if who != nil {
		if err := os.Chown(data, int(who.Credential.Uid), int(who.Credential.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", services.User, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8")
	cmd.Dir, cmd.SysProcAttr = data, who
	if err := quiet(cmd); err != nil {
		return err
	}
	return os.WriteFile(done, nil, 0o644)
}

// askPostgres connects to the tests' database, and creates it where it is not there yet.
func askPostgres(ctx context.Context) error {
	c, err := pgx.Connect(ctx, services.PostgresURL)
	if err == nil {
		return c.Close(ctx)
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "3D000" { // there is no such database
		return err
	}
	c, err = pgx.Connect(ctx, "postgres://"+services.User+":"+services.Password+"@"+services.PostgresAddress+"/postgres")
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "create database leat")
	return errors.Join(err, c.Close(ctx))
}
