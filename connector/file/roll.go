package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/column"
	"github.com/leat-project/leat/internal/vfs"
)

// RollOptions say what the files of a sink in a stream look like.
type RollOptions struct {
	Bytes  int64         // a file of so many bytes is closed
	Every  time.Duration // a file that is so old is closed at the next checkpoint
	Header []byte        // of each file
	// Whole makes the writer of a format whose files have an end, such as Parquet's footer: what is not closed cannot be read, nor gone on with after a
	// crash. Such files are complete at every checkpoint, and are written by Begin instead of Put. It writes to memory, which does not fail. nil: other formats.
	Whole func(to io.Writer) io.Closer
	// Compression of the files; Auto goes by their extension.
	Compression Compression
	Keep        bool   // there is a checkpoint to go on from after a failure
	FS          vfs.FS // nil: the machine's
	Now         func() time.Time
}

// Defaults of RollOptions.
const (
	DefaultRollBytes = 128 << 20
	DefaultRollEvery = time.Minute
	// maxOpenFiles is how many windows have a file open. Of one more, the oldest is closed.
	maxOpenFiles = 64
	// drainBytes is how much is gathered of a file before it is written.
	drainBytes = 1 << 20
	// maxWritten is how many names a sink tells at its end.
	maxWritten = 1000
)

// Roll writes the files of a sink in a stream, each exactly once.
//
// Rows go to hidden files beside the final ones. At a checkpoint they are synced, and the checkpoint is told how long each is and which are
// closed. Once it is durable the closed ones get their final names. After a crash, files are cut to the length that the checkpoint knows, and
// those that it does not know are removed.
type Roll struct {
	RollOptions
	naming naming
	c      Compression

	mu     sync.Mutex
	next   int64              // part
	open   map[int64]*rolling // by the start of the window
	full   []*rolling         // closed when the pieces that workers make of them have ended
	closed []closedFile       // complete, and not committed yet
	failed error              // what made files useless: only a restart helps
	count  int64              // of files committed
	wrote  catalog.Written
	ended  bool
}

// closedFile is a complete file that waits for its final name. It stands in checkpoints, as openFile does.
type closedFile struct {
	Name  string `json:"name"` // the final one, without its folder
	Bytes int64  `json:"bytes"`
}

// openFile is a file that will grow on.
type openFile struct {
	Name   string `json:"name"`
	Window int64  `json:"window"`
	Bytes  int64  `json:"bytes"`
	Opened int64  `json:"opened"` // Unix milliseconds
}

// stagedFiles is what a checkpoint knows of the sink.
type stagedFiles struct {
	Next   int64        `json:"next"`
	Format string       `json:"format,omitempty"`
	Open   []openFile   `json:"open,omitempty"`
	Closed []closedFile `json:"closed,omitempty"`
}

// GlobalWindow stands for rows without a window.
const GlobalWindow = int64(column.MinInstant)

// NewRoll returns the writer of the files that path names. Nothing is touched before Recover.
func NewRoll(path string, o RollOptions) *Roll {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Bytes, o.Every = cmp.Or(o.Bytes, DefaultRollBytes), cmp.Or(o.Every, DefaultRollEvery)
	return &Roll{RollOptions: o, naming: newNaming(path), c: o.Compression.Of(path), open: map[int64]*rolling{}}
}

// Put appends whole records of one window. It may be called by several workers at once; p is not kept.
//
// After an error of writing, as of a full disk, the records are kept, and the next call tries again.
func (r *Roll) Put(window int64, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	f, err := r.file(window)
	if err != nil {
		return err
	}
	f.add(p)
	return r.grown(f)
}

// grown writes what a file has got, and closes it where that is enough.
func (r *Roll) grown(f *rolling) error {
	if f.out.Len() >= drainBytes {
		if err := f.drain(); err != nil {
			return err
		}
	}
	if f.bytes+int64(f.out.Len()) >= r.Bytes || slices.Contains(r.full, f) {
		return r.close(f)
	}
	return nil
}

// file returns the open file of a window, and makes one where there is none.
func (r *Roll) file(window int64) (*rolling, error) {
	if f := r.open[window]; f != nil {
		return f, nil
	}
	if len(r.open) >= maxOpenFiles {
		if err := r.close(r.oldest()); err != nil {
			return nil, err
		}
	}
	f := &rolling{name: r.naming.final(window, r.next), window: window, opened: r.Now(), c: r.c}
	if err := r.FS.MkdirAll(r.naming.dir); err != nil {
		return nil, cannotWrite(r.path(f.name), err)
	}
	file, err := r.FS.Create(r.temp(f.name))
	if err != nil {
		return nil, cannotWrite(r.path(f.name), err)
	}
	f.file, f.path = file, r.path(f.name)
	f.add(r.Header)
	if r.Whole != nil {
		f.whole = r.Whole(&f.out)
	}
	r.next++
	r.open[window] = f
	return f, nil
}

func (r *Roll) oldest() *rolling {
	var oldest *rolling
	for _, f := range r.open {
		if oldest == nil || cmp.Or(f.opened.Compare(oldest.opened), cmp.Compare(f.name, oldest.name)) < 0 {
			oldest = f
		}
	}
	return oldest
}

