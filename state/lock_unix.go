//go:build unix

package state

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lock locks the file of that name until the process ends or the function returned is called.
func lock(name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = &BusyError{Dir: filepath.Dir(name)}
		}
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
