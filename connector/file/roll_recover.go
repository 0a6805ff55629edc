package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
	"github.com/leat-project/leat/internal/vfs"
)

func (s *stagedFiles) encode() ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot stage files: %w", err)
	}
	return text, nil
}

func decodeStaged(text []byte) (s stagedFiles, err error) {
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("the checkpoint says nothing sensible of the files: %w", err)
	}
	return s, nil
}

// Recover begins: it commits what the last checkpoint decided, cuts open files to what it knows of them, and removes the hidden files that it does
// not know.
func (r *Roll) Recover(ctx context.Context, _ int64, staged []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s stagedFiles
	if staged != nil {
		var err error
		if s, err = decodeStaged(staged); err != nil {
			return err
		}
	}
	if err := r.rename(ctx, s.Closed); err != nil {
		return err
	}
	r.wrote, r.count = catalog.Written{}, 0 // of this run alone
	names, err := r.FS.List(r.naming.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannotWrite(r.path(""), err)
	}
	r.next = s.Next
	known := map[string]bool{}
	for _, f := range s.Open {
		if err := r.reopen(f); err != nil {
			return errors.Join(err, r.closeAll())
		}
		known[r.naming.temp(f.Name)] = true
		if r.Whole != nil || s.Format != "" && s.Format != r.format() {
			if err := r.close(r.open[f.Window]); err != nil { // it is whole as it is
				return errors.Join(err, r.closeAll())
			}
		}
	}
	return r.sweep(names, known, staged == nil)
}

// format tells formats apart that cannot stand in one file: other columns, or another compression.
func (r *Roll) format() string {
	return fmt.Sprintf("%s %08x", r.c, crc32.ChecksumIEEE(r.Header))
}

func (r *Roll) closeAll() error {
	var errs []error
	for _, f := range r.open {
		errs = append(errs, f.file.Close())
	}
	clear(r.open)
	return errors.Join(errs...)
}

// reopen goes on with a file that the checkpoint knows.
func (r *Roll) reopen(f openFile) error {
	file, err := vfs.Reopen(r.FS, r.temp(f.Name), f.Bytes)
	if err != nil {
		return &catalog.Problem{Key: "path", Code: diag.CannotWrite,
			Text: fmt.Sprintf("cannot go on with %q, of which the checkpoint knows %d bytes: %v", r.temp(f.Name), f.Bytes, cause(err)),
			Hint: "Bring the file back; or begin again without the checkpoint, into an empty folder."}
	}
	r.open[f.Window] = &rolling{name: f.Name, path: r.path(f.Name), window: f.Window, opened: time.UnixMilli(f.Opened), file: file, bytes: f.Bytes, c: r.c}
	return nil
}

// sweep removes hidden files that no checkpoint knows. On a first run it finds a number that no file has.
func (r *Roll) sweep(names []string, known map[string]bool, first bool) error {
	removed := false
	for _, name := range names {
		part, temp, ours := r.naming.parse(name)
		switch {
		case !ours:
		case temp && !known[name]:
			if err := r.FS.Remove(r.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return cannotWrite(r.path(name), err)
			}
			removed = true
		case !temp && first:
			r.next = max(r.next, part+1)
		}
	}
	if !removed {
		return nil
	}
	if err := r.FS.SyncDir(r.naming.dir); err != nil {
		return cannotWrite(r.path(""), err)
	}
	return nil
}
