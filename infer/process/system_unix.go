//go:build unix

package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// takeStdio returns the standard input and output for our own use, and puts the null device and the standard error in their place.
func takeStdio() (in, out *os.File, err error) {
	var taken [2]*os.File
	for fd, name := range []string{"in", "out"} {
		mine, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, nil, os.NewSyscallError("fcntl", err)
		}
		// So that Go's poller waits, and not a thread, on which the work that was just read would have to wait.
		if err := unix.SetNonblock(mine, true); err != nil {
			return nil, nil, os.NewSyscallError("fcntl", err)
		}
		taken[fd] = os.NewFile(uintptr(mine), name)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), 0); err != nil {
		return nil, nil, os.NewSyscallError("dup2", err)
	}
	if err := unix.Dup2(2, 1); err != nil {
		return nil, nil, os.NewSyscallError("dup2", err)
	}
	preferForKilling()
	return taken[0], taken[1], nil
}
