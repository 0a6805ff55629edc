package library

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// temporary begins the names of folders where an installation is being made.
	temporary = ".making-"

	// abandonedAfter is the age at which such a folder counts as left behind by a process that was killed.
	abandonedAfter = 24 * time.Hour
)

// Install fetches the pinned wheel from the index in use, checks its SHA-256, and unpacks the library into the cache. One
// that is there and whole is left as it is. Several processes may install at once. After an error nothing is left behind.
func Install(ctx context.Context, o Options) (Library, error) {
	flavour, err := ParseFlavour(string(o.Flavour))
	if err != nil {
		return Library{}, err
	}
	p, err := findPin(flavour, runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return Library{}, err
	}
	if err := p.checkSystem("/"); err != nil {
		return Library{}, err
	}
	in := installer{Options: o, pin: p, env: os.Getenv, backOff: firstBackOff}
	return in.install(ctx)
}

// installer puts one wheel into the cache.
type installer struct {
	Options
	pin     *pin
	env     func(string) string
	backOff time.Duration
}

func (in *installer) install(ctx context.Context) (Library, error) {
	cache, err := in.cacheDir()
	if err != nil {
		return Library{}, err
	}
	dir := filepath.Join(cache, in.pin.dirName())
	if verifyDir(dir, in.pin) == nil {
		return openInstalled(dir)
	}
	if in.Offline {
		return Library{}, &NotInstalled{Flavour: in.pin.Flavour, Version: in.pin.Version, Places: []string{dir}, Offline: true}
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Library{}, explain(err, cache)
	}
	removeAbandoned(cache)
	work, err := os.MkdirTemp(cache, temporary)
	if err != nil {
		return Library{}, explain(err, cache)
	}
	defer os.RemoveAll(work)
	wheel := filepath.Join(work, "wheel")
	if err := in.fetch(ctx, wheel); err != nil {
		return Library{}, explain(err, cache)
	}
	made := filepath.Join(work, in.pin.dirName())
	if err := unpack(ctx, wheel, made, in.pin); err != nil {
		return Library{}, explain(err, cache)
	}
	if err := in.place(made, dir, work); err != nil {
		return Library{}, explain(err, cache)
	}
	if note := in.pin.note(); note != "" {
		in.log("warning", fmt.Sprintf("ONNX Runtime (%s) %s", in.pin.Flavour, note))
	}
	return openInstalled(dir)
}

// place moves what was made to where it belongs. What is there and whole, from another process, stays; what is broken
// is moved out of the way.
func (in *installer) place(made, dir, work string) error {
	err := os.Rename(made, dir)
	if err == nil || verifyDir(dir, in.pin) == nil {
		return nil
	}
	if err := os.Rename(dir, filepath.Join(work, "broken")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the broken installation %s cannot be replaced: %w; delete it, or end what uses it", dir, err)
	}
	if err = os.Rename(made, dir); err == nil || verifyDir(dir, in.pin) == nil {
		return nil
	}
	return err
}

// fetch brings the wheel to a file: from a folder that pip's find-links names, else from the first index that has it.
func (in *installer) fetch(ctx context.Context, to string) error {
	c, err := loadConfig(configFiles(in.env), in.env)
	if err != nil {
		return err
	}
	for _, dir := range c.findLinks {
		from := filepath.Join(dir, in.pin.Wheel)
		f, err := os.Open(from)
		if err != nil {
			continue
		}
		in.log("info", fmt.Sprintf("taking %s", from))
		err = in.save(f, from, to)
		f.Close()
		return err
	}
	if len(c.indexes) == 0 {
		return fmt.Errorf("pip's option no-index forbids the download, and no folder of find-links holds %s", in.pin.Wheel)
	}
	web, err := newClient(c, in.env, in.log)
	if err != nil {
		return err
	}
	web.backOff = in.backOff
	l, err := in.locate(ctx, web)
	if err != nil {
		return err
	}
	in.log("info", fmt.Sprintf("fetching %s from %s", in.pin.Wheel, l.url.Host))
	return web.get(ctx, l.url, "*/*", func(r *http.Response) error {
		if n := r.ContentLength; n >= 0 && n != in.pin.Size {
			return fmt.Errorf("%s: wanted %d bytes, the server has %d", show(l.url), in.pin.Size, n)
		}
		return in.save(r.Body, show(l.url), to)
	})
}

