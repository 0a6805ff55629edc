package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-project/leat/connector/intake"
	"github.com/leat-project/leat/internal/vfs"
)

// Messages that were acknowledged to their senders are there for savepoints, too.
func TestBackToASavepointOfMessages(t *testing.T) {
	h := newHooked(t)
	h.start(t)
	h.post(t, 1, 2)
	h.at(t, 2)
	h.leat(t, "save", "hooks", "early")
	h.leat(t, "save", "hooks", "other")
	h.pad = strings.Repeat("x", 1_000_000) // so that files of the log are full
	for n := 3; n < 13; n++ {              // with more checkpoints than are kept
		h.post(t, n)
		h.at(t, n)
	}
	h.run.stop(t)
	h.pad = ""
	h.start(t, "--from-savepoint", "early")
	h.post(t, 13)
	h.at(t, 13)
	h.ended(t, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)

	// Where they had to be dropped, trying changes nothing.
	log, err := intake.Open(vfs.OS, filepath.Join(h.state(), "sources", "Read"), intake.Options{MaxBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Drop(log.End(), log.End()); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	before := h.leat(t, "show", "hooks")
	out, errs, code := leat(t, "", "run", "--state-dir", h.state(), "--from-savepoint", "other", h.pipeline)
	for _, text := range []string{"messages from 2 on are wanted", "begins at 13", "newest checkpoint", "leat state drop --part"} {
		if code != exitFailed || !strings.Contains(errs, text) {
			t.Fatalf("%d without %q: %s%s", code, text, out, errs)
		}
	}
	if after := h.leat(t, "show", "hooks"); after != before {
		t.Errorf("the checkpoint was\n%s\nand is\n%s", before, after)
	}
	h.leat(t, "rollback", "hooks", "--savepoint", "other")
	h.leat(t, "drop", "hooks", "--part", "Read")
	h.start(t)
	h.post(t, 14)
	h.at(t, 14)
	h.run.stop(t)
}
