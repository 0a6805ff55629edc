//go:build !unix

package state

import (
	"os"
	"path/filepath"
)

// lock holds a file open that no other process may remove: systems without advisory locks refuse to remove an open file.
func lock(name string) (unlock func() error, err error) {
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return nil, &BusyError{Dir: filepath.Dir(name)}
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}
