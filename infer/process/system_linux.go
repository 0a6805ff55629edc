package process

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is the size of the buffers that are asked for: large tensors go through with fewer switches between the processes. (A
// pair of sockets takes a fifth less time for 1 MB, and half as much again for 1 kB.)
const pipeSize = 1 << 20

// executable returns a path to the file of this process, whatever has its name by now.
func executable() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// attributes are those of a child: in a process group of its own, and ended with its parent even where it cannot read that its
// input has ended.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// widen makes a pipe's buffer larger, if the user's share of such memory allows it.
func widen(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}

// preferForKilling tells the system, should memory run out, to end this process before its parent.
func preferForKilling() {
	const score = "500" // of 1,000
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(score), 0)
}
