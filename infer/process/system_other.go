//go:build unix && !linux

package process

import (
	"os"
	"syscall"
)

// executable returns the path of this program.
func executable() (string, error) { return os.Executable() }

// attributes are those of a child: in a process group of its own. It ends when its input does.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// widen would make a pipe's buffer larger; the system does so itself.
func widen(*os.File) {}

// preferForKilling has no counterpart here.
func preferForKilling() {}
