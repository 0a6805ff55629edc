package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leat-project/leat/internal/vfs"
)

// footed is a format whose files have an end.
type footed struct{ io.Writer }

func (f footed) Close() error {
	_, err := f.Write([]byte("end\n"))
	return err
}

func footedOptions(o RollOptions) RollOptions {
	o.Whole = func(to io.Writer) io.Closer { return footed{to} }
	return o
}

// begin begins a piece; end adds lines to it.
func begin(t *testing.T, r *Roll, window int64) (end func(lines ...string) error) {
	t.Helper()
	var w io.Writer
	p, err := r.Begin(window, func(whole io.Closer) { w = whole.(footed) })
	if err != nil {
		t.Fatal(err)
	}
	return func(lines ...string) error {
		return p.End(func() error {
			_, err := w.Write([]byte(strings.Join(lines, "\n") + "\n"))
			return err
		})
	}
}

// TestPiecesOutlastTheirFile closes files for their size, and for others that want to be open, while pieces are made of them.
func TestPiecesOutlastTheirFile(t *testing.T) {
	l := newLedger(t, "out", footedOptions(RollOptions{Bytes: 10, Every: time.Hour}))
	slow, late := begin(t, l.roll, GlobalWindow), begin(t, l.roll, GlobalWindow)
	if err := begin(t, l.roll, GlobalWindow)("more than ten bytes"); err != nil {
		t.Fatal(err)
	}
	if err := begin(t, l.roll, GlobalWindow)("next file"); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxOpenFiles {
		if err := begin(t, l.roll, int64(i))("w"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.roll.Prepare(context.Background(), 1); err == nil || !strings.Contains(err.Error(), "still written to") {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(slow("slow"), late("late")); err != nil {
		t.Fatal(err)
	}
	l.checkpoint("")
	l.end()
	want := []string{"more than ten bytes", "slow", "late", "end", "next file", "end"}
	for range 2 * maxOpenFiles {
		want = append(want, "w", "end")
	}
	l.want(want...)
}

// TestPiecesOfAFullFile has two more pieces end when the window has a file again.
func TestPiecesOfAFullFile(t *testing.T) {
	l := newLedger(t, "out", footedOptions(RollOptions{Bytes: 10}))
	one, two := begin(t, l.roll, GlobalWindow), begin(t, l.roll, GlobalWindow)
	if err := begin(t, l.roll, GlobalWindow)("more than ten bytes"); err != nil {
		t.Fatal(err)
	}
	next := begin(t, l.roll, GlobalWindow)
	if err := errors.Join(one("one"), next("next"), two("two")); err != nil {
		t.Fatal(err)
	}
	l.end()
	l.want("more than ten bytes", "one", "two", "end", "next", "end")
}

func TestPiecesByManyWorkers(t *testing.T) {
	l := newLedger(t, "out", footedOptions(RollOptions{Bytes: 30}))
	var wg sync.WaitGroup
	var want []string
	for w := range 4 {
		for i := range 50 {
			want = append(want, fmt.Sprintf("%d/%d", w, i))
		}
		wg.Go(func() {
			for i := range 50 {
				end := begin(t, l.roll, int64(i%3))
				if err := end(fmt.Sprintf("%d/%d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l.end()
	lines, names, _ := l.visible()
	for range names {
		want = append(want, "end")
	}
	if len(lines) != len(want) || len(names) < 10 {
		t.Errorf("%d lines in %d files", len(lines), len(names))
	}
	l.want(want...)
}

func TestPiecesDiskFull(t *testing.T) {
	full := true
	disk := &vfs.Faulty{FS: vfs.OS, Fail: func(op vfs.Op, _ string) error {
		if op == vfs.OpWrite && full {
			return syscall.ENOSPC
		}
		return nil
	}}
	l := newLedger(t, "out", footedOptions(RollOptions{FS: disk, Bytes: 5}))
	if err := begin(t, l.roll, GlobalWindow)("kept"); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Fatalf("got %v, wanted that the disk is full", err)
	}
	full = false
	l.checkpoint("")
	l.want("kept", "end")
}

func TestPieceThatCannotBeAdded(t *testing.T) {
	l := newLedger(t, "out", footedOptions(RollOptions{}))
	p, err := l.roll.Begin(GlobalWindow, func(io.Closer) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.End(func() error { return errors.New("half of it") }); err == nil {
		t.Error("no error")
	}
	if _, err := l.roll.Prepare(context.Background(), 1); err == nil || !strings.Contains(err.Error(), "half of it") {
		t.Errorf("got %v", err)
	}
	if err := l.roll.Abort(); err != nil {
		t.Error(err)
	}
	l.restart()
	if _, _, hidden := l.visible(); hidden > 0 {
		t.Errorf("%d hidden files are left", hidden)
	}
}
