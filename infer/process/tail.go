package process

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// The part of a child's standard error that is kept.
const (
	tailLines = 6
	lineBytes = 400 // of a line; the rest of it is dropped
)

// tail is a writer that keeps the last lines of what is written. Of a fault in native code, which Go reports with the stacks of all
// goroutines and the registers, it keeps what comes before them: the signal and the address.
type tail struct {
	mu      sync.Mutex
	lines   []string
	partial []byte // the line that has not ended
	stacks  bool   // they have begun, after which nothing else comes
}

var _ io.Writer = (*tail)(nil)

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		t.partial = append(t.partial, line[:min(len(line), lineBytes-len(t.partial))]...)
		if ended {
			t.end()
		}
		p = rest
	}
	return n, nil
}

// end ends a line.
func (t *tail) end() {
	line := strings.TrimSpace(strings.ToValidUTF8(string(t.partial), "?"))
	t.partial = t.partial[:0]
	if strings.HasPrefix(line, "goroutine ") || strings.HasPrefix(line, "runtime stack:") {
		t.stacks = true
	}
	if t.stacks || line == "" {
		return
	}
	t.lines = append(t.lines, line)
	t.lines = t.lines[max(0, len(t.lines)-tailLines):]
}

// text returns the lines as one, once nothing more is written.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	return strings.Join(t.lines, " | ")
}
