package library

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// Installed is a library that leat knows, on this machine or not.
type Installed struct {
	Flavour  Flavour
	Version  string
	Platform string // such as linux/amd64
	Path     string // of the library; empty where it is not on this machine
	From     string // as in Library; empty where it is not on this machine
	Size     int64  // bytes on disk where it is on this machine, else of the download
	Run      bool   // leat's tests have run it on this platform
	Note     string // what it needs besides, empty for nothing
}

// List lists the libraries on this machine in the order of search, and after them every package that could be
// installed, here or on another platform.
func List(o Options) ([]Installed, error) {
	cache, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	var all []Installed
	here := runtime.GOOS + "/" + runtime.GOARCH
	for _, place := range []struct{ path, from string }{{os.Getenv(Variable), FromVariable}, {binaryDir(), FromBinary}} {
		if place.path == "" {
			continue
		}
		if l, err := open(place.path, place.from); err == nil {
			all = append(all, Installed{Flavour: l.Flavour, Version: l.Version, Platform: here, Path: l.Path, From: l.From, Size: fileSize(l.Path)})
		} else if place.from == FromVariable {
			return nil, fmt.Errorf("%s: %w", Variable, err)
		}
	}
	for i := range pins {
		p := &pins[i]
		one := Installed{Flavour: p.Flavour, Version: p.Version, Platform: p.platform(), Size: p.Size, Run: p.run(), Note: p.note()}
		dir := filepath.Join(cache, p.dirName())
		if l, err := openInstalled(dir); err == nil {
			one.Path, one.From, one.Size = l.Path, l.From, sizeOf(dir)
		}
		all = append(all, one)
	}
	return all, nil
}

// Verify compares the files of what is installed in the cache with the hashes taken when it was unpacked, and the wheel
// with the pinned one. It checks the flavour that the options name, or all that are installed. It reads every byte.
func Verify(o Options) error {
	cache, err := o.cacheDir()
	if err != nil {
		return err
	}
	var failed []error
	for i := range pins {
		p := &pins[i]
		named := o.Flavour == p.Flavour && p.platform() == runtime.GOOS+"/"+runtime.GOARCH
		if o.Flavour != "" && !named {
			continue
		}
		err := verifyDir(filepath.Join(cache, p.dirName()), p)
		if errors.Is(err, os.ErrNotExist) {
			if !named {
				continue
			}
			err = &NotInstalled{Flavour: p.Flavour, Version: p.Version, Places: []string{cache}, Offline: o.Offline}
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// verifyDir checks every byte of an installation; the error is os.ErrNotExist where there is none.
func verifyDir(dir string, p *pin) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	mend := fmt.Sprintf("run \"leat runtime install %s\", which replaces it", p.Flavour)
	m, err := readManifest(dir)
	if err != nil {
		return fmt.Errorf("%s is not whole (%v); %s", dir, err, mend) // not wrapped: the folder does exist
	}
	if m.WheelSHA256 != p.SHA256 {
		return fmt.Errorf("%s: wanted the package with SHA-256 %s, found that of %s; %s", dir, p.SHA256, m.WheelSHA256, mend)
	}
	for _, file := range m.Files {
		found, err := hashOf(filepath.Join(dir, file.Name))
		if err != nil {
			return fmt.Errorf("%s is not whole (%v); %s", dir, err, mend)
		}
		if found != file.SHA256 {
			return fmt.Errorf("%s: wanted SHA-256 %s, found %s; %s", filepath.Join(dir, file.Name), file.SHA256, found, mend)
		}
	}
	if len(m.Files) == 0 || m.Library == "" {
		return fmt.Errorf("%s is not whole (no library in its manifest); %s", dir, mend)
	}
	return nil
}

// hashOf is the SHA-256 of a file, in hexadecimal.
func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// sizeOf is the room that a folder's files take, each counted once whatever the number of its names.
func sizeOf(dir string) int64 {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	var counted []os.FileInfo
	var size int64
next:
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil || info.IsDir() {
			continue
		}
		for _, c := range counted {
			if os.SameFile(c, info) {
				continue next
			}
		}
		counted = append(counted, info)
		size += info.Size()
	}
	return size
}