// locate finds the wheel on the indexes, in their order.
func (in *installer) locate(ctx context.Context, web *client) (link, error) {
	var failed []error
	for _, index := range web.config.indexes {
		u, err := url.Parse(strings.TrimRight(index, "/") + "/" + in.pin.project() + "/")
		if err != nil {
			failed = append(failed, errors.New("the address of an index in pip's configuration cannot be read"))
			continue
		}
		links, err := web.files(ctx, u)
		if ctx.Err() != nil {
			return link{}, ctx.Err()
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		for _, l := range links {
			if l.name != in.pin.Wheel {
				continue
			}
			if l.sha256 != "" && l.sha256 != in.pin.SHA256 {
				return link{}, &wrongHash{what: show(u) + " lists " + l.name, want: in.pin.SHA256, found: l.sha256}
			}
			return l, nil
		}
		failed = append(failed, fmt.Errorf("%s has no %s", show(u), in.pin.Wheel))
	}
	return link{}, errors.Join(failed...)
}

// files fetches an index's list of a project's files.
func (c *client) files(ctx context.Context, u *url.URL) (links []link, err error) {
	err = c.get(ctx, u, acceptIndex, func(r *http.Response) error {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxIndexAnswer+1))
		if err != nil {
			return err
		}
		if len(body) > maxIndexAnswer {
			return fmt.Errorf("%s: the list of files is over the limit of %d bytes", show(u), maxIndexAnswer)
		}
		links, err = parseIndex(r.Header.Get("Content-Type"), body, r.Request.URL)
		if err != nil {
			return fmt.Errorf("%s: %w", show(u), err)
		}
		return nil
	})
	return links, err
}

// wrongHash refuses a file that is not the pinned one.
type wrongHash struct{ what, want, found string }

func (e *wrongHash) Error() string {
	return fmt.Sprintf("%s: wanted the file with SHA-256 %s, found %s; it was refused, because it is not the file that was published", e.what, e.want, e.found)
}

// save copies a wheel to a file and checks its size and hash.
func (in *installer) save(from io.Reader, name, to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	count := &counter{total: in.pin.Size, report: in.Progress}
	n, err := io.Copy(io.MultiWriter(f, hash, count), io.LimitReader(from, in.pin.Size+1))
	if err != nil {
		return err
	}
	if n > in.pin.Size {
		return fmt.Errorf("%s: wanted %d bytes, found more", name, in.pin.Size)
	}
	if n < in.pin.Size {
		return &networkError{url: name, err: fmt.Errorf("ended after %d of %d bytes", n, in.pin.Size)}
	}
	if found := hex.EncodeToString(hash.Sum(nil)); found != in.pin.SHA256 {
		return &wrongHash{what: name, want: in.pin.SHA256, found: found}
	}
	return f.Close()
}

// counter reports how much of a download is done.
type counter struct {
	done, total int64
	report      func(done, total int64)
}

func (c *counter) Write(p []byte) (int, error) {
	c.done += int64(len(p))
	if c.report != nil {
		c.report(c.done, c.total)
	}
	return len(p), nil
}

// removeAbandoned deletes what killed processes have left in the cache. What cannot be deleted stays.
func removeAbandoned(cache string) {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), temporary) && time.Since(info.ModTime()) > abandonedAfter {
			os.RemoveAll(filepath.Join(cache, e.Name()))
		}
	}
}

// explain says what to do about a failed installation.
func explain(err error, cache string) error {
	var network *networkError
	var status *statusError
	byHand := fmt.Sprintf("or install it by hand: set %s to the library's file, or put the file beside the leat binary", Variable)
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case isDiskFull(err):
		return fmt.Errorf("no room in %s: %w; make room there, %s", cache, err, byHand)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w; make the folder writable, %s", err, byHand)
	case errors.As(err, &network), errors.As(err, &status):
		return fmt.Errorf("ONNX Runtime could not be downloaded: %w; check the network and the index in pip's configuration (PIP_INDEX_URL), %s", err, byHand)
	}
	return fmt.Errorf("ONNX Runtime could not be installed: %w", err)
}

// isDiskFull reports whether a write failed for want of room.
func isDiskFull(err error) bool {
	const errorDiskFull = 112 // of Windows
	return errors.Is(err, syscall.ENOSPC) || runtime.GOOS == "windows" && errors.Is(err, syscall.Errno(errorDiskFull))
}
