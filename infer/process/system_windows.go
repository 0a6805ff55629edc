package process

import (
	"os"
	"syscall"
)

// takeStdio returns the standard input and output. Native code that prints there disturbs the exchange, which ends the child: the
// C library has its handles since the start of the process, so that they cannot be put elsewhere.
func takeStdio() (in, out *os.File, err error) { return os.Stdin, os.Stdout, nil }

// executable returns the path of this program.
func executable() (string, error) { return os.Executable() }

// attributes are those of a child: in a process group of its own. It ends when its input does.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
}

// widen would make a pipe's buffer larger.
func widen(*os.File) {}