// close completes a file: only its name is left to be given. One of which workers make pieces is only set aside.
func (r *Roll) close(f *rolling) error {
	if f.pieces > 0 {
		r.forget(f)
		r.full = append(r.full, f)
		return nil
	}
	if err := f.end(); err != nil {
		r.failed = err
		return err
	}
	if err := f.flush(); err != nil {
		return err
	}
	err := r.sync(f)
	if closing := f.file.Close(); err == nil && closing != nil {
		r.failed = cannotWrite(f.path, closing)
		err = r.failed
	}
	r.forget(f)
	if err == nil {
		r.closed = append(r.closed, closedFile{Name: f.name, Bytes: f.bytes})
	}
	return err
}

// forget drops a file from those that are open or full.
func (r *Roll) forget(f *rolling) {
	if r.open[f.window] == f { // not another that was made since
		delete(r.open, f.window)
	}
	r.full = slices.DeleteFunc(r.full, func(g *rolling) bool { return g == f })
}

// sync makes a file outlast a crash. After an error nobody knows what of it is on disk, so that only a restart helps.
func (r *Roll) sync(f *rolling) error {
	if err := f.file.Sync(); err != nil {
		r.failed = cannotWrite(f.path, err)
		return r.failed
	}
	return nil
}

func (r *Roll) path(name string) string { return filepath.Join(r.naming.dir, name) }
func (r *Roll) temp(name string) string { return filepath.Join(r.naming.dir, r.naming.temp(name)) }

// byName returns the open files in the order of their names, so that what is staged does not depend on chance.
func (r *Roll) byName() []*rolling {
	files := slices.Clone(r.full)
	for _, f := range r.open {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *rolling) int { return cmp.Compare(a.name, b.name) })
	return files
}

// Prepare ends an epoch: what was put is on disk when it returns, and staged says how to go on.
func (r *Roll) Prepare(ctx context.Context, _ int64) (staged []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return nil, r.failed
	}
	now := r.Now()
	for _, f := range r.byName() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.Whole != nil || now.Sub(f.opened) >= r.Every {
			err = r.close(f)
		} else if err = f.flush(); err == nil {
			err = r.sync(f)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(r.full) > 0 {
		return nil, fmt.Errorf("%q is still written to", r.full[0].path) // an encoder was not flushed
	}
	if len(r.open)+len(r.closed) > 0 { // the hidden names
		if err := r.FS.SyncDir(r.naming.dir); err != nil {
			return nil, cannotWrite(r.path(""), err)
		}
	}
	s := stagedFiles{Next: r.next, Format: r.format(), Closed: r.closed}
	for _, f := range r.byName() {
		s.Open = append(s.Open, openFile{Name: f.name, Window: f.window, Bytes: f.bytes, Opened: f.opened.UnixMilli()})
	}
	return s.encode()
}

// CommitEpoch gives the files that are closed their final names. It may be called again.
func (r *Roll) CommitEpoch(ctx context.Context, _ int64, staged []byte) error {
	s, err := decodeStaged(staged)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rename(ctx, s.Closed)
}

// rename gives files their final names. One that is not there under its hidden name was committed before, and may have been taken away since; of a file
// that this run has closed that cannot be.
func (r *Roll) rename(ctx context.Context, files []closedFile) error {
	if len(files) == 0 {
		return nil
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := r.FS.Rename(r.temp(f.Name), r.path(f.Name))
		if errors.Is(err, fs.ErrNotExist) && (!slices.Contains(r.closed, f) || r.there(f.Name)) {
			_, err = r.FS.List(r.naming.dir) // a folder that is gone is another matter
		} else if err == nil {
			r.note(f)
		}
		if err != nil {
			return cannotWrite(r.path(f.Name), err)
		}
	}
	if err := r.FS.SyncDir(r.naming.dir); err != nil {
		return cannotWrite(r.path(""), err)
	}
	r.closed = slices.DeleteFunc(r.closed, func(c closedFile) bool { return slices.Contains(files, c) })
	return nil
}

// note counts a file that has been committed.
func (r *Roll) note(f closedFile) {
	r.count++
	r.wrote.Bytes += f.Bytes
	if len(r.wrote.Files) < maxWritten {
		r.wrote.Files = append(r.wrote.Files, r.path(f.Name))
	}
}

// there reports whether a file has its final name.
func (r *Roll) there(name string) bool {
	f, err := r.FS.Open(r.path(name))
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// Verify completes all files, before the last epoch.
func (r *Roll) Verify(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	for _, f := range r.byName() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.close(f); err != nil {
			return err
		}
	}
	return nil
}

// Commit completes what no epoch has, and says what was written.
func (r *Roll) Commit(ctx context.Context) (catalog.Written, error) {
	if err := r.Verify(ctx); err != nil {
		return catalog.Written{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.rename(ctx, slices.Clone(r.closed)); err != nil {
		return catalog.Written{}, err
	}
	r.ended = true
	return r.wrote, nil
}

// Abort closes the open files. Where a checkpoint may know them they stay: Recover goes on with them.
func (r *Roll) Abort() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil
	}
	r.ended, r.failed = true, fmt.Errorf("%q has been given up", r.path(r.naming.stem))
	var errs []error
	for _, f := range r.byName() {
		f.file.Close() // what is not staged is thrown away
		if !r.Keep {
			errs = append(errs, r.FS.Remove(r.temp(f.name)))
		}
	}
	if !r.Keep {
		for _, f := range r.closed {
			errs = append(errs, r.FS.Remove(r.temp(f.Name)))
		}
	}
	clear(r.open)
	r.full = nil
	return errors.Join(errs...)
}

// Due reports whether a file has been open for so long that it should be complete.
func (r *Roll) Due(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.open {
		if now.Sub(f.opened) >= r.Every {
			return true
		}
	}
	return false
}
