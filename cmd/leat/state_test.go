package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leat-project/leat/connector/intake"
	"github.com/leat-project/leat/internal/vfs"
)

// hooked is a pipeline that a test sends messages to.
type hooked struct {
	dir, pipeline, address string
	pad                    string // of each message
	run                    *running
}

func newHooked(t *testing.T) *hooked {
	h := &hooked{dir: t.TempDir(), address: freeAddress(t)}
	h.pipeline = filepath.Join(h.dir, "hooks.yaml")
	text := fmt.Sprintf(`
pipeline:
  type: chain
  transforms:
    - type: ReadFromWebhook
      name: Read
      config: {listen: "%s", format: JSON, schema: {type: object, properties: {n: {type: integer}}}}
    - type: LogForTesting
options: {checkpoint_interval: 50ms}
`, h.address)
	if err := os.WriteFile(h.pipeline, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hooked) state() string { return filepath.Join(h.dir, "state") }

func (h *hooked) start(t *testing.T, more ...string) {
	h.run = start(t, append([]string{"run", "--state-dir", h.state()}, append(more, h.pipeline)...)...)
}

// post sends messages until each has been acknowledged.
func (h *hooked) post(t *testing.T, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			response, err := http.Post("http://"+h.address, "application/json", strings.NewReader(fmt.Sprintf(`{"n": %d, "pad": "%s"}`, n, h.pad)))
			if err == nil {
				response.Body.Close()
				if response.StatusCode == http.StatusAccepted {
					break
				}
			}
			if time.Now().After(end) {
				t.Fatalf("%v, %v:\n%s", response, err, h.run.errs.String())
			}
		}
	}
}

// ended stops the run, and compares what it has put out.
func (h *hooked) ended(t *testing.T, want ...int) {
	t.Helper()
	var got []int
	for _, found := range regexp.MustCompile(`\bn["=: ]+(\d+)`).FindAllStringSubmatch(h.run.stop(t), -1) {
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, wanted %v:\n%s", got, want, h.run.errs.String())
	}
}

// at waits until a checkpoint stands behind so many messages.
func (h *hooked) at(t *testing.T, position int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, _, _ := leat(t, "", "state", "show", "--state-dir", h.state(), "hooks")
		if strings.Contains(out, fmt.Sprintf(" at %d\n", position)) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it is not at %d:\n%s\n%s", position, out, h.run.errs.String())
		}
	}
}

func (h *hooked) leat(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := leat(t, "", append([]string{"state", args[0], "--state-dir", h.state()}, args[1:]...)...)
	if code != 0 {
		t.Fatalf("%v: %s", args, errs)
	}
	return out
}

// What was acknowledged to its senders and not processed outlasts a reset.
func TestResetKeepsMessages(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("all %t", all), func(t *testing.T) {
			h := newHooked(t)
			h.start(t)
			h.post(t, 1, 2)
			h.at(t, 2)
			h.run.stop(t)
			log, err := intake.Open(vfs.OS, filepath.Join(h.state(), "sources", "Read"), intake.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := <-log.Append(t.Context(), "", 0, []byte("\x00{}"), []byte(`{"n": 3}`)); err != nil {
				t.Fatal(err)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			args := []string{"reset", "hooks"}
			want, position := []int{1, 2, 3, 4}, 4
			if all {
				args = append(args, "--all")
				want, position = []int{4}, 1
			}
			out := h.leat(t, args...)
			if kept := regexp.MustCompile(`\n3 messages that Read was sent`).MatchString(out); kept == all {
				t.Error(out)
			}
			h.start(t)
			h.post(t, 4)
			h.at(t, position)
			h.ended(t, want...)
		})
	}
}
