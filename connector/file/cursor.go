package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-project/leat/catalog"
	"github.com/leat-project/leat/diag"
)

// Taken is a file that is to be read.
type Taken struct {
	Number int64 // counted from 0 in the order of reading
	Path   string
	Size   int64
	Time   int64 // when it was last written, Unix nanoseconds
}

// Spot is a place in the files of a source: it stands in checkpoints.
type Spot struct {
	Seq  int64  `json:"seq"`  // of the next morsel
	File int64  `json:"file"` // the number of the file
	Path string `json:"path"`
	Size int64  `json:"size"`
	Time int64  `json:"time"`
	At   int64  `json:"at,omitempty"`   // where to go on in it: bytes, row groups
	Line int64  `json:"line,omitempty"` // of that
	Done bool   `json:"done,omitempty"` // nothing of it is left
}

// Cursor hands out the files of a source one after another, and knows how far reading is. Readers embed it: it is what they have of
// catalog.Resumable, Partitioned and Noter.
type Cursor struct {
	in     Input
	watch  *watch // nil: only in.Paths
	next   int64  // in.Paths
	seq    int64
	file   Taken
	resume *Spot // where reading goes on; nil: at the beginning of a file

	waiting atomic.Bool // all that is there has been handed out
	mu      sync.Mutex
	notes   []string
	untold  int
}

// NewCursor returns the cursor of an input.
func NewCursor(in Input) *Cursor {
	c := &Cursor{in: in}
	if in.Every > 0 {
		c.watch = newWatch(in, c.note)
	}
	return c
}

// Resume goes on where the checkpoint says.
func (c *Cursor) Resume(ctx context.Context, r catalog.Resume) error {
	text, ok := r.Positions[""]
	var spot *Spot
	if ok && text != "" {
		spot = &Spot{}
		if err := json.Unmarshal([]byte(text), spot); err != nil {
			return fmt.Errorf("the checkpoint says nothing sensible of the files: %w", err)
		}
		c.seq = spot.Seq
	}
	if c.watch != nil {
		return c.resumeWatch(ctx, r.Dir, spot)
	}
	if spot == nil {
		return nil
	}
	c.next = spot.File
	if spot.File >= int64(len(c.in.Paths)) || string([]rune(c.in.Paths[spot.File])) != spot.Path { // JSON has no other bytes than UTF-8
		return c.changed(spot, "is not where it was among them")
	}
	if spot.Done {
		c.next++
		return nil
	}
	c.resume = spot
	return nil
}

func (c *Cursor) resumeWatch(ctx context.Context, dir string, spot *Spot) error {
	if err := c.watch.resume(ctx, dir, spot); err != nil {
		return err
	}
	if spot != nil && !spot.Done {
		c.resume = spot
	}
	return nil
}

func (c *Cursor) changed(spot *Spot, how string) error {
	return &catalog.Problem{Key: c.in.Key, Code: diag.InputChanged, Text: fmt.Sprintf("the files are not those that the checkpoint knows: %q %s", spot.Path, how),
		Hint: "Bring them back as they were; or begin again without the checkpoint."}
}

// Open returns the next file and where in it to begin: at 0 and line 1 but for the first after Resume. It waits for one where files are watched, and
// returns io.EOF where there is none.
func (c *Cursor) Open(ctx context.Context) (path string, at, line int64, err error) {
	for {
		if err := c.take(ctx); err != nil {
			return "", 0, 0, err
		}
		spot := c.resume
		c.resume = nil
		info, err := os.Stat(c.file.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && c.watch != nil:
			c.note(fmt.Sprintf("%q was gone before all of it was read", c.file.Path))
			continue
		case err != nil:
			return "", 0, 0, unreadable(c.file.Path, err)
		case spot != nil && (info.Size() != spot.Size || info.ModTime().UnixNano() != spot.Time):
			return "", 0, 0, c.changed(spot, "has changed, and was read in part")
		}
		c.file.Size, c.file.Time = info.Size(), info.ModTime().UnixNano()
		if spot != nil {
			return c.file.Path, spot.At, spot.Line, nil
		}
		return c.file.Path, 0, 1, nil
	}
}

// take finds the next file.
func (c *Cursor) take(ctx context.Context) error {
	if c.watch != nil {
		c.waiting.Store(c.watch.empty())
		f, err := c.watch.next(ctx)
		c.waiting.Store(false)
		c.file = f
		return err
	}
	if c.next >= int64(len(c.in.Paths)) {
		c.waiting.Store(true)
		return io.EOF
	}
	c.file = Taken{Number: c.next, Path: c.in.Paths[c.next]}
	c.next++
	return nil
}

// Mark sets what the engine has to know of a morsel: its number, and where to go on after it. done: that was the end of the file.
func (c *Cursor) Mark(m *catalog.Morsel, at, line int64, done bool) {
	m.Seq, m.Partition = c.seq, ""
	c.seq++
	s := Spot{Seq: c.seq, File: c.file.Number, Path: c.file.Path, Size: c.file.Size, Time: c.file.Time, At: at, Line: line, Done: done}
	text, _ := json.Marshal(s) // numbers and a text
	m.Position = string(text)
}

// Close closes what the cursor keeps on disk.
func (c *Cursor) Close() error {
	if c.watch == nil {
		return nil
	}
	return c.watch.journal.close()
}

// Partitions returns the one that files are.
func (c *Cursor) Partitions() []string { return []string{""} }

// CaughtUp reports whether all files that are there have been handed out.
func (c *Cursor) CaughtUp(context.Context, string) bool { return c.waiting.Load() }

// maxNotes is how many notes are kept.
const maxNotes = 100

func (c *Cursor) note(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.notes) == maxNotes {
		c.untold++
		return
	}
	c.notes = append(c.notes, text)
}

// Notes says what happened to files that could not be helped.
func (c *Cursor) Notes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.untold > 0 {
		return append(c.notes, fmt.Sprintf("and %d more files were gone or changed", c.untold))
	}
	return c.notes
}

// stamp is what a file looks like from outside.
type stamp struct {
	size int64
	time int64 // Unix nanoseconds
}

func stampOf(path string) (s stamp, regular bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return s, false
	}
	return stamp{info.Size(), info.ModTime().UnixNano()}, true
}

// before reports whether the file was written before a moment.
func (s stamp) before(t time.Time) bool { return s.time <= t.UnixNano() }

// Pass returns the next file as Open does, and whatever it is: whoever reads it meets what is wrong with it.
func (c *Cursor) Pass(ctx context.Context) (path string, err error) {
	if err := c.take(ctx); err != nil {
		return "", err
	}
	c.resume = nil
	return c.file.Path, nil
}

// Peek returns the file that Pass would return, where one is there at once.
func (c *Cursor) Peek() (path string, ok bool) {
	switch {
	case c.watch != nil && !c.watch.empty():
		return c.watch.queue[0].Path, true
	case c.watch == nil && c.next < int64(len(c.in.Paths)):
		return c.in.Paths[c.next], true
	}
	return "", false
}
