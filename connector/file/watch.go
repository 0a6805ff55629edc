package file

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leat-project/leat/internal/vfs"
)

// watch finds new files, in an order that is the same after a restart: what a look finds goes to a journal before it is read.
type watch struct {
	in      Input
	note    func(string)
	now     func() time.Time
	files   map[string]*watched // that have been taken, by path
	seen    map[string]stamp    // that are there and not taken: what they were at the last look
	queue   []Taken             // taken, and not handed out yet
	number  int64               // of the next file
	looked  bool
	gone    int      // of files
	journal *journal // nil: nothing is kept between runs
	fs      vfs.FS
}

// watched is a file that has been taken.
type watched struct {
	Taken
	gone  bool
	noted bool
}

// keptGone is how many files that are gone are remembered, so that one that comes back, as with a disk, is not read again.
const keptGone = 100_000

func newWatch(in Input, note func(string)) *watch {
	return &watch{in: in, note: note, now: time.Now, files: map[string]*watched{}, seen: map[string]stamp{}, fs: vfs.OS}
}

func (w *watch) empty() bool { return len(w.queue) == 0 }

// next returns the next file, and waits until there is one.
func (w *watch) next(ctx context.Context) (Taken, error) {
	for len(w.queue) == 0 {
		if w.looked {
			if err := sleep(ctx, w.in.Every); err != nil {
				return Taken{}, err
			}
		}
		w.looked = true
		if err := w.look(); err != nil {
			return Taken{}, err
		}
	}
	f := w.queue[0]
	w.queue = w.queue[1:]
	return f, ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// look takes the files that are new and whole.
func (w *watch) look() error {
	paths, err := w.in.look()
	if err != nil {
		return err
	}
	quiet := w.now().Add(-w.in.Every)
	there := make(map[string]stamp, len(paths))
	var found []Taken
	for _, path := range paths {
		s, regular := stampOf(path)
		if !regular {
			continue
		}
		if f := w.files[path]; f != nil && !w.isNew(f, s) {
			there[path] = s
			continue
		}
		before, known := w.seen[path]
		if known && before == s || !known && s.before(quiet) {
			found = append(found, Taken{Number: w.number + int64(len(found)), Path: path, Size: s.size, Time: s.time})
		}
		there[path] = s
	}
	if err := w.journal.add(found); err != nil {
		return err
	}
	w.number += int64(len(found))
	for _, f := range found {
		w.keep(f)
	}
	w.queue = append(w.queue, found...)
	w.miss(there)
	maps.DeleteFunc(there, func(path string, _ stamp) bool { return w.files[path] != nil })
	w.seen = there
	return nil
}

func (w *watch) keep(f Taken) {
	if old := w.files[f.Path]; old != nil && old.gone {
		w.gone--
	}
	w.files[f.Path] = &watched{Taken: f}
}

// isNew reports whether a file of a known name is another one: it is when the old one was seen to be gone. One that merely changed is told once.
func (w *watch) isNew(f *watched, s stamp) bool {
	same := s == stamp{f.Size, f.Time}
	switch {
	case f.gone && !same:
		return true
	case f.gone:
		f.gone = false
		w.gone--
	case !same && !f.noted:
		f.noted = true
		w.note(fmt.Sprintf("%q changed after it was taken, and is not read again", f.Path))
	}
	return false
}

// miss notes which files are gone, and forgets the oldest of them where there are too many.
func (w *watch) miss(there map[string]stamp) {
	for path, f := range w.files {
		if _, ok := there[path]; !ok && !f.gone {
			f.gone = true
			w.gone++
		}
	}
	if w.gone <= 2*keptGone {
		return
	}
	for _, f := range w.byNumber() {
		if f.gone && w.gone > keptGone {
			delete(w.files, f.Path)
			w.gone--
		}
	}
}

func (w *watch) byNumber() []*watched {
	return slices.SortedFunc(maps.Values(w.files), func(a, b *watched) int { return cmp.Compare(a.Number, b.Number) })
}

// resume reads the journal: the files up to the spot have been read, those after it come again in the same order.
func (w *watch) resume(_ context.Context, dir string, spot *Spot) error {
	if dir == "" {
		return nil
	}
	j, entries, err := openJournal(w.fs, dir, spot != nil)
	if err != nil {
		return err
	}
	w.journal = j
	if spot == nil {
		return nil
	}
	first := spot.File
	if spot.Done {
		first++
	}
	w.number = spot.File + 1
	for _, f := range entries {
		w.files[f.Path] = &watched{Taken: f}
		w.number = max(w.number, f.Number+1)
		if f.Number >= first {
			w.queue = append(w.queue, f)
		}
	}
	if !spot.Done && (len(w.queue) == 0 || w.queue[0].Number != spot.File) {
		return fmt.Errorf("the list of files that were read, %q, does not go with the checkpoint: it lacks %q", j.path, spot.Path)
	}
	paths := map[string]stamp{}
	for path := range w.files {
		if s, ok := stampOf(path); ok {
			paths[path] = s
		}
	}
	held := len(w.files)
	w.miss(paths)
	if len(w.files) == held {
		return nil
	}
	return j.rewrite(w.byNumber())
}
